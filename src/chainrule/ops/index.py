"""Ops that select or write elements at positions held in index arrays, and their transposes.

Index arrays are inputs without derivative, so that they can be batched. `axes` are the axes that an index array
addresses; with more than one, the array has a leading axis with one row for each.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.op import linear, op
from chainrule.core.sample import Fixed, Ints, Sample
from chainrule.ops.select import where
from chainrule.ops.shape import reshape, sum_to
from chainrule.ops.view import zeros

ndarray = np.ndarray
FULL = slice(None)
LARGE = 8  # times more elements in the result than are added: then it is not worth a sweep over the result


def checked(index: ndarray, size: int, negative: bool = True) -> ndarray:
    """Return the index array; raise `IndexError` in PyTorch's words if an element is out of bounds."""
    if index.size:
        low, high = index.min(), index.max()
        if low < (-size if negative else 0) or high >= size:
            raise IndexError(f"index {high if high >= size else low} is out of bounds for dimension 0 with size {size}")
    return index


def subscript(i: ndarray, axes: tuple) -> tuple:
    """Return the NumPy index that puts the rows of `i` at `axes`."""
    index: list = [FULL] * (axes[-1] + 1)
    if len(axes) == 1:
        index[axes[0]] = i
    else:
        for axis, row in zip(axes, i, strict=True):
            index[axis] = row
    return tuple(index)


def accumulated(g: ndarray, shape: tuple, index: tuple) -> ndarray:
    """Return zeros of a shape with `g` added at `index`, repeated positions summed.

    ``np.bincount`` on flat positions takes a quarter of the time of ``np.add.at`` for rows of a matrix.
    """
    size = prod(shape)
    kind = g.dtype.kind
    if kind in "iub" or size > LARGE * g.size + 1024:
        out = np.zeros(shape, g.dtype)
        np.add.at(out, index, g)
        return out
    flat = np.arange(size).reshape(shape)[index].reshape(-1)
    g = np.ascontiguousarray(g).reshape(-1)
    if kind == "c":
        out = np.bincount(flat, g.real, size) + 1j * np.bincount(flat, g.imag, size)
    else:
        out = np.bincount(flat, g, size)
    return out.reshape(shape).astype(g.dtype)


# -- whole index arrays ------------------------------------------------------------------------------------------------


def _index(x: ndarray, i: ndarray, *, axes: tuple) -> ndarray:
    if len(axes) == 1:
        return x.take(i, axis=axes[0])
    return x[subscript(i, axes)]


_INDEXED = [
    ((4, 3), Ints((5,), -4, 4), (5, 3), (0,)), ((4, 3), Ints((2, 2), 0, 3), (4, 2, 2), (1,)),
    ((4, 3, 2), Ints((2, 5), 0, 2), (5, 3), (0, 2)), ((4, 3, 2), Ints((2, 5), 0, 2), (4, 5), (1, 2)),
    ((3,), Ints((), 0, 3), (), (0,)), ((3, 2), Ints((0,), 0, 1), (0, 2), (0,)),
]  # fmt: skip

index = linear("index(x, i, *, axes)", _index,
    x=lambda g, x_shape, i, *, axes: index_sum(g, i, shape=x_shape, axes=axes),
    samples=lambda: [Sample(s, i, axes=a) for s, i, _, a in _INDEXED])  # fmt: skip

index_sum = linear("index_sum(x, i, *, shape, axes)",
    lambda x, i, *, shape, axes: accumulated(x, shape, subscript(i, axes)),
    x=lambda g, i, *, axes: index(g, i, axes=axes),
    samples=lambda: [Sample(g, i, shape=s, axes=a) for s, i, g, a in _INDEXED])  # fmt: skip


def _index_put(x: ndarray, i: ndarray, values: Any, *, axes: tuple, accumulate: bool) -> ndarray:
    out = np.array(x)
    if accumulate:
        np.add.at(out, subscript(i, axes), values)
    else:
        out[subscript(i, axes)] = values
    return out


