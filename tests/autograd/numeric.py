"""Programs of `programs.py` against numeric differentiation: gradients are right or refused, whatever is written.

A program is run once with gradients and, without any, as pairs of values and small tangents: each recorded step runs at
the values and at values plus tangents, and the difference is its result's tangent. Views show part of both. What is not
recorded (`no_grad`, `detach()`) changes values alone. Central differences of two such runs, with tangents of opposite sign, are
the derivative that backward passes must give.
"""

from __future__ import annotations

import random
import warnings

import numpy as np
from tests.autograd.programs import (
    BINARY,
    EDGE,
    ERRORS,
    REDUCTIONS,
    RESHAPING,
    SHAPES,
    UNARY,
    VIEWS,
    WRITES,
    Run,
    array,
    meet,
    overlaps,
)

import chainrule as cr

# Functions that reshape, scatter and look up what they then save.
LOOKED_UP = {
    "matmul": lambda lib, x, y: lib.matmul(x.reshape(2, -1, 1).real, y.reshape(-1)[:1].real),
    "row times matrices": lambda lib, x, y: lib.matmul(x.reshape(-1)[:1].real, y.reshape(2, 1, -1).real),
    "einsum": lambda lib, x, y: lib.einsum("i,j->ij", x.reshape(-1).real, y.reshape(-1).real),
    "tensordot": lambda lib, x, y: lib.tensordot(x.real, y.real, 1),
    "kron": lambda lib, x, y: lib.kron(x, y),
    "prelu": lambda lib, x, y: lib.nn.functional.prelu(x.real - EDGE, y.real.reshape(-1)[:1]),
    "linear": lambda lib, x, y: lib.nn.functional.linear(x.real, y.real.reshape(-1)[: x.shape[-1]]),
    "amax": lambda lib, x, y: x.real.scatter_reduce(0, lib.zeros(tuple(x.shape), dtype=lib.int64), y.real + EDGE, "amax"),
    "products": lambda lib, x, y: x.real.scatter_reduce(0, lib.zeros(tuple(x.shape), dtype=lib.int64), y.real, "prod"),
    "vmap": lambda lib, x, y: lib.func.vmap(lambda a: a * y.sin())(x),
    "sorted": lambda lib, x, y: x.real.sort(0).values * y.real,
}
ALL = {**BINARY, **LOOKED_UP}
WRITTEN = {
    **{name: write for name, write in WRITES.items() if name not in ("requires_grad_", "no_requires_grad_", "detach_")},
    "fill_": lambda lib, x, y: x.fill_(0.53),  # not where `clamp_` has its bound
    # of several values at one place some one is written: its derivative is PyTorch's, for all of them
    "scatter_": lambda lib, x, y: x.scatter_(0, lib.zeros((1, *y.shape[1:]), dtype=lib.int64), y[:1]),
    "scatter_add_": lambda lib, x, y: x.scatter_add_(0, lib.zeros(tuple(y.shape), dtype=lib.int64), y),
}  # fmt: skip
LINEAR = set(VIEWS) - {"detach", "data", "array", "mask", "contiguous"}
TABLES = {
    "unary": [name for name in UNARY if name not in ("float", "double")],
    "binary": [*BINARY, *LOOKED_UP], "reduce": REDUCTIONS, "view": VIEWS, "no_grad view": VIEWS, "branch": BINARY,
    "write": WRITTEN, "no_grad write": [name for name in WRITTEN if name not in RESHAPING],
}  # fmt: skip
KINDS = (
    *["unary"] * 4, *["binary"] * 6, *["reduce"] * 2, *["view"] * 6, *["write"] * 8, *["no_grad write"] * 3,
    "branch", "detached", "no_grad view", "leaf",
)  # fmt: skip
REFUSALS = (
    "one of the variables needed for gradient computation has been modified",
    "its base or another view of its base has been modified",
    "is being modified inplace",
)


