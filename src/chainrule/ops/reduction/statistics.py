"""Moments and norms: variance, standard deviation, vector norms."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np

from chainrule.core.op.batching import per_example, shift_axes
from chainrule.core.op.declaration import op
from chainrule.core.op.raw import narrowed
from chainrule.core.op.reach import in_lines
from chainrule.core.op.results import joined, real_of, scalar, several
from chainrule.core.op.samples import Sample
from chainrule.core.record.plans import unbroadcast
from chainrule.core.tensor.value import is_complex
from chainrule.core.types import shape as shapes
from chainrule.ops.indexing.select import where
from chainrule.ops.indexing.view import zeros
from chainrule.ops.pointwise.complex import abs, conj, real, sgn
from chainrule.ops.pointwise.exponential import sqrt
from chainrule.ops.reduction.reduce import amax, amin, axes_back, count, mean, sum, ties
from chainrule.ops.reduction.scan import wide
from chainrule.ops.shaping.shape import broadcast_to, to

MOMENTS = [
    Sample((3, 4), axis=(0, 1), correction=1, keepdims=False), Sample((3, 4), axis=(1,), correction=0, keepdims=True),
    Sample((2, 3, 4), axis=(0, 2), correction=2, keepdims=False), Sample((), axis=(), correction=0, keepdims=False),
]  # fmt: skip


def _var(x: Any, *, axis: tuple, correction: float, keepdims: bool) -> Any:
    return narrowed(_moments(wide(x), axis, correction, keepdims)[0], x)


def _moments(x: Any, axis: tuple, correction: float, keepdims: bool) -> tuple:
    """Return (variance, mean) in two passes: deviations from the mean, then their squares."""
    n = count(x.shape, axis)
    average = np.add.reduce(x, axis=axis, keepdims=True) / n
    deviation = x - average
    squares = (deviation * deviation.conj()).real if x.dtype.kind == "c" else deviation * deviation
    total = np.add.reduce(squares, axis=axis, keepdims=keepdims)
    out = total / max(n - correction, 0)
    return out, average if keepdims else average.reshape(shapes.reduced(x.shape, axis, False))[()]


def _squares(x: Any) -> Any:
    return real(x * conj(x)) if is_complex(x) else x * x


def _var_of_ops(x: Any, *, axis: tuple, correction: float, keepdims: bool) -> Any:
    squares = _squares(x - mean(x, axis=axis, keepdims=True))
    return sum(squares, axis=axis, keepdims=keepdims) / max(count(x.shape, axis) - correction, 0)


def _std_of_ops(x: Any, *, axis: tuple, correction: float, keepdims: bool) -> Any:
    return sqrt(_var_of_ops(x, axis=axis, correction=correction, keepdims=keepdims))


def _deviations(x: Any, axis: tuple, correction: float) -> Any:
    """Return the derivative of the variance: ``2 (x - mean) / (n - correction)``; not finite without degrees of freedom."""
    freedom = count(x.shape, axis) - correction
    return (x - mean(x, axis=axis, keepdims=True)) * (2 / freedom if freedom > 0 else inf)


def _inner(x_dot: Any, weights: Any, axis: tuple, keepdims: bool) -> Any:
    """Return the real inner product of a tangent with a real function's gradient."""
    product = real(x_dot * conj(weights)) if is_complex(weights) else x_dot * weights
    return sum(product, axis=axis, keepdims=keepdims)


def _halved(g: Any, out: Any) -> Any:
    """Return the cotangent of a variance for that of its root: ``g / (2 out)``, and 0 for a deviation of 0."""
    return g / where(out == 0, inf, 2 * out)


var = op("var(x, *, axis, correction, keepdims)", _var, shape=shapes.reduced,
    dtype=real_of,
    lower=_var_of_ops,
    reach=in_lines,
    batch=shift_axes,
    jvp=lambda x_dot, x, *, axis, correction, keepdims: _inner(x_dot, _deviations(x, axis, correction), axis, keepdims),
    x=lambda g, x, *, axis, correction, keepdims: axes_back(g, x.shape, axis, keepdims) * _deviations(x, axis, correction),
    doc="Variance over axes with `correction` fewer degrees of freedom than elements.",
    samples=lambda: MOMENTS)  # fmt: skip


