"""Unary functions where the derivative does not exist or jumps: the values that PyTorch documents and gives."""

from __future__ import annotations

from math import inf, nan, pi
from operator import itemgetter

import numpy as np
from tests.each import by_name

import chainrule as cr
from chainrule import func
from chainrule.testing.compare import gap

# name, point, value, derivative
REAL = [
    ("abs", 0.0, 0.0, 0.0), ("abs", -0.0, 0.0, 0.0), ("abs", -inf, inf, -1.0), ("abs", nan, nan, 0.0),
    ("sign", 0.0, 0.0, 0.0), ("sign", -3.0, -1.0, 0.0), ("sign", nan, 0.0, 0.0),
    ("sgn", 0.0, 0.0, 0.0), ("sgn", 2.0, 1.0, 0.0),
    ("angle", 0.0, 0.0, 0.0), ("angle", -0.0, 0.0, 0.0), ("angle", -2.0, pi, 0.0), ("angle", nan, nan, 0.0),
    ("sqrt", 0.0, 0.0, inf), ("sqrt", -1.0, nan, nan), ("sqrt", inf, inf, 0.0),
    ("rsqrt", 0.0, inf, -inf), ("rsqrt", -1.0, nan, nan),
    ("log", 0.0, -inf, inf), ("log2", 0.0, -inf, inf), ("log10", 0.0, -inf, inf), ("log1p", -1.0, -inf, inf),
    ("reciprocal", 0.0, inf, -inf), ("square", 0.0, 0.0, 0.0),
    ("exp", inf, inf, inf), ("exp", -inf, 0.0, 0.0), ("expm1", -inf, -1.0, 0.0),
    ("asin", 1.0, pi / 2, inf), ("asin", -1.0, -pi / 2, inf), ("acos", 1.0, 0.0, -inf), ("acos", -1.0, pi, -inf),
    ("acos", 2.0, nan, nan), ("acosh", 1.0, 0.0, inf), ("acosh", 0.5, nan, nan),
    ("atanh", 1.0, inf, inf), ("atanh", -1.0, -inf, inf),
    ("sinc", 0.0, 1.0, 0.0), ("sinc", 1e-300, 1.0, 0.0),
    ("ceil", 1.0, 1.0, 0.0), ("floor", 1.0, 1.0, 0.0), ("floor", nan, nan, 0.0), ("trunc", -2.0, -2.0, 0.0),
    ("fix", 2.0, 2.0, 0.0), ("round", 0.5, 0.0, 0.0), ("round", 1.5, 2.0, 0.0), ("round", 2.0, 2.0, 0.0),
    ("frac", 1.0, 0.0, 1.0), ("frac", -1.25, -0.25, 1.0), ("frac", inf, nan, 1.0),
    ("nan_to_num", nan, 0.0, 0.0), ("nan_to_num", inf, np.finfo("f8").max, 0.0),
    ("nan_to_num", -inf, -np.finfo("f8").max, 0.0), ("nan_to_num", 2.0, 2.0, 1.0),
    ("sigmoid", 1000.0, 1.0, 0.0), ("sigmoid", -1000.0, 0.0, 0.0), ("sigmoid", 0.0, 0.5, 0.25),
    ("logit", 0.0, -inf, inf), ("logit", 1.0, inf, inf), ("logit", -1.0, nan, nan), ("logit", 2.0, nan, nan),
    ("erfinv", 1.0, inf, inf), ("erfinv", -1.0, -inf, inf), ("erfinv", 2.0, nan, nan),
    ("lgamma", 0.0, inf, -inf), ("lgamma", -1.0, inf, nan), ("digamma", 0.0, -inf, inf), ("digamma", -0.0, inf, inf),
    ("i0", 0.0, 1.0, 0.0), ("tan", 0.0, 0.0, 1.0),
]  # fmt: skip

