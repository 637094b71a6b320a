"""log, log2, log10, log1p and the inverse hyperbolic functions.

x = 2^k·(1 + f) with √½ ≤ 1 + f < √2, and with s = f/(2 + f): log(1 + f) = 2 atanh(s) = f - (f²/2 - s·(f²/2 + s² L(s²))), in
which f is exact and all else small (Muller, Elementary Functions, 3rd ed., section 11.3; the form is that of Ng's fdlibm).
"""

from __future__ import annotations

import math

from chainrule.compiler.llvm.math.body import Body, Value
from chainrule.compiler.llvm.math.coefficients import ATANH, LOG
from chainrule.compiler.llvm.math.exponential import LN2

ROOT_HALF = {"float32": 0x3F3504F3, "float64": 0x3FE6A09E667F3BCD}  # the bits of √½
FIVE_SIXTHS = {"float32": 0x3F555555, "float64": 0x3FEAAAAAAAAAAAAB}  # and of 5/6
# log2(e), log10(e) and log10(2), each as the sum of two
LOG2E = {"float32": (1.4426950216293335, 1.925963033500011e-08), "float64": (1.4426950408889634, 2.0355273740931033e-17)}
LOG10E = {"float32": (0.4342944920063019, -1.0103049952192578e-08), "float64": (0.4342944819032518, 1.098319650216765e-17)}
LOG10_2 = {"float32": (0.3010300099849701, -1.432098883924482e-08), "float64": (0.3010299956639812, -2.8037281277851704e-18)}


def split(b: Body, x: Value, denormal: bool = True) -> tuple[Value, Value]:
    """Return k and 1 + f of positive finite x, denormal ones included if they may come."""
    tiny = x < 2.0 ** (1 - b.bias)
    place, one, root = b.digits - 1, b.bias << (b.digits - 1), b.pick(ROOT_HALF)
    bits = b.bits(b.select(tiny, x * 2.0**b.digits, x) if denormal else x) + (one - root)
    k = b.exponent(bits >> place)
    m = b.of_bits((bits & ((1 << place) - 1)) + root)
    return b.select(tiny, k - float(b.digits), k) if denormal else k, m


def tail(b: Body, f: Value) -> Value:
    """Return log(1 + f) - f."""
    s = f / (f + 2.0)
    z, half_square = s * s, f * f * 0.5
    return b.fma(s, b.fma(z, b.polynomial(z, b.pick(LOG)), half_square), -half_square)


def ended(b: Body, x: Value, out: Value) -> Value:
    """Return a logarithm's result, or what it is where x is not positive, infinite or NaN."""
    out = b.select(x < math.inf, out, x)
    return b.select(x > 0.0, out, b.select(x.eq(0.0), -math.inf, math.nan))


def log(b: Body, x: Value) -> Value:
    """Return the natural logarithm."""
    high, low = b.pick(LN2)
    k, m = split(b, x)
    f = m - 1.0
    return ended(b, x, b.fma(k, high, f + b.fma(k, low, tail(b, f))))


def _of_base(b: Body, x: Value, unit: tuple[float, float], scale: tuple[float, float]) -> Value:
    """Return k·unit + log(1 + f)·scale, both factors given as sums of two numbers."""
    k, m = split(b, x)
    f = m - 1.0
    product, lost = b.two_product(f, scale[0])
    rest = b.fma(tail(b, f), scale[0], b.fma(f, scale[1], lost))
    if unit == (1.0, 0.0):
        high, low = b.two_sum(k, product)
        return ended(b, x, high + (low + rest))
    whole, part = b.two_product(k, unit[0])
    high, low = b.two_sum(whole, product)
    return ended(b, x, high + (low + (rest + b.fma(k, unit[1], part))))


def log2(b: Body, x: Value) -> Value:
    """Return the logarithm to base 2; those of powers of 2 are exact."""
    return _of_base(b, x, (1.0, 0.0), b.pick(LOG2E))


def log10(b: Body, x: Value) -> Value:
    """Return the logarithm to base 10."""
    return _of_base(b, x, b.pick(LOG10_2), b.pick(LOG10E))


