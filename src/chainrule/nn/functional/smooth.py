"""Smooth activations and the softmax family: a part of `chainrule.nn.functional`."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from chainrule.core.call.asking import asks
from chainrule.core.call.dispatch import as_tensor
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import axis_index
from chainrule.core.write.out import into
from chainrule.functions.creation.like import zeros_like
from chainrule.functions.indexing.scatter import scatter
from chainrule.functions.pointwise.activation import along, floating, placed
from chainrule.functions.reduction.extrema import argmax
from chainrule.ops.indexing.select import where
from chainrule.ops.nn import gated
from chainrule.ops.pointwise import activation as ops
from chainrule.ops.pointwise.arithmetic import logaddexp
from chainrule.ops.pointwise.complex import abs
from chainrule.ops.pointwise.exponential import sigmoid as _sigmoid
from chainrule.ops.pointwise.trigonometric import tanh as _tanh
from chainrule.ops.random.draw import drawn
from chainrule.ops.shaping.join import split
from chainrule.ops.shaping.shape import detach

__all__ = [
    "gelu", "glu", "gumbel_softmax", "log_softmax", "logsigmoid", "mish", "sigmoid", "silu", "softmax", "softmin", "softplus",
    "softsign", "tanh", "tanhshrink",
]  # fmt: skip


# -- smooth activations ------------------------------------------------------------------------------------------------


@asks
def sigmoid(input: Tensor) -> Tensor:
    """Return the logistic function ``1 / (1 + exp(-input))``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.sigmoid(cr.tensor([0.0]))
    tensor([0.5000])
    """
    return _sigmoid(as_tensor(input, "sigmoid"))


@asks
def tanh(input: Tensor) -> Tensor:
    """Return the hyperbolic tangent.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.tanh(cr.tensor([0.0]))
    tensor([0.])
    """
    return _tanh(as_tensor(input, "tanh"))


@asks
def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return ``input * sigmoid(input)`` (arXiv 1606.08415), also known as swish.

    Parameters
    ----------
    input : Tensor
        Floating point or complex.
    inplace : bool
        Write the result into `input`.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.silu(cr.tensor([0.0, 2.0]))
    tensor([0.0000, 1.7616])
    """
    return placed(floating(input, "silu"), gated.silu, inplace, "silu")


@asks
def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """Return ``input * tanh(softplus(input))`` (arXiv 1908.08681).

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
    >>> cr.nn.functional.mish(cr.tensor([0.0, 2.0]))
    tensor([0.0000, 1.9440])
    """
    return placed(floating(input, "mish"), lambda x: x * _tanh(logaddexp(x, 0)), inplace, "mish")


@asks
def gelu(input: Tensor, approximate: str = "none", *, out: Any = None) -> Tensor:
    """Return ``input * Φ(input)`` with the normal distribution function Φ (arXiv 1606.08415).

    Parameters
    ----------
    input : Tensor
        Floating point.
    approximate : {"none", "tanh"}
        ``"tanh"`` takes ``(1 + tanh(√(2/π) (x + 0.044715 x³))) / 2`` for Φ.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Raises
    ------
    RuntimeError
        For another approximation.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.gelu(cr.tensor([0.0, 2.0]))
    tensor([0.0000, 1.9545])
    """
    if out is not None:
        return into(out, "gelu", gelu, (input, approximate), {}, exact=True)
    x = floating(input, "gelu")
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")
    return gated.gelu(x, form=approximate)


@asks
def softplus(input: Tensor, beta: float = 1, threshold: float = 20, *, out: Any = None) -> Tensor:
    """Return ``log(1 + exp(beta * input)) / beta``, and `input` itself where ``beta * input > threshold``.

    Parameters
    ----------
    input : Tensor
        Floating point.
    beta, threshold : float
        Sharpness; where to go over to the identity.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.softplus(cr.tensor([0.0, 30.0]))
    tensor([ 0.6931, 30.0000])
    """
    if out is not None:
        return into(out, "softplus", softplus, (input, beta, threshold), {}, exact=True)
    x = floating(input, "softplus")
    if beta == 1:
        return where(x > threshold, x, logaddexp(x, 0))
    scaled = x * beta
    return where(scaled > threshold, x, logaddexp(scaled, 0) / beta)


