"""Products of matrices and vectors under PyTorch's names."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.call.asking import UNASKED, asked_here, asking
from chainrule.core.mode.state import modes
from chainrule.core.op.samples import Sample
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import is_batched_at
from chainrule.core.types import dtype as dtypes
from chainrule.core.types import shape as shapes
from chainrule.core.write.out import into
from chainrule.functions.adapt import public
from chainrule.ops.linalg import contract as ops
from chainrule.ops.pointwise.arithmetic import mul
from chainrule.ops.shaping.shape import reshape, squeeze, transpose, unsqueeze

__all__ = ["bmm", "dot", "ger", "matmul", "mm", "mv", "outer", "vdot"]

C_NAMES = {
    "bool": "bool", "uint8": "unsigned char", "int8": "signed char", "int16": "short int", "int32": "int", "int64": "long int",
    "float16": "c10::Half", "bfloat16": "c10::BFloat16", "float32": "float", "float64": "double",
    "complex64": "c10::complex<float>", "complex128": "c10::complex<double>",
}  # fmt: skip


# -- arguments ---------------------------------------------------------------------------------------------------------


def operand(value: Any, function: str, name: str, position: int) -> Tensor:
    """Return the tensor of an argument that must be a tensor or an array."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray):
        dtypes.of(value.dtype)
        return wrap(value)
    raise TypeError(f"{function}(): argument '{name}' (position {position}) must be Tensor, not {type(value).__name__}")


def are_plain_matrices(x: Any, y: Any) -> bool:
    """Tell at little cost whether two operands are matrices that need no other check (the others cost 1.5 µs)."""
    if x.__class__ is not Tensor or y.__class__ is not Tensor:
        return False
    a, b = x._data, y._data
    return a.ndim == 2 == b.ndim and a.dtype is b.dtype and a.shape[1] == b.shape[0] and a.dtype.kind != "b"


def check_axes(name: str, x: Tensor, y: Tensor, n: int, m: int) -> None:
    """Raise PyTorch's error for examples of a `vmap` that are no operands of a product of `n` and `m` axes."""
    of_examples = any([is_batched_at(z, call.level) for z in (x, y) for call in modes().mapped])
    if of_examples and (x.ndim, y.ndim) != (n, m):
        if name == "dot":
            raise RuntimeError("Got wrong shapes for dot")
        raise RuntimeError(
            f"Shape mismatch: Got incorrect dims for {name}(a, b). a has dim {x.ndim}and b has dim {y.ndim}but expected them "
            f"to have dim {n} and dim {m}"
        )


def not_bool(x: Tensor, kernel: str) -> None:
    """Raise PyTorch's error for bools, which BLAS does not multiply."""
    if x.dtype.category == dtypes.BOOL:
        raise NotImplementedError(f"\"{kernel}\" not implemented for 'Bool'")


def check_matrices(x: Tensor, y: Tensor) -> None:
    """Raise PyTorch's error unless two matrices can be multiplied."""
    (n, k), (k2, m) = x.shape, y.shape
    if k != k2:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({n}x{k} and {k2}x{m})")
    same_c_dtype(x, y)
    not_bool(x, "addmm_impl_cpu_")


def same_c_dtype(x: Tensor, y: Tensor) -> None:
    """Raise PyTorch's error unless two matrices have one dtype."""
    if x.dtype is not y.dtype:
        a, b = (C_NAMES.get(z.dtype.name, z.dtype.name) for z in (x, y))
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {a} != {b}")


def check_vector(size: int, x: Tensor, y: Tensor, given: Tensor) -> None:
    """Raise PyTorch's error unless a matrix and a vector can be multiplied, and added to `given` of `size` elements."""
    n, k = x.shape
    if y.shape[0] != k or size not in (1, n):
        raise RuntimeError(f"size mismatch, got input ({size}), mat ({n}x{k}), vec ({y.shape[0]})")
    if not given.dtype is x.dtype is y.dtype:
        names = ", ".join(z.dtype.old_name for z in (given, x)) + f", and {y.dtype.old_name}"
        raise RuntimeError(f"addmv input tensors must have the same dtype, but got {names}")
    not_bool(x, "addmv_impl_cpu")


