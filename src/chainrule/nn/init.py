"""Ways to fill a tensor with starting values, in place and unrecorded.

Formulas are PyTorch's: Glorot & Bengio (2010) for `xavier_*`, He et al. (2015) for `kaiming_*`, Saxe et al. (2013) for
`orthogonal_`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.mode.grad_mode import no_grad
from chainrule.core.tensor.tensor import Tensor
from chainrule.functions.creation.create import as_tensor

__all__ = [
    "calculate_gain", "constant", "constant_", "dirac", "dirac_", "eye", "eye_", "kaiming_normal", "kaiming_normal_",
    "kaiming_uniform", "kaiming_uniform_", "normal", "normal_", "ones_", "orthogonal", "orthogonal_", "sparse", "sparse_",
    "trunc_normal_", "uniform", "uniform_", "xavier_normal", "xavier_normal_", "xavier_uniform", "xavier_uniform_", "zeros_",
]  # fmt: skip

_LINEAR = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "sigmoid")


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the factor that keeps the variance of activations through a nonlinearity.

    Parameters
    ----------
    nonlinearity : str
        ``"linear"``, ``"conv2d"`` and the like, ``"sigmoid"``, ``"tanh"``, ``"relu"``, ``"leaky_relu"``, ``"selu"``.
    param : float, optional
        The negative slope of ``"leaky_relu"``; 0.01 by default.

    Raises
    ------
    ValueError
        For another name, or a slope that is no number.

    Examples
    --------
    >>> from chainrule import nn
    >>> round(nn.init.calculate_gain("relu") ** 2, 6)
    2.0
    """
    if nonlinearity in _LINEAR:
        return 1
    if nonlinearity == "tanh":
        return 5 / 3
    if nonlinearity == "relu":
        return math.sqrt(2)
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2 / (1 + slope**2))
    if nonlinearity == "selu":
        return 3 / 4
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


