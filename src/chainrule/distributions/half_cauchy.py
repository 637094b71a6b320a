"""The half-Cauchy distribution."""

from __future__ import annotations

import math
from typing import Any

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.distributions import constraints
from chainrule.distributions.cauchy import Cauchy
from chainrule.distributions.half_normal import Half

__all__ = ["HalfCauchy"]


class HalfCauchy(Half):
    """The distribution of absolute values of Cauchy numbers.

    Parameters
    ----------
    scale : float or Tensor
        The Cauchy distribution's scale.
    validate_args : bool, optional
        Whether arguments are checked.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.distributions.HalfCauchy(1.0).cdf(cr.tensor(1.0))
    tensor(0.5000)
    """

    arg_constraints = {"scale": constraints.positive}  # type: ignore[assignment]

    def __init__(self, scale: Any, validate_args: bool | None = None):
        super().__init__(Cauchy(0, scale, validate_args=False), validate_args)

    @property
    def mean(self) -> Tensor:
        return cr.full(self._extended_shape(), math.inf, dtype=self.scale.dtype)

    @property
    def variance(self) -> Tensor:
        return self.base_dist.variance
