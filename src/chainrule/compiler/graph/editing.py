"""Editing: a graph put together anew, with some equations left out and others before given positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.compiler.graph.rebuilding import rebuilt
from chainrule.core.op.declaration import TABLE
from chainrule.transforms.equations import Equation, Graph, Variable


class Editing:
    """A graph whose equations are put together anew: some are left out, others are put before a position."""

    def __init__(self, graph: Graph):
        self.graph, self.equations = graph, graph.equations
        self.position = {r: i for i, e in enumerate(graph.equations) for r in e.results}
        self.left_out: set[int] = set()
        self.before: dict[int, list[Equation]] = {}
        self._joined: dict[tuple, Variable] = {}
        self._at: dict[Variable, int] = {}

    def maker(self, o: Any, name: str) -> Equation | None:
        """Return what makes an operand, if it is an op of this name."""
        i = self.position.get(o, -1) if o.__class__ is Variable else -1
        return self.equations[i] if i >= 0 and self.equations[i].op is TABLE[name] else None

    def put(self, at: int, result: Variable, name: str, *operands: Any, **params: Any) -> Variable:
        """Put an equation before a position; return its result."""
        self.before.setdefault(at, []).append(Equation(TABLE[name], operands, params, (result,), False, True))
        return result

    def terms(self, root: Equation, used: dict[Variable, int]) -> tuple[list, list[int]]:
        """Return the terms of a sum of tensors of its shape, in order, and the positions of the inner additions."""
        leaves: list[Any] = []
        inner: list[int] = []
        stack = list(reversed(root.operands))
        while stack:
            o = stack.pop()
            e = self.maker(o, "add")
            if e is not None and used.get(o) == 1 and o.shape == root.results[0].shape:
                inner.append(self.position[o])
                stack += reversed(e.operands)
            else:
                leaves.append(o)
        return leaves, inner

    def joined(self, at: int, parts: Sequence[Variable], axis: int) -> Variable:
        """Put a cat before a position; the same parts are joined once, if that was before."""
        key = (axis, *parts)
        found = self._joined.get(key)
        if found is None or self._at[found] > at:
            shape = list(parts[0].shape)
            shape[axis] = sum([p.shape[axis] for p in parts])
            found = self._joined[key] = self.put(at, Variable(tuple(shape), parts[0].dtype), "cat", *parts, axis=axis)
            self._at[found] = at
        return found

    def result(self) -> Graph:
        """Return the new graph."""
        if not self.before:
            return self.graph
        made: list[Equation] = []
        for i, e in enumerate(self.equations):
            made += self.before.get(i, ())
            if i not in self.left_out:
                made.append(e)
        return rebuilt(self.graph, made)
