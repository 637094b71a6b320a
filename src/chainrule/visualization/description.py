"""A graph as the page has it: what it shows of each node, and the tree of blocks, as JSON."""

from __future__ import annotations

import linecache
import os
from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np

import chainrule
from chainrule.core.record.inspection import input_name
from chainrule.core.tensor.value import bottom
from chainrule.visualization.blocks import Block, Scope, beginning, folded, scopes_by_parameters
from chainrule.visualization.names import Names
from chainrule.visualization.recorded import Item, Result
from chainrule.visualization.statistics import statistics


class Frames:
    """The user's frames that led to nodes, each described once.

    Attributes
    ----------
    shared : int
        Number of outermost frames that all nodes have in common, but for one.
    table : list
        [file, line, function, source] of each.
    """

    def __init__(self, items: Sequence[Item]):
        codes = [tuple([id(code) for code, _ in item.note.frames]) for item in items if item.note is not None]
        self.shared = max(len(reduce(beginning, codes)) - 1, 0) if codes else 0
        self.table: list[list] = []
        self._numbers: dict[tuple, int] = {}

    def of(self, item: Item) -> list[int]:
        """Return the numbers in the table of a node's frames, outermost first."""
        return [] if item.note is None else [self._number(*frame) for frame in item.note.frames[self.shared :]]

    def _number(self, code: Any, line: int) -> int:
        key = (code, line)
        if key not in self._numbers:
            self._numbers[key] = len(self.table)
            self.table.append([_shortened(code.co_filename), line, code.co_name, _source(code.co_filename, line)])
        return self._numbers[key]

    def scope(self, item: Item) -> Scope:
        """Return the functions in which a node was made, and the lines of their calls."""
        frames = [] if item.note is None else item.note.frames[self.shared :]
        return tuple([f"{code.co_name} (line {call})" for (_, call), (code, _) in pairwise(frames)])


def described(
    items: Sequence[Item], names: Names, title: str, why_no_gradients: str, texts: Mapping[int, str]
) -> dict[str, Any]:
    """Return all that the page shows.

    Parameters
    ----------
    items : sequence of Item
        The graph.
    names : Names
        What is called how.
    title : str
        The page's.
    why_no_gradients : str
        Why there are none; empty if there are.
    texts : mapping
        Of a node's index: what explains it.

    Returns
    -------
    dict
        ``nodes``: one for each item; ``tree``: members of blocks, nodes by their numbers; ``frames``: see :class:`Frames`;
        ``summary``.
    """
    frames = Frames(items)
    memory = Memory(items)
    nodes = [_node(item, names, frames, memory, texts.get(item.index, "")) for item in items]
    return {
        "title": title,
        "nodes": nodes,
        "tree": _tree(folded(items, _scopes(items, names, frames), lambda item: _label(nodes[item.index]), names.modules)),
        "frames": frames.table,
        "summary": {
            "version": chainrule.__version__,
            "ops": sum(not item.is_leaf for item in items),
            "leaves": sum(item.is_leaf for item in items),
            "edges": sum(given is not None for item in items for given in item.inputs),
            "bytes": memory.total,
            "freed": any(item.freed for item in items),
            "noGradients": why_no_gradients,
            "noted": any(item.note is not None for item in items),
        },
    }


def _scopes(items: Sequence[Item], names: Names, frames: Frames) -> list[Scope]:
    def module_of(item: Item) -> Scope | None:
        name = names.parameters.get((id(item.source), 0))
        return None if name is None else tuple(name.split(".")[:-1])

    if any(module_of(item) for item in items if item.is_leaf):
        return scopes_by_parameters(items, module_of)
    return [frames.scope(item) for item in items]


def _label(node: dict) -> str:
    return f"{node['op']} {node['results'][0].get('shape')} {node.get('at', [])[-1:]}"


def _tree(block: Block) -> list:
    members: list = []
    for member in block.members:
        if isinstance(member, Block):
            found = {"name": member.name, "members": _tree(member)}
            if member.path:
                found["path"] = member.path
            if member.kind:
                found["class"] = member.kind
            members.append(found)
        else:
            members.append(member.index)
    return members


