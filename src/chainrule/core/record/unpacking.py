"""What a node holds, as a pass sees it: payloads or tensors, unpacked by hooks, checked for writes since they were saved."""

from __future__ import annotations

from typing import Any

from chainrule.core.graph.nodes import NOTHING, Node, Port, Version, freed_error
from chainrule.core.mode.grad_mode import modes, no_grad
from chainrule.core.record.saved import PACKED, modified_error, unpack
from chainrule.core.tensor.tensor import Tensor, wrap_at


def unpacked(value: Any, node: Node, level: int) -> Any:
    """Return a saved input as a pass sees it; raise if it was written to since it was saved.

    `level` is the graph's for a plain pass, which works on payloads; a pass that is itself recorded (`create_graph`)
    gives ``~level``, which no tensor has, and gets the tensors themselves.
    """
    if isinstance(value, Tensor):
        version = value._ver
        if version is not None and version.stamp > node.id:
            unpack(value, node)  # raises
        if value._level == level or (level > 0 and value._node is None and value._plain and modes().clear):
            return value._data  # also of what a transform captured, where neither a node nor a trace needs to know of it
        return value
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
    if level >= 0:
        return out
    if out.__class__ is tuple:
        return tuple([revive(~level, o, Port(node, i), each_version(node, i)) for i, o in enumerate(out)])
    return revive(~level, out, node, version)


def _opened(kept: Any, node: Node, level: int) -> Any:
    if level < 0:
        return kept.tensor(node)
    with no_grad():  # hooks see the mode of the pass
        t = kept.tensor(node)
    return t._data if t._level == level else t


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
        if value.__class__ in PACKED:
            return _opened(value, node, self._level)
        version = node.version.each[index]
        if version is not None and version.stamp > node.id:
            raise modified_error(node, version, value, node, index)
        return value if self._level >= 0 else revive(~self._level, value, Port(node, index), version)

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
