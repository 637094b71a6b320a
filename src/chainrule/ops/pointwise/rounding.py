"""Rounding, splitting into parts, tests of each element, and negation of bits and truth. Most are flat: derivative 0."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.core.op.batching import same
from chainrule.core.op.declaration import elementwise, op
from chainrule.core.op.lowering import Opaque, s
from chainrule.core.op.raw import narrowed
from chainrule.core.op.reach import in_order, nowhere
from chainrule.core.op.samples import Sample
from chainrule.ops.describe import unary
from chainrule.ops.indexing.select import where

OPAQUE = Opaque("it takes the bits of a number apart")


def flat(g: Any) -> Any:
    """Return the (co)tangent through a function that is constant almost everywhere: 0, even of an infinite `g`."""
    return where(False, g, 0)


ceil = elementwise("ceil(x)", np.ceil, kinds="if",
    reach=nowhere,
    public=True, inplace=True,
    x=lambda g: flat(g),
    doc=unary("Return the smallest integer not below each element.", "cr.ceil(cr.tensor([-0.5, 1.2]))", "tensor([-0., 2.])",
        "if", notes="The derivative is 0 everywhere, at the steps too."))  # fmt: skip

floor = elementwise("floor(x)", np.floor, kinds="if",
    reach=nowhere,
    public=True, inplace=True,
    x=lambda g: flat(g),
    doc=unary("Return the largest integer not above each element.", "cr.floor(cr.tensor([-0.5, 1.2]))", "tensor([-1.,  1.])",
        "if", notes="The derivative is 0 everywhere, at the steps too."))  # fmt: skip

trunc = elementwise("trunc(x)", np.trunc, kinds="if",
    reach=nowhere,
    public=True, inplace=True, aliases=("fix",),
    x=lambda g: flat(g),
    doc=unary("Return each element without its fractional part.", "cr.trunc(cr.tensor([-1.5, 1.2]))", "tensor([-1.,  1.])",
        "if", notes="The derivative is 0 everywhere, at the steps too."))  # fmt: skip

# The method, and not np.rint: that makes floats of integers.
round = elementwise("round(x)", lambda x: x.round(), kinds="if",
    lower="rint",
    reach=nowhere,
    x=lambda g: flat(g))  # fmt: skip


def _round_decimals(x: Any, *, decimals: int) -> Any:
    """Round as PyTorch does: scale, round to even, scale back, with a power of ten that is a whole number."""
    scale = 10.0 ** abs(decimals)
    return narrowed(np.rint(x * scale) / scale if decimals > 0 else np.rint(x / scale) * scale, x)


def _lower_round(x: Any, *, decimals: int) -> Any:
    scale = 10.0 ** abs(decimals)
    return s.rint(x * scale) / scale if decimals > 0 else s.rint(x / scale) * scale


round_decimals = elementwise("round_decimals(x, *, decimals)", _round_decimals, kinds="f", reach=nowhere, node="Round1",
    lower=_lower_round,
    x=lambda g: flat(g),
    samples=lambda: [Sample((3, 4), decimals=1), Sample((), decimals=-1), Sample((0,), decimals=2)])  # fmt: skip

frac = elementwise("frac(x)", lambda x: x - np.trunc(x), kinds="f",
    public=True, inplace=True,
    lower=lambda x: x - s.trunc(x),
    x=lambda g: g,
    doc=unary("Return the fractional part of each element, with its sign.", "cr.frac(cr.tensor([1.25, -2.5]))",
        "tensor([ 0.2500, -0.5000])", "f", notes="The derivative is 1 everywhere, at the steps too."))  # fmt: skip


def _nan_to_num(x: Any, *, nan: float, posinf: float, neginf: float) -> Any:
    out = np.array(x)
    out[np.isnan(x)] = nan
    out[x == np.inf] = posinf
    out[x == -np.inf] = neginf
    return out


def _lower_nan_to_num(x: Any, *, nan: float, posinf: float, neginf: float) -> Any:
    return s.select(s.isnan(x), nan, s.select(x == math.inf, posinf, s.select(x == -math.inf, neginf, x)))


nan_to_num = elementwise("nan_to_num(x, *, nan, posinf, neginf)", _nan_to_num, kinds="f",
    lower=_lower_nan_to_num,
    x=lambda g, x: where(isfinite(x), g, 0),
    samples=lambda: [
        Sample((3, 4), nan=0.0, posinf=1.0, neginf=-1.0), Sample((), nan=2.0, posinf=1.0, neginf=-1.0),
        Sample(np.array([np.nan, np.inf, -np.inf, 1.0]), nan=2.0, posinf=3.0, neginf=-1.0),
    ])  # fmt: skip


def _power_of_two(x: Any) -> Any:
    """Return the 2**-e of frexp's exponent e."""
    _, exponent = np.frexp(x)
    return np.ldexp(np.ones((), x.dtype), -exponent)


