"""The where-trap programs themselves: finite values and closed forms that are right; plain derivatives fall into the traps."""

import numpy as np
import pytest
from tests.autograd.where_traps import TRAPS

import chainrule as cr

torch = pytest.importorskip("torch")

ALL = pytest.mark.parametrize("trap", TRAPS, ids=[t.name for t in TRAPS])


def test_there_are_twenty_or_more():
    assert len({t.name for t in TRAPS}) == len(TRAPS) >= 20


@ALL
def test_values_are_finite_and_pytorchs(trap):
    ours, theirs = trap.f(cr, cr.tensor(trap.at)).item(), trap.f(torch, torch.tensor(trap.at)).item()
    assert np.isfinite(ours)
    assert ours == pytest.approx(theirs, rel=1e-14)


@pytest.mark.slow
@ALL
def test_closed_forms_are_pytorchs_derivatives_where_there_is_no_trap(trap):
    x = torch.tensor(trap.free)
    if trap.name not in ("attention", "bad_rows", "segments"):  # which are trapped everywhere in PyTorch, by their constants
        grad = torch.func.grad(lambda x: trap.f(torch, x))(x)
        hessian = torch.autograd.functional.hessian(lambda x: trap.f(torch, x), x)
        np.testing.assert_allclose(trap.gradient(trap.free), grad, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(trap.hessian(trap.free), hessian.reshape(x.numel(), x.numel()), rtol=1e-11, atol=1e-11)


@ALL
def test_closed_forms_are_differences_where_there_is_no_trap(trap):
    n, step = trap.free.size, 1e-6
    apart = (np.eye(n) * step).reshape(n, *trap.free.shape)
    slopes = [(trap.f(cr, cr.tensor(trap.free + d)) - trap.f(cr, cr.tensor(trap.free - d))).item() / (2 * step) for d in apart]
    np.testing.assert_allclose(trap.gradient(trap.free).ravel(), slopes, rtol=1e-7, atol=1e-8)
    curves = [(trap.gradient(trap.free + d) - trap.gradient(trap.free - d)).ravel() / (2 * step) for d in apart]
    np.testing.assert_allclose(trap.hessian(trap.free), curves, rtol=1e-6, atol=1e-8)


@pytest.mark.slow
@ALL
def test_each_traps_a_derivative_of_pytorchs(trap):
    x = torch.tensor(trap.at)
    f = lambda x: trap.f(torch, x)
    found = [torch.func.grad(f)(x), torch.func.jacfwd(f)(x), torch.func.hessian(f)(x)]
    assert not all(torch.isfinite(d).all() for d in found)
