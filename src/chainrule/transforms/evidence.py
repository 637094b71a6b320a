"""What is known of one recorded op after the fact: its operands and results, its slopes, which elements reach which.

Notes with values (``core.record.notes``) tell most; without them, what the node saved for its rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import numpy as np

from chainrule.core.call.silence import hush, unhush
from chainrule.core.graph.nodes import LEAF_EDGE, PORT, Node
from chainrule.core.op.declaration import ELEMENTWISE, Op
from chainrule.core.op.reach import Call, links_of
from chainrule.core.record.inspection import input_name
from chainrule.core.record.notes import OVERWRITTEN, note_of
from chainrule.core.record.unpacking import values_of
from chainrule.core.tensor.value import bottom
from chainrule.transforms.trail import Trail, key_of

Place = tuple[int, ...]
_DEPTH = 30  # ops that are computed once more, one behind the other, to know an operand


class Evidence:
    """What is known of one node.

    Attributes
    ----------
    node : Node
    op : Op or None
        None for a custom function's.
    note : Note or None
    operands, results : list
        Arrays, numbers; None for what is not known.
    """

    def __init__(self, node: Node, trail: Trail | None = None):
        self.node: Any = node
        self.trail = trail
        self.op: Op | None = getattr(node.plan, "op", None)
        self.note: Any = note_of(node)
        self.params: dict = getattr(node, "params", {})
        self.operands, self.results = self._values()

    @classmethod
    def of_call(cls, op: Op, operands: list, results: list, params: dict, place: Any) -> Evidence:
        """Return what is known of a call that left no node."""
        self = cls.__new__(cls)
        self.node, self.trail, self.op, self.note, self.params = None, None, op, place, params
        self.operands, self.results = operands, results
        return self

    def _values(self) -> tuple[list, list]:
        width = getattr(self.node, "width", 1) or 1
        if self.note is not None and self.note.has_values:
            operands = [None if v is OVERWRITTEN else v for v in self.note.operands()]
            results = [None if v is OVERWRITTEN else v for v in self.note.results()]
            return operands, results
        nothing = [None] * len(self.node.edges), [None] * width
        if self.op is None or not self.node.plan.keeps:
            return nothing
        try:
            inputs, out = values_of(self.node)
        except RuntimeError:  # freed, or written to
            return nothing
        outs = list(out) if out.__class__ is tuple else [out]
        return [None if x is None else bottom(x) for x in inputs] or nothing[0], [
            None if o is None else bottom(o) for o in outs
        ]

    def filled(self) -> Evidence:
        """Find the operands and results that were not kept, as far as they can be computed once more, and return this."""
        if self.node is not None and self.trail is not None and self.op is not None:
            self._fill(self.trail, _DEPTH)
        return self

    def _fill(self, trail: Trail, depth: int) -> None:
        edges, op = self.node.edges, self.op
        for k, x in enumerate(self.operands):
            if x is None and k < len(edges) and edges[k] is not None and not _is_written(edges[k], self.node.id):
                self.operands[k] = value_at(edges[k], trail, depth)
        unknown = [k for k, x in enumerate(self.operands) if x is None and not self._is_absent(k)]
        if self.results[0] is not None or unknown or op is None or not op.pure:
            return
        outs = _tried(lambda: op.backend.kernel(*self.operands, **self.params))
        if outs is not None:
            self.results = list(outs) if outs.__class__ in (tuple, list) else [outs]

    def _is_absent(self, k: int) -> bool:
        """Tell whether the call had no such operand."""
        if self.note is not None and self.note.has_values:
            return True
        saves = self.node.plan.saves
        return k < len(saves) and bool(saves[k]) and self.node.saved is not None  # what was freed is not known

    @property
    def name(self) -> str:
        """The op's name, or the custom function's."""
        return self.node.rules.name if self.op is None else self.op.name  # type: ignore[attr-defined]

    @property
    def is_elementwise(self) -> bool:
        """Whether an element of the result depends on one of each operand alone."""
        return self.op is not None and self.op.kind == ELEMENTWISE

    def operand_name(self, k: int) -> str:
        """Return PyTorch's name of an operand."""
        return f"argument {k}" if self.op is None else input_name(self.op, k)

    def position(self, k: int) -> int:
        """Return which operand an edge is for."""
        positions = getattr(self.node, "positions", None)
        return k if positions is None else positions[k]

    def slopes(self, k: int, g: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Return an elementwise op's cotangents, before they are summed to the operand's shape, and its derivative.

        None where a value that the rule needs is not known.
        """
        op = self.op
        if op is None or op.kind != ELEMENTWISE:
            return None
        rule: Any = op.rules[0 if op.variadic else k]
        needed = [self.operands[i] for kind, i in rule.sources if kind == "in" and i < len(self.operands)]
        if any(v is None for v in needed) or (rule.uses("out") and self.results[0] is None):
            return None

        def pulled(c: np.ndarray) -> np.ndarray:
            found = np.asarray(rule((c,), self.operands, None, self.results[0], None, self.params, True))
            return np.broadcast_to(found, np.broadcast_shapes(found.shape, g.shape))

        return _tried(lambda: (pulled(g), pulled(np.ones_like(g))))

    def reached(self, k: int, marked: np.ndarray, came: list) -> list[np.ndarray]:
        """Return for each result which of its elements depend on a marked one of the operand of an edge.

        All of them where the op's operands are not known well enough to tell.
        """
        shapes = [np.shape(r if c is None else c) for c, r in zip(came, self._outs(came), strict=True)]
        try:
            links = self._links(self.position(k), marked, came)
            found = [
                np.zeros(shape, bool) if link is None else link.forward(marked.ravel(), prod(shape)).reshape(shape)
                for link, shape in zip(links, shapes, strict=True)
            ]
        except (ValueError, IndexError):  # examples of a batch come between, or an operand is not known
            found = [spread(marked, shape) if self.is_elementwise else np.ones(shape, bool) for shape in shapes]
        return found

    def _outs(self, came: list) -> list:
        return self.results if len(self.results) == len(came) else [None] * len(came)

    def _links(self, k: int, marked: np.ndarray, came: list) -> list:
        """Return the links from an operand to each result."""
        args = list(self.operands)
        if self.op is None:
            raise ValueError("what a custom function reads is not known")
        for i, shape in enumerate([] if self.trail is None or self.node is None else self.trail.gave.get(self.node.id, [])):
            if i < len(args) and args[i] is None and shape is not None:
                args[i] = np.zeros(shape)
        args[k] = np.zeros(marked.shape) if args[k] is None else args[k]
        outs = [r if c is None else c for c, r in zip(came, self._outs(came), strict=True)]
        links = links_of(Call(self.op, args, self.params, outs, lambda i, _: None if args[i] is None else np.asarray(args[i])))
        return [each[k] for each in links]

    def overflows(self, place: Place, shape: tuple) -> bool:
        """Tell whether an elementwise op's result is infinite for the size of its operands: for smaller ones it is not."""
        given = [self._one(x, place, shape) for x in self.operands]
        small = [np.copysign(np.abs(x) ** 0.1, x) if x is not None and x.dtype.kind == "f" else x for x in given]
        return self._computed(small)

    def _one(self, x: Any, place: Place, shape: tuple) -> Any:
        """Return an operand's element at a place of the result, in float64."""
        if x is None:
            return None
        value = np.broadcast_to(np.asarray(x), shape)[place]
        return value.astype(np.float64) if value.dtype.kind in "fiu" else value

    def _computed(self, operands: list) -> bool:
        """Tell whether the kernel gives something finite."""
        if self.op is None or None in [None if x is None else 0 for x in operands]:
            return False
        kernel = self.op.backend.kernel
        return bool(_tried(lambda: np.isfinite(kernel(*operands, **self.params))))

    def is_finite_for_others(self, place: Place, shape: tuple) -> bool:
        """Tell whether an elementwise op with operands that are not known would give something finite if they were finite."""
        given = [np.float64(0.7) if x is None else self._one(x, place, shape) for x in self.operands]
        return None in [x if x is None else 0 for x in self.operands] and self._computed(given)

    def slope_is_finite(self, k: int, place: Place, shape: tuple) -> bool:
        """Tell whether an elementwise op's derivative, infinite in its dtype, is finite in float64."""
        slope = self._slope_for(k, [self._one(x, place, shape) for x in self.operands])
        return slope is not None and bool(np.isfinite(slope))

    def is_flat(self, k: int, place: Place, shape: tuple) -> bool:
        """Tell whether an elementwise op's derivative is 0 about a place, and not only there."""
        given = [self._one(x, place, shape) for x in self.operands]
        if given[k] is None:
            return False
        for scale, step in ((0.99, -1e-3), (1.01, 1e-3)):
            slope = self._slope_for(k, [x if x is None or x.dtype.kind not in "fc" else x * scale + step for x in given])
            if slope is None or abs(slope) > 1e-12:
                return False
        return True

    def _slope_for(self, k: int, given: list) -> Any:
        """Return an elementwise op's derivative for some numbers; None if one that its rule needs is not known."""
        op: Any = self.op
        rule = op.rules[0 if op.variadic else k]
        if any(given[i] is None for kind, i in rule.sources if kind == "in" and i < len(given)):
            return None

        def slope() -> Any:
            out = op.backend.kernel(*given, **self.params) if rule.uses("out") else None
            return rule((np.float64(1.0),), given, None, out, None, self.params, True)

        return _tried(slope)

    def at(self, place: Place, shape: tuple) -> str:
        """Return in words what an elementwise op's operands are at a place of its result."""
        found = [
            f"{self.operand_name(k)} = {number(np.broadcast_to(np.asarray(x), shape), place)}"
            for k, x in enumerate(self.operands)
            if x is not None and np.ndim(x) <= len(shape)
        ]
        if not found and self.results[0] is not None:
            return f"the result {number(np.broadcast_to(np.asarray(self.results[0]), shape), place)}"
        return ", ".join(found)

    def ranges(self) -> str:
        """Return in words between what the operands lie."""
        found = []
        for k, x in numeric(self.operands):
            if x.size == 1:
                found.append(f"{self.operand_name(k)} = {number(x.reshape(()))}")
            elif x.size and x.dtype.kind != "c":
                found.append(f"{self.operand_name(k)} between {number(np.min(x))} and {number(np.max(x))}")
        return ", ".join(found)


def _tried(f: Callable) -> Any:
    """Return what a kernel or rule gives of what is known of a call; None where it does not take that."""
    token = hush()
    try:
        return f()
    except (TypeError, ValueError):  # one number for an array, or one example of a batch
        return None
    finally:
        unhush(token)


def value_at(edge: Any, trail: Trail, depth: int = _DEPTH) -> Any:
    """Return the value at an edge: a leaf's, what a node kept, or what its op gives of its operands; None if unknown."""
    if edge._kind == LEAF_EDGE:
        return bottom(edge)
    key = key_of(edge)
    if key not in trail.values:
        trail.values[key] = None
        ev = Evidence(edge.node if edge._kind == PORT else edge, trail)
        if depth and ev.op is not None:
            ev._fill(trail, depth - 1)
        if key[1] < len(ev.results):
            trail.values[key] = ev.results[key[1]]
    return trail.values[key]


def _is_written(edge: Any, node_id: int) -> bool:
    """Tell whether a leaf was written to since a node was made, by a step of an optimizer for one."""
    return edge._kind == LEAF_EDGE and edge._ver is not None and edge._ver.stamp > node_id


def spread(marked: np.ndarray, shape: tuple) -> np.ndarray:
    """Return the marks of an operand over the result that it was broadcast to; all, where examples of a batch come between."""
    try:
        return np.broadcast_to(marked, shape)
    except ValueError:
        return np.ones(shape, bool)


def numeric(values: list) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the numbers and arrays among values, as arrays with their places."""
    for k, x in enumerate(values):
        if x is None or isinstance(x, str):
            continue
        a = np.asarray(x)
        if a.dtype.kind in "fciuV":
            yield k, a


def number(array: Any, place: Place = ()) -> str:
    """Return one element as it is shown."""
    return str(np.asarray(array)[place].item())


def nan_or_inf(array: Any) -> np.ndarray:
    """Return which elements are not finite."""
    a = np.asarray(array)
    return ~np.isfinite(a) if a.dtype.kind in "fcV" else np.zeros(a.shape, bool)


def is_kind(array: Any, kind: str) -> np.ndarray:
    """Return which elements are of a kind: "nan", "inf" or "zero"."""
    a = np.asarray(array)
    if kind == "zero":
        return a == 0
    if a.dtype.kind not in "fcV":
        return np.zeros(a.shape, bool)
    return np.isnan(a) if kind == "nan" else np.isinf(a)


def first(marked: np.ndarray) -> Place:
    """Return the first place that is marked."""
    return tuple(int(i) for i in np.argwhere(marked)[0])


def mark(shape: tuple, place: Place) -> np.ndarray:
    """Return an array of False but for one place."""
    found = np.zeros(shape, bool)
    found[place] = True
    return found
