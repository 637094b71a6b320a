"""erf, erfc and the normal distribution function.

erf(x) = x + x P(x²) up to 1, and 1 - exp(Q(|x|)) from there on. erfc(x) = exp(-x²) F/(1 + 2x) of x from 0 on, with
F = 1 + u G(u - 1), u = 2x/(x + 4) (Shepherd & Laframboise, Mathematics of Computation 36, 1981), right to the last digits
everywhere: neither F nor exp may lose anything. Likewise Φ(-x) = exp(-x²/2) F/(x + 4), with F of (x - 4)/(x + 4).
"""

from __future__ import annotations

from chainrule.compiler.llvm.math.body import Body, Value
from chainrule.compiler.llvm.math.coefficients import ERF, ERF_TAIL, ERFCX, EXP, NDTR
from chainrule.compiler.llvm.math.exponential import exp_of_reduced, reduced, well_reduced

ERF_IS_1 = {"float32": 3.93, "float64": 5.93}
ERFC_IS_0 = {"float32": 10.5, "float64": 27.5}
NDTR_IS_0 = {"float32": 14.5, "float64": 38.7}


def erf(b: Body, x: Value) -> Value:
    """Return the error function."""
    size = b.abs(x)
    z = x * x
    small = b.fma(b.polynomial(z, b.pick(ERF)), size, size)
    exponent = b.polynomial(b.at_most(size, b.pick(ERF_IS_1)) - 1.0, b.pick(ERF_TAIL))
    n, r = reduced(b, exponent)
    great = 1.0 - exp_of_reduced(b, r) * b.power_of_2(n)
    return b.copysign(b.select(size < 1.0, small, great), x)


def erfc(b: Body, x: Value) -> Value:
    """Return 1 - erf(x): the product of three factors, each as a sum of two numbers."""
    size = b.at_most(b.abs(x), b.pick(ERFC_IS_0))
    over, over_low = _over(b, size)
    under = b.fma(size, 2.0, 1.0)
    reciprocal = 1.0 / under
    q = over * reciprocal
    left = b.fma(-q, under, over) + b.fma(-q, b.fma(size, 2.0, 1.0 - under), over_low)
    square, lost = b.two_product(size, size)
    n, r, rest = well_reduced(b, -square)
    r = r + (rest - lost)
    e, e_low = b.two_sum(b.value(1.0), b.fma(r * r, b.polynomial(r, b.pick(EXP)), r))
    product, lost = b.two_product(q, e)
    out = b.scaled(product + b.fma(q, e_low, b.fma(left * reciprocal, e, lost)), n)
    return b.select(x < 0.0, 2.0 - out, out)


def _over(b: Body, x: Value) -> tuple[Value, Value]:
    """Return F as the sum of a number and a small one."""
    u = x * 2.0 / (x + 4.0)
    p = b.polynomial(u - 1.0, b.pick(ERFCX))
    over = b.fma(u, p, 1.0)
    return over, b.fma(u, p, 1.0 - over)


def ndtr(b: Body, x: Value) -> Value:
    """Return the distribution function of the normal distribution: what erfc does for the last digits would double the time."""
    size = b.at_most(b.abs(x), b.pick(NDTR_IS_0))
    inverse = 1.0 / (size + 4.0)
    square, lost = b.two_product(size, size)
    n, r, rest = well_reduced(b, square * -0.5)
    e = exp_of_reduced(b, r + b.fma(lost, -0.5, rest))
    whole = b.polynomial(b.fma(inverse, -8.0, 1.0), b.pick(NDTR)) * inverse * e
    half = (b.bias + 1) // 2
    tail = whole * b.power_of_2(n + half) * 2.0**-half  # denormal ones are rounded once
    return b.select(x < 0.0, tail, 1.0 - tail)
