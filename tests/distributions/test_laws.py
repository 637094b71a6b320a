"""What holds for every family by itself, or by SciPy: shapes and supports of draws, densities, moments, every derivative."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from tests.distributions.families import FAMILIES, quantity
from tests.each import by_name

import chainrule as cr
from chainrule import func

NAMES = str
DRAWS = 4000


def made(family, kind="matrix", dtype="float64", **options):
    tensors = {name: cr.tensor(array) for name, array in family.drawn(kind, dtype).items()}
    return family.make(cr.distributions, tensors, **options)


def drawn(family, kind="matrix", shape=(4,)):
    cr.manual_seed(0)
    return made(family, kind).sample(shape)


def each_of_batch(family, kind="matrix"):
    """Return, for each of a batch, its index and SciPy's distribution."""
    arrays, shape = family.drawn(kind, "float64"), made(family, kind).batch_shape
    return [(i, family.scipy(**{k: v[i] for k, v in arrays.items()})) for i in np.ndindex(*shape)]


@by_name("family", FAMILIES, NAMES)
def test_draws_have_their_shapes_and_dtype_and_are_in_the_support(family):
    for kind in ("single", "broadcast", "empty"):
        for dtype, shapes in (("float32", ((), (2, 0))), ("float64", ((5,), cr.Size([3, 2])))):
            distribution = made(family, kind, dtype)
            for shape in shapes:
                expected = (*shape, *distribution.batch_shape, *distribution.event_shape)
                names = ["sample", "rsample"] if distribution.has_rsample else ["sample"]
                for name in names:
                    x = getattr(distribution, name)(shape)
                    assert tuple(x.shape) == expected
                    assert str(x.dtype).endswith(dtype) or not x.is_floating_point()
                    assert distribution.support.check(x).all()
                    assert distribution.log_prob(x).shape == (*shape, *distribution.batch_shape)
    if type(distribution).rsample is cr.distributions.Distribution.rsample:
        with pytest.raises(NotImplementedError):
            distribution.rsample()


@by_name("family", FAMILIES, NAMES)
def test_no_gradient_flows_through_sample(family):
    tensors = {k: cr.tensor(v, requires_grad=True) for k, v in family.drawn(dtype="float64").items()}
    distribution = family.make(cr.distributions, tensors)
    assert not distribution.sample((2,)).requires_grad
    if distribution.has_rsample:
        assert distribution.rsample((2,)).requires_grad


@by_name("family", [f for f in FAMILIES if f.scipy], NAMES)
def test_densities_and_moments_are_scipys(family):
    distribution, values = made(family, "vector"), drawn(family, "vector")
    density = distribution.log_prob(values).numpy()
    shares = cr.linspace(0.01, 0.99, values.numel(), dtype=cr.float64).reshape(values.shape)
    for i, known in each_of_batch(family, "vector"):
        x = values[(slice(None), *i)].numpy()
        expected = known.logpmf(x) if hasattr(known, "logpmf") else known.logpdf(x)
        np.testing.assert_allclose(density[(slice(None), *i)], expected, rtol=1e-8, atol=1e-9)
        if distribution.event_shape:
            continue
        for name, theirs in (("mean", known.mean), ("variance", known.var), ("entropy", known.entropy)):
            ours = quantity(distribution, name)
            if ours is not None and np.isfinite(theirs()) and np.isfinite(ours[i].item()):
                np.testing.assert_allclose(ours[i].item(), theirs(), rtol=1e-7, atol=1e-9, err_msg=name)
        for name, given, theirs in (("cdf", values, known.cdf), ("icdf", shares, known.ppf)):
            try:
                ours = getattr(distribution, name)(given)
            except NotImplementedError:
                continue
            there = (slice(None), *i)
            np.testing.assert_allclose(ours[there], theirs(given[there].numpy()), rtol=1e-7, atol=1e-9, err_msg=name)


