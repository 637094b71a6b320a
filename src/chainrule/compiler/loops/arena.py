"""The arena: places in one block of memory for buffers that live for a while, so that what never lives together shares.

A pure function on intervals; it knows nothing of what the buffers hold.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

ALIGNMENT = 64  # bytes: a cache line, and the widest vector
_FEW = 400  # intervals up to which placing by size, which looks at every pair, costs little (400: 15 ms)

Interval = tuple[int, int, int]


def placed(intervals: Sequence[Interval], alignment: int = ALIGNMENT) -> tuple[list[int], int]:
    """Return a place for each buffer, and how many bytes hold them all.

    Parameters
    ----------
    intervals : sequence of (start, end, bytes)
        A buffer is first written in step `start` and last used in step `end`, both included: those of two buffers that have a
        step in common do not overlap in memory.
    alignment : int
        A power of two of which every offset is a multiple.

    Returns
    -------
    offsets : list of int
        In bytes from the start of the block, in the order of the intervals.
    total : int
        Bytes of the block.

    Notes
    -----
    Least memory is NP-hard. Two greedy rules, of which the better is taken: in order of time into the smallest gap that holds
    the buffer, which is best for buffers of one size; and the largest first, each into the smallest gap between those that it
    meets (Pisarchyk & Lee, arXiv 2001.03288, algorithm 3), which is better for mixed sizes and takes quadratic time.

    Examples
    --------
    >>> placed([(0, 1, 100), (1, 2, 50), (2, 3, 100)])
    ([0, 128, 0], 192)
    """
    sizes = [-(-size // alignment) * alignment for _, _, size in intervals]
    offsets = _by_time(intervals, sizes)
    best = _total(offsets, sizes)
    if best > least(intervals, alignment) and len(intervals) <= _FEW:
        other = _by_size(intervals, sizes)
        if (total := _total(other, sizes)) < best:
            return other, total
    return offsets, best


def least(intervals: Sequence[Interval], alignment: int = ALIGNMENT) -> int:
    """Return the bytes that live together at the fullest step: no placement takes fewer.

    Examples
    --------
    >>> least([(0, 1, 100), (1, 2, 50), (2, 3, 100)])
    192
    """
    change: dict[int, int] = {}
    for start, end, size in intervals:
        size = -(-size // alignment) * alignment
        change[start] = change.get(start, 0) + size
        change[end + 1] = change.get(end + 1, 0) - size
    most = now = 0
    for step in sorted(change):
        now += change[step]
        most = max(most, now)
    return most


def _total(offsets: list[int], sizes: list[int]) -> int:
    return max([offset + size for offset, size in zip(offsets, sizes, strict=True)], default=0)


def _by_time(intervals: Sequence[Interval], sizes: list[int]) -> list[int]:
    """Place in order of time, each buffer into the smallest gap that holds it, or else at the end."""
    offsets = [0] * len(sizes)
    ends = sorted(range(len(sizes)), key=lambda i: intervals[i][1])
    gaps, top, over = _Gaps(), 0, 0
    for i in sorted(range(len(sizes)), key=lambda i: (intervals[i][0], -sizes[i])):
        while intervals[ends[over]][1] < intervals[i][0]:
            gaps.give(offsets[ends[over]], sizes[ends[over]])
            over += 1
        if not sizes[i]:
            continue
        found = gaps.take(sizes[i])
        if found is None:
            found = gaps.last(top)  # what is free at the end grows
            top = found + sizes[i]
        offsets[i] = found
    return offsets


class _Gaps:
    """What is free: by size, and by where it starts and ends."""

    def __init__(self) -> None:
        self.sorted: list[tuple[int, int]] = []  # (size, start)
        self.from_: dict[int, int] = {}
        self.to: dict[int, int] = {}

    def give(self, start: int, size: int) -> None:
        """Add what is free now, joined with its neighbours."""
        if not size:
            return
        end = start + size
        if start in self.to:
            start = self._drop(self.to[start])
        if end in self.from_:
            following = self.from_[end]
            self._drop(end)
            end = following
        self._add(start, end)

    def take(self, size: int) -> int | None:
        """Return where the smallest gap that holds a size starts; None if none does."""
        k = bisect_left(self.sorted, (size, -1))
        if k == len(self.sorted):
            return None
        start = self.sorted[k][1]
        end = self.from_[start]
        self._drop(start)
        if start + size < end:
            self._add(start + size, end)
        return start

    def last(self, top: int) -> int:
        """Take the gap that ends at the top, if there is one; return where it starts, or the top."""
        return self._drop(self.to[top]) if top in self.to else top

    def _add(self, start: int, end: int) -> None:
        self.from_[start], self.to[end] = end, start
        insort(self.sorted, (end - start, start))

    def _drop(self, start: int) -> int:
        end = self.from_.pop(start)
        del self.to[end]
        del self.sorted[bisect_left(self.sorted, (end - start, start))]
        return start


def _by_size(intervals: Sequence[Interval], sizes: list[int]) -> list[int]:
    """Place the largest first, each into the smallest gap between those already placed that it meets."""
    offsets = [0] * len(sizes)
    done: list[tuple[int, int, int, int]] = []  # (offset, end of it, start, end of time), by offset
    for i in sorted(range(len(sizes)), key=lambda i: (-sizes[i], intervals[i][0])):
        start, end, _ = intervals[i]
        size, low, found, best = sizes[i], 0, None, 0
        if not size:
            continue
        for offset, above, first, last in done:
            if first <= end and start <= last:
                gap = offset - low
                if gap >= size and (found is None or gap < best):
                    found, best = low, gap
                if above > low:
                    low = above
        offsets[i] = low if found is None else found
        insort(done, (offsets[i], offsets[i] + size, start, end))
    return offsets
