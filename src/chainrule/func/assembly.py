"""Assembly: the entries of a block as a dense tensor, or as SciPy's sparse array."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np

from chainrule.core.mode.grad_mode import modes
from chainrule.core.op.declaration import TABLE
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.func.recovery import Block


def in_dense(values: Tensor, block: Block, shape: tuple) -> Tensor:
    """Return the dense block of these entries, 0 elsewhere."""
    total = block.shape[0] * block.shape[1]
    if _is_plain(values):
        array = np.zeros(total, values.dtype.numpy)
        array[block.places] = values._data
        return wrap(array.reshape(shape))
    whole = TABLE["index_sum"].call(values, wrap(block.places), shape=(total,), axes=(0,))
    return TABLE["reshape"].call(whole, shape=shape)


def in_sparse(numbers: np.ndarray, block: Block) -> Any:
    """Return the block as SciPy's `csr_array`, a row for each element of the result and a column for each of the input.

    It is made from a copy of the pattern's, which takes a fifth of the time of SciPy's constructor; its indices are its own.
    """
    made = copy(block.csr)
    made.data, made.indices, made.indptr = numbers, made.indices.copy(), made.indptr.copy()
    return made


def sparse_of(entry: Tensor, out: Tensor, x: Tensor) -> Any:
    """Return a dense block, whose pattern nobody knows, as SciPy's `csr_array` of what is not 0 in it."""
    from scipy.sparse import csr_array

    return csr_array(numbers_of(entry).reshape(out.numel(), x.numel()))


def numbers_of(values: Tensor) -> np.ndarray:
    """Return entries as an array of a dtype that SciPy's sparse arrays have.

    Raises
    ------
    RuntimeError
        If they belong to another transform or have a history: SciPy's arrays hold neither.
    """
    if not _is_plain(values):
        recorder = modes().compiling
        if recorder is not None:
            recorder.refuse(
                "makes a SciPy array, which no record holds; compile the derivative itself, as in "
                "chainrule.compile(jacobian(f, sparse=True)), and call it outside"
            )
        raise RuntimeError(
            "sparse=True: a SciPy array holds numbers alone, and these are tracked by another transform or require grad. Take "
            "the dense Jacobian there, or detach what requires grad"
        )
    return supported(np.asarray(values._data))


def supported(data: np.ndarray) -> np.ndarray:
    """Return numbers in a dtype that SciPy's sparse arrays have: those of half precision as float32."""
    return data.astype(np.float32) if data.dtype.itemsize < 4 or data.dtype.kind not in "fc" else data


def _is_plain(values: Tensor) -> bool:
    return values.__class__ is Tensor and values._node is None and isinstance(values._data, (np.ndarray, np.generic))
