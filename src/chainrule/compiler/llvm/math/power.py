"""pow, as e^(y log x) with the logarithm in twice the precision.

log(1 + f) = 2 atanh(s) = s·(2 + s²·(2/3 + s² M(s²))): s, and all but the last term, as sums of two numbers (Muller, Elementary
Functions, 3rd ed., section 11.3; Dekker, Numerische Mathematik 18, 1971), so that y log x is right to the last digits of the
result, whose exponent takes up to 11 bits of it.
"""

from __future__ import annotations

import math

from chainrule.compiler.llvm.math.body import Body, Value
from chainrule.compiler.llvm.math.coefficients import EXP2_OF_SINGLE, LOG2_OF_SINGLE, LOG_TAIL
from chainrule.compiler.llvm.math.exponential import ENDS, ENDS_2, clamped, exp_of_reduced, well_reduced
from chainrule.compiler.llvm.math.logarithm import split

# ln 2 and 2/3 as sums of two numbers: the first of ln 2 has zeros at its end, so that multiples by exponents are exact
LN2 = 0.6931471805598903, 5.497923018708371e-14
TWO_THIRDS = 0.6666666666666666, 3.700743415417188e-17


def log_twice(b: Body, x: Value) -> tuple[Value, Value]:
    """Return log(x) of positive finite x as the sum of a number and a small one."""
    k, m = split(b, x)
    f, under = m - 1.0, m + 1.0
    under_low = m - (under - 1.0)
    reciprocal = 1.0 / under
    s = f * reciprocal
    s_low = reciprocal * b.fma(-s, under_low, b.fma(-s, under, f))
    z, lost = b.two_product(s, s)
    z_low = b.fma(s * 2.0, s_low, lost)
    third, third_low = TWO_THIRDS
    c, c_low = b.two_sum(b.value(third), z * b.polynomial(z, b.pick(LOG_TAIL)))
    c_low = c_low + third_low
    t, lost = b.two_product(z, c)
    t_low = b.fma(z, c_low, b.fma(z_low, c, lost))
    w, w_low = b.two_sum(b.value(2.0), t)
    w_low = w_low + t_low
    part, lost = b.two_product(s, w)
    part_low = b.fma(s, w_low, b.fma(s_low, w, lost))
    high, low = LN2
    total, rest = b.two_sum(k * high, part)
    return total, rest + b.fma(k, low, part_low)


def magnitude(b: Body, size: Value, y: Value) -> Value:
    """Return size^y of positive finite size, and y that may be infinite where size is not 1."""
    if b.single:
        return _in_double(b, size, y)
    high, low = log_twice(b, size)
    product, lost = b.two_product(y, high)
    lost = b.fma(y, low, lost)
    limits = b.pick(ENDS)
    lost = b.select(b.abs(product) < limits[1] - limits[0], lost, 0.0)
    n, r, rest = well_reduced(b, clamped(b, product, limits))
    return b.scaled(exp_of_reduced(b, r + (rest + lost)), n)


def _in_double(b: Body, size: Value, y: Value) -> Value:
    """Return `magnitude` of float32, as 2^(y log2 x) in float64 plainly: no slower than in sums of two float32."""
    wide = b.doubled()
    k, m = split(wide, wide.converted(size), denormal=False)
    s = (m - 1.0) / (m + 1.0)
    log = wide.fma(s, wide.polynomial(s * s, wide.pick(LOG2_OF_SINGLE)), k)
    product = clamped(wide, wide.converted(y) * log, b.pick(ENDS_2))
    n, whole = wide.rounded(product, 1.0)
    out = wide.polynomial(product - n, wide.pick(EXP2_OF_SINGLE)) * wide.power_of_2(whole)
    return b.converted(out)  # which rounds denormal results, and makes great ones infinite


def pow(b: Body, x: Value, y: Value) -> Value:
    """Return x^y with C99's special values: 1 for y = 0 and for x = 1 whatever the other, NaN for x < 0 and fractions y."""
    size, half = b.abs(x), y * 0.5
    whole = b.floor(y).eq(y)
    odd = whole & (b.floor(half).eq(half) ^ True)
    infinite = size.eq(math.inf)
    end = b.select((y < 0.0) ^ infinite, math.inf, 0.0)
    out = b.select(infinite | size.eq(0.0), end, b.select(size.eq(1.0), 1.0, magnitude(b, size, y)))
    out = b.signed(out, b.select(odd, b.bits(x), b.value(0, "i")))
    out = b.select((x < 0.0) & (x > -math.inf) & (whole ^ True), math.nan, out)
    out = b.select(b.any_nan(x, y), math.nan, out)
    return b.select(y.eq(0.0) | x.eq(1.0), 1.0, out)
