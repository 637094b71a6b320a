"""BLAS for native code: the addresses of the matrix products that SciPy carries, and the block of numbers of a call.

Fortran's convention is column by column: what it takes for ``c = a b`` is, row by row, ``c' = b' a'``. Calls of small
products cost 20 ns for 2 × 2 and 100 ns for 16 × 16 in float32, so that nothing else is needed for them.
"""

from __future__ import annotations

import ctypes
import importlib.machinery
import importlib.util
import os
import struct
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from chainrule.core.call import threads

LARGEST = 2**31 - 1  # sizes and steps are C ints
LEVELS = 3  # of batches


@cache
def gemm(dtype: np.dtype) -> int:
    """Return the address of the matrix product of float32 or float64."""
    capsule = _functions()[{"f4": "sgemm", "f8": "dgemm"}[dtype.str[1:]]]
    name, pointer = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return pointer(capsule, name(capsule))


@cache
def _functions() -> dict[str, Any]:
    """Return the capsules of ``scipy.linalg.cython_blas``, whose BLAS then uses as many threads as was asked for.

    The module is loaded without its package, which takes 200 ms to import and is not needed: 13 ms.
    """
    found = _alone() if "scipy.linalg" not in sys.modules else None
    if found is None:
        found = importlib.import_module("scipy.linalg.cython_blas")
    if threads._threads is not None:
        threads.set_num_threads(threads._threads)
    return found.__pyx_capi__


def _alone() -> Any:
    import scipy

    folder = os.path.join(os.path.dirname(scipy.__file__), "linalg")
    spec = importlib.machinery.PathFinder.find_spec("cython_blas", [folder])
    if spec is None or spec.loader is None:
        return None
    try:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except ImportError:
        return None
    return module if hasattr(module, "__pyx_capi__") else None


def numbers(
    dtype: np.dtype,
    sizes: tuple[int, int, int],
    batches: Sequence[int],
    a: Sequence[int],
    b: Sequence[int],
    out: Sequence[int],
    alpha: float,
    beta: float,
) -> np.ndarray | None:
    """Return the block that ``cr_gemm`` takes first; None for a product that BLAS does not take as it lies.

    Parameters
    ----------
    dtype : numpy.dtype
        float32 or float64.
    sizes : tuple of int
        (m, n, k): `a` is of (m, k), `b` of (k, n), `out` of (m, n).
    batches : sequence of int
        The sizes of the axes of batches, at most `LEVELS`.
    a, b, out : sequence of int
        Steps in elements along the axes of batches, from row to row, from column to column.
    alpha, beta : float
    """
    m, n, k = sizes
    laid = [_laid(rows, columns, x) for x, rows, columns in ((a, m, k), (b, k, n), (out, m, n))]
    if None in laid:
        return None
    (trans_a, lda), (trans_b, ldb), (trans_out, ldc) = laid  # type: ignore[misc]
    if trans_out == "T" or max(m, n, k, lda, ldb, ldc) > LARGEST:
        return None
    letter = dtype.char
    block = b"".join(
        [
            struct.pack("@Q", gemm(dtype)),
            *[struct.pack("@c7x", trans.encode()) for trans in (trans_b, trans_a)],
            *[struct.pack("@i4x", size) for size in (n, m, k)],
            struct.pack(f"@{letter}", alpha).ljust(8, b"\0"),
            struct.pack("@i4x", ldb),
            struct.pack("@i4x", lda),
            struct.pack(f"@{letter}", beta).ljust(8, b"\0"),
            struct.pack("@i4x", ldc),
        ]
    )
    lacking = LEVELS - len(batches)
    counts = [*[1] * lacking, *batches]
    steps = [step * dtype.itemsize for x in (b, a, out) for step in (*[0] * lacking, *x[:-2])]
    return np.frombuffer(block + struct.pack(f"@{len(counts) - 1 + len(steps)}q", *counts[1:], *steps), np.uint8)


def _laid(rows: int, columns: int, steps: Sequence[int]) -> tuple[str, int] | None:
    """Return "N" for a matrix that lies row by row, "T" for column by column, and the step between rows or columns."""
    row, column = steps[-2:]
    if (column == 1 or columns <= 1) and (row >= columns or rows <= 1):
        return "N", max(row, columns, 1)
    if (row == 1 or rows <= 1) and (column >= rows or columns <= 1):
        return "T", max(column, rows, 1)
    return None