index_put = linear("index_put(x, i, values, *, axes, accumulate)", _index_put,
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
    return x.take(i, axis=axis)


index_select = linear("index_select(x, i, *, axis)", _index_select,
    x=lambda g, x_shape, i, *, axis: index_sum(g, i, shape=x_shape, axes=(axis,)),
    samples=lambda: [Sample((4, 3), Ints((5,), 0, 3), axis=1), Sample((4, 0), Ints((2,), 0, 4), axis=0)])  # fmt: skip


def _index_add(x: ndarray, i: ndarray, y: ndarray, *, axis: int) -> ndarray:
    return x + accumulated(y, x.shape, subscript(i, (axis,)))


_ROWS = [Sample((4, 3), Fixed(np.array([2, 0])), (2, 3), axis=0), Sample((2, 3), Fixed(np.array([1])), (2, 1), axis=1)]

index_add = linear("index_add(x, i, y, *, axis)", _index_add,
    x=lambda g: g,
    y=lambda g, i, *, axis: index(g, i, axes=(axis,)),
    samples=lambda: [*_ROWS, Sample((4, 3), Ints((7,), 0, 4), (7, 3), axis=0)])  # fmt: skip


def _index_copy(x: ndarray, i: ndarray, y: Any, *, axis: int) -> ndarray:
    out = np.array(x)
    out[subscript(i, (axis,))] = y
    return out


index_copy = linear("index_copy(x, i, y, *, axis)", _index_copy,
    x=lambda g, i, y_shape, *, axis: index_copy(g, i, zeros(y_shape, g), axis=axis),
    y=lambda g, i, *, axis: index(g, i, axes=(axis,)),
    samples=lambda: _ROWS)  # fmt: skip

index_fill = linear("index_fill(x, i, value, *, axis, form)",
    lambda x, i, value, *, axis, form: _index_copy(x, i, value, axis=axis),
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
    samples=lambda: [Sample(Ints((2,), 0, 3), size=3, after=1)])  # fmt: skip


def _filled_places(i: Any, size: int, after: int) -> Any:
    return fill_places(i, size=size, after=after)


# -- masks -------------------------------------------------------------------------------------------------------------


def _masked(x: ndarray, mask: ndarray, *, lead: int) -> ndarray:
    return x[(FULL,) * lead + (mask,)]


def _masked_place(x: ndarray, mask: ndarray, *, shape: tuple, lead: int) -> ndarray:
    out = np.zeros(shape, x.dtype)
    out[(FULL,) * lead + (mask,)] = x
    return out


_MASK = np.array([[True, False, True], [False, True, True]])
_MASKS = [
    ((2, 3), _MASK, (4,), 0), ((4, 2, 3), _MASK, (4, 4), 1), ((2, 5), _MASK[:, 0], (1, 5), 0), ((0,), _MASK[0, :0], (0,), 0),
]  # fmt: skip

masked = linear("masked(x, mask, *, lead)", _masked, node="Index",
    x=lambda g, x_shape, mask, *, lead: masked_place(g, mask, shape=x_shape, lead=lead),
    samples=lambda: [Sample(s, Fixed(m), lead=k) for s, m, _, k in _MASKS])  # fmt: skip

masked_select = linear("masked_select(x, mask)", lambda x, mask: x[mask],
    x=lambda g, x_shape, mask: masked_place(g, mask, shape=x_shape, lead=0),
    samples=lambda: [Sample((2, 3), Fixed(_MASK)), Sample((), Fixed(np.array(True)))])  # fmt: skip

masked_place = linear("masked_place(x, mask, *, shape, lead)", _masked_place,
    x=lambda g, mask, *, lead: masked(g, mask, lead=lead),
    samples=lambda: [Sample(g, Fixed(m), shape=s, lead=k) for s, m, g, k in _MASKS])  # fmt: skip


def _masked_put(x: ndarray, mask: ndarray, values: Any, *, lead: int, accumulate: bool) -> ndarray:
    out = np.array(x)
    if accumulate:
        out[(FULL,) * lead + (mask,)] += values
    else:
        out[(FULL,) * lead + (mask,)] = values
    return out


masked_put = linear("masked_put(x, mask, values, *, lead, accumulate)", _masked_put, node="IndexPut",
    x=lambda g, mask, values_shape, *, lead, accumulate: (
        g if accumulate else masked_put(g, mask, zeros((), g), lead=lead, accumulate=False)),
    values=lambda g, mask, values_shape, *, lead: sum_to(masked(g, mask, lead=lead), shape=values_shape),
    samples=lambda: [
        *[Sample(s, Fixed(m), v, lead=k, accumulate=False) for s, m, v, k in _MASKS],
        Sample((2, 3), Fixed(_MASK), (), lead=0, accumulate=True),
    ])  # fmt: skip


def _masked_scatter(x: ndarray, mask: ndarray, y: ndarray) -> ndarray:
    count = np.count_nonzero(mask)
    if count > y.size:
        raise RuntimeError("Number of elements of source < number of ones in mask")
    out = np.array(x)
    out[mask] = y.reshape(-1)[:count]
    return out


masked_scatter = linear("masked_scatter(x, mask, y)", _masked_scatter,
    x=lambda g, mask: where(mask, 0, g),
    y=lambda g, mask, y_shape: unmasked(g, mask, shape=y_shape),
    samples=lambda: [Sample((2, 3), Fixed(_MASK), (5,)), Sample((2, 3), Fixed(_MASK), (2, 3))])  # fmt: skip


def _unmasked(g: ndarray, mask: ndarray, *, shape: tuple) -> ndarray:
    out = np.zeros(prod(shape), g.dtype)
    found = g[mask]
    out[: found.size] = found
    return out.reshape(shape)


def _remasked(x: Any, mask: Any, x_shape: tuple) -> Any:
    return masked_scatter(zeros(np.shape(mask) if isinstance(mask, ndarray) else tuple(mask.shape), x), mask, x)


unmasked = linear("unmasked(x, mask, *, shape)", _unmasked, node="MaskedScatterBackward",
    x=lambda g, mask, x_shape: _remasked(g, mask, x_shape),
    samples=lambda: [Sample((2, 3), Fixed(_MASK), shape=(5,))])  # fmt: skip

nonzero = op("nonzero(x)", lambda x: np.argwhere(x), nondiff=True, kinds="bifc",
    samples=lambda: [Sample((3, 4)), Sample(()), Sample((0, 2))])  # fmt: skip

# -- flat positions ----------------------------------------------------------------------------------------------------


def _put(x: ndarray, i: ndarray, y: ndarray, *, accumulate: bool) -> ndarray:
    out = np.array(x, order="C")
    flat = out.reshape(-1)
    i = checked(i, flat.size).reshape(-1)
    if accumulate:
        np.add.at(flat, i, y.reshape(-1))
    else:
        flat[i] = y.reshape(-1)
    return out


take = linear("take(x, i)", lambda x, i: x.reshape(-1).take(checked(i, x.size)),
    x=lambda g, x_shape, i: put(zeros(x_shape, g), i, g, accumulate=True),
    samples=lambda: [
        Sample((3, 4), Ints((2, 3), -12, 12)), Sample((), Ints((), 0, 1)), Sample((3,), Ints((0,), 0, 1)),
    ])  # fmt: skip

put = linear("put(x, i, y, *, accumulate)", _put,
    x=lambda g, i, y_shape, *, accumulate: g if accumulate else put(g, i, zeros(y_shape, g), accumulate=False),
    y=lambda g, i, y_shape: reshape(take(g, i), shape=y_shape),
    samples=lambda: [
        Sample((3, 4), Ints((5,), -12, 12), (5,), accumulate=True),
        Sample((3, 4), Fixed(np.array([[1, -1]])), (2,), accumulate=False),
    ])  # fmt: skip
