"""Activation functions as modules; each calls the function of its name in `chainrule.nn.functional`."""

from __future__ import annotations

from typing import Any

from chainrule.core.tensor import Tensor
from chainrule.nn import functional as F
from chainrule.nn import init
from chainrule.nn.linear import new_parameter
from chainrule.nn.module import Module

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "ReLU",
    "ReLU6",
    "SELU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
]


class _InPlace(Module):
    """An activation whose only setting is whether it overwrites its input."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        """Return the setting if it is on."""
        return "inplace=True" if self.inplace else ""


def _in_place(module: Any) -> str:
    return ", inplace=True" if module.inplace else ""


class Tanh(Module):
    """The hyperbolic tangent.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Tanh()(cr.tensor(0.0))
    tensor(0.)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the function of each element."""
        return input.tanh()  # type: ignore[attr-defined]


class Sigmoid(Module):
    """``1 / (1 + exp(-x))``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Sigmoid()(cr.tensor(0.0))
    tensor(0.5000)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the function of each element."""
        return input.sigmoid()  # type: ignore[attr-defined]


class LogSigmoid(Module):
    """``log(sigmoid(x))``, without overflow.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.LogSigmoid()(cr.tensor(0.0))
    tensor(-0.6931)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the function of each element."""
        return F.logsigmoid(input)


class Softsign(Module):
    """``x / (1 + |x|)``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Softsign()(cr.tensor(1.0))
    tensor(0.5000)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the function of each element."""
        return F.softsign(input)


class Tanhshrink(Module):
    """``x - tanh(x)``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Tanhshrink()(cr.tensor(0.0))
    tensor(0.)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the function of each element."""
        return F.tanhshrink(input)


class ReLU(_InPlace):
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


class SiLU(_InPlace):
    """``x * sigmoid(x)``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.SiLU()(cr.tensor(0.0))
    tensor(0.)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the function of each element."""
        return F.silu(input, inplace=self.inplace)


class Mish(_InPlace):
    """``x * tanh(softplus(x))``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Mish()(cr.tensor(0.0))
    tensor(0.)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the function of each element."""
        return F.mish(input, inplace=self.inplace)


class SELU(_InPlace):
    """The scaled exponential linear unit (Klambauer et al., arXiv 1706.02515).

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.SELU()(cr.tensor(1.0))
    tensor(1.0507)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the function of each element."""
        return F.selu(input, inplace=self.inplace)


class Hardswish(_InPlace):
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


class Hardsigmoid(_InPlace):
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


class GELU(Module):
    """``x * Phi(x)`` with the normal distribution function; ``approximate="tanh"`` takes Hendrycks & Gimpel's formula.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.GELU()(cr.tensor(0.0))
    tensor(0.)
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """Return the function of each element."""
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"approximate={self.approximate!r}"


class Softmax(Module):
    """``exp(x) / sum(exp(x))`` along an axis.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Softmax(dim=0)(cr.tensor([0.0, 0.0]))
    tensor([0.5000, 0.5000])
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Return the function of each slice along the axis."""
        return F.softmax(input, self.dim)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """The logarithm of `Softmax`, without overflow.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.LogSoftmax(dim=0)(cr.tensor([0.0, 0.0]))
    tensor([-0.6931, -0.6931])
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Return the function of each slice along the axis."""
        return F.log_softmax(input, self.dim)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"dim={self.dim}"


class Softmin(Module):
    """`Softmax` of ``-x``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Softmin(dim=0)(cr.tensor([0.0, 0.0]))
    tensor([0.5000, 0.5000])
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Return the function of each slice along the axis."""
        return F.softmin(input, self.dim)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"dim={self.dim}"


class GLU(Module):
    """The first half along an axis times the sigmoid of the second.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.GLU()(cr.tensor([2.0, 0.0]))
    tensor([1.])
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Return the function of the halves."""
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"dim={self.dim}"


class Softplus(Module):
    """``log(1 + exp(beta * x)) / beta``; the identity where ``beta * x`` exceeds `threshold`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Softplus()(cr.tensor(0.0))
    tensor(0.6931)
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        """Return the function of each element."""
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"beta={self.beta}, threshold={self.threshold}"


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
        return f"negative_slope={self.negative_slope}{_in_place(self)}"


class ELU(Module):
    """``x`` where positive, else ``alpha * (exp(x) - 1)``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.ELU()(cr.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.6321,  0.0000,  2.0000])
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Return the function of each element."""
        return F.elu(input, self.alpha, inplace=self.inplace)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"alpha={self.alpha}{_in_place(self)}"


class CELU(Module):
    """``x`` where positive, else ``alpha * (exp(x / alpha) - 1)``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.CELU()(cr.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.6321,  0.0000,  2.0000])
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Return the function of each element."""
        return F.celu(input, self.alpha, inplace=self.inplace)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"alpha={self.alpha}{_in_place(self)}"


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


class Hardtanh(Module):
    """``x`` clamped to ``[min_val, max_val]``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Hardtanh()(cr.tensor([-1.0, 0.0, 2.0]))
    tensor([-1.,  0.,  1.])
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.min_val = min_val
        self.max_val = max_val
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Return the function of each element."""
        return F.hardtanh(input, self.min_val, self.max_val, inplace=self.inplace)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"min_val={self.min_val}, max_val={self.max_val}{_in_place(self)}"


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
        return f"threshold={self.threshold}, value={self.value}{_in_place(self)}"


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
