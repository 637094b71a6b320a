"""The categorical distribution of one-hot vectors, and the one whose draws have the gradients of its probabilities."""

from __future__ import annotations

from typing import Any

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import Size
from chainrule.distributions import constraints
from chainrule.distributions.categorical import OverCategories

__all__ = ["OneHotCategorical", "OneHotCategoricalStraightThrough"]


class OneHotCategorical(OverCategories):
    """The distribution of the one-hot vector of a class.

    Parameters
    ----------
    probs : Tensor, optional
        The weights of the classes along the last axis, not negative; they need not sum to 1, the attribute does.
    logits : Tensor, optional
        The logarithms of weights, instead.
    validate_args : bool, optional
        Whether arguments are checked.

    Raises
    ------
    ValueError
        If both parameters are given, or neither.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.distributions.OneHotCategorical(cr.tensor([1.0, 3.0])).log_prob(cr.tensor([0.0, 1.0])).exp()
    tensor(0.7500)
    """

    support = constraints.one_hot
    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        super().__init__(probs, logits, validate_args)

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        return self._one_hot(self._categorical.mode)

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def _one_hot(self, indices: Tensor) -> Tensor:
        return cr.nn.functional.one_hot(indices, self._event_shape[-1]).to(self._param.dtype)

    def sample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        return self._one_hot(self._categorical.sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return self._categorical.log_prob(value.argmax(-1))

    def entropy(self) -> Tensor:
        return self._categorical.entropy()

    def enumerate_support(self, expand: bool = True) -> Tensor:
        classes = self._event_shape[-1]
        values = cr.eye(classes, dtype=self._param.dtype).reshape(classes, *(1,) * len(self._batch_shape), classes)
        return values.expand(classes, *self._batch_shape, classes) if expand else values


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """One-hot vectors whose draws by `rsample` have the gradient of the probabilities: the straight-through estimator.

    See Bengio, Leonard & Courville, Estimating or propagating gradients through stochastic neurons, arXiv 1308.3432. Parameters
    are those of `OneHotCategorical`.

    Examples
    --------
    >>> import chainrule as cr
    >>> probs = cr.tensor([0.5, 0.5], requires_grad=True)
    >>> draw = cr.distributions.OneHotCategoricalStraightThrough(probs).rsample()
    >>> draw.sum().item(), draw.requires_grad
    (1.0, True)
    """

    has_rsample = True

    def rsample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        return self.sample(sample_shape) + (self.probs - self.probs.detach())
