"""Reductions over axes. `axis` is always a sorted tuple of non-negative ints, except where an op says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from math import prod as product
from typing import Any

import numpy as np

from chainrule.core.mode.grad_mode import modes
from chainrule.core.op.batching import one_axis_or_all, shift_axes
from chainrule.core.op.declaration import linear, op
from chainrule.core.op.raw import narrowed
from chainrule.core.op.reach import in_lines
from chainrule.core.op.results import accumulated, boolean, first, int64, like_first, one_or_all, several
from chainrule.core.op.samples import Sample
from chainrule.core.tensor.value import is_complex
from chainrule.core.types import shape as shapes
from chainrule.ops.indexing.select import where
from chainrule.ops.indexing.view import zeros
from chainrule.ops.pointwise.exponential import exp, log
from chainrule.ops.reduction.rows import MANY, reduced
from chainrule.ops.reduction.scan import conj, products_of_others, wide
from chainrule.ops.shaping.shape import broadcast_to, reshape

AXES = [
    Sample((3, 4), axis=(0, 1), keepdims=False), Sample((3, 4), axis=(1,), keepdims=True),
    Sample((2, 3, 4), axis=(0, 2), keepdims=False), Sample((), axis=(), keepdims=False),
    Sample((3, 0), axis=(0,), keepdims=False),
]  # fmt: skip


def restored(g: Any, x_shape: tuple, axis: tuple, keepdims: bool) -> Any:
    """Return a reduction's cotangent or result, broadcast back over the reduced axes."""
    return broadcast_to(axes_back(g, x_shape, axis, keepdims), shape=x_shape)


def axes_back(out: Any, x_shape: tuple, axis: tuple, keepdims: bool) -> Any:
    """Return a reduction's result with the reduced axes of size 1, ready to broadcast against the input."""
    if not keepdims and out.ndim:
        return reshape(out, shape=shapes.kept(x_shape, axis))
    return out


def count(x_shape: tuple, axis: tuple) -> int:
    """Return how many elements each result of a reduction takes."""
    return product([x_shape[i] for i in axis])


ALL = [tuple(range(ndim)) for ndim in range(65)]  # the axes of a reduction without `dim`; NumPy has at most 64


def _is_full(node: Any) -> bool:
    axis = node.params["axis"]
    return axis is ALL[len(axis)]


# -- sums --------------------------------------------------------------------------------------------------------------


_add = np.add.reduce


def _sum(x: Any, *, axis: tuple, keepdims: bool) -> Any:
    if x.dtype.itemsize == 2 and x.dtype.kind != "i":  # half precision sums in single, as PyTorch's do
        return _add(x, axis=axis, dtype=np.float32, keepdims=keepdims).astype(x.dtype)
    if x.size >= MANY:
        return reduced(np.add, x, axis, keepdims)
    if keepdims:
        return _add(x, axis=axis, keepdims=True)
    return _add(x, None if len(axis) == x.ndim else axis)  # a bare None costs half of a tuple and keywords


sum = linear("sum(x, *, axis, keepdims)", _sum, shape=shapes.reduced,
    dtype=accumulated,
    reach=in_lines,
    batch=shift_axes,
    node=lambda node: "Sum" if _is_full(node) else "Sum1",
    x=lambda g, x_shape, *, axis, keepdims: restored(g, x_shape, axis, keepdims),
    samples=lambda: AXES)  # fmt: skip


def _mean(x: Any, *, axis: tuple, keepdims: bool) -> Any:
    n = count(x.shape, axis)
    if x.dtype.itemsize == 2:
        return (_add(x, axis=axis, dtype=np.float32, keepdims=keepdims) / n).astype(x.dtype)
    return _sum(x, axis=axis, keepdims=keepdims) / n


mean = linear("mean(x, *, axis, keepdims)", _mean, shape=shapes.reduced,
    reach=in_lines,
    batch=shift_axes,
    lower=lambda x, *, axis, keepdims: sum(x, axis=axis, keepdims=keepdims) / count(x.shape, axis),
    node=lambda node: "Mean" if _is_full(node) else "Mean1",
    x=lambda g, x_shape, *, axis, keepdims: restored(g / count(x_shape, axis), x_shape, axis, keepdims),
    samples=lambda: AXES)  # fmt: skip


def _nansum(x: Any, *, axis: tuple, keepdims: bool) -> Any:
    return _sum(np.where(x == x, x, x.dtype.type(0)), axis=axis, keepdims=keepdims)


