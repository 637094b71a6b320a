"""Linear maps as modules, and the modules that only pass or reshape their input."""

from __future__ import annotations

import math
from typing import Any

from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.functions.creation.fill import empty
from chainrule.nn import functional as F
from chainrule.nn import init
from chainrule.nn.modules.module import Module
from chainrule.nn.parameter import Parameter

__all__ = ["Flatten", "Identity", "Linear", "Unflatten"]


class Identity(Module):
    """Return the input; arguments are accepted and mean nothing, so that it can stand in for any module.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Identity(54)(cr.ones(2))
    tensor([1., 1.])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """Return the input."""
        return input


class Flatten(Module):
    """Join axes `start_dim` to `end_dim` into one; by default all but the first.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Flatten()(cr.ones(2, 3, 4)).shape
    chainrule.Size([2, 12])
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with the axes joined."""
        return input.flatten(self.start_dim, self.end_dim)  # type: ignore[attr-defined]

    def extra_repr(self) -> str:
        """Return the range of axes."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Divide an axis into several.

    Parameters
    ----------
    dim : int
        The axis.
    unflattened_size : tuple or list of int
        The sizes of the axes it becomes; one of them may be -1.

    Raises
    ------
    TypeError
        If the sizes are no sequence of integers: named axes there are not.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Unflatten(1, (2, 3))(cr.ones(4, 6)).shape
    chainrule.Size([4, 2, 3])
    """

    def __init__(self, dim: int, unflattened_size: Any) -> None:
        super().__init__()
        if not isinstance(unflattened_size, (tuple, list)):
            raise TypeError(f"unflattened_size must be a tuple of ints, but found type {type(unflattened_size).__name__}")
        for i, size in enumerate(unflattened_size):
            if not isinstance(size, int):
                raise TypeError(
                    f"unflattened_size must be tuple of ints, but found element of type {type(size).__name__} at pos {i}"
                )
        self.dim, self.unflattened_size = dim, unflattened_size

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with the axis divided."""
        return input.unflatten(self.dim, self.unflattened_size)  # type: ignore[attr-defined]

    def extra_repr(self) -> str:
        """Return the axis and the sizes."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class Linear(Module):
    """The affine map ``x @ weight.T + bias``.

    Both start uniform in ``±1/sqrt(in_features)``, as PyTorch's do.

    Parameters
    ----------
    in_features, out_features : int
        Sizes of the last axis of input and result.
    bias : bool
        Whether there is a bias.
    device : str, optional
        Only ``"cpu"``.
    dtype : dtype, optional
        Dtype of the parameters; the default dtype if not given.

    Attributes
    ----------
    weight : Parameter
        Of shape (out_features, in_features).
    bias : Parameter or None
        Of shape (out_features,).

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Linear(3, 2)(cr.ones(5, 3)).shape
    chainrule.Size([5, 2])
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = new_parameter((out_features, in_features), device, dtype)
        if bias:
            self.bias = new_parameter((out_features,), device, dtype)
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features > 0 else 0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        """Return ``input @ weight.T + bias``."""
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class NonDynamicallyQuantizableLinear(Linear):
    """A linear map under the name that PyTorch gives to those which its quantisation is to leave alone."""


def new_parameter(shape: tuple[int, ...], device: Any = None, dtype: Any = None) -> Parameter:
    """Return an uninitialised parameter."""
    return Parameter(empty(shape, device=device, dtype=dtype or dtypes.get_default_dtype()))
