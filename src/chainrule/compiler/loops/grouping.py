"""Grouping: which tasks share loops, where their values are kept, and what is computed again where it is read.

A task joins, in the order of the graph, the latest group that it fits: of the same space of loops, after all that it reads, and
reading what is in the group at its own point. A group that nothing else has read yet may move to the end for that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

from chainrule.compiler.loops.coords import ZERO, Coord, Coords, broadcast, flat, is_plain
from chainrule.compiler.loops.scalars import Given
from chainrule.compiler.loops.steps import Buffer, Step, View
from chainrule.compiler.loops.tasks import POINT, REDUCE, Group, Task, essential, home_of, is_wide
from chainrule.compiler.loops.values import Values
from chainrule.transforms.equations import Variable

WEIGHT = 3000  # primitives in a nest, beyond which no task joins it
LIGHT = 250  # beyond which no task of another trip of a loop does, so that the nests of later trips have the same code
CHEAP = 6  # additions that cost less than to write a value and read it again
DEAR = 12  # additions that cost more than to write a row and read it again
CANDIDATES = 4  # groups that are tried for a task, besides those of what it reads


class Grouping:
    """Tasks in groups, between the steps that are none.

    Attributes
    ----------
    order : list of Group, step or None
        None where a group was that moved.
    ready : dict of Buffer to int
        After which place in the order it holds its values.
    floor : int
        Before which nothing new may run: the last guard.
    trip : int
        The trip of a loop (`graph.periods`) that is taken in; -1 outside of loops.
    """

    def __init__(self, values: Values):
        self.values = values
        self.all_tasks: list[Task] = []
        self.order: list[Group | Step | None] = []
        self.ready: dict[Buffer, int] = {}
        self.floor, self.trip = 0, -1
        self._copies: dict[Variable, View] = {}
        self._by_space: dict[tuple, list[Group]] = {}
        self._by_outer: dict[tuple, list[Group]] = {}

    # -- where values are ------------------------------------------------------------------------------------------------

    def view_of(self, v: Variable) -> View:
        """Return where a value is in memory, and have it be there."""
        found = self.strided(v)
        return self.copy_of(v) if found is None else found

    def copy_of(self, v: Variable) -> View:
        """Return where a value is copied to, once for all that read it so."""
        found = self._copies.get(v)
        if found is None:
            found = self._copies[v] = self.kept(self.copied(v)).view()
        return found

    def strided(self, v: Variable) -> View | None:
        """Return a value as a view of what is in memory, or can be; None for one that has to be copied."""
        root, coords = v, home_of(v.shape)
        while root in self.values.maps:
            pieces = [] if 0 in root.shape else self.values.pieces(root, coords)
            if len(pieces) != 1 or pieces[0].conditions or pieces[0].operand.__class__ is not Variable:
                return None
            if pieces[0].operand.dtype is not root.dtype:
                return None
            root, coords = pieces[0].operand, pieces[0].coords
        task = self.values.tasks.get(root)
        view = Buffer(root.dtype.numpy, root.shape, "temp").view() if task is not None else self.values.view(root)
        place = flat(coords, view.strides, view.offset)
        if root is not v and not is_plain(place, essential(v.shape)):
            return None
        if task is not None:
            view = self.kept(task).view()
        return view if root is v else _stepped(view.buffer, v.shape, place)

    def kept(self, task: Task, strides: Sequence[int] | None = None) -> Buffer:
        """Return where a task's value is kept, and have it be: in these strides, if it is not yet."""
        if task.buffer is None:
            shape = task.shape if task.variable is None else task.variable.shape
            task.buffer = Buffer(task.dtype, shape, "temp", strides)
            task.group.is_read = True
        return task.buffer

    def append(self, step: Step) -> None:
        """Add a step at the end."""
        for b in step.buffers()[1]:
            self.ready[b] = len(self.order)
        self.order.append(step)

    # -- tasks -----------------------------------------------------------------------------------------------------------

    def point(self, v: Variable | None, operands: Sequence[Any], expression: Any, shape: tuple | None = None) -> Task:
        """Add an elementwise task."""
        task = Task(v, POINT, v.shape if v is not None else shape or (), tuple(operands), expression, expression[2])
        task.own = task.cost = expression[3] + 1
        self.add(task)
        return task

    def copied(self, v: Variable) -> Task:
        """Add a task that computes a value as it is read."""
        return self.point(None, (v,), ([], Given(0, None), v.dtype.numpy, 0), v.shape)

    def add(self, task: Task) -> None:
        """Put a task into a group."""
        sizes = essential(task.shape)
        tasks, buffers = self._sources(task, home_of(task.shape))
        roots = {*[s for s, _ in tasks], *buffers}
        task.roots = roots
        task.reads = roots.union(*[s.roots for s, _ in tasks if s.kind == POINT and s.own <= CHEAP])
        self._merge(task, sizes, tasks)
        at = max([self.floor, *[s.group.position for s, _ in tasks], *[self.ready.get(b, -1) + 1 for b in buffers]])
        for group in self._candidates(task, sizes, tasks, at):
            if self._joins(task, group, sizes, tasks):
                if group.position < at:
                    self._move(group)
                break
        else:
            group = Group(sizes, len(self.order))
            self.order.append(group)
            self._by_space.setdefault(sizes, []).append(group)
            self._fits(task, group, sizes, tasks)
        self._enter(task, group, roots)

    def _sources(self, task: Task, coords: Coords) -> tuple[list[tuple[Task, Coords]], list[Buffer]]:
        tasks: list[tuple[Task, Coords]] = []
        buffers: list[Buffer] = []
        known = self.values.tasks
        for o in task.operands:
            if o.__class__ is not Variable:
                continue
            here = coords if o.shape == task.shape else broadcast(o.shape, coords)
            if o in known:
                tasks.append((known[o], here))
                continue
            for v, at in self.values.leaves(o, here):
                if v in known:
                    tasks.append((known[v], at))
                else:
                    buffers.append(self.values.view(v).buffer)
        return tasks, buffers

    def _candidates(self, task: Task, sizes: tuple, sources: list, at: int) -> Iterator[Group]:
        """Yield the groups that a task may join, best first."""
        near = dict.fromkeys([s.group for s, _ in sources])
        for ready in (True, False):
            for g in near:
                if (g.position >= at) == ready and (ready or not g.is_read):
                    yield g
        yield from self._latest(self._by_space.get(sizes, ()), at, near)
        if task.kind == POINT:
            yield from self._latest(self._by_outer.get(sizes, ()), at, near)

    def _latest(self, groups: Sequence[Group], at: int, besides: Any) -> list[Group]:
        return [g for g in groups[: -CANDIDATES - 1 : -1] if g.position >= at and g not in besides]

    def _move(self, group: Group) -> None:
        """Put a group that nothing else has read at the end."""
        self.order[group.position] = None
        group.position = len(self.order)
        self.order.append(group)

    def _merge(self, task: Task, sizes: tuple, sources: list) -> None:
        """Make one group of those that a task reads at its own point, where nothing else has read them."""
        near = {s.group for s, _ in sources if not s.group.is_read and s.group.sizes == sizes}
        if len(near) < 2:
            return
        home = home_of(task.shape)
        apart = {s.group for s, at in sources if s.home != at and (s.runs_over_all or not _is_part(at, home))}
        several = sorted(near - apart, key=lambda g: g.position)
        if len(several) < 2:
            return
        last = several.pop()
        for group in several:
            if group.weight + last.weight >= WEIGHT or self._is_full(group) or self._is_full(last):
                continue
            if group.outer == last.outer or (group.outer is None and _in_rows(sizes, last.outer)):
                self._take_in(group, last)
            elif last.outer is None and _in_rows(sizes, group.outer):
                last.outer = group.outer
                self._by_outer.setdefault(last.outer_sizes, []).append(last)
                self._take_in(group, last)

    def _take_in(self, group: Group, by: Group) -> None:
        for t in group.tasks:
            t.group = by
        by.tasks = group.tasks + by.tasks
        by.reads |= group.reads
        by.weight += group.weight
        self.order[group.position] = None
        self._by_space[group.sizes].remove(group)
        if group.outer is not None:
            self._by_outer[group.outer_sizes].remove(group)

    def _is_full(self, group: Group) -> bool:
        limit = WEIGHT if self.trip < 0 or group.trip == self.trip else LIGHT
        return group.weight >= limit

    def _joins(self, task: Task, group: Group, sizes: tuple, sources: list) -> bool:
        if self._is_full(group) or (sizes and task.reads.isdisjoint(group.reads)):
            return False
        if group.sizes == sizes and self._fits(task, group, sizes, sources):
            return True
        if task.kind == POINT and group.outer is not None and group.outer_sizes == sizes:
            home = home_of(task.shape, group.outer)
            return _reads_at_home(task, group, self._sources(task, home)[0], home, all_axes=False)
        return False

    def _fits(self, task: Task, group: Group, sizes: tuple, sources: list) -> bool:
        """Tell whether a task can run over all axes of a group, and note how."""
        home = home_of(task.shape)
        if task.kind == POINT:
            if group.outer is not None and not _in_rows(sizes, group.outer):
                return False
            return _reads_at_home(task, group, sources, home, all_axes=True)
        kept = [keeps for keeps, n in zip(task.kept, task.shape, strict=True) if n != 1]
        outer = tuple([k for k, keeps in enumerate(kept) if keeps])
        if group.outer is None:
            if group.tasks and not _in_rows(sizes, outer):
                return False
        elif group.outer != outer:
            return False
        wide = is_wide(prod([sizes[k] for k in outer]), prod(sizes))
        if not _reads_at_home(task, group, sources, home, all_axes=True, wide=wide):
            return False
        if group.outer is None:
            group.outer = outer
            self._by_outer.setdefault(group.outer_sizes, []).append(group)
        task.home = _left(task, home)
        return True

    def _enter(self, task: Task, group: Group, roots: set) -> None:
        task.group = group
        group.trip = self.trip
        group.tasks.append(task)
        group.reads |= task.reads
        group.reads.add(task)
        group.weight += len(task.expression[0]) + 1 if task.expression is not None else 1
        task.sources = [r for r in roots if r.__class__ is Task]
        for s in task.sources:
            if s.group is not group:
                s.group.is_read = True
            if s.kind == POINT and not s.is_kept:
                task.cost = min(task.cost + s.cost, 1 << 20)
        self.all_tasks.append(task)
        if task.variable is not None:
            self.values.tasks[task.variable] = task

    # -- what is kept ----------------------------------------------------------------------------------------------------

    def keep(self) -> None:
        """Decide, from the last task to the first, where each is computed: what is dear once, the rest where it is read."""
        for task in reversed(self.all_tasks):
            if task.written:
                task.groups.add(task.group)
            if not task.is_kept and len(task.groups - {task.group}) and not self._again(task):
                self.kept(task)
            if task.is_kept:
                task.groups = {task.group}
            for s in task.sources:
                s.groups |= task.groups
        for group in self.order:
            if group.__class__ is Group and group.outer is not None:  # type: ignore[union-attr]
                _keep_between_stages(group)

    def _again(self, task: Task) -> bool:
        """Tell whether a value is computed again in the other groups that read it: cheaply, from what is kept in any case."""
        if task.kind == REDUCE:
            return False
        cost, stack = task.again, [task]
        seen: set[Task] = set()
        elsewhere: list[Task] = []
        while stack:
            t = stack.pop()
            cost += t.own
            if cost > CHEAP:
                return False
            for s in t.sources:
                if s.kind == POINT and not s.is_kept and s not in seen:
                    seen.add(s)
                    (elsewhere if s.groups - {s.group} else stack).append(s)
        for s in elsewhere:  # these are likely kept, too; should one not be, what is computed from it counts there
            s.again = max(s.again, cost)
        return True


