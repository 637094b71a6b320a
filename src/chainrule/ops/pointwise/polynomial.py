"""Orthogonal polynomials of a degree that is an operand, rounded towards 0: zero where it is negative (NIST DLMF 18).

Each family is closed under differentiation: the derivative of Jacobi's polynomial of parameters a, b is one of a + 1, b + 1,
of Laguerre's of k one of k + 1, of Hermite's one of the same family.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.op.declaration import elementwise
from chainrule.core.op.samples import Fixed, Sample
from chainrule.ops.describe import binary
from chainrule.ops.pointwise.bessel import no_derivative_in
from chainrule.ops.pointwise.special import OPAQUE, in_double, scipy_function

HIGHEST = 100_000  # a recurrence takes as many steps
_DEGREES = np.array([0.0, 1.0, 2.0, 5.0])


def _samples() -> list[Sample]:
    return [
        Sample((3, 4), Fixed(_DEGREES)), Sample((), Fixed(np.array(3.0))), Sample((0, 1), Fixed(_DEGREES)),
        Sample((2,), Fixed(np.array(-1.0))), Sample((2, 1), Fixed(np.array([2.0, 7.0]))),
    ]  # fmt: skip


def _with(**params: Any) -> Any:
    return lambda: [Sample(*given.args, **params) for given in _samples()]


def _by_degree(f: Any) -> Any:
    """Return a kernel ``(x, n)`` of a function of whole degree and x; 0 where the degree is negative, NaN where too high."""

    def polynomial(x: Any, n: Any, **params: Any) -> Any:
        degree = np.where((n > -1) & (n <= HIGHEST), n, 0).astype(np.int64)
        out = np.where(n <= -1, 0.0, f(degree, x, **params))
        return np.where(n <= HIGHEST, out, np.nan)

    return in_double(polynomial)


def _jacobi(n: Any, x: Any, *, a: float, b: float) -> Any:
    return scipy_function("eval_jacobi")(n, a, b, x) / scipy_function("binom")(n + a, n)


jacobi = elementwise("jacobi(x, n, *, a, b)", _by_degree(_jacobi), dtype="float", kinds="f", lower=OPAQUE,
    x=lambda g, x, n, *, a, b: g * (n * (n + (a + b + 1)) * (0.5 / (a + 1)) * jacobi(x, n - 1, a=a + 1, b=b + 1)),
    n=lambda g: no_derivative_in("jacobi", "degree"),
    doc="Return Jacobi's polynomial of degree n, divided by its value at 1 (DLMF 18.9.15).",
    samples=lambda: [*_with(a=-0.5, b=-0.5)(), *_with(a=0.5, b=1.5)()])  # fmt: skip

hermite = elementwise("hermite(x, n, *, scale)", _by_degree(lambda n, x, *, scale: (
        scipy_function("eval_hermite" if scale == 2 else "eval_hermitenorm")(n, x))), dtype="float", kinds="f", lower=OPAQUE,
    x=lambda g, x, n, *, scale: g * (scale * n * hermite(x, n - 1, scale=scale)),
    n=lambda g: no_derivative_in("hermite", "degree"),
    doc="Return Hermite's polynomial of the physicists (`scale` 2) or of the probabilists (1).",
    samples=lambda: [*_with(scale=1)(), *_with(scale=2)()])  # fmt: skip

laguerre = elementwise("laguerre(x, n, *, k)", _by_degree(lambda n, x, *, k: (
        scipy_function("eval_genlaguerre")(n, float(k), x))), dtype="float", kinds="f", lower=OPAQUE,
    x=lambda g, x, n, *, k: g * -laguerre(x, n - 1, k=k + 1),
    n=lambda g: no_derivative_in("laguerre", "degree"),
    doc="Return Laguerre's polynomial of parameter k (DLMF 18.9.23).",
    samples=lambda: [*_with(k=0)(), *_with(k=1)()])  # fmt: skip


def _public(name: str, kernel: Any, rule: Any, kind: str, shown: str) -> Any:
    return elementwise(f"{name}(x, n)", _by_degree(kernel), dtype="float", kinds="bif", lower=OPAQUE, public="special",
        x=rule,
        n=lambda g: no_derivative_in(name, "degree"),
        samples=_samples,
        doc=binary(f"Return {kind}, of degree `n` at `input`.", f"cr.special.{name}(cr.tensor([0.5, 2.0]), 3)", shown,
                   names=("input", "n"),
                   note="Differentiable in `input`, where PyTorch drops the gradient; NaN of degrees above 100,000."),
    )  # fmt: skip


def _of_angle(name: str, a: float, b: float, kind: str, shown: tuple, at_one: Any) -> tuple:
    """Declare one of Chebyshev's polynomials, and the one of 2x - 1."""
    kernel = scipy_function if a == b else None

    def plain(n: Any, x: Any) -> Any:
        if kernel is not None:
            return kernel(f"eval_cheby{name}")(n, x)
        return at_one(n) * _jacobi(n, x, a=a, b=b)

    def slope(g: Any, x: Any, n: Any) -> Any:
        return g * (at_one(n) * n * (n + (a + b + 1)) * (0.5 / (a + 1)) * jacobi(x, n - 1, a=a + 1, b=b + 1))

    def shifted_slope(g: Any, x: Any, n: Any) -> Any:
        return g * (at_one(n) * n * (n + (a + b + 1)) * (1 / (a + 1)) * jacobi(x + x - 1, n - 1, a=a + 1, b=b + 1))

    plain_op = _public(f"chebyshev_polynomial_{name}", plain, slope, f"Chebyshev's polynomial of the {kind} kind", shown[0])
    shifted = _public(f"shifted_chebyshev_polynomial_{name}", lambda n, x: plain(n, x + x - 1), shifted_slope,
        f"Chebyshev's polynomial of the {kind} kind in 2x - 1", shown[1])  # fmt: skip
    return plain_op, shifted


