"""Dropout keeps the mean, scales what it keeps, and differentiates through the mask it drew."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr

F = cr.nn.functional


def test_elements_are_dropped_or_scaled():
    cr.manual_seed(0)
    x = cr.ones(20_000, requires_grad=True)
    y = F.dropout(x, 0.25)
    values = y.detach().numpy()
    assert set(np.unique(values)) == {np.float32(0), np.float32(1) / np.float32(0.75)}
    assert abs(values.mean() - 1) < 0.02
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), values)


def test_evaluation_leaves_the_input_alone():
    x = cr.ones(3)
    assert F.dropout(x, training=False) is x
    layer = cr.nn.Dropout(0.9)
    assert layer.eval()(x) is x
    assert repr(layer) == "Dropout(p=0.9, inplace=False)"


def test_in_place_and_extreme_probabilities():
    x = cr.ones(5)
    assert F.dropout(x, 1.0, inplace=True) is x
    assert x.tolist() == [0.0] * 5
    assert F.dropout(cr.ones(2), 0.0).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("p", [-0.1, 1.5])
def test_probabilities_outside_the_unit_interval_raise(torch, p):
    for lib in (cr, torch):
        with pytest.raises(ValueError, match="dropout probability has to be between 0 and 1, but got"):
            lib.nn.functional.dropout(lib.ones(2), p)
        with pytest.raises(ValueError, match="dropout probability has to be between 0 and 1, but got"):
            lib.nn.Dropout(p)


@pytest.mark.parametrize("dtype", [cr.float16, cr.float64, cr.complex64])
def test_dtype_stays(dtype):
    assert F.dropout(cr.ones(4, dtype=dtype)).dtype is dtype


def test_forward_mode_carries_the_same_mask():
    x = cr.ones(100)
    y, t = cr.func.jvp(F.dropout, (x,), (x,))
    assert y.tolist() == t.tolist()


AXES = {"dropout": 1, "dropout1d": 3, "dropout2d": 4, "dropout3d": 5, "alpha_dropout": 2, "feature_alpha_dropout": 3}


@pytest.mark.parametrize("name", AXES)
def test_where_nothing_is_dropped_nothing_is_drawn(name):
    f, x, before = getattr(F, name), cr.ones((2,) * AXES[name]), cr.get_rng_state()
    assert f(x, 0.0, True) is x
    assert cr.equal(cr.get_rng_state(), before)
    draws = lambda x: F.dropout(x, 0.0, True)
    assert cr.equal(cr.func.vmap(draws)(x), x)
