"""NumPy's functions that leave out NaN, on tensors: each fills in what changes nothing, and calls the function that does not.

The table at the end is what ``interop.numpy`` looks up.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

from chainrule.core.tensor.tensor import Tensor


def _ours() -> Any:
    return sys.modules["chainrule"]


def _filled(a: Tensor, value: float) -> Any:
    return _ours().where(_ours().isnan(a), value, a)


def _dims(a: Any, axis: Any) -> Any:
    return tuple(range(a.ndim)) if axis is None else axis


def _extreme(name: str, worst: float) -> Callable:
    def extreme(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
        dims = _dims(a, axis)
        out = getattr(_ours(), name)(_filled(a, worst), dim=dims, keepdim=keepdims)
        blank = _ours().isnan(a).all(dim=dims, keepdim=keepdims)
        if blank.any():
            warnings.warn("All-NaN slice encountered", RuntimeWarning, stacklevel=4)
            out = _ours().where(blank, float("nan"), out)
        return out

    return extreme


def _position(name: str, worst: float) -> Callable:
    def find(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
        if _ours().isnan(a).all(dim=_dims(a, axis)).any():
            raise ValueError("All-NaN slice encountered")
        return getattr(_ours(), name)(_filled(a, worst), dim=axis, keepdim=keepdims)

    return find


def _scan(name: str, one: float) -> Callable:
    def scan(a: Any, axis: Any = None, dtype: Any = None) -> Any:
        x = _filled(a, one)
        kwargs = {} if dtype is None else {"dtype": dtype}
        return getattr(_ours(), name)(x.reshape(-1) if axis is None else x, dim=0 if axis is None else axis, **kwargs)

    return scan


def _prod(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    x = _filled(a, 1.0) if dtype is None else _filled(a, 1.0).to(dtype)
    axes = _dims(a, axis)
    for k in sorted([d % max(a.ndim, 1) for d in (axes if isinstance(axes, tuple) else (axes,))], reverse=True):
        x = x.prod(dim=k, keepdim=keepdims)
    return x


def _var(a: Any, axis: Any = None, ddof: Any = 0, keepdims: bool = False, *, correction: Any = None) -> Any:
    dims, ddof = _dims(a, axis), ddof if correction is None else correction
    count = (~_ours().isnan(a)).sum(dim=dims, keepdim=True)
    apart = a - _filled(a, 0.0).sum(dim=dims, keepdim=True) / count
    size = (apart * apart.conj()).real if a.is_complex() else apart * apart
    total = _filled(size, 0.0).sum(dim=dims, keepdim=keepdims)
    left = count.reshape(total.shape) - ddof
    if (left <= 0).any():
        warnings.warn("Degrees of freedom <= 0 for slice.", RuntimeWarning, stacklevel=4)
    return total / _ours().where(left > 0, left, float("nan"))


FUNCTIONS: dict[str, Callable] = {
    "nanmax": _extreme("amax", float("-inf")), "nanmin": _extreme("amin", float("inf")),
    "nanargmax": _position("argmax", float("-inf")), "nanargmin": _position("argmin", float("inf")),
    "nancumsum": _scan("cumsum", 0.0), "nancumprod": _scan("cumprod", 1.0), "nanprod": _prod,
    "nanvar": _var, "nanstd": lambda a, *args, **kwargs: _var(a, *args, **kwargs).sqrt(),
}  # fmt: skip
