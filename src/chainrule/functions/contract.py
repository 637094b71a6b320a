"""Products of matrices and vectors under PyTorch's names."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from chainrule.core import dtype as dtypes
from chainrule.core import shape as shapes
from chainrule.core.dispatch import cast, common_dtype
from chainrule.core.sample import Sample
from chainrule.core.shape import axis_index
from chainrule.core.tensor import Tensor, wrap
from chainrule.functions.adapt import public
from chainrule.ops import contract as ops
from chainrule.ops.arithmetic import mul
from chainrule.ops.shape import broadcast_to, clone, reshape, squeeze, transpose, unsqueeze

__all__ = [
    "addbmm", "addmm", "addmv", "addr", "baddbmm", "bmm", "chain_matmul", "cross", "dot", "ger", "inner", "kron", "matmul",
    "mm", "mv", "outer", "vdot",
]  # fmt: skip

_C_NAMES = {
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


def _not_bool(x: Tensor, kernel: str) -> None:
    if x.dtype.category == dtypes.BOOL:
        raise NotImplementedError(f"\"{kernel}\" not implemented for 'Bool'")


def _check_matrices(x: Tensor, y: Tensor) -> None:
    (n, k), (k2, m) = x.shape, y.shape
    if k != k2:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({n}x{k} and {k2}x{m})")
    if x.dtype is not y.dtype:
        a, b = (_C_NAMES.get(z.dtype.name, z.dtype.name) for z in (x, y))
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {a} != {b}")
    _not_bool(x, "addmm_impl_cpu_")


def _check_vector(size: int, x: Tensor, y: Tensor, given: Tensor) -> None:
    n, k = x.shape
    if y.shape[0] != k or size not in (1, n):
        raise RuntimeError(f"size mismatch, got input ({size}), mat ({n}x{k}), vec ({y.shape[0]})")
    if not given.dtype is x.dtype is y.dtype:
        names = ", ".join(z.dtype.old_name for z in (given, x)) + f", and {y.dtype.old_name}"
        raise RuntimeError(f"addmv input tensors must have the same dtype, but got {names}")
    _not_bool(x, "addmv_impl_cpu")


def _check_batches(x: Tensor, y: Tensor, same_batch: bool = True) -> None:
    for name, z in (("batch1", x), ("batch2", y)):
        if z.ndim != 3:
            raise RuntimeError(f"{name} must be a 3D tensor")
    if same_batch and y.shape[:2] != (x.shape[0], x.shape[2]):
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{x.shape[0]}, {x.shape[2]}] but got: "
            f"[{y.shape[0]}, {y.shape[1]}]."
        )


def _same_dtype(x: Tensor, y: Tensor) -> None:
    if x.dtype is not y.dtype:
        raise RuntimeError(f"expected scalar type {x.dtype.old_name} but found {y.dtype.old_name}")
    _not_bool(x, "bmm")


def _check_vectors(x: Tensor, y: Tensor) -> None:
    if x.ndim != 1 or y.ndim != 1:
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
    _not_bool(x, "dot")


# -- products ----------------------------------------------------------------------------------------------------------


@public(kinds="ifc", samples=lambda: [
    Sample((3, 4), (4, 2)), Sample((0, 4), (4, 2)), Sample((2, 0), (0, 3)),
    Sample((3, 4), (5, 6), error=(RuntimeError, "mat1 and mat2 shapes cannot be multiplied (3x4 and 5x6)")),
    Sample((3, 4), (4,), error=(RuntimeError, "mat2 must be a matrix")),
])  # fmt: skip
def mm(input: Tensor, mat2: Tensor) -> Tensor:
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
    x, y = operand(input, "mm", "input", 1), operand(mat2, "mm", "mat2", 2)
    if x.ndim != 2:
        raise RuntimeError("self must be a matrix")
    if y.ndim != 2:
        raise RuntimeError("mat2 must be a matrix")
    _check_matrices(x, y)
    return ops.mm(x, y)


@public(kinds="ifc", samples=lambda: [
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
    _check_batches(x, y)
    _same_dtype(x, y)
    return ops.bmm(x, y)


@public(kinds="ifc", samples=lambda: [
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
        raise RuntimeError(f"vector + matrix @ vector expected, got 1, {x.ndim}, {y.ndim}")
    _check_vector(x.shape[0], x, y, y)
    return ops.mv(x, y)


@public(kinds="ifc", samples=lambda: [
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
    _check_vectors(x, y)
    return ops.dot(x, y)


@public(kinds="ifc", samples=lambda: [Sample((3,), (3,)), Sample((0,), (0,))])
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
    _check_vectors(x, y)
    return ops.vdot(x, y)


def _outer(input: Any, vec2: Any, name: str) -> Tensor:
    x, y = operand(input, name, "input", 1), operand(vec2, name, "vec2", 2)
    for which, z in (("self", x), ("vec2", y)):
        if z.ndim != 1:
            raise RuntimeError(f"{name}: Expected 1-D argument {which}, but got {z.ndim}-D")
    return mul(unsqueeze(x, axis=1), y)


@public(kinds="bifc", samples=lambda: [
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


@public(kinds="bifc", samples=lambda: [Sample((3,), (4,))])
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


@public(kinds="ifc", samples=lambda: [
    Sample((3,), (3,)), Sample((3, 4), (4,)), Sample((3,), (3, 4)), Sample((3, 4), (4, 5)), Sample((2, 3, 4), (4, 5)),
    Sample((2, 3, 4), (4,)), Sample((3,), (2, 3, 4)), Sample((2, 3, 4), (2, 4, 5)), Sample((2, 3, 4), (1, 4, 5)),
    Sample((2, 1, 3, 4), (5, 4, 5)), Sample((3, 4), (2, 4, 5)), Sample((0, 4), (4, 5)), Sample((2, 3, 0), (0, 5)),
    Sample((3, 4), (3, 4), error=(RuntimeError, "mat1 and mat2 shapes cannot be multiplied (3x4 and 3x4)")),
    Sample((2, 3, 4), (3, 5), error=(RuntimeError, "mat1 and mat2 shapes cannot be multiplied (6x4 and 3x5)")),
    Sample((2, 3, 4), (2, 3, 5), error=(RuntimeError, "Expected size for first two dimensions of batch2 tensor to be: [2, 4]")),
    Sample((2, 3, 4), (3, 4, 5), error=(RuntimeError, "The size of tensor a (2) must match the size of tensor b (3)")),
    Sample((), (3,), error=(RuntimeError, "both arguments to matmul need to be at least 1D, but they are 0D and 1D")),
])  # fmt: skip
def matmul(input: Tensor, other: Tensor) -> Tensor:
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
    x, y = operand(input, "matmul", "input", 1), operand(other, "matmul", "other", 2)
    n, m = x.ndim, y.ndim
    if n == 2 and m == 2:
        _check_matrices(x, y)
        return ops.mm(x, y)
    if n == 0 or m == 0:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {n}D and {m}D")
    if n == 1 and m == 1:
        return dot(x, y)
    if n == 2 and m == 1:
        return mv(x, y)
    if n == 1 and m == 2:
        row = unsqueeze(x, axis=0)
        _check_matrices(row, y)
        return squeeze(ops.mm(row, y), axis=(0,), form="4")
    if m == 1:
        lead = tuple(x.shape[:-1])
        return reshape(mv(reshape(x, shape=(prod(lead), x.shape[-1])), y), shape=lead)
    if n == 1:
        lead = (*y.shape[:-2], y.shape[-1])
        columns = reshape(transpose(y, a=m - 2, b=m - 1), shape=(prod(lead), y.shape[-2]))
        return reshape(mv(columns, x), shape=lead)
    return _batched(x, y)


def _batched(x: Tensor, y: Tensor) -> Tensor:
    """Return the product of stacks of matrices, after PyTorch's checks."""
    a, b = tuple(x.shape), tuple(y.shape)
    if a[-1] != b[-2]:
        if len(b) == 2:
            raise RuntimeError(
                f"mat1 and mat2 shapes cannot be multiplied ({prod(a[:-1])}x{a[-1]} and {b[0]}x{b[1]})"
            )
        lead = prod(shapes.broadcast(a[:-2], b[:-2]))
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{lead}, {a[-1]}] but got: [{lead}, {b[-2]}]."
        )
    shapes.broadcast(a[:-2], b[:-2])
    _same_dtype(x, y)
    return ops.matmul(x, y)


