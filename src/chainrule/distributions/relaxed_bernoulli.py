"""Relaxed Bernoulli distributions: of numbers between 0 and 1 that tend to either as a temperature falls."""

from __future__ import annotations

from typing import Any

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import Size
from chainrule.distributions import constraints
from chainrule.distributions.logits import OfLogits, check_one_of
from chainrule.distributions.transformed_distribution import TransformedDistribution
from chainrule.distributions.transforms import SigmoidTransform
from chainrule.distributions.utils import broadcast_all, clamp_probs, softplus

__all__ = ["LogitRelaxedBernoulli", "RelaxedBernoulli"]


class LogitRelaxedBernoulli(OfLogits):
    """The distribution of log odds of `RelaxedBernoulli` (Maddison, Mnih & Teh, arXiv 1611.00712, appendix C.3).

    Parameters
    ----------
    temperature : Tensor
        The temperature.
    probs, logits : float or Tensor
        The probability of 1, or its log odds; one of them.
    validate_args : bool, optional
        Whether arguments are checked.

    Raises
    ------
    ValueError
        If both or neither are given.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.distributions.relaxed_bernoulli import LogitRelaxedBernoulli
    >>> LogitRelaxedBernoulli(cr.tensor(1.0), logits=cr.zeros(2)).log_prob(cr.zeros(2))
    tensor([-1.3863, -1.3863])
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.real

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        self.temperature = temperature
        check_one_of(probs, logits)
        if probs is not None:
            (self.probs,) = broadcast_all(probs)
        else:
            (self.logits,) = broadcast_all(logits)
        super().__init__(self._param.size(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(LogitRelaxedBernoulli, _instance)
        new.temperature = self.temperature
        return self._completed(new, Size(batch_shape))

    def rsample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        shape = self._extended_shape(sample_shape)
        probs = clamp_probs(self.probs.expand(shape))
        noise = clamp_probs(cr.rand(shape, dtype=probs.dtype))
        return (noise.log() - (-noise).log1p() + probs.log() - (-probs).log1p()) / self.temperature

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        gap = self.logits - value * self.temperature
        return cr.as_tensor(self.temperature, dtype=gap.dtype).log() + gap - 2 * softplus(gap)


class RelaxedBernoulli(TransformedDistribution):
    """The relaxed Bernoulli distribution on (0, 1), whose draws are differentiable (arXiv 1611.00712, 1611.01144).

    Parameters
    ----------
    temperature : Tensor
        The temperature.
    probs, logits : float or Tensor
        The probability of 1, or its log odds; one of them.
    validate_args : bool, optional
        Whether arguments are checked.

    Examples
    --------
    >>> import chainrule as cr
    >>> draws = cr.distributions.RelaxedBernoulli(cr.tensor(2.0), probs=cr.full((9,), 0.5)).rsample()
    >>> bool(((draws > 0) & (draws < 1)).all())
    True
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}  # type: ignore[assignment]
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        super().__init__(LogitRelaxedBernoulli(temperature, probs, logits), SigmoidTransform(), validate_args=validate_args)

    @property
    def temperature(self) -> Tensor:
        """The temperature."""
        return self.base_dist.temperature

    @property
    def logits(self) -> Tensor:
        """The log odds of 1."""
        return self.base_dist.logits

    @property
    def probs(self) -> Tensor:
        """The probability of 1."""
        return self.base_dist.probs
