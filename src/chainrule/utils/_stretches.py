"""What a stretch of a tape looks like: how many bytes its values take, and which places in it few of them cross."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import inf

import numpy as np

from chainrule.utils._holding import ENTRY
from chainrule.utils._tape import Step, Tape

WINDOWS = 128  # places that are looked for in a stretch


def bytes_of(tape: Tape, variables: Iterable[int]) -> int:
    """Return the bytes that variables take, constants apart, each stretch of memory counted once."""
    total = 0
    for root in {tape.root(v) for v in variables if v not in tape.constants}:
        if root not in tape.constants:
            step, first = tape.step_of(root)
            total += step.sizes[root - first] + ENTRY  # type: ignore[union-attr]
    return total


def typical_seconds(tape: Tape) -> array:
    """Return by variable the least seconds that a step like the one that makes it took: the same op on as many bytes."""
    least: dict[tuple, float] = {}
    for v, step in enumerate(tape.steps):
        if step.__class__ is Step:
            key = _kind(tape, v)
            least[key] = min(least.get(key, inf), step.seconds)
    return array("d", [least[_kind(tape, v)] if step.__class__ is Step else 0.0 for v, step in enumerate(tape.steps)])


def _kind(tape: Tape, first: int) -> tuple:
    step: Step = tape.steps[first]
    return (step.op, step.sizes, *[bytes_of(tape, (v,)) for v in step.operands(first)])


def places(tape: Tape, first_save: Sequence[int], start: int, end: int, apart: int) -> list[tuple[int, float]]:
    """Return places in a stretch at which little is alive, and the bytes of what is.

    Parameters
    ----------
    tape : Tape
    first_save : sequence of int
        By variable: below 0 if no node saves it. It may be shorter than the tape.
    start, end : int
    apart : int
        How many steps the places are to be apart; of the steps that take this long the best place is taken.
    """
    n = end - start
    if n < 2:
        return []
    sizes, seconds, last = _measures(tape, start, end)
    is_saved = np.array([v < len(first_save) and first_save[v] >= 0 for v in range(start, end)])
    crossing = _alive(sizes, last, n)
    preferred = _alive(np.where(is_saved, sizes, 0), last, n)  # of two equal places that where more is saved in any case
    time = np.cumsum(seconds)[: n - 1]
    wanted = np.linspace(0, time[-1], min(WINDOWS, max(2, n // apart)) + 1)[1:-1]
    edges = sorted({0, *np.searchsorted(time, wanted).tolist(), n - 1})  # np.unique would import a megabyte
    found = []
    for low, high in pairwise(edges):
        best = low + int(np.argmin(crossing[low:high] - preferred[low:high] / 128))
        found.append((start + 1 + best, float(crossing[best])))
    lowest = [min([bytes_ for _, bytes_ in found[max(0, i - 3) : i + 4]]) for i in range(len(found))]
    return [each for each, low in zip(found, lowest, strict=True) if each[1] <= 1.5 * low + ENTRY]


def _measures(tape: Tape, start: int, end: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return by variable its bytes, the seconds of its step, and the place after which neither it nor a view of it is used."""
    n = end - start
    sizes, seconds, last = np.zeros(n), np.full(n, 1e-9), np.array(tape.last[start:end]) - start
    for i, v in enumerate(range(start, end)):
        step = tape.steps[v]
        if step.__class__ is Step:
            sizes[i : i + len(step.sizes)] = step.sizes[: n - i]
            seconds[i] = step.seconds + 1e-7
            if step.alias[0] >= 0 and last[i] >= 0 and (root := tape.root(v)) >= start:
                last[root - start] = max(last[root - start], last[i])
    return sizes, seconds, np.minimum(last, n - 1)


def _alive(sizes: np.ndarray, last: np.ndarray, n: int) -> np.ndarray:
    """Return the bytes that are alive before each step but the first."""
    change = np.zeros(n + 1)
    some = np.flatnonzero(last > np.arange(n))
    np.add.at(change, some + 1, sizes[some])
    np.add.at(change, last[some] + 1, -sizes[some])
    return np.cumsum(change)[1:n]
