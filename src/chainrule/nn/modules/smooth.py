"""Smooth activation functions as modules; each calls the function of its name in `chainrule.nn.functional`."""

from __future__ import annotations

from typing import Any

from chainrule.core.tensor.tensor import Tensor
from chainrule.nn import functional as F
from chainrule.nn.modules.module import Module

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softsign",
    "Tanh",
    "Tanhshrink",
]


class InPlace(Module):
    """An activation whose only setting is whether it overwrites its input."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        """Return the setting if it is on."""
        return "inplace=True" if self.inplace else ""


def in_place(module: Any) -> str:
    """Return what a module's text says of overwriting its input, after other settings."""
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


class SiLU(InPlace):
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


class Mish(InPlace):
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


class SELU(InPlace):
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


class Softmax2d(Module):
    """`Softmax` over the channels of inputs of shape (N, C, H, W) or (C, H, W).

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Softmax2d()(cr.zeros(2, 1, 1)).flatten()
    tensor([0.5000, 0.5000])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the function of the channels at each place."""
        if input.ndim not in (3, 4):
            raise ValueError(f"Softmax2d: expected input to be 3D or 4D, got {input.ndim}D instead")
        return F.softmax(input, -3)


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
        return f"alpha={self.alpha}{in_place(self)}"


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
        return f"alpha={self.alpha}{in_place(self)}"
