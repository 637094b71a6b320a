"""The incomplete gamma functions, differentiable in both arguments. SciPy computes them; it is loaded when one is first called.

SciPy has no derivative in the order. It is found here, to every order n at once, as a Taylor coefficient: the quantities that
the order enters are series in a small change of it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.core.op.declaration import elementwise
from chainrule.core.op.samples import Sample
from chainrule.ops.describe import binary
from chainrule.ops.pointwise import exponential
from chainrule.ops.pointwise.special import OPAQUE, in_blocks, in_double, in_scipy, legendre, scipy_function, weak

log = weak(exponential.log)


class Series:
    """A truncated power series whose coefficients are arrays."""

    __slots__ = ("coefficients",)

    def __init__(self, coefficients: list):
        self.coefficients = coefficients

    @classmethod
    def exp(cls, exponent: list, n: int) -> Series:
        """Return the exponential of a series, to order n: ``k e[k] = Σ j a[j] e[k-j]`` (Griewank & Walther, 13.2)."""
        a = [*exponent, *[0.0] * (n + 1 - len(exponent))]
        out = [np.exp(a[0])]
        for k in range(1, n + 1):
            out.append(sum([j * a[j] * out[k - j] for j in range(1, k + 1)]) / k)
        return cls(out)

    def __add__(self, other: Series) -> Series:
        return Series([a + b for a, b in zip(self.coefficients, other.coefficients, strict=True)])

    def __mul__(self, number: Any) -> Series:
        return Series([a * number for a in self.coefficients])

    def times(self, d: Any) -> Series:
        """Return the product with d + e, where e is what the series is in."""
        before = [0.0, *self.coefficients[:-1]]
        return Series([a * d + b for a, b in zip(self.coefficients, before, strict=True)])

    def over(self, d: Any) -> Series:
        """Return the quotient by d + e."""
        out: list = []
        for a in self.coefficients:
            out.append((a - out[-1]) / d if out else a / d)
        return Series(out)


def gamma_series(a: Any, n: int) -> list:
    """Return the Taylor coefficients of -lgamma(a + e) from the second on, -ψ⁽ᵏ⁻¹⁾(a) / k!."""
    return [-scipy_function("polygamma")(k - 1, a) / math.factorial(k) for k in range(2, n + 1)]


def _by_sum(a: Any, x: Any, n: int) -> Any:
    """Return the coefficient of e^n of P(a + e, x) = Σ x^(a+k) exp(-x) / Γ(a+k+1), for x not much above a (DLMF 8.7.1)."""
    psi, lgamma = scipy_function("psi"), scipy_function("gammaln")
    start = [a * np.log(x) - x - lgamma(a + 1), np.log(x) - psi(a + 1), *gamma_series(a + 1, n)]
    term = Series.exp(start, n)
    total = term
    for k in range(1, 400):
        term = (term * x).over(a + k)
        total = total + term
        if np.all(np.abs(term.coefficients[n]) <= 1e-18 * np.abs(total.coefficients[n])):
            break
    return total.coefficients[n]


def _by_integral(a: Any, x: Any, n: int) -> Any:
    """Return the coefficient of e^n of P(a + e, x), of the larger of whose tails y = log t has the integral.

    It is ∫ exp(ay - exp(y)) dy / Γ(a), up to log(x) for x below a, beyond it above, where it is that of 1 - P (DLMF 8.2.1,
    8.2.2). The integrand falls by exp(-40) over a width that Newton's iteration finds, and Gauss' rule is exact to rounding.
    """
    a = np.maximum(a, 1e-8 if n < 3 else 1e-5)  # nearer to 0, 1 / a cancels all digits; the result is smooth there
    above = x >= a
    sign = np.where(above, 1.0, -1.0)
    width = np.where(above, np.sqrt(80 / x), 1 + 40 / a)
    for _ in range(30):  # of a convex function, from the right
        gap = sign * (x * np.expm1(sign * width) - a * sign * width) * sign - 40
        slope = sign * (x * np.exp(sign * width) - a)
        step = gap / np.where(slope == 0, 1, slope)
        width = width - step
        if np.all(np.abs(step) <= 1e-12 * width):
            break
    low, shift = np.log(x), scipy_function("psi")(a)
    base = a * low - x - scipy_function("gammaln")(a)
    nodes, weights = legendre(96)
    rest = gamma_series(a, n)

    def integral(a: Any, x: Any, sign: Any, width: Any, base: Any, shift: Any, *rest: Any) -> Any:
        s = sign * width * nodes
        weight = base + a * s - x * np.expm1(s)
        return Series.exp([weight, s - shift, *rest], n).coefficients[n] @ weights * (-sign * width)[:, 0]

    return in_blocks(integral, a, x, sign, width, base, shift - low, *rest)


@in_double
def in_order(a: Any, x: Any, *, n: int) -> Any:
    """Return the n-th derivative of P(a, x) in a, n >= 1."""
    a, x = np.broadcast_arrays(a, x)
    inside = (a > 0) & (x > 0) & np.isfinite(a) & np.isfinite(x)
    summed = inside & ((x < 1) | (x < a)) & (a < 100)
    out = np.where(np.isnan(a) | np.isnan(x) | (a <= 0) | (x < 0), np.nan, np.zeros(a.shape))
    for chosen, f in ((summed, _by_sum), (inside & ~summed, _by_integral)):
        if np.any(chosen):
            out[chosen] = f(a[chosen], x[chosen], n) * math.factorial(n)
    return out


@in_double
def _density(a: Any, x: Any, *, n: int) -> Any:
    """Return the n-th derivative in a of that of P(a, x) in x, ``x^(a-1) exp(-x) / Γ(a)`` (DLMF 8.8.13)."""
    low = np.log(x)
    start = [(a - 1) * low - x - scipy_function("gammaln")(a), low - scipy_function("psi")(a), *gamma_series(a, n)]
    return Series.exp(start[: n + 1], n).coefficients[n] * math.factorial(n)


def _density_in_x(a: Any, x: Any, n: int) -> Any:
    """Return the derivative of the density in x: of order n in a, that of a product by Leibniz' rule."""
    found = igamma_density(a, x, n=n) * ((a - 1) / x - 1)
    return found + igamma_density(a, x, n=n - 1) * (n / x) if n else found


