"""Draws of gamma and beta distributions as functions of their parameters: derivatives, and parameters near 0."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats

import chainrule as cr
from chainrule import func
from chainrule.functions.random.gamma import log_standard_gamma, standard_gamma


def seeded(f):
    """Return a function that draws the same at each call."""

    def call(*args):
        cr.manual_seed(0)
        return f(*args)

    return call


def test_gradients_of_gamma_draws_are_pytorchs(torch):
    """PyTorch's are approximations, by its own account to 5e-4."""
    a = cr.tensor(np.random.default_rng(0).uniform(0.05, 300, 500), requires_grad=True)
    x = seeded(standard_gamma)(a)
    x.sum().backward()
    known = torch._standard_gamma_grad(torch.tensor(a.detach().numpy()), torch.tensor(x.detach().numpy()))
    np.testing.assert_allclose(a.grad, known, rtol=5e-4)


def test_gradients_of_beta_draws_are_on_average_those_of_the_share():
    """The sum of two gamma draws does not depend on the share: over it, the gradient is -(∂F/∂a) / p, F of the share."""
    a, b, count = 0.7, 1.9, 4000
    total = scipy.stats.gamma(a + b).ppf((np.arange(count) + 0.5) / count)
    for share in (0.02, 0.4, 0.9):
        first = cr.full((count,), a, dtype=cr.float64, requires_grad=True)
        y = cr.ops.random.gamma.log_gamma_at_rank(first, first.detach(), cr.tensor(np.log(share * total)))
        moved = y.exp() / (y.exp() + cr.tensor((1 - share) * total))
        moved.sum().backward()
        h = 1e-5
        slope = (scipy.special.betainc(a + h, b, share) - scipy.special.betainc(a - h, b, share)) / (2 * h)
        np.testing.assert_allclose(first.grad.mean(), -slope / scipy.stats.beta(a, b).pdf(share), rtol=2e-3)


def test_draws_have_second_derivatives_and_batches():
    a, t = cr.tensor([0.3, 2.0, 40.0], dtype=cr.float64), cr.tensor([1.0, -0.5, 2.0], dtype=cr.float64)
    f = seeded(lambda a: standard_gamma(a).sum())
    backward = func.grad(lambda a: (func.grad(f)(a) * t).sum())(a)
    _, forward = func.jvp(func.grad(f), (a,), (t,))
    np.testing.assert_allclose(backward, forward, rtol=1e-9)
    y = seeded(log_standard_gamma)(a)
    s = -cr.ops.random.gamma.gamma_rank_slope(a, y, n=1)
    h = 1e-5
    up, down = [-cr.ops.random.gamma.gamma_rank_slope(a + e, y + e * s, n=1) for e in (h, -h)]
    np.testing.assert_allclose(forward, t * y.exp() * (s**2 + (up - down) / (2 * h)), rtol=1e-5)
    many = func.vmap(standard_gamma, randomness="different")(cr.full((2000, 2), 3.0))
    np.testing.assert_allclose(many.mean(0), [3.0, 3.0], rtol=0.1)
    assert len(set(many[:, 0].tolist())) > 1900
    alike = func.vmap(lambda x: standard_gamma(cr.full((2,), 3.0)) + x, randomness="same")(cr.zeros(2))
    assert bool((alike[0] == alike[1]).all())


@pytest.mark.parametrize("a", [1e-3, 0.05, 0.6, 1.0, 30.0])
def test_logarithms_of_gamma_draws_are_of_their_distribution(a):
    draws = seeded(log_standard_gamma)(cr.full((3000,), a, dtype=cr.float64)).numpy()
    small = lambda y: np.exp(a * y - scipy.special.gammaln(a + 1))
    rank = lambda y: np.where(y < -37, small(y), scipy.special.gammainc(a, np.exp(np.maximum(y, -37))))
    assert scipy.stats.kstest(draws, rank).pvalue > 1e-3


def test_beta_draws_of_small_parameters_are_at_both_ends():
    for dtype in (cr.float32, cr.float64):
        a = cr.full((1000,), 1e-4, dtype=dtype, requires_grad=True)
        draws = seeded(lambda a: cr.distributions.Beta(a, a).rsample())(a)
        assert draws.isfinite().all()
        assert 400 < (draws > 0.5).sum() < 600
        draws.sum().backward()
        assert a.grad.isfinite().all()


def test_draws_of_parameters_that_are_none_are_none():
    found = log_standard_gamma(cr.tensor([-1.0, 0.0, float("nan"), float("inf")])).tolist()
    assert np.isnan(found[:3]).all()
    assert found[3] == float("inf")
    assert standard_gamma(cr.tensor([], dtype=cr.float64)).shape == (0,)
    assert standard_gamma(cr.full((3,), 2.0, dtype=cr.float16)).dtype is cr.float16
