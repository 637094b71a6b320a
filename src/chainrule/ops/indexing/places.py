"""Where index arrays point, as flat positions, and adding there. NumPy arrays only.

Flat positions into memory in C order are what NumPy takes and adds at fastest: 2 ms for a million elements, where index
arrays side by side, or whole rows, take 10.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

ndarray = np.ndarray
FULL = slice(None)
_FEW = 64  # elements, for which NumPy's own way with index arrays costs less than working out positions
STRETCH = 1 << 18  # elements
CROWDED = 16  # elements a place, from which sums in float64 are as fast


def checked(index: ndarray, size: int, negative: bool = True, axis: int = 0) -> ndarray:
    """Return the index array; raise `IndexError` in PyTorch's words if an element is out of bounds."""
    if index.size:
        if not negative and index.dtype == np.int64 and np.maximum.reduce(index.view(np.uint64), axis=None) < size:
            return index  # as unsigned numbers, negative ones are large
        low, high = index.min(), index.max()
        if low < (-size if negative else 0) or high >= size:
            raise IndexError(f"index {high if high >= size else low} is out of bounds for dimension {axis} with size {size}")
    return index


def along(index: ndarray, axis: int) -> tuple:
    """Return the NumPy index that takes each element's own position in every axis but one, `index` there."""
    ndim = index.ndim
    if ndim == 1:
        return (index,)
    own = [np.arange(n).reshape(-1, *(1,) * (ndim - k - 1)) for k, n in enumerate(index.shape)]
    own[axis] = index
    return tuple(own)


def _counted_from_front(index: ndarray, size: int, axis: int) -> ndarray:
    if not index.size:
        return index
    low, high = index.min(), index.max()
    if low < -size or high >= size:
        checked(index, size, axis=axis)
    return np.where(index < 0, index + size, index) if low < 0 else index


def positions(shape: tuple, index: tuple) -> ndarray:
    """Return the positions, in memory of a shape in C order, of what a NumPy index selects, laid out as NumPy does.

    Parameters
    ----------
    shape : tuple of int
        Of the array that is indexed.
    index : tuple
        For each of the leading axes an integer array, or `FULL`; at least one array.
    """
    arrays = [(axis, i) for axis, i in enumerate(index) if i.__class__ is not slice]
    rest = [axis for axis in range(len(shape)) if axis >= len(index) or index[axis].__class__ is slice]
    adjacent = arrays[-1][0] - arrays[0][0] == len(arrays) - 1
    before = arrays[0][0] if adjacent else 0  # NumPy puts the arrays' axes first where the axes that they address are apart
    strides = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    found: Any = 0
    for axis, i in sorted(arrays, key=lambda pair: pair[1].size):  # the fewest passes over the largest
        i, stride = _counted_from_front(i, shape[axis], axis), strides[axis]
        found = found + (i if stride == 1 else i * stride)
    ndim = found.ndim
    found = found.reshape((*found.shape, *(1,) * (len(rest) - before)))
    others: Any = 0
    for k, axis in enumerate(rest):
        behind = len(rest) - k - 1 + (ndim if k < before else 0)
        others = others + (np.arange(shape[axis]) * strides[axis]).reshape(-1, *(1,) * behind)
    return found + others if rest else found


