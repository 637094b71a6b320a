"""Sorting, selection and quantiles under PyTorch's names."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from chainrule.core.call.dispatch import as_tensor
from chainrule.core.op.samples import Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.shape import axis_index
from chainrule.functions.adapt import public
from chainrule.functions.reduction.reduce import NAN, OUT_OF_RANGE, refuse_complex, refuse_empty
from chainrule.ops.comparison import order as ops
from chainrule.ops.reduction import reduce
from chainrule.return_types import named_result

__all__ = ["argsort", "kthvalue", "median", "mode", "msort", "nanmedian", "sort", "topk"]

_sort, _topk = named_result("sort", "values", "indices"), named_result("topk", "values", "indices")
_kthvalue, _mode = named_result("kthvalue", "values", "indices"), named_result("mode", "values", "indices")
_median, _nanmedian = named_result("median", "values", "indices"), named_result("nanmedian", "values", "indices")


# -- sorting -----------------------------------------------------------------------------------------------------------


@public(out="exact",
    kinds="bif",
    samples=lambda: [
        Sample((3, 4)), Sample((3, 4), dim=0, descending=True), Sample((2, 3, 4), dim=1, stable=True), Sample(()),
        Sample((0, 3)),
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


@public(out="exact", kinds="bif", samples=lambda: [Sample((3, 4)), Sample((5,)), Sample((0, 3))])
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


@public(out=True,
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


@public(out="exact",
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
    return _topk(*ops.topk(x, k=operator.index(k), axis=axis, largest=bool(largest)))


@public(out="exact",
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
        Sample((3, 4)), Sample((3, 5)), Sample((3, 4), dim=1), Sample((2, 3, 4), dim=1, keepdim=True), Sample(()),
        Sample((), dim=0),
        Sample(np.array([2.0, 2.0, 1.0, 2.0])), Sample(NAN), Sample(NAN, dim=0),
        Sample((0, 3), dim=0, error=(IndexError, "median(): Expected reduction dim 0 to have non-zero size.")),
    ]  # fmt: skip


@public(out="exact", kinds="f", samples=lambda: [*_middle_samples(), Sample((0,))])
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


@public(out=True, kinds="f", samples=_middle_samples)
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


@public(out="exact",
    kinds="bif",
    samples=lambda: [
        Sample((5,)), Sample((3, 4), dim=0), Sample((2, 3, 4), dim=1, keepdim=True), Sample(()),
        Sample(np.array([2.0, 1.0, 2.0, 1.0, 3.0])),
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
