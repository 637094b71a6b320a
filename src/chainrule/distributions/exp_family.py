"""Exponential families: densities ``exp(<t(x), θ> - F(θ) + k(x))``, whose entropy follows from the log normaliser F."""

from __future__ import annotations

from typing import Any

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.distributions.distribution import Distribution
from chainrule.distributions.utils import sum_rightmost

__all__ = ["ExponentialFamily"]


class ExponentialFamily(Distribution):
    """A distribution of an exponential family, which says its natural parameters θ and its log normaliser F.

    The entropy is ``F(θ) - <θ, ∇F(θ)> - E[k(x)]`` (Nielsen & Nock, Entropies and cross-entropies of exponential families,
    ICIP 2010, equation 9), with ∇F by automatic differentiation. It is differentiable in the parameters; PyTorch's, which
    detaches them, is not.
    """

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        """The natural parameters θ."""
        raise NotImplementedError

    def _log_normalizer(self, *natural_params: Any) -> Tensor:
        """Return F of natural parameters."""
        raise NotImplementedError

    @property
    def _mean_carrier_measure(self) -> Any:
        """The mean of k(x)."""
        raise NotImplementedError

    def entropy(self) -> Tensor:
        carrier, natural = self._mean_carrier_measure, self._natural_params
        normalizer, pull = cr.func.vjp(self._log_normalizer, *natural)
        products = [theta * slope for theta, slope in zip(natural, pull(cr.ones_like(normalizer)), strict=True)]
        batch = len(self._batch_shape)
        return normalizer - carrier - sum([sum_rightmost(product, product.dim() - batch) for product in products])
