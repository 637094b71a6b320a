"""How code for eager work (``eager``) is made: an op or a rule is traced, fused, and written as one loop nest."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from chainrule.compiler.eager import ABSENT, NUMBER, Recipe, Subject
from chainrule.compiler.loops.fusion import steps_of
from chainrule.compiler.loops.steps import Buffer, NestStep, Steps, View
from chainrule.compiler.plan import cost_of, written
from chainrule.ops.shaping.shape import broadcast_to
from chainrule.transforms.inference import ShapeDtype
from chainrule.transforms.trace import graph_of

ELEMENTS, ROWS = 1 << 16, 64  # for which code is made; it serves any number
_NUMBERS = {"True": True, "False": False, "inf": float("inf"), "-inf": float("-inf"), "nan": float("nan")}


def recipe(subject: Subject, sizes: list, roles: list, params: dict) -> Recipe | None:
    """Return how a kernel is run, if it becomes one nest whose first axis may be of any length.

    Parameters
    ----------
    subject : Subject
    sizes : list of int
        Of the axes but the first.
    roles : list of (str, str)
        For each operand which of the axes it has and its dtype; or ``NUMBER`` and its text, or ``ABSENT``.
    params : dict
    """
    shape = (max(ELEMENTS // prod(sizes), 2) if subject.by_elements else ROWS, *sizes)
    try:
        operands = [ShapeDtype(_held(shape, mask), np.dtype(name)) for mask, name in roles if mask not in (NUMBER, ABSENT)]
        steps = steps_of(graph_of(_function(subject, shape, roles, params), tuple(operands)))
    except Exception:  # NumPy serves eager calls whatever the compiler cannot do
        return None
    return _of_steps(steps, shape, shape if subject.by_elements else shape[:1])


def _held(shape: tuple, mask: str) -> tuple:
    """Return the shape of an operand that has some of the axes."""
    return tuple([n if has == "1" else 1 for n, has in zip(shape, mask, strict=True)]) if "1" in mask else ()


def _function(subject: Subject, shape: tuple, roles: list, params: dict) -> Callable:
    """Return a function of the operands that are arrays."""
    if not subject.by_elements:
        params = {**params, "axis": (1,)}

    def call(*xs: Any) -> Any:
        given: list[Any] = []
        left = iter(xs)
        for mask, text in roles:
            if mask == ABSENT:
                given.append(None)
            elif mask == NUMBER:
                given.append(_number(text))
            else:
                x = next(left)
                given.append(broadcast_to(x, shape=shape) if mask == "00" and not subject.by_elements else x)
        return subject.function(*given, **params)

    return call


def _number(text: str) -> Any:
    if text in _NUMBERS:
        return _NUMBERS[text]
    return int(text) if text.lstrip("-").isdigit() else float(text)


def _of_steps(steps: Steps, shape: tuple, outer: tuple) -> Recipe | None:
    if len(steps.steps) != 1 or steps.steps[0].__class__ is not NestStep:
        return None
    (step,) = steps.steps
    nest, args = step.nest, step.args  # type: ignore[union-attr]
    results = [o.buffer for o in steps.outputs if o.__class__ is View and o.is_whole and o.buffer.kind == "output"]
    buffers: list[Buffer] = [*steps.inputs, *results]
    fits = (
        len(results) == len(steps.outputs) == len(set(results))
        and tuple([n for n in nest.outer if n != 1]) == outer
        and all([b in buffers and not offset for b, offset in args])
        and all([b.shape in (shape, (*shape[:-1], 1)) for b in results])
    )
    if not fits:
        return None
    texts, names = written(steps)
    (text,) = texts.values()
    makes = [(b.dtype.name, b.shape == shape) for b in results]
    return Recipe(text, names[nest], [buffers.index(b) for b, _ in args], cost_of(nest) / prod(outer), makes)  # type: ignore[union-attr]
