"""Elements put back where the maxima of windows were: a part of `chainrule.nn.functional`."""

from __future__ import annotations

from math import prod
from typing import Any

from chainrule.core.call.asking import asks
from chainrule.core.call.dispatch import as_tensor
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import examined, satisfies
from chainrule.functions.nn.pooling import ints, refuse
from chainrule.ops.indexing.scatter import scatter
from chainrule.ops.indexing.view import zeros
from chainrule.ops.shaping.shape import reshape

__all__ = ["max_unpool1d", "max_unpool2d", "max_unpool3d"]


def _unpooled_size(x: Tensor, kernel: tuple, stride: tuple, padding: tuple, output_size: Any) -> tuple[int, ...]:
    space = len(kernel)
    default = [(n - 1) * s + k - 2 * p for n, s, k, p in zip(x.shape[-space:], stride, kernel, padding, strict=True)]
    if output_size is None:
        return tuple(default)
    size = tuple(map(int, output_size))
    if len(size) == space + 2:
        size = size[2:]
    if len(size) != space:
        raise ValueError(
            f"output_size should be a sequence containing {space} or {space + 2} elements, but it has a length of '{len(size)}'"
        )
    for d, (n, m, s) in enumerate(zip(default, size, stride, strict=True)):
        if not n - s < m < n + s:
            raise ValueError(f'invalid output_size "{size}" (dim {d} must be between {n - s} and {n + s})')
    return size


def _unpool(input: Any, indices: Any, kernel_size: Any, stride: Any, padding: Any, output_size: Any, space: int) -> Tensor:
    name = f"max_unpool{space}d"
    x, index = as_tensor(input, name), as_tensor(indices, name, 1)
    kernel = ints(kernel_size, space, name, "kernel_size")
    stride, padding = ints(stride, space, name, "stride", kernel), ints(padding, space, name, "padding")
    if x.ndim not in (space + 1, space + 2):
        raise RuntimeError(
            f"Input to max_unpooling{max(space, 2)}d should be a {space + 1}d or {space + 2}d Tensor, but got a tensor with "
            f"{x.ndim} dimensions."
        )
    size = _unpooled_size(x, kernel, stride, padding, output_size)
    if index.dtype.name != "int64":
        raise RuntimeError(f"elements in indices should be type int64 but got: {index.dtype.old_name}")
    if tuple(x.shape) != tuple(index.shape):
        raise RuntimeError(
            f"Expected shape of indices to be same as that of the input tensor ({list(x.shape)}) but got indices tensor with "
            f"shape: {list(index.shape)}"
        )
    refuse(x, "f", name)
    lead, count = tuple(x.shape[: x.ndim - space]), prod(size)
    if not satisfies(index, lambda i: ((i >= 0) & (i < count)).all()):
        known = examined(index)
        wrong = known.min() if known.min() < 0 else known.max()
        raise RuntimeError(f"Found an invalid max index: {wrong} (output volumes are of size {'x'.join(map(str, size))})")
    flat = (*lead, prod(x.shape[x.ndim - space :]))
    rows = scatter(zeros((*lead, count), x), reshape(index, shape=flat), reshape(x, shape=flat), axis=len(lead), form="0")
    return reshape(rows, shape=(*lead, *size))


@asks
def max_unpool1d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Tensor:
    """Put elements where the maxima of windows of (examples, channels, length) were; see `max_unpool2d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.max_unpool1d(cr.tensor([[3.0, 5.0]]), cr.tensor([[1, 3]]), 2)
    tensor([[0., 3., 0., 5.]])
    """
    return _unpool(input, indices, kernel_size, stride, padding, output_size, 1)


@asks
def max_unpool2d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Tensor:
    """Put elements where the maxima of windows of (examples, channels, height, width) were, among zeros.

    Parameters
    ----------
    input, indices : Tensor
        What `max_pool2d` returns, of one shape. Where a place occurs twice, the last element stands.
    kernel_size, stride, padding : int or tuple of ints
        Of the windows.
    output_size : sequence of ints, optional
        Of the result, where several sizes give as many windows.

    Raises
    ------
    ValueError
        If windows of these numbers do not cover the size.
    RuntimeError
        If shapes do not match, or a place lies outside.

    Examples
    --------
    >>> import chainrule as cr
    >>> y, i = cr.nn.functional.max_pool2d(cr.tensor([[[1.0, 2.0], [4.0, 3.0]]]), 2, return_indices=True)
    >>> cr.nn.functional.max_unpool2d(y, i, 2)
    tensor([[[0., 0.],
             [4., 0.]]])
    """
    return _unpool(input, indices, kernel_size, stride, padding, output_size, 2)


@asks
def max_unpool3d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Tensor:
    """Put elements where the maxima of windows of (examples, channels, depth, height, width) were; see `max_unpool2d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.max_unpool3d(cr.tensor([[[[3.0]]]]), cr.tensor([[[[1]]]]), (1, 1, 2))
    tensor([[[[0., 3.]]]])
    """
    return _unpool(input, indices, kernel_size, stride, padding, output_size, 3)
