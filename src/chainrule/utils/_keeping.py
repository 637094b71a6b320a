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
from math import ceil, inf
from statistics import fmean
from threading import RLock
from typing import Any

import numpy as np

from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.utils._holding import ENTRY, Holding
from chainrule.utils._revolve import left_out, reversal, splits
from chainrule.utils._stretches import WINDOWS, bytes_of, places
from chainrule.utils._tape import Constant, Step

STEP, SAVE, NEW = 350, 390, 480  # bytes that the graph and the tape take for a step, a saved value, a step like no other
PULL = 6  # of the largest values: what is in flight while a node pulls, or a step runs
OWN = 3  # of these, beside what waits for others
WIDE = 1  # of what the function goes on with, or of the cotangents that wait for others
_LEAST = 4  # steps to look for marks among
_SHARE = 1 / 4  # of the room, for the stretch that has no marks yet
_FINER = 4  # marks that are set where there is one before
_EARLIER = 1 / 2  # of what is computed again for values, the most that may lie before them and may be due once more for others
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
    chosen : int
        Values that a minimal cut of the function had held; 0 where places alone were as good, or all could be held.
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
        self.steps = self.saves = self.chosen = self.marks = self.held = self.peak = self.recomputed = 0
        self.seconds = self.seconds_again = 0.0

    def __str__(self) -> str:
        kept = f"{self.held} bytes after the function had returned, {self.peak} at most, of a budget of {self.budget}"
        return (
            f"{self.steps} ops ran, whose nodes saved {self.saves} values\nheld: {kept}\nplaces from which ops can run again: "
            f"{self.marks} and the start\nvalues chosen by a cut: {self.chosen}\n"
            f"ran again: {self.recomputed} ops, {self.seconds_again:.2g} s (at first {self.seconds:.2g} s)"
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
    chosen : bytes
        By variable: whether it is held, mark or no mark; empty if nothing was chosen.
    waiting : sequence of int, optional
        By variable: the bytes that the function itself goes on with, when the step that makes it runs, if that is known. A pass
        has as many in cotangents that wait for others.
    """

    def __init__(self, budget: int, chosen: bytes = b"", waiting: Sequence[int] | None = None):
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
        self.chosen = chosen
        self.waiting: Any = waiting
        self.elsewhere = 0  # bytes in use that are not held, now
        self.chosen_from = 0  # from where there was room for that
        self.position = inf  # what is made from here on is needed no more
        self.done = False
        self.lock = RLock()

    # -- while the function runs ---------------------------------------------------------------------------------------

    def pack(self, t: Tensor) -> Slot:
        """Leave a number in the place of a value that a node saves."""
        return Slot(self.save(self.variable(t._data, t), t._data, t), self.gone)

    def save(self, v: int, payload: Any, value: Any) -> int:
        """Take note of a variable that a node saves; return how many were before."""
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
            self.used((v,), (payload,), (value,))
        return k

    def used(self, variables: Sequence[int], payloads: Sequence, values: Sequence) -> None:
        """Hold what is used: whether it crosses a mark is not known yet."""
        for v, payload, value in zip(variables, payloads, values, strict=True):
            if v not in self.held and v not in self.constants:
                self.hold(v, payload, value)
        self.elsewhere = self._used_elsewhere()
        if self.bytes_held > self.limit():
            self._make_room()
        if self.bytes_held > self.plan.peak:
            self.plan.peak = self.bytes_held

    def _used_elsewhere(self) -> int:
        """Return the bytes of what is not held, but alive."""
        return self.alive - self.bytes_held + ENTRY * len(self.held)

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
        in_flight = max(PULL * self.largest, WIDE * self.elsewhere + OWN * self.largest)
        return self.budget * 31 / 32 - records - self.gradients - in_flight

    def _make_room(self) -> None:
        """Hold less: first no more what is not saved and was not used of late, then no saved values, then fewer marks."""
        now = len(self.steps)
        wanted = self.limit() * (1 - _SHARE)
        if self.chosen and self._hold_chosen(now, wanted):
            return
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

    def _hold_chosen(self, now: int, wanted: float) -> bool:
        """Hold no more, the oldest first, what was not chosen to be held, then what was; tell whether that does."""
        for v in list(self.held):
            if self.bytes_held <= wanted:
                return True
            if self.last[v] < now - 1 and not self._is_chosen(v):
                self.release(v)
        for v in list(self.held):
            if self.bytes_held <= self.limit():
                return True
            if self.last[v] < now - 1:
                self.chosen_from = v + 1
                self.release(v)
        if self.bytes_held > self.limit():
            self.chosen = b""
        return bool(self.chosen)

    def _is_chosen(self, v: int) -> bool:
        return v < len(self.chosen) and self.chosen_from <= v < self.position and self.chosen[v] > 0

    def over(self) -> None:
        """Refuse to go on: what is held cannot be made less."""
        raise over_budget(self.budget, self.needed(), f"after {len(self.steps)} steps ")

    def needed(self) -> int:
        """Return the budget that would have done so far."""
        return ceil((self.budget * 31 / 32 - self.limit() + self.bytes_held) * 32 / 31)

    def _in_open(self) -> int:
        return bytes_of(self, [v for v in self.held if v >= self.open])

    def _close(self, apart: int) -> None:
        """Set marks in the stretch whose end is now, but for its last part, the use of whose values is not known yet."""
        start, end = self.open, len(self.steps)
        spaced = start // (_FINER * (len(self.marks) + 1))  # closer ones would be given up before long
        found = places(self, self.first_save, start, end, max(apart, spaced))
        found = found[: len(found) - len(found) // 8]
        if not found:
            return
        if not self.marks:
            self.unit = max(1, (found[-1][0] - start) // len(found))
        saved = np.frombuffer(self.saves_at, np.int64)
        for (place, crossing), (before, _) in zip(found, [(start, 0), *found], strict=False):
            low, high = np.searchsorted(saved, (before, place))
            self.units.append((crossing, bytes_of(self, set(self.saves[low:high])) * self.unit / (place - before)))
        del self.units[:-WINDOWS]
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
        ends = [0, *self.marks]
        scaled = [end // self.unit for end in ends]
        slots = max(2, int(self.limit() / size))
        count = ceil((self.bytes_held - wanted) / size)
        given_up = left_out(scaled[:-1], scaled[-1], slots, lambda n, s: reversal(max(n, 1), s, quarters)[0], count)
        opened = [(ends[i - 1], ends[i]) for i in given_up]
        self.marks = [mark for i, mark in enumerate(self.marks, 1) if i not in given_up]
        self._release([v for v in self.held if any([start <= v < end for start, end in opened])])

    def _release(self, variables: Iterable[int]) -> None:
        """Hold no more those of the variables that were not chosen, and cross no mark."""
        for v in variables:
            if v in self.held and not self._is_chosen(v) and not self._crosses(v):
                self.release(v)

    def _crosses(self, v: int) -> bool:
        i = bisect_right(self.marks, v)
        return i < len(self.marks) and self.marks[i] <= self.last[v]

    def _saved(self, start: int, end: int) -> set[int]:
        """Return the variables saved by what the steps from one to another were followed by."""
        return set(self.saves[bisect_left(self.saves_at, start) : bisect_right(self.saves_at, end)])

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
        plan.held, plan.seconds, plan.chosen = self.bytes_held, self.seconds, sum(self.chosen)

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
            self._pass_by(at)
            self._forget()
            if self.value(v) is None:
                self._bring(v, at)
            return wrap(self.value(v))

    def _pass_by(self, at: int) -> None:
        """Take note of the step to which the pass has come: it has no use for what was made later."""
        while self.marks and self.marks[-1] > at:
            self.marks.pop()
        self.elsewhere = self.waiting[at] if self.waiting and at < len(self.waiting) else 0
        if self.chosen and at + 1 < self.position:
            last, self.position = int(min(self.position, len(self.chosen), len(self.asked))), at + 1
            self._release([v for v in range(at + 1, last) if self.chosen[v] and not self.asked[v]])

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
        wanted = self._asked(start, at)
        tape = bytes_of(self, wanted - self.held.keys())
        if tape > self.limit() - self.bytes_held:
            self._leave(at)
            room = self.limit() - self.bytes_held
            if tape > room:
                last, is_of_chosen = self._last(start, at, room)
                wanted = last if self.chosen and is_of_chosen else self._marked(start, at, room, tape)
                if bytes_of(self, wanted - self.held.keys()) > room:
                    wanted = last
        for u, payload in self.made({*wanted, v}).items():
            self.hold(u, payload)
        self.plan.recomputed, self.plan.seconds_again = self.recomputed, self.seconds_again
        if self.bytes_held > self.plan.peak:
            self.plan.peak = self.bytes_held

    def _marked(self, start: int, at: int, room: float, tape: int) -> set[int]:
        """Set marks in a stretch whose saved values take more bytes than there is room for; return what to hold of it now."""
        found = places(self, self.first_save, start, at + 1, _RECENT)
        size = ENTRY + max([crossing for _, crossing in found], default=0)
        units = len(found) + 1
        quarters = max(1, ceil(4 * tape / units / size))
        _, group, slots = reversal(units, max(1, int(room / size)), quarters)
        marks = [found[i * group - 1][0] for i in splits(-(-units // group), slots)]
        whole = -(-units // group) - 1
        begin = found[whole * group - 1][0] if whole else start
        self.marks += marks
        return self._asked(begin, at).union(*[self._crossing(start, mark) for mark in marks])

    def _last(self, start: int, at: int, room: float) -> tuple[set[int], bool]:
        """Return the last saved values of a stretch that there is room for, and whether little before them is due for them."""
        found: set[int] = set()
        roots: set[int] = set()
        begin, k = at, bisect_right(self.saves_at, at)
        while k and self.saves_at[k - 1] >= start:
            k -= 1
            v = self.saves[k]
            if not self.asked[v] or v in self.held:
                continue
            root = self.root(v)
            if root not in roots:
                room -= bytes_of(self, (root,))
                if room < 0 and found:
                    break
                roots.add(root)
            found.add(v)
            begin = self.saves_at[k]
        _, order, _ = self._sources(list(found))
        earlier = sum([self.steps[first].seconds for first in order if first < begin])
        return found, earlier <= _EARLIER * sum([self.steps[first].seconds for first in order])

    def _asked(self, start: int, end: int) -> set[int]:
        return {v for v in self._saved(start, end) if self.asked[v]}

    def _crossing(self, start: int, mark: int) -> list[int]:
        """Return the variables that cross a mark, those made before another place apart."""
        last = np.frombuffer(self.last, np.int64)[start:mark]
        return [start + int(i) for i in np.flatnonzero(last >= mark)]
