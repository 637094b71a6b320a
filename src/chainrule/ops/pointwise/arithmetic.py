"""Elementwise arithmetic: sums, products, quotients and their remainders, powers, interpolation."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from chainrule.core.call.dispatch import NUMBERS
from chainrule.core.op.declaration import TABLE, elementwise
from chainrule.core.op.lowering import Opaque, s
from chainrule.core.op.native import NATIVE, in_native
from chainrule.core.op.raw import narrowed, with_poles
from chainrule.core.op.reach import by_broadcasting, by_product, nowhere
from chainrule.core.op.results import floating, joined
from chainrule.core.op.samples import Fixed, Ints, Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import is_complex
from chainrule.core.types import dtype as dtypes
from chainrule.ops.describe import binary, no_derivative, no_tangent
from chainrule.ops.indexing.select import where
from chainrule.ops.pointwise.exponential import log

OPAQUE = Opaque("Euclid's algorithm: a loop whose length the values decide")

POSITIVE = (0.2, 3.0)
_ZERO = bytes(16)
_REAL = (np.dtype(np.float32), np.dtype(np.float64))


def nothing(g: Any) -> Any:
    """Return zeros like a (co)tangent, also where it is infinite; of an array they are one zero, repeated."""
    if g.__class__ is np.ndarray:
        return np.ndarray(g.shape, g.dtype, _ZERO, strides=(0,) * g.ndim)
    return where(np.False_, g, 0)


def _is_bool(x: Any) -> bool:
    return x.dtype.category == dtypes.BOOL if isinstance(x, Tensor) else x.__class__ is bool


def _refuse_bools(x: Any, y: Any) -> None:
    if _is_bool(x) and _is_bool(y) and isinstance(x, Tensor) and isinstance(y, Tensor):
        raise RuntimeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. "
            "Use the `^` or `logical_xor()` operator instead."
        )
    if _is_bool(x) or _is_bool(y):
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. "
            "If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."
        )


def _refuse_bool(x: Any) -> None:
    if _is_bool(x):
        raise RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. "
            "If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."
        )


add = elementwise("add(x, y)", operator.add, calm=True, kinds="bifc",
    x=lambda g: g,
    y=lambda g: g,
    doc=binary("Return the sum.", "cr.add(cr.tensor([1.0, 2.0]), 3)", "tensor([4., 5.])"))  # fmt: skip

sub = elementwise("sub(x, y)", operator.sub, calm=True, kinds="ifc", check=_refuse_bools,
    x=lambda g: g,
    y=lambda g: -g,
    doc=binary("Return the difference.", "cr.sub(cr.tensor([1.0, 2.0]), 3)", "tensor([-2., -1.])"))  # fmt: skip

mul = elementwise("mul(x, y)", operator.mul, calm=True, kinds="bifc",
    public=True, inplace=True, aliases=("multiply",),
    reach=by_product,
    x=lambda g, y: g * y,
    y=lambda g, x: g * x,
    doc=binary("Return the product.", "cr.mul(cr.tensor([1.0, 2.0]), 3)", "tensor([3., 6.])"))  # fmt: skip

div = elementwise("div(x, y)", operator.truediv, calm=True, dtype="float", domain=[(-3, 3), POSITIVE],
    inplace=True, aliases=("true_divide",),
    x=lambda g, y: g / y,
    y=lambda g, x, y: -x / y / y * g,  # in this order NumPy reuses the first temporary for the rest
    doc=binary("Return the quotient; integers give the default dtype.", "cr.div(cr.tensor([1, 2]), 4)",
               "tensor([0.2500, 0.5000])"))  # fmt: skip

neg = elementwise("neg(x)", operator.neg, calm=True, kinds="ifc", check=_refuse_bool,
    public=True, inplace=True, aliases=("negative",),
    x=lambda g: -g,
    doc=binary("Return the negative.", "cr.neg(cr.tensor([1.0, -2.0]))", "tensor([-1.,  2.])", names=("input",)))  # fmt: skip


# -- powers ------------------------------------------------------------------------------------------------------------


def _refuse_negative_powers(x: Any, y: Any) -> None:
    if y.__class__ is int and y < 0 and isinstance(x, Tensor) and x.dtype.category <= dtypes.INT:
        raise RuntimeError("Integers to negative integer powers are not allowed.")


_FEW = 512  # elements, of which the C library's power costs no more than other passes


def _real_power(x: np.ndarray, y: float, roots: bool) -> np.ndarray:
    """Return an array of float32 or float64 to the power of a number: products, and `roots`, where PyTorch computes them so.

    A negative base sends NumPy's vectorised power, lane by lane, to the C library's (60 ms for 10^6 float32, 1.3 without):
    it is taken of the size of `x`, and the sign put back.
    """
    if y in (1, 2, -1, 0) or (y == 0.5 and roots):  # NumPy's own shortcuts
        return x**y
    if y == 3:
        out = x * x
        return np.multiply(out, x, out=out)
    if y == -2:
        out = x * x
        return np.divide(1, out, out=out)
    if y == -0.5 and roots:
        out = np.sqrt(x)
        return np.divide(1, out, out=out)
    if x.size < _FEW and y != 0.5:
        return x**y
    if roots and x.size >= NATIVE and (out := in_native(_pow, x, y)) is not None:
        return out
    y = float(x.dtype.type(y))  # what NumPy makes of it, which may be even where it was odd
    out = np.abs(x)
    out **= y
    if y % 2 == 1:
        return np.copysign(out, x, out=out)
    if y % 1 and not math.isinf(y):
        out[(x < 0) & (x != -np.inf)] = np.nan
    return out


def _pow(x: Any, y: Any) -> Any:
    if x.__class__ is np.ndarray and x.ndim and x.dtype in _REAL:  # what 0-d arrays give are scalars, which take no out=
        if y.__class__ in (float, int, bool):
            return _real_power(x, y, True)
        # of tensors PyTorch takes no roots: -inf to the power of 0.5 is inf
        if y.__class__ is not complex and y.dtype is x.dtype and not y.ndim:
            return _real_power(x, float(y), False)
    if y.__class__ is float and (y == 0.5 or y == -0.5) and isinstance(x, (np.float32, np.float64)):
        return np.sqrt(x) if y > 0 else 1 / np.sqrt(x)
    try:
        out = operator.pow(x, y)
        if y.__class__ is int and y < 0 and out.dtype.kind in "biu":  # of no element NumPy refuses nothing
            raise ValueError("negative powers of integers")
        return with_poles(out, x, y) if out.dtype.kind == "c" else out
    except ValueError:  # NumPy refuses negative powers of integers; PyTorch truncates them, to 0 but for powers of 1 and -1
        if not isinstance(y, (np.ndarray, np.generic)):
            raise
        sign = np.where(y % 2 == 0, 1, x)
        return np.where(y >= 0, operator.pow(x, np.maximum(y, 0)), np.where(np.abs(x) == 1, sign, 0)).astype(y.dtype)


def _scaled(slope: Any, number: Any, g: Any) -> Any:
    """Return ``g * (number * slope)`` for a slope just computed; of raw arrays in its own memory."""
    if slope.__class__ is np.ndarray and g.__class__ is np.ndarray and slope.shape == g.shape and slope.dtype is g.dtype:
        slope *= number
        slope *= g
        return slope
    return g * (number * slope)


def _power_in_base(g: Any, x: Any, y: Any) -> Any:
    if y.__class__ in NUMBERS:
        if y == 2:
            return g * (x + x)
        return nothing(g) if y == 0 else _scaled(pow(x, y - 1), y, g)
    return g * where(y == 0, 0, y * pow(x, y - 1))


def _log_of(x: Any, y: Any) -> Any:
    """Return log(x); of a Python number a Python number, which leaves the dtype of what it multiplies alone."""
    if x.__class__ not in NUMBERS:
        return log(x)
    if x == 0:
        return -math.inf
    if is_complex(x) or is_complex(y):
        return np.log(complex(x)).item()
    return math.log(x) if x > 0 else math.nan


def _power_in_exponent(g: Any, x: Any, y: Any, out: Any) -> Any:
    """Return g times the derivative in y, ``out * log(x)``; 0 at x = 0 where y >= 0, its limit."""
    flat = x == 0 if is_complex(y) else (x == 0) & (y >= 0)
    return g * where(flat, 0, out * _log_of(x, y))


def _power_name(node: Any) -> str:
    """Return what PyTorch calls a power: by which of the two is a Python number, as long as the node knows them."""
    base, exponent = (None, None) if node.saved is None else node.kept
    if exponent.__class__ in NUMBERS:
        return "Pow"
    if base.__class__ in NUMBERS:
        return "Pow2"
    return "Pow1" if exponent is not None or node.edges[1] is not None else "Pow"


pow = elementwise("pow(x, y)", _pow, calm=True, native=False, kinds="ifc", domain=[POSITIVE, (-2, 2)],
    check=_refuse_negative_powers,
    public=True, inplace=True, second="exponent",
    lower="pow",
    node=_power_name,
    x=_power_in_base,
    y=_power_in_exponent,
    doc=binary("Return `input` to the power of `exponent`.", "cr.pow(cr.tensor([1.0, 2.0, 3.0]), 2)", "tensor([1., 4., 9.])",
               names=("input", "exponent"),
               note="The derivative in the exponent is 0 at 0 to a power that is not negative."))  # fmt: skip


# -- quotients in whole numbers ----------------------------------------------------------------------------------------


def _refuse_zero(x: Any, y: Any) -> None:
    """Raise PyTorch's error for an integer divisor of 0, where NumPy gives 0; not where nothing is divided."""
    if not getattr(x, "size", 1):
        return
    d = getattr(y, "dtype", None)
    if (y == 0 and y.__class__ is not float) if d is None else (d.kind in "iu" and not np.all(y)):
        raise RuntimeError("ZeroDivisionError")


