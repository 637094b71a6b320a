"""Draws of vectors, matrices and mixtures at a fixed seed: moments, marginals, and the gradients that flow through them."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

import chainrule as cr
from chainrule import distributions as D
from chainrule import func

COUNT = 20000


def f64(*values):
    return cr.tensor(values, dtype=cr.float64)


def test_draws_of_vectors_have_their_moments():
    cr.manual_seed(0)
    covariance = cr.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=cr.float64)
    cases = [
        (D.MultivariateNormal(f64(1, -1), covariance), covariance),
        (D.LowRankMultivariateNormal(f64(1, -1), f64(1, 0.5).unsqueeze(-1), f64(1, 0.75)), covariance),
        (D.Multinomial(6, f64(0.25, 0.75)), cr.tensor([[1.125, -1.125], [-1.125, 1.125]], dtype=cr.float64)),
        (D.OneHotCategorical(f64(0.25, 0.75)), cr.tensor([[0.1875, -0.1875], [-0.1875, 0.1875]], dtype=cr.float64)),
    ]
    for made, expected in cases:
        draws = made.sample((COUNT,)).numpy()
        np.testing.assert_allclose(draws.mean(0), made.mean, atol=0.05)
        np.testing.assert_allclose(np.cov(draws.T), expected, atol=0.08)


def test_straight_through_draws_have_the_gradient_of_the_probabilities():
    probs = f64(0.2, 0.3, 0.5).requires_grad_()
    weights = f64(1, 2, 3)
    made = D.OneHotCategoricalStraightThrough(probs)
    (through,) = cr.autograd.grad((made.rsample() * weights).sum(), probs)
    (mean,) = cr.autograd.grad((D.OneHotCategorical(probs).probs * weights).sum(), probs)
    np.testing.assert_allclose(through, mean)


def test_draws_of_a_mixture_are_of_its_distribution_function():
    cr.manual_seed(0)
    made = D.MixtureSameFamily(D.Categorical(f64(1, 3)), D.Normal(f64(-2, 1), f64(0.5, 1)))
    assert scipy.stats.kstest(made.sample((COUNT,)).numpy(), lambda x: made.cdf(cr.tensor(x)).numpy()).pvalue > 1e-3


def test_marginals_of_dirichlet_draws_are_beta():
    cr.manual_seed(0)
    a = f64(0.2, 1, 3)
    draws = D.Dirichlet(a).sample((COUNT,)).numpy()
    for k in range(3):
        assert scipy.stats.kstest(draws[:, k], scipy.stats.beta(a[k], a.sum() - a[k]).cdf).pvalue > 1e-3


@pytest.mark.parametrize("dtype", [cr.float32, cr.float64])
def test_dirichlet_draws_exist_where_gamma_draws_underflow(dtype):
    cr.manual_seed(0)
    made = D.Dirichlet(cr.full((3,), 1e-4, dtype=dtype, requires_grad=True))
    draws = made.rsample((50,))
    assert draws.isfinite().all()
    np.testing.assert_allclose(draws.detach().sum(-1), np.ones(50), rtol=1e-6)
    assert made.log_prob(draws).isfinite().all()
    assert cr.autograd.grad(draws[..., 0].sum(), made.concentration)[0].isfinite().all()


def test_dirichlet_draws_move_as_their_moments_do():
    """The mean of the gradient of a draw's function is the gradient of the function's mean."""
    cr.manual_seed(0)
    a = f64(0.5, 1.5, 3).requires_grad_()
    weights = f64(1, -2, 0.5)
    draws = D.Dirichlet(a.expand(COUNT, 3)).rsample()
    moved = func.vjp(lambda a: (D.Dirichlet(a).rsample((COUNT,)).square() @ weights).mean(), a)[1](f64(1)[0])[0]
    second = lambda a: (D.Dirichlet(a).variance + D.Dirichlet(a).mean.square()) @ weights
    (slope,) = cr.autograd.grad(second(a), a)
    np.testing.assert_allclose(moved.detach(), slope, atol=0.02)
    np.testing.assert_allclose((draws.square() @ weights).mean().detach(), second(a).detach(), atol=0.02)


def test_relaxed_draws_are_largest_at_each_class_with_its_probability():
    cr.manual_seed(0)
    logits = f64(0, 1, -0.5).requires_grad_()
    made = D.RelaxedOneHotCategorical(cr.tensor(0.5), logits=logits)
    draws = made.rsample((COUNT,))
    shares = np.bincount(draws.detach().argmax(-1).numpy(), minlength=3)
    assert scipy.stats.chisquare(shares, COUNT * made.probs.detach().numpy()).pvalue > 1e-3

    # At a fixed seed a draw is a smooth function of the logits: its gradient is the quotient of differences.
    def draw(x):
        cr.manual_seed(1)
        return D.RelaxedOneHotCategorical(cr.tensor(0.5), logits=x).rsample((4,))[:, 0].sum()

    slope = func.grad(draw)(logits.detach())
    for k in range(3):
        step = 1e-6 * cr.eye(3, dtype=cr.float64)[k]
        quotient = (draw(logits.detach() + step) - draw(logits.detach() - step)) / 2e-6
        np.testing.assert_allclose(slope[k], quotient, rtol=1e-6, atol=1e-9)


def test_draws_are_made_of_the_parameters_of_vmap():
    cr.manual_seed(0)
    weights = cr.eye(3, dtype=cr.float64)
    draw = lambda probs: D.Multinomial(7, probs).sample((2,))
    counts = func.vmap(draw, randomness="different")(weights)
    np.testing.assert_array_equal(counts, 7 * weights.unsqueeze(1).expand(3, 2, 3))
