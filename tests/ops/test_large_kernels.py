"""Kernels of many numbers take other ways than those of few: they agree with SciPy and NumPy, in every layout."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

import chainrule as cr
from chainrule.ops.indexing.select import _where as where
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


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_choosing_between_numbers_and_zero_is_exact(dtype):
    x = X.astype(dtype)
    x.flat[:4] = [np.nan, np.inf, -np.inf, -0.0]
    condition = np.random.default_rng(1).random(x.shape) < 0.5
    for y, c in ((x, condition), (x.T, condition.T), (x[:, ::-1], condition), (x[:1], condition), (x, condition[..., :1])):
        for found, wanted in (
            (where(c, y, 0), np.where(c, y, 0)), (where(c, 0, y), np.where(c, 0, y)),
            (where(c.astype(np.int64) * 2, y, 0), np.where(c, y, 0)),
        ):  # fmt: skip
            assert (found.dtype, found.strides) == (wanted.dtype, wanted.strides)
            assert found.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gelu_and_its_slope(layout):
    x = LAYOUTS[layout]
    t = cr.from_numpy(x.copy("K")).requires_grad_()
    y = cr.nn.functional.gelu(t)
    (slope,) = cr.autograd.grad(y.sum(), t)
    wide = x.astype(np.float64)
    phi, density = special.ndtr(wide), np.exp(-(wide**2) / 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(y.detach().numpy(), wide * phi, rtol=6e-6, atol=1e-37)
    np.testing.assert_allclose(slope.numpy(), phi + wide * density, rtol=6e-6, atol=3e-7)
