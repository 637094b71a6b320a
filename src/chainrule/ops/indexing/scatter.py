"""Gathering and scattering along one axis: the index has an element for each element read or written."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.op.batching import Batch, along_axis, reshaped
from chainrule.core.op.declaration import TABLE, linear, op
from chainrule.core.op.links import Link, places
from chainrule.core.op.reach import Call, everything, in_order, placed, taken
from chainrule.core.op.results import first, int64, like_first, second
from chainrule.core.op.samples import Fixed, Ints, Sample
from chainrule.ops.indexing.places import added, along, checked, take_at
from chainrule.ops.indexing.select import where
from chainrule.ops.indexing.view import zeros

ndarray = np.ndarray


def grid(index: ndarray, axis: int, size: int) -> tuple:
    """Return the NumPy index that takes each element's own position in every axis but one, `index` there."""
    return along(checked(index, size, False), axis)


def _gather(x: ndarray, index: ndarray, *, axis: int) -> ndarray:
    if not x.ndim or not index.ndim:
        return x.reshape(-1)[checked(index, x.size, False)].reshape(index.shape)
    if index.size == 0:
        return np.zeros(index.shape, x.dtype)
    return take_at(x, grid(index, axis, x.shape[axis]))


def _at_places(b: Batch, x: Any, index: Any, *y: Any, axis: int, **params: Any) -> Any:
    """Run any of these ops over a batch; 0-d examples are lists of one element."""
    x, index = x if b.on[0] else b.repeated(x), index if b.on[1] else b.repeated(index)
    shape = tuple(index.shape)
    y = tuple([TABLE["broadcast_to"].call(b.ranked(v, 2, len(shape) - 1), shape=shape) for v in y])
    if x.ndim > 1 and index.ndim > 1:
        return b.op.call(x, index, *y, axis=axis + 1, **params)
    flat = [reshaped(a, (b.size, prod(a.shape[1:]))) for a in (x, index, *y)]
    return reshaped(b.op.call(*flat, axis=1, **params), tuple(x.shape) if y else shape)


_GATHERED = [
    ((3, 4), Ints((2, 4), 0, 3), (2, 4), 0), ((3, 4), Ints((2, 6), 0, 4), (2, 6), 1), ((), Ints((), 0, 1), (), 0),
    ((5,), Ints((3,), 0, 5), (3,), 0), ((3,), Ints((0,), 0, 1), (0,), 0),
]  # fmt: skip

gather = linear("gather(x, index, *, axis)", _gather,
    refuses=True,
    shape=second,
    reach=taken,
    batch=_at_places,
    x=lambda g, x_shape, index, *, axis: scatter_add(zeros(x_shape, g), index, g, axis=axis),
    samples=lambda: [Sample(s, i, axis=a) for s, i, _, a in _GATHERED])  # fmt: skip


def _scatter_add(x: ndarray, index: ndarray, y: ndarray, *, axis: int) -> ndarray:
    if not index.size:
        return np.array(x, order="C")
    if not x.ndim or not index.ndim:
        checked(index, x.size, False)
        return np.add(x, np.sum(y)).astype(x.dtype).reshape(x.shape)
    return added(x, grid(index, axis, x.shape[axis]), np.asarray(y))


scatter_add = linear("scatter_add(x, index, y, *, axis)", _scatter_add,
    refuses=True,
    shape=first,
    reach={"x": in_order, "y": placed},
    batch=_at_places,
    x=lambda g: g,
    y=lambda g, index, *, axis: gather(g, index, axis=axis),
    samples=lambda: [Sample(s, i, y, axis=a) for s, i, y, a in _GATHERED])  # fmt: skip


def _scatter(x: ndarray, index: ndarray, y: Any, *, axis: int, form: str) -> ndarray:
    out = np.array(x, order="C")
    if not index.size:
        return out
    if not x.ndim or not index.ndim:
        out.reshape(-1)[checked(index, x.size, False)] = y
    else:
        out[grid(index, axis, x.shape[axis])] = y
    return out


_PLACES = np.array([[1, 0, 2, 0], [0, 2, 1, 1]])

scatter = linear("scatter(x, index, y, *, axis, form)", _scatter,
    refuses=True,
    shape=first, dtype=like_first,
    reach={"x": taken, "y": placed},
    batch=_at_places,
    node=lambda node: f"Scatter{node.params['form']}",
    x=lambda g, index, *, axis, form: scatter(g, index, zeros((), g), axis=axis, form=form),
    y=lambda g, index, *, axis: gather(g, index, axis=axis),
    samples=lambda: [
        Sample((3, 4), Fixed(_PLACES), (2, 4), axis=0, form="0"), Sample((), Fixed(np.array(0)), (), axis=0, form="0"),
        Sample((3,), Fixed(np.array([], int)), (0,), axis=0, form="0"),
    ])  # fmt: skip

