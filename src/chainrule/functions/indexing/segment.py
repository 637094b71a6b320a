"""Reductions of consecutive stretches of an axis.

They are declared when one of them is first used: see `functions.late`.
"""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np

from chainrule.core.call.dispatch import as_tensor
from chainrule.core.op.samples import Sample
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import innermost
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.shape import axis_index
from chainrule.functions.adapt import public
from chainrule.functions.indexing.scatter import scatter_reduce
from chainrule.ops.indexing.select import where
from chainrule.ops.indexing.view import getitem
from chainrule.ops.pointwise.arithmetic import mul

__all__ = ["segment_reduce"]

_REDUCTIONS = {"sum": "sum", "mean": "sum", "prod": "prod", "max": "amax", "amax": "amax", "min": "amin", "amin": "amin"}
_OF_NOTHING = {"sum": 0.0, "mean": np.nan, "prod": 1.0, "amax": -inf, "amin": inf}


def _samples() -> list[Sample]:
    lengths, rows, each = np.array([1, 0, 2]), np.array([[1, 1], [2, 0], [0, 2]]), ("sum", "mean", "max", "min", "prod")
    return [
        *[Sample((3, 2), reduce, lengths=lengths) for reduce in each],
        *[Sample((3, 2), reduce, lengths=lengths, initial=0.5) for reduce in each],
        Sample((3, 2), "sum", offsets=np.array([0, 1, 3])), Sample((3, 2), "mean", offsets=np.array([1, 3])),
        Sample((3, 2, 2), "max", lengths=rows, axis=1), Sample((3, 2), "sum", lengths=np.array([1, 1]), unsafe=True),
        Sample((0, 2), "sum", lengths=np.zeros(2, int)),
        *[Sample(np.array([1.0, 2.0, 0.5, 3.0]), r, lengths=np.array([2, 2]), initial=2.0) for r in ("max", "min")],
        Sample((3,), "mode", lengths=lengths,
               error=(RuntimeError, "reduce argument must be either sum, prod, mean, amax or amin, got mode")),
        Sample((3,), "sum", error=(RuntimeError, "segment_reduce(): Either lengths or offsets must be defined.")),
        Sample((3,), "sum", indices=lengths, error=(RuntimeError, "segment_reduce(): indices based reduction is not")),
        Sample((3,), "sum", lengths=np.array([1, 1]), error=(RuntimeError, "segment_reduce(): Expected all rows of leng")),
        Sample((3,), "sum", lengths=np.array([-1, 4]), error=(RuntimeError, "lengths contains negative value!")),
        Sample((3, 2), "sum", lengths=lengths, axis=1,
               error=(RuntimeError, "segment_reduce(): Expected axis to be the last dimension of lengths but got 1.")),
        Sample((3,), "sum", offsets=np.array([0, 2, 1]), error=(RuntimeError, "Expected segment_length >= 0 to be true")),
    ]  # fmt: skip


def _integers(value: Any, what: str) -> np.ndarray:
    t = as_tensor(value, "segment_reduce")
    if t.dtype not in (dtypes.int64, dtypes.int32):
        raise NotImplementedError(f"\"_segment_reduce_{what}_cpu_kernel1\" not implemented for '{t.dtype.old_name}'")
    return np.asarray(innermost(t)).astype(np.int64)


def _edges(lengths: Any, offsets: Any, shape: tuple, axis: int, unsafe: bool) -> np.ndarray:
    """Return where segments begin and end along the axis, with one entry more than there are segments."""
    given = _integers(lengths, "lengths") if lengths is not None else _integers(offsets, "offsets")
    if len(shape) < given.ndim:
        raise RuntimeError("Expected data.dim() >= lengths_value.dim() to be true, but got false.")
    if axis != given.ndim - 1:
        what = "lengths" if lengths is not None else "offsets"
        raise RuntimeError(f"segment_reduce(): Expected axis to be the last dimension of {what} but got {axis}.")
    if given.shape[:-1] != shape[:axis]:
        raise RuntimeError(f"segment_reduce(): lengths or offsets of {given.shape} do not fit the leading axes of {shape}")
    size = shape[axis]
    if lengths is None:
        if np.any(np.diff(given, axis=-1) < 0):
            raise RuntimeError("Expected segment_length >= 0 to be true, but got false.")
        if given.size and (given.min() < 0 or given.max() > size):
            raise IndexError(f"segment_reduce(): offsets are to be from 0 through {size}, the size of the axis")
        return given
    if np.any(given < 0):
        raise RuntimeError("lengths contains negative value!")
    ends = np.cumsum(given, axis=-1)
    total = ends[..., -1:] if given.shape[-1] else np.zeros((*given.shape[:-1], 1), np.int64)
    if np.any(total > size) if unsafe else np.any(total != size):
        raise RuntimeError(
            "segment_reduce(): Expected all rows of lengths along axis to sum to data.size(lengths.dim()-1) when !unsafe."
        )
    return np.concatenate([np.zeros((*ends.shape[:-1], 1), np.int64), ends], axis=-1)


