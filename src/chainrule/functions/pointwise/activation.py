"""Activations that PyTorch has at the top level."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from chainrule.core.call.dispatch import as_tensor, cast
from chainrule.core.op.samples import Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.shape import axis_index
from chainrule.core.write.inplace import assign
from chainrule.functions.adapt import public
from chainrule.ops.indexing.select import where
from chainrule.ops.pointwise import activation as ops
from chainrule.ops.shaping.shape import clone, reshape

__all__ = ["celu", "hardshrink", "log_softmax", "prelu", "selu", "softmax", "threshold"]

SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def floating(input: Any, name: str) -> Tensor:
    """Return a floating point or complex tensor; raise PyTorch's error for other dtypes."""
    x = as_tensor(input, name)
    if x.dtype.category < dtypes.FLOAT:
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{x.dtype.old_name}'")
    return x


def placed(x: Tensor, compute: Callable[[Tensor], Tensor], inplace: bool, name: str) -> Tensor:
    """Return what an activation makes of `x`, written into `x` if `inplace`: then made of a copy, which backward may need."""
    return assign(x, lambda: compute(clone(x)), f"{name}_") if inplace else compute(x)


# -- softmax -----------------------------------------------------------------------------------------------------------


def along(input: Any, dim: int | None, dtype: Any, name: str) -> tuple[Tensor, tuple]:
    """Return (tensor, its axis as a tuple of 0 or 1) for a function of the softmax family."""
    x = as_tensor(input, name)
    if dtype is not None:
        x = cast(x, dtypes.as_dtype(dtype))
    if dim is None:
        warnings.warn(
            f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
            UserWarning,
            stacklevel=4,
        )
        dim = 0 if x.ndim in (0, 1, 3) else 1
    if x.dtype.category != dtypes.FLOAT:
        raise NotImplementedError(f"\"{name}_lastdim_kernel_impl\" not implemented for '{x.dtype.old_name}'")
    axis = axis_index(dim, x.ndim)
    return x, (axis,) if x.ndim else ()


_SOFT = [
    Sample((3, 4), 1), Sample((3, 4), dim=0), Sample((2, 3, 4), -2), Sample((), 0), Sample((0, 3), 1),
    Sample((3, 4), 2, error=(IndexError, "Dimension out of range (expected to be in range of [-2, 1], but got 2)")),
]  # fmt: skip


