"""Sorting, selection and quantiles under PyTorch's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core import dtype as dtypes
from chainrule.core.dispatch import as_tensor
from chainrule.core.sample import Fixed, Sample
from chainrule.core.shape import axis_index, kept
from chainrule.core.tensor import Tensor, innermost
from chainrule.functions.adapt import public
from chainrule.functions.reduce import NAN, OUT_OF_RANGE, refuse_complex, refuse_empty
from chainrule.ops import order as ops, reduce
from chainrule.ops.scatter import gather
from chainrule.ops.shape import permute, reshape, squeeze
from chainrule.return_types import named_result

__all__ = [
    "argsort", "kthvalue", "median", "mode", "msort", "nanmedian", "nanquantile", "quantile", "sort", "topk",
]  # fmt: skip

_sort, _topk = named_result("sort", "values", "indices"), named_result("topk", "values", "indices")
_kthvalue, _mode = named_result("kthvalue", "values", "indices"), named_result("mode", "values", "indices")
_median, _nanmedian = named_result("median", "values", "indices"), named_result("nanmedian", "values", "indices")


# -- sorting -----------------------------------------------------------------------------------------------------------


@public(
    kinds="bif",
    samples=lambda: [
        Sample((3, 4)), Sample((3, 4), dim=0, descending=True), Sample((2, 3, 4), dim=1, stable=True), Sample(()), Sample((0, 3)),
        Sample(np.array([2.0, np.nan, 1.0, 2.0])), Sample(np.array([2.0, np.nan, 1.0, 2.0]), descending=True),
        Sample((3, 4), dim=2, error=OUT_OF_RANGE),
    ],
)  # fmt: skip
def sort(input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Any:
    """Sort the elements along an axis; NaN counts as the largest.

    Parameters
    ----------
    input : Tensor
        Of any shape and real dtype.
    dim : int
        The axis.
    descending : bool
        Put the largest first.
    stable : bool
        Keep the order of equal elements; it is kept in any case.

    Returns
    -------
    namedtuple (values, indices)
        Each value's gradient goes to the element it came from.

    Examples
    --------
    >>> import chainrule as cr
    >>> values, indices = cr.sort(cr.tensor([3.0, 1.0, 2.0]))
    >>> values, indices
    (tensor([1., 2., 3.]), tensor([1, 2, 0]))
    """
    x = as_tensor(input, "sort")
    refuse_complex(x, " Sort does not support complex dtypes on CPU", RuntimeError)
    return _sort(*ops.sort(x, axis=axis_index(dim, x.ndim), descending=bool(descending), stable=bool(stable)))


@public(kinds="bif", samples=lambda: [Sample((3, 4)), Sample((5,)), Sample((0, 3))])
def msort(input: Tensor) -> Tensor:
    """Sort the elements along the first axis.

    Parameters
    ----------
    input : Tensor
        Of at least one axis and any real dtype.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.msort(cr.tensor([[3.0, 1.0], [2.0, 4.0]]))
    tensor([[2., 1.],
            [3., 4.]])
    """
    return sort(input, 0)[0]


@public(
    kinds="bif",
    samples=lambda: [Sample((3, 4)), Sample((3, 4), dim=0, descending=True), Sample((2, 3, 4), dim=1, stable=True), Sample(())],
)  # fmt: skip
def argsort(input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Tensor:
    """Return the indices that sort the elements along an axis.

    Parameters
    ----------
    input, dim, descending, stable
        As for :func:`sort`.

    Returns
    -------
    Tensor of int64
        Not differentiable.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.argsort(cr.tensor([3.0, 1.0, 2.0]))
    tensor([1, 2, 0])
    """
    return sort(input, dim, descending, stable=stable)[1]


@public(
    kinds="f",
    samples=lambda: [
        Sample((5,), 2), Sample((3, 4), 3, dim=0), Sample((3, 4), 2, largest=False), Sample((), 1), Sample((3, 4), 0),
        Sample((100,), 5), Sample((3,), 5, error=(RuntimeError, "selected index k out of range")),
    ],
)  # fmt: skip
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """Return the `k` largest (or smallest) elements along an axis and their indices.

    Parameters
    ----------
    input : Tensor
        Of any shape, integer or floating point.
    k : int
        How many; at most the size of the axis.
    dim : int
        The axis.
    largest : bool
        Take the largest, else the smallest.
    sorted : bool
        Whether the result must be in order; it is in any case.

    Returns
    -------
    namedtuple (values, indices)

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.topk(cr.tensor([3.0, 1.0, 2.0]), 2).values
    tensor([3., 2.])
    """
    x = as_tensor(input, "topk")
    for kind, name in ((dtypes.COMPLEX, "complex"), (dtypes.BOOL, "bool")):
        if x.dtype.category == kind:
            raise RuntimeError(f"topk does not support {name} dtypes on CPU")
    axis = axis_index(dim, x.ndim)
    if not 0 <= k <= (x.shape[axis] if x.ndim else 1):
        raise RuntimeError("selected index k out of range")
    return _topk(*ops.topk(x, k=int(k), axis=axis, largest=bool(largest)))


@public(
    kinds="f",
    samples=lambda: [
        Sample((5,), 2), Sample((3, 4), 3, dim=0), Sample((2, 3, 4), 1, dim=1, keepdim=True), Sample((), 1),
        Sample((3,), 5, error=(RuntimeError, "kthvalue(): selected number k out of range for dimension 0")),
        Sample((0,), 1, error=(IndexError, "kthvalue(): Expected reduction dim 0 to have non-zero size.")),
    ],
)  # fmt: skip
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """Return the `k`-th smallest element along an axis and its index.

    Parameters
    ----------
    input : Tensor
        Of any shape, integer or floating point.
    k : int
        Counted from 1.
    dim : int
        The axis.
    keepdim : bool
        Keep the axis with size 1.

    Returns
    -------
    namedtuple (values, indices)

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.kthvalue(cr.tensor([3.0, 1.0, 2.0]), 2).values
    tensor(2.)
    """
    x = as_tensor(input, "kthvalue")
    _refuse_bool_and_complex(x, "kthvalue_cpu")
    axis = axis_index(dim, x.ndim)
    if x.ndim:
        refuse_empty(x, (axis,), "kthvalue")
    if not 1 <= k <= (x.shape[axis] if x.ndim else 1):
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {axis}")
    return _kthvalue(*ops.kthvalue(x, axis=axis, keepdims=keepdim, k=int(k)))


def _refuse_bool_and_complex(x: Tensor, name: str) -> None:
    if x.dtype.category in (dtypes.BOOL, dtypes.COMPLEX):
        raise NotImplementedError(f"\"{name}\" not implemented for '{x.dtype.old_name}'")


# -- medians and modes -------------------------------------------------------------------------------------------------


def _middle(name: str, input: Any, dim: int | None, keepdim: bool, result: Any, of_all: Any, along: Any) -> Any:
    x = as_tensor(input, name)
    _refuse_bool_and_complex(x, "median_cpu" if dim is None else "median_out")
    if dim is None:
        return of_all(x, axis=tuple(range(x.ndim)), keepdims=False)
    axis = axis_index(dim, x.ndim)
    if x.ndim:
        refuse_empty(x, (axis,), "median")
    return result(*along(x, axis=axis, keepdims=keepdim))


def _middle_samples() -> list[Sample]:
    return [
        Sample((3, 4)), Sample((3, 5)), Sample((3, 4), dim=1), Sample((2, 3, 4), dim=1, keepdim=True), Sample(()), Sample((), dim=0),
        Sample(np.array([2.0, 2.0, 1.0, 2.0])), Sample(NAN), Sample(NAN, dim=0),
        Sample((0, 3), dim=0, error=(IndexError, "median(): Expected reduction dim 0 to have non-zero size.")),
    ]  # fmt: skip


@public(kinds="f", samples=lambda: [*_middle_samples(), Sample((0,))])
def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the median, the lower one of an even number of elements; along an axis with its index.

    Parameters
    ----------
    input : Tensor
        Of any shape, integer or floating point. The median is NaN if any element is.
    dim : int, optional
        The axis; all elements by default.
    keepdim : bool
        Keep the axis with size 1.

    Returns
    -------
    Tensor or namedtuple (values, indices)
        Without an axis, ties share the gradient evenly; with one, it goes to the index returned.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.median(cr.tensor([4.0, 1.0, 3.0, 2.0]))
    tensor(2.)
    """
    return _middle("median", input, dim, keepdim, _median, reduce.median_of_all, ops.median_along)


