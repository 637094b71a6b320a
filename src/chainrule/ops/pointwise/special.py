"""Error functions, the gamma family and modified Bessel functions: SciPy evaluates them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.call.dispatch import NUMBERS
from chainrule.core.op.declaration import elementwise
from chainrule.core.op.lowering import Opaque
from chainrule.core.op.raw import narrowed
from chainrule.core.op.samples import Sample
from chainrule.ops.describe import unary
from chainrule.ops.pointwise.exponential import POSITIVE, exp

OPAQUE = Opaque("SciPy's series and fractions: no expression of the primitives is as precise")

SQRT_PI = math.sqrt(math.pi)


@functools.cache
def scipy_function(name: str) -> Callable:
    """Return a function of ``scipy.special``, which is imported when first needed."""
    from scipy import special

    return hurwitz(special.zeta) if name == "zeta" else getattr(special, name)


def hurwitz(zeta: Callable) -> Callable:
    """Return SciPy's function Σ (k + q)^-s, in bounded time.

    SciPy's adds one term for each k until ``k + q`` is positive. Far below 0, with q = f - m, those terms are
    ``(-1)^s Σ (j - f)^-s`` for j from 1 to m: the difference of two values at positive arguments.
    """

    def call(s: Any, *given: Any) -> Any:
        if not given or not np.any(far := (given[0] < -64) & (given[0] != np.floor(given[0]))):
            return zeta(s, *given)
        s, q = np.broadcast_arrays(s, given[0])
        q = np.where(far, q, -64.5)
        below = np.floor(q)
        f = q - below
        whole = np.where(s % 2 == 0, 1, -1) * (zeta(s, 1 - f) - zeta(s, 1 - f - below)) + zeta(s, f)
        out = zeta(s, np.where(far, 1.5, given[0]))
        return np.where(far, np.where(s == np.floor(s), whole, np.nan), out).astype(out.dtype)

    return call


def weak(f: Callable) -> Callable:
    """Return a function of values that makes of Python numbers a Python number, which leaves the dtype that it meets alone."""

    @functools.wraps(f)
    def call(*xs: Any, **params: Any) -> Any:
        if all([x.__class__ in NUMBERS for x in xs]):
            return float(f(*[np.float64(x) for x in xs], **params))
        return f(*xs, **params)

    return call


def in_scipy(name: str) -> Callable:
    """Return a kernel that is a function of ``scipy.special``; half precision is computed in single."""

    def kernel(*xs: Any) -> Any:
        if len(xs) > 1 and any([x.__class__ in NUMBERS for x in xs]):  # to SciPy they are not weak
            d = np.result_type(*xs)
            xs = tuple([d.type(x) if x.__class__ in NUMBERS else x for x in xs])
        d = xs[0].dtype
        if d.itemsize == 2 and d.kind not in "iu":
            return scipy_function(name)(*[x.astype(np.float32) for x in xs]).astype(d)
        return scipy_function(name)(*xs)

    return weak(kernel)


def in_double(f: Callable) -> Callable:
    """Return a kernel of real arrays that is computed in double precision by `f`, and rounded to the inputs' dtype."""

    @functools.wraps(f)
    def kernel(*xs: Any, **params: Any) -> Any:
        d = np.result_type(*xs)
        out = f(*[np.asarray(x, np.float64) for x in xs], **params)
        return np.asarray(out).astype(d if d.kind in "fV" else np.float64)[()]

    return weak(kernel)


def in_blocks(f: Callable, *xs: np.ndarray) -> np.ndarray:
    """Return a sum over the nodes of a rule: `f` of columns of elements, beside which it lays the nodes, in blocks of 4096."""
    out, columns = np.empty(xs[0].size), [x.reshape(-1, 1) for x in xs]
    for k in range(0, out.size, 4096):
        out[k : k + 4096] = f(*[c[k : k + 4096] for c in columns])
    return out.reshape(xs[0].shape)


