"""The incomplete gamma functions under PyTorch's names."""

from __future__ import annotations

from chainrule.core.call.functions import make_public
from chainrule.core.op.samples import Ints, Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.functions.adapt import public
from chainrule.ops.pointwise import incomplete as ops

__all__ = ["igamma", "igammac"]

# The order is given in integers, which are not differentiated: PyTorch, with which these are compared, has no derivative in it.
_SAMPLES = [Sample(Ints((4,), 1, 5), (3, 4)), Sample(Ints((), 1, 5), ()), Sample(Ints((1,), 1, 5), (0,))]

_lower = make_public(ops.igamma.op)  # type: ignore[attr-defined]
_upper = make_public(ops.igammac.op)  # type: ignore[attr-defined]


@public(out=True, kinds="f", domain=(0.2, 5.0), inplace=True, samples=lambda: _SAMPLES)
def igamma(input: Tensor, other: Tensor) -> Tensor:
    """Return the regularized lower incomplete gamma function P(input, other).

    The derivative in `other` is ``other**(input-1) * exp(-other) / gamma(input)`` (DLMF 8.8.13); that in `input`, which PyTorch
    lacks, comes of the series and the integral that the function is.

    Parameters
    ----------
    input : Tensor
        The order, positive.
    other : Tensor
        The argument, not negative; broadcasts with `input`.

    Returns
    -------
    Tensor
        Of the broadcast shape.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.igamma(cr.tensor([1.0]), cr.tensor([1.0]))
    tensor([0.6321])
    """
    return _lower(input, other)


@public(out=True, kinds="f", domain=(0.2, 5.0), inplace=True, samples=lambda: _SAMPLES)
def igammac(input: Tensor, other: Tensor) -> Tensor:
    """Return the regularized upper incomplete gamma function Q(input, other) = 1 - P(input, other).

    The derivative in `other` is ``-other**(input-1) * exp(-other) / gamma(input)`` (DLMF 8.8.13); that in `input` see
    :func:`igamma`.

    Parameters
    ----------
    input : Tensor
        The order, positive.
    other : Tensor
        The argument, not negative; broadcasts with `input`.

    Returns
    -------
    Tensor
        Of the broadcast shape.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.igammac(cr.tensor([1.0]), cr.tensor([1.0]))
    tensor([0.3679])
    """
    return _upper(input, other)
