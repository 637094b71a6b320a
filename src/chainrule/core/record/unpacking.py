"""What a node holds, as a pass sees it: payloads or tensors, unpacked by hooks, checked for writes since they were saved."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.graph.nodes import NOTHING, Node, Port, Version, freed_error
from chainrule.core.mode.grad_mode import modes, ungraded
from chainrule.core.record.saved import PACKED, modified_error, unpack
from chainrule.core.tensor.tensor import Tensor, wrap_at
from chainrule.core.tensor.value import carried, written_since

ndarray = np.ndarray
ABOVE = 1 << 62  # added to the level of a graph, for a pass with the cotangents of a transform above it


def unpacked(value: Any, node: Node, level: int) -> Any:
    """Return a saved input as a pass sees it; raise if it was written to since it was saved.

    `level` is the graph's for a plain pass, which works on payloads; a pass that is itself recorded (`create_graph`)
    gives ``~level``, which no tensor has, and gets the tensors themselves. One with the cotangents of a transform above the
    level gives ``level + ABOVE``: its nodes save payloads in turn, which therefore come as tensors of their version counters.
    """
    if isinstance(value, Tensor):
        version = value._ver
        if version is not None and version.stamp > node.id:
            unpack(value, node)  # raises
        if value._level == level:
            payload = value._data
            if payload.__class__ is not ndarray and isinstance(payload, Tensor) and written_since(payload, node.id) is not None:
                unpack(value, node)  # raises
            return payload
        if level > 0:
            if value._level + ABOVE == level:
                return carried(unpack(value, node))
            if value._node is None and value._plain and level < ABOVE and modes().clear:
                return value._data  # of what a transform captured, where neither a node nor a trace needs to know of it
        return unpack(value, node) if value._level else value
    if value.__class__ in PACKED:
        return _opened(value, node, level)
    return None if value is NOTHING else value


def unpacked_out(node: Node, level: int) -> Any:
    """Return the saved result as a pass sees it; raise if it was written to since."""
    out, version = node.out, node.version
    if out is None:
        raise freed_error()
    if version is not None and version.stamp > node.id:
        if out.__class__ is tuple:
            return _Results(out, node, level)
        if out.__class__ in PACKED:
            return _opened(out, node, level)
        raise modified_error(node, version, out, node, 0)
    if not level or (0 < level < ABOVE and out.__class__ is ndarray):
        return out
    if out.__class__ is tuple:
        return tuple(
            [o if o is None else _seen(o, node, i, Port(node, i), each_version(node, i), level) for i, o in enumerate(out)]
        )
    return _seen(out, node, 0, node, version, level)


def _seen(out: Any, node: Node, index: int, edge: Any, version: Version | None, level: int) -> Any:
    """Return a saved result at a level above 0, or for a recorded pass; raise if what it carries was written to since."""
    if isinstance(out, Tensor):
        written = written_since(out, node.id)
        if written is not None:
            raise modified_error(node, written, out, node, index)
        return out if level >= 0 else revive(~level, out, edge, version)
    if level < 0:
        return revive(~level, out, edge, version)
    return revive(0, out, None, version) if level >= ABOVE else out


def _opened(kept: Any, node: Node, level: int) -> Any:
    if level < 0:
        return kept.tensor(node)
    t = ungraded(kept.tensor, node)  # hooks see the mode of the pass
    return t._data if t._level == level else carried(t) if t._level and t._level + ABOVE == level else t


class Versions:
    """The version counters of several results, None for those that no write reaches."""

    __slots__ = ("each",)

    def __init__(self, each: tuple):
        self.each = each

    @property
    def stamp(self) -> int:
        """The node id current at the last write to any."""
        return max([v.stamp for v in self.each if v is not None], default=0)


class _Revealed:
    """The version of results that are kept as `SavedTensor`s: not to be read as they are."""

    stamp = float("inf")


REVEALED = _Revealed()


class _Results(tuple):
    """Several saved results, packed by hooks or some written to since: one is unpacked or raises when a rule reads it."""

    _node: Node
    _level: int

    def __new__(cls, out: tuple, node: Node, level: int) -> _Results:
        made = super().__new__(cls, out)
        made._node, made._level = node, level
        return made

    def __getitem__(self, index: Any) -> Any:
        node, value = self._node, super().__getitem__(index)
        if value is None:
            return None
        if value.__class__ in PACKED:
            return _opened(value, node, self._level)
        version = node.version.each[index]
        if version is not None and version.stamp > node.id:
            raise modified_error(node, version, value, node, index)
        return _seen(value, node, index, Port(node, index), version, self._level)

    def __iter__(self) -> Any:
        return iter([self[i] for i in range(len(self))])


def each_version(node: Node, index: int) -> Version | None:
    """Return the version counter of one of several saved results."""
    return None if node.version is None else node.version.each[index]


def revive(level: int, payload: Any, edge: Any, version: Version | None = None) -> Tensor:
    """Return a tensor of a payload that a node saved, with its history and the version counter of its memory."""
    t = wrap_at(level, payload)
    t._node, t._ver = edge, version
    return t


def all_unpacked(node: Node, level: int) -> tuple[tuple, Any]:
    """Return the saved inputs, None where there is none, and the saved result, as a pass sees them."""
    plan = node.plan
    inputs = tuple([None if v is None else unpacked(v, node, level) for v in (node.kept if plan.keeps else ())])
    return inputs, unpacked_out(node, level) if plan.saves_out else None


def values_of(node: Node) -> tuple[tuple, Any]:
    """Return what a node saved, inputs and result, None where it did not; for whoever looks, not for rules."""
    level = next((about.level for about in getattr(node, "_results", {}).values()), 0)
    inputs, out = all_unpacked(node, level)
    return tuple([None if x.__class__ is tuple else x for x in inputs]), out
