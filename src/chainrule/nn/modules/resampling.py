"""Interpolation, shuffled pixels and channels, and windows as columns, as modules."""

from __future__ import annotations

from typing import Any

from chainrule.core.tensor.tensor import Tensor
from chainrule.nn import functional as F
from chainrule.nn.modules.module import Module

__all__ = [
    "ChannelShuffle", "Fold", "PixelShuffle", "PixelUnshuffle", "Unfold", "Upsample", "UpsamplingBilinear2d",
    "UpsamplingNearest2d",
]  # fmt: skip


class Upsample(Module):
    """Interpolation to another size; see `nn.functional.interpolate`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Upsample(scale_factor=2, mode="bilinear")
    Upsample(scale_factor=2.0, mode='bilinear')
    """

    def __init__(
        self, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.name, self.size, self.mode = type(self).__name__, size, mode
        if isinstance(scale_factor, tuple):
            self.scale_factor: Any = tuple(map(float, scale_factor))
        else:
            self.scale_factor = float(scale_factor) if scale_factor else None
        self.align_corners, self.recompute_scale_factor = align_corners, recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        """Return the interpolated input."""
        again = self.recompute_scale_factor
        return F.interpolate(input, self.size, self.scale_factor, self.mode, self.align_corners, again)

    def extra_repr(self) -> str:
        """Return the size or factor, and the mode."""
        given = f"size={self.size!r}" if self.scale_factor is None else f"scale_factor={self.scale_factor!r}"
        return f"{given}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Nearest elements, over two axes.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.UpsamplingNearest2d(scale_factor=2)(cr.ones(1, 1, 2, 3)).shape
    chainrule.Size([1, 1, 4, 6])
    """

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "nearest")


class UpsamplingBilinear2d(Upsample):
    """Bilinear interpolation with aligned corners.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.UpsamplingBilinear2d(size=(1, 3))(cr.tensor([[[[1.0, 3.0]]]]))
    tensor([[[[1., 2., 3.]]]])
    """

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "bilinear", True)


class PixelShuffle(Module):
    """Channels made pixels; see `nn.functional.pixel_shuffle`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.PixelShuffle(2)(cr.ones(1, 4, 2, 3)).shape
    chainrule.Size([1, 1, 4, 6])
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """Return the larger image."""
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        """Return the factor."""
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Pixels made channels; see `nn.functional.pixel_unshuffle`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.PixelUnshuffle(2)(cr.ones(1, 1, 4, 6)).shape
    chainrule.Size([1, 4, 2, 3])
    """

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """Return the smaller image."""
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        """Return the factor."""
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """Channels of groups dealt out; see `nn.functional.channel_shuffle`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.ChannelShuffle(2)(cr.arange(4).reshape(1, 4, 1)).flatten()
    tensor([0, 2, 1, 3])
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        """Return the channels in their new order."""
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        """Return the number of groups."""
        return f"groups={self.groups}"


class Fold(Module):
    """Columns added up where windows lie; see `nn.functional.fold`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Fold((2, 3), 2)(cr.ones(1, 4, 2)).shape
    chainrule.Size([1, 1, 2, 3])
    """

    def __init__(self, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> None:
        super().__init__()
        self.output_size, self.kernel_size = output_size, kernel_size
        self.dilation, self.padding, self.stride = dilation, padding, stride

    def forward(self, input: Tensor) -> Tensor:
        """Return the array."""
        return F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """Return the settings."""
        names = ("output_size", "kernel_size", "dilation", "padding", "stride")
        return ", ".join([f"{name}={getattr(self, name)}" for name in names])


class Unfold(Module):
    """Windows as columns; see `nn.functional.unfold`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Unfold(2)(cr.ones(1, 1, 2, 3)).shape
    chainrule.Size([1, 4, 2])
    """

    def __init__(self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> None:
        super().__init__()
        self.kernel_size, self.dilation, self.padding, self.stride = kernel_size, dilation, padding, stride

    def forward(self, input: Tensor) -> Tensor:
        """Return the columns."""
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """Return the settings."""
        return ", ".join([f"{name}={getattr(self, name)}" for name in ("kernel_size", "dilation", "padding", "stride")])