def check_batches(x: Tensor, y: Tensor, same_batch: bool = True) -> None:
    """Raise PyTorch's error unless two batches of matrices can be multiplied."""
    if x.ndim != 3 or y.ndim != 3:
        check_axes("bmm", x, y, 3, 3)
    for name, z in (("batch1", x), ("batch2", y)):
        if z.ndim != 3:
            raise RuntimeError(f"{name} must be a 3D tensor")
    if same_batch and y.shape[:2] != (x.shape[0], x.shape[2]):
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{x.shape[0]}, {x.shape[2]}] but got: "
            f"[{y.shape[0]}, {y.shape[1]}]."
        )


def same_dtype(x: Tensor, y: Tensor) -> None:
    """Raise PyTorch's error unless two tensors have one dtype that can be multiplied."""
    if x.dtype is not y.dtype:
        raise RuntimeError(f"expected scalar type {x.dtype.old_name} but found {y.dtype.old_name}")
    not_bool(x, "bmm")


def check_vectors(x: Tensor, y: Tensor) -> None:
    """Raise PyTorch's error unless two vectors have one length and dtype."""
    if x.ndim != 1 or y.ndim != 1:
        check_axes("dot", x, y, 1, 1)
        raise RuntimeError(f"1D tensors expected, but got {x.ndim}D and {y.ndim}D tensors")
    if x.dtype is not y.dtype:
        raise RuntimeError(
            f"dot : expected both vectors to have same dtype, but found {x.dtype.old_name} and {y.dtype.old_name}"
        )
    n, m = x.shape[0], y.shape[0]
    if n != m:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor [{n}] and src [{m}] to have the same number of elements, but got "
            f"{n} and {m} elements respectively"
        )
    not_bool(x, "dot")


# -- products ----------------------------------------------------------------------------------------------------------


@public(out="exact", kinds="ifc", samples=lambda: [
    Sample((3, 4), (4, 2)), Sample((0, 4), (4, 2)), Sample((2, 0), (0, 3)),
    Sample((3, 4), (5, 6), error=(RuntimeError, "mat1 and mat2 shapes cannot be multiplied (3x4 and 5x6)")),
    Sample((3, 4), (4,), error=(RuntimeError, "mat2 must be a matrix")),
])  # fmt: skip
def mm(input: Tensor, mat2: Tensor, *, out: Any = None) -> Tensor:
    """Return the product of two matrices.

    Parameters
    ----------
    input, mat2 : Tensor
        Of shapes (n, k) and (k, m) and one dtype, not bool.

    Returns
    -------
    Tensor
        Of shape (n, m).

    Raises
    ------
    RuntimeError
        If an operand is no matrix, or shapes or dtypes do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.mm(cr.tensor([[1.0, 2.0]]), cr.tensor([[3.0], [4.0]]))
    tensor([[11.]])
    """
    if asking.on and (found := asked_here(mm, locals())) is not UNASKED:
        return found
    if out is not None:
        return into(out, "mm", mm, (input, mat2), {}, exact=True)
    if are_plain_matrices(input, mat2):
        return ops.mm(input, mat2)
    x, y = operand(input, "mm", "input", 1), operand(mat2, "mm", "mat2", 2)
    if x.ndim != 2 or y.ndim != 2:
        check_axes("mm", x, y, 2, 2)
    if x.ndim != 2:
        raise RuntimeError("self must be a matrix")
    if y.ndim != 2:
        raise RuntimeError("mat2 must be a matrix")
    check_matrices(x, y)
    return ops.mm(x, y)


@public(out="exact", kinds="ifc", samples=lambda: [
    Sample((2, 3, 4), (2, 4, 5)), Sample((0, 3, 4), (0, 4, 2)), Sample((2, 3, 0), (2, 0, 2)),
    Sample((3, 4), (3, 4, 5), error=(RuntimeError, "batch1 must be a 3D tensor")),
    Sample((2, 3, 4), (3, 4, 5), error=(RuntimeError, "Expected size for first two dimensions of batch2 tensor to be: [2, 4]")),
])  # fmt: skip
def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """Return the products of matrices in two batches.

    Parameters
    ----------
    input, mat2 : Tensor
        Of shapes (b, n, k) and (b, k, m) and one dtype, not bool.

    Returns
    -------
    Tensor
        Of shape (b, n, m).

    Raises
    ------
    RuntimeError
        If shapes or dtypes do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.bmm(cr.ones(2, 1, 3), cr.ones(2, 3, 1)).flatten()
    tensor([3., 3.])
    """
    x, y = operand(input, "bmm", "input", 1), operand(mat2, "bmm", "mat2", 2)
    check_batches(x, y)
    same_dtype(x, y)
    return ops.bmm(x, y)