igamma_density = elementwise("igamma_density(a, x, *, n)", _density, dtype="float", kinds="f", domain=(0.3, 5.0),
    lower=OPAQUE,
    a=lambda g, a, x, *, n: g * igamma_density(a, x, n=n + 1),
    x=lambda g, a, x, *, n: g * _density_in_x(a, x, n),
    doc="The n-th derivative of the gamma distribution's density in its shape parameter.",
    samples=lambda: [Sample((3, 4), (4,), n=0), Sample((), (), n=2), Sample((0,), (1,), n=1)])  # fmt: skip

igamma_in_order = elementwise("igamma_in_order(a, x, *, n)", in_order, dtype="float", kinds="f", domain=(0.3, 5.0),
    lower=OPAQUE,
    a=lambda g, a, x, *, n: g * igamma_in_order(a, x, n=n + 1),
    x=lambda g, a, x, *, n: g * igamma_density(a, x, n=n),
    doc="The n-th derivative of the regularized lower incomplete gamma function in its order.",
    samples=lambda: [
        Sample((3, 4), (4,), n=1), Sample((), (), n=2), Sample((0,), (1,), n=1), Sample((3,), (3,), n=1, domain=(105.0, 125.0)),
    ])  # fmt: skip

igamma = elementwise("igamma(a, x)", in_scipy("gammainc"), dtype="float", kinds="f", domain=(0.3, 5.0),
    lower=OPAQUE,
    a=lambda g, a, x: g * igamma_in_order(a, x, n=1),
    x=lambda g, a, x: g * igamma_density(a, x, n=0),
    doc=binary("Return the regularized lower incomplete gamma function P(input, other).",
               "cr.igamma(cr.tensor([1.0]), cr.tensor([1.0]))", "tensor([0.6321])",
               note="Differentiable in both (DLMF 8.8.13 in `other`)."))  # fmt: skip

igammac = elementwise("igammac(a, x)", in_scipy("gammaincc"), dtype="float", kinds="f", domain=(0.3, 5.0),
    lower=OPAQUE,
    a=lambda g, a, x: g * -igamma_in_order(a, x, n=1),
    x=lambda g, a, x: g * -igamma_density(a, x, n=0),
    doc=binary("Return the regularized upper incomplete gamma function Q(input, other).",
               "cr.igammac(cr.tensor([1.0]), cr.tensor([1.0]))", "tensor([0.3679])",
               note="Differentiable in both (DLMF 8.8.13 in `other`)."))  # fmt: skip
