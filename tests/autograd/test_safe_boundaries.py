"""What was recorded before `safe_derivatives` was entered, or is pulled after it was left: a table of what each gives.

Absent elements pass into functions with rules of their own, and out of them, as far as these run passes; what such a rule
computes by itself is present, so that it is NaN where it was, and never a 0 that is not.
"""

from __future__ import annotations

import pytest

import chainrule as cr
from chainrule.utils.checkpoint import checkpoint, within

safe = cr.autograd.safe_derivatives
NAN = float("nan")


def leaf():
    return cr.tensor([0.0, 4.0], requires_grad=True)


def root(x):
    return cr.sqrt(x)


def chosen(x, y):
    return cr.where(x > 0, y, 0)


def trap(x):
    return chosen(x, root(x)).sum()


def two(x):
    return cr.sqrt(x), x * 2


class NestedPass(cr.autograd.Function):
    """A root whose backward takes a pass of its own."""

    @staticmethod
    def forward(ctx, f, *args):
        ctx.f = f
        ctx.save_for_backward(*args)
        return f(*args)

    @staticmethod
    def backward(ctx, *grads):
        with cr.enable_grad():
            args = [a.detach().requires_grad_() for a in ctx.saved_tensors]
            outs = ctx.f(*args)
        outs = outs if isinstance(outs, tuple) else (outs,)
        return None, *cr.autograd.grad(outs, args, grads, allow_unused=True)


WRAPPED = {
    "plain": lambda f: f,
    "compiled": cr.compile,
    "checkpoint": lambda f: lambda *args: checkpoint(f, *args, use_reentrant=False),
    "reentrant": lambda f: lambda *args: checkpoint(f, *args, use_reentrant=True),
    "within": within(1 << 20),
    "nested": lambda f: lambda *args: NestedPass.apply(f, *args),
}
EACH = pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)


def gradient(make, calls=3):
    """Return the gradient of a loss that is computed outside of the mode and pulled in it: of the last of some calls."""
    for _ in range(calls):
        x = leaf()
        y = make(x)
        with safe():
            y.backward()
    return x.grad.tolist()


@EACH
def test_a_trap_that_was_recorded_before(wrap):
    f = wrap(trap)
    assert gradient(f) == [0, 0.25]


@EACH
def test_what_is_dropped_later_is_absent_inside(wrap):
    f = wrap(root)
    assert gradient(lambda x: chosen(x, f(x)).sum()) == [0, 0.25]


@EACH
def test_what_is_dropped_inside_is_absent_before(wrap):
    f = wrap(chosen)
    assert gradient(lambda x: f(x.detach().requires_grad_(), root(x)).sum()) == [0, 0.25]


@EACH
def test_a_zero_that_came_is_present_inside(wrap):
    f = wrap(root)
    found = gradient(lambda x: (r := f(x)).mul(r).sum())
    assert found == pytest.approx([NAN, 1], nan_ok=True)


@EACH
def test_a_result_that_is_not_used_is_absent(wrap):
    f = wrap(two)
    assert gradient(lambda x: f(x)[1].sum()) == [2, 2]


@EACH
def test_one_after_the_other(wrap):
    f, g = wrap(root), wrap(chosen)
    assert gradient(lambda x: g(x.detach().requires_grad_(), f(x)).sum()) == [0, 0.25]


@pytest.mark.parametrize("name", ["plain", "compiled", "checkpoint", "within"])
def test_a_gradient_of_many_cotangents(name):
    f = WRAPPED[name](root)
    for _ in range(3):
        x = leaf()
        y = chosen(x, f(x))
        with safe():
            (g,) = cr.autograd.grad(y, x, cr.eye(2), is_grads_batched=True)
        assert g.tolist() == [[0, 0], [0, 0.25]]


@pytest.mark.parametrize("name", ["plain", "compiled", "checkpoint", "within"])
def test_derivatives_of_derivatives(name):
    f = WRAPPED[name](trap)
    for _ in range(3):
        x = leaf()
        y = f(x)
        with safe():
            (g,) = cr.autograd.grad(y, x, create_graph=True)
            (h,) = cr.autograd.grad(g.sum(), x)
        assert (g.tolist(), h.tolist()) == ([0, 0.25], [0, -0.03125])


@pytest.mark.parametrize("name", ["plain", "compiled"])
def test_func_s_pullbacks_and_linear_maps_made_before(name):
    f = WRAPPED[name](trap)
    for _ in range(3):
        x = leaf().detach()
        _, pull = cr.func.vjp(f, x)
        _, push = cr.func.linearize(f, x)
        with safe():
            assert pull(cr.tensor(1.0))[0].tolist() == [0, 0.25]
            assert push(cr.ones(2)).tolist() == 0.25


@EACH
def test_what_was_recorded_in_the_mode_is_pulled_outside_as_without(wrap):
    f, x = wrap(trap), leaf()
    f(leaf())
    with safe():
        y = f(x)
    y.backward()
    assert x.grad.tolist() == pytest.approx([NAN, 0.25], nan_ok=True)


def test_a_compiled_call_that_writes_says_that_it_cannot_run_again():
    count = cr.zeros(())

    def f(x):
        count.add_(1)
        return trap(x)

    compiled = cr.compile(f)
    for _ in range(3):
        x = leaf()
        y = compiled(x)
    with safe(), pytest.raises(RuntimeError, match="would write again.*or call it under safe_derivatives"):
        y.backward()
    assert count == 3


def test_a_compiled_call_whose_argument_has_changed_says_so():
    compiled = cr.compile(lambda x: chosen(x, root(x)).sum())
    for _ in range(3):
        x = leaf()
        y = compiled(x)
    with cr.no_grad():
        x.add_(1)
    with safe(), pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_the_mode_may_be_entered_and_left_in_a_rule():
    class Inside(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x, mode):
            ctx.mode = mode
            ctx.save_for_backward(x)
            return root(x)

        @staticmethod
        def backward(ctx, g):
            with cr.enable_grad():
                x = ctx.saved_tensors[0].detach().requires_grad_()
                y = root(x)
            with safe(ctx.mode):
                return cr.autograd.grad(y, x, g)[0], None

    assert gradient(lambda x: chosen(x, Inside.apply(x, True)).sum()) == [0, 0.25]
    assert gradient(lambda x: chosen(x, Inside.apply(x, False)).sum()) == pytest.approx([NAN, 0.25], nan_ok=True)


def test_what_a_rule_writes_to_its_gradient_is_present():
    class Shifted(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return g.add_(1) if isinstance(g, cr.Tensor) else g

    assert gradient(lambda x: chosen(x, Shifted.apply(x)).sum()) == [1, 2]
