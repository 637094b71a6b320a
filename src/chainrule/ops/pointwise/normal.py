"""The normal distribution and what is scaled so that its tails keep their digits: erfcx, log_ndtr, and their derivatives.

Derivatives of every order are kernels of their own: a composition of lower ones cancels in the tails.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.call.dispatch import NUMBERS
from chainrule.core.op.declaration import elementwise
from chainrule.core.op.samples import Sample
from chainrule.ops.describe import binary, unary
from chainrule.ops.indexing.select import where
from chainrule.ops.pointwise import exponential
from chainrule.ops.pointwise.exponential import exp, log
from chainrule.ops.pointwise.special import OPAQUE, SQRT_PI, in_blocks, in_double, in_scipy, legendre, scipy_function, weak

log1p = weak(exponential.log1p)
SQRT_2PI = math.sqrt(2 * math.pi)


@in_double
def _erfcx_derivative(x: Any, *, n: int) -> Any:
    """Return the n-th derivative: an integral of one sign for x >= 0, the recurrence of positive terms below.

    It is ``(2/√π) (-2)^n ∫ t^n exp(-t² - 2xt) dt`` over t >= 0, and E[n+1] = 2x E[n] + 2n E[n-1] (NIST DLMF 7.18.1, 7.18.7).
    """
    nodes, weights = legendre(64)

    def tail(ahead: Any) -> Any:
        width = 45 / (np.sqrt(ahead * ahead + 45) + ahead)
        t = nodes * width
        return (t**n * np.exp(-t * (t + 2 * ahead))) @ weights * width[:, 0]

    total = in_blocks(tail, np.maximum(x, 0))
    behind = np.minimum(x, 0)
    last = scipy_function("erfcx")(behind)
    out = 2 * behind * last - 2 / SQRT_PI
    for k in range(1, n):
        last, out = out, 2 * behind * out + 2 * k * last
    return np.where(x >= 0, total * (2 / SQRT_PI) * (-2.0) ** n, out)


def of_each_order(more: tuple = ()) -> list[Sample]:
    """Return the samples of the n-th derivative of a function."""
    return [Sample((3, 4), n=1), Sample((), n=2), Sample((5,), n=3), Sample((0,), n=1), *more]


erfcx = elementwise("erfcx(x)", in_scipy("erfcx"), dtype="float", kinds="bif", node="SpecialErfcx",
    public="special",
    lower=OPAQUE,
    x=lambda g, x: g * erfcx_derivative(x, n=1),
    doc=unary("Return ``exp(input²) erfc(input)``, which stays in range where erfc underflows.",
        "cr.special.erfcx(cr.tensor([0.0, 30.0]))", "tensor([1.0000, 0.0188])", "bif"))  # fmt: skip

erfcx_derivative = elementwise("erfcx_derivative(x, *, n)", _erfcx_derivative, dtype="float", kinds="f",
    lower=OPAQUE,
    x=lambda g, x, *, n: g * erfcx_derivative(x, n=n + 1),
    samples=of_each_order)  # fmt: skip

erfi = elementwise("erfi(x)", in_scipy("erfi"), dtype="float", kinds="bif",
    public="special",
    lower=OPAQUE,
    x=lambda g, x: g * (exp(x * x) * (2 / SQRT_PI)),
    doc=unary("Return the imaginary error function ``-i erf(i input)`` of each element.",
        "cr.special.erfi(cr.tensor([0.0, 1.0]))", "tensor([0.0000, 1.6504])", "bif"))  # fmt: skip

# -- the distribution --------------------------------------------------------------------------------------------------

_ABOVE = np.float32([0.39894691175477487, 3.9382902430365996, 17.760176707679722, 42.48293544042057, 48.465065542029635])
_BELOW = np.float32([9.872454722595984, 45.50364918792472, 116.55545145755198, 162.30496611464923, 96.93013051514947])
_ndtr_in_scipy = in_scipy("ndtr")


def are_many(x: Any) -> bool:
    """Return whether these are so many single precision numbers that `in_passes` is faster than SciPy."""
    return x.__class__ is np.ndarray and x.dtype == np.float32 and x.size >= 2048


def in_passes(x: np.ndarray, finish: Callable) -> np.ndarray:
    """Return what `finish` makes of x, of its distribution function Φ(x) and of exp(-x²/2), in NumPy's passes over blocks.

    SciPy takes 15 ns for an element, this 4; Φ is right to 5e-7 where abs(x) < 3, and as right as the exponential beyond. The
    quotient is ``exp(x²/2) Φ(-x)``, fitted to 6e-9 on [0, 15], where the exponential has underflowed.
    """
    out = x.copy("K")
    flat = out.ravel("K")
    size = 16384  # of a block, which stays in the cache from pass to pass
    buffers = np.empty((3, min(size, x.size)), np.float32)
    for k in range(0, x.size, size):
        at = flat[k : k + size]
        a, e, r = buffers[:, : at.size]
        np.abs(at.clip(-15, 15, out=a), out=a)
        np.multiply(a, _ABOVE[0], out=r)
        np.add(a, _BELOW[0], out=e)
        for above, below in zip(_ABOVE[1:-1], _BELOW[1:-1], strict=True):
            np.multiply(np.add(r, above, out=r), a, out=r)
            np.add(np.multiply(e, a, out=e), below, out=e)
        np.add(r, _ABOVE[-1], out=r)
        np.add(np.multiply(e, a, out=e), _BELOW[-1], out=e)
        np.divide(r, e, out=r)
        np.multiply(np.square(a, out=e), np.float32(-0.5), out=e)
        np.multiply(r, np.exp(e, out=e), out=r)
        np.abs(np.subtract(np.greater(at, 0, out=a), r, out=r), out=r)
        finish(at, r, e, out=at)
    return out


def _ndtr(x: Any) -> Any:
    return in_passes(x, lambda x, phi, e, out: np.copyto(out, phi)) if are_many(x) else _ndtr_in_scipy(x)


ndtr = elementwise("ndtr(x)", _ndtr, dtype="float", kinds="bif", node="SpecialNdtr",
    public="special",
    lower=OPAQUE,
    x=lambda g, x: g * (exp(x * x * -0.5) / SQRT_2PI),
    doc=unary("Return the distribution function of the standard normal distribution at each element.",
        "cr.special.ndtr(cr.tensor([0.0, 1.0]))", "tensor([0.5000, 0.8413])", "bif"))  # fmt: skip

ndtri = elementwise("ndtri(x)", in_scipy("ndtri"), dtype="float", kinds="bif", domain=(0.05, 0.95), node="SpecialNdtri",
    public="special",
    lower=OPAQUE,
    x=lambda g, out: g * (exp(out * out * 0.5) * SQRT_2PI),
    doc=unary("Return the quantile of the standard normal distribution at each element.",
        "cr.special.ndtri(cr.tensor([0.5, 0.975]))", "tensor([0.0000, 1.9600])", "bif",
        notes="NaN outside [0, 1], infinite at its ends."))  # fmt: skip


def log_series(ratios: list, n: int) -> Any:
    """Return n! times the n-th Taylor coefficient of log f, from those of f divided by f itself (Griewank & Walther, 13.2)."""
    c: list = [0.0]
    for m in range(1, n + 1):
        c.append(ratios[m] - sum([k * c[k] * ratios[m - k] for k in range(1, m)]) / m)
    return c[n] * math.factorial(n)


def _hermite(x: Any, n: int) -> Any:
    last, out = np.zeros_like(x), np.ones_like(x)
    for k in range(n):
        last, out = out, x * out - k * last
    return out


@in_double
def _log_ndtr_derivative(x: Any, *, n: int) -> Any:
    """Return the n-th derivative of log Φ: of -x²/2 + log erfcx(-x/√2) below 0, of log Φ itself above."""
    behind, ahead = np.minimum(x, 0), np.clip(x, 0, 40)
    u = behind / -math.sqrt(2)
    bottom = scipy_function("erfcx")(u)
    if n == 1:
        low = math.sqrt(2 / math.pi) / bottom
    else:
        ratios = [1.0, *[_erfcx_derivative(u, n=k) / bottom / math.factorial(k) for k in range(1, n + 1)]]
        low = log_series(ratios, n) * (-math.sqrt(0.5)) ** n - (n == 2)
    density, whole = np.exp(ahead * ahead * -0.5) / SQRT_2PI, scipy_function("ndtr")(ahead)
    ratios = [1.0, *[(-1) ** (k - 1) * _hermite(ahead, k - 1) * density / whole / math.factorial(k) for k in range(1, n + 1)]]
    return np.where(x < 0, low, log_series(ratios, n))


log_ndtr = elementwise("log_ndtr(x)", in_scipy("log_ndtr"), dtype="float", kinds="bif", node="SpecialLogNdtr",
    public="special",
    lower=OPAQUE,
    x=lambda g, x: g * log_ndtr_derivative(x, n=1),
    doc=unary("Return the logarithm of the distribution function of the standard normal distribution at each element.",
        "cr.special.log_ndtr(cr.tensor([0.0, -40.0]))", "tensor([-6.9315e-01, -8.0461e+02])", "bif",
        notes="The derivative is the inverse of Mills' ratio, ``√(2/π) / erfcx(-x/√2)``, which keeps its digits."))  # fmt: skip

log_ndtr_derivative = elementwise("log_ndtr_derivative(x, *, n)", _log_ndtr_derivative, dtype="float", kinds="f",
    lower=OPAQUE,
    x=lambda g, x, *, n: g * log_ndtr_derivative(x, n=n + 1),
    samples=of_each_order)  # fmt: skip

# -- entropy -----------------------------------------------------------------------------------------------------------

entr = elementwise("entr(x)", in_scipy("entr"), dtype="float", kinds="bif", domain=(0.2, 3.0), node="SpecialEntr",
    public="special",
    lower=OPAQUE,
    x=lambda g, x: g * (-1 - log(x)),
    doc=unary("Return ``-input log(input)`` of each element: 0 at 0, and minus infinity below.",
        "cr.special.entr(cr.tensor([0.0, 0.5, 2.0]))", "tensor([ 0.0000,  0.3466, -1.3863])", "bif"))  # fmt: skip


def _xlog1py(x: Any, y: Any) -> Any:
    if y.__class__ in NUMBERS:
        y = x.dtype.type(y)
    return np.where(np.isnan(y), y, np.where(x == 0, x * 0, x * np.log1p(y)))


xlog1py = elementwise("xlog1py(x, y)", _xlog1py, dtype="float", kinds="bif", domain=[(-3, 3), (-0.7, 3.0)],
    node="SpecialXlog1Py",
    public="special",
    lower=OPAQUE,
    x=lambda g, x, y: g * where((x == 0) & (y <= -1), 0, log1p(y)),
    y=lambda g, x, y: g * (x / (y + 1)),
    doc=binary("Return ``input * log1p(other)``, 0 where `input` is 0.",
               "cr.special.xlog1py(cr.tensor([0.0, 2.0]), cr.tensor([-1.0, 1.0]))", "tensor([0.0000, 1.3863])"))  # fmt: skip
