"""Normalisation layers as functions: a part of `chainrule.nn.functional`.

Layer, batch, group and instance normalisation differ in the axes over which they standardise; the op is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from chainrule.core.call.asking import asks
from chainrule.core.call.dispatch import as_tensor, cast
from chainrule.core.mode.grad_mode import no_grad
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.types import dtype as dtypes
from chainrule.ops.nn.norm import standardize
from chainrule.ops.reduction.reduce import mean
from chainrule.ops.shaping.shape import reshape

__all__ = ["batch_norm", "group_norm", "instance_norm", "layer_norm"]


# -- arguments ---------------------------------------------------------------------------------------------------------


def _real(input: Any, name: str, kernel: str) -> Tensor:
    x = as_tensor(input, name)
    if x.dtype.category != dtypes.FLOAT:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{x.dtype.old_name}'")
    return x


def _same_dtype(x: Tensor, *parameters: Tensor | None) -> None:
    """Raise PyTorch's error unless parameters have the input's dtype, or single precision beside half."""
    for p in parameters:
        if p is not None and p.dtype is not x.dtype:
            if x.dtype.numpy.itemsize == 2 and p.dtype is dtypes.float32:
                continue
            if p.dtype is dtypes.float64 and x.dtype is dtypes.float32:
                raise RuntimeError("mixed dtype (CPU): expect parameter to have scalar type of Float")
            raise RuntimeError("mixed dtype (CPU): all inputs must share same datatype.")


def _given(*values: Any, shape: tuple | None = None) -> list:
    """Return tensors, in a shape if that is given; None of None."""
    found = [None if v is None else as_tensor(v) for v in values]
    return found if shape is None else [v if v is None else reshape(v, shape=shape) for v in found]


def _scaled(y: Tensor, weight: Any, bias: Any) -> Tensor:
    """Return ``y * weight + bias`` in the dtype of `y`."""
    found = y if weight is None else y * weight
    return cast(found if bias is None else found + bias, y.dtype)


def _standardized(x: Tensor, weight: Any, bias: Any, axis: tuple, eps: float) -> tuple:
    """Return `x` standardised, times weight, plus bias, which broadcast; its mean; ``1 / sqrt(var + eps)``."""
    if any([v is not None and v.dtype is not x.dtype for v in (weight, bias)]):  # single precision beside half
        y, average, scale = standardize(x, None, None, axis=axis, eps=float(eps))
        return _scaled(y, weight, bias), average, scale
    return standardize(x, weight, bias, axis=axis, eps=float(eps))


def over_last(x: Tensor, normalized_shape: Any, name: str, star: str, **parameters: Tensor | None) -> tuple:
    """Return the axes that `normalized_shape` names, the last; raise PyTorch's errors if it does not fit."""
    if not isinstance(normalized_shape, Sequence):
        raise TypeError(
            f"{name}(): argument 'normalized_shape' (position 2) must be tuple of ints, not {type(normalized_shape).__name__}"
        )
    shape = tuple(normalized_shape)
    if not shape:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but got "
            "normalized_shape = []"
        )
    for kind, p in parameters.items():
        if p is not None and tuple(p.shape) != shape:
            raise RuntimeError(
                f"Expected {kind} to be of same shape as normalized_shape, but got {kind} of shape {list(p.shape)} and "
                f"normalized_shape = {list(shape)}"
            )
    n = len(shape)
    if tuple(x.shape[-n:]) != shape or x.ndim < n:
        sizes = ", ".join(map(str, shape))
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape [*{star}{sizes}], but got input of "
            f"size{list(x.shape)}"
        )
    return tuple(range(x.ndim - n, x.ndim))


# -- over the last axes ------------------------------------------------------------------------------------------------


