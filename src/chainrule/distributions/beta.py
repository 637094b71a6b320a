"""The beta distribution."""

from __future__ import annotations

from typing import Any

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import Size
from chainrule.distributions import constraints
from chainrule.distributions.dirichlet import Dirichlet
from chainrule.distributions.exp_family import ExponentialFamily
from chainrule.distributions.utils import NUMBERS, broadcast_all

__all__ = ["Beta"]


class Beta(ExponentialFamily):
    """The beta distribution, of a share of two: the first element of a `Dirichlet` distribution's draws.

    Parameters
    ----------
    concentration1 : float or Tensor
        The power of the share, plus 1.
    concentration0 : float or Tensor
        The power of the rest, plus 1.
    validate_args : bool, optional
        Whether arguments are checked.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.distributions.Beta(1.0, 3.0).mean
    tensor(0.2500)
    """

    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None):
        both = concentration1, concentration0
        if all([isinstance(value, NUMBERS) for value in both]):
            both = float(concentration1), float(concentration0)
        self._dirichlet = Dirichlet(cr.stack(broadcast_all(*both), -1), validate_args=validate_args)
        super().__init__(self._dirichlet._batch_shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(Beta, _instance)
        new._dirichlet = self._dirichlet.expand(batch_shape)
        return self._completed(new, Size(batch_shape))

    @property
    def concentration1(self) -> Tensor:
        """The power of the share, plus 1."""
        return self._dirichlet.concentration[..., 0]

    @property
    def concentration0(self) -> Tensor:
        """The power of the rest, plus 1."""
        return self._dirichlet.concentration[..., 1]

    @property
    def mean(self) -> Tensor:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self) -> Tensor:
        return self._dirichlet.mode[..., 0]

    @property
    def variance(self) -> Tensor:
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total.pow(2) * (total + 1))

    def rsample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        return self._dirichlet.rsample(sample_shape)[..., 0]

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return self._dirichlet.log_prob(cr.stack((value, 1 - value), -1))

    def entropy(self) -> Tensor:
        return self._dirichlet.entropy()

    @property
    def _natural_params(self) -> tuple[Tensor, Tensor]:
        return self.concentration1, self.concentration0

    def _log_normalizer(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        return cr.lgamma(x) + cr.lgamma(y) - cr.lgamma(x + y)
