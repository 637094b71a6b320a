"""The F distribution of Fisher and Snedecor."""

from __future__ import annotations

from typing import Any

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import Size
from chainrule.distributions import constraints
from chainrule.distributions.distribution import Distribution
from chainrule.distributions.utils import broadcast_all
from chainrule.functions.random.gamma import log_standard_gamma

__all__ = ["FisherSnedecor"]


class FisherSnedecor(Distribution):
    """The distribution of a ratio of two chi-squared numbers, each over its degrees of freedom.

    Parameters
    ----------
    df1, df2 : float or Tensor
        The degrees of freedom.
    validate_args : bool, optional
        Whether arguments are checked.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.distributions.FisherSnedecor(2.0, 4.0).mean
    tensor(2.)
    """

    arg_constraints = {"df1": constraints.positive, "df2": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, df1: Any, df2: Any, validate_args: bool | None = None):
        self.df1, self.df2 = broadcast_all(df1, df2)
        super().__init__(self.df1.size(), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        df2 = self.df2.masked_fill(self.df2 <= 2, cr.nan)
        return df2 / (df2 - 2)

    @property
    def mode(self) -> Tensor:
        mode = (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2)
        return mode.masked_fill(self.df1 <= 2, cr.nan)

    @property
    def variance(self) -> Tensor:
        df1, df2 = self.df1, self.df2.masked_fill(self.df2 <= 4, cr.nan)
        return 2 * df2.pow(2) * (df1 + df2 - 2) / (df1 * (df2 - 2).pow(2) * (df2 - 4))

    def rsample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        shape = self._extended_shape(sample_shape)
        above, below = [log_standard_gamma(df.expand(shape) / 2) - df.log() for df in (self.df1, self.df2)]
        ratio = (above - below).exp()
        return ratio.clamp(min=cr.finfo(ratio.dtype).tiny)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        half1, half2, ratio = self.df1 / 2, self.df2 / 2, self.df1 / self.df2
        beta = cr.lgamma(half1) + cr.lgamma(half2) - cr.lgamma(half1 + half2)
        return half1 * ratio.log() + (half1 - 1) * value.log() - (half1 + half2) * (ratio * value).log1p() - beta
