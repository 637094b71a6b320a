"""Where cotangents end: they are added to the `.grad` of tensors, as PyTorch's `AccumulateGrad` adds them."""

from __future__ import annotations

import sys
from _thread import allocate_lock  # what `threading` calls Lock, without the millisecond that it takes to read
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from chainrule.core.call.silence import hush, unhush
from chainrule.core.mode.grad_mode import modes
from chainrule.core.op.declaration import TABLE
from chainrule.core.record.placed import Placed
from chainrule.core.tensor.tensor import Tensor, wrap, wrap_at
from chainrule.core.tensor.value import OWN, Meta, allowed_grad_dtype, as_stored, memory_of, meta_of, version_of
from chainrule.core.write.inplace import write

ndarray = np.ndarray
_accumulating = allocate_lock()  # `.grad` is read, added to and written: two threads' passes may meet at a leaf


def accumulate(found: Iterable[Sequence], level: int, create_graph: bool) -> None:
    """Add cotangents, given as (tensor, cotangent, owned), to the tensors' `.grad`, as PyTorch's `AccumulateGrad` does.

    In place where there is a gradient already, so that whoever holds it sees it grow; into a new tensor when
    `create_graph`. A buffer that the pass does not own is copied.
    """
    with _accumulating:
        for tensor, g, owned in found:
            if tensor._node is None and not tensor._level:  # it no longer requires grad
                continue
            meta = tensor._meta
            if meta.__class__ is not Meta:
                meta = meta_of(tensor)
            if not tensor._level and (mode := modes()).compiling is not None:
                mode.compiling.note_gradient(tensor, True)
                recorded = mode.record and mode.floor <= level
                if not recorded and (g.__class__ is Placed or not g._level):
                    _accumulate_symbol(meta, tensor, g)
                    continue
            old = meta.grad
            if g.__class__ is Placed:
                if _placed_into(meta, old, g, tensor):
                    continue
                g = g.whole()
                owned = g.__class__ is ndarray
            if meta.grad_dtype is not OWN:
                g = in_dtype(g, tensor, old)
            if create_graph:
                meta.grad = TABLE["clone"].call(g) if old is None else tensor.grad + g  # type: ignore[operator]
            elif level:
                meta.grad = wrap_at(level, g) if old is None else old + wrap_at(level, g)
            elif old is None:
                if g.dtype is not tensor._data.dtype:
                    cast = in_dtype(g, tensor)
                    g, owned = cast, owned or cast is not g
                if g.__class__ is ndarray:
                    if g.strides != tensor._data.strides and g.size and modes().layout:
                        cast = laid_out(g, tensor._data)
                        g, owned = cast, owned or cast is not g
                    meta.grad = g if owned else g.copy("K")
                else:
                    meta.grad = g
            else:
                token = hush()
                try:
                    _add_to_gradient(meta, old, g)
                finally:
                    unhush(token)


def _accumulate_symbol(meta: Meta, tensor: Tensor, g: Any) -> None:
    """Add a cotangent of a pass that is recorded under level 0: in place, as a pass on arrays does."""
    g = in_dtype(g.whole() if g.__class__ is Placed else g, tensor)
    old = tensor.grad
    if old is not None:
        write(old, old.detach() + g, "add_")  # type: ignore[attr-defined]
        return
    if g.stride() != tensor.stride() and modes().layout:
        g = TABLE["copy"].call(tensor, g, form="CopyBackwards!")
    meta.grad = wrap(memory_of(g).copy())


def is_alone(box: list) -> bool:
    """Tell whether an array lies in this box and nowhere else, so that it may become a pass's own buffer.

    A view of it, a tensor on it, a buffer taken of it would each hold a reference.
    """
    return _count(box) == _ALONE and box[0].base is None and box[0].flags.owndata and box[0].flags.writeable


def _count(box: list) -> int:
    return sys.getrefcount(box[0])


_ALONE = _count([np.empty(1)])  # how Python counts its own references while it calls differs by version


def _placed_into(meta: Meta, old: Any, g: Placed, tensor: Tensor) -> bool:
    """Add the cotangent of parts into a gradient that is there already, if it can be done in place."""
    buffer = old._data if isinstance(old, Tensor) and not (old._level or old._bit) else old
    if buffer.__class__ is not ndarray or not g.raw or tensor._level or g.dtype is not buffer.dtype:
        return False
    token = hush()
    try:
        g.into(buffer)
    finally:
        unhush(token)
    if old is not buffer:
        version_of(old).bump()
    return True


def _add_to_gradient(meta: Meta, old: Any, g: Any) -> None:
    """Add a raw cotangent to a gradient that is there already: a payload, or the tensor made of it for its reader."""
    if not isinstance(old, Tensor):
        meta.grad = np.add(old, g, out=old) if old.__class__ is ndarray else old + g
    elif old._level:
        meta.grad = old.detach() + wrap(g)  # type: ignore[attr-defined]
    else:
        if old._bit:  # its values are computed from its memory
            memory = memory_of(old)
            np.add(memory, as_stored(old, g), out=memory, casting="same_kind")
        elif old._data.__class__ is ndarray:
            np.add(old._data, g, out=old._data, casting="same_kind")
        else:
            old._data = old._data + g
        version_of(old).bump()


def in_dtype(g: Any, t: Tensor, old: Any = None) -> Any:
    """Return a cotangent in the dtype of its tensor's gradient, `old` where there is one already.

    Where that is the tensor's own it has it, but for bfloat16, which widens where a rule meets a Python number.
    """
    wanted = allowed_grad_dtype(t)
    if wanted is None and old is None:
        return g
    d = wanted.numpy if old is None else old.dtype.numpy if isinstance(old, Tensor) else old.dtype  # type: ignore[union-attr]
    if not isinstance(g, Tensor):
        return g if g.dtype is d else g.astype(d)
    own = t._meta.__class__ is not Meta or t._meta.grad_dtype is OWN
    return g if own or g.dtype.numpy is d else TABLE["to"].call(g, dtype=d, source=g.dtype.numpy)


def laid_out(g: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Return a cotangent with the strides of its tensor's memory, or in C order where that has gaps."""
    kept = np.empty_like(like, g.dtype)  # keeps the order of the axes, and no gaps
    wanted = like if kept.strides == like.strides else np.empty(g.shape, g.dtype)
    if all([a == b or n == 1 for a, b, n in zip(g.strides, wanted.strides, g.shape, strict=True)]):
        return g
    kept = kept if wanted is like else wanted
    kept[...] = g
    return kept
