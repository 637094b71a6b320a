"""Complete elliptic integrals, the dilogarithm, Lambert's W: each with its derivatives of all orders.

The n-th derivatives are hypergeometric functions (NIST DLMF 19.5.1, 15.5.2), transformed so that they stay regular (15.8.1).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.core.op.declaration import elementwise
from chainrule.core.op.samples import Sample
from chainrule.ops.describe import unary
from chainrule.ops.pointwise.exponential import POSITIVE, exp
from chainrule.ops.pointwise.normal import of_each_order
from chainrule.ops.pointwise.special import OPAQUE, in_double, in_scipy, scipy_function

_BELOW_ONE = (-2.0, 0.9)


def _rising(a: float, n: int) -> float:
    return math.prod([a + k for k in range(n)])


def _hypergeometric(a: float, b: float, n: int, m: Any) -> Any:
    """Return the n-th derivative of F(a, b; 1; m) at m < 1."""
    factor = _rising(a, n) * _rising(b, n) / math.factorial(n)
    return factor * (1 - m) ** (1 - a - b - n) * scipy_function("hyp2f1")(1 - a, 1 - b, 1 + n, m)


@in_double
def _ellipk_derivative(x: Any, *, n: int) -> Any:
    return _hypergeometric(0.5, 0.5, n, x) * (math.pi / 2)


@in_double
def _ellipe_derivative(x: Any, *, n: int) -> Any:
    return _hypergeometric(-0.5, 0.5, n, x) * (math.pi / 2)


ellipk = elementwise("ellipk(x)", in_scipy("ellipk"), dtype="float", kinds="bif", domain=_BELOW_ONE, public="special",
    lower=OPAQUE,
    x=lambda g, x: g * ellipk_derivative(x, n=1),
    doc=unary("Return the complete elliptic integral of the first kind of each element, the parameter m.",
        "cr.special.ellipk(cr.tensor([0.0, 0.5]))", "tensor([1.5708, 1.8541])", "bif"))  # fmt: skip

ellipk_derivative = elementwise("ellipk_derivative(x, *, n)", _ellipk_derivative, dtype="float", kinds="f", domain=_BELOW_ONE,
    lower=OPAQUE,
    x=lambda g, x, *, n: g * ellipk_derivative(x, n=n + 1),
    samples=of_each_order)  # fmt: skip

ellipe = elementwise("ellipe(x)", in_scipy("ellipe"), dtype="float", kinds="bif", domain=_BELOW_ONE, public="special",
    lower=OPAQUE,
    x=lambda g, x: g * ellipe_derivative(x, n=1),
    doc=unary("Return the complete elliptic integral of the second kind of each element, the parameter m.",
        "cr.special.ellipe(cr.tensor([0.0, 0.5]))", "tensor([1.5708, 1.3506])", "bif"))  # fmt: skip

ellipe_derivative = elementwise("ellipe_derivative(x, *, n)", _ellipe_derivative, dtype="float", kinds="f", domain=_BELOW_ONE,
    lower=OPAQUE,
    x=lambda g, x, *, n: g * ellipe_derivative(x, n=n + 1),
    samples=of_each_order)  # fmt: skip

# -- the dilogarithm ---------------------------------------------------------------------------------------------------


@in_double
def _log_quotient(x: Any, *, n: int) -> Any:
    """Return the n-th derivative of log(x) / (x - 1), ``(-1)^n n! / (n + 1) F(n + 1, n + 1; n + 2; 1 - x)``."""
    if n == 0:
        away = np.where(x == 1, 2.0, x)
        return np.where(x == 1, 1.0, np.log(away) / (away - 1))
    factor = (-1) ** n * math.factorial(n) / (n + 1)
    return np.where(x < 0, np.nan, factor * x ** (-float(n)) * scipy_function("hyp2f1")(1.0, 1.0, n + 2.0, 1 - x))


log_quotient = elementwise("log_quotient(x, *, n)", _log_quotient, dtype="float", kinds="f", domain=POSITIVE, lower=OPAQUE,
    x=lambda g, x, *, n: g * log_quotient(x, n=n + 1),
    samples=lambda: of_each_order((Sample((2,), n=0),)))  # fmt: skip

spence = elementwise("spence(x)", in_scipy("spence"), dtype="float", kinds="bif", domain=POSITIVE, public="special",
    lower=OPAQUE,
    x=lambda g, x: g * -log_quotient(x, n=0),
    doc=unary("Return Spence's function ``∫ log(t) / (1 - t) dt`` from 1 to each element: the dilogarithm of 1 - x.",
        "cr.special.spence(cr.tensor([1.0, 0.0]))", "tensor([0.0000, 1.6449])", "bif"))  # fmt: skip

# -- Lambert's W -------------------------------------------------------------------------------------------------------


def _lambertw(x: Any, *, k: int) -> Any:
    return scipy_function("lambertw")(x, k).astype(x.dtype)


lambert_w = elementwise("lambert_w(x, *, k)", _lambertw, kinds="c", domain=(0.2, 2.0), lower=OPAQUE,
    x=lambda g, out: g * (exp(-out) / (1 + out)),
    doc="Return branch k of the function W of which ``W exp(W) = x`` (Corless et al. 1996, eq. 3.2 for the derivative).",
    samples=lambda: [Sample((3, 4), k=0), Sample((), k=-1), Sample((0,), k=1)])  # fmt: skip
