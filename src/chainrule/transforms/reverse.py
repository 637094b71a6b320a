"""Reverse accumulation: one iterative pass over the recorded graph, from results to leaves.

Nodes are numbered as they are made, so a heap on the numbers visits every node after all nodes that use its result,
with no sort beforehand and no recursion. The same pass serves plain gradients (rules run on payloads) and
`create_graph` (rules run on tensors, and are recorded), at every level.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Any

import numpy as np

from chainrule.core.graph import LEAF_EDGE, NODE, PORT, Node
from chainrule.core.mode import enable_grad
from chainrule.core.op import TABLE
from chainrule.core.quiet import hush, unhush
from chainrule.core.record import plan_for
from chainrule.core.tensor import Tensor, array_of, meta_of, version_of, wrap_at

ndarray = np.ndarray
Entry = list  # [leaf or node, cotangent (a list for several results), whether the pass made that buffer itself]
_storing = threading.Lock()  # `.grad` is read, added to and written: two threads' passes may meet at a leaf


class Pass:
    """One backward pass at one level.

    Parameters
    ----------
    level : int
        Level of the graph.
    create_graph, retain_graph : bool
        Record the pass itself; keep saved values for another pass.
    targets : sequence of edges, optional
        The leaves and nodes whose cotangents are wanted; None wants every leaf's.

    Attributes
    ----------
    leaves : dict
        ``id(leaf)`` → entry, after `run`.
    captured : dict
        ``(node id, output number)`` → cotangent of each target that is not a leaf, after `run`.
    """

    __slots__ = ("captured", "create_graph", "heap", "leaves", "level", "needed", "pending", "retain_graph", "targets", "wanted")

    def __init__(self, level: int, create_graph: bool, retain_graph: bool, targets: Sequence[Any] | None = None):
        self.level, self.create_graph, self.retain_graph, self.targets = level, create_graph, retain_graph, targets
        self.pending: dict[int, Entry] = {}
        self.leaves: dict[int, Entry] = {}
        self.heap: list[int] = []
        self.needed: dict[int, tuple] | None = None
        self.wanted: dict[int, list[int]] | None = None
        self.captured: dict[tuple[int, int], Any] = {}

    def run(self, roots: Sequence[tuple[Any, Any]]) -> Pass:
        """Pull the roots' cotangents, given as (edge, cotangent), back to the leaves or targets."""
        if self.targets is not None:
            self._find_paths([edge for edge, _ in roots])
        token = hush()
        try:
            if self.create_graph:
                with enable_grad():
                    self._sweep(roots)
            else:
                self._sweep(roots)
        finally:
            unhush(token)
        return self

    def _sweep(self, roots: Sequence[tuple[Any, Any]]) -> None:
        level = ~self.level if self.create_graph else self.level
        heap, pending, needed, add = self.heap, self.pending, self.needed, self._add
        free = not self.retain_graph
        for edge, g in roots:
            add(edge, g, False)
        while heap:
            node, g, _ = pending.pop(-heappop(heap))
            while True:
                if node.hooks is not None:
                    self._keep_gradients(node, g)
                plan = node.plan
                if needed is not None:
                    if self.wanted is not None and node.id in self.wanted:
                        self._capture(node, g)
                    mask = needed[node.id]
                    if mask is None:
                        break
                    plan = plan_for(node.op, mask, plan.conjugate)
                gs = plan.pull(node, g, level)
                if free and node.plan.keeps:
                    node.saved = node.out = None
                edges = node.edges
                if len(edges) == 1:
                    edge, gi = edges[0], gs[0]
                    # Along a chain the heap would hold one node: go on without it (130 ns a node).
                    if not heap and edge._kind == NODE and needed is None:
                        node, g = edge, gi
                        continue
                    add(edge, gi, gi.__class__ is ndarray and gi is not g and gi.base is None)
                else:
                    for edge, gi in zip(edges, gs):  # noqa: B905 - one cotangent per edge, by construction
                        if gi is not None and edge is not None:
                            # Fresh: not the cotangent passed on, not a view of anything (rules never return a saved value).
                            add(edge, gi, gi.__class__ is ndarray and gi is not g and gi.base is None)
                break

    def _add(self, edge: Any, g: Any, owned: bool) -> None:
        kind = edge._kind
        if kind == NODE:
            key = edge.id
            entry = self.pending.get(key)
            if entry is None:
                if self.needed is not None and key not in self.needed:
                    return
                heappush(self.heap, -key)
                self.pending[key] = [edge, g, owned]
                return
        elif kind == LEAF_EDGE:
            entry = self.leaves.get(id(edge))
            if entry is None:
                self.leaves[id(edge)] = [edge, g, owned]
                return
        else:
            self._add_to_port(edge, g)
            return
        old = entry[1]
        if entry[2] and g.__class__ is ndarray and old.dtype is g.dtype:
            np.add(old, g, out=old)
        else:
            entry[1] = total = old + g
            entry[2] = total.__class__ is ndarray

    def _add_to_port(self, port: Any, g: Any) -> None:
        node = port.node
        entry = self.pending.get(node.id)
        if entry is None:
            if self.needed is not None and node.id not in self.needed:
                return
            heappush(self.heap, -node.id)
            entry = self.pending[node.id] = [node, [None] * node.width, False]
        slots = entry[1]
        slots[port.index] = g if slots[port.index] is None else slots[port.index] + g

    def _find_paths(self, roots: list) -> None:
        """Work out which nodes lie between the roots and the targets, and which of their inputs do."""
        leaf_ids = {id(t) for t in self.targets or () if t._kind == LEAF_EDGE}
        self.wanted = {}
        for t in self.targets or ():
            if t._kind != LEAF_EDGE:
                node, index = (t.node, t.index) if t._kind == PORT else (t, 0)
                self.wanted.setdefault(node.id, []).append(index)
        seen: dict[int, Node] = {}
        stack = [e.node if e._kind == PORT else e for e in roots if e._kind != LEAF_EDGE]
        while stack:
            node = stack.pop()
            if node.id not in seen:
                seen[node.id] = node
                stack += [e.node if e._kind == PORT else e for e in node.edges if e is not None and e._kind != LEAF_EDGE]
        self.needed = needed = {}
        for key in sorted(seen):  # parents first
            mask = tuple([e is not None and self._leads_on(e, leaf_ids) for e in seen[key].edges])
            if True in mask:
                needed[key] = mask
            elif key in self.wanted:
                needed[key] = None

    def _leads_on(self, edge: Any, leaf_ids: set) -> bool:
        if edge._kind == LEAF_EDGE:
            return id(edge) in leaf_ids
        return (edge.node.id if edge._kind == PORT else edge.id) in self.needed  # type: ignore[operator]

    def _capture(self, node: Node, g: Any) -> None:
        for index in self.wanted[node.id]:  # type: ignore[index]
            self.captured[node.id, index] = g[index] if g.__class__ is list else g

    def _keep_gradients(self, node: Node, g: Any) -> None:
        for index, reference in node.hooks:
            tensor = reference()
            gi = g[index] if g.__class__ is list else g
            if tensor is not None and gi is not None:
                self.store(tensor, gi, False)

    def cotangent(self, edge: Any) -> Any:
        """Return what the pass found for a target: a payload, or a tensor when `create_graph`; None if nothing."""
        if edge._kind == LEAF_EDGE:
            entry = self.leaves.get(id(edge))
            return None if entry is None else entry[1]
        node, index = (edge.node, edge.index) if edge._kind == PORT else (edge, 0)
        return self.captured.get((node.id, index))

    def store(self, tensor: Tensor, g: Any, owned: bool) -> None:
        """Add a cotangent to a tensor's `.grad`, as PyTorch's `AccumulateGrad` does."""
        with _storing:
            meta = meta_of(tensor)
            old = meta.grad
            if self.create_graph:
                meta.grad = TABLE["clone"].call(g) if old is None else old + g
            elif self.level or g.__class__ is not ndarray:
                g = wrap_at(self.level, g)
                if old is None:
                    meta.grad = g
                elif old._node is None and not self.level and old._data.__class__ is not ndarray:
                    old._data = old._data + g._data
                else:
                    meta.grad = old + g
            elif old is None:
                if g.dtype is not tensor._data.dtype:
                    g = g.astype(tensor._data.dtype)
                meta.grad = wrap_at(0, g if owned else g.copy())
            elif old._node is None:
                buffer = array_of(old)
                np.add(buffer, g, out=buffer, casting="same_kind")
                if old._ver is not None:
                    version_of(old).bump()
            else:
                meta.grad = old.detach() + wrap_at(0, g)


def accumulate_leaves(done: Pass) -> None:
    """Add the gradients that a pass found to its leaves' `.grad`."""
    for leaf, g, owned in done.leaves.values():
        done.store(leaf, g, owned)


def result_of(done: Pass, edge: Any) -> Any:
    """Return a target's gradient as a tensor of the pass's level; None if the graph does not use the target."""
    g = done.cotangent(edge)
    if g is None or done.create_graph:
        return g
    if g.__class__ is ndarray and not (edge._kind == LEAF_EDGE and done.leaves[id(edge)][2]):
        g = g.copy()
    return wrap_at(done.level, g)


def edge_of(t: Tensor) -> Any:
    """Return the edge to a tensor that requires grad."""
    return t if t.is_leaf else t._node

