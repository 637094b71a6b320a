"""Running a drawn program compiled, on several draws of its leaves in turn, and comparing all that it makes with eager runs."""

from __future__ import annotations

import inspect
import math
import re
import textwrap
import warnings
from functools import partial

import numpy as np
from tests.drawn import running
from tests.drawn.given import Given, flat, inf, nan
from tests.drawn.programs import Program
from tests.drawn.running import ERRORS, apart, array

import chainrule as cr
from chainrule.core.op.raw import empty_like

__all__ = ["Program", "flat", "inf", "nan", "show"]
DRAWS = (0, 1, 0, 2, 1, 2)
"""Which draw of the leaves each call is given: what was recorded of one is left for another, and taken up again."""


class Handed(Given):
    """The inputs of a run whose leaves are its arguments; what programs branch on stays a tensor."""

    def __init__(self, leaves, seed):
        super().__init__(cr, seed)
        self.handed = iter(leaves)

    def leaf(self, shape, dtype="float64", requires_grad=True):
        self.leaves.append(next(self.handed))
        return self.leaves[-1]

    def mass(self, x):
        x = x.detach()
        return (x if x.is_complex() else x.double()).abs().sum()

    def size(self, x):
        """Return the mean size of a tensor's numbers."""
        x = x.detach()
        return (x if x.is_floating_point() or x.is_complex() else x.double()).abs().mean()

    def tame(self, x):
        """Return real numbers brought to the size of one, each moved by a number of its own: `within`, in two ops."""
        return x.asinh() + self.tensor(self.normal(tuple(x.shape)), x.dtype.numpy)

    def spread(self, x, y, way):
        """Return real numbers that broadcast with y's, one way or another: `beside`, in few ops."""
        shape = tuple(y.shape)
        shape = (shape, shape[1:], (*shape[:-1], 1)[: len(shape)], ())[way]
        if tuple(x.shape) != shape:
            x = x.reshape(-1) if x.numel() else x.sum().reshape(1)
            x = x[cr.as_tensor(np.arange(math.prod(shape)) % x.numel())].reshape(shape)
        return self.tame(x)


def leaves_of(program, draw, moved=0.0):
    """Return fresh leaves of a draw."""
    given = Given(cr, 10 * program.seed + draw, moved)
    for line in program.lines:
        if "given.leaf(" in line:
            eval(line.partition(" = ")[2], {"given": given})
    return given.leaves


def function_of(program):
    """Return a program as a function of its leaves: of all it makes, by name."""
    run = running.compiled(program)

    def made(*leaves):
        found = run(cr, Handed(leaves, program.seed))
        return {name: x for name, x in found.items() if re.fullmatch(r"x\d+", name) and isinstance(x, cr.Tensor)}

    return made


def gradients(made, leaves, seed, create_graph=False):
    """Return the gradients of the leaves that require grad, of all values at once; zeros where nothing depends on one."""
    outs, active = [x for x in made.values() if x.requires_grad], [x for x in leaves if x.requires_grad]
    if not active or not outs:
        return []
    rng = np.random.default_rng([seed, 7])
    cotangents = [cotangent(rng, x) for x in outs]
    found = cr.autograd.grad(outs, active, cotangents, allow_unused=True, create_graph=create_graph)
    return [cr.zeros_like(x) if g is None else g for x, g in zip(active, found, strict=True)]


def cotangent(rng, x):
    shape = tuple(x.shape)
    return cr.as_tensor(np.asarray(rng.normal(size=shape) + (0.3j if x.is_complex() else 0)).astype(x.dtype.numpy))


def outside(run, program):
    """Return a function's values, and gradients taken of what it returned, once or twice."""

    def go(*leaves):
        made = run(*leaves)
        first = gradients(made, leaves, program.seed, program.end == "twice")
        second = gradients({str(i): g for i, g in enumerate(first)}, leaves, program.seed) if program.end == "twice" else []
        return made, first, second

    return go


def inside(run, program):
    """Return the function of values and gradients, to be compiled whole."""

    def go(*leaves):
        made = run(*leaves)
        return {name: x.detach() for name, x in made.items()}, gradients(made, leaves, program.seed), []

    return go


