"""The end of a recording: every tensor is an ordinary one again, with the memory and values that it would have had without."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any
from weakref import ref

import numpy as np

from chainrule.compiler.record.recorder import Recorder
from chainrule.compiler.record.recording import gradient_of
from chainrule.core.graph.nodes import Node, Port, Version
from chainrule.core.record.placed import shown
from chainrule.core.record.saved import SavedTensor
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import Meta, meta_of
from chainrule.core.types.symbol import Deferred, Symbol, compute

ndarray = np.ndarray


def settle(recorder: Recorder, outs: Iterable = (), commits: bool = True) -> None:
    """Give arrays to all that holds a symbol; tensors from outside get back their own, with what was written there."""
    arrays = Arrays(recorder)
    holders = [t for r in recorder.made if (t := r()) is not None]
    holders += [g for t, _, _ in recorder.gradients.values() if (g := gradient_of(t)) is not None]
    _compute(recorder, (*outs, *holders), commits)
    for t in (*outs, *holders):
        _give(t, arrays)
    for r in recorder.nodes:
        node = r()
        if node is not None and node.out is not None:
            node.out = _opened(node.out, arrays)
    if commits:
        arrays.commit()
    for t, data, _, _ in recorder.entered.values():
        root = recorder.roots.get(id(t))
        t._data = data
        if commits and root is not None and root[3].count and data.__class__ is not ndarray:
            t._data = arrays.of(root[3])
    del holders, t
    _give_the_rest(recorder, arrays)


def roll_back(recorder: Recorder) -> None:
    """Undo what a call did: it runs once more, as it is or as a plan."""
    for t, _, old in recorder.gradients.values():
        if old is not None or t._meta.__class__ is Meta:
            meta_of(t).grad = old
    settle(recorder, commits=False)
    for t, _, edge, count in recorder.entered.values():
        t._node = edge
        if t._ver.__class__ is Version and t._ver.count > count:
            t._ver.history = t._ver.history[: count - t._ver.count]
            t._ver.count = count


def _compute(recorder: Recorder, tensors: Iterable, commits: bool) -> None:
    """Compute what was put off and is in tensors; all of it, if something is about to be written to that it may read."""
    if commits and any([symbol.count for *_, symbol in recorder.roots.values()]):
        symbols = [symbol for r in recorder.symbols if (symbol := r()) is not None]
    else:
        symbols = [symbol for t in tensors for symbol in _symbols(t)]
    compute([v for symbol in symbols if (v := symbol.payload).__class__ is Deferred])
    for symbol in symbols:
        symbol.value  # noqa: B018


class Arrays:
    """The memory that symbols get: no two roots share it."""

    def __init__(self, recorder: Recorder):
        self._found: dict[int, tuple[Symbol, Any]] = {}
        self._roots = [(symbol, data) for _, _, data, symbol in recorder.roots.values()]
        self._outside = [data for _, data in self._roots if data.__class__ is ndarray]
        self._claimed = {id(owner(data)): data for data in self._outside}
        for symbol, data in self._roots:
            self._found[id(symbol)] = symbol, data

    def of(self, symbol: Symbol) -> Any:
        """Return the payload of what holds a symbol."""
        found = self._found.get(id(symbol))
        if found is None:
            root = symbol.root
            if root is symbol:
                made = self._own(symbol.value)
            else:
                memory = self.of(root)
                made = shown(memory if memory.__class__ is ndarray else np.array(memory), symbol.chain)
            found = self._found[id(symbol)] = symbol, made
        return found[1]

    def _own(self, value: Any) -> Any:
        if value.__class__ is not ndarray:
            return value
        key = id(owner(value))
        if key in self._claimed or not value.flags.writeable:
            value = value.copy()
            key = id(value)
        self._claimed[key] = value
        return value

    def commit(self) -> None:
        """Write to the memory of tensors from outside what the call wrote there."""
        written = []
        for symbol, data in self._roots:
            if symbol.count:
                value = symbol.value
                if data.__class__ is not ndarray:
                    self._found[id(symbol)] = symbol, value
                    continue
                written.append((data, value.copy() if any(np.may_share_memory(value, o) for o in self._outside) else value))
        for data, value in written:
            np.copyto(data, value)


def owner(array: ndarray) -> Any:
    """Return the object whose memory an array shows."""
    while isinstance(array.base, ndarray):
        array = array.base
    return array


def _give(t: Tensor, arrays: Arrays) -> None:
    while isinstance(t, Tensor):
        for name in ("_data", "_tangent"):
            payload = getattr(t, name, None)
            if payload.__class__ is Symbol:
                setattr(t, name, arrays.of(payload))
            elif name == "_tangent" and isinstance(payload, Tensor):
                _give(payload, arrays)
        t = t._data


def _symbols(t: Any) -> Iterator[Symbol]:
    """Go through the symbols in a tensor, as `_give` does."""
    while isinstance(t, Tensor):
        tangent = getattr(t, "_tangent", None)
        yield from [payload for payload in (t._data, tangent) if payload.__class__ is Symbol]
        yield from _symbols(tangent)
        t = t._data


def _opened(out: Any, arrays: Arrays) -> Any:
    if out.__class__ is tuple:
        return tuple([_opened(o, arrays) for o in out])
    return arrays.of(out) if out.__class__ is Symbol else out


def _give_the_rest(recorder: Recorder, arrays: Arrays) -> None:
    """Find what else holds symbols: rare, as it takes a look at all that there is: tens of milliseconds."""
    left = [s for s in [r() for r in recorder.symbols] if s is not None]
    ours = Counter(map(id, _held_by_us(recorder, arrays, left)))
    held = [s for s in left if sys.getrefcount(s) > ours[id(s)] + OF_THE_LOOK]
    if not held:
        return
    for holder in gc.get_referrers(*held):
        if isinstance(holder, Tensor):
            if id(holder) not in recorder.entered:
                recorder.made.append(ref(holder))
            _give(holder, arrays)
        elif holder.__class__ is Node and holder.out is not None:
            holder.out = _opened(holder.out, arrays)


OF_THE_LOOK = 3  # references: the list, the variable, the argument


def _held_by_us(recorder: Recorder, arrays: Arrays, left: list) -> Iterator[Symbol]:
    """Go through the symbols that a recording itself holds, once for each reference."""
    yield from [symbol for symbol, _ in (*arrays._found.values(), *arrays._roots)]
    yield from [symbol for _, _, _, symbol in recorder.roots.values()]
    yield from [symbol for _, symbol in recorder.numbers.values()]
    yield from recorder._arrays.values()
    yield from [symbol.base[0] for symbol in left if symbol.base is not None]


def escaped(recorder: Recorder, outs: list) -> Tensor | None:
    """Return a tensor that the call made, and that something holds which is neither a result nor a gradient of it."""
    for again in (False, True):
        kept = {id(o) for o in outs} | {id(gradient_of(t)) for t, _, _ in recorder.gradients.values()}
        left = [t for r in recorder.made if (t := r()) is not None and id(t) not in kept]
        if left:
            seen = _history([*outs, *[t for t, _, _, _ in recorder.entered.values()]])
            left = [t for t in left if id(t) not in seen]
        if not left:
            return None
        if not again:
            del left
            gc.collect()  # a cycle may hold it, and nothing else
    return left[0]


def _history(tensors: list) -> set[int]:
    """Return the ids of all that the graphs of tensors hold."""
    seen: set[int] = set()
    stack = [t for t in tensors if isinstance(t, Tensor)]
    while stack:
        found = stack.pop()
        if id(found) not in seen and isinstance(found, _GRAPH):
            seen.add(id(found))
            stack += gc.get_referents(found)
    return seen


_GRAPH = (Tensor, Node, Port, SavedTensor, Meta, tuple, list)
