"""Ops that select or write elements at positions held in index arrays, and their transposes.

Index arrays are inputs without derivative, so that they can be batched. `axes` are the axes that an index array
addresses; with more than one, the array has a leading axis with one row for each.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.op.batching import Batch, moved, per_example, reshaped
from chainrule.core.op.declaration import TABLE, linear, op
from chainrule.core.op.links import Link, Windows, places
from chainrule.core.op.reach import Call, everything, in_order, placed, taken
from chainrule.core.op.results import boolean, first, given, like_first, second
from chainrule.core.op.samples import Fixed, Ints, Sample
from chainrule.ops.indexing.places import FULL, accumulated, add_at, added, checked, take_at
from chainrule.ops.indexing.select import where
from chainrule.ops.indexing.view import getitem, zeros
from chainrule.ops.shaping.shape import broadcast_to, permute, reshape, sum_to

ndarray = np.ndarray


def subscript(i: ndarray, axes: tuple) -> tuple:
    """Return the NumPy index that puts the rows of `i` at `axes`."""
    index: list = [FULL] * (axes[-1] + 1)
    if len(axes) == 1:
        index[axes[0]] = i
    else:
        for axis, row in zip(axes, i, strict=True):
            index[axis] = row
    return tuple(index)


# -- batches -----------------------------------------------------------------------------------------------------------


def _adjacent(axes: tuple) -> bool:
    return axes[-1] - axes[0] == len(axes) - 1


def _index_ndim(i: Any, on: bool, axes: tuple) -> int:
    return i.ndim - on - (len(axes) > 1)


def _behind(axes: tuple) -> tuple:
    return tuple([axis + 1 for axis in axes])


def _with_examples(b: Batch, i: Any, axes: tuple) -> Any:
    """Return an index array that has the batch axis, with the number of the example as its first row."""
    rows = [i] if len(axes) == 1 else [getitem(i, index=(FULL, k, ...)) for k in range(len(axes))]
    shape = tuple(rows[0].shape)
    numbers = np.arange(b.size).reshape(b.size, *(1,) * (len(shape) - 1))
    return TABLE["stack"].call(np.broadcast_to(numbers, shape), *rows, axis=0)


def _index_first(x: Any, before: int, ndim: int) -> Any:
    """Return values laid out (example, `before` axes, `ndim` axes of the index, rest) with the index's axes second."""
    order = (0, *range(before + 1, before + ndim + 1), *range(1, before + 1), *range(before + ndim + 1, x.ndim))
    return permute(x, order=order)


def _index_back(x: Any, before: int, ndim: int) -> Any:
    """Undo `_index_first`."""
    return _index_first(x, ndim, before)


def _index_examples(b: Batch, x: Any, i: Any, *, axes: tuple) -> Any:
    ndim = _index_ndim(i, b.on[1], axes)
    before = axes[0] if _adjacent(axes) else 0  # NumPy puts the index's axes first if the axes that it addresses are apart
    if not b.on[1]:
        out = index(x, i, axes=_behind(axes))
        return out if _adjacent(axes) else moved(out, ndim)
    if not b.on[0]:
        return moved(index(x, i if len(axes) == 1 else moved(i, 0, 1), axes=axes), before)
    return _index_back(index(x, _with_examples(b, i, axes), axes=(0, *_behind(axes))), before, ndim)


def _laid_out(b: Batch, values: Any, on_index: bool, ndim: int, axes: tuple) -> Any:
    """Return values, batch axis first, in the order of axes in which NumPy writes them."""
    if on_index:
        return _index_first(values, axes[0], ndim) if _adjacent(axes) else values
    return values if _adjacent(axes) else moved(values, 0, ndim)


def _index_sum_examples(b: Batch, x: Any, i: Any, *, shape: tuple, axes: tuple) -> Any:
    x = _laid_out(b, x if b.on[0] else b.repeated(x), b.on[1], _index_ndim(i, b.on[1], axes), axes)
    shape = (b.size, *shape)
    if not b.on[1]:
        return index_sum(x, i, shape=shape, axes=_behind(axes))
    return index_sum(x, _with_examples(b, i, axes), shape=shape, axes=(0, *_behind(axes)))