@asks
def layer_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Return ``(x - mean) / sqrt(var + eps) * weight + bias`` over the last axes (arXiv 1607.06450).

    Parameters
    ----------
    input : Tensor
        Floating point, of shape (..., *normalized_shape).
    normalized_shape : sequence of int
        The sizes of the axes over which mean and variance are taken.
    weight, bias : Tensor, optional
        Of that shape.
    eps : float
        Added to the variance.

    Returns
    -------
    Tensor
        Of the shape and dtype of `input`.

    Raises
    ------
    RuntimeError
        If the shapes or dtypes do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.layer_norm(cr.tensor([[1.0, 3.0]]), (2,))
    tensor([[-1.0000,  1.0000]])
    """
    return of_layers(input, normalized_shape, weight, bias, eps)[0]


def of_layers(input: Any, normalized_shape: Any, weight: Any, bias: Any, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `layer_norm` returns, the means, and the reciprocals of the standard deviations."""
    x = _real(input, "layer_norm", "LayerNormKernelImpl")
    w, b = _given(weight, bias)
    axis = over_last(x, normalized_shape, "layer_norm", ", ", weight=w, bias=b)
    _same_dtype(x, w, b)
    return _standardized(x, w, b, axis, eps)


# -- over the batch ----------------------------------------------------------------------------------------------------


def _sizes(channels: int, **given: Tensor | None) -> None:
    for name, p in given.items():
        if p is not None and prod(p.shape) != channels:
            raise RuntimeError(f"{name} should contain {channels} elements not {prod(p.shape)}")


def _refuse_derivative(**running: Tensor | None) -> None:
    for name, p in running.items():
        if p is not None and p.requires_grad:
            raise RuntimeError(
                f"The function 'native_batch_norm' is not differentiable with respect to argument '{name}'. This input cannot "
                "have requires_grad True."
            )


def _unbiased(scale: Tensor, eps: float, n: int) -> Tensor:
    """Return the variance of n - 1 degrees of freedom, from ``1 / sqrt(var + eps)``."""
    return (1 / (scale * scale) - eps) * (n / (n - 1) if n > 1 else np.nan)


def _moved(running: Any, value: Tensor, momentum: float) -> None:
    if value.shape != running.shape:
        value = reshape(value, shape=tuple(running.shape))
    running.mul_(1 - momentum)
    running.add_(cast(value, running.dtype) * momentum)


def _both_or_neither(running_mean: Any, running_var: Any) -> None:
    if (running_mean is None) != (running_var is None):
        raise ValueError("running_mean and running_var must either both be None or neither be None")


