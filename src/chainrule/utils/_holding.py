"""A tape that holds some of its arrays, and computes others again from those.

What is worth holding is for ``_keeping`` to say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from heapq import heappop, heappush
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from chainrule.core.call.dispatch import compute
from chainrule.core.graph.nodes import Version
from chainrule.core.mode.grad_mode import modes, set_modes
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import memory_of, version_of
from chainrule.core.types.absent import Absent
from chainrule.utils._tape import Step, Tape, owner_of

ENTRY = 300  # bytes that holding an array costs beside its memory


class Held(NamedTuple):
    """An array that is held, the version of its memory when it was, and what stands for that memory."""

    array: Any
    version: Version | None
    writes: int
    memory: int

    def is_valid(self) -> bool:
        """Tell whether nobody has written to it since."""
        return self.version is None or self.version.count == self.writes


class Holding(Tape):
    """A tape whose arrays may be held.

    Attributes
    ----------
    held : dict of int to Held
    bytes_held : int
        That the arrays held take, constants apart.
    recomputed : int
        Steps that ran again.
    seconds_again : float
        How long they took.
    """

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[int, Held] = {}
        self.bytes_held = self.recomputed = 0
        self.seconds_again = 0.0
        self._memories: dict[int, list[int]] = {}  # what stands for memory → how many variables held lie there, its bytes

    def hold(self, v: int, payload: Any, value: Any = None) -> None:
        """Hold an array."""
        if v in self.held or v in self.constants:
            return
        if payload.__class__ is np.ndarray:
            version = version_of(value) if isinstance(value, Tensor) and value._data is payload else None
            owner = payload if payload.base is None else owner_of(payload)
            memory = id(owner)
            size = 0 if owner is not payload and self.root(v) in self.constants else owner.nbytes
        else:
            version, root = None, self.root(v)
            memory, size = ~root, 0
            if root not in self.constants:
                step, first = self.step_of(root)
                size = step.sizes[root - first]  # type: ignore[union-attr]
        self.held[v] = Held(payload, version, 0 if version is None else version.count, memory)
        self.bytes_held += ENTRY
        shared = self._memories.get(memory)
        if shared is None:
            self._memories[memory] = [1, size]
            self.bytes_held += size
        else:
            shared[0] += 1

    def release(self, v: int) -> None:
        """Hold it no more."""
        held = self.held.pop(v, None)
        if held is None:
            return
        self.bytes_held -= ENTRY
        shared = self._memories[held.memory]
        shared[0] -= 1
        if not shared[0]:
            self.bytes_held -= shared[1]
            del self._memories[held.memory]

    def value(self, v: int) -> Any:
        """Return the array of a variable if it is there, else None."""
        held = self.held.get(v)
        if held is None:
            return self.constants[v].array() if v in self.constants else None
        if not held.is_valid():
            self.release(v)
            return None
        return held.array

    def before_write(self, target: Tensor) -> None:
        """Keep what was read from memory from outside that is about to be written to."""
        if target._level or target._data.__class__ is Absent:
            return
        memory = owner_of(memory_of(target))
        for root in [v for v, c in self.constants.items() if owner_of(c.value._data) is memory and memory is not None]:
            for v in self._views.pop(root, ()):
                if self.last[v] >= 0 and v not in self.constants:
                    kept = np.array(self.made([v])[v], copy=True, order="K")
                    self.release(v)
                    self._offset(v)
                    self._fix(v, kept, None)
            constant = self.constants[root]
            if constant.value._data.__class__ is np.ndarray and self.last[root] >= 0:
                self._fix(root, np.array(constant.value._data, copy=True, order="K"), None)

    def _offset(self, v: int) -> None:
        """Make a variable a constant; if it is one result of several, the others stay results of the step."""
        step = self.steps[v]
        if step.__class__ is Step and len(step.sizes) == 1:
            self.steps[v] = None

    # -- computing again -----------------------------------------------------------------------------------------------

    def made(self, wanted: Iterable[int]) -> dict[int, Any]:
        """Return the arrays of variables, computing again those that are not there, from what is."""
        found: dict[int, Any] = {}
        missing = []
        for v in wanted:
            value = self.value(v)
            if value is None:
                missing.append(v)
            else:
                found[v] = value
        if not missing:
            return found
        env, order, uses = self._sources(missing)
        before = modes()
        set_modes(before.having(watchers=(), tracer=None, mapped=(), saving=None, draws=None, grad=False))
        start = perf_counter()
        try:
            while order:
                first = order.pop()
                step = self.steps[first]
                self._run(step, first, step.operands(first), env, uses)
        finally:
            set_modes(before)
            self.seconds_again += perf_counter() - start
        for v in missing:
            found[v] = env[v]
        return found

    def _sources(self, missing: list[int]) -> tuple[dict[int, Any], list[int], Counter[int]]:
        """Return what is there of all that variables are made of, the steps to run, last first, and how often each is used."""
        uses = Counter(missing)
        env: dict[int, Any] = {}
        order: list[int] = []
        pending: list[int] = []  # a heap of the variables not looked at, negated: what uses them is known by their turn
        for v in uses:
            heappush(pending, -v)
        while pending:
            v = -heappop(pending)
            value = self.value(v)
            if value is not None:
                env[v] = value
                continue
            step, first = self.step_of(v)
            if order and order[-1] == first:  # of several results another was missing, too
                continue
            order.append(first)
            for o in step.operands(first):  # type: ignore[union-attr]
                if o not in uses:
                    heappush(pending, -o)
                uses[o] += 1
        return env, order, uses

    def _run(self, step: Step, first: int, given: list[int], env: dict[int, Any], uses: Counter[int]) -> None:
        """Run a step on what is there, which goes when it has no other use."""
        if step.literals:
            operands = list(step.literals)
            for place, v in zip(step.places, given, strict=True):
                operands[place] = env[v]
        else:
            operands = [env[v] for v in given]
        now = [(g, g._state()) for g, _ in step.states]
        for g, state in step.states:
            g._put(state)
        try:
            out = compute(step.op, operands, step.params, ())
        finally:
            for g, state in now:
                g._put(state)
        self.recomputed += 1
        for v in given:
            uses[v] -= 1
            if not uses[v]:
                env.pop(v, None)
        for v, o in enumerate(out if out.__class__ in (tuple, list) else (out,), first):
            if uses[v] and v not in env:
                env[v] = o._data if isinstance(o, Tensor) else o
