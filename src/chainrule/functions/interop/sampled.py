"""NumPy's functions of sampled values on tensors: differences, integrals, interpolation, averages, quantiles, parts.

Each takes NumPy's arguments and calls chainrule's functions; the table at the end is what ``interop.numpy`` looks up.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.tensor.tensor import Tensor, wrap


def _ours() -> Any:
    return sys.modules["chainrule"]


def _tensor(x: Any) -> Any:
    return x if isinstance(x, Tensor) else wrap(np.asarray(x))


def _diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    x = _tensor(a)

    def edge(value: Any) -> Any:
        if value is None:
            return None
        value = _tensor(value)
        shape = [1 if k == axis % x.ndim else size for k, size in enumerate(x.shape)]
        return value.expand(*shape) if not value.ndim else value

    return _ours().diff(x, n, axis, edge(prepend), edge(append))


def _gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    f = _tensor(f)
    dims = tuple(range(f.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    if len(varargs) not in (0, 1, len(dims)):
        raise TypeError("numpy.gradient: invalid number of arguments")
    given = list(varargs) or [1.0]
    steps = given * (len(dims) // len(given))
    found = [
        _ours().gradient(f, spacing=[_tensor(h)] if np.ndim(h) else float(h), dim=d, edge_order=edge_order)[0]
        for h, d in zip(steps, dims, strict=True)
    ]
    return found[0] if len(found) == 1 else tuple(found)


def _trapezoid(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Any:
    if x is None:
        return _ours().trapezoid(_tensor(y), dx=dx, dim=axis)
    return _ours().trapezoid(_tensor(y), _tensor(x), dim=axis)


def _interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None) -> Any:
    """Interpolate linearly between the points (xp, fp), which ascend; beyond them stand `left` and `right`."""
    x, xp, fp = (_tensor(v) for v in (x, xp, fp))
    k = _ours().clamp(_ours().searchsorted(xp.detach(), x.detach().contiguous(), right=True), 1, len(xp) - 1) - 1
    flat = k.reshape(-1)
    x0, x1, y0, y1 = (v[flat + i].reshape(k.shape) for v in (xp, fp) for i in (0, 1))
    out = y0 + (x - x0) * ((y1 - y0) / (x1 - x0))
    out = _ours().where(x < xp[0], fp[0] if left is None else _tensor(left).to(out.dtype), out)
    return _ours().where(x > xp[-1], fp[-1] if right is None else _tensor(right).to(out.dtype), out)


def _quantile(name: str, scale: float = 1) -> Callable:
    def quantile(a: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
        a = _tensor(a)
        at = _tensor(q).to(a.dtype) / scale
        return getattr(_ours(), name)(a, at, dim=axis, keepdim=keepdims, interpolation=method)

    return quantile


def _median(name: str) -> Callable:  # PyTorch's takes the lower of the two in the middle, NumPy their mean
    def median(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return getattr(_ours(), name)(_tensor(a), 0.5, dim=axis, keepdim=keepdims)

    return median


def _average(a: Any, axis: Any = None, weights: Any = None, keepdims: bool = False) -> Any:
    a = _tensor(a)
    dims = tuple(range(a.ndim)) if axis is None else axis
    if weights is None:
        return a.mean(dim=dims, keepdim=keepdims)
    w = _tensor(weights)
    if w.ndim == 1 and a.ndim > 1:
        w = w.reshape([-1 if k == dims % a.ndim else 1 for k in range(a.ndim)])
    return (a * w).sum(dim=dims, keepdim=keepdims) / w.expand(a.shape).sum(dim=dims, keepdim=keepdims)


def _ptp(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    a = _tensor(a)
    dims = tuple(range(a.ndim)) if axis is None else axis
    return a.amax(dim=dims, keepdim=keepdims) - a.amin(dim=dims, keepdim=keepdims)


def _cross(a: Any, b: Any, axis: int = -1) -> Any:
    x, y = _ours().broadcast_tensors(_tensor(a), _tensor(b))
    return _ours().cross(x, y, dim=axis)


def _append(arr: Any, values: Any, axis: Any = None) -> Any:
    parts = [_tensor(arr), _tensor(values)]
    return _ours().cat([p.reshape(-1) for p in parts] if axis is None else parts, dim=axis or 0)


def _split(name: str, axis: int | None = None) -> Callable:
    def split(ary: Any, indices_or_sections: Any, **given: Any) -> Any:
        along = given.get("axis", 0) if axis is None else axis
        if axis is None and isinstance(indices_or_sections, int) and ary.shape[along] % indices_or_sections:
            raise ValueError("array split does not result in an equal division")
        return list(_ours().tensor_split(ary, indices_or_sections, along))

    return split


def _covariance(m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: Any = None) -> Any:
    m = _tensor(m) if y is None else _ours().vstack([_tensor(m), _tensor(y)])
    correction = (0 if bias else 1) if ddof is None else ddof
    return _ours().cov(m if rowvar or m.ndim < 2 else m.T, correction=correction)


def _searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    return _ours().searchsorted(_tensor(a), _tensor(v), side=side, sorter=None if sorter is None else _tensor(sorter))


def _take(a: Any, indices: Any, axis: Any = None) -> Any:
    a, at = _tensor(a), _tensor(indices)
    if axis is None:
        return a.reshape(-1)[at]
    return a[(slice(None),) * (axis % a.ndim) + (at,)]


def _cumulative(name: str, one: float) -> Callable:
    def scan(x: Any, /, *, axis: Any = None, dtype: Any = None, include_initial: bool = False) -> Any:
        if axis is None:
            if x.ndim > 1:
                raise ValueError("For arrays which have more than one dimension ``axis`` argument is required.")
            axis = 0
        out = getattr(_ours(), name)(x, dim=axis, **({} if dtype is None else {"dtype": dtype}))
        if not include_initial:
            return out
        return _ours().cat([out.new_full([1 if k == axis % x.ndim else n for k, n in enumerate(x.shape)], one), out], dim=axis)

    return scan


def _steps(start: Any, stop: Any, num: int, endpoint: bool) -> tuple:
    """Return both ends in a floating dtype, and fractions of the way between them along a new first axis."""
    start, stop = _ours().broadcast_tensors(_tensor(start), _tensor(stop))
    dtype = _ours().result_type(start, stop)
    dtype = dtype if dtype.is_floating_point or dtype.is_complex else _ours().float64
    parts = np.arange(num) / max(num - 1 if endpoint else num, 1)
    return start.to(dtype), stop.to(dtype), wrap(parts.reshape(num, *(1,) * start.ndim)).to(dtype)


def _linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None, axis: int = 0
) -> Any:
    a, b, t = _steps(start, stop, num, endpoint)
    out = a * (1 - t) + b * t
    out = (out if dtype is None else out.to(dtype)).movedim(0, axis)
    return (out, (b - a) / max(num - 1 if endpoint else num, 1)) if retstep else out


def _logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None, axis: int = 0
) -> Any:
    out = base ** _linspace(start, stop, num, endpoint)
    return (out if dtype is None else out.to(dtype)).movedim(0, axis)


def _geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Any:
    a, b, t = _steps(start, stop, num, endpoint)
    if (a == 0).any() or (b == 0).any():
        raise ValueError("Geometric sequence cannot include zero")
    out = a * (b / a) ** t
    return (out if dtype is None else out.to(dtype)).movedim(0, axis)


def _polyval(p: Any, x: Any) -> Any:
    p, x = _tensor(p), _tensor(x)
    out = _ours().zeros_like(x)
    for coefficient in p:
        out = out * x + coefficient
    return out


def _ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    parts = [to_begin, _ours().diff(_tensor(ary).reshape(-1)), to_end]
    return _ours().cat([_tensor(p).reshape(-1) for p in parts if p is not None])


def _unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: float = 2 * np.pi) -> Any:
    x = _tensor(p)
    step = _ours().diff(x.detach(), dim=axis)
    near = (step + period / 2) % period - period / 2
    near = _ours().where((near == -period / 2) & (step > 0), period / 2, near)
    turns = _ours().where(step.abs() < (period / 2 if discont is None else max(discont, period / 2)), 0, near - step)
    still = [1 if k == axis % x.ndim else n for k, n in enumerate(x.shape)]
    return x + _ours().cat([x.new_zeros(still), _ours().cumsum(turns, dim=axis)], dim=axis)


FUNCTIONS: dict[str, Callable] = {
    "cumulative_sum": _cumulative("cumsum", 0), "cumulative_prod": _cumulative("cumprod", 1),
    "linspace": _linspace, "logspace": _logspace, "geomspace": _geomspace, "polyval": _polyval, "ediff1d": _ediff1d,
    "unwrap": _unwrap,
    "diff": _diff, "gradient": _gradient, "trapezoid": _trapezoid, "interp": _interp,
    "quantile": _quantile("quantile"), "nanquantile": _quantile("nanquantile"),
    "percentile": _quantile("quantile", 100), "nanpercentile": _quantile("nanquantile", 100),
    "median": _median("quantile"), "nanmedian": _median("nanquantile"),
    "average": _average, "ptp": _ptp, "cross": _cross, "append": _append, "take": _take,
    "vdot": lambda a, b: _ours().vdot(_tensor(a).reshape(-1), _tensor(b).reshape(-1)),
    "split": _split("split"), "hsplit": lambda ary, indices_or_sections: list(_ours().hsplit(ary, indices_or_sections)),
    "vsplit": _split("vsplit", 0), "dsplit": _split("dsplit", 2),
    "meshgrid": lambda *xi, indexing="xy": _ours().meshgrid(*map(_tensor, xi), indexing=indexing),
    "cov": _covariance, "corrcoef": lambda x: _ours().corrcoef(_tensor(x)),
    "searchsorted": _searchsorted,
    "argwhere": lambda a: _ours().argwhere(a), "nonzero": lambda a: _ours().nonzero(a, as_tuple=True),
    "flatnonzero": lambda a: _ours().nonzero(a.reshape(-1)).reshape(-1),
    "count_nonzero": lambda a, axis=None: _ours().count_nonzero(a, axis),
    "isin": lambda element, test_elements: _ours().isin(_tensor(element), _tensor(test_elements)),
}  # fmt: skip