# -- reductions --------------------------------------------------------------------------------------------------------


def _extreme(x: ndarray, index: ndarray, y: ndarray, *, axis: int, largest: bool, include_self: bool) -> ndarray:
    out = np.array(x, order="C")
    flat = not x.ndim or not index.ndim
    if not index.size:
        return out
    view = out.reshape(-1) if flat else out
    here = (checked(index, x.size, False).reshape(-1),) if flat else grid(index, axis, x.shape[axis])
    if not include_self:
        if out.dtype.kind == "b":
            view[here] = not largest
        elif out.dtype.kind in "iu":
            view[here] = np.iinfo(out.dtype).min if largest else np.iinfo(out.dtype).max
        else:
            view[here] = -np.inf if largest else np.inf
    (np.maximum if largest else np.minimum).at(view, here, y.reshape(-1) if flat else y)
    return out


def _hits(x: Any, index: Any, y: Any, out: Any, axis: int, include_self: bool) -> tuple:
    """Return which elements of the input and the source attain the extreme, and how many do at each place.

    Of a NaN all do, and their number is NaN, so that the derivative is, as that of `amax`.
    """
    lost = out != out
    mine = (x == out) | lost
    if not include_self:
        mine = scatter(mine, index, zeros((), mine), axis=axis, form="1")
    chosen = gather(out, index, axis=axis)
    theirs = (y == chosen) | (chosen != chosen)
    d, to = zeros((), out).dtype, TABLE["to"].call
    count = scatter_add(to(mine, dtype=d, source=np.dtype(bool)), index, to(theirs, dtype=d, source=np.dtype(bool)), axis=axis)
    return mine, theirs, where(lost, np.nan, where(count == 0, 1, count))


def _extreme_x(g: Any, x: Any, index: Any, y: Any, out: Any, *, axis: int, include_self: bool) -> Any:
    mine, _, count = _hits(x, index, y, out, axis, include_self)
    return where(mine, g / count, 0)


def _extreme_y(g: Any, x: Any, index: Any, y: Any, out: Any, *, axis: int, include_self: bool) -> Any:
    _, theirs, count = _hits(x, index, y, out, axis, include_self)
    return where(theirs, gather(g / count, index, axis=axis), 0)


def _extreme_jvp(x_dot: Any, y_dot: Any, x: Any, index: Any, y: Any, out: Any, *, axis: int, include_self: bool) -> Any:
    mine, theirs, count = _hits(x, index, y, out, axis, include_self)
    total = zeros(tuple(out.shape), out) if x_dot is None else where(mine, x_dot / count, 0)
    if y_dot is not None:
        total = scatter_add(total, index, where(theirs, y_dot / gather(count, index, axis=axis), 0), axis=axis)
    return total


def _where_scattered(c: Call, i: int, o: int) -> Link:
    """Each element of the source reaches the place that its index names."""
    at = c.read(1, True)
    return everything(c, i, o) if at is None else Link(ins=_gather(places(c.out_shape(o)), at, axis=c.params["axis"]).ravel())


scatter_extreme = op("scatter_extreme(x, index, y, *, axis, largest, include_self)", _extreme, node="ScatterReduce",
    refuses=True,
    shape=first, dtype=like_first,
    reach={"x": in_order, "y": _where_scattered},
    batch=_at_places,
    kinds="f", jvp=_extreme_jvp, x=_extreme_x, y=_extreme_y,
    samples=lambda: [
        Sample(s, i, y, axis=a, largest=large, include_self=own)
        for s, i, y, a in _GATHERED for large in (True, False) for own in (True, False)
    ])  # fmt: skip


def _turns(index: ndarray, *, axis: int) -> ndarray:
    """Return, for each element of an index, how many earlier elements along the axis name the same place."""
    rows = np.moveaxis(index, axis, -1) if index.ndim else index.reshape(1)
    order = np.argsort(rows, axis=-1, kind="stable")
    ranked = np.take_along_axis(rows, order, -1)
    n = rows.shape[-1]
    places = np.broadcast_to(np.arange(n), rows.shape)
    first = np.ones(rows.shape, bool)
    first[..., 1:] = ranked[..., 1:] != ranked[..., :-1]
    starts = np.maximum.accumulate(np.where(first, places, 0), axis=-1)
    out = np.empty(rows.shape, np.int64)
    np.put_along_axis(out, order, places - starts, -1)
    return np.moveaxis(out, -1, axis) if index.ndim else out.reshape(())


turns = op("turns(index, *, axis)", _turns, nondiff=True,
    shape=first, dtype=int64,
    batch=along_axis,
    samples=lambda: [Sample(Ints((3, 4), 0, 2), axis=1), Sample(Ints((), 0, 1), axis=0)])  # fmt: skip
