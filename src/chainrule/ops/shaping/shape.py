"""Ops that move elements without changing them: casts, copies, broadcasts, reshapes, permutations, padding.

Ops that select part of a tensor are in `ops.view` (by static indices) and `ops.index` (by index arrays).
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.op.batching import Batch, reshaped, same, shift_axes
from chainrule.core.op.declaration import elementwise, linear, op
from chainrule.core.op.raw import empty_like, in_c_order
from chainrule.core.op.reach import by_broadcasting, in_order, nowhere, placed, taken, taken_with
from chainrule.core.op.results import first, given, into_shape, like_first
from chainrule.core.op.samples import Sample
from chainrule.core.types.shape import broadcast_axes
from chainrule.ops.indexing.select import where

ndarray = np.ndarray


def _cast(x: Any, *, dtype: np.dtype, source: np.dtype) -> Any:
    if source.kind == "c" and dtype.kind != "c":
        x = x.real
    return x.astype(dtype)


to = linear("to(x, *, dtype, source)", _cast, real_linear=True, node="ToCopy",
    shape=first, dtype=lambda x, *, dtype: dtype,
    reach=in_order,
    batch=same,
    x=lambda g, *, dtype, source: to(g, dtype=source, source=dtype),
    samples=lambda: [
        Sample((3, 4), dtype=np.dtype("f8"), source=np.dtype("f8"), kinds="f"),
        Sample((2,), dtype=np.dtype("c16"), source=np.dtype("f8"), kinds="f"),
        Sample((), dtype=np.dtype("f8"), source=np.dtype("c16"), kinds="c"),
    ])  # fmt: skip

# -- batches -----------------------------------------------------------------------------------------------------------


def _copy_examples(b: Batch, x: Any, y: Any, *, form: str) -> Any:
    x = x if b.on[0] else b.repeated(x)
    return copy(x, b.ranked(y, 1, x.ndim - 1), form=form)


def _broadcast_examples(b: Batch, x: Any, *, shape: tuple) -> Any:
    return broadcast_to(b.ranked(x, 0, len(shape)), shape=(b.size, *shape))


def _sum_examples(b: Batch, x: Any, *, shape: tuple) -> Any:
    lead = x.ndim - 1 - len(shape)
    out = sum_to(x, shape=(b.size, *(1,) * lead, *shape))
    return reshaped(out, (b.size, *shape)) if lead else out


def _transpose_examples(batch: Batch, x: Any, /, *, a: int, b: int) -> Any:
    return _t_examples(batch, x) if x.ndim == 1 else transpose(x, a=a + 1, b=b + 1)


def _t_examples(b: Batch, x: Any) -> Any:
    return transpose(x, a=1, b=2) if x.ndim == 3 else permute(x, order=tuple(range(x.ndim)))


def _roll_examples(b: Batch, x: Any, *, shifts: tuple, axis: tuple) -> Any:
    if axis:
        return shift_axes(b, x, shifts=shifts, axis=axis)
    rolled = roll(reshaped(x, (b.size, prod(x.shape[1:]))), shifts=shifts, axis=(1,) * len(shifts))
    return reshaped(rolled, tuple(x.shape))


def _repeat_examples(b: Batch, x: Any, *, counts: tuple) -> Any:
    return repeat(b.ranked(x, 0, len(counts)), counts=(1, *counts))


# -- copies ------------------------------------------------------------------------------------------------------------

clone = linear("clone(x)", lambda x: np.array(x, order="C" if 0 in x.strides else "K"),
    shape=first,
    reach=in_order,
    batch=same,
    x=lambda g: g,
    samples=lambda: [Sample((3, 4)), Sample(()), Sample((0, 2))])  # fmt: skip

alias = linear("alias(x)", lambda x: x[...], view=True, selects="all",
    shape=first,
    batch=same,
    x=lambda g: g,
    samples=lambda: [Sample((3, 4)), Sample(()), Sample((0, 2))])  # fmt: skip

contiguous = linear("contiguous(x)", lambda x: np.array(x, order="C"), node="Clone",
    shape=first,
    reach=in_order,
    batch=same,
    x=lambda g: g,
    samples=lambda: [Sample((3, 4)), Sample(()), Sample((0, 2))])  # fmt: skip


def _copy(x: Any, y: Any, *, form: str) -> ndarray:
    out = empty_like(x)
    out[...] = y
    return out


copy = linear("copy(x, y, *, form)", _copy,
    shape=first, dtype=lambda x, y: np.dtype(y),
    reach={"x": nowhere, "y": by_broadcasting},
    batch=_copy_examples,
    node=lambda node: node.params["form"],
    x=lambda g: where(False, g, 0),
    y=lambda g, y_shape: sum_to(g, shape=y_shape),
    samples=lambda: [Sample(x, y, form="Copy") for x, y in (((3, 4), (4,)), ((), ()), ((0, 2), (1, 2)))])  # fmt: skip

named = linear("named(x, *, form)", lambda x, *, form: x, shares=True, node=lambda node: node.params["form"],
    shape=first,
    reach=in_order,
    batch=same,
    x=lambda g: g,
    samples=lambda: [Sample((3, 4), form="Named")])  # fmt: skip

detach = elementwise("detach(x)", lambda x: x[...], promotion="free", kinds="bifc", nondiff=True, shares=True,
    lower=lambda x: x)  # fmt: skip

# -- broadcasts --------------------------------------------------------------------------------------------------------


def _broadcast(x: Any, *, shape: tuple) -> Any:
    """Return a view of `x` repeated to `shape` (through strides of 0).

    Calling the array type costs 150 ns for a scalar, which is what a full sum's cotangent is, and 900 for another
    contiguous array, where ``np.broadcast_to`` costs 2250.
    """
    if x.dtype.isbuiltin == 1:
        if x.ndim == 0:
            return ndarray(shape, x.dtype, x, 0, (0,) * len(shape))
        lead = len(shape) - x.ndim
        if x.flags.c_contiguous and x.size and lead >= 0:
            strides = [0] * lead
            for n, m, step in zip(x.shape, shape[lead:], x.strides, strict=True):
                if n == m:
                    strides.append(step)
                elif n == 1:
                    strides.append(0)
                else:
                    break
            else:
                return ndarray(shape, x.dtype, x, 0, strides)
    out = np.broadcast_to(x, shape)
    if x.flags.writeable:
        out.flags.writeable = True  # NumPy guards broadcasts against writes; `core.write.inplace` refuses those that repeat
    return out


broadcast_to = linear("broadcast_to(x, *, shape)", _broadcast, node="Expand", view=True,
    shape=given,
    reach=by_broadcasting,
    batch=_broadcast_examples,
    x=lambda g, x_shape, *, shape: sum_to(g, shape=x_shape),
    samples=lambda: [
        Sample((3, 1), shape=(3, 4)), Sample((), shape=(2, 3)), Sample((4,), shape=(4,)), Sample((1, 3), shape=(0, 2, 3)),
    ])  # fmt: skip


def _sum_to(g: Any, *, shape: tuple) -> Any:
    lead = g.ndim - len(shape)
    axes = broadcast_axes(shape, g.shape)
    out = np.add.reduce(g, axis=axes, dtype=np.float32 if g.dtype.itemsize == 2 else None, keepdims=True)
    if lead:
        out = out.reshape(out.shape[lead:])
    return out.astype(g.dtype) if out.dtype is not g.dtype else out


sum_to = linear("sum_to(x, *, shape)", _sum_to, node="Sum1",
    shape=given,
    reach=placed,
    batch=_sum_examples,
    x=lambda g, x_shape, *, shape: broadcast_to(g, shape=x_shape),
    samples=lambda: [
        Sample((3, 4), shape=(3, 1)), Sample((2, 3), shape=()), Sample((2, 3, 4), shape=(4,)), Sample((0, 3), shape=(3,)),
    ])  # fmt: skip

# -- reshapes ----------------------------------------------------------------------------------------------------------


def _reshape(x: Any, *, shape: tuple) -> Any:
    return x.reshape(shape)


reshape = linear("reshape(x, *, shape)", _reshape, node="UnsafeView", shares=True,
    shape=into_shape,
    reach=in_order,
    batch=shift_axes,
    x=lambda g, x_shape, *, shape: reshape(g, shape=x_shape),
    samples=lambda: [Sample((3, 4), shape=(2, 6)), Sample((), shape=(1, 1)), Sample((2, 0), shape=(0, 5))])  # fmt: skip

view = linear("view(x, *, shape)", _reshape, view=True, selects="all",
    shape=into_shape,
    batch=shift_axes,
    x=lambda g, x_shape, *, shape: reshape(g, shape=x_shape),
    samples=lambda: [Sample((3, 4), shape=(2, 6)), Sample((), shape=(1, 1)), Sample((2, 0), shape=(0, 5))])  # fmt: skip


reshape_alias = linear("reshape_alias(x, *, shape)", _reshape, view=True, selects="all",
    shape=into_shape,
    batch=shift_axes,
    x=lambda g, x_shape, *, shape: reshape(g, shape=x_shape),
    samples=lambda: [Sample((3, 4), shape=(2, 6)), Sample((), shape=(1, 1)), Sample((2, 0), shape=(0, 5))])  # fmt: skip


def _squeeze(x: ndarray, *, axis: tuple, form: str) -> ndarray:
    return x.reshape([n for i, n in enumerate(x.shape) if i not in axis])


squeeze = linear("squeeze(x, *, axis, form)", _squeeze, view=True, selects="all",
    shape=lambda x, *, axis: tuple([n for i, n in enumerate(x) if i not in axis]),
    batch=shift_axes,
    node=lambda node: "Squeeze" + ("0" if node is None else node.params["form"]),
    x=lambda g, x_shape, *, axis, form: reshape(g, shape=x_shape),
    samples=lambda: [
        Sample((3, 1, 4, 1), axis=(1, 3), form="0"), Sample((3, 1), axis=(), form="1"), Sample((1,), axis=(0,), form="1"),
        Sample((1, 0), axis=(0,), form="2"),
    ])  # fmt: skip

_INSERT = tuple((*(slice(None),) * axis, None, ...) for axis in range(33))

unsqueeze = linear("unsqueeze(x, *, axis)", lambda x, *, axis: x[_INSERT[axis]], view=True, selects="all",
    shape=lambda x, *, axis: (*x[:axis], 1, *x[axis:]),
    batch=shift_axes,
    x=lambda g, x_shape, *, axis: reshape(g, shape=x_shape),
    samples=lambda: [Sample((3, 4), axis=0), Sample((3, 4), axis=2), Sample((), axis=0), Sample((0,), axis=1)])  # fmt: skip

# -- permutations ------------------------------------------------------------------------------------------------------


def inverse(order: tuple) -> tuple:
    """Return the permutation that undoes another."""
    back = [0] * len(order)
    for place, axis in enumerate(order):
        back[axis] = place
    return tuple(back)


permute = linear("permute(x, *, order)", lambda x, *, order: x.transpose(order), view=True, selects="all",
    shape=lambda x, *, order: tuple([x[i] for i in order]),
    batch=shift_axes,
    x=lambda g, *, order: permute(g, order=inverse(order)),
    samples=lambda: [Sample((2, 3, 4), order=(2, 0, 1)), Sample((), order=()), Sample((0, 2), order=(1, 0))])  # fmt: skip


def _exchanged(x: tuple, *, a: int, b: int) -> tuple:
    order = list(x)
    if x:
        order[a], order[b] = x[b], x[a]
    return tuple(order)


transpose = linear("transpose(x, *, a, b)", lambda x, *, a, b: x.swapaxes(a, b) if x.ndim else x[...], view=True, selects="all",
    shape=_exchanged,
    batch=_transpose_examples,
    x=lambda g, *, a, b: transpose(g, a=a, b=b),
    samples=lambda: [Sample((2, 3, 4), a=0, b=2), Sample((), a=0, b=0), Sample((0, 2), a=1, b=0)])  # fmt: skip

t = linear("t(x)", lambda x: x.transpose(), view=True, selects="all",
    shape=lambda x: x[::-1],
    batch=_t_examples,
    x=lambda g: t(g),
    samples=lambda: [Sample((2, 3)), Sample((3,)), Sample(())])  # fmt: skip


def _flip(x: ndarray, *, axis: tuple) -> ndarray:
    return x[tuple([slice(None, None, -1) if i in axis else slice(None) for i in range(x.ndim)])].copy()


flip = linear("flip(x, *, axis)", _flip,
    shape=first,
    reach=taken,
    batch=shift_axes,
    x=lambda g, *, axis: flip(g, axis=axis),
    samples=lambda: [Sample((3, 4), axis=(0,)), Sample((2, 3, 4), axis=(0, 2)), Sample((0, 2), axis=(0,))])  # fmt: skip

roll = linear("roll(x, *, shifts, axis)", lambda x, *, shifts, axis: in_c_order(np.roll(x, shifts, axis or None)),
    shape=first,
    reach=taken,
    batch=_roll_examples,
    x=lambda g, *, shifts, axis: roll(g, shifts=tuple([-s for s in shifts]), axis=axis),
    samples=lambda: [
        Sample((3, 4), shifts=(1,), axis=(1,)), Sample((3, 4), shifts=(1, -5), axis=(0, 1)),
        Sample((2, 3), shifts=(1,), axis=()),
    ])  # fmt: skip


def _rot90(x: ndarray, *, k: int, axis: tuple) -> ndarray:
    return np.array(np.rot90(x, k, axis), order="C")


def _turned(x: tuple, *, k: int, axis: tuple) -> tuple:
    return _exchanged(x, a=axis[0], b=axis[1]) if k % 2 else x


rot90 = linear("rot90(x, *, k, axis)", _rot90, node="Rot900",
    shape=_turned,
    reach=taken,
    batch=shift_axes,
    x=lambda g, *, k, axis: rot90(g, k=-k, axis=axis),
    samples=lambda: [Sample((3, 4), k=1, axis=(0, 1)), Sample((2, 3, 4), k=3, axis=(2, 0)), Sample((3, 4), k=2, axis=(0, 1))],
)  # fmt: skip

# -- triangles, repetition, padding ------------------------------------------------------------------------------------

_MATRICES = [(3, 4), (2, 4, 3), (0, 3)]

tril = linear("tril(x, *, k)", lambda x, *, k: in_c_order(np.tril(x, k)),
    shape=first,
    reach=taken,
    batch=same,
    x=lambda g, *, k: tril(g, k=k),
    samples=lambda: [Sample(shape, k=k) for shape in _MATRICES for k in (0, -1, 2)])  # fmt: skip

triu = linear("triu(x, *, k)", lambda x, *, k: in_c_order(np.triu(x, k)),
    shape=first,
    reach=taken,
    batch=same,
    x=lambda g, *, k: triu(g, k=k),
    samples=lambda: [Sample(shape, k=k) for shape in _MATRICES for k in (0, -1, 2)])  # fmt: skip


def _repeat(x: ndarray, *, counts: tuple) -> ndarray:
    lead = len(counts) - x.ndim
    shape = (1,) * lead + x.shape
    split = [n for pair in zip((1,) * len(shape), shape, strict=True) for n in pair]
    full = [n for pair in zip(counts, shape, strict=True) for n in pair]
    out = np.broadcast_to(x.reshape(split), full).reshape([a * b for a, b in zip(counts, shape, strict=True)])
    return out if out.flags.owndata else out.copy()


def _repeated(x: tuple, *, counts: tuple) -> tuple:
    return tuple([n * count for n, count in zip((1,) * (len(counts) - len(x)) + x, counts, strict=True)])


def _sum_repeats(g: Any, x_shape: tuple, counts: tuple) -> Any:
    lead = len(counts) - len(x_shape)
    shape = (1,) * lead + x_shape
    g = reshape(g, shape=tuple([n for pair in zip(counts, shape, strict=True) for n in pair]))
    g = sum_to(g, shape=tuple([n for size in shape for n in (1, size)]))
    return reshape(g, shape=x_shape)


repeat = linear("repeat(x, *, counts)", _repeat,
    shape=_repeated,
    reach=taken,
    batch=_repeat_examples,
    x=lambda g, x_shape, *, counts: _sum_repeats(g, x_shape, counts),
    samples=lambda: [
        Sample((3, 4), counts=(2, 1)), Sample((3,), counts=(2, 3)), Sample((), counts=(2,)), Sample((3, 2), counts=(0, 2)),
        Sample((), counts=()), Sample((3,), counts=(1,)),
    ])  # fmt: skip


def _pad(x: ndarray, *, widths: tuple, value: Any) -> ndarray:
    out = np.full([n + a + b for n, (a, b) in zip(x.shape, widths, strict=True)], value, x.dtype)
    here = tuple([slice(max(a, 0), n - max(b, 0)) for n, (a, b) in zip(out.shape, widths, strict=True)])
    there = tuple([slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, widths, strict=True)])
    out[here] = x[there]
    return out


def _padded(x: tuple, *, widths: tuple) -> tuple:
    return tuple([n + a + b for n, (a, b) in zip(x, widths, strict=True)])


constant_pad = op("constant_pad(x, *, widths, value)", _pad, node="ConstantPadNd",
    shape=_padded, dtype=like_first,
    reach=taken_with(value=0),
    batch=shift_axes,
    jvp=lambda x_dot, *, widths, value: constant_pad(x_dot, widths=widths, value=0),
    x=lambda g, *, widths, value: constant_pad(g, widths=tuple([(-a, -b) for a, b in widths]), value=0),
    samples=lambda: [
        Sample((3, 4), widths=((0, 0), (1, 2)), value=0), Sample((3, 4), widths=((-1, 1), (2, -2)), value=1.5),
        Sample((0,), widths=((2, 1),), value=3.0), Sample((), widths=(), value=0),
    ])  # fmt: skip
