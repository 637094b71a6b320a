"""Norms of matrices and vectors, and condition numbers: `chainrule.linalg`'s part."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np

from chainrule.core.op.samples import Fixed, Matrices, Sample
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.shape import axis_index
from chainrule.functions.adapt import public
from chainrule.functions.linalg.arguments import check_dtype
from chainrule.functions.linalg.contract import operand
from chainrule.functions.reduction import vector_norm as norms
from chainrule.ops.indexing.select import where
from chainrule.ops.linalg import singular
from chainrule.ops.linalg.solve import inv
from chainrule.ops.pointwise.complex import abs
from chainrule.ops.reduction.reduce import amax, amin, sum
from chainrule.ops.shaping.shape import permute, reshape

__all__ = ["cond", "matrix_norm", "norm", "vector_norm"]


@public(name="linalg.vector_norm", method=False, out=True, samples=lambda: [
    *[Sample((3, 4), p) for p in (1, 2, 3.5, 0, inf, -inf, -1)], Sample((3, 4)), Sample((2, 3, 4), 2, dim=(0, 2), keepdim=True),
    Sample((3, 4), dim=1), Sample(()), Sample((3, 4), dtype=dtypes.float64, kinds="f"),
    Sample(np.array([1, 2]), error=(RuntimeError, "linalg.vector_norm: Expected a floating point or complex tensor as input.")),
])  # fmt: skip
def vector_norm(x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Return the norm of the elements along some axes, as of one vector.

    Parameters
    ----------
    x : Tensor
        Of any shape, floating point or complex.
    ord : number
        The order: (Σ |x|ᵖ)^(1/p), the largest size for inf, the smallest for -inf, the number that are not 0 for 0.
    dim : int or tuple of int, optional
        The axes; all by default.
    keepdim : bool
        Keep them with size 1.
    dtype : dtype, optional
        Cast to this first.

    Returns
    -------
    Tensor
        Real. Where the norm is 0 its gradient is 0.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.vector_norm(cr.tensor([[3.0, 4.0]]))
    tensor(5.)
    """
    return norms.vector_norm(operand(x, "linalg.vector_norm", "x", 1), float(ord), dim, keepdim, dtype)


# -- norms of matrices -------------------------------------------------------------------------------------------------


def _pair(dim: Any, ndim: int) -> tuple[int, int]:
    dims = tuple(dim) if isinstance(dim, (tuple, list)) else (dim,)
    if len(dims) != 2:
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {' '.join(map(str, dims))}")
    a, b = (axis_index(d, ndim) for d in dims)
    if a == b:
        raise RuntimeError(f"linalg.matrix_norm: dims must be different. Got ({dims[0]}, {dims[1]})")
    return a, b


def _checked(A: Any, name: str = "linalg.matrix_norm") -> Tensor:
    x = operand(A, name, "A", 1)
    if x.dtype.category < dtypes.FLOAT:
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {x.dtype.old_name}")
    if x.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    return x


def _by_values(x: Tensor, ord: Any, a: int, b: int, keepdim: bool) -> Tensor:
    """Return a norm of the singular values."""
    rest = [k for k in range(x.ndim) if k not in (a, b)]
    s = singular.svdvals(permute(x, order=(*rest, a, b)))
    axis = (s.ndim - 1,)
    if ord == "nuc" or not s.shape[-1]:
        out = sum(s, axis=axis, keepdims=False)
    else:
        out = (amax if ord > 0 else amin)(s, axis=axis, keepdims=False)
    return reshape(out, shape=tuple([1 if k in (a, b) else n for k, n in enumerate(x.shape)])) if keepdim else out


def _by_sums(x: Tensor, ord: float, a: int, b: int, keepdim: bool) -> Tensor:
    """Return the largest or smallest sum of sizes along the columns (order ±1) or rows (±inf)."""
    along, other = (a, b) if ord in (1, -1) else (b, a)
    sums = sum(abs(x), axis=(along,), keepdims=True)
    if not sums.shape[other]:
        out = sum(sums, axis=(other,), keepdims=True)
    else:
        out = (amax if ord > 0 else amin)(sums, axis=(other,), keepdims=True)
    return out if keepdim else reshape(out, shape=tuple([n for k, n in enumerate(out.shape) if k not in (a, b)]))