def _node(item: Item, names: Names, frames: Frames, memory: Memory, text: str) -> dict[str, Any]:
    called = [names.of((id(item.source), i)) for i in range(len(item.results))]
    found: dict[str, Any] = {
        "kind": _kind(item, names),
        "op": "leaf" if item.is_leaf else item.source.name() if item.op is None else item.op.name,
        "results": [_result(result, own) for result, own in zip(item.results, called, strict=True)],
        "inputs": _inputs(item),
    }
    if item.is_root:
        found["root"] = True
    if text:
        found["text"] = text
    if item.is_leaf:
        accumulated = item.source.grad
        if accumulated is not None:
            found["grad"] = statistics(bottom(accumulated))
        return found
    found |= {"name": item.source.name(), "at": frames.of(item), "bytes": memory.of[item.index]}
    params = {name: _text(value) for name, value in (getattr(item.source, "params", None) or {}).items()} if item.op else {}
    if params:
        found["params"] = params
    if item.freed:
        found["freed"] = True
    if item.saved:
        found["saved"] = [_saved(saved) for saved in item.saved]
    return found


def _kind(item: Item, names: Names) -> str:
    if not item.is_leaf:
        return "op" if item.op is not None else "function"
    is_parameter = (id(item.source), 0) in names.parameters or type(item.source).__name__ == "Parameter"
    return "parameter" if is_parameter else "leaf"


def _result(result: Result, called: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"names": called} if called else {}
    if result.shape is not None:
        found["shape"] = list(result.shape)
    if result.dtype is not None:
        found["dtype"] = result.dtype
    value = statistics(result.value)
    if value is not None:
        found["value"] = value
    if result.gradient is not None:
        found["gradient"] = result.gradient
    return found


def _inputs(item: Item) -> list[dict[str, Any]]:
    """Return where each input comes from; of a constant, what is known of it."""
    found = []
    for i, given in enumerate(item.inputs):
        name = f"input {i}" if item.op is None else input_name(item.op, i)
        if given is not None:
            about = {"name": name, "from": given[0].index, "output": given[1]}
            found.append(about | ({"sent": item.sent[i]} if i < len(item.sent) and item.sent[i] else {}))
        elif i < len(item.operands) and item.operands[i] is not None:
            array = np.asarray(item.operands[i])
            about = {"shape": list(array.shape), "dtype": str(array.dtype), "value": statistics(array)}
            found.append({"name": name, "constant": about})
        else:
            found.append({"name": name, "constant": None})
    return found


def _saved(saved: Any) -> dict[str, Any]:
    if saved.array is None:
        return {"name": saved.name, "why": saved.why}
    array = np.asarray(saved.array)
    return {"name": saved.name, "shape": list(array.shape), "dtype": str(array.dtype), "bytes": array.nbytes}


class Memory:
    """What nodes keep in memory that no leaf, and no node before, keeps anyway.

    Attributes
    ----------
    of : dict
        Of each item's index, its bytes.
    total : int
        Their sum.
    """

    def __init__(self, items: Sequence[Item]):
        seen = {id(_base(bottom(item.source))) for item in items if item.is_leaf}
        self.of: dict[int, int] = {}
        for item in items:
            own = 0
            for saved in item.saved:
                base = _base(saved.array)
                if isinstance(base, np.ndarray) and id(base) not in seen:
                    seen.add(id(base))
                    own += base.nbytes
                elif isinstance(base, np.generic):
                    own += base.nbytes
            self.of[item.index] = own
        self.total = sum(self.of.values())


def _base(array: Any) -> Any:
    while isinstance(array, np.ndarray) and isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _text(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _shortened(file: str) -> str:
    """Return a file's path from the current directory, if it lies in it; its last two parts otherwise."""
    here = os.getcwd() + os.sep
    if file.startswith(here):
        return file[len(here) :]
    return os.sep.join(file.split(os.sep)[-2:]) if os.path.isabs(file) else file


def _source(file: str, line: int) -> str:
    return linecache.getline(file, line).strip()
