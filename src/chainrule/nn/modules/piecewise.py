"""Activation functions with kinks as modules; each calls the function of its name in `chainrule.nn.functional`."""

from __future__ import annotations

import warnings
from typing import Any

from chainrule.core.tensor.tensor import Tensor
from chainrule.nn import functional as F
from chainrule.nn import init
from chainrule.nn.modules.linear import new_parameter
from chainrule.nn.modules.module import Module
from chainrule.nn.modules.smooth import InPlace, in_place

__all__ = [
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "PReLU",
    "RReLU",
    "ReLU",
    "ReLU6",
    "Softshrink",
    "Threshold",
]


class ReLU(InPlace):
    """``max(0, x)``; its derivative at 0 is 0.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.ReLU()(cr.tensor([-1.0, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the function of each element."""
        return F.relu(input, inplace=self.inplace)


class LeakyReLU(Module):
    """``x`` where positive, else `negative_slope` times x.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.LeakyReLU()(cr.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.0100,  0.0000,  2.0000])
    """

    def __init__(self, negative_slope: float = 1e-2, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Return the function of each element."""
        return F.leaky_relu(input, self.negative_slope, inplace=self.inplace)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"negative_slope={self.negative_slope}{in_place(self)}"


class RReLU(Module):
    """``x`` where positive, else x times a slope, drawn for each element in training; see :func:`nn.functional.rrelu`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.RReLU(0.1, 0.3).eval()(cr.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.2000,  0.0000,  2.0000])
    """

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False) -> None:
        super().__init__()
        self.lower, self.upper, self.inplace = lower, upper, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Return the function of each element."""
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"lower={self.lower}, upper={self.upper}{in_place(self)}"


class PReLU(Module):
    """``x`` where positive, else a learned slope times x: one slope, or one per channel (axis 1).

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.PReLU()(cr.tensor([-1.0, 2.0])).detach()
    tensor([-0.2500,  2.0000])
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = new_parameter((num_parameters,), device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the slopes to their starting value."""
        init.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        """Return the function of each element."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """Return the number of slopes."""
        return f"num_parameters={self.num_parameters}"


class Threshold(Module):
    """``x`` above `threshold`, else `value`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Threshold(0.5, 7.0)(cr.tensor([-1.0, 0.0, 2.0]))
    tensor([7., 7., 2.])
    """

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold = threshold
        self.value = value
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Return the function of each element."""
        return F.threshold(input, self.threshold, self.value, inplace=self.inplace)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"threshold={self.threshold}, value={self.value}{in_place(self)}"


class Hardtanh(Module):
    """``x`` clamped to ``[min_val, max_val]``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Hardtanh()(cr.tensor([-1.0, 0.0, 2.0]))
    tensor([-1.,  0.,  1.])
    """

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ) -> None:
        super().__init__()
        for name, older in (("min_val", min_value), ("max_val", max_value)):
            if older is not None:
                warnings.warn(f"keyword argument `{name}ue` is deprecated and renamed to `{name}`", FutureWarning, stacklevel=2)
        self.min_val = min_val if min_value is None else min_value
        self.max_val = max_val if max_value is None else max_value
        self.inplace = inplace
        if not self.max_val > self.min_val:
            raise AssertionError(f"max_val ({self.max_val}) must be greater than min_val ({self.min_val})")

    def forward(self, input: Tensor) -> Tensor:
        """Return the function of each element."""
        return F.hardtanh(input, self.min_val, self.max_val, inplace=self.inplace)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"min_val={self.min_val}, max_val={self.max_val}{in_place(self)}"


class ReLU6(Hardtanh):
    """``x`` clamped to [0, 6].

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.ReLU6()(cr.tensor([-1.0, 7.0]))
    tensor([0., 6.])
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self) -> str:
        """Return whether it overwrites its input, if it does."""
        return "inplace=True" if self.inplace else ""


class Hardsigmoid(InPlace):
    """``relu6(x + 3) / 6``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Hardsigmoid()(cr.tensor(0.0))
    tensor(0.5000)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the function of each element."""
        return F.hardsigmoid(input, inplace=self.inplace)


class Hardswish(InPlace):
    """``x * relu6(x + 3) / 6``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Hardswish()(cr.tensor(3.0))
    tensor(3.)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the function of each element."""
        return F.hardswish(input, inplace=self.inplace)


class Hardshrink(Module):
    """``x`` outside ``[-lambd, lambd]``, else 0.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Hardshrink()(cr.tensor([0.3, 2.0]))
    tensor([0., 2.])
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        """Return the function of each element."""
        return F.hardshrink(input, self.lambd)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"{self.lambd}"


class Softshrink(Module):
    """``x`` moved towards 0 by `lambd`, and 0 where that would cross it.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Softshrink()(cr.tensor([0.3, 2.0]))
    tensor([0.0000, 1.5000])
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        """Return the function of each element."""
        return F.softshrink(input, self.lambd)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"{self.lambd}"
