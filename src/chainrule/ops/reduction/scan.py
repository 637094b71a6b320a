"""Scans: running sums, products, extrema and first-order linear recurrences along one axis.

The derivative of every running product is a linear recurrence, ``s[i] = b[i] + a[i] * s[i-1]``, and so is the
derivative of a recurrence: with that one op the rules divide by nothing and stay exact where factors are zero.
"""

from __future__ import annotations

from itertools import accumulate
from math import prod
from typing import Any

import numpy as np

from chainrule.core.op.batching import along_axis, shift_axes
from chainrule.core.op.declaration import linear, op
from chainrule.core.op.links import Link, Windows
from chainrule.core.op.raw import in_c_order, narrowed
from chainrule.core.op.reach import Call, along_axes, running, taken
from chainrule.core.op.results import accumulated, first, like_first, second, with_index
from chainrule.core.op.samples import Sample
from chainrule.core.record.plans import conjugated
from chainrule.core.tensor.value import is_complex
from chainrule.ops.comparison.order import put_along
from chainrule.ops.indexing.scatter import gather
from chainrule.ops.indexing.select import where
from chainrule.ops.pointwise.exponential import sigmoid

SCANS = [
    Sample((4,), axis=0, reverse=False), Sample((3, 4), axis=1, reverse=False), Sample((2, 3, 2), axis=1, reverse=True),
    Sample((), axis=0, reverse=False), Sample((0, 3), axis=0, reverse=False), Sample((3, 0), axis=0, reverse=True),
]  # fmt: skip


def conj(x: Any) -> Any:
    """Return the conjugate of a complex value, any other value itself."""
    return conjugated(x) if is_complex(x) else x


def wide(x: Any) -> Any:
    """Return half precision values in single precision, in which PyTorch accumulates them; others as they are."""
    return x.astype(np.float32) if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else x


def along(axis: int, of: slice) -> tuple:
    """Return the index that takes a slice along one axis."""
    return (slice(None),) * axis + (of,)


def edge(shape: tuple, axis: int, reverse: bool) -> np.ndarray:
    """Return the mask, ready to broadcast, of the position at which a scan along `axis` starts."""
    mask = np.zeros([n if i == axis else 1 for i, n in enumerate(shape)], bool)
    mask[along(axis, slice(-1, None) if reverse else slice(0, 1)) if shape else ...] = True
    return mask


def _shift(x: Any, *, axis: int, by: int) -> Any:
    out = np.zeros_like(x)
    if x.ndim:
        ahead, behind = along(axis, slice(1, None)), along(axis, slice(None, -1))
        out[ahead if by > 0 else behind] = x[behind if by > 0 else ahead]
    return out


shift = linear("shift(x, *, axis, by)", _shift,
    shape=first,
    reach=taken,
    batch=along_axis,
    x=lambda g, *, axis, by: shift(g, axis=axis, by=-by),
    doc="Move the elements one step along an axis, forwards (`by` 1) or backwards (-1); zeros come in.",
    samples=lambda: [Sample((4,), axis=0, by=1), Sample((3, 4), axis=0, by=-1), Sample((), axis=0, by=1), Sample((0, 2),
    axis=0, by=1)])  # fmt: skip


def _step(reverse: bool) -> int:
    return -1 if reverse else 1


def previous(out: Any, axis: int, reverse: bool) -> Any:
    """Return what a running product held before each position: 1 at the start."""
    return where(edge(out.shape, axis, reverse), 1, shift(out, axis=axis, by=_step(reverse)))


# -- sums --------------------------------------------------------------------------------------------------------------


def _cumsum(x: Any, *, axis: int, reverse: bool) -> Any:
    if not x.ndim:
        return x[()]  # a scalar: never the input's own memory
    if reverse and x.dtype.char in "fdFD":
        last_first, out = along(axis, slice(None, None, -1)), np.empty(x.shape, x.dtype)
        np.add.accumulate(x[last_first], axis=axis, out=out[last_first])
        return out
    if reverse:
        return _cumsum(x[along(axis, slice(None, None, -1))], axis=axis, reverse=False)[along(axis, slice(None, None, -1))]
    return narrowed(np.add.accumulate(wide(in_c_order(x)), axis=axis), x)


cumsum = linear("cumsum(x, *, axis, reverse)", _cumsum,
    shape=first, dtype=accumulated,
    reach=running,
    batch=along_axis,
    x=lambda g, *, axis, reverse: cumsum(g, axis=axis, reverse=not reverse),
    samples=lambda: SCANS)  # fmt: skip


