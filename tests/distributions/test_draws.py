"""Draws of vectors, matrices and mixtures at a fixed seed: moments, marginals, and the gradients that flow through them."""

from __future__ import annotations

import contextlib

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


def test_wishart_draws_have_their_moments_and_move_with_the_parameters():
    cr.manual_seed(0)
    df, covariance = f64(4.5).requires_grad_(), cr.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=cr.float64, requires_grad=True)
    made = D.Wishart(df.expand(COUNT), covariance)
    draws = made.rsample()
    np.testing.assert_allclose(draws.detach().mean(0), made.mean[0].detach(), rtol=0.05)
    np.testing.assert_allclose(draws.detach().var(0), made.variance[0].detach(), rtol=0.1)
    weights = f64(1, -0.5, 0.3, 2).reshape(2, 2)
    moved = cr.autograd.grad((draws.mean(0) * weights).sum(), (df, covariance))
    slopes = cr.autograd.grad((D.Wishart(df, covariance).mean[0] * weights).sum(), (df, covariance))
    for a, b in zip(moved, slopes, strict=True):
        np.testing.assert_allclose(a, (b + b.mT) / 2 if b.dim() == 2 else b, rtol=0.05, atol=0.05)


def test_singular_wishart_draws_are_drawn_anew():
    cr.manual_seed(0)
    with pytest.warns(UserWarning, match="Low df values detected"):
        made = D.Wishart(cr.tensor(2.001), cr.eye(3))
    good = []
    for tries in (0, 1, None):
        with pytest.warns(UserWarning, match="Singular sample detected") if tries != 0 else contextlib.nullcontext():
            good.append(made.support.check(made.rsample((300,), max_try_correction=tries)).sum().item())
    assert good[0] < 130 < good[1] < 200 < 280 < good[2]  # a third of draws are good


@pytest.mark.parametrize("dim", [2, 3, 5])
def test_correlations_of_lkj_draws_are_beta_on_their_interval(dim):
    """Each correlation is 2 B - 1, B beta of equal parameters η - 1 + dim / 2 (Lewandowski, Kurowicka & Joe 2009)."""
    cr.manual_seed(0)
    factors = D.LKJCholesky(dim, 1.5).sample((5000,))
    correlations = (factors @ factors.mT).numpy()
    known = scipy.stats.beta(0.5 + dim / 2, 0.5 + dim / 2, loc=-1, scale=2)
    for i in range(1, dim):
        for j in range(i):
            assert scipy.stats.kstest(correlations[:, i, j], known.cdf).pvalue > 1e-3


def test_the_density_of_lkj_factors_integrates_to_one():
    x = np.linspace(-1, 1, 20001)[1:-1]
    factors = np.zeros((x.size, 2, 2))
    factors[:, 0, 0], factors[:, 1, 0], factors[:, 1, 1] = 1, x, np.sqrt(1 - x**2)
    density = D.LKJCholesky(2, 2.5, validate_args=False).log_prob(cr.tensor(factors)).exp().numpy()
    # Of the factor's free element on the circle: dx is what it takes of it.
    assert abs(np.trapezoid(density, x) - 1) < 1e-4


def test_nothing_happens_before_no_failure():
    cr.manual_seed(0)
    count, logits = f64(0, 0.5).requires_grad_(), f64(0.3, 0.3).requires_grad_()
    made = D.NegativeBinomial(count, logits=logits)
    density = made.log_prob(f64(0, 0))
    np.testing.assert_allclose(density.detach(), [0, 0.5 * -np.logaddexp(0, 0.3)])
    assert made.log_prob(f64(1, 1))[0] == -np.inf
    assert all([slope.isfinite().all() for slope in cr.autograd.grad(density.sum(), (count, logits))])
    assert made.sample((9,))[:, 0].eq(0).all()
