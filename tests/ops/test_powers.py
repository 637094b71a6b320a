"""Powers by products, roots and sizes give what the C library's power gives, for any base and any number of elements."""

from __future__ import annotations

import numpy as np
import pytest
from tests.each import by_name

import chainrule as cr

SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-310, -1e-310, 1.0, -1.0, 5.0, -5.0, 1e30, -1e30, 1e-30, -1e-30]
EXPONENTS = [
    3, 4, 5, 6, -3, -4, -2, -1, -0.5, 0.5, 1.5, 2.5, -1.5, 0, 1, 2, 3.0, 0.3, 101, 1e10 - 1, np.inf, -np.inf, np.nan,
]  # fmt: skip


def bases(dtype, number):
    few = np.array(SPECIAL)
    more = np.random.default_rng(0).normal(size=max(number - len(few), 0)) * 3
    return np.concatenate([few, more]).astype(dtype)


def assert_same(found, wanted, d):
    np.testing.assert_allclose(found, wanted, rtol=8 * np.finfo(d).eps, atol=np.finfo(d).tiny)
    np.testing.assert_array_equal(np.signbit(found)[wanted == wanted], np.signbit(wanted)[wanted == wanted])


@pytest.mark.parametrize("number", [0, 1000])
@pytest.mark.parametrize("d", ["float32", "float64"])
@by_name("y", [y for y in EXPONENTS if abs(y) != 0.5], str)
def test_powers_are_the_c_library_s(y, d, number):
    x = bases(d, number)
    exponent = np.float64(np.dtype(d).type(y))
    with np.errstate(all="ignore"):
        wanted = np.array([np.float64(v) ** exponent for v in x]).astype(d)
    assert_same(cr.pow(cr.tensor(x), y).numpy(), wanted, d)
    assert_same(cr.pow(cr.tensor(x), cr.tensor(y, dtype=getattr(cr, d))).numpy(), wanted, d)


@pytest.mark.parametrize("as_tensor", [False, True])
@pytest.mark.parametrize("number", [0, 1000])
@pytest.mark.parametrize("d", ["float32", "float64"])
@by_name("y", [y for y in EXPONENTS if y < 1e9], str)  # beyond, PyTorch's vectorised power takes odd for even
def test_powers_and_their_derivatives_are_pytorchs(y, d, number, as_tensor):
    torch = pytest.importorskip("torch")
    a = bases(d, number)
    found = []
    for lib in (cr, torch):
        x = lib.tensor(a, requires_grad=True)
        out = x ** (lib.tensor(float(y), dtype=x.dtype) if as_tensor else y)
        out.backward(lib.ones_like(out))
        found.append((out.detach().numpy(), x.grad.numpy()))
    (ours, our_slope), (theirs, their_slope) = found
    normal = (np.abs(a) >= np.finfo(d).tiny) | (a == 0)  # PyTorch's vectorised power of subnormals has fewer digits
    assert_same(ours[normal], theirs[normal], d)
    assert_same(our_slope[normal], their_slope[normal], d)


def _powers(t):
    x, fixed = t.tensor([2.0, 3.0], requires_grad=True), t.tensor([2.0, 3.0])
    raised = [
        x**2, x**0.5, 2**x, x**x, x**fixed, fixed**x, t.pow(2.0, x), x ** t.tensor(2), x.clone().pow_(2), x.clone().pow_(x),
        t.float_power(x, 2), t.float_power(x, fixed), t.float_power(2, x),
    ]  # fmt: skip
    return [y.grad_fn.name() for y in raised]


def test_nodes_say_which_of_base_and_exponent_is_a_number():
    assert _powers(cr) == _powers(pytest.importorskip("torch"))


@pytest.mark.parametrize("d", ["complex64", "complex128"])
@by_name("y", [-0.5, -1, -2, -0.5 - 1j, -1.5 + 1j, 1j, 0.5, 2], str)
def test_complex_powers_of_zero_are_pytorch_s(y, d):
    torch = pytest.importorskip("torch")

    def powers(lib):
        x = lib.tensor([0j, complex(-0.0, 0.0), complex(0.0, -0.0), 1 + 2j], dtype=getattr(lib, d))
        return [x**y, x[0] ** y, x ** lib.tensor(y), x ** lib.full_like(x, y), 0j ** lib.full_like(x, y)]

    for ours, theirs in zip(powers(cr), powers(torch), strict=True):
        a, b = [lib.view_as_real(t).numpy() for lib, t in ((cr, ours), (torch, theirs))]
        np.testing.assert_allclose(a, b, rtol=1e-5 if d == "complex64" else 1e-12)