def _difference(x: Any, *, axis: int) -> Any:
    ahead, behind = x[along(axis, slice(1, None))], x[along(axis, slice(None, -1))]
    return ahead != behind if x.dtype.kind == "b" else ahead - behind


def _undifference(x: Any, *, axis: int) -> Any:
    shape = list(x.shape)
    shape[axis] += 1
    out = np.zeros(shape, x.dtype)
    out[along(axis, slice(1, None))] = x
    out[along(axis, slice(None, -1))] -= x
    return out


def _neighbours(c: Call, i: int, o: int) -> Link:
    """Return the link of a difference's elements to both that it subtracts; of `undifference`, to the two on either side."""
    axis, n, m = c.params["axis"], c.shapes[i][c.params["axis"]], c.out_shape(o)[c.params["axis"]]
    own = np.arange(m)
    spans = (own, own + 2) if m < n else (np.maximum(own - 1, 0), np.minimum(own + 1, n))
    return along_axes(c.shapes[i], c.out_shape(o), {axis: Windows((1, n, 1), *spans)})


difference = linear("difference(x, *, axis)", _difference, node="Sub",
    shape=lambda x, *, axis: (*x[:axis], x[axis] - 1, *x[axis + 1 :]),
    reach=_neighbours,
    batch=shift_axes,
    x=lambda g, *, axis: undifference(g, axis=axis),
    doc="Subtract neighbours along an axis: ``x[i+1] - x[i]``. The axis must not be empty.",
    samples=lambda: [Sample((4,), axis=0), Sample((3, 4), axis=1), Sample((1, 2), axis=0)])  # fmt: skip

undifference = linear("undifference(x, *, axis)", _undifference, node="Sub",
    shape=lambda x, *, axis: (*x[:axis], x[axis] + 1, *x[axis + 1 :]),
    reach=_neighbours,
    batch=shift_axes,
    x=lambda g, *, axis: difference(g, axis=axis),
    doc="The transpose of `difference`: ``x[i-1] - x[i]``, with zeros beyond the ends.",
    samples=lambda: [Sample((4,), axis=0), Sample((3, 4), axis=1), Sample((0, 2), axis=0)])  # fmt: skip


# -- products ----------------------------------------------------------------------------------------------------------


def _recurrence(a: Any, b: Any, *, axis: int, reverse: bool) -> Any:
    """Step row by row along the axis; where rows are short, column by column in Python floats (6 times faster on 1-D)."""
    if not b.ndim or not b.size:
        return b.copy()
    d = b.dtype
    order = slice(None, None, -1 if reverse else 1)
    rows_a, rows_b = np.moveaxis(wide(a), axis, 0)[order], np.moveaxis(wide(b), axis, 0)[order]
    n, width = len(rows_b), rows_b[0].size
    out = np.empty(b.shape, rows_b.dtype)
    rows = np.moveaxis(out, axis, 0)[order]
    if width < 8:
        columns_a, columns_b = rows_a.reshape(n, width).T.tolist(), rows_b.reshape(n, width).T.tolist()
        columns = [
            [s for s, _ in accumulate(zip(cb, ca, strict=True), lambda s, new: (new[0] + new[1] * s[0], 0))]
            for ca, cb in zip(columns_a, columns_b, strict=True)
        ]
        rows[...] = np.array(columns, rows_b.dtype).T.reshape(rows_b.shape)
    else:
        rows[0] = rows_b[0]
        for i in range(1, n):
            np.multiply(rows_a[i], rows[i - 1], out=rows[i])
            rows[i] += rows_b[i]
    return out.astype(d) if out.dtype is not d else out


def _recurrence_jvp(a_dot: Any, b_dot: Any, a: Any, out: Any, *, axis: int, reverse: bool) -> Any:
    source = b_dot
    if a_dot is not None:
        term = a_dot * shift(out, axis=axis, by=_step(reverse))
        source = term if source is None else source + term
    return recurrence(a, source, axis=axis, reverse=reverse)


def pulled_back(g: Any, a: Any, axis: int, reverse: bool) -> Any:
    """Return the cotangent of `b` in a recurrence: the recurrence run the other way."""
    return recurrence(conj(shift(a, axis=axis, by=-_step(reverse))), g, axis=axis, reverse=not reverse)


def _factors(c: Call, i: int, o: int) -> Link | None:
    """Return the link of a recurrence's factors: to their own place and all behind it, that at the start to none."""
    shape, axis = c.shapes[i], c.params["axis"]
    if not shape:
        return None
    n = shape[axis]
    own = np.arange(n)
    spans = (own, np.full(n, n - 1)) if c.params["reverse"] else (np.ones(n, np.int64), own + 1)
    return along_axes(shape, c.out_shape(o), {axis: Windows((1, n, 1), *spans)})


