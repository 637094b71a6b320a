"""Losses of regression: `chainrule.nn.functional`'s part that compares numbers; and what reduces any loss."""

from __future__ import annotations

import warnings
from typing import Any

from chainrule.core.call.asking import asks
from chainrule.core.call.dispatch import as_tensor, cast
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.functions.elementwise import xlogy
from chainrule.ops.pointwise.activation import huber
from chainrule.ops.pointwise.complex import abs
from chainrule.ops.pointwise.exponential import exp
from chainrule.ops.reduction.reduce import mean, sum

__all__ = ["huber_loss", "kl_div", "l1_loss", "mse_loss", "smooth_l1_loss"]


# -- reductions --------------------------------------------------------------------------------------------------------


def reduction_of(size_average: Any, reduce: Any, reduction: str) -> str:
    """Return the reduction meant, by PyTorch's older arguments if they are given."""
    if size_average is not None or reduce is not None:
        if reduce is False:
            reduction = "none"
        else:
            reduction = "sum" if size_average is False else "mean"
        warnings.warn(
            f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.",
            UserWarning,
            stacklevel=4,
        )
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return reduction


def _all(x: Tensor) -> tuple:
    return tuple(range(x.ndim))


def reduced(x: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return x
    return (mean if reduction == "mean" else sum)(x, axis=_all(x), keepdims=False)


def _weighted(x: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    """Reduce a loss whose mean is weighted."""
    if weight is None:
        return reduced(x, reduction)
    w = as_tensor(weight)
    if tuple(w.shape) != tuple(x.shape):
        raise ValueError("Weights and input must have the same size.")
    x = x * w
    if reduction == "mean":
        return reduced(x, "sum") / reduced(w, "sum")
    return reduced(x, reduction)


# -- regression --------------------------------------------------------------------------------------------------------


def _pair(input: Any, target: Any, name: str) -> tuple[Tensor, Tensor]:
    x, y = as_tensor(input, name), as_tensor(target, name, 1)
    if x.shape != y.shape:
        warnings.warn(
            f"Using a target size ({y.shape}) that is different to the input size ({x.shape}). This will likely lead to "
            "incorrect results due to broadcasting. Please ensure they have the same size.",
            UserWarning,
            stacklevel=4,
        )
    if x.dtype.category < dtypes.FLOAT and y.dtype.category < dtypes.FLOAT:
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{x.dtype.old_name}'")
    return x, y


def as_stored_in(x: Tensor, loss: Tensor) -> Tensor:
    """Return elements' losses in the dtype of the tensor beside which PyTorch allocates them; raise its error if none fits."""
    if loss.dtype is x.dtype:
        return loss
    if not dtypes.can_cast(loss.dtype, x.dtype):
        raise RuntimeError(f"result type {loss.dtype.old_name} can't be cast to the desired output type {x.dtype.old_name}")
    return cast(loss, x.dtype)


@asks
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Return the mean squared difference.

    Parameters
    ----------
    input, target : Tensor
        Of the same shape.
    size_average, reduce : bool, optional
        PyTorch's older forms of `reduction`; they warn.
    reduction : {"mean", "sum", "none"}
        What to make of the elements' losses.
    weight : Tensor, optional
        Of the same shape: weights of the elements, and of the mean.

    Returns
    -------
    Tensor
        0-d, or of the shape of `input` without reduction.

    Raises
    ------
    ValueError
        For another reduction.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.mse_loss(cr.tensor([1.0, 2.0]), cr.tensor([1.0, 4.0]))
    tensor(2.)
    """
    reduction = reduction_of(size_average, reduce, reduction)
    x, y = _pair(input, target, "mse")
    difference = x - y
    return _weighted(difference * difference, weight, reduction)


@asks
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Return the mean absolute difference; its derivative where both are equal is 0. Parameters as :func:`mse_loss`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.l1_loss(cr.tensor([1.0, 2.0]), cr.tensor([1.0, 4.0]))
    tensor(1.)
    """
    reduction = reduction_of(size_average, reduce, reduction)
    x, y = _pair(input, target, "l1")
    return _weighted(abs(x - y), weight, reduction)


@asks
def smooth_l1_loss(
    input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """Return the mean of ``d²/(2 beta)`` where ``d = abs(input - target) < beta`` and ``d - beta/2`` elsewhere.

    Parameters
    ----------
    input, target : Tensor
        Of the same shape.
    size_average, reduce : bool, optional
        PyTorch's older forms of `reduction`; they warn.
    reduction : {"mean", "sum", "none"}
        What to make of the elements' losses.
    beta : float
        Where the parabola ends; 0 gives :func:`l1_loss`.

    Returns
    -------
    Tensor
        0-d, or of the shape of `input` without reduction.

    Raises
    ------
    RuntimeError
        If `beta` is negative.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.smooth_l1_loss(cr.tensor([1.0, 2.0]), cr.tensor([1.0, 4.0]))
    tensor(0.7500)
    """
    reduction = reduction_of(size_average, reduce, reduction)
    x, y = _pair(input, target, "smooth_l1")
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    gap = x - y
    if beta == 0:
        return reduced(abs(gap), reduction)
    loss = huber(gap, delta=beta, closed=False)
    return reduced(loss if beta == 1 else loss / beta, reduction)


@asks
def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Return the mean of ``d²/2`` where ``d = abs(input - target) <= delta`` and ``delta (d - delta/2)`` elsewhere.

    Parameters
    ----------
    input, target : Tensor
        Of the same shape.
    reduction : {"mean", "sum", "none"}
        What to make of the elements' losses.
    delta : float
        Where the parabola ends, positive.
    weight : Tensor, optional
        Of the same shape; multiplies the elements' losses.

    Returns
    -------
    Tensor
        0-d, or of the shape of `input` without reduction.

    Raises
    ------
    RuntimeError
        If `delta` is not positive.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.huber_loss(cr.tensor([1.0, 2.0]), cr.tensor([1.0, 4.0]))
    tensor(0.7500)
    """
    reduction = reduction_of(None, None, reduction)
    x, y = _pair(input, target, "huber")
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    loss = as_stored_in(x, huber(x - y, delta=delta, closed=True))
    if weight is not None:  # unlike mse_loss and l1_loss, PyTorch's weighted mean divides by the number of elements
        loss = _weighted(loss, weight, "none")
    return reduced(loss, reduction)


@asks
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """Return the Kullback-Leibler divergence ``target * (log(target) - input)`` of log probabilities `input`.

    Parameters
    ----------
    input : Tensor
        Log probabilities.
    target : Tensor
        Probabilities, or their logarithms if `log_target`.
    size_average, reduce : bool, optional
        PyTorch's older forms of `reduction`; they warn.
    reduction : {"mean", "batchmean", "sum", "none"}
        ``"batchmean"`` divides the sum by the size of the first axis, which is the divergence of the mathematicians;
        ``"mean"`` divides by the number of elements, and warns.
    log_target : bool
        `target` is given in logarithms.

    Returns
    -------
    Tensor
        0-d, or of the shape of `input` without reduction.

    Examples
    --------
    >>> import chainrule as cr
    >>> logp, q = cr.tensor([[0.5, 0.5]]).log(), cr.tensor([[0.25, 0.75]])
    >>> cr.nn.functional.kl_div(logp, q, reduction="batchmean")
    tensor(0.1308)
    """
    batch = reduction == "batchmean"
    reduction = reduction_of(size_average, reduce, "sum" if batch else reduction)
    if reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size.'batchmean' divides "
            "only by the batch size, and aligns with the KL math definition.'mean' will be changed to behave the same as "
            "'batchmean' in the next major release.",
            UserWarning,
            stacklevel=3,
        )
    x, y = as_tensor(input, "kl_div"), as_tensor(target, "kl_div", 1)
    out = reduced(exp(y) * (y - x) if log_target else xlogy(y, y) - y * x, reduction)  # type: ignore[misc]
    return out / x.shape[0] if batch and x.ndim else out
