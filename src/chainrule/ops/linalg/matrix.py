"""What rules of linear algebra say often: products, adjoints, triangles and diagonals of batches of matrices.

A value is an array, or a tensor of any level, whose last two axes are a matrix.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.tensor.value import is_complex
from chainrule.ops.indexing.view import diagonal, place_diagonal
from chainrule.ops.linalg.contract import matmul
from chainrule.ops.pointwise.complex import conj, real
from chainrule.ops.shaping.shape import reshape, transpose

ndarray = np.ndarray


def in_lapack(kernel: Callable) -> Callable:
    """Return a kernel that refuses dtypes LAPACK does not compute in, of which NumPy's functions would make doubles."""

    @functools.wraps(kernel)
    def checked(x: ndarray, *args: Any, **params: Any) -> Any:
        if x.dtype.itemsize == 2 or x.dtype.kind not in "fc":
            raise TypeError(f"LAPACK does not compute in {x.dtype}")
        return kernel(x, *args, **params)

    checked.factors = True  # type: ignore[attr-defined]  # for laws: of planted values its last digits are rounding
    return checked


def product(*factors: Any) -> Any:
    """Return a product of matrices, from left to right."""
    out = factors[0]
    for factor in factors[1:]:
        out = matmul(out, factor)
    return out


def mt(x: Any) -> Any:
    """Return the transposed matrix, a view."""
    return x.swapaxes(-1, -2) if x.__class__ is ndarray else transpose(x, a=x.ndim - 2, b=x.ndim - 1)


def mh(x: Any) -> Any:
    """Return the conjugate transpose."""
    return mt(conj(x) if is_complex(x) else x)


def hermitian(x: Any) -> Any:
    """Return the Hermitian part."""
    return (x + mh(x)) * 0.5


def skew(x: Any) -> Any:
    """Return twice the skew-Hermitian part."""
    return x - mh(x)


def real_part(x: Any) -> Any:
    """Return the real part; a real value as it is."""
    return real(x) if is_complex(x) else x


def diagonal_of(x: Any) -> Any:
    """Return the diagonals, a view."""
    return diagonal(x, offset=0, a=x.ndim - 2, b=x.ndim - 1)


def on_diagonal(d: Any) -> Any:
    """Return diagonal matrices."""
    n = d.shape[-1]
    return place_diagonal(d, shape=(*d.shape, n), offset=0, a=d.ndim - 1, b=d.ndim)


def column(d: Any) -> Any:
    """Return vectors as columns."""
    return reshape(d, shape=(*d.shape, 1))


def row(d: Any) -> Any:
    """Return vectors as rows."""
    return reshape(d, shape=(*d.shape[:-1], 1, d.shape[-1]))


def scaled(x: Any, d: Any) -> Any:
    """Return each matrix times a number of its own."""
    return x * reshape(d, shape=(*d.shape, 1, 1))


def numpy_dtype_of(x: Any) -> np.dtype:
    """Return the NumPy dtype of a raw value or tensor."""
    d = x.dtype
    return d if isinstance(d, np.dtype) else d.numpy


def eye_like(x: Any, n: int) -> ndarray:
    """Return the identity of a size, in the dtype of a value."""
    return np.eye(n, dtype=numpy_dtype_of(x))


def total(*terms: Any) -> Any:
    """Return the sum of the terms that are there; None if none is."""
    out = None
    for term in terms:
        if term is not None:
            out = term if out is None else out + term
    return out
