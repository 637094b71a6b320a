"""Second derivatives in the four orders of forward and reverse mode."""

from __future__ import annotations

import numpy as np
import pytest
from tests.each import by_name

import chainrule as cr
from chainrule.testing import cases, derivatives
from chainrule.testing.case import like


@by_name("case", cases(differentiable=True), fast=2)
def test_second_order_agrees_in_all_orders(case):
    derivatives.second_order_agrees_in_all_orders(case)


def of_spectrum(x):
    """Return eigenvalues, and a function of the matrix, which no phase of its eigenvectors changes."""
    values, vectors = cr.linalg.eigh((x + x.mH) / 2)
    return values, (vectors * values.sin().unsqueeze(-2)) @ vectors.mH


def of_singular(x):
    """Return singular values, and what no phase of their vectors changes."""
    u, s, vh = cr.linalg.svd(x, full_matrices=False)
    return s, (u * s.sin().unsqueeze(-2)) @ vh


SQUARE = [(3, 3), (2, 3, 3)]
WIDE = [(3, 2), (2, 3), (2, 3, 3)]
# In ten of their orders PyTorch's are wrong, or missing, or NaN.
WHERE_PYTORCH_IS_WRONG = {
    "det": (lambda x: (cr.linalg.det(x),), [[s] for s in SQUARE]),
    "slogdet": (lambda x: (cr.linalg.slogdet(x).logabsdet,), [[s] for s in SQUARE]),
    "solve": (lambda a, b: (cr.linalg.solve(a, b),), [[(3, 3), (3,)], [(3, 3), (3, 2)], [(2, 3, 3), (2, 3, 2)]]),
    "layer_norm": (lambda x, w, b: (cr.nn.functional.layer_norm(x, x.shape[-1:], w, b),), [[(3, 4), (4,), (4,)], [(5,)] * 3]),
    "eigh": (of_spectrum, [[s] for s in SQUARE]),
    "svd": (of_singular, [[s] for s in WIDE]),
    "cdist": (lambda x, y: (cr.cdist(x, y),), [[(3, 2), (4, 2)], [(2, 3, 2), (2, 2, 2)], [(30, 3), (31, 3)]]),
    "cdist of order 3": (lambda x, y: (cr.cdist(x, y, p=3.0),), [[(3, 2), (4, 2)]]),
}  # fmt: skip
OF_REAL = ("layer_norm", "cdist", "cdist of order 3")
CASES = [(name, shapes, dtype) for name, (_, each) in WHERE_PYTORCH_IS_WRONG.items() for shapes in each
         for dtype in ("float64", "complex128")[: 1 if name in OF_REAL else 2]]  # fmt: skip


@pytest.mark.parametrize(("name", "shapes", "dtype"), CASES, ids=str)
def test_second_derivatives_where_pytorch_is_wrong_agree_with_differences_of_the_gradient(name, shapes, dtype):
    f, _ = WHERE_PYTORCH_IS_WRONG[name]
    rng = np.random.default_rng([len(name), *shapes[0]])
    drawn = lambda xs: [like(rng, x) for x in xs]
    xs = drawn([np.zeros(shape, dtype) for shape in shapes])
    weights = drawn([out.numpy() for out in f(*map(cr.tensor, xs))])
    assert derivatives.wrong_order(f, xs, drawn(xs), drawn(xs), weights) is None


def test_a_wrong_second_derivative_is_found_in_the_order_that_has_it():
    """PyTorch's det of a singular matrix, say: right once, constant after."""
    once = lambda x: (x * x.detach() * 2 - (x * x).detach(),)
    xs = [np.array([0.7, -1.2])]
    assert derivatives.wrong_order(lambda x: (x * x,), xs, xs, xs, xs) is None
    order, i, _ = derivatives.wrong_order(once, xs, xs, xs, xs)
    assert (order, i) == ("reverse over reverse", 0)