@public(kinds="f", samples=_middle_samples)
def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the median of the elements that are not NaN; along an axis with its index.

    Parameters
    ----------
    input, dim, keepdim
        As for :func:`median`.

    Returns
    -------
    Tensor or namedtuple (values, indices)

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nanmedian(cr.tensor([4.0, float("nan"), 3.0]))
    tensor(3.)
    """
    return _middle("nanmedian", input, dim, keepdim, _nanmedian, reduce.nanmedian_of_all, ops.nanmedian_along)


@public(
    kinds="bif",
    samples=lambda: [
        Sample((5,)), Sample((3, 4), dim=0), Sample((2, 3, 4), dim=1, keepdim=True), Sample(()), Sample(np.array([2.0, 1.0, 2.0, 1.0, 3.0])),
        Sample((0,), error=(IndexError, "mode(): Expected reduction dim 0 to have non-zero size.")),
    ],
)  # fmt: skip
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Any:
    """Return the most frequent value along an axis, the smallest of several, and its last index.

    Parameters
    ----------
    input : Tensor
        Of any shape and real dtype.
    dim : int
        The axis.
    keepdim : bool
        Keep the axis with size 1.

    Returns
    -------
    namedtuple (values, indices)

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.mode(cr.tensor([2.0, 1.0, 2.0, 3.0])).values
    tensor(2.)
    """
    x = as_tensor(input, "mode")
    refuse_complex(x, "\"mode_cpu\" not implemented for '{}'")
    axis = axis_index(dim, x.ndim)
    if x.ndim:
        refuse_empty(x, (axis,), "mode")
    return _mode(*ops.mode(x, axis=axis, keepdims=keepdim))


# -- quantiles ---------------------------------------------------------------------------------------------------------

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
    levels = np.asarray(innermost(q))
    if not np.all((levels >= 0) & (levels <= 1)):
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
        order = tuple(i for i in range(len(shape)) if i != axis) + (axis,)
        rows = permute(x, order=order)
    values = _at_levels(rows, q, levels, interpolation, skip_nan)
    last = values.ndim - 1
    values = permute(values, order=(last, *range(last)))  # PyTorch, too, makes an axis of levels and squeezes it away
    rest = kept(shape, tuple(range(len(shape))) if axis is None else (axis,)) if keepdim else rest_of(shape, axis)
    values = reshape(values, shape=(levels.size, *rest))
    return squeeze(values, axis=() if q.ndim else (0,), form="4")


def rest_of(shape: tuple, axis: int | None) -> tuple:
    """Return the shape left after reducing one axis, or all."""
    return () if axis is None else shape[:axis] + shape[axis + 1 :]


def _at_levels(rows: Tensor, q: Tensor, levels: np.ndarray, interpolation: str, skip_nan: bool) -> Tensor:
    """Return the quantiles of the last axis, in place of that axis."""
    axis = rows.ndim - 1
    values, _ = ops.sort(rows, axis=axis, descending=False, stable=False)
    raw = innermost(values)
    missing = np.isnan(raw)
    size = raw.shape[-1]
    lead = raw.shape[:-1]
    q = reshape(q, shape=(levels.size,))
    if skip_nan:
        top = np.maximum(size - np.add.reduce(missing, axis=-1, keepdims=True) - 1, 0).astype(raw.dtype)
    else:
        top = np.full((*lead, 1), size - 1, raw.dtype)
    ranks = q * top
    at = levels.reshape(-1) * top
    if not skip_nan:
        at = np.where(missing.any(axis=-1, keepdims=True), size - 1, at)  # NaNs are last: the result is NaN
    if interpolation in ("lower", "higher", "nearest"):
        chosen = {"lower": np.floor, "higher": np.ceil, "nearest": np.rint}[interpolation](at)
        return gather(values, chosen.astype(np.int64), axis=axis)
    below = np.floor(at)
    low = gather(values, below.astype(np.int64), axis=axis)
    high = gather(values, np.ceil(at).astype(np.int64), axis=axis)
    weight = raw.dtype.type(0.5) if interpolation == "midpoint" else ranks - below
    return low + (high - low) * weight


def _quantile_samples() -> list[Sample]:
    q = np.array([0.0, 0.4, 1.0])
    return [
        Sample((3, 4), 0.3), Sample((3, 4), 0.5, dim=1), Sample((2, 3, 4), Fixed(0.7), dim=1, keepdim=True),
        *[Sample((5, 4), 0.4, dim=0, interpolation=i) for i in _INTERPOLATIONS], Sample((3, 4), 0.2, keepdim=True),
        Sample(NAN, 0.5), Sample((3, 4), 1.5, error=(RuntimeError, "quantile() q must be in the range [0, 1] but got 1.5")),
        Sample((0,), 0.5, error=(RuntimeError, "quantile() input tensor must be non-empty")),
        Sample(np.arange(12.0).reshape(3, 4), q, dim=1), Sample(np.arange(12.0).reshape(3, 4), q, dim=0, keepdim=True),
    ]  # fmt: skip


@public(kinds="f", samples=_quantile_samples)
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


@public(kinds="f", samples=_quantile_samples)
def nanquantile(input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear") -> Tensor:
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
