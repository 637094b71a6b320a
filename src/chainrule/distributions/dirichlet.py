"""The Dirichlet distribution."""

from __future__ import annotations

from typing import Any

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import Size
from chainrule.distributions import constraints
from chainrule.distributions.exp_family import ExponentialFamily
from chainrule.functions.random.gamma import log_standard_gamma

__all__ = ["Dirichlet"]


class Dirichlet(ExponentialFamily):
    """The distribution of probabilities of classes, whose density is a product of powers of them.

    Draws are gamma draws over their sum, in logarithms, so that they exist where all gamma draws underflow; gradients flow
    through them as through the gamma draws, to any order.

    Parameters
    ----------
    concentration : Tensor
        The powers plus 1, positive, along the last axis.
    validate_args : bool, optional
        Whether arguments are checked.

    Raises
    ------
    ValueError
        If the parameter has no axis.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.distributions.Dirichlet(cr.tensor([1.0, 3.0])).mean
    tensor([0.2500, 0.7500])
    """

    arg_constraints = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, concentration: Tensor, validate_args: bool | None = None):
        if concentration.dim() < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args=validate_args)

    def rsample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        concentration = self.concentration.expand(self._extended_shape(sample_shape))
        # PyTorch's least draw is the dtype's least normal number too: densities are finite there.
        return cr.softmax(log_standard_gamma(concentration), -1).clamp(min=cr.finfo(concentration.dtype).tiny)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return cr.xlogy(self.concentration - 1, value).sum(-1) - self._log_normalizer(self.concentration)

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.concentration.sum(-1, keepdim=True)

    @property
    def mode(self) -> Tensor:
        powers = (self.concentration - 1).clamp(min=0)
        total = powers.sum(-1, keepdim=True)
        # All powers negative: the density grows towards the corners, of which this is the first, as PyTorch has it.
        corner = cr.nn.functional.one_hot(powers.argmax(-1), powers.shape[-1]).to(powers.dtype)
        return cr.where((self.concentration < 1).all(-1, keepdim=True), corner, powers / total)

    @property
    def variance(self) -> Tensor:
        total = self.concentration.sum(-1, keepdim=True)
        return self.concentration * (total - self.concentration) / (total.square() * (total + 1))

    def entropy(self) -> Tensor:
        a, total, classes = self.concentration, self.concentration.sum(-1), self.concentration.shape[-1]
        slope = (a - 1) * cr.digamma(a)
        return self._log_normalizer(a) + (total - classes) * cr.digamma(total) - slope.sum(-1)

    @property
    def _natural_params(self) -> tuple[Tensor]:
        return (self.concentration,)

    def _log_normalizer(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return cr.lgamma(x).sum(-1) - cr.lgamma(x.sum(-1))