def _is_whole(x: Any) -> bool:
    return x.__class__ in (int, bool) if not hasattr(x, "dtype") else x.dtype.kind in "biu"


_QUOTIENTS = np.array([[-2.5, 0.75], [0.0, 3.0]])


def _floor_divide(x: Any, y: Any) -> Any:
    if _is_whole(x) and _is_whole(y):
        _refuse_zero(x, y)
    return operator.floordiv(x, y)


floor_divide = elementwise("floor_divide(x, y)", _floor_divide, kinds="f", node="NotImplemented!",
    refuses="biu",
    public=True, inplace=True,
    lower="floordiv",
    x=lambda g: no_derivative("floor_divide"),
    y=lambda g: no_derivative("floor_divide"),
    jvp=lambda x_dot, y_dot: no_tangent("floor_divide"),
    samples=lambda: [Sample(Fixed(_QUOTIENTS), Fixed(np.array([1.5, 0.5]))),
                     Sample(Fixed(np.array([-7, 7])), Fixed(np.array(2)))],
    doc=binary("Return the quotient rounded towards minus infinity; a derivative in it raises, as PyTorch's does.",
               "cr.floor_divide(cr.tensor([-7, 7]), 2)", "tensor([-4,  3])"))  # fmt: skip


def _div_rounded(x: Any, y: Any, *, mode: str) -> Any:
    if mode == "floor":
        return _floor_divide(x, y)
    if not (_is_whole(x) and _is_whole(y)):
        return np.trunc(x / y)
    _refuse_zero(x, y)
    down = x // y
    return down + ((down < 0) & (down * y != x)).astype(down.dtype)


