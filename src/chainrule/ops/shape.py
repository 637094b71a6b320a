"""Ops that move elements without changing them: casts, copies, broadcasts, reshapes, permutations."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.op import linear
from chainrule.core.sample import Sample
from chainrule.core.shape import broadcast_axes

ndarray = np.ndarray


def _cast(x: Any, *, dtype: np.dtype, source: np.dtype) -> Any:
    if source.kind == "c" and dtype.kind != "c":
        x = x.real
    return x.astype(dtype)


to = linear("to(x, *, dtype, source)", _cast, real_linear=True, node="ToCopy",
    x=lambda g, *, dtype, source: to(g, dtype=source, source=dtype),
    samples=lambda: [
        Sample((3, 4), dtype=np.dtype("f8"), source=np.dtype("f8")),
        Sample((2,), dtype=np.dtype("c16"), source=np.dtype("f8"), kinds="f"),
        Sample((), dtype=np.dtype("f8"), source=np.dtype("c16"), kinds="c"),
    ])  # fmt: skip


def _broadcast(x: Any, *, shape: tuple) -> Any:
    """Return a view of `x` repeated to `shape` (through strides of 0).

    Calling the array type costs 150 ns where ``np.broadcast_to`` costs 2250; it takes every case in which `x` is a
    scalar, which is what a full sum's cotangent is.
    """
    if x.ndim == 0 and x.dtype.isbuiltin == 1:
        return ndarray(shape, x.dtype, x, 0, (0,) * len(shape))
    return np.broadcast_to(x, shape)


broadcast_to = linear("broadcast_to(x, *, shape)", _broadcast, node="Expand", view=True,
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


sum_to = linear("sum_to(x, *, shape)", _sum_to, node="SumToSize",
    x=lambda g, x_shape, *, shape: broadcast_to(g, shape=x_shape),
    samples=lambda: [
        Sample((3, 4), shape=(3, 1)), Sample((2, 3), shape=()), Sample((2, 3, 4), shape=(4,)), Sample((0, 3), shape=(3,)),
    ])  # fmt: skip

clone = linear("clone(x)", np.array,
    x=lambda g: g,
    samples=lambda: [Sample((3, 4)), Sample(()), Sample((0, 2))])  # fmt: skip


def _reshape(x: Any, *, shape: tuple) -> Any:
    return x.reshape(shape)


reshape = linear("reshape(x, *, shape)", _reshape, node="UnsafeView",
    x=lambda g, x_shape, *, shape: reshape(g, shape=x_shape),
    samples=lambda: [Sample((3, 4), shape=(2, 6)), Sample((), shape=(1, 1)), Sample((2, 0), shape=(0, 5))])  # fmt: skip