@public(method=False, out=True, kinds="f", samples=_samples)
def segment_reduce(
    data: Tensor, reduce: str, *, lengths: Tensor | None = None, indices: Tensor | None = None, offsets: Tensor | None = None,
    axis: int = 0, unsafe: bool = False, initial: Any = None,
) -> Tensor:  # fmt: skip
    """Return the sum, mean, product or an extremum of each of the stretches that follow one another along an axis.

    Parameters
    ----------
    data : Tensor
        Floating point.
    reduce : {"sum", "mean", "max", "min", "prod"}
        What to make of a segment. Gradients of ties in max and min split evenly.
    lengths : Tensor of int, optional
        Of the segments, of the shape ``(*data.shape[:axis], segments)``; they take up the whole axis.
    indices : None
        PyTorch has no reduction by them yet.
    offsets : Tensor of int, optional
        In place of `lengths`: where segments begin and, at last, where the last ends.
    axis : int
        The axis, which is the last one of `lengths`.
    unsafe : bool
        Let lengths take up less than the whole axis.
    initial : number, optional
        What each reduction starts with. Without it empty segments give 0, NaN, 1, -inf and inf for sum, mean, prod, max, min.

    Returns
    -------
    Tensor
        With an element for each segment along the axis.

    Raises
    ------
    RuntimeError
        If lengths or offsets do not fit, or the reduction is unknown.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.segment_reduce(cr.tensor([1.0, 2.0, 4.0]), "sum", lengths=cr.tensor([1, 2]))
    tensor([1., 6.])
    """
    x = as_tensor(data, "segment_reduce")
    place = axis_index(axis, x.ndim)
    if reduce not in _REDUCTIONS:
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    if indices is not None:
        raise RuntimeError("segment_reduce(): indices based reduction is not supported yet.")
    if lengths is None and offsets is None:
        raise RuntimeError("segment_reduce(): Either lengths or offsets must be defined.")
    if x.dtype.category != dtypes.FLOAT:
        raise NotImplementedError(f"\"_segment_reduce_cpu\" not implemented for '{x.dtype.old_name}'")
    edges = _edges(lengths, offsets, tuple(x.shape), place, bool(unsafe))
    return _reduced(x, _REDUCTIONS[reduce], edges, place, initial, mean=reduce == "mean")


def _segments(edges: np.ndarray, size: int) -> np.ndarray:
    """Return the segment of each place along the axis; of those that lie in none, one more than there are."""
    count = edges.shape[-1] - 1
    rows = np.arange(edges[..., 0].size)[:, None]  # one search for all: each row's edges and places follow those before
    found = np.searchsorted(
        (edges.reshape(-1, count + 1) + rows * (size + 1)).reshape(-1), np.arange(size) + rows * (size + 1), side="right"
    )
    segment = found - rows * (count + 1) - 1
    return np.where(segment < 0, count, segment).reshape(*edges.shape[:-1], size)


def _reduced(x: Tensor, reduce: str, edges: np.ndarray, axis: int, initial: Any, mean: bool) -> Tensor:
    count = edges.shape[-1] - 1
    rest = x.shape[axis + 1 :]
    index = np.broadcast_to(_segments(edges, x.shape[axis]).reshape(*x.shape[: axis + 1], *(1,) * len(rest)), tuple(x.shape))
    first = _OF_NOTHING[reduce] if initial is None else float(initial)
    extreme = reduce in ("amax", "amin")
    start = np.full((*x.shape[:axis], count + 1, *rest), _OF_NOTHING[reduce] if extreme else first, x.dtype.numpy)
    found = scatter_reduce(wrap(start), axis, wrap(index.copy()), x, reduce, include_self=not extreme)
    out: Any = getitem(found, index=(*(slice(None),) * axis, slice(count)))
    if extreme:  # compared apart, so that of elements that equal it the initial value takes no share
        return out if initial is None else where((out < first) if reduce == "amax" else (out > first), first, out)
    if not mean:
        return out
    sizes = np.diff(edges, axis=-1).reshape(*edges.shape[:-1], count, *(1,) * len(rest))
    share = np.where(sizes > 0, 1 / np.maximum(sizes, 1), np.nan if initial is None else 1).astype(x.dtype.numpy)
    return mul(out, share)
