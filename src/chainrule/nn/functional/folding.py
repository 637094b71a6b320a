"""Windows taken apart and put together, and padding: a part of `chainrule.nn.functional`."""

from __future__ import annotations

import operator
from math import prod
from typing import Any

from chainrule.core.call.asking import asks
from chainrule.core.call.dispatch import as_tensor
from chainrule.core.tensor.tensor import Tensor
from chainrule.functions.nn.pooling import refuse
from chainrule.functions.nn.shuffle import channel_shuffle, native_channel_shuffle, pixel_shuffle, pixel_unshuffle
from chainrule.functions.shaping.shape import constant_pad_nd
from chainrule.ops.nn.resample import col2im, im2col, positions, resample

__all__ = ["channel_shuffle", "fold", "native_channel_shuffle", "pad", "pixel_shuffle", "pixel_unshuffle", "unfold"]

# -- windows side by side ----------------------------------------------------------------------------------------------


def _pair(value: Any, name: str) -> tuple[int, ...]:
    values = tuple(map(operator.index, value)) if isinstance(value, (tuple, list)) else (operator.index(value),) * 2
    if len(values) != 2:
        raise RuntimeError(f"It is expected {name} equals to 2, but got size {len(values)}")
    return values


def _windows(kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> dict[str, tuple[int, ...]]:
    """Return the numbers of windows over two axes; raise PyTorch's errors for those that are not positive."""
    kernel, dilation = _pair(kernel_size, "kernel_size"), _pair(dilation, "dilation")
    padding, stride = _pair(padding, "padding"), _pair(stride, "stride")
    for words, name, values in (
        ("kernel size", "kernel", kernel),
        ("stride", "stride", stride),
        ("dilation", "dilation", dilation),
    ):
        if min(values) <= 0:
            raise RuntimeError(
                f"{words} should be greater than zero, but got {name}_height: {values[0]} {name}_width: {values[1]}"
            )
    if min(padding) < 0:
        raise RuntimeError(f"padding should be non-negative, but got pad_height: {padding[0]} pad_width: {padding[1]}")
    return {"kernel": kernel, "dilation": dilation, "padding": padding, "stride": stride}


@asks
def unfold(input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """Return the windows of (examples, channels, height, width) as columns.

    Parameters
    ----------
    input : Tensor
        Of shape (examples, channels, height, width), or without examples.
    kernel_size, dilation, padding, stride : int or tuple of two ints
        Of the windows, as those of a convolution.

    Returns
    -------
    Tensor
        Of shape (examples, channels · places in a window, windows).

    Raises
    ------
    RuntimeError
        If there is no window, or a number is not positive.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.unfold(cr.arange(6.0).reshape(1, 2, 3), 2)
    tensor([[0., 1.],
            [1., 2.],
            [3., 4.],
            [4., 5.]])
    """
    x = as_tensor(input, "im2col")
    given = _windows(kernel_size, dilation, padding, stride)
    if x.ndim not in (3, 4) or 0 in x.shape[x.ndim - 3 :]:
        raise RuntimeError(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, but "
            f"got: {list(x.shape)}"
        )
    size = positions(tuple(x.shape[-2:]), **given)
    if min(size) < 1:
        kernel, dilation, padding = given["kernel"], given["dilation"], given["padding"]
        raise RuntimeError(
            f"Given input with spatial size {tuple(x.shape[-2:])}, kernel_size={kernel}, dilation={dilation}, "
            f"padding={padding}, calculated shape of the array of sliding blocks as {size}, but its components must be "
            "at least one."
        )
    refuse(x, "bfc", "im2col_out_cpu")
    return im2col(x, **given)


@asks
def fold(input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """Add up columns where the windows of an array (examples, channels, height, width) lie: the transpose of `unfold`.

    Parameters
    ----------
    input : Tensor
        Of shape (examples, channels · places in a window, windows), or without examples.
    output_size : int or tuple of two ints
        Height and width of the result.
    kernel_size, dilation, padding, stride : int or tuple of two ints
        Of the windows.

    Raises
    ------
    RuntimeError
        If there are not as many windows, or a number is not positive.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.fold(cr.ones(4, 2), (2, 3), 2)
    tensor([[[1., 2., 1.],
             [1., 2., 1.]]])
    """
    x, size = as_tensor(input, "col2im"), _pair(output_size, "output_size")
    given = _windows(kernel_size, dilation, padding, stride)
    if x.ndim not in (2, 3) or 0 in x.shape[x.ndim - 2 :]:
        raise RuntimeError(
            "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for input, but "
            f"got: {list(x.shape)}"
        )
    kernel = given["kernel"]
    if x.shape[-2] % prod(kernel):
        raise RuntimeError(
            f"Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got input.size(1)="
            f"{x.shape[-2]} and kernel_size={kernel}."
        )
    count = tuple([max(n, 0) for n in positions(size, **given)])
    if x.shape[-1] != prod(count):
        raise RuntimeError(
            f"Given output_size={size}, kernel_size={kernel}, dilation={given['dilation']}, padding={given['padding']}, stride="
            f"{given['stride']}, expected size of input's dimension 2 to match the calculated number of sliding blocks "
            f"{count[0]} * {count[1]} = {prod(count)}, but got input.size(2)={x.shape[-1]}."
        )
    refuse(x, "bfc", "col2im_out_cpu")
    return col2im(x, size=size, **given)


# -- padding -----------------------------------------------------------------------------------------------------------

_KINDS = {"reflect": "reflected", "replicate": "replicated", "circular": "wrapped"}
_NODES = {"reflect": "ReflectionPad", "replicate": "ReplicationPad", "circular": "CircularPad"}


@asks
def pad(input: Tensor, pad: Any, mode: str = "constant", value: Any = None) -> Tensor:
    """Put elements before and after those of the last axes; negative widths cut.

    Parameters
    ----------
    input : Tensor
        Of any shape; but for constants, of one to three axes of space behind one or two others.
    pad : sequence of int
        Widths before and after: of the last axis, then of the one before it, and so on.
    mode : {"constant", "reflect", "replicate", "circular"}
        Put a constant; the elements mirrored at the first and last; these two again; the other end.
    value : number, optional
        The constant; 0 by default.

    Raises
    ------
    RuntimeError
        If widths do not fit the axes.
    NotImplementedError
        For another mode, or number of axes.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([[1, 2, 3]])
    >>> cr.nn.functional.pad(x, (1, 2)).tolist(), cr.nn.functional.pad(x, (1, 2), "reflect").tolist()
    ([[0, 1, 2, 3, 0, 0]], [[2, 1, 2, 3, 2, 1]])
    """
    x, widths = as_tensor(input, "pad"), tuple(map(operator.index, pad))
    if len(widths) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    space = len(widths) // 2
    if space > x.ndim:
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got padding length "
            f"{len(widths)} and input of dimension {x.ndim}"
        )
    if mode == "constant":
        return constant_pad_nd(x, widths, 0 if value is None else value)
    if value is not None and value != 0:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if mode not in _KINDS:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if space not in (1, 2, 3) or x.ndim - space not in (1, 2):
        raise NotImplementedError(f"Padding size {len(widths)} is not supported for {x.ndim}D input tensor.")
    _check_padding(x, widths, mode, space)
    maps = []
    for axis in range(x.ndim - space, x.ndim):
        k = 2 * (x.ndim - 1 - axis)
        before, after = widths[k : k + 2]
        ends = (before, after) if mode == "circular" else (before,)
        maps.append((_KINDS[mode], x.shape[axis], x.shape[axis] + before + after, *ends))
    return resample(x, maps=tuple(maps), transposed=False, form=f"{_NODES[mode]}{space}D")


def _check_padding(x: Tensor, widths: tuple, mode: str, space: int) -> None:
    given = tuple(x.shape)
    if mode != "circular":
        if 0 in given[x.ndim - space - 1 :]:
            raise RuntimeError(
                f"Expected {space + 1}D or {space + 2}D (batch mode) tensor with possibly 0 batch size and other non-zero "
                f"dimensions for input, but got: {list(given)}"
            )
        refuse(x, "iufc", f"{'reflection' if mode == 'reflect' else 'replication'}_pad{space}d")
    for k in range(0, len(widths), 2):
        axis = x.ndim - 1 - k // 2
        n, before, after = given[axis], widths[k], widths[k + 1]
        if mode == "circular" and max(before, after) > n:
            raise RuntimeError("Padding value causes wrapping around more than once.")
        if mode == "circular" and n + before + after < 0:
            raise RuntimeError("Negative padding value is resulting in an empty dimension")
        if mode == "reflect" and max(before, after) >= n:
            raise RuntimeError(
                f"Argument #{k + 4}: Padding size should be less than the corresponding input dimension, but got: padding "
                f"({before}, {after}) at dimension {axis} of input {list(given)}"
            )
        if mode != "circular" and n + before + after < 1:
            name = "WHD"[k // 2]
            raise RuntimeError(f"input ({name}: {n}) is too small. Calculated output {name}: {n + before + after}")
