"""Building: a group of tasks as a loop nest, in the form that all groups of the same work have.

Expressions are made once for each value and point. Axes along which all memory steps alike are joined into one; parameters are
numbered in the order of their use.
"""

from __future__ import annotations

from math import prod
from typing import Any

from chainrule.compiler.loops.expressions import Expressions
from chainrule.compiler.loops.nest import Apply, Axis, Expr, Load, Nest, Number, Place, Reduced, Reduction, Stage, Store
from chainrule.compiler.loops.steps import Buffer, NestStep
from chainrule.compiler.loops.tasks import POINT, REDUCE, Group, Task, home_of
from chainrule.compiler.loops.values import Values

SHARES = 64  # parts into which a reduction to few elements is split
SHARE = 1 << 12  # elements of a part, at least


def build(values: Values, group: Group) -> list[NestStep]:
    """Return the steps of a group: none if nothing of it is needed, two where a reduction is split for threads."""
    tasks = [t for t in group.tasks if group in t.groups and (t.is_kept or t.written or t.lodged or t.kind == REDUCE)]
    if not tasks:
        return []
    outer = tuple(range(len(group.sizes))) if group.outer is None else group.outer
    inner = tuple([k for k in range(len(group.sizes)) if k not in outer])
    plan = _Plan(values, group, outer, inner)
    levels = sorted({t.level for t in tasks})
    if group.is_wide and any([t.kind == REDUCE for t in tasks]):
        return _split(plan, tasks)
    for level in levels:
        plan.add([t for t in tasks if t.level == level], level)
        plan.once(_kept_sums(tasks, level))
    return [plan.step()]


def _kept_sums(tasks: list[Task], level: int) -> list[Task]:
    return [t for t in tasks if t.level == level and t.kind == REDUCE and (t.is_kept or t.written)]


def _split(plan: _Plan, tasks: list[Task]) -> list[NestStep]:
    """Return the nest that reduces part by part, and the one that reduces the parts."""
    below = [t for t in tasks if t.level == 0]
    above = [t for t in tasks if t.level]
    plan.add(below, 0)
    plan.collapse()
    share = plan.shared_axis()
    if share is None:
        plan.once(_kept_sums(below, 0))
        for level in sorted({t.level for t in above}):
            plan.add([t for t in above if t.level == level], level)
        return [plan.step()]
    stage = plan.stages.pop()
    reduced = [t for t in below if t.kind == REDUCE]
    outer = [plan.sizes[k] for k in plan.outer]
    parts = plan.share(share)
    partial = [Buffer(t.dtype, (*outer, parts), "temp") for t in reduced]
    stores = []
    for k, (t, b) in enumerate(zip(reduced, partial, strict=True)):
        place = plan.place(b, [*b.strides], once=True)
        stores.append(Store(place, plan.node(Reduced, (0, k), t.dtype)))
    first = plan.step([stage, ([], [], stores)])
    rest = _Plan(plan.from_, plan.group, plan.group.outer or (), ())
    rest.sizes = {**rest.sizes, len(plan.group.sizes): parts}
    rest.inner = (len(plan.group.sizes),)
    found = []
    for k, (t, b) in enumerate(zip(reduced, partial, strict=True)):
        place = rest.place(b, [*b.strides], once=False)
        found.append(Reduction(t.combine, rest.node(Load, (place,), t.dtype)))
        rest.reduced[t] = (0, k)
    rest.stages.append((rest.inner, found, []))
    rest.once(_kept_sums(below, 0))
    for level in sorted({t.level for t in above}):
        rest.once([t for t in above if t.level == level])
    return [first, rest.step()]


