"""Three products of matrices with windows that slide over arrays, which are all that a convolution and its derivatives need.

Windows as columns of a matrix turn a convolution into a product (Chellapilla et al. 2006). The columns are made a block at a
time, in memory that stays in the cache, and of a few rows of positions each, so that the products are small. NumPy arrays only.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from chainrule.core.call.threads import get_num_threads, in_threads
from chainrule.ops.nn.sliding import CACHED, Block, Sliding

ndarray = np.ndarray
_SMALL = 10**6  # multiplications: a product of no more OpenBLAS computes without packing its operands
_SHORT = 64  # columns: products of fewer are slower
_SHARE = 2 * 10**7  # multiplications worth another thread: BLAS computes small products on one


def _by_group(x: ndarray, groups: int, space: tuple) -> ndarray:
    """Return an array (examples, channels, *space) as a view (groups, channels of a group, examples, *space)."""
    n, channels = x.shape[:2]
    return x.reshape(n, groups, channels // groups, *space).transpose(1, 2, 0, *range(3, 3 + len(space)))


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
            copy = memory.transpose(*range(2, 4 + dims), 0, 1, *range(4 + dims, memory.ndim))
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


# -- three products ----------------------------------------------------------------------------------------------------


def _rows_at_once(count: int, most: int) -> int:
    """Return how many of `count` rows to take at once: a divisor that is no less than half of as many as may be, or these."""
    return next((rows for rows in range(min(count, most), most // 2, -1) if count % rows == 0), min(count, most))


def gather(s: Sliding, x: ndarray, matrix: ndarray) -> ndarray:
    """Return the products of matrices (groups, channels out of a group, channels in and places) with the windows of `x`."""
    groups, channels, places = matrix.shape
    out = np.empty((x.shape[0], groups * channels, *s.size), x.dtype)
    row = prod(s.size[1:])
    rows = _rows_at_once(s.size[0], _SMALL // (channels * places * row))
    if rows * row < _SHORT:
        _gather_large(s, x, matrix, out)
        return out
    y = out.reshape(x.shape[0], groups, channels, prod(s.size))

    def work(blocks: list[Block]) -> None:
        lines, cut = _Lines(s, groups, x.dtype), _Pieces(rows)
        by_group = lines.by_group(x)
        for block in blocks:
            for copy, here, matrices, a, b in cut.of(lines.of(by_group, block)):
                np.copyto(copy, here)
                into = y[block.n : block.m, :, :, block.r * row + a : block.r * row + b]
                into = into.reshape(*into.shape[:3], matrices.shape[1], matrices.shape[-1]).transpose(0, 3, 1, 2, 4)
                np.matmul(matrix, matrices, out=into)

    blocks = s.blocks(x.itemsize, True)
    number = min(get_num_threads(), len(blocks), y.size * places // _SHARE)
    if number < 2:
        work(blocks)
    else:
        in_threads(lambda k: work(blocks[k::number]), number)
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


def scatter(s: Sliding, y: ndarray, matrix: ndarray, out: ndarray) -> None:
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


def correlate(s: Sliding, x: ndarray, y: ndarray, out: ndarray) -> None:
    """Add products of windows of `x` with `y` to matrices (groups, channels in and places, channels out of a group)."""
    groups, share = len(out), np.empty_like(out)
    lines, columns, results = _Lines(s, groups, x.dtype), _Columns(), _Results(y, groups)
    is_thin = out.shape[2] == 1 and x.dtype.kind == "f" and s.stride[-2:] == (1, 1)
    x = lines.by_group(x)
    for block in s.blocks(x.itemsize, False):
        windows, of_block = lines.of(x, block), results.of(block)
        if is_thin:
            _dots(windows, of_block, share)
        else:
            # Transposed, the product has the longer side of columns as its rows, which BLAS likes better: 1.4 times faster.
            np.matmul(columns.of(windows), of_block.swapaxes(1, 2), out=share)
        np.add(out, share, out=out)


def _dots(windows: ndarray, y: ndarray, out: ndarray) -> None:
    """Write the products of windows with results of one channel a group: where they lie, in half the time that copies take."""
    places = 2 + (windows.ndim - 3) // 2
    runs = windows.reshape(*windows.shape[:-2], -1)  # a view: at stride 1 lines follow one another
    found = np.vecdot(runs, y.reshape(len(y), *(1,) * (places - 1), *runs.shape[places:]))
    np.add.reduce(found.reshape(*out.shape[:2], -1), axis=-1, out=out[:, :, 0])