recurrence = op("recurrence(a, b, *, axis, reverse)", _recurrence,
    shape=second, dtype=lambda a, b: b,
    reach={"a": _factors, "b": running},
    batch=along_axis,
    jvp=_recurrence_jvp,
    a=lambda g, a, out, *, axis, reverse: (
        pulled_back(g, a, axis, reverse) * conj(shift(out, axis=axis, by=_step(reverse)))),
    b=lambda g, a, *, axis, reverse: pulled_back(g, a, axis, reverse),
    doc="Solve ``out[i] = b[i] + a[i] * out[i-1]`` along an axis (`reverse`: from the end); ``a`` at the start is not used.",
    samples=lambda: [
        Sample((4,), (4,), axis=0, reverse=False), Sample((3, 9), (3, 9), axis=0, reverse=True),
        Sample((3, 4), (3, 4), axis=1, reverse=False), Sample((), (), axis=0, reverse=False),
        Sample((0, 2), (0, 2), axis=0, reverse=False),
    ])  # fmt: skip


def _cumprod(x: Any, *, axis: int, reverse: bool) -> Any:
    if not x.ndim:
        return x[()]  # a scalar: never the input's own memory
    if reverse:
        return _cumprod(x[along(axis, slice(None, None, -1))], axis=axis, reverse=False)[along(axis, slice(None, None, -1))]
    return narrowed(np.multiply.accumulate(wide(in_c_order(x)), axis=axis), x)


cumprod = op("cumprod(x, *, axis, reverse)", _cumprod,
    shape=first, dtype=accumulated,
    reach=running,
    batch=along_axis,
    jvp=lambda x_dot, x, out, *, axis, reverse: (
        recurrence(x, x_dot * previous(out, axis, reverse), axis=axis, reverse=reverse)),
    x=lambda g, x, out, *, axis, reverse: pulled_back(g, x, axis, reverse) * conj(previous(out, axis, reverse)),
    doc="Running product. Its derivative is a recurrence: ``out'[i] = x'[i] out[i-1] + x[i] out'[i-1]``.",
    samples=lambda: SCANS)  # fmt: skip


def products_of_others(x: Any, axis: int) -> Any:
    """Return at each position the product of all the other elements along the axis, exactly, zeros or not."""
    before = previous(cumprod(x, axis=axis, reverse=False), axis, False)
    return before * previous(cumprod(x, axis=axis, reverse=True), axis, True)


# -- extrema -----------------------------------------------------------------------------------------------------------


def _candidates(ufunc: np.ufunc, rows: np.ndarray) -> np.ndarray:
    """Return the positions, in C order, of the elements that no earlier block of their row outdoes."""
    m, size = len(rows), 1 << rows.shape[1].bit_length() // 2
    n = rows.shape[1] // size
    body, tail = rows[:, : n * size].reshape(m, n, size), rows[:, n * size :]
    best = ufunc.accumulate(ufunc.reduceat(rows, range(0, n * size, size), axis=1), axis=1)
    outdone = np.zeros(rows.shape, bool)
    is_worse = np.less if ufunc is np.maximum else np.greater
    is_worse(body[:, 1:], best[:, :-1, None], out=outdone[:, : n * size].reshape(m, n, size)[:, 1:])
    is_worse(tail, best[:, -2:-1], out=outdone[:, n * size :])  # the last block's best is that of the tail as well
    return np.flatnonzero(np.logical_not(outdone, out=outdone))


def _reached(x: np.ndarray, out: np.ndarray) -> np.ndarray:
    found = x == out
    return found if x.dtype.kind in "biu" else found | (x != x)


def _records(ufunc: np.ufunc, rows: np.ndarray) -> np.ndarray:
    """Return the positions, in C order, of the elements that reach the running extremum of their row.

    Most numbers in a row are outdone long before, and one comparison with the best of the blocks before theirs tells: for
    10^6 random float32 a third of the time of a running extremum of all.
    """
    if rows.size >= 1 << 12 and rows.shape[1] >= 64 and rows.dtype.kind != "b" and rows.dtype.itemsize > 2:
        at = _candidates(ufunc, rows)
        if at.size <= rows.size // 8:
            row, starts = at // rows.shape[1], np.searchsorted(at, np.arange(len(rows)) * rows.shape[1])
            place = np.arange(at.size) - starts[row]
            values = rows.reshape(-1)[at]
            padded = np.zeros((len(rows), place.max() + 1), rows.dtype)  # behind a row's candidates, where nothing looks
            padded[row, place] = values
            return at[_reached(values, ufunc.accumulate(padded, axis=1)[row, place])]
    return np.flatnonzero(_reached(rows, ufunc.accumulate(rows, axis=1)))


