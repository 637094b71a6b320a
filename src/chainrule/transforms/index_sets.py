"""Index sets: for each element of a value the inputs' elements that it can depend on, and the unions that links make of them.

Sets are rows of a table that elements share, so that a sum over n elements, or a value of which every element depends on all
inputs, takes n numbers and not n². Where unions would take too many, elements are given larger sets together.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from chainrule.core.op.links import Link, Windows

FEW = 32  # entries of which a union is made in Python
MOST = 1 << 23
"""Entries of one value's table, past which all its elements are given one set, that of them together."""


class Sets:
    """For each element of a value, the inputs' elements that it can depend on.

    Attributes
    ----------
    starts, columns : array of int
        The rows of the table: row k is ``columns[starts[k]:starts[k + 1]]``, without doubles, in no order.
    which : array of int, or None
        The row of each element, flat; -1 for one that depends on nothing. None: element k has row k.
    """

    __slots__ = ("columns", "starts", "which")

    def __init__(self, starts: np.ndarray, columns: np.ndarray, which: np.ndarray | None = None):
        self.starts, self.columns, self.which = starts, columns, which

    def rows(self) -> np.ndarray:
        """Return the row of each element."""
        return np.arange(len(self.starts) - 1) if self.which is None else self.which

    def counts(self) -> np.ndarray:
        """Return how many inputs' elements each element depends on."""
        lengths = np.append(np.diff(self.starts), 0)
        return lengths[self.rows()]

    def only(self) -> np.ndarray:
        """Return the set of the one element."""
        row = 0 if self.which is None else int(self.which[0])
        return self.columns[:0] if row < 0 else self.columns[self.starts[row] : self.starts[row + 1]]

    def taken(self, places: np.ndarray) -> Sets:
        """Return the sets of the elements at these places; -1 is none."""
        rows = places if self.which is None else np.append(self.which, -1)[places]
        return Sets(self.starts, self.columns, rows)

    def compact(self) -> Sets:
        """Return the same sets without rows that no element has, where these are most of the table."""
        if self.which is None or 2 * len(self.which) >= len(self.starts):
            return self
        used, which = np.unique(self.which, return_inverse=True)
        if len(used) and used[0] < 0:
            used, which = used[1:], which - 1
        starts = np.concatenate([[0], np.cumsum(self.starts[used + 1] - self.starts[used])])
        return Sets(starts, self.columns[spans(self.starts, used)], which)

    def through(self, link: Link, columns: int) -> Sets:
        """Return the sets of a result's elements, which depend on these by a link."""
        found = self
        if link.ins is not None:
            found = self._united(link.ins, self.rows(), columns)
        for step in link.windows:
            found = sized(found, prod(step.shape))._windowed(step, columns)
        if link.outs is None:
            return found
        return found.taken(link.outs if found is self else _within(link.outs, found))

    def _windowed(self, windows: Windows, columns: int) -> Sets:
        """Return the sets of results that read windows of these; where they would be too large, one for each line.

        A window is two halves, which may overlap, of a power of 2 elements: each power's unions are made of those before.
        """
        before, _, behind = windows.shape
        sizes = windows.stops - windows.starts
        powers = np.frexp(sizes)[1] - 1  # -1 where nothing is read
        places = windows.places()
        found, length, parts = self.taken(places.ravel()), places.shape[1], []
        for power in range(int(powers.max(initial=-1)) + 1):
            if max(int(sizes.sum()) * before * behind, 2 * int(found.counts().sum())) > MOST:
                return self._in_lines(windows, columns)
            if power:
                half = 1 << power - 1
                found = _at_two(found, (before, length, behind), slice(None, -half), slice(half, None), columns)
                length -= half
            own = np.flatnonzero(powers == power)
            if own.size:
                ends = windows.starts[own], windows.stops[own] - (1 << power)
                parts.append((own, _at_two(found, (before, length, behind), *ends, columns)))
        which, count = np.full((before, len(sizes), behind), -1), 0
        for own, _ in parts:
            which[:, own] = count + np.arange(before * len(own) * behind).reshape(before, len(own), behind)
            count += before * len(own) * behind
        return joined([part for _, part in parts] or [self]).taken(which.ravel())

    def _in_lines(self, windows: Windows, columns: int) -> Sets:
        """Return the sets of results along an axis that read all elements of their line."""
        before, _, behind = windows.shape
        lines = np.arange(before * behind).reshape(before, 1, behind)
        found = self._united(np.broadcast_to(lines, windows.shape).ravel(), self.rows(), columns)
        shown = np.broadcast_to(lines, (before, len(windows.starts), behind)).ravel()
        return found.taken(_within(shown, found))

    def _united(self, labels: np.ndarray, rows: np.ndarray, columns: int) -> Sets:
        """Return for each label the union of the rows that go with it."""
        used = (labels >= 0) & (rows >= 0)
        if not used.all():
            labels, rows = labels[used], rows[used]
        return united(self.starts, self.columns, labels, rows, 1 + int(labels.max(initial=-1)), columns)


def _within(places: np.ndarray, sets: Sets) -> np.ndarray:
    """Return places with -1 for those past the last element, of which nothing is known to depend on anything."""
    size = len(sets.starts) - 1 if sets.which is None else len(sets.which)
    return np.where(places < size, places, -1)


