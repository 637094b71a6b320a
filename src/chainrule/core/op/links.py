"""Links: which elements of one result depend on which of one input, and the windows that links are made of.

A link has a label for each element of the input (`ins`) and of the result (`outs`): a result's element depends on the input's
elements of the same label, and on none if its label is -1. Windows say more where equal labels cannot: along axes of the
labels, each result reads a few elements, or all before it. A link is never quadratic in the sizes.
"""

from __future__ import annotations

from math import prod

import numpy as np

Labels = np.ndarray | None


class Windows:
    """Which elements each result reads along one axis of an array: those from a start to a stop, of all or of a list of them.

    Attributes
    ----------
    shape : tuple of int
        How many lines there are before the axis, elements along it, and behind it.
    starts, stops : array of int
        Of each result along the axis.
    of : array of int, or None
        The list of elements, of which each result reads a part; None: all elements in order.
    """

    __slots__ = ("of", "shape", "starts", "stops")

    def __init__(self, shape: tuple[int, int, int], starts: np.ndarray, stops: np.ndarray, of: Labels = None):
        self.shape, self.starts, self.stops, self.of = shape, starts, stops, of

    @classmethod
    def of_pairs(cls, n: int, m: int, to: np.ndarray, of: np.ndarray) -> Windows:
        """Return the windows of `m` results along an axis of `n` elements, of which result ``to[k]`` reads ``of[k]``."""
        pairs = np.unique(to * max(n, 1) + of)
        to, of = pairs // max(n, 1), pairs % max(n, 1)
        stops = np.cumsum(np.bincount(to, minlength=m))
        starts = np.concatenate([[0], stops])[:m]
        some = np.flatnonzero(stops > starts)
        first, last = np.zeros(m, np.int64), np.full(m, -1)
        first[some], last[some] = of[starts[some]], of[stops[some] - 1]
        if (last - first + 1 == stops - starts).all():  # neighbours
            return cls((1, n, 1), first, last + 1)
        return cls((1, n, 1), starts, stops, of)

    def along(self, before: int, behind: int) -> Windows:
        """Return the same windows along an axis with so many lines before it and behind it."""
        return Windows((before, self.shape[1], behind), self.starts, self.stops, self.of)

    def places(self) -> np.ndarray:
        """Return the flat places of the elements of which results read a part, as an array whose axis 1 they are along."""
        places = np.arange(prod(self.shape)).reshape(self.shape)
        return places if self.of is None else places[:, self.of]

    def forward(self, marked: np.ndarray) -> np.ndarray:
        """Return, flat, which results read a marked element."""
        read = marked[self.places()]
        sums = np.zeros((read.shape[0], read.shape[1] + 1, read.shape[2]), np.int64)
        np.cumsum(read, 1, out=sums[:, 1:])
        return (sums[:, self.stops] > sums[:, self.starts]).ravel()

    def backward(self, marked: np.ndarray) -> np.ndarray:
        """Return, flat, which elements a marked result reads."""
        before, _, behind = self.shape
        places = self.places()
        size = (before, places.shape[1] + 1, behind)
        lead, at, trail = marked.reshape(before, len(self.starts), behind).nonzero()
        opened, closed = (
            np.bincount(np.ravel_multi_index((lead, ends[at], trail), size), minlength=prod(size)).reshape(size)
            for ends in (self.starts, self.stops)
        )
        found = np.zeros(prod(self.shape), bool)
        found[places[np.cumsum(opened - closed, 1)[:, :-1] > 0]] = True
        return found


class Link:
    """Which elements of one result depend on which of one input.

    Attributes
    ----------
    ins, outs : array of int or None
        The label of each element of the input and of the result, flat in C order; -1 for one that reaches nothing, or depends
        on nothing. None: each element's label is its place.
    windows : tuple of Windows
        Which labels of the result read which of the input, one axis after another; if none, each reads its equal.
    """

    __slots__ = ("ins", "outs", "windows")

    def __init__(self, ins: Labels = None, outs: Labels = None, windows: tuple[Windows, ...] = ()):
        self.ins, self.outs, self.windows = ins, outs, windows

    def forward(self, marked: np.ndarray, size: int) -> np.ndarray:
        """Return, flat, which of `size` elements of the result depend on a marked one of the input (flat, bool)."""
        if self.ins is not None:
            marked = _at(self.ins[marked])
        for step in self.windows:
            marked = step.forward(_sized(marked, prod(step.shape)))
        return _taken(marked, self.outs, size)

    def backward(self, marked: np.ndarray, size: int) -> np.ndarray:
        """Return, flat, which of `size` elements of the input reach a marked one of the result (flat, bool)."""
        if self.outs is not None:
            marked = _at(self.outs[marked])
        for step in self.windows[::-1]:
            marked = step.backward(_sized(marked, step.shape[0] * len(step.starts) * step.shape[2]))
        return _taken(marked, self.ins, size)

    def dense(self, size_in: int, size_out: int) -> np.ndarray:
        """Return the link as a matrix of bool: a row for each element of the result, a column for each of the input."""
        columns = [self.forward(np.arange(size_in) == i, size_out) for i in range(size_in)]
        return np.array(columns, bool).reshape(size_in, size_out).T


def _at(labels: np.ndarray) -> np.ndarray:
    """Return which labels are among these, -1 apart."""
    found = np.zeros(2 + int(labels.max(initial=-1)), bool)
    found[labels] = True
    return found[:-1]


def _sized(marked: np.ndarray, size: int) -> np.ndarray:
    """Return the marks of `size` labels: those beyond all marked ones have none."""
    return marked if len(marked) == size else np.append(marked[:size], np.zeros(max(size - len(marked), 0), bool))


def _taken(marked: np.ndarray, labels: Labels, size: int) -> np.ndarray:
    """Return which of `size` elements with these labels are marked; -1, and those beyond all marked ones, are not."""
    if labels is None:
        return _sized(marked, size)
    return np.append(marked, False)[np.minimum(labels, len(marked))]


SAME = Link()


def places(shape: tuple) -> np.ndarray:
    """Return an array of a shape with the flat place of each element."""
    return np.arange(prod(shape)).reshape(shape)
