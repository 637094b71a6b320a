"""Leaves made inside of a transform belong to it: gradients in them can be differentiated by the transform."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.func import grad, jvp, vmap

W = np.array([0.3, 1.2])


def by_factory():
    return cr.ones(2, dtype=cr.float64, requires_grad=True)


def by_method():
    return cr.ones(2, dtype=cr.float64).requires_grad_()


def by_attribute():
    y = cr.ones(2, dtype=cr.float64)
    y.requires_grad = True
    return y


def by_copy():
    return cr.tensor([1.0, 1.0], dtype=cr.float64).clone().detach().requires_grad_()


MAKERS = [by_factory, by_method, by_attribute, by_copy]


def slope(make, w):
    y = make()
    return cr.autograd.grad((y * y * w).sum(), y, create_graph=True)[0].sum()


@pytest.mark.parametrize("make", MAKERS, ids=lambda f: f.__name__)
def test_the_transform_sees_gradients_in_a_leaf_made_inside(make, torch):
    w = cr.tensor(W)
    np.testing.assert_allclose(grad(lambda w: slope(make, w))(w).numpy(), [2, 2])
    np.testing.assert_allclose(jvp(lambda w: slope(make, w), (w,), (w,))[1].detach().numpy(), 2 * W.sum())
    second = grad(lambda w: (grad(lambda w: slope(make, w) * w.sum())(w) ** 2).sum())(w)
    f = lambda a: ((2 * (a.sum() + a.sum())) * np.ones(2)) @ ((2 * (a.sum() + a.sum())) * np.ones(2))
    numeric = [(f(W + 1e-6 * e) - f(W - 1e-6 * e)) / 2e-6 for e in np.eye(2)]
    np.testing.assert_allclose(second.numpy(), numeric, rtol=1e-6)


def test_leaves_made_in_a_vmap_inside():
    rows = cr.tensor(np.arange(6.0).reshape(3, 2))
    f = lambda w: vmap(lambda row: slope(by_method, w * row))(rows).sum()
    np.testing.assert_allclose(grad(f)(cr.tensor(W)).numpy(), 2 * rows.numpy().sum(0))


def test_a_number_is_a_leaf_too():
    def f(w):
        s = cr.tensor(2.0, requires_grad=True)
        (g,) = cr.autograd.grad(s**3 * w.sum(), s, create_graph=True)
        return g

    np.testing.assert_allclose(grad(f)(cr.tensor(W, dtype=cr.float32)).numpy(), [12, 12])


def test_leaves_from_outside_stay_outside():
    y = cr.ones(2, dtype=cr.float64, requires_grad=True)
    g = grad(lambda w: (w * y).sum())(cr.tensor(W))
    assert type(y) is cr.Tensor
    g.sum().backward()
    np.testing.assert_allclose(y.grad.numpy(), [1, 1])
