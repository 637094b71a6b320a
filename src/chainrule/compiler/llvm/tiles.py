"""Tiles of loads that lie across the vectors: read along memory, turned in registers."""

from __future__ import annotations

from chainrule.compiler.llvm.text import Function, Kind


def transposed(f: Function, k: Kind, rows: list[str]) -> list[str]:
    """Write the transposition of as many vectors as each has lanes: squares of 1, 2, 4 ... lanes change places in pairs."""
    size, rows = 1, list(rows)
    while size < k.lanes:
        even = [i if not i & size else k.lanes + i - size for i in range(k.lanes)]
        odd = [i + size if not i & size else k.lanes + i for i in range(k.lanes)]
        for i in range(k.lanes):
            if not i & size:
                x, y = rows[i], rows[i + size]
                rows[i], rows[i + size] = _shuffled(f, k, x, y, even), _shuffled(f, k, x, y, odd)
        size *= 2
    return rows


def _shuffled(f: Function, k: Kind, x: str, y: str, lanes: list[int]) -> str:
    order = ", ".join([f"i32 {i}" for i in lanes])
    return f(f"shufflevector {k.text} {x}, {k.text} {y}, <{k.lanes} x i32> <{order}>")
