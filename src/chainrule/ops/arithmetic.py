"""Elementwise arithmetic: sums, products, quotients, powers, signs, extrema, comparisons."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from chainrule.core.op import elementwise
from chainrule.core.record import is_complex
from chainrule.ops.exponential import log
from chainrule.ops.select import where

POSITIVE = (0.2, 3.0)





add = elementwise("add(x, y)", operator.add, lower="fadd", kinds="bifc",
    x=lambda g: g,
    y=lambda g: g)  # fmt: skip

sub = elementwise("sub(x, y)", operator.sub, lower="fsub", kinds="ifc",
    x=lambda g: g,
    y=lambda g: -g)  # fmt: skip

mul = elementwise("mul(x, y)", operator.mul, lower="fmul", kinds="bifc",
    x=lambda g, y: g * y,
    y=lambda g, x: g * x)  # fmt: skip

div = elementwise("div(x, y)", operator.truediv, lower="fdiv", dtype="float", domain=[(-3, 3), POSITIVE],
    x=lambda g, y: g / y,
    y=lambda g, x, y: -g * ((x / y) / y))  # fmt: skip

neg = elementwise("neg(x)", operator.neg, lower="fneg", kinds="ifc",
    x=lambda g: -g)  # fmt: skip


def _power_in_base(g: Any, x: Any, y: Any) -> Any:
    if y.__class__ in (int, float, complex):
        if y == 2:
            return g * (x + x)
        return g * 0 if y == 0 else g * (y * x ** (y - 1))
    return g * where(y == 0, 0, y * x ** (y - 1))


def _power_in_exponent(g: Any, x: Any, y: Any, out: Any) -> Any:
    """Derivative of x**y in y: ``out * log(x)``; 0 at x = 0 where y >= 0, its limit."""
    flat = x == 0 if is_complex(y) else (x == 0) & (y >= 0)
    return g * where(flat, 0, out * log(x))


pow = elementwise("pow(x, y)", operator.pow, kinds="ifc", domain=[POSITIVE, (-2, 2)],
    node=lambda node: "Pow1" if node.edges[1] is not None else "Pow",
    x=_power_in_base,
    y=_power_in_exponent)  # fmt: skip
