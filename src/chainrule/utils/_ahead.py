"""What a call would hold, found before anything is computed: the function runs once without values, under the same keeper.

From the tape of that run it is known, too, what a cut would have held (``_choosing``) and how much would run again then: the
pass is rehearsed. Where the function cannot run like that (it reads a value, writes to what it did not make, or uses NumPy)
nothing is known ahead.
"""

from __future__ import annotations

import sys
import warnings
from array import array
from collections import Counter, deque
from collections.abc import Callable, Sequence
from math import inf
from typing import Any

import numpy as np

from chainrule.autograd.saved_tensors import saved_tensors_hooks
from chainrule.compiler.graph.cut import FEW
from chainrule.core.graph.nodes import LEAF
from chainrule.core.mode.grad_mode import back, modes, switch
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import take
from chainrule.core.types.absent import Absent
from chainrule.core.types.tree import tree_flatten, tree_unflatten
from chainrule.transforms.inference import INFERRING, absent
from chainrule.transforms.operations import operations
from chainrule.utils._choosing import Choices
from chainrule.utils._keeping import Keeper, Slot, over_budget
from chainrule.utils._stretches import typical_seconds
from chainrule.utils._tape import Step, size_of

_KNOWN = 64  # calls
_VARIES = 0.03  # by which what is enough differs from run to run, for marks are set by measured times
_TRIES = 8  # budgets, each what the one before fell short of
_CALL, _OPERATION, _BYTE = 3e-6, 2e-10, 1e-10  # seconds, for steps that were not measured yet
_NETWORK = 1200  # bytes that the network of a cut takes for a step
_SCIPY = 100_000_000  # bytes from which on a first call has room for importing SciPy's graphs
_STEPS = 5000  # above which finding a cut takes seconds
_GAIN = 0.95  # of the time of what runs again, from which on a cut is worth it
GHOST = Absent((0,), np.dtype(np.uint8))  # stands for the array of a variable, whose bytes the tape knows


class Refused(Exception):  # noqa: N818 - no error: it ends a run that cannot go on
    """The function would change what it did not make."""


class Ahead(Keeper):
    """A keeper of values that are not there, which takes note of the budget that a call needs instead of refusing it.

    Parameters
    ----------
    budget : int
    times : sequence of float
        By variable: the seconds that the step that makes it took in a call with values; empty if there was none.
    """

    def __init__(self, budget: int, times: Sequence[float] = (), chosen: bytes = b""):
        super().__init__(budget, chosen)
        self.waiting: array = array("q")
        self.least, self.times = 1, times

    def over(self) -> None:
        """Take note of the budget that would do."""
        self.least = max(self.least, self.needed())

    def hold(self, v: int, payload: Any, value: Any = None) -> None:
        """Take note of what would be held; what is alive is for the function to go on with."""
        super().hold(v, GHOST)

    def _used_elsewhere(self) -> int:
        return sum([known.size for known in self._known.values() if known.v not in self.held])

    def unpack(self, slot: Slot) -> Tensor:
        """Bring what would have to be there.

        Raises
        ------
        Refused
            If the function asks for it, and not the rehearsed pass.
        """
        if not self.done:
            raise Refused
        found = super().unpack(slot)
        if self.bytes_held > self.limit():
            self.over()
        return found

    def before_write(self, target: Tensor) -> None:
        """Refuse to write to what has values, or to part of what has none: whose steps are not those of a run with values."""
        if not target._level and (target._data.__class__ is not Absent or target._view is not None):
            raise Refused

    def _record(self, step: Step, operands: list, used: list[int], outs: Any, taken: float) -> None:
        first = len(self.steps)
        if first < len(self.times):
            taken = self.times[first]
        else:
            given = list(step.literals) or [None] * len(operands)
            for place, x in zip(step.places, operands, strict=True):
                given[place] = x
            dtypes = [getattr(x, "dtype", x.__class__) for x in given]
            count = operations(step.op, [tuple(x.shape) for x in operands], step.params, [o.shape for o in outs], dtypes)
            taken = _CALL + _OPERATION * count + _BYTE * sum(map(size_of, outs))
        super()._record(step, operands, used, outs, taken)
        self.waiting.extend([self.alive] * (len(self.steps) - len(self.waiting)))
        for o, at in zip(outs, self.step_of(first)[0].alias, strict=True):  # type: ignore[union-attr]
            if o.__class__ is Absent:
                o.strides  # noqa: B018 - which were to be found of what it was made of, and kept that alive
                if at >= 0 and o.lease is None:
                    o.lease = operands[at]  # whose memory is in use as long as a view is

    def _run(self, step: Step, first: int, given: list[int], env: dict[int, Any], uses: Counter[int]) -> None:
        self.recomputed += 1
        self.seconds_again += step.seconds
        for v in range(first, first + len(step.sizes)):
            if uses[v]:
                env.setdefault(v, GHOST)

    def rehearse(self, tape: Keeper) -> None:
        """Go through the steps of a tape as a call would, and pass back through them."""
        saves, self.waiting = 0, tape.waiting
        for v, step in enumerate(tape.steps):
            self.steps.append(step)
            self.last.append(-1)
            if step is None:
                constant = self.constants[v] = tape.constants[v]
                self.gradients += constant.size * constant.grows
            elif step.__class__ is Step:
                self.largest = max(self.largest, *step.sizes)
                used = step.operands(v)
                for o in used:
                    self.last[o] = v
                self.used(used, (GHOST,) * len(used), (None,) * len(used))
            while saves < len(tape.saves) and tape.saves_at[saves] == v:
                self.save(tape.saves[saves], GHOST, None)
                saves += 1
        self.distinct = tape.distinct
        self.end()
        self.pass_back()

    def pass_back(self) -> None:
        """Ask for all that was saved, the last first, as a pass does."""
        for k in range(len(self.saves) - 1, -1, -1):
            if self.saves[k] not in self.constants:
                self.unpack(Slot(k, self.gone))
            else:
                self.gone.append(k)


