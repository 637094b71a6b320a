"""Draws of gamma distributions that move with the shape parameter: the rank of a draw among all stays what it is.

Differentiating ``P(a, x(a)) = constant`` gives ``dx/da = -(∂P/∂a) / (∂P/∂x)`` (Figurnov, Mohamed & Mnih, Implicit
reparameterization gradients, arXiv 1805.08498, equation 5). All is in y = log x, which does not underflow where a is small.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.core.op.declaration import elementwise
from chainrule.core.op.lowering import OPAQUE
from chainrule.core.op.samples import Sample
from chainrule.ops.pointwise.exponential import exp
from chainrule.ops.pointwise.incomplete import Series, gamma_series, in_order
from chainrule.ops.pointwise.special import digamma, in_double, polygamma, scipy_function

_TINY = -37.0
"""Where y is less, x is beneath the rounding unit, and P is ``exp(ay) / Γ(a+1)`` (DLMF 8.7.1)."""


@in_double
def _rank_slope(a: Any, y: Any, *, n: int) -> Any:
    a, y = np.broadcast_arrays(a, y)
    known, out = (a > 0) & np.isfinite(a) & np.isfinite(y), np.full(a.shape, np.nan)
    tiny = known & (y < _TINY)
    if tiny.any():
        b, z = a[tiny], y[tiny]
        start = [0.0 * b, z - scipy_function("psi")(b + 1), *gamma_series(b + 1, n)]
        out[tiny] = Series.exp(start, n).coefficients[n] * math.factorial(n) / b
    rest = known & ~tiny
    b, z = a[rest], y[rest]
    x = np.exp(z)
    out[rest] = in_order(b, x, n=n) * np.exp(x - b * z + scipy_function("gammaln")(b))
    return out


def _density_ratio(a: Any, y: Any, n: int) -> Any:
    """Return the n-th derivative in a of ``q = exp(ay - exp(y)) / Γ(a)`` over q: a Bell polynomial of those of log q."""
    found = [1.0]
    for m in range(n):
        terms = [found[m] * (y - digamma(a))]
        terms += [-math.comb(m, k) * polygamma(a, n=k) * found[m - k] for k in range(1, m + 1)]
        found.append(sum(terms[1:], terms[0]))
    return found[n]


gamma_rank_slope = elementwise("gamma_rank_slope(a, y, *, n)", _rank_slope, dtype="float", kinds="f", domain=(0.3, 2.0),
    lower=OPAQUE,
    a=lambda g, a, y, *, n: g * (gamma_rank_slope(a, y, n=n + 1) - gamma_rank_slope(a, y, n=n) * (y - digamma(a))),
    y=lambda g, a, y, *, n: g * (_density_ratio(a, y, n) - gamma_rank_slope(a, y, n=n) * (a - exp(y))),
    doc="The n-th derivative of P(a, exp(y)) in a over its first in y.",
    samples=lambda: [
        Sample((3, 4), (4,), n=1), Sample((), (), n=2), Sample((0,), (1,), n=1), Sample((3,), (3,), n=1, domain=(0.1, 0.2)),
    ])  # fmt: skip


@in_double
def _at_rank(a: Any, b: Any, y: Any) -> Any:
    a, b, y = np.broadcast_arrays(a, b, y)
    moved = a != b
    if not moved.any():
        return y
    out, x = np.array(y), np.exp(y[moved])
    lower, upper = [scipy_function(name)(b[moved], x) for name in ("gammainc", "gammaincc")]
    least, most = scipy_function("gammaincinv")(a[moved], lower), scipy_function("gammainccinv")(a[moved], upper)
    out[moved] = np.log(np.where(lower < upper, least, most))
    return out


log_gamma_at_rank = elementwise("log_gamma_at_rank(a, b, y)", _at_rank, dtype="float", kinds="f", domain=(0.5, 2.0),
    lower=OPAQUE,
    a=lambda g, a, out: g * -gamma_rank_slope(a, out, n=1),
    doc="The logarithm of what has the rank among draws of shape a that exp(y) has among those of shape b.",
    samples=lambda: [Sample((3, 4), (4,), (3, 1)), Sample((), (), ()), Sample((0,), (1,), ())])  # fmt: skip