def _std(x: Any, *, axis: tuple, correction: float, keepdims: bool) -> Any:
    return narrowed(np.sqrt(_moments(wide(x), axis, correction, keepdims)[0]), x)


std = op("std(x, *, axis, correction, keepdims)", _std,
    dtype=real_of,
    lower=_std_of_ops,
    reach=in_lines,
    batch=shift_axes,
    shape=shapes.reduced,
    jvp=lambda x_dot, x, out, *, axis, correction, keepdims: _halved(
        _inner(x_dot, _deviations(x, axis, correction), axis, keepdims), out),
    x=lambda g, x, out, *, axis, correction, keepdims: (
        axes_back(_halved(g, out), x.shape, axis, keepdims) * _deviations(x, axis, correction)),
    doc="Standard deviation over axes; its derivative is taken as 0 where it is 0.",
    samples=lambda: [s for s in MOMENTS if s.args[0]])  # fmt: skip


def _pair(root: bool) -> Callable:
    def kernel(x: Any, *, axis: tuple, correction: float, keepdims: bool) -> tuple:
        spread, average = _moments(wide(x), axis, correction, keepdims)
        return narrowed(np.sqrt(spread) if root else spread, x), narrowed(average, x)

    return kernel


def _declare_pair(name: str, root: bool) -> Callable:
    def jvp(x_dot: Any, x: Any, out: Any, *, axis: tuple, correction: float, keepdims: bool) -> tuple:
        spread = _inner(x_dot, _deviations(x, axis, correction), axis, keepdims)
        return _halved(spread, out[0]) if root else spread, mean(x_dot, axis=axis, keepdims=keepdims)

    def pull(g: list, x: Any, out: Any, *, axis: tuple, correction: float, keepdims: bool) -> Any:
        total = None
        if g[0] is not None:
            spread = _halved(g[0], out[0]) if root else g[0]
            total = axes_back(spread, x.shape, axis, keepdims) * _deviations(x, axis, correction)
        if g[1] is not None:
            term = axes_back(g[1], x.shape, axis, keepdims) / count(x.shape, axis)
            total = broadcast_to(term, shape=tuple(x.shape)) if total is None else total + term
        return total

    return op(f"{name}(x, *, axis, correction, keepdims)", _pair(root), jvp=jvp, x=pull, reach=in_lines, batch=shift_axes,
        shape=several(shapes.reduced, 2), dtype=lambda x: [real_of(x), x],
        lower=lambda x, *, axis, correction, keepdims: (
            (_std_of_ops if root else _var_of_ops)(x, axis=axis, correction=correction, keepdims=keepdims),
            mean(x, axis=axis, keepdims=keepdims)),
        doc="Variance and mean in one pass." if not root else "Standard deviation and mean in one pass.",
        samples=lambda: [s for s in MOMENTS if s.args[0]])  # fmt: skip


var_mean = _declare_pair("var_mean", False)
std_mean = _declare_pair("std_mean", True)


# -- norms -------------------------------------------------------------------------------------------------------------


def _vector_norm(x: Any, *, order: float, axis: tuple, keepdims: bool) -> Any:
    d = x.real.dtype
    x = wide(x)
    if order == 0:
        return np.add.reduce(x != 0, axis=axis, keepdims=keepdims, dtype=x.real.dtype).astype(d)
    if order == 2:
        squares = x.real * x.real + x.imag * x.imag if x.dtype.kind == "c" else x * x
        return np.sqrt(np.add.reduce(squares, axis=axis, keepdims=keepdims)).astype(d)
    size = np.abs(x)
    if order in (inf, -inf):
        return (np.maximum if order > 0 else np.minimum).reduce(size, axis=axis, keepdims=keepdims).astype(d)
    if order == 1:
        return np.add.reduce(size, axis=axis, keepdims=keepdims).astype(d)
    return (np.add.reduce(size**order, axis=axis, keepdims=keepdims) ** (1 / order)).astype(d)


