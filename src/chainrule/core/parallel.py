"""Large elementwise work, split over the cores and into blocks that fit a core's cache.

NumPy's ufuncs run on one core and make one pass over memory each; a rule of several ufuncs on a large array is bound
by memory. Block by block its temporaries stay in cache, and the blocks of different threads run at once, because NumPy
releases the interpreter lock inside.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.quiet import hush, unhush

LARGE = 1 << 17  # elements; handing a thread its share costs 30 us, an exponential of so many float32 150
BLOCK = 1 << 16

_threads: int | None = None
_pool: Any = None


def get_num_threads() -> int:
    """Return the number of threads that large elementwise work uses: the available cores unless set."""
    if _threads is not None:
        return _threads
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_num_threads(number: int) -> None:
    """Set the number of threads for large elementwise work. BLAS has its own setting.

    Parameters
    ----------
    number : int
        At least 1.

    Raises
    ------
    RuntimeError
        If the number is not positive.

    Examples
    --------
    >>> import chainrule as cr
    >>> before = cr.get_num_threads()
    >>> cr.set_num_threads(1)
    >>> cr.get_num_threads()
    1
    >>> cr.set_num_threads(before)
    """
    global _threads, _pool
    if number < 1:
        raise RuntimeError(f"set_num_threads expects a positive integer, got {number}")
    _threads, _pool = int(number), None


def _forget_pool() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)  # a forked child has no threads


def _workers() -> Any:
    global _pool
    if _pool is None:
        from concurrent.futures import ThreadPoolExecutor

        _pool = ThreadPoolExecutor(max(get_num_threads() - 1, 1), thread_name_prefix="chainrule")
    return _pool


def _flat(a: Any) -> Any:
    """Return an array as one axis, or its one value where all elements are the same memory; None if neither is cheap."""
    if a.__class__ is not np.ndarray or a.ndim == 0:
        return a
    if a.flags.c_contiguous:
        return a.reshape(-1)
    return a[(0,) * a.ndim] if not any(a.strides) else None


def blockwise(f: Callable, *arrays: Any) -> Any:
    """Return ``f(*arrays)`` for an elementwise `f` and large arrays of one shape, or scalars, computed block by block.

    Arrays that are not contiguous are left to `f` whole.
    """
    flat = [_flat(a) for a in arrays]
    whole = next((a for a in arrays if a.__class__ is np.ndarray and a.ndim and a.flags.c_contiguous), None)
    if whole is None or any(a is None or (a.__class__ is np.ndarray and a.ndim and a.size != whole.size) for a in flat):
        return f(*arrays)
    size = whole.size
    token = hush()
    try:
        first = _block(f, flat, 0)
    finally:
        unhush(token)
    out = np.empty(whole.shape, first.dtype)
    target = out.reshape(-1)
    target[:BLOCK] = first
    starts = range(BLOCK, size, BLOCK)
    number = min(get_num_threads(), len(starts))

    def share(k: int) -> None:
        token = hush()
        try:
            for start in starts[k::number]:
                target[start : start + BLOCK] = _block(f, flat, start)
        finally:
            unhush(token)

    waiting = [_workers().submit(share, k) for k in range(1, number)]
    share(0)
    for future in waiting:
        future.result()
    return out


def _block(f: Callable, flat: list, start: int) -> Any:
    return f(*[a[start : start + BLOCK] if a.__class__ is np.ndarray and a.ndim else a for a in flat])
