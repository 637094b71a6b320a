"""Copies with the part that a view would show replaced. PyTorch differentiates the first two for real values only."""

from __future__ import annotations

from typing import Any

from chainrule.core.call.dispatch import as_tensor, cast
from chainrule.core.op.samples import Fixed, Ints, Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import axis_index
from chainrule.functions.adapt import public
from chainrule.functions.indexing.part import check_steps, select
from chainrule.ops.indexing import view as parts

__all__ = ["as_strided_scatter", "diagonal_scatter", "select_scatter", "slice_scatter"]


def _fits(place: tuple, src: Tensor, name: str) -> None:
    if tuple(src.shape) != tuple(place):
        raise RuntimeError(
            f"expected src to have a size equal to the slice of self. src size = {list(src.shape)}, slice size = {list(place)}"
            f" (in {name})"
        )


@public(kinds="f", samples=lambda: [Sample((3, 4), (4,), 0, 1), Sample((3, 4), (3,), -1, -2)])
def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """Return a copy with one element of an axis replaced by `src`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.select_scatter(cr.zeros(2, 2), cr.ones(2), 0, 1).tolist()
    [[0.0, 0.0], [1.0, 1.0]]
    """
    x, y = as_tensor(input, "select_scatter"), as_tensor(src, "select_scatter", 1)
    _fits(tuple(select(x, dim, index).shape), y, "select_scatter")
    return parts.overwrite(x, cast(y, x.dtype), index=(*(slice(None),) * axis_index(dim, x.ndim), index, ...))


@public(out="exact", kinds="f", samples=lambda: [
    Sample((4, 3), (2, 3), 0, 1, 3), Sample((4, 3), (4, 2), 1, 0, 3, 2), Sample((4, 3), (4, 3)),
])  # fmt: skip
def slice_scatter(
    input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    """Return a copy with a slice of an axis replaced by `src`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.slice_scatter(cr.zeros(4), cr.ones(2), start=1, end=3).tolist()
    [0.0, 1.0, 1.0, 0.0]
    """
    x, y = as_tensor(input, "slice_scatter"), as_tensor(src, "slice_scatter", 1)
    axis = axis_index(dim, x.ndim)
    if step <= 0:
        raise RuntimeError("slice step must be positive")
    first, last, by = slice(start, end, step).indices(x.shape[axis])
    place = list(x.shape)
    place[axis] = len(range(first, last, by))
    _fits(tuple(place), y, "slice_scatter")
    return parts.overwrite(x, cast(y, x.dtype), index=(*(slice(None),) * axis, slice(first, last, by), ...))


@public(samples=lambda: [Sample((3, 4), (3,)), Sample((3, 4), (2,), -1), Sample((2, 3, 4), (3, 2), 1, 0, 2)])
def diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """Return a copy with the diagonal of two axes replaced by `src`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.diagonal_scatter(cr.zeros(2, 2), cr.ones(2)).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    x, y = as_tensor(input, "diagonal_scatter"), as_tensor(src, "diagonal_scatter", 1)
    a, b = axis_index(dim1, x.ndim), axis_index(dim2, x.ndim)
    offset = max(-x.shape[a], min(offset, x.shape[b])) if x.ndim else offset
    _fits(tuple(parts.diagonal(x, offset=offset, a=a, b=b).shape), y, "diagonal_scatter")
    return parts.diagonal_scatter(x, cast(y, x.dtype), offset=offset, a=a, b=b)


# On integers: PyTorch 2.13's gradient in `input` keeps the replaced elements and drops the others.
@public(samples=lambda: [Sample(Ints((3, 4), 0, 9), Ints((2, 2), 0, 9), Fixed((2, 2)), Fixed((1, 2)), 1)])
def as_strided_scatter(input: Tensor, src: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """Return a copy with the elements that :func:`as_strided` would show replaced by `src`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.as_strided_scatter(cr.zeros(4), cr.ones(2), (2,), (2,)).tolist()
    [1.0, 0.0, 1.0, 0.0]
    """
    x, y = as_tensor(input, "as_strided_scatter"), as_tensor(src, "as_strided_scatter", 1)
    check_steps(tuple(size), tuple(stride))
    _fits(tuple(size), y, "as_strided_scatter")
    return parts.as_strided_scatter(
        x, cast(y, x.dtype), size=tuple(size), stride=tuple(stride), offset=int(storage_offset or 0)
    )
