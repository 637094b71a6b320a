"""Reductions over axes. `axis` is always a sorted tuple of non-negative ints."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core import shape as shapes
from chainrule.core.op import linear
from chainrule.core.sample import Sample
from chainrule.ops.shape import broadcast_to, reshape

AXES = [
    Sample((3, 4), axis=(0, 1), keepdims=False), Sample((3, 4), axis=(1,), keepdims=True),
    Sample((2, 3, 4), axis=(0, 2), keepdims=False), Sample((), axis=(), keepdims=False),
    Sample((3, 0), axis=(0,), keepdims=False),
]  # fmt: skip


def restored(g: Any, x_shape: tuple, axis: tuple, keepdims: bool) -> Any:
    """Return a reduction's cotangent or result, broadcast back over the reduced axes."""
    if not keepdims and g.ndim:
        g = reshape(g, shape=shapes.kept(x_shape, axis))
    return broadcast_to(g, shape=x_shape)


def _sum(x: Any, *, axis: tuple, keepdims: bool) -> Any:
    if x.dtype.itemsize == 2 and x.dtype.kind != "i":  # half precision sums in single, as PyTorch's do
        return np.add.reduce(x, axis=axis, dtype=np.float32, keepdims=keepdims).astype(x.dtype)
    return np.add.reduce(x, axis=axis, keepdims=keepdims)


sum = linear("sum(x, *, axis, keepdims)", _sum, shape=shapes.reduced,
    node=lambda node: "Sum" if len(node.params["axis"]) == len(node.shapes[0]) else "Sum1",
    x=lambda g, x_shape, *, axis, keepdims: restored(g, x_shape, axis, keepdims),
    samples=lambda: AXES)  # fmt: skip
