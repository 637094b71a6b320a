"""Trigonometric and hyperbolic functions under PyTorch's names."""

from __future__ import annotations

from chainrule.functions.adapt import public_op
from chainrule.ops.pointwise import trigonometric as ops

__all__ = [
    "acos", "acosh", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctanh", "asin", "asinh", "atan", "atanh", "cos",
    "cosh", "deg2rad", "rad2deg", "sin", "sinc", "sinh", "tan", "tanh",
]  # fmt: skip

sin = public_op(ops.sin, inplace=True)
cos = public_op(ops.cos, inplace=True)
tan = public_op(ops.tan, inplace=True)
asin = public_op(ops.asin, inplace=True)
acos = public_op(ops.acos, inplace=True)
atan = public_op(ops.atan, inplace=True)
sinh = public_op(ops.sinh, inplace=True)
cosh = public_op(ops.cosh, inplace=True)
tanh = public_op(ops.tanh, inplace=True)
asinh = public_op(ops.asinh, inplace=True)
acosh = public_op(ops.acosh, inplace=True)
atanh = public_op(ops.atanh, inplace=True)
arcsin = public_op(ops.asin, inplace=True, name="arcsin")
arccos = public_op(ops.acos, inplace=True, name="arccos")
arctan = public_op(ops.atan, inplace=True, name="arctan")
arcsinh = public_op(ops.asinh, inplace=True, name="arcsinh")
arccosh = public_op(ops.acosh, inplace=True, name="arccosh")
arctanh = public_op(ops.atanh, inplace=True, name="arctanh")
sinc = public_op(ops.sinc, inplace=True)
deg2rad = public_op(ops.deg2rad, inplace=True)
rad2deg = public_op(ops.rad2deg, inplace=True)