div_rounded = elementwise("div_rounded(x, y, *, mode)", _div_rounded, kinds="f", node="Div2", domain=[(-3, 3), POSITIVE],
    reach=nowhere,
    refuses="biu",
    lower=lambda x, y, *, mode: x // y if mode == "floor" else s.truncdiv(x, y),
    x=lambda g: nothing(g),
    y=lambda g: nothing(g),
    samples=lambda: [Sample((3, 4), (4,), mode="floor"), Sample((3, 1), (), mode="trunc"), Sample((0,), (1,), mode="trunc")],
    doc=binary("Return the quotient rounded down (``mode='floor'``) or towards 0 (``'trunc'``)."))  # fmt: skip


def _remainder(x: Any, y: Any) -> Any:
    if _is_whole(x) and _is_whole(y):
        _refuse_zero(x, y)
    return operator.mod(x, y)


def _fmod(x: Any, y: Any) -> Any:
    if _is_whole(x) and _is_whole(y):
        _refuse_zero(x, y)
    return np.fmod(x, y)


remainder = elementwise("remainder(x, y)", _remainder, kinds="f", domain=[(-3, 3), POSITIVE],
    refuses="biu",
    public=True, inplace=True,
    lower="mod",
    node=lambda node: "Remainder1" if node.edges[1] is not None else "Remainder",
    x=lambda g: g,
    y=lambda g, x, y: -g * div_rounded(x, y, mode="floor"),
    doc=binary("Return the remainder of the division, with the sign of the divisor, as Python's ``%``.",
               "cr.remainder(cr.tensor([-3.0, 3.0]), 2)", "tensor([1., 1.])"))  # fmt: skip

