"""Exponentials, logarithms, roots and the powers that have names of their own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.core.op.declaration import elementwise
from chainrule.core.op.lowering import s
from chainrule.core.op.raw import narrowed, one_minus
from chainrule.core.op.results import BOOL, INT64
from chainrule.ops.describe import unary
from chainrule.ops.indexing.select import where

POSITIVE = (0.2, 3.0)
LN2, LN10 = math.log(2), math.log(10)

exp = elementwise("exp(x)", np.exp, costly=True, dtype="float", kinds="bifc",
    public=True, inplace=True,
    x=lambda g, out: g * out,
    doc=unary("Return e to the power of each element.",
        "cr.exp(cr.tensor([0.0, 1.0]))", "tensor([1.0000, 2.7183])"))  # fmt: skip

exp2 = elementwise("exp2(x)", np.exp2, costly=True, dtype="float", kinds="bifc", node="Exp20",
    public=True, inplace=True,
    x=lambda g, out: g * out * LN2,
    doc=unary("Return 2 to the power of each element.", "cr.exp2(cr.tensor([0.0, 3.0]))", "tensor([1., 8.])"))  # fmt: skip

expm1 = elementwise("expm1(x)", np.expm1, costly=True, dtype="float", kinds="bifc", node="Expm10",
    public=True, inplace=True,
    x=lambda g, out: g * (out + 1),
    doc=unary("Return ``exp(input) - 1``, precise near 0.",
        "cr.expm1(cr.tensor([0.0, 1e-6]))", "tensor([0.0000e+00, 1.0000e-06])"))  # fmt: skip

log = elementwise("log(x)", np.log, costly=True, dtype="float", kinds="bifc", domain=POSITIVE,
    public=True, inplace=True,
    x=lambda g, x: g / x,
    doc=unary("Return the natural logarithm of each element.", "cr.log(cr.tensor([1.0, 10.0]))", "tensor([0.0000, 2.3026])",
        notes="The branch cut is the negative real axis. The derivative at 0 is infinite."))  # fmt: skip

log10 = elementwise("log10(x)", np.log10, costly=True, dtype="float", kinds="bifc", node="Log100", domain=POSITIVE,
    public=True, inplace=True,
    x=lambda g, x: g / (x * LN10),
    doc=unary("Return the logarithm to base 10 of each element.",
        "cr.log10(cr.tensor([1.0, 20.0]))", "tensor([0.0000, 1.3010])"))  # fmt: skip

log2 = elementwise("log2(x)", np.log2, costly=True, dtype="float", kinds="bifc", node="Log20", domain=POSITIVE,
    public=True, inplace=True,
    x=lambda g, x: g / (x * LN2),
    doc=unary("Return the logarithm to base 2 of each element.",
        "cr.log2(cr.tensor([1.0, 8.0]))", "tensor([0., 3.])"))  # fmt: skip

log1p = elementwise("log1p(x)", np.log1p, costly=True, dtype="float", kinds="bifc", node="Log1P", domain=(-0.7, 3.0),
    public=True, inplace=True,
    x=lambda g, x: g / (x + 1),
    doc=unary("Return ``log(1 + input)``, precise near 0.",
        "cr.log1p(cr.tensor([0.0, 1e-6]))", "tensor([0.0000e+00, 1.0000e-06])"))  # fmt: skip

sqrt = elementwise("sqrt(x)", np.sqrt, native=True, dtype="float", kinds="bifc", domain=POSITIVE,
    public=True, inplace=True,
    x=lambda g, out: g / (out + out),
    doc=unary("Return the square root of each element.", "cr.sqrt(cr.tensor([4.0, 9.0]))", "tensor([2., 3.])",
        notes="The branch cut is the negative real axis. The derivative at 0 is infinite."))  # fmt: skip

cbrt = elementwise("cbrt(x)", lambda x: narrowed(np.cbrt(x), x), native=False, dtype="float", kinds="bif", domain=POSITIVE,
    public="special",
    lower=lambda x: s.copysign(s.pow(s.abs(x), 1 / 3), x),
    x=lambda g, out: g / (out * out * 3),
    doc=unary("Return the real cube root of each element.", "cr.special.cbrt(cr.tensor([8.0, -1.0]))", "tensor([ 2., -1.])",
        "bif", notes="The derivative at 0 is infinite."))  # fmt: skip


def _rsqrt(x: Any) -> Any:
    out = np.sqrt(x)
    return np.divide(1, out, out=out) if out.__class__ is np.ndarray and out.dtype.kind in "fc" else 1 / out


rsqrt = elementwise("rsqrt(x)", _rsqrt, dtype="float", kinds="bifc", domain=POSITIVE,
    public=True, inplace=True,
    lower=lambda x: 1 / s.sqrt(x),
    x=lambda g, out: out * -0.5 * out * out * g,  # as `sigmoid`'s
    doc=unary("Return the reciprocal of the square root of each element.", "cr.rsqrt(cr.tensor([4.0, 0.25]))",
        "tensor([0.5000, 2.0000])"))  # fmt: skip


def _square(x: Any) -> Any:
    return np.square(x) if x.dtype.kind != "b" else x.astype(np.int64)


square = elementwise("square(x)", _square, native=False, kinds="ifc", node="Pow", dtype=lambda x: INT64 if x == BOOL else x,
    public=True, inplace=True,
    lower=lambda x: x * x,
    x=lambda g, x: g * (x + x),
    doc=unary("Return the square of each element.",
        "cr.square(cr.tensor([-2.0, 3.0]))", "tensor([4., 9.])", "ifc"))  # fmt: skip

# 1 / x, and not np.reciprocal: that divides integers as integers.
reciprocal = elementwise("reciprocal(x)", lambda x: 1 / x, dtype="float", kinds="bifc", domain=POSITIVE,
    public=True, inplace=True,
    lower=lambda x: 1 / x,
    x=lambda g, out: -out * out * g,  # as `sigmoid`'s
    doc=unary("Return 1 divided by each element.",
        "cr.reciprocal(cr.tensor([2.0, -4.0]))", "tensor([ 0.5000, -0.2500])"))  # fmt: skip


def _sigmoid(x: Any, out: Any = None) -> Any:
    """Return 1 / (1 + exp(-x)): where exp overflows, the quotient is the 0 that it should be.

    One buffer and no more: (1 + tanh(x/2)) / 2 is as fast, but has no correct digit where the result is small.
    """
    if x.dtype.kind == "c":  # whose quotient by an infinite number is NaN
        left = x.real < 0
        small = np.exp(np.where(left, x, -x))
        return (np.where(left, small, 1) / (1 + small))[()]
    if not x.ndim or x.dtype.kind in "biu":
        return narrowed(1 / (1 + np.exp(x * -1.0 if x.dtype.kind in "biu" else -x)), x)
    # NumPy 2.4's negative reads wrong elements of some strided arrays when it writes to another; fresh ones are contiguous.
    out = np.negative(x) if out is None else np.multiply(x, -1, out=out)
    np.exp(out, out=out)
    out += 1
    return np.divide(1, out, out=out)


sigmoid = elementwise("sigmoid(x)", _sigmoid, costly=True, dtype="float", kinds="bifc",
    public=True, inplace=True,
    lower=lambda x: 1 / (1 + s.exp(-x)),
    x=lambda g, out: sigmoid_pull(g, out),
    doc=unary("Return the logistic function ``1 / (1 + exp(-input))`` of each element.",
        "cr.sigmoid(cr.tensor([0.0, 2.0, -2.0]))", "tensor([0.5000, 0.8808, 0.1192])"))  # fmt: skip


def _sigmoid_pull(g: Any, y: Any) -> Any:
    return narrowed((1 - y) * y * g, y)  # in this order NumPy reuses the first temporary for the rest


# Ops of their own, as PyTorch's, because a recorded pass keeps what each op of a rule saves: of several, their products, too.
sigmoid_pull = elementwise("sigmoid_pull(g, y)", _sigmoid_pull, kinds="fc",
    node="SigmoidBackward", scales=True,
    lower=lambda g, y: (1 - y) * y * g,
    g=lambda h, y: sigmoid_pull(h, y),
    y=lambda h, g, y: one_minus(y + y) * g * h,
    doc="Return ``g * (1 - y) * y``: the pullback of `sigmoid`, of whose result `y`.")  # fmt: skip

logit = elementwise("logit(x)", lambda x: np.log(x / (1 - x)), dtype="float", kinds="bif", domain=(0.05, 0.95),
    lower=lambda x: s.log(x / (1 - x)),
    x=lambda g, x: g * where((x < 0) | (x > 1), math.nan, 1 / (x * (1 - x))))  # fmt: skip
