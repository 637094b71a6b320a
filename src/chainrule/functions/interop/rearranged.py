"""NumPy's functions on tensors that pad, choose, count and put: the order of elements, and not what they are.

Each takes NumPy's arguments and calls chainrule's functions; the table at the end is what ``interop.numpy`` looks up.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.tensor.tensor import Tensor, wrap


def _ours() -> Any:
    return sys.modules["chainrule"]


def _tensor(x: Any) -> Any:
    return x if isinstance(x, Tensor) else wrap(np.asarray(x))


def _flat(x: Any, axis: Any) -> tuple:
    """Return a tensor and an axis of it, flat if none is given."""
    return (_tensor(x).reshape(-1), 0) if axis is None else (_tensor(x), axis)


def _along(x: Any, axis: int, index: Any) -> Any:
    """Return what an index selects along one axis."""
    return x[(slice(None),) * (axis % x.ndim) + (index,)]


# -- padding and pieces ------------------------------------------------------------------------------------------------


def _pad(array: Any, pad_width: Any, mode: str = "constant", **given: Any) -> Any:
    """Pad by constants, or by elements of the array itself, which NumPy's own `pad` of positions names."""
    x = _tensor(array)
    if isinstance(pad_width, dict):
        pad_width = [pad_width.get(k, pad_width.get(k - x.ndim, (0, 0))) for k in range(x.ndim)]
        pad_width = [(w, w) if np.ndim(w) == 0 else tuple(w) for w in pad_width]
    widths = np.broadcast_to(np.asarray(pad_width, dtype=int), (x.ndim, 2))
    if np.any(widths < 0):
        raise ValueError("index can't contain negative values")
    if mode == "constant":
        values = given.pop("constant_values", 0)
        _no_more(given)
        return _with_constants(x, widths, np.broadcast_to(np.asarray(values), (x.ndim, 2)))
    if mode not in ("edge", "reflect", "symmetric", "wrap") or given.pop("reflect_type", "even") != "even":
        raise TypeError(f"numpy.pad: on a Tensor mode={mode!r} with these arguments is not supported")
    _no_more(given)
    for axis, (before, after) in enumerate(widths.tolist()):
        if before or after:
            x = _along(x, axis, _tensor(np.pad(np.arange(x.shape[axis]), (before, after), mode=mode)))  # type: ignore[call-overload]
    return x


def _with_constants(x: Any, widths: np.ndarray, values: np.ndarray) -> Any:
    for axis, (sizes, fills) in enumerate(zip(widths.tolist(), values.tolist(), strict=True)):
        shapes = [[n if k == axis else m for k, m in enumerate(x.shape)] for n in sizes]
        before, after = (x.new_full(shape, fill) for shape, fill in zip(shapes, fills, strict=True))
        x = _ours().cat([before, x, after], dim=axis)
    return x


def _no_more(given: dict) -> None:
    if given:
        raise TypeError(f"numpy.pad: on a Tensor the argument {next(iter(given))}= is not supported")


def _delete(arr: Any, obj: Any, axis: Any = None) -> Any:
    x, axis = _flat(arr, axis)
    obj = obj.detach().numpy() if isinstance(obj, Tensor) else obj
    return _along(x, axis, _tensor(np.delete(np.arange(x.shape[axis]), obj)))


def _insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    x, axis = _flat(arr, axis)
    axis %= x.ndim
    try:
        at = operator.index(obj)
    except TypeError:
        raise TypeError("numpy.insert: on a Tensor only one place, an int, is supported") from None
    n = x.shape[axis]
    if not -n <= at <= n:
        raise IndexError(f"index {at} is out of bounds for axis {axis} with size {n}")
    at += n * (at < 0)
    v = _tensor(values).to(x.dtype)
    v = v.reshape((1,) * (x.ndim - v.ndim) + tuple(v.shape)).movedim(0, axis)  # NumPy has the new axis first
    rest = [v.shape[k] if k == axis else m for k, m in enumerate(x.shape)]
    return _ours().cat([_along(x, axis, slice(at)), v.expand(rest), _along(x, axis, slice(at, None))], dim=axis)


def _rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    axis, start = axis % a.ndim, start + a.ndim * (start < 0)
    return a.movedim(axis, start - (axis < start))


