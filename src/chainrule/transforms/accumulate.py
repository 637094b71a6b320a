"""Where cotangents end: they are added to the `.grad` of tensors, as PyTorch's `AccumulateGrad` adds them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from chainrule.core.op import TABLE
from chainrule.core.quiet import hush, unhush
from chainrule.core.tensor import Meta, Tensor, meta_of, version_of, wrap, wrap_at

ndarray = np.ndarray
_accumulating = threading.Lock()  # `.grad` is read, added to and written: two threads' passes may meet at a leaf


def accumulate(found: Iterable[Sequence], level: int, create_graph: bool) -> None:
    """Add cotangents, given as (tensor, cotangent, owned), to the tensors' `.grad`, as PyTorch's `AccumulateGrad` does.

    In place where there is a gradient already, so that whoever holds it sees it grow; into a new tensor when
    `create_graph`. A buffer that the pass does not own is copied.
    """
    with _accumulating:
        for tensor, g, owned in found:
            meta = tensor._meta
            if meta.__class__ is not Meta:
                meta = meta_of(tensor)
            old = meta.grad
            if create_graph:
                meta.grad = TABLE["clone"].call(g) if old is None else tensor.grad + g  # type: ignore[operator]
            elif level:
                meta.grad = wrap_at(level, g) if old is None else old + wrap_at(level, g)
            elif old is None:
                if g.dtype is not tensor._data.dtype:
                    g, owned = in_dtype(g, tensor), True
                meta.grad = g if owned or g.__class__ is not ndarray else g.copy()
            else:
                token = hush()
                try:
                    _add_to_gradient(meta, old, g)
                finally:
                    unhush(token)


def _add_to_gradient(meta: Meta, old: Any, g: Any) -> None:
    """Add a raw cotangent to a gradient that is there already: a payload, or the tensor made of it for its reader."""
    if not isinstance(old, Tensor):
        meta.grad = np.add(old, g, out=old) if old.__class__ is ndarray else old + g
    elif old._level:
        meta.grad = old.detach() + wrap(g)  # type: ignore[attr-defined]
    else:
        if old._data.__class__ is ndarray:
            np.add(old._data, g, out=old._data, casting="same_kind")
        else:
            old._data = old._data + g
        version_of(old).bump()


def in_dtype(g: Any, t: Tensor) -> Any:
    """Return a raw cotangent in the dtype of its tensor: bfloat16 widens where a rule meets a Python number."""
    d = t.dtype.numpy
    return g if isinstance(g, Tensor) or g.dtype is d else g.astype(d)
