"""Exponentials, logarithms, trigonometric and hyperbolic functions under PyTorch's names."""

from __future__ import annotations

from chainrule.functions.adapt import public_op
from chainrule.ops import exponential, trigonometric

__all__ = ["cos", "exp", "log", "sin", "tanh"]

exp = public_op(exponential.exp, inplace=True)
log = public_op(exponential.log, inplace=True)
sin = public_op(trigonometric.sin, inplace=True)
cos = public_op(trigonometric.cos, inplace=True)
tanh = public_op(trigonometric.tanh, inplace=True)
