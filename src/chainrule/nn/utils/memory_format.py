"""Memory formats of convolutions' weights."""

from __future__ import annotations

from typing import Any

from chainrule.nn.modules.convolution import Conv2d, Conv3d, ConvTranspose2d, ConvTranspose3d

__all__ = ["convert_conv2d_weight_memory_format", "convert_conv3d_weight_memory_format"]


def _convert(module: Any, memory_format: Any, kinds: tuple) -> Any:
    for inner in module.modules():
        if isinstance(inner, kinds):
            inner.weight.data = inner.weight.detach().clone().contiguous(memory_format=memory_format)
    return module


def convert_conv2d_weight_memory_format(module: Any, memory_format: Any) -> Any:
    """Lay the weights of the two-dimensional convolutions in a module out in memory; return it.

    Examples
    --------
    >>> import chainrule as cr
    >>> m = cr.nn.utils.convert_conv2d_weight_memory_format(cr.nn.Conv2d(8, 4, 3), cr.channels_last)
    >>> m.weight.is_contiguous(memory_format=cr.channels_last)
    True
    """
    return _convert(module, memory_format, (Conv2d, ConvTranspose2d))


def convert_conv3d_weight_memory_format(module: Any, memory_format: Any) -> Any:
    """Lay the weights of the three-dimensional convolutions in a module out in memory; return it."""
    return _convert(module, memory_format, (Conv3d, ConvTranspose3d))
