"""A tape of what a function computes at the bottom, on raw arrays, below every transform; any value of it can be made again.

Every kernel that runs becomes a step, every array a variable, which is a number. Steps that say the same, as those of a loop
do, are one object: where an operand lies near, it is named by its distance. So a tape of a long loop takes a few bytes a step
and holds no array but those from outside, and those that whoever owns the tape has it hold.
"""

from __future__ import annotations

import marshal
from array import array
from collections.abc import Callable, Iterable
from math import inf
from time import perf_counter
from typing import Any, NamedTuple
from weakref import ref

import numpy as np

from chainrule.core.call.dispatch import compute
from chainrule.core.generator import Generator
from chainrule.core.graph.nodes import LEAF, NODE, PORT, Version, next_id
from chainrule.core.mode.grad_mode import modes, set_modes
from chainrule.core.mode.watch import Watcher
from chainrule.core.op.declaration import Op
from chainrule.core.record.saved import modified_error
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import memory_of, take, version_of, written_since
from chainrule.core.types.absent import Absent

NEAR = 512  # further away, an operand is named by its number
ENTRY = 300  # bytes that holding an array costs beside its memory
_SCALARS = 1 << 12  # NumPy's scalars that are known at a time: they have no weak references
_PATTERNS = 1 << 8  # steps to find a like one among
ARRAYS = (np.ndarray, Absent)


class Step:
    """A kernel with what it is given.

    Attributes
    ----------
    literals : tuple
        The operands, None in the place of variables.
    places, codes : tuple of int
        Where variables stand, and which: above 0 the distance from the step's first result, else the number, negated.
    alias : tuple of int
        For each result the operand in whose memory it lies; -1 if it has its own.
    sizes : tuple of int
        Bytes that each result takes; 0 for an alias.
    states : tuple
        Of generators, before the step drew from them.
    seconds : float
        How long it took when it was fastest.
    """

    __slots__ = ("alias", "codes", "literals", "op", "params", "places", "seconds", "sizes", "states")

    def __init__(self, op: Op, literals: tuple, places: tuple, codes: tuple, params: dict, alias: tuple, sizes: tuple):
        self.op, self.literals, self.places, self.codes, self.params = op, literals, places, codes, params
        self.alias, self.sizes = alias, sizes
        self.states: tuple = ()
        self.seconds = inf

    def operands(self, first: int) -> list[int]:
        """Return the variables that it is given, where `first` is its first result."""
        return [first - code if code > 0 else -code for code in self.codes]


class Held(NamedTuple):
    """An array that is held, and the version of its memory when it was."""

    array: Any
    version: Version | None
    writes: int

    def is_valid(self) -> bool:
        """Tell whether nobody has written to it since."""
        return self.version is None or self.version.count == self.writes


class Constant(NamedTuple):
    """A value from outside, or one that was read before its memory was written to."""

    value: Tensor
    id: int
    size: int
    grows: bool  # whether a gradient of its own will be made for it

    def array(self) -> Any:
        """Return the array.

        Raises
        ------
        RuntimeError
            If it was written to since.
        """
        version = written_since(self.value, self.id)
        if version is not None:
            raise modified_error(self, version, self.value, None, 0)
        return self.value._data


