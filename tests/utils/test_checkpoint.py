"""Checkpoints: the gradients are those of the plain call, the memory is not, and errors are PyTorch's."""

from __future__ import annotations

import contextlib
import functools
import gc
import threading
import tracemalloc
import warnings
import weakref

import numpy as np
import pytest
from tests.oracle import agree, outcome
from tests.utils.programs import TRANSFORMS, F, T, X, close, kept, layers, leaf, scalar

import chainrule as cr
from chainrule.utils.checkpoint import (
    CheckpointError,
    GraphExecGroup,
    checkpoint,
    checkpoint_sequential,
    create_selective_checkpoint_contexts,
    set_checkpoint_debug_enabled,
    set_checkpoint_early_stop,
)

pytestmark = pytest.mark.usefixtures("small_heap")


class Counted:
    """A function that counts its calls."""

    def __init__(self, f):
        self.f, self.calls = f, 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        return self.f(*args, **kwargs)


# -- under PyTorch as well ---------------------------------------------------------------------------------------------

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


# -- the derivative is that of the plain call, under every transform ---------------------------------------------------


@pytest.mark.parametrize("style", [False, True])
@pytest.mark.parametrize("name", list(TRANSFORMS))
def test_transforms_give_the_derivative_of_the_plain_call(name, style):
    take = TRANSFORMS[name]
    close(take(lambda x: checkpoint(layers, x, use_reentrant=style)), take(layers))


@pytest.mark.parametrize("name", ["grad", "vjp", "grad of grad"])
def test_reverse_levels_call_again_and_forward_levels_do_not(name):
    g = Counted(layers)
    TRANSFORMS[name](lambda x: kept(g, x))
    assert g.calls > 1
    g = Counted(layers)
    TRANSFORMS["jvp"](lambda x: kept(g, x))
    assert g.calls == 1


@pytest.mark.parametrize("style", [True, False])
def test_captured_values_of_transforms_get_derivatives(style):
    def f(w, call):
        return call(lambda x: (x * w).exp() * w, X).sum()

    call = functools.partial(checkpoint, use_reentrant=style)
    close(F.grad(lambda w: f(w, call))(T), F.grad(lambda w: f(w, lambda g, x: g(x)))(T))


@pytest.mark.filterwarnings("ignore:Using backward")
@pytest.mark.parametrize("style", [True, False])
def test_a_recorded_backward_can_be_differentiated(style):
    # PyTorch's reentrant checkpoints drop this gradient's history without a word.
    def run(call):
        x, w = leaf(), leaf(1.0, 2.0, 3.0)
        y = (call(lambda a: (a * w).sin() * w, x * x)).sum()
        y.backward(create_graph=True)
        first, x.grad = x.grad, None
        other, w.grad = w.grad, None
        (first.sum() + (other * other).sum()).backward()
        return first, other, x.grad, w.grad

    close(run(functools.partial(checkpoint, use_reentrant=style)), run(lambda f, x: f(x)))


def test_leaves_outside_a_transform_get_gradients_through_one():
    def run(call):
        w = leaf()
        y = F.grad(lambda x: call(lambda x: (x * w).sin() * w, x).sum())(X).sum()
        y.backward()
        return w.grad

    close(run(kept), run(lambda g, x: g(x)))


def test_memory_written_inside_a_transform():
    def f(x):
        y = cr.zeros(3, dtype=cr.float64)
        y[0] = x[1] * x[0]
        y[1] = x.sin()[2] + y[0]
        return y * x

    close(F.grad(scalar(lambda x: kept(f, x)))(X), F.grad(scalar(f))(X))


def test_functional_call():
    model = cr.nn.Sequential(cr.nn.Linear(3, 4), cr.nn.Tanh(), cr.nn.Linear(4, 1))
    x = cr.ones(2, 3)
    params = {k: v.detach() for k, v in model.named_parameters()}

    def loss(p, call):
        return call(lambda x: F.functional_call(model, p, (x,)), x).sum()

    ours, plain = F.grad(lambda p: loss(p, kept))(params), F.grad(lambda p: loss(p, lambda f, x: f(x)))(params)
    close(list(ours.values()), list(plain.values()))


