"""asin, acos, atan, atan2 and hypot.

Arcs are reduced to where a short odd polynomial serves, by asin(x) = π/2 - 2 asin(√((1 - x)/2)) and
atan(x) = π/4 + atan((x - 1)/(x + 1)) (Muller, Elementary Functions, 3rd ed., section 11.5).
"""

from __future__ import annotations

import math

from chainrule.compiler.llvm.math.body import Body, Value
from chainrule.compiler.llvm.math.coefficients import ASIN, ATAN

# π/2 as the sum of two numbers
HALF_PI = {"float32": (1.5707963705062866, -4.371138828673793e-08), "float64": (1.5707963267948966, 6.123233995736766e-17)}
TAN_EIGHTH = math.tan(math.pi / 8)


def _arc(b: Body, x: Value) -> tuple[Value, Value, Value]:
    """Return where |x| ≤ 1/2, and a number s and a small one, whose sum is asin(|x|) there, elsewhere asin(√((1 - |x|)/2))."""
    size = b.abs(x)
    small = size <= 0.5
    z = b.select(small, x * x, b.fma(size, -0.5, 0.5))
    s = b.select(small, size, b.sqrt(z))
    return small, s, s * z * b.polynomial(z, b.pick(ASIN))


def asin(b: Body, x: Value) -> Value:
    """Return the arc sine; NaN beyond 1."""
    high, low = b.pick(HALF_PI)
    small, s, more = _arc(b, x)
    great, rest = b.two_sum(b.value(high), s * -2.0)
    return b.copysign(b.select(small, s + more, great - (b.fma(more, 2.0, -low) - rest)), x)


def acos(b: Body, x: Value) -> Value:
    """Return the arc cosine; NaN beyond 1."""
    high, low = b.pick(HALF_PI)
    small, s, more = _arc(b, x)
    signed, signed_more = b.copysign(s, x), b.copysign(more, x)
    near = high - (signed + (signed_more - low))
    twice = (s + more) * 2.0
    return b.select(small, near, b.select(x < 0.0, 2 * high - (twice - 2 * low), twice))


def quadrant(b: Body, over: Value, under: Value) -> Value:
    """Return atan(over / under) of finite numbers from 0 on, not both 0: from 0 to π/2."""
    high, low = b.pick(HALF_PI)
    swapped = over > under
    lesser, greater = b.select(swapped, under, over), b.select(swapped, over, under)
    middle = lesser > greater * TAN_EIGHTH
    top, top_low = b.two_sum(b.select(middle, -greater, 0.0), lesser)
    bottom, bottom_low = b.two_sum(greater, b.select(middle, lesser, 0.0))
    reciprocal = 1.0 / bottom
    q = top * reciprocal
    rest = b.fma(-q, bottom, top) + b.fma(-q, bottom_low, top_low)
    z = q * q
    arc = q + b.fma(q * z, b.polynomial(z, b.pick(ATAN)), rest * reciprocal)
    base = b.select(middle, high / 2, b.select(swapped, high, 0.0))
    return base + b.fma(base, low / high, b.select(swapped, -arc, arc))


def atan(b: Body, x: Value) -> Value:
    """Return the arc tangent; beyond some size it is π/2 to the last digit."""
    return b.copysign(quadrant(b, b.at_most(b.abs(x), 2.0 ** (b.digits + 9)), b.value(1.0)), x)


def atan2(b: Body, y: Value, x: Value) -> Value:
    """Return the angle of the point (x, y), from -π to π: signs of zeros count, and infinities are like ones."""
    high, low = b.pick(HALF_PI)
    over, under = b.abs(y), b.abs(x)
    greatest = b.select(over > under, over, under)
    half_range = 2.0 ** (b.bias // 2 - 3)  # scaled, neither sums nor reciprocals nor remainders leave the range
    scale = b.select(greatest > half_range, 0.25, half_range)
    infinite = greatest.eq(math.inf)
    over = b.select(infinite, b.select(over.eq(math.inf), 1.0, 0.0), over * scale)
    under = b.select(infinite, b.select(under.eq(math.inf), 1.0, 0.0), under * scale)
    angle = quadrant(b, over, b.select(greatest.eq(0.0), 1.0, under))
    angle = b.select(b.bits(x) < 0, 2 * high - (angle - 2 * low), angle)
    return b.select(b.any_nan(x, y), math.nan, b.copysign(angle, y))


def hypot(b: Body, x: Value, y: Value) -> Value:
    """Return √(x² + y²), scaled where squares would overflow or vanish; infinite if one is, whatever the other."""
    a, c = b.abs(x), b.abs(y)
    greater = b.select(a > c, a, c)
    far = (b.bias + 1) // 2 - 4
    shift = 2.0 ** (b.bias - 27)
    up = greater < 2.0**-far
    down = greater > 2.0**far
    scale = b.select(up, shift, b.select(down, 1 / shift, 1.0))
    a, c = a * scale, c * scale
    out = b.sqrt(b.fma(a, a, c * c)) * b.select(up, 1 / shift, b.select(down, shift, 1.0))
    return b.select(a.eq(math.inf) | c.eq(math.inf), math.inf, out)
