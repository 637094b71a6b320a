"""The categorical distribution, and what families made of one share."""

from __future__ import annotations

import math
from typing import Any

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import Size
from chainrule.distributions import constraints
from chainrule.distributions.distribution import Distribution
from chainrule.distributions.logits import OfLogits, check_one_of, enumerated

__all__ = ["Categorical"]


class Categorical(OfLogits):
    """The distribution of the index of a class.

    Parameters
    ----------
    probs : Tensor, optional
        The weights of the classes along the last axis, not negative; they need not sum to 1, the attribute does.
    logits : Tensor, optional
        The logarithms of weights, instead; the attribute holds those of probabilities.
    validate_args : bool, optional
        Whether arguments are checked.

    Raises
    ------
    ValueError
        If both parameters are given, or neither, or one without axes.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.distributions.Categorical(cr.tensor([1.0, 3.0])).log_prob(cr.tensor([0, 1])).exp()
    tensor([0.2500, 0.7500])
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_enumerate_support = True
    _is_binary = False

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        check_one_of(probs, logits)
        name, given = ("probs", probs) if logits is None else ("logits", logits)
        if given.dim() < 1:
            raise ValueError(f"`{name}` parameter must be at least one-dimensional.")
        if logits is None:
            self.probs = probs / probs.sum(-1, keepdim=True)
        else:
            self.logits = logits - logits.logsumexp(-1, keepdim=True)
        super().__init__(self._param.shape[:-1], validate_args=validate_args)

    @property
    def _num_events(self) -> int:
        return self._param.shape[-1]

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:  # type: ignore[override]
        return constraints.integer_interval(0, self._num_events - 1)

    @property
    def mean(self) -> Tensor:
        return cr.full(self._extended_shape(), cr.nan, dtype=self._param.dtype)

    @property
    def mode(self) -> Tensor:
        return self.probs.argmax(-1)

    @property
    def variance(self) -> Tensor:
        return cr.full(self._extended_shape(), cr.nan, dtype=self._param.dtype)

    def sample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        with cr.no_grad():
            rows = self.probs.reshape(-1, self._num_events)
            shape, count = self._extended_shape(sample_shape), math.prod(sample_shape)
            if not count:
                return rows.new_empty(shape, dtype=cr.int64)
            return cr.multinomial(rows, count, replacement=True).T.reshape(shape)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        index, logits = cr.broadcast_tensors(value.long().unsqueeze(-1), self.logits)
        return logits.gather(-1, index[..., :1]).squeeze(-1)

    def entropy(self) -> Tensor:
        logits = self.logits.masked_fill(self.logits == -math.inf, 0)  # 0 log 0 is 0
        return -(logits * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        return enumerated(self, cr.arange(self._num_events), expand)


class OverCategories(Distribution):
    """A family of vectors, one element a class, that is made of a categorical distribution and perhaps plain attributes."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    _plain: tuple[str, ...] = ()
    """The names of the plain attributes."""
    _categorical: Categorical

    def __init__(self, probs: Any, logits: Any, validate_args: bool | None):
        self._categorical = Categorical(probs, logits, validate_args=validate_args)
        super().__init__(self._categorical.batch_shape, self._categorical.param_shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(self._family(), _instance)
        for name in self._plain:
            setattr(new, name, getattr(self, name))
        new._categorical = self._categorical.expand(batch_shape)
        return self._completed(new, Size(batch_shape))

    @property
    def _param(self) -> Tensor:
        return self._categorical._param

    @property
    def probs(self) -> Tensor:
        """The probabilities of the classes."""
        return self._categorical.probs

    @property
    def logits(self) -> Tensor:
        """Their logarithms."""
        return self._categorical.logits

    @property
    def param_shape(self) -> Size:
        """The shape of the probabilities."""
        return self._categorical.param_shape
