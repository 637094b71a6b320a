"""Windows that slide over arrays: where their elements lie, and blocks of windows that fit the cache.

NumPy arrays only. Windows of an array (examples, channels, *space) have places in them, and positions. The window at position o
holds the elements ``stride * o + dilation * k - padding`` for its places k; outside of the array there are zeros.

Windows are made in two steps. First come lines: for each place along the last axis, the array with positions as its last axis,
and zeros around it along the others. What all windows hold at one place then lies there in long runs, which the second step
copies several times faster than it would the short runs of the array.
"""

from __future__ import annotations

import functools
from itertools import product
from math import prod
from typing import NamedTuple

import numpy as np

ndarray = np.ndarray
CACHED = 3 << 18  # bytes at once: with what they are made of and give they stay in a second-level cache of 1 MB


class Block(NamedTuple):
    """Examples [n, m), and of the positions' first axis the rows [r, q)."""

    n: int
    m: int
    r: int
    q: int


class Shift(NamedTuple):
    """The lines of one last place: where they lie along the axes of space, and the elements that they hold.

    Of flat lines the last positions at `stray` hold elements of other rows, and have to be zero.
    """

    place: int
    here: tuple
    there: tuple
    stray: slice | None


def _span(n: int, count: int, start: int, step: int) -> tuple[slice, slice]:
    """Return which of `count` elements ``start + step * i`` are among the first `n`, and these."""
    low = max(0, -(start // step))
    high = max(low, min(count, (n - 1 - start) // step + 1))
    first = start + step * low
    return slice(low, high), slice(first, max(first, first + step * (high - low - 1) + 1), step)


def _flattened(rows: slice, elements: slice, offset: int, shape: tuple) -> tuple[slice, slice]:
    """Return rows of lines and of an array as runs of memory, these shifted by an offset and cut off at the array's ends."""
    height, width = shape
    start, stop = elements.start * width + offset, elements.stop * width + offset
    before, behind = max(0, -start), max(0, stop - height * width)
    return slice(rows.start * width + before, rows.stop * width - behind), slice(start + before, stop - behind)


class Sliding:
    """Windows over the channels of many examples.

    Parameters
    ----------
    shape : tuple of int
        Of the array: (examples, channels, *space).
    kernel, size : tuple of int
        Numbers of places in a window, and of positions of windows, along each axis of space.
    stride, padding, dilation : tuple of int
        Between neighbouring positions; zeros before the array, or elements left out if negative; between neighbouring places.

    Attributes
    ----------
    flat : bool
        Lines are as long as the array's, so that many are copied at once: half the time. What is shifted in from the row before
        or behind is then set to zero.
    """

    __slots__ = ("blocks", "dilation", "flat", "kernel", "padding", "shape", "shifts", "size", "stride")

    def __init__(self, shape: tuple, kernel: tuple, size: tuple, stride: tuple, padding: tuple, dilation: tuple) -> None:
        self.shape, self.kernel, self.size = shape, kernel, size
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.flat = len(size) > 1 and stride[-1] == 1 and size[-1] == shape[-1]
        self.shifts = functools.lru_cache(maxsize=64)(self._shifts)
        self.blocks = functools.lru_cache(maxsize=4)(self._blocks)

    def positions(self, block: Block) -> tuple:
        """Return the shape of the positions of a block."""
        return (block.q - block.r, *self.size[1:])

    def lines(self, groups: int, block: Block) -> tuple:
        """Return the shape of a block's lines: (groups, channels of a group, last places, examples, *space)."""
        axes = zip(self.positions(block)[:-1], self.stride, self.kernel, self.dilation, strict=False)
        extent = [(o - 1) * s + (k - 1) * d + 1 for o, s, k, d in axes]
        last = self.positions(block)[-1]
        return groups, self.shape[1] // groups, self.kernel[-1], block.m - block.n, *extent, last

    def _shifts(self, r: int, q: int) -> tuple[Shift, ...]:
        """Return what the lines of the rows [r, q) hold; those that reach no element are left out."""
        block, last = Block(0, 1, r, q), len(self.size) - 1
        rows, starts = self.lines(1, block)[4:], [-p for p in self.padding]
        starts[0] += self.stride[0] * r
        found = []
        for k in range(self.kernel[-1]):
            spans = [_span(n, o, start, 1) for n, o, start in zip(self.shape[2:-1], rows[:-1], starts[:-1], strict=True)]
            start = starts[last] + self.dilation[last] * k
            spans.append(_span(self.shape[-1], rows[-1], start, self.stride[last]))
            if all([here.stop > here.start for here, _ in spans]):
                stray = None
                if self.flat:
                    spans[-2:] = [_flattened(*spans[-2], start, self.shape[-2:])]
                    stray = slice(0, -start) if start < 0 else slice(rows[-1] - start, None) if start else None
                found.append(Shift(k, *zip(*spans, strict=True), stray))
        return tuple(found)

    def runs(self, space: tuple) -> tuple:
        """Return a shape of space as it is copied: with the last two axes as one if lines are flat."""
        return (*space[:-2], space[-2] * space[-1]) if self.flat else space

    def windows(self, lines: ndarray, block: Block) -> ndarray:
        """Return a view of the windows in lines: (groups, channels of a group, *places, examples, *positions)."""
        one, pitches = lines.strides[-1], lines.strides[4:-1]
        places = [d * n for d, n in zip(self.dilation, pitches, strict=False)]
        steps = [s * n for s, n in zip(self.stride, pitches, strict=False)]
        strides = (*lines.strides[:2], *places, *lines.strides[2:4], *steps, one)
        shape = (*lines.shape[:2], *self.kernel, block.m - block.n, *self.positions(block))
        return np.ndarray(shape, lines.dtype, lines, 0, strides)

    def _blocks(self, itemsize: int, whole: bool) -> list[Block]:
        """Cut examples and positions into blocks whose columns stay in the cache.

        `whole`: columns are made of a few rows at a time, so that only the lines of an example need to stay there.
        """
        examples, rows = self.shape[0], self.size[0]
        example = self.shape[1] * prod(self.kernel) * prod(self.size) * itemsize
        split = example // prod(self.kernel[:-1]) if whole else example
        if split > CACHED:
            step = -(-rows // min(rows, -(-split // CACHED)))
            return [Block(n, n + 1, r, min(r + step, rows)) for n, r in product(range(examples), range(0, rows, step))]
        step = max(1, CACHED // max(1, example))
        return [Block(n, min(n + step, examples), 0, rows) for n in range(0, examples, step)]


@functools.lru_cache(maxsize=256)
def sliding(shape: tuple, kernel: tuple, size: tuple, stride: tuple, padding: tuple, dilation: tuple) -> Sliding:
    """Return the windows of these numbers, which remember what they were asked before."""
    return Sliding(shape, kernel, size, stride, padding, dilation)
