"""The history of tensors: what it leads to, whose gradient a tensor is, and which losses lead to one."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from typing import Any

from chainrule.core.graph.nodes import LEAF, LEAF_EDGE, PORT, Node
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import Meta
from chainrule.transforms.trail import Key, key_of


def leaf_of(gradient: Tensor) -> Tensor | None:
    """Return the tensor whose `.grad` a tensor is; None if it is nobody's."""
    for meta in gc.get_referrers(gradient):
        held = meta if meta.__class__ is Meta else None
        if held is None and isinstance(meta, dict):
            held = next((o for o in gc.get_referrers(meta) if o.__class__ is Meta and o.__dict__ is meta), None)
        if held is None or held.grad is not gradient:
            continue
        for owner in gc.get_referrers(held):
            if isinstance(owner, Tensor):
                return owner
    return None


def edges_below(*roots: Tensor) -> Iterator[Any]:
    """Yield the edges of tensors and all that their histories have."""
    seen: set[int] = set()
    stack = [_edge_of(root) for root in roots]
    while stack:
        edge = stack.pop()
        if edge is None or getattr(type(edge), "_kind", LEAF_EDGE) is None:
            continue
        yield edge
        if edge._kind != LEAF_EDGE:
            node: Node = edge.node if edge._kind == PORT else edge
            if node.id not in seen:
                seen.add(node.id)
                stack += [e for e in node.edges if e is not None]


def nodes_below(*roots: Tensor) -> Iterator[Node]:
    """Yield the nodes that the histories of tensors have; one of several results perhaps more than once."""
    for edge in edges_below(*roots):
        if edge._kind != LEAF_EDGE:
            yield edge.node if edge._kind == PORT else edge


def losses_for(target: Tensor, variables: Iterable[Any]) -> list[Tensor]:
    """Return the tensors that are alive whose history leads to another and which no other one's has, the likeliest loss first.

    That is one among some variables; a scalar; the latest.
    """
    alive = {id(t): t for t in gc.get_objects() if issubclass(type(t), Tensor) and t is not target and has_history(t)}
    users: dict[Key, list[Node]] = {}
    for node in {node.id: node for node in nodes_below(*alive.values())}.values():
        for edge in node.edges:
            if edge is not None:
                users.setdefault(key_of(edge), []).append(node)
    leading = _above(key_of(_edge_of(target)), users)
    found = [t for t in alive.values() if (key := key_of(_edge_of(t)))[0] in leading and key not in users]
    own = {id(v) for v in variables}
    return sorted(found, key=lambda t: (id(t) in own, t.numel() == 1, key_of(_edge_of(t))), reverse=True)


def _above(start: Key, users: dict[Key, list[Node]]) -> set[int]:
    """Return the numbers of the nodes that lead to a value."""
    found: set[int] = set()
    stack = [*users.get(start, ())]
    while stack:
        node = stack.pop()
        if node.id not in found:
            found.add(node.id)
            stack += [user for i in range(getattr(node, "width", 1) or 1) for user in users.get((node.id, i), ())]
    return found


def has_history(t: Tensor) -> bool:
    """Tell whether a tensor is what a recorded op gave; one that may not be used is none."""
    if t._level or t._node is None or t._node is LEAF:
        return False
    try:
        return t._node._kind != LEAF_EDGE
    except RuntimeError:  # a view that may not be used
        return False


def number_of(t: Tensor) -> int:
    """Return the number of the node that gave a tensor: later ones have larger numbers; 0 of a leaf."""
    return key_of(_edge_of(t))[0]


def _edge_of(t: Tensor) -> Any:
    return t if t._node is LEAF else t._node
