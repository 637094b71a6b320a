"""Where windows that slide over padded arrays lie in memory: views of them, and blocks of them that fit the cache.

NumPy arrays only. Windows of an array (examples, channels, *space) have places in them, and positions. The window at position o
holds the elements ``stride * o + dilation * k - padding`` for its places k; outside of the array there are zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, NamedTuple

import numpy as np

_BLOCK = 1 << 20  # bytes of columns at once, which stay in the second-level cache
_FEW = 256  # positions: for fewer, several examples share a matrix product


class Block(NamedTuple):
    """Examples [n, m), and of the positions' first axis the rows [r, q)."""

    n: int
    m: int
    r: int
    q: int


class Sliding:
    """Windows over the channels of many examples.

    Parameters
    ----------
    shape : tuple of int
        Of the array: (examples, channels, *space).
    kernel, size : tuple of int
        Numbers of places in a window, and of positions of windows, along each axis of space.
    stride, padding, dilation : tuple of int
        Between neighbouring positions; zeros before the array; between neighbouring places.
    joins : bool
        Whether axes may be joined.

    Attributes
    ----------
    extent : tuple of int
        The part of space that the windows reach, from the first padding on.
    joined : bool
        The last two axes of positions are taken as one. At stride 1 its windows lie in memory one after the other, with a few
        between that hang over the edge, which are computed and dropped: copying long rows is 1.6 times faster.
    width : int
        Of the last axis of positions, those that hang over included.
    """

    __slots__ = ("dilation", "extent", "joined", "kernel", "padding", "shape", "size", "slack", "stride", "strides", "width")

    def __init__(
        self, shape: tuple, kernel: tuple, size: tuple, stride: tuple, padding: tuple, dilation: tuple, joins: bool = True
    ):  # fmt: skip
        self.shape, self.kernel, self.size = shape, kernel, size
        self.stride, self.padding, self.dilation = stride, padding, dilation
        reach = zip(size, stride, kernel, dilation, strict=True)
        self.extent = extent = tuple([(o - 1) * s + (k - 1) * d + 1 for o, s, k, d in reach])
        self.strides = [prod(extent[i + 1 :]) for i in range(len(extent))]
        self.joined = joins and stride[-2:] == (1, 1) and 4 * extent[-1] <= 5 * size[-1]
        self.width = extent[-1] if self.joined else size[-1]
        self.slack = extent[-1] - size[-1] if self.joined else 0

    def empty(self, dtype: Any) -> np.ndarray:
        """Return zeros for the extent of all channels, as memory of one axis that views may run past the last row of."""
        return np.zeros(prod(self.shape[:2]) * prod(self.extent) + self.slack, dtype)

    def _inside(self) -> tuple[tuple, tuple]:
        """Return the parts of the extent and of the array that are the same elements."""
        pairs = list(zip(self.extent, self.shape[2:], self.padding, strict=True))
        here = tuple([slice(min(p, e), min(e, p + n)) for e, n, p in pairs])
        there = tuple([slice(0, max(min(n, e - p), 0)) for e, n, p in pairs])
        return (..., *here), (..., *there)

    def padded(self, x: np.ndarray) -> np.ndarray:
        """Return the memory of the extent with the array in it; the array's own if that is the same."""
        if not self.slack and not any(self.padding) and self.extent == x.shape[2:] and x.flags.c_contiguous:
            return x.reshape(-1)
        memory = self.empty(x.dtype)
        here, there = self._inside()
        memory[: memory.size - self.slack].reshape(*self.shape[:2], *self.extent)[here] = x[there]
        return memory

    def cropped(self, memory: np.ndarray) -> np.ndarray:
        """Return an array of the shape, with what the memory of the extent holds of it; zeros elsewhere."""
        whole = memory[: memory.size - self.slack].reshape(*self.shape[:2], *self.extent)
        here, there = self._inside()
        if any(self.extent[i] - p < n for i, (n, p) in enumerate(zip(self.shape[2:], self.padding, strict=True))):
            out = np.zeros(self.shape, memory.dtype)
            out[there] = whole[here]
            return out
        return np.array(whole[here], order="C")

    def positions(self, block: Block | None = None) -> tuple:
        """Return the shape of positions as they lie in columns, the last two axes joined where they are."""
        rows = (self.size[0] if block is None else block.q - block.r, *self.size[1:])
        return (*rows[:-2], rows[-2] * self.width) if self.joined else rows

    def windows(self, memory: np.ndarray, groups: int, block: Block) -> np.ndarray:
        """Return a view of windows: (groups, channels of a group, *places, examples, *positions)."""
        channels, elements, one = self.shape[1], prod(self.extent), memory.itemsize
        steps = [s * n for s, n in zip(self.stride, self.strides, strict=True)]
        start = block.n * channels * elements + block.r * steps[0]
        if self.joined:
            steps = [*steps[:-2], 1]
        places = [d * n for d, n in zip(self.dilation, self.strides, strict=True)]
        strides = [channels // groups * elements, elements, *places, channels * elements, *steps]
        shape = (groups, channels // groups, *self.kernel, block.m - block.n, *self.positions(block))
        return np.ndarray(shape, memory.dtype, memory, start * one, [n * one for n in strides])

    def columns(self, memory: np.ndarray, groups: int, block: Block, buffer: np.ndarray | None) -> np.ndarray:
        """Return windows as matrices (groups, channels and places, examples and positions)."""
        windows = self.windows(memory, groups, block)
        n = 2 + len(self.kernel)
        shape = (groups, prod(windows.shape[1:n]), prod(windows.shape[n:]))
        if buffer is None:
            return windows.reshape(shape)  # a view, where a window is one element
        columns = buffer[: prod(shape)]
        np.copyto(columns.reshape(windows.shape), windows)
        return columns.reshape(shape)

    def buffer(self, blocks: list[Block], dtype: Any) -> np.ndarray | None:
        """Return memory for the columns of any of the blocks; None if they need not be copied."""
        if prod(self.kernel) == 1 and all([block.m - block.n == 1 for block in blocks]):
            return None
        most = max([(block.m - block.n) * prod(self.positions(block)) for block in blocks], default=0)
        return np.empty(self.shape[1] * prod(self.kernel) * most, dtype)

    def blocks(self, itemsize: int) -> list[Block]:
        """Cut examples and positions into blocks whose columns stay in the cache."""
        return list(self._blocks(itemsize)) if prod(self.shape[:2]) * prod(self.size) else []

    def _blocks(self, itemsize: int) -> Iterator[Block]:
        examples, rows = self.shape[0], self.size[0]
        row = max(1, self.shape[1] * prod(self.kernel) * prod(self.positions()) // rows * itemsize)
        if row * rows > 2 * _BLOCK:
            step = max(1, _BLOCK // row)
            for n in range(examples):
                for r in range(0, rows, step):
                    yield Block(n, n + 1, r, min(r + step, rows))
            return
        count = prod(self.size)
        step = 1 if count >= _FEW else max(1, min(-(-2 * _FEW // count), _BLOCK // (row * rows)))
        for n in range(0, examples, step):
            yield Block(n, min(n + step, examples), 0, rows)
