"""Periods: where the equations of a graph repeat, as those of a loop do whose trips were recorded one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chainrule.transforms.equations import Equation

LONG = 600  # equations of a repetition that is worth knowing of
TRIPS = 12  # times that something is there at least to be a repetition
_WINDOW = 16  # equations that are looked for elsewhere
_CANDIDATES = 8  # distances that are tried, the most frequent first


def trips_of(equations: Sequence[Equation]) -> list[int]:
    """Return for each equation the number of the trip of a loop that it is in; -1 outside of loops.

    A trip is as many equations as come again after it, with the same ops and shapes. Where it begins is arbitrary. No two trips
    of a graph have one number.

    Examples
    --------
    >>> from chainrule.compiler.graph.periods import trips_of
    >>> from chainrule.transforms.trace import graph_of
    >>> import chainrule as cr
    >>> def f(x):
    ...     for _ in range(300):
    ...         x = (x * x).sin() + 1
    ...     return x
    >>> trips_of(graph_of(f, (cr.ones(3),)).equations)[:7]
    [0, 0, 0, 1, 1, 1, 2]
    """
    if len(equations) < LONG:
        return [-1] * len(equations)
    numbers: dict = {}
    codes = np.array([numbers.setdefault(_kind(e), len(numbers)) for e in equations], np.uint64)
    trips = np.full(len(codes), -1)
    for period in _distances(codes):
        for start, end in _repeated(codes, period):
            if end - start >= max(LONG, TRIPS * period) and (trips[start:end] < 0).all():
                trips[start:end] = np.arange(end - start) // period + trips.max() + 1
    return trips.tolist()


def _kind(e: Equation) -> tuple:
    return (e.op, *[r.shape for r in e.results])


def _distances(codes: np.ndarray) -> list[int]:
    """Return the most frequent distances after which a window of equations comes again, the shortest first."""
    count = len(codes) - _WINDOW + 1
    windows = np.zeros(count, np.uint64)
    for k in range(_WINDOW):
        windows = windows * np.uint64(0x9E3779B97F4A7C15) + codes[k : k + count]  # which wraps around
    order = np.argsort(windows, kind="stable")
    same = windows[order][1:] == windows[order][:-1]
    distances, counts = np.unique(np.diff(order)[same], return_counts=True)
    return sorted(distances[np.argsort(-counts, kind="stable")[:_CANDIDATES]].tolist())


def _repeated(codes: np.ndarray, period: int) -> list[tuple[int, int]]:
    """Return the stretches, (start, end), all of which comes again after a period but for the last one."""
    same = np.concatenate([[False], codes[period:] == codes[:-period], [False]])
    [edges] = np.nonzero(same[1:] != same[:-1])
    return [(start, end + period) for start, end in edges.reshape(-1, 2).tolist()]
