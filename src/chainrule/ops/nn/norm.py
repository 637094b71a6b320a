"""Standardising: what layer, batch, group and instance normalisation share, with mean 0 and variance 1 over some axes.

One rule serves both modes, since the derivative of the standardised values is a symmetric map (Ioffe & Szegedy, arXiv
1502.03167, section 3). It names the results, not the input, so that every order is right and nothing is computed twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.op.batching import shift_axes
from chainrule.core.op.declaration import op
from chainrule.core.op.raw import narrowed
from chainrule.core.op.samples import Sample
from chainrule.core.types import shape as shapes
from chainrule.ops.pointwise.exponential import rsqrt
from chainrule.ops.reduction.reduce import count, sum
from chainrule.ops.reduction.scan import wide
from chainrule.ops.shaping.shape import broadcast_to

_FEW = 1 << 12  # elements that BLAS may add up without losing digits, in a quarter of NumPy's time
_MANY = 1 << 14  # elements summed along leading axes, one after the other, beyond which float32 loses digits


def _has_short_rows(x: Any, axis: tuple, n: int) -> bool:
    return x.size > 0 and n <= _FEW and axis[-1] - axis[0] == x.ndim - 1 - axis[0] == len(axis) - 1 and x.flags.c_contiguous


def _average(x: Any, axis: tuple, n: int) -> Any:
    """Return the mean over axes, which stay with size 1."""
    if _has_short_rows(x, axis, n):
        return (x.reshape(-1, n).dot(np.ones(n, x.dtype)) / x.dtype.type(n)).reshape(shapes.kept(x.shape, axis))
    long = n > _MANY and x.dtype.itemsize == 4 and axis[-1] != x.ndim - 1
    total = np.add.reduce(x, axis=axis, keepdims=True, dtype=np.float64 if long else None)
    return (total / n).astype(x.dtype, copy=False)


def _average_product(x: Any, y: Any, axis: tuple, n: int) -> Any:
    """Return the mean of the products over axes, which stay with size 1."""
    if x.flags.c_contiguous and _has_short_rows(y, axis, n):
        found = np.vecdot(x.reshape(-1, n), y.reshape(-1, n)) / y.dtype.type(n)
        return found.reshape(shapes.kept(y.shape, axis))
    return _average(x * y, axis, n)


def _standardize(x: Any, *, axis: tuple, eps: float) -> tuple:
    w = wide(x)
    n = max(count(w.shape, axis), 1)
    mean = _average(w, axis, n)
    out = np.subtract(w, mean)
    scale = _average_product(out, out, axis, n)
    scale += eps
    np.sqrt(scale, out=scale)
    np.divide(1, scale, out=scale)
    out *= scale
    return tuple([narrowed(np.asarray(v), x) for v in (out, mean, scale)])


def _standardize_of_ops(x: Any, *, axis: tuple, eps: float) -> tuple:
    n = max(count(x.shape, axis), 1)
    average = sum(x, axis=axis, keepdims=True) / n
    moved = x - average
    scale = rsqrt(sum(moved * moved, axis=axis, keepdims=True) / n + eps)
    return moved * scale, average, scale


def _jvp(x_dot: Any, out: Any, *, axis: tuple) -> tuple:
    y, _, scale = out
    average = sum(x_dot, axis=axis, keepdims=True) / max(count(y.shape, axis), 1)
    return standardized(x_dot, y, scale, axis=axis), average, scale * scale * -_inner(x_dot, y, axis)


def _pull(g: list, out: Any, *, axis: tuple) -> Any:
    y, _, scale = out
    n = max(count(y.shape, axis), 1)
    terms = []
    if g[0] is not None:
        terms.append(standardized(g[0], y, scale, axis=axis))
    if g[1] is not None:
        terms.append(broadcast_to(g[1] / n, shape=tuple(y.shape)))
    if g[2] is not None:
        terms.append(g[2] * scale * scale * y / -n)
    return _total(terms)


_SHAPES = [((3, 4), (1,)), ((3, 4), (0,)), ((2, 3, 4), (1, 2)), ((2, 3, 4), (0, 2)), ((0, 3), (1,))]

standardize = op("standardize(x, *, axis, eps)", _standardize, kinds="f", node="NativeLayerNorm", batch=shift_axes,
    shape=lambda x, *, axis: [x, shapes.kept(x, axis), shapes.kept(x, axis)],
    dtype=lambda x: [x, x, x],
    lower=_standardize_of_ops,
    jvp=_jvp,
    x=_pull,
    samples=lambda: [Sample(s, axis=axis, eps=eps) for s, axis in _SHAPES for eps in (1e-5, 0.5)],
    doc="Return ``(x - mean) / sqrt(var + eps)`` over axes, the mean, and ``1 / sqrt(var + eps)``.")  # fmt: skip


def _standardized(t: Any, y: Any, scale: Any, *, axis: tuple) -> Any:
    n, given = max(count(y.shape, axis), 1), y
    t, y, scale = wide(t), wide(y), wide(scale)
    found = np.multiply(y, _average_product(t, y, axis, n))
    np.subtract(t, found, out=found)
    found -= _average(t, axis, n)
    found *= scale
    return narrowed(found, given)


def _total(terms: list) -> Any:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _inner(x: Any, y: Any, axis: tuple) -> Any:
    """Return the mean of the products over the axes."""
    return sum(x * y, axis=axis, keepdims=True) / max(count(y.shape, axis), 1)


def _centred(t: Any, y: Any, axis: tuple) -> Any:
    return t - sum(t, axis=axis, keepdims=True) / max(count(y.shape, axis), 1) - y * _inner(t, y, axis)


def _tangent(t_dot: Any, y_dot: Any, scale_dot: Any, t: Any, y: Any, scale: Any, *, axis: tuple) -> Any:
    terms = []
    if t_dot is not None:
        terms.append(standardized(t_dot, y, scale, axis=axis))
    if y_dot is not None:
        terms.append((y_dot * _inner(t, y, axis) + y * _inner(t, y_dot, axis)) * -scale)
    if scale_dot is not None:
        terms.append(_centred(t, y, axis) * scale_dot)
    return _total(terms)


def _in_y(g: Any, t: Any, y: Any, scale: Any, *, axis: tuple) -> Any:
    g = g * -scale
    return g * _inner(t, y, axis) + t * _inner(g, y, axis)


standardized: Callable = op("standardized(t, y, scale, *, axis)", _standardized, kinds="f", batch=shift_axes,
    node="NativeLayerNormBackward",
    shape=lambda t, y, scale: y, dtype=lambda t, y, scale: y,
    lower=lambda t, y, scale, *, axis: _centred(t, y, axis) * scale,
    jvp=_tangent,
    t=lambda g, y, scale, *, axis: standardized(g, y, scale, axis=axis),
    y=_in_y,
    scale=lambda g, t, y, *, axis: sum(g * _centred(t, y, axis), axis=axis, keepdims=True),
    samples=lambda: [Sample(s, s, shapes.kept(s, axis), axis=axis) for s, axis in _SHAPES],
    doc="Return ``(t - mean(t) - y * mean(t * y)) * scale``, means over axes: the derivative of `standardize`.")  # fmt: skip