def _reads_at_home(task: Task, group: Group, sources: list, home: Coords, all_axes: bool, wide: bool = False) -> bool:
    """Tell whether a task reads what is in a group at its own point, and note its level."""
    level = 0 if all_axes else 1
    for s, at in sources:
        if s.group is not group:
            continue
        if s.home != at:
            return False
        if s.kind == REDUCE:
            level = max(level, s.level + (2 if all_axes else 1))
        elif s.runs_over_all:
            if not all_axes:
                return False
            level = max(level, s.level)
        else:
            level = max(level, s.level + (1 if all_axes else 0))
    if all_axes and level and (wide or group.is_wide):
        return False
    task.level, task.home = level, home
    return True


def _keep_between_stages(group: Group) -> None:
    """Have dear values that a later stage needs be kept: where a result of that stage, or of one after it, will be, if it can.

    Rows are short-lived: what a stage writes there the next one finds in the cache.
    """
    needed: dict[Task, set[int]] = {}
    lent: set[Buffer] = set()
    here = [t for t in group.tasks if group in t.groups]
    if len({t.level for t in here if t.runs_over_all}) < 2:
        return
    for t in reversed(here):
        levels = needed.setdefault(t, set())
        if t.is_kept or t.written or t.kind == REDUCE:
            levels.add(t.level)
        if not levels or not t.runs_over_all:
            levels = levels or {t.level}
        elif t.kind == REDUCE:
            levels = {t.level}
        elif max(levels) > t.level and (t.is_kept or t.own >= DEAR):
            if not t.is_kept:
                t.lodged = _lender(t, here, max(levels), lent)
                if t.lodged is None:
                    t.buffer = Buffer(t.dtype, t.shape, "temp")
                else:
                    lent.add(t.lodged)
            levels = {t.level}
        for s in t.sources:
            if s.group is group:
                needed.setdefault(s, set()).update(levels)


