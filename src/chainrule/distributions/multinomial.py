"""The multinomial distribution."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import Size
from chainrule.distributions import constraints
from chainrule.distributions.binomial import Binomial
from chainrule.distributions.categorical import OverCategories
from chainrule.distributions.utils import broadcast_all
from chainrule.ops.random.draw import drawn_with

__all__ = ["Multinomial"]


class Multinomial(OverCategories):
    """The number of draws of each class among draws with replacement.

    Parameters
    ----------
    total_count : int
        How many draws.
    probs : Tensor, optional
        The weights of the classes along the last axis, not negative; they need not sum to 1, the attribute does.
    logits : Tensor, optional
        The logarithms of weights, instead.
    validate_args : bool, optional
        Whether arguments are checked.

    Raises
    ------
    NotImplementedError
        If `total_count` is not an int.
    ValueError
        If both `probs` and `logits` are given, or neither.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.distributions.Multinomial(2, cr.tensor([1.0, 1.0])).log_prob(cr.tensor([1.0, 1.0])).exp()
    tensor(0.5000)
    """

    total_count: int
    _plain = ("total_count",)

    def __init__(self, total_count: int = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        super().__init__(probs, logits, validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:  # type: ignore[override]
        return constraints.multinomial(self.total_count)

    @property
    def mean(self) -> Tensor:
        return self.probs * self.total_count

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        shape, numpy = self._extended_shape(sample_shape), self._param.dtype.numpy

        def draw(rng: np.random.Generator, weights: np.ndarray) -> np.ndarray:
            weights = weights.astype(np.float64)
            return rng.multinomial(self.total_count, weights / weights.sum(-1, keepdims=True)).astype(numpy)

        with cr.no_grad():
            return drawn_with(self.probs.expand(shape), draw, tuple(shape), numpy, None)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        logits = logits.masked_fill((value == 0) & (logits == -math.inf), 0)  # 0 log 0 is 0
        ways = cr.lgamma(value.sum(-1) + 1) - cr.lgamma(value + 1).sum(-1)
        return ways + (logits * value).sum(-1)

    def entropy(self) -> Tensor:
        # The mean of a sum of log factorials is the sum of their means under the marginals, which are binomial.
        n = self.total_count
        marginal = Binomial(n, probs=self.probs, validate_args=False)
        counts = marginal.enumerate_support(expand=False)
        log_factorials = (cr.exp(marginal.log_prob(counts)) * cr.lgamma(counts + 1)).sum(0).sum(-1)
        return n * self._categorical.entropy() - math.lgamma(n + 1) + log_factorials
