"""NumPy's functions on tensors: `np.exp(tensor)` is `chainrule.exp(tensor)`, recorded like it.

A NumPy function is answered by the chainrule function of the same meaning, found when it is called. Where there is none, NumPy
itself computes it of tensors that nothing records; of others an error says how to leave the graph.
"""

from __future__ import annotations

import functools
import operator
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.types.tree import tree_flatten, tree_map

# Where the names differ. A name that is not here is looked up as it is.
_UFUNCS = {
    "absolute": "abs", "fabs": "abs", "subtract": "sub", "multiply": "mul", "divide": "div", "power": "pow", "negative": "neg",
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arctan2": "atan2", "arcsinh": "asinh", "arccosh": "acosh",
    "arctanh": "atanh", "greater": "gt", "greater_equal": "ge", "less": "lt", "less_equal": "le", "equal": "eq",
    "not_equal": "ne", "conjugate": "conj", "invert": "bitwise_not", "left_shift": "bitwise_left_shift",
    "right_shift": "bitwise_right_shift", "rint": "round", "degrees": "rad2deg", "radians": "deg2rad", "mod": "remainder",
    "vecdot": "linalg.vecdot", "cbrt": "special.cbrt",
}  # fmt: skip
# Of SciPy's that are not found under their own names in `special`.
_SCIPY_UFUNCS = {
    "j0": "special.bessel_j0", "j1": "special.bessel_j1", "y0": "special.bessel_y0", "y1": "special.bessel_y1",
    "k0": "special.modified_bessel_k0", "k1": "special.modified_bessel_k1", "k0e": "special.scaled_modified_bessel_k0",
    "k1e": "special.scaled_modified_bessel_k1", "yn": "special.yv", "kn": "special.kv", "_zeta": "special.zeta",
    "log_expit": "nn.functional.logsigmoid",
    "eval_chebyt": "special.chebyshev_polynomial_t", "eval_chebyu": "special.chebyshev_polynomial_u",
    "eval_legendre": "special.legendre_polynomial_p", "eval_hermite": "special.hermite_polynomial_h",
    "eval_hermitenorm": "special.hermite_polynomial_he", "eval_laguerre": "special.laguerre_polynomial_l",
}  # fmt: skip


# Those of NumPy's that are made of several of ours.
_MADE: dict[str, Callable] = {
    "divmod": lambda x, y: (np.floor_divide(x, y), np.remainder(x, y)),
    "modf": lambda x: (x.frac(), x.trunc()),
    "matvec": lambda x, y: np.matmul(x, np.expand_dims(y, -1)).squeeze(-1),
    "vecmat": lambda x, y: np.matmul(np.expand_dims(np.conj(x), -2), y).squeeze(-2),
}


def _of_degree(f: Callable, n: Any, x: Any) -> Any:
    """Call a polynomial of ours with SciPy's operands; of degrees that are not whole SciPy has functions, and we have none."""
    degrees = n.detach().numpy() if isinstance(n, Tensor) else np.asarray(n)
    if np.any(degrees != np.trunc(degrees)):
        raise _no_counterpart("a polynomial of a degree that is not whole")
    return f(x, n)


# Those whose operands are to be put in order: SciPy's to ours.
_SCIPY_ADAPTED: dict[str, Callable] = {
    **{name: _of_degree for name in _SCIPY_UFUNCS if name.startswith("eval_")},
    "_lambertw": lambda f, z, k, tol: f(z, int(k)),
    "_riemann_zeta": lambda f, x: f(x, 1),
}
_SCIPY_UFUNCS |= {"_lambertw": "special.lambertw", "_riemann_zeta": "special.zeta"}
_REDUCTIONS = {
    "add": "sum", "multiply": "prod", "maximum": "amax", "minimum": "amin", "logical_and": "all", "logical_or": "any",
    "logaddexp": "logsumexp",
}  # fmt: skip
_SCANS = {"add": "cumsum", "multiply": "cumprod"}


def _find(name: str) -> Callable | None:
    """Return chainrule's public function of a name such as ``"exp"`` or ``"linalg.inv"``, if there is one."""
    try:
        return operator.attrgetter(name)(sys.modules["chainrule"])
    except AttributeError:
        return None


class _UnrecordableError(TypeError):
    """What NumPy was asked has no counterpart that could be recorded."""


