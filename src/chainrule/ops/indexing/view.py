"""Views of part of a tensor by static positions: basic indices, diagonals, sliding windows, strides; and their transposes."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.op.batching import Batch, reshaped, shift_axes
from chainrule.core.op.declaration import TABLE, linear
from chainrule.core.op.reach import placed, taken
from chainrule.core.op.results import first, given, like_first, scalar
from chainrule.core.op.samples import Sample

ndarray = np.ndarray
FULL = slice(None)

# -- batches -----------------------------------------------------------------------------------------------------------


def _trace_examples(b: Batch, x: Any) -> Any:
    return TABLE["sum"].call(diagonal(x, offset=0, a=1, b=2), axis=(1,), keepdims=False)


def _unfold_examples(b: Batch, x: Any, *, axis: int, size: int, step: int) -> Any:
    if x.ndim == 1:
        return getitem(reshaped(x, (b.size, 1)), index=(FULL, slice(size)))
    return unfold(x, axis=axis + 1, size=size, step=step)


def _fold_examples(b: Batch, x: Any, *, shape: tuple, axis: int, size: int, step: int) -> Any:
    if not shape:
        return TABLE["sum"].call(x, axis=(1,), keepdims=False)
    return fold(x, shape=(b.size, *shape), axis=axis + 1, size=size, step=step)


def _strided_examples(b: Batch, x: Any, *y: Any, size: tuple, stride: tuple, offset: int, shape: tuple | None = None) -> Any:
    x, *y = b.whole((x, *y))
    given = {} if shape is None else {"shape": (b.size, *shape)}
    apart = prod(x.shape[1:] if shape is None else shape)  # elements between one example and the next
    return b.op.call(x, *y, size=(b.size, *size), stride=(apart, *stride), offset=offset, **given)


def shown(shape: tuple) -> ndarray:
    """Return an array of a shape that costs no memory, for NumPy's own rules of the shapes of views."""
    return np.broadcast_to(_ELEMENT, shape)


_ELEMENT = np.zeros(())

# -- basic indices -----------------------------------------------------------------------------------------------------


def step_of(index: tuple) -> str:
    """Return the last of the steps (select, slice, unsqueeze) that PyTorch takes for a basic index; alias if none."""
    for item in reversed(index):
        if item is None:
            return "Unsqueeze"
        if item.__class__ is slice:
            if item != FULL:
                return "Slice"
        elif item is not Ellipsis:
            return "Select"
    return "Slice" if len(index) == 2 and index[0] == FULL else "Alias"


def _placed(x: ndarray, *, shape: tuple, index: tuple) -> ndarray:
    out = np.zeros(shape, x.dtype)
    out[index] = x
    return out


_INDICES = [
    ((3, 4), (1, ...)), ((3, 4), (..., -1)), ((3, 4), (slice(1, 3), ...)), ((3, 4), (slice(None, None, 2), None, 0, ...)),
    ((3,), (2, ...)), ((), (None, ...)), ((), (...,)), ((0, 2), (..., 1)),
]  # fmt: skip


def _part(x: tuple, *, index: tuple) -> tuple:
    return shown(x)[index].shape


getitem = linear("getitem(x, *, index)", lambda x, *, index: x[index], view=True, selects="part",
    shape=_part,
    batch=shift_axes,
    node=lambda node: "Getitem" if node is None else step_of(node.params["index"]),
    x=lambda g, x_shape, *, index: place(g, shape=x_shape, index=index),
    samples=lambda: [Sample(shape, index=index) for shape, index in _INDICES])  # fmt: skip

place = linear("place(x, *, shape, index)", _placed,
    shape=given,
    reach=taken,
    batch=shift_axes,
    x=lambda g, *, shape, index: getitem(g, index=index),
    samples=lambda: [Sample(np.empty(s)[i].shape, shape=s, index=i) for s, i in _INDICES])  # fmt: skip


def _overwrite(x: ndarray, y: Any, *, index: tuple) -> ndarray:
    out = np.array(x, order="C")
    out[index] = y
    return out


overwrite = linear("overwrite(x, y, *, index)", _overwrite,
    shape=first, dtype=like_first,
    reach=taken,
    batch=shift_axes,
    node=lambda node: f"{step_of(node.params['index'])}Scatter",
    x=lambda g, y_shape, *, index: overwrite(g, zeros(y_shape, g), index=index),
    y=lambda g, *, index: getitem(g, index=index),
    samples=lambda: [Sample(s, np.empty(s)[i].shape, index=i) for s, i in _INDICES])  # fmt: skip