class Tape(Watcher):
    """The tape, which records while it is entered.

    Attributes
    ----------
    steps : list
        By variable: the `Step` whose first result it is, the place of others among that step's results, or None for a constant.
    constants : dict of int to Constant
    held : dict of int to Held
    last : array of int
        By variable: the last step that uses it, -1 if there is none.
    bytes_held : int
        That the arrays held take, constants apart.
    """

    sees_draws = True

    def __init__(self) -> None:
        super().__init__()
        self.id = next_id()
        self.steps: list[Any] = []
        self.constants: dict[int, Constant] = {}
        self.held: dict[int, Held] = {}
        self.last = array("q")
        self.bytes_held = self.distinct = 0
        self.recomputed, self.seconds, self.seconds_again = 0, 0.0, 0.0
        self._owners: dict[int, list[int]] = {}  # id of memory → how many variables held lie there, its bytes
        self._known: dict[int, tuple] = {}  # id of an array → weak reference, variable, version, count
        self._scalars: dict[int, tuple] = {}
        self._patterns: dict[Any, Step] = {}
        self._views: dict[int, array] = {}  # constants → the variables that lie in their memory
        self._given: tuple = ()

    # -- recording -----------------------------------------------------------------------------------------------------

    def given(self, op: Op, args: tuple) -> None:
        """Take note of the values whose payloads come next: they know the versions of their memory."""
        self._given = args

    def around(self, op: Op, payloads: list, params: dict, proceed: Callable[[], Any]) -> Any:
        """Run a kernel, and record it."""
        args, self._given = self._given, ()
        literals: list[Any] = []
        places, used = [], []
        for i, payload in enumerate(payloads):
            if isinstance(payload, (*ARRAYS, np.generic)):
                places.append(i)
                used.append(self.variable(payload, args[i] if i < len(args) else None))
                literals.append(None)
            else:
                literals.append(payload)
        states = () if op.pure else tuple([(g, g._state()) for g in payloads if isinstance(g, Generator)])
        start = perf_counter()
        out = proceed()
        taken = perf_counter() - start
        self.seconds += taken
        self._record(op, payloads, params, tuple(literals), tuple(places), used, out, states, taken)
        for v, i in zip(used, places, strict=True):
            self.used(v, payloads[i], args[i] if i < len(args) else None)
        return out

    def used(self, v: int, payload: Any, value: Any) -> None:
        """Take note of a variable that was used."""

    def _record(
        self,
        op: Op,
        payloads: list,
        params: dict,
        literals: tuple,
        places: tuple,
        used: list,
        out: Any,
        states: tuple,
        taken: float,
    ) -> None:
        outs = out if out.__class__ in (tuple, list) else (out,)
        fresh = [o for o in outs if not any([o is payloads[i] for i in places])]
        if not fresh:
            return
        first = len(self.steps)
        owners = [owner_of(payloads[i]) for i in places]
        alias, sizes = [], []
        for o in outs:
            owner = owner_of(o)
            at = next((i for i, known in enumerate(owners) if known is owner), -1) if owner is not None else -1
            if o.__class__ is Absent and op.view:
                at = 0
            alias.append(at)
            sizes.append(size_of(o) if at < 0 else 0)
        codes = tuple([-v if v in self.constants or first - v > NEAR else first - v for v in used])
        step = self._pattern(Step(op, literals, places, codes, params, tuple(alias), tuple(sizes)), states)
        step.seconds = min(step.seconds, taken)
        for v in used:
            self.last[v] = first
        self.steps.append(step)
        self.steps += range(1, len(outs))
        self.last.extend([-1] * len(outs))
        for k, (o, at) in enumerate(zip(outs, alias, strict=True)):
            version = None
            if at >= 0:
                version = self._known.get(id(payloads[places[at]]), (None,) * 3)[2]
                root = self.root(used[at])
                if root in self.constants:
                    self._views.setdefault(root, array("q")).append(first + k)
            self._know(o, first + k, version)

    def _pattern(self, step: Step, states: tuple) -> Step:
        """Return the step like this one that was recorded before, or itself."""
        if states:
            step.states = states
            self.distinct += 1
            return step
        key = (step.op, step.places, step.codes, step.sizes, step.alias, _exact(step.literals), _exact(step.params))
        found = self._patterns.get(key)
        if found is None:
            if len(self._patterns) >= _PATTERNS:
                self._patterns.clear()
            found = self._patterns[key] = step
            self.distinct += 1
        return found

    def variable(self, payload: Any, value: Any = None) -> int:
        """Return the variable of an array or scalar: the step's that made it, or a constant's."""
        is_its = isinstance(value, Tensor) and value._data is payload
        version = value._ver if is_its else None
        if isinstance(payload, np.generic):
            known = self._scalars.get(id(payload))
            if known is not None:
                return known[1]
        else:
            known = self._known.get(id(payload))
            if known is not None and known[0]() is payload:
                _, v, old, count = known
                if version is None or (version is old and version.count == count) or (old is None and version.count == 0):
                    if old is None and version is not None:
                        self._known[id(payload)] = (known[0], v, version, 0)
                    return v
        v = len(self.steps)
        self.steps.append(None)
        self.last.append(-1)
        self._fix(v, payload, value if is_its else None)
        self._know(payload, v, self.constants[v].value._ver)
        return v

    def _fix(self, v: int, payload: Any, value: Tensor | None) -> None:
        """Have a variable stand for an array from now on, whatever made it."""
        kept = wrap(payload)
        grows = False
        if value is not None:
            grows = value._node is not None and (value._node is LEAF or _id_of(value._node) < self.id)
            if not value._level:
                take(kept, value)
                kept._node = None
            kept._ver = version_of(value) if payload.__class__ is np.ndarray else None
        self.constants[v] = Constant(kept, next_id(), size_of(payload), grows)

    def _know(self, payload: Any, v: int, version: Version | None) -> None:
        if isinstance(payload, np.generic):
            if len(self._scalars) >= _SCALARS:
                for key in list(self._scalars)[: _SCALARS // 2]:
                    del self._scalars[key]
            self._scalars[id(payload)] = (payload, v)
        elif payload.__class__ in ARRAYS:
            key, known = id(payload), self._known

            def forget(gone: Any) -> None:
                if (entry := known.get(key)) is not None and entry[0] is gone:
                    del known[key]

            known[key] = (ref(payload, forget), v, version, 0 if version is None else version.count)

    def written(self, target: Tensor, value: Tensor) -> None:
        """Have the memory of a tensor that was written to as a whole stand for what was written."""
        into, source = target._data, value._data
        if target._view is None and not target._bit and not value._bit and into.__class__ in ARRAYS and into is not source:
            v = self.variable(source, value)
            if v not in self.constants:
                self._know(into, v, version_of(target))

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

    def finish(self) -> None:
        """End the recording: what knew arrays by where they lie is let go of."""
        self._known, self._scalars, self._patterns, self._views = {}, {}, {}, {}

    # -- what is known of variables ------------------------------------------------------------------------------------

    def step_of(self, v: int) -> tuple[Step | None, int]:
        """Return the step that makes a variable, None for a constant, and its first result."""
        step = self.steps[v]
        if step.__class__ is int:
            return self.steps[v - step], v - step
        return step, v

    def root(self, v: int) -> int:
        """Return the variable in whose memory another lies; itself if in its own."""
        while v not in self.constants:
            step, first = self.step_of(v)
            at = step.alias[v - first]  # type: ignore[union-attr]
            if at < 0:
                break
            v = step.operands(first)[at]  # type: ignore[union-attr]
        return v

    # -- holding -------------------------------------------------------------------------------------------------------

    def hold(self, v: int, payload: Any, value: Any = None) -> None:
        """Hold an array."""
        if v in self.held or v in self.constants:
            return
        version = version_of(value) if isinstance(value, Tensor) and value._data is payload and _is_array(payload) else None
        self.held[v] = Held(payload, version, 0 if version is None else version.count)
        self.bytes_held += ENTRY
        key, size = self._memory(v, payload)
        entry = self._owners.get(key)
        if entry is None:
            self._owners[key] = [1, size]
            self.bytes_held += size
        else:
            entry[0] += 1

    def _memory(self, v: int, payload: Any) -> tuple[int, int]:
        """Return what stands for the memory in which a variable lies, and its bytes; none if it is a constant's."""
        root = self.root(v)
        owner = owner_of(payload)
        size = 0 if root in self.constants else size_of(payload if owner is None else owner)
        return ~root if owner is None else id(owner), size

    def release(self, v: int) -> None:
        """Hold it no more."""
        held = self.held.pop(v, None)
        if held is None:
            return
        self.bytes_held -= ENTRY
        key, _ = self._memory(v, held.array)
        entry = self._owners[key]
        entry[0] -= 1
        if not entry[0]:
            self.bytes_held -= entry[1]
            del self._owners[key]

    def value(self, v: int) -> Any:
        """Return the array of a variable if it is there, else None."""
        if v in self.constants:
            return self.constants[v].array()
        held = self.held.get(v)
        if held is None:
            return None
        if not held.is_valid():
            self.release(v)
            return None
        return held.array

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
        env, lowest, uses = self._sources(missing)
        before = modes()
        set_modes(before.having(watchers=(), tracer=None, mapped=(), saving=None, draws=None, grad=False))
        start = perf_counter()
        try:
            for first in range(lowest, max(missing) + 1):
                step = self.steps[first]
                if step.__class__ is not Step:
                    continue
                if not any([uses[first + k] and first + k not in env for k in range(len(step.sizes))]):
                    continue
                operands = step.operands(first)
                outs = self._run(step, [env[v] for v in operands])
                self.recomputed += 1
                for v in operands:
                    uses[v] -= 1
                    if not uses[v]:
                        env.pop(v, None)
                for k, o in enumerate(outs):
                    if uses[first + k] and first + k not in env:
                        env[first + k] = o
                outs = o = None
        finally:
            set_modes(before)
            self.seconds_again += perf_counter() - start
        found |= {v: env[v] for v in missing}
        return found

    def _sources(self, missing: list[int]) -> tuple[dict[int, Any], int, array]:
        """Return what is there of all that variables are made of, the first step to run, and how often each is used."""
        top = max(missing)
        uses = array("q", bytes(8 * len(self.steps)))
        env: dict[int, Any] = {}
        pending, lowest = 0, top
        for v in missing:
            pending += not uses[v]
            uses[v] += 1
        v = top
        while pending:
            if uses[v]:
                pending -= 1
                value = self.value(v)
                if value is not None:
                    env[v] = value
                else:
                    step, first = self.step_of(v)
                    already = any([uses[first + k] and first + k not in env for k in range(v - first + 1, len(step.sizes))])  # type: ignore[union-attr]
                    if not already:
                        lowest = min(lowest, first)
                        for o in step.operands(first):  # type: ignore[union-attr]
                            pending += not uses[o]
                            uses[o] += 1
            v -= 1
        return env, lowest, uses

    def _run(self, step: Step, given: list) -> Any:
        operands = list(step.literals)
        for place, value in zip(step.places, given, strict=True):
            operands[place] = value
        now = [(g, g._state()) for g, _ in step.states]
        for g, state in step.states:
            g._put(state)
        try:
            out = compute(step.op, operands, step.params, ())
        finally:
            for g, state in now:
                g._put(state)
        outs = out if out.__class__ in (tuple, list) else (out,)
        return [o._data if isinstance(o, Tensor) else o for o in outs]


def owner_of(payload: Any) -> Any:
    """Return the array that owns the memory in which another lies; None for what is no array."""
    if payload.__class__ is not np.ndarray:
        return None
    while isinstance(payload.base, np.ndarray):
        payload = payload.base
    return payload


def _id_of(edge: Any) -> int:
    return edge.node.id if edge._kind == PORT else edge.id if edge._kind == NODE else 0


def size_of(payload: Any) -> int:
    """Return the bytes of an array."""
    return payload.size * payload.itemsize


def _is_array(payload: Any) -> bool:
    return payload.__class__ is np.ndarray


_PLAIN: frozenset[Any] = frozenset((int, float, bool, complex, str, bytes, type(None)))


def _exact(value: Any) -> Any:
    """Return what is equal for equal values of the same types alone (1 is not True, 0.0 not -0.0), or for one object."""
    if value.__class__ in _PLAIN:
        return marshal.dumps(value, 2)
    if value.__class__ is tuple:
        return tuple([_exact(v) for v in value])
    if value.__class__ is dict:
        return tuple([(name, _exact(v)) for name, v in value.items()])
    return id(value)  # the step that is found by this keeps the object
