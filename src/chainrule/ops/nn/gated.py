"""Activations that are the input times how likely it is kept: silu, and gelu with its approximation.

Each is one op, and so is its pullback: composed, a recorded pass would keep every factor (three arrays for each of gelu's,
where its input is enough), and NumPy would go over memory once for each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.op.declaration import elementwise
from chainrule.core.op.lowering import s
from chainrule.core.op.raw import narrowed
from chainrule.core.op.samples import Sample
from chainrule.ops.pointwise.exponential import _sigmoid, exp, sigmoid, sigmoid_pull
from chainrule.ops.pointwise.normal import SQRT_2PI, _ndtr, are_many, in_passes
from chainrule.ops.pointwise.trigonometric import tanh, tanh_pull
from chainrule.ops.reduction.scan import wide


def _times(slope: Any, g: Any) -> Any:
    """Return a slope that was just computed, times a (co)tangent; in the same memory if that fits."""
    fits = slope.__class__ is np.ndarray and getattr(g, "shape", ()) in ((), slope.shape)
    return np.multiply(slope, g, out=slope if fits else None)


# -- silu --------------------------------------------------------------------------------------------------------------


def _silu(x: Any) -> Any:
    kept = _sigmoid(x)
    kept *= x
    return kept


def _silu_pull(g: Any, x: Any) -> Any:
    kept = _sigmoid(x)
    slope = 1 - kept
    slope *= x
    slope += 1
    slope *= kept
    return narrowed(_times(slope, g), x)


def _silu_bend(h: Any, g: Any, x: Any) -> Any:
    kept = sigmoid(x)
    return sigmoid_pull(h * g, kept) * (x * (1 - kept - kept) + 2)


silu: Callable = elementwise("silu(x)", _silu, kinds="fc",
    lower=lambda x: x / (1 + s.exp(-x)),
    x=lambda g, x: silu_pull(g, x),
    doc="Return ``x * sigmoid(x)``.")  # fmt: skip

silu_pull: Callable = elementwise("silu_pull(g, x)", _silu_pull, kinds="fc", node="SiluBackward", scales=True,
    lower=lambda g, x: g * (1 + x * (1 - 1 / (1 + s.exp(-x)))) / (1 + s.exp(-x)),
    g=lambda h, x: silu_pull(h, x),
    x=_silu_bend,
    doc="Return ``g * sigmoid(x) * (1 + x * (1 - sigmoid(x)))``: the pullback of `silu`.")  # fmt: skip

# -- gelu --------------------------------------------------------------------------------------------------------------

_SCALE, _CUBE = math.sqrt(2 / math.pi), 0.044715


def _inner(x: Any) -> Any:
    """Return what the approximation takes the hyperbolic tangent of."""
    return (x * x * _CUBE + 1) * x * _SCALE


def _slope(x: np.ndarray, phi: np.ndarray, e: np.ndarray, out: np.ndarray) -> None:
    np.multiply(x, np.float32(1 / SQRT_2PI), out=out)
    np.add(np.multiply(out, e, out=out), phi, out=out)


def _gelu(x: Any, *, form: str) -> Any:
    given, x = x, wide(x)
    if form == "none" and are_many(x):
        return narrowed(in_passes(x, lambda x, phi, e, out: np.multiply(x, phi, out=out)), given)
    if form == "none":
        kept = _ndtr(x)
    else:
        kept = np.tanh(_inner(x))
        kept += 1
        kept *= 0.5
    kept *= x
    return narrowed(kept, given)


def _gelu_pull(g: Any, x: Any, *, form: str) -> Any:
    given, x = x, wide(x)
    if form == "none" and are_many(x):
        slope = in_passes(x, _slope)
    elif form == "none":
        slope = np.exp(x * x * -0.5)
        slope /= SQRT_2PI
        slope *= x
        slope += _ndtr(x)
    else:
        t = np.tanh(_inner(x))
        slope = tanh_pull.op.kernel(x, t) * (x * x * (3 * _CUBE) + 1)  # type: ignore[attr-defined]
        slope *= _SCALE
        slope += t
        slope += 1
        slope *= 0.5
    return narrowed(_times(slope, g), given)


def _gelu_bend(h: Any, g: Any, x: Any, *, form: str) -> Any:
    square = x * x
    if form == "none":
        return h * g * exp(square * -0.5) * (2 - square) / SQRT_2PI
    t, steep = tanh(_inner(x)), (square * (3 * _CUBE) + 1) * _SCALE
    return tanh_pull(h * g, t) * (steep + square * (3 * _CUBE * _SCALE) - x * t * steep * steep)


def _kept(x: Any, form: str) -> Any:
    return s.ndtr(x) if form == "none" else (1 + s.tanh(_inner(x))) * 0.5


def _slope_text(g: Any, x: Any, *, form: str) -> Any:
    if form == "none":
        return g * (_kept(x, form) + x * s.exp(x * x * -0.5) / SQRT_2PI)
    t = s.tanh(_inner(x))
    return g * ((1 + t) * 0.5 + x * (1 - t * t) * (x * x * (3 * _CUBE) + 1) * (0.5 * _SCALE))


_FORMS = [Sample((3, 4), form="none"), Sample((), form="tanh"), Sample((0,), form="none"), Sample((5,), form="tanh")]

gelu: Callable = elementwise("gelu(x, *, form)", _gelu, kinds="f",
    lower=lambda x, *, form: x * _kept(x, form),
    x=lambda g, x, *, form: gelu_pull(g, x, form=form),
    samples=lambda: _FORMS,
    doc="Return ``x * Φ(x)`` with the normal distribution function, or its approximation in the form 'tanh'.")  # fmt: skip

gelu_pull: Callable = elementwise("gelu_pull(g, x, *, form)", _gelu_pull, kinds="f", node="GeluBackward", scales=True,
    lower=_slope_text,
    g=lambda h, x, *, form: gelu_pull(h, x, form=form),
    x=_gelu_bend,
    samples=lambda: [Sample((3, 4), (3, 4), form="none"), Sample((3, 1), (4,), form="tanh"), Sample((), (), form="tanh")],
    doc="Return ``g`` times the derivative of `gelu` at `x`.")  # fmt: skip
