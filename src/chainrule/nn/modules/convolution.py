"""Convolutions as modules."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from chainrule.core.tensor.tensor import Tensor
from chainrule.nn import functional as F
from chainrule.nn import init
from chainrule.nn.modules.linear import new_parameter
from chainrule.nn.modules.module import Module

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]

_MODES = ("zeros", "reflect", "replicate", "circular")


def repeated(value: Any, count: int) -> tuple:
    """Return a value for each of some axes."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * count


class _ConvNd(Module):
    """What all convolutions have: channels, windows, a weight and a bias, drawn as PyTorch draws them."""

    space: ClassVar[int]
    transposed: ClassVar[bool] = False

    def _set(
        self, channels: tuple[int, int], kernel_size: Any, stride: Any, padding: Any, dilation: Any, output_padding: Any,
        groups: int, bias: bool, padding_mode: str, device: Any, dtype: Any,
    ) -> None:  # fmt: skip
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        for name, count in zip(("in_channels", "out_channels"), channels, strict=True):
            if count % groups:
                raise ValueError(f"{name} must be divisible by groups")
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(f"Invalid padding string {padding!r}, should be one of {{'same', 'valid'}}")
            if padding == "same" and any(s != 1 for s in repeated(stride, self.space)):
                raise ValueError("padding='same' is not supported for strided convolutions")
        if padding_mode not in _MODES:
            raise ValueError(f"padding_mode must be one of {set(_MODES)}, but got padding_mode='{padding_mode}'")
        n = self.space
        self.in_channels, self.out_channels = channels
        self.kernel_size, self.stride, self.dilation = repeated(kernel_size, n), repeated(stride, n), repeated(dilation, n)
        self.padding = padding if isinstance(padding, str) else repeated(padding, n)
        self.output_padding = repeated(output_padding, n)
        self.groups, self.padding_mode = groups, padding_mode
        first, second = channels if self.transposed else channels[::-1]
        self.weight = new_parameter((first, second // groups, *self.kernel_size), device, dtype)
        if bias:
            self.bias = new_parameter((channels[1],), device, dtype)
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew: uniform in ``±1/sqrt(fan_in)``."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init._calculate_fan_in_and_fan_out(self.weight)
            if fan_in:
                init.uniform_(self.bias, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))

    def extra_repr(self) -> str:
        """Return the settings that are not the default ones."""
        none, ones = (0,) * self.space, (1,) * self.space
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        defaults = {"padding": none, "dilation": ones, "output_padding": none, "groups": 1}
        parts += [f"{k}={getattr(self, k)}" for k, default in defaults.items() if getattr(self, k) != default]
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


class _Forward(_ConvNd):
    """A convolution."""

    _function: ClassVar[Callable[..., Tensor]]

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
        groups: int = 1, bias: bool = True, padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        channels = (in_channels, out_channels)
        self._set(channels, kernel_size, stride, padding, dilation, 0, groups, bias, padding_mode, device, dtype)

    def _widths(self) -> list[int]:
        """Return the padding as `F.pad` takes it: last axis first, before and behind."""
        widths: list[int] = []
        for k, d, p in zip(self.kernel_size, self.dilation, repeated(self.padding, self.space), strict=True):
            total = d * (k - 1) if self.padding == "same" else 0
            widths = [*((total // 2, total - total // 2) if isinstance(self.padding, str) else (p, p)), *widths]
        return widths

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution."""
        f, padding = type(self)._function, self.padding  # type: Any, Any
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._widths(), self.padding_mode), 0
        return f(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class _ConvTransposeNd(_ConvNd):
    """A transposed convolution."""

    transposed: ClassVar[bool] = True
    _function: ClassVar[Callable[..., Tensor]]

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
        groups: int = 1, bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros", device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        channels = (in_channels, out_channels)
        self._set(channels, kernel_size, stride, padding, dilation, output_padding, groups, bias, padding_mode, device, dtype)

    def _added(self, input: Tensor, output_size: Sequence[int]) -> tuple:
        """Return the output padding with which the result has a size."""
        n, lead = self.space, input.ndim - self.space
        size = tuple(output_size)[-n:] if len(output_size) == input.ndim else tuple(output_size)
        if len(size) != n:
            raise ValueError(
                f"ConvTranspose{n}D: for {input.ndim}D input, output_size must have {n} or {lead + n} elements (got "
                f"{len(size)})"
            )
        axes = zip(input.shape[lead:], self.stride, self.padding, self.dilation, self.kernel_size, strict=True)
        least = [(m - 1) * s - 2 * p + d * (k - 1) + 1 for m, s, p, d, k in axes]
        most = [m + s - 1 for m, s in zip(least, self.stride, strict=True)]
        if any(not low <= m <= high for low, m, high in zip(least, size, most, strict=True)):
            raise ValueError(
                f"requested an output size of {list(size)}, but valid sizes range from {least} to {most} (for an input of "
                f"{input.shape[2:]})"
            )
        return tuple([m - low for m, low in zip(size, least, strict=True)])

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Return the transposed convolution, of a given size of space if several are possible."""
        more = self.output_padding if output_size is None else self._added(input, output_size)
        f = type(self)._function
        return f(input, self.weight, self.bias, self.stride, self.padding, more, self.groups, self.dilation)


class Conv1d(_Forward):
    """A convolution over length; parameters are those of `Conv2d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Conv1d(3, 4, 3, padding=1)(cr.ones(2, 3, 5)).shape
    chainrule.Size([2, 4, 5])
    """

    space = 1
    _function = staticmethod(F.conv1d)


class Conv2d(_Forward):
    """A convolution over height, width.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of input and result.
    kernel_size, stride, padding, dilation : int or tuple of ints, or "same" and "valid" as padding
        Of the windows, as `nn.functional.conv2d` takes them.
    groups : int
        Into how many groups the channels fall.
    bias : bool
        Whether there is a bias.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        What is put around the input.
    device, dtype : optional
        Of the parameters.

    Attributes
    ----------
    weight : Parameter
        Of shape (out_channels, in_channels / groups, *kernel_size).
    bias : Parameter or None
        Of shape (out_channels,).

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Conv2d(3, 4, 3, padding=1)(cr.ones(2, 3, 5, 5)).shape
    chainrule.Size([2, 4, 5, 5])
    """

    space = 2
    _function = staticmethod(F.conv2d)


class Conv3d(_Forward):
    """A convolution over depth, height, width; parameters are those of `Conv2d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Conv3d(3, 4, 3, padding=1)(cr.ones(2, 3, 5, 5, 5)).shape
    chainrule.Size([2, 4, 5, 5, 5])
    """

    space = 3
    _function = staticmethod(F.conv3d)


class ConvTranspose1d(_ConvTransposeNd):
    """A transposed convolution over length; see `nn.functional.conv_transpose1d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.ConvTranspose1d(3, 4, 2, stride=2)(cr.ones(2, 3, 5)).shape
    chainrule.Size([2, 4, 10])
    """

    space = 1
    _function = staticmethod(F.conv_transpose1d)


class ConvTranspose2d(_ConvTransposeNd):
    """A transposed convolution over height, width; see `nn.functional.conv_transpose2d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.ConvTranspose2d(3, 4, 2, stride=2)(cr.ones(2, 3, 5, 5)).shape
    chainrule.Size([2, 4, 10, 10])
    """

    space = 2
    _function = staticmethod(F.conv_transpose2d)


class ConvTranspose3d(_ConvTransposeNd):
    """A transposed convolution over depth, height, width; see `nn.functional.conv_transpose3d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.ConvTranspose3d(3, 4, 2, stride=2)(cr.ones(2, 3, 5, 5, 5)).shape
    chainrule.Size([2, 4, 10, 10, 10])
    """

    space = 3
    _function = staticmethod(F.conv_transpose3d)
