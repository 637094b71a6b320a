"""Flat positions select and add what NumPy's own indexing does."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.ops.indexing import places


def drawn(rng):
    """Return an array and an index of arrays, broadcasting ones among them, and slices."""
    shape = tuple(rng.integers(1, 6, rng.integers(1, 5)))
    axes = rng.choice(len(shape), rng.integers(1, len(shape) + 1), replace=False)
    common = tuple(rng.integers(1, 7, rng.integers(0, 3)) * rng.choice([1, 20]))
    index = [places.FULL] * (max(axes) + 1)
    for axis in axes:
        own = tuple([1 if rng.random() < 0.2 else n for n in common])
        index[axis] = rng.integers(-shape[axis], shape[axis], own)
    return rng.standard_normal(shape), tuple(index)


@pytest.mark.parametrize("few", [2, 64])
@pytest.mark.parametrize("stretch", [1, 50, 1 << 18])
def test_places_are_numpys(stretch, few, monkeypatch):
    monkeypatch.setattr(places, "STRETCH", stretch)
    monkeypatch.setattr(places, "_FEW", few)
    rng = np.random.default_rng(stretch + few)
    for _ in range(300):
        x, index = drawn(rng)
        selected = x[index]
        np.testing.assert_array_equal(x.reshape(-1)[places.positions(x.shape, index)], selected)
        np.testing.assert_array_equal(places.take_at(x, index), selected)
        values, wanted = rng.standard_normal(selected.shape), x.copy()
        np.add.at(wanted, index, values)
        np.testing.assert_allclose(places.added(x, index, values), wanted, atol=1e-12)


@pytest.mark.parametrize("d", ["float16", "float32", "float64", "int64", "complex64"])
def test_many_in_few_places_are_added_up(d):
    rng = np.random.default_rng(0)
    i, values = rng.integers(0, 3, 1000), (10 * rng.standard_normal(1000)).astype(d)
    wanted = np.array([values[i == k].astype("complex128").sum() for k in range(3)])
    found = cr.zeros(3, dtype=getattr(cr, d)).index_add(0, cr.tensor(i), cr.tensor(values)).numpy()
    assert found.dtype == d
    np.testing.assert_allclose(found, wanted, rtol=1e-2 if d == "float16" else 1e-5)


@pytest.mark.parametrize("at", [7, -8])
def test_a_place_outside_is_named(at):
    x = cr.zeros(3, 7)
    with pytest.raises(IndexError, match=f"index {at} is out of bounds for dimension 1 with size 7"):
        x[cr.zeros(100, dtype=cr.int64), cr.full((100,), at)]