def drawn(seed, length=25):
    """Return the program of a seed."""
    draw = random.Random(seed).randrange
    steps = [("leaf", "", 0, draw(1000), 4 * draw(1000) + 1) for _ in range(3)]
    for _ in range(length):
        kind = KINDS[draw(len(KINDS))]
        names = list(TABLES.get(kind, ("",)))
        near = draw(10) < 7
        steps.append((kind, names[draw(len(names))], draw(4 if near else 1000), draw(1000), draw(1000)))
    return steps


def values_of(j, k):
    """Return the values of a leaf, and the direction in which it moves."""
    rng = np.random.default_rng(k)
    return rng.uniform(-1.5, 1.5, SHAPES[j % len(SHAPES)]), rng.normal(size=SHAPES[j % len(SHAPES)])


class Recorded(Run):
    """A run with gradients; `taken` says of each step whether it did something."""

    def __init__(self, steps):
        super().__init__(cr)
        self.taken, self.directions = [], []
        for step in steps:
            held, versions = len(self.pool), [x._version for x in self.pool]
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                try:
                    getattr(self, step[0].replace(" ", "_"))(*step[1:])
                    self.taken.append(True)
                except ERRORS:
                    self.taken.append(False)
                    if versions != [x._version for x in self.pool[: len(versions)]]:  # it had written some
                        break
            if step[0] not in ("write", "no_grad write") and len(self.pool) == held:
                self.taken[-1] = False

    def keep(self, x):
        self.pool.append(x)

    def described(self, x):
        return None

    def leaf(self, _, i, j, k):
        values, direction = values_of(j, k)
        self.leaves.append(cr.tensor(values, requires_grad=k % 4 > 0))
        self.directions.append(direction)
        self.keep(self.leaves[-1])

    def binary(self, name, i, j, k):
        self.keep(ALL[name](cr, *self.pick(i, j)))

    def write(self, name, i, j, k):
        x, y = self.pick(i, j)
        if not overlaps(x):
            WRITTEN[name](cr, x, y.clone() if meet(x, y) else y)

    def detached(self, _, i, j, k):
        super().detached(_, i, j, k)
        self.directions.append(np.random.default_rng(k).normal(size=tuple(self.pool[-1].shape)))

    def slope(self, x):
        """Return the derivative of a tensor's sum along the leaves' directions, and its scale; None if refused."""
        moving = [
            (leaf, d) for leaf, d in zip(self.leaves, self.directions, strict=True) if leaf.is_leaf and leaf.requires_grad
        ]
        try:
            gs = cr.autograd.grad(self.scalar(x), [leaf for leaf, _ in moving], retain_graph=True, allow_unused=True)
        except RuntimeError as error:
            if not any(words in str(error) for words in REFUSALS):
                raise
            return None
        parts = [(np.conj(array(g)) * d).real for g, (_, d) in zip(gs, moving, strict=True) if g is not None]
        return sum(float(p.sum()) for p in parts), sum(float(np.abs(p).sum()) for p in parts)


class Unsure(Exception):
    """The tangents lead to another branch."""


