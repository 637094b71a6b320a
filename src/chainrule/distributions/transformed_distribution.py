"""Distributions of transformed draws of another."""

from __future__ import annotations

from typing import Any

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import Size
from chainrule.distributions import constraints
from chainrule.distributions.distribution import Distribution
from chainrule.distributions.independent import Independent
from chainrule.distributions.transforms import ComposeTransform, Transform
from chainrule.distributions.utils import sum_rightmost

__all__ = ["TransformedDistribution"]


class TransformedDistribution(Distribution):
    """The distribution of ``y = f(x)`` for draws x of another: ``log p(y) = log q(x) - log |det dy/dx|``.

    Parameters
    ----------
    base_distribution : Distribution
        That of x.
    transforms : Transform or list of Transform
        f, or what it is composed of; the first is applied first.
    validate_args : bool, optional
        Whether arguments are checked.

    Raises
    ------
    ValueError
        If transforms are none, or their events have more axes than there are.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.distributions import ExpTransform, Normal, TransformedDistribution
    >>> TransformedDistribution(Normal(0.0, 1.0), ExpTransform()).log_prob(cr.tensor(1.0))
    tensor(-0.9189)
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # type: ignore[assignment]

    def __init__(self, base_distribution: Any, transforms: Any, validate_args: bool | None = None):
        if isinstance(transforms, list) and not all([isinstance(t, Transform) for t in transforms]):
            raise ValueError("transforms must be a Transform or a list of Transforms")
        if not isinstance(transforms, (Transform, list)):
            raise ValueError(f"transforms must be a Transform or list, but was {transforms}")
        self.transforms = [transforms] if isinstance(transforms, Transform) else transforms
        base_event_dim = len(base_distribution.event_shape)
        whole = ComposeTransform(self.transforms)
        domain_dim, codomain_dim = whole.domain.event_dim, whole.codomain.event_dim
        self.base_dist, shape = _fitted(base_distribution, whole, domain_dim)
        if domain_dim > base_event_dim:
            self.base_dist = Independent(self.base_dist, domain_dim - base_event_dim)
        cut = len(shape) - max(codomain_dim, base_event_dim + codomain_dim - domain_dim)
        if cut < 0:
            raise AssertionError(f"forward_shape length {len(shape)} must be >= event_dim {len(shape) - cut}")
        super().__init__(shape[:cut], shape[cut:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(self._family(), _instance)
        batch_shape = Size(batch_shape)
        shape = batch_shape + self.event_shape
        for transform in reversed(self.transforms):
            shape = transform.inverse_shape(shape)
        new.base_dist = self.base_dist.expand(shape[: len(shape) - len(self.base_dist.event_shape)])
        new.transforms = self.transforms
        return self._completed(new, batch_shape)

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> Any:  # type: ignore[override]
        if not self.transforms:
            return self.base_dist.support
        support = self.transforms[-1].codomain
        more = len(self.event_shape) - support.event_dim
        return constraints.independent(support, more) if more > 0 else support

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return self.base_dist.has_rsample

    def sample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        with cr.no_grad():
            return self._transformed(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        return self._transformed(self.base_dist.rsample(sample_shape))

    def _transformed(self, x: Tensor) -> Tensor:
        for transform in self.transforms:
            x = transform(x)
        return x

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        change: Any = 0.0
        event_dim, y = len(self.event_shape), value
        for transform in reversed(self.transforms):
            x = transform.inv(y)
            event_dim += transform.domain.event_dim - transform.codomain.event_dim
            change = change - sum_rightmost(transform.log_abs_det_jacobian(x, y), event_dim - transform.domain.event_dim)
            y = x
        return change + sum_rightmost(self.base_dist.log_prob(y), event_dim - len(self.base_dist.event_shape))

    def _ranked(self, probability: Tensor) -> Tensor:
        """Return probabilities up to a value as those up to its argument, or the other way: of what decreases, the rest."""
        sign = ComposeTransform(self.transforms).sign
        return probability if isinstance(sign, int) and sign == 1 else sign * (probability - 0.5) + 0.5

    def cdf(self, value: Tensor) -> Tensor:
        for transform in reversed(self.transforms):
            value = transform.inv(value)
        if self._validate_args:
            self.base_dist._validate_sample(value)
        return self._ranked(self.base_dist.cdf(value))

    def icdf(self, value: Tensor) -> Tensor:
        return self._transformed(self.base_dist.icdf(self._ranked(value)))


def _fitted(base: Any, whole: Transform, domain_dim: int) -> tuple[Any, Size]:
    """Return a distribution expanded to what the transform's parameters broadcast it to, and the shape of results."""
    base_shape = base.batch_shape + base.event_shape
    if len(base_shape) < domain_dim:
        raise ValueError(f"base_distribution needs to have shape with size at least {domain_dim}, but got {base_shape}.")
    shape = whole.forward_shape(base_shape)
    expanded = whole.inverse_shape(shape)
    if expanded != base_shape:
        base = base.expand(expanded[: len(expanded) - len(base.event_shape)])
    return base, shape