class ExpTimes(cr.autograd.Function):
    """Reads what it saved twice, as checkpoints outside of transforms refuse."""

    @staticmethod
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(x, y)
        return y * x

    @staticmethod
    def backward(ctx, g):
        x, _ = ctx.saved_tensors
        _, y = ctx.saved_tensors
        return g * (y * x + y)


@pytest.mark.parametrize("style", [True, False])
@pytest.mark.parametrize("name", ["vjp", "vjp twice", "grad of grad"])
def test_functions_inside(name, style):
    def f(x):
        return ExpTimes.apply(x.sin()).cos()

    close(TRANSFORMS[name](lambda x: checkpoint(f, x, use_reentrant=style)), TRANSFORMS[name](f))


def test_gradcheck_passes_with_every_option():
    def f(x):
        return kept(lambda x: (x.sin() * x).exp(), x)

    assert cr.autograd.gradcheck(f, (leaf(),), check_forward_ad=True, check_batched_grad=True)
    assert cr.autograd.gradgradcheck(f, (leaf(),))


def test_complex_values():
    z = cr.tensor([1 + 2j, 0.5j], dtype=cr.complex128, requires_grad=True)
    f = lambda z: (z * z.exp()).abs().sum()
    close(cr.autograd.grad(kept(f, z), z), cr.autograd.grad(f(z), z))


def test_a_tangent_pulled_back_after_its_level_closed():
    fwd = cr.autograd.forward_ad

    def run(call):
        x = leaf()
        with fwd.dual_level():
            tangent = fwd.unpack_dual(call(layers, fwd.make_dual(x, T))).tangent
        tangent.sum().backward()
        return x.grad

    close(run(kept), run(lambda f, x: f(x)))


def test_hooks_inside_see_each_gradient_once():
    seen = []

    def f(x):
        y = x.exp()
        y.register_hook(lambda g: seen.append(1) or g * 2)
        with cr.autograd.graph.saved_tensors_hooks(lambda t: t * 1, lambda t: t):
            return y.sin()

    x = leaf()
    kept(f, x).sum().backward()
    assert seen == [1]
    found, x.grad = x.grad, None
    f(x).sum().backward()
    close(found, x.grad)


@pytest.mark.filterwarnings("ignore:Anomaly Detection", "ignore:Error detected")
def test_anomaly_mode_sees_what_is_computed_again():
    x = cr.zeros(2, requires_grad=True)
    with cr.autograd.detect_anomaly(), pytest.raises(RuntimeError, match="Function 'SqrtBackward0' returned nan values"):
        kept(lambda x: (x * 0).sqrt() * 0, x).sum().backward()


# -- random numbers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", [True, False])
def test_random_numbers_are_drawn_again_and_the_stream_goes_on(style):
    mine = cr.Generator().manual_seed(3)

    def f(x):
        x = cr.nn.functional.dropout(x, 0.5) * cr.rand(3, dtype=cr.float64)
        return x * x * cr.rand(3, generator=mine, dtype=cr.float64)

    def run(call):
        cr.manual_seed(0)
        mine.manual_seed(1)
        x = leaf()
        y = call(f, x)
        between = cr.rand(2)
        y.sum().backward()
        return y, x.grad, between, cr.rand(2), cr.rand(2, generator=mine)

    close(run(functools.partial(checkpoint, use_reentrant=style)), run(lambda f, x: f(x)))