@functools.cache
def legendre(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes and weights of Gauss and Legendre's rule of n points on [0, 1]."""
    x, w = np.polynomial.legendre.leggauss(n)
    return (x + 1) / 2, w / 2


erf = elementwise("erf(x)", in_scipy("erf"), dtype="float", kinds="bif",
    public=True, inplace=True,
    lower="erf",
    x=lambda g, x: g * (exp(-(x * x)) * (2 / SQRT_PI)),
    doc=unary("Return the error function of each element.",
        "cr.erf(cr.tensor([0.0, 1.0]))", "tensor([0.0000, 0.8427])", "bif"))  # fmt: skip

erfc = elementwise("erfc(x)", in_scipy("erfc"), dtype="float", kinds="bif",
    public=True, inplace=True,
    lower="erfc",
    x=lambda g, x: g * (exp(-(x * x)) * (-2 / SQRT_PI)),
    doc=unary("Return ``1 - erf(input)``, precise where it is small.", "cr.erfc(cr.tensor([0.0, 5.0]))",
        "tensor([1.0000e+00, 1.5375e-12])", "bif"))  # fmt: skip

erfinv = elementwise("erfinv(x)", in_scipy("erfinv"), dtype="float", kinds="bif", domain=(-0.9, 0.9),
    public=True, inplace=True,
    lower=OPAQUE,
    x=lambda g, x: g * (exp(erfinv(x) ** 2) * (SQRT_PI / 2)),
    doc=unary("Return the inverse of the error function of each element.", "cr.erfinv(cr.tensor([0.0, 0.5, 1.0]))",
        "tensor([0.0000, 0.4769,    inf])", "bif", notes="NaN outside [-1, 1]."))  # fmt: skip

# -- the gamma family --------------------------------------------------------------------------------------------------


@functools.cache
def _slopes_at_one() -> np.ndarray:
    """Return the coefficients of lgamma(1 + e) = Σ c[k] e**k, from k = 1: -γ and (-1)**k ζ(k) / k (NIST DLMF 5.7.3)."""
    k = np.arange(2, 22)
    return np.concatenate([[-np.euler_gamma], (-1.0) ** k * scipy_function("zeta")(k) / k])


@weak
def _lgamma(x: Any) -> Any:
    """Return log|Γ(x)|: SciPy's, but near 0, where that overflows, near its roots 1 and 2, where that cancels, and at -∞."""
    wide = x if x.dtype.itemsize > 2 and x.dtype.kind == "f" else x * np.float32(1)
    out = scipy_function("gammaln")(wide)
    size = np.abs(wide)
    small = size < 1e-20
    if np.any(small):
        out = np.where(small, -np.log(size), out)
    near = np.abs(size - 1.5) < 0.6
    if wide.dtype == np.float64 and np.any(near):
        above = size > 1.5
        e = np.where(near, size - np.where(above, 2, 1), 0)
        series = np.zeros_like(e)
        for c in _slopes_at_one()[::-1]:
            series = (series + c) * e
        series = series + np.where(above, np.log1p(e), 0)
        out = np.where(near & (np.abs(e) < 0.1) & (wide > 0), series, out)
    return narrowed(np.where(np.isneginf(wide), np.inf, out)[()], x)


lgamma = elementwise("lgamma(x)", _lgamma, dtype="float", kinds="bif", domain=POSITIVE,
    public=True, inplace=True,
    lower=OPAQUE,
    x=lambda g, x: g * digamma(x),
    doc=unary("Return the logarithm of the magnitude of the gamma function of each element.",
        "cr.lgamma(cr.tensor([1.0, 0.5, 5.0]))", "tensor([0.0000, 0.5724, 3.1781])", "bif"))  # fmt: skip

digamma = elementwise("digamma(x)", in_scipy("psi"), dtype="float", kinds="bif", domain=POSITIVE,
    public=True, inplace=True,
    lower=OPAQUE,
    x=lambda g, x: g * polygamma(x, n=1),
    doc=unary("Return the logarithmic derivative of the gamma function at each element.", "cr.digamma(cr.tensor([1.0, 0.5]))",
        "tensor([-0.5772, -1.9635])", "bif"))  # fmt: skip


@weak
def _polygamma(x: Any, *, n: int) -> Any:
    """Return ψ⁽ⁿ⁾(x) = (-1)ⁿ⁺¹ n! ζ(n+1, x) (NIST DLMF 25.11.12)."""
    wide = x.astype(np.float32) if x.dtype.itemsize == 2 else x
    if n == 0:
        return scipy_function("psi")(wide).astype(x.dtype)
    zeta = np.where(np.isneginf(wide), np.nan, scipy_function("zeta")(wide.dtype.type(n + 1), wide))
    size = float(math.factorial(n)) if n <= 170 else math.inf
    return (zeta * (size if n % 2 else -size)).astype(x.dtype)[()]


polygamma = elementwise("polygamma(x, *, n)", _polygamma, dtype="float", kinds="bif", domain=POSITIVE,
    lower=OPAQUE,
    x=lambda g, x, *, n: g * polygamma(x, n=n + 1),
    samples=lambda: [Sample((3, 4), n=1), Sample((), n=2), Sample((0,), n=0), Sample((5,), n=3)])  # fmt: skip

# -- modified Bessel functions -----------------------------------------------------------------------------------------

i0 = elementwise("i0(x)", in_scipy("i0"), dtype="float", kinds="bif", node="I00",
    public=True, inplace=True,
    lower=OPAQUE,
    x=lambda g, x: g * i1(x),
    doc=unary("Return the modified Bessel function of the first kind of order 0 of each element.",
        "cr.i0(cr.tensor([0.0, 1.0]))", "tensor([1.0000, 1.2661])", "bif"))  # fmt: skip

i1 = elementwise("i1(x)", in_scipy("i1"), dtype="float", kinds="bif", node="SpecialI10",
    public="special",
    lower=OPAQUE,
    x=lambda g, x: g * ((i0(x) + bessel_i(x, n=2)) * 0.5),
    doc=unary("Return the modified Bessel function of the first kind of order 1 of each element.",
        "cr.special.i1(cr.tensor([0.0, 1.0]))", "tensor([0.0000, 0.5652])", "bif"))  # fmt: skip


def _bessel_i(x: Any, *, n: int) -> Any:
    wide = x.astype(np.float32) if x.dtype.itemsize == 2 else x
    return scipy_function("iv")(wide.dtype.type(n), wide).astype(x.dtype)


# 2 I'[n] = I[n-1] + I[n+1] (NIST DLMF 10.29.1): unlike I[0] - I[1]/x, it holds at 0 to every order.
bessel_i = elementwise("bessel_i(x, *, n)", _bessel_i, dtype="float", kinds="f",
    lower=OPAQUE,
    x=lambda g, x, *, n: g * ((bessel_i(x, n=n - 1) + bessel_i(x, n=n + 1)) * 0.5),
    samples=lambda: [Sample((3, 4), n=2), Sample((), n=3), Sample((0,), n=2)])  # fmt: skip
