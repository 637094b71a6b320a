"""The memory that a kernel takes while it runs, from shapes alone: NumPy's buffers, temporaries, windows as columns."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from chainrule.core.op.declaration import ELEMENTWISE, Op
from chainrule.core.op.native import NATIVE
from chainrule.core.types.absent import Absent
from chainrule.ops.nn.sliding import Sliding, sliding

_BUFFER = 8192  # elements that NumPy's iterators copy at a time of an operand that does not lie as the result
# Temporaries of kernels in several steps: so many as large as a result, where no native code takes their place; a buffer.
_OF_RESULT = dict.fromkeys(("log_softmax", "silu_pull", "gelu_pull", "placed_at"), 1) | {"cross_entropy_with_logits": 2}
_OF_BUFFER = frozenset(("standardize", "standardized", "log_softmax_pull", "softmax_pull", "cat", "stack"))


def workspace(op: Op, operands: list, params: dict, results: tuple) -> int:
    """Return how many bytes a call's kernel takes beside the results at most."""
    arrays = [x for x in operands if isinstance(x, Absent) and x.ndim]
    if op.view or not arrays or not results:
        return 0
    if op.name in _WINDOWS:
        return _WINDOWS[op.name](arrays, params)
    if op.name in _OWN:
        return _OWN[op.name](arrays, results)
    found = _OF_RESULT.get(op.name, 0) * _bytes(results[0]) if results[0].size < NATIVE else 0
    if op.name in _OF_BUFFER:
        return found + _buffer(results[0])
    if op.kind == ELEMENTWISE:
        found += _buffer(results[0]) * len([x for x in arrays if x.shape != results[0].shape or not x.c_contiguous])
    return found


_OWN: dict[str, Callable[[list, tuple], int]] = {
    "index_sum": lambda arrays, results: 3 * max(_bytes(arrays[0]), _bytes(results[0])),  # values sorted by where they go
    "spread": lambda arrays, results: _bytes(arrays[1]),
    "max_pool": lambda arrays, results: 5 * _bytes(results[-1]) // 4,
    "gate": lambda arrays, results: results[0].size,  # a mask
    "triu": lambda arrays, results: results[0].size,
    "tril": lambda arrays, results: results[0].size,
    "solve_triangular": lambda arrays, results: sum([_bytes(x) for x in arrays]),
    "lstm": lambda arrays, results: _bytes(arrays[0]) // 4,
}


def _bytes(x: Absent) -> int:
    return x.size * x.itemsize


def _buffer(x: Absent) -> int:
    return min(_BUFFER, x.size) * x.itemsize


def _columns(s: Sliding, groups: int, channels: int, itemsize: int, whole: bool) -> int:
    """Return the bytes of lines, columns and results of some channels, which blocks of one size share."""
    found = 0
    for block in {(b.m - b.n, b.q - b.r): b for b in s.blocks(itemsize, whole)}.values():
        lines = s.lines(groups, block)
        positions = (block.m - block.n) * prod(s.positions(block))
        found += prod(lines) + (prod(lines[:2]) * prod(s.kernel) + channels) * positions
    return itemsize * found


def _of_conv(arrays: list, p: dict) -> int:
    x, w = arrays
    s = sliding(x.shape, w.shape[2:], p["size"], p["stride"], p["padding"], p["dilation"])
    return _columns(s, p["groups"], 0, x.itemsize, True)


def _of_conv_input(arrays: list, p: dict) -> int:
    y, w = arrays
    shape = (y.shape[0], p["groups"] * w.shape[1], *p["size"])
    if max(p["stride"]) > 1:
        s = sliding(shape, w.shape[2:], y.shape[2:], p["stride"], p["padding"], p["dilation"])
        return _columns(s, p["groups"], y.shape[1], y.itemsize, False)
    ahead = tuple([d * (k - 1) - q for d, k, q in zip(p["dilation"], w.shape[2:], p["padding"], strict=True)])
    s = sliding(y.shape, w.shape[2:], p["size"], (1,) * len(ahead), ahead, p["dilation"])
    return _columns(s, p["groups"], 0, y.itemsize, True) + _bytes(w)


def _of_conv_weight(arrays: list, p: dict) -> int:
    x, y = arrays
    s = sliding(x.shape, p["size"], y.shape[2:], p["stride"], p["padding"], p["dilation"])
    return _columns(s, p["groups"], y.shape[1], x.itemsize, False) + 2 * y.shape[1] * prod(p["size"]) * x.itemsize


_WINDOWS: dict[str, Any] = {"conv": _of_conv, "conv_input": _of_conv_input, "conv_weight": _of_conv_weight}
