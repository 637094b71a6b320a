"""Selecting and writing by an index vector along one axis, or by places in the tensor read as a vector."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.call.dispatch import as_tensor, cast, in_full
from chainrule.core.op.samples import Fixed, Ints, Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import innermost
from chainrule.core.types.shape import axis_index
from chainrule.functions.adapt import public
from chainrule.functions.indexing.scatter import REDUCTIONS, check_same_dtype, index_of, reduced
from chainrule.functions.shaping.view import reshape
from chainrule.ops.indexing import index as indexed
from chainrule.ops.shaping.shape import named

__all__ = ["index_add", "index_copy", "index_fill", "index_reduce", "index_select", "put", "take"]

_ORDER = Fixed(np.array([2, 0]))

# -- an index vector ---------------------------------------------------------------------------------------------------


def _vector(x: Tensor, dim: int, index: Any, name: str) -> tuple[Tensor, int]:
    """Return the index of an index_* function as a vector, and its axis."""
    index = index_of(index, name)
    if index.ndim > 1:
        raise IndexError(f"{name}(): Index is supposed to be a vector")
    return (index if index.ndim else reshape(index, (1,))), axis_index(dim, x.ndim)


@public(out="exact", samples=lambda: [
    Sample((4, 3), 0, Ints((5,), 0, 4)), Sample((4, 3), -1, Ints((0,), 0, 1)), Sample((), 0, Ints((1,), 0, 1)),
    Sample((4,), 0, Fixed(np.array([4])), error=(IndexError, "index out of range in self")),
])  # fmt: skip
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Return a copy of the elements of an axis that an index vector names.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.index_select(cr.tensor([[1, 2], [3, 4]]), 1, cr.tensor([1, 1])).tolist()
    [[2, 2], [4, 4]]
    """
    x = as_tensor(input, "index_select")
    i, axis = _vector(x, dim, index, "index_select")
    try:
        if not x.ndim:
            return named(reshape(indexed.index_select(reshape(x, (1,)), i, axis=0), ()), form="IndexSelect")
        return indexed.index_select(x, i, axis=axis)
    except IndexError:
        raise IndexError("index out of range in self") from None


@public(out=True, inplace=True, samples=lambda: [
    Sample((4, 3), 0, Ints((5,), 0, 4), (5, 3)), Sample((2, 3), 1, Ints((2,), 0, 3), (2, 2), alpha=2),
    Sample((4, 3), 0, Ints((5,), 0, 4), (4, 3),
        error=(RuntimeError, "index_add_(): Number of indices (5) should be equal to source.size(dim): (4)")),
])  # fmt: skip
def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
    """Return a copy with `alpha` times the slices of `source` added at the places of the axis that an index vector names.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.index_add(cr.zeros(3), 0, cr.tensor([1, 1]), cr.ones(2)).tolist()
    [0.0, 2.0, 0.0]
    """
    x, y = as_tensor(input, "index_add"), as_tensor(source, "index_add", 3)
    i, axis = _vector(x, dim, index, "index_add")
    if x.dtype is not y.dtype:
        raise RuntimeError(
            f"index_add_(): self ({x.dtype.old_name}) and source ({y.dtype.old_name}) must have the same scalar type"
        )
    y = _slices(x, axis, i, y, "index_add_")
    return _on_axis(indexed.index_add, x, i, y * alpha if alpha != 1 else y, axis)  # type: ignore[operator]


def _slices(x: Tensor, axis: int, i: Tensor, y: Tensor, name: str) -> Tensor:
    """Return a source for index_add, index_copy, index_reduce of the shape it must have; raise if it cannot."""
    count = i.numel()
    if name == "index_copy_" and x.ndim and y.ndim and x.ndim != y.ndim:
        raise IndexError(
            f"{name}(): When source and destination are not scalars, their dimensionality must match. Source dimensionality "
            f"({y.ndim}), destination dimensionality ({x.ndim})"
        )
    have = y.shape or (1,)
    if (have[axis] if axis < len(have) else 0) != count:
        found = have[axis] if axis < len(have) else 0
        if name == "index_copy_":
            raise IndexError(f"{name}(): Number of indices ({count}) should be equal to source.size(dim) ({found})")
        raise RuntimeError(
            f"{name}(): Number of indices ({count}) should be equal to source.size(dim): ({found}), for dim: {axis}"
        )
    shape = list(x.shape or (1,))
    shape[axis] = count
    if have != tuple(shape):
        raise RuntimeError(
            "source tensor shape must match self tensor shape, excluding the specified dimension. "
            f"Got self.shape = {list(x.shape)} source.shape = {list(y.shape)}"
        )
    return y if y.ndim else reshape(y, (1,))


def _on_axis(op: Any, x: Tensor, i: Tensor, y: Tensor, axis: int) -> Tensor:
    if x.ndim:
        return op(x, i, y, axis=axis)
    return reshape(op(reshape(x, (1,)), i, y, axis=0), ())


@public(out=True, inplace=True, samples=lambda: [Sample((4, 3), 0, _ORDER, (2, 3)), Sample((2, 3), -1, _ORDER, (2, 2))])
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """Return a copy with the slices of `source` written to the places of the axis that an index vector names.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.index_copy(cr.zeros(3), 0, cr.tensor([2, 0]), cr.tensor([1.0, 2.0])).tolist()
    [2.0, 0.0, 1.0]
    """
    x, y = as_tensor(input, "index_copy"), as_tensor(source, "index_copy", 3)
    i, axis = _vector(x, dim, index, "index_copy_")
    if x.dtype is not y.dtype:
        raise RuntimeError(
            "index_copy_(): self and source expected to have the same dtype, but got (self) "
            f"{x.dtype.old_name} and (source) {y.dtype.old_name}"
        )
    return _on_axis(indexed.index_copy, x, i, _slices(x, axis, i, y, "index_copy_"), axis)