def uniform_(tensor: Any, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Any:
    """Fill with draws from the uniform distribution on [a, b); return the tensor.

    Examples
    --------
    >>> import chainrule as cr
    >>> t = cr.nn.init.uniform_(cr.empty(100), 2, 3)
    >>> bool((t >= 2).all() and (t < 3).all())
    True
    """
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(tensor: Any, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Any:
    """Fill with draws from the normal distribution; return the tensor."""
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


def trunc_normal_(
    tensor: Any, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Any = None
) -> Any:
    """Fill with draws from the normal distribution, given that they lie in [a, b]; return the tensor.

    Exact in the tails too, where PyTorch warns.

    Examples
    --------
    >>> import chainrule as cr
    >>> bool(cr.nn.init.trunc_normal_(cr.empty(1000), a=-1, b=1).abs().max() <= 1)
    True
    """
    from scipy.special import ndtr, ndtri

    # The inverse of the distribution function at uniform draws between its values at the bounds; on the side of the mean
    # where these values are small, hence exact.
    side = -1 if a > mean else 1
    low, high = sorted((side * (a - mean) / std, side * (b - mean) / std))
    draws = uniform_(tensor.detach().double(), float(ndtr(low)), float(ndtr(high)), generator).numpy()
    return _put(tensor, np.clip(side * ndtri(draws) * std + mean, a, b))


def constant_(tensor: Any, val: float) -> Any:
    """Fill with a value; return the tensor."""
    with no_grad():
        return tensor.fill_(val)


def ones_(tensor: Any) -> Any:
    """Fill with ones; return the tensor."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Any) -> Any:
    """Fill with zeros; return the tensor."""
    return constant_(tensor, 0.0)


def eye_(tensor: Any) -> Any:
    """Fill a matrix with ones on the diagonal and zeros elsewhere; return it.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.init.eye_(cr.empty(2, 3))
    tensor([[1., 0., 0.],
            [0., 1., 0.]])
    """
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    return _put(tensor, np.eye(*tensor.shape))


def dirac_(tensor: Any, groups: int = 1) -> Any:
    """Fill a convolution's weight so that each group of channels passes through unchanged; return it.

    Raises
    ------
    ValueError
        Unless it has 3, 4 or 5 axes and `groups` divides the first.
    """
    if tensor.ndim not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    if tensor.shape[0] % groups:
        raise ValueError("dim 0 must be divisible by groups")
    values = np.zeros(tensor.shape)
    width = tensor.shape[0] // groups
    middle = tuple(n // 2 for n in tensor.shape[2:])
    for group in range(groups):
        for d in range(min(width, tensor.shape[1])):
            values[(group * width + d, d, *middle)] = 1
    return _put(tensor, values)


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """Return the number of inputs and outputs that each unit of a weight connects.

    Raises
    ------
    ValueError
        If the weight has fewer than 2 axes.
    """
    if tensor.ndim < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    """Return one of the two, by its name."""
    modes = ["fan_in", "fan_out"]
    if mode.lower() not in modes:
        raise ValueError(f"Mode {mode} not supported, please use one of {modes}")
    return _calculate_fan_in_and_fan_out(tensor)[modes.index(mode.lower())]


def _xavier_std(tensor: Tensor, gain: float) -> float:
    return gain * math.sqrt(2 / sum(_calculate_fan_in_and_fan_out(tensor)))


def xavier_uniform_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Fill with uniform draws of variance ``gain² · 2 / (fan_in + fan_out)``; return the tensor."""
    bound = math.sqrt(3) * _xavier_std(tensor, gain)
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Fill with normal draws of variance ``gain² · 2 / (fan_in + fan_out)``; return the tensor."""
    return normal_(tensor, 0.0, _xavier_std(tensor, gain), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    modes = ["fan_in", "fan_out"]
    if mode.lower() not in modes:
        raise ValueError(f"Mode {mode.lower()} not supported, please use one of {modes}")
    return calculate_gain(nonlinearity, a) / math.sqrt(_calculate_fan_in_and_fan_out(tensor)[modes.index(mode.lower())])


def _is_empty(tensor: Tensor) -> bool:
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
        return True
    return False


def kaiming_uniform_(
    tensor: Any, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Any:
    """Fill with uniform draws of variance ``gain² / fan``; return the tensor.

    Parameters
    ----------
    tensor : Tensor
        A weight with at least 2 axes.
    a : float
        The negative slope of ``"leaky_relu"``.
    mode : {"fan_in", "fan_out"}
        Keep the variance in the forward or in the backward pass.
    nonlinearity : str
        What follows; see `calculate_gain`.
    generator : Generator, optional
        Where the draws come from.

    Examples
    --------
    >>> import chainrule as cr
    >>> w = cr.nn.init.kaiming_uniform_(cr.empty(10, 6), nonlinearity="relu")
    >>> bool(w.abs().max() <= 1)
    True
    """
    if _is_empty(tensor):
        return tensor
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Any, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Any:
    """Fill with normal draws of variance ``gain² / fan``; return the tensor. See `kaiming_uniform_`."""
    if _is_empty(tensor):
        return tensor
    return normal_(tensor, 0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Any, gain: float = 1, generator: Any = None) -> Any:
    """Fill with a random matrix of orthonormal rows or columns times `gain`; return the tensor.

    Axes after the first are taken as one. The matrix is uniform among all such: the signs of R's diagonal are moved into
    Q (Mezzadri, arXiv math-ph/0609050).

    Examples
    --------
    >>> import chainrule as cr
    >>> w = cr.nn.init.orthogonal_(cr.empty(3, 5, dtype=cr.float64))
    >>> bool(((w @ w.T - cr.eye(3)).abs() < 1e-12).all())
    True
    """
    if tensor.ndim < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if tensor.numel() == 0:
        return tensor
    rows = tensor.shape[0]
    cols = tensor.numel() // rows
    draws = normal_(tensor.detach().clone(), 0, 1, generator).numpy().reshape(rows, cols)
    if draws.dtype.itemsize < 4:
        draws = draws.astype(np.float32)
    q, r = np.linalg.qr(draws.T if rows < cols else draws)
    diagonal = np.diagonal(r)
    q = q * (diagonal / np.abs(diagonal))
    return _put(tensor, gain * (q.T if rows < cols else q).reshape(tensor.shape))


def sparse_(tensor: Any, sparsity: float, std: float = 0.01, generator: Any = None) -> Any:
    """Fill a matrix with normal draws, and a fraction `sparsity` of each column, chosen at random, with zeros; return it."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    normal_(tensor, 0, std, generator)
    zeros = math.ceil(sparsity * tensor.shape[0])
    places = uniform_(tensor.detach().double(), generator=generator).numpy().argsort(axis=0)
    values = tensor.detach().numpy().copy()
    np.put_along_axis(values, places[:zeros], 0, axis=0)
    return _put(tensor, values)


def _put(tensor: Any, values: np.ndarray) -> Any:
    with no_grad():
        return tensor.copy_(as_tensor(np.ascontiguousarray(values)))


def _deprecated(function: Callable) -> Callable:
    """Return a function under its name of before PyTorch 0.4, without the underscore; it warns of that."""
    new = function.__name__

    def old(*args: Any, **kwargs: Any) -> Any:
        warnings.warn(f"`nn.init.{new[:-1]}` is now deprecated in favor of `nn.init.{new}`.", FutureWarning, stacklevel=2)
        return function(*args, **kwargs)

    old.__name__ = old.__qualname__ = new[:-1]
    old.__doc__ = f"Do what `{new}`, the newer name, does, and warn of that."
    return old


constant = _deprecated(constant_)
dirac = _deprecated(dirac_)
eye = _deprecated(eye_)
kaiming_normal = _deprecated(kaiming_normal_)
kaiming_uniform = _deprecated(kaiming_uniform_)
normal = _deprecated(normal_)
orthogonal = _deprecated(orthogonal_)
sparse = _deprecated(sparse_)
uniform = _deprecated(uniform_)
xavier_normal = _deprecated(xavier_normal_)
xavier_uniform = _deprecated(xavier_uniform_)
