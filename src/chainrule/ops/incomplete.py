"""The incomplete gamma functions. SciPy computes them; it is loaded when one is first called.

SciPy has no derivative in the order, so there is no rule for it: the public functions raise where one would be needed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.op import TABLE, elementwise
from chainrule.core.sample import Fixed, Sample
from chainrule.ops.describe import binary
from chainrule.ops.exponential import exp, log

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


igamma = elementwise("igamma(a, x)", _regularized("gammainc"), dtype="float", kinds="f", domain=(0.2, 5.0), samples=_samples,
    x=lambda g, a, x: g * _density(a, x),
    doc=binary("Return the regularized lower incomplete gamma function P(input, other).",
               "cr.igamma(cr.tensor([1.0]), cr.tensor([1.0]))", "tensor([0.6321])",
               note="Differentiable in `other` only (DLMF 8.8.13)."))  # fmt: skip

igammac = elementwise("igammac(a, x)", _regularized("gammaincc"), dtype="float", kinds="f", domain=(0.2, 5.0), samples=_samples,
    x=lambda g, a, x: -g * _density(a, x),
    doc=binary("Return the regularized upper incomplete gamma function Q(input, other).",
               "cr.igammac(cr.tensor([1.0]), cr.tensor([1.0]))", "tensor([0.3679])",
               note="Differentiable in `other` only (DLMF 8.8.13)."))  # fmt: skip