def _running(ufunc: np.ufunc) -> Any:
    def kernel(x: Any, *, axis: int) -> Any:
        if not x.ndim:
            return x[()], np.int64(0)  # a scalar: never the input's own memory
        last = np.moveaxis(x, axis, -1)
        rows = np.ascontiguousarray(last).reshape(prod(last.shape[:-1]), last.shape[-1])
        at = _records(ufunc, rows)
        counts = np.diff(at, append=rows.size)  # each row's first element is a record
        index = np.repeat(at % max(rows.shape[1], 1), counts)
        out = np.repeat(rows.reshape(-1)[at], counts)
        return tuple([in_c_order(np.moveaxis(a.reshape(last.shape), -1, axis)) for a in (out, index)])

    return kernel


def _declare_running(name: str, ufunc: np.ufunc) -> Any:
    return op(f"{name}(x, *, axis)", _running(ufunc), kinds="bif", reach=running, batch=along_axis,
        shape=lambda x: [x, x], dtype=with_index, reads=(1,),
        jvp=lambda x_dot, out, *, axis: (gather(x_dot, out[1], axis=axis) if x_dot.ndim else x_dot, None),
        x=lambda g, out, x_shape, *, axis: put_along(g[0], out[1], axis, x_shape[axis], False) if x_shape else g[0],
        doc="Running extremum and the last index that reached it.",
        samples=lambda: [Sample((5,), axis=0), Sample((3, 4), axis=1), Sample((), axis=0), Sample((2, 0), axis=1)])  # fmt: skip


cummax = _declare_running("cummax", np.maximum)
cummin = _declare_running("cummin", np.minimum)


def _logcumsumexp(x: Any, *, axis: int) -> Any:
    if not x.ndim:
        return x[()]  # a scalar: never the input's own memory
    if x.dtype.kind != "c":
        return narrowed(np.logaddexp.accumulate(wide(in_c_order(x)), axis=axis), x)
    out = x.copy()
    rows = np.moveaxis(out, axis, 0)
    for i in range(1, len(rows)):
        rows[i] = _joined_logs(rows[i - 1], rows[i])
    return out


def _joined_logs(x: Any, y: Any) -> Any:
    """Return ``log(exp(x) + exp(y))`` of complex numbers on the branch of the larger: its angle may go past π, as PyTorch's."""
    first = x.real >= y.real
    top, low = np.where(first, x, y), np.where(first, y, x)
    out = top + np.log1p(np.exp(low - top))
    equal = ~np.isfinite(low.real) & (low.real == top.real)
    return np.where(equal, np.where(low.real < 0, low, np.log(np.exp(low) + np.exp(top))), out)


def _kept_and_added(x: Any, out: Any, axis: int) -> tuple:
    """Return the derivatives of each sum by the sum before it, and by its own element; of no use and 1 at the start.

    They are the logistic functions of the gap between the two, so that they add up to 1 whatever is rounded in the sums, and
    are halves where both are one infinity.
    """
    before = shift(out, axis=axis, by=1)
    gap = where(x == before, 0, x - before)
    return sigmoid(-gap), where(edge(out.shape, axis, False), 1, sigmoid(gap))


def _logcumsumexp_jvp(x_dot: Any, x: Any, out: Any, *, axis: int) -> Any:
    kept, added = _kept_and_added(x, out, axis)
    return recurrence(kept, added * x_dot, axis=axis, reverse=False)


def _logcumsumexp_pull(g: Any, x: Any, out: Any, *, axis: int) -> Any:
    kept, added = _kept_and_added(x, out, axis)
    return conj(added) * pulled_back(g, kept, axis, False)


logcumsumexp = op("logcumsumexp(x, *, axis)", _logcumsumexp,
    shape=first, dtype=like_first,
    reach=running,
    batch=along_axis,
    jvp=_logcumsumexp_jvp,
    x=_logcumsumexp_pull,
    doc="Running ``log(sum(exp(x)))``; its derivative is the recurrence that each step's ``logaddexp`` has.",
    samples=lambda: [Sample((4,), axis=0), Sample((3, 4), axis=1), Sample((), axis=0), Sample((0, 3), axis=0)])  # fmt: skip
