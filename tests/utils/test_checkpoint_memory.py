"""What checkpoints keep, when they compute it again, and what they tell of it."""

from __future__ import annotations

import contextlib
import functools
import gc
import threading
import tracemalloc
import warnings
import weakref

import pytest
from tests.utils.programs import Counted, F, close, kept, layers, leaf, scalar

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
    assert "test_checkpoint_memory.py" in text


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
