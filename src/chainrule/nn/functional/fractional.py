"""Pooling over windows that start at random places: a part of `chainrule.nn.functional`."""

from __future__ import annotations

import operator
from typing import Any

from chainrule.core.call.asking import asks
from chainrule.core.call.dispatch import as_tensor
from chainrule.core.tensor.tensor import Tensor
from chainrule.functions.nn.pooling import refuse
from chainrule.functions.random.tensors import rand
from chainrule.nn.functional.pooling import first_or_both
from chainrule.ops.nn import pool as ops
from chainrule.ops.shaping.shape import reshape

__all__ = [
    "fractional_max_pool2d",
    "fractional_max_pool2d_with_indices",
    "fractional_max_pool3d",
    "fractional_max_pool3d_with_indices",
]


def _fractional(input: Any, kernel_size: Any, output_size: Any, ratio: Any, samples: Any, space: int) -> tuple[Tensor, Tensor]:
    name, axes = f"fractional_max_pool{space}d", ("time", "height", "width")[-space:]
    x = as_tensor(input, name)
    if output_size is None and ratio is None:
        raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
    words = "tuple of Ints" if space == 2 else "tuple of three Ints"
    kernel, size = _sizes(kernel_size, space, f"{name}: kernel_size must either be a single Int or {words}"), output_size
    if x.ndim not in (space + 1, space + 2):
        raise RuntimeError(f"{name}(): Expected {space + 1}D or {space + 2}D tensor, but got: {list(x.shape)}")
    given = tuple(x.shape[x.ndim - space :])
    if size is None:
        ratios = ratio if isinstance(ratio, (tuple, list)) else (ratio,) * space
        size = tuple([int(n * r) for n, r in zip(given, ratios, strict=True)])
    size = _sizes(size, space, f"{name}: output_size must either be a single Int or {words}")
    for axis, n, k, m in zip(axes, given, kernel, size, strict=True):
        if m + k - 1 > n:
            raise RuntimeError(f"{name}(): pool {axis} {k} too large relative to input {axis} {n}")
    refuse(x, "f", name)
    lead = tuple(x.shape[: x.ndim - space])
    planes = lead if len(lead) == 2 else (1, *lead)
    drawn = rand((*planes, space), dtype=x.dtype) if samples is None else as_tensor(samples, name, 5)
    if drawn.ndim != 3 or drawn.shape[2] != space:
        raise RuntimeError(f"Expect _random_samples.size(2) equals to {space}; got {drawn.shape[-1]}.")
    drawn = reshape(drawn.detach(), shape=(*lead, space))
    return ops.fractional_max_pool(x, drawn, kernel=kernel, size=size, form=f"FractionalMaxPool{space}D")


def _sizes(value: Any, space: int, words: str) -> tuple[int, ...]:
    values = tuple(map(operator.index, value)) if isinstance(value, (tuple, list)) else (operator.index(value),) * space
    if len(values) != space:
        raise RuntimeError(words)
    return values


@asks
def fractional_max_pool2d_with_indices(
    input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False,
    _random_samples: Any = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return what `fractional_max_pool2d` does with ``return_indices=True``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.fractional_max_pool2d_with_indices(cr.arange(4.0).reshape(1, 2, 2), 2, 1)[1]
    tensor([[[3]]])
    """
    return _fractional(input, kernel_size, output_size, output_ratio, _random_samples, 2)


@asks
def fractional_max_pool2d(
    input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False,
    _random_samples: Any = None,
) -> Any:  # fmt: skip
    """Return the largest elements of windows that start at random places (Graham, arXiv 1412.6071).

    Parameters
    ----------
    input : Tensor
        Of shape (examples, channels, height, width), or without examples.
    kernel_size : int or tuple of ints
        Of the windows.
    output_size, output_ratio : int, float or tuple of two of them
        Numbers of windows, or their share of the input's size.
    return_indices : bool
        Return where the elements are, too.

    Raises
    ------
    ValueError
        If no size is given.
    RuntimeError
        If windows do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.fractional_max_pool2d(cr.rand(1, 3, 9, 9), 2, output_ratio=0.7).shape
    chainrule.Size([1, 3, 6, 6])
    """
    return first_or_both(_fractional(input, kernel_size, output_size, output_ratio, _random_samples, 2), return_indices)


@asks
def fractional_max_pool3d_with_indices(
    input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False,
    _random_samples: Any = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return what `fractional_max_pool3d` does with ``return_indices=True``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.fractional_max_pool3d_with_indices(cr.arange(8.0).reshape(1, 2, 2, 2), 2, 1)[1].item()
    7
    """
    return _fractional(input, kernel_size, output_size, output_ratio, _random_samples, 3)


@asks
def fractional_max_pool3d(
    input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False,
    _random_samples: Any = None,
) -> Any:  # fmt: skip
    """Return the largest elements of windows of (examples, channels, depth, height, width); see `fractional_max_pool2d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.fractional_max_pool3d(cr.rand(3, 6, 6, 6), 2, (3, 4, 2)).shape
    chainrule.Size([3, 3, 4, 2])
    """
    return first_or_both(_fractional(input, kernel_size, output_size, output_ratio, _random_samples, 3), return_indices)
