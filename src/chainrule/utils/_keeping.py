"""What one call under a budget holds for its backward pass: marks on the tape, and stretches whose saved values are held.

A value is held if it crosses a mark (it was made before that place and is used after it: all that the rest of the tape needs
of what lies before, a checkpoint), or if it is saved in a stretch that is held whole. While the function runs, of unknown
length, marks are thinned out as room runs short; the backward pass sets new ones between those that are left, as `_revolve`
says, when it comes to them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from math import ceil
from statistics import fmean
from threading import RLock
from typing import Any

import numpy as np

from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.utils._holding import ENTRY, Holding
from chainrule.utils._revolve import left_out, reversal, splits
from chainrule.utils._tape import Constant, Step, size_of

STEP, SAVE, NEW = 350, 390, 480  # bytes that the graph and the tape take for a step, a saved value, a step like no other
PULL = 6  # of the largest values: what is in flight while a node pulls, or a step runs
_WINDOWS = 128  # places for marks that are looked for in a stretch
_LEAST = 4  # steps to look for marks among
_SHARE = 1 / 4  # of the room, for the stretch that has no marks yet
_FINER = 4  # marks that are set where there is one before
_RECENT = 8  # steps after which a value that is not saved is taken to be used no more


def over_budget(budget: int, least: int, where: str) -> RuntimeError:
    """Return the error for a budget that cannot be met."""
    return RuntimeError(
        f"checkpoint.within({budget}): {where}the call and its backward pass need {least} bytes at least, for values that "
        "cannot be computed from fewer, the graph's records, gradients and what a node's pull takes. Give a larger budget."
    )


class Plan:
    """What a call under a budget kept for its backward pass, and what that computed again so far.

    Attributes
    ----------
    budget : int
    steps, saves : int
        The ops that ran, and the values that nodes saved.
    marks : int
        Places in the run from which it can go on: what crosses them is held.
    held, peak : int
        Bytes that values took when the function had returned, and at most, those computed again included.
    recomputed : int
        Ops that ran again.
    seconds, seconds_again : float
        That ops took at first, and those that ran again.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.steps = self.saves = self.marks = self.held = self.peak = self.recomputed = 0
        self.seconds = self.seconds_again = 0.0

    def __str__(self) -> str:
        kept = f"{self.held} bytes after the function had returned, {self.peak} at most, of a budget of {self.budget}"
        return (
            f"{self.steps} ops ran, whose nodes saved {self.saves} values\nheld: {kept}\nplaces from which ops can run again: "
            f"{self.marks} and the start\nran again: {self.recomputed} ops, {self.seconds_again:.2g} s (at first "
            f"{self.seconds:.2g} s)"
        )

    __repr__ = __str__


class Slot:
    """What a node keeps in the place of a saved value: its number. That it is gone says that the value is asked for no more."""

    __slots__ = ("gone", "k")

    def __init__(self, k: int, gone: deque[int]):
        self.k, self.gone = k, gone

    def __del__(self) -> None:
        self.gone.append(self.k)  # at any time, in any thread: whoever holds values looks when it can