class _Plan(Expressions):
    """A nest on its way: its stages, as (inner axes, reductions, stores)."""

    def __init__(self, values: Values, group: Group, outer: tuple[int, ...], inner: tuple[int, ...]):
        super().__init__(values, group, outer, inner)
        self.stages: list[tuple[Any, list, list]] = []

    # -- stages ----------------------------------------------------------------------------------------------------------

    def add(self, tasks: list[Task], level: int) -> None:
        """Add the tasks of a level: a stage over all axes, or over the outer ones."""
        if level % 2:
            self.once(tasks)
            return
        self.begin(len(self.stages), False)
        reductions, stores = [], []
        for t in [t for t in self.group.tasks if t.level == level and self.group in t.groups and t.kind == POINT]:
            self.value_of(t, t.home, None)  # in order, so that no chain of them is deep
        for t in tasks:
            if t.kind == REDUCE:
                value = self.cast(self.value(t.operands[0], home_of(t.shape), None), t.dtype)
                reductions.append(Reduction(t.combine, value))
                self.reduced[t] = (self.stage, len(reductions) - 1)
            else:
                stores += self.stores(t)
        self.stages.append((self.inner, reductions, stores))

    def once(self, tasks: list[Task]) -> None:
        """Add a stage over the outer axes alone."""
        if not tasks:
            return
        self.begin(len(self.stages), bool(self.inner))
        for t in [t for t in self.group.tasks if t.level == tasks[0].level and self.group in t.groups and t.kind == POINT]:
            if t.level % 2:
                self.value_of(t, t.home, None)
        stores: list[Store] = []
        for t in tasks:
            stores += self.stores(t)
        self.stages.append(((), [], stores))

    def stores(self, t: Task) -> list[Store]:
        """Return the stores of a task's value."""
        value = self.value_of(t, t.home, None)
        own = t.buffer if t.lodged is None else t.lodged
        out = []
        for view in [*([] if own is None else [own.view()]), *t.written]:
            place = self.at(view, t.home, None)
            out.append(Store(place, value))
            if view.buffer is own and t.runs_over_all:
                self.stored.setdefault(t, (place, self.stage))
        return out

    # -- form ------------------------------------------------------------------------------------------------------------

    def sort(self) -> None:
        """Have loops over all axes run through the first result as it lies in memory."""
        first = next((s.place.strides for *_, stores in self.stages for s in stores), None)
        if self.group.outer is None and first is not None:
            self.outer = tuple(sorted(self.outer, key=lambda k: -first.get(k, 0)))  # type: ignore[attr-defined]

    def collapse(self) -> None:
        """Join axes along which all memory steps alike, and that nothing else asks for."""
        asked = {e.axis for e in self.nodes if e.__class__ is Axis}  # type: ignore[attr-defined]
        strides = [p.strides for p, _, _ in self.places]
        for name in ("outer", "inner"):
            axes = list(getattr(self, name))
            k = 0
            while k + 1 < len(axes):
                a, b = axes[k], axes[k + 1]
                n = self.sizes[b]
                if a not in asked and b not in asked and all([s.get(a, 0) == s.get(b, 0) * n for s in strides]):  # type: ignore[attr-defined]
                    for s in strides:
                        s.pop(a, None)  # type: ignore[attr-defined]
                    self.sizes[b] *= self.sizes[a]
                    del axes[k]
                    k = max(k - 1, 0)
                else:
                    k += 1
            setattr(self, name, tuple(axes))
        self.stages = [(self.inner if inner else (), r, s) for inner, r, s in self.stages]

    def shared_axis(self) -> int | None:
        """Return the inner axis that can be taken apart into parts for threads."""
        asked = {e.axis for e in self.nodes if e.__class__ is Axis}  # type: ignore[attr-defined]
        for k in self.inner:
            if k not in asked and _parts(self.sizes[k], prod([self.sizes[a] for a in self.inner])) > 1:
                return k
        return None

    def share(self, axis: int) -> int:
        """Take an inner axis apart, its parts an outer one behind the others; return how many there are."""
        parts = _parts(self.sizes[axis], prod([self.sizes[a] for a in self.inner]))
        new, rest = len(self.group.sizes), self.sizes[axis] // parts
        self.sizes[axis], self.sizes[new] = rest, parts
        for place, _, _ in self.places:
            step = place.strides.get(axis, 0)  # type: ignore[attr-defined]
            if step:
                place.strides[new] = step * rest  # type: ignore[index]
        self.outer = (*self.outer, new)
        return parts

    def step(self, stages: list | None = None) -> NestStep:
        """Return the nest on its buffers."""
        if stages is not None:
            self.stages = stages
        self.sort()
        self.collapse()
        used = _used(self.stages, self.nodes)
        places = [entry for entry in self.places if id(entry[0]) in used]
        base: dict[Buffer, int] = {}
        for p, b, _ in places:
            # What is read lies at the offset or above, but where steps are negative; a guarded one may begin before the start.
            backwards = min([*p.strides.values(), *[step for _, step in p.at]], default=0) < 0  # type: ignore[attr-defined]
            start = 0 if backwards else max(p.offset, 0)
            base[b] = min(base.get(b, start), start)
        numbers: dict[Buffer, int] = {}
        renumbered = {k: i for i, k in enumerate((*self.outer, *self.inner))}
        for p, b, once in places:
            p.param = numbers.setdefault(b, len(numbers))
            p.offset -= base[b]
            axes = (*self.outer, *(() if once else self.inner))
            p.strides = tuple([p.strides.get(k, 0) for k in axes])  # type: ignore[attr-defined]
        for e in self.nodes:
            if e.__class__ is Axis:
                e.axis = renumbered.get(e.axis, -1)  # type: ignore[attr-defined]
        made = []
        for inner, reductions, stores in self.stages:
            made.append(Stage([self.sizes[k] for k in self.inner] if inner else (), reductions, stores))
        nest = Nest([self.sizes[k] for k in self.outer], made, [b.dtype for b in numbers])
        return NestStep(nest, _key(nest, self.nodes, used), [(b, base[b]) for b in numbers])


