"""The classic sparse families: their patterns, and sparse derivatives against dense ones and against products."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.func.colouring import bidirectional, star
from chainrule.func.pattern import Pattern

from .sparse_families import FAMILIES

by_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


def dense(family, x):
    """Return the derivative without sparsity: all columns of the function, or of its gradient."""
    f = family.function()
    return cr.func.jacfwd(f if family.order == 1 else cr.func.grad(f))(x).numpy()


def product(family, x, v):
    """Return the derivative times a vector, in one sweep."""
    f = family.function()
    return cr.func.jvp(f if family.order == 1 else cr.func.grad(f), (x,), (v,))[1].numpy()


@by_family
def test_the_true_pattern_is_where_the_dense_derivative_is_not_zero(family):
    found = dense(family, cr.tensor(family.point(family.small)))
    np.testing.assert_array_equal(found != 0, family.pattern(family.small).toarray())


@by_family
def test_a_given_pattern_gives_the_dense_derivative(family):
    x, pattern = cr.tensor(family.point(family.small)), family.pattern(family.small)
    expected = dense(family, x)
    for sparse in (True, False):
        taken = family.derivative(family.function(), sparse=sparse, sparsity=pattern)
        found = taken(x)
        np.testing.assert_allclose(found.toarray() if sparse else found.numpy(), expected, rtol=1e-12, atol=1e-12)
        assert taken.plan.sparse.entries == pattern.nnz


@pytest.mark.parametrize("n", [25, 49, 100])
@by_family
def test_colours_are_few_at_any_size_where_sweeps_cost_the_same(family, n):
    n -= n % 3 if family.name == "optimal control" else n % 2 if family.name == "brusselator" else 0
    pattern = Pattern.of(family.pattern(n))
    found = bidirectional(pattern) if family.order == 1 else star(pattern)
    assert found.colours <= family.colours


def test_an_arrow_of_fifty_takes_three_sweeps():
    (family,) = [family for family in FAMILIES if family.name == "arrow"]
    found = bidirectional(Pattern.of(family.pattern(50)))
    assert found.colours <= 3
    assert found.forward
    assert found.reverse


# -- with no word about sparsity ---------------------------------------------------------------------------------------


@by_family
def test_the_pattern_is_found_to_the_entry(family):
    x, pattern = cr.tensor(family.point(family.small)), family.pattern(family.small)
    taken = family.derivative(family.function(), sparse=True)
    found = taken(x)
    np.testing.assert_allclose(found.toarray(), dense(family, x), rtol=1e-12, atol=1e-12)
    assert (found.astype(bool) != pattern).nnz == 0
    assert taken.plan.sparse.entries == pattern.nnz


@by_family
def test_large_members_are_compressed_and_agree_with_products(family):
    x = cr.tensor(family.point(family.large))
    taken = family.derivative(family.function(), sparse=True)
    found, told = taken(x), taken.plan.sparse
    assert (told.entries, found.nnz) == (family.pattern(family.large).nnz,) * 2
    assert told.colours <= family.colours
    v = np.random.default_rng(0).normal(size=family.large)
    np.testing.assert_allclose(found @ v, product(family, x, cr.tensor(v)), rtol=1e-9, atol=1e-9)


@by_family
def test_a_prepared_derivative_is_right_elsewhere(family):
    prepared = family.derivative(family.function(), sparse=True).prepare(cr.tensor(family.point(family.small)))
    elsewhere = cr.tensor(family.point(family.small)[::-1].copy() * 1.3)
    np.testing.assert_allclose(prepared(elsewhere).toarray(), dense(family, elsewhere), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n", [30, 100])
def test_rosenbrock_of_python_scalars_has_the_same_pattern(n):
    def valley(x):
        total = 0.0
        for i in range(n - 1):
            total = total + 100 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2
        return total

    (family,) = [family for family in FAMILIES if family.name == "rosenbrock"]
    x = cr.tensor(family.point(n))
    taken = cr.func.hessian(valley, sparse=True)
    np.testing.assert_allclose(taken(x).toarray(), dense(family, x), rtol=1e-9, atol=1e-9)
    assert taken.plan.sparse.entries == family.pattern(n).nnz
    assert taken.plan.sparse.colours <= 3
