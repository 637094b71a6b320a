"""Arithmetic beside half precision: what PyTorch's kernels compute in single precision, and round once, at the end.

PyTorch calls single precision the `opmath` type of ``float16`` and ``bfloat16``. A Python number that meets such an array in a
product or a quotient is not rounded to its precision first; NumPy, to which numbers are weak, rounds it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

float32 = np.dtype(np.float32)


def is_half(d: np.dtype) -> bool:
    """Tell whether a NumPy dtype is ``float16`` or ``bfloat16``."""
    return d.itemsize == 2 and d.kind in "fV"


def _widened(x: Any) -> Any:
    if x.__class__ is Unrounded:
        return float(np.float32(x))
    d = getattr(x, "dtype", None)
    return x.astype(float32) if d is not None and is_half(d) else x


class Unrounded(float):
    """A number beside half precision: NumPy's ufuncs on it and such an array compute in single precision, and round the result.

    Arithmetic on it alone gives one again, so a rule's ``g * (1 - w)`` rounds once as well.

    Examples
    --------
    >>> three = np.array([3.0], np.float16)
    >>> (three * 0.7).item(), (three * Unrounded(0.7)).item()
    (2.1015625, 2.099609375)
    """

    __slots__ = ()

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        """Apply a ufunc to arrays and such numbers."""
        half = next((x.dtype for x in inputs if hasattr(x, "dtype") and is_half(x.dtype)), None)
        found = getattr(ufunc, method)(*[_widened(x) for x in inputs], **options)
        if half is not None and found.dtype == float32:
            found = found.astype(half)
        if out is None:
            return found
        np.copyto(out[0], found)
        return out[0]


def _closed(name: str) -> Callable:
    plain = getattr(float, name)

    def method(*numbers: float) -> Any:
        found = plain(*numbers)
        return Unrounded(found) if found.__class__ is float else found

    return method


for _name in ("neg", "add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv"):
    setattr(Unrounded, f"__{_name}__", _closed(f"__{_name}__"))


def in_single(kernel: Callable) -> Callable:
    """Return a kernel that computes what is of half precision in single precision, and rounds the result once."""

    def wide(*xs: Any, **params: Any) -> Any:
        d = next((x.dtype for x in xs if hasattr(x, "dtype")), float32)
        if not is_half(d):
            return kernel(*xs, **params)
        return kernel(*[_widened(x) for x in xs], **params).astype(d)

    return wide


def beside(x: Any, number: Any, rounded: bool = False) -> Any:
    """Return a Python number as a rule is to use it beside an array or tensor `x`: unrounded, if that is of half precision.

    PyTorch fills a tensor with a number that is divided by another: that is `rounded` first.
    """
    d = getattr(x, "dtype", None)
    d = getattr(d, "numpy", d)
    if number.__class__ not in (float, int) or d is None or not is_half(d):
        return number
    return Unrounded(d.type(number) if rounded else number)
