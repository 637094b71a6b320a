"""Local rounding errors: how far one op's result may lie from the exact one of the same operands, to first order.

What is said of an op is either how far its result may be off, element by element, or of which other operands the result is the
exact one (a backward error, as of a matrix factorisation), or both. A linear op that adds up says so itself: it is applied to
ones, which counts the terms, and to absolute values.

References: Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed.: (2.4) for one rounding, section 4.2 for sums,
(3.5) for products, chapters 8 to 10 and 19 for triangular systems, LU, Cholesky and QR.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from chainrule.core.op.declaration import BILINEAR, ELEMENTWISE, LINEAR, Op
from chainrule.core.types import dtype as dtypes
from chainrule.functions.interop.info import finfo
from chainrule.ops.pointwise.bessel import no_derivative_in

# Results that are an operand's elements, or whole numbers; and differences that have no rounding.
_EXACT = frozenset((
    "where", "neg", "copysign", "nextafter", "heaviside", "maximum", "minimum", "fmax", "fmin", "clamp", "clamp_min",
    "clamp_max", "gate", "relu", "hardtanh", "ceil", "floor", "trunc", "round", "sign", "nan_to_num", "conj", "conj_physical",
    "detach", "fmod", "frac", "floor_divide", "complex", "constant_pad", "scatter_extreme", "max_along",
    "min_along", "median_along", "nanmedian_along", "mode", "kthvalue", "sort", "topk", "unique", "unique_consecutive",
    "cummax", "cummin", "amax", "amin", "max_of_all", "min_of_all", "median_of_all", "nanmedian_of_all", "frexp", "checked",
    "cautioned", "counted_of", "mirrored", "max_pool", "fractional_max_pool",
))  # fmt: skip
# Roundings, in units, of elementwise ops whose error is relative to the result; NumPy tests its functions to 4 ulp.
_ROUNDINGS = dict.fromkeys(
    ("add", "sub", "mul", "div", "sqrt", "square", "reciprocal", "difference", "undifference", "prelu"), 1.0
)
_ROUNDINGS |= dict.fromkeys(("deg2rad", "rad2deg", "remainder"), 2.0)
_ROUNDINGS |= dict.fromkeys((
    "exp", "exp2", "expm1", "log", "log10", "log2", "log1p", "cbrt", "rsqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh",
    "asin", "acos", "atan", "asinh", "acosh", "atanh", "atan2", "hypot", "pow", "erf", "erfc", "sigmoid", "abs", "angle", "sgn",
), 8.0)  # fmt: skip
_COMPLEX = 4.0  # times as many in complex arithmetic
_FORWARD, _BACKWARD = 16.0, 8.0  # of other functions: the result's, the operands'
_PAIRWISE = 19  # NumPy adds up 128 numbers in 8 sums, whose error grows as 15 + 3 additions, then pairwise


class Roundoff(NamedTuple):
    """The local error of one call.

    Attributes
    ----------
    results : list of (array or None)
        For each result, how far it may be off.
    operands : list of (array or None)
        For each operand, by how much another one may differ of which the result is the exact one.
    known : bool
        Whether an analysis stands behind it, and not a rule for ops of which nothing is said.
    """

    results: list
    operands: list
    known: bool = True


@lru_cache(16)
def unit(d: np.dtype) -> float:
    """Return the unit roundoff of a dtype: 2**-53 of float64."""
    return float(finfo(dtypes.of(d)).eps) / 2


def roundoff(op: Any, operands: list, params: dict, results: list) -> Roundoff:
    """Return the local error of a call.

    Parameters
    ----------
    op : Op
    operands, results : list
        Arrays and numbers; other operands as they are.
    params : dict
    """
    none: list = [None] * len(operands)
    inexact = [r for r in results if is_inexact(r)]
    if not inexact or op.view or op.nondiff or (op.name in _EXACT and not _is_complex_select(op, inexact[0])):
        return Roundoff([None] * len(results), none)
    if op.kind == ELEMENTWISE or op.name in _ROUNDINGS:
        return _of_elementwise(op, operands, results)
    found = _SPECIAL.get(op.name)
    if found is not None:
        return found(op, operands, params, results)
    if op.kind in (LINEAR, BILINEAR):
        return Roundoff([_added_up(op, operands, params, results[0], i) for i in range(len(results))], none)
    return _unknown(op, operands, params, results)


def _is_complex_select(op: Op, result: Any) -> bool:
    return op.name == "frac" and result.dtype.kind == "c"


def is_inexact(x: Any) -> bool:
    """Tell whether a value has rounding errors: a floating or complex array or NumPy scalar."""
    return isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind in "fcV"


def magnitude(x: Any) -> np.ndarray:
    """Return absolute values in double precision, so that a bound neither overflows nor rounds as what it bounds."""
    return np.abs(x).astype(np.float64)


def _relative(r: Any, units: float) -> Any:
    """Return an error of some units relative to a result, and what an underflow loses."""
    if not is_inexact(r):
        return None
    units *= _COMPLEX if r.dtype.kind == "c" and units else 1.0
    return units * unit(r.dtype) * magnitude(r) + _tiny(r.dtype)


@lru_cache(16)
def _tiny(d: np.dtype) -> float:
    return float(finfo(dtypes.of(d)).smallest_normal) * 2 * unit(d)


def _of_elementwise(op: Op, operands: list, results: list) -> Roundoff:
    units = _ROUNDINGS.get(op.name)
    none: list = [None] * len(operands)
    if units is not None:
        found = [_relative(r, units) for r in results]
        if op.name in ("add", "sub", "difference", "undifference"):  # exact where they underflow
            found = [f if f is None else f - _tiny(r.dtype) for f, r in zip(found, results, strict=True)]
        return Roundoff(found, none)
    u = unit(next(r for r in results if is_inexact(r)).dtype)
    moved = [_BACKWARD * u * magnitude(x) if is_inexact(x) and _has_rule(op, i) else None for i, x in enumerate(operands)]
    return Roundoff([_relative(r, _FORWARD) for r in results], moved)


def _has_rule(op: Op, i: int) -> bool:
    """Tell whether an op has a derivative in an operand: not in a degree or an order, which count as exact."""
    rule = op.rules[0 if op.variadic else i]
    return rule is not None and no_derivative_in.__name__ not in rule.f.__code__.co_names


def _added_up(op: Op, operands: list, params: dict, result: Any, i: int) -> Any:
    """Return the error of an op that adds numbers or products up: a unit for each term, of the sum of absolute values."""
    if not is_inexact(result):
        return None
    kernel = op.backend.kernel
    sizes = kernel(*[magnitude(x) if is_inexact(x) else x for x in operands], **params)
    terms = kernel(*[np.ones(np.shape(x)) if is_inexact(x) else x for x in operands], **params)
    if sizes.__class__ in (tuple, list):
        sizes, terms = sizes[i], terms[i]
    products = op.kind == BILINEAR
    units = np.abs(terms) if products else np.maximum(np.abs(terms) - 1, 0)
    if op.name == "sum":
        units = np.minimum(units, _pairwise(operands[0], params["axis"]))
    if result.dtype.kind == "c" and products:
        units = _COMPLEX * units
    return unit(result.dtype) * units * np.abs(sizes) + (_tiny(result.dtype) * units if products else 0)


def _pairwise(x: Any, axis: tuple) -> float:
    """Return how many roundings a number goes through where NumPy sums pairwise: over contiguous last axes."""
    n = int(np.prod([x.shape[a] for a in axis], dtype=np.int64)) if np.ndim(x) else 1
    trailing = tuple(sorted(a % x.ndim for a in axis)) == tuple(range(x.ndim - len(axis), x.ndim)) if np.ndim(x) else False
    if not trailing or not x.flags.c_contiguous or n < 9:
        return np.inf
    return _PAIRWISE + np.ceil(np.log2(max(n / 128, 1)))


def _of_products(op: Op, operands: list, params: dict, results: list) -> Roundoff:
    x, r = operands[0], results[0]
    n = np.size(x) // max(np.size(r), 1) if op.name == "prod" else np.shape(x)[params["axis"]] if np.ndim(x) else 1
    return Roundoff([_relative(r, float(n)) for r in results], [None] * len(operands))


def _of_recurrence(op: Op, operands: list, params: dict, results: list) -> Roundoff:
    a, b = operands
    u = unit(results[0].dtype)
    return Roundoff([None], [2 * u * magnitude(a), u * magnitude(b)])


def _of_cross(op: Op, operands: list, params: dict, results: list) -> Roundoff:
    axis = params["axis"]
    norms = [np.sqrt(np.sum(magnitude(x) ** 2, axis=axis, keepdims=True)) for x in operands]
    size = np.broadcast_to(norms[0] * norms[1], results[0].shape)
    return Roundoff([_scaled(results[0], 2 * size)], [None, None])


def _of_fft(op: Op, operands: list, params: dict, results: list) -> Roundoff:
    """Return the error of a fast Fourier transform: Higham, theorem 24.2, in the norm of what it transforms together."""
    r = results[0]
    axis = params["axis"]
    axes = axis if axis.__class__ is tuple else (axis,)
    norm = np.sqrt(np.sum(magnitude(r) ** 2, axis=axes, keepdims=True))
    n = float(np.prod([max(r.shape[a], np.shape(operands[0])[a]) for a in axes]))
    return Roundoff([_scaled(r, 4 * (1 + np.log2(max(n, 2))) * np.broadcast_to(norm, r.shape))], [None])


def _of_resampling(op: Op, operands: list, params: dict, results: list) -> Roundoff:
    """Return the error of weights that are rounded themselves, at most 64 a result, as bicubic interpolation has with signs."""
    size = float(np.max(magnitude(operands[0]), initial=0.0))
    return Roundoff([_scaled(results[0], 64 * np.full(results[0].shape, size))], [None], False)


def _of_log_sums(op: Op, operands: list, params: dict, results: list) -> Roundoff:
    x, r = operands[0], results[0]
    n = np.shape(x)[params["axis"]] if np.ndim(x) else 1
    return Roundoff([_scaled(r, 8 * magnitude(r) + n + 16)], [_scaled(x, 2 * magnitude(x))])


def _of_matrices(op: Op, operands: list, params: dict, results: list) -> Roundoff:
    """Return the backward error of a stable factorisation or solution: a few n units of the largest element."""
    n = max([max(np.shape(x)[-2:], default=1) for x in operands if is_inexact(x)], default=1)
    units = 4.0 * n * (_COMPLEX if any([r.dtype.kind == "c" for r in results]) else 1.0)
    moved = []
    for x in operands:
        if not is_inexact(x) or np.ndim(x) < 2:
            moved.append(None if not is_inexact(x) else _scaled(x, units * magnitude(x)))
            continue
        top = np.max(magnitude(x), axis=(-2, -1), keepdims=True, initial=0.0)
        moved.append(_scaled(x, units * np.broadcast_to(top, x.shape)))
    return Roundoff([_relative(r, float(n)) for r in results], moved)


def _unknown(op: Op, operands: list, params: dict, results: list) -> Roundoff:
    return _of_matrices(op, operands, params, results)._replace(known=False)


def _scaled(x: Any, units: Any) -> np.ndarray:
    return unit(x.dtype) * units + _tiny(x.dtype)


def _of_cast(op: Op, operands: list, params: dict, results: list) -> Roundoff:
    x, r = operands[0], results[0]
    narrower = not is_inexact(x) or unit(r.dtype) > unit(x.dtype)
    return Roundoff([_relative(r, 1.0) if narrower and np.asarray(x).dtype.kind != "b" else None], [None])


_SPECIAL: dict[str, Any] = {
    "to": _of_cast, "prod": _of_products, "cumprod": _of_products, "recurrence": _of_recurrence, "cross": _of_cross,
    "fft_c2c": _of_fft, "fft_r2c": _of_fft, "fft_c2r": _of_fft, "resample": _of_resampling, "logcumsumexp": _of_log_sums,
} | dict.fromkeys((
    "inv", "solve", "solve_triangular", "det", "slogdet", "qr", "lu_factor", "geqrf", "rest_of_qr", "eig", "matrix_exp",
    "ldl_factor", "ldl_solve", "cholesky", "eigh", "eigvalsh", "svd", "svdvals", "pinv", "inverse_gaps", "euclidean",
    "lstm_step",
), _of_matrices)  # fmt: skip
