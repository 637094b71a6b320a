"""Searching, counting and distinct elements under PyTorch's names. Nothing here has a derivative."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.call.dispatch import as_tensor, cast, common_dtype
from chainrule.core.op.samples import Fixed, Ints, Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import innermost, satisfies
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.shape import axis_index
from chainrule.functions.adapt import public
from chainrule.ops.comparison import order as ops
from chainrule.ops.indexing.scatter import gather

__all__ = ["bincount", "bucketize", "histc", "isin", "searchsorted", "unique", "unique_consecutive"]

_EDGES = np.array([1.0, 2.0, 4.0])


def _search(name: str, boundaries: Tensor, values: Any, out_int32: bool, right: bool) -> Tensor:
    v = as_tensor(values, name, 1)
    d = dtypes.promote_types(boundaries.dtype, v.dtype)
    boundaries, v = cast(boundaries, d), cast(v, d)
    out = ops.searchsorted(boundaries, v, right=right)
    return cast(out, dtypes.int32) if out_int32 else out


@public(out="exact",
    kinds="if", method=False,
    samples=lambda: [
        Sample(_EDGES, (3, 2)), Sample(_EDGES, 2), Sample(_EDGES, 2, right=True),
        Sample(_EDGES, 2, side="right", out_int32=True),
        Sample(np.array([[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]]), (2, 5)), Sample(np.array([4.0, 1.0, 2.0]), (3,),
        sorter=np.array([1, 2, 0])),
        Sample(_EDGES, 2, side="left",
        right=True, error=(RuntimeError, "torch.searchsorted(): side and right can't be set to opposites")),
        Sample(_EDGES, 2, side="mid",
        error=(RuntimeError, "torch.searchsorted(): side can only be 'left' or 'right' but got mid")),
        Sample(np.ones((2, 3)), (1,), error=(RuntimeError, "torch.searchsorted(): boundaries tensor should be 1 dimension or")),
    ],
)  # fmt: skip
def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Any = None,
) -> Tensor:
    """Return the positions at which values keep a sorted sequence sorted.

    Parameters
    ----------
    sorted_sequence : Tensor
        Sorted along its last axis: one sequence, or one for each row of `input`.
    input : Tensor or number
        The values.
    out_int32 : bool
        Return int32 instead of int64.
    right : bool
        Among equals take the last position, not the first.
    side : str, optional
        ``"left"`` or ``"right"``: the same choice by name.
    sorter : Tensor of int, optional
        Indices that sort `sorted_sequence`, which then need not be sorted.

    Returns
    -------
    Tensor of int64 or int32
        Of the values' shape. Not differentiable.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.searchsorted(cr.tensor([1.0, 2.0, 4.0]), cr.tensor([2.0, 3.0]))
    tensor([1, 2])
    """
    boundaries = as_tensor(sorted_sequence, "searchsorted")
    if side not in (None, "left", "right"):
        raise RuntimeError(f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise RuntimeError(
            "torch.searchsorted(): side and right can't be set to opposites, got side of left while right was True"
        )
    if boundaries.ndim != 1:
        shape = tuple(input.shape) if isinstance(input, (Tensor, np.ndarray)) else ()
        if not boundaries.ndim or len(shape) != boundaries.ndim or shape[:-1] != tuple(boundaries.shape)[:-1]:
            raise RuntimeError(
                "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries "
                f"tensor and input value tensor must match, but we got boundaries tensor {list(boundaries.shape)} and "
                f"input value tensor {list(shape)}"
            )
    if sorter is not None:
        boundaries = gather(boundaries, as_tensor(sorter), axis=boundaries.ndim - 1)
    return _search("searchsorted", boundaries, input, out_int32, right or side == "right")


@public(out="exact",
    kinds="if", method=False,
    samples=lambda: [
        Sample((3, 2), _EDGES), Sample((3,), Fixed(_EDGES), right=True, out_int32=True), Sample(2, _EDGES),
        Sample((3,), np.ones((2, 2)), error=(RuntimeError, "boundaries tensor must be 1 dimension, but got dim(2)")),
    ],
)  # fmt: skip
def bucketize(input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """Return the bucket, between sorted boundaries, of each value.

    Parameters
    ----------
    input : Tensor or number
        The values.
    boundaries : Tensor
        One axis, sorted.
    out_int32 : bool
        Return int32 instead of int64.
    right : bool
        A boundary belongs to the bucket above it, not below.

    Returns
    -------
    Tensor of int64 or int32
        Of the values' shape. Not differentiable.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.bucketize(cr.tensor([0.5, 2.0, 9.0]), cr.tensor([1.0, 2.0, 4.0]))
    tensor([0, 1, 3])
    """
    edges = as_tensor(boundaries, "bucketize", 1)
    if edges.ndim != 1:
        raise RuntimeError(f"boundaries tensor must be 1 dimension, but got dim({edges.ndim})")
    return _search("bucketize", edges, input, out_int32, right)


def _chosen(found: tuple, inverse: bool, counts: bool) -> Any:
    picked = [found[0], *([found[1]] if inverse else []), *([found[2]] if counts else [])]
    return picked[0] if len(picked) == 1 else tuple(picked)


_DISTINCT = [
    Sample(Ints((6,), 0, 3)), Sample(Ints((3, 4), 0, 3), return_inverse=True, return_counts=True), Sample(Ints((), 0, 3)),
    Sample(Ints((5, 1), 0, 2), dim=0, return_inverse=True, return_counts=True), Sample(Ints((2, 5), 0, 2), dim=1),
]  # fmt: skip


@public(kinds="i", samples=lambda: _DISTINCT)
def unique(
    input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """Return the distinct elements, sorted, or the distinct slices along an axis.

    Parameters
    ----------
    input : Tensor
        Of any shape and real dtype.
    sorted : bool
        Whether the result must be sorted; it is in any case.
    return_inverse : bool
        Also return where each element is in the result.
    return_counts : bool
        Also return how often each occurs.
    dim : int, optional
        Compare slices along this axis; elements by default.

    Returns
    -------
    Tensor, or tuple of Tensor
        The values, then the indices and the counts asked for. A derivative in them raises, as PyTorch's does.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.unique(cr.tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    x = as_tensor(input, "unique")
    axis = None if dim is None else axis_index(dim, x.ndim)
    return _chosen(ops.unique(x, axis=axis), return_inverse, return_counts)


