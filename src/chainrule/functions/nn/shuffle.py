"""Channels and pixels exchanged: each function is a view in more axes, a permutation and a copy."""

from __future__ import annotations

import operator

from chainrule.core.call.dispatch import as_tensor
from chainrule.core.op.samples import Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.functions.adapt import public
from chainrule.ops.shaping.shape import contiguous, permute, reshape

__all__ = ["channel_shuffle", "native_channel_shuffle", "pixel_shuffle", "pixel_unshuffle"]


def _joined(apart: Tensor, order: tuple[int, ...], shape: tuple[int, ...]) -> Tensor:
    """Return a copy of the axes in an order, joined to a shape: never a view, which a reshape of axes in order would be."""
    return reshape(contiguous(permute(apart, order=order)), shape=shape)


def _factor(x: Tensor, value: int, name: str, argument: str) -> int:
    if x.ndim < 3:
        raise RuntimeError(f"{name} expects input to have at least 3 dimensions, but got input with {x.ndim} dimension(s)")
    factor = operator.index(value)
    if factor <= 0:
        raise RuntimeError(f"{name} expects a positive {argument}, but got {factor}")
    return factor


@public(method=False, kinds="ifc", samples=lambda: [
    Sample((2, 8, 3, 2), 2), Sample((9, 1, 2), 3), Sample((2, 1, 4, 2, 2), 2), Sample((0, 4, 1, 1), 2),
    Sample((2, 2), 2, error=(RuntimeError, "pixel_shuffle expects input to have at least 3 dimensions, but got")),
    Sample((1, 4, 2, 2), 0, error=(RuntimeError, "pixel_shuffle expects a positive upscale_factor, but got")),
    Sample((1, 3, 2, 2), 2, error=(RuntimeError, "pixel_shuffle expects its input's 'channel' dimension to be divisible by")),
])  # fmt: skip
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Make of (..., channels · r², height, width) an array (..., channels, height · r, width · r) (arXiv 1609.05158).

    Parameters
    ----------
    input : Tensor
        Of at least three axes.
    upscale_factor : int
        The r.

    Raises
    ------
    RuntimeError
        If r² does not divide the channels.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.pixel_shuffle(cr.arange(4).reshape(4, 1, 1), 2)
    tensor([[[0, 1],
             [2, 3]]])
    """
    x = as_tensor(input, "pixel_shuffle")
    r = _factor(x, upscale_factor, "pixel_shuffle", "upscale_factor")
    *lead, channels, height, width = x.shape
    if channels % r**2:
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, but "
            f"input.size(-3)={channels} is not divisible by {r**2}"
        )
    n = len(lead)
    apart = reshape(x, shape=(*lead, channels // r**2, r, r, height, width))
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return _joined(apart, order, (*lead, channels // r**2, height * r, width * r))


@public(method=False, kinds="ifc", samples=lambda: [
    Sample((2, 2, 6, 4), 2), Sample((1, 3, 6), 3),
    Sample((4, 3), 2, error=(RuntimeError, "pixel_unshuffle expects input to have at least 3 dimensions, but got")),
    Sample((1, 4, 3), 0, error=(RuntimeError, "pixel_unshuffle expects a positive downscale_factor, but got 0")),
    Sample((1, 3, 4), 2, error=(RuntimeError, "pixel_unshuffle expects height to be divisible by downscale_factor, but")),
    Sample((1, 4, 3), 2, error=(RuntimeError, "pixel_unshuffle expects width to be divisible by downscale_factor, but")),
])  # fmt: skip
def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """Make of (..., channels, height · r, width · r) an array (..., channels · r², height, width): undo `pixel_shuffle`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.pixel_unshuffle(cr.arange(4).reshape(1, 2, 2), 2).flatten()
    tensor([0, 1, 2, 3])
    """
    x = as_tensor(input, "pixel_unshuffle")
    r = _factor(x, downscale_factor, "pixel_unshuffle", "downscale_factor")
    *lead, channels, height, width = x.shape
    for axis, what, size in ((-2, "height", height), (-1, "width", width)):
        if size % r:
            raise RuntimeError(
                f"pixel_unshuffle expects {what} to be divisible by downscale_factor, but input.size({axis})={size} is not "
                f"divisible by {r}"
            )
    n = len(lead)
    apart = reshape(x, shape=(*lead, channels, height // r, r, width // r, r))
    order = (*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return _joined(apart, order, (*lead, channels * r**2, height // r, width // r))


def _shuffled(input: Tensor, groups: int) -> Tensor:
    x, groups = as_tensor(input, "channel_shuffle"), operator.index(groups)
    if x.ndim <= 2:
        raise RuntimeError(f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(x.shape)}")
    if groups <= 0:
        raise RuntimeError(f"Number of groups to divide channels in must be positive. Value of groups:{groups}")
    examples, channels, *space = x.shape
    if channels % groups:
        raise RuntimeError(f"Number of channels must be divisible by groups. Got {channels} channels and {groups} groups.")
    apart = reshape(x, shape=(examples, groups, channels // groups, *space))
    return _joined(apart, (0, 2, 1, *range(3, apart.ndim)), tuple(x.shape))


@public(method=False, kinds="ifc", samples=lambda: [
    Sample((2, 6, 3), 2), Sample((1, 4, 2, 2), 4), Sample((0, 4, 2), 2),
    Sample((3, 2), 2, error=(RuntimeError, "channel_shuffle expects input with > 2 dims, but got input with sizes [3, 2]")),
    Sample((1, 3, 2), 0, error=(RuntimeError, "Number of groups to divide channels in must be positive. Value of groups:0")),
    Sample((1, 3, 2), 2, error=(RuntimeError, "Number of channels must be divisible by groups. Got 3 channels and 2 groups.")),
])  # fmt: skip
def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Deal the channels of (examples, channels, ...) out: the first of each group, then the second ones (arXiv 1707.01083).

    Raises
    ------
    RuntimeError
        If `groups` does not divide the channels.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.channel_shuffle(cr.arange(4).reshape(1, 4, 1), 2).flatten()
    tensor([0, 2, 1, 3])
    """
    return _shuffled(input, groups)


@public(method=False, kinds="ifc", samples=lambda: [Sample((2, 6, 3), 2)])
def native_channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Return what `channel_shuffle` does; a kernel's name in PyTorch.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.native_channel_shuffle(cr.arange(4).reshape(1, 4, 1), 2).flatten()
    tensor([0, 2, 1, 3])
    """
    return _shuffled(input, groups)