def _index_put_examples(b: Batch, x: Any, i: Any, values: Any, *, axes: tuple, accumulate: bool) -> Any:
    x = x if b.on[0] else b.repeated(x)
    ndim = _index_ndim(i, b.on[1], axes)
    if hasattr(values, "shape"):
        full = x.ndim - 1 - len(axes) + ndim
        if not b.on[2]:
            values = reshaped(values, (1, *values.shape))
        missing = full + 1 - values.ndim
        values = reshaped(values, (values.shape[0], *(1,) * missing, *values.shape[1:])) if missing > 0 else values
        values = _laid_out(b, values, b.on[1], ndim, axes)
    if not b.on[1]:
        return index_put(x, i, values, axes=_behind(axes), accumulate=accumulate)
    return index_put(x, _with_examples(b, i, axes), values, axes=(0, *_behind(axes)), accumulate=accumulate)


def _select_examples(b: Batch, x: Any, i: Any, *, axis: int) -> Any:
    if not b.on[1]:
        return index_select(x, i, axis=axis + 1)
    x = x if b.on[0] else b.repeated(x)
    shape = list(x.shape)
    shape[axis + 1] = i.shape[1]
    i = reshaped(i, tuple([n if k in (0, axis + 1) else 1 for k, n in enumerate(shape)]))
    return TABLE["gather"].call(x, broadcast_to(i, shape=tuple(shape)), axis=axis + 1)


def _index_add_examples(b: Batch, x: Any, i: Any, y: Any, *, axis: int) -> Any:
    if b.on[1]:
        return _index_put_examples(b, x, i, y, axes=(axis,), accumulate=True)
    x, y = x if b.on[0] else b.repeated(x), y if b.on[2] else b.repeated(y)
    return index_add(x, i, y, axis=axis + 1)


def _index_copy_examples(b: Batch, x: Any, i: Any, y: Any, *, axis: int) -> Any:
    if b.on[1]:
        return _index_put_examples(b, x, i, y, axes=(axis,), accumulate=False)
    x, y = x if b.on[0] else b.repeated(x), y if b.on[2] else b.repeated(y)
    return index_copy(x, i, y, axis=axis + 1)


def _fill_by_mask(x: Any, i: Any, value: Any, *, axis: int, form: str) -> Any:
    return where(_filled_places(i, x.shape[axis], x.ndim - axis - 1), value, x)


def _fill_examples(b: Batch, i: Any, *, size: int, after: int) -> Any:
    blank = np.zeros((b.size, size), bool)
    out = index_put(blank, _with_examples(b, i, (0,)), np.True_, axes=(0, 1), accumulate=False)
    return reshaped(out, (b.size, size, *(1,) * after))


# -- whole index arrays ------------------------------------------------------------------------------------------------


def _taken(x: ndarray, i: ndarray, axis: int) -> ndarray:
    """Return ``x.take(i, axis)``, which first copies an array with gaps: of windows, many times what they take of memory."""
    if x.flags.c_contiguous or i.size >= x.shape[axis]:
        return x.take(i, axis=axis)
    out = x[(*[slice(None)] * axis, i)]
    return out.copy("C") if out.__class__ is ndarray else out


def _index(x: ndarray, i: ndarray, *, axes: tuple) -> ndarray:
    if len(axes) == 1:
        return _taken(x, i, axes[0])
    return take_at(x, subscript(i, axes))


def _indexed(x: tuple, i: tuple, *, axes: tuple) -> tuple:
    rest = tuple([n for k, n in enumerate(x) if k not in axes])
    places = i if len(axes) == 1 else i[1:]
    at = axes[0] if _adjacent(axes) else 0
    return (*rest[:at], *places, *rest[at:])


_INDEXED = [
    ((4, 3), Ints((5,), -4, 4), (5, 3), (0,)), ((4, 3), Ints((2, 2), 0, 3), (4, 2, 2), (1,)),
    ((4, 3, 2), Ints((2, 5), 0, 2), (5, 3), (0, 2)), ((4, 3, 2), Ints((2, 5), 0, 2), (4, 5), (1, 2)),
    ((3,), Ints((), 0, 3), (), (0,)), ((3, 2), Ints((0,), 0, 1), (0, 2), (0,)),
]  # fmt: skip

