"""Divergences: means of the log ratio of densities over draws, infinite ones, and those of subclasses and of other things."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.distributions.families import named
from tests.distributions.pairs import PAIRS
from tests.each import by_name

import chainrule as cr
from chainrule import distributions as D
from chainrule import func
from chainrule.distributions import divergences
from chainrule.distributions.kl import _KL_REGISTRY

DRAWS = 20000


def f64(*values):
    return cr.tensor(values, dtype=cr.float64)


def made(name, seed, kind="vector", grad=False):
    family = named(name)
    drawn = family.drawn(kind, seed=seed)
    return family.make(D, {k: cr.tensor(v, requires_grad=grad) for k, v in drawn.items()})


@by_name("pair", PAIRS, "-".join)
def test_divergences_are_means_of_the_log_ratio_of_densities(pair):
    with pytest.MonkeyPatch.context() as patch:  # draws may be outside of the support of some of a batch
        patch.setattr(D.Distribution, "_validate_args", False)
        check_divergence(made(pair[0], 0), made(pair[1], 1))


def check_divergence(p, q):
    """Raise unless the finite divergences of a batch are what draws say."""
    exact = D.kl_divergence(p, q)
    finite = exact.isfinite().numpy()
    if not finite.any():
        return
    cr.manual_seed(0)
    x = p.sample((DRAWS,))
    ratio = (p.log_prob(x) - q.log_prob(x)).numpy()[:, finite]
    error = ratio.std(0) / DRAWS**0.5
    assert (np.abs(ratio.mean(0) - exact.numpy()[finite]) < 5 * error + 1e-12).all()
    same = D.kl_divergence(p, p)
    np.testing.assert_allclose(same, 0 * same, atol=1e-9)


def test_infinite_divergences_have_the_broadcast_shape():
    p, q = D.Poisson(cr.ones(3)), D.Bernoulli(cr.full((2, 3), 0.5))
    assert D.kl_divergence(p, q).tolist() == [[math.inf] * 3] * 2
    p, q = D.Bernoulli(f64(0, 0.5, 0.5, 1)), D.Bernoulli(f64(0, 0, 1, 1))
    np.testing.assert_allclose(D.kl_divergence(p, q), [0, math.inf, math.inf, 0], atol=1e-12)
    p, q = D.Categorical(f64(0, 1)), D.Categorical(f64(1, 0))
    assert D.kl_divergence(p, q) == math.inf
    assert D.kl_divergence(D.Categorical(logits=f64(-math.inf, 1)), D.Categorical(f64(1, 3))) == -math.log(0.75)


def test_a_certain_count_is_as_far_as_its_probability_says():
    np.testing.assert_allclose(D.kl_divergence(D.Poisson(f64(0)), D.Poisson(f64(0, 2))), [0, 2])
    np.testing.assert_allclose(D.kl_divergence(D.Geometric(f64(1)), D.Geometric(f64(0.25, 1))), [math.log(4), 0], atol=1e-12)
    with pytest.raises(NotImplementedError, match="KL between Binomials where q.total_count > p.total_count"):
        D.kl_divergence(D.Binomial(3, f64(0.5)), D.Binomial(4, f64(0.5)))
    assert D.kl_divergence(D.Binomial(4, f64(0.5)), D.Binomial(3, f64(0.5))) == math.inf


@pytest.mark.parametrize("name", ["Bernoulli", "Poisson", "Normal"])
def test_the_divergence_of_exponential_families_is_the_bregman_divergence_with_all_gradients(name):
    parameters = [made(name, seed, grad=True) for seed in (0, 1)]
    leaves = [getattr(d, key) for d in parameters for key in d.arg_constraints if key in d.__dict__]
    general, closed = divergences._exponential_family(*parameters), D.kl_divergence(*parameters)
    np.testing.assert_allclose(general.detach(), closed.detach(), rtol=1e-9)
    for a, b in zip(*[cr.autograd.grad(x.sum(), leaves) for x in (general, closed)], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


def test_families_of_different_events_raise():
    small, large = [D.MultivariateNormal(cr.zeros(n), cr.eye(n)) for n in (2, 3)]
    narrow = D.LowRankMultivariateNormal(cr.zeros(3), cr.ones(3, 1), cr.ones(3))
    with pytest.raises(ValueError, match="^KL-divergence between two Multivariate Normals with"):
        D.kl_divergence(small, large)
    with pytest.raises(ValueError, match=r"^KL-divergence between two \(Low Rank\) Multivariate Normals with"):
        D.kl_divergence(small, narrow)
    with pytest.raises(NotImplementedError, match="^The cross KL-divergence between different exponential families"):
        D.kl_divergence(D.Normal(0.0, 1.0), D.Poisson(1.0))
    with pytest.raises(NotImplementedError, match="^No KL"):
        D.kl_divergence(small, D.Normal(0.0, 1.0))


def test_subclasses_have_the_divergence_of_their_bases():
    class Count(D.Poisson):
        pass

    np.testing.assert_allclose(
        D.kl_divergence(Count(f64(1)), D.Poisson(f64(2))), D.kl_divergence(D.Poisson(f64(1)), D.Poisson(f64(2)))
    )


def test_independent_ones_have_the_sum_of_divergences():
    p, q = made("Normal", 0, "matrix"), made("Normal", 1, "matrix")
    for axes in (0, 1, 2):
        found = D.kl_divergence(D.Independent(p, axes), D.Independent(q, axes))
        expected = D.kl_divergence(p, q)
        np.testing.assert_allclose(found, expected.sum(tuple(range(2 - axes, 2))) if axes else expected)
    with pytest.raises(NotImplementedError):
        D.kl_divergence(D.Independent(p, 1), D.Independent(q, 2))


def test_divergences_are_those_of_what_was_transformed():
    p, q = made("Normal", 0), made("Normal", 1)
    transforms = [D.AffineTransform(1.0, 2.0), D.ExpTransform()]
    found = D.kl_divergence(D.TransformedDistribution(p, transforms), D.TransformedDistribution(q, transforms))
    np.testing.assert_allclose(found, D.kl_divergence(p, q))
    with pytest.raises(NotImplementedError):
        D.kl_divergence(D.TransformedDistribution(p, transforms), D.TransformedDistribution(q, transforms[1:]))
    with pytest.raises(NotImplementedError):
        D.kl_divergence(D.TransformedDistribution(p, transforms), D.TransformedDistribution(D.Independent(q, 1), transforms))


def test_every_pair_that_pytorch_registers_is_registered():
    kl = pytest.importorskip("torch.distributions.kl")
    named = lambda registry: {tuple([c.__name__ for c in pair]) for pair in registry if "test" not in pair[0].__module__}
    assert named(kl._KL_REGISTRY) <= named(_KL_REGISTRY)


@pytest.mark.slow
@by_name("pair", PAIRS, "-".join)
def test_divergences_have_all_derivatives_and_batches(pair):
    first, second = named(pair[0]), named(pair[1])
    arrays = [f.drawn("vector", seed=seed) for seed, f in enumerate((first, second))]
    names = [(k, name) for k in (0, 1) for name in arrays[k]]

    def divergence(*tensors):
        given = [{}, {}]
        for (k, name), x in zip(names, tensors, strict=True):
            given[k][name] = x
        found = D.kl_divergence(first.make(D, given[0]), second.make(D, given[1]))
        return cr.where(found.isinf(), 0, found).sum()

    inputs = tuple([cr.tensor(arrays[k][name]) for k, name in names])
    every = tuple(range(len(inputs)))
    if "Binomial" in pair or not divergence(*inputs):
        return  # its counts are looked at; infinite ones
    stacked = tuple([cr.stack([x, x]) for x in inputs])
    np.testing.assert_allclose(func.vmap(divergence)(*stacked), [divergence(*inputs)] * 2, rtol=1e-10)
    cr.manual_seed(0)
    tangents = tuple([cr.randn_like(x) * 0.1 for x in inputs])
    tangents = tuple([t + t.mT if "matrix" in name else t for t, (_, name) in zip(tangents, names, strict=True)])

    def along(*inputs):
        return sum([(s * t).nansum() for s, t in zip(func.grad(divergence, every)(*inputs), tangents, strict=True)])

    _, pushed = func.jvp(divergence, inputs, tangents)
    slopes = func.grad(divergence, every)(*inputs)
    if not all([s.isfinite().all() for s in slopes]):
        return
    np.testing.assert_allclose(pushed, along(*inputs), rtol=1e-7, atol=1e-8)
    _, over = func.jvp(func.grad(divergence, every), inputs, tangents)
    for a, b in zip(func.grad(along, every)(*inputs), over, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