def log1p_of(b: Body, x: Value, rest: Value | None = None) -> Value:
    """Return log(1 + x + rest) of finite x > -1 and a rest that is small beside it."""
    high, low = b.pick(LN2)
    place, one, root = b.digits - 1, b.bias << (b.digits - 1), b.pick(ROOT_HALF)
    u = x + 1.0
    bits = b.bits(u) + (one - root)
    biased = bits >> place
    k = b.exponent(biased)
    scale = b.of_bits((2 * b.bias - biased) << place)  # 2^-k, wrong where k is the bias or more
    f = b.fma(scale, x, scale - 1.0)
    small = b.fma(k, low, tail(b, f))
    if rest is not None:
        small = small + rest / u
    return b.fma(k, high, f + small)


def log1p(b: Body, x: Value) -> Value:
    """Return log(1 + x); of x so great that 1 is nothing beside it, as log(x/4) + 2 ln 2."""
    great = x > 2.0 ** (b.digits + 2)
    out = log1p_of(b, b.select(great, x * 0.25, x))
    out = b.select(great, out + 2 * math.log(2), out)
    out = b.select(x < math.inf, b.copysign(out, x), x)
    return b.select(x > -1.0, out, b.select(x.eq(-1.0), -math.inf, math.nan))


def asinh(b: Body, x: Value) -> Value:
    """Return log(1 + a) of a = |x| + x²/(1 + √(1 + x²)); of great x, a = 2|x|."""
    size = b.abs(x)
    great = size > 2.0 ** (b.digits + 2)
    y = b.select(great, 1.0, size)
    square = y * y
    a, rest = b.two_sum(y, square / (b.sqrt(square + 1.0) + 1.0))
    return _of_great(b, x, size, great, a, rest)


def _of_great(b: Body, x: Value, size: Value, great: Value, a: Value, rest: Value) -> Value:
    """Return log(1 + a + rest), where great log(2·size), with the sign of x."""
    quarter = b.select(great, size * 0.25, a)
    out = log1p_of(b, quarter, b.select(great, 0.0, rest))
    out = b.select(great, out + 3 * math.log(2), out)
    return b.copysign(b.select(size < math.inf, out, size), x)


def acosh(b: Body, x: Value) -> Value:
    """Return log(1 + a) of a = d + √(d² + 2d), d = x - 1; of great x, a = 2x."""
    great = x > 2.0 ** (b.digits + 2)
    d = b.select(great, 1.0, x - 1.0)
    root = b.sqrt(b.fma(d, d, d * 2.0))
    a, rest = b.two_sum(root, d)
    return b.select(x < 1.0, math.nan, _of_great(b, x, x, great, a, rest))


def atanh(b: Body, x: Value) -> Value:
    """Return k ln 2 / 2 + atanh(s), s = ((1 + x) - 2^k (1 - x)) / ((1 + x) + 2^k (1 - x)), 2^k near (1 + x)/(1 - x).

    Up to 1/4 k is 0, and s = x has no error; where k is 1, ln 2 / 2 is great beside s.
    """
    high, low = b.pick(LN2)
    size = b.abs(x)
    place = b.digits - 1
    above, below = size + 1.0, 1.0 - size
    biased = (b.bits(above / below) + ((b.bias << place) - b.pick(FIVE_SIXTHS))) >> place
    k, power = b.exponent(biased), b.of_bits(biased << place)
    small = power < 2.0 ** (b.digits - 2)
    numerator = b.select(small, b.fma(size, power + 1.0, 1.0 - power), b.fma(-power, below, above))
    s = numerator / b.select(small, b.fma(size, 1.0 - power, power + 1.0), b.fma(power, below, above))
    z = s * s
    half = b.fma(z * 0.5 * b.polynomial(z, b.pick(ATANH)), s, b.fma(k, 0.5 * low, s))
    out = b.fma(k, 0.5 * high, half)
    out = b.select(size < 1.0, out, b.select(size.eq(1.0), math.inf, math.nan))
    return b.copysign(out, x)
