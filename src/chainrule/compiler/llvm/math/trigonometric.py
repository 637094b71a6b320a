"""sin, cos and tan.

x = n π/2 + r with |r| ≤ π/4, by Cody & Waite's reduction in three parts, fused (Muller, Elementary Functions, 3rd ed., section
11.2); where a lane is huge, by that of ``reduction``. Of r alone, polynomials.
"""

from __future__ import annotations

from chainrule.compiler.llvm.math.body import Body, Value
from chainrule.compiler.llvm.math.coefficients import COS, SIN
from chainrule.compiler.llvm.math.reduction import huge_reduction

HALF_PI = {
    "float32": (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15),
    "float64": (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33),
}
TWO_OVER_PI = 0.6366197723675814
HUGE = {"float32": 2.0**16, "float64": 2.0**28}  # from where on the rounding of x·2/π matters


def reduced(b: Body, x: Value) -> tuple[Value, Value]:
    """Return r of x from 0 on, and n modulo 4 in the low bits of integers.

    n·HALF_PI[0] cancels with x exactly, and either the second step cancels, and is exact, or the third is too small to be seen.
    """
    first, second, third = b.pick(HALF_PI)
    n, whole = b.rounded(x, TWO_OVER_PI)
    r = b.fma(n, -third, b.fma(n, -second, b.fma(n, -first, x)))
    r, _, n = huge_reduction(b, x, x > b.pick(HUGE), (r, None, whole))
    return r, n


def well_reduced(b: Body, x: Value) -> tuple[Value, Value, Value]:
    """Return r of x from 0 on as the sum of a number and a small one, and n modulo 4 in the low bits of integers."""
    first, second, third = b.pick(HALF_PI)
    n, whole = b.rounded(x, TWO_OVER_PI)
    exact = b.fma(n, -first, x)
    product, lost = b.two_product(n, second)
    nearer, rest = b.two_sum(exact, -product)
    r, rest = b.two_sum(nearer, rest - b.fma(n, third, lost))
    return huge_reduction(b, x, x > b.pick(HUGE), (r, rest, whole))


def sine(b: Body, r: Value, z: Value) -> Value:
    """Return sin(r), z = r²."""
    return b.fma(r * z, b.polynomial(z, b.pick(SIN)), r)


def cosine(b: Body, z: Value) -> Value:
    """Return cos(r), z = r²."""
    return b.fma(z * z, b.polynomial(z, b.pick(COS)), b.fma(z, -0.5, 1.0))


def sin(b: Body, x: Value) -> Value:
    """Return the sine."""
    r, n = reduced(b, b.abs(x))
    z = r * r
    out = b.select((n & 1).eq(0), sine(b, r, z), cosine(b, z))
    return b.signed(out, (n << (b.width - 2)) ^ b.bits(x))


def cos(b: Body, x: Value) -> Value:
    """Return the cosine."""
    r, n = reduced(b, b.abs(x))
    z = r * r
    out = b.select((n & 1).eq(0), cosine(b, z), sine(b, r, z))
    return b.signed(out, (n + 1) << (b.width - 2))


def tan(b: Body, x: Value) -> Value:
    """Return the tangent: sin/cos or -cos/sin of r, both as sums of two numbers, and the quotient with its remainder."""
    r, rest, n = well_reduced(b, b.abs(x))
    z = r * r
    sin_high, sin_low = b.two_sum(r, b.fma(r * z, b.polynomial(z, b.pick(SIN)), rest))
    most, lost = b.two_sum(b.value(1.0), z * -0.5)
    lost = lost - b.fma(r, rest, b.fma(r, r, -z) * 0.5)
    cos_high, cos_low = b.two_sum(most, b.fma(z * z, b.polynomial(z, b.pick(COS)), lost))
    even = (n & 1).eq(0)
    over, over_low = b.select(even, sin_high, cos_high), b.select(even, sin_low, cos_low)
    under, under_low = b.select(even, cos_high, -sin_high), b.select(even, cos_low, -sin_low)
    reciprocal = 1.0 / under
    q = over * reciprocal
    left = b.fma(-q, under, over) + b.fma(-q, under_low, over_low)
    return b.signed(b.fma(left, reciprocal, q), b.bits(x))