def _parts(size: int, total: int) -> int:
    """Return into how many parts an axis is taken apart: the most that divide it, at most `SHARES`, and none of them small."""
    limit = min(SHARES, total // SHARE)
    return next((k for k in range(limit, 1, -1) if size % k == 0), 1)


def _used(stages: list, nodes: list[Expr]) -> set[int]:
    """Return the ids of the expressions and places that stages need, of those made, operands first."""
    found: set[int] = set()
    for _, reductions, stores in stages:
        found.update([id(r.value) for r in reductions])
        for s in stores:
            found.update([id(s.value), id(s.place), *[id(e) for e, _ in s.place.at]])
    for e in reversed(nodes):
        if id(e) in found:
            if e.__class__ is Load:
                found.add(id(e.place))  # type: ignore[attr-defined]
            found.update(map(id, e.operands))
    return found


def _key(nest: Nest, nodes: list[Expr], used: set[int]) -> Any:
    """Return what tells nests apart that do not compute the same."""
    numbers: dict[int, int] = {}
    lines: list = []

    def placed(p: Place) -> tuple:
        return (p.param, p.offset, p.strides, tuple([(numbers[id(e)], f) for e, f in p.at]))

    for e in nodes:
        if id(e) not in used:
            continue
        cls = e.__class__
        if cls is Apply:
            line: tuple = (e.name, e.dtype.char, *[numbers[id(a)] for a in e.args])  # type: ignore[attr-defined]
        elif cls is Number:
            line = ("number", e.dtype.char, e.value.tobytes())  # type: ignore[attr-defined]
        elif cls is Load:
            guard = -1 if e.guard is None else numbers[id(e.guard)]  # type: ignore[attr-defined]
            line = ("load", e.dtype.char, placed(e.place), guard)  # type: ignore[attr-defined]
        elif cls is Axis:
            line = ("axis", e.axis)  # type: ignore[attr-defined]
        else:
            line = ("reduced", e.dtype.char, e.stage, e.number)  # type: ignore[attr-defined]
        numbers[id(e)] = len(numbers)
        lines.append(line)
    stages = tuple([
        (s.inner, tuple([(r.combine, numbers[id(r.value)]) for r in s.reductions]),
         tuple([(placed(x.place), numbers[id(x.value)]) for x in s.stores]))
        for s in nest.stages
    ])  # fmt: skip
    return (nest.outer, stages, tuple([d.char for d in nest.params]), tuple(lines))