@public(inplace=True, samples=lambda: [Sample((4, 3), 0, Ints((2,), 0, 4), 2.5), Sample((4, 3), 1, Ints((2,), 0, 3), ())])
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """Return a copy with one value written to the places of the axis that an index vector names.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.index_fill(cr.zeros(3), 0, cr.tensor([2, 0]), 1.0).tolist()
    [1.0, 0.0, 1.0]
    """
    x = as_tensor(input, "index_fill")
    i, axis = _vector(x, dim, index, "index_fill_")
    is_number = not isinstance(value, (Tensor, np.ndarray))
    y = in_full(value, "index_fill", 3)
    if y.is_complex() and not x.is_complex():
        raise RuntimeError("index_fill_(): Converting complex Scalar to non-complex type is not supported")
    y = cast(y, x.dtype)
    if y.ndim:
        raise RuntimeError(
            f"index_fill_ only supports a 0-dimensional value tensor, but got tensor with {y.ndim} dimension(s)."
        )
    form = "0" if is_number else "1"
    value = innermost(y) if is_number else y
    if not x.ndim:
        return reshape(indexed.index_fill(reshape(x, (1,)), i, value, axis=0, form=form), ())
    return indexed.index_fill(x, i, value, axis=axis, form=form)


@public(out="exact", inplace=True, kinds="f", samples=lambda: [
    Sample((3, 4), 0, Ints((5,), 0, 3), (5, 4), reduce, include_self=own) for reduce in REDUCTIONS[1:] for own in (True, False)
])  # fmt: skip
def index_reduce(input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True) -> Tensor:
    """Return a copy with the slices of `source` combined at the places of the axis that an index vector names.

    Parameters
    ----------
    input, dim, index, source
        As for :func:`index_add`.
    reduce : {"prod", "mean", "amax", "amin"}
        How slices at one place combine.
    include_self : bool
        Whether the input's own slices take part.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.index_reduce(cr.ones(2), 0, cr.tensor([0, 0]), cr.tensor([3.0, 5.0]), "prod").tolist()
    [15.0, 1.0]
    """
    x, y = as_tensor(input, "index_reduce"), as_tensor(source, "index_reduce", 3)
    i, axis = _vector(x, dim, index, "index_reduce_")
    if reduce not in REDUCTIONS[1:]:
        raise RuntimeError(f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}.")
    check_same_dtype(x, y, "index_reduce")
    y = _slices(x, axis, i, y, "index_reduce_")
    spread = reshape(i, [-1 if d == axis else 1 for d in range(y.ndim)]).expand(y.shape)  # type: ignore[attr-defined]
    return named(reduced(x, axis, spread, y, reduce, include_self), form="IndexReduce")


# -- flat positions ----------------------------------------------------------------------------------------------------


@public(out="exact", samples=lambda: [
    Sample((3, 4), Ints((2, 3), -12, 12)), Sample((), Ints((), 0, 1)),
    Sample((3,), Fixed(np.array([3])), error=(IndexError, "out of range: tried to access index 3 on a tensor of 3 elements.")),
])  # fmt: skip
def take(input: Tensor, index: Tensor) -> Tensor:
    """Return the elements at the given places of the tensor read as a vector, in the shape of the index.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.take(cr.tensor([[1, 2], [3, 4]]), cr.tensor([0, -1])).tolist()
    [1, 4]
    """
    x, index = as_tensor(input, "take"), index_of(index, "take", 1)
    try:
        return indexed.take(x, index)
    except IndexError as error:
        raise _flat_error(x, error) from None


def _flat_error(x: Tensor, error: IndexError) -> IndexError:
    place = str(error).partition("index ")[2].partition(" ")[0]
    return IndexError(f"out of range: tried to access index {place} on a tensor of {x.numel()} elements.")


@public(inplace=True, samples=lambda: [
    Sample((3, 4), Fixed(np.array([[1, -1]])), (2,)), Sample((3, 4), Ints((5,), -12, 12), (5,), accumulate=True),
])  # fmt: skip
def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """Return a copy with the elements of `source` written to, or added at, places of the tensor read as a vector.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.put(cr.zeros(2, 2), cr.tensor([0, 3]), cr.tensor([1.0, 2.0])).tolist()
    [[1.0, 0.0], [0.0, 2.0]]
    """
    x, index, y = as_tensor(input, "put"), index_of(index, "put", 1), as_tensor(source, "put", 2)
    if x.dtype is not y.dtype:
        raise RuntimeError(
            "put_(): self and source expected to have the same dtype, but got self.dtype = "
            f"{x.dtype.old_name} and source.dtype = {y.dtype.old_name}"
        )
    if y.numel() != index.numel():
        raise IndexError(
            "put_(): Expected source and index to have the same number of elements, but got source.numel() = "
            f"{y.numel()}, index.numel() = {index.numel()}"
        )
    try:
        return indexed.put(x, index, y, accumulate=bool(accumulate))
    except IndexError as error:
        raise _flat_error(x, error) from None
