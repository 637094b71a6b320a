"""Rectifiers and other piecewise linear activations: a part of `chainrule.nn.functional`."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.call.asking import UNASKED, asked_here, asking, asks
from chainrule.core.call.dispatch import as_tensor
from chainrule.core.generator import Generator
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.core.write.out import into
from chainrule.functions.elementwise import relu as _relu
from chainrule.functions.pointwise.activation import (
    celu,
    floating,
    hardshrink,
    placed,
    prelu,
    selu,
    threshold,
)
from chainrule.ops.indexing.select import where
from chainrule.ops.pointwise import activation as ops
from chainrule.ops.random.draw import draw_uniform, drawn

__all__ = [
    "celu", "celu_", "elu", "elu_", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "hardtanh_", "leaky_relu",
    "leaky_relu_", "prelu", "relu", "relu6", "relu_", "rrelu", "rrelu_", "selu", "selu_", "softshrink", "threshold",
    "threshold_",
]  # fmt: skip


# -- rectifiers --------------------------------------------------------------------------------------------------------


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return the positive part of each element; its derivative at 0 is 0.

    Parameters
    ----------
    input : Tensor
        Of any real dtype but bool.
    inplace : bool
        Write the result into `input`.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.relu(cr.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    if asking.on and (found := asked_here(relu, locals())) is not UNASKED:
        return found
    return input.relu_() if inplace else _relu(input)  # type: ignore[attr-defined, misc]


@asks
def relu_(input: Tensor) -> Tensor:
    """In-place version of :func:`relu`."""
    return relu(input, True)


@asks
def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """Return the elements limited to [min_val, max_val]; the derivative at the limits is 0.

    Parameters
    ----------
    input : Tensor
        Of any real dtype but bool.
    min_val, max_val : float
        The limits.
    inplace : bool
        Write the result into `input`.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Raises
    ------
    ValueError
        If the limits are in the wrong order.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.hardtanh(cr.tensor([-3.0, 0.5, 3.0]))
    tensor([-1.0000,  0.5000,  1.0000])
    """
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    x = as_tensor(input, "hardtanh")
    if x.dtype.category == dtypes.BOOL:
        raise NotImplementedError("Bool inputs not supported for hardtanh")
    if x.dtype.category == dtypes.INT:
        min_val, max_val = int(min_val), int(max_val)
    return placed(x, lambda x: ops.hardtanh(x, low=min_val, high=max_val), inplace, "hardtanh")


@asks
def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """In-place version of :func:`hardtanh`."""
    return hardtanh(input, min_val, max_val, True)


@asks
def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """Return the elements limited to [0, 6]; the derivative at the limits is 0.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.relu6(cr.tensor([-1.0, 3.0, 9.0]))
    tensor([0., 3., 6.])
    """
    return hardtanh(input, 0.0, 6.0, inplace)


@asks
def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """Return `input` where it is positive and ``negative_slope * input`` elsewhere.

    Parameters
    ----------
    input : Tensor
        Floating point.
    negative_slope : float
        The slope at and below 0.
    inplace : bool
        Write the result into `input`.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.leaky_relu(cr.tensor([-1.0, 2.0]))
    tensor([-0.0100,  2.0000])
    """
    x = floating(input, "leaky_relu")
    return placed(x, lambda x: where(x > 0, x, x * negative_slope), inplace, "leaky_relu")


@asks
def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """In-place version of :func:`leaky_relu`."""
    return leaky_relu(input, negative_slope, True)


@asks
def rrelu(input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False) -> Tensor:
    """Return the leaky rectifier with a slope drawn for each element from [lower, upper] (arXiv 1505.00853).

    Parameters
    ----------
    input : Tensor
        Floating point.
    lower, upper : float
        The bounds of the slope.
    training : bool
        Draw slopes; otherwise all are the mean of the bounds.
    inplace : bool
        Write the result into `input`.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.rrelu(cr.tensor([-1.0, 2.0]), 0.25, 0.75)
    tensor([-0.5000,  2.0000])
    """
    return rectified_at_random(input, lower, upper, training, inplace)


def rectified_at_random(
    input: Tensor, lower: float, upper: float, training: bool, inplace: bool, generator: Generator | None = None
) -> Tensor:
    """Return what :func:`rrelu` does, with slopes of a generator."""
    x = floating(input, "rrelu")
    if lower > upper:
        raise RuntimeError("Lower bound should be less than or equal to the upper bound")
    if not training:
        return leaky_relu(x, (lower + upper) / 2, inplace)
    d = x.dtype.numpy
    slopes = drawn(
        lambda rng, shape: draw_uniform(rng, shape, d) * d.type(upper - lower) + d.type(lower), tuple(x.shape), d, generator
    )
    return placed(x, lambda x: where(x > 0, x, x * slopes), inplace, "rrelu")


@asks
def rrelu_(input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False) -> Tensor:
    """In-place version of :func:`rrelu`."""
    return rrelu(input, lower, upper, training, True)


@asks
def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Return `input` where it is positive and ``alpha * (exp(input) - 1)`` elsewhere.

    Parameters
    ----------
    input : Tensor
        Floating point.
    alpha : float
        Scale of the negative side.
    inplace : bool
        Write the result into `input`.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.elu(cr.tensor([-1.0, 2.0]))
    tensor([-0.6321,  2.0000])
    """
    return placed(floating(input, "elu"), lambda x: ops.elu(x, alpha=alpha, scale=1, steepness=1), inplace, "elu")