nansum = op("nansum(x, *, axis, keepdims)", _nansum,
    dtype=accumulated,
    reach=in_lines,
    batch=shift_axes,
    kinds="bif", shape=shapes.reduced,
    lower=lambda x, *, axis, keepdims: sum(where(x == x, x, 0), axis=axis, keepdims=keepdims),
    jvp=lambda x_dot, x, *, axis, keepdims: sum(where(x == x, x_dot, 0), axis=axis, keepdims=keepdims),
    x=lambda g, x, *, axis, keepdims: where(x == x, axes_back(g, x.shape, axis, keepdims), 0),
    doc="Sum of the elements that are not NaN.",
    samples=lambda: AXES)  # fmt: skip


# -- products ----------------------------------------------------------------------------------------------------------


def _prod(x: Any, *, axis: int | None, keepdims: bool) -> Any:
    if not x.ndim:
        return x[()]  # a scalar: never the input's own memory
    return narrowed(np.multiply.reduce(wide(x), axis=axis, keepdims=keepdims), x)


def _one_or_all(x_shape: tuple, axis: int | None) -> tuple:
    return tuple(range(len(x_shape))) if axis is None or not x_shape else (axis,)


def _others(x: Any, out: Any, axis: int | None, keepdims: bool) -> Any:
    """Return at each position the product of the other elements; of raw values, the quotient where it is as exact."""
    if x.__class__ is np.ndarray and x.dtype.kind == "f" and x.dtype.itemsize > 2 and _is_normal(out):
        return axes_back(out, x.shape, _one_or_all(x.shape, axis), keepdims) / x
    if axis is not None:
        return products_of_others(x, axis)
    return reshape(products_of_others(reshape(x, shape=(product(x.shape),)), 0), shape=tuple(x.shape))


def _is_normal(x: Any) -> bool:
    """Tell whether all elements are finite, and none is 0 or subnormal: no factor was, and no digits are lost."""
    size, limits = np.abs(x), np.finfo(x.dtype)
    return bool(np.all((size >= limits.tiny) & (size <= limits.max)))


prod = op("prod(x, *, axis, keepdims)", _prod, node=lambda node: "Prod" if node.params["axis"] is None else "Prod1",
    shape=one_or_all, dtype=accumulated,
    reach=in_lines,
    batch=one_axis_or_all,
    jvp=lambda x_dot, x, out, *, axis, keepdims: sum(
        x_dot * _others(x, out, axis, keepdims), axis=_one_or_all(x.shape, axis), keepdims=keepdims),
    x=lambda g, x, out, *, axis, keepdims: (
        axes_back(g, x.shape, _one_or_all(x.shape, axis), keepdims) * conj(_others(x, out, axis, keepdims))),
    doc="Product along one axis, or of all elements (`axis` None). The partial derivatives are the products of the others.",
    samples=lambda: [
        Sample((3, 4), axis=None, keepdims=False), Sample((3, 4), axis=1, keepdims=True), Sample((2, 3, 2),
        axis=1, keepdims=False),
        Sample((), axis=None, keepdims=False), Sample((0, 2), axis=0, keepdims=False),
        Sample(np.array([2.0, 0.0, 3.0]), axis=0, keepdims=False),
    ])  # fmt: skip


# -- extrema -----------------------------------------------------------------------------------------------------------


def _ties(x: Any, out: Any, *, axis: tuple, keepdims: bool, nan: bool) -> Any:
    if not keepdims and out.ndim:
        out = out.reshape(shapes.kept(x.shape, axis))
    chosen = x == out
    if nan:
        chosen = chosen | ((x != x) & (out != out))
    return (chosen / np.add.reduce(chosen, axis=axis, keepdims=True)).astype(x.dtype)


ties = op("ties(x, out, *, axis, keepdims, nan)", _ties, nondiff=True, kinds="f",
    shape=first, dtype=like_first,
    batch=shift_axes,
    doc="Equal weights, of sum 1, on the elements that equal an extremum; `nan`: on the NaNs where it is NaN.",
    samples=lambda: [Sample(np.array([[1.0, 2.0], [1.0, 1.0]]), np.array([1.0, 1.0]), axis=(1,),
    keepdims=False, nan=True)])  # fmt: skip


def taken(t: Any, weights: Any) -> Any:
    """Return (co)tangents times the weights of an extremum's candidates; safe derivatives drop what has no weight."""
    return where(weights == 0, 0, t * weights) if modes().safe else t * weights


def shared(t: Any, weights: Any, axis: tuple, keepdims: bool) -> Any:
    """Return the tangent of an extremum: the weighted sum of its candidates'."""
    return sum(taken(t, weights), axis=axis, keepdims=keepdims)


def _declare_extremum(name: str, kernel: Callable, node: str, nan: bool, doc: str, samples: list) -> Callable:
    return op(f"{name}(x, *, axis, keepdims)", kernel, kinds="bif", node=node, doc=doc, reach=in_lines, batch=shift_axes,
        shape=shapes.reduced, dtype=like_first,
        jvp=lambda x_dot, x, out, *, axis, keepdims: shared(
            x_dot, ties(x, out, axis=axis, keepdims=keepdims, nan=nan), axis, keepdims),
        x=lambda g, x, out, *, axis, keepdims: (
            taken(axes_back(g, x.shape, axis, keepdims), ties(x, out, axis=axis, keepdims=keepdims, nan=nan))),
        samples=lambda: samples)  # fmt: skip


