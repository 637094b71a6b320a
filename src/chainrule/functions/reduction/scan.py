"""Running sums, products and extrema, differences and integrals along an axis, under PyTorch's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.call.dispatch import as_tensor, cast
from chainrule.core.op.samples import Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.shape import axis_index
from chainrule.functions.adapt import public
from chainrule.functions.reduction.reduce import OUT_OF_RANGE, refuse_complex
from chainrule.ops.reduction import scan as ops
from chainrule.return_types import named_result

__all__ = ["cummax", "cummin", "cumprod", "cumsum", "logcumsumexp"]  # fmt: skip

_cummax, _cummin = named_result("cummax", "values", "indices"), named_result("cummin", "values", "indices")


def _samples() -> list[Sample]:
    return [
        Sample((5,), 0), Sample((3, 4), dim=1), Sample((2, 3, 4), dim=-2), Sample((), dim=0), Sample((0, 3), dim=0),
        Sample((3, 4), dim=2, error=OUT_OF_RANGE),
    ]  # fmt: skip


def _running(input: Any, name: str, dim: int, dtype: Any, op_call: Any) -> Tensor:
    x = as_tensor(input, name)
    if dtype is not None:
        x = cast(x, dtypes.as_dtype(dtype))
        if x.dtype is dtypes.bool_:
            raise NotImplementedError(f"\"{name}_out_cpu\" not implemented for 'Bool'")
    elif x.dtype.category < dtypes.FLOAT:
        x = cast(x, dtypes.int64)
    return cast(op_call(x, axis=axis_index(dim, x.ndim), reverse=False), x.dtype)  # NumPy widens small integers


@public(out=True, kinds="bifc", inplace=True, samples=_samples)
def cumsum(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Return the running sums along an axis.

    Parameters
    ----------
    input : Tensor
        Of any shape and dtype; integers and bools are summed as ``int64``.
    dim : int
        The axis.
    dtype : dtype, optional
        Cast to this first.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.cumsum(cr.tensor([1.0, 2.0, 3.0]), dim=0)
    tensor([1., 3., 6.])
    """
    return _running(input, "cumsum", dim, dtype, ops.cumsum)


@public(out=True, kinds="bifc", inplace=True, samples=lambda: [*_samples(), Sample(np.array([2.0, 0.0, 3.0, 0.0, 5.0]), 0)])
def cumprod(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Return the running products along an axis; the gradient is exact where elements are zero.

    Parameters
    ----------
    input : Tensor
        Of any shape and dtype; integers and bools are multiplied as ``int64``.
    dim : int
        The axis.
    dtype : dtype, optional
        Cast to this first.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.cumprod(cr.tensor([1.0, 2.0, 3.0]), dim=0)
    tensor([1., 2., 6.])
    """
    return _running(input, "cumprod", dim, dtype, ops.cumprod)


def _ties() -> list[Sample]:
    return [*_samples(), Sample(np.array([2.0, 2.0, 1.0, 3.0, 3.0]), 0), Sample(np.array([2.0, np.nan, 1.0, np.nan]), 0)]


@public(out="exact", kinds="bif", samples=_ties)
def cummax(input: Tensor, dim: int) -> Any:
    """Return the running maxima along an axis and their indices, the last among equals.

    Parameters
    ----------
    input : Tensor
        Of any shape and real dtype.
    dim : int
        The axis.

    Returns
    -------
    namedtuple (values, indices)

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.cummax(cr.tensor([1.0, 3.0, 2.0]), dim=0).values
    tensor([1., 3., 3.])
    """
    x = as_tensor(input, "cummax")
    refuse_complex(x, "\"cummax_cpu\" not implemented for '{}'")
    return _cummax(*ops.cummax(x, axis=axis_index(dim, x.ndim)))


@public(out="exact", kinds="bif", samples=_ties)
def cummin(input: Tensor, dim: int) -> Any:
    """Return the running minima along an axis and their indices, the last among equals.

    Parameters
    ----------
    input : Tensor
        Of any shape and real dtype.
    dim : int
        The axis.

    Returns
    -------
    namedtuple (values, indices)

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.cummin(cr.tensor([2.0, 3.0, 1.0]), dim=0).values
    tensor([2., 2., 1.])
    """
    x = as_tensor(input, "cummin")
    refuse_complex(x, "\"cummin_cpu\" not implemented for '{}'")
    return _cummin(*ops.cummin(x, axis=axis_index(dim, x.ndim)))


@public(out=True, samples=lambda: [*_samples(), Sample(np.array([-800.0, 800.0, 1.0]), 0)])
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """Return the running ``log(sum(exp(input)))`` along an axis, computed without overflow.

    Parameters
    ----------
    input : Tensor
        Of any shape, floating point or complex.
    dim : int
        The axis.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.logcumsumexp(cr.tensor([0.0, 0.0]), dim=0)
    tensor([0.0000, 0.6931])
    """
    x = as_tensor(input, "logcumsumexp")
    if x.dtype.category < dtypes.FLOAT:
        raise NotImplementedError(f"\"logcumsumexp_out_cpu\" not implemented for '{x.dtype.old_name}'")
    return ops.logcumsumexp(x, axis=axis_index(dim, x.ndim))
