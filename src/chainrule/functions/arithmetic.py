"""Elementwise arithmetic under PyTorch's names."""

from __future__ import annotations

from chainrule.functions.adapt import public_op
from chainrule.ops import arithmetic as ops

__all__ = ["mul", "neg"]

mul = public_op(ops.mul, inplace=True)
neg = public_op(ops.neg, inplace=True)
