"""Reductions while their loops run: accumulators, blocks of sums with compensation, and lanes that become one value."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.compiler.llvm.operations import combine, identity
from chainrule.compiler.llvm.schedule import StagePlan, chunk
from chainrule.compiler.llvm.text import Function, Kind, kind
from chainrule.compiler.loops.nest import Reduction


class Sums:
    """The state of a stage's reductions while its loops run, as the loops carry it.

    Accumulators are one for each reduction and copy; sums in blocks have two more, for each copy of the outer points: the sum
    of the blocks, and what rounding it lost.
    """

    def __init__(self, f: Function, plan: StagePlan, lanes: int, copies: int, points: int, block: int):
        self.f, self.copies, self.points = f, copies, points
        self.reductions: Sequence[Reduction] = plan.stage.reductions
        self.level, self.steps = chunk(plan, block)
        self.kinds = [kind(r.value.dtype, lanes) for r in self.reductions]
        self.blocked = [
            self.level >= 0 and r.combine == "sum" and k.is_float for r, k in zip(self.reductions, self.kinds, strict=True)
        ]

    def first(self) -> list[str]:
        """Return the state before the first step."""
        accs = [identity(r.combine, k) for r, k in zip(self.reductions, self.kinds, strict=True) for _ in range(self.copies)]
        return accs + [k.number(0) for k, b in zip(self.kinds, self.blocked, strict=True) if b for _ in range(2 * self.points)]

    def types(self) -> list[str]:
        """Return the types of the state."""
        accs = [k.text for k in self.kinds for _ in range(self.copies)]
        return accs + [k.text for k, b in zip(self.kinds, self.blocked, strict=True) if b for _ in range(2 * self.points)]

    def carried(self, state: Sequence[str]) -> list[tuple[str, str]]:
        """Return the state with its types."""
        return list(zip(self.types(), state, strict=True))

    def step(self, state: list[str], number: int, copy: int, value: str, mask: str | None) -> None:
        """Write one more term of a reduction."""
        k, slot = self.kinds[number], number * self.copies + copy
        new = combine(self.f, self.reductions[number].combine, k, state[slot], value)
        if mask is not None:
            new = self.f(f"select {k.mask.text} {mask}, {k.text} {new}, {k.text} {state[slot]}")
        state[slot] = new

    def _gathered(self, state: Sequence[str], number: int) -> list[str]:
        """Write the combination of a reduction's copies, which are one for each copy of outer points or all of one."""
        k, how = self.kinds[number], self.reductions[number].combine
        accs = list(state[number * self.copies : (number + 1) * self.copies])
        while len(accs) > self.points:
            half = len(accs) // 2
            pairs = [combine(self.f, how, k, accs[i], accs[half + i]) for i in range(half)]
            accs = pairs + accs[2 * half :]
        return accs

    def closed(self, state: Sequence[str]) -> list[str]:
        """Write the end of a block and return the state, with accumulators that start anew."""
        out, slot = list(state), len(self.reductions) * self.copies
        for number, (k, blocked) in enumerate(zip(self.kinds, self.blocked, strict=True)):
            if not blocked:
                continue
            for acc in self._gathered(state, number):
                out[slot], out[slot + 1] = self._added(k, out[slot], out[slot + 1], acc)
                slot += 2
            out[number * self.copies : (number + 1) * self.copies] = [k.number(0)] * self.copies
        return out

    def _added(self, k: Kind, total: str, lost: str, term: str) -> tuple[str, str]:
        """Write Knuth's TwoSum: the new total, and what all totals have lost."""
        f, t = self.f, k.text
        new = f(f"fadd {t} {total}, {term}")
        seen = f(f"fsub {t} {new}, {total}")
        kept = f(f"fsub {t} {new}, {seen}")
        error = f(f"fadd {t} {f(f'fsub {t} {total}, {kept}')}, {f(f'fsub {t} {term}, {seen}')}")
        return new, f(f"fadd {t} {lost}, {error}")

    def results(self, state: Sequence[str], across: bool) -> list[list[tuple[str, int]]]:
        """Write the end of all reductions; for each its values, with their lanes, by copy of outer points."""
        state = self.closed(state) if any(self.blocked) else state
        slot, out = len(self.reductions) * self.copies, []
        for number, (k, blocked) in enumerate(zip(self.kinds, self.blocked, strict=True)):
            if blocked:
                values = [self._compensated(k, *state[slot + 2 * i : slot + 2 * i + 2]) for i in range(self.points)]
                slot += 2 * self.points
            else:
                values = self._gathered(state, number)
            if across and k.lanes > 1:
                out.append([(self._across(k, self.reductions[number].combine, v), 1) for v in values])
            else:
                out.append([(v, k.lanes) for v in values])
        return out

    def _compensated(self, k: Kind, total: str, lost: str) -> str:
        """Write a total with what it lost, which is NaN where the total is infinite."""
        f, t = self.f, k.text
        unknown = f(f"fcmp uno {t} {lost}, {k.number(0)}")
        whole = f(f"fadd {t} {total}, {lost}")
        return f(f"select {k.mask.text} {unknown}, {t} {total}, {t} {whole}")

    def _across(self, k: Kind, how: str, x: str) -> str:
        """Write the combination of a vector's lanes, halves first."""
        f = self.f
        while k.lanes > 1:
            half = kind(k.dtype, k.lanes // 2)
            parts = []
            for start in (0, half.lanes):
                order = ", ".join([f"i32 {start + i}" for i in range(half.lanes)])
                if half.lanes == 1:
                    parts.append(f(f"extractelement {k.text} {x}, i32 {start}"))
                else:
                    parts.append(f(f"shufflevector {k.text} {x}, {k.text} poison, <{half.lanes} x i32> <{order}>"))
            x, k = combine(f, how, half, *parts), half
        return x
