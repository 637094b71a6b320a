"""What a graph must be: an executable specification, which tests run after each pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.core.op.declaration import ELEMENTWISE, Op
from chainrule.core.op.results import DYNAMIC
from chainrule.core.types import dtype as dtypes
from chainrule.transforms.equations import Equation, Graph, Variable


class MalformedGraphError(Exception):
    """A graph is not what it says it is."""


def check(graph: Graph) -> None:
    """Raise unless each variable is made once and before its uses, and has the shape and dtype that its op declares.

    Raises
    ------
    MalformedGraphError
        It names the equation.
    """
    known: set[Variable] = set()
    for v in (*graph.inputs, *graph.constants):
        _define(known, v, "the graph")
    for v, value in zip(graph.constants, graph.values, strict=True):
        if tuple(value.shape) != v.shape or value.dtype is not v.dtype:
            raise MalformedGraphError(f"a constant is {value.dtype}{list(value.shape)}, and its variable {v}")
    for i, equation in enumerate(graph.equations):
        where = f"equation {i} ({equation.op.name})"
        for o in equation.operands:
            if o.__class__ is Variable and o not in known:
                raise MalformedGraphError(f"{where}: an operand {o} is used before it is made")
        if equation.op.__class__ is Op:
            _check_call(equation, where)
        for r in equation.results:
            _define(known, r, where)
    for o in graph.outputs:
        if o.__class__ is Variable and o not in known:
            raise MalformedGraphError(f"an output {o} is never made")


def _define(known: set[Variable], v: Variable, where: str) -> None:
    if v in known:
        raise MalformedGraphError(f"{where}: {v} is made twice")
    if v.shape.__class__ is not tuple or v.dtype.__class__ is not dtypes.dtype:
        raise MalformedGraphError(f"{where}: {v.shape!r} is no shape, or {v.dtype!r} no dtype")
    known.add(v)


def _check_call(equation: Equation, where: str) -> None:
    """Raise unless the operands, parameters and results of an equation are those that its op declares."""
    op = equation.op
    if not op.variadic and len(equation.operands) != len(op.inputs):
        raise MalformedGraphError(f"{where}: {len(equation.operands)} operands for {op.inputs}")
    if set(equation.params) != set(op.params):
        raise MalformedGraphError(f"{where}: parameters {list(equation.params)} for {op.params}")
    if op.shape is None or op.dtype is None:
        return
    if op.kind == ELEMENTWISE and op.promotion != "free":
        given = {o.dtype for o in equation.operands if o.__class__ is Variable}
        if len(given) > 1:
            raise MalformedGraphError(f"{where}: operands of several dtypes, {given}")
    try:
        said = result_of(op, equation.operands, equation.params)
    except Exception as error:
        raise MalformedGraphError(f"{where}: {error}") from error
    said = said if said.__class__ is list else [said]
    if len(said) != len(equation.results) or (len(said) > 1 and not equation.several):
        raise MalformedGraphError(f"{where}: {len(equation.results)} results, and its op gives {len(said)}")
    for (shape, dtype), r in zip(said, equation.results, strict=True):
        if (shape is not DYNAMIC and tuple(shape) != r.shape) or dtype != r.dtype.numpy:
            raise MalformedGraphError(f"{where}: a result is {r}, and its op gives {dtype}{shape}")


def result_of(op: Op, operands: Sequence[Any], params: dict) -> Any:
    """Return (shape, NumPy dtype) of an op's result for variables and numbers, a list of them for several."""
    shapes = [o.shape if o.__class__ is Variable else None if o is None else () for o in operands]
    given = [o.dtype.numpy if o.__class__ is Variable else None if o is None else o.__class__ for o in operands]
    return op.result(shapes, given, params)