@public(kinds="i", samples=lambda: _DISTINCT)
def unique_consecutive(input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None) -> Any:
    """Return the first of every run of equal elements, or of equal slices along an axis.

    Parameters
    ----------
    input : Tensor
        Of any shape and real dtype.
    return_inverse, return_counts, dim
        As for :func:`unique`.

    Returns
    -------
    Tensor, or tuple of Tensor
        The values, then the indices and the counts asked for. A derivative in them raises, as PyTorch's does.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.unique_consecutive(cr.tensor([1, 1, 2, 1]))
    tensor([1, 2, 1])
    """
    x = as_tensor(input, "unique_consecutive")
    axis = None if dim is None else axis_index(dim, x.ndim)
    return _chosen(ops.unique_consecutive(x, axis=axis), return_inverse, return_counts)


@public(out="exact",
    kinds="if", method=False,
    samples=lambda: [
        Sample(Ints((3, 2), 0, 5), Ints((3,), 0, 5)), Sample(Ints((3,), 0, 5), 2), Sample(2, Ints((3,), 0, 5)),
        Sample(Ints((3,), 0, 5), Ints((2,), 0, 5), invert=True), Sample(Ints((3,), 0, 5), Fixed(np.array([2.0]))),
    ],
)  # fmt: skip
def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Tell for each element whether it is among the test elements.

    Parameters
    ----------
    elements, test_elements : Tensor or number
        Not both numbers.
    assume_unique : bool
        Promise that both have no duplicates; the result is the same.
    invert : bool
        Tell whether it is not among them.

    Returns
    -------
    Tensor of bool
        Of the shape of `elements`. Not differentiable.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.isin(cr.tensor([1, 2, 3]), cr.tensor([2, 5]))
    tensor([False,  True, False])
    """
    x, test = as_tensor(elements, "isin"), as_tensor(test_elements, "isin", 1)
    d = common_dtype((x, test))
    return ops.isin(cast(x, d), cast(test, d), invert=bool(invert))


@public(out=True,
    kinds="f",
    samples=lambda: [
        Sample((10,), 4), Sample((10,)), Sample((3, 4), bins=5, min=-1, max=1), Sample(np.array([2.0, 2.0]), 3),
        Sample((0,), 3),
        Sample((3,), 0, error=(RuntimeError, "torch.histogram(): bins must be > 0, but got 0 for dimension 0")),
        Sample((3,), 4, 3, 1, error=(RuntimeError, "torch.histc: max must be larger than min")),
    ],
)  # fmt: skip
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """Count the elements in equal bins between two bounds.

    Parameters
    ----------
    input : Tensor
        Of any shape, floating point.
    bins : int
        Number of bins.
    min, max : number
        The bounds; the input's smallest and largest element where both are equal. Elements outside are not counted.

    Returns
    -------
    Tensor
        `bins` counts in the input's dtype. Not differentiable.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.histc(cr.tensor([1.0, 2.0, 1.0]), bins=4, min=0, max=3)
    tensor([0., 2., 1., 0.])
    """
    x = as_tensor(input, "histc")
    if x.dtype.category != dtypes.FLOAT:
        raise NotImplementedError(f"\"histogram_cpu\" not implemented for '{x.dtype.old_name}'")
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    low, high = float(min), float(max)
    if low == high and x.numel():
        values = innermost(x)
        low, high = float(np.min(values)), float(np.max(values))
    if low == high:
        low, high = low - 1, high + 1
    if not (np.isfinite(low) and np.isfinite(high)):
        raise RuntimeError(f"torch.histc: range of [{low:g}, {high:g}] is not finite")
    if low > high:
        raise RuntimeError("torch.histc: max must be larger than min")
    return cast(ops.histc(x, bins=int(bins), low=low, high=high), x.dtype)


@public(
    kinds="i",
    samples=lambda: [
        Sample(Ints((6,), 0, 4)), Sample(Ints((6,), 0, 4), np.arange(6)), Sample(Ints((6,), 0, 4), minlength=9),
        Sample(Ints((0,), 0, 4)),
        Sample(np.array([-1]), error=(RuntimeError, "bincount only supports 1-d non-negative integral inputs.")),
        Sample(np.array([[1]]), error=(RuntimeError, "bincount only supports 1-d non-negative integral inputs.")),
        Sample(np.array([1]), minlength=-1, error=(RuntimeError, "minlength should be >= 0")),
        Sample(np.array([1, 2]), np.array([1.0]),
        error=(RuntimeError, "weights should be 1-d and have the same length as input")),
    ],
)  # fmt: skip
def bincount(input: Tensor, weights: Any = None, minlength: int = 0) -> Tensor:
    """Count how often each non-negative integer occurs, or sum its weights.

    Parameters
    ----------
    input : Tensor of int
        One axis.
    weights : Tensor, optional
        Of the same length.
    minlength : int
        Least length of the result.

    Returns
    -------
    Tensor
        Counts as int64, or sums as float32 for float32 weights, else as float64; differentiable in the weights.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.bincount(cr.tensor([1, 2, 2]))
    tensor([0, 1, 2])
    """
    x = as_tensor(input, "bincount")
    if x.dtype.category != dtypes.INT:
        raise NotImplementedError(f"\"bincount_cpu\" not implemented for '{x.dtype.old_name}'")
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if x.ndim != 1 or not satisfies(x, lambda values: (values >= 0).all()):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is None:
        return ops.bincount(x, None, minlength=int(minlength))
    w = as_tensor(weights, "bincount", 1)
    if w.ndim != 1 or w.shape[0] != x.shape[0]:
        raise RuntimeError("weights should be 1-d and have the same length as input")
    w = w if w.dtype is dtypes.float32 else cast(w, dtypes.float64)
    return ops.bincount(x, w, minlength=int(minlength))
