"""Loop nests as LLVM IR: ``emit(nest, name, target)``.

The function is ``void name(ptr params, i64 lo, i64 hi)``: `params` points to an array of pointers, one for each parameter of
the nest, and the points lo to hi of the flattened outer axes are run, of which there is one where there are no outer axes.

Elementwise arithmetic is that of ``Nest.run`` to the last bit. Sums of floats are added in blocks, the blocks with
compensation, so that the error is at most about (block + copies + log2 lanes) half units in the last place of the sum of
magnitudes, whatever the number of terms: 29 along rows, 65 down columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chainrule.compiler.llvm.memory import Reach, load, store
from chainrule.compiler.llvm.operations import apply, convert, power
from chainrule.compiler.llvm.schedule import INNER, ROW, UNIT, Loop, Schedule, StagePlan, iota
from chainrule.compiler.llvm.sums import Sums
from chainrule.compiler.llvm.target import Target
from chainrule.compiler.llvm.text import INDEX, Function, kind
from chainrule.compiler.llvm.tiles import transposed
from chainrule.compiler.loops.nest import Apply, Axis, Expr, Load, Nest, Number, Place, Reduced

BLOCK, BLOCK_OF_POINTS = 16, 64
"""Terms that are added plainly, in one lane, before the sum is added to the others' with compensation: where lanes are added up
in the end, and where each lane is a sum of its own."""


STRAIGHT = 24
"""How much work, in additions, the steps of a loop may be for it to be written step by step."""


def emit(nest: Nest, name: str, target: Target) -> str:
    """Return a module with one function that runs a nest.

    Parameters
    ----------
    nest : Nest
    name : str
        Of the function.
    target : Target
        What processor the vectors are for.

    Raises
    ------
    NotImplementedError
        For a primitive that has no instructions.
    """
    return _Emission(nest, target).module(name)


class _Copy:
    """One of the bodies that are written side by side: where it is, and what it has computed.

    `at` holds the index of each loop's first lane by the loop's axis, `mask` tells which lanes there are, None for all.
    """

    __slots__ = ("at", "found", "mask", "reduced")

    def __init__(self, at: dict[int, str], mask: str | None, found: dict[int, tuple[str, int]], reduced: dict):
        self.at, self.mask, self.found, self.reduced = at, mask, found, reduced

    def moved(self, axis: int, index: str, mask: str | None = None) -> _Copy:
        """Return a body further in."""
        return _Copy({**self.at, axis: index}, mask or self.mask, dict(self.found), self.reduced)


class _Emission:
    """A nest that is being written."""

    def __init__(self, nest: Nest, target: Target):
        self.nest, self.f = nest, Function(saturates=target.family != "x86_64")
        self.schedule = Schedule(nest, target.vector_bytes)
        self.vector: Loop | None = None  # the loop that vectors lie along, where the writing is, and their lanes
        self.lanes = 1

    def module(self, name: str) -> str:
        """Write the function and return the module."""
        f = self.f
        if 0 not in self.nest.outer:
            self._written()
        return f.module(name, "ptr %params, i64 %lo, i64 %hi")

    def _written(self) -> None:
        f = self.f
        f.lines += ["  %zero = alloca i64, align 8", "  store i64 0, ptr %zero, align 8"]
        for i in range(len(self.nest.params)):
            f.lines += [f"  %a{i} = getelementptr ptr, ptr %params, i64 {i}", f"  %p{i} = load ptr, ptr %a{i}, align 8"]
        s = self.schedule
        for number, e in enumerate(s.tiled):
            f.lines.append(f"  %tile{number} = alloca {kind(e.dtype, s.lanes).text}, i64 {s.lanes}, align 64")
        if s.along == "outer":
            self.vector, self.lanes = s.outer[-1], s.lanes
        starts = [_Copy({}, None, {}, {}) for _ in s.stages]
        for plan, start in zip(s.stages, starts, strict=True):
            self._computed(plan, [start], 0)
        self._rows(starts)

    # -- outer points --------------------------------------------------------------------------------------------------

    def _rows(self, starts: list[_Copy]) -> None:
        """Write the loop over points, or over rows of points that vectors lie along."""
        f, s = self.f, self.schedule
        outer = s.outer[:-1] if s.along == "outer" else s.outer
        if not s.outer:
            f.when(f("icmp slt i64 %lo, %hi"), lambda: self._point([], "0", starts))
            return
        if s.along != "outer":
            f.loop("%lo", "%hi", 1, [], lambda p, _: self._point(outer, p, starts))
            return
        n = s.outer[-1].size
        if not outer:
            self._points(starts, "%lo", "%hi")
            return

        if s.tiled:
            self._tiles(starts)
            return
        first, past = f(f"sdiv i64 %lo, {n}"), f(f"sdiv i64 {f(f'add i64 %hi, {n - 1}')}, {n}")
        f.loop(first, past, 1, [], lambda r, _: self._row(starts, r))

    def _row(self, starts: list[_Copy], r: str) -> list:
        """Write the points of a row that are to be run."""
        f, outer, n = self.f, self.schedule.outer[:-1], self.schedule.outer[-1].size
        base = f(f"mul i64 {r}, {n}")
        low = f.largest(f(f"sub i64 %lo, {base}"), "0")
        high = f.least(f(f"sub i64 %hi, {base}"), n)
        self._points(self._placed(outer, r, starts), low, high)
        return []

    def _tiles(self, starts: list[_Copy]) -> None:
        """Write rows where loads lie along the loop of rows: tiles of as many whole rows as lanes, then the other rows."""
        f, s = self.f, self.schedule
        n, rows, lanes = s.outer[-1].size, s.outer[-2].size, s.lanes

        def group(b: str, _: list[str]) -> list[str]:
            base = f(f"mul i64 {b}, {rows}")
            begin = f.largest(f(f"sub i64 {first}, {base}"), "0")
            end = f.least(f(f"sub i64 {past}, {base}"), rows)
            from_ = f.largest(f(f"sub i64 {whole}, {base}"), begin)
            room = f(f"sub i64 {f.least(f(f'sub i64 {last}, {base}'), rows)}, {from_}")
            until = f(f"add i64 {from_}, {f(f'and i64 {f.largest(room, 0)}, {-lanes}')}")
            indices = self._indices(s.outer[:-2], b)
            f.loop(from_, until, lanes, [], lambda q, _: self._tile(starts, indices, q))
            before, skipped = f(f"sub i64 {from_}, {begin}"), f(f"sub i64 {until}, {from_}")

            def single(k: str, _: list[str]) -> list[str]:
                over = f(f"select i1 {f(f'icmp slt i64 {k}, {before}')}, i64 0, i64 {skipped}")
                q = f(f"add i64 {f(f'add i64 {begin}, {k}')}, {over}")
                return self._row(starts, f(f"add i64 {base}, {q}"))

            f.loop(0, f(f"sub i64 {f(f'sub i64 {end}, {begin}')}, {skipped}"), 1, [], single)
            return []

        first, last = f(f"sdiv i64 %lo, {n}"), f(f"sdiv i64 %hi, {n}")
        whole, past = [f(f"sdiv i64 {f(f'add i64 {x}, {n - 1}')}, {n}") for x in ("%lo", "%hi")]
        groups = f(f"sdiv i64 {f(f'add i64 {past}, {rows - 1}')}, {rows}")
        f.loop(f(f"sdiv i64 {first}, {rows}"), groups, 1, [], group)

    def _tile(self, starts: list[_Copy], indices: dict[int, str], q: str) -> list:
        """Write as many whole rows as there are lanes: transposed loads fill tiles, from which each row then reads."""
        f, s, (plan,) = self.f, self.schedule, self.schedule.stages
        along, down, lanes = s.outer[-1], s.outer[-2], s.lanes

        def columns(j: str, _: list[str]) -> list[str]:
            mask = self._mask(f(f"sub nsw i64 {along.size}, {j}"), lanes)
            at = _Copy({**indices, down.axis: q}, None, {}, {})
            places = [f.least(f(f"add nsw i64 {j}, {t}"), along.size - 1) for t in range(lanes)]
            for number, e in enumerate(s.tiled):
                k, base = kind(e.dtype, lanes), self._pointer(plan, at, e.place)
                pointers = [_further(f, k.element, base, i, e.place.strides[along.axis]) for i in places]
                read = [f.load(f"load {k.text}, ptr {p}, align 1") for p in pointers]
                for t, x in enumerate(transposed(f, k, read)):
                    f.store(f"store {k.text} {x}, ptr {self._tile_row(number, k.text, str(t))}, align 8")
            f.loop(0, lanes, 1, [], lambda t, _: row(j, t, mask))
            return []

        def row(j: str, t: str, mask: str) -> list[str]:
            at = {**indices, down.axis: f(f"add nsw i64 {q}, {t}")}
            copies = self._known(starts, at)
            for number, e in enumerate(s.tiled):
                k = kind(e.dtype, lanes)
                copies[0].found[id(e)] = f.load(f"load {k.text}, ptr {self._tile_row(number, k.text, t)}, align 8"), lanes
            self._stages([[copies[0].moved(along.axis, j, mask)]])
            return []

        f.loop(0, along.size, lanes, [], columns)
        return []

    def _tile_row(self, number: int, text: str, t: str) -> str:
        return self.f(f"getelementptr {text}, ptr %tile{number}, i64 {t}")

    def _indices(self, loops: Sequence[Loop], point: str) -> dict[int, str]:
        """Write the indices of a flattened point."""
        f, at = self.f, {}
        for i, loop in reversed(list(enumerate(loops))):
            if i:
                at[loop.axis] = f(f"urem i64 {point}, {loop.size}")
                point = f(f"udiv i64 {point}, {loop.size}")
            else:
                at[loop.axis] = point
        return at

    def _known(self, starts: list[_Copy], at: dict[int, str]) -> list[_Copy]:
        """Write what is known of a row from its indices on."""
        copies = [_Copy({**c.at, **at}, None, dict(c.found), {}) for c in starts]
        for plan, copy in zip(self.schedule.stages, copies, strict=True):
            self._computed(plan, [copy], ROW)
        return copies

    def _placed(self, loops: Sequence[Loop], point: str, starts: list[_Copy]) -> list[_Copy]:
        """Write the indices of a flattened point, and what is known from them on."""
        return self._known(starts, self._indices(loops, point))

    def _point(self, outer: Sequence[Loop], point: str, starts: list[_Copy]) -> list:
        reduced: dict = {}
        for number, copy in enumerate(self._placed(outer, point, starts)):
            copy.reduced = reduced
            self._stage(number, [copy])
        return []

    def _points(self, starts: list[_Copy], low: str, high: str) -> None:
        """Write the vectors of points from `low` to `high` of a row, and the remainder with masks."""
        f, s = self.f, self.schedule
        axis, step = s.outer[-1].axis, s.lanes * s.copies

        def whole(i: str, _: list[str]) -> list[str]:
            places = [i] + [f(f"add nsw i64 {i}, {u * s.lanes}") for u in range(1, s.copies)]
            self._stages([[c.moved(axis, p) for p in places] for c in starts])
            return []

        def rest(i: str, _: list[str]) -> list[str]:
            mask = self._mask(f(f"sub nsw i64 {high}, {i}"), s.lanes) if s.lanes > 1 else None
            self._stages([[c.moved(axis, i, mask)] for c in starts])
            return []

        if not s.once and step > 1:
            low, _ = f.loop(low, f(f"sub nsw i64 {high}, {step - 1}"), step, [], whole)
        f.loop(low, high, s.lanes, [], rest)

    def _mask(self, left: str, lanes: int) -> str:
        """Write which lanes there are where a number of points is left."""
        f, k = self.f, kind("i4", lanes)
        many = f.splat(k, f(f"trunc i64 {f.least(left, lanes)} to i32"))
        return f(f"icmp slt {k.text} {k.numbers(iota(lanes))}, {many}")

    def _stages(self, copies: list[list[_Copy]]) -> None:
        """Write all stages at some outer points, which are given for each stage."""
        reduced: list[dict] = [{} for _ in copies[0]]
        for number, points in enumerate(copies):
            for copy, values in zip(points, reduced, strict=True):
                copy.reduced = values
            self._stage(number, points)

    # -- stages --------------------------------------------------------------------------------------------------------

    def _stage(self, number: int, points: list[_Copy]) -> None:
        """Write a stage at some outer points."""
        plan, s = self.schedule.stages[number], self.schedule
        if s.along == "inner":
            self.vector, self.lanes = (plan.loops[-1], plan.lanes) if plan.lanes > 1 else (None, 1)
        within = s.along == "inner"
        block = BLOCK if within else BLOCK_OF_POINTS
        sums = Sums(self.f, plan, self.lanes, len(points) * plan.copies, len(points), block)
        self._computed(plan, points, UNIT)
        self.f.straight = max(1, min(4, int(STRAIGHT / max(1.0, plan.cost * len(points) * plan.copies))))
        state = self._loops(plan, 0, points, sums, sums.first())
        for k, values in enumerate(sums.results(state, within)):
            for copy, value in zip(points, values, strict=True):
                copy.reduced[number, k] = value

    def _loops(self, plan: StagePlan, depth: int, copies: list[_Copy], sums: Sums, state: list[str]) -> list[str]:
        """Write a stage's loops from a depth on."""
        if depth == len(plan.loops):
            return self._body(plan, copies, sums, state)
        loop, last = plan.loops[depth], depth == len(plan.loops) - 1
        if last and loop is self.vector:
            return self._vector_loop(plan, copies[0], sums, state)

        def body(i: str, state: list[str]) -> list[str]:
            inside = [c.moved(loop.axis, i) for c in copies]
            self._computed(plan, inside, INNER + depth)
            return self._loops(plan, depth + 1, inside, sums, state)

        return self._blocks(depth, loop.size, 1, sums, state, body)

    def _blocks(self, depth: int, stop: int, step: int, sums: Sums, state: list[str], body: Callable) -> list[str]:
        """Write a loop, cut into blocks where sums are to be closed."""
        f = self.f
        if depth != sums.level:
            return f.loop(0, stop, step, sums.carried(state), body)[1] if stop else state
        long = sums.steps * step

        def block(i: str, state: list[str]) -> list[str]:
            end = f.least(f(f"add nsw i64 {i}, {long}"), stop)
            return sums.closed(f.loop(i, end, step, sums.carried(state), body)[1])

        return f.loop(0, stop, long, sums.carried(state), block)[1] if stop else state

    def _vector_loop(self, plan: StagePlan, point: _Copy, sums: Sums, state: list[str]) -> list[str]:
        """Write the loop that vectors lie along: several at a step, then one at a step, the last of them with a mask."""
        f, loop, lanes, depth = self.f, plan.loops[-1], plan.lanes, len(plan.loops) - 1
        step = lanes * plan.copies

        def written(i: str, state: list[str], copies: int, mask: str | None) -> list[str]:
            places = [i] + [f(f"add nsw i64 {i}, {u * lanes}") for u in range(1, copies)]
            inside = [point.moved(loop.axis, p, mask) for p in places]
            self._computed(plan, inside, INNER + depth)
            return self._body(plan, inside, sums, state)

        done = loop.size // step * step
        state = self._blocks(depth, done, step, sums, state, lambda i, state: written(i, state, plan.copies, None))
        rest = loop.size - done
        if not rest:
            return state
        if rest <= lanes:
            mask = None if rest == lanes else kind("?", lanes).numbers([i < rest for i in range(lanes)])
            return written(str(done), state, 1, mask)
        whole = rest % lanes == 0

        def one(i: str, state: list[str]) -> list[str]:
            return written(i, state, 1, None if whole else self._mask(f(f"sub nsw i64 {loop.size}, {i}"), lanes))

        return f.loop(done, loop.size, lanes, sums.carried(state), one)[1]

    def _body(self, plan: StagePlan, copies: list[_Copy], sums: Sums, state: list[str]) -> list[str]:
        """Write one step: what is reduced and what is stored, of expressions that are there."""
        state = list(state)
        for number, reduction in enumerate(plan.stage.reductions):
            for c, copy in enumerate(copies):
                mask = copy.mask if self.schedule.along == "inner" else None
                sums.step(state, number, c, self._value(copy, reduction.value, self.lanes), mask)
        for copy in copies:
            for s in plan.stage.stores:
                self._stored(plan, copy, s.place, s.value)
        return state

    # -- expressions ---------------------------------------------------------------------------------------------------

    def _computed(self, plan: StagePlan, copies: list[_Copy], level: int) -> None:
        """Write what is known from a level on."""
        if level < len(plan.levels):
            for copy in copies:
                for place in plan.places:
                    self._pointer(plan, copy, place)
                for e in plan.levels[level]:
                    if id(e) not in copy.found:
                        copy.found[id(e)] = self._expression(plan, copy, e)

    def _value(self, copy: _Copy, e: Expr, lanes: int) -> str:
        """Return an expression that has been computed, as a scalar or in all lanes."""
        if isinstance(e, Number):
            return kind(e.dtype, lanes).number(e.value)
        ref, has = copy.found[id(e)]
        return ref if has == lanes else self.f.splat(kind(e.dtype, lanes), ref)

    def _lanes(self, copy: _Copy, es: Sequence[Expr]) -> int:
        return max([1 if e.__class__ is Number else copy.found[id(e)][1] for e in es], default=1)

    def _expression(self, plan: StagePlan, copy: _Copy, e: Expr) -> tuple[str, int]:
        f = self.f
        if isinstance(e, Apply):
            lanes = self._lanes(copy, e.args)
            args = [self._value(copy, a, lanes) for a in e.args]
            k = kind(e.args[-1].dtype, lanes)
            if e.name == "cast":
                return convert(f, args[0], k, k.of(e.dtype)), lanes
            if e.name == "pow" and isinstance(e.args[1], Number) and k.is_float:
                return power(f, k, args, e.args[1].value), lanes
            return apply(f, e.name, k, args, e.dtype), lanes
        if isinstance(e, Load):
            return self._loaded(plan, copy, e)
        if isinstance(e, Reduced):
            return copy.reduced[e.stage, e.number]
        assert isinstance(e, Axis)
        index = copy.at.get(e.axis, "0")
        if self.vector is None or e.axis != self.vector.axis or self.lanes == 1:
            return index, 1
        k = kind(INDEX.dtype, self.lanes)
        return f(f"add {k.text} {f.splat(k, index)}, {k.numbers(iota(self.lanes))}"), self.lanes

    def _loaded(self, plan: StagePlan, copy: _Copy, e: Load) -> tuple[str, int]:
        guards = [] if e.guard is None else [e.guard]
        reach, lanes = self._reach(plan, copy, e.place, self._lanes(copy, guards))
        k = kind(e.dtype, lanes)
        mask = copy.mask if lanes > 1 else None
        if guards:
            guard = self._value(copy, guards[0], lanes)
            mask = guard if mask is None else self.f(f"and {k.mask.text} {mask}, {guard}")
        return load(self.f, k, reach, mask), lanes

    def _stored(self, plan: StagePlan, copy: _Copy, place: Place, value: Expr) -> None:
        reach, lanes = self._reach(plan, copy, place, self.lanes)
        store(self.f, kind(value.dtype, lanes), reach, copy.mask, self._value(copy, value, lanes))

    def _reach(self, plan: StagePlan, copy: _Copy, place: Place, lanes: int) -> tuple[Reach, int]:
        """Return where the lanes of a place lie, and how many they are: `lanes` or those that it needs."""
        f = self.f
        stride = place.strides[self.vector.axis] if self.vector and self.vector.axis < len(place.strides) else 0
        pointer = self._pointer(plan, copy, place)
        element = _element(self.nest, place)
        indices = []
        for e, step in place.at:
            if self._lanes(copy, [e]) > 1:
                indices.append((e, step))
            else:
                pointer = _further(f, element, pointer, self._value(copy, e, 1), step)
        if self.lanes > 1 and (stride or indices):
            lanes = self.lanes
        index = None
        if indices:
            k = kind(INDEX.dtype, lanes)
            index = k.numbers(iota(lanes, stride))
            for e, step in indices:
                moved = self._value(copy, e, lanes)
                moved = moved if step == 1 else f(f"mul {k.text} {moved}, {k.number(step)}")
                index = f(f"add {k.text} {index}, {moved}")
        return Reach(pointer, stride, index), lanes

    def _pointer(self, plan: StagePlan, copy: _Copy, place: Place) -> str:
        """Return where a place's first lane lies, as far as a body's indices are known; computed indices are left out."""
        f, element = self.f, _element(self.nest, place)
        pointer = _further(f, element, f"%p{place.param}", "1", place.offset)
        for loop in (*self.schedule.outer, *plan.loops):
            if loop.axis in copy.at and loop.axis < len(place.strides):
                pointer = _further(f, element, pointer, copy.at[loop.axis], place.strides[loop.axis])
        return pointer


def _element(nest: Nest, place: Place) -> str:
    d = nest.params[place.param]
    return "i8" if d.kind == "b" else kind(d).element


def _further(f: Function, element: str, pointer: str, index: str, stride: int) -> str:
    """Write a pointer further on."""
    if stride == 0 or index == "0":
        return pointer
    if not index.startswith("%"):
        return f(f"getelementptr {element}, ptr {pointer}, i64 {int(index) * stride}")
    moved = index if stride == 1 else f(f"mul i64 {index}, {stride}")
    return f(f"getelementptr {element}, ptr {pointer}, i64 {moved}")
