"""Running a drawn program under both libraries, and comparing all that it made: values, dtypes, gradients, errors."""

from __future__ import annotations

import re
import time
import warnings

import numpy as np
import torch
from tests.drawn import calls
from tests.drawn.given import Given, flat, inf, nan
from tests.drawn.programs import Program

import chainrule as cr

ERRORS = (RuntimeError, IndexError, ValueError, TypeError, NotImplementedError)
__all__ = ["Program", "flat", "inf", "nan", "show"]

MODIFIED = "modified by an inplace operation"
# Where PyTorch refuses and chainrule gives the right result, or refuses in other words; what follows is not compared.
STRICTER = (
    MODIFIED,  # chainrule knows the write as a function, or kept a copy: its gradient is then compared with differences
    "not implemented for",  # a dtype without a kernel
    "is not implemented",  # a derivative
    "is a view and its base or another view of its base",
)


def compiled(program):
    """Return the function that a program's text defines."""
    space = {"flat": flat, "inf": inf, "nan": nan}
    source, _, _ = str(program).partition("\n\n\nshow(")
    exec(compile(source.partition("\n\n\n")[2], "<program>", "exec"), space)
    return space["program"]


SLOPE = "where PyTorch refuses or differs, chainrule's slope"
# With these in it a program's gradient is not the derivative of what it computes.
UNSMOOTH = ("detach", "no_grad", "hook", "given.gradient", "lib.int64", "lib.bool", "while", "int64")


class Outcome:
    """What a program made under one library: a list of (what, value) in order; an error ends it."""

    def __init__(self, lib, program, seed, end, moved=0.0, step=0.0, sizes=()):
        self.found, self.error, self.where = [], None, "the program"
        self.given = Given(lib, seed, moved, step)
        self.losses, self.sizes, self.known = [], [], list(sizes)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                made = program(lib, self.given)
                self.go_back(lib, {k: v for k, v in made.items() if re.fullmatch(r"x\d+", k)}, end)
            except ERRORS as error:
                self.error = error

    def keep(self, what, value):
        self.found.append((what, value.detach() if hasattr(value, "detach") else value))

    def go_back(self, lib, made, end):
        for name, value in made.items():
            self.keep(name, value)
            self.keep(f"{name}.requires_grad", getattr(value, "requires_grad", None))
        active = [v for v in made.values() if getattr(v, "requires_grad", False)]
        leaves = [x for x in self.given.leaves if x.requires_grad]
        self.where = "the backward pass"
        if not active or not leaves:
            return
        loss = self.total(active)
        if end == "backward":
            loss.backward()
            for i, x in enumerate(leaves):
                self.keep(f"gradient of leaf {i}", x.grad)
            for name, value in made.items():
                if getattr(value, "retains_grad", False):
                    self.keep(f"gradient of {name}", value.grad)
            return
        grads = lib.autograd.grad(loss, leaves, allow_unused=True, create_graph=end == "twice")
        for i, g in enumerate(grads):
            self.keep(f"gradient of leaf {i}", g)
        if end == "twice":
            self.where = "the second pass"
            active = [g is not None and g.requires_grad for g in grads]  # PyTorch records some constants
            total = self.total(
                [g if is_active else lib.zeros_like(x) for g, x, is_active in zip(grads, leaves, active, strict=True)]
            )
            seconds = lib.autograd.grad(total, leaves, allow_unused=True) if any(active) else [None] * len(leaves)
            for i, (x, g) in enumerate(zip(leaves, seconds, strict=True)):
                self.keep(f"second gradient of leaf {i}", lib.zeros_like(x) if g is None else g)

    def is_coarse(self):
        """Tell whether anything was computed in single precision."""
        return any(str(getattr(value, "dtype", ""))[-7:] in ("float32", "mplex64") for _, value in self.found)

    def total(self, tensors):
        """Return a real number that depends on every element, of no tensor much more than of another."""
        parts = []
        for x in tensors:
            w = self.given.tensor(self.given.normal(tuple(x.shape)), "float64")
            y = x.real + 0.3 * x.imag if x.is_complex() else x
            size = self.known.pop(0) if self.known else 1 + float(x.detach().abs().sum()) / max(x.numel(), 1)
            self.sizes.append(size)
            parts.append((y.double() * w).sum() / (size if size < inf else 1))
        total = sum(parts[1:], parts[0])
        self.losses.append(float(total.detach()))
        return total


def array(x):
    return (x.resolve_conj() if hasattr(x, "resolve_conj") else x).numpy(force=True)


def apart(a, b):
    """Return how far two arrays are apart, relative to the largest number; NaN and infinities must be alike."""
    if not a.size:
        return 0.0
    if a.dtype.kind not in "fc":
        return 0.0 if (a == b).all() else inf
    finite = np.isfinite(b)
    if (np.isfinite(a) != finite).any() or not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return inf
    scale = np.abs(b[finite]).max(initial=0.0)
    return float(np.abs(a[finite] - b[finite]).max(initial=0.0) / scale) if scale else (0.0 if not a[finite].any() else inf)