chebyshev_polynomial_t, shifted_chebyshev_polynomial_t = _of_angle("t", -0.5, -0.5, "first",
    ("tensor([-1., 26.])", "tensor([-0., 99.])"), lambda n: 1)  # fmt: skip
chebyshev_polynomial_u, shifted_chebyshev_polynomial_u = _of_angle("u", 0.5, 0.5, "second",
    ("tensor([-1., 56.])", "tensor([ -0., 204.])"), lambda n: n + 1)  # fmt: skip
chebyshev_polynomial_v, shifted_chebyshev_polynomial_v = _of_angle("v", -0.5, 0.5, "third",
    ("tensor([-1., 41.])", "tensor([  1., 169.])"), lambda n: 1)  # fmt: skip
chebyshev_polynomial_w, shifted_chebyshev_polynomial_w = _of_angle("w", 0.5, -0.5, "fourth",
    ("tensor([-1., 71.])", "tensor([ -1., 239.])"), lambda n: n + n + 1)  # fmt: skip

legendre_polynomial_p = _public("legendre_polynomial_p", lambda n, x: scipy_function("eval_legendre")(n, x),
    lambda g, x, n: g * (n * (n + 1) * 0.5 * jacobi(x, n - 1, a=1, b=1)),
    "Legendre's polynomial", "tensor([-0.4375, 17.0000])")  # fmt: skip
hermite_polynomial_h = _public("hermite_polynomial_h", lambda n, x: scipy_function("eval_hermite")(n, x),
    lambda g, x, n: g * (2 * n * hermite(x, n - 1, scale=2)),
    "Hermite's polynomial of the physicists", "tensor([-5., 40.])")  # fmt: skip
hermite_polynomial_he = _public("hermite_polynomial_he", lambda n, x: scipy_function("eval_hermitenorm")(n, x),
    lambda g, x, n: g * (n * hermite(x, n - 1, scale=1)),
    "Hermite's polynomial of the probabilists", "tensor([-1.3750,  2.0000])")  # fmt: skip
laguerre_polynomial_l = _public("laguerre_polynomial_l", lambda n, x: scipy_function("eval_laguerre")(n, x),
    lambda g, x, n: g * -laguerre(x, n - 1, k=1),
    "Laguerre's polynomial", "tensor([-0.1458, -0.3333])")  # fmt: skip
