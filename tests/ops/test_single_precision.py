"""Kernels of many numbers in single precision agree with SciPy's in double, in every layout."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

import chainrule as cr
from chainrule.ops.pointwise.normal import ndtr

X = np.random.default_rng(0).uniform(-16, 16, (40, 30, 50)).astype(np.float32)
LAYOUTS = {
    "C": X, "permuted": X.transpose(2, 0, 1), "with gaps": X[:, ::2, ::-1], "broadcast": np.broadcast_to(X[:1], X.shape),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_distribution_function_of_the_normal_distribution(layout):
    x = LAYOUTS[layout]
    found = ndtr(x)
    wanted = special.ndtr(x.astype(np.float64))
    near = np.abs(x) < 3
    assert np.abs(found / wanted - 1)[near & (wanted > 0)].max() < 6e-7
    assert np.abs(found / wanted - 1)[wanted > 1e-37].max() < 6e-6
    assert (found[wanted < 1e-46] == 0).all()


def test_distribution_function_at_special_values():
    x = np.zeros(4096, np.float32)
    x[:5] = [np.nan, np.inf, -np.inf, 20, -20]
    found = cr.special.ndtr(cr.tensor(x)).numpy()
    np.testing.assert_array_equal(found[:6], np.float32([np.nan, 1, 0, 1, 0, 0.5]))