@pytest.mark.parametrize("randomness", ["different", "same"])
def test_random_numbers_under_vmap(randomness):
    def f(x):
        return cr.nn.functional.dropout(x * x, 0.5) * x

    def run(call, take):
        cr.manual_seed(0)
        return take(lambda x: call(f, x))

    for take in (
        lambda f: F.vmap(F.grad(scalar(f)), randomness=randomness)(cr.stack([X, T])),
        lambda f: F.grad(scalar(F.vmap(f, randomness=randomness)))(cr.stack([X, T])),
    ):
        close(run(kept, take), run(lambda f, x: f(x), take))


def test_preserve_rng_state_false_draws_anew():
    x = leaf(1.0, 1.0)
    y = kept(lambda x: x * cr.rand(2, dtype=cr.float64), x, preserve_rng_state=False)
    y.sum().backward()
    assert not np.allclose(x.grad.numpy(), y.detach().numpy())


def test_seeding_inside_is_undone_after_the_second_run():
    def f(x):
        cr.manual_seed(7)
        return x * cr.rand(3, dtype=cr.float64) * x

    x = leaf()
    y = kept(f, x)
    cr.manual_seed(11)
    expected = cr.rand(2)
    cr.manual_seed(11)
    y.sum().backward()
    close(cr.rand(2), expected)


# -- memory ------------------------------------------------------------------------------------------------------------


def sines(y):
    for _ in range(8):
        y = y.sin()
    return y


def held_after(call):
    """Return the bytes that a graph of 32 layers holds."""
    x = cr.ones(20_000, dtype=cr.float64, requires_grad=True)
    gc.collect()
    tracemalloc.start()
    y = x
    for _ in range(4):
        y = call(sines, y)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    y.sum().backward()
    return size


def test_values_are_not_kept():
    plain = held_after(lambda f, y: f(y))
    for style in (True, False):
        assert held_after(functools.partial(checkpoint, use_reentrant=style)) < 0.25 * plain


def test_values_are_not_kept_under_func_grad():
    sizes = []

    def f(x, call):
        y = x
        for _ in range(4):
            y = call(sines, y)
        sizes.append(tracemalloc.get_traced_memory()[0])
        return y.sum()

    for call in (kept, lambda f, y: f(y)):
        x = cr.ones(20_000, dtype=cr.float64)
        gc.collect()
        tracemalloc.start()
        F.grad(lambda x, call=call: f(x, call))(x)
        tracemalloc.stop()
    assert sizes[0] < 0.25 * sizes[1]


def test_graphs_are_freed_without_the_collector():
    gc.collect()
    gc.disable()
    try:
        x = leaf()
        inside = []

        def f(x):
            y = x.exp()
            inside.append(weakref.ref(y))
            return y.sin()

        y = kept(f, x)
        y.sum().backward(retain_graph=True)
        whole = weakref.ref(y)
        del y
        assert whole() is None
        assert [r() for r in inside] == [None, None]
    finally:
        gc.enable()


# -- writes ------------------------------------------------------------------------------------------------------------


def test_a_value_written_to_in_the_second_run_raises():
    def f(x):
        y = x * 2
        z = y * y
        y.add_(1)
        return z * x

    x = leaf()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        f(x).sum().backward()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        kept(f, x).sum().backward()


# -- debugging ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("enable", ["argument", "context"])
def test_debug_shows_the_ops_of_both_runs(enable):
    x, calls = leaf(), []

    def f(x):
        calls.append(1)
        return x.sin().exp() if len(calls) == 1 else x.cos()

    with set_checkpoint_debug_enabled(True) if enable == "context" else contextlib.nullcontext():
        y = kept(f, x, debug=enable == "argument")
    with pytest.raises(CheckpointError, match="dumping logs of latest computation") as caught:
        y.sum().backward()
    text = str(caught.value)
    assert text.index("sin(float64[3]) -> float64[3]   (1 of 2 in original)") < text.index("cos(float64[3])")
    assert "test_checkpoint.py" in text


def test_debug_refuses_other_contexts():
    with pytest.raises(ValueError, match="debug=True is incompatible with non-default context_fn"):
        kept(cr.exp, leaf(), debug=True, context_fn=lambda: create_selective_checkpoint_contexts([]))


