"""The incomplete gamma functions. SciPy computes them; it is loaded when one is first called.

SciPy has no derivative in the order: where one would be needed, the rule raises.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.op.declaration import TABLE, elementwise
from chainrule.core.op.lowering import Opaque
from chainrule.core.op.samples import Fixed, Sample
from chainrule.ops.describe import binary
from chainrule.ops.pointwise.exponential import exp, log

OPAQUE = Opaque("SciPy's series and fractions: no expression of the primitives is as precise")

_ORDERS = np.array([0.5, 1.5, 2.0, 4.5])


def _samples() -> list[Sample]:
    return [Sample(Fixed(_ORDERS), (3, 4)), Sample(Fixed(_ORDERS[:1]), ()), Sample(Fixed(_ORDERS), (0, 1))]


def _regularized(name: str) -> Any:
    def kernel(a: Any, x: Any) -> Any:
        from scipy import special

        out = getattr(special, name)(a, x)
        d = np.result_type(a, x)
        return out if out.dtype is d else out.astype(d)

    return kernel


def _density(a: Any, x: Any) -> Any:
    """Return the derivative of P(a, x) in x: ``x**(a-1) exp(-x) / gamma(a)`` (DLMF 8.8.13)."""
    return exp((a - 1) * log(x) - x - TABLE["lgamma"].call(a))


def _no_derivative_in_order(name: str) -> Any:
    raise NotImplementedError(
        f"the derivative for '{name}: input' is not implemented: SciPy has no derivative of the incomplete gamma function in "
        "its order. Detach the order, and differentiate in `other` only."
    )


igamma = elementwise("igamma(a, x)", _regularized("gammainc"), dtype="float", kinds="f", domain=(0.2, 5.0), samples=_samples,
    lower=OPAQUE,
    a=lambda g: _no_derivative_in_order("igamma"),
    x=lambda g, a, x: g * _density(a, x),
    doc=binary("Return the regularized lower incomplete gamma function P(input, other).",
               "cr.igamma(cr.tensor([1.0]), cr.tensor([1.0]))", "tensor([0.6321])",
               note="Differentiable in `other` only (DLMF 8.8.13)."))  # fmt: skip

igammac = elementwise("igammac(a, x)", _regularized("gammaincc"), dtype="float", kinds="f", domain=(0.2, 5.0), samples=_samples,
    lower=OPAQUE,
    a=lambda g: _no_derivative_in_order("igammac"),
    x=lambda g, a, x: -g * _density(a, x),
    doc=binary("Return the regularized upper incomplete gamma function Q(input, other).",
               "cr.igammac(cr.tensor([1.0]), cr.tensor([1.0]))", "tensor([0.3679])",
               note="Differentiable in `other` only (DLMF 8.8.13)."))  # fmt: skip
