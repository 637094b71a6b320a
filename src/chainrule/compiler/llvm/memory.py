"""Loads and stores of a nest's places: whole vectors where lanes lie side by side, gathers and scatters where they do not."""

from __future__ import annotations

from chainrule.compiler.llvm.schedule import iota
from chainrule.compiler.llvm.text import INDEX, Function, Kind, kind

UNALIGNED = "ptr align 1"  # costs nothing where the memory is aligned after all


class Reach:
    """Where the lanes of a place lie.

    Attributes
    ----------
    pointer : str
        Of the first lane.
    stride : int
        From lane to lane, in elements.
    index : str or None
        Offsets of lanes that are computed, a vector of int64.
    """

    __slots__ = ("index", "pointer", "stride")

    def __init__(self, pointer: str, stride: int, index: str | None):
        self.pointer, self.stride, self.index = pointer, stride, index

    def pointers(self, f: Function, k: Kind) -> str:
        """Return the vector of the lanes' pointers."""
        index = self.index or kind("i8", k.lanes).numbers(iota(k.lanes, self.stride))
        return f(f"getelementptr {k.element}, ptr {self.pointer}, <{k.lanes} x i64> {index}")


def in_memory(k: Kind) -> Kind:
    """Return how a kind lies in memory: bools are bytes."""
    return k.of("i1") if k.is_bool else k


def load(f: Function, k: Kind, reach: Reach, mask: str | None) -> str:
    """Write a load of one element or a vector; lanes off the mask are 0."""
    m = in_memory(k)
    out = _loaded(f, m, reach, mask)
    return f(f"icmp ne {m.text} {out}, {m.number(0)}") if k.is_bool else out


def _loaded(f: Function, m: Kind, reach: Reach, mask: str | None) -> str:
    if m.lanes == 1:
        pointer = reach.pointer if mask is None else f(f"select i1 {mask}, ptr {reach.pointer}, ptr %zero")
        return f.load(f"load {m.text}, ptr {pointer}, align 1")
    zeros = m.number(0)
    if reach.index is None and reach.stride in (1, -1):
        pointer = _lowest(f, m, reach)
        if mask is None:
            out = f.load(f"load {m.text}, ptr {pointer}, align 1")
        else:
            mask = mask if reach.stride == 1 else _reversed(f, m.mask, mask)
            out = _masked(f, m, "load", m.text, [(UNALIGNED, pointer), (m.mask.text, mask), (m.text, zeros)], "p0")
        return out if reach.stride == 1 else _reversed(f, m, out)
    every = m.mask.number(True) if mask is None else mask
    pointers = f"<{m.lanes} x ptr> align 1"
    return _masked(
        f, m, "gather", m.text, [(pointers, reach.pointers(f, m)), (m.mask.text, every), (m.text, zeros)], f"v{m.lanes}p0"
    )


def store(f: Function, k: Kind, reach: Reach, mask: str | None, value: str) -> None:
    """Write a store of one element or a vector; lanes off the mask are left as they are."""
    m = in_memory(k)
    if k.is_bool:
        value = f(f"zext {k.text} {value} to {m.text}")
    if m.lanes == 1:
        f.store(f"store {m.text} {value}, ptr {reach.pointer}, align 1")
        return
    if reach.index is None and reach.stride in (1, -1):
        pointer = _lowest(f, m, reach)
        if reach.stride == -1:
            value, mask = _reversed(f, m, value), mask and _reversed(f, m.mask, mask)
        if mask is None:
            f.store(f"store {m.text} {value}, ptr {pointer}, align 1")
        else:
            _masked(f, m, "store", "void", [(m.text, value), (UNALIGNED, pointer), (m.mask.text, mask)], "p0")
        return
    every = m.mask.number(True) if mask is None else mask
    pointers = f"<{m.lanes} x ptr> align 1"
    _masked(f, m, "scatter", "void", [(m.text, value), (pointers, reach.pointers(f, m)), (m.mask.text, every)], f"v{m.lanes}p0")


def _masked(f: Function, m: Kind, how: str, result: str, operands: list[tuple[str, str]], suffix: str) -> str:
    name = f"llvm.masked.{how}.{m.suffix}.{suffix}"
    f.declare(result, name, [t for t, _ in operands])
    text = f"call {result} @{name}({', '.join([f'{t} {v}' for t, v in operands])})"
    if result == "void":
        f.store(text)
        return ""
    return f.load(text)


def _lowest(f: Function, m: Kind, reach: Reach) -> str:
    """Return the pointer of the lane that comes first in memory."""
    if reach.stride == 1:
        return reach.pointer
    return f(f"getelementptr {m.element}, ptr {reach.pointer}, {INDEX.text} {1 - m.lanes}")


def _reversed(f: Function, k: Kind, x: str) -> str:
    order = ", ".join([f"i32 {i}" for i in reversed(range(k.lanes))])
    return f(f"shufflevector {k.text} {x}, {k.text} poison, <{k.lanes} x i32> <{order}>")