def zeros(shape: tuple, like: Any) -> ndarray:
    """Return zeros of the dtype of a raw value or tensor."""
    d = like.dtype
    return np.zeros(shape, d if isinstance(d, np.dtype) else d.numpy)


# -- diagonals ---------------------------------------------------------------------------------------------------------


def _diagonal(x: ndarray, *, offset: int, a: int, b: int) -> ndarray:
    out = x.diagonal(offset, a, b)
    if x.flags.writeable:
        out.flags.writeable = True  # NumPy guards diagonals against writes; a view must allow them
    return out


def _place_diagonal(x: ndarray, *, shape: tuple, offset: int, a: int, b: int) -> ndarray:
    out = np.zeros(shape, x.dtype)
    _diagonal(out, offset=offset, a=a, b=b)[...] = x
    return out


def _overwrite_diagonal(x: ndarray, y: Any, *, offset: int, a: int, b: int) -> ndarray:
    out = np.array(x, order="C")
    _diagonal(out, offset=offset, a=a, b=b)[...] = y
    return out


_DIAGONALS = [
    ((3, 4), (3,), (0, 0, 1)), ((3, 4), (2,), (-1, 0, 1)), ((2, 3, 4), (3, 2), (1, 0, 2)), ((0, 3), (0,), (0, 0, 1)),
    ((3, 3), (0,), (5, 0, 1)),
]  # fmt: skip


def _diagonal_shape(x: tuple, *, offset: int, a: int, b: int) -> tuple:
    return shown(x).diagonal(offset, a, b).shape


diagonal = linear("diagonal(x, *, offset, a, b)", _diagonal, view=True, selects="part",
    shape=_diagonal_shape,
    batch=shift_axes,
    x=lambda g, x_shape, *, offset, a, b: place_diagonal(g, shape=x_shape, offset=offset, a=a, b=b),
    samples=lambda: [Sample(s, offset=o, a=a, b=b) for s, _, (o, a, b) in _DIAGONALS])  # fmt: skip

place_diagonal = linear("place_diagonal(x, *, shape, offset, a, b)", _place_diagonal, node="DiagEmbed",
    shape=given,
    reach=taken,
    batch=shift_axes,
    x=lambda g, *, shape, offset, a, b: diagonal(g, offset=offset, a=a, b=b),
    samples=lambda: [Sample(d, shape=s, offset=o, a=a, b=b) for s, d, (o, a, b) in _DIAGONALS])  # fmt: skip

diagonal_scatter = linear("diagonal_scatter(x, y, *, offset, a, b)", _overwrite_diagonal,
    shape=first, dtype=like_first,
    reach=taken,
    batch=shift_axes,
    x=lambda g, y_shape, *, offset, a, b: diagonal_scatter(g, zeros(y_shape, g), offset=offset, a=a, b=b),
    y=lambda g, *, offset, a, b: diagonal(g, offset=offset, a=a, b=b),
    samples=lambda: [Sample(s, d, offset=o, a=a, b=b) for s, d, (o, a, b) in _DIAGONALS])  # fmt: skip


def _trace(x: ndarray) -> Any:
    return np.add.reduce(x.diagonal(), dtype=np.float32 if x.dtype.kind in "fV" and x.itemsize == 2 else None).astype(x.dtype)


def _spread_trace(g: Any, x_shape: tuple) -> Any:
    return place_diagonal(TABLE["broadcast_to"].call(g, shape=(min(x_shape),)), shape=x_shape, offset=0, a=0, b=1)


trace = linear("trace(x)", _trace,
    shape=scalar,
    reach=placed,
    batch=_trace_examples,
    x=lambda g, x_shape: _spread_trace(g, x_shape),
    samples=lambda: [Sample((3, 4)), Sample((2, 2)), Sample((0, 2))])  # fmt: skip

# -- sliding windows ---------------------------------------------------------------------------------------------------


def _unfold(x: ndarray, *, axis: int, size: int, step: int) -> ndarray:
    if not x.ndim:
        return x.reshape(1)[:size]
    count = (x.shape[axis] - size) // step + 1
    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :], size)
    strides = (*x.strides[:axis], x.strides[axis] * step, *x.strides[axis + 1 :], x.strides[axis])
    return np.lib.stride_tricks.as_strided(x, shape, strides)


