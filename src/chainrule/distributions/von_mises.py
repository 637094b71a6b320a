"""The von Mises distribution of angles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import Size
from chainrule.distributions import constraints
from chainrule.distributions.distribution import Distribution
from chainrule.distributions.utils import broadcast_all, lazy_property
from chainrule.ops.random.draw import drawn_with

__all__ = ["VonMises"]


class VonMises(Distribution):
    """The von Mises distribution of angles, of density ``exp(concentration * cos(x - loc)) / (2π I0(concentration))``.

    Parameters
    ----------
    loc : float or Tensor
        The mean angle, in radians.
    concentration : float or Tensor
        How close angles are to it; 0 would be uniform.
    validate_args : bool, optional
        Whether arguments are checked.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.distributions.VonMises(0.0, 1.0).log_prob(cr.tensor(0.0))
    tensor(-1.0738)
    """

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real
    has_rsample = False

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None):
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(self.loc.size(), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @lazy_property
    def variance(self) -> Tensor:  # type: ignore[override]
        """Return the circular variance, ``1 - I1(concentration) / I0(concentration)``."""
        return 1 - cr.special.i1e(self.concentration) / cr.special.i0e(self.concentration)

    def sample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        shape, numpy = self._extended_shape(sample_shape), self.loc.dtype.numpy

        def draw(rng: np.random.Generator, both: np.ndarray) -> np.ndarray:
            loc, concentration = np.asarray(both[..., 0], np.float64), np.asarray(both[..., 1], np.float64)
            found = np.asarray(rng.vonmises(0.0, concentration)) + loc + np.pi
            return (found % (2 * np.pi) - np.pi).astype(numpy)

        with cr.no_grad():
            both = cr.stack((self.loc.expand(shape), self.concentration.expand(shape)), -1)
            return drawn_with(both, draw, tuple(shape), numpy, None)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        nearness = self.concentration * ((value - self.loc).cos() - 1)  # I0 grows as exp(concentration)
        return nearness - math.log(2 * math.pi) - cr.special.i0e(self.concentration).log()
