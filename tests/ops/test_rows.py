"""What large arrays are reduced, ranked and scanned by gives what NumPy's plain way gives."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import chainrule as cr
from chainrule.ops.comparison import order
from chainrule.ops.reduction import rows


@pytest.mark.parametrize("ufunc", [np.add, np.maximum, np.minimum], ids=lambda ufunc: ufunc.__name__)
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("d", ["float16", "float32", "float64", "complex64", "int64", "bool"])
def test_reductions_of_rows_are_numpys(ufunc, keepdims, d, monkeypatch):
    rng = np.random.default_rng(0)
    for shape in [(500, 1), (700, 10), (30, 7, 20), (60, 32), (60, 33), (3000,), (10, 3000), (2500, 0), (0, 4)]:
        if ufunc is not np.add and 0 in shape:
            continue
        x = (3 * rng.standard_normal(shape)).astype(d)
        if d == "float64" and x.size > 9:
            x.flat[:3] = np.inf, -np.inf, np.nan
            x.flat[-1] = np.inf
        for many, axis in itertools.product((1, rows.MANY), [(0,), (x.ndim - 1,), tuple(range(x.ndim))]):
            if ufunc is not np.add and not all(x.shape[i] for i in axis):
                continue
            monkeypatch.setattr(rows, "MANY", many)
            with np.errstate(invalid="ignore", over="ignore"):
                found, wanted = rows.reduced(ufunc, x, axis, keepdims), ufunc.reduce(x, axis=axis, keepdims=keepdims)
            assert found.dtype == wanted.dtype
            np.testing.assert_allclose(found, wanted, rtol={"float16": 2e-2, "float32": 1e-4, "complex64": 1e-4}.get(d, 1e-12),
                                       atol=1e-2 if d == "float16" else 1e-5)  # fmt: skip


def drawn(rng, d):
    """Return an array with ties, and among floats NaN and infinities."""
    x = (2 * rng.standard_normal(tuple(rng.choice([1, 3, 9, 40], rng.integers(1, 4))))).round(int(rng.integers(0, 3)))
    if d != "int64":
        x[rng.random(x.shape) < rng.choice([0, 0.1])] = np.nan
        x[rng.random(x.shape) < 0.05] = np.inf
    return np.nan_to_num(x).astype(d) if d == "int64" else x.astype(d)


@pytest.mark.parametrize("d", ["float32", "float64", "int64"])
def test_the_nth_element_is_that_of_a_stable_sort(d, monkeypatch):
    monkeypatch.setattr(order, "_MANY", 0)
    rng = np.random.default_rng(0)
    for _ in range(200):
        x = drawn(rng, d)
        for axis in range(x.ndim):
            n = int(rng.integers(0, x.shape[axis]))
            wanted = np.expand_dims(np.take(np.argsort(x, axis, kind="stable"), n, axis), axis)
            np.testing.assert_array_equal(order._nth_index(x, axis, n), wanted)


@pytest.mark.parametrize("d", ["float32", "float64", "int64"])
@pytest.mark.parametrize("shape", [(20000,), (70, 300), (300, 70), (5, 130, 9)])
def test_running_extrema_of_many_are_numpys(shape, d):
    rng = np.random.default_rng(0)
    for spoilt in (False, True):
        x = (100 * rng.standard_normal(shape)).round().astype(d)
        if spoilt and d != "int64":
            x[rng.random(shape) < 0.01] = np.nan
        x[..., -5:] += (1000 * np.arange(min(5, shape[-1]))).astype(d)  # records at the end
        for axis in range(x.ndim):
            at = np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
            for name, ufunc in (("cummax", np.maximum), ("cummin", np.minimum)):
                values, indices = getattr(cr, name)(cr.tensor(x), axis)
                wanted = ufunc.accumulate(x, axis=axis)
                reached = (x == wanted) | (x != x)
                np.testing.assert_array_equal(values.numpy(), wanted)
                np.testing.assert_array_equal(indices.numpy(), np.maximum.accumulate(np.where(reached, at, 0), axis=axis))
