"""Promotion and dtypes are PyTorch's, for every pair."""

from __future__ import annotations

import itertools
from operator import itemgetter

import numpy as np
import pytest
from tests.each import by_name

import chainrule as cr
from chainrule.core.types import dtype as dtypes

NAMES = [
    "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64", "complex64", "complex128",
]  # fmt: skip
PAIRS = list(itertools.product(NAMES, NAMES))


@by_name("pair", PAIRS, itemgetter(0))
def test_promotion_table_is_torchs(torch, pair):
    a, b = pair
    expected = torch.promote_types(getattr(torch, a), getattr(torch, b))
    assert cr.promote_types(getattr(cr, a), getattr(cr, b)).name == str(expected).removeprefix("torch.")


@by_name("pair", PAIRS, itemgetter(0))
def test_can_cast_is_torchs(torch, pair):
    a, b = pair
    assert cr.can_cast(getattr(cr, a), getattr(cr, b)) == torch.can_cast(getattr(torch, a), getattr(torch, b))


OPERANDS = ["scalar", "zero_dim", "vector"]
NUMBERS = [True, 3, 2.5, 1 + 2j]


def expected_name(theirs):
    """Name PyTorch's dtype; its complex32 is complex64 here: NumPy has no smaller complex type."""
    return str(theirs.dtype).removeprefix("torch.").replace("complex32", "complex64")


@pytest.mark.filterwarnings("ignore:ComplexHalf support")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("shape", [(), (2,)])
def test_python_numbers_are_weak(torch, name, number, shape):
    ours = cr.ones(shape, dtype=getattr(cr, name)) * number
    theirs = torch.ones(shape, dtype=getattr(torch, name)) * number
    assert ours.dtype.name == expected_name(theirs)


@by_name("pair", PAIRS, itemgetter(0))
def test_zero_dim_tensors_yield_to_dimensioned_ones(torch, pair):
    a, b = pair
    ours = cr.ones(2, dtype=getattr(cr, a)) * cr.ones((), dtype=getattr(cr, b))
    theirs = torch.ones(2, dtype=getattr(torch, a)) * torch.ones((), dtype=getattr(torch, b))
    assert ours.dtype.name == expected_name(theirs)


@pytest.mark.parametrize("name", NAMES)
def test_float_functions_of_integers_use_the_default_dtype(torch, name):
    ours = cr.sin(cr.ones(2, dtype=getattr(cr, name)))
    theirs = torch.sin(torch.ones(2, dtype=getattr(torch, name)))
    assert ours.dtype.name == expected_name(theirs)


def test_default_dtype_applies_to_floats_and_is_restored():
    cr.set_default_dtype(cr.float64)
    try:
        assert cr.tensor(1.0).dtype is cr.float64
        assert cr.sin(cr.ones(2, dtype=cr.int64)).dtype is cr.float64
        assert cr.tensor(1j).dtype is cr.complex128
    finally:
        cr.set_default_dtype(cr.float32)
    with pytest.raises(TypeError, match="only floating-point types are supported as the default type"):
        cr.set_default_dtype(cr.int64)


def test_mixed_dtypes_get_gradients_in_their_own_dtype():
    x = cr.tensor([1.0, 2.0], dtype=cr.float32, requires_grad=True)
    y = cr.tensor([3.0, 4.0], dtype=cr.float64, requires_grad=True)
    (x * y).sum().backward()
    assert x.grad.dtype is cr.float32
    assert y.grad.dtype is cr.float64
    assert x.grad.tolist() == [3.0, 4.0]


def test_real_input_of_a_complex_computation_gets_a_real_gradient():
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    z = x * cr.tensor([1 + 2j, 3 - 1j])
    z.backward(cr.tensor([1 + 1j, 2j]))
    assert x.grad.dtype is cr.float32
    np.testing.assert_allclose(x.grad.numpy(), [3.0, -2.0])


def test_unknown_dtypes_raise():
    with pytest.raises(TypeError, match="can't convert np.ndarray of type"):
        cr.as_tensor(np.array(["a"]))
    with pytest.raises(TypeError, match="is not a dtype chainrule knows"):
        dtypes.named("float8")


def test_bfloat16_does_not_widen_beside_numbers():
    x = cr.tensor([1.0, 2.0]).to(cr.bfloat16)
    for f in (lambda x: cr.where(x > 1, x, 0.0), lambda x: x.var(), lambda x: cr.hypot(x, x), cr.nn.functional.gelu):
        value, tangent = cr.func.jvp(f, (x,), (x,))
        assert value.dtype is tangent.dtype is cr.func.jacfwd(f)(x).dtype is cr.bfloat16
