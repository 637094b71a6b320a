"""Padding as modules, by `nn.functional.pad`."""

from __future__ import annotations

from typing import Any, ClassVar

from chainrule.core.tensor.tensor import Tensor
from chainrule.nn import functional as F
from chainrule.nn.modules.convolution import repeated
from chainrule.nn.modules.module import Module

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]


class _Pad(Module):
    """Elements before and behind those of the last axes.

    Parameters
    ----------
    padding : int or tuple of ints
        Widths: of the last axis before and behind, then of the one before it.
    """

    space: ClassVar[int]
    mode: ClassVar[str]

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = repeated(padding, 2 * self.space)

    def forward(self, input: Tensor) -> Tensor:
        """Return the padded input."""
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        """Return the widths."""
        return f"{self.padding}"


class _ConstantPadNd(_Pad):
    """A constant around the input."""

    mode = "constant"

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """Return the padded input."""
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        """Return the widths and the constant."""
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_ConstantPadNd):
    """Zeros around the input."""

    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """Return the widths."""
        return f"{self.padding}"


class _CircularPadNd(_Pad):
    """The other end of the input around it."""

    mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        """Return the padded input."""
        n = self.space
        if input.ndim not in (n + 1, n + 2):
            raise ValueError(f"expected {n + 1}D or {n + 2}D input (got {input.ndim}D input)")
        return super().forward(input)


class _ReflectionPadNd(_Pad):
    """The input mirrored at its first and last elements around it."""

    mode = "reflect"


class _ReplicationPadNd(_Pad):
    """The first and last elements again around the input."""

    mode = "replicate"


class CircularPad1d(_CircularPadNd):
    """The other end before and behind length.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.CircularPad1d(1)(cr.ones(2, 3, 4)).shape
    chainrule.Size([2, 3, 6])
    """

    space = 1


class CircularPad2d(_CircularPadNd):
    """The other end before and behind height, width.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.CircularPad2d(1)(cr.ones(2, 3, 4, 4)).shape
    chainrule.Size([2, 3, 6, 6])
    """

    space = 2


class CircularPad3d(_CircularPadNd):
    """The other end before and behind depth, height, width.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.CircularPad3d(1)(cr.ones(2, 3, 4, 4, 4)).shape
    chainrule.Size([2, 3, 6, 6, 6])
    """

    space = 3


class ConstantPad1d(_ConstantPadNd):
    """A constant before and behind length.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.ConstantPad1d(1, 2.5)(cr.ones(2, 3, 4)).shape
    chainrule.Size([2, 3, 6])
    """

    space = 1


class ConstantPad2d(_ConstantPadNd):
    """A constant before and behind height, width.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.ConstantPad2d(1, 2.5)(cr.ones(2, 3, 4, 4)).shape
    chainrule.Size([2, 3, 6, 6])
    """

    space = 2


class ConstantPad3d(_ConstantPadNd):
    """A constant before and behind depth, height, width.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.ConstantPad3d(1, 2.5)(cr.ones(2, 3, 4, 4, 4)).shape
    chainrule.Size([2, 3, 6, 6, 6])
    """

    space = 3


class ReflectionPad1d(_ReflectionPadNd):
    """Mirrored elements before and behind length.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.ReflectionPad1d(1)(cr.ones(2, 3, 4)).shape
    chainrule.Size([2, 3, 6])
    """

    space = 1


class ReflectionPad2d(_ReflectionPadNd):
    """Mirrored elements before and behind height, width.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.ReflectionPad2d(1)(cr.ones(2, 3, 4, 4)).shape
    chainrule.Size([2, 3, 6, 6])
    """

    space = 2


class ReflectionPad3d(_ReflectionPadNd):
    """Mirrored elements before and behind depth, height, width.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.ReflectionPad3d(1)(cr.ones(2, 3, 4, 4, 4)).shape
    chainrule.Size([2, 3, 6, 6, 6])
    """

    space = 3


class ReplicationPad1d(_ReplicationPadNd):
    """The outermost elements again before and behind length.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.ReplicationPad1d(1)(cr.ones(2, 3, 4)).shape
    chainrule.Size([2, 3, 6])
    """

    space = 1


class ReplicationPad2d(_ReplicationPadNd):
    """The outermost elements again before and behind height, width.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.ReplicationPad2d(1)(cr.ones(2, 3, 4, 4)).shape
    chainrule.Size([2, 3, 6, 6])
    """

    space = 2


class ReplicationPad3d(_ReplicationPadNd):
    """The outermost elements again before and behind depth, height, width.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.ReplicationPad3d(1)(cr.ones(2, 3, 4, 4, 4)).shape
    chainrule.Size([2, 3, 6, 6, 6])
    """

    space = 3


class ZeroPad1d(_ZeroPad, ConstantPad1d):
    """Zeros before and behind length.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.ZeroPad1d(1)(cr.ones(2, 3, 4)).shape
    chainrule.Size([2, 3, 6])
    """

    space = 1


class ZeroPad2d(_ZeroPad, ConstantPad2d):
    """Zeros before and behind height, width.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.ZeroPad2d(1)(cr.ones(2, 3, 4, 4)).shape
    chainrule.Size([2, 3, 6, 6])
    """

    space = 2


class ZeroPad3d(_ZeroPad, ConstantPad3d):
    """Zeros before and behind depth, height, width.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.ZeroPad3d(1)(cr.ones(2, 3, 4, 4, 4)).shape
    chainrule.Size([2, 3, 6, 6, 6])
    """

    space = 3
