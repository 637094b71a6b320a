"""What the program calls its tensors: the expressions that a call's arguments were written as, and what its variables hold."""

from __future__ import annotations

import ast
import gc
import linecache
import os
import sys
from collections.abc import Iterator
from typing import Any

from chainrule.core.graph.nodes import LEAF, LEAF_EDGE, PORT, Node
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import Meta

_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep


class Caller:
    """The frame of the program that called, and the expressions of the call's arguments.

    Attributes
    ----------
    arguments : list of str
        The positional arguments as they were written; empty where the source cannot be read.
    keywords : dict of str
    """

    def __init__(self) -> None:
        frame: Any = sys._getframe(1)
        while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
            frame = frame.f_back
        self.frame = frame
        call = None if frame is None else _call_in(frame)
        self.arguments = [] if call is None else [a for a in call.args if not isinstance(a, ast.Starred)]
        self.keywords = {} if call is None else {k.arg: k.value for k in call.keywords if k.arg}

    def name(self, i: int, keyword: str = "") -> str:
        """Return how an argument was written; "" where that is not known, or too long for a name."""
        node = self.arguments[i] if i < len(self.arguments) else self.keywords.get(keyword)
        text = "" if node is None else ast.unparse(node)
        return text if len(text) <= 40 else ""

    def names(self, i: int, keyword: str, count: int) -> list[str]:
        """Return how the items of an argument were written, if it was a list or tuple of `count`."""
        node = self.arguments[i] if i < len(self.arguments) else self.keywords.get(keyword)
        if isinstance(node, (ast.List, ast.Tuple)) and len(node.elts) == count:
            return [ast.unparse(item) for item in node.elts]
        return [""] * count

    def owner(self, attribute: str) -> Any:
        """Return the object of the first argument where that was written as ``object.attribute``; None if it was not."""
        node = self.arguments[0] if self.arguments else None
        if not isinstance(node, ast.Attribute) or node.attr != attribute:
            return None
        return self._value(node.value)

    def _value(self, node: Any) -> Any:
        """Return what a name, an attribute or an item is in the frame; nothing is called for it but those themselves."""
        if isinstance(node, ast.Name):
            frame = self.frame
            for space in (frame.f_locals, frame.f_globals):
                if node.id in space:
                    return space[node.id]
            return None
        if isinstance(node, ast.Attribute):
            held = self._value(node.value)
            return None if held is None else getattr(held, node.attr, None)
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            held = self._value(node.value)
            try:
                return held[node.slice.value]
            except Exception:  # whatever the program's own container raises
                return None
        return None

    def variables(self) -> dict[str, Any]:
        """Return what the frame's variables hold, those of the module too."""
        return {} if self.frame is None else {**self.frame.f_globals, **self.frame.f_locals}

    def name_of(self, tensor: Any) -> str:
        """Return the variable that holds a tensor, or the module's parameter that it is; "" where none does."""
        for name, value in self.variables().items():
            if value is tensor and not name.startswith("_"):
                return name
        for name, value in self.variables().items():
            named = getattr(type(value), "named_parameters", None)
            if named is not None and not isinstance(value, type):
                for path, parameter in named(value):
                    if parameter is tensor:
                        return f"{name}.{path}"
        return ""


def _call_in(frame: Any) -> ast.Call | None:
    """Return the call that a frame is in, parsed from its source."""
    code = frame.f_code
    positions = list(code.co_positions())
    i = frame.f_lasti // 2
    if i >= len(positions) or None in positions[i]:
        return None
    line, end_line, start, end = positions[i]
    lines = [linecache.getline(code.co_filename, n, frame.f_globals) for n in range(line, end_line + 1)]
    if not lines or not lines[0]:
        return None
    encoded = [text.encode() for text in lines]
    encoded[-1] = encoded[-1][:end]
    encoded[0] = encoded[0][start:]
    try:
        node = ast.parse(b"".join(encoded).decode().strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return None
    return node if isinstance(node, ast.Call) else None


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


def leads_to(root: Any, target: Any) -> bool:
    """Tell whether the history of a tensor leads to another's edge."""
    edge = target if target._node is LEAF else target._node
    start = root if root._node is LEAF else root._node
    return edge is not None and any(e is edge or _same(e, edge) for e in edges_below(start))


def _same(e: Any, edge: Any) -> bool:
    return e._kind == PORT and edge._kind == PORT and e.node is edge.node and e.index == edge.index


def edges_below(start: Any) -> Iterator[Any]:
    """Yield an edge and all that its history has."""
    seen: set[int] = set()
    stack = [start]
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


def nodes_below(root: Tensor) -> Iterator[Node]:
    """Yield the nodes that a tensor's history has; one of several results perhaps more than once."""
    for edge in edges_below(root if root._node is LEAF else root._node):
        if edge._kind != LEAF_EDGE:
            yield edge.node if edge._kind == PORT else edge


def loss_for(target: Tensor, caller: Caller) -> Tensor | None:
    """Return the latest scalar among the caller's variables whose history leads to a tensor."""
    found = None
    for value in caller.variables().values():
        if not isinstance(value, Tensor) or value._node is None or value._node is LEAF or value._level or value is target:
            continue
        try:
            if not leads_to(value, target):
                continue
        except RuntimeError:  # a view that may not be used
            continue
        rank = (value.numel() == 1, _id(value))
        if found is None or rank > found[0]:
            found = rank, value
    return None if found is None else found[1]


def _id(t: Tensor) -> int:
    return t._node.node.id if t._node._kind == PORT else t._node.id
