"""Maximum pooling: the largest element of each window and where it is, and the linear maps that follow from the places.

The maximum of a window is that of its rows' maxima, so that axes are taken one after the other. Of equal elements the first
counts, and NaN is larger than all. Where windows are small and regular, the maxima are found first and their places by
comparing: for windows of 2 by 2 in a third of the time of carrying places along. All ops take any leading axes.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import prod
from typing import Any

import numpy as np

from chainrule.core.op.batching import same
from chainrule.core.op.declaration import linear, op
from chainrule.core.op.links import Link, Windows
from chainrule.core.op.raw import in_c_order
from chainrule.core.op.reach import Call, apart, placed, taken
from chainrule.core.op.results import with_index
from chainrule.core.op.samples import Fixed, Sample
from chainrule.ops.indexing.places import add_at
from chainrule.ops.nn.taps import at, is_whole, taps_of, through_maps
from chainrule.ops.reduction.scan import wide

ndarray = np.ndarray
_SMALL = 32  # places in a window


def _best(values: ndarray, index: ndarray, axis: int, recipe: tuple, has_nan: bool) -> tuple[ndarray, ndarray]:
    """Return the largest values of the windows along an axis, and the index that comes with each."""
    taps = taps_of(recipe, False).taps
    if not taps:
        shape = list(values.shape)
        shape[axis] = recipe[2]
        return np.zeros(shape, values.dtype), np.zeros(shape, index.dtype)
    if is_whole(taps[0].rows, recipe[2]):
        first, taps = taps[0].columns, taps[1:]
    else:
        first = np.full(recipe[2], -1)  # some windows start in the padding: with their first element inside
        for tap in reversed(taps):
            first[tap.rows] = np.arange(recipe[1])[tap.columns]
    best, where = np.array(values[at(axis, first)], order="C"), np.array(index[at(axis, first)], order="C")
    for tap in taps:
        here, now = at(axis, tap.rows), values[at(axis, tap.columns)]
        is_view = tap.rows.__class__ is slice
        best_here, where_here = best[here], where[here]
        better = now > best_here
        if has_nan:
            better |= now != now
        np.copyto(best_here, now, where=better)
        np.copyto(where_here, index[at(axis, tap.columns)], where=better)
        if not is_view:
            best[here], where[here] = best_here, where_here
    return best, where


def _maxima(x: ndarray, maps: tuple) -> ndarray:
    """Return the largest values of the windows."""
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    for axis, recipe in enumerate(maps, -len(maps)):
        shape = list(x.shape)
        shape[axis] = recipe[2]
        taps = taps_of(recipe, False).taps
        if taps and is_whole(taps[0].rows, recipe[2]):
            out, taps = np.array(x[at(axis, taps[0].columns)], order="C"), taps[1:]
        else:
            out = np.full(shape, lowest, x.dtype)
        for tap in taps:
            into = out[at(axis, tap.rows)]
            np.maximum(into, x[at(axis, tap.columns)], out=into)
        x = out
    return x


def _places_of(x: ndarray, best: ndarray, maps: tuple) -> ndarray:
    """Return the flat place in space of the first element of each window that is the largest; none is NaN."""
    space, kernel = x.shape[x.ndim - len(maps) :], [recipe[3] for recipe in maps]
    steps = [prod(space[axis + 1 :]) for axis in range(len(maps))]
    first = np.full(best.shape, 255, np.uint8)
    axes = [[(tap.label, tap.rows, tap.columns) for tap in taps_of(recipe, False).taps] for recipe in maps]
    for number in product(*axes):
        place, rows, columns = zip(*number, strict=True)
        is_best = (x[(..., *columns)] == best[(..., *rows)]).view(np.uint8)
        is_best -= 1  # 0 where it is, 255 where it is not
        is_best |= np.uint8(np.ravel_multi_index(place, kernel))
        into = first[(..., *rows)]
        np.minimum(into, is_best, out=into)
    offsets, starts = np.zeros(kernel, np.int64), np.zeros((), np.int64)
    for axis, (_, _, m, _, stride, padding, dilation) in enumerate(maps):
        column = (-1, *(1,) * (len(maps) - 1 - axis))
        offsets += (dilation * steps[axis] * np.arange(kernel[axis])).reshape(column)
        starts = starts[..., None] + steps[axis] * (stride * np.arange(m) - padding)
    index = offsets.reshape(-1).take(first, mode="clip")
    index += starts
    return index


def _are_small_windows(maps: tuple) -> bool:
    return all([recipe[0] == "windows" for recipe in maps]) and prod([recipe[3] for recipe in maps]) <= _SMALL


def _max_pool(x: Any, *, maps: tuple, form: str) -> Any:
    values, space = wide(x), x.shape[x.ndim - len(maps) :]
    if _are_small_windows(maps):
        best = _maxima(values, maps)
        if best.dtype.kind != "f" or not np.isnan(best).any():
            return best.astype(x.dtype, copy=False), _places_of(values, best, maps)
    has_nan = values.dtype.kind == "f" and values.size > 0 and bool(np.isnan(np.minimum.reduce(values, axis=None)))
    narrow = np.int32 if prod(space) < 1 << 31 else np.int64
    index = np.broadcast_to(np.arange(prod(space), dtype=narrow).reshape(space), x.shape)
    for axis in range(-1, -len(maps) - 1, -1):
        values, index = _best(values, index, axis, maps[axis], has_nan)
    return values.astype(x.dtype, copy=False), index.astype(np.int64)


def _pooled(x: tuple, *, maps: tuple) -> list:
    shape = (*x[: len(x) - len(maps)], *[recipe[2] for recipe in maps])
    return [shape, shape]


def are_apart(recipe: tuple) -> bool:
    """Tell whether no two windows of a recipe share an element."""
    kind, n, m, *given = recipe
    if kind == "windows":
        return given[1] >= (given[0] - 1) * given[3] + 1 or m == 1
    return kind == "adaptive windows" and n % m == 0


_POOLS = [
    ((2, 6), (("windows", 6, 3, 2, 2, 0, 1),)), ((1, 2, 5, 4), (("windows", 5, 3, 3, 2, 1, 1), ("windows", 4, 3, 2, 1, 0, 1))),
    ((2, 5, 3), (("windows", 5, 3, 2, 1, 0, 2), ("windows", 3, 2, 2, 2, 1, 1))), ((7,), (("adaptive windows", 7, 3),)),
    ((2, 4, 6), (("adaptive windows", 4, 2), ("given windows", 6, 2, 3, 0, 3))), ((0, 4), (("windows", 4, 2, 2, 2, 0, 1),)),
]  # fmt: skip


max_pool: Callable = op("max_pool(x, *, maps, form)", _max_pool, kinds="if",
    shape=_pooled, dtype=with_index, reads=(1,),
    reach=through_maps,
    batch=same,
    node=lambda node: "MaxPool" if node is None else node.params["form"],
    jvp=lambda x_dot, out, *, maps: (pick(x_dot, out[1], space=len(maps)), None),
    x=lambda g, out, x_shape, *, maps: spread(
        g[0], out[1], size=tuple(x_shape[len(x_shape) - len(maps) :]), apart=all(map(are_apart, maps))),
    samples=lambda: [Sample(shape, maps=maps, form="MaxPool") for shape, maps in _POOLS],
    doc="Return the largest elements of windows in the last axes, and their flat places in these axes.")  # fmt: skip


def _rows(x: ndarray, space: int) -> ndarray:
    """Return an array with its last axes as one, and the others as one."""
    lead = x.ndim - space
    return x.reshape(prod(x.shape[:lead]), prod(x.shape[lead:]))


def _flat(index: ndarray, space: int, size: int) -> ndarray:
    """Return places in each row as places in all of memory."""
    rows = _rows(index, space)
    return rows + (np.arange(len(rows)) * size)[:, None]


def _pick(x: Any, index: Any, *, space: int) -> Any:
    size = prod(x.shape[x.ndim - space :])
    return in_c_order(x).reshape(-1)[_flat(index, space, size)].reshape(index.shape)


def _spread(g: Any, index: Any, *, size: tuple, apart: bool) -> Any:
    shape = (*g.shape[: g.ndim - len(size)], *size)
    places, values = _flat(index, len(size), prod(size)), wide(in_c_order(g))
    out = np.zeros(prod(shape), values.dtype)
    if apart:
        out[places.reshape(-1)] = values.reshape(-1)
    else:
        add_at(out, (places.reshape(-1),), values.reshape(-1))
    return out.astype(g.dtype, copy=False).reshape(shape)


_PLACES = np.array([[[3, 0], [5, 3]], [[1, 1], [2, 4]]])

pick: Callable = linear("pick(x, index, *, space)", _pick,
    refuses=True,
    shape=lambda x, index: index,
    reach=taken,
    batch=same,
    x=lambda g, x_shape, index, *, space: spread(g, index, size=tuple(x_shape[len(x_shape) - space :]), apart=False),
    samples=lambda: [
        Sample((2, 2, 3), Fixed(_PLACES), space=2), Sample((2, 2, 6), Fixed(_PLACES), space=1),
        Sample((0, 6), Fixed(np.zeros((0, 2), int)), space=1),
    ],
    doc="Return the elements at flat places in the last axes.")  # fmt: skip

spread: Callable = linear("spread(g, index, *, size, apart)", _spread, node="MaxPoolBackward",
    refuses=True,
    shape=lambda g, index, *, size: (*g[: len(g) - len(size)], *size),
    reach=placed,
    batch=same,
    g=lambda g, index, *, size: pick(g, index, space=len(size)),
    samples=lambda: [
        Sample((2, 2, 2), Fixed(_PLACES), size=(2, 3), apart=False),
        Sample((1, 2), Fixed(np.array([[4, 0]])), size=(5,), apart=True),
        Sample((0, 2), Fixed(np.zeros((0, 2), int)), size=(5,), apart=True),
    ],
    doc="Add elements up at flat places in the last axes, of the given size; `apart` if no place occurs twice.")  # fmt: skip


def counts(axes: list[tuple], count_padding: bool) -> ndarray:
    """Return how many elements the windows of average pooling have, given the numbers of each axis's recipe."""
    found = np.ones((), np.int64)
    for axis in axes:
        taps = taps_of(("means", *axis, count_padding), False)
        size = np.rint(1 / np.broadcast_to(1 if taps.after is None else taps.after, taps.m)).astype(np.int64)
        found = found[..., None] * size
    return found