@public(name="linalg.matrix_norm", method=False, out=True, samples=lambda: [
    *[Sample((3, 4), p) for p in ("fro", "nuc", 1, -1, 2, -2, inf, -inf)],
    *[Sample((2, 3, 2), p, dim=(0, 2), keepdim=True) for p in
    ("fro", "nuc", 1, -2, -inf)], Sample((2, 3, 2)), Sample((0, 3), 1), Sample((0, 3), "nuc"),
    Sample((3, 2), 2, dtype=dtypes.float64, kinds="f"), Sample((2, 3, 4), "fro", dim=(-3, -1)),
    Sample((3, 4), 3, error=(RuntimeError, "linalg.matrix_norm: Order 3 not supported.")),
    Sample((3, 4), "x", error=(RuntimeError, "linalg.matrix_norm: Order x not supported.")),
    Sample((3, 4), 2, Fixed((0, 0)), error=(RuntimeError, "linalg.matrix_norm: dims must be different. Got (0, 0)")),
    Sample((3,), error=(RuntimeError, "linalg.matrix_norm: The input tensor A must have at least 2 dimensions.")),
])  # fmt: skip
def matrix_norm(A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Return the norms of matrices.

    Parameters
    ----------
    A : Tensor
        Of at least two axes.
    ord : {"fro", "nuc", 1, -1, 2, -2, inf, -inf}
        The root of the sum of squares; the sum of singular values; the largest or smallest sum of sizes of a column (±1),
        or of a row (±inf); the largest or smallest singular value (±2).
    dim : tuple of two ints
        The axes of rows and columns.
    keepdim : bool
        Keep them with size 1.
    dtype : dtype, optional
        Cast to this first.

    Returns
    -------
    Tensor
        Real.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.matrix_norm(cr.tensor([[3.0, 0.0], [0.0, -4.0]]), "nuc")
    tensor(7.)
    """
    x = _checked(A)
    a, b = _pair(dim, x.ndim)
    x = norms.widened(x, dtype, "linalg.matrix_norm")
    if isinstance(ord, str):
        if ord not in ("fro", "nuc"):
            raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    elif float(ord) not in (1, -1, 2, -2, inf, -inf):
        raise RuntimeError(f"linalg.matrix_norm: Order {ord:g} not supported.")
    if ord == "fro":
        return norms.vector_norm(x, 2.0, (a, b), keepdim)
    if ord == "nuc" or float(ord) in (2, -2):
        check_dtype(x, "linalg.matrix_norm")
        return _by_values(x, ord if ord == "nuc" else float(ord), a, b, keepdim)
    return _by_sums(x, float(ord), a, b, keepdim)


@public(name="linalg.norm", method=False, out=True, samples=lambda: [
    Sample((3, 4)), Sample((2, 3, 4)), Sample((3,), 3),
    Sample((3, 4), 2), Sample((3, 4), 1, 0), Sample((2, 3, 4), "nuc", Fixed((0, 1))),
    Sample((3, 4), "fro"), Sample((3, 4), inf, dim=(0, 1), keepdim=True), Sample((3, 4), None, Fixed((0,))),
    Sample((2, 3, 4), 2, error=(RuntimeError, "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. ")),
    Sample((2, 3, 4), 2, dim=(0, 1, 2), error=(RuntimeError, "linalg.norm: If dim is specified, it must be of length 1 or")),
])  # fmt: skip
def norm(A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Return a norm of vectors or matrices: :func:`vector_norm` along one axis, :func:`matrix_norm` along two.

    Parameters
    ----------
    A : Tensor
        Of any shape; if `ord` is given and `dim` not, a vector or matrix.
    ord : number or str, optional
        The order; by default 2, of all elements as one vector if `dim` is not given.
    dim : int or tuple of int, optional
        One axis or two.
    keepdim : bool
        Keep them with size 1.
    dtype : dtype, optional
        Cast to this first.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.norm(cr.tensor([[3.0, 0.0], [0.0, 4.0]])), cr.linalg.norm(cr.eye(2) * 3, 2)
    (tensor(5.), tensor(3.))
    """
    x = operand(A, "linalg.norm", "A", 1)
    dims = None if dim is None else tuple(dim) if isinstance(dim, (tuple, list)) else (dim,)
    if dims is not None and len(dims) not in (1, 2):
        raise RuntimeError(f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(dims)}")
    if dims is None and ord is not None and x.ndim not in (1, 2):
        raise RuntimeError(f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {x.ndim}D.")
    if ord is None:
        return norms.vector_norm(x, 2.0, dims, keepdim, dtype)
    if (dims is not None and len(dims) == 2) or (dims is None and (x.ndim == 2 or isinstance(ord, str))):
        return matrix_norm(x, ord, (-2, -1) if dims is None else dims, keepdim, dtype=dtype)
    if isinstance(ord, str):
        return matrix_norm(x, ord, dims, keepdim, dtype=dtype)
    return norms.vector_norm(x, float(ord), dims, keepdim, dtype)


# -- condition numbers -------------------------------------------------------------------------------------------------


@public(name="linalg.cond", method=False, out=True, samples=lambda: [
    *[Sample(Matrices((3, 3)), p) for p in (None, 2, -2, 1, -1, inf, -inf, "fro", "nuc")], Sample((4, 2)), Sample((2, 3, 3), 1),
    Sample((0, 0)), Sample(np.ones((2, 2)), 1),
    Sample((2, 3), 1, error=(RuntimeError, "linalg.cond(ord=1): A must be batches of square matrices, but they are 2 by 3 ma")),
    Sample((2, 2), 3, error=(RuntimeError, "linalg.cond got an invalid norm type: 3")),
    Sample((3,), error=(RuntimeError, "linalg.cond: The input tensor must have at least 2 dimensions.")),
])  # fmt: skip
def cond(A: Tensor, p: Any = None) -> Tensor:
    """Return the condition numbers of matrices: a norm times that of the inverse.

    Parameters
    ----------
    A : Tensor
        Shape (…, m, n); square, except for the orders None, 2 and -2.
    p : {None, 2, -2, 1, -1, inf, -inf, "fro", "nuc"}
        The order of :func:`matrix_norm`. None and 2: the largest singular value by the smallest; -2: the
        inverse of that.

    Returns
    -------
    Tensor
        Real, of shape (…); infinite for a singular matrix.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.cond(cr.tensor([[4.0, 0.0], [0.0, 2.0]]))
    tensor(2.)
    """
    x = operand(A, "linalg.cond", "A", 1)
    if x.ndim < 2:
        raise RuntimeError("linalg.cond: The input tensor must have at least 2 dimensions.")
    if isinstance(p, str) and p not in ("fro", "nuc"):
        raise RuntimeError(f"linalg.cond got an invalid norm type: {p}")
    if p is not None and not isinstance(p, str) and float(p) not in (1, -1, 2, -2, inf, -inf):
        raise RuntimeError(f"linalg.cond got an invalid norm type: {p:g}")
    if not x.shape[-1] or not x.shape[-2]:
        return wrap(np.zeros(tuple(x.shape[:-2]), x.dtype.to_real().numpy))
    if p is None or (not isinstance(p, str) and float(p) in (2, -2)):
        check_dtype(x, "linalg.svd", "linalg_svd_cpu")
        s = singular.svdvals(x)
        largest, smallest = (f(s, axis=(s.ndim - 1,), keepdims=False) for f in (amax, amin))
        return smallest / largest if p is not None and float(p) == -2 else largest / smallest
    if x.shape[-1] != x.shape[-2]:
        name = p if isinstance(p, str) else f"{p:g}"
        raise RuntimeError(
            f"linalg.cond(ord={name}): A must be batches of square matrices, but they are {x.shape[-2]} by {x.shape[-1]} "
            "matrices"
        )
    check_dtype(x, "linalg.cond")
    inverse, info = inv(x)
    if p == "nuc":  # which has no singular values of what is infinite
        regular = reshape(info, shape=(*info.shape, 1, 1)) == 0
        inverse = where(regular, inverse, 0.0)
    return where(info == 0, matrix_norm(x, p) * matrix_norm(inverse, p), inf)