def _norm_of_ops(x: Any, *, order: float, axis: tuple, keepdims: bool) -> Any:
    over = {"axis": axis, "keepdims": keepdims}
    if order == 2:
        return sqrt(sum(_squares(x), **over))
    size = abs(x)
    if order in (inf, -inf):
        return (amax if order > 0 else amin)(size, **over)
    if order == 0:
        return sum(to(x != 0, dtype=zeros((), size).dtype, source=np.dtype(bool)), **over)
    return sum(size, **over) if order == 1 else sum(size**order, **over) ** (1 / order)


def _norm_gradient(x: Any, out: Any, order: float, axis: tuple, keepdims: bool) -> Any:
    """Return ``sgn(x) (|x| / out)^(order-1)``; 0 where `out` or the element is 0, ties sharing the infinity norms.

    The guards divide by 1 where the result is 0, so that the second derivative meets no 0/0 either.
    """
    if order == 1:
        return sgn(x)
    if order in (inf, -inf):
        return sgn(x) * ties(abs(x), out, axis=axis, keepdims=keepdims, nan=True)
    out = axes_back(out, x.shape, axis, keepdims)
    at_zero = out == 0
    out = where(at_zero, 1, out)
    if order == 2:
        return where(at_zero, 0, x / out)
    flat = x == 0
    return where(flat, 0, sgn(x) * (where(flat, 1, abs(x)) / out) ** (order - 1))


def _norm_jvp(x_dot: Any, x: Any, out: Any, *, order: float, axis: tuple, keepdims: bool) -> Any:
    if order == 0:
        return None
    return _inner(x_dot, _norm_gradient(x, out, order, axis, keepdims), axis, keepdims)


def _norm_pull(g: Any, x: Any, out: Any, *, order: float, axis: tuple, keepdims: bool) -> Any:
    if order == 0:
        return None
    return axes_back(g, x.shape, axis, keepdims) * _norm_gradient(x, out, order, axis, keepdims)


vector_norm = op("vector_norm(x, *, order, axis, keepdims)", _vector_norm, shape=shapes.reduced, node="LinalgVectorNorm",
    dtype=real_of,
    lower=_norm_of_ops,
    reach=in_lines,
    batch=shift_axes,
    jvp=_norm_jvp,
    x=_norm_pull,
    doc="``sum(|x|^order)^(1/order)`` over axes; the largest size for inf, the count of elements that are not 0 for 0.",
    samples=lambda: [
        Sample((3, 4), order=p, axis=axis, keepdims=keep)
        for p in (2, 1, 3, 0.5, inf, -inf) for axis, keep in (((0, 1), False), ((1,), True))
    ] + [Sample((), order=2, axis=(), keepdims=False)])  # fmt: skip


def _dist_jvp(x_dot: Any, y_dot: Any, x: Any, y: Any, out: Any, *, order: float) -> Any:
    if order == 0:
        return None
    moved = -y_dot if x_dot is None else x_dot if y_dot is None else x_dot - y_dot
    gap = x - y
    return _inner(moved, _norm_gradient(gap, out, order, tuple(range(gap.ndim)), False), tuple(range(gap.ndim)), False)


def _dist_pull(g: Any, x: Any, y: Any, out: Any, order: float, shape: tuple) -> Any:
    if order == 0:
        return None
    gap = x - y
    return unbroadcast(g * _norm_gradient(gap, out, order, tuple(range(gap.ndim)), False), shape)


def _dist(x: Any, y: Any, *, order: float) -> Any:
    gap = x - y
    return _vector_norm(gap, order=order, axis=tuple(range(gap.ndim)), keepdims=False)


def _norm_of_difference(x: Any, y: Any, *, order: float) -> Any:
    gap = x - y
    return vector_norm(gap, order=order, axis=tuple(range(gap.ndim)), keepdims=False)


dist = op("dist(x, y, *, order)", _dist,
    shape=scalar, dtype=lambda x, y: real_of(joined(x, y)),
    batch=per_example(_norm_of_difference),
    jvp=_dist_jvp,
    x=lambda g, x, y, out, *, order: _dist_pull(g, x, y, out, order, tuple(x.shape)),
    y=lambda g, x, y, out, *, order: _dist_pull(-g, x, y, out, order, tuple(y.shape)),
    doc="The norm of a difference, with the derivative of `vector_norm`.",
    samples=lambda: [Sample((3, 4), (4,), order=p) for p in (2, 1, 3, inf)] + [Sample((), (), order=2)])  # fmt: skip