fmod = elementwise("fmod(x, y)", _fmod, kinds="f", domain=[(-3, 3), POSITIVE],
    refuses="biu",
    public=True, inplace=True,
    lower="fmod",
    node=lambda node: "Fmod1" if node.edges[1] is not None else "Fmod",
    x=lambda g: g,
    y=lambda g, x, y: -g * div_rounded(x, y, mode="trunc"),
    doc=binary("Return the remainder of the division, with the sign of the dividend, as C's ``fmod``.",
               "cr.fmod(cr.tensor([-3.0, 3.0]), 2)", "tensor([-1.,  1.])"))  # fmt: skip


# -- sums of products --------------------------------------------------------------------------------------------------


def _lerp(x: Any, y: Any, w: Any) -> Any:
    """Interpolate from the nearer end, so that a weight of 1 gives `y` exactly."""
    step = y - x
    if w.__class__ in NUMBERS:
        return x + w * step if abs(w) < 0.5 else y - step * (1 - w)
    return np.where(np.abs(w) < 0.5, x + w * step, y - step * (1 - w))


lerp = elementwise("lerp(x, y, w)", _lerp, node=lambda node: "Lerp1" if node.edges[2] is not None else "Lerp",
    lower=lambda x, y, w: s.select(abs(w) < 0.5, x + w * (y - x), y - (y - x) * (1 - w)),
    x=lambda g, w: g * (1 - w),
    y=lambda g, w: g * w,
    w=lambda g, x, y: g * (y - x),
    doc=binary("Return ``input + weight * (end - input)``.", "cr.lerp(cr.tensor([0.0, 1.0]), cr.tensor([2.0, 3.0]), 0.5)",
               "tensor([1., 2.])", names=("input", "end", "weight")))  # fmt: skip


def _refuse_integers(x: Any, y: Any, z: Any) -> None:
    if all([isinstance(t, Tensor) and t.dtype.category <= dtypes.INT for t in (y, z)]):
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported, and in a future  release addcdiv will perform a true "
            "division of tensor1 and tensor2. Divide them with div(rounding_mode='trunc') and add the result instead."
        )


_TERNARY = ("input", "tensor1", "tensor2")
_VALUED = [Sample((3, 4), (4,), (3, 1), value=1), Sample((), (), (), value=-0.5), Sample((0, 2), (2,), (), value=2.0)]


def _plus(x: Any, term: Any, value: Any) -> Any:
    return narrowed(x + (term if value == 1 else value * term), x)


def _scaled_dtype(x: Any, y: Any, z: Any, *, value: Any) -> np.dtype:
    return joined(x, y, z) if value == 1 else joined(x, y, z, type(value))


addcmul = elementwise("addcmul(x, y, z, *, value)",
    lambda x, y, z, *, value: _plus(x, y * z, value), kinds="ifc", dtype=_scaled_dtype,
    lower=lambda x, y, z, *, value: x + value * (y * z),
    x=lambda g: g,
    y=lambda g, z, *, value: g * (z * value),
    z=lambda g, y, *, value: g * (y * value),
    samples=lambda: _VALUED,
    doc=binary("Return ``input + value * tensor1 * tensor2``.", names=_TERNARY))  # fmt: skip