@asks
def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Return each channel standardised over the batch, times weight, plus bias (arXiv 1502.03167).

    Parameters
    ----------
    input : Tensor
        Floating point, of shape (N, C) or (N, C, ...).
    running_mean, running_var : Tensor or None
        Of shape (C,): what evaluation standardises with. Training moves them, in place, towards the batch's mean and its
        variance of one degree of freedom less.
    weight, bias : Tensor, optional
        Of shape (C,).
    training : bool
        Take mean and variance from the batch.
    momentum : float
        How far the running statistics move.
    eps : float
        Added to the variance.

    Returns
    -------
    Tensor
        Of the shape and dtype of `input`.

    Raises
    ------
    ValueError
        If a channel has one value only while training, or one running statistic is None.
    RuntimeError
        If shapes or dtypes do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> x, m, v = cr.tensor([[1.0], [3.0]]), cr.zeros(1), cr.ones(1)
    >>> cr.nn.functional.batch_norm(x, m, v, training=True).flatten(), m
    (tensor([-1.0000,  1.0000]), tensor([0.2000]))
    """
    if training:
        _check_batch(as_tensor(input, "batch_norm"))
        if eps <= 0:
            raise ValueError(f"batch_norm eps must be positive during training, but got {eps}")
    if eps < 0:
        raise ValueError(f"batch_norm eps must be non-negative, but got {eps}")
    return of_batches(input, running_mean, running_var, weight, bias, training, momentum, eps)[0]


def of_batches(
    input: Any, running_mean: Any, running_var: Any, weight: Any, bias: Any, training: bool, momentum: float, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `batch_norm` returns, and the means and reciprocals of standard deviations that training took."""
    x = as_tensor(input, "batch_norm")
    if x.dtype.category != dtypes.FLOAT:
        raise NotImplementedError(f"\"batch_norm\" not implemented for '{x.dtype.old_name}'")
    m, v, w, b = _given(running_mean, running_var, weight, bias)
    if x.ndim < 2:
        if x.ndim and not x.shape[0]:  # which has no channels, and of which PyTorch asks none
            return _scaled(x * 1, *[None if p is None else p[0] for p in (w, b)]), _no_statistics(x), _no_statistics(x)
        raise IndexError("Dimension out of range (expected to be in range of [-1, 0], but got 1)")
    if not training:
        for name, p in (("running_mean", m), ("running_var", v)):
            if p is None:
                raise RuntimeError(f"{name} must be defined in evaluation mode")
    _both_or_neither(m, v)
    channels = x.shape[1]
    _sizes(channels, running_mean=m, running_var=v, weight=w, bias=b)
    _refuse_derivative(running_mean=m, running_var=v)
    _same_dtype(x, m, v, w, b)
    shape = (1, channels, *(1,) * (x.ndim - 2))
    if not training:
        return _standardized_with(x, m, v, w, b, shape, eps), _no_statistics(x), _no_statistics(x)
    axis = (0, *range(2, x.ndim))
    if x.ndim > 2:
        w, b = _given(w, b, shape=shape)
    y, average, scale = _standardized(x, w, b, axis, eps)
    with no_grad():  # through statistics no gradient flows, as in PyTorch
        average, scale = [reshape(t, shape=(channels,)) for t in (average, scale)]
        n = prod([x.shape[k] for k in axis])
        if m is not None and n:
            _moved(m, average, momentum)
            _moved(v, _unbiased(scale, eps, n), momentum)
    return y, average, scale


def _no_statistics(x: Tensor) -> Tensor:
    return wrap(np.zeros(0, x.dtype.numpy))


def _standardized_with(x: Tensor, m: Any, v: Any, w: Any, b: Any, shape: tuple, eps: float) -> Tensor:
    """Return each channel standardised with given mean and variance: one product and one sum of the input's size."""
    d = x.dtype
    scale = (v + eps) ** -0.5
    if w is not None:
        scale = scale * w
    shift = -m * scale if b is None else b - m * scale
    return cast(x * reshape(scale, shape=shape) + reshape(shift, shape=shape), d)