@public(kinds="ifc", samples=lambda: [
    Sample((3,), (3,)), Sample((2, 3), (4, 3)), Sample((2, 3), (3,)), Sample((), (3,)),
    Sample((3,), (4,), error=(RuntimeError, "inner() the last dimension must match on both input tensors but got shapes [3]")),
])  # fmt: skip
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Return the sums of products along the last axes: shapes (…, k) and (*, k) give (…, *); 0-d operands multiply.

    Raises
    ------
    RuntimeError
        If the last sizes or the dtypes differ.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.inner(cr.tensor([1.0, 2.0]), cr.tensor([[3.0, 4.0], [5.0, 6.0]]))
    tensor([11., 17.])
    """
    from chainrule.functions.einsum import contracted

    x, y = operand(input, "inner", "input", 1), operand(other, "inner", "other", 2)
    if not x.ndim or not y.ndim:
        return mul(x, y)
    if x.shape[-1] != y.shape[-1]:
        raise RuntimeError(
            "inner() the last dimension must match on both input tensors but got shapes "
            f"{list(x.shape)} and {list(y.shape)}"
        )
    if x.dtype is not y.dtype:
        raise RuntimeError("both inputs should have same dtype")
    left, right = list(range(x.ndim - 1)), list(range(x.ndim, x.ndim + y.ndim - 1))
    return contracted([x, y], [[*left, -1], [*right, -1]], [*left, *right])


@public(kinds="bifc", samples=lambda: [Sample((2, 3), (4, 5)), Sample((2,), (4, 5)), Sample((), (2, 2)), Sample((0, 2), (3, 1))])
def kron(input: Tensor, other: Tensor) -> Tensor:
    """Return the Kronecker product: every element of `input` times all of `other`, as blocks.

    Parameters
    ----------
    input, other : Tensor
        Of any shapes; the shorter shape is filled with ones in front.

    Returns
    -------
    Tensor
        Its sizes are the products of the operands'.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.kron(cr.eye(2), cr.tensor([[1.0, 2.0]]))
    tensor([[1., 2., 0., 0.],
            [0., 0., 1., 2.]])
    """
    x, y = operand(input, "kron", "input", 1), operand(other, "kron", "other", 2)
    ndim = max(x.ndim, y.ndim)
    a, b = ((1,) * (ndim - z.ndim) + tuple(z.shape) for z in (x, y))
    x = reshape(x, shape=tuple(k for n in a for k in (n, 1)))
    y = reshape(y, shape=tuple(k for n in b for k in (1, n)))
    return reshape(mul(x, y), shape=tuple(n * m for n, m in zip(a, b, strict=True)))


@public(method=False, kinds="fc", samples=lambda: [Sample((2, 3), (3, 4), (4, 5)), Sample((6, 1), (1, 6), (6, 2), (2, 1))])
def chain_matmul(*matrices: Tensor) -> Tensor:
    """Return the product of two or more matrices, multiplied in the order that costs least; of one, a copy.

    Raises
    ------
    RuntimeError
        If an operand is no matrix, or shapes or dtypes do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.chain_matmul(cr.ones(2, 3), cr.ones(3, 4), cr.ones(4, 1))
    tensor([[12.],
            [12.]])
    """
    factors = [operand(m, "chain_matmul", "matrices", i + 1) for i, m in enumerate(matrices)]
    if not factors:
        raise RuntimeError("chain_matmul(): Expected one or more matrices")
    for m in factors:
        if m.ndim != 2:
            raise RuntimeError(f"Tensor dimension is {m.ndim}, expected 2 instead.")
    if len(factors) == 1:
        return clone(factors[0])
    return cheapest_product(factors)


def cheapest_product(factors: list[Tensor]) -> Tensor:
    """Return the product of matrices in the order of least multiplications (Cormen et al., *Algorithms*, ch. 14.2)."""
    sizes = [f.shape[0] for f in factors] + [factors[-1].shape[1]]
    count = len(factors)
    cost = [[0] * count for _ in range(count)]
    cut = [[0] * count for _ in range(count)]
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            cost[i][j], cut[i][j] = min(
                (cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)
            )

    def product(i: int, j: int) -> Tensor:
        return factors[i] if i == j else mm(product(i, cut[i][j]), product(cut[i][j] + 1, j))

    return product(0, count - 1)


@public(kinds="ifc", samples=lambda: [
    Sample((2, 3), (2, 3)), Sample((3, 2), (3, 2)), Sample((4, 3, 2), (1, 3, 2), dim=1), Sample((3,), (3,), dim=-1),
    Sample((2, 4), (2, 4), error=(RuntimeError, "no dimension of size 3 in input")),
    Sample((3, 2), (3, 2), dim=1, error=(RuntimeError, "linalg.cross: inputs dimension 1 must have length 3. Got 2 and 2")),
])  # fmt: skip
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """Return the cross products of the vectors that lie along one axis.

    Parameters
    ----------
    input, other : Tensor
        With the same number of axes, which broadcast, and size 3 along `dim`.
    dim : int, optional
        The axis; the first of size 3 by default.

    Raises
    ------
    RuntimeError
        If the axis has not size 3.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.cross(cr.tensor([1.0, 0.0, 0.0]), cr.tensor([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
    """
    x, y = operand(input, "cross", "input", 1), operand(other, "cross", "other", 2)
    if x.ndim != y.ndim:
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    if dim is None:
        if 3 not in x.shape:
            raise RuntimeError("no dimension of size 3 in input")
        dim = x.shape.index(3)
    axis = axis_index(dim, x.ndim)
    if x.shape[axis] != 3 or y.shape[axis] != 3:
        raise RuntimeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got {x.shape[axis]} and {y.shape[axis]}"
        )
    common = common_dtype([x, y])
    shape = shapes.broadcast(tuple(x.shape), tuple(y.shape))
    x, y = (z if tuple(z.shape) == shape else broadcast_to(z, shape=shape) for z in (cast(x, common), cast(y, common)))
    return ops.cross(x, y, axis=axis)


# -- products added to an input ----------------------------------------------------------------------------------------


def _check_expands(x: Tensor, shape: tuple) -> None:
    given = tuple(x.shape)
    lead = len(shape) - len(given)
    if lead < 0:
        raise RuntimeError(
            f"expand(chainrule.{x.dtype.old_name}Tensor{{{list(given)}}}, size={list(shape)}): the number of sizes provided "
            f"({len(shape)}) must be greater or equal to the number of dimensions in the tensor ({len(given)})"
        )
    for axis in reversed(range(lead, len(shape))):
        if given[axis - lead] not in (1, shape[axis]):
            raise RuntimeError(
                f"The expanded size of the tensor ({shape[axis]}) must match the existing size ({given[axis - lead]}) at "
                f"non-singleton dimension {axis}.  Target sizes: {list(shape)}.  Tensor sizes: {list(given)}"
            )


def _factors(x: Tensor, beta: Any, alpha: Any) -> dict[str, Any]:
    """Return beta and alpha as numbers; as ints for integer tensors, as PyTorch takes them."""
    beta, alpha = (v.item() if isinstance(v, (Tensor, np.generic)) else v for v in (beta, alpha))
    if x.dtype.category <= dtypes.INT:
        beta, alpha = int(beta), int(alpha)
    return {"beta": beta, "alpha": alpha}


_AFFINE_TEXT = """

    Parameters
    ----------
    input : Tensor
        Broadcasts to the result; not read if `beta` is 0.
    {a}, {b} : Tensor
        Of shapes {shapes}, and the dtype of `input`.
    beta, alpha : number
        The factors.

    Raises
    ------
    RuntimeError
        If shapes or dtypes do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> {example}
    """


def _documented(formula: str, a: str, b: str, shapes: str, example: str) -> Callable:
    def describe(f: Callable) -> Callable:
        f.__doc__ = f"Return ``{formula}``." + _AFFINE_TEXT.format(a=a, b=b, shapes=shapes, example=example)
        return f

    return describe


@public(inplace=True, kinds="fc", samples=lambda: [
    Sample((3, 5), (3, 4), (4, 5)), Sample((5,), (3, 4), (4, 5), beta=0.5, alpha=2), Sample((), (2, 0), (0, 3), beta=0),
    Sample((6,), (3, 4), (4, 5), error=(RuntimeError, "The expanded size of the tensor (5) must match the existing size (6)")),
    Sample((5,), (3, 4), (3, 5), error=(RuntimeError, "mat1 and mat2 shapes cannot be multiplied (3x4 and 3x5)")),
    Sample((5,), (3,), (3, 5), error=(RuntimeError, "mat1 must be a matrix, got 1-D tensor")),
])  # fmt: skip
@_documented("beta * input + alpha * (mat1 @ mat2)", "mat1", "mat2", "(n, k) and (k, m)",
    "cr.addmm(cr.ones(2), cr.ones(1, 3), cr.ones(3, 2))\n    tensor([[4., 4.]])")  # fmt: skip
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    x, a, b = operand(input, "addmm", "input", 1), operand(mat1, "addmm", "mat1", 2), operand(mat2, "addmm", "mat2", 3)
    for name, m in (("mat1", a), ("mat2", b)):
        if m.ndim != 2:
            raise RuntimeError(f"{name} must be a matrix, got {m.ndim}-D tensor")
    if x.dtype is not b.dtype:
        raise RuntimeError(f"self and mat2 must have the same dtype, but got {x.dtype.old_name} and {b.dtype.old_name}")
    _check_matrices(a, b)
    _check_expands(x, (a.shape[0], b.shape[1]))
    return ops.addmm(x, a, b, **_factors(x, beta, alpha))


@public(inplace=True, kinds="fc", samples=lambda: [
    Sample((3,), (3, 4), (4,)), Sample((), (3, 4), (4,), beta=2, alpha=-0.5),
    Sample((2,), (3, 4), (4,), error=(RuntimeError, "size mismatch, got input (2), mat (3x4), vec (4)")),
])  # fmt: skip
@_documented("beta * input + alpha * (mat @ vec)", "mat", "vec", "(n, k) and (k,)",
    "cr.addmv(cr.ones(2), cr.ones(2, 3), cr.ones(3))\n    tensor([4., 4.])")  # fmt: skip
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    x, a, b = operand(input, "addmv", "input", 1), operand(mat, "addmv", "mat", 2), operand(vec, "addmv", "vec", 3)
    if a.ndim != 2 or b.ndim != 1 or x.ndim > 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {x.ndim}, {a.ndim}, {b.ndim}")
    _check_vector(x.numel(), a, b, x)
    return ops.addmv(x, a, b, **_factors(x, beta, alpha))


@public(inplace=True, kinds="fc", samples=lambda: [
    Sample((3, 4), (3,), (4,)), Sample((4,), (3,), (4,), beta=2, alpha=-0.5),
    Sample((5,), (3,), (4,), error=(RuntimeError, "The expanded size of the tensor (4) must match the existing size (5)")),
    Sample((4,), (3, 1), (4,), error=(RuntimeError, "addr: Expected 1-D argument vec1, but got 2-D")),
])  # fmt: skip
@_documented("beta * input + alpha * outer(vec1, vec2)", "vec1", "vec2", "(n,) and (m,)",
    "cr.addr(cr.zeros(2, 2), cr.tensor([1.0, 2.0]), cr.ones(2))\n    tensor([[1., 1.],\n            [2., 2.]])")  # fmt: skip
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    x, a, b = operand(input, "addr", "input", 1), operand(vec1, "addr", "vec1", 2), operand(vec2, "addr", "vec2", 3)
    for name, v in (("vec1", a), ("vec2", b)):
        if v.ndim != 1:
            raise RuntimeError(f"addr: Expected 1-D argument {name}, but got {v.ndim}-D")
    _check_expands(x, (a.shape[0], b.shape[0]))
    common = common_dtype([x, a, b])
    return ops.addr(cast(x, common), cast(a, common), cast(b, common), **_factors(x, beta, alpha))


@public(inplace=True, kinds="fc", samples=lambda: [
    Sample((2, 3, 5), (2, 3, 4), (2, 4, 5)), Sample((5,), (2, 3, 4), (2, 4, 5), beta=2, alpha=-0.5),
    Sample((6,), (2, 3, 4), (2, 4, 5), error=(RuntimeError, "The expanded size of the tensor (5) must match the existing")),
    Sample((5,), (3, 4), (3, 4, 5), error=(RuntimeError, "batch1 must be a 3D tensor")),
])  # fmt: skip
@_documented("beta * input + alpha * bmm(batch1, batch2)", "batch1", "batch2", "(b, n, k) and (b, k, m)",
    "cr.baddbmm(cr.ones(1), cr.ones(1, 1, 3), cr.ones(1, 3, 2))\n    tensor([[[4., 4.]]])")  # fmt: skip
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    x, a, b = (operand(v, "baddbmm", n, i) for i, (v, n) in enumerate(((input, "input"), (batch1, "batch1"), (batch2, "batch2")), 1))
    _check_batches(a, b)
    if not x.dtype is a.dtype is b.dtype:
        given = ", ".join(f"{n} {_C_NAMES[z.dtype.name]}" for n, z in (("input", x), ("batch1:", a), ("batch2:", b)))
        raise RuntimeError(f"Input dtypes must be the same, got: {given}")
    _not_bool(x, "baddbmm")
    _check_expands(x, (*a.shape[:2], b.shape[2]))
    return ops.baddbmm(x, a, b, **_factors(x, beta, alpha))


@public(inplace=True, kinds="fc", samples=lambda: [
    Sample((3, 5), (2, 3, 4), (2, 4, 5)), Sample((5,), (2, 3, 4), (2, 4, 5), beta=2, alpha=-0.5),
    Sample((5,), (2, 3, 4), (3, 4, 5), error=(RuntimeError, "batch1 and batch2 must have same number of batches, got 2 and 3")),
    Sample((5,), (2, 3, 4), (2, 3, 5), error=(RuntimeError, "Incompatible matrix sizes for bmm (3x4 and 3x5)")),
])  # fmt: skip
@_documented("beta * input + alpha * bmm(batch1, batch2).sum(0)", "batch1", "batch2", "(b, n, k) and (b, k, m)",
    "cr.addbmm(cr.zeros(1, 1), cr.ones(2, 1, 3), cr.ones(2, 3, 1))\n    tensor([[6.]])")  # fmt: skip
def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    x, a, b = (operand(v, "addbmm", n, i) for i, (v, n) in enumerate(((input, "input"), (batch1, "batch1"), (batch2, "batch2")), 1))
    _check_batches(a, b, same_batch=False)
    if a.shape[0] != b.shape[0]:
        raise RuntimeError(f"batch1 and batch2 must have same number of batches, got {a.shape[0]} and {b.shape[0]}")
    if a.shape[2] != b.shape[1]:
        raise RuntimeError(
            f"Incompatible matrix sizes for bmm ({a.shape[1]}x{a.shape[2]} and {b.shape[1]}x{b.shape[2]})"
        )
    _check_expands(x, (a.shape[1], b.shape[2]))
    _same_dtype(x, a)
    _same_dtype(a, b)
    return ops.addbmm(x, a, b, **_factors(x, beta, alpha))


# -- the operator ------------------------------------------------------------------------------------------------------


def _matmul_operator(self: Tensor, other: Any) -> Any:
    return matmul(self, other) if isinstance(other, (Tensor, np.ndarray)) else NotImplemented


def _reflected_matmul(self: Tensor, other: Any) -> Any:
    return matmul(other, self) if isinstance(other, np.ndarray) else NotImplemented


Tensor.__matmul__ = _matmul_operator  # type: ignore[attr-defined]
Tensor.__rmatmul__ = _reflected_matmul  # type: ignore[attr-defined]