def _no_counterpart(name: str) -> TypeError:
    return _UnrecordableError(
        f"{name} has no counterpart in chainrule that it could be recorded with; call it on tensor.detach().numpy() if no "
        "gradient is to flow, or build it from chainrule's functions"
    )


def _are_plain(*given: Any) -> bool:
    """Tell whether nothing records what becomes of the tensors in what NumPy was given."""
    return not any(isinstance(t, Tensor) and (t._level or t.requires_grad) for t in tree_flatten(given)[0])


def _arrays(given: Any) -> Any:
    """Return what NumPy was given with arrays for tensors."""
    return tree_map(lambda t: t.numpy() if isinstance(t, Tensor) else t, given)


def _tensors(found: Any) -> Any:
    """Return what a ufunc found as tensors, as PyTorch's do."""
    return tuple(map(_tensors, found)) if isinstance(found, tuple) else wrap(np.asarray(found))


def _call(name: str, theirs: str, *args: Any, **kwargs: Any) -> Any:
    f = _find(name)
    if f is None:
        raise _no_counterpart(theirs)
    return f(*args, **kwargs)


# -- ufuncs ------------------------------------------------------------------------------------------------------------


def array_ufunc(self: Tensor, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """Answer a NumPy ufunc, or its reduce, accumulate or outer, with chainrule's function of the same meaning."""
    out = kwargs.get("out")
    try:
        return _ufunc(ufunc, method, inputs, dict(kwargs))
    except _UnrecordableError:
        if method == "at" or not _are_plain(inputs, kwargs) or any(isinstance(into, Tensor) for into in out or ()):
            raise
    found = getattr(ufunc, method)(*_arrays(inputs), **_arrays(kwargs))
    return found if out else _tensors(found)


def _ufunc(ufunc: np.ufunc, method: str, inputs: tuple, kwargs: dict) -> Any:
    name = ufunc.__name__
    theirs = f"numpy.{name}" + ("" if method == "__call__" else f".{method}")
    if kwargs.pop("out", None) is not None:
        raise _UnrecordableError(
            f"{theirs}: out= cannot take the result of an operation on a Tensor, whose history it would lose; assign the "
            "result, or write into the array from tensor.detach().numpy()"
        )
    options = {k: v for k, v in kwargs.items() if v is not None and not (k == "where" and v is True)}
    args = [np.asarray(a) if isinstance(a, (list, tuple)) else a for a in inputs]
    if method == "__call__":
        _no_options(theirs, options)
        if name in _MADE and getattr(np, name) is ufunc:
            return _MADE[name](*args)
        found = _counterpart(ufunc, theirs)
        if name in _SCIPY_ADAPTED:
            return _SCIPY_ADAPTED[name](_find(found), *args)
        return _call(found, theirs, *args)
    if method == "reduce" and name in _REDUCTIONS:
        axis = kwargs.get("axis", 0)
        dims = tuple(range(args[0].ndim)) if axis is None else axis
        keep = bool(options.pop("keepdims", False))
        options.pop("axis", None)
        _no_options(theirs, options)
        if name == "multiply":
            return _product(args[0], axis, keep)
        return _call(_REDUCTIONS[name], theirs, args[0], dim=dims, keepdim=keep)
    if method == "accumulate" and name in _SCANS:
        axis = options.pop("axis", 0)
        _no_options(theirs, options)
        return _call(_SCANS[name], theirs, args[0], dim=axis)
    if method == "outer":
        _no_options(theirs, options)
        x, y = args
        column = x.reshape(tuple(x.shape) + (1,) * np.ndim(y))
        return _call(_counterpart(ufunc, theirs), theirs, column, y)
    raise _no_counterpart(theirs)


def _counterpart(ufunc: np.ufunc, theirs: str) -> str:
    name = ufunc.__name__
    if getattr(np, name, None) is ufunc:
        return _UFUNCS.get(name, name)
    scipy = sys.modules.get("scipy.special._ufuncs")
    if scipy is not None and getattr(scipy, name, None) is ufunc:
        ours = _SCIPY_UFUNCS.get(name, f"special.{name}")
        if _find(ours) is not None:
            return ours
    raise _no_counterpart(theirs if getattr(np, name, None) is ufunc else name)


def _no_options(theirs: str, options: dict) -> None:
    if options:
        raise _UnrecordableError(f"{theirs}: on a Tensor the argument {next(iter(options))}= is not supported")


# -- functions ---------------------------------------------------------------------------------------------------------
# Each takes NumPy's arguments and gives chainrule's the same meaning; names that agree in all arguments need no entry.


def _reduction(name: str) -> Callable:
    def reduce(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
        kwargs = {} if dtype is None else {"dtype": dtype}
        dims = tuple(range(a.ndim)) if axis is None else axis
        return _call(name, f"numpy.{name}", a, dim=dims, keepdim=bool(keepdims), **kwargs)

    return reduce


def _product(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    axes = range(a.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    for i in sorted((k % max(a.ndim, 1) for k in axes), reverse=True):
        a = _call("prod", "numpy.prod", a, dim=i, keepdim=keepdims)
    return a


def _spread(name: str) -> Callable:
    def spread(a: Any, axis: Any = None, ddof: Any = 0, keepdims: bool = False, correction: Any = None) -> Any:
        correction = ddof if correction is None else correction
        return _call(name, f"numpy.{name}", a, dim=axis, correction=correction, keepdim=keepdims)

    return spread


def _position(name: str) -> Callable:
    def find(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return _call(name, f"numpy.{name}", a, dim=axis, keepdim=keepdims)

    return find


def _scan(name: str) -> Callable:
    def scan(a: Any, axis: Any = None) -> Any:
        return _call(name, f"numpy.{name}", a.reshape(-1) if axis is None else a, dim=0 if axis is None else axis)

    return scan


def _joined(name: str) -> Callable:
    def join(arrays: Any, axis: Any = 0) -> Any:
        tensors = [a if isinstance(a, Tensor) else wrap(np.asarray(a)) for a in arrays]
        if axis is None:
            tensors, axis = [t.reshape(-1) for t in tensors], 0  # type: ignore[attr-defined]
        return _call(name, f"numpy.{name}", tensors, dim=axis)

    return join


def _stacked(name: str) -> Callable:
    return lambda tup: _call(name, f"numpy.{name}", [t if isinstance(t, Tensor) else wrap(np.asarray(t)) for t in tup])


def _transpose(a: Any, axes: Any = None) -> Any:
    return a.permute(tuple(reversed(range(a.ndim))) if axes is None else tuple(axes))


def _reshape(a: Any, shape: Any, order: str = "C") -> Any:
    if order != "C":
        raise TypeError("numpy.reshape: on a Tensor only order='C' is supported")
    return a.reshape(shape if isinstance(shape, (tuple, list)) else (shape,))


def _dot(a: Any, b: Any) -> Any:
    x, y = (t if isinstance(t, Tensor) else wrap(np.asarray(t)) for t in (a, b))
    if not x.ndim or not y.ndim:
        return _call("mul", "numpy.dot", x, y)
    if y.ndim > 2:
        return _call("tensordot", "numpy.dot", x, y, dims=([-1], [y.ndim - 2]))
    return _call("matmul", "numpy.dot", x, y)


def _where(condition: Any, *values: Any) -> Any:
    if not values:
        return _call("nonzero", "numpy.where", condition, as_tuple=True)
    c = condition if isinstance(condition, Tensor) else wrap(np.asarray(condition))
    return _call("where", "numpy.where", c, *values)


def _flip(m: Any, axis: Any = None) -> Any:
    dims = tuple(range(m.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return _call("flip", "numpy.flip", m, dims)


def _clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    return _call("clamp", "numpy.clip", a, a_min if min is None else min, a_max if max is None else max)


def _over_axes(name: str) -> Callable:
    def transform(a: Any, s: Any = None, axes: Any = None, norm: Any = None) -> Any:
        given = {} if axes is None else {"dim": axes}
        return _call(name, f"numpy.{name}", a, s, norm=norm, **given)

    return transform


def _shift(name: str) -> Callable:
    return lambda x, axes=None: _call(name, f"numpy.{name}", x, axes)


def _flat(x: Any) -> Tensor:
    return (x if isinstance(x, Tensor) else wrap(np.asarray(x))).reshape(-1)  # type: ignore[attr-defined]


def _dtype(x: Any) -> Any:
    return x.dtype.numpy if isinstance(x, Tensor) else x


def _memory(x: Any) -> np.ndarray:
    return x.detach().resolve_conj().numpy() if isinstance(x, Tensor) else np.asarray(x)


def _equivalent(a1: Any, a2: Any) -> bool:
    x, y = (a if isinstance(a, Tensor) else wrap(np.asarray(a)) for a in (a1, a2))
    try:
        return bool((x == y).all())  # type: ignore[attr-defined]
    except RuntimeError:  # shapes do not broadcast
        return False


def _printed(name: str) -> Callable:
    return lambda arr, *args, **kwargs: getattr(np, name)(_memory(arr), *args, **kwargs)


def _indices_from(half: str) -> Callable:
    def indices(arr: Any, k: int = 0) -> tuple:
        found = (
            np.diag_indices(len(arr), arr.ndim)
            if half == "diag"
            else getattr(np, f"{half}_indices")(arr.shape[0], k, arr.shape[1])
        )
        return tuple([wrap(i) for i in found])

    return indices


FUNCTIONS: dict[str, Callable] = {
    "all": _reduction("all"), "any": _reduction("any"), "sum": _reduction("sum"), "mean": _reduction("mean"),
    "nansum": _reduction("nansum"), "nanmean": _reduction("nanmean"), "max": _reduction("amax"), "min": _reduction("amin"),
    "amax": _reduction("amax"), "amin": _reduction("amin"), "prod": _product, "var": _spread("var"), "std": _spread("std"),
    "argmax": _position("argmax"), "argmin": _position("argmin"), "cumsum": _scan("cumsum"), "cumprod": _scan("cumprod"),
    "concatenate": _joined("cat"), "stack": _joined("stack"), "vstack": _stacked("vstack"), "hstack": _stacked("hstack"),
    "dstack": _stacked("dstack"), "column_stack": _stacked("column_stack"), "transpose": _transpose, "reshape": _reshape,
    "dot": _dot, "where": _where, "flip": _flip, "clip": _clip,
    "ravel": lambda a: a.reshape(-1),
    "squeeze": lambda a, axis=None: a.squeeze() if axis is None else a.squeeze(axis),
    "expand_dims": lambda a, axis: a.unsqueeze(axis),
    "swapaxes": lambda a, axis1, axis2: a.transpose(axis1, axis2),
    "moveaxis": lambda a, source, destination: _call("movedim", "numpy.moveaxis", a, source, destination),
    "roll": lambda a, shift, axis=None: _call("roll", "numpy.roll", a, shift, axis),
    "repeat": lambda a, repeats, axis=None: _call("repeat_interleave", "numpy.repeat", a, repeats, axis),
    "tile": lambda A, reps: _call("tile", "numpy.tile", A, reps if isinstance(reps, tuple) else (reps,)),
    "array_split": lambda ary, indices_or_sections, axis=0: list(
        _call("tensor_split", "numpy.array_split", ary, indices_or_sections, axis)),
    "tril": lambda m, k=0: _call("tril", "numpy.tril", m, k), "triu": lambda m, k=0: _call("triu", "numpy.triu", m, k),
    "diag": lambda v, k=0: _call("diag", "numpy.diag", v, k),
    "diagonal": lambda a, offset=0, axis1=0, axis2=1: _call("diagonal", "numpy.diagonal", a, offset, axis1, axis2),
    "broadcast_to": lambda array, shape: _call("broadcast_to", "numpy.broadcast_to", array, tuple(np.atleast_1d(shape))),
    "outer": lambda a, b: _call("outer", "numpy.outer", _flat(a), _flat(b)),
    "tensordot": lambda a, b, axes=2: _call("tensordot", "numpy.tensordot", a, b, dims=axes),
    "sort": lambda a, axis=-1: _call("sort", "numpy.sort", a, dim=axis)[0],
    "argsort": lambda a, axis=-1: _call("argsort", "numpy.argsort", a, dim=axis),
    "take_along_axis": lambda arr, indices, axis=-1: _call("take_along_dim", "numpy.take_along_axis", arr, indices, axis),
    "copy": lambda a: a.clone(), "round": lambda a, decimals=0: _call("round", "numpy.round", a, decimals=decimals),
    **{f"fft.{name}": _over_axes(f"fft.{name}") for name in (
        "fft2", "ifft2", "rfft2", "irfft2", "fftn", "ifftn", "rfftn", "irfftn")},
    "fft.fftshift": _shift("fft.fftshift"), "fft.ifftshift": _shift("fft.ifftshift"),
    "around": lambda a, decimals=0: _call("round", "numpy.around", a, decimals=decimals), "fix": lambda x: x.trunc(),
    "astype": lambda x, dtype, /, *, copy=True: x.to(dtype, copy=copy),
    "einsum": lambda *operands, optimize=False: _call("einsum", "numpy.einsum", *operands),
    "can_cast": lambda from_, to, casting="safe": np.can_cast(_dtype(from_), _dtype(to), casting),
    "result_type": lambda *arrays_and_dtypes: np.result_type(*map(_dtype, arrays_and_dtypes)),
    "common_type": lambda *arrays: np.common_type(*[np.empty(0, _dtype(a)) for a in arrays]),
    "iscomplex": lambda x: x.imag != 0 if x.is_complex() else _call("zeros_like", "numpy.iscomplex", x, dtype=bool),
    "array_equiv": _equivalent,
    "shares_memory": lambda a, b, /, max_work=-1: np.shares_memory(_memory(a), _memory(b), max_work),
    "may_share_memory": lambda a, b, /, max_work=0: np.may_share_memory(_memory(a), _memory(b), max_work),
    **{name: _printed(name) for name in ("array_repr", "array_str", "array2string")},
    **{f"{half}_indices_from": _indices_from(half) for half in ("tril", "triu", "diag")},
    "array_equal": lambda a1, a2: _call("equal", "numpy.array_equal", a1, a2),
    "shape": lambda a: tuple(a.shape), "ndim": lambda a: a.ndim, "size": lambda a: a.numel(),
    "iscomplexobj": lambda x: x.is_complex(), "isrealobj": lambda x: not x.is_complex(),
}  # fmt: skip


@functools.cache
def adapters() -> dict[str, Callable]:
    """Return the adapters above and those of the files beside this one, which are read when one is first asked for."""
    from chainrule.functions.interop import matrices, rearranged, sampled, skipping

    return FUNCTIONS | sampled.FUNCTIONS | matrices.FUNCTIONS | skipping.FUNCTIONS | rearranged.FUNCTIONS


# These agree with chainrule's functions of the same name in the arguments that NumPy's have, and in meaning.
SAME = frozenset((
    "kron", "inner", "trace", "real", "imag", "angle", "sinc", "i0", "nan_to_num", "isclose", "allclose",
    "zeros_like", "ones_like", "empty_like", "full_like", "atleast_1d", "atleast_2d", "atleast_3d", "fliplr", "flipud",
    "rot90", "isreal", "isneginf", "isposinf", "linalg.inv", "linalg.det", "linalg.slogdet",
    "linalg.cholesky", "linalg.eigh", "linalg.eigvalsh", "linalg.eig", "linalg.eigvals", "linalg.matrix_power",
    "linalg.pinv", "linalg.svdvals", "fft.fft", "fft.ifft", "fft.rfft", "fft.irfft", "fft.hfft", "fft.ihfft",
))  # fmt: skip


def array_function(self: Tensor, func: Callable, types: Any, args: tuple, kwargs: dict) -> Any:
    """Answer a NumPy function with chainrule's of the same meaning."""
    module = getattr(func, "__module__", "numpy").partition("numpy")[2].strip(".")
    name = f"{module}.{func.__name__}" if module else func.__name__
    theirs = f"numpy.{name}"
    if kwargs.pop("out", None) is not None:
        raise TypeError(f"{theirs}: out= cannot take the result of an operation on a Tensor, whose history it would lose")
    adapter = adapters().get(name)
    if adapter is not None:
        try:
            return adapter(*args, **kwargs)
        except TypeError as error:
            if error.__traceback__ is not None and error.__traceback__.tb_next is None:  # the adapter's own signature
                raise TypeError(f"{theirs}: on a Tensor some of the given arguments are not supported: {error}") from None
            raise
    if name in SAME:
        return _call(name, theirs, *args, **kwargs)
    if not _are_plain(args, kwargs):
        raise _no_counterpart(theirs)
    return func(*_arrays(args), **_arrays(kwargs))


def take_arrays() -> None:
    """Have NumPy's functions take tensors as they take PyTorch's: as arrays, which those that require grad refuse to be."""
    if "__array_function__" in vars(Tensor):
        del Tensor.__array_function__  # type: ignore[attr-defined]
        Tensor.__array_wrap__ = _array_wrap  # type: ignore[attr-defined]


def _array_wrap(self: Tensor, array: Any, context: Any = None, return_scalar: bool = False) -> Tensor:
    """Return the tensor that some of NumPy's functions give of tensors; PyTorch's gives bytes for truth values."""
    return wrap(np.asarray(array.astype(np.uint8) if array.dtype == bool else array))


Tensor.__array_ufunc__ = array_ufunc  # type: ignore[attr-defined]
Tensor.__array_function__ = array_function  # type: ignore[attr-defined]