@public(out="exact", kinds="ifc", samples=lambda: [
    Sample((3, 4), (4,)), Sample((0, 4), (4,)), Sample((2, 0), (0,)),
    Sample((3, 4), (5,), error=(RuntimeError, "size mismatch, got input (3), mat (3x4), vec (5)")),
    Sample((3,), (4,), error=(RuntimeError, "vector + matrix @ vector expected, got 1, 1, 1")),
])  # fmt: skip
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """Return the product of a matrix (n, k) and a vector (k,): a vector (n,).

    Raises
    ------
    RuntimeError
        If shapes or dtypes do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.mv(cr.tensor([[1.0, 2.0], [3.0, 4.0]]), cr.tensor([1.0, 1.0]))
    tensor([3., 7.])
    """
    x, y = operand(input, "mv", "input", 1), operand(vec, "mv", "vec", 2)
    if x.ndim != 2 or y.ndim != 1:
        check_axes("mv", x, y, 2, 1)
        raise RuntimeError(f"vector + matrix @ vector expected, got 1, {x.ndim}, {y.ndim}")
    check_vector(x.shape[0], x, y, y)
    return ops.mv(x, y)


@public(out="exact", kinds="ifc", samples=lambda: [
    Sample((3,), (3,)), Sample((0,), (0,)),
    Sample((3,), (4,), error=(RuntimeError, "inconsistent tensor size, expected tensor [3] and src [4]")),
    Sample((3, 1), (3,), error=(RuntimeError, "1D tensors expected, but got 2D and 1D tensors")),
])  # fmt: skip
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """Return the sum of the products of two vectors' elements, without conjugation.

    Raises
    ------
    RuntimeError
        If an operand is no vector, or lengths or dtypes differ.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.dot(cr.tensor([1.0, 2.0]), cr.tensor([3.0, 4.0]))
    tensor(11.)
    """
    x, y = operand(input, "dot", "input", 1), operand(tensor, "dot", "tensor", 2)
    check_vectors(x, y)
    return ops.dot(x, y)


@public(out="exact", kinds="ifc", samples=lambda: [Sample((3,), (3,)), Sample((0,), (0,))])
def vdot(input: Tensor, other: Tensor) -> Tensor:
    """Return the sum of the products of two vectors' elements, the first conjugated.

    Raises
    ------
    RuntimeError
        If an operand is no vector, or lengths or dtypes differ.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.vdot(cr.tensor([1j, 2.0]), cr.tensor([1j, 1.0]))
    tensor(3.+0.j)
    """
    x, y = operand(input, "vdot", "input", 1), operand(other, "vdot", "other", 2)
    check_vectors(x, y)
    return ops.vdot(x, y)


def _outer(input: Any, vec2: Any, name: str) -> Tensor:
    x, y = operand(input, name, "input", 1), operand(vec2, name, "vec2", 2)
    for which, z in (("self", x), ("vec2", y)):
        if z.ndim != 1:
            raise RuntimeError(f"{name}: Expected 1-D argument {which}, but got {z.ndim}-D")
    return mul(unsqueeze(x, axis=1), y)


