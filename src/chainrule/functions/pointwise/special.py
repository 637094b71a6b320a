"""Error functions, the gamma family and a Bessel function under PyTorch's names."""

from __future__ import annotations

import math

import numpy as np

from chainrule.core.call.dispatch import as_tensor, cast
from chainrule.core.op.samples import Fixed, Sample
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.types import dtype as dtypes
from chainrule.core.write.inplace import assign
from chainrule.functions.adapt import public
from chainrule.ops.pointwise import special as ops
from chainrule.ops.pointwise.arithmetic import add, sub
from chainrule.ops.reduction.reduce import sum
from chainrule.ops.shaping.shape import unsqueeze

__all__ = ["mvlgamma", "polygamma"]


@public(out=True,
    method=False,
    kinds="bf",  # of integers too, but PyTorch's trigamma at its negative poles is some 1e15 and not infinite
    domain=(0.2, 3.0),
    samples=lambda: [
        Sample(Fixed(1), (3, 4)), Sample(Fixed(0), ()), Sample(Fixed(3), (0,)),
        Sample(Fixed(-1), (2,), error=(RuntimeError, "polygamma(n, x) does not support negative n.")),
    ],
)  # fmt: skip
def polygamma(n: int, input: Tensor) -> Tensor:
    """Return the n-th derivative of the digamma function at each element.

    Parameters
    ----------
    n : int
        Order of the derivative, 0 or more; 0 is :func:`digamma` itself.
    input : Tensor
        Of any shape; real; integers and bools are taken in the default dtype.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Raises
    ------
    RuntimeError
        If n is negative.
    TypeError
        If n is no int.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.polygamma(1, cr.tensor([1.0, 0.5]))
    tensor([1.6449, 4.9348])
    """
    if not hasattr(n, "__index__"):
        raise TypeError(f"polygamma(): argument 'n' (position 1) must be int, not {type(n).__name__}")
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    return ops.polygamma(as_tensor(input, "polygamma", 1), n=int(n))


def _polygamma_method(self: Tensor, n: int) -> Tensor:
    """Return :func:`chainrule.polygamma` of order n of this tensor."""
    return polygamma(n, self)


def _polygamma_in_place(self: Tensor, n: int) -> Tensor:
    """In-place version of :func:`chainrule.polygamma`."""
    return assign(self, lambda: polygamma(n, self), "polygamma_")


Tensor.polygamma, Tensor.polygamma_ = _polygamma_method, _polygamma_in_place  # type: ignore[attr-defined]


@public(out=True,
    inplace=True,
    kinds="if",
    domain=(1.6, 4.0),
    samples=lambda: [
        Sample((3, 4), 1), Sample((), p=2), Sample((0,), 3), Sample((2, 3), p=4),
        Sample((2,), 0, error=(RuntimeError, "p has to be greater than or equal to 1")),
    ],
)  # fmt: skip
def mvlgamma(input: Tensor, p: int) -> Tensor:
    """Return the logarithm of the p-variate gamma function of each element.

    It is ``p (p - 1) / 4 log(π) + Σ lgamma(x - i / 2)`` over i = 0 … p - 1.

    Parameters
    ----------
    input : Tensor
        Of any shape; real; integers are taken in the default dtype.
    p : int
        Number of dimensions, 1 or more.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Raises
    ------
    RuntimeError
        If p is below 1.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.mvlgamma(cr.tensor([2.0, 3.0]), p=2)
    tensor([0.4516, 1.5502])
    """
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    x = as_tensor(input, "mvlgamma")
    steps = cast(wrap(np.arange(p) / 2), x.dtype if x.dtype.is_floating_point else dtypes.get_default_dtype())
    terms = ops.lgamma(sub(unsqueeze(x, axis=x.ndim), steps))
    return add(sum(terms, axis=(x.ndim,), keepdims=False), p * (p - 1) / 4 * math.log(math.pi))
