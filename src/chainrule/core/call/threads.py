"""Large work: native code's, where there is some, else NumPy's, split over the cores.

NumPy's ufuncs run on one core, and release the interpreter lock inside. Only kernels that compute much per element are split
(ops declared `costly`): exp of 10^6 float32 takes 0.36 ms on two cores and 0.54 on one. Sums and products are bound by memory
and lose (0.52 ms against 0.24 for the rule of sigmoid), and so do smaller blocks, whose threads wait for the interpreter lock.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.call.silence import hush, unhush
from chainrule.core.op.declaration import Backend
from chainrule.core.op.native import in_native

LARGE = 1 << 18  # elements; handing a thread its share costs 80 us, an exponential of so many float32 140

_threads: int | None = None
_pool: Any = None


def get_num_threads() -> int:
    """Return the number of threads that large work uses: the available cores, or ``OMP_NUM_THREADS``, unless set."""
    if _threads is not None:
        return _threads
    if (asked := os.environ.get("OMP_NUM_THREADS", "")).isdigit() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_num_threads(number: int) -> None:
    """Set the number of threads for large work: elementwise, convolutions, random numbers, and the products of BLAS.

    One is faster where other processes keep the cores busy, as threads of BLAS wait for each other. BLAS libraries that are
    loaded later, such as SciPy's, keep their own number; ``OMP_NUM_THREADS``, set before Python starts, is all of theirs.

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
    from threadpoolctl import threadpool_limits

    threadpool_limits(_threads, user_api="blas")


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


def in_threads(work: Callable[[int], None], number: int) -> None:
    """Call ``work(k)`` for each k below a number, silently, each on a thread of its own as far as there are."""

    def quietly(k: int) -> None:
        token = hush()
        try:
            work(k)
        finally:
            unhush(token)

    try:
        waiting = [_workers().submit(quietly, k) for k in range(1, number)]
    except RuntimeError:  # the interpreter is shutting down, and starts no more work
        for k in range(1, number):
            quietly(k)
        waiting = []
    quietly(0)
    for future in waiting:
        future.result()


def large(backend: Backend, *xs: Any, **params: Any) -> Any:
    """Return what the kernel of an elementwise op gives for large arrays: by native code, on several threads, or plainly."""
    if backend.native and (out := in_native(backend.kernel, *xs, **params)) is not None:
        return out
    return spread(backend.kernel, xs[0]) if backend.costly else backend.kernel(*xs, **params)


def spread(kernel: Callable, a: np.ndarray) -> np.ndarray:
    """Return ``kernel(a)`` for an elementwise kernel that takes ``out=``, each thread computing a stretch of the array.

    An array that is not contiguous is left to one thread, and to NumPy.
    """
    number = get_num_threads()
    if number == 1 or a.size < LARGE or not a.flags.c_contiguous:
        return kernel(a)
    out = np.empty_like(a)
    source, target = a.reshape(-1), out.reshape(-1)
    bounds = [a.size * k // number for k in range(number + 1)]
    in_threads(lambda k: kernel(source[bounds[k] : bounds[k + 1]], out=target[bounds[k] : bounds[k + 1]]), number)
    return out
