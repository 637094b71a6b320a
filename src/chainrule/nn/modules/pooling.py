"""Pooling as modules; each calls the function of its name in `chainrule.nn.functional`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from chainrule.core.tensor.tensor import Tensor
from chainrule.nn import functional as F
from chainrule.nn.modules.convolution import repeated
from chainrule.nn.modules.module import Module

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "FractionalMaxPool2d",
    "FractionalMaxPool3d",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
]


class _Pooling(Module):
    """A module that calls a function of its settings.

    Attributes
    ----------
    shown : tuple of str
        The settings that its text tells.
    """

    function: ClassVar[Callable[..., Any]]
    shown: ClassVar[tuple[str, ...]] = ()

    def extra_repr(self) -> str:
        """Return the settings."""
        return ", ".join([f"{name}={getattr(self, name)}" for name in self.shown])


class _MaxPoolNd(_Pooling):
    """The largest elements of windows."""

    shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: Tensor) -> Any:
        """Return the maxima, and their places if `return_indices`."""
        f = type(self).function
        return f(input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices)


class _MaxUnpoolNd(_Pooling):
    """Elements put back where maxima were."""

    shown = ("kernel_size", "stride", "padding")
    space: ClassVar[int]

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        self.kernel_size, self.padding = repeated(kernel_size, self.space), repeated(padding, self.space)
        self.stride = self.kernel_size if stride is None else repeated(stride, self.space)

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Return the elements among zeros."""
        return type(self).function(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class _AvgPoolNd(_Pooling):
    """The means of windows."""

    shown = ("kernel_size", "stride", "padding")

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode, self.count_include_pad = padding, ceil_mode, count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        """Return the means."""
        f, args = type(self).function, (self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)
        return f(input, *args, self.divisor_override)


class _FractionalMaxPoolNd(_Pooling):
    """The largest elements of windows that start at random places."""

    space: ClassVar[int]

    def __init__(
        self, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False,
        _random_samples: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size, self.return_indices = repeated(kernel_size, self.space), return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = None if output_size is None else repeated(output_size, self.space)
        self.output_ratio = None if output_ratio is None else repeated(output_ratio, self.space)
        name = type(self).__name__
        if output_size is None and output_ratio is None:
            raise ValueError(f"{name} requires specifying either an output size, or a pooling ratio")
        if output_size is not None and output_ratio is not None:
            raise ValueError("only one of output_size and output_ratio may be specified")
        if self.output_ratio is not None and not all(0 < r < 1 for r in self.output_ratio):
            raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")

    def forward(self, input: Tensor) -> Any:
        """Return the maxima, and their places if `return_indices`."""
        f, samples = type(self).function, self._random_samples
        return f(input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices, samples)


class _LPPoolNd(_Pooling):
    """``(sum of x**p)**(1/p)`` over windows."""

    shown = ("norm_type", "kernel_size", "stride", "ceil_mode")

    def __init__(self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> None:
        super().__init__()
        self.norm_type, self.kernel_size, self.stride, self.ceil_mode = norm_type, kernel_size, stride, ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        """Return the norms."""
        return type(self).function(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class _AdaptiveMaxPoolNd(_Pooling):
    """The largest elements of as many windows as wanted."""

    shown = ("output_size",)

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size, self.return_indices = output_size, return_indices

    def forward(self, input: Tensor) -> Any:
        """Return the maxima, and their places if `return_indices`."""
        return type(self).function(input, self.output_size, self.return_indices)


class _AdaptiveAvgPoolNd(_Pooling):
    """The means of as many windows as wanted."""

    shown = ("output_size",)

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        """Return the means."""
        return type(self).function(input, self.output_size)


class MaxPool1d(_MaxPoolNd):
    """The largest elements of windows over length; see `nn.functional.max_pool1d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.MaxPool1d(3)(cr.ones(2, 3, 6)).shape
    chainrule.Size([2, 3, 2])
    """

    function = staticmethod(F.max_pool1d)


class MaxPool2d(_MaxPoolNd):
    """The largest elements of windows over height, width; see `nn.functional.max_pool2d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.MaxPool2d(3)(cr.ones(2, 3, 6, 6)).shape
    chainrule.Size([2, 3, 2, 2])
    """

    function = staticmethod(F.max_pool2d)


class MaxPool3d(_MaxPoolNd):
    """The largest elements of windows over depth, height, width; see `nn.functional.max_pool3d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.MaxPool3d(3)(cr.ones(2, 3, 6, 6, 6)).shape
    chainrule.Size([2, 3, 2, 2, 2])
    """

    function = staticmethod(F.max_pool3d)


class MaxUnpool1d(_MaxUnpoolNd):
    """Elements put back where maxima over length were; see `nn.functional.max_unpool1d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.MaxUnpool1d(2)(cr.ones(2, 3, 1), cr.ones(2, 3, 1, dtype=cr.int64)).shape
    chainrule.Size([2, 3, 2])
    """

    function = staticmethod(F.max_unpool1d)
    space = 1


class MaxUnpool2d(_MaxUnpoolNd):
    """Elements put back where maxima over height, width were; see `nn.functional.max_unpool2d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.MaxUnpool2d(2)(cr.ones(2, 3, 1, 1), cr.ones(2, 3, 1, 1, dtype=cr.int64)).shape
    chainrule.Size([2, 3, 2, 2])
    """

    function = staticmethod(F.max_unpool2d)
    space = 2


class MaxUnpool3d(_MaxUnpoolNd):
    """Elements put back where maxima over depth, height, width were; see `nn.functional.max_unpool3d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.MaxUnpool3d(2)(cr.ones(2, 3, 1, 1, 1), cr.ones(2, 3, 1, 1, 1, dtype=cr.int64)).shape
    chainrule.Size([2, 3, 2, 2, 2])
    """

    function = staticmethod(F.max_unpool3d)
    space = 3


class AvgPool1d(_AvgPoolNd):
    """The means of windows over length; see `nn.functional.avg_pool1d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.AvgPool1d(3)(cr.ones(2, 3, 6)).shape
    chainrule.Size([2, 3, 2])
    """

    function = staticmethod(F.avg_pool1d)

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True
    ) -> None:
        stride = kernel_size if stride is None else stride
        super().__init__(repeated(kernel_size, 1), repeated(stride, 1), repeated(padding, 1), ceil_mode, count_include_pad)

    def forward(self, input: Tensor) -> Tensor:
        """Return the means."""
        return F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)


class AvgPool2d(_AvgPoolNd):
    """The means of windows over height, width; see `nn.functional.avg_pool2d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.AvgPool2d(3)(cr.ones(2, 3, 6, 6)).shape
    chainrule.Size([2, 3, 2, 2])
    """

    function = staticmethod(F.avg_pool2d)


class AvgPool3d(_AvgPoolNd):
    """The means of windows over depth, height, width; see `nn.functional.avg_pool3d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.AvgPool3d(3)(cr.ones(2, 3, 6, 6, 6)).shape
    chainrule.Size([2, 3, 2, 2, 2])
    """

    function = staticmethod(F.avg_pool3d)


class FractionalMaxPool2d(_FractionalMaxPoolNd):
    """The largest elements of random windows over height, width; see `nn.functional.fractional_max_pool2d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.FractionalMaxPool2d(2, 4)(cr.ones(2, 3, 6, 6)).shape
    chainrule.Size([2, 3, 4, 4])
    """

    function = staticmethod(F.fractional_max_pool2d)
    space = 2


class FractionalMaxPool3d(_FractionalMaxPoolNd):
    """The largest elements of random windows over depth, height, width; see `nn.functional.fractional_max_pool3d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.FractionalMaxPool3d(2, 4)(cr.ones(2, 3, 6, 6, 6)).shape
    chainrule.Size([2, 3, 4, 4, 4])
    """

    function = staticmethod(F.fractional_max_pool3d)
    space = 3


class LPPool1d(_LPPoolNd):
    """Norms of windows over length; see `nn.functional.lp_pool1d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.LPPool1d(2, 3)(cr.ones(2, 3, 6)).shape
    chainrule.Size([2, 3, 2])
    """

    function = staticmethod(F.lp_pool1d)


class LPPool2d(_LPPoolNd):
    """Norms of windows over height, width; see `nn.functional.lp_pool2d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.LPPool2d(2, 3)(cr.ones(2, 3, 6, 6)).shape
    chainrule.Size([2, 3, 2, 2])
    """

    function = staticmethod(F.lp_pool2d)


class LPPool3d(_LPPoolNd):
    """Norms of windows over depth, height, width; see `nn.functional.lp_pool3d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.LPPool3d(2, 3)(cr.ones(2, 3, 6, 6, 6)).shape
    chainrule.Size([2, 3, 2, 2, 2])
    """

    function = staticmethod(F.lp_pool3d)


class AdaptiveMaxPool1d(_AdaptiveMaxPoolNd):
    """The largest elements of as many windows over length as wanted; see `nn.functional.adaptive_max_pool1d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.AdaptiveMaxPool1d(4)(cr.ones(2, 3, 6)).shape
    chainrule.Size([2, 3, 4])
    """

    function = staticmethod(F.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptiveMaxPoolNd):
    """The largest elements of as many windows over height, width as wanted; see `nn.functional.adaptive_max_pool2d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.AdaptiveMaxPool2d(4)(cr.ones(2, 3, 6, 6)).shape
    chainrule.Size([2, 3, 4, 4])
    """

    function = staticmethod(F.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptiveMaxPoolNd):
    """The largest elements of as many windows over depth, height, width as wanted; see `nn.functional.adaptive_max_pool3d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.AdaptiveMaxPool3d(4)(cr.ones(2, 3, 6, 6, 6)).shape
    chainrule.Size([2, 3, 4, 4, 4])
    """

    function = staticmethod(F.adaptive_max_pool3d)


class AdaptiveAvgPool1d(_AdaptiveAvgPoolNd):
    """The means of as many windows over length as wanted; see `nn.functional.adaptive_avg_pool1d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.AdaptiveAvgPool1d(4)(cr.ones(2, 3, 6)).shape
    chainrule.Size([2, 3, 4])
    """

    function = staticmethod(F.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_AdaptiveAvgPoolNd):
    """The means of as many windows over height, width as wanted; see `nn.functional.adaptive_avg_pool2d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.AdaptiveAvgPool2d(4)(cr.ones(2, 3, 6, 6)).shape
    chainrule.Size([2, 3, 4, 4])
    """

    function = staticmethod(F.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_AdaptiveAvgPoolNd):
    """The means of as many windows over depth, height, width as wanted; see `nn.functional.adaptive_avg_pool3d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.AdaptiveAvgPool3d(4)(cr.ones(2, 3, 6, 6, 6)).shape
    chainrule.Size([2, 3, 4, 4, 4])
    """

    function = staticmethod(F.adaptive_avg_pool3d)
