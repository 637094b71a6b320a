"""Graphs made of other graphs: with other equations, and the outputs still values of their own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from typing import Any

from chainrule.core.op.declaration import TABLE
from chainrule.core.tensor.tensor import Tensor
from chainrule.transforms.equations import Equation, Graph, Variable


def rebuilt(
    graph: Graph,
    equations: Sequence[Equation],
    outputs: Sequence[Any] | None = None,
    *,
    inputs: Sequence[Variable] | None = None,
    constants: dict[Variable, Tensor] | None = None,
) -> Graph:
    """Return a graph of the equations that its outputs need; what is not given is as in another graph.

    Parameters
    ----------
    graph : Graph
    equations : sequence of Equation
        In an order in which they can run.
    outputs : sequence, optional
    inputs : sequence of Variable, optional
        The graph then has no structure of arguments and results: it is run by :meth:`Graph.run`.
    constants : dict of Variable to Tensor, optional
    """
    if constants is None:
        constants = dict(zip(graph.constants, graph.values, strict=True))
    outputs = graph.outputs if outputs is None else outputs
    if inputs is not None:
        return Graph(inputs, constants, equations, outputs)
    return Graph(graph.inputs, constants, equations, outputs, graph._arguments, graph._in_spec, graph._out_spec)


def alive(graph: Graph) -> Graph:
    """Return a graph without the equations that nothing needs; those that are due stay."""
    return rebuilt(graph, graph.equations)


def with_outputs(graph: Graph, equations: Sequence[Equation], outputs: Sequence[Any]) -> list[Equation]:
    """Return equations whose outputs are the variables that a graph had before, each with memory of its own where it had that.

    Parameters
    ----------
    graph : Graph
        Before: an output that is an input, a constant or an earlier output there is so again.
    equations : sequence of Equation
    outputs : sequence
        What stands for the graph's outputs after the equations. It takes their names, and where it is an input, a constant,
        another output, or shares memory that was not shared, it is copied.
    """
    pairs = [(new, old) for new, old in zip(outputs, graph.outputs, strict=True) if new is not old]
    if not pairs:
        return list(equations)
    made = {r: e for e in equations for r in e.results}
    before = {r: e for e in graph.equations for r in e.results}
    roots = [_root(o, made) for o in outputs]
    taken = {new for new, old in zip(outputs, graph.outputs, strict=True) if new is old and new.__class__ is Variable}
    names: dict[Variable, Variable] = {}
    copies: dict[Variable, Equation] = {}
    for new, old in dict.fromkeys(pairs):
        root = _root(new, made)
        shared = not _is_view(before[old]) and (root not in made or roots.count(root) > 1)
        if new not in made or new in taken or new in names or shared:
            copies[old] = Equation(TABLE["clone"], (new,), {}, (old,), False, True)
        else:
            names[new] = old
    return [_renamed(e, names) for e in (*equations, *copies.values())]


def _renamed(e: Equation, names: dict[Variable, Variable]) -> Equation:
    """Return an equation with other names for some variables."""
    if names and not names.keys().isdisjoint((*[o for o in e.operands if o.__class__ is Variable], *e.results)):
        operands = tuple([names.get(o, o) if o.__class__ is Variable else o for o in e.operands])
        return with_operands(e, operands, tuple([names.get(r, r) for r in e.results]))
    return e


def _root(o: Any, made: dict[Variable, Equation]) -> Any:
    """Return the value in whose memory another may lie."""
    while o.__class__ is Variable and o in made and _is_view(made[o]):
        o = made[o].operands[0]
    return o


def _is_view(e: Equation) -> bool:
    """Tell whether a result may lie in the first operand's memory."""
    return getattr(e.op, "aliasing", None) is not None  # what stands for the op of a custom function says nothing of it


def with_operands(equation: Equation, operands: tuple, results: tuple | None = None) -> Equation:
    """Return the same equation of other operands."""
    results = equation.results if results is None else results
    if equation.__class__ is Equation:
        return Equation(equation.op, operands, equation.params, results, equation.several, equation.recorded)
    found = copy(equation)  # a guard, or a call of a custom function, with attributes of its own
    found.operands, found.results = operands, results
    return found


def uses(equations: Iterable[Equation], outputs: Iterable[Any]) -> dict[Variable, int]:
    """Return how often each variable is an operand or an output."""
    found: dict[Variable, int] = {}
    for equation in equations:
        for o in equation.operands:
            if o.__class__ is Variable:
                found[o] = found.get(o, 0) + 1
    for o in outputs:
        if o.__class__ is Variable:
            found[o] = found.get(o, 0) + 1
    return found