class Forecast:
    """What calls of a function need at least, and what is best held, by the shapes and dtypes of their arguments."""

    def __init__(self, function: Callable, budget: int):
        self.function, self.budget = function, budget
        self.known: dict[Any, Expected] = {}

    def check(self, args: tuple, kwargs: dict) -> Expected:
        """Return what is to be expected of a call.

        Raises
        ------
        RuntimeError
            If the budget is known to be too small.
        """
        leaves, spec = tree_flatten((args, kwargs))
        key = (str(spec), modes().record, *[_described(leaf) for leaf in leaves])
        found = self.known.get(key)
        if found is None:
            if len(self.known) >= _KNOWN:
                self.known.clear()
            found = self.known[key] = self._expected(leaves, spec)
        elif found.times:
            times, found.times = found.times, ()
            keeper = self._run(Ahead(self.budget, times), leaves, spec)
            if keeper is not None and len(keeper.steps) == len(times):
                found.chosen = _best(keeper)
        if found.least > self.budget * (1 + 2 * _VARIES):
            raise over_budget(self.budget, found.least, "")
        return found

    def _expected(self, leaves: list, spec: Any) -> Expected:
        """Find what is best held; or, if the budget is too small, one that is needed and that is enough, or one that is."""
        budget = self.budget
        for i in range(_TRIES):
            if (keeper := self._run(Ahead(budget), leaves, spec)) is None:
                return Expected(0)
            waiting = keeper.waiting
            is_free = not keeper.recomputed
            best = b"" if i else _best(keeper)
            if best or keeper.least <= budget:
                break
            budget = keeper.least
        return Expected(int(budget * (1 + _VARIES)) if i else 1, best, is_free, waiting)

    def _run(self, keeper: Ahead, leaves: list, spec: Any) -> Ahead | None:
        """Return the keeper after a run of the function, and a pass, without values; None if it cannot run so."""
        try:
            args, kwargs = tree_unflatten([_without_values(leaf) for leaf in leaves], spec)
            with warnings.catch_warnings(), INFERRING, keeper, saved_tensors_hooks(keeper.pack, keeper.unpack):
                warnings.simplefilter("ignore")
                before = modes()
                switch(on_write=keeper.before_write)
                entered = modes()
                try:
                    result = self.function(*args, **kwargs)
                    asked_no_more = list(keeper.gone)
                finally:
                    back(entered, before, "on_write")
                    keeper.finish()
            del result  # and its graph
            keeper.gone = deque(asked_no_more)
            keeper.end()
            keeper.pass_back()
        except Exception:  # whatever it is: the call itself will tell
            return None
        return keeper


class Expected:
    """What is known of calls before they run.

    Attributes
    ----------
    least : int
        The budget that they need, if this one is too small; 0 if that cannot be told.
    chosen : bytes
        By variable: whether a cut would hold it; empty if nothing was cut.
    is_free : bool
        Whether nothing has to run again, so that there is nothing to choose.
    waiting : sequence of int or None
        By variable: the bytes that the function itself goes on with when its step runs, if that is known.
    times : sequence of float
        By variable: what its step took in the first call, for the second to choose by.
    """

    def __init__(self, least: int, chosen: bytes = b"", is_free: bool = True, waiting: Sequence[int] | None = None):
        self.least, self.chosen, self.is_measured, self.waiting = least, chosen, is_free, waiting
        self.times: Sequence[float] = ()

    def learn(self, keeper: Keeper) -> None:
        """Take note of how long the steps of a call took, where a choice was made without knowing."""
        if not self.is_measured:
            self.is_measured = True
            self.times = typical_seconds(keeper)


def _best(keeper: Ahead) -> bytes:
    """Return what a cut would hold after a call and its pass without one; nothing if that is as good."""
    best, least = b"", keeper.seconds_again * _GAIN if keeper.least == 1 else inf
    if not keeper.recomputed or len(keeper.steps) > min(_STEPS, keeper.budget / _NETWORK):
        return best
    choices = Choices(keeper, keeper.saves)
    if len(choices) > FEW and "scipy.sparse.csgraph" not in sys.modules and keeper.budget < _SCIPY:
        return best
    for chosen in {choices.held(price): None for price in choices.prices()}:
        rehearsal = Ahead(keeper.budget, chosen=chosen)
        rehearsal.rehearse(keeper)
        if rehearsal.least == 1 and rehearsal.seconds_again < least:
            best, least = chosen, rehearsal.seconds_again
    return best


def _described(leaf: Any) -> Any:
    if isinstance(leaf, (Tensor, np.ndarray)):
        return type(leaf), tuple(leaf.shape), leaf.dtype, getattr(leaf, "_level", 0) > 0, getattr(leaf, "requires_grad", False)
    return repr(leaf)


def _without_values(value: Any) -> Any:
    """Return a tensor of the same levels, shape and dtype without values; anything else as it is."""
    if isinstance(value, (np.ndarray, np.generic)):
        return absent(value)
    if not isinstance(value, Tensor):
        return value
    made = wrap(None)
    take(made, value)
    made._data = _without_values(value._data)
    if value._level and isinstance(value._tangent, (Tensor, np.ndarray, np.generic)):
        made._tangent = _without_values(value._tangent)
    if made._node is not None:
        made._node = LEAF
    return made
