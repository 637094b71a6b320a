"""The negative binomial distribution."""

from __future__ import annotations

from typing import Any

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import Size
from chainrule.distributions import constraints
from chainrule.distributions.gamma import Gamma
from chainrule.distributions.logits import OfLogits, check_one_of
from chainrule.distributions.utils import broadcast_all

__all__ = ["NegativeBinomial"]


class NegativeBinomial(OfLogits):
    """The number of successes of independent trials before a number of failures.

    Parameters
    ----------
    total_count : float or Tensor
        The number of failures; it need not be whole.
    probs : float or Tensor, optional
        The probability of a success, in [0, 1).
    logits : float or Tensor, optional
        Its log odds, instead.
    validate_args : bool, optional
        Whether arguments are checked.

    Raises
    ------
    ValueError
        If both `probs` and `logits` are given, or neither.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.distributions.NegativeBinomial(1, cr.tensor(0.5)).log_prob(cr.tensor([0.0, 1.0])).exp()
    tensor([0.5000, 0.2500])
    """

    arg_constraints = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer

    def __init__(self, total_count: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        check_one_of(probs, logits)
        if probs is not None:
            count, self.probs = broadcast_all(total_count, probs)
        else:
            count, self.logits = broadcast_all(total_count, logits)
        self.total_count = count.type_as(self._param)
        super().__init__(self._param.size(), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.total_count * cr.exp(self.logits)

    @property
    def mode(self) -> Tensor:
        return ((self.total_count - 1) * cr.exp(self.logits)).floor().clamp(min=0)

    @property
    def variance(self) -> Tensor:
        return self.mean / cr.sigmoid(-self.logits)

    def sample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        with cr.no_grad():
            never = self.total_count == 0
            rates = Gamma(self.total_count.masked_fill(never, 1), cr.exp(-self.logits), validate_args=False)
            return cr.poisson(rates.sample(sample_shape).masked_fill(never, 0))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        # No failures to wait for and no success: of probability 1, where the gamma function has a pole.
        n = cr.where(self.total_count + value == 0, 1, self.total_count)
        ways = cr.lgamma(n + value) - cr.lgamma(1 + value) - cr.lgamma(n)
        log_success, log_failure = cr.nn.functional.logsigmoid(self.logits), cr.nn.functional.logsigmoid(-self.logits)
        return ways + self.total_count * log_failure + value * log_success
