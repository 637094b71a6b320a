"""Distances and similarities of vectors: a part of `chainrule.nn.functional`.

All are composed of differences and `vector_norm`, whose derivative where the norm is 0 is 0; so are theirs, to every order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.call.asking import asks
from chainrule.core.call.dispatch import as_tensor, cast, common_dtype
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.shape import axis_index, broadcast
from chainrule.core.write.out import into
from chainrule.functions.reduction.vector_norm import vector_norm
from chainrule.ops.indexing.index import index
from chainrule.ops.pointwise.extremum import clamp_min
from chainrule.ops.reduction.reduce import sum
from chainrule.ops.shaping.shape import broadcast_to, detach

__all__ = ["cosine_similarity", "normalize", "pairwise_distance", "pdist"]


def held_above(x: Tensor, low: float) -> Tensor:
    """Return `x` where it is above `low`, and `low` elsewhere; the derivative is 1 in both places."""
    return x + detach(clamp_min(x, low) - x)


@asks
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Return the cosine of the angle between vectors along an axis, ``x1 · x2 / (max(‖x1‖, eps) max(‖x2‖, eps))``.

    Parameters
    ----------
    x1, x2 : Tensor
        Floating point; they broadcast.
    dim : int
        The axis along which the vectors lie.
    eps : float
        Norms are taken as at least this; it does not cut off their derivative.

    Returns
    -------
    Tensor
        Of the broadcast shape without the axis.

    Raises
    ------
    RuntimeError
        If the dtype is not floating point, or the shapes do not broadcast.
    IndexError
        If the axis is out of range.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.cosine_similarity(cr.tensor([[1.0, 0.0]]), cr.tensor([[1.0, 1.0]]))
    tensor([0.7071])
    """
    x, y = as_tensor(x1, "cosine_similarity"), as_tensor(x2, "cosine_similarity", 1)
    d = common_dtype((x, y))
    if d.category != dtypes.FLOAT:
        raise RuntimeError(f"expected common dtype to be floating point, yet common dtype is {d.old_name}")
    shape = broadcast(tuple(x.shape), tuple(y.shape))
    axis = axis_index(dim, len(shape))
    x, y = (broadcast_to(cast(z, d), shape=shape) for z in (x, y))
    x, y = (z / held_above(vector_norm(z, 2.0, axis, True), eps) for z in (x, y))
    return sum(x * y, axis=(axis,) if shape else (), keepdims=False)


@asks
def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """Return the p-norm of ``x1 - x2 + eps`` along the last axis.

    Parameters
    ----------
    x1, x2 : Tensor
        Of shapes (..., D); they broadcast.
    p : float
        The norm's order.
    eps : float
        Added to each element of the difference, so that the derivative exists where both are equal.
    keepdim : bool
        Keep the last axis with size 1.

    Returns
    -------
    Tensor
        Of the broadcast shape without the last axis.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.pairwise_distance(cr.tensor([[3.0, 0.0]]), cr.tensor([[0.0, 4.0]]))
    tensor([5.])
    """
    x, y = as_tensor(x1, "pairwise_distance"), as_tensor(x2, "pairwise_distance", 1)
    gap = x - y + eps
    return vector_norm(gap, float(p), max(x.ndim, y.ndim) - 1, keepdim)


@asks
def pdist(input: Tensor, p: float = 2) -> Tensor:
    """Return the p-norm distances of all pairs of rows i < j, in the order (0, 1), (0, 2), ..., (1, 2), ...

    Parameters
    ----------
    input : Tensor
        Floating point, of shape (N, M).
    p : float
        The norm's order, not negative; 0 counts the elements that differ, inf takes the largest difference.

    Returns
    -------
    Tensor
        Of shape (N (N - 1) / 2,). The derivative of the distance of two equal rows is 0.

    Raises
    ------
    RuntimeError
        If `input` is not a floating point matrix, or `p` is negative.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.pdist(cr.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]]))
    tensor([5.0000, 1.0000, 4.2426])
    """
    x = as_tensor(input, "pdist")
    if x.ndim != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {x.ndim}D")
    if x.dtype.category != dtypes.FLOAT:
        raise RuntimeError("pdist only supports floating-point dtypes")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    first, second = (np.ascontiguousarray(i) for i in np.triu_indices(x.shape[0], 1))
    gap = index(x, first, axes=(0,)) - index(x, second, axes=(0,))
    if not x.shape[1]:
        return sum(gap, axis=(1,), keepdims=False)
    return vector_norm(gap, float(p), 1, False)


@asks
def normalize(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Any = None) -> Tensor:
    """Return the vectors along an axis divided by their p-norms, or by `eps` where that is larger.

    Parameters
    ----------
    input : Tensor
        Floating point or complex.
    p : float
        The norm's order.
    dim : int or tuple of int
        The axes along which the vectors lie.
    eps : float
        The least divisor.
    out : Tensor, optional
        Write the result into this tensor.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Raises
    ------
    IndexError
        If an axis is out of range.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.normalize(cr.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """
    if out is not None:
        return into(out, "normalize", normalize, (input, p, dim, eps), {}, exact=False)
    x = as_tensor(input, "normalize")
    size = vector_norm(x, float(p), dim, True)
    return x / clamp_min(size, eps)
