"""PyTorch's ``special`` and functions of SciPy's that PyTorch lacks, differentiable in every argument that has a derivative.

Elementwise functions are declared in the rule book, ``ops.pointwise``, with ``public="special"``.
"""

from __future__ import annotations

import chainrule as _chainrule
from chainrule.core.missing import tell_of_missing as _tell_of_missing
from chainrule.functions.adapt import FUNCTIONS as _FUNCTIONS
from chainrule.functions.pointwise import branches as _branches  # noqa: F401 - which declare what is gathered below
from chainrule.ops.pointwise import bessel as _bessel  # noqa: F401
from chainrule.ops.pointwise import elliptic as _elliptic  # noqa: F401
from chainrule.ops.pointwise import gamma as _gamma  # noqa: F401
from chainrule.ops.pointwise import normal as _normal  # noqa: F401
from chainrule.ops.pointwise import polynomial as _polynomial  # noqa: F401

# What has another home, by the name that it has here.
_ALSO = {
    "digamma": "digamma", "erf": "erf", "erfc": "erfc", "erfinv": "erfinv", "exp2": "exp2", "expit": "sigmoid",
    "expm1": "expm1", "gammainc": "igamma", "gammaincc": "igammac", "gammaln": "lgamma", "i0": "i0", "log1p": "log1p",
    "log_softmax": "log_softmax", "logit": "logit", "logsumexp": "logsumexp", "multigammaln": "mvlgamma",
    "polygamma": "polygamma", "psi": "digamma", "round": "round", "sinc": "sinc", "softmax": "softmax", "xlogy": "xlogy",
}  # fmt: skip
_MADE = {name.partition(".")[2]: f.call for name, f in _FUNCTIONS.items() if name.startswith("special.")}
globals().update({name: getattr(_chainrule, known) for name, known in _ALSO.items()} | _MADE)

__all__ = sorted({*_ALSO, *_MADE})

_tell_of_missing(__name__)