def _check_batch(x: Tensor) -> None:
    shape = x.shape
    if not shape:
        raise IndexError("tuple index out of range")
    if shape[0] * prod(shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {shape}")


@asks
def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Return each channel of each sample standardised over its elements, times weight, plus bias (arXiv 1607.08022).

    Parameters
    ----------
    input : Tensor
        Floating point, of shape (N, C, ...).
    running_mean, running_var : Tensor, optional
        Of shape (C,): moved, in place, towards the means over the samples of their means and variances.
    weight, bias : Tensor, optional
        Of shape (C,).
    use_input_stats : bool
        Take mean and variance from the input; otherwise the running ones.
    momentum, eps : float
        As :func:`batch_norm` takes them.

    Returns
    -------
    Tensor
        Of the shape and dtype of `input`.

    Raises
    ------
    ValueError
        If a channel has one element only.
    RuntimeError
        If shapes do not fit, or statistics that are asked for are missing.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.instance_norm(cr.tensor([[[1.0, 3.0], [5.0, 9.0]]]))
    tensor([[[-1.0000,  1.0000],
             [-1.0000,  1.0000]]])
    """
    x = _real(input, "instance_norm", "batch_norm")
    if use_input_stats and prod(x.shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {x.shape}")
    m, v, w, b = _given(running_mean, running_var, weight, bias)
    if not use_input_stats and (m is None or v is None):
        raise RuntimeError("Expected running_mean and running_var to be defined when use_input_stats is false")
    _both_or_neither(m, v)
    count, channels = x.shape[:2]
    for name, p in (("running_mean", m), ("running_var", v), ("weight", w), ("bias", b)):
        if p is not None and prod(p.shape) != channels:  # PyTorch takes the channels of all samples as one batch's
            raise RuntimeError(f"{name} should contain {count * channels} elements not {count * prod(p.shape)}")
    _refuse_derivative(running_mean=m, running_var=v)
    _same_dtype(x, m, v, w, b)
    shape = (1, channels, *(1,) * (x.ndim - 2))
    if not use_input_stats:
        return _standardized_with(x, m, v, w, b, shape, eps)
    w, b = _given(w, b, shape=shape)
    y, average, scale = _standardized(x, w, b, tuple(range(2, x.ndim)), eps)
    if m is not None and count:
        with no_grad():
            _moved(m, mean(average, axis=(0,), keepdims=False), momentum)
            _moved(v, mean(_unbiased(scale, eps, prod(x.shape[2:])), axis=(0,), keepdims=False), momentum)
    return y


# -- over groups of channels -------------------------------------------------------------------------------------------


@asks
def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Return each group of channels of each sample standardised, times weight, plus bias (arXiv 1803.08494).

    Parameters
    ----------
    input : Tensor
        Floating point, of shape (N, C, ...).
    num_groups : int
        Into how many groups the channels are divided.
    weight, bias : Tensor, optional
        Of shape (C,).
    eps : float
        Added to the variance.

    Returns
    -------
    Tensor
        Of the shape and dtype of `input`.

    Raises
    ------
    RuntimeError
        If the channels cannot be divided, or shapes or dtypes do not fit.
    ValueError
        If a group has one element only.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.group_norm(cr.tensor([[1.0, 3.0, 5.0, 9.0], [0.0, 1.0, 2.0, 1.0]]), 2)
    tensor([[-1.0000,  1.0000, -1.0000,  1.0000],
            [-1.0000,  1.0000,  1.0000, -1.0000]])
    """
    x = as_tensor(input, "group_norm")
    if x.ndim < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {x.ndim}")
    shape = tuple(x.shape)
    count, channels = shape[:2]
    lead = [count * channels // num_groups, num_groups, *shape[2:]]
    if lead[0] * prod(shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {lead}")
    return of_groups(x, num_groups, weight, bias, eps)[0]


def of_groups(x: Tensor, num_groups: int, weight: Any, bias: Any, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `group_norm` returns, and the groups' means and reciprocals of standard deviations."""
    shape = tuple(x.shape)
    count, channels = shape[:2]
    if channels % num_groups:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of shape "
            f"{list(shape)} and num_groups={num_groups}"
        )
    w, b = _given(weight, bias)
    for name, p in (("weight", w), ("bias", b)):
        if p is not None and tuple(p.shape) != (channels,):
            raise RuntimeError(
                f"Expected {name} to be a vector of size equal to the number of channels in input, but got {name} of shape "
                f"{list(p.shape)} and input of shape {list(shape)}"
            )
    if x.dtype.category != dtypes.FLOAT:
        raise NotImplementedError(f"\"GroupNormKernelImpl\" not implemented for '{x.dtype.old_name}'")
    _same_dtype(x, w, b)
    grouped = reshape(x, shape=(count, num_groups, channels // num_groups * prod(shape[2:])))
    y, *statistics = standardize(grouped, None, None, axis=(2,), eps=float(eps))
    average, scale = [reshape(t, shape=(count, num_groups)) for t in statistics]
    return _scaled(reshape(y, shape=shape), *_given(w, b, shape=(1, channels, *(1,) * (x.ndim - 2)))), average, scale
