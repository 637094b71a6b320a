"""The gamma and beta functions, Hurwitz's zeta function in both arguments, exponential integrals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.core.op.declaration import elementwise
from chainrule.core.op.samples import Fixed, Sample
from chainrule.ops.describe import binary, unary
from chainrule.ops.pointwise import exponential
from chainrule.ops.pointwise.bessel import no_derivative_in
from chainrule.ops.pointwise.exponential import POSITIVE, exp
from chainrule.ops.pointwise.incomplete import Series, log
from chainrule.ops.pointwise.special import OPAQUE, digamma, in_double, in_scipy, scipy_function, weak

log1p = weak(exponential.log1p)

gamma = elementwise("gamma(x)", in_scipy("gamma"), dtype="float", kinds="bif", domain=POSITIVE, public="special", lower=OPAQUE,
    x=lambda g, x, out: g * (out * digamma(x)),
    doc=unary("Return the gamma function of each element.", "cr.special.gamma(cr.tensor([0.5, 5.0]))",
        "tensor([ 1.7725, 24.0000])", "bif"))  # fmt: skip

beta = elementwise("beta(a, b)", in_scipy("beta"), dtype="float", kinds="bif", domain=POSITIVE, public="special", lower=OPAQUE,
    a=lambda g, a, b, out: g * (out * (digamma(a) - digamma(a + b))),
    b=lambda g, a, b, out: g * (out * (digamma(b) - digamma(a + b))),
    doc=binary("Return the beta function ``Γ(input) Γ(other) / Γ(input + other)``.",
        "cr.special.beta(cr.tensor(2.0), cr.tensor([1.0, 3.0]))", "tensor([0.5000, 0.0833])"))  # fmt: skip

betaln = elementwise("betaln(a, b)", in_scipy("betaln"), dtype="float", kinds="bif", domain=POSITIVE, public="special",
    lower=OPAQUE,
    a=lambda g, a, b: g * (digamma(a) - digamma(a + b)),
    b=lambda g, a, b: g * (digamma(b) - digamma(a + b)),
    doc=binary("Return the logarithm of the magnitude of the beta function.",
        "cr.special.betaln(cr.tensor(2.0), cr.tensor([1.0, 300.0]))", "tensor([ -0.6931, -11.4109])"))  # fmt: skip

# -- Hurwitz's zeta function -------------------------------------------------------------------------------------------

_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330)


@in_double
def _zeta_derivative(x: Any, q: Any, *, n: int, m: int) -> Any:
    """Return the derivative of Σ (k + q)^-x, for x > 1 and q > 0, n times in x and m times in q.

    The m derivatives in q make it ``(-1)^m (x)_m Σ (k + q)^-(x + m)`` (DLMF 25.11.17); what is a series in a change of x is
    summed by Euler's and Maclaurin's formula (25.11.5).
    """
    s, q = np.broadcast_arrays(x + m, q)
    x = s - m
    inside = (x > 1) & (q > 0)
    s, q = np.where(inside, s, 2.0 + m), np.where(inside, q, 1.0)
    power = lambda t: Series.exp([-s * np.log(t), -np.log(t)][: n + 1], n)  # t^-(s + e) as a series in e
    terms = 16
    total = Series([0.0] * (n + 1))
    for k in range(terms):
        total = total + power(q + k)
    t = q + terms
    last = power(t)
    total = total + (last * t).over(s - 1) + last * 0.5
    step = last * (1 / t)
    step = step.times(s)
    for j, b in enumerate(_BERNOULLI, 1):
        total = total + step * (b / math.factorial(2 * j))
        step = (step * (1 / t**2)).times(s + 2 * j - 1).times(s + 2 * j)
    for k in range(m):
        total = total.times(s - m + k)
    return np.where(inside, total.coefficients[n] * ((-1) ** m * math.factorial(n)), np.nan)


_ABOVE_ONE = [(1.5, 4.0), (0.5, 3.0)]

zeta = elementwise("zeta(x, q)", in_scipy("zeta"), dtype="float", kinds="bif", domain=_ABOVE_ONE, node="NotImplemented!",
    public="special", lower=OPAQUE,
    x=lambda g, x, q: g * zeta_derivative(x, q, n=1, m=0),
    q=lambda g, x, q: g * zeta_derivative(x, q, n=0, m=1),
    doc=binary("Return Hurwitz's zeta function ``Σ (k + other)^-input``.",
        "cr.special.zeta(cr.tensor([2.0, 4.0]), 1)", "tensor([1.6449, 1.0823])",
        note="Differentiable in both (NIST DLMF 25.11.17); PyTorch has no derivative in `input`."))  # fmt: skip

zeta_derivative = elementwise("zeta_derivative(x, q, *, n, m)", _zeta_derivative, dtype="float", kinds="f", domain=_ABOVE_ONE,
    lower=OPAQUE,
    x=lambda g, x, q, *, n, m: g * zeta_derivative(x, q, n=n + 1, m=m),
    q=lambda g, x, q, *, n, m: g * zeta_derivative(x, q, n=n, m=m + 1),
    samples=lambda: [Sample((3, 4), (4,), n=1, m=0), Sample((), (), n=2, m=1), Sample((0,), (), n=0, m=1)])  # fmt: skip

# -- integrals ---------------------------------------------------------------------------------------------------------


@in_double
def _expn(n: Any, x: Any) -> Any:
    """Return E[n](x) of whole n; for n <= 0 it is elementary, ``Γ(1 - n, x) x^(n - 1)`` (DLMF 8.19.1)."""
    low = np.minimum(n, 0)
    special = scipy_function("gammaincc")(1 - low, x) * scipy_function("gamma")(1 - low) * x ** (low - 1)
    whole, usual = n == np.trunc(n), (n >= 1) & (n < 1e9)
    beyond = np.exp(-x) / (x + n) * (1 + n / (x + n) ** 2)  # DLMF 8.20.2
    high = np.where(usual, scipy_function("expn")(np.where(usual & whole, n, 1).astype(np.int64), x), beyond)
    return np.where(whole, np.where(n <= 0, special, high), np.nan)


expn = elementwise("expn(n, x)", _expn, dtype="float", kinds="bif", domain=POSITIVE, public="special", lower=OPAQUE,
    n=lambda g: no_derivative_in("expn", "order"),
    x=lambda g, n, x: g * -expn(n - 1, x),
    samples=lambda: [Sample(Fixed(np.array([0.0, 1.0, 2.0, 5.0])), (3, 4)), Sample(Fixed(np.array(1.0)), ()),
                     Sample(Fixed(np.array([2.0])), (0,))],
    doc=binary("Return the exponential integral ``∫ exp(-other t) / t^input dt`` over t >= 1.",
        "cr.special.expn(1, cr.tensor([0.5, 2.0]))", "tensor([0.5598, 0.0489])",
        note="Differentiable in `other` (NIST DLMF 8.19.13); `input` is a whole number."))  # fmt: skip


def _beta_density(a: Any, b: Any, x: Any) -> Any:
    """Return the derivative of I(a, b, x) in x: ``x^(a-1) (1-x)^(b-1) / B(a, b)`` (DLMF 8.17.2)."""
    return exp((a - 1) * log(x) + (b - 1) * log1p(-x) - betaln(a, b))


betainc = elementwise("betainc(a, b, x)", in_scipy("betainc"), dtype="float", kinds="f", public="special", lower=OPAQUE,
    domain=[(0.5, 4.0), (0.5, 4.0), (0.1, 0.9)],
    a=lambda g: no_derivative_in("betainc", "parameters"),
    b=lambda g: no_derivative_in("betainc", "parameters"),
    x=lambda g, a, b, x: g * _beta_density(a, b, x),
    samples=lambda: [
        Sample(Fixed(np.array([0.5, 1.5, 2.0, 4.5])), Fixed(np.array([0.7, 1.0, 3.0, 2.5])), (3, 4), domain=(0.1, 0.9)),
        Sample(Fixed(np.array(0.5)), Fixed(np.array(2.0)), (), domain=(0.1, 0.9)),
    ],
    doc=binary("Return the regularized incomplete beta function I(a, b, x).",
        "cr.special.betainc(cr.tensor(2.0), cr.tensor(1.0), cr.tensor([0.5, 0.9]))", "tensor([0.2500, 0.8100])",
        names=("a", "b", "x"), note="Differentiable in x; a derivative in a or b raises."))  # fmt: skip
