"""exp, exp2, expm1 and the hyperbolic functions.

x = n ln 2 + r with |r| ≤ ln 2 / 2, by Cody & Waite's reduction (Software Manual for the Elementary Functions, 1980, chapter 6;
Muller, Elementary Functions, 3rd ed., section 11.2); fused, n·LN2_HI is exact for any n. Then exp(r) = 1 + r + r² E(r).
"""

from __future__ import annotations

from chainrule.compiler.llvm.math.body import Body, Value
from chainrule.compiler.llvm.math.coefficients import EXP, SINH, TANH

LOG2E = 1.4426950408889634
LN2 = {"float32": (0.6931471824645996, -1.9046542121259336e-09), "float64": (0.6931471805599453, 2.3190468138462996e-17)}
# Beyond these exp and sinh are 0 or infinite, and n has not left the range of `Body.scaled`.
ENDS = {"float32": (-104.0, 90.0), "float64": (-746.0, 712.0)}
ENDS_2 = {"float32": (-151.0, 129.0), "float64": (-1076.0, 1025.0)}
# Beyond these expm1 is -1 to the last digit, or infinite.
ENDS_1 = {"float32": (-18.0, 89.0), "float64": (-39.0, 710.0)}


def well_reduced(b: Body, x: Value) -> tuple[Value, Value, Value]:
    """Return n as integers, and r as the sum of a number and a small one."""
    high, low = b.pick(LN2)
    n, whole = b.rounded(x, LOG2E)
    return whole, b.fma(n, -high, x), n * -low


def reduced(b: Body, x: Value) -> tuple[Value, Value]:
    """Return n as integers, and r."""
    high, low = b.pick(LN2)
    n, whole = b.rounded(x, LOG2E)
    return whole, b.fma(n, -low, b.fma(n, -high, x))


def exp_of_reduced(b: Body, r: Value) -> Value:
    """Return e^r of small r."""
    return b.fma(r * r, b.polynomial(r, b.pick(EXP)), r) + 1.0


def clamped(b: Body, x: Value, ends: tuple[float, float]) -> Value:
    """Return x, kept within ends; NaN stays."""
    return b.at_least(b.at_most(x, ends[1]), ends[0])


def exp(b: Body, x: Value, shift: int = 0) -> Value:
    """Return e^x·2^shift."""
    n, r = reduced(b, clamped(b, x, b.pick(ENDS)))
    return b.scaled(exp_of_reduced(b, r), n + shift if shift else n)


def exp2(b: Body, x: Value) -> Value:
    """Return 2^x, as e^((x - n) ln 2)·2ⁿ."""
    x = clamped(b, x, b.pick(ENDS_2))
    n, whole = b.rounded(x, 1.0)
    return b.scaled(exp_of_reduced(b, (x - n) * b.pick(LN2)[0]), whole)


def expm1(b: Body, x: Value) -> Value:
    """Return e^x - 1, as twice 2^(n-1) r + (2^(n-1) - 1/2) + 2^(n-1) r² E(r), of which the first sum is rounded once."""
    n, r, rest = well_reduced(b, clamped(b, x, b.pick(ENDS_1)))
    half = b.power_of_2(n - 1)
    whole = r + rest
    low = half * b.fma(whole * whole, b.polynomial(whole, b.pick(EXP)), rest)
    return b.copysign((b.fma(half, r, half - 0.5) + low) * 2.0, x)


def sinh(b: Body, x: Value) -> Value:
    """Return the hyperbolic sine: a polynomial below 1, h - 1/(4h) of h = e^|x|/2 from there on."""
    size = b.abs(x)
    half = exp(b, size, -1)
    z = x * x
    small = b.fma(z * b.polynomial(z, b.pick(SINH)), x, x)
    return b.select(size < 1.0, small, b.copysign(half - 0.25 / half, x))


def cosh(b: Body, x: Value) -> Value:
    """Return the hyperbolic cosine, h + 1/(4h) of h = e^|x|/2."""
    half = exp(b, b.abs(x), -1)
    return half + 0.25 / half


def tanh(b: Body, x: Value) -> Value:
    """Return the hyperbolic tangent: a polynomial up to 0.55, 1 - 2/(1 + e^(2|x|)) from there on."""
    size = b.abs(x)
    n, r = reduced(b, b.at_most(size * 2.0, -2 * b.pick(ENDS_1)[0]))
    great = exp_of_reduced(b, r) * b.power_of_2(n)
    z = x * x
    small = b.fma(z * b.polynomial(z, b.pick(TANH)), size, size)
    return b.copysign(b.select(size < 0.55, small, 1.0 - 2.0 / (great + 1.0)), x)