def pushed(run, program):
    """Return the function of values and tangents."""

    def go(*leaves):
        plain = tuple([x.detach() for x in leaves])
        rng = np.random.default_rng([program.seed, 9])
        along = tuple([cr.as_tensor(rng.normal(size=tuple(x.shape)).astype(x.dtype.numpy)) for x in plain])
        values, tangents = cr.func.jvp(run, plain, along)
        return values, list(tangents.values()), []

    return go


def way(program, **options):
    """Return the name of the way that a program is run, its eager function that way, and the same compiled."""
    f = function_of(program)
    if program.end == "backward":
        return "gradients inside", inside(f, program), cr.compile(inside(f, program), **options)
    if program.end == "grad" and program.seed % 2:
        return "forward mode", pushed(f, program), pushed(cr.compile(f, **options), program)
    return "gradients outside", outside(f, program), outside(cr.compile(f, **options), program)


def outcome(run, leaves, memory=False):
    """Return [(what, array or number)] of a run, and its error or None; the leaves afterwards are among it.

    With `memory` it tells also how the values lie there.
    """
    found, error = [], None
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made, first, second = run(*leaves)
            known = {**{f"leaf {i}": x for i, x in enumerate(leaves)}, **made}
            for name, x in made.items():
                found += [(name, array(x.detach())), (f"{name}.requires_grad", x.requires_grad)]
                if memory:
                    found.append((f"{name} in memory", lying(x, known)))
            found += [(f"derivative {i}", array(g.detach())) for i, g in enumerate(first)]
            found += [(f"second derivative {i}", array(g.detach())) for i, g in enumerate(second)]
        except ERRORS as raised:
            error = raised
        found += [(f"leaf {i} afterwards", array(x.detach())) for i, x in enumerate(leaves)]
    return found, error


