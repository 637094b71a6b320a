"""Trigonometric and hyperbolic functions and their inverses; angles are in radians."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.core.op.declaration import elementwise
from chainrule.core.op.lowering import Opaque, s
from chainrule.core.op.raw import narrowed, one_minus, one_plus
from chainrule.core.op.samples import Sample
from chainrule.ops.describe import unary
from chainrule.ops.pointwise.exponential import rsqrt

OPAQUE = Opaque("a power series where the closed form cancels")

WITHIN_ONE = (-0.9, 0.9)
ABOVE_ONE = (1.2, 3.0)

sin = elementwise("sin(x)", np.sin, costly=True, calm=True, dtype="float", kinds="bifc",
    public=True, inplace=True,
    x=lambda g, x: g * cos(x),
    doc=unary("Return the sine of each element.", "cr.sin(cr.tensor([0.0, 1.0]))", "tensor([0.0000, 0.8415])"))  # fmt: skip

cos = elementwise("cos(x)", np.cos, costly=True, calm=True, dtype="float", kinds="bifc",
    public=True, inplace=True,
    x=lambda g, x: -g * sin(x),
    doc=unary("Return the cosine of each element.", "cr.cos(cr.tensor([0.0, 1.0]))", "tensor([1.0000, 0.5403])"))  # fmt: skip

tan = elementwise("tan(x)", np.tan, costly=True, dtype="float", kinds="bifc", domain=(-1.2, 1.2),
    public=True, inplace=True,
    x=lambda g, out: g * one_plus(out * out),
    doc=unary("Return the tangent of each element.", "cr.tan(cr.tensor([0.0, 1.0]))", "tensor([0.0000, 1.5574])"))  # fmt: skip

sinh = elementwise("sinh(x)", np.sinh, costly=True, dtype="float", kinds="bifc",
    public=True, inplace=True,
    x=lambda g, x: g * cosh(x),
    doc=unary("Return the hyperbolic sine of each element.",
        "cr.sinh(cr.tensor([0.0, 1.0]))", "tensor([0.0000, 1.1752])"))  # fmt: skip

cosh = elementwise("cosh(x)", np.cosh, costly=True, dtype="float", kinds="bifc",
    public=True, inplace=True,
    x=lambda g, x: g * sinh(x),
    doc=unary("Return the hyperbolic cosine of each element.",
        "cr.cosh(cr.tensor([0.0, 1.0]))", "tensor([1.0000, 1.5431])"))  # fmt: skip

tanh = elementwise("tanh(x)", np.tanh, costly=True, calm=True, dtype="float", kinds="bifc",
    public=True, inplace=True,
    x=lambda g, out: tanh_pull(g, out),
    doc=unary("Return the hyperbolic tangent of each element.",
        "cr.tanh(cr.tensor([0.0, 1.0]))", "tensor([0.0000, 0.7616])"))  # fmt: skip


def _tanh_pull(g: Any, y: Any) -> Any:
    return narrowed(g * one_minus(y * y), y)


tanh_pull = elementwise("tanh_pull(g, y)", _tanh_pull, kinds="fc",
    node="TanhBackward", scales=True,
    lower=lambda g, y: g * (1 - y * y),
    g=lambda h, y: tanh_pull(h, y),
    y=lambda h, g, y: h * g * y * -2,
    doc="Return ``g * (1 - y**2)``: the pullback of `tanh`, of whose result `y` (see `sigmoid_pull`).")  # fmt: skip

asin = elementwise("asin(x)", np.arcsin, costly=True, dtype="float", kinds="bifc", domain=WITHIN_ONE,
    public=True, inplace=True, aliases=("arcsin",),
    x=lambda g, x: g * rsqrt(one_minus(x * x)),
    doc=unary("Return the inverse sine of each element.", "cr.asin(cr.tensor([0.0, 1.0]))", "tensor([0.0000, 1.5708])",
        notes="NaN for real elements outside [-1, 1], at whose ends the derivative is infinite."))  # fmt: skip

acos = elementwise("acos(x)", np.arccos, costly=True, dtype="float", kinds="bifc", domain=WITHIN_ONE,
    public=True, inplace=True, aliases=("arccos",),
    x=lambda g, x: -g * rsqrt(one_minus(x * x)),
    doc=unary("Return the inverse cosine of each element.", "cr.acos(cr.tensor([0.0, 1.0]))", "tensor([1.5708, 0.0000])",
        notes="NaN for real elements outside [-1, 1], at whose ends the derivative is infinite."))  # fmt: skip

atan = elementwise("atan(x)", np.arctan, costly=True, dtype="float", kinds="bifc",
    public=True, inplace=True, aliases=("arctan",),
    x=lambda g, x: g / one_plus(x * x),
    doc=unary("Return the inverse tangent of each element.",
        "cr.atan(cr.tensor([0.0, 1.0]))", "tensor([0.0000, 0.7854])"))  # fmt: skip

asinh = elementwise("asinh(x)", np.arcsinh, costly=True, dtype="float", kinds="bifc",
    public=True, inplace=True, aliases=("arcsinh",),
    x=lambda g, x: g * rsqrt(one_plus(x * x)),
    doc=unary("Return the inverse hyperbolic sine of each element.", "cr.asinh(cr.tensor([0.0, 1.0]))",
        "tensor([0.0000, 0.8814])"))  # fmt: skip

# Two roots, and not one of x * x - 1: for complex values that one has another branch cut than acosh.
acosh = elementwise("acosh(x)", np.arccosh, costly=True, dtype="float", kinds="bifc", domain=ABOVE_ONE,
    public=True, inplace=True, aliases=("arccosh",),
    x=lambda g, x: g * (rsqrt(x - 1) * rsqrt(x + 1)),
    doc=unary("Return the inverse hyperbolic cosine of each element.", "cr.acosh(cr.tensor([1.0, 2.0]))",
        "tensor([0.0000, 1.3170])", notes="NaN for real elements below 1, where the derivative is infinite."))  # fmt: skip

atanh = elementwise("atanh(x)", np.arctanh, costly=True, dtype="float", kinds="bifc", domain=WITHIN_ONE,
    public=True, inplace=True, aliases=("arctanh",),
    x=lambda g, x: g / one_minus(x * x),
    doc=unary("Return the inverse hyperbolic tangent of each element.", "cr.atanh(cr.tensor([0.0, 0.5]))",
        "tensor([0.0000, 0.5493])"))  # fmt: skip

deg2rad = elementwise("deg2rad(x)", np.deg2rad, dtype="float", kinds="bif", node="Deg2Rad",
    public=True, inplace=True,
    lower=lambda x: x * (math.pi / 180),
    x=lambda g: g * (math.pi / 180),
    doc=unary("Return angles given in degrees in radians.", "cr.deg2rad(cr.tensor([180.0, 90.0]))", "tensor([3.1416, 1.5708])",
        "bif"))  # fmt: skip

rad2deg = elementwise("rad2deg(x)", np.rad2deg, dtype="float", kinds="bif", node="Rad2Deg",
    public=True, inplace=True,
    lower=lambda x: x * (180 / math.pi),
    x=lambda g: g * (180 / math.pi),
    doc=unary("Return angles given in radians in degrees.", "cr.rad2deg(cr.tensor([0.0, 1.0]))", "tensor([ 0.0000, 57.2958])",
        "bif"))  # fmt: skip


def _sinc(x: Any) -> Any:
    zero = x == 0
    phase = np.where(zero, 1, x) * math.pi
    out = np.where(zero, 1, np.sin(phase) / phase)
    return out.astype(x.dtype) if x.dtype.kind == "V" else out


def _sinc_derivative(x: Any, *, n: int) -> Any:
    """Return the n-th derivative of sinc.

    It is s[n] in ``x s[n] + n s[n-1] = π^(n-1) sin(πx + nπ/2)``, which is ``x s[0] = sin(πx) / π`` differentiated n times.
    That cancels near 0; there the Taylor series is summed.
    """
    near = np.abs(x) < 1
    far = np.where(near, 1, x)
    sine, cosine = np.sin(far * math.pi), np.cos(far * math.pi)
    out = sine / (far * math.pi)
    for k in range(1, n + 1):
        out = ((sine, cosine, -sine, -cosine)[k % 4] * math.pi ** (k - 1) - k * out) / far
    small = np.where(near, x, 0)
    first = (n + 1) // 2
    series, step = np.zeros_like(small), small * small
    for k in reversed(range(first, first + 16)):
        series = series * step + (-1) ** k * math.pi ** (2 * k) / ((2 * k + 1) * math.factorial(2 * k - n))
    return np.where(near, series * small if n % 2 else series, out).astype(x.dtype, copy=False)


sinc = elementwise("sinc(x)", _sinc, dtype="float", kinds="bifc",
    public=True, inplace=True,
    lower=lambda x: s.select(x == 0, 1, s.sin(x * math.pi) / (x * math.pi)),
    x=lambda g, x: g * sinc_derivative(x, n=1),
    doc=unary("Return ``sin(πx) / (πx)`` of each element x, and 1 at 0.", "cr.sinc(cr.tensor([0.0, 0.5]))",
        "tensor([1.0000, 0.6366])"))  # fmt: skip

sinc_derivative = elementwise("sinc_derivative(x, *, n)", _sinc_derivative,
    lower=OPAQUE,
    x=lambda g, x, *, n: g * sinc_derivative(x, n=n + 1),
    samples=lambda: [
        Sample((3, 4), n=1), Sample((), n=2), Sample((5,), n=3, domain=(-0.3, 0.3)), Sample((0,), n=1),
    ])  # fmt: skip