index = linear("index(x, i, *, axes)", _index,
    refuses=True,
    shape=_indexed,
    reach=taken,
    batch=_index_examples,
    x=lambda g, x_shape, i, *, axes: index_sum(g, i, shape=x_shape, axes=axes),
    samples=lambda: [Sample(s, i, axes=a) for s, i, _, a in _INDEXED])  # fmt: skip

index_sum = linear("index_sum(x, i, *, shape, axes)",
    lambda x, i, *, shape, axes: accumulated(x, shape, subscript(i, axes)),
    refuses=True,
    shape=given,
    reach=placed,
    batch=_index_sum_examples,
    x=lambda g, i, *, axes: index(g, i, axes=axes),
    samples=lambda: [Sample(g, i, shape=s, axes=a) for s, i, g, a in _INDEXED])  # fmt: skip


def _index_put(x: ndarray, i: ndarray, values: Any, *, axes: tuple, accumulate: bool) -> ndarray:
    out = np.array(x, order="C")
    if accumulate:
        add_at(out, subscript(i, axes), np.broadcast_to(values, _indexed(x.shape, i.shape, axes=axes)))
    else:
        out[subscript(i, axes)] = values
    return out


def _written(c: Call, i: int, o: int) -> Link:
    """Each value reaches the places that it is written or added to: by broadcasting, and indices may meet."""
    at = c.read(1, True)
    if at is None:
        return everything(c, i, o)
    to = _index(places(c.out_shape(o)), at, axes=c.params["axes"])
    of = np.broadcast_to(places(c.shapes[i]), to.shape)
    return Link(windows=(Windows.of_pairs(prod(c.shapes[i]), prod(c.out_shape(o)), to.ravel(), of.ravel()),))


index_put = linear("index_put(x, i, values, *, axes, accumulate)", _index_put,
    refuses=True,
    shape=first, dtype=like_first,
    reach={"x": taken, "values": _written},
    batch=_index_put_examples,
    x=lambda g, i, values_shape, *, axes, accumulate: (
        g if accumulate else index_put(g, i, zeros(values_shape, g), axes=axes, accumulate=False)),
    values=lambda g, i, values_shape, *, axes: sum_to(index(g, i, axes=axes), shape=values_shape),
    samples=lambda: [
        *[Sample(s, i, v, axes=a, accumulate=True) for s, i, v, a in _INDEXED],
        Sample((4, 3), Fixed(np.array([2, 0])), (2, 3), axes=(0,), accumulate=False),
        Sample((4, 3), Fixed(np.array([2, 0])), (), axes=(1,), accumulate=False),
    ])  # fmt: skip


def _index_select(x: ndarray, i: ndarray, *, axis: int) -> ndarray:
    if i.size and i.min() < 0:
        raise IndexError("index out of range in self")
    return _taken(x, i, axis)


index_select = linear("index_select(x, i, *, axis)", _index_select,
    refuses=True,
    shape=lambda x, i, *, axis: (*x[:axis], *i, *x[axis + 1 :]),
    reach=taken,
    batch=_select_examples,
    x=lambda g, x_shape, i, *, axis: index_sum(g, i, shape=x_shape, axes=(axis,)),
    samples=lambda: [Sample((4, 3), Ints((5,), 0, 3), axis=1), Sample((4, 0), Ints((2,), 0, 4), axis=0)])  # fmt: skip


def _index_add(x: ndarray, i: ndarray, y: ndarray, *, axis: int) -> ndarray:
    return added(x, subscript(i, (axis,)), y)


_ROWS = [Sample((4, 3), Fixed(np.array([2, 0])), (2, 3), axis=0), Sample((2, 3), Fixed(np.array([1])), (2, 1), axis=1)]

index_add = linear("index_add(x, i, y, *, axis)", _index_add,
    refuses=True,
    shape=first,
    reach={"x": in_order, "y": placed},
    batch=_index_add_examples,
    x=lambda g: g,
    y=lambda g, i, *, axis: index(g, i, axes=(axis,)),
    samples=lambda: [*_ROWS, Sample((4, 3), Ints((7,), 0, 4), (7, 3), axis=0)])  # fmt: skip


