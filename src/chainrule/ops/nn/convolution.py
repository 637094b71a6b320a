"""Convolution: one form that is linear in each of an input x, a weight w and a result y, and its three derivatives.

With the stride s, the dilation d and the padding p of each axis of space, the form is the sum of::

    x[n, c, s o + d k - p]  w[m, c, k]  y[n, m, o]

over examples n, channels c and m of one group, places k and positions o.

`conv` is its derivative in y, `conv_input` in x, `conv_weight` in w. Each is bilinear, and the transposes of each are the other
two, so that every order of derivative is made of the three (Dumoulin & Visin, arXiv 1603.07285). A convolution is a product
with the matrix of windows (Chellapilla et al. 2006), made a block at a time in memory that stays in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from math import gcd, prod
from typing import Any, NamedTuple

import numpy as np

from chainrule.core.op.batching import Batch, moved, reshaped
from chainrule.core.op.declaration import bilinear
from chainrule.core.op.raw import in_c_order
from chainrule.core.op.samples import Sample
from chainrule.ops.nn.sliding import CACHED, Block, Sliding, sliding
from chainrule.ops.reduction.scan import wide

ndarray = np.ndarray
_SMALL = 10**6  # multiplications: a product of no more OpenBLAS computes without packing its operands
_SHORT = 64  # columns: products of fewer are slower
# The cotangent of an input is a convolution of results that have at most a few times its channels: windows are copied 5 times
# faster than added up where they overlap. The zeros around results must meet no infinite weight.
_FEW = 4
_PHASES = 8  # of a strided input, each a convolution: more cost more in calls


def _shared(x: Any, w: Any) -> tuple:
    """Return two operands of one dtype, wider than half precision, and the dtype of the result."""
    d = np.result_type(x, w)
    x, w = wide(x), wide(w)
    common = np.result_type(x, w)
    return x.astype(common, copy=False), w.astype(common, copy=False), d


def _by_group(x: ndarray, groups: int, space: tuple) -> ndarray:
    """Return an array (examples, channels, *space) as a view (groups, channels of a group, examples, *space)."""
    n, channels = x.shape[:2]
    return np.moveaxis(x.reshape(n, groups, channels // groups, *space), 0, 2)


def _rows_apart(shape: tuple, dtype: np.dtype) -> ndarray:
    """Return memory for matrices whose rows do not start a power of two apart, where they would share lines of the cache.

    Products take 1.5 times as long there, copies twice.
    """
    *lead, count = shape
    between = 256 // dtype.itemsize if count * dtype.itemsize % 1024 == 0 else 0
    return np.empty((*lead, count + between), dtype)[..., :count]


class _Lines:
    """Windows of one block after the other, in memory that each takes over: fresh pages cost more than the products.

    Arrays are laid out by `by_group`.
    """

    __slots__ = ("dtype", "groups", "made", "s")

    def __init__(self, s: Sliding, groups: int, dtype: np.dtype) -> None:
        self.s, self.groups, self.dtype = s, groups, dtype
        self.made: dict[tuple, Any] = {}

    def by_group(self, x: ndarray) -> ndarray:
        return _by_group(x, self.groups, self.s.runs(x.shape[2:]))

    def at(self, block: Block) -> tuple[ndarray, list, ndarray]:
        """Return lines, zeros at first, (view of some, index into the array, view of strays) and a view of the windows."""
        key = (block.m - block.n, block.r, block.q)
        if key not in self.made:
            lines = self._memory(block)
            runs = lines.reshape(*lines.shape[:4], *self.s.runs(lines.shape[4:]))
            shifts = [
                (runs[:, :, k][(..., *here)], (..., *there), None if stray is None else lines[:, :, k, ..., stray])
                for k, here, there, stray in self.s.shifts(block.r, block.q)
            ]
            self.made[key] = lines, shifts, self.s.windows(lines, block)
        return self.made[key]

    def _memory(self, block: Block) -> ndarray:
        shape = self.s.lines(self.groups, block)
        if shape not in self.made:
            self.made[shape] = np.zeros(shape, self.dtype)
        return self.made[shape]

    def of(self, x: ndarray, block: Block) -> ndarray:
        """Return the windows of a block of an array."""
        lines, shifts, windows = self.at(block)
        if block.q - block.r < self.s.size[0]:
            lines.fill(0)  # blocks of one example have other margins
        part = x[:, :, block.n : block.m]
        for view, elements, strays in shifts:
            view[...] = part[elements]
            if strays is not None:
                strays[...] = 0
        return windows

    def back(self, x: ndarray, block: Block) -> None:
        """Add the lines of a block to an array."""
        part = x[:, :, block.n : block.m]
        for view, elements, strays in self.at(block)[1]:
            if strays is not None:
                strays[...] = 0
            into = part[elements]
            np.add(into, view, out=into)  # `+=` would write the view back onto itself


class _Columns:
    """Memory for the windows of blocks as matrices (groups, channels and places, examples and positions)."""

    __slots__ = ("made",)

    def __init__(self) -> None:
        self.made: dict[tuple, Any] = {}

    def like(self, windows: ndarray) -> tuple[ndarray, ndarray]:
        """Return the matrices, and the same memory in the shape of the windows."""
        shape, places = windows.shape, 2 + (windows.ndim - 3) // 2
        if shape not in self.made:
            matrix = _rows_apart((shape[0], prod(shape[1:places]), prod(shape[places:])), windows.dtype)
            self.made[shape] = matrix, matrix.reshape(shape)
        return self.made[shape]

    def of(self, windows: ndarray) -> ndarray:
        """Return windows as matrices."""
        matrix, copy = self.like(windows)
        np.copyto(copy, windows)
        return matrix


class _Pieces:
    """Windows as many small matrices, each of some rows of positions of one example, each in memory of its own.

    So OpenBLAS multiplies them without packing, 1.3 times faster than one large matrix.
    """

    __slots__ = ("made", "rows")

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.made: dict[tuple, list] = {}

    def of(self, windows: ndarray) -> list:
        """Return (copy, windows, matrices, first row, last row) of pieces that fit the cache together.

        The matrices (examples, pieces, groups, channels and places, positions) are filled by copying the windows to the copy.
        """
        shape = windows.shape
        if shape not in self.made:
            self.made[shape] = list(self._cut(windows))
        return self.made[shape]

    def _cut(self, windows: ndarray) -> Iterator[tuple]:
        dims = (windows.ndim - 3) // 2
        groups, channels, *rest = windows.shape
        kernel, examples, count, row = rest[:dims], rest[dims], rest[dims + 1], rest[dims + 2 :]
        most = max(1, CACHED // (windows.itemsize * max(1, prod(windows.shape) // count * self.rows)))
        a = 0
        while a < count:
            step = min(self.rows, count - a)
            pieces = min(most, (count - a) // step)
            b = a + pieces * step
            memory = np.empty((examples, pieces, groups, channels, *kernel, step, *row), windows.dtype)
            copy = np.moveaxis(memory, (0, 1), (2 + dims, 3 + dims))
            here = windows[(slice(None),) * (3 + dims) + (slice(a, b),)]
            here = here.reshape(*windows.shape[: 3 + dims], pieces, step, *row)
            yield copy, here, memory.reshape(examples, pieces, groups, -1, step * prod(row)), a * prod(row), b * prod(row)
            a = b


class _Results:
    """Results (examples, channels, *positions) by blocks, as matrices (groups, channels, examples and positions)."""

    __slots__ = ("by_group", "made", "rows")

    def __init__(self, y: ndarray, groups: int) -> None:
        self.by_group = _by_group(y, groups, y.shape[2:])
        self.rows = y.reshape(y.shape[0], groups, y.shape[1] // groups, -1) if y.flags.c_contiguous else None
        self.made: dict[tuple, ndarray] = {}

    def at(self, block: Block) -> tuple[ndarray, ndarray, ndarray]:
        """Return the matrices of a block, and the block itself twice: where it lies, and by position as a view of the matrices.

        The two are one where the matrices are a view of the results: for one example that lies in C order.
        """
        part = self.by_group[:, :, block.n : block.m, block.r : block.q]
        if self.rows is not None and block.m - block.n == 1:
            row = part[0, 0, 0, 0].size
            return self.rows[block.n, :, :, block.r * row : block.q * row], part, part
        shape = part.shape
        if shape not in self.made:
            self.made[shape] = np.empty(shape, part.dtype)
        copy = self.made[shape]
        return copy.reshape(*shape[:2], -1), part, copy

    def of(self, block: Block) -> ndarray:
        """Return the matrices with the results in them."""
        matrix, part, copy = self.at(block)
        if copy is not part:
            copy[...] = part
        return matrix


# -- three ways of moving windows --------------------------------------------------------------------------------------


def _rows_at_once(count: int, most: int) -> int:
    """Return how many of `count` rows to take at once: a divisor that is no less than half of as many as may be, or these."""
    return next((rows for rows in range(min(count, most), most // 2, -1) if count % rows == 0), min(count, most))


def _gather(s: Sliding, x: ndarray, matrix: ndarray) -> ndarray:
    """Return the products of matrices (groups, channels out of a group, channels in and places) with the windows of `x`."""
    groups, channels, places = matrix.shape
    out = np.empty((x.shape[0], groups * channels, *s.size), x.dtype)
    row = prod(s.size[1:])
    rows = _rows_at_once(s.size[0], _SMALL // (channels * places * row))
    if rows * row < _SHORT:
        _gather_large(s, x, matrix, out)
        return out
    lines, cut = _Lines(s, groups, x.dtype), _Pieces(rows)
    x, y = lines.by_group(x), out.reshape(x.shape[0], groups, channels, prod(s.size))
    for block in s.blocks(x.itemsize, True):
        for copy, here, matrices, a, b in cut.of(lines.of(x, block)):
            np.copyto(copy, here)
            into = y[block.n : block.m, :, :, block.r * row + a : block.r * row + b]
            into = into.reshape(*into.shape[:3], matrices.shape[1], matrices.shape[-1]).transpose(0, 3, 1, 2, 4)
            np.matmul(matrix, matrices, out=into)
    return out


def _gather_large(s: Sliding, x: ndarray, matrix: ndarray, out: ndarray) -> None:
    """Write the products into `out`, by large matrices."""
    lines, columns, results = _Lines(s, len(matrix), x.dtype), _Columns(), _Results(out, len(matrix))
    x = lines.by_group(x)
    for block in s.blocks(x.itemsize, False):
        y, part, copy = results.at(block)
        np.matmul(matrix, columns.of(lines.of(x, block)), out=y)
        if copy is not part:
            part[...] = copy


def _scatter(s: Sliding, y: ndarray, matrix: ndarray, out: ndarray) -> None:
    """Add up products of matrices (groups, channels in and places, channels out of a group) with `y` where windows lie."""
    groups = len(matrix)
    lines, columns, results = _Lines(s, groups, y.dtype), _Columns(), _Results(y, groups)
    out = lines.by_group(out)
    for block in s.blocks(y.itemsize, False):
        memory, _, windows = lines.at(block)
        as_matrix, shares = columns.like(windows)
        np.matmul(matrix, results.of(block), out=as_matrix)
        memory.fill(0)
        for place in np.ndindex(*s.kernel[:-1]):
            into = windows[:, :, *place]
            np.add(into, shares[:, :, *place], out=into)
        lines.back(out, block)


def _correlate(s: Sliding, x: ndarray, y: ndarray, out: ndarray) -> None:
    """Add products of windows of `x` with `y` to matrices (groups, channels in and places, channels out of a group)."""
    groups, share = len(out), np.empty_like(out)
    lines, columns, results = _Lines(s, groups, x.dtype), _Columns(), _Results(y, groups)
    x = lines.by_group(x)
    for block in s.blocks(x.itemsize, False):
        # Transposed, the product has the longer side of columns as its rows, which BLAS likes better: 1.4 times faster.
        np.matmul(columns.of(lines.of(x, block)), results.of(block).swapaxes(1, 2), out=share)
        np.add(out, share, out=out)


class _Phase(NamedTuple):
    """Every s-th element of the input along an axis: a convolution of the results with every S-th weight, in reverse.

    Attributes
    ----------
    elements, weights : slice
    size, padding, dilation : int
    """

    elements: slice
    weights: slice
    size: int
    padding: int
    dilation: int


def _phases(n: int, kernel: int, stride: int, padding: int, dilation: int) -> list[_Phase]:
    """Return the phases of an axis of `n` elements, except those that no window reaches.

    Element ``i = first + stride * j`` meets place k where ``i + padding - dilation * k`` is a multiple of the stride, and there
    it is the position. With k = ``k0 + step * t`` that is position ``j + behind - dilation / common * t``.
    """
    found = []
    common = gcd(stride, dilation)
    step = stride // common
    for first in range(min(stride, n)):
        places = [k for k in range(min(step, kernel)) if (first + padding - dilation * k) % stride == 0]
        if places:
            k0 = places[0]
            taps = -(-(kernel - k0) // step)
            last = k0 + (taps - 1) * step
            reach = dilation // common * (taps - 1)
            weights = slice(last, k0 - 1 if k0 else None, -step)
            behind = (first + padding - dilation * k0) // stride
            found.append(
                _Phase(slice(first, None, stride), weights, -(-(n - first) // stride), reach - behind, dilation // common)
            )
    return found


# -- kernels -----------------------------------------------------------------------------------------------------------


def _conv(x: Any, w: Any, *, stride: tuple, padding: tuple, dilation: tuple, groups: int, size: tuple) -> Any:
    x, w, d = _shared(x, w)
    shape = (x.shape[0], w.shape[0], *size)
    if not x.size or not w.size or not prod(shape):
        return np.zeros(shape, d)
    s = sliding(x.shape, w.shape[2:], size, stride, padding, dilation)
    return _gather(s, in_c_order(x), w.reshape(groups, w.shape[0] // groups, -1)).astype(d, copy=False)


def _conv_input(y: Any, w: Any, *, stride: tuple, padding: tuple, dilation: tuple, groups: int, size: tuple) -> Any:
    y, w, d = _shared(y, w)
    shape = (y.shape[0], groups * w.shape[1], *size)
    if not prod(shape) or not y.size or not w.size:
        return np.zeros(shape, d)
    out = None if max(stride) == 1 else np.zeros(shape, y.dtype)
    y, by_group = in_c_order(y), w.reshape(groups, -1, *w.shape[1:])
    if w.shape[0] <= _FEW * groups * w.shape[1] and prod(stride) <= _PHASES and np.isfinite(w).all():
        for phases in product(*map(_phases, size, w.shape[2:], stride, padding, dilation)):
            elements, places, sizes, before, steps = zip(*phases, strict=True)
            part = np.ascontiguousarray(by_group.swapaxes(1, 2)[(..., *places)])  # BLAS takes no steps backwards
            s = sliding(y.shape, part.shape[3:], sizes, (1,) * len(size), before, steps)
            found = _gather(s, y, part.reshape(groups, w.shape[1], -1))
            if out is None:
                return found.astype(d, copy=False)
            out[(..., *elements)] = found
    else:
        out = np.zeros(shape, y.dtype)
        s = sliding(shape, w.shape[2:], y.shape[2:], stride, padding, dilation)
        _scatter(s, y, by_group.reshape(groups, by_group.shape[1], -1).swapaxes(1, 2), out)
    return out.astype(d, copy=False)


def _conv_weight(x: Any, y: Any, *, stride: tuple, padding: tuple, dilation: tuple, groups: int, size: tuple) -> Any:
    x, y, d = _shared(x, y)
    shape = (y.shape[1], x.shape[1] // groups, *size)
    out = np.zeros((groups, prod(shape[1:]), shape[0] // groups), x.dtype)
    if out.size and x.size and y.size:
        _correlate(sliding(x.shape, size, y.shape[2:], stride, padding, dilation), in_c_order(x), in_c_order(y), out)
    return out.swapaxes(1, 2).reshape(shape).astype(d, copy=False)


# -- batches -----------------------------------------------------------------------------------------------------------

_AXES = {"x": "ngc", "y": "ngo", "w": "goc"}  # of the leading axes: examples, groups, channels of a group in and out


def _folded(v: Any, kind: str, at: str, groups: int) -> Any:
    """Return an operand with the batch axis, which it has in front, joined with one of its leading axes."""
    size, first, second, *space = v.shape
    axes = [first, groups, second // groups] if kind != "w" else [groups, first // groups, second]
    split = reshaped(v, (size, *axes, *space))
    place = _AXES[kind].index(at)
    axes[place] *= size
    return reshaped(moved(split, 0, place), (*_joined(axes, kind), *space))


def _joined(axes: list, kind: str) -> tuple:
    a, b, c = axes
    return (a, b * c) if kind != "w" else (a * b, c)


def _unfolded(v: Any, kind: str, at: str, groups: int, size: int) -> Any:
    """Return a result with the batch axis in front again; `groups` are those of one example."""
    first, second, *space = v.shape
    scale = size if at == "g" else 1
    axes = (
        [first, groups * scale, second // (groups * scale)]
        if kind != "w"
        else [groups * scale, first // (groups * scale), second]
    )
    place = _AXES[kind].index(at)
    axes[place] //= size
    split = reshaped(v, (*axes[:place], size, *axes[place:], *space))
    return reshaped(moved(split, place, 0), (size, *_joined(axes, kind), *space))


def _over(kinds: str) -> Callable:
    """Return the batching rule of a form: the batch joins the axis that only the batched operand and the result have."""

    def rule(b: Batch, x: Any, w: Any, *, groups: int, **params: Any) -> Any:
        if not b.size:
            shapes = [v.shape[on:] for v, on in zip((x, w), b.on, strict=True)]
            return reshaped(x if b.on[0] else w, (0, *b.op.shape(shapes, {"groups": groups, **params})))
        if all(b.on):
            at = "g"
        else:
            mine, other = kinds[:2] if b.on[0] else kinds[1::-1]
            (at,) = set(_AXES[mine]) & set(_AXES[kinds[2]]) - set(_AXES[other])
        given = [_folded(v, kind, at, groups) if on else v for v, kind, on in zip((x, w), kinds[:2], b.on, strict=True)]
        out = b.op.call(*given, groups=groups * b.size if at == "g" else groups, **params)
        return _unfolded(out, kinds[2], at, groups, b.size)

    return rule


# -- the form ----------------------------------------------------------------------------------------------------------

_CASES = [  # input, weight, stride, padding, dilation, groups, positions
    ((2, 3, 5), (4, 3, 3), (1,), (0,), (1,), 1, (3,)), ((2, 4, 7), (6, 2, 2), (2,), (1,), (3,), 2, (3,)),
    ((1, 2, 3, 3), (2, 2, 2, 3), (1, 1), (1, 1), (1, 1), 1, (4, 3)),
    ((1, 2, 3, 5), (2, 1, 3, 2), (1, 1), (1, 0), (1, 1), 2, (3, 4)),
    ((1, 2, 5, 4), (4, 1, 2, 2), (2, 1), (0, 1), (2, 1), 2, (2, 4)),
    ((2, 2, 3, 3), (3, 2, 1, 1), (1, 1), (0, 0), (1, 1), 1, (3, 3)),
    ((1, 1, 2, 3, 3), (2, 1, 2, 2, 2), (1, 2, 1), (0, 1, 1), (1, 1, 2), 1, (1, 2, 3)),
    ((0, 2, 3), (2, 2, 2), (1,), (0,), (1,), 1, (2,)), ((1, 2, 2, 5), (2, 2, 2, 2), (1, 1), (0, 0), (1, 1), 1, (1, 4)),
    ((1, 2, 1, 2, 5), (1, 2, 1, 2, 2), (1, 1, 1), (0, 0, 0), (1, 1, 1), 1, (1, 1, 4)),
]  # fmt: skip


def _samples(name: str) -> list[Sample]:
    """Return the samples of one of the three: the two operands' shapes, the third's space as its size."""
    found = []
    for x, w, stride, padding, dilation, groups, size in _CASES:
        y = (x[0], w[0], *size)
        shapes, space = {"conv": ((x, w), size), "conv_input": ((y, w), x[2:]), "conv_weight": ((x, y), w[2:])}[name]
        found.append(Sample(*shapes, stride=stride, padding=padding, dilation=dilation, groups=groups, size=space))
    return found


_PARAMS = "stride, padding, dilation, groups, size"

conv: Callable = bilinear(f"conv(x, w, *, {_PARAMS})", _conv, kinds="ifc", node="Convolution",
    shape=lambda x, w, *, size: (x[0], w[0], *size),
    batch=_over("xwy"),
    x=lambda g, w, x_shape, *, stride, padding, dilation, groups: conv_input(
        g, w, stride=stride, padding=padding, dilation=dilation, groups=groups, size=x_shape[2:]),
    w=lambda g, x, w_shape, *, stride, padding, dilation, groups: conv_weight(
        x, g, stride=stride, padding=padding, dilation=dilation, groups=groups, size=w_shape[2:]),
    samples=lambda: _samples("conv"),
    doc="Convolve (examples, channels, *space) with weights (channels out, channels of a group in, *places).")  # fmt: skip

conv_input: Callable = bilinear(f"conv_input(y, w, *, {_PARAMS})", _conv_input, kinds="ifc", node="Convolution",
    shape=lambda y, w, *, groups, size: (y[0], groups * w[1], *size),
    batch=_over("ywx"),
    y=lambda g, w, y_shape, *, stride, padding, dilation, groups: conv(
        g, w, stride=stride, padding=padding, dilation=dilation, groups=groups, size=y_shape[2:]),
    w=lambda g, y, w_shape, *, stride, padding, dilation, groups: conv_weight(
        g, y, stride=stride, padding=padding, dilation=dilation, groups=groups, size=w_shape[2:]),
    samples=lambda: _samples("conv_input"),
    doc="Spread results over the input of a convolution, whose space has the given size: transposed convolution.")  # fmt: skip

conv_weight: Callable = bilinear(f"conv_weight(x, y, *, {_PARAMS})", _conv_weight, kinds="ifc", node="ConvolutionBackward",
    shape=lambda x, y, *, groups, size: (y[1], x[1] // groups, *size),
    batch=_over("xyw"),
    x=lambda g, y, x_shape, *, stride, padding, dilation, groups: conv_input(
        y, g, stride=stride, padding=padding, dilation=dilation, groups=groups, size=x_shape[2:]),
    y=lambda g, x, y_shape, *, stride, padding, dilation, groups: conv(
        x, g, stride=stride, padding=padding, dilation=dilation, groups=groups, size=y_shape[2:]),
    samples=lambda: _samples("conv_weight"),
    doc="Correlate the input of a convolution with its results, at the given number of places along each axis.")  # fmt: skip
