"""Promotion and dtypes are PyTorch's, for every pair."""

from __future__ import annotations

import itertools
import pickle
from operator import itemgetter

import numpy as np
import pytest
from tests import oracle
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


SPECS = [float, int, bool, complex, str, object, None, "float32", 1]
"""What programs give for a dtype: Python's types of numbers mean the widest; the rest is refused, or stands for the default."""

TAKERS = {
    "tensor": lambda L, d: L.tensor(3, dtype=d), "zeros": lambda L, d: L.zeros(2, dtype=d),
    "full": lambda L, d: L.full((2,), 1, dtype=d), "arange": lambda L, d: L.arange(3, dtype=d),
    "randn": lambda L, d: L.randn(3, dtype=d), "randint": lambda L, d: L.randint(1, (2,), dtype=d),
    "zeros_like": lambda L, d: L.zeros_like(L.ones(2), dtype=d), "as_tensor": lambda L, d: L.as_tensor(L.ones(2), dtype=d),
    "asarray": lambda L, d: L.asarray(L.ones(2), dtype=d), "eye": lambda L, d: L.eye(2, dtype=d),
    "logspace": lambda L, d: L.logspace(0, 1, 3, dtype=d), "tril_indices": lambda L, d: L.tril_indices(2, 2, dtype=d),
    "frombuffer": lambda L, d: L.frombuffer(bytearray(16), dtype=d), "new_zeros": lambda L, d: L.ones(1).new_zeros(2, dtype=d),
    "new_tensor": lambda L, d: L.ones(1).new_tensor(2, dtype=d), "to": lambda L, d: L.ones(2).to(dtype=d),
    "to by position": lambda L, d: L.ones(2).to("cpu", d), "type": lambda L, d: L.ones(2).type(d),
    "view": lambda L, d: L.ones(2).view(d), "sum": lambda L, d: L.tensor([1.5, 2.0]).sum(dtype=d),
    "prod": lambda L, d: L.tensor([1.5, 2.0]).prod(dtype=d), "nansum": lambda L, d: L.tensor([[1.5, 2.0]]).nansum(1, dtype=d),
    "cumsum": lambda L, d: L.tensor([1.5, 2.0]).cumsum(0, dtype=d), "mean": lambda L, d: L.ones(2).mean(dtype=d),
    "softmax": lambda L, d: L.softmax(L.ones(2), 0, dtype=d), "norm": lambda L, d: L.linalg.norm(L.ones(2), dtype=d),
    "promote_types": lambda L, d: L.promote_types(d, L.int8), "can_cast": lambda L, d: L.can_cast(d, L.int8),
    "finfo": lambda L, d: L.finfo(d).dtype, "iinfo": lambda L, d: L.iinfo(d).dtype,
    "set_default_dtype": lambda L, d: L.set_default_dtype(d), "Linear": lambda L, d: L.nn.Linear(2, 2, dtype=d).weight,
    "Module.to": lambda L, d: L.nn.Linear(2, 2).to(dtype=d).weight,
    "Module.type": lambda L, d: L.nn.Linear(2, 2).type(d).weight,
}  # fmt: skip
SAID_OTHERWISE = {
    ("Module.type", "None"), ("finfo", "None"), ("type", "None"),  # given None, PyTorch trips; ours may be given it
    ("nansum", str(complex)),  # refused by either, with another type of error
}  # fmt: skip


def taken(lib, taker, spec):
    """Return the dtype and values of what a function makes with a dtype argument, or its error."""
    found, _ = oracle.outcome(lib, TAKERS[taker], spec)
    if isinstance(found, oracle.Raised):
        return found.kind.__name__
    if taker == "sum":
        return str(found.dtype).partition(".")[2], found.item()
    return str(getattr(found, "dtype", found)).rpartition(".")[2]


@pytest.mark.parametrize("taker", TAKERS)
def test_python_types_as_dtypes_mean_what_they_mean_to_pytorch(torch, taker):
    for spec in SPECS:
        if (taker, str(spec)) not in SAID_OTHERWISE:
            assert taken(cr, taker, spec) == taken(torch, taker, spec), (taker, spec)


def test_python_types_mean_the_widest_whatever_the_default_is():
    cr.set_default_dtype(cr.float16)
    try:
        assert cr.zeros(1, dtype=float).dtype is cr.float64
        assert cr.zeros(1, dtype=complex).dtype is cr.complex128
    finally:
        cr.set_default_dtype(cr.float32)