def _index_copy(x: ndarray, i: ndarray, y: Any, *, axis: int) -> ndarray:
    out = np.array(x, order="C")
    out[subscript(i, (axis,))] = y
    return out


index_copy = linear("index_copy(x, i, y, *, axis)", _index_copy,
    refuses=True,
    shape=first, dtype=like_first,
    reach={"x": taken, "y": placed},
    batch=_index_copy_examples,
    x=lambda g, i, y_shape, *, axis: index_copy(g, i, zeros(y_shape, g), axis=axis),
    y=lambda g, i, *, axis: index(g, i, axes=(axis,)),
    samples=lambda: _ROWS)  # fmt: skip

index_fill = linear("index_fill(x, i, value, *, axis, form)",
    lambda x, i, value, *, axis, form: _index_copy(x, i, value, axis=axis),
    refuses=True,
    shape=first, dtype=like_first,
    reach=taken,
    batch=per_example(_fill_by_mask),
    node=lambda node: f"IndexFill{node.params['form']}",
    x=lambda g, i, *, axis, form: index_fill(g, i, zeros((), g), axis=axis, form=form),
    value=lambda g, x_shape, i, *, axis: sum_to(
        where(_filled_places(i, x_shape[axis], len(x_shape) - axis - 1), g, 0), shape=()),
    samples=lambda: [
        Sample((4, 3), Ints((2,), 0, 3), (), axis=1, form="1"), Sample((4,), Ints((0,), 0, 1), (), axis=0, form="0"),
    ])  # fmt: skip


def _fill_places(i: ndarray, *, size: int, after: int) -> ndarray:
    out = np.zeros(size, bool)
    out[i] = True
    return out.reshape(size, *(1,) * after)


fill_places = op("fill_places(i, *, size, after)", _fill_places, nondiff=True,
    refuses=True,
    shape=lambda i, *, size, after: (size, *(1,) * after), dtype=boolean,
    batch=_fill_examples,
    samples=lambda: [Sample(Ints((2,), 0, 3), size=3, after=1)])  # fmt: skip


def _filled_places(i: Any, size: int, after: int) -> Any:
    return fill_places(i, size=size, after=after)


# -- flat positions ----------------------------------------------------------------------------------------------------


def _take_flat(x: Any, i: Any) -> Any:
    return index(reshape(x, shape=(prod(x.shape),)), i, axes=(0,))


def _put_flat(x: Any, i: Any, y: Any, *, accumulate: bool) -> Any:
    flat = [reshape(a, shape=(prod(a.shape),)) for a in (x, i, y)]
    return reshape(index_put(*flat, axes=(0,), accumulate=accumulate), shape=tuple(x.shape))


def _put(x: ndarray, i: ndarray, y: ndarray, *, accumulate: bool) -> ndarray:
    out = np.array(x, order="C")
    flat = out.reshape(-1)
    i = checked(i, flat.size).reshape(-1)
    if accumulate:
        add_at(flat, (i,), y.reshape(-1))
    else:
        flat[i] = y.reshape(-1)
    return out


take = linear("take(x, i)", lambda x, i: x.reshape(-1).take(checked(i, x.size)),
    refuses=True,
    shape=second,
    reach=taken,
    batch=per_example(_take_flat),
    x=lambda g, x_shape, i: put(zeros(x_shape, g), i, g, accumulate=True),
    samples=lambda: [
        Sample((3, 4), Ints((2, 3), -12, 12)), Sample((), Ints((), 0, 1)), Sample((3,), Ints((0,), 0, 1)),
    ])  # fmt: skip

put = linear("put(x, i, y, *, accumulate)", _put,
    refuses=True,
    shape=first, dtype=like_first,
    reach={"x": taken, "y": placed},
    batch=per_example(_put_flat),
    x=lambda g, i, y_shape, *, accumulate: g if accumulate else put(g, i, zeros(y_shape, g), accumulate=False),
    y=lambda g, i, y_shape: reshape(take(g, i), shape=y_shape),
    samples=lambda: [
        Sample((3, 4), Ints((5,), -12, 12), (5,), accumulate=True),
        Sample((3, 4), Fixed(np.array([[1, -1]])), (2,), accumulate=False),
    ])  # fmt: skip