def _reduce(ufunc: np.ufunc) -> Callable:
    return lambda x, *, axis, keepdims: reduced(ufunc, x, axis, keepdims)


def _in_rows(x: Any, axis: tuple) -> np.ndarray:
    """Return a copy with the elements over the axes along a last axis; one NaN where there are none."""
    rest = [i for i in range(x.ndim) if i not in axis]
    lead, n = [x.shape[i] for i in rest], count(x.shape, axis)
    if not n:
        return np.full([*lead, 1], np.nan).astype(x.dtype)
    return np.array(np.asarray(x).transpose(*rest, *axis).reshape(*lead, n))


def _median(x: Any, *, axis: tuple, keepdims: bool) -> Any:
    rows = _in_rows(x, axis)
    middle = (rows.shape[-1] - 1) // 2
    rows.partition(middle, axis=-1)
    top = np.maximum.reduce(rows, axis=-1)
    out = np.where(top == top, rows[..., middle], top)
    return out.reshape(shapes.reduced(x.shape, axis, keepdims))[()]


def _nanmedian(x: Any, *, axis: tuple, keepdims: bool) -> Any:
    rows = _in_rows(x, axis)
    present = np.add.reduce(rows == rows, axis=-1, keepdims=True)
    middle = np.maximum(present - 1, 0) // 2
    if middle.size == 1:
        rows.partition(middle.item(), axis=-1)
    else:
        rows.sort(axis=-1)
    out = np.take_along_axis(rows, middle, -1)
    return out.reshape(shapes.reduced(x.shape, axis, keepdims))[()]


FULL = [Sample((3, 4), axis=(0, 1), keepdims=False), Sample((), axis=(), keepdims=False)]
amax = _declare_extremum("amax", _reduce(np.maximum), "Amax", False, "Largest element over axes; ties share.", AXES)
amin = _declare_extremum("amin", _reduce(np.minimum), "Amin", False, "Smallest element over axes; ties share.", AXES)
max_of_all = _declare_extremum("max_of_all", _reduce(np.maximum), "Max1", True, "Largest element; ties and NaNs share.", FULL)
min_of_all = _declare_extremum("min_of_all", _reduce(np.minimum), "Min1", True, "Smallest element; ties and NaNs share.", FULL)
median_of_all = _declare_extremum("median_of_all", _median, "Median", True, "Lower median; ties and NaNs share.", FULL)
nanmedian_of_all = _declare_extremum(
    "nanmedian_of_all", _nanmedian, "Nanmedian", True, "Lower median of the elements that are not NaN; ties share.", FULL
)


def _extrema_pulled(g: list, x: Any, out: tuple, *, axis: tuple, keepdims: bool) -> Any:
    total = None
    for gi, o in zip(g, out, strict=True):
        if gi is not None:
            term = taken(axes_back(gi, x.shape, axis, keepdims), ties(x, o, axis=axis, keepdims=keepdims, nan=False))
            total = term if total is None else total + term
    return total


aminmax = op("aminmax(x, *, axis, keepdims)", lambda x, *, axis, keepdims: tuple(
        ufunc.reduce(x, axis=axis, keepdims=keepdims) for ufunc in (np.minimum, np.maximum)), kinds="bif",
    shape=several(shapes.reduced, 2), dtype=like_first,
    reach=in_lines,
    batch=shift_axes,
    lower=lambda x, **over: (amin(x, **over), amax(x, **over)),
    jvp=lambda x_dot, x, out, *, axis, keepdims: tuple(
        shared(x_dot, ties(x, o, axis=axis, keepdims=keepdims, nan=False), axis, keepdims) for o in out),
    x=_extrema_pulled,
    doc="Smallest and largest element over axes; ties share.",
    samples=lambda: AXES)  # fmt: skip


def _declare_argument(name: str, kernel: Callable, doc: str) -> Callable:
    return op(f"{name}(x, *, axis, keepdims)", lambda x, *, axis, keepdims: np.asarray(
            kernel(wide(x), axis=axis, keepdims=keepdims), np.int64)[()] if x.ndim else np.int64(0),
        nondiff=True, kinds="bif", doc=doc, batch=one_axis_or_all, shape=one_or_all, dtype=int64,
        samples=lambda: [
            Sample((3, 4), axis=None, keepdims=False), Sample((3, 4), axis=1, keepdims=True), Sample((),
            axis=None, keepdims=False),
        ])  # fmt: skip


