"""The relaxed categorical distribution (Concrete, Gumbel-softmax): points of a simplex that draws may be differentiated in."""

from __future__ import annotations

import math
from typing import Any

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import Size
from chainrule.distributions import constraints
from chainrule.distributions.categorical import OverCategories
from chainrule.distributions.transformed_distribution import TransformedDistribution
from chainrule.distributions.transforms import ExpTransform
from chainrule.distributions.utils import broadcast_all, clamp_probs, is_tensor_like

__all__ = ["ExpRelaxedCategorical", "RelaxedOneHotCategorical"]


class ExpRelaxedCategorical(OverCategories):
    """The logarithm of a point that is `RelaxedOneHotCategorical`.

    Its density is equation 25 of Maddison, Mnih & Teh, The Concrete distribution, arXiv 1611.00712.

    Parameters
    ----------
    temperature : float or Tensor
        The nearer to 0, the nearer are the points to one-hot vectors.
    probs : Tensor, optional
        The weights of the classes along the last axis, not negative.
    logits : Tensor, optional
        The logarithms of weights, instead.
    validate_args : bool, optional
        Whether arguments are checked.

    Raises
    ------
    ValueError
        If both `probs` and `logits` are given, or neither.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.distributions.relaxed_categorical import ExpRelaxedCategorical
    >>> round(ExpRelaxedCategorical(cr.tensor(0.5), cr.tensor([0.5, 0.5])).sample().exp().sum().item(), 4)
    1.0
    """

    support = constraints.real_vector
    has_rsample = True
    _plain = ("temperature",)

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        self.temperature = temperature
        super().__init__(probs, logits, validate_args)

    def rsample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        uniform = clamp_probs(cr.rand(self._extended_shape(sample_shape), dtype=self.logits.dtype))
        scores = (self.logits - cr.log(-cr.log(uniform))) / self.temperature
        return cr.log_softmax(scores, -1)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        classes = self._event_shape[-1]
        logits, value = broadcast_all(self.logits, value)
        temperature = self.temperature if is_tensor_like(self.temperature) else logits.new_tensor(self.temperature)
        scores = cr.log_softmax(logits - value * temperature, -1).sum(-1)
        return scores + math.lgamma(classes) + (classes - 1) * cr.log(temperature)


class RelaxedOneHotCategorical(TransformedDistribution):
    """A point of the simplex near to a one-hot vector: the relaxation of `OneHotCategorical`.

    See Jang, Gu & Poole, arXiv 1611.01144, and Maddison, Mnih & Teh, arXiv 1611.00712.

    Parameters
    ----------
    temperature : float or Tensor
        The nearer to 0, the nearer are the points to one-hot vectors.
    probs : Tensor, optional
        The weights of the classes along the last axis, not negative.
    logits : Tensor, optional
        The logarithms of weights, instead.
    validate_args : bool, optional
        Whether arguments are checked.

    Raises
    ------
    ValueError
        If both `probs` and `logits` are given, or neither.

    Examples
    --------
    >>> import chainrule as cr
    >>> logits = cr.zeros(3, requires_grad=True)
    >>> draw = cr.distributions.RelaxedOneHotCategorical(cr.tensor(0.5), logits=logits).rsample()
    >>> draw.shape, draw.requires_grad
    (chainrule.Size([3]), True)
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.simplex
    has_rsample = True
    base_dist: ExpRelaxedCategorical

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        base = ExpRelaxedCategorical(temperature, probs, logits, validate_args=validate_args)
        super().__init__(base, ExpTransform(), validate_args=validate_args)

    @property
    def temperature(self) -> Any:
        """The temperature."""
        return self.base_dist.temperature

    @property
    def logits(self) -> Tensor:
        """The log probabilities of the classes."""
        return self.base_dist.logits

    @property
    def probs(self) -> Tensor:
        """The probabilities of the classes."""
        return self.base_dist.probs