addcdiv = elementwise("addcdiv(x, y, z, *, value)",
    lambda x, y, z, *, value: _plus(x, y / z, value), promotion="float",
    dtype=lambda x, y, z: floating(x, y, z), check=_refuse_integers,
    lower=lambda x, y, z, *, value: x + value * (y / z),
    domain=POSITIVE,
    x=lambda g: g,
    y=lambda g, z, *, value: g * value / z,
    z=lambda g, y, z, *, value: -g * (value * ((y / z) / z)),
    samples=lambda: _VALUED,
    doc=binary("Return ``input + value * tensor1 / tensor2``.", names=_TERNARY))  # fmt: skip


# -- two-argument functions --------------------------------------------------------------------------------------------


def _angle_part(g: Any, part: Any, x: Any, y: Any) -> Any:
    """Return ``g * part / (x² + y²)``; 0 at the origin, where the angle has no derivative."""
    square = x * x + y * y
    return g * where(square == 0, 0, part / square)


atan2 = elementwise("atan2(x, y)", np.arctan2, native=True, dtype="float", kinds="if", domain=POSITIVE,
    public=True, inplace=True, aliases=("arctan2",),
    x=lambda g, x, y: _angle_part(g, y, x, y),
    y=lambda g, x, y: _angle_part(g, -x, x, y),
    doc=binary("Return the angle in radians of the point (other, input), in (-π, π].",
               "cr.atan2(cr.tensor([1.0, -1.0]), cr.tensor([0.0, -1.0]))", "tensor([ 1.5708, -2.3562])",
               note="The derivative at the origin is 0."))  # fmt: skip

hypot = elementwise("hypot(x, y)", np.hypot, native=True, kinds="f",
    public=True, inplace=True,
    x=lambda g, x, out: g * (x / out),
    y=lambda g, y, out: g * (y / out),
    doc=binary("Return the square root of the sum of squares, without overflow.",
               "cr.hypot(cr.tensor([3.0]), cr.tensor([4.0]))", "tensor([5.])",
               note="The derivative at (0, 0) is NaN."))  # fmt: skip


def _share(g: Any, x: Any, y: Any) -> Any:
    """Return ``g / (1 + exp(y - x))`` in a form whose own derivatives do not overflow."""
    return g * TABLE["sigmoid"].call(x - y)


def _logaddexp(x: Any, y: Any) -> Any:
    if not (is_complex(x) or is_complex(y)):
        return np.logaddexp(x, y)
    first = np.real(x) >= np.real(y)
    return np.where(first, x, y) + np.log1p(np.exp(np.where(first, y - x, x - y)))


def _lower_logaddexp(x: Any, y: Any) -> Any:
    first = s.real(x) >= s.real(y) if "c" in (x.kind, y.kind) else x >= y
    return s.select(x == y, x + math.log(2), s.select(first, x, y) + s.log1p(s.exp(s.select(first, y - x, x - y))))


logaddexp = elementwise("logaddexp(x, y)", _logaddexp,
    public=True,
    lower=_lower_logaddexp,
    x=lambda g, x, y: _share(g, x, y),
    y=lambda g, x, y: _share(g, y, x),
    doc=binary("Return the logarithm of the sum of exponentials, without overflow.",
               "cr.logaddexp(cr.tensor([0.0]), cr.tensor([0.0]))", "tensor([0.6931])"))  # fmt: skip

logaddexp2 = elementwise("logaddexp2(x, y)", np.logaddexp2, native=True, kinds="f",
    public=True,
    lower=lambda x, y: s.select(x == y, x + 1, s.max(x, y) + s.log2(1 + s.exp2(-abs(x - y)))),
    x=lambda g, x, y: _share(g, x * math.log(2), y * math.log(2)),
    y=lambda g, x, y: _share(g, y * math.log(2), x * math.log(2)),
    doc=binary("Return the logarithm to base 2 of the sum of powers of 2.",
               "cr.logaddexp2(cr.tensor([0.0]), cr.tensor([0.0]))", "tensor([1.])"))  # fmt: skip


def _xlogy(x: Any, y: Any) -> Any:
    if y.__class__ in NUMBERS:  # whose logarithm NumPy gives in double precision
        y = x.dtype.type(y)
    return np.where(np.isnan(y), y, np.where(x == 0, x * 0, x * np.log(y)))


