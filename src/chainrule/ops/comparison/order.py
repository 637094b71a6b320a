"""Order: sorting, selecting by rank, searching. A selected element's derivative goes to the index it came from.

Every selection's rules gather and scatter at the indices that the op itself returned. Inside, `axis` is one
non-negative int; of a 0-d value, 0.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, NoReturn

import numpy as np

from chainrule.core.op.batching import Batch, along_axis, dynamic, looped, per_example, reshaped
from chainrule.core.op.declaration import TABLE, linear, op
from chainrule.core.op.raw import in_c_order
from chainrule.core.op.reach import in_lines, in_order, nowhere, placed
from chainrule.core.op.results import DYNAMIC, INT64, boolean, by_values, first, int64, one_or_all, second, several, with_index
from chainrule.core.op.samples import Fixed, Ints, Sample
from chainrule.core.types.shape import kept
from chainrule.ops.describe import no_derivative, no_tangent
from chainrule.ops.indexing.index import index
from chainrule.ops.indexing.places import along, put_at, take_at
from chainrule.ops.indexing.scatter import gather, scatter, scatter_add
from chainrule.ops.indexing.view import zeros
from chainrule.ops.shaping.shape import reshape, sum_to, unsqueeze

ndarray = np.ndarray
_MANY = 1 << 11  # elements


def put_along(g: Any, index: Any, axis: int, size: int, distinct: bool) -> Any:
    """Return zeros of `size` along an axis with `g` added at the index; `distinct` promises that no index occurs twice."""
    shape = list(g.shape)
    shape[axis] = size
    if distinct and g.__class__ is ndarray and index.__class__ is ndarray:
        out = np.zeros(shape, g.dtype)
        put_at(out, along(index, axis), g)
        return out
    blank = zeros(tuple(shape), g)
    if distinct:
        return scatter(blank, index, g, axis=axis, form="0")
    return scatter_add(blank, index, g, axis=axis)


def ordered(x: Any) -> Any:
    """Return values that NumPy can sort: bfloat16 as float32."""
    return x.astype(np.float32) if x.dtype.itemsize == 2 and x.dtype.name == "bfloat16" else x


def rank(x: Any, axis: int, descending: bool = False) -> ndarray:
    """Return the indices that sort stably along an axis; NaN counts as the largest."""
    x = ordered(x)
    return _of_many(x, axis, descending) if x.size >= _MANY and x.dtype.char in "fd" else _stably(x, axis, descending)


def _stably(x: ndarray, axis: int, descending: bool) -> ndarray:
    if not descending:
        return np.argsort(x, axis=axis, kind="stable")
    last_first = np.argsort(np.flip(x, axis), axis=axis, kind="stable")
    return x.shape[axis] - 1 - np.flip(last_first, axis)


def _of_many(x: ndarray, axis: int, descending: bool) -> ndarray:
    """Return what `rank` does by a sort that is not stable, and takes a fifth of the time; rows of equals, or NaN, go twice."""
    rows = in_c_order(np.moveaxis(x, axis, -1))
    order = np.argsort(-rows if descending else rows, axis=-1)
    values = take_at(rows, along(order, order.ndim - 1))
    again = np.logical_or.reduce(values[..., 1:] == values[..., :-1], axis=-1) | np.isnan(values[..., -1])
    if again.any():
        order[again] = _stably(rows[again], -1, descending)
    return in_c_order(np.moveaxis(order, -1, axis))


# -- one element per row -----------------------------------------------------------------------------------------------


def _picked(x_dot: Any, index: Any, x_shape: tuple, axis: int, keepdims: bool) -> tuple:
    if not x_shape:
        return x_dot, None
    if keepdims:
        return gather(x_dot, index, axis=axis), None
    whole = kept(x_shape, (axis,))
    return reshape(gather(x_dot, reshape(index, shape=whole), axis=axis), shape=tuple(index.shape)), None


def _placed(g: Any, index: Any, x_shape: tuple, axis: int, keepdims: bool) -> Any:
    if not x_shape:
        return g
    if not keepdims:
        whole = kept(x_shape, (axis,))
        g, index = reshape(g, shape=whole), reshape(index, shape=whole)
    return put_along(g, index, axis, x_shape[axis], True)


def _selecting(find: Callable) -> Callable:
    """Return the kernel (values, indices) of a function that finds the kept index along an axis."""

    def kernel(x: Any, *, axis: int, keepdims: bool, **params: Any) -> tuple:
        if not x.ndim:
            return x[()], np.int64(0)  # a scalar: never the input's own memory
        index = find(x, axis, **params)
        values = take_at(x, along(index, axis))
        return (values, index) if keepdims else (values.squeeze(axis)[()], index.squeeze(axis)[()])

    return kernel


def _declare_selection(name: str, find: Callable, node: str, params: str = "", doc: str = "", **given: Any) -> Callable:
    return op(f"{name}(x, *, axis, keepdims{params})", _selecting(find), kinds="bif", node=node, doc=doc, reach=in_lines,
        batch=along_axis,
        shape=several(one_or_all, 2), dtype=with_index, reads=(1,),
        jvp=lambda x_dot, out, x_shape, *, axis, keepdims: _picked(x_dot, out[1], x_shape, axis, keepdims),
        x=lambda g, out, x_shape, *, axis, keepdims: _placed(g[0], out[1], x_shape, axis, keepdims),
        samples=lambda: [
            Sample((5,), axis=0, keepdims=False, **given), Sample((3, 4), axis=1, keepdims=True, **given),
            Sample((2, 3, 4), axis=1, keepdims=False, **given), Sample((3, 0), axis=0, keepdims=False, **given),
        ] + ([] if given else [Sample((), axis=0, keepdims=False)]))  # fmt: skip


def _nth_index(x: Any, axis: int, n: int) -> ndarray:
    """Return the index of the n-th element (from 0) in stable order, the axis kept.

    Where there are many, the value is found without sorting all (a fifth of the time), and then the element that has it: of
    several equal ones that which as many smaller ones and equal ones precede.
    """
    if x.size < _MANY:
        return np.expand_dims(np.take(rank(x, axis), n, axis), axis)
    x = ordered(x)
    value = np.expand_dims(np.take(np.partition(x, n, axis), n, axis), axis)
    equal, below = x == value, x < value
    if x.dtype.kind == "f":
        missing = value != value  # NaN comes last, after all that is a number
        if missing.any():
            equal, below = equal | (missing & (x != x)), below | (missing & (x == x))
    if np.all(np.count_nonzero(equal, axis) == 1):
        return np.argmax(equal, axis, keepdims=True)
    turn = n - np.expand_dims(np.count_nonzero(below, axis), axis)
    return np.argmax(equal & (np.cumsum(equal, axis) == turn + 1), axis, keepdims=True)


_MANY = 1 << 10


def _median_index(x: Any, axis: int) -> ndarray:
    middle = _nth_index(x, axis, (x.shape[axis] - 1) // 2)
    if x.dtype.kind in "biu":
        return middle
    missing = np.isnan(x)
    has = missing.any(axis, keepdims=True)
    return np.where(has, np.argmax(missing, axis, keepdims=True), middle) if has.any() else middle


def _nanmedian_index(x: Any, axis: int) -> ndarray:
    present = np.sum(x == x, axis, keepdims=True)
    if present.size == 1:
        return _nth_index(x, axis, max(present.item() - 1, 0) // 2)
    return np.take_along_axis(rank(x, axis), np.maximum(present - 1, 0) // 2, axis)


def _mode_index(x: Any, axis: int) -> ndarray:
    """Return the last index of the smallest of the most frequent values: the first longest run of the sorted values."""
    order = rank(x, axis)
    runs = np.moveaxis(np.take_along_axis(x, order, axis), axis, -1)
    at = np.arange(x.shape[axis])
    starts = np.ones(runs.shape, bool)
    starts[..., 1:] = runs[..., 1:] != runs[..., :-1]
    length = at - np.maximum.accumulate(np.where(starts, at, 0), axis=-1)
    best = np.moveaxis(np.argmax(length, axis=-1, keepdims=True), -1, axis)
    return np.take_along_axis(order, best, axis)


def _kth_index(x: Any, axis: int, k: int) -> ndarray:
    return _nth_index(x, axis, k - 1)


max_along = _declare_selection("max_along", lambda x, axis: ordered(x).argmax(axis, keepdims=True), "Max",
    doc="Largest element along an axis and its first index; NaN counts as larger.")  # fmt: skip
min_along = _declare_selection("min_along", lambda x, axis: ordered(x).argmin(axis, keepdims=True), "Min",
    doc="Smallest element along an axis and its first index; NaN counts as smaller.")  # fmt: skip
median_along = _declare_selection("median_along", _median_index, "Median1",
    doc="Lower median along an axis and its index; NaN if there is one.")  # fmt: skip
nanmedian_along = _declare_selection("nanmedian_along", _nanmedian_index, "Nanmedian1",
    doc="Lower median of the elements that are not NaN.")  # fmt: skip
mode = _declare_selection("mode", _mode_index, "Mode",
    doc="Smallest of the most frequent values along an axis and its last index.")  # fmt: skip
kthvalue = _declare_selection("kthvalue", _kth_index, "Kthvalue", ", k", k=2,
    doc="The k-th smallest element (from 1) along an axis and its index.")  # fmt: skip


# -- several elements per row ------------------------------------------------------------------------------------------


def _sort(x: Any, *, axis: int, descending: bool, stable: bool) -> tuple:
    if not x.ndim:
        return x[()], np.int64(0)  # a scalar: never the input's own memory
    order = rank(x, axis, descending)
    return np.take_along_axis(x, order, axis), order


def _topk(x: Any, *, k: int, axis: int, largest: bool) -> tuple:
    if not x.ndim:
        return (x[()], np.int64(0)) if k else (np.empty(0, x.dtype), np.empty(0, np.int64))
    n = x.shape[axis]
    if k * 8 > n or n < 64:
        order = np.take(rank(x, axis, largest), range(k), axis)
    else:  # a partial sort finds the few; only they are sorted
        parts = np.argpartition(ordered(x), n - k if largest else k - 1, axis)
        few = np.take(parts, range(n - k, n) if largest else range(k), axis)
        order = np.take_along_axis(few, rank(np.take_along_axis(x, few, axis), axis, largest), axis)
    return np.take_along_axis(x, order, axis), order


def _both(x: tuple) -> list:
    return [x, x]


def _few(x: tuple, *, k: int, axis: int) -> list:
    if not x:
        return _both(() if k else (0,))
    return _both((*x[:axis], k, *x[axis + 1 :]))


def _gathered(x_dot: Any, out: Any, *, axis: int) -> tuple:
    return (gather(x_dot, out[1], axis=axis) if out[1].ndim else x_dot), None


def _whole(g: Any) -> Any:
    """Return the cotangent of a 0-d input for one or no selected element."""
    return g if not g.ndim else sum_to(g, shape=())


def _scattered(g: Any, out: Any, x_shape: tuple, *, axis: int) -> Any:
    return put_along(g[0], out[1], axis, x_shape[axis], True) if x_shape else _whole(g[0])


sort = op("sort(x, *, axis, descending, stable)", _sort, kinds="bif",
    shape=_both, dtype=with_index,
    reach=in_lines,
    batch=along_axis,
    node=lambda node: "Sort1" if node.params["stable"] else "Sort",
    reads=(1,),
    jvp=_gathered,
    x=_scattered,
    doc="Sorted elements along an axis and their indices. The order is stable always; `stable` only names the node.",
    samples=lambda: [
        Sample((5,), axis=0, descending=False, stable=False), Sample((3, 4), axis=0, descending=True, stable=True),
        Sample((), axis=0, descending=False, stable=False), Sample((0, 2), axis=0, descending=True, stable=False),
    ])  # fmt: skip

topk = op("topk(x, *, k, axis, largest)", _topk, kinds="bif",
    shape=_few, dtype=with_index,
    reach=in_lines,
    batch=along_axis,
    reads=(1,),
    jvp=_gathered,
    x=_scattered,
    doc="The k largest (or smallest) elements along an axis, sorted, and their indices.",
    samples=lambda: [
        Sample((5,), k=2, axis=0, largest=True), Sample((3, 4), k=3, axis=1, largest=False), Sample((100,),
        k=3, axis=0, largest=True),
        Sample((), k=1, axis=0, largest=True), Sample((3, 2), k=0, axis=0, largest=True),
    ])  # fmt: skip


# -- searching: no derivative ------------------------------------------------------------------------------------------


def _searchsorted(boundaries: Any, values: Any, *, right: bool) -> Any:
    side = "right" if right else "left"
    boundaries, values = ordered(np.asarray(boundaries)), ordered(np.asarray(values))
    if boundaries.ndim == 1:
        return np.asarray(np.searchsorted(boundaries, values, side), np.int64)[()]
    out = np.empty(values.shape, np.int64)
    for row in np.ndindex(values.shape[:-1]):
        out[row] = np.searchsorted(boundaries[row], values[row], side)
    return out


def _unique(x: Any, *, axis: int | None, **_: Any) -> tuple:
    if x.ndim == 0:
        return x.reshape(1).copy(), np.int64(0), np.ones(1, np.int64)
    values, inverse, counts = np.unique(x, return_inverse=True, return_counts=True, axis=axis, equal_nan=False)
    return values, inverse.reshape(x.shape if axis is None else -1), counts


def _no_derivative_of_values(name: str) -> NoReturn:
    raise NotImplementedError(
        f"the derivative for '{name}' is not implemented: equal elements leave open whose it is. Index the input with the "
        "places of the elements that you mean, or detach it"
    )


def _unique_consecutive(x: Any, *, axis: int | None) -> tuple:
    rows = np.moveaxis(x, axis, 0) if axis is not None else x.reshape(-1)
    new = np.ones(len(rows), bool)
    changed = rows[1:] != rows[:-1]
    new[1:] = changed.any(axis=tuple(range(1, changed.ndim)))
    starts = np.flatnonzero(new)
    values = np.moveaxis(rows[starts], 0, axis) if axis is not None else rows[starts]
    inverse = (np.cumsum(new) - 1).reshape(x.shape if axis is None else -1)
    return values, inverse, np.diff(np.append(starts, len(rows)))


def _search_examples(b: Batch, boundaries: Any, values: Any, *, right: bool) -> Any:
    if boundaries.ndim == 1:
        return searchsorted(boundaries, values, right=right)
    boundaries, values = b.whole((boundaries, values))
    if boundaries.ndim > 2:
        return searchsorted(boundaries, values, right=right)
    flat = reshaped(values, (b.size, prod(values.shape[1:])))
    return reshaped(searchsorted(boundaries, flat, right=right), tuple(values.shape))


def _is_among(x: Any, test: Any, *, invert: bool) -> Any:
    equal = unsqueeze(x, axis=x.ndim) == reshape(test, shape=(prod(test.shape),))
    found = TABLE["any"].call(equal, axis=(x.ndim,), keepdims=False)
    return TABLE["logical_not"].call(found) if invert else found


def _distinct(x: tuple, *, axis: int | None) -> list:
    return [DYNAMIC, x if axis is None or not x else (x[axis],), DYNAMIC]


def _value_and_two_indices(x: np.dtype) -> list:
    return [x, INT64, INT64]


ALL_OR_ROWS = [Sample(Ints((3, 4), 0, 3), axis=None), Sample(Ints((5, 1), 0, 2), axis=0), Sample(Ints((), 0, 3), axis=None)]

searchsorted = op("searchsorted(boundaries, values, *, right)", _searchsorted, nondiff=True, kinds="if",
    shape=second, dtype=int64,
    batch=_search_examples,
    doc="Index at which each value keeps the boundaries sorted, row by row where the boundaries have rows.",
    samples=lambda: [Sample(np.arange(4.0), (3, 2), right=False), Sample(np.arange(6.0).reshape(2, 3), (2, 4),
    right=True)])  # fmt: skip
unique = op("unique(x, *, axis)", _unique, kinds="bif",
    node=lambda node: "Unique2" if node is None or node.params["axis"] is None else "UniqueDim",
    x=lambda g, *, axis: _no_derivative_of_values("_unique2" if axis is None else "unique_dim"),
    jvp=lambda x_dot: no_tangent("unique"),
    shape=_distinct, dtype=_value_and_two_indices,
    batch=dynamic(),
    doc="Sorted distinct elements (or rows along an axis), the index of each element's own, and the counts.",
    samples=lambda: ALL_OR_ROWS)  # fmt: skip
unique_consecutive = op("unique_consecutive(x, *, axis)", _unique_consecutive, kinds="bif",
    x=lambda g: _no_derivative_of_values("unique_consecutive"),
    jvp=lambda x_dot: no_tangent("unique_consecutive"),
    shape=_distinct, dtype=_value_and_two_indices,
    batch=dynamic(),
    doc="The first element of every run of equal elements (or rows), the run of each element, and the run lengths.",
    samples=lambda: ALL_OR_ROWS)  # fmt: skip
isin = op("isin(x, test, *, invert)", lambda x, test, *, invert: np.isin(ordered(x), ordered(test), invert=invert)[()],
    shape=first, dtype=boolean,
    batch=per_example(_is_among),
    nondiff=True, kinds="bif",
    doc="Tell for each element whether it is among the test elements.",
    samples=lambda: [Sample(Ints((3, 2), 0, 5), Ints((3,), 0, 5), invert=False), Sample(Ints((), 0, 2), Ints((2,), 0, 2),
    invert=True)])  # fmt: skip


def _histc(x: Any, *, bins: int, low: float, high: float) -> Any:
    x = ordered(x).reshape(-1)
    return np.histogram(x[(x >= low) & (x <= high)], bins, (low, high))[0]


def _bincount(x: Any, weights: Any = None, *, minlength: int) -> Any:
    counts = np.bincount(x, weights, minlength)
    return counts if weights is None else counts.astype(weights.dtype, copy=False)


histc = op("histc(x, *, bins, low, high)", _histc, nondiff=True, kinds="f",
    shape=lambda x, *, bins: (bins,), dtype=int64,
    batch=looped,
    doc="Counts in equal bins between two bounds.",
    samples=lambda: [Sample((3, 4), bins=5, low=-1.0, high=1.0), Sample((0,), bins=2, low=0.0, high=1.0)])  # fmt: skip
bincount = linear("bincount(x, weights, *, minlength)", _bincount, kinds="f",
    refuses=True,
    weights=lambda g, x: index(g, x, axes=(0,)),
    shape=by_values, dtype=lambda x, weights: weights or INT64,
    reach=placed,
    batch=looped,
    doc="How often each non-negative integer occurs, or the sum of its weights.",
    samples=lambda: [Sample(Ints((6,), 0, 4), None, minlength=0), Sample(Ints((6,), 0, 4), (6,), minlength=6)])  # fmt: skip


def _raised_of(y_dot: Any, x_dot: Any, *, name: str) -> Any:
    if x_dot is not None:
        no_tangent(name)
    return y_dot


counted_of = op("counted_of(y, x, *, name)", lambda y, x, *, name: np.array(y),
    shape=first, dtype=lambda y, x: y, jvp=_raised_of,
    y=lambda g: g,
    x=lambda g, *, name: no_derivative(name),
    reach={"y": in_order, "x": nowhere},
    batch=lambda b, y, x, *, name: counted_of(*b.whole((y, x)), name=name),
    doc="A result that was counted from `x`, of which it has no derivative: one asked for raises.",
    samples=lambda: [Sample((3,), Fixed(np.arange(2.0)), name="histogram")])  # fmt: skip