def differences(ours, theirs):
    """Yield (what, how far apart or how it differs, kind) for all that differs at all."""
    for (what, a), (_, b) in zip(ours.found, theirs.found, strict=False):
        if b is None or a is None or isinstance(b, (bool, int, float, complex)):
            if type(a) is not type(b) or a != b:
                yield what, f"{a!r}, PyTorch: {b!r}"
        elif not isinstance(b, torch.Tensor):
            if str(a) != str(b).replace("torch.Size", "chainrule.Size"):
                yield what, f"{a!r}, PyTorch: {b!r}"
        else:
            a, b = array(a), array(b)
            if (a.shape, a.dtype) != (b.shape, b.dtype):
                yield what, f"{a.dtype} {a.shape}, PyTorch: {b.dtype} {b.shape}"
            else:
                yield what, apart(a, b)


def disagreement(program, seed=0, end="grad", excuses=()):
    """Return how chainrule and PyTorch differ in a program that calls the functions named; None if they do not."""
    theirs, ours = Outcome(torch, program, seed, end), Outcome(cr, program, seed, end)
    is_coarse = theirs.is_coarse() or not calls.COARSE.isdisjoint(excuses)
    tight = 1e-4 if is_coarse else 1e-9
    found = [(what, how) for what, how in differences(ours, theirs) if not isinstance(how, float) or how > tight]
    if any(isinstance(how, float) for _, how in found):
        found = beyond_rounding(program, seed, end, 1e-6 if is_coarse else 1e-13, found)
    if found:
        what, how = found[0]
        if what.startswith("second") and not calls.WRONG_TWICE.isdisjoint(excuses):
            return wrong_slope(program, seed, end, ours, 1)
        return f"{what}: {f'{how:.1e} apart' if isinstance(how, float) else how}{values(ours, theirs, what)}"
    if MODIFIED in str(theirs.error) and ours.error is None and not is_coarse:
        return wrong_slope(program, seed, end, ours, 0)
    if theirs.error is not None and any(part in str(theirs.error) for part in STRICTER):
        return None
    if MODIFIED in str(ours.error) and not calls.KEEPING.isdisjoint(excuses):
        return None
    if type(ours.error) is not type(theirs.error):
        return f"{theirs.where}: chainrule raises {ours.error!r}, PyTorch {theirs.error!r}"
    if theirs.error is None and len(ours.found) != len(theirs.found):
        return f"chainrule has {[w for w, _ in ours.found]}, PyTorch {[w for w, _ in theirs.found]}"
    return None


def beyond_rounding(program, seed, end, step, found):
    """Return the differences that are more than PyTorch's own where every number is moved by some roundings."""
    theirs, spread = Outcome(torch, program, seed, end), {}
    for k in range(3):
        moved = Outcome(torch, program, seed, end, step * (1 + k))
        for what, how in differences(moved, theirs):
            spread[what] = max(spread.get(what, 0.0), inf if isinstance(how, str) else how)
    return [(what, how) for what, how in found if isinstance(how, str) or not how <= 300 * spread.get(what, 0.0)]


def wrong_slope(program, seed, end, ours, order, step=1e-6):
    """Return how chainrule's gradient, or that of its gradient, differs from differences along a direction."""
    after, before = (Outcome(cr, program, seed, end, step=h, sizes=ours.sizes) for h in (step, -step))
    kind = ("gradient of leaf", "second gradient of leaf")[order]
    grads = [g for what, g in ours.found if what.startswith(kind)]
    directions = [d for d, x in zip(after.given.directions, after.given.leaves, strict=True) if x.requires_grad]
    found = sum(float((array(g).real * d).sum()) for g, d in zip(grads, directions, strict=True) if g is not None)
    expected = (after.losses[order] - before.losses[order]) / (2 * step)
    if abs(found - expected) <= 1e-4 * (1 + abs(expected)) or not np.isfinite(expected):
        return None
    return f"{SLOPE} of a {kind[:-8]} is {found}, by differences {expected}"


def values(ours, theirs, what):
    a, b = dict(ours.found)[what], dict(theirs.found)[what]
    return f"\nchainrule:\n{a}\nPyTorch:\n{b}\n" if isinstance(b, torch.Tensor) else ""


def fault(program):
    """Return how the libraries differ in a program; None if they do not, or in what has no derivative to compare with."""
    how = disagreement(compiled(program), program.seed, program.end, program.excuses)
    return None if how is None or (how.startswith(SLOPE) and any(word in str(program) for word in UNSMOOTH)) else how


def check(program):
    """Raise AssertionError where the libraries differ, with the program, cut down, as a script."""
    how = fault(program)
    if how is not None:
        program = cut(program)
        raise AssertionError(f"{fault(program)}\n{program}")


def cut(program, fault=fault, seconds=30):
    """Return the shortest program with a fault, in which the libraries differ, that leaving out lines leads to in time."""
    n, end = len(program.lines), time.monotonic() + seconds
    while n and time.monotonic() < end:
        n -= 1
        for few in (1, 2, 4):  # a block goes as a whole
            fewer = program._replace(lines=program.lines[:n] + program.lines[n + few :])
            try:
                differs = fault(fewer) is not None
            except (NameError, SyntaxError):  # of what was left out
                continue
            if differs:
                program, n = fewer, len(fewer.lines)
                break
    return program


def show(program, seed=0, end="grad", excuses=()):
    """Print what a program makes under both libraries, and where they differ."""
    for lib in (cr, torch):
        outcome = Outcome(lib, program, seed, end)
        print(f"-- {lib.__name__}")
        for what, value in outcome.found:
            print(what, "=", value)
        print(repr(outcome.error) if outcome.error is not None else "")
    print(disagreement(program, seed, end, excuses))