@pytest.mark.parametrize("name", ["sum", "prod", "nansum", "cumsum", "cumprod"])
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int32", "float16", "float64"])
def test_totals_are_taken_in_the_dtype_asked_for(torch, name, dtype):
    def program(L):
        x = L.tensor([100, 100, 100, 3])
        dim = (0,) if name.startswith("cum") else ()
        return getattr(x, name)(*dim, dtype=getattr(L, dtype))

    oracle.agree(oracle.outcome(cr, program)[0], oracle.outcome(torch, program)[0])


@pytest.mark.parametrize("dtype", ["float64", "int16", "complex64", "int32"])
def test_memory_is_read_as_another_dtype_where_pytorch_reads_it(torch, dtype):
    def program(L, cut):
        return cut(L.arange(6.0).reshape(2, 3)).view(getattr(L, dtype))

    cuts = [
        lambda x: x,
        lambda x: x.t(),
        lambda x: x[:, :2],
        lambda x: x[0, 0],
        lambda x: x[:, :2].contiguous(),
        lambda x: x[:0],
    ]
    for cut in cuts:
        oracle.agree(oracle.outcome(cr, program, cut)[0], oracle.outcome(torch, program, cut)[0])


def test_types_are_given_by_their_older_names(torch):
    specs = [
        lambda L: L.Tensor, lambda L: L.DoubleTensor, lambda L: "torch.LongTensor", lambda L: "DoubleTensor",
        lambda L: "torch.cuda.FloatTensor", lambda L: L.float16, lambda L: np.float32, lambda L: L.ones(1),
    ]  # fmt: skip
    for spec in specs:
        ours, theirs = (taken(lib, "type", spec(lib)) for lib in (cr, torch))
        assert ours == theirs


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int32", "float16", "complex64"])
def test_random_integers_are_of_their_dtype(torch, dtype):
    draws = [
        lambda L, d: L.randint(1000, (2,), dtype=d), lambda L, d: L.randint_like(L.ones(2, dtype=d), high=2),
        lambda L, d: L.randint_like(L.ones(2, dtype=d), -100000, 1), lambda L, d: L.ones(2, dtype=d).random_(-200, 3),
        lambda L, d: L.randint(2.5, (2,), dtype=d), lambda L, d: L.randint(high=2, size=(3,), dtype=d),
    ]  # fmt: skip
    for draw in draws:
        ours, theirs = (oracle.outcome(lib, draw, getattr(lib, dtype))[0] for lib in (cr, torch))
        if isinstance(theirs, oracle.Raised):
            oracle.agree(ours, theirs, full_text="invalid combination" not in theirs.text)
        else:
            assert (ours.dtype.name, ours.shape) == (dtype, tuple(theirs.shape))


@pytest.mark.parametrize(
    "name", ["float8_e4m3fn", "float8_e8m0fnu", "float4_e2m1fn_x2", "complex32", "chalf", "qint8", "quint4x2"]
)
def test_dtypes_that_no_tensor_has_are_values(torch, name):
    ours, theirs = getattr(cr, name), getattr(torch, name)
    assert str(ours) == str(theirs).replace("torch", "chainrule")
    assert (ours.itemsize, ours.is_floating_point, ours.is_complex) == (
        theirs.itemsize, theirs.is_floating_point, theirs.is_complex)  # fmt: skip
    if name[0] != "q":
        assert ours.is_signed == theirs.is_signed
    assert pickle.loads(pickle.dumps(ours)) is ours
    assert cr.ones(1).dtype != ours
    x = cr.ones(1)
    uses = [lambda: cr.ones(1, dtype=ours), lambda: x.to(ours), lambda: x.sum(dtype=ours), lambda: cr.iinfo(ours),
            lambda: cr.set_default_dtype(ours), lambda: x.view(ours), lambda: cr.promote_types(ours, cr.float32)]  # fmt: skip
    for use in uses:
        with pytest.raises(TypeError):
            use()
    if name[:6] == "float8":
        assert (cr.finfo(ours).max, cr.finfo(ours).eps) == (torch.finfo(theirs).max, torch.finfo(theirs).eps)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64"])
def test_products_with_the_logarithm_of_a_number_keep_the_dtype(torch, dtype):
    for f in (lambda lib, x: lib.xlogy(x, 2.0), lambda lib, x: lib.special.xlog1py(x, 2), lambda lib, x: x.xlogy(0.5),
              lambda lib, x: lib.xlogy(2.0, x)):  # fmt: skip
        ours, theirs = (f(lib, lib.ones(2, dtype=getattr(lib, dtype))) for lib in (cr, torch))
        assert str(ours.dtype)[10:] == str(theirs.dtype)[6:]
        np.testing.assert_allclose(ours, theirs, rtol=1e-3)
