"""Dropout (Srivastava et al., JMLR 15, 2014) and its relatives as functions.

A draw depends on the shape of its mask alone: elements, or whole feature maps, which lie along all axes but the first two.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from chainrule.core.call.asking import asks
from chainrule.core.call.dispatch import as_tensor
from chainrule.core.tensor.tensor import Tensor
from chainrule.functions.pointwise.activation import SELU_ALPHA, SELU_SCALE, placed
from chainrule.ops.random.draw import drawn

__all__ = ["alpha_dropout", "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout"]


def _check(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


class _Truths:
    """Draws 1 with a probability, else 0, in a dtype."""

    bytes = 9  # that an element takes at most while it draws: a double and a truth

    def __init__(self, probability: float, d: np.dtype):
        self.probability, self.dtype = probability, d

    def __call__(self, rng: Any, shape: tuple) -> Any:
        return np.asarray(rng.random(shape) < self.probability).astype(self.dtype)


def _kept(x: Tensor, p: float, shape: tuple) -> Tensor:
    """Return 1 with probability ``1 - p`` and else 0, in the real dtype of `x`."""
    d = x.dtype.to_real().numpy

    return drawn(_Truths(1 - p, d), shape, d, None)


def _drops_nothing(x: Tensor, p: float) -> bool:
    """Return whether nothing can be dropped; then nothing is drawn, so that `vmap` has nothing against it."""
    return p == 0 or 0 in x.shape


def _maps(x: Tensor) -> tuple:
    """Return the shape of a mask of feature maps."""
    if x.ndim < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    return (*x.shape[:2], *(1,) * (x.ndim - 2))


def _dropped(x: Tensor, p: float, shape: tuple, inplace: bool, name: str) -> Tensor:
    if _drops_nothing(x, p):
        return x
    mask: Any = _kept(x, p, shape)
    if 0 < p < 1:
        mask.div_(1 - p)
    return placed(x, lambda x: x * mask, inplace, name)


def _alpha_dropped(x: Tensor, p: float, shape: tuple, inplace: bool, name: str) -> Tensor:
    """Drop to the value that `selu` goes to far below 0, then scale and shift so that mean and variance stay."""
    if _drops_nothing(x, p):
        return x
    if p == 1:
        return placed(x, lambda x: x * 0, inplace, name)
    low = -SELU_ALPHA * SELU_SCALE
    scale = 1 / math.sqrt((low * low * p + 1) * (1 - p))
    kept: Any = _kept(x, p, shape)
    shift = (1 - kept) * (low * scale) - low * scale * p
    return placed(x, lambda x: x * (kept * scale) + shift, inplace, name)


@asks
def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Return the elements each kept with probability ``1 - p`` and then divided by it, so that the mean stays.

    Parameters
    ----------
    input : Tensor
        Floating point or complex.
    p : float
        Probability that an element becomes 0.
    training : bool
        Drop; otherwise the input is returned as it is.
    inplace : bool
        Write the result into `input`.

    Returns
    -------
    Tensor
        Of the shape and dtype of `input`; its gradient is that of the mask that was drawn.

    Raises
    ------
    ValueError
        If `p` is not in [0, 1].

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.dropout(cr.ones(3), 0.0)
    tensor([1., 1., 1.])
    >>> cr.nn.functional.dropout(cr.ones(3), 1.0)
    tensor([0., 0., 0.])
    """
    _check(p)
    x = as_tensor(input, "dropout")
    return _dropped(x, p, tuple(x.shape), inplace, "dropout") if training else x


def of_maps(input: Any, p: float, training: bool, inplace: bool = False, batched: bool = True) -> Tensor:
    """Drop feature maps of an input of shape (N, C, ...), or (C, ...) unless `batched`."""
    _check(p)
    x = as_tensor(input, "feature_dropout")
    if not training:
        return x
    shape = _maps(x) if batched else (x.shape[0], *(1,) * (x.ndim - 1))
    return _dropped(x, p, shape, inplace, "feature_dropout")


