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

import chainrule as cr
from chainrule.utils.checkpoint import (
    CheckpointError,
    CheckpointPolicy,
    GraphExecGroup,
    checkpoint,
    checkpoint_sequential,
    create_selective_checkpoint_contexts,
    set_checkpoint_debug_enabled,
    set_checkpoint_early_stop,
)

kept = functools.partial(checkpoint, use_reentrant=False)


def leaf(*values):
    return cr.tensor(list(values) or [0.5, 1.5, -1.0], dtype=cr.float64, requires_grad=True)


def layers(x, w=1.0):
    """Save inputs, results, views, several results, values written in place; draw no random numbers."""
    y = (x * w).sin() * x
    z = y.exp().reshape(-1, 1) @ y.reshape(1, -1)
    values, _ = z.sort(dim=-1)
    q = values * 0.1
    q.mul_(y)
    q[0] = y.cos()
    return q.tanh().sum(0) / (1 + y * y)


class Counted:
    """A function that counts its calls."""

    def __init__(self, f):
        self.f, self.calls = f, 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        return self.f(*args, **kwargs)


def close(a, b):
    for x, y in zip(a if isinstance(a, (tuple, list)) else (a,), b if isinstance(b, (tuple, list)) else (b,), strict=True):
        np.testing.assert_allclose(x.detach().numpy(), y.detach().numpy(), rtol=1e-12)


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

F = cr.func
X = cr.tensor([0.5, 1.5, -1.0], dtype=cr.float64)
T = cr.tensor([1.0, -2.0, 0.5], dtype=cr.float64)


def scalar(f):
    return lambda x: f(x).sum()


def dual_tangent(f, x):
    fwd = cr.autograd.forward_ad
    with fwd.dual_level():
        return fwd.unpack_dual(f(fwd.make_dual(x, T))).tangent


TRANSFORMS = {
    "grad": lambda f: F.grad(scalar(f))(X),
    "grad of grad": lambda f: F.grad(scalar(F.grad(scalar(f))))(X),
    "three times": lambda f: F.grad(scalar(F.grad(scalar(F.grad(scalar(f))))))(X),
    "vjp": lambda f: F.vjp(f, X)[1](T)[0],
    "vjp twice": lambda f: (lambda pull: (pull(T)[0], pull(2 * T)[0]))(F.vjp(f, X)[1]),
    "jvp": lambda f: F.jvp(f, (X,), (T,)),
    "jvp of jvp": lambda f: F.jvp(lambda x: F.jvp(f, (x,), (T,))[1], (X,), (T,)),
    "jvp of grad": lambda f: F.jvp(F.grad(scalar(f)), (X,), (T,)),
    "grad of jvp": lambda f: F.grad(lambda x: F.jvp(scalar(f), (x,), (T,))[1])(X),
    "dual level": lambda f: dual_tangent(f, X),
    "dual of grad": lambda f: dual_tangent(F.grad(scalar(f)), X),
    "vmap": lambda f: F.vmap(f)(cr.stack([X, T])),
    "vmap of grad": lambda f: F.vmap(F.grad(scalar(f)))(cr.stack([X, T])),
    "grad of vmap": lambda f: F.grad(scalar(F.vmap(f)))(cr.stack([X, T])),
    "jacrev": lambda f: F.jacrev(f)(X),
    "jacfwd": lambda f: F.jacfwd(f)(X),
    "hessian": lambda f: F.hessian(scalar(f))(X),
    "jacrev of jacrev": lambda f: F.jacrev(F.jacrev(f))(X),
}


@pytest.mark.parametrize("style", [False, True])
@pytest.mark.parametrize("name", list(TRANSFORMS))
def test_transforms_give_the_derivative_of_the_plain_call(name, style):
    take = TRANSFORMS[name]
    if not all(hasattr(F, part) for part in name.split() if part in ("vmap", "jacrev", "jacfwd", "hessian")):
        pytest.skip("not there yet")
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

    if not hasattr(F, "functional_call"):
        pytest.skip("not there yet")
    ours, plain = F.grad(lambda p: loss(p, kept))(params), F.grad(lambda p: loss(p, lambda f, x: f(x)))(params)
    close(list(ours.values()), list(plain.values()))


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


# -- selective checkpoints ---------------------------------------------------------------------------------------------


def selective(policy, f, **options):
    return lambda x: kept(f, x, context_fn=functools.partial(create_selective_checkpoint_contexts, policy, **options))


