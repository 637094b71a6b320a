"""Creation gives PyTorch's values, dtypes and errors; memory is copied or shared as promised."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.tensor.value import innermost

NAN = float("nan")
# Each is evaluated with L = chainrule and L = torch.
SAME = """
L.tensor(2.5)
L.tensor(3)
L.tensor(True)
L.tensor(1 + 2j)
L.tensor(1e300)
L.tensor(NAN)
L.tensor(-1, dtype=L.uint8)
L.tensor(1.7, dtype=L.int64)
L.tensor(2.5, dtype=L.float16)
L.tensor(2**63, dtype=L.float32)
L.tensor(1e300, dtype=L.float16)
L.tensor([])
L.tensor([[], []])
L.tensor([1, 2, 3])
L.tensor([1.5, 2])
L.tensor([True, 2, 3.5])
L.tensor([1, 2.5, 3j])
L.tensor([True, False])
L.tensor([[1, 2], [3, 4]])
L.tensor(((1, 2), [3, 4.0]))
L.tensor(range(4))
L.tensor(bytearray(b"ab"))
L.tensor([np.float64(1.0), 2.0])
L.tensor([np.float32(1.0), 2])
L.tensor([np.int32(1), 2])
L.tensor([np.int32(1), np.float16(2)])
L.tensor(np.float64(3))
L.tensor(np.float64(3), dtype=L.int32)
L.tensor(np.arange(3, dtype=np.int16))
L.tensor(np.array(2.5))
L.tensor(np.ones((2, 3), np.float32), dtype=L.float64)
L.tensor(np.array([300]), dtype=L.uint8)
L.tensor([L.tensor(1.0), L.tensor(2.0, dtype=L.float64)])
L.as_tensor([1, 2], dtype=L.float64)
L.as_tensor(np.ones(2))
L.as_tensor(np.ones(2), dtype=L.float32)
L.asarray(np.float64(3))
L.asarray([1, 2.5])
L.asarray(bytearray(b"abcd"))
L.zeros(2, 3)
L.zeros((2, 3))
L.zeros([2, 3])
L.zeros(())
L.zeros(0, 2)
L.zeros(size=(2,))
L.zeros(2, dtype=int)
L.zeros(2, dtype=L.complex64)
L.ones(2, dtype=L.bool)
L.full((2,), True)
L.full((2,), 3)
L.full((2,), 3.5)
L.full((2,), 3.5j)
L.full((), 3.0)
L.full((2,), 3.5, dtype=L.int32)
L.full((2,), L.tensor(2.5))
L.eye(3)
L.eye(2, 3)
L.eye(0)
L.arange(5)
L.arange(5.0)
L.arange(1, 2.5, 0.5)
L.arange(5, 1, -1)
L.arange(0, 1, 0.1)
L.arange(5, dtype=L.float16)
L.arange(0.5, 3, dtype=L.int64)
L.arange(L.tensor(3))
L.arange(True)
L.arange(start=1, end=4)
L.arange(3, 3)
L.linspace(0, 1, 5)
L.linspace(-3, 10, 7)
L.linspace(0, 1, 0)
L.linspace(0, 1, 1)
L.linspace(0, 10, 4, dtype=L.int64)
L.linspace(0, 1 + 1j, 3)
L.logspace(0, 2, 3)
L.logspace(0, 2, 3, base=2, dtype=L.int64)
L.scalar_tensor(3)
L.zeros_like(L.ones(2, 3))
L.ones_like(L.tensor([1, 2]), dtype=L.float64)
L.full_like(L.ones(2), 7)
L.ones(2).new_tensor([1, 2])
L.ones(2).new_zeros(2, 3, dtype=L.int8)
L.ones(2).new_ones((2,), requires_grad=True)
L.ones(2, dtype=L.int64).new_full((2,), 3.5)
L.tril_indices(3, 3, -1)
L.triu_indices(2, 4, 1)
L.tril_indices(0, 3)
L.tensor([1.0], requires_grad=True)
L.ones(2, requires_grad=True)
""".strip().splitlines()

ERRORS = """
L.tensor(300, dtype=L.uint8)
L.tensor([300], dtype=L.uint8)
L.tensor(NAN, dtype=L.int64)
L.tensor(1 + 2j, dtype=L.float32)
L.tensor([1 + 2j], dtype=L.float32)
L.tensor(2**70)
L.tensor([2**63])
L.tensor([[1, 2], [3]])
L.tensor([[1, 2], 3])
L.tensor([[1, 2], [3, 4, 5]])
L.tensor("abc")
L.tensor(b"abc")
L.tensor(["abc"])
L.tensor({})
L.tensor(None)
L.tensor([None])
L.tensor([None], dtype=L.float32)
L.tensor({1, 2})
L.tensor([L.ones(2), L.ones(2)])
L.tensor(1, requires_grad=True)
L.zeros()
L.zeros(2.0)
L.full(2, 3)
L.full((2,), L.ones(1, requires_grad=True)[0])
L.ones(2).new_full((2,), 3j)
L.eye(-1)
L.eye(2, -1)
L.arange(5, 1)
L.arange(0, 5, 0)
L.arange(0, float("inf"))
L.arange(0, NAN)
L.arange(3, dtype=L.bool)
L.arange(3, dtype=L.complex64)
L.arange(1, 3, requires_grad=True)
L.linspace(0, 1, -1)
L.linspace(L.zeros(2), 1, 3)
L.logspace(0, 2, -3)
L.zeros_like(3)
L.tril_indices(-1, 3)
L.from_numpy([1])
L.from_numpy(np.array(["a"]))
L.from_numpy(np.array([object()]))
L.from_numpy(np.arange(3)[::-1])
L.from_numpy(np.arange(3).astype(">i4"))
L.as_tensor(np.arange(3)[::-1])
L.asarray([1, 2], copy=False)
L.asarray(np.ones(2), dtype=L.float32, copy=False)
L.empty_strided((2, 3), (1,))
L.empty_permuted((2, 3, 4), (0, 2))
L.is_floating_point(1.0)
L.iinfo(L.bool)
""".strip().splitlines()


def run(text, library):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return eval(text, {"L": library, "np": np, "NAN": NAN})


@pytest.mark.parametrize("text", SAME)
def test_creation_equals_torch(text):
    torch = pytest.importorskip("torch")
    ours, theirs = run(text, cr), run(text, torch)
    assert ours.dtype.name == str(theirs.dtype)[6:]
    assert tuple(ours.shape) == tuple(theirs.shape)
    assert ours.requires_grad == theirs.requires_grad
    np.testing.assert_allclose(np.asarray(innermost(ours)), theirs.detach().numpy(), rtol=1e-6)


@pytest.mark.parametrize("text", ERRORS)
def test_errors_equal_torch(text):
    torch = pytest.importorskip("torch")
    with pytest.raises(Exception) as theirs:
        run(text, torch)
    with pytest.raises(Exception) as ours:
        run(text, cr)
    assert ours.type is theirs.type
    words = str(theirs.value).replace("torch.", "chainrule.").split()[:4]
    assert str(ours.value).split()[: len(words)] == words


@pytest.mark.parametrize("make", ["tensor([1.0])", "zeros(2)", "full((2,), 1.0)", "arange(3)", "eye(2)", "as_tensor([1])"])
def test_only_the_cpu(make):
    with pytest.raises(AssertionError, match="on the CPU only"):
        eval(f"cr.{make[:-1]}, device='cuda')")
    assert eval(f"cr.{make[:-1]}, device='cpu')").device == cr.device("cpu")


def test_tensor_copies_and_from_numpy_shares():
    a = np.array([1.0, 2.0])
    copied, shared, viewed = cr.tensor(a), cr.from_numpy(a), cr.as_tensor(a)
    a[0] = 9
    assert copied.tolist() == [1, 2]
    assert shared.tolist() == viewed.tolist() == [9, 2]
    with cr.no_grad():
        shared.mul_(2)
    assert a.tolist() == [18, 4]
    assert not np.shares_memory(cr.asarray(a, copy=True).numpy(), a)


def test_from_numpy_shares_a_0d_array():
    a = np.array(1.5)
    t = cr.from_numpy(a)
    a[...] = 4
    assert t.item() == 4


def test_a_tensor_is_copied_with_a_warning():
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    with pytest.warns(UserWarning, match="To copy construct from a tensor"):
        y = cr.tensor(x)
    assert not y.requires_grad
    assert y.is_leaf
    assert not np.shares_memory(y.numpy(), x.detach().numpy())


def test_numbers_taken_from_recorded_tensors_warn():
    x = cr.tensor(1.0, requires_grad=True)
    with pytest.warns(UserWarning, match="Converting a tensor with requires_grad=True"):
        assert cr.tensor([x, 2.0]).tolist() == [1, 2]


def test_as_tensor_keeps_identity_and_history():
    x = cr.tensor([1.0], requires_grad=True)
    assert cr.as_tensor(x) is x
    y = cr.as_tensor(x, dtype=cr.float64)
    y.sum().backward()
    assert x.grad.tolist() == [1]


def test_asarray_follows_requires_grad():
    x = cr.tensor([1.0], requires_grad=True)
    assert cr.asarray(x) is x
    assert not cr.asarray(x, requires_grad=False).requires_grad
    assert cr.asarray([1.0], requires_grad=True).requires_grad


def test_default_dtype_decides():
    try:
        cr.set_default_dtype(cr.float64)
        made = [cr.tensor(1.0), cr.tensor([1, 2.0]), cr.zeros(1), cr.arange(1.0), cr.linspace(0, 1, 2), cr.full((1,), 1.0)]
        assert {t.dtype for t in made} == {cr.float64}
        assert cr.tensor(1j).dtype is cr.complex128
    finally:
        cr.set_default_dtype(cr.float32)


def test_strides():
    assert cr.empty_strided((2, 3), (1, 2)).stride() == (1, 2)
    assert cr.empty_permuted((2, 3, 4), (0, 2, 1)).stride() == (12, 1, 3)
    assert cr.zeros_like(cr.from_numpy(np.ones((2, 3)).T)).stride() == (1, 3)
    assert cr.ones(2).new_empty_strided((2, 2), (1, 2)).dtype is cr.float32


def test_creation_in_transforms_gives_constants():
    def f(x):
        return (cr.ones_like(x) * x + cr.zeros_like(x)).sum()

    x = cr.tensor([1.0, 2.0])
    assert cr.func.grad(f)(x).tolist() == [1, 1]
    assert cr.func.jvp(f, (x,), (x,))[1].item() == 3


@pytest.mark.parametrize("name", ["float16", "float32", "float64", "bfloat16", "complex64"])
def test_finfo_equals_torch(name):
    torch = pytest.importorskip("torch")
    ours, theirs = cr.finfo(getattr(cr, name)), torch.finfo(getattr(torch, name))
    assert repr(ours) == repr(theirs)
    for key in ("bits", "eps", "max", "min", "tiny", "smallest_normal", "resolution", "dtype"):
        assert getattr(ours, key) == getattr(theirs, key)


@pytest.mark.parametrize("name", ["uint8", "int8", "int16", "int32", "int64"])
def test_iinfo_equals_torch(name):
    torch = pytest.importorskip("torch")
    assert repr(cr.iinfo(getattr(cr, name))) == repr(torch.iinfo(getattr(torch, name)))


def test_result_type_equals_torch():
    torch = pytest.importorskip("torch")
    for text in ("(L.tensor([1]), 1.0)", "(1, 2.5)", "(L.tensor([1.0]), L.tensor(1.0, dtype=L.float64))", "(L.tensor(1), 2j)"):
        assert str(run(f"L.result_type{text}", cr))[10:] == str(run(f"L.result_type{text}", torch))[6:]


def nested(depth, kind=list):
    value = 1.0
    for _ in range(depth):
        value = kind((value,))
    return value


@pytest.mark.parametrize("depth", [65, 900, 3_000, 100_000])
@pytest.mark.parametrize("dtype", [None, cr.float64])
def test_lists_nested_too_deep(depth, dtype):
    data = nested(depth)
    for make in (cr.tensor, cr.as_tensor, cr.asarray):
        with pytest.raises(ValueError, match="too many dimensions 'list'"):
            make(data, dtype=dtype)
    with pytest.raises(ValueError, match="too many dimensions 'tuple'"):
        cr.tensor(nested(depth, kind=tuple))


def test_a_list_of_as_many_dims_as_there_may_be():
    assert cr.tensor(nested(64)).shape == (1,) * 64


def test_a_list_that_holds_itself():
    data = []
    data.append(data)
    with pytest.raises(ValueError, match="too many dimensions 'list'"):
        cr.tensor(data)


FLAGGED = {
    "tensor": lambda flag: cr.tensor([1.0], requires_grad=flag),
    "a number's": lambda flag: cr.tensor(1.0, requires_grad=flag),
    "asarray": lambda flag: cr.asarray([1.0], requires_grad=flag),
    "ones": lambda flag: cr.ones(2, requires_grad=flag),
    "full": lambda flag: cr.full((2,), 1.0, requires_grad=flag),
    "eye": lambda flag: cr.eye(2, requires_grad=flag),
    "arange": lambda flag: cr.arange(2.0, requires_grad=flag),
    "linspace": lambda flag: cr.linspace(0, 1, 3, requires_grad=flag),
    "empty_strided": lambda flag: cr.empty_strided((2,), (1,), requires_grad=flag),
    "zeros_like": lambda flag: cr.zeros_like(cr.ones(2), requires_grad=flag),
    "new_ones": lambda flag: cr.ones(1).new_ones(2, requires_grad=flag),
    "new_tensor": lambda flag: cr.ones(1).new_tensor([2.0], requires_grad=flag),
    "rand": lambda flag: cr.rand(2, requires_grad=flag),
    "randn_like": lambda flag: cr.randn_like(cr.ones(2), requires_grad=flag),
    "normal": lambda flag: cr.normal(0.0, 1.0, (2,), requires_grad=flag),
    "requires_grad_": lambda flag: cr.ones(2).requires_grad_(flag),
    "Parameter": lambda flag: cr.nn.Parameter(cr.ones(2), requires_grad=flag),
    "Module": lambda flag: cr.nn.Linear(1, 1).requires_grad_(flag).weight,
}


@pytest.mark.parametrize("name", FLAGGED)
def test_requires_grad_is_a_bool(name):
    for wrong in ("a", "", 1, 0, np.True_, [True]):
        with pytest.raises(TypeError, match=rf"must be bool, not {type(wrong).__name__}"):
            FLAGGED[name](wrong)
    for flag in (True, False):
        assert FLAGGED[name](flag).requires_grad is flag


def test_the_attribute_requires_grad_is_a_bool():
    x = cr.ones(2)
    for wrong in ("a", 1, None):
        with pytest.raises(RuntimeError, match="requires_grad must be a bool"):
            x.requires_grad = wrong
    assert x.requires_grad is False
