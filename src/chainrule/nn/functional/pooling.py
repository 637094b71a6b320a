"""Pooling over one to three axes of space: a part of `chainrule.nn.functional`."""

from __future__ import annotations

from typing import Any

from chainrule.core.call.asking import asks
from chainrule.core.call.dispatch import as_tensor
from chainrule.core.tensor.tensor import Tensor
from chainrule.functions.nn import pooling
from chainrule.functions.nn.pooling import (
    adaptive_avg_pool1d,
    avg_pool1d,
    ints,
)

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool1d_with_indices", "adaptive_max_pool2d", "adaptive_max_pool2d_with_indices", "adaptive_max_pool3d",
    "adaptive_max_pool3d_with_indices", "avg_pool1d", "avg_pool2d", "avg_pool3d", "lp_pool1d",
    "lp_pool2d", "lp_pool3d", "max_pool1d", "max_pool1d_with_indices", "max_pool2d", "max_pool2d_with_indices", "max_pool3d",
    "max_pool3d_with_indices",
]  # fmt: skip

# -- maxima ------------------------------------------------------------------------------------------------------------


def first_or_both(found: tuple[Tensor, Tensor], both: bool) -> Any:
    """Return values, or values and places."""
    return found if both else found[0]


@asks
def max_pool1d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """Return the largest elements of windows, as `chainrule.max_pool1d`; and their flat places in space if `return_indices`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.max_pool1d(cr.tensor([[1.0, 3.0, 2.0, 5.0]]), 2)
    tensor([[3., 5.]])
    """
    both = pooling.max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, 1, return_indices)
    return first_or_both(both, return_indices)


@asks
def max_pool2d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """Return the largest elements of windows, as `chainrule.max_pool2d`; and their flat places in space if `return_indices`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.max_pool2d(cr.arange(16.0).reshape(1, 4, 4), 2)
    tensor([[[ 5.,  7.],
             [13., 15.]]])
    """
    return first_or_both(pooling.max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, 2), return_indices)


@asks
def max_pool3d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """Return the largest elements of windows, as `chainrule.max_pool3d`; and their flat places in space if `return_indices`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.max_pool3d(cr.arange(8.0).reshape(1, 2, 2, 2), 2)
    tensor([[[[7.]]]])
    """
    return first_or_both(pooling.max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, 3), return_indices)


@asks
def max_pool1d_with_indices(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return what `max_pool1d` does with ``return_indices=True``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.max_pool1d_with_indices(cr.tensor([[1.0, 3.0, 2.0, 5.0]]), 2)[1]
    tensor([[1, 3]])
    """
    return pooling.max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, 1)


@asks
def max_pool2d_with_indices(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return what `max_pool2d` does with ``return_indices=True``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.max_pool2d_with_indices(cr.arange(4.0).reshape(1, 2, 2), 2)[1]
    tensor([[[3]]])
    """
    return pooling.max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, 2)