# -- passes ------------------------------------------------------------------------------------------------------------


def test_partial_passes_share_what_was_computed_again():
    x, g = leaf(), Counted(lambda x: (x.sin().exp(), x.cos().tanh()))
    a, b = kept(g, x)
    a.sum().backward(retain_graph=True)
    b.sum().backward(retain_graph=True)
    assert g.calls == 2
    a.sum().backward()
    assert g.calls == 3


def test_threads_may_differentiate_one_checkpoint():
    x = leaf()
    y = kept(layers, x).sum()
    F.grad(scalar(layers))(x.detach())
    threads = [threading.Thread(target=lambda: y.backward(retain_graph=True)) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    close(x.grad, 8 * F.grad(scalar(layers))(x.detach()))


def test_a_function_that_catches_everything_does_not_catch_the_early_stop():
    def f(x):
        try:
            return x.exp() * x
        except Exception:  # what user code does
            return x

    x = leaf()
    kept(f, x).sum().backward()
    close(x.grad, F.grad(scalar(lambda x: x.exp() * x))(x.detach()))


def test_outer_hooks_see_the_arguments_alone():
    seen = []
    x = leaf()
    h = x * 2
    with cr.autograd.graph.saved_tensors_hooks(lambda t: seen.append(t) or t, lambda t: t):
        y = kept(layers, h)
    assert len(seen) == 1
    y.sum().backward()
    close(x.grad, F.grad(scalar(lambda x: layers(x * 2)))(x.detach()))


def test_sequential_runs_modules():
    model = cr.nn.Sequential(cr.nn.Linear(3, 5), cr.nn.Tanh(), cr.nn.Linear(5, 5), cr.nn.Tanh(), cr.nn.Linear(5, 1))
    x = cr.ones(2, 3, requires_grad=True)
    model(x).sum().backward()
    expected = [p.grad for p in model.parameters()]
    for style in (True, False):
        model.zero_grad()
        checkpoint_sequential(model, 2, x, use_reentrant=style).sum().backward()
        close([p.grad for p in model.parameters()], expected)


def test_early_stop_may_be_set_for_all():
    g = Counted(lambda x: x.exp() + 1)
    with set_checkpoint_early_stop(False):
        y = kept(g, leaf(), early_stop=True)
    y.sum().backward()
    assert g.calls == 2


def test_group_is_left_behind():
    with GraphExecGroup():
        pass
    with GraphExecGroup(), warnings.catch_warnings():
        pass


class Reading(cr.autograd.Function):
    """The square; its backward reads what was saved as often as it is told."""

    @staticmethod
    def forward(ctx, x, times):
        ctx.save_for_backward(x)
        ctx.times = times
        return x * x

    @staticmethod
    def backward(ctx, g):
        for _ in range(ctx.times):
            (x,) = ctx.saved_tensors
        return 2 * x * g, None


@pytest.mark.parametrize("retain", [False, True])
def test_a_pass_reads_a_saved_value_once(retain):
    x = cr.tensor([0.5, 2.0], requires_grad=True)
    y = checkpoint(lambda x: Reading.apply(x + 1, 2), x, use_reentrant=False).sum()
    with pytest.raises(CheckpointError, match=r"already unpacked once\. If you are calling ctx\.saved_tensors in backward"):
        y.backward(retain_graph=retain)
    y = checkpoint(lambda x: Reading.apply(x + 1, 1), x, use_reentrant=False).sum()
    y.backward(retain_graph=True)
    y.backward()  # another pass may read it again
    assert x.grad.tolist() == [6.0, 12.0]


def test_a_saved_value_may_be_looked_at_outside_of_passes():
    x = cr.tensor([0.5, 2.0], requires_grad=True)
    y = checkpoint(lambda x: x.sin().exp(), x, use_reentrant=False)
    assert y.grad_fn._saved_result.tolist() == y.grad_fn._saved_result.tolist() == y.tolist()
