"""Mathematical functions in IR: our own kernels where there is one, else the C library, lane by lane."""

from __future__ import annotations

from functools import lru_cache

from chainrule.compiler.llvm import math
from chainrule.compiler.llvm.text import Function, Kind

_LIBRARY = (
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh",
    "tanh", "asinh", "acosh", "atanh", "atan2", "hypot", "erf", "erfc", "ndtr", "pow",
)  # fmt: skip
INLINED = 8
"""Calls of one kernel in a nest that are written in place: it pays inside loops, and not for code that runs once."""

_kernel = lru_cache(maxsize=256)(math.function)


def mathematical(f: Function, name: str, k: Kind, xs: list[str]) -> str:
    """Write a call of a function of floats and return its register."""
    if name in math.FUNCTIONS:
        symbol, text = _kernel(name, k.dtype.name, k.lanes)
        calls = f.calls[symbol] = f.calls.get(symbol, 0) + 1
        f.defined[symbol] = text
        inline = " alwaysinline" if f.depth and calls <= INLINED else ""
        return f(f"call {k.text} {symbol}({', '.join([f'{k.text} {x}' for x in xs])}){inline}")
    if name not in _LIBRARY:
        raise NotImplementedError(f"no instructions are known for the primitive {name!r}")
    called = name if k.bits == 64 else name + "f"
    one = k.element
    return f.by_lane(k, k, xs, lambda lanes: f.intrinsic(one, called, *[(one, x) for x in lanes]))