@asks
def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Drop whole channels of an input of shape (N, C, L) or (C, L); parameters as :func:`dropout`.

    Raises
    ------
    ValueError
        If `p` is not in [0, 1].
    RuntimeError
        If the input has another number of axes.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.dropout1d(cr.ones(1, 2, 3), 1.0)
    tensor([[[0., 0., 0.],
             [0., 0., 0.]]])
    """
    _check(p)
    x = as_tensor(input, "dropout1d")
    if x.ndim not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {x.ndim}D input. Note that dropout1d exists to provide "
            "channel-wise dropout on inputs with 1 spatial dimension, a channel dimension, and an optional batch dimension "
            "(i.e. 2D or 3D inputs)."
        )
    return of_maps(x, p, training, inplace, x.ndim == 3)


def _warn_of_axes(name: str, ndim: int, spatial: int) -> None:
    if ndim not in (spatial + 1, spatial + 2):
        warnings.warn(
            f"{name}: Received a {ndim}-D input to {name}, which is deprecated and will result in an error in a future "
            "release. To retain the behavior and silence this warning, please use dropout instead. Note that "
            f"{name} exists to provide channel-wise dropout on inputs with {spatial} spatial dimensions, a channel dimension, "
            f"and an optional batch dimension (i.e. {spatial + 1}D or {spatial + 2}D inputs).",
            UserWarning,
            stacklevel=4,
        )


@asks
def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Drop whole channels of an input of shape (N, C, H, W); parameters as :func:`dropout`.

    An input of three axes is taken as (N, C, L), with PyTorch's warning that this will change.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.dropout2d(cr.ones(1, 1, 2, 2), 1.0)
    tensor([[[[0., 0.],
              [0., 0.]]]])
    """
    _check(p)
    x = as_tensor(input, "dropout2d")
    _warn_of_axes("dropout2d", x.ndim, 2)
    if x.ndim == 3:
        warnings.warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout behavior is desired - input "
            "is interpreted as shape (N, C, L), where C is the channel dim. This behavior will change in a future release to "
            "interpret the input as one without a batch dimension, i.e. shape (C, H, W). To maintain the 1D channel-wise "
            "dropout behavior, please switch to using dropout1d instead.",
            UserWarning,
            stacklevel=3,
        )
    return of_maps(x, p, training, inplace, True)


@asks
def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Drop whole channels of an input of shape (N, C, D, H, W) or (C, D, H, W); parameters as :func:`dropout`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.dropout3d(cr.ones(1, 1, 1, 1, 2), 1.0)
    tensor([[[[[0., 0.]]]]])
    """
    _check(p)
    x = as_tensor(input, "dropout3d")
    _warn_of_axes("dropout3d", x.ndim, 3)
    return of_maps(x, p, training, inplace, x.ndim == 5)


@asks
def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Drop elements to where `selu` saturates, keeping mean and variance of standard normal inputs (arXiv 1706.02515).

    Parameters
    ----------
    input : Tensor
        Floating point.
    p : float
        Probability that an element is dropped.
    training : bool
        Drop; otherwise the input is returned as it is.
    inplace : bool
        Write the result into `input`.

    Returns
    -------
    Tensor
        Of the shape and dtype of `input`.

    Raises
    ------
    ValueError
        If `p` is not in [0, 1].

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.alpha_dropout(cr.ones(3), 0.5, training=False)
    tensor([1., 1., 1.])
    """
    _check(p)
    x = as_tensor(input, "alpha_dropout")
    return _alpha_dropped(x, p, tuple(x.shape), inplace, "alpha_dropout") if training and p else x


@asks
def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Drop whole channels as :func:`alpha_dropout` drops elements; the input has shape (N, C, ...).

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.feature_alpha_dropout(cr.ones(1, 2, 1), 1.0, training=True)
    tensor([[[0.],
             [0.]]])
    """
    _check(p)
    x = as_tensor(input, "feature_alpha_dropout")
    if not training or not p:
        return x
    return _alpha_dropped(x, p, _maps(x), inplace, "feature_alpha_dropout")
