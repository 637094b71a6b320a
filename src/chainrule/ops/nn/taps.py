"""Maps along one axis that sum a few elements for each result, as taps: pairs of slices, added one pair at a time.

A map is named by a recipe, a tuple of its kind and numbers, so that it can be an op's static parameter. Pooling, interpolation
and padding are such maps, one for each axis, and so are their transposes. NumPy arrays only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from chainrule.core.op.links import Link, Windows
from chainrule.core.op.reach import Call, along_axes

ndarray = np.ndarray
Where = Any  # a slice or an array of positions


class Tap(NamedTuple):
    """Elements of the input at `columns`, times a weight (None: 1), to be added to the result at `rows`.

    The label tells taps apart: of windows it is the place in the window.
    """

    rows: Where
    columns: Where
    weight: Any
    label: int


class Pairs(NamedTuple):
    """A map as pairs of a result and an element.

    Attributes
    ----------
    rows, columns, labels : array of int
        The result, the element, and the tap of each pair.
    weights : array of float or None
    scale : array of float or None
        A factor of each result.
    """

    rows: ndarray
    columns: ndarray
    labels: ndarray
    weights: ndarray | None = None
    scale: ndarray | None = None


class Taps(NamedTuple):
    """A map of `n` elements to `m` results; factors before and after are one number, an array, or None."""

    n: int
    m: int
    taps: tuple
    before: Any
    after: Any

    def __call__(self, x: ndarray, axis: int) -> ndarray:
        """Return the results along an axis of an array, counted from the end."""
        if self.before is not None:
            x = x * _along(self.before, axis, x.dtype)
        shape = list(x.shape)
        shape[axis] = self.m
        first = self.taps[0] if self.taps else None
        if first is not None and is_whole(first.rows, self.m):
            out = np.array(_weighted(taken(x, axis, first.columns), first.weight, axis), order="C")
            rest = self.taps[1:]
        else:
            out, rest = np.zeros(shape, x.dtype), self.taps
        for tap in rest:
            share = _weighted(taken(x, axis, tap.columns), tap.weight, axis)
            if tap.rows.__class__ is slice:
                into = out[at(axis, tap.rows)]
                np.add(into, share, out=into)
            else:
                out[at(axis, tap.rows)] += share
        if self.after is not None:
            out *= _along(self.after, axis, out.dtype)
        return out


def at(axis: int, where: Where) -> tuple:
    """Return the index of positions along an axis counted from the end."""
    return (..., where, *(slice(None),) * (-axis - 1))


def taken(x: ndarray, axis: int, where: Where) -> ndarray:
    """Return the elements at positions along an axis, a view if they are a slice."""
    return x[at(axis, where)] if where.__class__ is slice else x.take(where, axis, mode="clip")


def is_whole(rows: Where, m: int) -> bool:
    """Tell whether a tap is of all of `m` results."""
    return rows.__class__ is slice and rows == slice(0, m, 1)


def _along(values: Any, axis: int, dtype: Any) -> Any:
    """Return factors ready to be multiplied along an axis counted from the end."""
    return dtype.type(values) if np.ndim(values) == 0 else values.astype(dtype).reshape(-1, *(1,) * (-axis - 1))


def _weighted(x: ndarray, weight: Any, axis: int) -> ndarray:
    return x if weight is None else x * _along(weight, axis, x.dtype)


def as_slice(positions: ndarray) -> Where:
    """Return positions as a slice, which makes a view, if their steps are equal and forward."""
    if len(positions) == 0:
        return slice(0, 0, 1)
    step = int(positions[1] - positions[0]) if len(positions) > 1 else 1
    if step < 1 or (np.diff(positions) != step).any():
        return positions
    return slice(int(positions[0]), int(positions[-1]) + 1, step)


def _one_or_all(values: ndarray | None) -> Any:
    if values is None or not len(values) or (values == 1).all():
        return None
    return float(values[0]) if (values == values[0]).all() else values


def _ranks(rows: ndarray) -> ndarray:
    """Return how many earlier pairs have the same row."""
    order = np.argsort(rows, kind="stable")
    starts = np.searchsorted(rows[order], rows[order])
    out = np.empty(len(rows), int)
    out[order] = np.arange(len(rows)) - starts
    return out


def _is_repeated(rows: ndarray, labels: ndarray) -> bool:
    both = np.stack([labels, rows])
    return np.unique(both, axis=1).shape[1] < len(rows)


@functools.lru_cache(maxsize=256)
def taps_of(recipe: tuple, transposed: bool) -> Taps:
    """Return the map that a recipe names, or its transpose."""
    kind, n, m, *given = recipe
    pairs = RECIPES[kind](n, m, *given)
    rows, columns, labels = pairs.rows, pairs.columns, pairs.labels
    before, after = None, _one_or_all(pairs.scale)
    if transposed:
        rows, columns, n, m, before, after = columns, rows, m, n, after, before
        if _is_repeated(rows, labels):
            labels = _ranks(rows)
    taps = []
    for label in np.unique(labels):
        here = labels == label
        weight = None if pairs.weights is None else _one_or_all(pairs.weights[here])
        taps.append(Tap(as_slice(rows[here]), as_slice(columns[here]), weight, int(label)))
    return Taps(n, m, tuple(taps), before, after)


def windows_of(recipe: tuple, transposed: bool) -> Windows:
    """Return which elements each result of a map, or of its transpose, is of."""
    kind, n, m, *given = recipe
    pairs = RECIPES[kind](n, m, *given)
    if transposed:
        return Windows.of_pairs(m, n, pairs.columns, pairs.rows)
    return Windows.of_pairs(n, m, pairs.rows, pairs.columns)


def through_maps(c: Call, i: int, o: int) -> Link:
    """Elements reach the results that the maps of the last axes make of them."""
    maps, transposed, ndim = c.params["maps"], c.params.get("transposed", False), len(c.out_shape(o))
    windows = {ndim + k: windows_of(recipe, transposed) for k, recipe in enumerate(maps, -len(maps))}
    return along_axes(c.shapes[i], c.out_shape(o), windows)


# -- recipes -----------------------------------------------------------------------------------------------------------


def _windows(n: int, m: int, kernel: int, stride: int, padding: int, dilation: int) -> Pairs:
    """Return for each window its elements that lie inside."""
    labels, rows = (a.reshape(-1) for a in np.mgrid[:kernel, :m])
    columns = stride * rows + dilation * labels - padding
    inside = (columns >= 0) & (columns < n)
    return Pairs(rows[inside], columns[inside], labels[inside])


def _means(n: int, m: int, kernel: int, stride: int, padding: int, count_padding: bool) -> Pairs:
    """Return the means of windows; padding counts as elements, or does not, and what lies beyond it never."""
    start = stride * np.arange(m) - padding
    low, high = (-padding, n + padding) if count_padding else (0, n)
    count = np.minimum(start + kernel, high) - np.maximum(start, low)
    return _windows(n, m, kernel, stride, padding, 1)._replace(scale=1 / count)


def bounds(n: int, m: int) -> tuple[ndarray, ndarray]:
    """Return where the windows of adaptive pooling start and end, which share `n` elements among `m`."""
    o = np.arange(m)
    return o * n // m, -(-(o + 1) * n // m)


def _spans(start: ndarray, end: ndarray) -> Pairs:
    count = end - start
    labels, rows = (a.reshape(-1) for a in np.mgrid[: count.max(initial=0), : len(start)])
    inside = labels < count[rows]
    rows, labels = rows[inside], labels[inside]
    return Pairs(rows, start[rows] + labels, labels)


def _adaptive_windows(n: int, m: int) -> Pairs:
    return _spans(*bounds(n, m))


def _adaptive_means(n: int, m: int) -> Pairs:
    start, end = bounds(n, m)
    return _spans(start, end)._replace(scale=1 / (end - start))


def _given_windows(n: int, m: int, kernel: int, *starts: int) -> Pairs:
    """Return windows of one size that start where they are told to."""
    first = np.array(starts, int)
    return _spans(first, first + kernel)


def _chosen(n: int, m: int, *columns: int) -> Pairs:
    """Return one element for each result."""
    return Pairs(np.arange(m), np.array(columns, int), np.zeros(m, int))


def _replicated(n: int, m: int, before: int) -> Pairs:
    """Return elements, and the first and the last again beyond the ends."""
    return _chosen(n, m, *np.clip(np.arange(m) - before, 0, n - 1))


def _reflected(n: int, m: int, before: int) -> Pairs:
    """Return elements, and beyond the ends those as far on the other side of them."""
    return _chosen(n, m, *(n - 1 - np.abs(n - 1 - np.abs(np.arange(m) - before))))


def _wrapped(n: int, m: int, before: int, after: int) -> Pairs:
    """Return elements over and over again; of those that negative widths leave."""
    start, count = max(-before, 0), n + min(before, 0) + min(after, 0)
    return _chosen(n, m, *(start + (np.arange(m) - max(before, 0)) % max(count, 1)))


RECIPES: dict[str, Callable[..., Pairs]] = {
    "windows": _windows, "means": _means, "adaptive windows": _adaptive_windows, "adaptive means": _adaptive_means,
    "given windows": _given_windows, "chosen": _chosen, "replicated": _replicated, "reflected": _reflected, "wrapped": _wrapped,
}  # fmt: skip