def _lender(task: Task, tasks: Sequence[Task], last: int, lent: set[Buffer]) -> Buffer | None:
    """Return the buffer of a result that is written no earlier than a value was last read, and lies as it would."""
    for t in tasks:
        later = t.kind == POINT and t.runs_over_all and t.level >= last
        alike = t.dtype == task.dtype and t.shape == task.shape and t.home == task.home and not t.written
        if later and alike and t.buffer is not None and t.buffer not in lent:
            return t.buffer
    return None


def _stepped(buffer: Buffer, shape: tuple, place: Coord) -> View:
    """Return the view of a buffer whose elements lie where a coordinate says."""
    steps = {atom[0]: f for atom, f in place[1]}
    strides, k = [], 0
    for n in shape:
        strides.append(0 if n == 1 else steps.get(k, 0))
        k += n != 1
    return View(buffer, shape, strides, place[0])


def _is_part(at: Coords, home: Coords) -> bool:
    return all([c in home or not c[1] for c in at])


def _in_rows(sizes: tuple, outer: tuple) -> bool:
    """Tell whether a reduction runs along the last axis, so that what else runs over all axes may run row by row."""
    return len(sizes) - 1 not in outer


def _left(task: Task, home: Coords) -> Coords:
    """Return the coordinates of a reduction's result: those of the kept axes, in a shape that may have others of size 1."""
    left = iter([c for c, kept, n in zip(home, task.kept, task.shape, strict=True) if kept and n != 1])
    return tuple([ZERO if n == 1 else next(left) for n in task.variable.shape])
