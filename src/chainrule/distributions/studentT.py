"""Student's t distribution."""

from __future__ import annotations

import math
from typing import Any

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import Size
from chainrule.distributions import constraints
from chainrule.distributions.distribution import Distribution
from chainrule.distributions.utils import broadcast_all, standard_normal
from chainrule.functions.random.gamma import log_standard_gamma

__all__ = ["StudentT"]


class StudentT(Distribution):
    """Student's t: the distribution of a normal number over the root of a chi-squared one per degree of freedom.

    Parameters
    ----------
    df : float or Tensor
        The degrees of freedom.
    loc : float or Tensor
        The median.
    scale : float or Tensor
        The scale.
    validate_args : bool, optional
        Whether arguments are checked.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.distributions.StudentT(4.0).variance
    tensor(2.)
    """

    arg_constraints = {"df": constraints.positive, "loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None):
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        super().__init__(self.df.size(), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.loc.masked_fill(self.df <= 1, math.nan)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        df = self.df.masked_fill(self.df <= 2, math.inf)
        finite = self.scale.pow(2) * (1 + 2 / (df - 2))
        return finite.masked_fill(self.df <= 2, math.inf).masked_fill(self.df <= 1, math.nan)

    def rsample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        shape = self._extended_shape(sample_shape)
        noise, log_gamma = standard_normal(shape, self.df.dtype), log_standard_gamma(self.df.expand(shape) / 2)
        return self.loc + self.scale * noise * (0.5 * ((self.df / 2).log() - log_gamma)).exp()

    def _log_beta(self) -> Tensor:
        """Return ``log B(df / 2, 1 / 2)``."""
        return cr.lgamma(self.df / 2) + math.lgamma(0.5) - cr.lgamma((self.df + 1) / 2)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        y = (value - self.loc) / self.scale
        norm = self.scale.log() + 0.5 * self.df.log() + self._log_beta()
        return -0.5 * (self.df + 1) * (y**2 / self.df).log1p() - norm

    def entropy(self) -> Tensor:
        more = (self.df + 1) / 2
        slopes = cr.digamma(more) - cr.digamma(self.df / 2)
        return self.scale.log() + more * slopes + 0.5 * self.df.log() + self._log_beta()
