"""The continuous Bernoulli distribution."""

from __future__ import annotations

import math
from typing import Any

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import Size
from chainrule.distributions import constraints
from chainrule.distributions.exp_family import ExponentialFamily
from chainrule.distributions.logits import OfLogits, check_one_of
from chainrule.distributions.utils import all_true, broadcast_all, clamp_probs, lazy_property, logits_to_probs, softplus

__all__ = ["ContinuousBernoulli"]


class ContinuousBernoulli(OfLogits, ExponentialFamily):
    """The continuous Bernoulli distribution on [0, 1], of density ``C probs**x (1 - probs)**(1 - x)``.

    Loaiza-Ganem & Cunningham, The continuous Bernoulli (arXiv 1907.06845). Where the probability is close to a half, series in
    its distance stand for quotients of what vanishes there.

    Parameters
    ----------
    probs, logits : float or Tensor
        The probability, or its log odds; one of them.
    lims : pair of float
        Between which probabilities are close to a half.
    validate_args : bool, optional
        Whether arguments are checked.

    Raises
    ------
    ValueError
        If both or neither are given, or a probability is none.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.distributions.ContinuousBernoulli(probs=cr.tensor([0.5, 0.9])).mean
    tensor([0.5000, 0.6699])
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(
        self,
        probs: Any = None,
        logits: Any = None,
        lims: tuple[float, float] = (0.499, 0.501),
        validate_args: bool | None = None,
    ):
        check_one_of(probs, logits)
        if probs is not None:
            (given,) = broadcast_all(probs)
            if validate_args is not None and not all_true(self.arg_constraints["probs"].check(given)):
                raise ValueError("The parameter probs has invalid values")
            self.probs = clamp_probs(given)
        else:
            (self.logits,) = broadcast_all(logits)
        self._lims = lims
        super().__init__(self._param.size(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(ContinuousBernoulli, _instance)
        new._lims = self._lims
        return self._completed(new, Size(batch_shape))

    @lazy_property
    def probs(self) -> Tensor:
        """Return the probability."""
        return clamp_probs(logits_to_probs(self.logits, is_binary=True))

    def _split(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return where probabilities are apart from a half, those with another where they are not, and the distance from it."""
        apart = (self.probs <= self._lims[0]) | (self.probs > self._lims[1])
        return apart, cr.where(apart, self.probs, self._lims[0]), self.probs - 0.5

    def _log_norm(self) -> Tensor:
        """Return log C: ``log(2 atanh(1 - 2p) / (1 - 2p))``."""
        apart, p, x = self._split()
        known = ((-p).log1p() - p.log()).abs().log() - (1 - 2 * p).abs().log()
        x = x.pow(2)
        return cr.where(apart, known, math.log(2) + (4 / 3 + 104 / 45 * x) * x)

    @property
    def mean(self) -> Tensor:
        apart, p, x = self._split()
        known = p / (2 * p - 1) + 1 / ((-p).log1p() - p.log())
        return cr.where(apart, known, 0.5 + (1 / 3 + 16 / 45 * x.pow(2)) * x)

    @property
    def variance(self) -> Tensor:
        apart, p, x = self._split()
        known = p * (p - 1) / (1 - 2 * p).pow(2) + 1 / ((-p).log1p() - p.log()).pow(2)
        x = x.pow(2)
        return cr.where(apart, known, 1 / 12 - (1 / 15 - 128 / 945 * x) * x)

    @property
    def stddev(self) -> Tensor:
        return self.variance.sqrt()

    def rsample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        return self.icdf(cr.rand(self._extended_shape(sample_shape), dtype=self.probs.dtype))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return value * self.logits - softplus(self.logits) + self._log_norm()

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        apart, p, _ = self._split()
        known = (p.pow(value) * (1 - p).pow(1 - value) + p - 1) / (2 * p - 1)
        inside = cr.where(apart, known, value)
        return cr.where(value <= 0, 0.0, cr.where(value >= 1, 1.0, inside))

    def icdf(self, value: Tensor) -> Tensor:
        apart, p, _ = self._split()
        known = ((value * (2 * p - 1) - p).log1p() - (-p).log1p()) / (p.log() - (-p).log1p())
        return cr.where(apart, known, value)

    def entropy(self) -> Tensor:
        rest, log = (-self.probs).log1p(), self.probs.log()
        return self.mean * (rest - log) - self._log_norm() - rest

    @property
    def _natural_params(self) -> tuple[Tensor]:
        return (self.logits,)

    def _log_normalizer(self, x: Tensor) -> Tensor:  # type: ignore[override]
        low, high = self._lims[0] - 0.5, self._lims[1] - 0.5
        apart = (x <= low) | (x > high)
        y = cr.where(apart, x, low)
        series = 0.5 * x + x.pow(2) / 24 - x.pow(4) / 2880
        return cr.where(apart, y.expm1().abs().log() - y.abs().log(), series)
