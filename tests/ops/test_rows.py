"""Reductions along a short last axis are NumPy's, by whichever way."""

from __future__ import annotations

import numpy as np
import pytest

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
        axis = (x.ndim - 1,)
        for many in (1, rows.MANY):
            monkeypatch.setattr(rows, "MANY", many)
            with np.errstate(invalid="ignore", over="ignore"):
                found, wanted = rows.reduced(ufunc, x, axis, keepdims), ufunc.reduce(x, axis=axis, keepdims=keepdims)
            assert found.dtype == wanted.dtype
            np.testing.assert_allclose(found, wanted, rtol={"float16": 2e-2, "float32": 1e-4, "complex64": 1e-4}.get(d, 1e-12),
                                       atol=1e-2 if d == "float16" else 1e-5)  # fmt: skip