# -- windows at random places ------------------------------------------------------------------------------------------


def _starts(sample: ndarray, n: int, m: int, kernel: int) -> ndarray:
    """Return where windows start along an axis, for each sample: steps of equal size on average (arXiv 1412.6071)."""
    if m == 1:
        return np.full((*sample.shape, 1), n - kernel)
    alpha = sample.dtype.type(n - kernel) / sample.dtype.type(m - 1)
    i = np.arange(m).astype(sample.dtype)
    out = ((i + sample[..., None]) * alpha).astype(np.int64) - (sample[..., None] * alpha).astype(np.int64)
    out[..., -1] = n - kernel
    return out


def _random_windows(space: tuple, samples: ndarray, kernel: tuple, size: tuple) -> ndarray:
    """Return the flat places in space of the windows' elements: of each sample, each window, each place of the kernel."""
    rows, dims = len(samples), len(kernel)
    order = range(dims) if dims == 3 else range(dims - 1, -1, -1)  # PyTorch's: width before height over two axes
    places: Any = np.zeros((rows, *(1,) * (2 * dims)), np.int64)
    for axis, column in enumerate(order):
        at_axis = _starts(samples[:, column], space[axis], size[axis], kernel[axis])[:, :, None] + np.arange(kernel[axis])
        shape = [rows, *(1,) * (2 * dims)]
        shape[1 + axis], shape[1 + dims + axis] = size[axis], kernel[axis]
        places = places * space[axis] + at_axis.reshape(shape)
    return places.reshape(rows, prod(size), prod(kernel))


