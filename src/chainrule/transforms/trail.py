"""The trail of a backward pass: which cotangents came to each node, and who sent them. What explains a gradient follows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from chainrule.core.graph.nodes import LEAF_EDGE, PORT, Node
from chainrule.core.record.placed import whole
from chainrule.core.tensor.value import bottom

Key = tuple[int, int]  # (number of a node, of its result), or (0, id of a leaf)


class Sent(NamedTuple):
    """A cotangent on its way: the node that sent it, the number of the node's edge, the array."""

    node: Node
    edge: int
    g: np.ndarray


class Trail:
    """What was seen of one pass.

    Attributes
    ----------
    came : dict
        Node number → the cotangent of each of its results; None for a result that got none.
    sent : dict
        Key of a value → what was sent to it.
    gave : dict
        Node number → the shape of what it sent along each edge; None for an edge along which it sent nothing.
    seeds : dict
        Key → what the pass was started with, of roots that are leaves.
    kept : dict
        Key → the (node, edge number) pairs that could have sent to it and sent None.
    values : dict
        Key → the value there, of those that were computed once more to be looked at (``transforms.evidence``).
    made_by : callable or None
        Returns what is known of the call that made an array which has no history; None where calls were not looked at.
    """

    __slots__ = ("came", "gave", "kept", "made_by", "seeds", "sent", "values")

    def __init__(self) -> None:
        self.came: dict[int, list] = {}
        self.gave: dict[int, list] = {}
        self.seeds: dict[Key, Any] = {}
        self.values: dict[Key, Any] = {}
        self.made_by: Callable[[Any], Any] | None = None
        self.sent: dict[Key, list[Sent]] = {}
        self.kept: dict[Key, list[tuple[Node, int]]] = {}

    def note(self, node: Node, g: Any, gs: Any) -> None:
        """Note what came to a node, and what it sends on."""
        self.arrive(node, g)
        self.gave[node.id] = [None if x is None else tuple(x.shape) for x in ((gs,) if node.plan.single else gs)]
        for i, (edge, gi) in enumerate(zip(node.edges, (gs,) if node.plan.single else gs, strict=True)):
            if edge is None:
                continue
            if gi is None:
                self.kept.setdefault(key_of(edge), []).append((node, i))
            else:
                self.sent.setdefault(key_of(edge), []).append(Sent(node, i, array_of(gi)))

    def arrive(self, node: Node, g: Any) -> None:
        """Note what came to a node."""
        self.came[node.id] = [None if x is None else array_of(x) for x in (g if g.__class__ is list else (g,))]


def key_of(edge: Any) -> Key:
    """Return what the value at an edge is known by in a trail."""
    if edge._kind == LEAF_EDGE:
        return 0, id(edge)
    return (edge.node.id, edge.index) if edge._kind == PORT else (edge.id, 0)


def array_of(g: Any) -> np.ndarray:
    """Return a cotangent as an array."""
    return np.asarray(bottom(whole(g)))
