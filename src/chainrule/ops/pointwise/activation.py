"""Activations that are primitives: where speed, a kink or stability asks for a rule of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.op.batching import shift_axes
from chainrule.core.op.declaration import elementwise, op
from chainrule.core.op.lowering import s
from chainrule.core.op.native import in_native, is_large
from chainrule.core.op.raw import in_c_order, narrowed, zero_unless
from chainrule.core.op.reach import in_lines
from chainrule.core.op.results import first, joined, like_first
from chainrule.core.op.samples import Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import is_complex
from chainrule.core.types import dtype as dtypes
from chainrule.ops.describe import binary
from chainrule.ops.indexing.select import where
from chainrule.ops.pointwise.arithmetic import nothing
from chainrule.ops.pointwise.exponential import exp, log
from chainrule.ops.pointwise.extremum import clamp, clamp_max
from chainrule.ops.reduction.reduce import amax, largest, sum
from chainrule.ops.reduction.rows import MANY, reduced


def _refuse(x: Any) -> None:
    if isinstance(x, Tensor) and x.dtype.category == dtypes.BOOL:
        raise RuntimeError("Boolean inputs not supported for relu")
    if is_complex(x):
        raise NotImplementedError(f"\"clamp_min_scalar_cpu\" not implemented for '{x.dtype.old_name}'")


def _gate(g: Any, x: Any, *, low: float, high: float | None) -> Any:
    return zero_unless(False, x <= low, g) if high is None else zero_unless(True, (x > low) & (x < high), g)


# Its derivative in x is 0, not absent: what is differentiated again depends on x, as PyTorch's does.
gate: Callable = elementwise("gate(g, x, *, low, high)", _gate, kinds="f",
    lower=lambda g, x, *, low, high: s.select(x <= low, 0, g) if high is None else s.select((x > low) & (x < high), g, 0),
    node=lambda node: "ThresholdBackward" if node is None or node.params["high"] is None else "HardtanhBackward",
    g=lambda h, x, *, low, high: gate(h, x, low=low, high=high),
    x=lambda h: nothing(h),
    samples=lambda: [Sample((3, 4), (3, 4), low=0, high=None), Sample((3, 1), (4,), low=-0.5, high=0.5)],
    doc="`g` where x lies above `low`, and below `high` if that is given; else 0; at NaN without `high` `g`.")  # fmt: skip

relu = elementwise("relu(x)", lambda x: np.maximum(x, 0), native=True, calm=True, kinds="if", check=_refuse,
    public=True, inplace=True,
    lower=lambda x: s.max(x, 0),
    x=lambda g, out: gate(g, out, low=0, high=None),
    doc=binary("Return the positive part of each element.", "cr.relu(cr.tensor([-1.0, 2.0]))", "tensor([0., 2.])",
               names=("input",), note="The derivative at 0 is 0."))  # fmt: skip


def _hardtanh(x: Any, *, low: float, high: float) -> Any:
    return narrowed(np.minimum(np.maximum(x, low), high), x)


hardtanh = elementwise("hardtanh(x, *, low, high)", _hardtanh, kinds="if",
    lower=lambda x, *, low, high: s.min(s.max(x, low), high),
    dtype=lambda x, *, low, high: joined(x, type(low), type(high)),
    x=lambda g, x, *, low, high: gate(g, x, low=low, high=high),
    samples=lambda: [Sample((3, 4), low=-0.5, high=0.5), Sample((), low=0.0, high=6.0), Sample((0,), low=-1.0, high=1.0)],
    doc=binary("Return the elements limited to [low, high]; unlike `clamp`'s, the derivative at a bound is 0.",
               names=("input",)))  # fmt: skip


def _elu(x: Any, *, alpha: float, scale: float, steepness: float) -> Any:
    below = np.expm1(np.minimum(x, 0) * steepness) * (alpha * scale)
    return narrowed(np.where(x > 0, x * scale, below)[()], x)


# The rule takes exp anew: out + 1 has no correct digit where exp is small. Its exponent is limited to 0, since where it would
# overflow the product with the 0 of `where` would be NaN in the next order.
elu = elementwise("elu(x, *, alpha, scale, steepness)", _elu, kinds="f",
    lower=lambda x, *, alpha, scale, steepness:
        s.select(x > 0, x * scale, s.expm1(s.min(x, 0) * steepness) * (alpha * scale)),
    x=lambda g, x, *, alpha, scale, steepness:
        g * where(x > 0, scale, exp(clamp_max(x, 0) * steepness) * (alpha * scale * steepness)),
    samples=lambda: [
        Sample((3, 4), alpha=1.0, scale=1.0, steepness=1.0), Sample((), alpha=0.5, scale=1.0, steepness=2.0),
        Sample((0,), alpha=1.5, scale=1.1, steepness=1.0),
    ],
    doc="Return ``scale * x`` above 0 and ``scale * alpha * (exp(steepness * x) - 1)`` elsewhere.")  # fmt: skip


def _hardswish(x: Any) -> Any:
    return narrowed(x * (_hardtanh(x, low=-3, high=3) / 6 + 0.5), x)


hardswish = elementwise("hardswish(x)", _hardswish, kinds="f",
    lower=lambda x: x * (s.min(s.max(x, -3), 3) / 6 + 0.5),
    x=lambda g, x: g * where(x >= 3, 1, where(x <= -3, 0, x / 3 + 0.5)),
    doc="Return ``x * (clamp(x, -3, 3) / 6 + 1/2)``; the derivative is 0 at -3 and 1 at 3.")  # fmt: skip

# Not where(x > 0, x, w * x) of ops: there an infinite slope makes the derivative NaN where it is not used.
prelu = elementwise("prelu(x, w)", lambda x, w: np.where(x > 0, x, w * x)[()], kinds="f", node="PreluKernel",
    lower=lambda x, w: s.select(x > 0, x, w * x),
    x=lambda g, x, w: where(x > 0, g, g * w),
    w=lambda g, x: where(x > 0, 0, g * x),
    doc="Return `x` where it is positive and ``w * x`` elsewhere.")  # fmt: skip


def _huber(x: Any, *, delta: float, closed: bool) -> Any:
    size = np.abs(x)
    return narrowed(np.where(size <= delta, x * x * 0.5, (size - 0.5 * delta) * delta)[()], x)


# The ends of the parabola count to it if it is closed: what PyTorch's two losses differ in, in their second derivatives.
huber = elementwise("huber(x, *, delta, closed)", _huber, kinds="f", node="HuberLoss",
    lower=lambda x, *, delta, closed: s.select(s.abs(x) <= delta, x * x * 0.5, (s.abs(x) - 0.5 * delta) * delta),
    x=lambda g, x, *, delta, closed: g * (clamp(x, -delta, delta) if closed else hardtanh(x, low=-delta, high=delta)),
    samples=lambda: [
        Sample((3, 4), delta=1.0, closed=True), Sample((), delta=0.5, closed=False), Sample((0,), delta=2.0, closed=True),
    ],
    doc="Return ``x**2 / 2`` where ``abs(x) <= delta`` and ``delta * (abs(x) - delta / 2)`` elsewhere.")  # fmt: skip


def _wide(x: Any) -> Any:
    """Return a half precision array in single precision, in which PyTorch accumulates."""
    return x.astype(np.float32) if x.dtype.itemsize == 2 else x


def _below_top(x: Any, axis: tuple) -> Any:
    """Return a new array, `x` less its maximum along the axis (0 or 1 axes)."""
    return np.subtract(x, largest(x, axis))


_FEW = 1 << 12  # elements of a row that BLAS may add up without losing digits: 64 rows of 1000 float32 in 4 us, NumPy's in 12


def _total(x: Any, axis: tuple) -> Any:
    """Return the sums of an array along the axis, which stays with size 1."""
    if axis != (x.ndim - 1,) or x.size < MANY or x.shape[-1] > _FEW or not x.flags.c_contiguous or x.dtype.itemsize < 4:
        return reduced(np.add, x, axis, True)
    return x.dot(np.ones(x.shape[-1], x.dtype))[..., None]


def _softmax(x: Any, *, axis: tuple) -> Any:
    if is_large(x) and (out := in_native(_softmax, x, axis=axis)) is not None:
        return out
    if not axis:
        return np.exp(x - x)
    w = _below_top(_wide(in_c_order(x)), axis)
    np.exp(w, out=w)
    w /= _total(w, axis)
    return w if w.dtype is x.dtype else w.astype(x.dtype)


def _log_softmax(x: Any, *, axis: tuple) -> Any:
    if is_large(x) and (out := in_native(_log_softmax, x, axis=axis)) is not None:
        return out
    if not axis:
        return x - x
    w = _below_top(_wide(in_c_order(x)), axis)
    total = _total(np.exp(w), axis)
    w -= np.log(total, out=total)
    return w if w.dtype is x.dtype else w.astype(x.dtype)


def _below_top_of_ops(x: Any, axis: tuple) -> Any:
    return x - amax(x, axis=axis, keepdims=True) if 0 not in x.shape else x


def _softmax_of_ops(x: Any, *, axis: tuple) -> Any:
    w = exp(_below_top_of_ops(x, axis))
    return w / _over(w, axis)


def _log_softmax_of_ops(x: Any, *, axis: tuple) -> Any:
    w = _below_top_of_ops(x, axis)
    return w - log(_over(exp(w), axis))


def _over(x: Any, axis: tuple) -> Any:
    return sum(x, axis=axis, keepdims=True)


_SAMPLES = [
    Sample((3, 4), axis=(1,)), Sample((2, 3, 4), axis=(1,)), Sample((5,), axis=(0,)),
    Sample((), axis=()), Sample((0, 3), axis=(1,)), Sample((3, 0), axis=(1,)),
]  # fmt: skip

# Whatever follows it, a pullback is one op: see `sigmoid_pull`.
_PULL_SAMPLES = [
    Sample((3, 4), (3, 4), axis=(1,)), Sample((2, 3, 4), (2, 3, 4), axis=(1,)), Sample((), (), axis=()),
    Sample((0, 3), (0, 3), axis=(1,)), Sample((3, 0), (3, 0), axis=(1,)),
]  # fmt: skip

softmax = op("softmax(x, *, axis)", _softmax, kinds="f", shape=first,
    dtype=like_first,
    reach=in_lines,
    batch=shift_axes,
    lower=_softmax_of_ops,
    jvp=lambda x_dot, out, *, axis: out * (x_dot - _over(out * x_dot, axis)),
    x=lambda g, out, *, axis: softmax_pull(g, out, axis=axis),
    samples=lambda: _SAMPLES,
    doc="Return ``exp(x) / sum(exp(x))`` along an axis, without overflow.")  # fmt: skip


def _softmax_pull(g: Any, y: Any, *, axis: tuple) -> Any:
    if is_large(y) and (out := in_native(_softmax_pull, g, y, axis=axis)) is not None:
        return out
    given, g, y = y, _wide(g), _wide(y)
    found = np.multiply(g, y)
    found = np.subtract(g, _total(found, axis), out=found if found.ndim else None)
    found *= y
    return found if found.dtype is given.dtype else found.astype(given.dtype)


def _softmax_pull_jvp(g_dot: Any, y_dot: Any, g: Any, y: Any, *, axis: tuple) -> Any:
    along = None if g_dot is None else softmax_pull(g_dot, y, axis=axis)
    if y_dot is None:
        return along
    across = y_dot * (g - _over(g * y, axis)) - y * _over(g * y_dot, axis)
    return across if along is None else along + across


softmax_pull: Callable = op("softmax_pull(g, y, *, axis)", _softmax_pull, kinds="f", shape=first, node="SoftmaxBackwardData",
    dtype=like_first,
    reach=in_lines,
    batch=shift_axes,
    lower=lambda g, y, *, axis: y * (g - _over(g * y, axis)),
    jvp=_softmax_pull_jvp,
    g=lambda h, y, *, axis: softmax_pull(h, y, axis=axis),
    y=lambda h, g, y, *, axis: h * (g - _over(g * y, axis)) - g * _over(h * y, axis),
    samples=lambda: _PULL_SAMPLES,
    doc="Return ``y * (g - sum(g * y))`` along an axis: the pullback of `softmax`, of whose result `y`.")  # fmt: skip

log_softmax = op("log_softmax(x, *, axis)", _log_softmax, kinds="f", shape=first,
    dtype=like_first,
    reach=in_lines,
    batch=shift_axes,
    lower=_log_softmax_of_ops,
    jvp=lambda x_dot, out, *, axis: x_dot - _over(exp(out) * x_dot, axis),
    x=lambda g, out, *, axis: log_softmax_pull(g, out, axis=axis),
    samples=lambda: _SAMPLES,
    doc="Return ``x - log(sum(exp(x)))`` along an axis, without overflow.")  # fmt: skip


def _log_softmax_pull(g: Any, y: Any, *, axis: tuple) -> Any:
    if is_large(y) and (out := in_native(_log_softmax_pull, g, y, axis=axis)) is not None:
        return out
    given, g = y, _wide(g)
    found = np.exp(_wide(y))
    found *= _total(g, axis)
    found = np.subtract(g, found, out=found if found.ndim else None)
    return found if found.dtype is given.dtype else found.astype(given.dtype)


def _log_softmax_pull_jvp(g_dot: Any, y_dot: Any, g: Any, y: Any, *, axis: tuple) -> Any:
    along = None if g_dot is None else log_softmax_pull(g_dot, y, axis=axis)
    if y_dot is None:
        return along
    across = exp(y) * y_dot * _over(g, axis)
    return -across if along is None else along - across


log_softmax_pull: Callable = op("log_softmax_pull(g, y, *, axis)", _log_softmax_pull, kinds="f", shape=first,
    node="LogSoftmaxBackwardData",
    dtype=like_first,
    reach={"g": in_lines, "y": in_lines},
    batch=shift_axes,
    lower=lambda g, y, *, axis: g - exp(y) * _over(g, axis),
    jvp=_log_softmax_pull_jvp,
    g=lambda h, y, *, axis: h - _over(exp(y) * h, axis),
    y=lambda h, g, y, *, axis: -(exp(y) * h * _over(g, axis)),
    samples=lambda: _PULL_SAMPLES,
    doc="Return ``g - exp(y) * sum(g)`` along an axis: the pullback of `log_softmax`, of whose result `y`.")  # fmt: skip
