"""Reading a graph: its nodes and leaves in the order in which they were made, and what is known of their results.

Nothing is changed, computed or unpacked: what a node did not save, or has freed, is unknown here, unless notes were taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.graph.nodes import LEAF, NODE, NOTHING, PORT, Node
from chainrule.core.record.inspection import input_name
from chainrule.core.record.notes import OVERWRITTEN, Note, note_of
from chainrule.core.record.saved import SavedTensor
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import bottom, written_since
from chainrule.core.types.dtype import dtype as dtype_class


class Result:
    """One result of a node, or a leaf: shape, dtype and array, and the statistics of its gradient; None where unknown."""

    __slots__ = ("dtype", "gradient", "shape", "value")

    def __init__(self) -> None:
        self.shape: tuple | None = None
        self.dtype: str | None = None
        self.value: Any = None
        self.gradient: dict | None = None

    def is_of(self, shape: Any, dtype: Any = None) -> None:
        """Take a shape and a dtype, where they are not known yet; None says nothing."""
        if self.shape is None and shape is not None:
            self.shape = tuple([int(n) for n in shape])
        if self.dtype is None and dtype is not None:
            self.dtype = dtype.name if isinstance(dtype, dtype_class) else str(dtype)

    def is_like(self, value: Any) -> None:
        """Take the shape and dtype of a tensor, an array, or a description of one."""
        self.is_of(getattr(value, "shape", None), getattr(value, "dtype", None))


class Saved:
    """What a node keeps of one of its inputs, or of its result.

    Attributes
    ----------
    name : str
        PyTorch's name of it.
    array : array or None
        The value; None if it cannot be told.
    why : str
        Why not.
    """

    __slots__ = ("array", "name", "why")

    def __init__(self, name: str, array: Any, why: str = ""):
        self.name, self.array, self.why = name, array, why


class Item:
    """A node of the graph, or a leaf, as it was read.

    Attributes
    ----------
    index : int
        Its position: behind all that it was computed from.
    source : Node or Tensor
        Itself.
    results : list of Result
        One for each output that something leads to.
    inputs : list
        One for each edge: (item, number of its output), or None where no gradient flows.
    saved : list of Saved
        What a node keeps.
    operands : list
        What the op was given, as far as it is known: an array or None for each input.
    note : Note or None
        Where a node was made, if that was noted.
    sent : list of str
        What is noteworthy of the gradient that went to each input: "nan", "zero", or nothing; empty where there was no pass.
    freed : bool
        Whether a pass has freed it.
    is_root : bool
        Whether it was asked for.
    """

    __slots__ = ("freed", "index", "inputs", "is_root", "note", "operands", "results", "saved", "sent", "source")

    def __init__(self, source: Any):
        self.index, self.source = 0, source
        self.results: list[Result] = [Result()]
        self.inputs: list[tuple[Item, int] | None] = []
        self.saved: list[Saved] = []
        self.operands: list[Any] = []
        self.sent: list[str] = []
        self.note: Note | None = None
        self.freed = self.is_root = False

    @property
    def is_leaf(self) -> bool:
        """Whether it is a tensor, which no node made."""
        return isinstance(self.source, Tensor)

    @property
    def op(self) -> Any:
        """The declared op that ran; None of leaves and custom functions."""
        op = getattr(getattr(self.source, "plan", None), "op", None)
        return op if hasattr(op, "rules") else None

    def result(self, i: int) -> Result:
        """Return one of its results."""
        while len(self.results) <= i:
            self.results.append(Result())
        return self.results[i]


def read(roots: Sequence[Tensor]) -> list[Item]:
    """Return the nodes and leaves that tensors were computed from, each behind its inputs and near to its first use."""
    nodes, leaves = _reached(roots)
    items: dict[int, Item] = {}
    ordered: list[Item] = []

    def placed(source: Any) -> Item:
        item = items[id(source)] = Item(source)
        item.index = len(ordered)
        ordered.append(item)
        return item

    for node in nodes:
        inputs: list[tuple[Item, int] | None] = []
        for edge in node.edges:
            if edge is None:
                inputs.append(None)
                continue
            source, i = end_of(edge)
            known = items.get(id(source)) or placed(source)  # a leaf: nodes come behind what they were computed from
            inputs.append((known, i))
        placed(node).inputs = inputs
    for leaf in leaves:
        if id(leaf) not in items:
            placed(leaf)
    for item in ordered:
        _look_at(item)
    for root in roots:
        source, i = end_of(root if root._node is LEAF else root._node)
        item = items[id(source)]
        item.is_root = True
        result = item.result(i)
        result.is_like(root)
        result.value = _array(root)
    return ordered


def end_of(edge: Any) -> tuple[Any, int]:
    """Return the node or leaf that an edge leads to, and which of its results."""
    return (edge.node, edge.index) if edge._kind == PORT else (edge, 0)


def _reached(roots: Sequence[Tensor]) -> tuple[list[Node], list[Tensor]]:
    """Return the nodes behind tensors in the order of their creation, and the leaves."""
    seen: set[int] = set()
    nodes: list[Node] = []
    leaves: list[Tensor] = []
    stack: list[Any] = [root if root._node is LEAF else root._node for root in roots]
    while stack:
        edge = stack.pop()
        if edge is None:
            continue
        source, _ = end_of(edge)
        if id(source) in seen:
            continue
        seen.add(id(source))
        if source._kind == NODE:
            nodes.append(source)
            stack.extend(source.edges)
        else:
            leaves.append(source)
    return sorted(nodes, key=lambda node: node.id), leaves


def _look_at(item: Item) -> None:
    """Fill in what a leaf, or what a node saved, says of it and of its inputs."""
    source = item.source
    if item.is_leaf:
        item.results[0].is_like(source)
        item.results[0].value = _array(source)
        return
    for i, about in getattr(source, "_results", {}).items():
        item.result(i).is_like(about)
    for i, output in enumerate(getattr(source, "outputs", ())):  # of a custom function
        if output is not None:
            item.result(i).is_of(output[0], output[1])
    for given, about in zip(item.inputs, getattr(source, "inputs", ()), strict=False):
        if given is not None:
            given[0].result(given[1]).is_of(about[0], about[1])
    _look_at_notes(item)
    if item.op is None:
        _look_at_custom(item)
        return
    for given, shape in zip(item.inputs, getattr(source, "shapes", None) or (), strict=False):
        if given is not None:
            given[0].result(given[1]).is_of(shape)
    plan = source.plan
    if not plan.keeps:
        return
    if source.saved is None:
        item.freed = True
        return
    for i, kept in enumerate(source.kept):
        if kept is None:
            continue
        saved = _saved(input_name(item.op, i), kept, source)
        item.saved.append(saved)
        if saved.array is not None:
            _give(item, i, saved.array)
    if plan.saves_out:
        outs = source.out if source.out.__class__ is tuple else (source.out,)
        for i, out in enumerate(outs):
            if out is not None:
                saved = _saved("result", out, source, i)
                item.saved.append(saved)
                if saved.array is not None:
                    _know(item.result(i), saved.array)


def _look_at_notes(item: Item) -> None:
    item.note = note = note_of(item.source)
    if note is None or not note.has_values:
        return
    operands = note.operands()
    if item.op is None:  # of a custom function, whose edges are for its tensors alone
        operands = [operands[i] for i in item.source.positions]
    for i, operand in enumerate(operands):
        array = None if operand is OVERWRITTEN else _array(operand)
        if array is not None:
            _give(item, i, array)
    for i, result in enumerate(note.results()):
        array = None if result is OVERWRITTEN else _array(result)
        if array is not None:
            _know(item.result(i), array)


def _look_at_custom(item: Item) -> None:
    kept = getattr(item.source, "saved", ())
    if kept is None or getattr(item.source, "cleared", False):
        item.freed = True
        return
    for i, value in enumerate(kept if isinstance(kept, (tuple, list)) else ()):
        if value is not None and value is not NOTHING:
            item.saved.append(_saved(f"saved_tensors[{i}]", value, item.source))


def _give(item: Item, i: int, array: Any) -> None:
    """Take note of what an op was given as its input `i`."""
    while len(item.operands) <= i:
        item.operands.append(None)
    item.operands[i] = array
    given = item.inputs[i] if i < len(item.inputs) else None
    if given is not None:
        _know(given[0].result(given[1]), array)


def _know(result: Result, array: Any) -> None:
    if result.value is None:
        result.value = array
    result.is_like(array)


def _saved(name: str, kept: Any, node: Node, output: int | None = None) -> Saved:
    """Return what a node keeps, if that can be had without calling the user's hooks and was not written to since."""
    if isinstance(kept, SavedTensor):
        if kept.unpack_hook is not None:
            return Saved(name, None, "packed by a hook")
        kept = kept.kept
    elif output is not None and _is_written(node, output):
        return Saved(name, None, "overwritten since")
    if isinstance(kept, Tensor) and written_since(kept, node.id) is not None:
        return Saved(name, None, "overwritten since")
    array = _array(kept)
    return Saved(name, array, "" if array is not None else f"a {type(kept).__name__}")


def _is_written(node: Node, output: int) -> bool:
    version = node.version
    each = getattr(version, "each", None)
    version = version if each is None else each[output]
    return version is not None and version.stamp > node.id


def _array(value: Any) -> Any:
    """Return the array at the bottom of a value; None if there is none."""
    found = bottom(value) if isinstance(value, Tensor) else value
    if isinstance(found, (int, float, complex)):
        return np.asarray(found)
    return found if isinstance(found, (np.ndarray, np.generic)) else None