def _stretches(index: tuple, shape: tuple) -> Iterator[tuple[slice, tuple]]:
    """Cut what an index selects along its first axis: each slice of it, and the index that selects that.

    Stretches of positions stay in the processor's cache, and in memory that is there already: twice as fast for 10^6.
    """
    ndim = max([i.ndim for i in index if i.__class__ is not slice])
    size = prod(shape)
    if index[0].__class__ is slice or not ndim or size < 2 * STRETCH:
        yield FULL, index
        return
    rows = max(1, shape[0] * STRETCH // size)
    whole = [i.__class__ is slice or i.ndim < ndim or i.shape[0] != shape[0] for i in index]
    for start in range(0, shape[0], rows):
        part = slice(start, start + rows)
        yield part, tuple([i if keep else i[part] for i, keep in zip(index, whole, strict=True)])


def take_at(x: ndarray, index: tuple) -> ndarray:
    """Return what a NumPy index selects."""
    if x.size < _FEW or len(index) != x.ndim or not x.flags.c_contiguous or any([i.__class__ is slice for i in index]):
        return x[index]
    shape = np.broadcast_shapes(*[i.shape for i in index])
    if not shape or prod(shape) < _FEW:
        return x[index]
    out = np.empty(shape, x.dtype)
    for part, here in _stretches(index, out.shape):
        x.take(positions(x.shape, here), out=out[part], mode="wrap")  # in bounds already; "raise" would buffer the result
    return out


def put_at(out: ndarray, index: tuple, values: ndarray) -> None:
    """Write values to what a NumPy index selects, each place once."""
    if out.size < _FEW or len(index) != out.ndim or not out.flags.c_contiguous or any([i.__class__ is slice for i in index]):
        out[index] = values
        return
    out.reshape(-1)[positions(out.shape, index)] = values


def add_at(out: ndarray, index: tuple, values: ndarray) -> ndarray:
    """Add values, of the shape that is selected, into an array in C order at a NumPy index; return the array.

    Repeated positions are summed.
    """
    flat = out.reshape(-1)
    if values.size < _FEW:
        np.add.at(out, index, values)
    elif _are_many_rows(out.shape, out.dtype, index, values):
        out += _rows_summed(out.shape, out.dtype, index[0], values)
    elif out.ndim > 1:
        for part, here in _stretches(index, values.shape):
            at = positions(out.shape, here)
            np.add.at(flat, at.reshape(-1), values[part].reshape(-1))
    elif out.dtype.kind == "f" and values.size >= CROWDED * out.size:
        out += np.bincount(_counted_from_front(index[0], out.size, 0).reshape(-1), values.reshape(-1), out.size)
    else:
        np.add.at(out, index, values)
    return out


def _are_many_rows(shape: tuple, d: Any, index: tuple, values: ndarray) -> bool:
    return len(index) == 1 and values.size >= STRETCH // 4 and d.kind in "fc" and prod(shape[1:]) >= CROWDED


def _rows_summed(shape: tuple, d: Any, index: ndarray, values: ndarray) -> ndarray:
    """Return zeros of a shape with whole rows added, as the product of a sparse matrix of ones with them.

    For 8,192 rows of 256 float32 it takes 1.3 ms, element by element 8.3, sorted rows and `add.reduceat` 18.9.
    """
    from scipy.sparse import csc_array

    index = _counted_from_front(index, shape[0], 0).reshape(-1)
    chosen = csc_array((np.ones(len(index), d), index, np.arange(len(index) + 1)), shape=(shape[0], len(index)))
    found = chosen @ values.reshape(len(index), -1)
    return found if len(shape) == 2 else found.reshape(shape)


def _summing(d: np.dtype) -> Any:
    return np.float32 if d.itemsize == 2 and d.kind not in "iu" else d


def added(x: ndarray, index: tuple, values: ndarray) -> ndarray:
    """Return an array with values added at a NumPy index; half precision adds up in float32."""
    return add_at(np.array(x, _summing(x.dtype), order="C"), index, values).astype(x.dtype, copy=False)


def accumulated(g: ndarray, shape: tuple, index: tuple) -> ndarray:
    """Return zeros of a shape with `g` added at `index`, repeated positions summed."""
    d = np.dtype(_summing(g.dtype))
    if _are_many_rows(shape, d, index, g):  # a third less time than to add the sums to zeros
        return _rows_summed(shape, d, index[0], g).astype(g.dtype, copy=False)
    return add_at(np.zeros(shape, d), index, g).astype(g.dtype, copy=False)
