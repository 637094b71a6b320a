"""Ops that join tensors into one, or take one apart into several views."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from chainrule.core.op.batching import per_example, shift_axes
from chainrule.core.op.declaration import linear
from chainrule.core.op.raw import in_c_order
from chainrule.core.op.reach import arranged, taken
from chainrule.core.op.results import like_first
from chainrule.core.op.samples import Sample
from chainrule.ops.indexing.view import getitem
from chainrule.ops.shaping.shape import constant_pad

ndarray = np.ndarray


def section(axis: int, start: int, stop: int) -> tuple:
    """Return the index of one stretch of an axis."""
    return (*(slice(None),) * axis, slice(start, stop), ...)


def _joined(*xs: tuple, axis: int) -> tuple:
    return (*xs[0][:axis], sum([x[axis] for x in xs]), *xs[0][axis + 1 :])


def _uncat(g: Any, shapes: Sequence[tuple], axis: int) -> list:
    ends = accumulate(s[axis] for s in shapes)
    return [getitem(g, index=section(axis, end - s[axis], end)) for s, end in zip(shapes, ends, strict=True)]


cat = linear("cat(*xs, axis)", lambda *xs, axis: in_c_order(np.concatenate(xs, axis)),
    shape=_joined,
    reach=arranged,
    batch=shift_axes,
    xs=lambda g, xs_shape, *, axis: _uncat(g, xs_shape, axis),
    samples=lambda: [
        Sample((3, 4), (3, 2), axis=1), Sample((2,), (0,), (3,), axis=0), Sample((2, 3), axis=0),
        Sample((0, 2), (0, 2), axis=1),
    ])  # fmt: skip


def _stack(*xs: ndarray, axis: int) -> ndarray:
    new = (*(slice(None),) * axis, None, ...)
    return in_c_order(np.concatenate([np.asarray(x)[new] for x in xs], axis))


def _stacked(*xs: tuple, axis: int) -> tuple:
    return (*xs[0][:axis], len(xs), *xs[0][axis:])


def _unstack(g: Any, axis: int, count: int) -> list:
    lead = (slice(None),) * axis
    return [getitem(g, index=(*lead, i, ...)) for i in range(count)]


stack = linear("stack(*xs, axis)", _stack,
    shape=_stacked,
    reach=arranged,
    batch=shift_axes,
    xs=lambda g, xs_shape, *, axis: _unstack(g, axis, len(xs_shape)),
    samples=lambda: [Sample((3, 4), (3, 4), axis=1), Sample((), (), (), axis=0), Sample((0, 2), (0, 2), axis=2)])  # fmt: skip


def _filled(gs: Sequence, shapes: Sequence[tuple]) -> list:
    """Return the cotangents of several results, zeros where there is none."""
    d = next(g.dtype for g in gs if g is not None)
    if not isinstance(d, np.dtype):
        d = d.numpy
    return [np.zeros(shape, d) if g is None else g for g, shape in zip(gs, shapes, strict=True)]


def _rows(x: tuple, *, axis: int) -> list:
    return [(*x[:axis], *x[axis + 1 :])] * x[axis]


def _unbind(x: ndarray, *, axis: int) -> tuple:
    if not axis and x.ndim > 1:
        return tuple(x)  # a third of the time
    lead = (slice(None),) * axis
    return tuple([x[(*lead, i, ...)] for i in range(x.shape[axis])])


unbind = linear("unbind(x, *, axis)", _unbind, view=True, selects="parts",
    shape=_rows,
    batch=shift_axes,
    x=lambda g, x_shape, *, axis: stack(*_filled(g, [x_shape[:axis] + x_shape[axis + 1 :]] * len(g)), axis=axis),
    samples=lambda: [Sample((3, 4), axis=0), Sample((2, 3, 4), axis=2), Sample((2,), axis=0), Sample((2, 0), axis=0)],
)  # fmt: skip


def _split(x: ndarray, *, sizes: tuple, axis: int) -> tuple:
    if not axis:
        return tuple([x[end - n : end] for n, end in zip(sizes, accumulate(sizes), strict=True)])
    return tuple([x[section(axis, end - n, end)] for n, end in zip(sizes, accumulate(sizes), strict=True)])


def _parts(x: tuple, *, sizes: tuple, axis: int) -> list:
    return [(*x[:axis], n, *x[axis + 1 :]) for n in sizes]


def _unsplit(gs: Sequence, x_shape: tuple, sizes: tuple, axis: int) -> Any:
    return cat(*_filled(gs, _parts(x_shape, sizes=sizes, axis=axis)), axis=axis)


_SPLITS = [
    Sample((3, 4), sizes=(2, 2), axis=1), Sample((5,), sizes=(2, 2, 1), axis=0), Sample((2, 0), sizes=(1, 1), axis=0),
]  # fmt: skip

split = linear("split(x, *, sizes, axis)", _split, view=True, selects="parts",
    shape=_parts,
    batch=shift_axes,
    x=lambda g, x_shape, *, sizes, axis: _unsplit(g, x_shape, sizes, axis),
    samples=lambda: _SPLITS)  # fmt: skip

split_with_sizes = linear("split_with_sizes(x, *, sizes, axis)", _split, view=True, selects="parts",
    shape=_parts,
    batch=shift_axes,
    x=lambda g, x_shape, *, sizes, axis: _unsplit(g, x_shape, sizes, axis),
    samples=lambda: _SPLITS)  # fmt: skip


# The parts are no views: each may be written to without the others, or the whole, taking part in its history.
unsafe_split = linear("unsafe_split(x, *, sizes, axis)", _split, shares=True,
    shape=_parts,
    reach=taken,
    batch=shift_axes,
    x=lambda g, x_shape, *, sizes, axis: _unsplit(g, x_shape, sizes, axis),
    samples=lambda: _SPLITS)  # fmt: skip

unsafe_split_with_sizes = linear("unsafe_split_with_sizes(x, *, sizes, axis)", _split, shares=True,
    shape=_parts,
    reach=taken,
    batch=shift_axes,
    x=lambda g, x_shape, *, sizes, axis: _unsplit(g, x_shape, sizes, axis),
    samples=lambda: _SPLITS)  # fmt: skip


def _block_diag(*xs: ndarray) -> ndarray:
    out = np.zeros(np.add.reduce([x.shape for x in xs], axis=0), xs[0].dtype)
    row = column = 0
    for x in xs:
        out[row : row + x.shape[0], column : column + x.shape[1]] = x
        row, column = row + x.shape[0], column + x.shape[1]
    return out


def _blocks_shape(*xs: tuple) -> tuple:
    return sum([x[0] for x in xs]), sum([x[1] for x in xs])


def _blocks(g: Any, shapes: Sequence[tuple]) -> list:
    out = []
    row = column = 0
    for rows, columns in shapes:
        out.append(getitem(g, index=(slice(row, row + rows), slice(column, column + columns), ...)))
        row, column = row + rows, column + columns
    return out


def _block_by_block(*xs: Any) -> Any:
    widths = [x.shape[1] for x in xs]
    starts = [0, *accumulate(widths)]
    padded = [
        constant_pad(x, widths=((0, 0), (start, starts[-1] - start - n)), value=0)
        for x, start, n in zip(xs, starts, widths, strict=False)
    ]
    return cat(*padded, axis=0)


block_diag = linear("block_diag(*xs)", _block_diag,
    shape=_blocks_shape, dtype=like_first,
    reach=arranged,
    batch=per_example(_block_by_block),
    xs=lambda g, xs_shape: _blocks(g, xs_shape),
    samples=lambda: [Sample((2, 3), (1, 2)), Sample((2, 2)), Sample((0, 1), (2, 1))])  # fmt: skip
