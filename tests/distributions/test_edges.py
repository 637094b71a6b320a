"""Parameters at the ends of their ranges, and shapes unlike each other: right limits, and gradients that are numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

import chainrule as cr
from chainrule import distributions as D
from chainrule import func

INF = math.inf


def f64(*values):
    return cr.tensor(values, dtype=cr.float64)


def test_certain_outcomes_have_no_entropy_and_their_gradients_are_numbers():
    probs = f64(0, 1).requires_grad_()
    for made in (D.Bernoulli(probs), D.Geometric(probs[1:])):
        entropy = made.entropy()
        np.testing.assert_allclose(entropy.detach(), 0 * entropy.detach(), atol=1e-13)
        assert cr.autograd.grad(entropy.sum(), probs)[0].isfinite().all()
    np.testing.assert_allclose(D.Binomial(5, f64(0, 1)).entropy(), [0, 0], atol=1e-12)
    np.testing.assert_allclose(D.Categorical(f64(0, 1)).entropy(), 0, atol=1e-12)
    assert D.Categorical(logits=f64(-INF, 0)).entropy() == 0


def test_outcomes_of_probability_one_are_certain():
    np.testing.assert_allclose(D.Bernoulli(f64(0, 1)).log_prob(f64(0, 1)), [0, 0], atol=1e-12)
    np.testing.assert_allclose(D.Binomial(9, f64(0, 1)).log_prob(f64(0, 9)), [0, 0], atol=1e-12)
    assert D.Geometric(f64(1)).log_prob(f64(0)) == 0
    assert D.Poisson(f64(0)).log_prob(f64(0)) == 0
    assert D.Poisson(f64(0)).log_prob(f64(1)) == -INF
    assert D.Categorical(logits=f64(-INF, 3)).log_prob(cr.tensor(1)) == 0
    assert D.Categorical(logits=f64(-INF, 3)).log_prob(cr.tensor(0)) == -INF
    assert D.Multinomial(4, logits=f64(-INF, 3)).log_prob(f64(0, 4)) == 0
    cr.manual_seed(0)
    assert D.Binomial(9, f64(0, 1)).sample((3,)).tolist() == [[0, 9]] * 3
    assert D.Geometric(f64(1)).sample((3,)).tolist() == [[0]] * 3
    assert D.Poisson(f64(0)).sample((3,)).tolist() == [[0]] * 3
    assert D.Categorical(logits=f64(-INF, 3)).sample((3,)).tolist() == [1] * 3
    assert D.Multinomial(5, f64(0, 1)).sample().tolist() == [0, 5]


@pytest.mark.parametrize("logit", [-800.0, -60.0, 0.0, 60.0, 800.0])
def test_log_probabilities_of_far_logits_are_exact(logit):
    """Log p and log(1 - p) are -log(1 + exp(∓logit))."""
    x = f64(logit).requires_grad_()
    log_success, log_failure = -np.logaddexp(0, -logit), -np.logaddexp(0, logit)
    cases = [
        (D.Bernoulli(logits=x), f64(1), log_success),
        (D.Bernoulli(logits=x), f64(0), log_failure),
        (D.Binomial(3, logits=x), f64(3), 3 * log_success),
        (D.Binomial(3, logits=x), f64(1), math.log(3) + log_success + 2 * log_failure),
        (D.Geometric(logits=x), f64(2), log_success + 2 * log_failure),
    ]
    for made, value, expected in cases:
        density = made.log_prob(value)
        np.testing.assert_allclose(density.detach(), [expected], rtol=1e-12)
        assert cr.autograd.grad(density.sum(), x)[0].isfinite().all()
    entropy = D.Bernoulli(logits=x).entropy()
    p, rest = math.exp(log_success), math.exp(log_failure)
    np.testing.assert_allclose(entropy.detach(), [-p * log_success - rest * log_failure], rtol=1e-12)
    if logit > -800:
        geometric = D.Geometric(logits=x).entropy()
        np.testing.assert_allclose(geometric.detach(), [-log_success - rest * log_failure / p], rtol=1e-12)


def test_logits_of_no_probability_have_gradients():
    logits = f64(-INF, 0.5, 1).requires_grad_()
    for made in (
        lambda x: D.Categorical(logits=x).entropy(),
        lambda x: D.Categorical(logits=x).log_prob(cr.tensor(len(x) - 1)),
    ):
        (slope,) = cr.autograd.grad(made(logits), logits)
        (less,) = cr.autograd.grad(made(logits[1:]), logits)
        np.testing.assert_allclose(slope, less)
        assert slope.isfinite().all()


@pytest.mark.parametrize("validate", [True, False])
def test_distributions_are_made_of_the_parameters_of_vmap(validate):
    cr.manual_seed(0)
    logits, values = cr.randn(3, 5, 4, dtype=cr.float64), cr.tensor([0, 1, 2, 3, 1])
    made = lambda x: D.Categorical(logits=x, validate_args=validate).log_prob(values)
    np.testing.assert_allclose(func.vmap(made)(logits), D.Categorical(logits=logits).log_prob(values))
    root = cr.randn(3, 2, 2, dtype=cr.float64)
    covariance = root @ root.mT + cr.eye(2)
    point = f64(0.5, -1)
    normal = lambda c: D.MultivariateNormal(point * 0, c, validate_args=validate).log_prob(point)
    np.testing.assert_allclose(func.vmap(normal)(covariance), D.MultivariateNormal(point * 0, covariance).log_prob(point))
    draws = func.vmap(lambda x: D.Categorical(logits=x, validate_args=validate).sample((6,)), randomness="different")(logits)
    assert draws.shape == (3, 6, 5)
    if validate:
        with pytest.raises(ValueError, match="Expected parameter logits"):
            func.vmap(made)(logits * cr.nan)
    else:
        assert func.vmap(made)(logits * cr.nan).isnan().all()


def test_normals_of_vectors_broadcast_values_against_factors():
    cr.manual_seed(0)
    root = cr.randn(4, 1, 3, 3, dtype=cr.float64)
    loc, covariance = cr.randn(2, 3, dtype=cr.float64), root @ root.mT + cr.eye(3)
    made = D.MultivariateNormal(loc, covariance)
    assert made.batch_shape == (4, 2)
    for shape in ((3,), (2, 3), (4, 2, 3), (5, 4, 2, 3), (6, 5, 4, 2, 3), (4, 1, 3), (0, 4, 2, 3)):
        value = cr.randn(shape, dtype=cr.float64)
        found = made.log_prob(value)
        full = value.expand(np.broadcast_shapes(shape, (4, 2, 3)))
        assert found.shape == full.shape[:-1]
        for index in np.ndindex(*found.shape):
            i, j = index[-2:]
            known = scipy.stats.multivariate_normal(loc[j], covariance[i, 0]).logpdf(full[index])
            np.testing.assert_allclose(found[index], known, rtol=1e-9)


def test_matrices_of_a_distribution_are_made_of_one_another():
    root = cr.tensor([[2.0, 0.0], [1.0, 1.0]], dtype=cr.float64)
    covariance = root @ root.mT
    given = {"covariance_matrix": covariance, "precision_matrix": cr.linalg.inv(covariance), "scale_tril": root}
    for name, matrix in given.items():
        normal = D.MultivariateNormal(cr.zeros(3, 2, dtype=cr.float64), **{name: matrix})
        wishart = D.Wishart(f64(2, 3, 4), **{name: matrix})
        for other, expected in given.items():
            for made in (normal, wishart):
                np.testing.assert_allclose(getattr(made, other), expected.expand(3, 2, 2), atol=1e-12)
                assert getattr(made, other) is getattr(made, other)
        np.testing.assert_allclose(wishart.log_prob(covariance), D.Wishart(f64(2, 3, 4), covariance).log_prob(covariance))
    narrow = D.LowRankMultivariateNormal(f64(0, 0), f64(1, 2).unsqueeze(-1), f64(0.5, 1))
    whole = D.MultivariateNormal(f64(0, 0), narrow.covariance_matrix)
    for name in ("scale_tril", "precision_matrix", "variance"):
        np.testing.assert_allclose(getattr(narrow, name), getattr(whole, name), atol=1e-12)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: D.Bernoulli(), ValueError, "Either `probs` or `logits` must be specified, but not both."),
        (lambda: D.Categorical(f64(1), f64(1)), ValueError, "Either `probs` or `logits` must be specified"),
        (lambda: D.Categorical(cr.tensor(1.0)), ValueError, "`probs` parameter must be at least one-dimensional."),
        (lambda: D.Multinomial(f64(1), f64(1)), NotImplementedError, "inhomogeneous total_count is not supported"),
        (lambda: D.Binomial(cr.tensor([1, 2]), f64(0.5, 0.5)).entropy(), NotImplementedError, "Inhomogeneous total count"),
        (lambda: D.MultivariateNormal(cr.tensor(0.0)), ValueError, "loc must be at least one-dimensional."),
        (lambda: D.MultivariateNormal(cr.zeros(2)), ValueError, "Exactly one of covariance_matrix or precision_matrix"),
        (lambda: D.MultivariateNormal(cr.zeros(2), cr.zeros(2)), ValueError, "covariance_matrix must be at least two-dim"),
        (lambda: D.MultivariateNormal(cr.zeros(2), scale_tril=cr.zeros(2)), ValueError, "scale_tril matrix must be at least"),
        (lambda: D.MultivariateNormal(cr.zeros(2), -cr.eye(2)), ValueError, "Expected parameter covariance_matrix"),
        (lambda: D.LowRankMultivariateNormal(cr.zeros(2), cr.ones(3, 1), cr.ones(2)), ValueError, "cov_factor must be a batch"),
        (lambda: D.LowRankMultivariateNormal(cr.zeros(2), cr.ones(2, 1), cr.ones(3)), ValueError, "cov_diag must be a batch"),
        (
            lambda: D.LowRankMultivariateNormal(cr.zeros(3, 2), cr.ones(4, 2, 1), cr.ones(2)),
            ValueError,
            "Incompatible batch shapes",
        ),
        (lambda: D.MixtureSameFamily(D.Normal(0, 1), D.Normal(0, 1)), ValueError, " The Mixture distribution needs to be"),
        (lambda: D.MixtureSameFamily(D.Categorical(f64(1)), 3), ValueError, "The Component distribution needs to be"),
        (
            lambda: D.MixtureSameFamily(D.Categorical(f64(1, 1)), D.Normal(f64(0), 1)),
            ValueError,
            "`mixture_distribution component` .2. does not equal `component_distribution.batch_shape",
        ),
        (
            lambda: D.MixtureSameFamily(D.Categorical(cr.ones(3, 2)), D.Normal(cr.zeros(4, 2), 1)),
            ValueError,
            "`mixture_distribution.batch_shape` .* is not compatible with `component_distribution.batch_shape`",
        ),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit_raise_pytorchs_words(make, error, words):
    with pytest.raises(error, match="^" + words):
        make()


def test_one_mixture_of_weights_serves_a_batch_of_components():
    cr.manual_seed(0)
    components = D.MultivariateNormal(cr.randn(5, 2, 3, dtype=cr.float64), cr.eye(3, dtype=cr.float64))
    one, each = [D.MixtureSameFamily(D.Categorical(w), components) for w in (f64(1, 3), f64(1, 3).expand(5, 2))]
    draws = one.sample((4,))
    assert draws.shape == (4, 5, 3)
    for name in ("mean", "variance"):
        np.testing.assert_allclose(getattr(one, name), getattr(each, name))
    np.testing.assert_allclose(one.log_prob(draws), each.log_prob(draws))
