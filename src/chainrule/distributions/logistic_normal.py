"""The logistic normal distribution."""

from __future__ import annotations

from typing import Any

from chainrule.core.tensor.tensor import Tensor
from chainrule.distributions import constraints
from chainrule.distributions.normal import Normal
from chainrule.distributions.transformed_distribution import TransformedDistribution
from chainrule.distributions.transforms import StickBreakingTransform

__all__ = ["LogisticNormal"]


class LogisticNormal(TransformedDistribution):
    """The distribution of probability vectors that are broken off a stick by shares whose log odds are normal.

    Parameters
    ----------
    loc, scale : float or Tensor
        The normal distributions' means and standard deviations; vectors of draws have one element more.
    validate_args : bool, optional
        Whether arguments are checked.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.distributions.LogisticNormal(cr.zeros(3), cr.ones(3)).event_shape
    chainrule.Size([4])
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}  # type: ignore[assignment]
    support = constraints.simplex
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None):
        base = Normal(loc, scale, validate_args=validate_args)
        if not base.batch_shape:
            base = base.expand([1])
        super().__init__(base, StickBreakingTransform(), validate_args=validate_args)

    @property
    def loc(self) -> Tensor:
        """The normal distributions' means."""
        return self.base_dist.base_dist.loc

    @property
    def scale(self) -> Tensor:
        """The normal distributions' standard deviations."""
        return self.base_dist.base_dist.scale
