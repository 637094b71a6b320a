"""The generalised Pareto distribution."""

from __future__ import annotations

from typing import Any

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import Size
from chainrule.distributions import constraints
from chainrule.distributions.distribution import Distribution
from chainrule.distributions.utils import broadcast_all

__all__ = ["GeneralizedPareto"]


class GeneralizedPareto(Distribution):
    """The generalised Pareto distribution, to which what exceeds a high bound tends.

    The probability to exceed ``loc + scale * z`` is ``(1 + c z)**(-1 / c)`` with c the concentration, ``exp(-z)`` where that
    is 0.

    Parameters
    ----------
    loc : float or Tensor
        The least value.
    scale : float or Tensor
        The scale.
    concentration : float or Tensor
        c, of either sign.
    validate_args : bool, optional
        Whether arguments are checked.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.distributions.GeneralizedPareto(0.0, 1.0, 0.5).mean
    tensor(2.)
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive, "concentration": constraints.real}
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, concentration: Any, validate_args: bool | None = None):
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(self.loc.size(), validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:  # type: ignore[override]
        top = cr.where(self.concentration < 0, self.loc - self.scale / self.concentration, cr.inf)
        return constraints.interval(self.loc, top)

    @property
    def mean(self) -> Tensor:
        known = self.concentration < 1
        return cr.where(known, self.loc + self.scale / (1 - cr.where(known, self.concentration, 0.5)), cr.nan)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        known = self.concentration < 0.5
        c = cr.where(known, self.concentration, 0.25)
        return cr.where(known, self.scale**2 / ((1 - c) ** 2 * (1 - 2 * c)), cr.nan)

    def rsample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        return self.icdf(cr.rand(self._extended_shape(sample_shape), dtype=self.loc.dtype))

    def _split(self) -> tuple[Tensor, Tensor]:
        """Return where the concentration is 0, and the concentration with 1 there."""
        zero = cr.isclose(self.concentration, cr.zeros_like(self.concentration))
        return zero, cr.where(zero, 1.0, self.concentration)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        zero, c = self._split()
        z, power = (value - self.loc) / self.scale, 1 / c + 1
        curved = cr.where(power == 0, 0.0, power * (c * z).log1p())  # uniform: also where the logarithm is infinite
        return -self.scale.log() - cr.where(zero, z, curved)

    def log_survival_function(self, value: Tensor) -> Tensor:
        """Return the logarithm of the probability to exceed a value."""
        if self._validate_args:
            self._validate_sample(value)
        zero, c = self._split()
        z = (value - self.loc) / self.scale
        return cr.where(zero, -z, -(c * z).log1p() / c)

    def log_cdf(self, value: Tensor) -> Tensor:
        """Return the logarithm of the probability of draws up to a value."""
        return (-self.log_survival_function(value).exp()).log1p()

    def cdf(self, value: Tensor) -> Tensor:
        return self.log_cdf(value).exp()

    def icdf(self, value: Tensor) -> Tensor:
        zero, c = self._split()
        log_rest = (-value).log1p()
        return self.loc + cr.where(zero, -self.scale * log_rest, self.scale / c * (-c * log_rest).expm1())

    def entropy(self) -> Tensor:
        return self.scale.log() + self.concentration + 1