def _unstack(x: Any, /, *, axis: int = 0) -> tuple:
    return tuple(_ours().unbind(x, axis))


# -- choices -----------------------------------------------------------------------------------------------------------


def _select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    if len(condlist) != len(choicelist):
        raise ValueError("list of cases must be same length as list of conditions")
    if not condlist:
        raise ValueError("select with an empty condition list is not possible")
    out = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        out = _ours().where(_tensor(condition), _tensor(choice) if np.ndim(choice) else choice, out)
    return out


def _compress(condition: Any, a: Any, axis: Any = None) -> Any:
    x, axis = _flat(a, axis)
    kept = _tensor(condition).to(_ours().bool).nonzero(as_tuple=True)[0]
    return _along(x, axis, kept)


def _extract(condition: Any, arr: Any) -> Any:
    return _tensor(arr).reshape(-1)[_tensor(condition).reshape(-1).to(_ours().bool)]


def _partition(sort: Callable) -> Callable:  # what is sorted is partitioned everywhere
    def partition(a: Any, kth: Any, axis: Any = -1) -> Any:
        x = a.reshape(-1) if axis is None else a
        n = x.shape[-1 if axis is None else axis]
        for k in np.atleast_1d(kth):
            if not -n <= k < n:
                raise ValueError(f"kth(={k}) out of bounds ({n})")
        return sort(x, -1 if axis is None else axis)

    return partition


# -- counts ------------------------------------------------------------------------------------------------------------


def _histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> tuple:
    x = _tensor(a).reshape(-1)
    x = x if x.is_floating_point() else x.to(_ours().float64)
    weights = None if weights is None else _tensor(weights).reshape(-1).to(x.dtype)
    if np.ndim(bins):
        found = _ours().histogram(x, _tensor(bins).to(x.dtype), weight=weights, density=bool(density))
    else:
        found = _ours().histogram(x, int(bins), range=range, weight=weights, density=bool(density))
    counts = found.hist if density or weights is not None else found.hist.to(_ours().int64)
    return counts, found.bin_edges


