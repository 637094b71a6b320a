"""Checkpoints give what PyTorch's give: gradients, numbers of calls, warnings, errors."""

from __future__ import annotations

import contextlib
import functools

import pytest
from tests.oracle import agree, outcome
from tests.utils.programs import Counted

import chainrule as cr

pytestmark = pytest.mark.usefixtures("small_heap")


PROGRAMS = {}


def program(*styles):
    def add(f):
        for style in styles:
            PROGRAMS[f"{f.__name__}[{style}]"] = functools.partial(_with_checkpoint, f, style)
        return f

    return add


def _with_checkpoint(f, style, lib):
    import importlib

    module = importlib.import_module(f"{lib.__name__}.utils.checkpoint")
    options = {} if style is None else {"use_reentrant": style}
    return f(lib, functools.partial(module.checkpoint, **options), module)


def f(x):
    return (x.sin() * x).exp()


def vector(lib):
    return lib.tensor([1.0, 2.0], dtype=lib.float64, requires_grad=True)


@program(None, True, False)
def gradient_and_calls(lib, checkpoint, module):
    x, g = vector(lib), Counted(f)
    y = checkpoint(g, x)
    name = y.grad_fn.name()
    y.sum().backward()
    return x.grad, g.calls, name


@program(True, False)
def twice_with_retain_graph(lib, checkpoint, module):
    x, g = vector(lib), Counted(f)
    y = checkpoint(g, x).sum()
    y.backward(retain_graph=True)
    y.backward()
    return x.grad, g.calls


@program(True, False)
def twice_without(lib, checkpoint, module):
    x = vector(lib)
    y = checkpoint(f, x).sum()
    y.backward()
    y.backward()


@program(True, False)
def grad(lib, checkpoint, module):
    x = vector(lib)
    return lib.autograd.grad(checkpoint(f, x).sum(), x)


@program(True, False)
def backward_with_inputs(lib, checkpoint, module):
    x = vector(lib)
    checkpoint(f, x).sum().backward(inputs=[x])
    return x.grad


@program(True, False)
def no_input_requires_grad(lib, checkpoint, module):
    w = vector(lib)
    plain = checkpoint(f, lib.ones(2))
    captured = checkpoint(lambda x: x * w, lib.ones(2, dtype=lib.float64))
    return plain.requires_grad, captured.requires_grad


@program(True, False)
def captured_tensors_get_gradients(lib, checkpoint, module):
    x, w = vector(lib), vector(lib)
    checkpoint(lambda x: x * w * w, x).sum().backward()
    return x.grad, w.grad


@program(True, False)
def detached_results(lib, checkpoint, module):
    x = vector(lib)
    a, b = checkpoint(lambda x: (x * 2, x.detach()), x)
    (a + b).sum().backward()
    return x.grad, a.requires_grad, b.requires_grad


@program(True)
def all_results_detached(lib, checkpoint, module):
    checkpoint(lambda x: x.detach(), vector(lib)).sum().backward()


@program(True, False)
def arguments_and_results_that_are_no_tensors(lib, checkpoint, module):
    x = vector(lib)
    y, *rest = checkpoint(lambda x, s, n: (x * 2, s, None, n), x, "a", 3)
    y.sum().backward()
    return x.grad, rest


@program(True)
def reentrant_refuses_keywords(lib, checkpoint, module):
    checkpoint(f, vector(lib), foo=1)


@program(True)
def reentrant_refuses_debug(lib, checkpoint, module):
    checkpoint(f, vector(lib), debug=True)


@program(False)
def keywords(lib, checkpoint, module):
    x = vector(lib)
    checkpoint(lambda x, *, power: x**power, x, power=3).sum().backward()
    return x.grad


@program(False)
def nested_results(lib, checkpoint, module):
    x = vector(lib)
    out = checkpoint(lambda x: {"a": x * x, "b": [x.exp()]}, x)
    (out["a"] + out["b"][0]).sum().backward()
    return x.grad


@program(False)
def unknown_determinism_check(lib, checkpoint, module):
    checkpoint(f, vector(lib), determinism_check="some")


@program(True, False)
def argument_modified(lib, checkpoint, module):
    x = vector(lib) * 1
    y = checkpoint(f, x).sum()
    x.add_(1)
    y.backward()


@program(True, False)
def no_grad(lib, checkpoint, module):
    g = Counted(f)
    with lib.no_grad():
        return checkpoint(g, vector(lib)).requires_grad, g.calls


@program(False)
def second_derivative(lib, checkpoint, module):
    x = vector(lib)
    (g,) = lib.autograd.grad(checkpoint(f, x).sum(), x, create_graph=True)
    return g, lib.autograd.grad(g.sum(), x)


@program(True, False)
def nested(lib, checkpoint, module):
    x, inner, outer = vector(lib), Counted(f), Counted(lambda x: checkpoint(inner, x.cos()) * checkpoint(inner, x) * x)
    checkpoint(outer, x).sum().backward()
    return x.grad, outer.calls, inner.calls


