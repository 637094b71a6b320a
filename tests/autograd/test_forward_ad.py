"""Forward mode in scopes: values, nesting in itself and with reverse mode, errors."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.autograd import forward_ad as fw


def f(x):
    return (cr.sin(x) * x).sum()


X = np.array([0.3, -1.2, 2.0])
T = np.array([1.0, 0.5, -2.0])
GRADIENT = np.cos(X) * X + np.sin(X)
HESSIAN_T = (2 * np.cos(X) - X * np.sin(X)) * T


def tensors(**kwargs):
    return cr.tensor(X, **kwargs), cr.tensor(T)


def test_dual_carries_its_tangent_through_a_function():
    x, t = tensors()
    with fw.dual_level():
        out = f(fw.make_dual(x, t))
        primal, tangent = fw.unpack_dual(out)
    np.testing.assert_allclose(tangent.item(), GRADIENT @ T)
    np.testing.assert_allclose(primal.item(), np.sum(np.sin(X) * X))


def test_plain_tensors_have_no_tangent():
    with fw.dual_level():
        assert fw.unpack_dual(cr.ones(2)).tangent is None


def test_scopes_nest():
    x, t = tensors()
    with fw.dual_level():
        outer = fw.make_dual(x, t)
        with fw.dual_level():
            inner = f(fw.make_dual(outer, t))
            first = fw.unpack_dual(inner).tangent
        second = fw.unpack_dual(first).tangent
    np.testing.assert_allclose(second.item(), T @ HESSIAN_T)


def test_reverse_over_forward():
    x, t = tensors(requires_grad=True)
    with fw.dual_level():
        tangent = fw.unpack_dual(f(fw.make_dual(x, t))).tangent
    (g,) = cr.autograd.grad(tangent, x)
    np.testing.assert_allclose(g.numpy(), HESSIAN_T)


def test_forward_over_reverse():
    x, t = tensors(requires_grad=True)
    with fw.dual_level():
        d = fw.make_dual(x, t)
        (g,) = cr.autograd.grad(f(d), d, create_graph=True)
        primal, tangent = fw.unpack_dual(g)
    np.testing.assert_allclose(primal.detach().numpy(), GRADIENT)
    np.testing.assert_allclose(tangent.detach().numpy(), HESSIAN_T)


def test_backward_of_a_dual_gives_a_dual_gradient():
    x, t = tensors(requires_grad=True)
    with fw.dual_level():
        f(fw.make_dual(x, t)).backward()
        primal, tangent = fw.unpack_dual(x.grad)
    np.testing.assert_allclose(primal.numpy(), GRADIENT)
    np.testing.assert_allclose(tangent.numpy(), HESSIAN_T)


def test_errors_are_pytorchs():
    with pytest.raises(RuntimeError, match="no level exists, make sure to enter_dual_level\\(\\) first"):
        fw.make_dual(cr.ones(2), cr.ones(2))
    with fw.dual_level():
        with pytest.raises(RuntimeError, match="Trying to set a forward gradient that has a different size"):
            fw.make_dual(cr.ones(2), cr.ones(3))
        with pytest.raises(ValueError, match="Expected primal to be floating point or complex"):
            fw.make_dual(cr.tensor([1, 2]), cr.ones(2))
        with pytest.raises(RuntimeError, match="Expected tangent to have the same dtype"):
            fw.make_dual(cr.ones(2), cr.ones(2, dtype=cr.float64))
    with pytest.raises(RuntimeError, match="Trying to exit a forward AD level"):
        fw.exit_dual_level()


@pytest.mark.parametrize("count", [100_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_many_operations_forward(count):
    x = cr.tensor(0.5)

    def chain(y):
        for _ in range(count):
            y = -y
        return y

    value, tangent = cr.func.jvp(chain, (x,), (cr.tensor(1.0),))
    assert (value.item(), tangent.item()) == (0.5, 1.0)


@pytest.mark.parametrize(
    "pair", [("float64", "float32"), ("complex64", "float32"), ("complex128", "float64"), ("float32", "float16")]
)
def test_a_narrower_tangent_is_computed_from_as_in_pytorch(torch, pair):
    def program(L):
        forward_ad = L.autograd.forward_ad
        with forward_ad.dual_level():
            x = forward_ad.make_dual(L.full((2,), 3.0, dtype=getattr(L, pair[0])), L.ones(2, dtype=getattr(L, pair[1])))
            tangent = forward_ad.unpack_dual(x * x).tangent
            return str(tangent.dtype).rpartition(".")[2], tangent.tolist()

    assert program(cr) == program(torch)


@pytest.mark.parametrize("pair", [("float32", "float64"), ("float32", "complex64")])
def test_a_wider_tangent_is_refused(pair):
    forward_ad = cr.autograd.forward_ad
    with forward_ad.dual_level(), pytest.raises(RuntimeError, match="Expected tangent to have the same dtype as the primal"):
        forward_ad.make_dual(cr.ones(2, dtype=getattr(cr, pair[0])), cr.ones(2, dtype=getattr(cr, pair[1])))
