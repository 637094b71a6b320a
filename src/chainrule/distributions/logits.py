"""Families whose parameter is given as probabilities or as logits, and what discrete families share."""

from __future__ import annotations

from typing import Any

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import Size
from chainrule.distributions.distribution import Distribution
from chainrule.distributions.utils import lazy_property, logits_to_probs, probs_to_logits


def check_one_of(probs: Any, logits: Any) -> None:
    """Raise unless exactly one of probabilities and logits is given."""
    if (probs is None) == (logits is None):
        raise ValueError("Either `probs` or `logits` must be specified, but not both.")


class OfLogits(Distribution):
    """A family of probabilities or logits: the instance holds what it was given, and makes the other when asked for it."""

    _is_binary = True
    """Whether a logit is the log odds of one probability, not one of many log probabilities."""

    @property
    def _given(self) -> str:
        """The name of what was given, which the instance has held the longest."""
        return next(name for name in self.__dict__ if name in ("probs", "logits"))

    @property
    def _param(self) -> Tensor:
        return self.__dict__[self._given]

    def _parameters(self) -> list[str]:
        return sorted(super()._parameters(), key=lambda name: name != self._given)  # as `_given` has it

    @lazy_property
    def logits(self) -> Tensor:
        """Log odds, or log probabilities of the classes; finite where they are made of probabilities 0 or 1."""
        return probs_to_logits(self.probs, is_binary=self._is_binary)

    @lazy_property
    def probs(self) -> Tensor:
        """Probabilities."""
        return logits_to_probs(self.logits, is_binary=self._is_binary)

    @property
    def param_shape(self) -> Size:
        """The shape of the probabilities."""
        return self._param.size()

    @property
    def _log_probs(self) -> tuple[Tensor, Tensor]:
        """The logarithms of a probability and of what it lacks to 1, each exact for the parameter that was given."""
        if self._given == "probs":
            return cr.log(self.probs), cr.log1p(-self.probs)
        return cr.nn.functional.logsigmoid(self.logits), cr.nn.functional.logsigmoid(-self.logits)


def enumerated(distribution: Distribution, values: Tensor, expand: bool) -> Tensor:
    """Return the values of a support along a new first axis, repeated for each of the batch or with axes of size 1 for it."""
    batch_shape = distribution.batch_shape
    values = values.reshape((-1,) + (1,) * len(batch_shape))
    return values.expand((-1, *batch_shape)) if expand else values


def common_count(total_count: Tensor, what: str) -> int:
    """Return the count that all of a batch have in common."""
    count = int(total_count.detach().max())
    if (total_count != count).any():
        raise NotImplementedError(f"Inhomogeneous total count not supported by `{what}`.")
    return count
