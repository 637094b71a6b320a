"""`jvp`, `vjp` and `grad` nest in any order without perturbation confusion."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import chainrule as cr
from chainrule.func import grad, grad_and_value, jvp, vjp


def forward(f):
    return lambda x: jvp(f, (x,), (cr.ones_like(x),))[1]


def reverse(f):
    return grad(f)


D = {"forward": forward, "reverse": reverse}


@pytest.mark.parametrize("kinds", list(itertools.product(D, repeat=4)), ids="-".join)
def test_fourth_derivative_in_every_order_of_modes(kinds):
    f = lambda x: cr.exp(x * 2) * x
    for kind in kinds:
        f = D[kind](f)
    x = 0.7
    expected = (16 * x + 32) * np.exp(2 * x)
    np.testing.assert_allclose(f(cr.tensor(x, dtype=cr.float64)).item(), expected, rtol=1e-12)


@pytest.mark.parametrize(("outer", "inner"), list(itertools.product(D, repeat=2)))
def test_no_perturbation_confusion(outer, inner):
    x = cr.tensor(3.0)
    assert D[outer](lambda x: x * D[inner](lambda y: x + y)(cr.tensor(1.0)))(x).item() == 1.0
    assert D[outer](lambda x: x * D[inner](lambda y: x * y)(cr.tensor(2.0)))(x).item() == 6.0


def test_functions_that_return_functions_keep_their_levels():
    def shifted(f):
        return lambda y: lambda x: f(x + y)

    # d/dy of (the derivative of sin shifted by y) at x: -sin(x + y)
    d = forward(lambda y: forward(shifted(cr.sin)(y))(cr.tensor(0.5)))(cr.tensor(0.25))
    np.testing.assert_allclose(d.item(), -np.sin(0.75), rtol=1e-6)


@pytest.mark.parametrize("mode", list(D))
def test_transforms_nest_with_the_ambient_graph(mode):
    w = cr.tensor(2.0, dtype=cr.float64, requires_grad=True)
    slope = D[mode](lambda x: cr.sin(w * x))(cr.tensor(0.5, dtype=cr.float64))
    slope.backward()  # d/dw (w cos(w x)) = cos(w x) - w x sin(w x)
    np.testing.assert_allclose(w.grad.item(), np.cos(1.0) - np.sin(1.0), rtol=1e-12)


@pytest.mark.parametrize("mode", list(D))
def test_autograd_grad_inside_a_transform(mode):
    def f(x):
        x = x.clone().requires_grad_() if not x.requires_grad else x
        return cr.autograd.grad(cr.sin(x) * x, x, create_graph=True)[0]

    d = D[mode](f)(cr.tensor(0.5, dtype=cr.float64))
    np.testing.assert_allclose(d.item(), 2 * np.cos(0.5) - 0.5 * np.sin(0.5), rtol=1e-12)


def test_pytrees_and_aux():
    def f(p, scale):
        return {"y": p["a"] * p["b"][0] * scale}, p["a"] + 1

    p = {"a": cr.tensor(2.0), "b": [cr.tensor(3.0)]}
    out, dot, aux = jvp(lambda p: f(p, 2.0), (p,), ({"a": cr.tensor(1.0), "b": [cr.tensor(0.0)]},), has_aux=True)
    assert (out["y"].item(), dot["y"].item(), aux.item()) == (12.0, 6.0, 3.0)
    out, pull, aux = vjp(lambda p: f(p, 2.0), p, has_aux=True)
    (g,) = pull({"y": cr.tensor(1.0)})
    assert (g["a"].item(), g["b"][0].item(), aux.item()) == (6.0, 4.0, 3.0)
    assert pull({"y": cr.tensor(2.0)})[0]["a"].item() == 12.0


def test_argnums_and_value():
    f = lambda x, y: x * x * y
    gradients, value = grad_and_value(f, argnums=(0, 1))(cr.tensor(2.0), cr.tensor(3.0))
    assert [g.item() for g in gradients] == [12.0, 4.0]
    assert value.item() == 12.0
    assert grad(f, argnums=1)(cr.tensor(2.0), cr.tensor(3.0)).item() == 4.0


def test_errors():
    with pytest.raises(RuntimeError, match=r"Expected f\(\*args\) to return a scalar Tensor, got tensor with 1 dims"):
        grad(lambda x: x * 2)(cr.ones(2))
    with pytest.raises(RuntimeError, match="Got argnum=1, but only 1 positional inputs"):
        grad(lambda x: x, argnums=1)(cr.tensor(1.0))
    with pytest.raises(RuntimeError, match="Expected primals and tangents to have the same python structure"):
        jvp(lambda x: x, (cr.ones(2),), (cr.ones(2), cr.ones(2)))


def test_complex_conventions_are_pytorchs():
    z = cr.tensor(1 + 2j, dtype=cr.complex128)
    _, pull = vjp(lambda z: z * z, z)
    assert pull(cr.tensor(1 + 0j, dtype=cr.complex128))[0].item() == 2 - 4j
    assert jvp(lambda z: z * z, (z,), (cr.tensor(1 + 0j, dtype=cr.complex128),))[1].item() == 2 + 4j
    w = z.clone().requires_grad_()
    (w.abs() ** 2).backward()
    np.testing.assert_allclose(w.grad.item(), 2 + 4j)