def _histogramdd(sample: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> tuple:
    x = _tensor(sample) if isinstance(sample, Tensor) else _ours().stack([_tensor(s) for s in sample], dim=1)
    x = x.unsqueeze(1) if x.ndim == 1 else x
    if not x.is_floating_point():
        x = x.to(_ours().float64)
    limits = None if range is None else [float(edge) for pair in range for edge in pair]
    bins = [int(bins)] * x.shape[1] if np.ndim(bins) == 0 else list(bins)
    if any(np.ndim(b) for b in bins):
        if not all(np.ndim(b) for b in bins):
            raise TypeError("numpy.histogramdd: on a Tensor bins are all counts or all edges")
        bins = [_tensor(b).to(x.dtype) for b in bins]
    weight = None if weights is None else _tensor(weights).to(x.dtype)
    found = _ours().histogramdd(x, bins, range=limits, weight=weight, density=bool(density))
    return found.hist, found.bin_edges


def _histogram2d(x: Any, y: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> tuple:
    hist, (first, second) = _histogramdd([x, y], bins, range, density, weights)
    return hist, first, second


def _digitize(x: Any, bins: Any, right: bool = False) -> Any:
    x, bins = _tensor(x), _tensor(bins)
    if len(bins) > 1 and bins[0] > bins[-1]:
        return len(bins) - _ours().searchsorted(bins.flip(0), x, right=not right)
    return _ours().searchsorted(bins, x, right=not right)


def _convolve(a: Any, v: Any, mode: str = "full") -> Any:
    a, v = _tensor(a), _tensor(v)
    if a.ndim != 1 or v.ndim != 1 or not a.numel() or not v.numel():
        raise ValueError("numpy.convolve: two vectors are needed, and neither is to be empty")
    if len(v) > len(a):
        a, v = v, a
    dtype = _ours().result_type(a, v)
    dtype = dtype if dtype.is_floating_point or dtype.is_complex else _ours().float64
    n, m = len(a), len(v)
    rows = _ours().nn.functional.pad(a.to(dtype), (m - 1, m - 1)).unfold(0, m, 1)
    full = rows @ v.to(dtype).flip(0)
    if not a.is_floating_point() and not v.is_floating_point() and not dtype.is_complex:
        full = full.round().to(_ours().result_type(a, v))
    first, count = {"full": (0, n + m - 1), "same": ((m - 1) // 2, n), "valid": (m - 1, n - m + 1)}[mode]
    return full[first : first + count]


def _correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    a, v = _tensor(a), _tensor(v)
    if mode != "full" and len(v) > len(a):
        return _ours().conj(_correlate(v, a, mode)).flip(0)
    return _convolve(a, _ours().conj(v).flip(0), mode)


def _unique(
    ar: Any, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False, axis: Any = None
) -> Any:
    if return_index:
        raise TypeError("numpy.unique: on a Tensor the argument return_index= is not supported")
    return _ours().unique(ar, return_inverse=return_inverse, return_counts=return_counts, dim=axis)


def _ravel_multi_index(multi_index: Any, dims: Any) -> Any:
    out: Any = 0
    for i, n in zip(multi_index, dims, strict=True):
        i = _tensor(i)
        if ((i < 0) | (i >= n)).any():
            raise ValueError("invalid entry in coordinates array")
        out = out * n + i
    return out


# -- writes ------------------------------------------------------------------------------------------------------------


def _copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    src = _tensor(src)
    if not np.can_cast(src.dtype.numpy, _tensor(dst).dtype.numpy, casting):  # type: ignore[arg-type]
        raise TypeError(f"Cannot cast array data from {src.dtype} to {_tensor(dst).dtype} according to the rule '{casting}'")
    if not isinstance(dst, Tensor):
        raise TypeError("numpy.copyto: an array cannot take the values of a Tensor, whose history it would lose")
    if where is True:
        dst.copy_(src)  # type: ignore[attr-defined]
    else:
        dst.copy_(_ours().where(_tensor(where), src.to(dst.dtype), dst))  # type: ignore[attr-defined]


def _putmask(a: Any, /, mask: Any, values: Any) -> None:
    v = _tensor(values).reshape(-1)
    flat = _ours().arange(a.numel()).reshape(a.shape)
    a.copy_(_ours().where(_tensor(mask), v[flat % v.numel()].to(a.dtype), a))


def _place(arr: Any, mask: Any, vals: Any) -> None:
    places = _tensor(mask).reshape(-1).nonzero(as_tuple=True)[0]
    v = _tensor(vals).reshape(-1)
    arr.put_(places, v[_ours().arange(len(places)) % max(v.numel(), 1)].to(arr.dtype))


def _put(a: Any, ind: Any, v: Any) -> None:
    ind = _tensor(ind)
    a.put_(ind, _tensor(v).to(a.dtype).expand(ind.shape))


def _put_along_axis(arr: Any, indices: Any, values: Any, axis: Any) -> None:
    indices = _tensor(indices)
    arr.scatter_(axis, indices, _tensor(values).to(arr.dtype).expand(indices.shape))


def _fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    a.fill_diagonal_(val, wrap)


FUNCTIONS: dict[str, Callable] = {
    "pad": _pad, "delete": _delete, "insert": _insert, "rollaxis": _rollaxis, "unstack": _unstack,
    "select": _select, "compress": _compress, "extract": _extract,
    "unique_values": lambda x: _unique(x),
    "partition": _partition(lambda x, dim: _ours().sort(x, dim=dim)[0]),
    "argpartition": _partition(lambda x, dim: _ours().argsort(x, dim=dim)),
    "histogram": _histogram, "histogram2d": _histogram2d, "histogramdd": _histogramdd, "digitize": _digitize,
    "convolve": _convolve, "correlate": _correlate, "unique": _unique,
    "bincount": lambda x, /, weights=None, minlength=0: _ours().bincount(
        _tensor(x), None if weights is None else _tensor(weights), minlength),
    "unravel_index": lambda indices, shape: _ours().unravel_index(_tensor(indices), shape),
    "ravel_multi_index": _ravel_multi_index,
    "put": _put, "put_along_axis": _put_along_axis, "fill_diagonal": _fill_diagonal, "copyto": _copyto,
    "putmask": _putmask, "place": _place,
    "broadcast_arrays": lambda *args: tuple(_ours().broadcast_tensors(*map(_tensor, args))),
    "diagflat": lambda v, k=0: _ours().diagflat(_tensor(v), k),
    "vander": lambda x, N=None, increasing=False: _ours().vander(_tensor(x), N, increasing),
}  # fmt: skip
