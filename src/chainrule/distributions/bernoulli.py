"""The Bernoulli distribution."""

from __future__ import annotations

from typing import Any

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import Size
from chainrule.distributions import constraints
from chainrule.distributions.exp_family import ExponentialFamily
from chainrule.distributions.logits import OfLogits, check_one_of, enumerated
from chainrule.distributions.utils import broadcast_all

__all__ = ["Bernoulli"]


class Bernoulli(OfLogits, ExponentialFamily):
    """The distribution of 1 with a probability, else 0.

    Parameters
    ----------
    probs : float or Tensor, optional
        The probability of 1.
    logits : float or Tensor, optional
        Its log odds, instead.
    validate_args : bool, optional
        Whether arguments are checked.

    Raises
    ------
    ValueError
        If both parameters are given, or neither.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.distributions.Bernoulli(cr.tensor([0.5, 0.25])).log_prob(cr.ones(2))
    tensor([-0.6931, -1.3863])
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.boolean
    has_enumerate_support = True
    _mean_carrier_measure = 0

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        check_one_of(probs, logits)
        if probs is not None:
            (self.probs,) = broadcast_all(probs)
        else:
            (self.logits,) = broadcast_all(logits)
        super().__init__(self._param.size(), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        return (self.probs >= 0.5).to(self.probs).masked_fill(self.probs == 0.5, cr.nan)

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        with cr.no_grad():
            return cr.bernoulli(self.probs.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        return value * cr.nn.functional.logsigmoid(logits) + (1 - value) * cr.nn.functional.logsigmoid(-logits)

    def entropy(self) -> Tensor:
        lacking = 1 - self.probs if self._given == "probs" else cr.sigmoid(-self.logits)
        return -self.probs * cr.nn.functional.logsigmoid(self.logits) - lacking * cr.nn.functional.logsigmoid(-self.logits)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        return enumerated(self, cr.arange(2, dtype=self._param.dtype), expand)

    @property
    def _natural_params(self) -> tuple[Tensor]:
        return (cr.logit(self.probs) if self._given == "probs" else self.logits,)

    def _log_normalizer(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return -cr.nn.functional.logsigmoid(-x)
