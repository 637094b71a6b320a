"""Nests that are drawn: axes, strides, dtypes, stages, guards and gathers; native code = `Nest.run`, to the last bit.

Floats hold small whole numbers, of which sums are exact in any order.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compiler.llvm.native import Native, fenced
from tests.compiler.llvm.test_nests import wide

from chainrule.compiler.loops.nest import Apply, Axis, Expr, Load, Nest, Number, Place, Reduced, Reduction, Stage, Store

DTYPES = [np.dtype(d) for d in ("f4", "f8", "f8", "i8", "i4", "i2", "u1", "?")]
I8, BOOL = np.dtype("i8"), np.dtype("?")
ARITHMETIC = ["add", "sub", "max", "min", "fmax", "fmin"]
OF_INTEGERS = ["mul", "floordiv", "mod", "and", "xor", "shr"]
AROUND = 70


class Drawing:
    """A nest as it is drawn, with the memory that it reaches."""

    def __init__(self, random: Random):
        self.random = random
        self.outer = tuple([random.choice([1, 2, 3, 5, 17, 33]) for _ in range(random.randrange(3))])
        self.params: list[np.dtype] = []
        self.sizes: list[int] = []
        self.stages: list[Stage] = []
        for number in range(random.choice([1, 1, 2, 3])):
            self.stages.append(self.stage(number))
        self.nest = Nest(self.outer, self.stages, self.params)

    def param(self, d: np.dtype, size: int) -> int:
        self.params.append(d)
        self.sizes.append(size)
        return len(self.params) - 1

    def stage(self, number: int) -> Stage:
        random = self.random
        inner = tuple([random.choice([0, 1, 2, 4, 19, 40] if k else [1, 3, 16, 35, 130]) for k in range(random.randrange(3))])
        self.axes = (*self.outer, *inner)
        self.leaves = [self.leaf() for _ in range(random.randrange(1, 5))]
        for s, k in itertools.product(range(number), range(3)):
            if k < len(self.stages[s].reductions):
                self.leaves.append(Reduced(s, k, self.stages[s].reductions[k].value.dtype))
        found = list(self.leaves)
        for _ in range(random.randrange(1, 9)):
            found.append(self.applied(found))
        reductions = [Reduction(self.combine(e), e) for e in random.sample(found, min(len(found), random.randrange(3)))]
        stores = [Store(self.dense(e.dtype), e) for e in random.sample(found, min(len(found), random.randrange(1, 3)))]
        return Stage(inner, reductions, stores)

    def combine(self, e: Expr) -> str:
        return self.random.choice(["max", "min", "sum"] if e.dtype.kind == "f" else ["max", "min", "sum", "prod"])

    def dense(self, d: np.dtype) -> Place:
        """Return a place of its own for each point, with axes in any order and some backwards."""
        strides, size, offset = [0] * len(self.axes), 1, 0
        for k in (
            self.random.sample(range(len(self.axes)), len(self.axes))
            if self.random.random() < 0.4
            else range(len(self.axes))[::-1]
        ):
            strides[k], size = size, size * self.axes[k]
            if self.random.random() < 0.15 and self.axes[k]:
                offset += strides[k] * (self.axes[k] - 1)
                strides[k] = -strides[k]
        return Place(self.param(d, size), strides, offset)

    def leaf(self) -> Expr:
        random, d = self.random, self.random.choice(DTYPES)
        if random.random() < 0.1:
            return Number(random.randrange(4), d)
        if random.random() < 0.15 and self.axes:
            return Axis(random.randrange(len(self.axes)))
        place = self.dense(d)
        strides = [random.choice([s, s, s, 0, 2 * s]) for s in place.strides]
        low = sum([min(0, s * max(0, n - 1)) for s, n in zip(strides, self.axes, strict=True)])
        self.sizes[place.param] = 1 - low + sum([max(0, s * max(0, n - 1)) for s, n in zip(strides, self.axes, strict=True)])
        place = Place(place.param, strides, -low)
        if random.random() < 0.2 and self.axes:
            return self.gathered(d)
        guard = None
        if random.random() < 0.2 and self.axes:
            guard = Apply("lt", (Axis(random.randrange(len(self.axes))), Number(random.randrange(20), I8)), BOOL)
        return Load(place, d, guard)

    def gathered(self, d: np.dtype) -> Load:
        size = 50
        index = Apply(
            "mod", (Apply("mul", (Axis(self.random.randrange(len(self.axes))), Number(7, I8)), I8), Number(size, I8)), I8
        )
        return Load(Place(self.param(d, 2 * size), [0] * len(self.axes), self.random.randrange(2), [(index, 2)]), d)

    def applied(self, found: list[Expr]) -> Expr:
        random, d = self.random, self.random.choice(found).dtype
        x, y = [self.cast(random.choice(found), d) for _ in range(2)]
        chance = random.random()
        if chance < 0.2:
            return Apply(random.choice(["lt", "le", "eq", "ne", "gt", "ge"]), (x, y), BOOL)
        if chance < 0.4:
            return Apply("select", (self.cast(random.choice(found), BOOL), x, y), d)
        if d == BOOL:
            return Apply(random.choice(["and", "or", "xor", "max"]), (x, y), d)
        if chance < 0.5:
            return Apply("neg" if d.kind != "u" else "abs", (x,), d)
        return Apply(random.choice(ARITHMETIC if d.kind == "f" else ARITHMETIC + OF_INTEGERS), (x, y), d)

    def cast(self, e: Expr, d: np.dtype) -> Expr:
        return e if e.dtype == d else Apply("cast", (e,), d)

    def memory(self) -> list[np.ndarray]:
        numbers = np.random.default_rng(self.random.randrange(1 << 30))
        low = {"f": -3, "i": -3, "u": 0, "b": 0}
        return [
            numbers.integers(low[d.kind], 2 if d.kind == "b" else 4, n + 2 * AROUND).astype(d)
            for d, n in zip(self.params, self.sizes, strict=True)
        ]


def check(random: Random) -> None:
    """Draw a nest, run it both ways, and compare all memory, also around what it may reach."""
    drawing = Drawing(random)
    memory = drawing.memory()
    expected, found = [[m.copy() for m in memory] for _ in range(2)]
    drawing.nest.run([m[AROUND:-AROUND] for m in expected])
    points = int(np.prod(drawing.outer, dtype=int))
    cuts = sorted([0, points, *[random.randrange(points + 1) for _ in range(2)]])
    Native(drawing.nest, random.choice([64, 64, 32, 16, 8]))([m[AROUND:-AROUND] for m in found], *itertools.pairwise(cuts))
    for k, (x, y) in enumerate(zip(found, expected, strict=True)):
        assert np.array_equal(x, y, equal_nan=x.dtype.kind == "f"), (k, drawing.nest)


def check_fenced(seeds: range) -> None:
    """Run drawn nests on memory that nothing may be read or written around."""
    for seed in seeds:
        random = Random(seed)
        drawing = Drawing(random)
        native = Native(drawing.nest, random.choice([64, 32, 16]))
        for at_end in (False, True):
            native([fenced(m[AROUND:-AROUND], at_end) for m in drawing.memory()])


def check_fenced_tiles() -> None:
    """Run transpositions of several shapes likewise."""
    for rows, columns in ((16, 16), (40, 37), (17, 65), (64, 9)):
        x = Load(Place(0, (1, rows)), np.dtype("f4"))
        store = Store(Place(1, (columns, 1)), Apply("add", (x, x), x.dtype))
        native = Native(Nest((rows, columns), [Stage((), (), [store])], [x.dtype, x.dtype]))
        for at_end in (False, True):
            native([fenced(np.ones(rows * columns, x.dtype), at_end) for _ in range(2)])


@pytest.mark.skipif(sys.platform == "win32", reason="memory is protected by mprotect")
@pytest.mark.parametrize("what", ["check_fenced_tiles()", "check_fenced(range(15))", *wide("check_fenced(range(15, 400))")])
def test_nothing_around_memory_is_touched(what):
    done = subprocess.run(
        [sys.executable, "-c", f"from tests.compiler.llvm.test_drawn import *; {what}"],
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, what


@pytest.mark.parametrize("seed", range(20))
def test_some_nests(seed):
    check(Random(seed))


@pytest.mark.slow
@settings(max_examples=600, deadline=None, database=None)
@given(st.randoms(use_true_random=False))
def test_drawn_nests(random):
    check(random)