class Replay:
    """A run of pairs of values and tangents, the leaves' tangents `size` times their directions."""

    def __init__(self, steps, recorded, size):
        self.pool, self.size, self.recording = [], size, True
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            for step, taken in zip(steps, recorded.taken, strict=False):
                if taken:
                    self.recording = not step[0].startswith("no_grad")
                    getattr(self, step[0].removeprefix("no_grad "))(*step[1:])

    def pick(self, i, j):
        return self.pool[-1 - i % len(self.pool)], self.pool[j % len(self.pool)]

    def call(self, f, *pairs):
        """Keep the value of a function of some pairs, and by how much it changes with the tangents."""
        value = f(*[v for v, _ in pairs])
        moved = f(*[v + t for v, t in pairs])
        if moved.shape != value.shape:
            raise Unsure
        self.pool.append((value, laid_out(value, moved - value)))

    def leaf(self, _, i, j, k):
        values, direction = values_of(j, k)
        self.pool.append((cr.tensor(values), cr.tensor(direction * (self.size if k % 4 > 0 else 0))))

    def detached(self, _, i, j, k):
        value = self.pick(i, j)[0][0].clone()
        direction = np.random.default_rng(k).normal(size=tuple(value.shape))
        self.pool.append((value, laid_out(value, cr.tensor(direction * self.size))))

    def unary(self, name, i, j, k):
        self.call(lambda x: UNARY[name](cr, x), self.pick(i, j)[0])

    def binary(self, name, i, j, k):
        self.call(lambda x, y: ALL[name](cr, x, y), *self.pick(i, j))

    def reduce(self, name, i, j, k):
        self.call(lambda x: REDUCTIONS[name](cr, x), self.pick(i, j)[0])

    def branch(self, name, i, j, k):
        x, y = self.pick(i, j)
        first = x[0].real.sum() > EDGE
        self.call(lambda x, y: BINARY[name](cr, x, y) if first else x * 3, x, y)

    def view(self, name, i, j, k):
        (value, tangent), _ = self.pick(i, j)
        seen = VIEWS[name](cr, value, k)
        if seen is value:
            self.pool.append((value, tangent))
        elif not self.recording or name in ("detach", "data"):
            self.pool.append((seen, laid_out(seen, 0.0)))
        elif name in LINEAR:
            self.pool.append((seen, VIEWS[name](cr, tangent, k)))
        else:
            self.call(lambda x: VIEWS[name](cr, x, k), (value, tangent))

    def write(self, name, i, j, k):
        (value, tangent), (y, y_tangent) = self.pick(i, j)
        if overlaps(value):
            return
        if name in RESHAPING:
            WRITTEN[name](cr, value, y)
            if tangent is not value:
                WRITTEN[name](cr, tangent, y)
            return
        moved, y_moved = laid_out(value, value + tangent), y + y_tangent
        WRITTEN[name](cr, value, y.clone() if meet(value, y) else y)
        if self.recording and name != "detached":
            WRITTEN[name](cr, moved, y_moved)
            tangent.copy_(moved - value)


def laid_out(value, tangent):
    """Return a tangent in memory of its own, laid out as its value's."""
    made = value.clone()
    return made.copy_(tangent) if isinstance(tangent, cr.Tensor) else made.fill_(tangent)


def slopes(steps, recorded, size=1e-5):
    """Return the numeric derivatives of the sums of all tensors of a program from either side; they differ at a kink."""
    there, back = (Replay(steps, recorded, sign * size).pool for sign in (1, -1))
    return [(scalar(a[1]).item() / size, -scalar(b[1]).item() / size) for a, b in zip(there, back, strict=True)]


def scalar(x):
    return (x.real + x.imag * 2).sum() if x.is_complex() else x.sum()


def wrong(steps):
    """Return what is wrong with a program's gradients, or None; and how many were right, and how many refused."""
    recorded, right, refused = Recorded(steps), 0, 0
    with np.errstate(all="ignore"):
        try:
            numeric = slopes(steps, recorded)
        except Unsure:
            return None, 0, 0
        for n, (x, (above, below)) in enumerate(zip(recorded.pool, numeric, strict=True)):
            if not x.requires_grad:
                continue
            found = recorded.slope(x)
            if found is None:
                refused += 1
                continue
            slope, scale = found
            gap = abs(slope - (above + below) / 2)
            if not np.isfinite(gap) or scale > 1e6 or abs(above - below) > 0.01 * (1 + scale):
                continue
            if gap > 1e-4 * (1 + scale) and gap > 4 * abs(above - below):
                return f"tensor {n}: gradient {slope}, numeric {(above + below) / 2}", right, refused
            right += 1
    return None, right, refused


def cut(steps):
    """Return the shortest program with a wrong gradient that leaving out steps of one leads to."""
    whole = False
    while not whole:
        whole = True
        for n in range(len(steps) - 1, 2, -1):
            shorter = steps[:n] + steps[n + 1 :]
            if wrong(shorter)[0] is not None:
                steps, whole = shorter, False
    return steps
