"""The functions of ``masked``: what is masked out is replaced by what changes nothing, then the usual function runs.

So the derivatives are the usual function's, and 0 where the mask is False, whatever stands there.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import Any

import numpy as np

from chainrule.core.call.asking import asks
from chainrule.core.call.dispatch import as_tensor, cast
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.shape import axis_index
from chainrule.functions.comparison.order import nanmedian
from chainrule.functions.pointwise import activation as soft
from chainrule.functions.reduction import extrema, reduce, scan
from chainrule.functions.reduction.vector_norm import vector_norm
from chainrule.ops.indexing.select import where
from chainrule.ops.pointwise.arithmetic import logaddexp as _logaddexp
from chainrule.ops.pointwise.complex import conj
from chainrule.ops.pointwise.exponential import sqrt
from chainrule.ops.pointwise.extremum import clamp_min
from chainrule.ops.shaping.shape import broadcast_to, reshape

__all__ = [
    "amax", "amin", "argmax", "argmin", "cumprod", "cumsum", "log_softmax", "logaddexp", "logsumexp", "mean", "median", "norm",
    "normalize", "prod", "softmax", "softmin", "std", "sum", "var",
]  # fmt: skip


# -- masks -------------------------------------------------------------------------------------------------------------


def _mask(x: Tensor, mask: Any) -> Any:
    """Return a mask of the shape of `x`, as bools; None if none is given."""
    if mask is None:
        return None
    m = as_tensor(mask)
    if m.ndim > x.ndim:
        raise IndexError("_input_mask expected broadcastable mask (got mask dimensionality higher than of the input)")
    return cast(m if m.shape == x.shape else broadcast_to(m, shape=tuple(x.shape)), dtypes.bool_)


def _filled(x: Tensor, mask: Any, value: Any) -> Tensor:
    """Return `x` with a value where the mask is False."""
    m = _mask(x, mask)
    return x if m is None else where(m, x, np.asarray(value).astype(x.dtype.numpy))


def _lowest(x: Tensor) -> Any:
    if x.dtype.category >= dtypes.FLOAT:
        return -inf
    return np.iinfo(x.dtype.numpy).min


def _highest(x: Tensor) -> Any:
    return inf if x.dtype.category >= dtypes.FLOAT else np.iinfo(x.dtype.numpy).max


def _axes(dim: Any, ndim: int) -> tuple:
    """Return axes counted from the front, sorted; all for None and ()."""
    if dim is None or dim == ():
        return tuple(range(ndim))
    found: list[int] = []
    for d in (dim,) if isinstance(dim, int) else dim:
        axis = axis_index(d, ndim)
        if axis in found or d in found:
            raise RuntimeError(f"dim={d} appears multiple times in the list of dims")
        found.append(axis)
    return tuple(sorted(found))


def _axis(dim: Any, ndim: int) -> int:
    return _axes(dim, ndim)[0] if ndim else 0


def _in(out: Any, dtype: Any, x: Tensor) -> Tensor:
    return cast(out, x.dtype if dtype is None else dtypes.as_dtype(dtype))


def _summed(x: Tensor, dtype: Any) -> Any:
    """Return the dtype of a sum or product: what is asked for, or 64 bits for integers."""
    if dtype is not None:
        return dtypes.as_dtype(dtype)
    return dtypes.int64 if x.dtype.category < dtypes.FLOAT else x.dtype


_PARAMETERS = """
    Parameters
    ----------
    input : Tensor
        Of any shape.
{own}    dtype : dtype, optional
        Of the result.
    mask : Tensor, optional
        Of bools; broadcasts to the shape of `input`. Only elements where it is True count.

    Returns
    -------
    Tensor
        {result}

    Raises
    ------
    IndexError
        If an axis is out of range, or the mask has more axes than the input.

    Examples
    --------
    >>> import chainrule as cr
    >>> x, mask = cr.tensor([1.0, 2.0, 4.0]), cr.tensor([True, False, True])
    >>> cr.masked.{call}
    {shown}
    """

_REDUCED = """    dim : int or tuple of int, optional
        Axes; all by default.
    keepdim : bool
        Keep the axes with size 1.