argmax = _declare_argument("argmax", np.argmax, "First index of the largest element along one axis, or of all (`axis` None).")
argmin = _declare_argument("argmin", np.argmin, "First index of the smallest element along one axis, or of all (`axis` None).")


# -- truth -------------------------------------------------------------------------------------------------------------

all = op("all(x, *, axis, keepdims)", lambda x, *, axis, keepdims: np.logical_and.reduce(x, axis=axis, keepdims=keepdims),
    shape=shapes.reduced, dtype=boolean,
    batch=shift_axes,
    nondiff=True, kinds="bifc", doc="Tell whether all elements are true.",
    samples=lambda: AXES)  # fmt: skip
any = op("any(x, *, axis, keepdims)", lambda x, *, axis, keepdims: np.logical_or.reduce(x, axis=axis, keepdims=keepdims),
    shape=shapes.reduced, dtype=boolean,
    batch=shift_axes,
    nondiff=True, kinds="bifc", doc="Tell whether any element is true.",
    samples=lambda: AXES)  # fmt: skip
count_nonzero = op("count_nonzero(x, *, axis)", lambda x, *, axis: np.add.reduce(x != 0, axis=axis, dtype=np.int64),
    shape=lambda x, *, axis: shapes.reduced(x, axis, False), dtype=int64,
    batch=shift_axes,
    lower=lambda x, *, axis: sum(x != 0, axis=axis, keepdims=False),
    nondiff=True, kinds="bifc", doc="Count the elements that are not zero.",
    samples=lambda: [Sample((3, 4), axis=(0, 1)), Sample((3, 4), axis=(1,)), Sample((), axis=())])  # fmt: skip


def _xor_sum(x: Any, *, axis: tuple, keepdims: bool) -> Any:
    """Return the exclusive or of the bits of the elements as 64-bit integers, or doubles."""
    x = np.asarray(x)
    bits = x.astype(np.float64).view(np.uint64) if x.dtype.kind in "fV" else x.astype(np.uint64)
    return np.bitwise_xor.reduce(bits, axis=axis, keepdims=keepdims)


xor_sum = op("xor_sum(x, *, axis, keepdims)", _xor_sum,
    shape=shapes.reduced, dtype=lambda x: np.dtype(np.uint64),
    batch=shift_axes,
    nondiff=True, kinds="bif", doc="The exclusive or of the bits of all elements, each as a double or a 64-bit integer.",
    samples=lambda: AXES)  # fmt: skip


# -- logsumexp ---------------------------------------------------------------------------------------------------------


def largest(x: Any, axis: tuple) -> Any:
    """Return the largest element over axes that are kept; -inf of none."""
    if x.size:
        return reduced(np.maximum, x, axis, True)
    return np.maximum.reduce(x, axis=axis, keepdims=True, initial=-np.inf)


def _logsumexp(x: Any, *, axis: tuple, keepdims: bool) -> Any:
    w = wide(x)
    top = largest(w.real, axis)
    finite = np.isfinite(top)
    if not np.logical_and.reduce(finite, axis=None):
        top = np.where(finite, top, top.dtype.type(0))
    if not axis:
        return narrowed(np.log(np.exp(w - top)) + top, x)
    w = w - top
    out = reduced(np.add, np.exp(w, out=w), axis, True)
    out = np.add(np.log(out, out=out), top, out=out)
    return narrowed(out if keepdims else out.reshape(shapes.reduced(x.shape, axis, False))[()], x)


def _logsumexp_of_ops(x: Any, *, axis: tuple, keepdims: bool) -> Any:
    top = amax(x.real if is_complex(x) else x, axis=axis, keepdims=True) if count(x.shape, axis) else zeros((), x)
    top = where(top * 0 == 0, top, 0)  # where it is finite
    raised = top if keepdims or not top.ndim else sum(top, axis=axis, keepdims=False)
    return log(sum(exp(x - top), axis=axis, keepdims=keepdims)) + raised


def _weights(x: Any, out: Any, axis: tuple, keepdims: bool) -> Any:
    return exp(x - axes_back(out, x.shape, axis, keepdims))


logsumexp = op("logsumexp(x, *, axis, keepdims)", _logsumexp, shape=shapes.reduced,
    dtype=like_first,
    lower=_logsumexp_of_ops,
    reach=in_lines,
    batch=shift_axes,
    jvp=lambda x_dot, x, out, *, axis, keepdims: sum(x_dot * _weights(x, out, axis, keepdims), axis=axis, keepdims=keepdims),
    x=lambda g, x, out, *, axis, keepdims: axes_back(g, x.shape, axis, keepdims) * conj(_weights(x, out, axis, keepdims)),
    doc="``log(sum(exp(x)))`` over axes without overflow; the derivative is the softmax, NaN where all elements are -inf.",
    samples=lambda: AXES)  # fmt: skip
