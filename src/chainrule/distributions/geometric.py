"""The geometric distribution."""

from __future__ import annotations

from typing import Any

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import Size
from chainrule.distributions import constraints
from chainrule.distributions.logits import OfLogits, check_one_of
from chainrule.distributions.utils import all_true, broadcast_all

__all__ = ["Geometric"]


class Geometric(OfLogits):
    """The number of failures before the first success of independent trials.

    `Tensor.geometric_` counts the success too, and so starts at 1.

    Parameters
    ----------
    probs : float or Tensor, optional
        The probability of a success, in (0, 1].
    logits : float or Tensor, optional
        Its log odds, instead.
    validate_args : bool, optional
        Whether arguments are checked.

    Raises
    ------
    ValueError
        If both parameters are given, or neither, or a probability is 0.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.distributions.Geometric(0.5).log_prob(cr.tensor([0.0, 1.0])).exp()
    tensor([0.5000, 0.2500])
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.nonnegative_integer

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        check_one_of(probs, logits)
        if probs is not None:
            (self.probs,) = broadcast_all(probs)
        else:
            (self.logits,) = broadcast_all(logits)
        super().__init__(self._param.size(), validate_args=validate_args)
        if self._validate_args and probs is not None and not all_true(self.probs > 0):
            raise ValueError(
                f"Expected parameter probs ({type(self.probs).__name__} of shape {tuple(self.probs.shape)}) of distribution "
                f"{self!r} to be positive but found invalid values:\n{self.probs}"
            )

    @property
    def mean(self) -> Tensor:
        return 1 / self.probs - 1

    @property
    def mode(self) -> Tensor:
        return cr.zeros_like(self.probs)

    @property
    def variance(self) -> Tensor:
        return (1 / self.probs - 1) / self.probs

    def sample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        with cr.no_grad():
            log_failure = self._log_probs[1]
            uniform = cr.rand(self._extended_shape(sample_shape), dtype=log_failure.dtype)
            return (uniform.clamp(min=cr.finfo(log_failure.dtype).tiny).log() / log_failure).floor()

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        log_success, log_failure = self._log_probs
        none = (value == 0) & (log_failure == -cr.inf)  # no failure where none can be: 0 log 0 is 0
        return value * cr.where(none, 0, log_failure) + log_success

    def entropy(self) -> Tensor:
        lacking = 1 - self.probs if self._given == "probs" else cr.sigmoid(-self.logits)
        log_success, log_failure = cr.nn.functional.logsigmoid(self.logits), cr.nn.functional.logsigmoid(-self.logits)
        return -log_success - lacking * log_failure / self.probs
