"""Bessel functions, those that are scaled by exponentials, and Airy's: closed under their derivatives (NIST DLMF 9, 10).

Of integer order, as PyTorch names them, and of any order, as SciPy does. In the order SciPy has no derivative: there the rule
raises.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn

import numpy as np

from chainrule.core.op.declaration import elementwise
from chainrule.core.op.samples import Fixed, Sample
from chainrule.ops.describe import binary, unary
from chainrule.ops.indexing.select import where
from chainrule.ops.pointwise.normal import of_each_order
from chainrule.ops.pointwise.special import OPAQUE, bessel_i, i0, i1, in_blocks, in_double, in_scipy, scipy_function
from chainrule.ops.pointwise.trigonometric import sinc, sinc_derivative

POSITIVE = (0.3, 6.0)


def no_derivative_in(name: str, argument: str) -> NoReturn:
    """Raise where the derivative in an argument is asked for that SciPy cannot evaluate."""
    raise NotImplementedError(
        f"the derivative for '{name}: {argument}' is not implemented: SciPy has none in its {argument}. Detach it, and "
        "differentiate in the other arguments only."
    )


def _of_order(name: str) -> Any:
    return in_double(lambda x, *, n: scipy_function(name)(n, x))


def _orders(domain: Any = None) -> list[Sample]:
    return [Sample((3, 4), n=2, domain=domain), Sample((), n=3, domain=domain), Sample((0,), n=2)]


def _about(kind: str, order: int, name: str, shown: str) -> str:
    example = f"cr.special.{name}(cr.tensor([1.0, 2.0]))"
    return unary(f"Return the {kind} of order {order} of each element.", example, shown, "bif",
        notes="Differentiable to every order by recurrences (NIST DLMF 10.6, 10.29); PyTorch drops the gradient.")  # fmt: skip


# -- of integer order --------------------------------------------------------------------------------------------------

bessel_j0 = elementwise("bessel_j0(x)", in_scipy("j0"), dtype="float", kinds="bif", public="special", lower=OPAQUE,
    x=lambda g, x: g * -bessel_j1(x),
    doc=_about("Bessel function of the first kind", 0, "bessel_j0", "tensor([0.7652, 0.2239])"))  # fmt: skip

bessel_j1 = elementwise("bessel_j1(x)", in_scipy("j1"), dtype="float", kinds="bif", public="special", lower=OPAQUE,
    x=lambda g, x: g * ((bessel_j0(x) - bessel_j(x, n=2)) * 0.5),
    doc=_about("Bessel function of the first kind", 1, "bessel_j1", "tensor([0.4401, 0.5767])"))  # fmt: skip

bessel_j = elementwise("bessel_j(x, *, n)", _of_order("jv"), dtype="float", kinds="f", lower=OPAQUE,
    x=lambda g, x, *, n: g * ((bessel_j(x, n=n - 1) - bessel_j(x, n=n + 1)) * 0.5),
    samples=_orders)  # fmt: skip

bessel_y0 = elementwise("bessel_y0(x)", in_scipy("y0"), dtype="float", kinds="bif", domain=POSITIVE, public="special",
    lower=OPAQUE,
    x=lambda g, x: g * -bessel_y1(x),
    doc=_about("Bessel function of the second kind", 0, "bessel_y0", "tensor([0.0883, 0.5104])"))  # fmt: skip

bessel_y1 = elementwise("bessel_y1(x)", in_scipy("y1"), dtype="float", kinds="bif", domain=POSITIVE, public="special",
    lower=OPAQUE,
    x=lambda g, x: g * ((bessel_y0(x) - bessel_y(x, n=2)) * 0.5),
    doc=_about("Bessel function of the second kind", 1, "bessel_y1", "tensor([-0.7812, -0.1070])"))  # fmt: skip

bessel_y = elementwise("bessel_y(x, *, n)", in_double(lambda x, *, n: scipy_function("yn")(n, x)), dtype="float", kinds="f",
    domain=POSITIVE, lower=OPAQUE,
    x=lambda g, x, *, n: g * ((bessel_y(x, n=n - 1) - bessel_y(x, n=n + 1)) * 0.5),
    samples=_orders)  # fmt: skip

modified_bessel_i0 = elementwise("modified_bessel_i0(x)", in_scipy("i0"), dtype="float", kinds="bif", public="special",
    lower=OPAQUE,
    x=lambda g, x: g * i1(x),
    doc=_about("modified Bessel function of the first kind", 0, "modified_bessel_i0", "tensor([1.2661, 2.2796])"))  # fmt: skip

modified_bessel_i1 = elementwise("modified_bessel_i1(x)", in_scipy("i1"), dtype="float", kinds="bif", public="special",
    lower=OPAQUE,
    x=lambda g, x: g * ((i0(x) + bessel_i(x, n=2)) * 0.5),
    doc=_about("modified Bessel function of the first kind", 1, "modified_bessel_i1", "tensor([0.5652, 1.5906])"))  # fmt: skip

modified_bessel_k0 = elementwise("modified_bessel_k0(x)", in_scipy("k0"), dtype="float", kinds="bif", domain=POSITIVE,
    public="special", lower=OPAQUE,
    x=lambda g, x: g * -modified_bessel_k1(x),
    doc=_about("modified Bessel function of the second kind", 0, "modified_bessel_k0", "tensor([0.4210, 0.1139])"))  # fmt: skip

modified_bessel_k1 = elementwise("modified_bessel_k1(x)", in_scipy("k1"), dtype="float", kinds="bif", domain=POSITIVE,
    public="special", lower=OPAQUE,
    x=lambda g, x: g * ((modified_bessel_k0(x) + bessel_k(x, n=2)) * -0.5),
    doc=_about("modified Bessel function of the second kind", 1, "modified_bessel_k1", "tensor([0.6019, 0.1399])"))  # fmt: skip

bessel_k = elementwise("bessel_k(x, *, n)", in_double(lambda x, *, n: scipy_function("kn")(n, x)), dtype="float", kinds="f",
    domain=POSITIVE, lower=OPAQUE,
    x=lambda g, x, *, n: g * ((bessel_k(x, n=n - 1) + bessel_k(x, n=n + 1)) * -0.5),
    samples=_orders)  # fmt: skip

spherical_bessel_j0 = elementwise("spherical_bessel_j0(x)", lambda x: sinc.op.kernel(x / x.dtype.type(math.pi)), dtype="float",
    kinds="bif", public="special", lower=OPAQUE,
    x=lambda g, x: g * (sinc_derivative(x * (1 / math.pi), n=1) * (1 / math.pi)),
    doc=_about("spherical Bessel function of the first kind", 0, "spherical_bessel_j0",
        "tensor([0.8415, 0.4546])"))  # fmt: skip

# -- scaled by exponentials --------------------------------------------------------------------------------------------


@in_double
def _i0e_derivative(x: Any, *, n: int) -> Any:
    """Return the n-th derivative of ``exp(-|x|) I₀(x)``, ``(-2)^n (1/2)_n / n! M(n + 1/2, n + 1, -2|x|)``.

    See NIST DLMF 10.39.5 and 13.3.15. At 0, where there is a kink, it is that of the right side.
    """
    factor = math.prod([-2 * (k + 0.5) / (k + 1) for k in range(n)])
    out = factor * scipy_function("hyp1f1")(n + 0.5, n + 1, -2 * np.abs(x))
    return np.where(x < 0, (-1) ** n * out, out)


@in_double
def _k0e_derivative(x: Any, *, n: int) -> Any:
    """Return the n-th derivative of ``exp(x) K₀(x)``, ``(-1)^n ∫ (cosh t - 1)^n exp(-x (cosh t - 1)) dt`` (DLMF 10.32.9).

    By the trapezoidal rule, which converges exponentially here; near 0, where the integral is long, by its leading term.
    """
    small = x < 1e-19
    safe = np.where(small | ~(x > 0), 1.0, x)
    places = np.arange(193.0)

    def integral(x: Any) -> Any:
        h = np.arccosh(1 + 40 / x) / 192
        rise = 2 * np.sinh(places * h / 2) ** 2
        terms = rise**n * np.exp(-x * rise)
        return (np.add.reduce(terms, axis=1) - terms[:, 0] / 2) * h[:, 0]

    near = math.factorial(max(n - 1, 0)) / np.where(small, x, 1.0) ** n
    out = (-1) ** n * np.where(small, near, in_blocks(integral, safe))
    return np.where(x >= 0, out, np.nan)


def _side(x: Any) -> Any:
    return where(x < 0, -1, 1)


i0e = elementwise("i0e(x)", in_scipy("i0e"), dtype="float", kinds="bif", node="SpecialI0E",
    public="special", lower=OPAQUE,
    x=lambda g, x: g * where(x == 0, 0, i0e_derivative(x, n=1)),
    doc=unary("Return ``exp(-|input|) I₀(input)`` of each element.", "cr.special.i0e(cr.tensor([0.0, 100.0]))",
        "tensor([1.0000, 0.0399])", "bif", notes="It has a kink at 0, where 0 is taken for the derivative."))  # fmt: skip

i1e = elementwise("i1e(x)", in_scipy("i1e"), dtype="float", kinds="bif", node="SpecialI1E",
    public="special", lower=OPAQUE,
    x=lambda g, x: g * (_side(x) * i0e_derivative(x, n=1) + i0e_derivative(x, n=2)),
    doc=unary("Return ``exp(-|input|) I₁(input)`` of each element.", "cr.special.i1e(cr.tensor([0.0, 100.0]))",
        "tensor([0.0000, 0.0397])", "bif"))  # fmt: skip

i0e_derivative = elementwise("i0e_derivative(x, *, n)", _i0e_derivative, dtype="float", kinds="f", lower=OPAQUE,
    x=lambda g, x, *, n: g * i0e_derivative(x, n=n + 1),
    samples=of_each_order)  # fmt: skip

scaled_modified_bessel_k0 = elementwise("scaled_modified_bessel_k0(x)", in_scipy("k0e"), dtype="float", kinds="bif",
    domain=POSITIVE, public="special", lower=OPAQUE,
    x=lambda g, x: g * k0e_derivative(x, n=1),
    doc=_about("modified Bessel function of the second kind, times exp(input),", 0, "scaled_modified_bessel_k0",
        "tensor([1.1445, 0.8416])"))  # fmt: skip

scaled_modified_bessel_k1 = elementwise("scaled_modified_bessel_k1(x)", in_scipy("k1e"), dtype="float", kinds="bif",
    domain=POSITIVE, public="special", lower=OPAQUE,
    x=lambda g, x: g * (k0e_derivative(x, n=1) - k0e_derivative(x, n=2)),
    doc=_about("modified Bessel function of the second kind, times exp(input),", 1, "scaled_modified_bessel_k1",
        "tensor([1.6362, 1.0335])"))  # fmt: skip

k0e_derivative = elementwise("k0e_derivative(x, *, n)", _k0e_derivative, dtype="float", kinds="f", domain=POSITIVE,
    lower=OPAQUE,
    x=lambda g, x, *, n: g * k0e_derivative(x, n=n + 1),
    samples=of_each_order)  # fmt: skip

# -- of any order ------------------------------------------------------------------------------------------------------

_ANY_ORDER = np.array([0.5, 1.0, 2.0, 3.5])


def _any_order() -> list[Sample]:
    return [Sample(Fixed(_ANY_ORDER), (3, 4)), Sample(Fixed(_ANY_ORDER[:1]), ()), Sample(Fixed(_ANY_ORDER), (0, 1))]


def _doc(name: str, kind: str, shown: str) -> str:
    return binary(f"Return the {kind}, of order `input` at `other`.",
        f"cr.special.{name}(cr.tensor(0.5), cr.tensor([1.0, 2.0]))", shown,
        note="Differentiable in `other`; a derivative in the order raises: SciPy has none.")  # fmt: skip


# Of each kind f: (a, b) in 2 f'[v] = a f[v-1] + b f[v+1] (NIST DLMF 10.6.1, 10.29.1).
_SLOPES = {"jv": (1, -1), "yv": (1, -1), "iv": (1, 1), "kv": (-1, -1)}


@in_double
def _bessel_derivative(v: Any, x: Any, *, kind: str, n: int) -> Any:
    """Return the n-th derivative in x: n steps of the recurrence, taken together."""
    a, b = _SLOPES[kind]
    f = scipy_function(kind)
    return sum([math.comb(n, k) * a ** (n - k) * b**k * f(v - n + 2 * k, x) for k in range(n + 1)]) * 0.5**n


bessel_derivative = elementwise("bessel_derivative(v, x, *, kind, n)", _bessel_derivative, dtype="float", kinds="f",
    domain=POSITIVE, lower=OPAQUE,
    v=lambda g, *, kind: no_derivative_in(kind, "order"),
    x=lambda g, v, x, *, kind, n: g * bessel_derivative(v, x, kind=kind, n=n + 1),
    samples=lambda: [Sample(*s.args, kind=kind, n=n) for kind, n in (("jv", 1), ("kv", 2)) for s in _any_order()],
    )  # fmt: skip


def _of_any_order(name: str, kind: str, shown: str) -> Any:
    return elementwise(f"{name}(v, x)", in_scipy(name), dtype="float", kinds="bif", domain=POSITIVE, public="special",
        lower=OPAQUE,
        v=lambda g: no_derivative_in(name, "order"),
        x=lambda g, v, x: g * bessel_derivative(v, x, kind=name, n=1),
        samples=_any_order,
        doc=_doc(name, kind, shown))  # fmt: skip


jv = _of_any_order("jv", "Bessel function of the first kind", "tensor([0.6714, 0.5130])")
yv = _of_any_order("yv", "Bessel function of the second kind", "tensor([-0.4311,  0.2348])")
iv = _of_any_order("iv", "modified Bessel function of the first kind", "tensor([0.9377, 2.0462])")
kv = _of_any_order("kv", "modified Bessel function of the second kind", "tensor([0.4611, 0.1199])")

# -- Airy's ------------------------------------------------------------------------------------------------------------


def _airy(place: int) -> Any:
    return in_double(lambda x: scipy_function("airy")(x)[place])


airy_ai = elementwise("airy_ai(x)", _airy(0), dtype="float", kinds="bif", public="special", lower=OPAQUE,
    x=lambda g, x: g * airy_ai_slope(x),
    doc=unary("Return Airy's function Ai of each element.", "cr.special.airy_ai(cr.tensor([0.0, 1.0]))",
        "tensor([0.3550, 0.1353])", "bif", notes="``Ai'' = x Ai`` (NIST DLMF 9.2.1); PyTorch drops the gradient."))  # fmt: skip

airy_ai_slope = elementwise("airy_ai_slope(x)", _airy(1), dtype="float", kinds="bif", lower=OPAQUE,
    x=lambda g, x: g * (x * airy_ai(x)))  # fmt: skip

airy_bi = elementwise("airy_bi(x)", _airy(2), dtype="float", kinds="bif", lower=OPAQUE,
    x=lambda g, x: g * airy_bi_slope(x))  # fmt: skip

airy_bi_slope = elementwise("airy_bi_slope(x)", _airy(3), dtype="float", kinds="bif", lower=OPAQUE,
    x=lambda g, x: g * (x * airy_bi(x)))  # fmt: skip