# name, point, value, gradient of the real part (dL/dRe + i dL/dIm)
COMPLEX = [
    ("abs", 0j, 0.0, 0j), ("abs", 3 + 4j, 5.0, 0.6 + 0.8j),
    ("angle", 0j, 0.0, 0j), ("angle", -1 + 0j, pi, -1j), ("angle", 2j, pi / 2, -0.5 + 0j),
    ("sgn", 0j, 0j, 0j), ("sgn", -2 + 0j, -1 + 0j, 0j), ("sgn", 2j, 1j, 0.5 + 0j),
    ("sqrt", -1 + 0j, 1j, 0.5j), ("log", -1 + 0j, pi * 1j, -1 + 0j), ("rsqrt", -1 + 0j, -1j, 0.5j),
    ("square", 0j, 0j, 0j), ("sinc", 0j, 1 + 0j, 0j),
]  # fmt: skip

# name, point, second derivative
SECOND = [
    ("abs", 0.0, 0.0), ("sinc", 0.0, -(pi**2) / 3), ("i0", 0.0, 0.5), ("angle", 0j, 0j), ("sgn", 0j, 0j), ("abs", 0j, 0j),
]  # fmt: skip


def gradient(name, at):
    """Return value and gradient of the real part, by reverse mode."""
    x = cr.tensor(at, dtype=cr.complex128 if isinstance(at, complex) else cr.float64, requires_grad=True)
    y = getattr(cr, name)(x)
    y.backward(cr.ones_like(y))
    return y.item(), x.grad.item()


def same(found, expected):
    return gap(np.asarray(found), np.asarray(expected), 1e-12) is None


@by_name("row", REAL + COMPLEX, itemgetter(0))
def test_value_and_gradient(row):
    name, at, value, derivative = row
    found = gradient(name, at)
    assert same(found[0], value)
    assert same(found[1], derivative)


@by_name("row", REAL, itemgetter(0))
def test_forward_mode_gives_the_same(row):
    name, at, _, derivative = row
    x = cr.tensor(at, dtype=cr.float64)
    _, tangent = func.jvp(getattr(cr, name), (x,), (cr.ones_like(x),))
    assert same(tangent.item(), derivative)


@by_name("row", REAL, itemgetter(0))
def test_arrays_give_what_numbers_give(row):
    name, at, value, derivative = row
    x = cr.tensor([at, at], dtype=cr.float64, requires_grad=True)
    y = getattr(cr, name)(x)
    y.backward(cr.ones_like(y), create_graph=False)
    assert same(y.tolist(), [value, value])
    assert same(x.grad.tolist(), [derivative, derivative])


@by_name("row", SECOND, itemgetter(0))
def test_second_derivative(row):
    name, at, second = row
    x = cr.tensor(at, dtype=cr.complex128 if isinstance(at, complex) else cr.float64, requires_grad=True)
    y = getattr(cr, name)(x)
    (g,) = cr.autograd.grad(y, x, cr.ones_like(y), create_graph=True)
    (h,) = cr.autograd.grad(g, x, cr.ones_like(g))
    assert same(h.item(), second)


def test_sinc_has_its_derivatives_at_0_to_every_order():
    x = cr.tensor(0.0, dtype=cr.float64, requires_grad=True)
    found, y = [], cr.sinc(x)
    for _ in range(6):
        (y,) = cr.autograd.grad(y, x, create_graph=True)
        found.append(y.item())
    assert same(found, [0, -(pi**2) / 3, 0, pi**4 / 5, 0, -(pi**6) / 7])


@by_name("row", REAL + COMPLEX, itemgetter(0))
def test_value_and_gradient_are_pytorchs(torch, row):
    name, at, _, _ = row
    x = torch.tensor(at, dtype=torch.complex128 if isinstance(at, complex) else torch.float64, requires_grad=True)
    y = getattr(torch, name)(x)
    y.backward(torch.ones_like(y))
    value, derivative = gradient(name, at)
    assert same(value, y.item())
    assert same(derivative, x.grad.item())