class Tally:
    """Counts what kernels ran, by a policy-free watcher of its own."""

    def __init__(self):
        self.ran = []

    def around(self, op, payloads, params, proceed):
        self.ran.append(op.name)
        return proceed()

    def wrapped(self, op, made):
        pass

    def __enter__(self):
        cr.core.mode.switch(watchers=(self,))
        return self.ran

    def __exit__(self, *exc):
        cr.core.mode.switch(watchers=())


@pytest.mark.parametrize(
    ("policy", "again"),
    [
        (["mm"], ["sin", "exp"]),
        ([cr.sin, "mm"], ["exp"]),
        ([], ["sin", "mm", "exp"]),
        (lambda ctx, op, *args, **params: op.name == "exp", ["sin", "mm"]),
        (lambda ctx, op, *args, **params: CheckpointPolicy.PREFER_SAVE, []),
        (lambda ctx, op, *args, **params: CheckpointPolicy.MUST_CPU_OFFLOAD, []),
        (lambda ctx, op, *args, **params: CheckpointPolicy.MUST_RECOMPUTE, ["sin", "mm", "exp"]),
    ],
    ids=["list", "function", "none", "bool", "save all", "offload all", "recompute all"],
)
def test_ops_whose_results_are_kept_do_not_run_again(policy, again):
    def f(w):
        return (w.sin() @ w).exp().sum()

    w = cr.rand(3, 3, dtype=cr.float64, requires_grad=True)
    y = selective(policy, f)(w)
    with Tally() as ran:
        y.backward()
    assert [name for name in ran if name in ("sin", "mm", "exp")] == again
    found, w.grad = w.grad, None
    f(w).backward()
    close(found, w.grad)


def test_a_policy_sees_ops_arguments_parameters_and_results():
    seen = []

    def policy(ctx, op, *args, **params):
        seen.append((op.name, [tuple(a.shape) for a in args], params, tuple(ctx.op_output.shape), ctx.is_recompute))
        assert not ctx.op_output.requires_grad
        return CheckpointPolicy.PREFER_RECOMPUTE

    x = cr.rand(2, 3, requires_grad=True)
    selective(policy, lambda x: x.exp().sum(1))(x).sum().backward()
    assert [s[0] for s in seen] == ["exp", "sum"]
    assert seen[0] == ("exp", [(2, 3)], {}, (2, 3), False)
    assert seen[1][2]["axis"] == (1,)


def test_a_policy_must_return_one():
    with pytest.raises(TypeError, match="must return a CheckpointPolicy"):
        selective(lambda ctx, op, *args, **params: None, cr.exp)(leaf())


@pytest.mark.parametrize("name", list(TRANSFORMS))
def test_selective_checkpoints_under_transforms(name):
    take = TRANSFORMS[name]
    if not all(hasattr(F, part) for part in name.split() if part in ("vmap", "jacrev", "jacfwd", "hessian")):
        pytest.skip("not there yet")
    policy = lambda ctx, op, *args, **params: op.name in ("exp", "mm")
    close(take(selective(policy, layers)), take(layers))


def test_kept_results_serve_one_pass_and_others_compute_them():
    x = leaf()
    y = selective(["sin"], lambda x: (x.sin() * x).exp().sum())(x)
    for again in ([], ["sin"], ["sin"]):
        with Tally() as ran:
            y.backward(retain_graph=True)
        assert [name for name in ran if name == "sin"] == again
    close(x.grad, 3 * F.grad(lambda x: (x.sin() * x).exp().sum())(x.detach()))


def test_kept_results_that_were_written_to():
    def written(x):
        y = x.exp()
        z = (y * x).sum()
        return z, y

    x = leaf()
    for allowed in (False, True):
        z, y = selective(["exp"], written, allow_cache_entry_mutation=allowed)(x)
        with cr.no_grad():
            y.add_(1)
        if allowed:
            z.backward()
        else:
            with pytest.raises(RuntimeError, match="Tensor cached during selective activation checkpoint has been mutated"):
                z.backward()


def test_selective_errors():
    with pytest.raises(ValueError, match="Expected op in `op_list` to be an OpOverload but got"):
        create_selective_checkpoint_contexts([len])
    with pytest.raises(TypeError, match="policy_fn_or_list must be either a function or a list of ops"):
        create_selective_checkpoint_contexts(3)


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