def _fractional_max_pool(x: Any, samples: Any, *, kernel: tuple, size: tuple, form: str) -> Any:
    space, dims = x.shape[x.ndim - len(kernel) :], len(kernel)
    rows = wide(in_c_order(x)).reshape(prod(x.shape[: x.ndim - dims]), prod(space))
    places = _random_windows(space, wide(samples).reshape(len(rows), dims), kernel, size)
    lines = np.arange(len(rows))[:, None]
    values = rows[lines[:, :, None], places]
    best = values.argmax(axis=-1) if values.size else np.zeros(values.shape[:-1], int)
    index = np.take_along_axis(places, best[..., None], -1)[..., 0]
    shape = (*x.shape[: x.ndim - dims], *size)
    return rows[lines, index].reshape(shape).astype(x.dtype, copy=False), index.reshape(shape)


def _in_random_windows(c: Call, i: int, o: int) -> Link:
    """Elements reach the windows that hold them; those of their channel where the samples are not known."""
    shape, kernel = c.shapes[i], c.params["kernel"]
    space, samples = shape[len(shape) - len(kernel) :], c.read(1, False)
    if samples is None:
        return apart(len(kernel), len(kernel))(c, i, o)
    samples = wide(samples).reshape(-1, len(kernel))
    places = _random_windows(space, samples, kernel, c.params["size"])
    places = places + (prod(space) * np.arange(len(places)))[:, None, None]
    m = prod(places.shape[:2])
    return Link(windows=(Windows.of_pairs(prod(shape), m, np.repeat(np.arange(m), prod(kernel)), places.ravel()),))


def _fractional(x: tuple, samples: tuple, *, size: tuple) -> list:
    shape = (*x[: len(x) - len(size)], *size)
    return [shape, shape]


fractional_max_pool: Callable = op("fractional_max_pool(x, samples, *, kernel, size, form)", _fractional_max_pool, kinds="f",
    shape=_fractional, dtype=with_index, reads=(1,),
    reach=_in_random_windows,
    batch=same,
    node=lambda node: "FractionalMaxPool" if node is None else node.params["form"],
    jvp=lambda x_dot, out, *, kernel: (pick(x_dot, out[1], space=len(kernel)), None),
    x=lambda g, out, x_shape, *, kernel: spread(
        g[0], out[1], size=tuple(x_shape[len(x_shape) - len(kernel) :]), apart=False),
    samples=lambda: [
        Sample((1, 2, 5, 6), Fixed(np.array([[[0.1, 0.7], [0.9, 0.4]]])), kernel=(2, 3), size=(3, 2),
               form="FractionalMaxPool2D"),
        Sample((1, 5, 4, 3), Fixed(np.array([[0.1, 0.7, 0.6]])), kernel=(2, 2, 1), size=(3, 2, 1), form="FractionalMaxPool3D"),
    ],
    doc="Return the largest elements of windows that start where samples of [0, 1) tell, and their flat places.")  # fmt: skip
