"""Linear maps along axes of space, one for each: average pooling, interpolation, padding; and windows side by side."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import prod
from typing import Any

import numpy as np

from chainrule.core.op.batching import same
from chainrule.core.op.declaration import linear
from chainrule.core.op.raw import in_c_order, narrowed
from chainrule.core.op.reach import placed, taken
from chainrule.core.op.samples import Sample
from chainrule.ops.nn.interpolation import RECIPES as INTERPOLATIONS
from chainrule.ops.nn.taps import RECIPES, taps_of, through_maps
from chainrule.ops.reduction.scan import wide

RECIPES.update(INTERPOLATIONS)


def _resample(x: Any, *, maps: tuple, transposed: bool, form: str) -> Any:
    out = wide(x)
    taps = [taps_of(recipe, transposed) for recipe in maps]
    # The axis that shrinks most comes first: fewer elements are left for the others.
    for axis in sorted(range(-len(maps), 0), key=lambda axis: (taps[axis].m + 1) / (taps[axis].n + 1)):
        out = taps[axis](out, axis)
    return narrowed(in_c_order(out), x)


def _resampled(x: tuple, *, maps: tuple, transposed: bool) -> tuple:
    sizes = [recipe[1] if transposed else recipe[2] for recipe in maps]
    return (*x[: len(x) - len(maps)], *sizes)


_MAPS = [
    ((2, 5), (("means", 5, 2, 2, 2, 0, True),)), ((7,), (("means", 7, 4, 3, 2, 1, False),)),
    ((2, 5, 4), (("adaptive means", 5, 3), ("adaptive means", 4, 1))), ((2, 3), (("chosen", 3, 5, 1, 0, 1, 2, 1),)),
    ((0, 4), (("windows", 4, 2, 3, 1, 0, 1),)), ((5,), (("linear", 5, 8, 0.625, False, True),)),
    ((2, 3, 4), (("cubic", 3, 5, 0.6, False, True), ("linear", 4, 3, 1.5, True, True))),
    ((6,), (("smooth linear", 6, 3, 2.0, True),)), ((6,), (("smooth cubic", 6, 4, 1.5, True),)),
    ((6,), (("smooth lanczos", 6, 4, 1.5, True),)), ((2, 3), (("nearest", 3, 5, 0.6, True),)),
    ((2, 3), (("nearest", 3, 6, 0.5, False),)), ((3, 4), (("reflected", 3, 6, 2), ("replicated", 4, 7, 1))),
    ((2, 4), (("wrapped", 4, 7, 2, 1),)),  ((2, 5), (("wrapped", 5, 6, -1, 2),)), ((5,), (("reflected", 5, 4, -1),)),
]  # fmt: skip

_WHOLE = ("chosen", "windows", "nearest", "reflected", "replicated", "wrapped")  # whose factors are all 1

resample: Callable = linear("resample(x, *, maps, transposed, form)", _resample, kinds="ifc",
    shape=_resampled,
    reach=through_maps,
    batch=same,
    node=lambda node: "Resample" if node is None else node.params["form"],
    x=lambda g, *, maps, transposed, form: resample(g, maps=maps, transposed=not transposed, form=f"{form}Backward"),
    samples=lambda: [
        Sample((*shape[: len(shape) - len(maps)], *[r[2] for r in maps]) if transposed else shape, maps=maps,
               transposed=transposed, form="Resample", kinds="ifc" if maps[0][0] in _WHOLE else "fc")
        for shape, maps in _MAPS for transposed in (False, True)
    ],
    doc="Apply a map of `taps` to each of the last axes, or its transpose.")  # fmt: skip


# -- windows side by side ----------------------------------------------------------------------------------------------


def _places(space: tuple, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple, size: tuple) -> Any:
    """Yield for each place of a window: the place, the index of positions, the index of the elements there."""
    axes = zip(space, size, kernel, stride, padding, dilation, strict=True)
    of_axes = []
    for n, m, k, s, p, d in axes:
        found = []
        for label in range(k):
            low, high = max(0, -(-(p - d * label) // s)), min(m, (n - 1 + p - d * label) // s + 1)
            if low < high:
                start = s * low + d * label - p
                found.append((label, slice(low, high), slice(start, start + (high - low - 1) * s + 1, s)))
        of_axes.append(found)
    for parts in product(*of_axes):
        place, rows, columns = zip(*parts, strict=True)
        yield place, rows, columns


def positions(space: tuple, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple) -> tuple:
    """Return how many positions windows have along each axis."""
    axes = zip(space, kernel, stride, padding, dilation, strict=True)
    return tuple([(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes])


def _im2col(x: Any, *, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple) -> Any:
    space = x.shape[-len(kernel) :]
    size = positions(space, kernel, stride, padding, dilation)
    lead, channels = x.shape[: -len(kernel) - 1], x.shape[-len(kernel) - 1]
    out = np.zeros((*lead, channels, *kernel, *size), x.dtype)
    for place, rows, columns in _places(space, kernel, stride, padding, dilation, size):
        out[(..., *place, *rows)] = x[(..., *columns)]
    return out.reshape(*lead, channels * prod(kernel), prod(size))


def _col2im(x: Any, *, size: tuple, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple) -> Any:
    count = positions(size, kernel, stride, padding, dilation)
    lead, channels = x.shape[:-2], x.shape[-2] // prod(kernel)
    columns_of = wide(x).reshape(*lead, channels, *kernel, *count)
    out = np.zeros((*lead, channels, *size), columns_of.dtype)
    for place, rows, columns in _places(size, kernel, stride, padding, dilation, count):
        into = out[(..., *columns)]
        np.add(into, columns_of[(..., *place, *rows)], out=into)
    return narrowed(out, x)


def _columns(x: tuple, *, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple) -> tuple:
    size = positions(x[-len(kernel) :], kernel, stride, padding, dilation)
    return (*x[: -len(kernel) - 1], x[-len(kernel) - 1] * prod(kernel), prod(size))


_COLUMNS = [  # shape, kernel, stride, padding, dilation
    ((2, 5, 4), (2, 3), (1, 1), (0, 1), (1, 1)), ((1, 2, 4, 5), (2, 2), (2, 1), (1, 0), (1, 2)),
    ((2, 6), (3,), (2,), (1,), (1,)),
    ((0, 1, 3, 3), (2, 2), (1, 1), (0, 0), (1, 1)),
]  # fmt: skip


def _column_sample(case: tuple, folds: bool) -> Sample:
    shape, kernel, stride, padding, dilation = case
    given: dict = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}
    return Sample(_columns(shape, **given), size=shape[-len(kernel) :], **given) if folds else Sample(shape, **given)


im2col: Callable = linear("im2col(x, *, kernel, stride, padding, dilation)", _im2col, kinds="bifc",
    shape=_columns,
    reach=taken,
    batch=same,
    x=lambda g, x_shape, *, kernel, stride, padding, dilation: col2im(
        g, size=tuple(x_shape[-len(kernel) :]), kernel=kernel, stride=stride, padding=padding, dilation=dilation),
    samples=lambda: [_column_sample(case, False) for case in _COLUMNS],
    doc="Return the windows of (..., channels, *space) as columns: (..., channels and places, positions).")  # fmt: skip

col2im: Callable = linear("col2im(x, *, size, kernel, stride, padding, dilation)", _col2im, kinds="ifc",
    shape=lambda x, *, size, kernel: (*x[:-2], x[-2] // prod(kernel), *size),
    reach=placed,
    batch=same,
    x=lambda g, *, kernel, stride, padding, dilation: im2col(
        g, kernel=kernel, stride=stride, padding=padding, dilation=dilation),
    samples=lambda: [_column_sample(case, True) for case in _COLUMNS],
    doc="Add up columns where they lay in (..., channels, *space): the transpose of `im2col`.")  # fmt: skip