def lying(x, known):
    """Return which object a value is, of which it is a view, and in which order it lies in memory.

    A view of what is not known counts as memory of its own, in the same order and without gaps.
    """
    named = lambda t: next((name for name, other in known.items() if other is t), None)
    base = None if x._base is None else named(x._base)
    data = x.detach().resolve_conj().resolve_neg().numpy()
    data = empty_like(data) if x._base is not None and base is None else data
    steps = [s // data.itemsize for s, n in zip(data.strides, data.shape, strict=True) if n > 1]
    return f"{named(x)}, {f'a view of {base}' if base else 'its own'}, by {steps if data.size else 'nothing'}"


def gap(ours, theirs):
    """Return the first of (what, how) that two outcomes differ in by more than the last digits; None if none."""
    (a, wrong), (b, due) = ours, theirs
    if type(wrong) is not type(due):
        return "the run", f"raised {wrong!r}, eager {due!r}"
    if [what for what, _ in a] != [what for what, _ in b]:
        return "names", f"{[what for what, _ in a]}, eager {[what for what, _ in b]}"
    coarse = any(getattr(x, "dtype", None) in (np.float32, np.complex64) for _, x in b)
    for (what, x), (_, y) in zip(a, b, strict=True):
        if isinstance(y, (bool, str)):
            how = 0.0 if x == y else f"{x}, eager {y}"
        elif (x.shape, x.dtype) != (y.shape, y.dtype):
            how = f"{x.dtype} {x.shape}, eager {y.dtype} {y.shape}"
        else:
            how = apart(x, y)
        if isinstance(how, str) or how > (1e-4 if coarse else 1e-9):
            return what, how
    return None


def fault(program, **options):
    """Return where a program, compiled, is not what it is eager; None if nowhere."""
    name, eager, compiled = way(program, **options)
    memory = name == "gradients outside"  # inside, values are given detached from what they are views of
    expected = {draw: outcome(eager, leaves_of(program, draw), memory) for draw in sorted(set(DRAWS))}
    for call, draw in enumerate(DRAWS):
        wrong = gap(outcome(compiled, leaves_of(program, draw), memory), expected[draw])
        if wrong is not None and not _is_rounding(program, eager, draw, expected[draw], wrong):
            what, how = wrong
            return f"{name}, call {call} (draw {draw}): {what}: {f'{how:.1e} apart' if isinstance(how, float) else how}"
    return None


def _is_rounding(program, eager, draw, expected, wrong):
    """Tell whether a difference is no more than what moving every number by some roundings makes."""
    what, how = wrong
    if isinstance(how, str):
        return False
    spread = 0.0
    for k in range(3):
        moved = dict(outcome(eager, leaves_of(program, draw, 1e-13 * (1 + k)))[0])
        other = dict(expected[0])[what]
        spread = max(spread, apart(moved[what], other) if moved.get(what, other).shape == other.shape else inf)
    return how <= 300 * spread


# -- writes between a call and its pass --------------------------------------------------------------------------------


def fault_after_writes(program, **options):
    """Return which gradient of a compiled program is wrong after a write to what it may have kept; None if none is.

    The gradient of what was there before is right, also where eager refuses the pass; and a compiled pass may refuse, as it may
    have kept other values than eager does.
    """
    f = function_of(program)
    run = cr.compile(f, **options)
    for call, draw in enumerate(DRAWS):
        for k in range(3):
            due, right = (passed(f, program, draw, place) for place in (5 * call + k, None))
            found = passed(run, program, draw, 5 * call + k)
            if isinstance(right, Exception) or due == UNWRITTEN or "modified by an inplace operation" in str(found):
                continue
            if isinstance(found, Exception):
                return f"call {call} (draw {draw}), write {5 * call + k}: raised {found!r}, eager {due!r}"
            wrong = next(
                ((what, how) for (what, x), (_, y) in zip(found, right, strict=True) if is_far(how := apart(x, y))), None
            )
            if wrong is not None and not _is_rounding(program, outside(f, program), draw, (right, None), wrong):
                return f"call {call} (draw {draw}), write {5 * call + k}: {wrong[0]}: {wrong[1]} off, eager {due!r}"
    return None


UNWRITTEN = "no write"


def is_far(how):
    """Tell whether a difference is one that a write makes, not a rounding in single precision."""
    return isinstance(how, str) or how > 1e-3


def passed(run, program, draw, place):
    """Return the gradients of a run, or the error of their pass; a value or a leaf at a place was written to before it."""
    leaves = leaves_of(program, draw)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = run(*leaves)
        except ERRORS as error:
            return error
        written = [x for x in (*made.values(), *leaves) if x.is_floating_point()]
        if place is not None:
            try:
                with cr.no_grad():
                    written[place % len(written)].mul_(1.5)
            except ERRORS:
                return UNWRITTEN
        try:
            return [(f"derivative {i}", array(g.detach())) for i, g in enumerate(gradients(made, leaves, program.seed))]
        except ERRORS as error:
            return error


def check_after_writes(program, **options):
    """Raise AssertionError where a write between a call and its pass gives a wrong gradient."""
    how = fault_after_writes(program, **options)
    if how is not None:
        program = running.cut(program, partial(fault_after_writes, **options))
        raise AssertionError(
            f"{how}\nand cut down: {fault_after_writes(program, **options)}\n{program.script('tests.drawn.compiling')}"
        )


def check(program, **options):
    """Raise AssertionError where a program compiled is not what it is eager, with the program, cut down, as a script."""
    how = fault(program, **options)
    if how is not None:
        program = running.cut(program, partial(fault, **options))
        raise AssertionError(f"{how}\nand cut down: {fault(program, **options)}\n{program.script('tests.drawn.compiling')}")


def show(program, seed=0, end="grad", excuses=()):
    """Print how a program compiled differs from itself, where it does; the text is given as the function that it defines."""
    text = Program(tuple(source_of(program)), seed, end, ())
    print(fault(text))


def source_of(program):
    """Return the lines of a program from the function that a script defines."""
    body = inspect.getsource(program).partition("\n")[2]
    return [line for line in textwrap.dedent(body).splitlines() if not line.startswith("return locals()")]