@program(False)
def backward_inside(lib, checkpoint, module):
    def g(x):
        y = x.sin()
        z = y.cos()
        (gx,) = lib.autograd.grad(z.sum(), x, retain_graph=True)
        return gx.detach() * x.exp(), z

    x = vector(lib)
    a, b = checkpoint(g, x)
    (a + b).sum().backward()
    return x.grad


@program(False)
def backward_inside_frees(lib, checkpoint, module):
    def g(x):
        y = x.sin()
        z = y.cos()
        (gx,) = lib.autograd.grad(z.sum(), x)
        return x.cos() * gx.detach()

    x = vector(lib)
    checkpoint(g, x).sum().backward()
    return x.grad


@program(False)
def backward_inside_without_early_stop(lib, checkpoint, module):
    def g(x):
        y = x.sin()
        z = y.cos()
        (gx,) = lib.autograd.grad(z.sum(), x, retain_graph=True)
        return gx.detach() * x.exp(), z

    x = vector(lib)
    a, b = checkpoint(g, x, early_stop=False)
    (a + b).sum().backward()
    return x.grad


@program(False)
def calls_with_early_stop(lib, checkpoint, module):
    reached = []

    def g(x):
        y = x.exp()
        reached.append("saved")
        y = y + 1
        reached.append("end")
        return y

    x = vector(lib)
    y = checkpoint(g, x)
    with module.set_checkpoint_early_stop(False):
        z = checkpoint(g, x)
    first = list(reached)
    y.sum().backward()
    second = list(reached)
    z.sum().backward()
    return first, second, reached


def changing(lib, first, other, **options):
    x, calls = vector(lib), []

    def g(x):
        calls.append(1)
        return first(x) if len(calls) == 1 else other(x)

    return x, g


@program(False)
def more_saved_the_second_time(lib, checkpoint, module):
    x, g = changing(lib, lambda x: x.sin(), lambda x: x.sin().sin().sin())
    checkpoint(g, x, early_stop=False).sum().backward()


@program(False)
def fewer_saved_the_second_time(lib, checkpoint, module):
    x, g = changing(lib, lambda x: x.sin().sin().exp(), lambda x: x * 3)
    checkpoint(g, x).sum().backward()


@program(False)
def another_shape_the_second_time(lib, checkpoint, module):
    x, g = changing(lib, lambda x: x.sin(), lambda x: lib.cat([x, x]).sin())
    checkpoint(g, x).sum().backward()


@program(False)
def another_dtype_the_second_time(lib, checkpoint, module):
    x, g = changing(lib, lambda x: x.sin(), lambda x: x.to(lib.float32).sin())
    checkpoint(g, x).sum().backward()


@program(False)
def context_that_swallows_errors(lib, checkpoint, module):
    def fail(x):
        raise ZeroDivisionError

    checkpoint(fail, vector(lib), context_fn=lambda: (contextlib.suppress(ZeroDivisionError), contextlib.nullcontext()))


@program(False)
def errors_inside_pass_through(lib, checkpoint, module):
    def fail(x):
        raise ValueError("mine")

    checkpoint(fail, vector(lib))


@program(None, True, False)
def sequential(lib, checkpoint, module):
    x, steps = vector(lib), [Counted(lib.sin), Counted(lib.cos), Counted(lib.exp), Counted(lib.sin), Counted(lib.tanh)]
    y = module.checkpoint_sequential(steps, 2, x, **checkpoint.keywords)
    y.sum().backward()
    return x.grad, [s.calls for s in steps]


@program(None)
def sequential_refuses_keywords(lib, checkpoint, module):
    module.checkpoint_sequential([lib.sin], 1, vector(lib), use_reentrant=False, foo=1)


@program(None)
def helpers(lib, checkpoint, module):
    module.check_backward_validity([lib.ones(1)])
    x, n = module.detach_variable((vector(lib) * 1, 3))
    return x.requires_grad, x.is_leaf, n, module.get_device_states(x)


@program(None)
def detach_variable_refuses_lists(lib, checkpoint, module):
    module.detach_variable([vector(lib)])


@program(None)
def groups_do_not_nest(lib, checkpoint, module):
    with module.GraphExecGroup(), module.GraphExecGroup():
        pass


@program(False)
def overlapping_passes_in_a_group(lib, checkpoint, module):
    y = checkpoint(f, vector(lib)).sum()
    with module.GraphExecGroup():
        y.backward(retain_graph=True)
        y.backward()


@program(False)
def disjoint_passes_in_a_group(lib, checkpoint, module):
    x, g = vector(lib), Counted(lambda x: (x.sin(), x.cos().exp()))
    a, b = checkpoint(g, x)
    with module.GraphExecGroup():
        a.sum().backward()
        b.sum().backward()
    return x.grad, g.calls


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_as_pytorch(torch, name):
    ours, our_warnings = outcome(cr, PROGRAMS[name])
    theirs, their_warnings = outcome(torch, PROGRAMS[name])
    agree(ours, theirs, full_text=False)
    if hasattr(theirs, "text"):
        assert ours.text.replace("chainrule", "torch")[:60] == theirs.text[:60]
    assert [w[0] for w in our_warnings] == [w[0] for w in their_warnings]
