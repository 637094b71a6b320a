"""How a nest is run: which axes become one loop, along which one the vectors lie, and how often bodies are repeated."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from chainrule.compiler.loops.nest import Apply, Axis, Expr, Load, Nest, Number, Place, Reduced, Stage, walk

ENTRY, ROW, UNIT, INNER = 0, 1, 2, 3
"""Levels at which a value is computed: once, for each row of outer points, for each point or vector of them, and for each step
of the stage's first inner loop, its second, and so on."""

_DEAR = {"div": 4, "sqrt": 4, "floordiv": 20, "mod": 20, "fmod": 20, "truncdiv": 8, "pow": 40}
_MATHEMATICAL = 20  # what a function costs, in additions
_CHEAP = {
    "add", "sub", "mul", "neg", "abs", "max", "min", "fmax", "fmin", "ceil", "floor", "trunc", "rint", "copysign", "nextafter",
    "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "xor", "invert", "shl", "shr", "isfinite", "isinf", "isnan", "signbit",
    "real", "imag", "conj", "select", "cast",
}  # fmt: skip
CHEAP, NEAR = 6, 1 << 21  # additions at a point, and bytes, from which on memory is what takes the time
ONCE = 100  # bodies dearer than this are not written twice for the sake of the remainder


class Loop:
    """Axes that are run as one: `axis` is the last of them, whose strides are the loop's."""

    __slots__ = ("axis", "members", "size")

    def __init__(self, members: Sequence[int], size: int):
        self.members, self.axis, self.size = tuple(members), members[-1], size


def merged(axes: Sequence[tuple[int, int]], places: Sequence[Place], told: set[int]) -> list[Loop]:
    """Return the loops over axes of given sizes; axes that memory runs through in one go, of no index in use, are one."""
    loops: list[Loop] = []
    for axis, size in axes:
        if size == 1:
            continue
        last = loops[-1] if loops else None
        if last and not ({last.axis, axis} & told) and all([p.strides[last.axis] == p.strides[axis] * size for p in places]):
            loops[-1] = Loop((*last.members, axis), last.size * size)
        else:
            loops.append(Loop((axis,), size))
    return loops


class StagePlan:
    """How a stage is run.

    Attributes
    ----------
    stage : Stage
    exprs : list of Expr
    places : list of Place
    loops : list of Loop
        Over the inner axes, outermost first.
    lanes, copies : int
        Of the last loop's vectors: elements in each, and how many vectors a step takes; 1 and 1 where it is no vector loop.
    levels : list of list of Expr
        What is computed at each level, operands first.
    loads : list of list of int
        At each level the axes that are known from it on.
    """

    __slots__ = ("copies", "cost", "exprs", "lanes", "levels", "loops", "places", "stage", "stores_before")

    def __init__(self, stage: Stage, stores_before: bool):
        self.stage, self.stores_before = stage, stores_before
        self.exprs = list(walk([*stage.roots, *[e for s in stage.stores for e, _ in s.place.at]]))
        self.places = [*[e.place for e in self.exprs if isinstance(e, Load)], *[s.place for s in stage.stores]]
        self.lanes = self.copies = 1
        self.loops: list[Loop] = []
        self.levels: list[list[Expr]] = []
        self.cost = 0.0

    def told(self) -> set[int]:
        """Return the axes whose index is a value."""
        return {e.axis for e in self.exprs if isinstance(e, Axis)}

    def leveled(self, level_of: dict[int, int]) -> dict[int, int]:
        """Return the level at which each expression is known, by its identity, from the level of each axis."""
        levels: dict[int, int] = {}
        for e in self.exprs:
            level = max([levels[id(x)] for x in e.operands], default=ENTRY)
            if isinstance(e, Axis):
                level = level_of.get(e.axis, ENTRY)
            elif isinstance(e, Reduced):
                level = UNIT
            elif isinstance(e, Load):
                for axis, stride in enumerate(e.place.strides):
                    if stride:
                        level = max(level, level_of.get(axis, ENTRY))
                if self.stores_before:
                    level = max(level, UNIT)
            levels[id(e)] = level
        return levels

    def vectors(self, axes: Sequence[int], reduced: bool) -> set[int]:
        """Return the identities of expressions that differ along axes; `reduced` tells whether reductions' results do."""
        along: set[int] = set()
        for e in self.exprs:
            if (
                (isinstance(e, Axis) and e.axis in axes)
                or (isinstance(e, Reduced) and reduced)
                or (isinstance(e, Load) and any([e.place.strides[a] for a in axes if a < len(e.place.strides)]))
                or any([id(x) in along for x in e.operands])
            ):
                along.add(id(e))
        return along


def weight(e: Expr) -> float:
    """Return what an expression costs, in additions."""
    if not isinstance(e, Apply):
        return 0.0 if isinstance(e, (Number, Reduced)) else 1.0
    return 1.0 if e.name in _CHEAP else _DEAR.get(e.name, _MATHEMATICAL)


