"""Transforms of numbers: each element is mapped by itself."""

from __future__ import annotations

import math
from typing import Any

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.distributions import constraints
from chainrule.distributions.transform import Transform
from chainrule.distributions.utils import NUMBERS, broadcast_all, lazy_property, softplus

__all__ = [
    "AbsTransform", "AffineTransform", "CumulativeDistributionTransform", "ExpTransform", "PowerTransform", "SigmoidTransform",
    "SoftplusTransform", "TanhTransform",
]  # fmt: skip


class _Plain(Transform):
    """A transform of the real line without parameters: any two of a class are equal."""

    domain = constraints.real

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self))


class ExpTransform(_Plain):
    """``y = exp(x)``.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.distributions.transforms import ExpTransform
    >>> ExpTransform().log_abs_det_jacobian(cr.tensor(2.0), cr.tensor(2.0).exp())
    tensor(2.)
    """

    codomain = constraints.positive
    bijective = True
    sign = +1  # type: ignore[assignment]

    def _call(self, x: Tensor) -> Tensor:
        return x.exp()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x


class SoftplusTransform(_Plain):
    """``y = log(1 + exp(x))``.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.distributions.transforms import SoftplusTransform
    >>> SoftplusTransform()(cr.tensor(0.0))
    tensor(0.6931)
    """

    codomain = constraints.positive
    bijective = True
    sign = +1  # type: ignore[assignment]

    def _call(self, x: Tensor) -> Tensor:
        return softplus(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return y + (-(-y).expm1()).log()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return -softplus(-x)


class SigmoidTransform(_Plain):
    """``y = 1 / (1 + exp(-x))``, kept away from 0 and from 1.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.distributions.transforms import SigmoidTransform
    >>> SigmoidTransform()(cr.tensor([0.0, 99.0])) < 1
    tensor([True, True])
    """

    codomain = constraints.unit_interval
    bijective = True
    sign = +1  # type: ignore[assignment]

    def _call(self, x: Tensor) -> Tensor:
        return clipped(x.sigmoid())

    def _inverse(self, y: Tensor) -> Tensor:
        y = clipped(y)
        return y.log() - (-y).log1p()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return -softplus(-x) - softplus(x)


def clipped(y: Tensor) -> Tensor:
    """Return numbers kept within (0, 1)."""
    info = cr.finfo(y.dtype)
    return y.clamp(info.tiny, 1 - info.eps)


class TanhTransform(_Plain):
    """``y = tanh(x)``.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.distributions.transforms import TanhTransform
    >>> TanhTransform().log_abs_det_jacobian(cr.tensor(0.0), cr.tensor(0.0))
    tensor(0.)
    """

    codomain = constraints.interval(-1.0, 1.0)
    bijective = True
    sign = +1  # type: ignore[assignment]

    def _call(self, x: Tensor) -> Tensor:
        return x.tanh()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.atanh()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return 2 * (math.log(2) - x - softplus(-2 * x))  # log(1 - tanh²), which would be 0 - 0 where x is large


class AbsTransform(_Plain):
    """``y = |x|``, whose inverse is taken to be y itself.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.distributions.transforms import AbsTransform
    >>> AbsTransform()(cr.tensor([-1.0, 1.0]))
    tensor([1., 1.])
    """

    codomain = constraints.positive

    def _call(self, x: Tensor) -> Tensor:
        return x.abs()

    def _inverse(self, y: Tensor) -> Tensor:
        return y


class PowerTransform(Transform):
    """``y = x**exponent`` of positive numbers.

    Parameters
    ----------
    exponent : float or Tensor
        The exponent.
    cache_size : int
        0 or 1.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.distributions.transforms import PowerTransform
    >>> PowerTransform(2.0).inv(cr.tensor(9.0))
    tensor(3.)
    """

    domain = constraints.positive
    codomain = constraints.positive
    bijective = True

    def __init__(self, exponent: Any, cache_size: int = 0):
        super().__init__(cache_size=cache_size)
        (self.exponent,) = broadcast_all(exponent)

    def _again(self, cache_size: int) -> Transform:
        return PowerTransform(self.exponent, cache_size=cache_size)

    @lazy_property
    def sign(self) -> Tensor:  # type: ignore[override]
        return self.exponent.sign()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PowerTransform) and _equal(self.exponent, other.exponent)

    def _call(self, x: Tensor) -> Tensor:
        return x.pow(self.exponent)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.pow(1 / self.exponent)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return (self.exponent * y / x).abs().log()

    def forward_shape(self, shape: Any) -> Any:
        return _broadcast(shape, self.exponent)

    inverse_shape = forward_shape


