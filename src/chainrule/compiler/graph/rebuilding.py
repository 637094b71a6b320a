"""Graphs made of other graphs: with other equations, and the outputs still values of their own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    """Return a graph without the equations that nothing needs; those of ops that are not pure stay."""
    return rebuilt(graph, graph.equations)


def separate(graph: Graph, equations: list[Equation], outputs: Sequence[Any]) -> list:
    """Return the outputs of a new graph, copied where one that had memory of its own lost it; add the copies to `equations`.

    Parameters
    ----------
    graph : Graph
        Before: an output that is an input, a constant or an earlier output there may be so again.
    equations, outputs
        Of the new graph.
    """
    if all([new is old for new, old in zip(outputs, graph.outputs, strict=True)]):
        return list(outputs)
    made = {r: e for e in equations for r in e.results}
    before = {r: e for e in graph.equations for r in e.results}
    roots = [_root(o, made) for o in outputs]
    found: list[Any] = []
    for new, old, root in zip(outputs, graph.outputs, roots, strict=True):
        if new is not old and old.__class__ is Variable and old in before:
            is_own = before[old].op.aliasing is None
            if new not in made or new in found or (is_own and (root not in made or roots.count(root) > 1)):
                copied = Variable(new.shape, new.dtype)
                equations.append(Equation(TABLE["clone"], (new,), {}, (copied,), False, True))
                new = copied
        found.append(new)
    return found


def _root(o: Any, made: dict[Variable, Equation]) -> Any:
    """Return the value in whose memory another may lie."""
    while o.__class__ is Variable and o in made and made[o].op.aliasing is not None:
        o = made[o].operands[0]
    return o


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