def _windows(x: tuple, *, axis: int, size: int, step: int) -> tuple:
    return (*x[:axis], (x[axis] - size) // step + 1, *x[axis + 1 :], size) if x else (min(size, 1),)


def _fold(g: ndarray, *, shape: tuple, axis: int, size: int, step: int) -> ndarray:
    out = np.zeros(shape, g.dtype)
    if not shape:
        out[...] = g.sum()
        return out
    count = g.shape[axis]
    lead = (FULL,) * axis
    for place_in_window in range(size):
        start = place_in_window
        out[(*lead, slice(start, start + (count - 1) * step + 1, step))] += g[..., place_in_window]
    return out


_WINDOWS = [
    ((7,), (3, 3), (0, 3, 2)), ((3, 5), (2, 5, 2), (0, 2, 1)), ((2, 6), (2, 2, 2), (1, 2, 3)), ((), (1,), (0, 1, 1)),
]  # fmt: skip

unfold = linear("unfold(x, *, axis, size, step)", _unfold, view=True,
    shape=_windows,
    reach=taken,
    batch=_unfold_examples,
    x=lambda g, x_shape, *, axis, size, step: fold(g, shape=x_shape, axis=axis, size=size, step=step),
    samples=lambda: [Sample(s, axis=a, size=n, step=k) for s, _, (a, n, k) in _WINDOWS])  # fmt: skip

fold = linear("fold(x, *, shape, axis, size, step)", _fold, node="UnfoldBackward",
    shape=given,
    reach=placed,
    batch=_fold_examples,
    x=lambda g, *, shape, axis, size, step: unfold(g, axis=axis, size=size, step=step),
    samples=lambda: [Sample(w, shape=s, axis=a, size=n, step=k) for s, w, (a, n, k) in _WINDOWS])  # fmt: skip

# -- strides -----------------------------------------------------------------------------------------------------------


def _as_strided(x: ndarray, *, size: tuple, stride: tuple, offset: int) -> ndarray:
    x = np.ascontiguousarray(x)
    if prod(size):
        last = offset + sum([(n - 1) * s for n, s in zip(size, stride, strict=True)])
        if last >= x.size or offset < 0:
            raise ValueError(f"size {list(size)} and stride {list(stride)} reach outside the memory of {x.size} elements")
    flat = x.reshape(-1)[min(offset, x.size) :]
    return np.lib.stride_tricks.as_strided(flat, size, [s * x.itemsize for s in stride])


def _sum_strided(g: ndarray, *, shape: tuple, size: tuple, stride: tuple, offset: int) -> ndarray:
    places = _as_strided(np.arange(prod(shape)), size=size, stride=stride, offset=offset)
    out = np.zeros(prod(shape), g.dtype)
    np.add.at(out, places, g)
    return out.reshape(shape)


_STRIDES = [((3, 4), (2, 2), (1, 2), 1), ((6,), (4, 3), (1, 1), 0), ((), (3,), (0,), 0)]

as_strided = linear("as_strided(x, *, size, stride, offset)", _as_strided, view=True,
    shape=lambda x, *, size: tuple(size),
    reach=taken,
    batch=_strided_examples,
    x=lambda g, x_shape, *, size, stride, offset: sum_strided(g, shape=x_shape, size=size, stride=stride, offset=offset),
    samples=lambda: [Sample(s, size=n, stride=k, offset=o) for s, n, k, o in _STRIDES])  # fmt: skip

sum_strided = linear("sum_strided(x, *, shape, size, stride, offset)", _sum_strided,
    shape=given,
    reach=placed,
    batch=_strided_examples,
    x=lambda g, *, shape, size, stride, offset: as_strided(g, size=size, stride=stride, offset=offset),
    samples=lambda: [Sample(n, shape=s, size=n, stride=k, offset=o) for s, n, k, o in _STRIDES])  # fmt: skip


def _overwrite_strided(x: ndarray, y: Any, *, size: tuple, stride: tuple, offset: int) -> ndarray:
    out = np.array(x, order="C")
    _as_strided(out, size=size, stride=stride, offset=offset)[...] = y
    return out


as_strided_scatter = linear("as_strided_scatter(x, y, *, size, stride, offset)", _overwrite_strided,
    shape=first, dtype=like_first,
    reach={"x": taken, "y": placed},
    batch=_strided_examples,
    x=lambda g, y_shape, *, size, stride, offset: as_strided_scatter(
        g, zeros(y_shape, g), size=size, stride=stride, offset=offset),
    y=lambda g, *, size, stride, offset: as_strided(g, size=size, stride=stride, offset=offset),
    samples=lambda: [Sample((3, 4), (2, 2), size=(2, 2), stride=(1, 2), offset=1)])  # fmt: skip