def _equal(x: Any, y: Any) -> bool:
    same = x == y
    return bool(same.all()) if isinstance(same, Tensor) else bool(same)


def _broadcast(shape: Any, *parameters: Any) -> Any:
    return cr.broadcast_shapes(shape, *[getattr(parameter, "shape", ()) for parameter in parameters])


class AffineTransform(Transform):
    """``y = loc + scale * x``.

    Parameters
    ----------
    loc, scale : float or Tensor
        The map.
    event_dim : int
        How many of the last axes make one event.
    cache_size : int
        0 or 1.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.distributions.transforms import AffineTransform
    >>> AffineTransform(1.0, 2.0)(cr.tensor([0.0, 1.0]))
    tensor([1., 3.])
    """

    bijective = True

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0):
        super().__init__(cache_size=cache_size)
        self.loc, self.scale, self._event_dim = loc, scale, event_dim

    @property
    def event_dim(self) -> int:
        return self._event_dim

    @constraints.dependent_property(is_discrete=False)
    def domain(self) -> Any:  # type: ignore[override]
        return constraints.independent(constraints.real, self.event_dim) if self.event_dim else constraints.real

    @constraints.dependent_property(is_discrete=False)
    def codomain(self) -> Any:  # type: ignore[override]
        return self.domain

    def _again(self, cache_size: int) -> Transform:
        return AffineTransform(self.loc, self.scale, self.event_dim, cache_size=cache_size)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AffineTransform) and _equal(self.loc, other.loc) and _equal(self.scale, other.scale)

    @property
    def sign(self) -> Any:
        if isinstance(self.scale, NUMBERS):
            return (self.scale > 0) - (self.scale < 0)
        return self.scale.sign()

    def _call(self, x: Tensor) -> Tensor:
        return self.loc + self.scale * x

    def _inverse(self, y: Tensor) -> Tensor:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        if isinstance(self.scale, NUMBERS):
            change = cr.full_like(x, math.log(abs(self.scale)))
        else:
            change = self.scale.abs().log()
        if not self.event_dim:
            return change.expand(x.shape)
        change = change.view(change.size()[: -self.event_dim] + (-1,)).sum(-1)  # noqa: RUF005 - it is a Size
        return change.expand(x.shape[: -self.event_dim])

    def forward_shape(self, shape: Any) -> Any:
        return _broadcast(shape, self.loc, self.scale)

    inverse_shape = forward_shape


class CumulativeDistributionTransform(Transform):
    """``y = P(X <= x)`` of draws X of a distribution of numbers.

    Parameters
    ----------
    distribution : Distribution
        The distribution, which has a ``cdf``, and for the inverse an ``icdf``.
    cache_size : int
        0 or 1.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.distributions import Normal
    >>> from chainrule.distributions.transforms import CumulativeDistributionTransform
    >>> CumulativeDistributionTransform(Normal(0.0, 1.0))(cr.tensor(0.0))
    tensor(0.5000)
    """

    bijective = True
    codomain = constraints.unit_interval
    sign = +1  # type: ignore[assignment]

    def __init__(self, distribution: Any, cache_size: int = 0):
        super().__init__(cache_size=cache_size)
        self.distribution = distribution

    @property
    def domain(self) -> Any:  # type: ignore[override]
        return self.distribution.support

    def _call(self, x: Tensor) -> Tensor:
        return self.distribution.cdf(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.distribution.icdf(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return self.distribution.log_prob(x)

    def _again(self, cache_size: int) -> Transform:
        return CumulativeDistributionTransform(self.distribution, cache_size=cache_size)