@public(out=True, kinds="bifc", samples=lambda: [
    Sample((3,), (4,)), Sample((0,), (2,)),
    Sample((3, 1), (4,), error=(RuntimeError, "outer: Expected 1-D argument self, but got 2-D")),
])  # fmt: skip
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """Return the matrix of all products of two vectors' elements: shapes (n,) and (m,) give (n, m).

    Raises
    ------
    RuntimeError
        If an operand is no vector.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.outer(cr.tensor([1.0, 2.0]), cr.tensor([3.0, 4.0]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    return _outer(input, vec2, "outer")


@public(out=True, kinds="bifc", samples=lambda: [Sample((3,), (4,))])
def ger(input: Tensor, vec2: Tensor) -> Tensor:
    """Return :func:`outer` of two vectors, under its BLAS name.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.ger(cr.tensor([1.0, 2.0]), cr.tensor([3.0]))
    tensor([[3.],
            [6.]])
    """
    return _outer(input, vec2, "outer")


@public(out="exact", kinds="ifc", samples=lambda: [
    Sample((3,), (3,)), Sample((3, 4), (4,)), Sample((3,), (3, 4)), Sample((3, 4), (4, 5)), Sample((2, 3, 4), (4, 5)),
    Sample((2, 3, 4), (4,)), Sample((3,), (2, 3, 4)), Sample((2, 3, 4), (2, 4, 5)), Sample((2, 3, 4), (1, 4, 5)),
    Sample((2, 1, 3, 4), (5, 4, 5)), Sample((0, 4), (4, 5)), Sample((2, 3, 0), (0, 5)),
    Sample((3, 4), (3, 4), error=(RuntimeError, "mat1 and mat2 shapes cannot be multiplied (3x4 and 3x4)")),
    Sample((2, 3, 4), (3, 5), error=(RuntimeError, "mat1 and mat2 shapes cannot be multiplied (6x4 and 3x5)")),
    Sample((2, 3, 4), (2, 3, 5), error=(RuntimeError, "Expected size for first two dimensions of batch2 tensor to be: [2, 4]")),
    Sample((2, 3, 4), (3, 4, 5), error=(RuntimeError, "The size of tensor a (2) must match the size of tensor b (3)")),
    Sample((), (3,), error=(RuntimeError, "both arguments to matmul need to be at least 1D, but they are 0D and 1D")),
])  # fmt: skip
def matmul(input: Tensor, other: Tensor, *, out: Any = None) -> Tensor:
    """Return the matrix product, over batches with broadcasting.

    Parameters
    ----------
    input, other : Tensor
        Of one dtype, not bool, and shapes (…, n, k) and (…, k, m); the leading axes broadcast. A vector counts as a row
        on the left and as a column on the right, and its axis is dropped from the result.

    Returns
    -------
    Tensor
        Of shape (…, n, m); 0-d for two vectors.

    Raises
    ------
    RuntimeError
        If an operand is 0-d, or shapes or dtypes do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.matmul(cr.ones(2, 3), cr.ones(5, 3, 4)).shape
    chainrule.Size([5, 2, 4])
    """
    if asking.on and (found := asked_here(matmul, locals())) is not UNASKED:
        return found
    if out is not None:
        return into(out, "matmul", matmul, (input, other), {}, exact=True)
    if are_plain_matrices(input, other):
        return ops.mm(input, other)
    x, y = operand(input, "matmul", "input", 1), operand(other, "matmul", "other", 2)
    n, m = x.ndim, y.ndim
    if n == 2 and m == 2:
        check_matrices(x, y)
        return ops.mm(x, y)
    if n == 0 or m == 0:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {n}D and {m}D")
    if n == 1 and m == 1:
        return dot(x, y)
    if n == 2 and m == 1:
        return mv(x, y)
    if n == 1 and m == 2:
        row = unsqueeze(x, axis=0)
        check_matrices(row, y)
        return squeeze(ops.mm(row, y), axis=(0,), form="4")
    if m == 1:
        lead = tuple(x.shape[:-1])
        return reshape(mv(reshape(x, shape=(prod(lead), x.shape[-1])), y), shape=lead)
    if n == 1:
        same_dtype(x, y)
        lead = (*y.shape[:-2], y.shape[-1])
        columns = reshape(transpose(y, a=m - 2, b=m - 1), shape=(prod(lead), y.shape[-2]))
        return reshape(mv(columns, x), shape=lead)
    return _batched(x, y)


def _batched(x: Tensor, y: Tensor) -> Tensor:
    """Return the product of stacks of matrices, after PyTorch's checks."""
    a, b = tuple(x.shape), tuple(y.shape)
    if a[-1] != b[-2]:
        if len(b) == 2:
            raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({prod(a[:-1])}x{a[-1]} and {b[0]}x{b[1]})")
        lead = prod(shapes.broadcast(a[:-2], b[:-2]))
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{lead}, {a[-1]}] but got: [{lead}, {b[-2]}]."
        )
    shapes.broadcast(a[:-2], b[:-2])
    if len(b) == 2:  # of which PyTorch makes one product of matrices
        same_c_dtype(x, y)
    same_dtype(x, y)
    return ops.matmul(x, y)


# -- the operator ------------------------------------------------------------------------------------------------------


def _matmul_operator(self: Tensor, other: Any) -> Any:
    return matmul(self, other) if isinstance(other, (Tensor, np.ndarray)) else NotImplemented


def _reflected_matmul(self: Tensor, other: Any) -> Any:
    return matmul(other, self) if isinstance(other, (Tensor, np.ndarray)) else NotImplemented


Tensor.__matmul__ = _matmul_operator  # type: ignore[attr-defined]
Tensor.__rmatmul__ = _reflected_matmul  # type: ignore[attr-defined, operator]