def united(starts: np.ndarray, table: np.ndarray, labels: np.ndarray, rows: np.ndarray, count: int, columns: int) -> Sets:
    """Return `count` sets, the unions of the rows that go with each label: a product of boolean matrices."""
    lengths = starts[rows + 1] - starts[rows]
    total = int(lengths.sum())
    if count <= 1 or total > MOST:
        given = [table[starts[r] : starts[r + 1]] for r in np.unique(rows)] if len(rows) <= 16 else [table[spans(starts, rows)]]
        row = _distinct(np.concatenate(given) if given else table[:0], columns)
        return Sets(np.array([0, len(row)]), row, None if count == 1 else np.zeros(count, np.int64))
    from scipy.sparse import csr_array

    if (labels[1:] < labels[:-1]).any():
        rows = rows[np.argsort(labels, kind="stable")]
    heads = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(labels, minlength=count), out=heads[1:])
    left = csr_array((np.ones(len(rows), bool), rows, heads), (count, len(starts) - 1))
    product = left @ csr_array((np.ones(len(table), bool), table, starts), (len(starts) - 1, columns))
    return Sets(product.indptr, product.indices)


def spans(starts: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the places of the entries of some rows, one row after another."""
    lengths = starts[rows + 1] - starts[rows]
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts[rows] - (ends - lengths), lengths)


def _distinct(columns: np.ndarray, count: int) -> np.ndarray:
    if len(columns) * 4 < count:
        return np.unique(columns)
    marked = np.zeros(count, bool)
    marked[columns] = True
    return np.flatnonzero(marked)


def _at_two(sets: Sets, shape: tuple[int, int, int], first: Any, last: Any, columns: int) -> Sets:
    """Return the unions of the sets at two places, many times, along the middle one of three axes."""
    numbers = np.arange(prod(shape)).reshape(shape)
    return merged([sets.taken(numbers[:, at].ravel()) for at in (first, last)], columns)


def merged(parts: Sequence[Sets], columns: int) -> Sets:
    """Return the union, element by element, of the sets of a result that come from several operands."""
    found = parts[0]
    for part in parts[1:]:
        if part.starts is not found.starts or not _alike(part.which, found.which):
            found = _pair(found, part, columns)
    return found


def _alike(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    return a is b or (a is not None and b is not None and np.array_equal(a, b))


def _pair(a: Sets, b: Sets, columns: int) -> Sets:
    left, right = a.rows(), b.rows()
    if len(left) == 1:
        return _united_scalars(a, b, columns)
    shared = np.flatnonzero((left >= 0) & (right >= 0))
    if len(shared) == len(left):
        return _united_rows(a, b, left, right, columns)
    either = joined([a, b])
    one = either.taken(np.where(left >= 0, np.arange(len(left)), np.arange(len(left)) + len(left)))
    if not len(shared):
        return one
    both = _united_rows(a, b, left[shared], right[shared], columns)
    places = np.arange(len(left))
    places[shared] = len(left) + np.arange(len(shared))
    return joined([one, both]).taken(places)


def _united_rows(a: Sets, b: Sets, left: np.ndarray, right: np.ndarray, columns: int) -> Sets:
    """Return the unions of rows of one table and rows of another; elements of the same two rows share a row again."""
    which = None
    if a.which is not None or b.which is not None:
        pairs, which = np.unique(left * len(b.starts) + right, return_inverse=True)
        left, right = pairs // len(b.starts), pairs % len(b.starts)
    labels, rows = np.repeat(np.arange(len(left)), 2), np.stack([left, right + len(a.starts) - 1], 1).ravel()
    starts, table = np.concatenate([a.starts, b.starts[1:] + a.starts[-1]]), np.concatenate([a.columns, b.columns])
    found = united(starts, table, labels, rows, len(left), columns)
    return found if which is None else found.taken(which)


def _united_scalars(a: Sets, b: Sets, columns: int) -> Sets:
    """Return the union of the sets of two values of one element: of few entries, in a sixth of the time of a sparse product."""
    first, second = a.only(), b.only()
    if len(first) + len(second) > FEW:
        row = _distinct(np.concatenate([first, second]), columns)
    else:
        row = np.array(sorted({*first.tolist(), *second.tolist()}), np.int64)
    return Sets(np.array([0, len(row)]), row)


def joined(parts: Sequence[Sets]) -> Sets:
    """Return the sets of the elements of several values, one after another."""
    which, starts, height, size = [], [np.zeros(1, np.int64)], 0, 0
    parts = [part.compact() for part in parts]
    for part in parts:
        rows = part.rows()
        which.append(np.where(rows < 0, -1, rows + height))
        starts.append(part.starts[1:] + size)
        height, size = height + len(part.starts) - 1, size + len(part.columns)
    columns = np.concatenate([part.columns for part in parts])
    return Sets(np.concatenate(starts), columns, np.concatenate(which))


def sized(sets: Sets, size: int) -> Sets:
    """Return sets with one for each of `size` elements: the last, to which nothing is linked, are empty."""
    have = len(sets.starts) - 1 if sets.which is None else len(sets.which)
    if have == size:
        return sets
    return Sets(sets.starts, sets.columns, np.append(sets.rows(), np.full(size - have, -1)))


def nothing(size: int) -> Sets:
    """Return the sets of elements that depend on nothing."""
    return Sets(np.zeros(1, np.int64), np.zeros(0, np.int64), np.full(size, -1))