@by_name("family", [f for f in FAMILIES if f.scipy and f.sampled], NAMES)
def test_draws_are_of_the_distribution(family):
    draws = drawn(family, "vector", (DRAWS,)).numpy()
    if made(family).event_shape:
        pytest.skip("of several variables")
    for i, known in each_of_batch(family, "vector"):
        x = draws[(slice(None), *i)]
        if hasattr(known, "logpmf"):
            values, counts = np.unique(x, return_counts=True)
            common = DRAWS * known.pmf(values) >= 5
            expected, found = DRAWS * known.pmf(values[common]), counts[common]
            rest = DRAWS - expected.sum()
            if rest > 5:
                expected, found = np.append(expected, rest), np.append(found, DRAWS - found.sum())
            p = scipy.stats.chisquare(found, expected * found.sum() / expected.sum()).pvalue if len(found) > 1 else 1
        else:
            p = scipy.stats.kstest(x, known.cdf).pvalue
        assert p > 1e-4
        if np.isfinite(known.var()):
            assert abs(x.mean() - known.mean()) < 6 * known.std() / DRAWS**0.5


@by_name("family", [f for f in FAMILIES if made(f).has_rsample], NAMES)
def test_draws_move_with_the_parameters_as_their_distribution_function_says(family):
    """Differentiate cdf(x(θ), θ) = the draw's rank, a constant: dx/dθ = -∂cdf/∂θ / ∂cdf/∂x (Figurnov et al. 2018)."""
    tensors = {k: cr.tensor(v, requires_grad=True) for k, v in family.drawn("vector", "float64").items()}
    distribution = family.make(cr.distributions, tensors)
    cr.manual_seed(0)
    x = distribution.rsample((3,))
    try:
        distribution.cdf(x.detach())
    except NotImplementedError:
        pytest.skip("no distribution function")
    inputs = list(tensors.values())
    value = x.detach().requires_grad_()
    for k in range(3):
        moved = cr.autograd.grad(x[k].sum(), inputs, retain_graph=True, allow_unused=True)
        rank = distribution.cdf(value)[k]
        slope = cr.autograd.grad(rank.sum(), value, retain_graph=True)[0][k]
        known = cr.autograd.grad((rank / -slope.detach()).sum(), inputs, allow_unused=True, retain_graph=True)
        for a, b in zip(moved, known, strict=True):
            np.testing.assert_allclose(0 if a is None else a, 0 if b is None else b, rtol=1e-6, atol=1e-8)


@by_name("family", FAMILIES, NAMES)
def test_log_prob_has_all_derivatives_and_batches(family):
    arrays = {k: v for k, v in family.drawn("vector", "float64").items() if v.dtype.kind == "f"}
    values = drawn(family, "vector", ())

    def density(*tensors):
        return family.make(cr.distributions, dict(zip(arrays, tensors, strict=True))).log_prob(values).sum()

    inputs = tuple([cr.tensor(a) for a in arrays.values()])
    every = tuple(range(len(inputs)))
    cr.manual_seed(1)
    tangents = tuple([cr.randn_like(x) * 0.1 for x in inputs])
    slopes = func.grad(density, every)(*inputs)
    _, pushed = func.jvp(density, inputs, tangents)
    np.testing.assert_allclose(
        pushed, sum([(s * t).sum() for s, t in zip(slopes, tangents, strict=True)]), rtol=1e-8, atol=1e-9
    )

    def along(*inputs):
        return sum([(s * t).sum() for s, t in zip(func.grad(density, every)(*inputs), tangents, strict=True)])

    backward_over_backward = func.grad(along, every)(*inputs)
    _, forward_over_backward = func.jvp(func.grad(density, every), inputs, tangents)
    for a, b in zip(backward_over_backward, forward_over_backward, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-8)
    mapped = func.vmap(lambda x: made(family, "vector").log_prob(x))(drawn(family, "vector"))
    np.testing.assert_allclose(mapped, made(family, "vector").log_prob(drawn(family, "vector")), rtol=1e-12, atol=1e-13)
    stacked = [cr.stack([x, x + 0 * x]) for x in inputs]
    np.testing.assert_allclose(func.vmap(density)(*stacked), [density(*inputs)] * 2, rtol=1e-12, atol=1e-13)