@public(out="exact", kinds="f", samples=lambda: _SOFT)
def softmax(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """Return ``exp(input) / sum(exp(input))`` along an axis, without overflow.

    Parameters
    ----------
    input : Tensor
        Floating point, of any shape.
    dim : int
        The axis along which the results sum to 1.
    dtype : dtype, optional
        Cast to this first.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Raises
    ------
    IndexError
        If the axis is out of range.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.softmax(cr.tensor([0.0, 0.0]), dim=0)
    tensor([0.5000, 0.5000])
    """
    x, axis = along(input, dim, dtype, "softmax")
    return ops.softmax(x, axis=axis)


@public(out="exact", kinds="f", samples=lambda: _SOFT)
def log_softmax(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """Return the logarithm of the softmax along an axis, without overflow or cancellation.

    Parameters
    ----------
    input : Tensor
        Floating point, of any shape.
    dim : int
        The axis along which the softmax sums to 1.
    dtype : dtype, optional
        Cast to this first.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Raises
    ------
    IndexError
        If the axis is out of range.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.log_softmax(cr.tensor([0.0, 0.0]), dim=0)
    tensor([-0.6931, -0.6931])
    """
    x, axis = along(input, dim, dtype, "log_softmax")
    return ops.log_softmax(x, axis=axis)


# -- rectifiers --------------------------------------------------------------------------------------------------------


@public(kinds="f", method=False, samples=lambda: [Sample((3, 4)), Sample(()), Sample((0, 2))])
def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return the scaled exponential linear unit, whose constants keep zero mean and unit variance (arXiv 1706.02515).

    Parameters
    ----------
    input : Tensor
        Floating point.
    inplace : bool
        Write the result into `input`.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.selu(cr.tensor([-1.0, 1.0]))
    tensor([-1.1113,  1.0507])
    """
    x = floating(input, "elu")
    return placed(x, lambda x: ops.elu(x, alpha=SELU_ALPHA, scale=SELU_SCALE, steepness=1), inplace, "selu")


@public(kinds="f", method=False, samples=lambda: [Sample((3, 4)), Sample((), 0.5), Sample((0, 2), alpha=2.0)])
def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Return ``max(0, input) + min(0, alpha * (exp(input / alpha) - 1))``.

    Parameters
    ----------
    input : Tensor
        Floating point.
    alpha : float
        Scale of the negative side; its derivative is continuous at 0 for any value.
    inplace : bool
        Write the result into `input`.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Raises
    ------
    RuntimeError
        If `alpha` is 0.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.celu(cr.tensor([-1.0, 1.0]))
    tensor([-0.6321,  1.0000])
    """
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    x = floating(input, "elu")
    return placed(x, lambda x: ops.elu(x, alpha=alpha, scale=1, steepness=1 / alpha), inplace, "celu")


@public(kinds="f", samples=lambda: [Sample((2, 3, 4), (3,)), Sample((3, 4), (1,)), Sample((), (1,)), Sample((5,), (1,))])
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """Return `input` where it is positive, and ``weight * input`` elsewhere.

    Parameters
    ----------
    input : Tensor
        Floating point; channels lie along axis 1.
    weight : Tensor
        One slope, or one a channel; differentiable.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Raises
    ------
    RuntimeError
        If there is neither one slope nor one a channel.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.prelu(cr.tensor([-1.0, 1.0]), cr.tensor([0.25]))
    tensor([-0.2500,  1.0000])
    """
    x, w = as_tensor(input, "prelu"), as_tensor(weight, "prelu", 1)
    if x.dtype is not w.dtype:
        raise RuntimeError(f"prelu: Type promoting not supported. Got {x.dtype.old_name} and {w.dtype.old_name}")
    x = floating(x, "prelu")
    if w.ndim > 1:
        raise RuntimeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {w.ndim}")
    if w.numel() != 1:
        if not x.ndim:
            raise RuntimeError("Not allow zero-dim input tensor.")
        channels = x.shape[1] if x.ndim > 1 else 1
        if channels != w.numel():
            raise RuntimeError(
                f"Mismatch of parameter numbers and input channel size. Found parameter numbers = {w.numel()} and "
                f"channel size = {channels}."
            )
        w = reshape(w, shape=(w.numel(),) + (1,) * (x.ndim - 2))
    elif w.ndim:
        w = reshape(w, shape=())
    return ops.prelu(x, w)


# -- thresholds --------------------------------------------------------------------------------------------------------


@public(out=True, kinds="f", samples=lambda: [Sample((3, 4)), Sample((), 0.2), Sample((0,), lambd=1.0)])
def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Return `input`, and 0 where it lies in [-lambd, lambd].

    Parameters
    ----------
    input : Tensor
        Floating point.
    lambd : float
        Half the width of the interval that becomes 0.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.hardshrink(cr.tensor([-1.0, 0.3, 0.7]))
    tensor([-1.0000,  0.0000,  0.7000])
    """
    x = floating(input, "hardshrink")
    return where((x >= -lambd) & (x <= lambd), 0, x)


@public(
    out=True, kinds="f", method=False, samples=lambda: [Sample((3, 4), 0.1, 5.0), Sample((), -1, 2), Sample((0,), 0.0, 1.0)]
)
def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """Return `input` where it exceeds the threshold, and `value` elsewhere.

    Parameters
    ----------
    input : Tensor
        Of any real dtype.
    threshold, value : float
        The bound, and what replaces elements at or below it.
    inplace : bool
        Write the result into `input`.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.threshold(cr.tensor([-1.0, 2.0]), 0.0, 9.0)
    tensor([9., 2.])
    """
    x = as_tensor(input, "threshold")
    if x.dtype.category < dtypes.FLOAT:
        value = int(value)
    return placed(x, lambda x: where(x <= threshold, value, x), inplace, "threshold")