"""
_ALONG = """    dim : int
        The axis.
"""
_OUT = {_REDUCED: "With the axes reduced. Where the mask leaves nothing, what the function gives of nothing.",
        _ALONG: "Of the shape of `input`."}  # fmt: skip


def _documented(line: str, own: str, call: str, shown: str) -> Callable:
    """Give a function its docstring, and have it ask for overrides."""

    def declare(f: Callable) -> Callable:
        f.__doc__ = line + "\n" + _PARAMETERS.format(own=own, result=_OUT[own], call=call, shown=shown)
        return asks(f)

    return declare


# -- reductions --------------------------------------------------------------------------------------------------------


@_documented("Return the sum of the elements.", _REDUCED, "sum(x, mask=mask)", "tensor(5.)")
def sum(input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Tensor:  # noqa: D103
    x = as_tensor(input, "sum")
    return reduce.sum(_filled(x, mask, 0), _axes(dim, x.ndim), bool(keepdim), dtype=_summed(x, dtype))


@_documented("Return the product of the elements.", _REDUCED, "prod(x, mask=mask)", "tensor(4.)")
def prod(input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Tensor:  # noqa: D103
    x = as_tensor(input, "prod")
    out: Any = cast(_filled(x, mask, 1), _summed(x, dtype))
    for axis in reversed(_axes(dim, x.ndim)):
        out = reduce.prod(out, axis, keepdim=bool(keepdim))
    return out


@_documented("Return the largest element.", _REDUCED, "amax(x, mask=mask)", "tensor(4.)")
def amax(input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Tensor:  # noqa: D103
    x = as_tensor(input, "amax")
    return _in(extrema.amax(_filled(x, mask, _lowest(x)), _axes(dim, x.ndim), bool(keepdim)), dtype, x)


@_documented("Return the smallest element.", _REDUCED, "amin(x, mask=mask)", "tensor(1.)")
def amin(input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Tensor:  # noqa: D103
    x = as_tensor(input, "amin")
    return _in(extrema.amin(_filled(x, mask, _highest(x)), _axes(dim, x.ndim), bool(keepdim)), dtype, x)


@_documented(
    "Return the place of the largest element, along an axis or of all.", _REDUCED, "argmax(x, mask=mask)", "tensor(2.)"
)
def argmax(  # noqa: D103
    input: Tensor, dim: int | None = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None
) -> Tensor:
    x = as_tensor(input, "argmax")
    return _in(extrema.argmax(_filled(x, mask, _lowest(x)), dim, bool(keepdim)), dtype, x)


@_documented(
    "Return the place of the smallest element, along an axis or of all.", _REDUCED, "argmin(x, mask=mask)", "tensor(0.)"
)
def argmin(  # noqa: D103
    input: Tensor, dim: int | None = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None
) -> Tensor:
    x = as_tensor(input, "argmin")
    return _in(extrema.argmin(_filled(x, mask, _highest(x)), dim, bool(keepdim)), dtype, x)


@_documented("Return the mean of the elements.", _REDUCED, "mean(x, mask=mask)", "tensor(2.5000)")
def mean(input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Tensor:  # noqa: D103
    x = as_tensor(input, "mean")
    d = x.dtype if dtype is None else dtypes.as_dtype(dtype)
    if d.category < dtypes.FLOAT:
        source = "Input" if dtype is None else "Optional"
        raise ValueError(
            f"mean(): Could not infer output dtype. {source} dtype must be either a floating point or complex dtype. Got: {d}"
        )
    return sum(x, dim, keepdim=keepdim, dtype=d, mask=mask) / _count(x, dim, keepdim, mask)


def _count(x: Tensor, dim: Any, keepdim: bool, mask: Any) -> Any:
    counted = _mask(x, mask)
    counted = as_tensor(np.ones(tuple(x.shape), bool)) if counted is None else counted
    return reduce.sum(counted, _axes(dim, x.ndim), bool(keepdim))


@_documented("Return the median along an axis, the lower of two.", _ALONG, "median(x, mask=mask)", "tensor(1.)")
def median(input: Tensor, dim: int = -1, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Tensor:  # noqa: D103
    x = as_tensor(input, "median")
    exact = x.dtype.category < dtypes.FLOAT
    filled = _filled(cast(x, dtypes.float32) if exact else x, mask, nan)
    out = nanmedian(filled, _axis(dim, x.ndim), keepdim).values
    if not exact:
        return out
    if bool(reduce.any(out != out)):
        raise ValueError("masked median expects no fully masked out rows if dtype is not floating point")
    return _in(out, dtype, x)


@_documented("Return the logarithm of the sum of exponentials.", _REDUCED, "logsumexp(x, mask=mask)", "tensor(4.0486)")
def logsumexp(  # noqa: D103
    input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None
) -> Tensor:
    x = as_tensor(input, "logsumexp")
    return _in(reduce.logsumexp(_filled(x, mask, _lowest(x)), _axes(dim, x.ndim), keepdim), dtype, x)


@_documented("Return the vector norm of order `ord`, 2 by default.", _REDUCED, "norm(x, 1.0, mask=mask)", "tensor(5.)")
def norm(  # noqa: D103
    input: Tensor, ord: float | None = 2.0, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None
) -> Tensor:
    x = as_tensor(input, "norm")
    order = 2.0 if ord is None else float(ord)
    return vector_norm(_filled(x, mask, inf if order == -inf else 0), order, _axes(dim, x.ndim), bool(keepdim), dtype)


def _variance(x: Tensor, dim: Any, unbiased: Any, correction: Any, keepdim: bool, dtype: Any, mask: Any) -> Tensor:
    if unbiased is not None and correction is not None:
        raise AssertionError("Only one of unbiased and correction may be given")
    less = float(correction) if correction is not None else 0.0 if unbiased is False else 1.0
    d = dtypes.as_dtype(dtype) if dtype is not None else x.dtype if x.dtype.category >= dtypes.FLOAT else dtypes.float32
    computed = d if d.category >= dtypes.FLOAT else dtypes.float32
    x = cast(_filled(x, mask, 0), computed)
    gap = x - sum(x, dim, keepdim=True, mask=mask) / _count(x, dim, True, mask)
    squares = gap * (conj(gap) if x.dtype.category == dtypes.COMPLEX else gap)
    total = sum(squares, dim, keepdim=keepdim, mask=mask)
    count = reshape(_count(x, dim, True, mask), shape=tuple(total.shape))
    if less:
        count = clamp_min(cast(count, computed.to_real()) - less, 0)
    return cast(total / count, d)


@_documented("Return the variance, of one degree of freedom less than elements unless told otherwise.",
             _REDUCED, "var(x, mask=mask)", "tensor(4.5000)")  # fmt: skip
def var(  # noqa: D103
    input: Tensor, dim: Any = None, unbiased: bool | None = None, *, correction: float | None = None, keepdim: bool = False,
    dtype: Any = None, mask: Any = None,
) -> Tensor:  # fmt: skip
    return _variance(as_tensor(input, "var"), dim, unbiased, correction, keepdim, dtype, mask)


@_documented("Return the standard deviation, of one degree of freedom less than elements unless told otherwise.",
             _REDUCED, "std(x, mask=mask)", "tensor(2.1213)")  # fmt: skip
def std(  # noqa: D103
    input: Tensor, dim: Any = None, unbiased: bool | None = None, *, correction: int | None = None, keepdim: bool = False,
    dtype: Any = None, mask: Any = None,
) -> Tensor:  # fmt: skip
    return sqrt(_variance(as_tensor(input, "std"), dim, unbiased, correction, keepdim, dtype, mask))


# -- along an axis -----------------------------------------------------------------------------------------------------


@_documented("Return the running sum along an axis.", _ALONG, "cumsum(x, 0, mask=mask)", "tensor([1., 1., 5.])")
def cumsum(input: Tensor, dim: int, *, dtype: Any = None, mask: Any = None) -> Tensor:  # noqa: D103
    x = as_tensor(input, "cumsum")
    d = x.dtype if dtype is None else dtypes.as_dtype(dtype)
    return cast(scan.cumsum(_filled(x, mask, 0), _axis(dim, x.ndim), dtype=d), d)


@_documented("Return the running product along an axis.", _ALONG, "cumprod(x, 0, mask=mask)", "tensor([1., 1., 4.])")
def cumprod(input: Tensor, dim: int, *, dtype: Any = None, mask: Any = None) -> Tensor:  # noqa: D103
    x = as_tensor(input, "cumprod")
    d = x.dtype if dtype is None else dtypes.as_dtype(dtype)
    return cast(scan.cumprod(_filled(x, mask, 1), _axis(dim, x.ndim), dtype=d), d)


def _soft(f: Callable, x: Tensor, dim: int, dtype: Any, mask: Any, fill: Any, sign: int = 1) -> Tensor:
    filled = _filled(x, mask, fill)
    return f(filled if sign > 0 else -filled, _axis(dim, x.ndim), dtype=x.dtype if dtype is None else dtype)


@_documented("Return the softmax along an axis.", _ALONG, "softmax(x, 0, mask=mask)", "tensor([0.0474, 0.0000, 0.9526])")
def softmax(input: Tensor, dim: int, *, dtype: Any = None, mask: Any = None) -> Tensor:  # noqa: D103
    x = as_tensor(input, "softmax")
    return _soft(soft.softmax, x, dim, dtype, mask, _lowest(x))


@_documented("Return the softmax of the negative along an axis.", _ALONG, "softmin(x, 0, mask=mask)",
             "tensor([0.9526, 0.0000, 0.0474])")  # fmt: skip
def softmin(input: Tensor, dim: int, *, dtype: Any = None, mask: Any = None) -> Tensor:  # noqa: D103
    x = as_tensor(input, "softmin")
    return _soft(soft.softmax, x, dim, dtype, mask, _highest(x), -1)


@_documented("Return the logarithm of the softmax along an axis.", _ALONG, "log_softmax(x, 0, mask=mask)",
             "tensor([-3.0486,    -inf, -0.0486])")  # fmt: skip
def log_softmax(input: Tensor, dim: int, *, dtype: Any = None, mask: Any = None) -> Tensor:  # noqa: D103
    x = as_tensor(input, "log_softmax")
    return _soft(soft.log_softmax, x, dim, dtype, mask, _lowest(x))


@_documented("Return the vectors along an axis divided by their norms of order `ord`, or by `eps` where that is larger.",
             _ALONG, "normalize(x, 1.0, 0, mask=mask)", "tensor([0.2000, 0.0000, 0.8000])")  # fmt: skip
def normalize(  # noqa: D103
    input: Tensor, ord: float, dim: int, *, eps: float = 1e-12, dtype: Any = None, mask: Any = None
) -> Tensor:
    x = as_tensor(input, "normalize")
    return _filled(x, mask, 0) / clamp_min(norm(x, ord, dim, keepdim=True, dtype=dtype, mask=mask), eps)


@asks
def logaddexp(input: Tensor, other: Tensor, *, dtype: Any = None, input_mask: Any = None, other_mask: Any = None) -> Tensor:
    """Return ``log(exp(input) + exp(other))``, where what a mask leaves out counts as 0 in the sum.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.masked.logaddexp(cr.zeros(2), cr.zeros(2), other_mask=cr.tensor([True, False]))
    tensor([0.6931, 0.0000])
    """
    x, y = as_tensor(input, "logaddexp"), as_tensor(other, "logaddexp", 1)
    return _in(_logaddexp(_filled(x, input_mask, _lowest(x)), _filled(y, other_mask, _lowest(y))), dtype, x)
