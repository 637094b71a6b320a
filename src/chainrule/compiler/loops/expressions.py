"""Expressions: the scalars of a nest, made once for each value and point, and the places in memory that they are read from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.compiler.loops.coords import QUOTIENT, READ, Coord, Coords, bounds, broadcast, flat
from chainrule.compiler.loops.nest import Apply, Axis, Expr, Load, Number, Place, Reduced
from chainrule.compiler.loops.scalars import Applied, Given
from chainrule.compiler.loops.steps import Buffer, View
from chainrule.compiler.loops.tasks import REDUCE, Group, Task
from chainrule.compiler.loops.values import Values
from chainrule.core.op.lowering import PRIMITIVES
from chainrule.transforms.equations import Variable

BOOL, INT64 = np.dtype(bool), np.dtype(np.int64)


class Expressions:
    """The expressions of a group's tasks.

    Attributes
    ----------
    outer, inner : tuple of int
        The axes.
    sizes : dict of int to int
        Of the axes.
    nodes : list of Expr
        In the order in which they were made: operands first.
    places : list of (Place, Buffer, bool)
        Of each place whether it is in a stage without inner axes. Its strides are a dict by axis until the nest is made.
    reduced : dict of Task to (int, int)
        Which reduction of which stage.
    stored : dict of Task to (Place, int)
        Where a stage, by its number, wrote a value.
    stage : int
        The number of the stage that is being made.
    is_once : bool
        Whether that has no inner axes.
    """

    def __init__(self, values: Values, group: Group, outer: tuple[int, ...], inner: tuple[int, ...]):
        self.from_, self.group, self.outer, self.inner = values, group, outer, inner
        self.sizes = dict(enumerate(group.sizes))
        self.nodes: list[Expr] = []
        self.places: list[tuple[Place, Buffer, bool]] = []
        self.reduced: dict[Task, tuple[int, int]] = {}
        self.stored: dict[Task, tuple[Place, int]] = {}
        self.stage, self.is_once = 0, False
        self.known: dict[Any, Expr] = {}
        self.values: dict[Any, Expr] = {}

    def begin(self, stage: int, is_once: bool) -> None:
        """Begin a stage."""
        self.stage, self.is_once = stage, is_once
        self.values = {}

    def node(self, make: Any, args: tuple, dtype: Any) -> Expr:
        """Return an expression, made once."""
        key = (make, tuple([id(a) if isinstance(a, (Expr, Place)) else a for a in args]), dtype)
        found = self.known.get(key)
        if found is None:
            found = self.known[key] = make(*args, dtype)
            self.nodes.append(found)
        return found

    def apply(self, name: str, args: tuple, dtype: Any) -> Expr:
        """Return a primitive of expressions."""
        key = (name, tuple([id(a) for a in args]), dtype)
        found = self.known.get(key)
        if found is None and all([a.__class__ is Number for a in args]):
            with np.errstate(all="ignore"):
                value = np.asarray(PRIMITIVES[name](*[a.value for a in args]))  # type: ignore[attr-defined]
            return self.number(value.astype(dtype)[()], dtype)
        if found is None:
            found = self.known[key] = Apply(name, args, dtype)
            self.nodes.append(found)
        return found

    def number(self, value: Any, dtype: Any) -> Expr:
        """Return a constant."""
        typed = dtype.type(value)
        key = (Number, typed.tobytes(), dtype)
        found = self.known.get(key)
        if found is None:
            found = self.known[key] = Number(typed, dtype)
            self.nodes.append(found)
        return found

    def cast(self, e: Expr, dtype: Any) -> Expr:
        """Return an expression in another dtype."""
        if e.dtype == dtype:
            return e
        if e.__class__ is Number:
            with np.errstate(all="ignore"):
                return self.number(np.asarray(e.value).astype(dtype)[()], dtype)  # type: ignore[attr-defined]
        return self.apply("cast", (e,), dtype)

    def value(self, v: Any, coords: Coords, guard: Expr | None) -> Expr:
        """Return a variable's value at coordinates; where the guard is false it is not read."""
        key = (v, coords, 0)
        found = self.values.get(key)
        if found is None and guard is not None:  # it is not read at every point as it is
            key = (v, coords, id(guard))
            found = self.values.get(key)
        if found is None:
            found = self.values[key] = self._made(v, coords, guard)
        return found

    def _made(self, v: Variable, coords: Coords, guard: Expr | None) -> Expr:
        number = self.from_.numbers.get(v)
        if number is not None:
            return self.number(number, number.dtype)
        task = self.from_.tasks.get(v)
        if task is not None:
            return self.value_of(task, coords, guard)
        if v in self.from_.maps:
            return self._pieced(v, coords, guard)
        return self.load(self.from_.view(v), coords, guard)

    def value_of(self, t: Task, coords: Coords, guard: Expr | None) -> Expr:
        """Return a task's value: reduced, read where it was kept, or computed."""
        if t.group is self.group:
            if t.kind == REDUCE:
                return self.node(Reduced, self.reduced[t], t.dtype)
            kept = self.stored.get(t)
            if kept is not None and kept[1] < self.stage and t.own + t.cost > CHEAP and not self.is_once:
                return self.node(Load, (kept[0],), t.dtype)
        elif t.is_kept:
            return self.load(t.buffer.view(), coords, guard)  # type: ignore[union-attr]
        key = (t, coords, id(guard) if guard is not None else 0)
        found = self.values.get(key)
        if found is None:
            found = self.values[key] = self._computed(t, coords, guard)
        return found

    def _computed(self, t: Task, coords: Coords, guard: Expr | None) -> Expr:
        applied, result, dtype, _ = t.expression
        given: list = []
        for o in t.operands:
            if o.__class__ is Variable:
                here = coords if o.shape == t.shape else broadcast(o.shape, coords)
                given.append(self.value(o, here, guard))
            else:
                given.append(o)
        found: dict[Applied, Expr] = {}

        def brought(x: Any, to: Any) -> Expr:
            if x.__class__ is Given:
                return self.cast(given[x.position], to)
            return self.cast(found[x], to) if x.__class__ is Applied else self.number(x, to)

        for a in applied:
            if a.name == "select":
                args = (brought(a.operands[0], BOOL), *[brought(x, a.computes) for x in a.operands[1:]])
            else:
                args = tuple([brought(x, a.computes) for x in a.operands])
            found[a] = self.apply(a.name, args, a.dtype)
        if isinstance(result, (Given, Applied)):
            return brought(result, dtype)
        with np.errstate(all="ignore"):
            return self.number(np.asarray(result).astype(dtype)[()], dtype)

    def _pieced(self, v: Variable, coords: Coords, guard: Expr | None) -> Expr:
        dtype = v.dtype.numpy
        parts: list[tuple[Expr | None, Expr]] = []
        for operand, at, conditions in self.from_.pieces(v, coords):
            holds: Expr | None = None
            possible = True
            for c, low, high in conditions:
                least, most = bounds(c)
                if most < low or least >= high:
                    possible = False
                    break
                for bad, name, limit in ((least < low, "ge", low), (most >= high, "lt", high)):
                    if bad:
                        test = self.apply(name, (self.index(c, guard), self.number(limit, INT64)), BOOL)
                        holds = test if holds is None else self.apply("and", (holds, test), BOOL)
            if not possible:
                continue
            if operand.__class__ is not Variable:
                value = self.cast(self.number(operand, dtype), dtype)
            else:
                inside = holds if guard is None else guard if holds is None else self.apply("and", (guard, holds), BOOL)
                value = self.cast(self.value(operand, at, inside), dtype)
            parts.append((holds, value))
            if holds is None:
                break
        holds, out = parts[-1]
        if holds is not None and not _is_read_under(out, holds) and len(parts) == 1:
            out = self.apply("select", (holds, out, self.number(0, dtype)), dtype)
        for holds, value in reversed(parts[:-1]):
            if value.__class__ is Load and value.guard is holds and _is_zero(out):  # type: ignore[attr-defined]
                out = value
            else:
                out = self.apply("select", (holds, value, out), dtype)  # type: ignore[arg-type]
        return out

    # -- places ----------------------------------------------------------------------------------------------------------

    def index(self, c: Coord, guard: Expr | None) -> Expr:
        """Return a coordinate as an expression."""
        out: Expr | None = None
        for atom, f in c[1]:
            e = self._atom(atom, guard)
            if f != 1:
                e = self.apply("mul", (e, self.number(f, INT64)), INT64)
            out = e if out is None else self.apply("add", (out, e), INT64)
        if out is None:
            return self.number(c[0], INT64)
        return self.apply("add", (out, self.number(c[0], INT64)), INT64) if c[0] else out

    def _atom(self, atom: tuple, guard: Expr | None) -> Expr:
        if atom[0] == READ:
            v, coords, size = self.from_.reads[atom[1]]
            i = self.cast(self.value(v, coords, guard), INT64)
            zero, top = self.number(0, INT64), self.number(size - 1, INT64)
            if v.dtype.numpy.kind != "u":
                below = self.apply("lt", (i, zero), BOOL)
                i = self.apply("select", (below, self.apply("add", (i, self.number(size, INT64)), INT64), i), INT64)
            # Where it is out of range a guard will say so; here nothing is to be read outside of memory.
            return self.apply("min", (self.apply("max", (i, zero), INT64), top), INT64)
        if atom[0] >= 0:
            e = self._axis(atom[0])
            if atom[1] != 1:
                e = self.apply("floordiv", (e, self.number(atom[1], INT64)), INT64)
            if atom[1] * atom[2] < self.sizes[atom[0]]:
                e = self.apply("mod", (e, self.number(atom[2], INT64)), INT64)
            return e
        return self.apply(
            "floordiv" if atom[0] == QUOTIENT else "mod", (self.index(atom[1], guard), self.number(atom[2], INT64)), INT64
        )

    def _axis(self, k: int) -> Expr:
        key = (Axis, (k,), None)
        if key not in self.known:
            self.known[key] = Axis(k)
            self.nodes.append(self.known[key])
        return self.known[key]

    def at(self, view: View, coords: Coords, guard: Expr | None) -> Place:
        """Return the place of coordinates in a view."""
        start, terms = flat(coords, view.strides, view.offset)
        strides: dict[int, int] = {}
        computed = []
        for atom, f in terms:
            if atom[0] >= 0 and atom[1] == 1 and atom[2] >= self.sizes[atom[0]]:
                strides[atom[0]] = f
            else:
                computed.append((self._atom(atom, guard), f))
        place = Place(0, (), start, computed)
        place.strides = strides  # type: ignore[assignment]  # by axis, until the nest is made
        self.places.append((place, view.buffer, self.is_once))
        return place

    def place(self, buffer: Buffer, steps: Sequence[int], once: bool) -> Place:
        """Return the place of a point in a buffer with a step for each outer axis, and each inner one."""
        place = Place(0, (), 0)
        axes = (*self.outer, *(() if once else self.inner))
        place.strides = dict(zip(axes, steps, strict=True))  # type: ignore[assignment]
        self.places.append((place, buffer, once))
        return place

    def load(self, view: View, coords: Coords, guard: Expr | None) -> Expr:
        """Return an element of memory."""
        key = ("load", view.buffer, view.offset, view.strides, coords, id(guard) if guard is not None else 0, self.is_once)
        found = self.known.get(key)
        if found is None:
            found = self.known[key] = Load(self.at(view, coords, guard), view.buffer.dtype, guard)
            self.nodes.append(found)
        return found


CHEAP = 6


def _is_zero(e: Expr) -> bool:
    return e.__class__ is Number and not e.value and not np.signbit(e.value)  # type: ignore[attr-defined]


def _is_read_under(e: Expr, guard: Expr) -> bool:
    return e.__class__ is Load and e.guard is guard  # type: ignore[attr-defined]
