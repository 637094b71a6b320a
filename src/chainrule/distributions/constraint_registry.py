"""Which transform leads from the real numbers to a constraint's region.

`biject_to` gives a bijection, with its volume change, as Hamiltonian Monte Carlo needs it; `transform_to` what suits
optimisers, which act on each coordinate: of probability vectors a softmax, of n numbers to n.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.distributions import constraints, transforms
from chainrule.distributions.transforms import Transform
from chainrule.distributions.utils import NUMBERS

__all__ = ["ConstraintRegistry", "biject_to", "transform_to"]

Factory = Callable[[Any], Transform]


class ConstraintRegistry:
    """A table of functions that make a transform for a constraint, by the constraint's class.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.distributions import constraints, transform_to
    >>> transform_to(constraints.greater_than(1.0))(cr.tensor(0.0))
    tensor(2.)
    """

    def __init__(self) -> None:
        self._registry: dict[type, Factory] = {}

    def register(self, constraint: Any, factory: Factory | None = None) -> Any:
        """Register the function for a class of constraints, or for that of an instance; without a function, return a decorator.

        Raises
        ------
        TypeError
            If it is neither.
        """
        if factory is None:
            return lambda factory: self.register(constraint, factory)
        if isinstance(constraint, constraints.Constraint):
            constraint = type(constraint)
        if not isinstance(constraint, type) or not issubclass(constraint, constraints.Constraint):
            raise TypeError(f"Expected constraint to be either a Constraint subclass or instance, but got {constraint}")
        self._registry[constraint] = factory
        return factory

    def __call__(self, constraint: Any) -> Transform:
        """Return the transform for a constraint.

        Raises
        ------
        NotImplementedError
            If none is registered for its class.
        """
        factory = self._registry.get(type(constraint))
        if factory is None:
            raise NotImplementedError(f"Cannot transform {type(constraint).__name__} constraints")
        return factory(constraint)


biject_to = ConstraintRegistry()
transform_to = ConstraintRegistry()


def _into(*registries: ConstraintRegistry) -> Callable[..., Callable[[Factory], Factory]]:
    """Return a decorator that registers a function for constraints in some registries."""

    def of(*kinds: Any) -> Callable[[Factory], Factory]:
        def registered(factory: Factory) -> Factory:
            for registry in registries:
                for kind in kinds:
                    registry.register(kind, factory)
            return factory

        return registered

    return of


_both = _into(biject_to, transform_to)
_both(constraints.real)(lambda c: transforms.identity_transform)
_both(constraints.positive, constraints.nonnegative)(lambda c: transforms.ExpTransform())
_both(constraints.corr_cholesky)(lambda c: transforms.CorrCholeskyTransform())
_into(biject_to)(constraints.simplex)(lambda c: transforms.StickBreakingTransform())
_optimised = _into(transform_to)
_optimised(constraints.simplex)(lambda c: transforms.SoftmaxTransform())
_optimised(constraints.lower_cholesky)(lambda c: transforms.LowerCholeskyTransform())
_optimised(constraints.positive_definite, constraints.positive_semidefinite)(lambda c: transforms.PositiveDefiniteTransform())


@_both(constraints.greater_than, constraints.greater_than_eq)
def _above(constraint: Any) -> Transform:
    return transforms.ComposeTransform([transforms.ExpTransform(), transforms.AffineTransform(constraint.lower_bound, 1)])


@_both(constraints.less_than)
def _below(constraint: Any) -> Transform:
    return transforms.ComposeTransform([transforms.ExpTransform(), transforms.AffineTransform(constraint.upper_bound, -1)])


@_both(constraints.interval, constraints.half_open_interval)
def _between(constraint: Any) -> Transform:
    low, high = constraint.lower_bound, constraint.upper_bound
    if isinstance(low, NUMBERS) and isinstance(high, NUMBERS) and (low, high) == (0, 1):
        return transforms.SigmoidTransform()
    return transforms.ComposeTransform([transforms.SigmoidTransform(), transforms.AffineTransform(low, high - low)])


def _of_parts(to: ConstraintRegistry) -> None:
    """Register what leads to several constraints at once: each by its own transform."""
    of = _into(to)
    of(constraints.independent)(lambda c: transforms.IndependentTransform(to(c.base_constraint), c.reinterpreted_batch_ndims))
    of(constraints.cat)(lambda c: transforms.CatTransform([to(part) for part in c.cseq], c.dim, c.lengths))
    of(constraints.stack)(lambda c: transforms.StackTransform([to(part) for part in c.cseq], c.dim))


_of_parts(biject_to)
_of_parts(transform_to)