@asks
def logsigmoid(input: Tensor, *, out: Any = None) -> Tensor:
    """Return ``log(sigmoid(input))`` without overflow.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.logsigmoid(cr.tensor([0.0, -200.0]))
    tensor([  -0.6931, -200.0000])
    """
    if out is not None:
        return into(out, "log_sigmoid", logsigmoid, (input,), {}, exact=True)
    return -logaddexp(-floating(input, "log_sigmoid"), 0)


@asks
def softsign(input: Tensor) -> Tensor:
    """Return ``input / (1 + abs(input))``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.softsign(cr.tensor([-1.0, 3.0]))
    tensor([-0.5000,  0.7500])
    """
    x = as_tensor(input, "softsign")
    return x / (abs(x) + 1)


@asks
def tanhshrink(input: Tensor) -> Tensor:
    """Return ``input - tanh(input)``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.tanhshrink(cr.tensor([0.0, 2.0]))
    tensor([0.0000, 1.0360])
    """
    x = as_tensor(input, "tanhshrink")
    return x - _tanh(x)


# -- along an axis -----------------------------------------------------------------------------------------------------


@asks
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """Return the first half along an axis times the sigmoid of the second half (arXiv 1612.08083).

    Parameters
    ----------
    input : Tensor
        Floating point.
    dim : int
        The axis to halve, of even size.

    Returns
    -------
    Tensor
        Half as long along the axis.

    Raises
    ------
    RuntimeError
        If the axis has an odd size, or the tensor none.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.glu(cr.tensor([2.0, 4.0, 0.0, 0.0]))
    tensor([1., 2.])
    """
    x = floating(input, "glu")
    if not x.ndim:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    axis = axis_index(dim, x.ndim)
    n = x.shape[axis]
    if n % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {axis} is size {n}")
    first, second = split(x, sizes=(n // 2, n // 2), axis=axis)
    return first * _sigmoid(second)


@asks
def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """Return ``exp(input) / sum(exp(input))`` along an axis, without overflow.

    Parameters
    ----------
    input : Tensor
        Floating point.
    dim : int, optional
        The axis along which the results sum to 1; guessed with a warning if not given.
    dtype : dtype, optional
        Cast to this first.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.softmax(cr.tensor([0.0, 0.0]), dim=0)
    tensor([0.5000, 0.5000])
    """
    x, axis = along(input, dim, dtype, "softmax")
    return ops.softmax(x, axis=axis)


@asks
def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """Return the softmax of the negative; parameters as :func:`softmax`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.softmin(cr.tensor([0.0, 0.0]), dim=0)
    tensor([0.5000, 0.5000])
    """
    x, axis = along(input, dim, dtype, "softmin")
    return ops.softmax(-x, axis=axis)


@asks
def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """Return the logarithm of the softmax, without overflow or cancellation; parameters as :func:`softmax`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.log_softmax(cr.tensor([0.0, 0.0]), dim=0)
    tensor([-0.6931, -0.6931])
    """
    x, axis = along(input, dim, dtype, "log_softmax")
    return ops.log_softmax(x, axis=axis)


@asks
def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """Draw from the Gumbel-softmax distribution (arXiv 1611.00712, 1611.01144).

    Parameters
    ----------
    logits : Tensor
        Unnormalised log probabilities, floating point.
    tau : float
        Temperature, not negative.
    hard : bool
        Return one-hot vectors, with the derivative of the soft ones.
    eps : float
        Has no effect, as in PyTorch, which warns if it is given.
    dim : int
        The axis along which the probabilities lie.

    Returns
    -------
    Tensor
        Of the shape of `logits`; sums to 1 along the axis.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.gumbel_softmax(cr.zeros(2, 3), hard=True).sum(1)
    tensor([1., 1.])
    """
    if eps != 1e-10:
        warnings.warn("`eps` parameter is deprecated and has no effect.", UserWarning, stacklevel=3)
    x = floating(logits, "softmax")
    d = x.dtype.numpy
    noise = drawn(lambda rng, shape: np.asarray(rng.gumbel(size=shape)).astype(d), tuple(x.shape), d, None)
    axis = axis_index(dim, x.ndim)
    soft = ops.softmax((x + noise) / tau, axis=(axis,) if x.ndim else ())
    if not hard:
        return soft
    best = argmax(soft, axis, True)
    one = scatter(zeros_like(soft), axis, best, 1.0)
    return one - detach(soft) + soft
