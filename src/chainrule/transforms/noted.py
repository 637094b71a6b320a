"""The graph of a tensor that was recorded, as equations: its nodes' ops once more, on the operands that were noted.

The nodes tell what was computed from what, their notes with values (``core.record.notes``) the rest: numbers, constants, and
what the tensors that it starts from held. What left no node (detached, under ``no_grad``, of constants alone) is a constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.graph.nodes import LEAF, LEAF_EDGE, PORT, Node
from chainrule.core.mode.grad_mode import no_grad
from chainrule.core.record.notes import OVERWRITTEN, Note, note_of
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import bottom
from chainrule.transforms.equations import Equation, Graph, Variable
from chainrule.transforms.paths import edge_of
from chainrule.transforms.trace import CallEquation, CallOp
from chainrule.transforms.trail import Key, key_of


class Noted:
    """What a tensor was computed by, as far as its history goes.

    Attributes
    ----------
    graph : Graph
        Of the tensor as a function of the inputs.
    inputs : tuple of Tensor
        The inputs as they were when it was recorded, without history.
    notes : dict
        Equation → the note of the node that it stands for.
    """

    def __init__(self, out: Tensor, inputs: Sequence[Tensor], name: str):
        """Read the history of `out` down to the inputs; `name` is that of the function to speak of in errors."""
        self._name = name
        self.notes: dict[Equation, Note] = {}
        self._constants: dict[Variable, Tensor] = {}
        self._known: dict[int, Variable] = {}  # id of a noted array → its variable
        keys = [key_of(edge_of(t)) for t in inputs]
        self._names = {key: f"inputs[{i}]" if len(inputs) > 1 else "the input" for i, key in enumerate(keys)}
        self._noted: dict[Key, Tensor] = {}  # of an input, its value as the ops saw it
        self._values: dict[Variable, Tensor] = {}
        given = [Variable(tuple(t.shape), t.dtype) for t in inputs]
        self._variables: dict[Key, Variable] = dict(zip(keys, given, strict=True))
        self._refuse_nested(inputs)
        with no_grad():
            for node in _history(out, self._variables):
                self._add(node)
        self.graph = Graph(given, self._constants, list(self.notes), [self._variables[key_of(edge_of(out))]])
        self.inputs = tuple([self._noted.get(key, t.detach()) for key, t in zip(keys, inputs, strict=True)])

    def _refuse_nested(self, inputs: Sequence[Tensor]) -> None:
        """Raise where an input is computed from another, which then cannot be exact and differentiated through at once."""
        for t in inputs:
            if t._node is LEAF:
                continue
            found = {key_of(e) for node in _history(t, {}) for e in node.edges if e is not None}
            inner = next((key for key in self._names if key in found), None)
            if inner is not None:
                raise RuntimeError(
                    f"{self._name}: {self._names[key_of(edge_of(t))]} is computed from {self._names[inner]}: ask for the one "
                    "and then for the other"
                )

    def _add(self, node: Any) -> None:
        """Add the equation of a node."""
        note = note_of(node)
        if note is None or not note.has_values:
            raise RuntimeError(
                f"{self._name}: {node.name()} was recorded without its values: record the loss under "
                "autograd.graph.noting(values=True), or give a function and its inputs"
            )
        places = getattr(node, "positions", range(len(node.edges)))
        edges = dict(zip(places, node.edges, strict=True))
        noted = note.operands()
        operands = tuple([self._operand(node, edges.get(i), x) for i, x in enumerate(noted)])
        values = tuple([self._value(o) for o in operands])
        if node.plan.op is None:
            self._add_call(node, note, operands, values)
            return
        out = Equation(node.plan.op, operands, node.params, (), False, True).evaluate(values)
        several = isinstance(out, (tuple, list))
        outs = list(out) if several else [out]
        results = self._made([(node.id, i) for i in range(len(outs))], outs)
        self.notes[Equation(node.plan.op, operands, node.params, results, several, True)] = note

    def _add_call(self, node: Any, note: Note, operands: tuple, values: tuple) -> None:
        """Add the equation of a custom function's node."""
        op: Any = CallOp(node.rules)
        copies = tuple([v.clone() if isinstance(v, Tensor) else v for v in values])
        outs = CallEquation(op, operands, {"above": 0}, (), True, True).evaluate(copies)
        if not all([_is_same(a, b) for a, b in zip(values, copies, strict=True)]):
            raise RuntimeError(f"{self._name}: {op.name} writes to its arguments in place, and cannot be computed once more")
        numbers = [i for i, described in enumerate(node.outputs) if described is not None]
        results = self._made([(node.id, i) for i in numbers], list(outs))
        self.notes[CallEquation(op, operands, {"above": 0}, results, True, True)] = note

    def _made(self, keys: list[Key], outs: list[Tensor]) -> tuple[Variable, ...]:
        found = []
        for key, out in zip(keys, outs, strict=True):
            variable = Variable(tuple(out.shape), out.dtype)
            self._variables.setdefault(key, variable)  # an input stays one
            self._values[variable] = out
            found.append(variable)
        return tuple(found)

    def _operand(self, node: Node, edge: Any, noted: Any) -> Any:
        """Return an operand of a node: an input, what another node gave, a constant."""
        if edge is not None:
            key = key_of(edge)
            variable = self._variables.get(key)
            if variable is not None and key not in self._names:
                return variable
            if noted is OVERWRITTEN:
                who = self._names.get(key, "a tensor")
                raise RuntimeError(
                    f"{self._name}: {who} was written to in place after {node.name()} had used it, and its old values are "
                    "lost: ask before the write, as of an optimizer's step, or give a function and its inputs"
                )
            if variable is not None:
                self._noted[key] = self._values[variable] = wrap(noted)
                return variable
        if noted is OVERWRITTEN:
            raise RuntimeError(
                f"{self._name}: a constant that {node.name()} used was written to in place afterwards, and its old values are "
                "lost: ask before the write, or give a function and its inputs"
            )
        return self._constant(noted) if isinstance(noted, (np.ndarray, np.generic)) else noted

    def _constant(self, array: Any) -> Variable:
        variable = self._known.get(id(array))
        if variable is None:
            value = wrap(array)
            variable = self._known[id(array)] = Variable(tuple(value.shape), value.dtype)
            self._constants[variable] = self._values[variable] = value
        return variable

    def _value(self, operand: Any) -> Any:
        return self._values[operand] if operand.__class__ is Variable else operand


def _history(out: Tensor, cut: dict[Key, Variable]) -> list[Any]:
    """Return the nodes that lead to a tensor from the inputs, or from other leaves, in the order in which they were made."""
    found: dict[int, Node] = {}
    stack = [edge_of(out)]
    while stack:
        edge = stack.pop()
        if edge is None or edge._kind == LEAF_EDGE or key_of(edge) in cut:
            continue
        node = edge.node if edge._kind == PORT else edge
        if node.id not in found:
            found[node.id] = node
            stack += node.edges
    return [found[i] for i in sorted(found)]


def leaves_of(out: Tensor) -> list[Tensor]:
    """Return the leaves that a tensor's history leads to, the first that was used first."""
    nodes = _history(out, {})
    edges = [e for node in nodes for e in node.edges if e is not None and e._kind == LEAF_EDGE]
    return list({id(e): e for e in ([out] if out._node is LEAF else edges)}.values())


def _is_same(a: Any, b: Any) -> bool:
    if not isinstance(a, Tensor):
        return True
    x, y = bottom(a), bottom(b)
    return bool(np.array_equal(x, y, equal_nan=np.asarray(x).dtype.kind in "fc"))
