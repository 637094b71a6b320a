"""The binomial distribution."""

from __future__ import annotations

from typing import Any

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import Size
from chainrule.distributions import constraints
from chainrule.distributions.logits import OfLogits, check_one_of, common_count, enumerated
from chainrule.distributions.utils import broadcast_all

__all__ = ["Binomial"]


class Binomial(OfLogits):
    """The number of successes among independent trials.

    Parameters
    ----------
    total_count : int or Tensor
        How many trials.
    probs : float or Tensor, optional
        The probability of a success.
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
    >>> cr.distributions.Binomial(2, cr.tensor(0.5)).log_prob(cr.tensor([0.0, 1.0, 2.0])).exp()
    tensor([0.2500, 0.5000, 0.2500])
    """

    arg_constraints = {
        "total_count": constraints.nonnegative_integer,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    has_enumerate_support = True

    def __init__(self, total_count: Any = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        check_one_of(probs, logits)
        if probs is not None:
            count, self.probs = broadcast_all(total_count, probs)
        else:
            count, self.logits = broadcast_all(total_count, logits)
        self.total_count = count.type_as(self._param)
        super().__init__(self._param.size(), validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:  # type: ignore[override]
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.probs

    @property
    def mode(self) -> Tensor:
        return ((self.total_count + 1) * self.probs).floor().clamp(max=self.total_count)

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        shape = self._extended_shape(sample_shape)
        with cr.no_grad():
            return cr.binomial(self.total_count.expand(shape), self.probs.expand(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        n, failures = self.total_count, self.total_count - value
        ways = cr.lgamma(n + 1) - cr.lgamma(value + 1) - cr.lgamma(failures + 1)
        # Two sums of one sign: `value * logits - n * log(1 + exp(logits))` loses digits where the probability is near 1.
        log_success, log_failure = cr.nn.functional.logsigmoid(self.logits), cr.nn.functional.logsigmoid(-self.logits)
        return ways + value * log_success + failures * log_failure

    def entropy(self) -> Tensor:
        common_count(self.total_count, "entropy")
        log_prob = self.log_prob(self.enumerate_support(False))
        return -(cr.exp(log_prob) * log_prob).sum(0)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        count = common_count(self.total_count, "enumerate_support")
        return enumerated(self, cr.arange(1 + count, dtype=self._param.dtype), expand)
