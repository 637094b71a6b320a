"""Powers, products and views of matrices and vectors: `chainrule.linalg`'s part."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from chainrule.core.call.asking import as_factors
from chainrule.core.call.dispatch import cast
from chainrule.core.op.samples import Matrices, Sample
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import is_complex
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.shape import axis_index, broadcast
from chainrule.functions.adapt import public
from chainrule.functions.indexing.part import diagonal as view_of_diagonal
from chainrule.functions.linalg.arguments import check_dtype, check_info, matrices, same_dtype
from chainrule.functions.linalg.contract import C_NAMES, matmul, operand
from chainrule.functions.linalg.product import cheapest_product
from chainrule.functions.linalg.product import cross as cross_product
from chainrule.functions.linalg.solve import SINGULAR
from chainrule.ops.indexing.select import where
from chainrule.ops.linalg import general, solve
from chainrule.ops.linalg.contract import matmul as product
from chainrule.ops.linalg.matrix import numpy_dtype_of
from chainrule.ops.pointwise.complex import conj
from chainrule.ops.reduction.reduce import sum
from chainrule.ops.reduction.scan import cumprod
from chainrule.ops.shaping.join import cat
from chainrule.ops.shaping.shape import broadcast_to, clone, reshape, unsqueeze

__all__ = ["cross", "diagonal", "matmul", "matrix_exp", "matrix_power", "multi_dot", "vander", "vecdot"]


# -- powers ------------------------------------------------------------------------------------------------------------


@public(name="linalg.matrix_exp", method=False, samples=lambda: [
    Sample((3, 3)), Sample((2, 2, 2)), Sample((0, 0)), Sample((0, 2, 2)), Sample((1, 1)),
    Sample((2, 3), error=(RuntimeError, "linalg.matrix_exp: A must be batches of square matrices, but they are 2 by 3 matric")),
])  # fmt: skip
def matrix_exp(A: Tensor) -> Tensor:
    """Return the exponentials of square matrices, Σ Aᵏ / k!.

    Parameters
    ----------
    A : Tensor
        Shape (…, n, n); half precision computes in single.

    Notes
    -----
    By scaling and squaring (Al-Mohy & Higham 2009). The derivative along E is a block of the exponential of [[A, E], [0, A]].

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.matrix_exp(cr.tensor([[0.0, 1.0], [0.0, 0.0]]))
    tensor([[1., 1.],
            [0., 1.]])
    """
    x = operand(A, "linalg.matrix_exp", "A", 1)
    half = x.dtype if x.dtype.itemsize == 2 and x.dtype.category == dtypes.FLOAT else None
    x = matrices(x if half is None else cast(x, dtypes.float32), "linalg.matrix_exp")
    return general.matrix_exp(x) if half is None else cast(general.matrix_exp(x), half)


@public(name="linalg.matrix_power", method=False, out=True, samples=lambda: [
    *[Sample(Matrices((3, 3)), n) for n in (0, 1, 2, 3, 5, -1, -3)], Sample((2, 2, 2), 4), Sample((0, 0), 2),
    Sample((2, 3), 2, error=(RuntimeError, "linalg.matrix_power: A must be batches of square matrices, but they are 2 by 3 m")),
])  # fmt: skip
def matrix_power(A: Tensor, n: int) -> Tensor:
    """Return square matrices to an integer power.

    Parameters
    ----------
    A : Tensor
        Shape (…, n, n).
    n : int
        The power; a negative one is that of the inverse.

    Raises
    ------
    LinAlgError
        If `n` is negative and a matrix singular.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.matrix_power(cr.tensor([[1.0, 1.0], [0.0, 1.0]]), 5)
    tensor([[1., 5.],
            [0., 1.]])
    """
    x = operand(A, "linalg.matrix_power", "A", 1)
    if x.ndim < 2:
        raise RuntimeError("linalg.matrix_power: The input tensor A must have at least 2 dimensions.")
    if x.shape[-1] != x.shape[-2]:
        raise RuntimeError(
            f"linalg.matrix_power: A must be batches of square matrices, but they are {x.shape[-2]} by {x.shape[-1]} matrices"
        )
    n = operator.index(n)
    if n < 0:
        check_dtype(x, "linalg.inv")
        x, info = solve.inv(x)
        check_info(info, SINGULAR.format("linalg.inv"))
        n = -n
    if n == 0:
        return where(False, x, np.eye(x.shape[-1], dtype=numpy_dtype_of(x)))
    if n == 1:
        return clone(x)
    out = None
    while n:  # by squares, as PyTorch does
        n, odd = divmod(n, 2)
        if odd:
            out = x if out is None else product(*as_factors(out, x))
        if n:
            x = product(*as_factors(x, x))
    return out  # type: ignore[return-value]


# -- products ----------------------------------------------------------------------------------------------------------


@public(name="linalg.multi_dot", method=False, out=True, samples=lambda: [
    Sample([(2, 3), (3, 4), (4, 5)]), Sample([(3,), (3, 4), (4,)]), Sample([(2, 3), (3,)]), Sample([(3,), (3,)]),
    Sample([(2, 3), (2, 3)], error=(RuntimeError, "multi_dot(): tensors 0 and 1 with shapes [2, 3] and [2, 3] cannot be mult")),
    Sample([(2, 3)], error=(RuntimeError, "multi_dot(): expected at least 2 tensors but got 1")),
])  # fmt: skip
def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """Return the product of two or more matrices, multiplied in the order that costs least.

    Parameters
    ----------
    tensors : sequence of Tensor
        Matrices; the first and the last may be vectors, a row and a column.

    Raises
    ------
    RuntimeError
        If shapes or dtypes do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.multi_dot([cr.ones(2, 3), cr.ones(3, 4), cr.ones(4)])
    tensor([12., 12.])
    """
    factors = [operand(t, "linalg.multi_dot", "tensors", i + 1) for i, t in enumerate(tensors)]
    if len(factors) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(factors)}")
    for place, t in (("first", factors[0]), ("last", factors[-1])):
        if t.ndim not in (1, 2):
            raise RuntimeError(f"multi_dot(): the {place} tensor must be 1D or 2D but got {t.ndim}D")
    shape = [
        *([factors[0].shape[0]] if factors[0].ndim == 2 else []),
        *([factors[-1].shape[1]] if factors[-1].ndim == 2 else []),
    ]
    if factors[0].ndim == 1:
        factors[0] = unsqueeze(factors[0], axis=0)
    if factors[-1].ndim == 1:
        factors[-1] = unsqueeze(factors[-1], axis=1)
    for i, (x, y) in enumerate(pairwise(factors)):
        if y.ndim != 2:
            raise RuntimeError(f"multi_dot(): tensor {i + 1} must be 2D but got {y.ndim}D")
        if x.dtype is not y.dtype:
            theirs, other = C_NAMES[factors[0].dtype.name], C_NAMES[y.dtype.name]
            raise RuntimeError(
                f"multi_dot(): all tensors must have be the same dtype but tensor 0 is {theirs} and tensor {i + 1} {other}"
            )
        if x.shape[1] != y.shape[0]:
            raise RuntimeError(
                f"multi_dot(): tensors {i} and {i + 1} with shapes {list(x.shape)} and {list(y.shape)} cannot be multiplied"
            )
    out = cheapest_product(factors)
    return out if len(shape) == 2 else reshape(out, shape=shape)


@public(name="linalg.vecdot", method=False, out=True, samples=lambda: [
    Sample((3, 4), (3, 4)), Sample((3, 4), (4,)), Sample((3, 4), (3, 4), dim=0), Sample((0, 3), (0, 3)),
])  # fmt: skip
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """Return the inner products of vectors along an axis; those of `x` are conjugated.

    Parameters
    ----------
    x, y : Tensor
        Of one dtype, broadcast together.
    dim : int
        The axis.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.vecdot(cr.tensor([1.0, 2.0]), cr.tensor([3.0, 4.0]))
    tensor(11.)
    """
    a, b = operand(x, "linalg.vecdot", "x", 1), operand(y, "linalg.vecdot", "y", 2)
    for t in (a, b):
        if t.dtype.category < dtypes.FLOAT:
            raise RuntimeError(f"linalg.vecdot: Expected a floating point or complex tensor as input. Got {t.dtype.old_name}")
    same_dtype("linalg.vecdot", a, b, ("x", "y"))
    shape = broadcast(tuple(a.shape), tuple(b.shape))
    moved = (conj(a) if is_complex(a) else a) * b
    return sum(moved, axis=(axis_index(dim, len(shape)),), keepdims=False)


@public(name="linalg.cross", method=False, out=True, samples=lambda: [
    Sample((4, 3), (4, 3)), Sample((3, 4), (3, 4), dim=0), Sample((4, 3), (1, 3)),
    Sample((3, 4), (3, 4), error=(RuntimeError, "linalg.cross: inputs dimension -1 must have length 3. Got 4 and 4")),
])  # fmt: skip
def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """Return the cross products of the vectors of three elements that lie along an axis.

    Parameters
    ----------
    input, other : Tensor
        With the same number of axes, which broadcast.
    dim : int
        The axis.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.cross(cr.tensor([1.0, 0.0, 0.0]), cr.tensor([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
    """
    return cross_product(input, other, dim)


# -- views and matrices of vectors -------------------------------------------------------------------------------------


@public(name="linalg.diagonal", method=False, samples=lambda: [
    Sample((3, 4)), Sample((2, 3, 4), offset=1), Sample((2, 3, 4), dim1=0, dim2=2),
])  # fmt: skip
def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Return the view of the diagonals of matrices.

    Parameters
    ----------
    A : Tensor
        Of at least two axes.
    offset : int
        How far above the main one.
    dim1, dim2 : int
        The axes of rows and columns.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.diagonal(cr.tensor([[1, 2], [3, 4]]))
    tensor([1, 4])
    """
    return view_of_diagonal(A, offset, dim1, dim2)


@public(name="linalg.vander", method=False, kinds="ifc", samples=lambda: [
    Sample((3,)), Sample((3,), N=2), Sample((2, 3), N=5), Sample((3,), N=1, error=(RuntimeError, "N must be greater than 1.")),
])  # fmt: skip
def vander(x: Tensor, *, N: int | None = None) -> Tensor:
    """Return the matrices whose rows are the powers 0, 1, …, N - 1 of each element of vectors.

    Parameters
    ----------
    x : Tensor
        Shape (…, n).
    N : int, optional
        How many powers; n by default.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.vander(cr.tensor([2, 3]), N=3)
    tensor([[1, 2, 4],
            [1, 3, 9]])
    """
    a = operand(x, "linalg.vander", "x", 1)
    count = (a.shape[-1] if a.ndim else 1) if N is None else int(N)
    if count <= 1:
        raise RuntimeError("N must be greater than 1.")
    if not a.ndim:
        a = unsqueeze(a, axis=0)
    return powers_of(a, count)


def powers_of(x: Tensor, count: int) -> Tensor:
    """Return the powers 0, 1, …, count - 1 of each element, along a new last axis."""
    if count <= 1:  # no power of them at all
        return wrap(np.ones((*x.shape, count), numpy_dtype_of(x)))
    factors = broadcast_to(unsqueeze(x, axis=x.ndim), shape=(*x.shape, count - 1))
    if x.dtype.category <= dtypes.INT:
        factors = cast(factors, dtypes.int64)
    ones = np.ones((*x.shape, 1), numpy_dtype_of(factors))
    return cat(ones, cumprod(factors, axis=x.ndim, reverse=False), axis=x.ndim)
