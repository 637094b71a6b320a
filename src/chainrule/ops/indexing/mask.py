"""Ops that select or write elements at the true places of a mask, and their transposes.

A mask is an input without derivative, of the shape of some of the axes: those behind the first `lead`.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.op.batching import Batch, dynamic, looped, per_example, reshaped
from chainrule.core.op.declaration import TABLE, linear, op
from chainrule.core.op.reach import taken
from chainrule.core.op.results import by_values, first, given, int64, like_first
from chainrule.core.op.samples import Fixed, Sample
from chainrule.ops.indexing.index import index, index_sum
from chainrule.ops.indexing.select import where
from chainrule.ops.indexing.view import zeros
from chainrule.ops.shaping.shape import reshape, sum_to

ndarray = np.ndarray
FULL = slice(None)

# -- batches: only where each example selects as many elements ---------------------------------------------------------


def _one_mask(b: Batch) -> None:
    """Raise PyTorch's error for a mask of its own for each example, which may select any number of elements."""
    if b.on[1]:
        raise RuntimeError(
            "vmap: We do not support batching operators that can support dynamic shape. Attempting to batch over indexing with "
            "a boolean mask. Use where(), or give a number to write."
        )


def _masked_examples(b: Batch, x: Any, mask: Any, *, lead: int) -> Any:
    _one_mask(b)
    return masked(x, mask, lead=lead + 1)


def _masked_select_examples(b: Batch, x: Any, mask: Any) -> Any:
    if b.on[1]:
        raise RuntimeError(
            "vmap: Attempted to vmap over `mask` in torch.masked_select(self, mask) We cannot support this because for each "
            "batch this would return a differently shaped Tensor. Use where()."
        )
    return masked(x, mask, lead=1)


def _masked_place_examples(b: Batch, x: Any, mask: Any, *, shape: tuple, lead: int) -> Any:
    _one_mask(b)
    return masked_place(x, mask, shape=(b.size, *shape), lead=lead + 1)


def _shared_shape(shape: tuple, axes: int, rest: int) -> tuple | None:
    """Return the shape in which values that all true places share broadcast with the input; None if each has its own."""
    place = len(shape) - rest - 1  # the axis of the true places
    if place < 0:
        return shape
    return (*shape[:place], *(1,) * axes, *shape[place + 1 :]) if shape[place] == 1 else None


def _masked_put_examples(b: Batch, x: Any, mask: Any, values: Any, *, lead: int, accumulate: bool) -> Any:
    x = x if b.on[0] else b.repeated(x)
    axes = mask.ndim - b.on[1]
    rest = x.ndim - 1 - lead - axes
    values = b.ranked(values, 2, lead + 1 + rest)
    if not b.on[1]:
        return masked_put(x, mask, values, lead=lead + 1, accumulate=accumulate)
    shape = _shared_shape(tuple(values.shape), axes, rest)
    if shape is None:
        _one_mask(b)
    mask = reshaped(mask, (b.size, *(1,) * lead, *mask.shape[1:], *(1,) * rest))
    values = reshaped(values, shape)
    return x + where(mask, values, 0) if accumulate else where(mask, values, x)


def _true_rank(mask: Any) -> Any:
    """Return for each element of a mask, flat, how many true ones come before; -1 or more where it is false."""
    flat = reshape(mask, shape=(prod(mask.shape),))
    counted = TABLE["to"].call(flat, dtype=np.dtype(np.int64), source=np.dtype(bool))
    rank = TABLE["cumsum"].call(counted, axis=0, reverse=False) - 1
    return where(rank < 0, 0, rank)


def _scatter_by_rank(x: Any, mask: Any, y: Any) -> Any:
    size = prod(y.shape)
    if not size:
        return x
    picked = index(reshape(y, shape=(size,)), _true_rank(mask), axes=(0,))
    return where(mask, reshape(picked, shape=tuple(mask.shape)), x)


def _unmask_by_rank(g: Any, mask: Any, *, shape: tuple) -> Any:
    size = prod(shape)
    if not size or not prod(mask.shape):
        return zeros(shape, g)
    found = reshape(where(mask, g, 0), shape=(prod(mask.shape),))
    return reshape(index_sum(found, _true_rank(mask), shape=(size,), axes=(0,)), shape=shape)


# -- masks -------------------------------------------------------------------------------------------------------------


def _masked(x: ndarray, mask: ndarray, *, lead: int) -> ndarray:
    return x[(FULL,) * lead + (mask,)]


def _masked_place(x: ndarray, mask: ndarray, *, shape: tuple, lead: int) -> ndarray:
    out = np.zeros(shape, x.dtype)
    out[(FULL,) * lead + (mask,)] = x
    return out


_MASK = np.array([[True, False, True], [False, True, True]])
_MASKS = [
    ((2, 3), _MASK, (4,), 0), ((4, 2, 3), _MASK, (4, 4), 1), ((2, 5), _MASK[:, 0], (1, 5), 0), ((0,), _MASK[0, :0], (0,), 0),
]  # fmt: skip

masked = linear("masked(x, mask, *, lead)", _masked, node="Index",
    shape=by_values,
    reach=taken,
    batch=_masked_examples,
    x=lambda g, x_shape, mask, *, lead: masked_place(g, mask, shape=x_shape, lead=lead),
    samples=lambda: [Sample(s, Fixed(m), lead=k) for s, m, _, k in _MASKS])  # fmt: skip

