"""Norms of tensors as one vector, under PyTorch's names."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np

from chainrule.core.call.dispatch import as_tensor, cast, common_dtype
from chainrule.core.op.samples import Fixed, Ints, Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.shape import axis_index, broadcast
from chainrule.functions.adapt import public
from chainrule.functions.reduction.vector_norm import vector_norm
from chainrule.ops.indexing.select import where
from chainrule.ops.reduction import statistics as ops
from chainrule.ops.shaping.shape import detach

__all__ = ["dist", "norm", "renorm"]


@public(out=True,
    samples=lambda: [
        *[Sample((3, 4), p) for p in (1, 2, 3, 0.5, inf, -inf, "fro", "nuc")], Sample((3, 4), 2, 1), Sample((2, 3, 4),
        p=3, dim=(0, 2), keepdim=True), Sample((2, 3, 4), "nuc", Fixed((2, 0)), True),
        Sample((3, 4)), Sample((), 2), Sample((0,)), Sample(np.zeros(3)), Sample(np.zeros(3), 1), Sample(np.zeros(3), 3),
        Sample(np.zeros(3), 0.5),
        Sample(np.zeros(3), inf), Sample(np.array([1.0, -1.0]), inf), Sample((3, 4), "fro", Fixed((0, 1))),
        Sample((3, 4), 0.5, 0),
        Sample(Ints((3,), 0, 4),
        error=(RuntimeError, "linalg.vector_norm: Expected a floating point or complex tensor as input. Got Long")),
        Sample((2, 3, 4), "nuc", error=(RuntimeError, "linalg.matrix_norm: dim must be a 2-tuple. Got 0 1 2")),
        Sample((2, 3), "nuc", 0, error=(RuntimeError, "linalg.matrix_norm: dim must be a 2-tuple. Got 0")),
        Sample((2, 3), "x", error=(RuntimeError, "linalg.matrix_norm: Order x not supported.")),
    ],
)  # fmt: skip
def norm(input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Return the p-norm of the elements as one vector, over all axes or some.

    Parameters
    ----------
    input : Tensor
        Of any shape, floating point or complex.
    p : number, ``"fro"`` or ``"nuc"``
        Order of the vector norm; ``"fro"`` is 2; ``"nuc"`` is the sum of the singular values of matrices.
    dim : int or tuple of int, optional
        Axes; all by default. Two for ``"nuc"``.
    keepdim : bool
        Keep the axes with size 1.
    dtype : dtype, optional
        Cast to this first.

    Returns
    -------
    Tensor
        Real. Where the norm is 0 its gradient is 0; of order inf, ties share.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.norm(cr.tensor([3.0, 4.0]))
    tensor(5.)
    """
    x = as_tensor(input, "norm")
    if isinstance(p, str):
        if p != "fro":
            from chainrule.functions.linalg.size import matrix_norm  # of 2 ms to import, and of use here alone

            return matrix_norm(x, p, tuple(range(x.ndim)) if dim is None else dim, keepdim, dtype=dtype)
        p = 2
    elif p is None:
        p = 2
    return vector_norm(x, float(p), dim, keepdim, dtype)


@public(
    samples=lambda: [
        Sample((3, 4), (3, 4)),
        Sample((3, 4), (4,), 1),
        Sample((3,), (3,), p=inf),
        Sample((), ()),
        Sample(np.ones(3), Fixed(np.ones(3))),
    ]
)
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """Return the p-norm of the difference of two tensors.

    Parameters
    ----------
    input, other : Tensor
        Broadcast together.
    p : number
        Order of the norm.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.dist(cr.tensor([3.0, 4.0]), cr.tensor([0.0, 0.0]))
    tensor(5.)
    """
    x, y = as_tensor(input, "dist"), as_tensor(other, "dist", 1)
    d = common_dtype((x, y))
    if d.category < dtypes.FLOAT:
        raise RuntimeError(f"norm(): input dtype should be either floating point or complex. Got {d.old_name} instead.")
    if x.dtype.name == "bool" or y.dtype.name == "bool":
        raise RuntimeError("Subtraction, the `-` operator, with a bool tensor is not supported.")
    broadcast(tuple(x.shape), tuple(y.shape))
    return ops.dist(cast(x, d), cast(y, d), order=float(p))


@public(out=True,
    inplace=True,
    samples=lambda: [
        Sample((3, 4), 2, 0, 1.0), Sample((3, 4), 1, 1, 0.5), Sample((2, 3, 4), 3, -2, 2.0), Sample(np.zeros((2, 2)),
        2, 0, 1.0),
        Sample((3,), 2, 0, 1.0, error=(RuntimeError, "renorm: input needs at least 2 dimensions, got 1 dimensions")),
        Sample((3, 4), -1, 0, 1.0, error=(RuntimeError, "renorm: non-positive-norm not supported")),
    ],
)  # fmt: skip
def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """Scale down the slices along an axis whose p-norm exceeds a bound.

    Parameters
    ----------
    input : Tensor
        Of at least two axes.
    p : number
        Order of the norm.
    dim : int
        The axis whose slices are scaled.
    maxnorm : number
        The bound.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.renorm(cr.tensor([[3.0, 4.0], [0.3, 0.4]]), 2, 0, 1.0)
    tensor([[0.6000, 0.8000],
            [0.3000, 0.4000]])
    """
    x = as_tensor(input, "renorm")
    if p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if not maxnorm >= 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    if x.ndim < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {x.ndim} dimensions")
    axis = axis_index(dim, x.ndim)
    rest = tuple(i for i in range(x.ndim) if i != axis)
    large = vector_norm(detach(x), float(p), rest, True) > maxnorm
    size = vector_norm(where(large, x, 1.0), float(p), rest, True)  # the others' may be NaN, and so may its derivative
    return where(large, x * cast(maxnorm / (size + 1e-7), size.dtype), x)
