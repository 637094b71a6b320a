"""Standardising: what layer, batch, group and instance normalisation share, with mean 0 and variance 1 over some axes.

The derivative of the standardised values is a symmetric map (Ioffe & Szegedy, arXiv 1502.03167, section 3), an op that serves
both modes. What is linear beside it, a factor and a summand, is in the same op: forward it is done in place, and back the
derivatives share their products with the gradient.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import numpy as np

from chainrule.core.op.batching import Batch, shift_axes
from chainrule.core.op.declaration import elementwise, op
from chainrule.core.op.native import NATIVE, in_native
from chainrule.core.op.raw import narrowed
from chainrule.core.op.reach import in_lines
from chainrule.core.op.samples import Sample
from chainrule.core.types import shape as shapes
from chainrule.ops.pointwise.exponential import rsqrt
from chainrule.ops.reduction.reduce import count, sum
from chainrule.ops.reduction.scan import wide
from chainrule.ops.shaping.shape import broadcast_to, sum_to

ndarray = np.ndarray
_FEW = 1 << 12  # elements that BLAS may add up without losing digits, in a quarter of NumPy's time
_MANY = 1 << 14  # elements summed along leading axes, one after the other, beyond which float32 loses digits


class _Layout(NamedTuple):
    """How values are standardised over some axes: what follows from shapes alone.

    Attributes
    ----------
    n : int
        How many elements each mean is of; 1 if of none.
    kept : tuple
        The shape of the means.
    inner, examples : int
        BLAS adds up rows of `inner` elements, where the last axes are among the axes; then those of so many `examples`, if not
        0, where the first is. With `inner` 0 it adds nothing: there are too many elements, or they lie elsewhere.
    levels, shifts : bool
        Whether the factor is the same all along the axes, and the summand.
    spans : bool
        Whether the factor has an element for each of a row that BLAS may add up.
    """

    n: int
    kept: tuple
    inner: int
    examples: int
    levels: bool
    shifts: bool
    spans: bool


@functools.lru_cache(1024)
def _layout(shape: tuple, axis: tuple, w_shape: tuple = (), b_shape: tuple = ()) -> _Layout:
    n = count(shape, axis)
    examples = shape[0] if axis[0] == 0 and len(axis) < len(shape) else 0
    inner, last = n // max(examples, 1), axis[1:] if examples else axis
    if not 0 < inner <= _FEW or examples > _FEW or last != tuple(range(len(shape) - len(last), len(shape))) or n == 1:
        inner = examples = 0
    levels, shifts = [
        all([k < len(shape) - len(given) or given[k - len(shape)] == 1 for k in axis]) for given in (w_shape, b_shape)
    ]
    spans = inner > 0 and not examples and prod(w_shape) == n and prod(shape) <= _FEW * n
    return _Layout(n or 1, shapes.kept(shape, axis), inner, examples, levels, shifts, spans)


@functools.lru_cache(64)
def _ones(n: int, dtype: Any) -> Any:
    found = np.ones(n, dtype)
    found.flags.writeable = False
    return found


def _average(x: Any, axis: tuple, how: _Layout) -> Any:
    """Return the mean over axes, which stay with size 1."""
    n, kept, inner, examples = how[:4]
    if not (inner and x.flags.c_contiguous):
        long = n > _MANY and x.dtype.itemsize == 4 and axis[-1] != x.ndim - 1
        total = np.add.reduce(x, axis=axis, keepdims=True, dtype=np.float64 if long else None)
        return (total / n).astype(x.dtype, copy=False)
    each = x if inner == 1 else x.reshape(-1, inner).dot(_ones(inner, x.dtype))
    if examples:
        each = _ones(examples, x.dtype).dot(each.reshape(examples, -1))
    each /= n
    return each.reshape(kept)


def _average_product(x: Any, y: Any, axis: tuple, how: _Layout) -> Any:
    """Return the mean of the products over axes, which stay with size 1."""
    n, kept, inner, examples = how[:4]
    if not inner or examples or not (x.flags.c_contiguous and y.flags.c_contiguous):
        return _average(x * y, axis, how)
    each = np.vecdot(x.reshape(-1, n), y.reshape(-1, n))
    each /= n
    return each.reshape(kept)


def _shape_of(x: Any) -> tuple:
    return () if x is None else x.shape


def _standardize(x: Any, w: Any, b: Any, *, axis: tuple, eps: float) -> tuple:
    if x.size >= NATIVE and (out := in_native(_standardize, x, w, b, axis=axis, eps=eps)) is not None:
        return out
    given, x = x, wide(x)
    how = _layout(x.shape, axis, _shape_of(w))
    mean = _average(x, axis, how)
    out = np.subtract(x, mean)
    scale = _average_product(out, out, axis, how)
    scale += eps
    np.sqrt(scale, out=scale)
    np.divide(1, scale, out=scale)
    if w is None:
        out *= scale
    elif how.levels:
        out *= scale * w
    else:
        out *= scale
        out *= w
    if b is not None:
        out += b
    return (out, mean, scale) if given is x else tuple([narrowed(v, given) for v in (out, mean, scale)])


def _scaled(y: Any, w: Any, b: Any) -> Any:
    y = y if w is None else y * w
    return y if b is None else y + b


def _standardize_of_ops(x: Any, w: Any, b: Any, *, axis: tuple, eps: float) -> tuple:
    n = max(count(x.shape, axis), 1)
    average = sum(x, axis=axis, keepdims=True) / n
    moved = x - average
    scale = rsqrt(sum(moved * moved, axis=axis, keepdims=True) / n + eps)
    return _scaled(moved * scale, w, b), average, scale


# One op, so that what a recorded pass keeps of it is the input: of two it would be the difference, too.
placed_at: Callable = elementwise("placed_at(x, average, scale)", lambda x, average, scale: (x - average) * scale, kinds="f",
    node="Mul",
    lower=lambda x, average, scale: (x - average) * scale,
    x=lambda g, scale: g * scale,
    average=lambda g, scale: -(g * scale),
    scale=lambda g, x, average: g * (x - average),
    doc="Return ``(x - average) * scale``.")  # fmt: skip


def _jvp(x_dot: Any, w_dot: Any, b_dot: Any, x: Any, w: Any, out: Any, *, axis: tuple) -> tuple:
    average, scale = out[1], out[2]
    y = placed_at(x, average, scale)
    terms = [] if w_dot is None else [y * w_dot]
    if b_dot is not None:
        terms.append(b_dot)
    if x_dot is None:
        return broadcast_to(_total(terms), shape=tuple(x.shape)), None, None
    moved = standardized(x_dot, y, scale, axis=axis)
    slope = sum(x_dot, axis=axis, keepdims=True) / max(count(x.shape, axis), 1)
    out_dot = _total([moved if w is None else moved * w, *terms])
    return out_dot, slope, scale * scale * -_inner(x_dot, y, axis)


def _to(g: Any, shape: tuple) -> Any:
    return g if g.shape == shape else sum_to(g, shape=shape)


def _pull(g: list, x: Any, w: Any, b_shape: tuple, out: Any, needs: tuple, *, axis: tuple) -> list:
    average, scale = out[1], out[2]
    n = max(count(x.shape, axis), 1)
    y, terms, to_w, to_b = None, [], None, None
    raw = x.__class__ is ndarray and g[0].__class__ is ndarray and scale.__class__ is ndarray
    if raw and (w is None or w.__class__ is ndarray):
        to_x, to_w, to_b = _pull_raw(g[0], x, w, out, b_shape, needs, axis)
        terms.append(to_x)
    elif g[0] is not None:
        y = placed_at(x, average, scale)
        levels = w is not None and _layout(tuple(x.shape), axis, tuple(w.shape)).levels
        t, factor = (g[0], scale * w) if levels else (g[0] if w is None else g[0] * w, scale)
        terms.append(standardized(t, y, factor, axis=axis))
        to_w = _to(g[0] * y, tuple(w.shape)) if needs[1] else None
        to_b = _to(g[0], b_shape) if needs[2] else None
    if g[1] is not None:
        terms.append(broadcast_to(g[1] / n, shape=tuple(x.shape)))
    if g[2] is not None:
        terms.append(g[2] * scale * scale * (placed_at(x, average, scale) if y is None else y) / -n)
    return [_total(terms) if needs[0] else None, to_w, to_b]


def _to_input(g: Any, x: Any, w: Any, average: Any, scale: Any, *, axis: tuple) -> Any:
    """Return the cotangent of the input that comes from the first result, of operands that are no arrays."""
    return standardized(g if w is None else g * w, placed_at(x, average, scale), scale, axis=axis)


_to_input.rows = "standardize to input"  # type: ignore[attr-defined]


def _pull_raw(g: Any, x: Any, w: Any, out: list, b_shape: tuple, needs: tuple, axis: tuple) -> tuple:
    """Return the cotangents of input, factor and summand that come from the first result, in few passes over memory."""
    how = _layout(x.shape, axis, _shape_of(w), b_shape)
    native = None
    if x.size >= NATIVE and needs[0] and not (how.levels and needs[1]):
        native = in_native(_to_input, g, x, w, out[1], out[2], axis=axis)
    given, g, x, average, scale = x, wide(g), wide(x), wide(out[1]), wide(out[2])
    spans = how.spans and g.flags.c_contiguous and x.flags.c_contiguous
    to_w = to_b = moved = None
    if native is None or needs[1]:
        moved = np.subtract(x, average)
    if needs[1] and not how.levels:  # first, so that its products are gone before there is `t`
        weighed = np.multiply(moved, g, out=None if native is None else moved)
        if spans:
            to_w = scale.reshape(-1).dot(weighed.reshape(-1, how.n)).reshape(w.shape)
        else:
            to_w = _to(weighed * scale, w.shape)
    if native is not None:
        if needs[2]:
            to_b = _rows_total(g, how, b_shape, spans)
        return native, to_w, to_b
    t = g if w is None or how.levels else g * w
    level, slope = _average(t, axis, how), _average_product(t, moved, axis, how)
    slope *= scale
    if needs[1] and how.levels:
        to_w = _to(slope * how.n, w.shape)
    if needs[2]:
        if how.shifts and t is g:
            to_b = _to(level * how.n, b_shape)
        else:
            to_b = _rows_total(g, how, b_shape, spans)
    slope *= scale
    moved *= slope
    moved += level
    np.subtract(t, moved, out=moved)
    moved *= scale * w if w is not None and how.levels else scale
    found = (moved, to_w, to_b)
    return found if given is x else tuple([v if v is None else narrowed(v, given) for v in found])


def _rows_total(g: Any, how: _Layout, shape: tuple, spans: bool) -> Any:
    """Return a cotangent summed to the shape of a summand, by BLAS where that has an element for each of a row."""
    if not spans or prod(shape) != how.n:
        return _to(g, shape)
    return _ones(g.size // how.n, g.dtype).dot(g.reshape(-1, how.n)).reshape(shape)


_SHAPES = [((3, 4), (1,)), ((4, 3), (0,)), ((2, 3, 4), (1, 2)), ((2, 3, 4), (0, 2)), ((0, 3), (1,))]


def _examples(batch: Batch, x: Any, w: Any, b: Any, *, axis: tuple, eps: float) -> Any:
    ndim = x.ndim - batch.on[0]
    x = x if batch.on[0] else batch.repeated(x)
    w, b = [v if v is None else batch.ranked(v, i, ndim) for i, v in ((1, w), (2, b))]
    return standardize(x, w, b, axis=tuple([k + 1 for k in axis]), eps=eps)


standardize: Callable = op("standardize(x, w, b, *, axis, eps)", _standardize, kinds="f", node="NativeLayerNorm",
    batch=_examples,
    shape=lambda x, w, b, *, axis: [x, shapes.kept(x, axis), shapes.kept(x, axis)],
    dtype=lambda x, w, b: [x, x, x],
    reads=(1, 2),
    lower=_standardize_of_ops,
    jvp=_jvp,
    pull=_pull,
    samples=lambda: [
        Sample((3, 4), (4,), (4,), axis=(1,), eps=0.1), Sample((2, 3, 4), (3, 4), None, axis=(1, 2), eps=0.1),
        Sample((2, 3, 4), (1, 3, 1), (3, 1), axis=(0, 2), eps=0.1), Sample((4, 3), None, (3,), axis=(0,), eps=0.1),
        Sample((2, 3, 4), (3, 1), (4,), axis=(1,), eps=0.1), Sample((2, 3, 4), (3, 1), (3, 1), axis=(2,), eps=0.1),
        Sample((0, 3), (3,), (3,), axis=(1,), eps=0.1),
        *[Sample(s, None, None, axis=axis, eps=eps) for s, axis in _SHAPES for eps in (1e-5, 0.5)],
    ],
    doc="Return ``(x - mean) / sqrt(var + eps) * w + b`` over axes, the mean and ``1 / sqrt(var + eps)``.")  # fmt: skip


def _standardized(t: Any, y: Any, scale: Any, *, axis: tuple) -> Any:
    how, given = _layout(y.shape, axis), y
    t, y, scale = wide(t), wide(y), wide(scale)
    found = np.multiply(y, _average_product(t, y, axis, how))
    np.subtract(t, found, out=found)
    found -= _average(t, axis, how)
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


standardized: Callable = op("standardized(t, y, scale, *, axis)", _standardized, kinds="f", reach=in_lines, batch=shift_axes,
    node="NativeLayerNormBackward",
    shape=lambda t, y, scale: y, dtype=lambda t, y, scale: y,
    lower=lambda t, y, scale, *, axis: _centred(t, y, axis) * scale,
    jvp=_tangent,
    t=lambda g, y, scale, *, axis: standardized(g, y, scale, axis=axis),
    y=_in_y,
    scale=lambda g, t, y, *, axis: sum(g * _centred(t, y, axis), axis=axis, keepdims=True),
    samples=lambda: [Sample(s, s, shapes.kept(s, axis), axis=axis) for s, axis in _SHAPES],
    doc="Return ``(t - mean(t) - y * mean(t * y)) * scale``, means over axes: the derivative of `standardize`.")  # fmt: skip
