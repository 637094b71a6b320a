"""Quantiles under PyTorch's names: a sort, two neighbours of each level, a line between them."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.call.dispatch import as_tensor
from chainrule.core.op.samples import Fixed, Sample
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import satisfies
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.shape import axis_index, kept
from chainrule.functions.adapt import public
from chainrule.functions.reduction.reduce import NAN
from chainrule.ops.comparison import order as ops
from chainrule.ops.indexing.scatter import gather
from chainrule.ops.indexing.select import where
from chainrule.ops.pointwise.arithmetic import lerp
from chainrule.ops.pointwise.rounding import ceil, floor, isnan, round
from chainrule.ops.reduction.reduce import any, sum
from chainrule.ops.shaping.shape import detach, permute, reshape, squeeze, to

__all__ = ["nanquantile", "quantile"]

_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _quantile(name: str, input: Any, q: Any, dim: int | None, keepdim: bool, interpolation: str, skip_nan: bool) -> Tensor:
    x = as_tensor(input, name)
    if x.dtype not in (dtypes.float32, dtypes.float64):
        raise RuntimeError("quantile() input tensor must be either float or double dtype")
    if not isinstance(q, (Tensor, np.ndarray)):
        if not 0 <= q <= 1:
            raise RuntimeError(f"quantile() q must be in the range [0, 1] but got {q:g}")
        q = x.dtype.numpy.type(q)
    q = as_tensor(q if isinstance(q, Tensor) else np.asarray(q))
    if not x.numel():
        raise RuntimeError("quantile() input tensor must be non-empty")
    if q.ndim > 1:
        raise RuntimeError("quantile() q must be a scalar or 1D tensor")
    if q.dtype is not x.dtype:
        raise RuntimeError("quantile() q tensor must be same dtype as the input tensor")
    if not satisfies(q, lambda levels: ((levels >= 0) & (levels <= 1)).all()):
        raise RuntimeError("quantile() q values must be in the range [0, 1]")
    if interpolation not in _INTERPOLATIONS:
        raise RuntimeError(
            f"quantile() interpolation must be one of linear, lower, higher, midpoint or nearest, but got {interpolation}"
        )
    shape = tuple(x.shape)
    axis = None if dim is None or not shape else axis_index(dim, x.ndim)
    if dim is not None:
        axis_index(dim, x.ndim)
    if axis is None:
        rows = reshape(x, shape=(1, x.numel()))
    else:
        rows = permute(x, order=(*[i for i in range(len(shape)) if i != axis], axis))
    values = _at_levels(rows, reshape(q, shape=(q.numel(),)), interpolation, skip_nan)
    last = values.ndim - 1
    values = permute(values, order=(last, *range(last)))  # PyTorch, too, makes an axis of levels and squeezes it away
    rest = kept(shape, tuple(range(len(shape))) if axis is None else (axis,)) if keepdim else rest_of(shape, axis)
    values = reshape(values, shape=(q.numel(), *rest))
    return squeeze(values, axis=() if q.ndim else (0,), form="4")


def rest_of(shape: tuple, axis: int | None) -> tuple:
    """Return the shape left after reducing one axis, or all."""
    return () if axis is None else shape[:axis] + shape[axis + 1 :]


def _at_levels(rows: Tensor, q: Tensor, interpolation: str, skip_nan: bool) -> Tensor:
    """Return the quantiles of the last axis, in place of that axis."""
    axis, numpy = rows.ndim - 1, rows.dtype.numpy
    *lead, size = rows.shape
    values, _ = ops.sort(rows, axis=axis, descending=False, stable=False)
    missing = isnan(values)
    if skip_nan:
        present = sum(_in_dtype(~missing, numpy), axis=(axis,), keepdims=True)
        ranks = where(present < 1, 0, q * (present - 1))
    else:  # NaNs are last: the result is NaN, of any level
        last = wrap(np.full((*lead, 1), size - 1, numpy))
        ranks = where(any(missing, axis=(axis,), keepdims=True), last, q * last)
    at = detach(ranks)
    if interpolation in ("lower", "higher", "nearest"):
        chosen = {"lower": floor, "higher": ceil, "nearest": round}[interpolation](at)
        return gather(values, _in_dtype(chosen, np.dtype(np.int64)), axis=axis)
    below = floor(at)
    low = gather(values, _in_dtype(below, np.dtype(np.int64)), axis=axis)
    high = gather(values, _in_dtype(ceil(at), np.dtype(np.int64)), axis=axis)
    return lerp(low, high, numpy.type(0.5) if interpolation == "midpoint" else ranks - below)


def _in_dtype(x: Tensor, numpy: np.dtype) -> Tensor:
    return to(x, dtype=numpy, source=x.dtype.numpy)


def _quantile_samples() -> list[Sample]:
    q = np.array([0.0, 0.4, 1.0])
    return [
        Sample((3, 4), 0.3), Sample((3, 4), 0.5, dim=1), Sample((2, 3, 4), Fixed(0.7), dim=1, keepdim=True),
        *[Sample((5, 4), 0.4, dim=0, interpolation=i) for i in _INTERPOLATIONS], Sample((3, 4), 0.2, keepdim=True),
        Sample(NAN, 0.5), Sample((3, 4), 1.5, error=(RuntimeError, "quantile() q must be in the range [0, 1] but got 1.5")),
        Sample((0,), 0.5, error=(RuntimeError, "quantile() input tensor must be non-empty")),
        Sample(np.arange(12.0).reshape(3, 4), q, dim=1), Sample(np.arange(12.0).reshape(3, 4), q, dim=0, keepdim=True),
    ]  # fmt: skip


@public(out=True, kinds="f", samples=_quantile_samples)
def quantile(input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear") -> Tensor:
    """Return quantiles, of all elements or along an axis.

    Parameters
    ----------
    input : Tensor
        Not empty, float32 or float64. The quantile is NaN if any element is.
    q : float or Tensor
        Levels in [0, 1]: a scalar, or one axis, which then comes first in the result.
    dim : int, optional
        The axis; all elements by default.
    keepdim : bool
        Keep the axis with size 1.
    interpolation : str
        What to take between two elements: ``"linear"``, ``"lower"``, ``"higher"``, ``"midpoint"`` or ``"nearest"``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.quantile(cr.tensor([1.0, 2.0, 3.0, 4.0]), 0.5)
    tensor(2.5000)
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation, skip_nan=False)


@public(out=True, kinds="f", samples=_quantile_samples)
def nanquantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """Return quantiles of the elements that are not NaN.

    Parameters
    ----------
    input, q, dim, keepdim, interpolation
        As for :func:`quantile`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nanquantile(cr.tensor([1.0, float("nan"), 3.0]), 0.5)
    tensor(2.)
    """
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, skip_nan=True)
