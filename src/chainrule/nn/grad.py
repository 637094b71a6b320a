"""Gradients of convolutions, as functions of what comes back from their results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chainrule.func import vjp
from chainrule.nn import functional as F

__all__ = ["conv1d_input", "conv1d_weight", "conv2d_input", "conv2d_weight", "conv3d_input", "conv3d_weight"]


def _pulled(f: Callable, size: Sequence[int], g: Any) -> Any:
    """Return what a linear map of tensors of a size gives backwards; where it is taken plays no part."""
    return vjp(f, g.new_zeros(tuple(size)))[1](g)[0]


def _of_input(n: int) -> Callable:
    convolution = getattr(F, f"conv{n}d")

    def function(
        input_size: Sequence[int], weight: Any, grad_output: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
        groups: int = 1,
    ) -> Any:  # fmt: skip
        f = lambda x: convolution(x, weight, None, stride, padding, dilation, groups)
        return _pulled(f, input_size, grad_output)

    function.__name__ = function.__qualname__ = f"conv{n}d_input"
    function.__doc__ = f"""Return the gradient of the input of `conv{n}d`, of shape `input_size`.

    Examples
    --------
    >>> import chainrule as cr
    >>> g = cr.ones(1, 1{", 3" * n})
    >>> cr.nn.grad.conv{n}d_input((1, 2{", 4" * n}), cr.ones(1, 2{", 2" * n}), g).shape
    chainrule.Size([1, 2{", 4" * n}])
    """
    return function


def _of_weight(n: int) -> Callable:
    convolution = getattr(F, f"conv{n}d")

    def function(
        input: Any, weight_size: Sequence[int], grad_output: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
        groups: int = 1,
    ) -> Any:  # fmt: skip
        f = lambda w: convolution(input, w, None, stride, padding, dilation, groups)
        return _pulled(f, weight_size, grad_output)

    function.__name__ = function.__qualname__ = f"conv{n}d_weight"
    function.__doc__ = f"""Return the gradient of the weight of `conv{n}d`, of shape `weight_size`.

    Examples
    --------
    >>> import chainrule as cr
    >>> g = cr.ones(1, 1{", 3" * n})
    >>> cr.nn.grad.conv{n}d_weight(cr.ones(1, 2{", 4" * n}), (1, 2{", 2" * n}), g).shape
    chainrule.Size([1, 2{", 2" * n}])
    """
    return function


conv1d_input, conv2d_input, conv3d_input = map(_of_input, (1, 2, 3))
conv1d_weight, conv2d_weight, conv3d_weight = map(_of_weight, (1, 2, 3))
