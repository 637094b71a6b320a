"""The incomplete gamma functions under PyTorch's names."""

from __future__ import annotations

from typing import Any

from chainrule.core.fast import make_public
from chainrule.core.mode import modes
from chainrule.core.sample import Ints, Sample
from chainrule.core.tensor import Tensor
from chainrule.functions.adapt import public
from chainrule.ops import incomplete as ops

__all__ = ["igamma", "igammac"]

# The order is given in integers, which are not differentiated: PyTorch has no derivative in it either.
_SAMPLES = [Sample(Ints((4,), 1, 5), (3, 4)), Sample(Ints((), 1, 5), ()), Sample(Ints((1,), 1, 5), (0,))]

_lower = make_public(ops.igamma.op)  # type: ignore[attr-defined]
_upper = make_public(ops.igammac.op)  # type: ignore[attr-defined]


def _refuse_varying_order(order: Any, name: str) -> None:
    """Raise if a derivative in the order would be needed, rather than drop it."""
    if not isinstance(order, Tensor):
        return
    if (modes().record and order.requires_grad) or getattr(order, "_tangent", None) is not None:
        raise NotImplementedError(
            f"the derivative for '{name}: input' is not implemented: SciPy has no derivative of the incomplete gamma "
            "function in its order. Detach the order, and differentiate in `other` only."
        )


@public(kinds="f", domain=(0.2, 5.0), inplace=True, samples=lambda: _SAMPLES)
def igamma(input: Tensor, other: Tensor) -> Tensor:
    """Return the regularized lower incomplete gamma function P(input, other).

    The derivative in `other` is ``other**(input-1) * exp(-other) / gamma(input)`` (DLMF 8.8.13).

    Parameters
    ----------
    input : Tensor
        The order, positive; not differentiable.
    other : Tensor
        The argument, not negative; broadcasts with `input`.

    Returns
    -------
    Tensor
        Of the broadcast shape.

    Raises
    ------
    NotImplementedError
        If a derivative in `input` is asked for.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.igamma(cr.tensor([1.0]), cr.tensor([1.0]))
    tensor([0.6321])
    """
    _refuse_varying_order(input, "igamma")
    return _lower(input, other)


@public(kinds="f", domain=(0.2, 5.0), inplace=True, samples=lambda: _SAMPLES)
def igammac(input: Tensor, other: Tensor) -> Tensor:
    """Return the regularized upper incomplete gamma function Q(input, other) = 1 - P(input, other).

    The derivative in `other` is ``-other**(input-1) * exp(-other) / gamma(input)`` (DLMF 8.8.13).

    Parameters
    ----------
    input : Tensor
        The order, positive; not differentiable.
    other : Tensor
        The argument, not negative; broadcasts with `input`.

    Returns
    -------
    Tensor
        Of the broadcast shape.

    Raises
    ------
    NotImplementedError
        If a derivative in `input` is asked for.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.igammac(cr.tensor([1.0]), cr.tensor([1.0]))
    tensor([0.3679])
    """
    _refuse_varying_order(input, "igammac")
    return _upper(input, other)
