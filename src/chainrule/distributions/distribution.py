"""What every distribution has: shapes, parameters with constraints, sampling, checks of arguments and of values.

A family says its parameters in ``arg_constraints`` and keeps each under its name; `expand` and ``repr`` follow from that. What
its methods mean is said here, once.
"""

from __future__ import annotations

import warnings
from typing import Any

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import Size
from chainrule.distributions import constraints
from chainrule.distributions.utils import all_true, lazy_property

__all__ = ["Distribution"]


class Distribution:
    """A probability distribution, or a batch of them.

    Parameters
    ----------
    batch_shape : Size
        The shape of the batch: that of the parameters, without what belongs to one distribution.
    event_shape : Size
        The shape of one draw from one distribution.
    validate_args : bool, optional
        Whether parameters and values are checked; if not given, as `set_default_validate_args` has it.

    Raises
    ------
    ValueError
        If a parameter does not satisfy its constraint and `validate_args` holds.
    """

    has_rsample = False
    """Whether gradients flow through `rsample`."""
    has_enumerate_support = False
    _validate_args = __debug__

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Set whether distributions check their arguments where ``validate_args`` is not given; they do unless told not to.

        Raises
        ------
        ValueError
            If it is no truth value.
        """
        if value not in [True, False]:
            raise ValueError(f"set_default_validate_args takes True or False, not {value!r}")
        Distribution._validate_args = value

    def __init__(self, batch_shape: Any = Size(), event_shape: Any = Size(), validate_args: bool | None = None):  # noqa: B008
        self._batch_shape, self._event_shape = batch_shape, event_shape
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._validate_parameters()
        super().__init__()

    def _validate_parameters(self) -> None:
        try:
            checked = self.arg_constraints
        except NotImplementedError:
            warnings.warn(
                f"{self.__class__} does not define `arg_constraints`. Please set `arg_constraints = {{}}` or initialize the "
                "distribution with `validate_args=False` to turn off validation.",
                stacklevel=4,
            )
            return
        for name, constraint in checked.items():
            if constraints.is_dependent(constraint):
                continue
            if name not in self.__dict__ and isinstance(getattr(type(self), name), lazy_property):
                continue  # made of another parameter, which is checked
            value = getattr(self, name)
            if not all_true(constraint.check(value)):
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape {tuple(value.shape)}) of distribution "
                    f"{self!r} to satisfy the constraint {constraint!r}, but found invalid values:\n{value}"
                )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """Return this distribution with its batch expanded to a shape; parameters are views.

        Parameters
        ----------
        batch_shape : tuple of int
            The shape, to which the present one broadcasts.
        _instance : Distribution, optional
            A new instance, which a subclass made, to fill.

        Raises
        ------
        NotImplementedError
            If a subclass has an ``__init__`` and no ``expand`` of its own.

        Examples
        --------
        >>> import chainrule as cr
        >>> cr.distributions.Normal(0.0, 1.0).expand((2, 3)).batch_shape
        chainrule.Size([2, 3])
        """
        new = self._get_checked_instance(self._family(), _instance)
        return self._completed(new, Size(batch_shape))

    def _completed(self, new: Any, batch_shape: Size) -> Any:
        """Return an expanded instance, with what its class has not set: parameters, shapes, and whether to check."""
        for name in self._parameters():
            if name not in new.__dict__:
                value = self.__dict__[name]
                setattr(new, name, value.expand(batch_shape + value.shape[len(self._batch_shape) :]))
        Distribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _parameters(self) -> list[str]:
        """Return the names of the parameters that this instance holds, each of the batch's shape and then its own."""
        return [name for name in self.arg_constraints if name in self.__dict__]

    def _family(self) -> type:
        """Return the nearest class of this package, whose way to expand subclasses have."""
        return next(cls for cls in type(self).__mro__ if cls.__module__.startswith((__package__, "torch.distributions")))

    def _get_checked_instance(self, cls: type, _instance: Any = None) -> Any:
        if _instance is not None:
            return _instance
        if type(self).__init__ != cls.__init__:  # type: ignore[misc]
            raise NotImplementedError(
                f"Subclass {type(self).__name__} of {cls.__name__} that defines a custom __init__ method must also define a "
                "custom .expand() method."
            )
        return self.__new__(type(self))

    @property
    def batch_shape(self) -> Size:
        """The shape of the batch."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of one draw from one distribution."""
        return self._event_shape

    @property
    def arg_constraints(self) -> dict[str, constraints.Constraint]:
        """The constraint of each parameter, by its name."""
        raise NotImplementedError

    @property
    def support(self) -> Any:
        """The constraint that draws satisfy."""
        raise NotImplementedError

    @property
    def mean(self) -> Tensor:
        """The mean."""
        raise NotImplementedError

    @property
    def mode(self) -> Tensor:
        """The mode: the most probable value."""
        raise NotImplementedError(f"{self.__class__} does not implement mode")

    @property
    def variance(self) -> Tensor:
        """The variance."""
        raise NotImplementedError

    @property
    def stddev(self) -> Tensor:
        """The standard deviation."""
        return self.variance.sqrt()

    def sample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        """Return draws, through which no gradient flows.

        Parameters
        ----------
        sample_shape : tuple of int
            How many draws of each distribution, as a shape.

        Returns
        -------
        Tensor
            Of shape ``sample_shape + batch_shape + event_shape``.
        """
        with cr.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        """Return draws that are differentiable functions of the parameters; shapes as in `sample`.

        Raises
        ------
        NotImplementedError
            If the family has none: ``has_rsample`` is False.
        """
        raise NotImplementedError

    def sample_n(self, n: int) -> Tensor:
        """Return n draws; PyTorch's older name, which warns, of ``sample((n,))``."""
        warnings.warn("`sample_n(n)` will be deprecated. Use `sample((n,))` instead.", FutureWarning, stacklevel=2)
        return self.sample(Size((n,)))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the logarithm of the density, or of the probability, of a value.

        Parameters
        ----------
        value : Tensor
            Of the event's shape in its last axes; those in front of them broadcast against the batch's.

        Raises
        ------
        ValueError
            If the value is not in the support, or of no such shape, and arguments are checked.
        """
        raise NotImplementedError

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of draws up to a value."""
        raise NotImplementedError

    def icdf(self, value: Tensor) -> Tensor:
        """Return the value up to which draws have a probability: the inverse of `cdf`."""
        raise NotImplementedError

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return all values that draws may have, along a new first axis.

        Parameters
        ----------
        expand : bool
            Whether to repeat them for each of the batch, or to leave axes of size 1 for it.
        """
        raise NotImplementedError

    def entropy(self) -> Tensor:
        """Return the entropy of each of the batch, in nats."""
        raise NotImplementedError

    def perplexity(self) -> Tensor:
        """Return the exponential of the entropy."""
        return cr.exp(self.entropy())

    def _extended_shape(self, sample_shape: Any = Size()) -> Size:  # noqa: B008
        """Return the shape of draws."""
        return Size(Size(sample_shape) + self._batch_shape + self._event_shape)

    def _validate_sample(self, value: Any) -> None:
        """Raise unless a value may be a draw: a tensor whose shape fits, in the support."""
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        shape, expected = value.size(), self._batch_shape + self._event_shape
        if shape[len(shape) - len(self._event_shape) :] != self._event_shape:
            raise ValueError(f"The right-most size of value must match event_shape: {shape} vs {self._event_shape}.")
        if any([i != 1 and j != 1 and i != j for i, j in zip(reversed(shape), reversed(expected), strict=False)]):
            raise ValueError(f"Value is not broadcastable with batch_shape+event_shape: {shape} vs {expected}.")
        try:
            support = self.support
        except NotImplementedError:
            warnings.warn(
                f"{self.__class__} does not define `support` to enable sample validation. Please initialize the distribution "
                "with `validate_args=False` to turn off validation.",
                stacklevel=3,
            )
            return
        if not all_true(support.check(value)):
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) to be within the support "
                f"({support!r}) of the distribution {self!r}, but found invalid values:\n{value}"
            )

    def __repr__(self) -> str:
        held = {name: self.__dict__[name] for name in self.arg_constraints if name in self.__dict__}
        shown = [f"{name}: {value if value.numel() == 1 else value.size()}" for name, value in held.items()]
        return f"{type(self).__name__}({', '.join(shown)})"
