"""A tape of what a function computes at the bottom, on raw arrays, below every transform.

Every kernel that runs becomes a step, every array a variable, which is a number. Steps that say the same, as those of a loop
do, are one object: where an operand lies near, it is named by its distance. So a tape of a long loop takes a few bytes a step
and holds no array but those from outside. Which others are held, and how variables are made again, is ``_holding``'s.
"""

from __future__ import annotations

import marshal
from array import array
from collections.abc import Callable
from math import inf
from time import perf_counter
from typing import Any, NamedTuple
from weakref import ref

import numpy as np

from chainrule.core.generator import Generator
from chainrule.core.graph.nodes import LEAF, NODE, PORT, Version, next_id
from chainrule.core.mode.watch import Watcher
from chainrule.core.op.declaration import Op
from chainrule.core.record.saved import modified_error
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import take, version_of, written_since
from chainrule.core.types.absent import Absent

NEAR = 512  # further away, an operand is named by its number
_SCALARS = 1 << 12  # NumPy's scalars that are known at a time: they have no weak references
_PATTERNS = 1 << 8  # steps to find a like one among
ARRAYS = (np.ndarray, Absent)
_VARIABLES = (np.ndarray, Absent, np.generic)


class Step:
    """A kernel with what it is given.

    Attributes
    ----------
    literals : tuple
        The operands, None in the place of variables; empty where there are no others.
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

    alias: tuple[int, ...]
    codes: tuple[int, ...]
    sizes: tuple[int, ...]

    def __init__(self, op: Op, literals: tuple, places: tuple, params: dict, states: tuple):
        self.op, self.literals, self.places, self.params, self.states = op, literals, places, params, states
        self.seconds = inf

    def operands(self, first: int) -> list[int]:
        """Return the variables that it is given, where `first` is its first result."""
        return [first - code if code > 0 else -code for code in self.codes]


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


class Known(ref):
    """A weak reference to an array, the variable that it is as long as its memory has this version, and its own bytes."""

    __slots__ = ("count", "key", "size", "v", "version")

    key: int
    size: int
    v: int
    version: Version | None
    count: int


class Tape(Watcher):
    """The tape, which records while it is entered.

    Attributes
    ----------
    steps : list
        By variable: the `Step` whose first result it is, the place of others among that step's results, or None for a constant.
    constants : dict of int to Constant
    last : array of int
        By variable: the last step that uses it, -1 if there is none.
    distinct : int
        How many steps there are unlike all others.
    seconds : float
        How long the steps took.
    alive : int
        Bytes of the arrays that steps made and something refers to, while the tape records.
    """

    sees_draws = True

    def __init__(self) -> None:
        super().__init__()
        self.id = next_id()
        self.steps: list[Any] = []
        self.constants: dict[int, Constant] = {}
        self.last = array("q")
        self.distinct, self.seconds, self.alive = 0, 0.0, 0
        self._scalars: dict[int, tuple] = {}
        self._patterns: dict[Any, Step] = {}
        self._views: dict[int, array] = {}  # constants → the variables that lie in their memory
        self._given: tuple = ()
        self._known: dict[int, Known] = {}  # by the id of the array
        self._forgotten = _forgetting(ref(self), self._known)

    # -- recording -----------------------------------------------------------------------------------------------------

    def given(self, op: Op, args: tuple) -> None:
        """Take note of the values whose payloads come next: they know the versions of their memory."""
        self._given = args

    def around(self, op: Op, payloads: list, params: dict, proceed: Callable[[], Any]) -> Any:
        """Run a kernel, and record it."""
        args, self._given = self._given, ()
        places = tuple([i for i, payload in enumerate(payloads) if isinstance(payload, _VARIABLES)])
        operands = [payloads[i] for i in places]
        values = [args[i] if i < len(args) else None for i in places]
        used = list(map(self.variable, operands, values))
        states = () if op.pure else tuple([(g, g._state()) for g in payloads if isinstance(g, Generator)])
        start = perf_counter()
        out = proceed()
        taken = perf_counter() - start
        self.seconds += taken
        outs = out if out.__class__ in (tuple, list) else (out,)
        if any([all([o is not x for x in operands]) for o in outs]):
            literals = () if len(places) == len(payloads) else tuple([_literal(p) for p in payloads])
            self._record(Step(op, literals, places, params, states), operands, used, outs, taken)
        self.used(used, operands, values)
        return out

    def used(self, variables: list[int], payloads: list, values: list) -> None:
        """Take note of variables that were used."""

    def _record(self, step: Step, operands: list, used: list[int], outs: Any, taken: float) -> None:
        first, constants = len(self.steps), self.constants
        step.alias = tuple([_lies_in(o, operands, step.op.view) for o in outs])
        step.sizes = tuple([size_of(o) if at < 0 else 0 for o, at in zip(outs, step.alias, strict=True)])
        step.codes = tuple([-v if v in constants or first - v > NEAR else first - v for v in used])
        step = self._pattern(step)
        if taken < step.seconds:
            step.seconds = taken
        for v in used:
            self.last[v] = first
        self.steps.append(step)
        self.last.append(-1)
        for k in range(1, len(outs)):
            self.steps.append(k)
            self.last.append(-1)
        for k, (o, at) in enumerate(zip(outs, step.alias, strict=True)):
            version = None
            if at >= 0:
                known = self._known.get(id(operands[at]))
                version = None if known is None else known.version
                root = self.root(used[at])
                if root in constants:
                    self._views.setdefault(root, array("q")).append(first + k)
            self._know(o, first + k, version, step.sizes[k])

    def _pattern(self, step: Step) -> Step:
        """Return the step like this one that was recorded before, or itself."""
        if step.states:
            self.distinct += 1
            return step
        key = (
            step.op, step.places, step.codes, step.sizes, step.alias,
            _exact(step.literals) if step.literals else (), _exact(step.params) if step.params else (),
        )  # fmt: skip
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
        known = self._known.get(id(payload))
        if known is not None and known() is payload:
            old = known.version
            if version is None or (version is old and version.count == known.count):  # type: ignore[union-attr]
                return known.v
            if old is None and version.count == 0:
                known.version = version
                return known.v
        elif id(payload) in self._scalars:
            return self._scalars[id(payload)][1]
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

    def _know(self, payload: Any, v: int, version: Version | None, size: int = 0) -> None:
        if payload.__class__ in ARRAYS:
            if (before := self._known.get(id(payload))) is not None:  # the same array as another variable
                size = before.size
                self.alive -= size
            known = self._known[id(payload)] = Known(payload, self._forgotten)
            known.key, known.v, known.version, known.size = id(payload), v, version, size
            self.alive += size
            known.count = 0 if version is None else version.count
        elif isinstance(payload, np.generic):
            if len(self._scalars) >= _SCALARS:
                for key in list(self._scalars)[: _SCALARS // 2]:
                    del self._scalars[key]
            self._scalars[id(payload)] = (payload, v)

    def written(self, target: Tensor, value: Tensor) -> None:
        """Have the memory of a tensor that was written to as a whole stand for what was written."""
        into, source = target._data, value._data
        if target._view is None and not target._bit and not value._bit and into.__class__ in ARRAYS and into is not source:
            v = self.variable(source, value)
            if v not in self.constants:
                self._know(into, v, version_of(target))

    def finish(self) -> None:
        """End the recording: what knew arrays by where they lie is let go of."""
        for each in (self._known, self._scalars, self._patterns, self._views):
            each.clear()  # type: ignore[attr-defined]

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


def _forgetting(tape: Callable[[], Any], known: dict[int, Known]) -> Callable[[Any], None]:
    """Return what is called with the reference to an array that is gone."""

    def forget(gone: Known) -> None:
        if known.get(gone.key) is gone:
            del known[gone.key]
            if (owner := tape()) is not None:
                owner.alive -= gone.size

    return forget


def _literal(payload: Any) -> Any:
    return None if isinstance(payload, _VARIABLES) else payload


def _lies_in(out: Any, operands: list, is_view: bool) -> int:
    """Return which operand's memory a result lies in; -1 if it has its own."""
    if out.__class__ is not np.ndarray:
        return 0 if out.__class__ is Absent and is_view else -1
    owner = out if out.base is None else owner_of(out)
    for i, x in enumerate(operands):
        if x is owner or (x.__class__ is np.ndarray and x.base is not None and owner_of(x) is owner):
            return i
    return -1


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