@asks
def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """In-place version of :func:`elu`."""
    return elu(input, alpha, True)


# -- piecewise linear --------------------------------------------------------------------------------------------------


@asks
def softshrink(input: Tensor, lambd: float = 0.5, *, out: Any = None) -> Tensor:
    """Return `input` moved towards 0 by `lambd`, and 0 where it lies in [-lambd, lambd].

    Parameters
    ----------
    input : Tensor
        Floating point.
    lambd : float
        Not negative.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Raises
    ------
    RuntimeError
        If `lambd` is negative.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.softshrink(cr.tensor([-2.0, 0.3, 2.0]))
    tensor([-1.5000,  0.0000,  1.5000])
    """
    if out is not None:
        return into(out, "softshrink", softshrink, (input, lambd), {}, exact=True)
    x = floating(input, "softshrink")
    if lambd < 0:
        top = float(np.finfo(x.dtype.numpy).max)
        raise RuntimeError(f"lambda must be in range [0, {top:g}] for input dtype {x.dtype.old_name}, but found {lambd:g}")
    return where(x > lambd, x - lambd, where(x < -lambd, x + lambd, x * 0))


@asks
def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """Return ``input / 6 + 1 / 2`` limited to [0, 1]; the derivative at the limits is 0.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.hardsigmoid(cr.tensor([-4.0, 0.0, 4.0]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    return placed(floating(input, "hardsigmoid"), _hardsigmoid, inplace, "hardsigmoid")


def _hardsigmoid(x: Tensor) -> Tensor:
    return ops.hardtanh(x, low=-3.0, high=3.0) / 6 + 0.5


@asks
def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """Return ``input * hardsigmoid(input)`` (arXiv 1905.02244); the derivative is 0 at -3 and 1 at 3.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.hardswish(cr.tensor([-4.0, 1.5, 4.0]))
    tensor([-0.0000,  1.1250,  4.0000])
    """
    return placed(floating(input, "hardswish"), ops.hardswish, inplace, "hardswish")


# -- in place ----------------------------------------------------------------------------------------------------------


@asks
def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """Return :func:`celu` of the input, written into it.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.celu_(cr.tensor([1.0]))
    tensor([1.])
    """
    return celu(input, alpha, True)


@asks
def selu_(input: Tensor) -> Tensor:
    """Return :func:`selu` of the input, written into it.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.selu_(cr.tensor([1.0]))
    tensor([1.0507])
    """
    return selu(input, True)


@asks
def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """Return :func:`threshold` of the input, written into it.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.threshold_(cr.tensor([1.0, 3.0]), 2.0, 0.0)
    tensor([0., 3.])
    """
    return _threshold(input, threshold, value, True)


_threshold = threshold