class Keeper(Holding):
    """The tape of one call, which holds no more than a number of bytes for the backward pass.

    Parameters
    ----------
    budget : int
        Bytes for what is held, the records of graph and tape, and what is in flight in a pass.
    """

    def __init__(self, budget: int):
        super().__init__()
        self.budget, self.plan = budget, Plan(budget)
        self.saves, self.saves_at = array("q"), array("q")  # what nodes saved, and the last step before each saved
        self.first_save = array("q")  # by variable: the first of these that is it, -1 if none is
        self.asked = array("q")  # by variable: how many nodes may still ask for it
        self.gone: deque[int] = deque()
        self.marks: list[int] = []
        self.open = self.taped_from = 0  # where the stretch begins whose marks are not set; from where saved values are held
        self.largest = self.gradients = 0
        self.units: list[tuple[float, float]] = []  # of stretches between marks: bytes that cross one, and that a unit saves
        self.unit = 1  # steps that the first marks were apart
        self.done = False
        self.lock = RLock()

    # -- while the function runs ---------------------------------------------------------------------------------------

    def pack(self, t: Tensor) -> Slot:
        """Leave a number in the place of a value that a node saves."""
        v = self.variable(t._data, t)
        k, at = len(self.saves), len(self.steps) - 1
        self.saves.append(v)
        self.saves_at.append(at)
        if v >= len(self.first_save):
            self._noted()
        if self.first_save[v] < 0:
            self.first_save[v] = k
        if self.last[v] < at:
            self.last[v] = at
        self.asked[v] += 1
        if v not in self.held and v not in self.constants:
            self.used((v,), (t._data,), (t,))
        return Slot(k, self.gone)

    def used(self, variables: Sequence[int], payloads: Sequence, values: Sequence) -> None:
        """Hold what is used: whether it crosses a mark is not known yet."""
        for v, payload, value in zip(variables, payloads, values, strict=True):
            if v not in self.held and v not in self.constants:
                self.hold(v, payload, value)
        if self.bytes_held > self.limit():
            self._make_room()
        if self.bytes_held > self.plan.peak:
            self.plan.peak = self.bytes_held

    def _noted(self) -> None:
        missing = len(self.steps) - len(self.first_save)
        self.first_save.extend([-1] * missing)
        self.asked.extend([0] * missing)

    def _fix(self, v: int, payload: Any, value: Tensor | None) -> None:
        super()._fix(v, payload, value)
        constant: Constant = self.constants[v]
        self.gradients += constant.size * constant.grows

    def _pattern(self, step: Step) -> Step:
        self.largest = max(self.largest, *step.sizes)
        return super()._pattern(step)

    def limit(self) -> float:
        """Return the bytes that may be held: the budget less the records, the gradients, and what a node's pull takes."""
        records = STEP * len(self.steps) + SAVE * len(self.saves) + NEW * self.distinct
        return self.budget * 31 / 32 - records - self.gradients - PULL * self.largest

    def _make_room(self) -> None:
        """Hold less: first no more what is not saved and was not used of late, then no saved values, then fewer marks."""
        now = len(self.steps)
        wanted = self.limit() * (1 - _SHARE)
        for share, recent in ((_SHARE, _RECENT), (0, 1)):
            self._release([v for v in self.held if v >= self.open and self.last[v] < now - recent and self._lone(v, 0)])
            if self.bytes_held <= wanted:
                return
            if now - self.open >= _LEAST and self._in_open() > share * wanted:
                self._close(min(recent, max(1, (now - self.open) // _LEAST)))
            while self.bytes_held > wanted and self.taped_from < self.open:
                i = bisect_right(self.marks, self.taped_from)
                end = self.marks[i] if i < len(self.marks) else self.open
                self._release(self._saved(self.taped_from, end - 1))
                self.taped_from = end
            while self.bytes_held > wanted and len(self.marks) > 1:
                self._thin(wanted)
        if self.bytes_held > self.limit():
            self.over()

    def over(self) -> None:
        """Refuse to go on: what is held cannot be made less."""
        raise over_budget(self.budget, self.needed(), f"after {len(self.steps)} steps ")

    def needed(self) -> int:
        """Return the budget that would have done so far."""
        return ceil((self.budget * 31 / 32 - self.limit() + self.bytes_held) * 32 / 31)

    def _in_open(self) -> int:
        return sum([size_of(held.array) for v, held in self.held.items() if v >= self.open])

    def _close(self, apart: int) -> None:
        """Set marks in the stretch whose end is now, but for its last part, the use of whose values is not known yet."""
        start, end = self.open, len(self.steps)
        spaced = start // (_FINER * (len(self.marks) + 1))  # closer ones would be given up before long
        found = self._places(start, end, max(apart, spaced))
        found = found[: len(found) - len(found) // 8]
        if not found:
            return
        if not self.marks:
            self.unit = max(1, (found[-1][0] - start) // len(found))
        saved = np.frombuffer(self.saves_at, np.int64)
        for (place, crossing), (before, _) in zip(found, [(start, 0), *found], strict=False):
            low, high = np.searchsorted(saved, (before, place))
            self.units.append((crossing, self._sum(set(self.saves[low:high])) * self.unit / (place - before)))
        del self.units[:-_WINDOWS]
        self.marks += [place for place, _ in found]
        self.open = found[-1][0]
        self._release([v for v in self.held if start <= v < self.open and self._lone(v, self.taped_from)])

    def _lone(self, v: int, taped_from: int) -> bool:
        """Tell whether a value that crosses no mark is saved in no stretch whose saved values are held."""
        k = self.first_save[v] if v < len(self.first_save) else -1
        return k < 0 or self.last[v] < taped_from

    def _thin(self, wanted: float) -> None:
        """Give up the marks that cost least, but for the last, where the stretch begins whose values are all held."""
        size, tape = (ENTRY + fmean(each) for each in zip(*self.units, strict=True))
        quarters = max(1, ceil(4 * tape / size))
        places = [0, *self.marks]
        scaled = [place // self.unit for place in places]
        slots = max(2, int(self.limit() / size))
        count = ceil((self.bytes_held - wanted) / size)
        given_up = left_out(scaled[:-1], scaled[-1], slots, lambda n, s: reversal(max(n, 1), s, quarters)[0], count)
        ends = [(places[i - 1], places[i]) for i in given_up]
        self.marks = [mark for i, mark in enumerate(self.marks, 1) if i not in given_up]
        self._release([v for v in self.held if any([start <= v < end for start, end in ends])])

    def _release(self, variables: Iterable[int]) -> None:
        """Hold no more those of the variables that cross no mark."""
        for v in variables:
            if v in self.held and not self._crosses(v):
                self.release(v)

    def _crosses(self, v: int) -> bool:
        i = bisect_right(self.marks, v)
        return i < len(self.marks) and self.marks[i] <= self.last[v]

    def _saved(self, start: int, end: int) -> set[int]:
        """Return the variables saved by what the steps from one to another were followed by."""
        return set(self.saves[bisect_left(self.saves_at, start) : bisect_right(self.saves_at, end)])

    # -- what a stretch of the tape looks like -------------------------------------------------------------------------

    def _sizes(self, start: int, end: int) -> np.ndarray:
        sizes = np.zeros(end - start)
        for v in range(start, end):
            if v not in self.constants:
                step, first = self.step_of(v)
                sizes[v - start] = step.sizes[v - first]  # type: ignore[union-attr]
        return sizes

    def _sum(self, variables: Iterable[int]) -> int:
        """Return the bytes that variables take, constants apart, each stretch of memory counted once."""
        total = 0
        for root in {self.root(v) for v in variables if v not in self.constants}:
            if root not in self.constants:
                step, first = self.step_of(root)
                total += step.sizes[root - first] + ENTRY  # type: ignore[union-attr]
        return total

    def _places(self, start: int, end: int, apart: int) -> list[tuple[int, float]]:
        """Return good places for marks, so many steps apart, and the bytes that cross each: the best of equal times."""
        n = end - start
        sizes = self._sizes(start, end)
        last = np.array(self.last[start:end])
        seconds = np.full(n, 1e-9)
        for v in range(start, end):
            step = self.steps[v]
            if step.__class__ is Step:
                seconds[v - start] = step.seconds + 1e-7
                if step.alias[0] >= 0 and last[v - start] >= 0 and (root := self.root(v)) >= start:
                    last[root - start] = max(last[root - start], last[v - start])
        is_saved = np.array([v < len(self.first_save) and self.first_save[v] >= 0 for v in range(start, end)])
        crossing = np.zeros(n + 1)
        ends = np.minimum(last - start, n - 1)
        some = np.flatnonzero(ends >= np.arange(n) + 1)
        np.add.at(crossing, some + 1, sizes[some])
        np.add.at(crossing, ends[some] + 1, -sizes[some])
        preferred = np.zeros(n + 1)  # of two places that as much crosses, that where more of it is saved in any case
        some = some[is_saved[some]]
        np.add.at(preferred, some + 1, sizes[some])
        np.add.at(preferred, ends[some] + 1, -sizes[some])
        crossing, preferred = np.cumsum(crossing)[1:n], np.cumsum(preferred)[1:n]
        if n < 2:
            return []
        time = np.cumsum(seconds)[: n - 1]
        wanted = np.linspace(0, time[-1], min(_WINDOWS, max(2, n // apart)) + 1)[1:-1]
        edges = sorted(set(np.searchsorted(time, wanted).tolist()))  # np.unique would import a megabyte
        found = []
        for low, high in zip([0, *edges], [*edges, n - 1], strict=True):
            if high > low:
                best = low + int(np.argmin(crossing[low:high] - preferred[low:high] / 128))
                found.append((start + 1 + best, float(crossing[best])))
        lowest = [min([crossing for _, crossing in found[max(0, i - 3) : i + 4]]) for i in range(len(found))]
        return [each for each, low in zip(found, lowest, strict=True) if each[1] <= 1.5 * low + ENTRY]

    # -- in the backward pass ------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Forget what no saved value is made of: the function has returned."""
        self._noted()
        last = array("q", [-1]) * len(self.steps)
        for v, at in zip(self.saves, self.saves_at, strict=True):
            last[v] = max(last[v], at)
        for first in range(len(self.steps) - 1, -1, -1):
            step = self.steps[first]
            if step.__class__ is Step and any([last[first + k] >= 0 for k in range(len(step.sizes))]):
                for v in step.operands(first):
                    last[v] = max(last[v], first)
        self.last, self.done = last, True
        self._forget()
        self._release([v for v in self.held if self._lone(v, self.taped_from)])
        plan = self.plan
        plan.steps, plan.saves, plan.marks = len(self.steps) - len(self.constants), len(self.saves), len(self.marks)
        plan.held, plan.seconds = self.bytes_held, self.seconds

    def unpack(self, slot: Slot) -> Tensor:
        """Return a saved value, computed again if it is not held.

        Raises
        ------
        RuntimeError
            If a value from outside, which it is computed from, was written to.
        """
        k = slot.k
        v, at = self.saves[k], self.saves_at[k]
        with self.lock:
            if v in self.constants:
                return wrap(self.constants[v].array())
            if not self.done:
                payload = self.made([v])[v]
                self._know(payload, v, None)
                return wrap(payload)
            while self.marks and self.marks[-1] > at:
                self.marks.pop()
            self._forget()
            if self.value(v) is None:
                self._bring(v, at)
            return wrap(self.value(v))

    def _forget(self) -> None:
        """Hold no more what no node will ask for."""
        while self.gone:
            v = self.saves[self.gone.popleft()]
            self.asked[v] -= 1
            if not self.asked[v]:
                self._release((v,))

    def _leave(self, at: int) -> None:
        """Hold no more what only that needed which comes after a step: the pass has left it."""
        low = bisect_right(self.saves_at, at)
        self._release([v for v in self.held if not 0 <= self.first_save[v] < low])

    def _bring(self, v: int, at: int) -> None:
        """Have the saved values held of a stretch that ends with a step, setting marks before it where they do not all fit."""
        start = self.marks[-1] if self.marks else 0
        stretch = {u for u in self._saved(start, at) if self.asked[u]}
        tape = self._sum(stretch - self.held.keys())
        if tape > self.limit() - self.bytes_held:
            self._leave(at)
        room = self.limit() - self.bytes_held
        wanted = stretch
        if tape > room and at + 1 - start >= 2:
            found = self._places(start, at + 1, _RECENT)
            size = ENTRY + max([crossing for _, crossing in found], default=0)
            units = len(found) + 1
            quarters = max(1, ceil(4 * tape / units / size))
            _, group, slots = reversal(units, max(1, int(room / size)), quarters)
            places = [found[i * group - 1][0] for i in splits(-(-units // group), slots)]
            whole = -(-units // group) - 1
            begin = found[whole * group - 1][0] if whole else start
            self.marks += places
            crossing = {u for mark in places for u in self._crossing(start, mark)}
            wanted = {u for u in self._saved(begin, at) if self.asked[u]} | crossing
        for u, payload in self.made({*wanted, v}).items():
            self.hold(u, payload)
        self.plan.recomputed, self.plan.seconds_again = self.recomputed, self.seconds_again
        self.plan.peak = max(self.plan.peak, self.bytes_held)

    def _crossing(self, start: int, mark: int) -> list[int]:
        """Return the variables that cross a mark, those made before another place apart."""
        last = np.frombuffer(self.last, np.int64)[start:mark]
        return [start + int(i) for i in np.flatnonzero(last >= mark)]
