"""Normalisation by mean squares, with no mean taken away: a part of `chainrule.nn.functional`."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.call.asking import asks
from chainrule.core.call.dispatch import as_tensor, cast
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.functions.shaping.join import cat
from chainrule.nn.functional.normalization import over_last
from chainrule.ops.indexing.view import unfold, zeros
from chainrule.ops.pointwise.arithmetic import floor_divide
from chainrule.ops.reduction.reduce import mean, sum

__all__ = ["local_response_norm", "rms_norm"]


@asks
def rms_norm(input: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None) -> Tensor:
    """Return ``x / sqrt(mean(x²) + eps) * weight`` over the last axes (arXiv 1910.07467).

    Parameters
    ----------
    input : Tensor
        Floating point or complex, of shape (..., *normalized_shape).
    normalized_shape : sequence of int
        The sizes of the axes over which the mean is taken.
    weight : Tensor, optional
        Of that shape.
    eps : float, optional
        Added to the mean square; the spacing of the dtype's numbers at 1 if not given.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Raises
    ------
    RuntimeError
        If the shapes do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.rms_norm(cr.tensor([[3.0, 3.0]]), (2,))
    tensor([[1., 1.]])
    """
    x = as_tensor(input, "rms_norm")
    if x.dtype.category < dtypes.FLOAT:
        raise NotImplementedError(f"\"rms_norm\" not implemented for '{x.dtype.old_name}'")
    w = None if weight is None else as_tensor(weight)
    axis = over_last(x, normalized_shape, "rms_norm", "", weight=w)
    half = x.dtype.numpy.itemsize == 2
    inner = cast(x, dtypes.float32) if half else x
    eps = float(np.finfo(inner.dtype.to_real().numpy).eps) if eps is None else eps
    y = inner / (mean(inner * inner, axis=axis, keepdims=True) + eps) ** 0.5
    y = y if w is None else y * w
    return cast(y, x.dtype if half or y.dtype.category == x.dtype.category else y.dtype)


@asks
def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Return ``x / (k + alpha * mean of x² over neighbouring channels)**beta`` (Krizhevsky et al., NeurIPS 2012).

    Parameters
    ----------
    input : Tensor
        Floating point or ``int64``, of shape (N, C, ...), of at least 3 axes.
    size : int
        How many channels are neighbours, ``size // 2`` of them before each; those outside count as 0.
    alpha, beta, k : float
        The formula's factor, exponent and constant.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Raises
    ------
    ValueError
        If the input has fewer axes.
    RuntimeError
        If `size` is not positive.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.local_response_norm(cr.ones(1, 2, 1), 2, alpha=2.0, beta=1.0)
    tensor([[[0.5000],
             [0.3333]]])
    """
    x = as_tensor(input, "local_response_norm")
    if x.ndim < 3:
        raise ValueError(f"Expected 3D or higher dimensionality                          input (got {x.ndim} dimensions)")
    if size <= 0:
        raise RuntimeError(f"kernel size should be greater than zero, but got kH: {size} kW: 1")
    if not prod(x.shape):
        return x
    whole = x.dtype.category < dtypes.FLOAT  # of which PyTorch's mean is a whole number
    if whole and x.dtype is not dtypes.int64:
        raise NotImplementedError(f"\"avg_pool2d\" not implemented for '{x.dtype.old_name}'")
    outside = lambda n: zeros((x.shape[0], n, *x.shape[2:]), x)
    padded = cat((outside(size // 2), x * x, outside((size - 1) // 2)), 1)
    windows = unfold(padded, axis=1, size=size, step=1)
    if whole:
        near = floor_divide(sum(windows, axis=(x.ndim,), keepdims=False), size)
    else:
        near = mean(windows, axis=(x.ndim,), keepdims=False)
    return x / (near * alpha + k) ** beta