power_of_two = elementwise("power_of_two(x)", _power_of_two, nondiff=True, kinds="f", domain=(0.2, 30.0), lower=OPAQUE)

frexp = op("frexp(x)", np.frexp, kinds="f", domain=(0.2, 30.0),
    lower=OPAQUE,
    shape=lambda x: [x, x], dtype=lambda x: [x, np.dtype(np.int32)],
    reach=in_order,
    batch=same,
    jvp=lambda x_dot, x: (x_dot * power_of_two(x), None),
    x=lambda g, x: g[0] * power_of_two(x),
    samples=lambda: [Sample((3, 4)), Sample(()), Sample((0,))])  # fmt: skip

# -- tests of each element ---------------------------------------------------------------------------------------------

_BOOL = "``bool``"

isfinite = elementwise("isfinite(x)", np.isfinite, dtype="bool", kinds="bifc", nondiff=True,
    public=True,
    doc=unary("Tell which elements are finite: neither infinite nor NaN.", "cr.isfinite(cr.tensor([1.0, cr.inf]))",
        "tensor([ True, False])", "any", _BOOL))  # fmt: skip

isinf = elementwise("isinf(x)", np.isinf, dtype="bool", kinds="bifc", nondiff=True,
    public=True,
    doc=unary("Tell which elements are infinite.", "cr.isinf(cr.tensor([1.0, -cr.inf]))",
        "tensor([False,  True])", "any", _BOOL))  # fmt: skip

isnan = elementwise("isnan(x)", np.isnan, dtype="bool", kinds="bifc", nondiff=True,
    public=True,
    doc=unary("Tell which elements are NaN.", "cr.isnan(cr.tensor([1.0, cr.nan]))", "tensor([False,  True])",
        "any", _BOOL))  # fmt: skip

isposinf = elementwise("isposinf(x)", lambda x: x == np.inf, dtype="bool", kinds="bif", nondiff=True,
    public=True,
    lower=lambda x: x == math.inf,
    doc=unary("Tell which elements are positive infinity.", "cr.isposinf(cr.tensor([cr.inf, -cr.inf]))",
        "tensor([ True, False])", "any real dtype", _BOOL))  # fmt: skip

isneginf = elementwise("isneginf(x)", lambda x: x == -np.inf, native=False, dtype="bool", kinds="bif", nondiff=True,
    public=True,
    lower=lambda x: x == -math.inf,
    doc=unary("Tell which elements are negative infinity.", "cr.isneginf(cr.tensor([cr.inf, -cr.inf]))",
        "tensor([False,  True])", "any real dtype", _BOOL))  # fmt: skip

isreal = elementwise("isreal(x)", lambda x: x.imag == 0, dtype="bool", kinds="bifc", nondiff=True,
    public=True,
    lower=lambda x: s.imag(x) == 0,
    doc=unary("Tell which elements have no imaginary part.", "cr.isreal(cr.tensor([1.0, 1j]))", "tensor([ True, False])",
        "any", _BOOL))  # fmt: skip

signbit = elementwise("signbit(x)", np.signbit, dtype="bool", kinds="bif", nondiff=True,
    public=True,
    doc=unary("Tell which elements have their sign bit set, as -0.0 has.", "cr.signbit(cr.tensor([-0.0, 1.0]))",
        "tensor([ True, False])", "any real dtype", _BOOL))  # fmt: skip

logical_not = elementwise("logical_not(x)", np.logical_not, dtype="bool", kinds="bifc", nondiff=True,
    public=True, inplace=True,
    lower=lambda x: x == 0,
    doc=unary("Tell which elements are zero (or false).", "cr.logical_not(cr.tensor([True, False]))", "tensor([False,  True])",
        "any", _BOOL))  # fmt: skip

bitwise_not = elementwise("bitwise_not(x)", np.invert, kinds="bi", nondiff=True,
    public=True, inplace=True,
    doc=unary("Return the bitwise complement of each integer, the negation of each bool.",
        "cr.bitwise_not(cr.tensor([0, 5]))", "tensor([-1, -6])", "integer or bool"))  # fmt: skip
