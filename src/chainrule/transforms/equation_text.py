"""A graph as text: one line an equation, with shapes, dtypes and stable names."""

from __future__ import annotations

from itertools import count
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.core.generator import Generator, default_generator
from chainrule.core.op.declaration import Op

if TYPE_CHECKING:
    from chainrule.transforms.equations import Equation, Graph, Variable

_MOST = 60  # characters of one static parameter


def graph_text(graph: Graph) -> str:
    """Return the text of a graph."""
    numbers = count()
    names: dict[Variable, str] = {}

    def typed(v: Variable) -> str:
        names[v] = _letters(next(numbers))
        return f"{names[v]}: {v}"

    lines = [f"graph({', '.join([typed(v) for v in graph.inputs])}):"]
    for v, value in zip(graph.constants, graph.values, strict=True):
        lines.append(f"    {typed(v)} = {_constant(value)}")
    for equation in graph.equations:
        results = ", ".join([typed(v) for v in equation.results]) or "()"
        lines.append(f"    {results} = {_right(equation, names)}")
    lines.append(f"    return {', '.join([names.get(o) or repr(o) for o in graph.outputs]) or 'nothing'}")
    return "\n".join(lines)


def _letters(n: int) -> str:
    """Return the n-th of a, b, …, z, aa, ab, and so on."""
    name = ascii_lowercase[n % 26]
    while n >= 26:
        n = n // 26 - 1
        name = ascii_lowercase[n % 26] + name
    return name


def _constant(value: Any) -> str:
    if value._level:
        return "a captured value of another transform"
    if value.requires_grad:
        return "a captured tensor that requires grad"
    return f"constant {value._data}" if not value.ndim else "constant"


def _right(equation: Equation, names: dict) -> str:
    operands = [names.get(o) or _operand(o) for o in equation.operands]
    params = [f"{k}={_param(v)}" for k, v in equation.params.items() if not callable(v)]
    return f"{equation.op.name}({', '.join(operands + params)}){'' if equation.recorded else '  # no_grad'}"


def _operand(value: Any) -> str:
    if isinstance(value, Generator):
        return "default_generator" if value is default_generator else "generator"
    return repr(value)


def _param(value: Any) -> str:
    """Return a static parameter in short."""
    if isinstance(value, slice):
        parts = ["" if p is None else str(p) for p in (value.start, value.stop, value.step)]
        return ":".join(parts if value.step is not None else parts[:2])
    if value is Ellipsis:
        return "..."
    if value.__class__ in (tuple, list):
        inner = ", ".join([_param(v) for v in value])
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if value.__class__ is dict:
        return f"{{{', '.join([f'{k}: {_param(v)}' for k, v in value.items()])}}}"
    text = value.name if isinstance(value, (np.dtype, Op)) else repr(value)
    return text if len(text) <= _MOST else f"{text[:_MOST]}…"