xlogy = elementwise("xlogy(x, y)", _xlogy, dtype="float", kinds="bif", domain=[(-3, 3), POSITIVE],
    public=True, inplace=True,
    lower=lambda x, y: s.select(s.isnan(y), y, s.select(x == 0, x * 0, x * s.log(y))),
    x=lambda g, x, y: g * where((x == 0) & (y <= 0), 0, log(y)),
    y=lambda g, x, y: g * (x / y),
    doc=binary("Return ``input * log(other)``, 0 where `input` is 0.",
               "cr.xlogy(cr.tensor([0.0, 2.0]), cr.tensor([0.0, 1.0]))", "tensor([0., 0.])",
               note="The derivative in `input` is 0 where both are 0."))  # fmt: skip

copysign = elementwise("copysign(x, y)", np.copysign, dtype="float", kinds="bif",
    reach={"x": by_broadcasting, "y": nowhere},
    public=True, inplace=True,
    x=lambda g, x, out: g * where(x == 0, 0, out / x),
    y=lambda g: nothing(g),
    doc=binary("Return `input` with the sign of `other`.", "cr.copysign(cr.tensor([1.0, 2.0]), -1)", "tensor([-1., -2.])",
               note="The derivative is 0 where `input` is 0."))  # fmt: skip

nextafter = elementwise("nextafter(x, y)", np.nextafter, kinds="f",
    reach={"x": by_broadcasting, "y": nowhere},
    public=True, inplace=True,
    x=lambda g, x, y: where(x == y, 0, g),
    y=lambda g: nothing(g),
    doc=binary("Return the next floating point number after `input` towards `other`.",
               "cr.nextafter(cr.tensor([1.0]), cr.tensor([2.0])) > 1", "tensor([True])"))  # fmt: skip


def _same_dtype(x: Any, y: Any) -> None:
    if isinstance(x, Tensor) and isinstance(y, Tensor) and x.dtype is not y.dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")


def _heaviside(x: Any, y: Any) -> Any:
    above = np.greater(x, 0)
    return np.where(x == 0, y, above.astype(x.dtype) if hasattr(x, "dtype") else above)


heaviside = elementwise("heaviside(x, y)", _heaviside,
    public=True, inplace=True, second="values",
    lower=lambda x, y: s.select(x == 0, y, x > 0),
    kinds="bif", check=_same_dtype, node="NotImplemented!",
    x=lambda g: no_derivative("heaviside"),
    y=lambda g: no_derivative("heaviside"),
    jvp=lambda x_dot, y_dot: no_tangent("heaviside"),
    samples=lambda: [Sample(Fixed(_QUOTIENTS), Fixed(np.array([0.5, 1.0])))],
    doc=binary("Return 0 below 0, 1 above, and `values` at 0; a derivative in it raises, as PyTorch's does.",
               "cr.heaviside(cr.tensor([-1.0, 0.0, 2.0]), cr.tensor(0.5))",
               "tensor([0.0000, 0.5000, 1.0000])", names=("input", "values")))  # fmt: skip

_WHOLE = [
    Sample(Ints((3, 4), 1, 9), Ints((4,), 1, 9)), Sample(Ints((), 0, 9), Ints((2,), 0, 9)),
    Sample(Ints((0,), 0, 9), Ints((1,), 1, 9)),
]  # fmt: skip

gcd = elementwise("gcd(x, y)", np.gcd, kinds="i", nondiff=True, samples=lambda: _WHOLE,
    public=True, inplace=True,
    lower=OPAQUE,
    doc=binary("Return the greatest common divisor of integers.", "cr.gcd(cr.tensor([4, 9]), cr.tensor([6, 6]))",
               "tensor([2, 3])"))  # fmt: skip

lcm = elementwise("lcm(x, y)", np.lcm, kinds="i", nondiff=True, samples=lambda: _WHOLE,
    public=True, inplace=True,
    lower=OPAQUE,
    doc=binary("Return the least common multiple of integers.", "cr.lcm(cr.tensor([4, 9]), cr.tensor([6, 6]))",
               "tensor([12, 18])"))  # fmt: skip
