"""Paths: what lies between the roots of a pass and its targets, so that the pass visits and computes no more than that.

The search costs a fifth of the pass that it saves from going astray, where it finds that all it meets leads on. Nothing that
was recorded before the oldest target can lead to it, so a gradient taken near the end of a long history costs what is near.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chainrule.core.graph.nodes import LEAF_EDGE, PORT, Node
from chainrule.core.record.placed import whole
from chainrule.core.tensor.tensor import Tensor


class Paths:
    """The way from roots to targets.

    Attributes
    ----------
    accumulates : bool
        The targets' cotangents are added to their `.grad`.
    leaf_ids : set of int
        The `id()` of the targets that are leaves.
    wanted : dict
        Node that is a target, or has a result that is one → the numbers of these results.
    needed : set of Node, or None
        The nodes to visit: they lead on to a target, or are one. None if all there are do.
    mixed, ends : set of Node
        Of those, which lead elsewhere too, so that the pass pulls along their :meth:`mask`; and which lead no further. Unset
        if `needed` is None.
    captured : dict
        (node, output number) → cotangent, filled by the pass, for targets that are not leaves.
    inner : bool
        The pass is part of another's, through what a function has recorded for itself: it ends at targets, though they may
        lead to others, and hooks on leaves are the outer pass's to call.
    """

    __slots__ = ("accumulates", "captured", "ends", "inner", "leaf_ids", "mixed", "needed", "wanted")
    ends: set[Node]
    mixed: set[Node]

    def __init__(self, roots: Iterable[Any], targets: Iterable[Any], accumulates: bool = False, inner: bool = False):
        self.accumulates, self.inner = accumulates, inner
        self.leaf_ids: set[int] = set()
        self.wanted: dict[Node, list[int]] = _NOTHING
        self.captured: dict[tuple[Node, int], Any] = _NOTHING
        oldest = None
        for t in targets:
            if t._kind == LEAF_EDGE:
                self.leaf_ids.add(id(t))
                made = getattr(t, "_born", 0)
            else:
                if not self.wanted:
                    self.wanted, self.captured = {}, {}
                node, index = (t.node, t.index) if t._kind == PORT else (t, 0)
                self.wanted.setdefault(node, []).append(index)
                made = node.id
            oldest = made if oldest is None or made < oldest else oldest
        self.needed: set[Node] | None = None
        self._search(roots, oldest or 0)

    def _search(self, roots: Iterable[Any], oldest: int) -> None:
        """Find which nodes under the roots lead on to a target; none that is older than the oldest target does.

        Where every node that has edges to no other node has one to a target, all nodes lead on: those below them do.
        """
        trail: list[Node] = []  # what comes before the first fork, where no node is met twice
        seen: set[Node] | None = None
        mixed: list[Node] = []
        ends: list[Node] = []
        leaf_ids, astray, inner = self.leaf_ids, False, self.inner
        stack = [edge.node if edge._kind == PORT else edge for edge in roots if edge._kind != LEAF_EDGE]
        if len(stack) > 1:
            seen = set()
        while stack:
            node = stack.pop()
            while True:
                if seen is None:
                    trail.append(node)
                elif node in seen:
                    break
                else:
                    seen.add(node)
                if inner and node in self.wanted:
                    ends.append(node)
                    break
                plan, edges = node.plan, node.edge
                if plan.pair:
                    edges = (edges, node.edge2)
                elif plan.single:
                    if edges.__class__ is Node and edges.id >= oldest:
                        node = edges  # down a chain without the stack: half the time
                        continue
                    edges = (edges,)
                here, leads, lost, first = node, False, False, True
                for edge in edges:
                    kind = edge.__class__
                    if kind is Node:
                        below = edge
                    elif edge is None:
                        continue
                    elif kind is Tensor or edge._kind == LEAF_EDGE:
                        if id(edge) in leaf_ids:
                            leads = True
                        else:
                            lost = True
                        continue
                    else:
                        below = edge.node if edge._kind == PORT else edge
                    if below.id < oldest:
                        lost = True
                    elif first:
                        node, first, leads = below, False, True
                    else:
                        stack.append(below)
                        if seen is None:
                            seen = set()
                if not leads:
                    if here in self.wanted:
                        ends.append(here)
                    else:
                        astray = True
                elif lost:
                    mixed.append(here)
                if first:
                    break
        found = trail if seen is None else [*trail, *seen]
        if astray:
            self._prune(found)
        elif mixed or self.wanted:
            self.needed, self.mixed, self.ends = set(found), set(mixed), set(ends)

    def _prune(self, found: list[Node]) -> None:
        """Leave out the nodes that lead to no target."""
        self.needed, self.mixed, self.ends = needed, mixed, ends = set(), set(), set()
        for node in sorted(found, key=_number):  # parents first
            leads = [self.leads(edge) for edge in node.edges if edge is not None]
            if True in leads and not (self.inner and node in self.wanted):
                needed.add(node)
                if False in leads:
                    mixed.add(node)
            elif node in self.wanted:
                needed.add(node)
                ends.add(node)

    def leads(self, edge: Any) -> bool:
        """Tell whether an edge leads on to a target."""
        if edge is None:
            return False
        if edge._kind == LEAF_EDGE:
            return id(edge) in self.leaf_ids
        return self.needed is None or (edge.node if edge._kind == PORT else edge) in self.needed

    def mask(self, node: Node) -> tuple[bool, ...]:
        """Tell which edges of a node lead on."""
        return tuple([self.leads(edge) for edge in node.edges])

    def capture(self, node: Node, g: Any) -> None:
        """Keep the cotangent of a node that is a target."""
        for index in self.wanted[node]:
            self.captured[node, index] = whole(g[index] if g.__class__ is list else g)


_NOTHING: dict[Any, Any] = {}
_SHORT = 8


def lead_on(root: Any, targets: Iterable[Any]) -> bool:
    """Tell at once that a short graph without forks leads to nothing but targets, all leaves: there are no paths to seek.

    `Paths` takes 1.2 µs of the 3 that a pass over two nodes takes; this 0.4.
    """
    leaves = set()
    for t in targets:
        if t._kind != LEAF_EDGE:
            return False
        leaves.add(id(t))
    for _ in range(_SHORT):
        if root.__class__ is not Node:
            return id(root) in leaves
        plan, edge = root.plan, root.edge
        if plan.pair:
            root = root.edge2
            if root is None or edge.__class__ is Node:
                root, edge = edge, root
            if edge is not None and id(edge) not in leaves:
                return False
        elif plan.single:
            root = edge
        else:
            return False
    return False


def _number(node: Node) -> int:
    return node.id


def edge_of(t: Tensor) -> Any:
    """Return the edge to a tensor that requires grad."""
    return t if t.is_leaf else t._node