def lanes_for(exprs: Sequence[Expr], vector_bytes: int, size: int) -> int:
    """Return how many lanes suit some expressions (their narrowest floats, or widest integers) along an axis of a size."""
    found = {e.dtype for e in exprs if e.__class__ in (Load, Apply) and e.dtype.kind != "b"}
    floats = [d.itemsize for d in found if d.kind == "f"]
    item = min(floats) if floats else max([d.itemsize for d in found], default=1)
    return min(max(1, vector_bytes // item), 1 << max(size - 1, 0).bit_length())


class Schedule:
    """How a nest is run.

    Attributes
    ----------
    outer : list of Loop
    along : str or None
        "outer" where the lanes of a vector are points of the last outer loop, "inner" where they are those of stages' last
        loops, None where there are no vectors.
    lanes, copies : int
        Of vectors of outer points.
    once : bool
        Whether one masked body serves whole vectors and the remainder.
    tiled : list of Load
        Where rows are run in tiles: the loads that lie along the loop of rows, and across vectors.
    stages : list of StagePlan
    """

    __slots__ = ("along", "copies", "lanes", "once", "outer", "stages", "tiled")

    along: str | None
    lanes: int
    copies: int
    once: bool

    def __init__(self, nest: Nest, vector_bytes: int):
        stored = False
        self.stages: list[StagePlan] = []
        for stage in nest.stages:
            self.stages.append(StagePlan(stage, stored))
            stored = stored or bool(stage.stores)
        places = [p for s in self.stages for p in s.places]
        if _streams(nest, self.stages):
            vector_bytes = min(vector_bytes, 32)
        told: set[int] = set().union(*[s.told() for s in self.stages])
        self.outer = merged(list(enumerate(nest.outer)), places, told)
        first = len(nest.outer)
        inner = [merged([(first + k, n) for k, n in enumerate(s.stage.inner)], s.places, s.told()) for s in self.stages]
        candidates = [_Candidate(self, inner, None, 1)]
        if self.outer:
            lanes = lanes_for([e for s in self.stages for e in s.exprs], vector_bytes, self.outer[-1].size)
            candidates.append(_Candidate(self, inner, self.outer[-1], lanes))
        if any(inner):
            candidates.append(_Candidate(self, inner, None, vector_bytes))
        best = candidates[1] if len(candidates) == 2 and self.outer else min(candidates, key=_Candidate.cost)
        best.settle(vector_bytes)
        self.tiled = self._across() if vector_bytes >= 32 else []

    def _across(self) -> list[Load]:
        """Return the loads that are contiguous along the outer loop before the last, and not along the last."""
        if self.along != "outer" or len(self.outer) < 2 or len(self.stages) > 1 or self.stages[0].stage.inner or self.lanes < 4:
            return []
        down, along = self.outer[-2], self.outer[-1]
        return [
            e
            for e in self.stages[0].exprs
            if isinstance(e, Load) and not e.operands and e.dtype.itemsize >= 4 and down.size >= self.lanes
            if e.place.strides[down.axis] == 1 and e.place.strides[along.axis] not in (-1, 0, 1)
        ]


def _streams(nest: Nest, plans: Sequence[StagePlan]) -> bool:
    """Tell whether a nest does little with memory beyond the nearer caches.

    Vectors of 64 bytes nearly always cross lines there, for arrays begin anywhere: those of 32 are 2 to 15 % faster.
    """
    if any([p.stage.inner for p in plans]) or sum([weight(e) for p in plans for e in p.exprs]) > CHEAP:
        return False
    return prod(nest.outer) * sum([d.itemsize for d in nest.params]) > NEAR


def _cost(
    plan: StagePlan, loops: Sequence[Loop], vector: Loop | None, lanes: int, steps: int, within: bool, vector_bytes: int
) -> float:
    """Return what a stage costs at one outer point, or for one vector of outer points.

    Parameters
    ----------
    plan : StagePlan
    loops : sequence of Loop
        Inner ones.
    vector : Loop or None
        The one that vectors lie along.
    lanes, steps : int
        And the steps that the vector loop takes, where it is an inner one.
    within : bool
        Whether it is.
    vector_bytes : int
    """
    level_of = {a: INNER + k for k, loop in enumerate(loops) for a in loop.members}
    trips = [1.0] * (INNER + 1)
    for loop in loops:
        trips.append(trips[-1] * (steps if loop is vector else loop.size))
    trips = trips[1:]
    trips[ENTRY] = trips[ROW] = 0.0
    levels = plan.leveled(level_of)
    along = plan.vectors(vector.members, not within) if vector else set()
    total = 0.0
    for e in plan.exprs:
        w = weight(e)
        if id(e) in along:
            w *= max(1.0, lanes * e.dtype.itemsize / vector_bytes)
            if isinstance(e, Load):
                w = _reach(e.place, vector, lanes, along)
        total += w * trips[max(levels[id(e)], UNIT if vector and not within and id(e) in along else 0)]
    for store in plan.stage.stores:
        total += trips[-1] * (_reach(store.place, vector, lanes, along) if vector else 1.0)
    total += trips[-1] * len(plan.stage.reductions)
    if within and vector:
        total += 3.0 * lanes.bit_length() * len(plan.stage.reductions)
    return total


def _reach(place: Place, vector: Loop | None, lanes: int, along: set[int]) -> float:
    stride = place.strides[vector.axis] if vector and vector.axis < len(place.strides) else 0
    if any([id(e) in along for e, _ in place.at]) or stride not in (0, 1, -1):
        return 1.5 * lanes
    return 1.0


class _Candidate:
    """One way to run a nest: vectors along the last outer loop, along inner loops (`vector` None, `lanes` above 1), or none."""

    def __init__(self, schedule: Schedule, inner: list[list[Loop]], vector: Loop | None, lanes: int):
        self.schedule, self.inner, self.vector, self.lanes = schedule, inner, vector, lanes

    def _inner_choice(self, plan: StagePlan, loops: list[Loop], vector_bytes: int) -> tuple[float, list[Loop], int]:
        """Return the cost of a stage with vectors along its best inner loop, the loops with that one last, and the lanes."""
        best = (_cost(plan, loops, None, 1, 1, False, vector_bytes), loops, 1)
        for k, loop in enumerate(loops):
            lanes = lanes_for(plan.exprs, vector_bytes, loop.size)
            order = [*loops[:k], *loops[k + 1 :], loop]
            cost = _cost(plan, order, loop, lanes, -(-loop.size // lanes), True, vector_bytes)
            best = min(best, (cost, order, lanes), key=lambda found: found[0])
        return best

    def cost(self) -> float:
        """Return what a point costs."""
        plans = list(zip(self.schedule.stages, self.inner, strict=True))
        if self.vector:
            whole = self.vector.size / (-(-self.vector.size // self.lanes))
            return sum([_cost(p, loops, self.vector, self.lanes, 1, False, 64) for p, loops in plans]) / whole
        if self.lanes > 1:
            return sum([self._inner_choice(p, loops, self.lanes)[0] for p, loops in plans])
        return sum([_cost(p, loops, None, 1, 1, False, 64) for p, loops in plans])

    def settle(self, vector_bytes: int) -> None:
        """Make it the way the schedule goes."""
        s = self.schedule
        s.along = "outer" if self.vector else "inner" if self.lanes > 1 else None
        s.lanes = self.lanes if self.vector else 1
        s.copies, s.once = 1, False
        level_of = {a: ROW for loop in s.outer for a in loop.members}
        if self.vector:
            level_of |= dict.fromkeys(self.vector.members, UNIT)
        for plan, loops in zip(s.stages, self.inner, strict=True):
            plan.loops = loops
            if s.along == "inner":
                _, plan.loops, plan.lanes = self._inner_choice(plan, loops, vector_bytes)
            inner_levels = {a: INNER + k for k, loop in enumerate(plan.loops) for a in loop.members}
            levels = plan.leveled(level_of | inner_levels)
            plan.levels = [[] for _ in range(INNER + len(plan.loops))]
            for e in plan.exprs:
                if e.__class__ is not Number:
                    plan.levels[levels[id(e)]].append(e)
            plan.cost = sum([weight(e) for e in plan.levels[-1]]) + len(plan.stage.roots)
            if plan.lanes > 1:
                plan.copies = min(_repeats(plan.cost, bool(plan.stage.reductions)), max(1, plan.loops[-1].size // plan.lanes))
        if self.vector:
            cost = sum([plan.cost for plan in s.stages])
            s.copies = min(_repeats(cost, any([p.loops for p in s.stages])), max(1, self.vector.size // self.lanes))
            s.once = cost > ONCE and vector_bytes == 64


def _repeats(cost: float, carried: bool) -> int:
    """Return how many vectors a step takes: several hide the latency of what is carried from step to step, and of loops."""
    if carried:
        return 8 if cost <= 3 else 4 if cost <= 16 else 2 if cost <= 60 else 1
    return 4 if cost <= 6 else 2 if cost <= 16 else 1


def chunk(plan: StagePlan, block: int) -> tuple[int, int]:
    """Return where sums of floats are cut into blocks: the loop, and its steps in a block; (-1, 0) where they are short."""
    if not any([r.combine == "sum" and r.value.dtype.kind == "f" for r in plan.stage.reductions]):
        return -1, 0
    inside = 1
    for k in range(len(plan.loops) - 1, -1, -1):
        loop = plan.loops[k]
        last = plan.lanes > 1 and k == len(plan.loops) - 1
        trips = max(1, loop.size // (plan.lanes * plan.copies)) if last else loop.size
        if inside * trips > block:
            return k, max(1, block // inside)
        inside *= trips
    return -1, 0


def iota(lanes: int, stride: int = 1) -> list[Any]:
    """Return the offsets of lanes."""
    return [int(i) * stride for i in np.arange(lanes)]