@asks
def max_pool3d_with_indices(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return what `max_pool3d` does with ``return_indices=True``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.max_pool3d_with_indices(cr.arange(8.0).reshape(1, 2, 2, 2), 2)[1]
    tensor([[[[7]]]])
    """
    return pooling.max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, 3)


@asks
def adaptive_max_pool1d_with_indices(input: Tensor, output_size: Any, return_indices: bool = False) -> tuple[Tensor, Tensor]:
    """Return the largest elements of `output_size` windows of (examples, channels, length), and where they are.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.adaptive_max_pool1d_with_indices(cr.tensor([[1.0, 3.0, 2.0, 5.0]]), 2)[1]
    tensor([[1, 3]])
    """
    return pooling.adaptive_max_pool(input, output_size, 1)


@asks
def adaptive_max_pool2d_with_indices(input: Tensor, output_size: Any, return_indices: bool = False) -> tuple[Tensor, Tensor]:
    """Return what `adaptive_max_pool2d` does with ``return_indices=True``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.adaptive_max_pool2d_with_indices(cr.arange(4.0).reshape(1, 2, 2), 1)[1]
    tensor([[[3]]])
    """
    return pooling.adaptive_max_pool(input, output_size, 2)


@asks
def adaptive_max_pool3d_with_indices(input: Tensor, output_size: Any, return_indices: bool = False) -> tuple[Tensor, Tensor]:
    """Return what `adaptive_max_pool3d` does with ``return_indices=True``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.adaptive_max_pool3d_with_indices(cr.arange(8.0).reshape(1, 2, 2, 2), 1)[1]
    tensor([[[[7]]]])
    """
    return pooling.adaptive_max_pool(input, output_size, 3)


@asks
def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Return the largest elements of `output_size` windows of (examples, channels, length).

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.adaptive_max_pool1d(cr.tensor([[1.0, 3.0, 2.0, 5.0]]), 2)
    tensor([[3., 5.]])
    """
    return first_or_both(pooling.adaptive_max_pool(input, output_size, 1), return_indices)


@asks
def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Return the largest elements of as many windows of (examples, channels, height, width) as wanted.

    Parameters
    ----------
    input : Tensor
        Of shape (examples, channels, height, width), or without examples.
    output_size : int, None or tuple of two of them
        Numbers of windows; None for as many as there are elements. Window i of m begins at ``i * n // m`` and ends before
        ``ceil((i + 1) * n / m)``.
    return_indices : bool
        Return where the elements are, too: ``row * width + column``.

    Raises
    ------
    RuntimeError
        If the input has other axes, or none of its elements along one.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.adaptive_max_pool2d(cr.arange(16.0).reshape(1, 4, 4), (1, 2))
    tensor([[[13., 15.]]])
    """
    return first_or_both(pooling.adaptive_max_pool(input, output_size, 2), return_indices)


@asks
def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Return the largest elements of windows of (examples, channels, depth, height, width); see `adaptive_max_pool2d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.adaptive_max_pool3d(cr.arange(8.0).reshape(1, 2, 2, 2), (1, 1, 2)).flatten()
    tensor([6., 7.])
    """
    return first_or_both(pooling.adaptive_max_pool(input, output_size, 3), return_indices)


# -- means -------------------------------------------------------------------------------------------------------------


@asks
def avg_pool2d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """Return the means of windows of (examples, channels, height, width).

    Parameters
    ----------
    input : Tensor
        Of shape (examples, channels, height, width), or without examples.
    kernel_size : int or tuple of ints
        Numbers of elements in a window along each axis.
    stride : int or tuple of ints, optional
        Between windows; `kernel_size` by default.
    padding : int or tuple of ints
        Zeros before and behind; at most half of a window.
    ceil_mode : bool
        Let the last windows end behind the padded input.
    count_include_pad : bool
        Padding counts where sums are divided by the number of elements.
    divisor_override : int, optional
        Divide by this number instead.

    Raises
    ------
    RuntimeError
        If windows do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.avg_pool2d(cr.arange(16.0).reshape(1, 4, 4), 2)
    tensor([[[ 2.5000,  4.5000],
             [10.5000, 12.5000]]])
    """
    return pooling.avg_pool(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, 2)


@asks
def avg_pool3d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """Return the means of windows of (examples, channels, depth, height, width); see `avg_pool2d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.avg_pool3d(cr.arange(8.0).reshape(1, 2, 2, 2), 2)
    tensor([[[[3.5000]]]])
    """
    return pooling.avg_pool(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, 3)


@asks
def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Return the means of as many windows of (examples, channels, height, width) as wanted.

    Parameters
    ----------
    input : Tensor
        Of shape (examples, channels, height, width), or without examples.
    output_size : int, None or tuple of two of them
        Numbers of windows; None for as many as there are elements. Window i of m begins at ``i * n // m`` and ends before
        ``ceil((i + 1) * n / m)``.

    Raises
    ------
    RuntimeError
        If the input has other axes, or none of its elements along one.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.adaptive_avg_pool2d(cr.arange(16.0).reshape(1, 4, 4), (1, 2))
    tensor([[[6.5000, 8.5000]]])
    """
    return pooling.adaptive_avg_pool(input, output_size, 2)


@asks
def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """Return the means of windows of (examples, channels, depth, height, width); see `adaptive_avg_pool2d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.adaptive_avg_pool3d(cr.arange(8.0).reshape(1, 2, 2, 2), 1)
    tensor([[[[3.5000]]]])
    """
    return pooling.adaptive_avg_pool(input, output_size, 3)


def _lp_pool(input: Any, norm_type: Any, kernel_size: Any, stride: Any, ceil_mode: bool, space: int) -> Tensor:
    """Return ``(sum of x**p over windows)**(1/p)`` as PyTorch composes it: signs count, and the derivative at 0 is 0."""
    x = as_tensor(input, f"lp_pool{space}d")
    p = float(norm_type)
    kernel = ints(kernel_size, space, f"avg_pool{space}d", "kernel_size")
    count = 1
    for k in kernel:
        count *= k
    means = pooling.avg_pool(x.pow(p), kernel, stride, 0, ceil_mode, True, None, space)  # type: ignore[attr-defined]
    return (means.sign() * means.abs().relu()).mul(count).pow(1.0 / p)  # type: ignore[attr-defined]


@asks
def lp_pool1d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """Return ``(sum of x**p)**(1/p)`` over windows of (examples, channels, length); see `lp_pool2d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.lp_pool1d(cr.tensor([[3.0, 4.0, 6.0, 8.0]]), 2, 2)
    tensor([[ 5., 10.]])
    """
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 1)


@asks
def lp_pool2d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """Return ``(sum of x**p)**(1/p)`` over windows of (examples, channels, height, width).

    Parameters
    ----------
    input : Tensor
        Of shape (examples, channels, height, width), or without examples.
    norm_type : float
        The power p.
    kernel_size, stride : int or tuple of ints
        Of the windows; the stride is `kernel_size` by default.
    ceil_mode : bool
        Let the last windows end behind the input.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.lp_pool2d(cr.tensor([[[3.0, 4.0]]]), 2, (1, 2))
    tensor([[[5.]]])
    """
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 2)


@asks
def lp_pool3d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """Return ``(sum of x**p)**(1/p)`` over windows of (examples, channels, depth, height, width); see `lp_pool2d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.lp_pool3d(cr.tensor([[[[3.0, 4.0]]]]), 2, (1, 1, 2))
    tensor([[[[5.]]]])
    """
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 3)