masked_select = linear("masked_select(x, mask)", lambda x, mask: x[mask],
    shape=by_values,
    reach=taken,
    batch=_masked_select_examples,
    x=lambda g, x_shape, mask: masked_place(g, mask, shape=x_shape, lead=0),
    samples=lambda: [Sample((2, 3), Fixed(_MASK)), Sample((), Fixed(np.array(True)))])  # fmt: skip

masked_place = linear("masked_place(x, mask, *, shape, lead)", _masked_place,
    refuses=True,
    shape=given,
    reach=taken,
    batch=_masked_place_examples,
    x=lambda g, mask, *, lead: masked(g, mask, lead=lead),
    samples=lambda: [Sample(g, Fixed(m), shape=s, lead=k) for s, m, g, k in _MASKS])  # fmt: skip


def _masked_put(x: ndarray, mask: ndarray, values: Any, *, lead: int, accumulate: bool) -> ndarray:
    out = np.array(x, order="C")
    if accumulate:
        out[(FULL,) * lead + (mask,)] += values
    else:
        out[(FULL,) * lead + (mask,)] = values
    return out


def _of_values(g: Any, mask: Any, values_shape: tuple, lead: int) -> Any:
    """Return the cotangent of the values; without selecting, which `vmap` cannot, where all true places share them."""
    rest = g.ndim - lead - mask.ndim
    shape = _shared_shape(values_shape, mask.ndim, rest)
    if shape is None:
        return sum_to(masked(g, mask, lead=lead), shape=values_shape)
    written = where(reshape(mask, shape=(*mask.shape, *(1,) * rest)), g, 0)
    return reshape(sum_to(written, shape=shape), shape=values_shape)


masked_put = linear("masked_put(x, mask, values, *, lead, accumulate)", _masked_put, node="IndexPut",
    refuses=True,
    shape=first, dtype=like_first,
    reach={"x": taken, "values": taken},
    batch=_masked_put_examples,
    x=lambda g, mask, values_shape, *, lead, accumulate: (
        g if accumulate else masked_put(g, mask, zeros((), g), lead=lead, accumulate=False)),
    values=lambda g, mask, values_shape, *, lead: _of_values(g, mask, values_shape, lead),
    samples=lambda: [
        *[Sample(s, Fixed(m), v, lead=k, accumulate=False) for s, m, v, k in _MASKS],
        Sample((2, 3), Fixed(_MASK), (), lead=0, accumulate=True),
    ])  # fmt: skip


def _masked_scatter(x: ndarray, mask: ndarray, y: ndarray) -> ndarray:
    count = np.count_nonzero(mask)
    if count > y.size:
        raise RuntimeError("Number of elements of source < number of ones in mask")
    out = np.array(x, order="C")
    out[mask] = y.reshape(-1)[:count]
    return out


masked_scatter = linear("masked_scatter(x, mask, y)", _masked_scatter,
    refuses=True,
    shape=first, dtype=like_first,
    reach=taken,
    batch=per_example(_scatter_by_rank),
    x=lambda g, mask: where(mask, 0, g),
    y=lambda g, mask, y_shape: unmasked(g, mask, shape=y_shape),
    samples=lambda: [Sample((2, 3), Fixed(_MASK), (5,)), Sample((2, 3), Fixed(_MASK), (2, 3))])  # fmt: skip


def _unmasked(g: ndarray, mask: ndarray, *, shape: tuple) -> ndarray:
    out = np.zeros(prod(shape), g.dtype)
    found = g[mask]
    out[: found.size] = found
    return out.reshape(shape)


def _remasked(x: Any, mask: Any, x_shape: tuple) -> Any:
    return masked_scatter(zeros(np.shape(mask) if isinstance(mask, ndarray) else tuple(mask.shape), x), mask, x)


unmasked = linear("unmasked(x, mask, *, shape)", _unmasked, node="MaskedScatterBackward",
    refuses=True,
    shape=given,
    reach=taken,
    batch=per_example(_unmask_by_rank),
    x=lambda g, mask, x_shape: _remasked(g, mask, x_shape),
    samples=lambda: [Sample((2, 3), Fixed(_MASK), shape=(5,))])  # fmt: skip

nonzero = op("nonzero(x)", lambda x: np.argwhere(x), nondiff=True, kinds="bifc",
    shape=by_values, dtype=int64,
    batch=dynamic(),
    samples=lambda: [Sample((3, 4)), Sample(()), Sample((0, 2))])  # fmt: skip


def _nonzero_static(x: ndarray, *, size: int, fill_value: int) -> ndarray:
    found = np.argwhere(x)[:size]
    out = np.full((size, found.shape[1]), fill_value, np.int64)
    out[: len(found)] = found
    return out


nonzero_static = op("nonzero_static(x, *, size, fill_value)", _nonzero_static, nondiff=True, kinds="bifc",
    shape=lambda x, *, size: (size, len(x)), dtype=int64,
    batch=looped,
    doc="The positions of the first elements that are not zero, and `fill_value` where there are fewer.",
    samples=lambda: [
        Sample(Fixed(_MASK), size=3, fill_value=-1), Sample((2, 3), size=9, fill_value=7), Sample((), size=1, fill_value=0)
    ])  # fmt: skip
