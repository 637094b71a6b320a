"""Pooling as functions: the windows' arguments and their checks, and the functions that PyTorch has at its top level."""

from __future__ import annotations

import operator
from typing import Any

from chainrule.core.call.dispatch import as_tensor
from chainrule.core.op.samples import Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.functions.adapt import public
from chainrule.ops.nn import pool as ops
from chainrule.ops.nn.resample import resample
from chainrule.ops.pointwise.arithmetic import div

__all__ = [
    "adaptive_avg_pool1d", "adaptive_max_pool1d", "avg_pool1d", "max_pool1d", "max_pool1d_with_indices", "max_pool2d",
    "max_pool3d",
]  # fmt: skip

_NUMBER = {1: "one int", 2: "two ints", 3: "three ints"}

# -- arguments ---------------------------------------------------------------------------------------------------------


def ints(value: Any, space: int, name: str, argument: str, empty: Any = None) -> tuple[int, ...]:
    """Return one integer for each axis of space; `empty` for an argument that is left out."""
    if value is None or (isinstance(value, (tuple, list)) and not value):
        return empty
    values = tuple(map(operator.index, value)) if isinstance(value, (tuple, list)) else (operator.index(value),)
    if len(values) not in (1, space):
        if space == 1:
            raise RuntimeError(f"{name}() argument {argument!r} should contain one int (got {len(values)})")
        how = "be either" if argument == "dilation" else "either be omitted," if argument == "stride" else "either be"
        raise RuntimeError(f"{name}: {argument} must {how} a single int, or a tuple of {_NUMBER[space]}")
    return values * space if len(values) == 1 else values


def refuse(x: Tensor, kinds: str, kernel: str) -> None:
    """Raise PyTorch's error for a dtype whose kind is none of these; int64 alone of integers for "l"."""
    kind = x.dtype.numpy.kind
    if (kind == "V" and "f" in kinds) or kind in kinds or (x.dtype.name == "int64" and "l" in kinds):
        return
    raise NotImplementedError(f"\"{kernel}\" not implemented for '{x.dtype.old_name}'")


def check_axes(x: Tensor, space: int, name: str) -> None:
    """Raise PyTorch's error unless the input has the axes of space, channels, and perhaps examples; only these may be none."""
    if x.ndim not in (space + 1, space + 2):
        if space == 1:
            raise RuntimeError(
                f"Expected 2 to 3 dimensions, but got {x.ndim}-dimensional tensor for argument #1 'self' (while checking "
                f"arguments for {name})"
            )
        raise RuntimeError(f"non-empty {space + 1}D or {space + 2}D (batch mode) tensor expected for input")
    if 0 in x.shape[x.ndim - space - 1 :]:
        if name == "max_pool3d":
            axis = x.shape[x.ndim - space - 1 :].index(0) + x.ndim - space - 1
            raise RuntimeError(
                "max_pool3d_with_indices_out_cpu_template(): Expected input's non-batch dimensions to have positive length, "
                f"but input has a shape of {list(x.shape)} and non-batch dimension {axis} has length zero!"
            )
        lead = f"{name}: " if space == 1 else ""
        raise RuntimeError(
            f"{lead}Expected {space + 1}D or {space + 2}D (batch mode) tensor with optional 0 dim batch size for input, "
            f"but got:{list(x.shape)}"
        )


def window_sizes(
    x: Tensor, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple, ceil: bool, name: str
) -> tuple[int, ...]:
    """Return how many windows there are along each axis; raise PyTorch's errors for windows that do not fit."""
    space = len(kernel)
    axes = "DHW"[-space:]
    if 0 in stride:
        raise RuntimeError("stride should not be zero")
    if min(kernel) <= 0:
        given = " ".join([f"k{a}: {k}" for a, k in zip(axes, kernel, strict=True)])
        raise RuntimeError(f"kernel size should be greater than zero, but got {given}")
    if min(stride) < 0:
        raise RuntimeError(f"stride should be greater than zero, but got {list(stride)}")
    if min(dilation) <= 0:
        given = " ".join([f"dilation{a}: {d}" for a, d in zip(axes, dilation, strict=True)])
        raise RuntimeError(f"dilation should be greater than zero, but got {given}")
    for k, p, d in zip(kernel, padding, dilation, strict=True):
        if p < 0:
            raise RuntimeError(f"pad must be non-negative, but got pad: {p}")
        if p > ((k - 1) * d + 1) // 2:
            raise RuntimeError(
                f"pad should be at most half of effective kernel size, but got pad={p}, kernel_size={k} and dilation={d}"
            )
    check_axes(x, space, name)
    given = tuple(x.shape[x.ndim - space :])
    sizes = []
    for n, k, s, p, d in zip(given, kernel, stride, padding, dilation, strict=True):
        size = (n + 2 * p - d * (k - 1) - 1 + (s - 1 if ceil else 0)) // s + 1
        sizes.append(size - 1 if ceil and (size - 1) * s >= n + p else size)
    if min(sizes) < 1:
        channels = x.shape[x.ndim - space - 1]
        sizes = [max(size, 0) for size in sizes]
        shown = ["x".join(map(str, [channels, *([1] if space == 1 else []), *v])) for v in (given, sizes)]
        raise RuntimeError(f"Given input size: ({shown[0]}). Calculated output size: ({shown[1]}). Output size is too small")
    return tuple(sizes)


def target_sizes(x: Tensor, output_size: Any, space: int, name: str) -> tuple[int, ...]:
    """Return the sizes of an adaptive pooling's result: None stands for the input's."""
    given = tuple(x.shape[max(x.ndim - space, 0) :])
    wanted = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * space
    if isinstance(output_size, (tuple, list)) and len(wanted) >= x.ndim:
        raise ValueError(f"Input dimension should be at least {len(wanted) + 1}")
    if len(wanted) != space:
        if space == 1:
            raise RuntimeError(f"{name}() argument 'output_size' should contain one int (got {len(wanted)})")
        inside = "(): internal error: output_size.size()" if "max" in name else ": output_size"
        raise RuntimeError(f"{name}{inside} must be {space}")
    if x.ndim not in (space + 1, space + 2):
        if space == 1:
            check_axes(x, 1, name)
        colon = ":" if "max" in name else ""
        raise RuntimeError(f"{name}(): Expected {space + 1}D or {space + 2}D tensor, but got{colon} {list(x.shape)}")
    for axis, n in enumerate(given, x.ndim - space):
        if n == 0:
            raise RuntimeError(
                f"{name}(): Expected input to have non-zero size for non-batch dimensions, but input has sizes {list(x.shape)} "
                f"with dimension {axis} being empty"
            )
    sizes = tuple([n if w is None else operator.index(w) for n, w in zip(given, wanted, strict=True)])
    if min(sizes) < 0:
        if "max" in name:
            shape = [*x.shape[: x.ndim - space], *sizes]
            raise RuntimeError(f"Trying to create tensor with negative dimension {min(sizes)}: {shape}")
        listed = ", ".join(map(str, sizes))
        raise RuntimeError(f"{name}: elements of output_size must be greater than or equal to 0 but received {{{listed}}}")
    return sizes


# -- the poolings ------------------------------------------------------------------------------------------------------


def max_pool(
    input: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, space: int, places: bool = True
) -> tuple[Tensor, Tensor]:
    """Return the largest elements of windows, and their flat places in space; `places` tells whether these are wanted."""
    name = f"max_pool{space}d"
    x = as_tensor(input, name)
    kernel = ints(kernel_size, space, name, "kernel_size")
    stride = ints(stride, space, name, "stride", kernel)
    padding, dilation = ints(padding, space, name, "padding"), ints(dilation, space, name, "dilation")
    if space == 1 and not places:
        _check_of_one_axis(x, kernel[0], stride[0], padding[0], dilation[0])
    sizes = window_sizes(x, kernel, stride, padding, dilation, ceil_mode, name)
    refuse(x, "iuf", name)
    axes = zip(x.shape[x.ndim - space :], sizes, kernel, stride, padding, dilation, strict=True)
    return ops.max_pool(x, maps=tuple([("windows", *axis) for axis in axes]), form=f"MaxPool{space}DWithIndices")


def _check_of_one_axis(x: Tensor, kernel: int, stride: int, padding: int, dilation: int) -> None:
    """Raise PyTorch's errors, which are other ones over a single axis."""
    name = "max_pool1d()"
    if x.ndim not in (2, 3) or 0 in x.shape[-2:]:
        raise RuntimeError(
            "max_pool1d: Expected 2D or 3D (batch mode) tensor with optional 0 dim batch size for input, but got:"
            f"{list(x.shape)}"
        )
    for argument, value in (("kernel_size", kernel), ("stride", stride)):
        if value <= 0:
            raise RuntimeError(f"{name} {argument} must be greater than zero, but got {value}")
    if padding < 0:
        raise RuntimeError(f"{name} padding must be non-negative, but got {padding}")
    if padding > kernel // 2:
        raise RuntimeError(
            f"{name} padding should be at most half of kernel size, but got padding={padding} and kernel_size={kernel}"
        )
    if dilation <= 0:
        raise RuntimeError(f"{name} dilation must be greater than zero, but got {dilation}")
    size = (x.shape[-1] + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    if size <= 0:
        raise RuntimeError(f"{name} Invalid computed output size: {size}")


def adaptive_max_pool(input: Any, output_size: Any, space: int) -> tuple[Tensor, Tensor]:
    """Return the largest elements of as many windows as wanted, and their flat places in space."""
    name = f"adaptive_max_pool{space}d"
    x = as_tensor(input, name)
    sizes = target_sizes(x, output_size, space, name)
    refuse(x, "f", name)
    axes = zip(x.shape[x.ndim - space :], sizes, strict=True)
    return ops.max_pool(x, maps=tuple([("adaptive windows", *axis) for axis in axes]), form=f"AdaptiveMaxPool{space}D")


def adaptive_avg_pool(input: Any, output_size: Any, space: int) -> Tensor:
    """Return the means of as many windows as wanted."""
    name = f"adaptive_avg_pool{space}d"
    x = as_tensor(input, name)
    sizes = target_sizes(x, output_size, space, name)
    refuse(x, "f", name)
    axes = zip(x.shape[x.ndim - space :], sizes, strict=True)
    maps = tuple([("adaptive means", *axis) for axis in axes])
    return resample(x, maps=maps, transposed=False, form=f"AdaptiveAvgPool{space}D")


def avg_pool(
    input: Any, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool, count_padding: bool, divisor: Any, space: int
) -> Tensor:
    """Return the means of windows, or their sums divided by a given number."""
    name, form = f"avg_pool{space}d", f"AvgPool{space}D"
    x = as_tensor(input, name)
    kernel = ints(kernel_size, space, name, "kernel_size")
    stride, padding = ints(stride, space, name, "stride", kernel), ints(padding, space, name, "padding")
    if divisor is not None and operator.index(divisor) == 0:
        raise RuntimeError("divisor must be not zero")
    sizes = window_sizes(x, kernel, stride, padding, (1,) * space, ceil_mode, name)
    refuse(x, "fl", name)
    axes = list(zip(x.shape[x.ndim - space :], sizes, kernel, stride, padding, strict=True))
    if divisor is None and x.dtype.name != "int64":
        maps = tuple([("means", *axis, bool(count_padding)) for axis in axes])
        return resample(x, maps=maps, transposed=False, form=form)
    sums = resample(x, maps=tuple([("windows", *axis, 1) for axis in axes]), transposed=False, form=form)
    if x.dtype.name != "int64":
        return div(sums, divisor)
    if divisor is None:
        divisor = ops.counts(axes, bool(count_padding))
    return sums.div(divisor, rounding_mode="trunc")  # type: ignore[attr-defined]


# -- public ------------------------------------------------------------------------------------------------------------

_OUT_OF_WINDOWS = [
    Sample((1, 4), 0, error=(RuntimeError, "max_pool1d() kernel_size must be greater than zero, but got 0")),
    Sample((1, 4), 2, stride=0, error=(RuntimeError, "max_pool1d() stride must be greater than zero, but got 0")),
    Sample((1, 4), 2, padding=2, error=(RuntimeError, "max_pool1d() padding should be at most half of kernel size, but got")),
    Sample((1, 4), 2, padding=-1, error=(RuntimeError, "max_pool1d() padding must be non-negative, but got -1")),
    Sample((1, 4), 2, dilation=0, error=(RuntimeError, "max_pool1d() dilation must be greater than zero, but got 0")),
    Sample((1, 4), 8, error=(RuntimeError, "max_pool1d() Invalid computed output size: ")),
    Sample((4,), 2, error=(RuntimeError, "max_pool1d: Expected 2D or 3D (batch mode) tensor with optional 0 dim batch size")),
]


def _errors(space: int) -> list[Sample]:
    """Return calls that PyTorch refuses, for windows over two or three axes."""
    fours, name = (4,) * space, f"max_pool{space}d"
    return [
        Sample(
            (1, 1, *fours), 2, padding=2, error=(RuntimeError, "pad should be at most half of effective kernel size, but got")
        ),
        Sample((1, 1, *fours), 2, padding=-1, error=(RuntimeError, "pad must be non-negative, but got pad: -1")),
        Sample((1, 1, *fours), 2, stride=0, error=(RuntimeError, "stride should not be zero")),
        Sample((1, 1, *fours), 2, dilation=0, error=(RuntimeError, "dilation should be greater than zero, but got ")),
        Sample((1, 1, *fours), 5, error=(RuntimeError, "Given input size: (1x4x")),
        Sample((4, 4), 2, error=(RuntimeError, f"non-empty {space + 1}D or {space + 2}D (batch mode) tensor expected")),
        Sample(
            (1, 1, *fours), [2] * 4, error=(RuntimeError, f"{name}: kernel_size must either be a single int, or a tuple of")
        ),
        Sample(
            (1, 1, *fours), 2, stride=(1,) * 4, error=(RuntimeError, f"{name}: stride must either be omitted, a single int")
        ),
        Sample((1, 1, *fours), 2, dilation=(1,) * 4, error=(RuntimeError, f"{name}: dilation must be either a single int, or")),
    ]


@public(method=False, kinds="f", samples=lambda: [
    Sample((2, 3, 7), 2), Sample((3, 7), 3, 2, 1), Sample((2, 3, 8), 3, stride=2, padding=1, dilation=2, ceil_mode=True),
    Sample((0, 3, 4), 2), *_OUT_OF_WINDOWS,
])  # fmt: skip
def max_pool1d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Tensor:
    """Return the largest elements of windows of (examples, channels, length); parameters and errors are those of `max_pool2d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.max_pool1d(cr.tensor([[1.0, 3.0, 2.0, 5.0]]), 2)
    tensor([[3., 5.]])
    """
    return max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, 1, False)[0]


@public(method=False, kinds="f", samples=lambda: [Sample((2, 3, 7), 3, 2, 1), Sample((3, 6), 2)])
def max_pool1d_with_indices(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the largest elements of windows, and where they are; parameters and errors are those of `max_pool2d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.max_pool1d_with_indices(cr.tensor([[1.0, 3.0, 2.0, 5.0]]), 2)[1]
    tensor([[1, 3]])
    """
    return max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, 1)


@public(method=False, kinds="if", samples=lambda: [
    Sample((2, 3, 6, 4), 2), Sample((3, 7, 6), 3, 2, 1), Sample((2, 1, 8, 7), [3, 2], [2, 1], [1, 0], [2, 1], True),
    Sample((1, 2, 5, 5), 3, 1), Sample((1, 1, 6, 6), 3, 2, 1, ceil_mode=True), Sample((0, 3, 4, 4), 2), *_errors(2),
    Sample((1, 1, 0, 4), 2, error=(RuntimeError, "Expected 3D or 4D (batch mode) tensor with optional 0 dim batch size for")),
])  # fmt: skip
def max_pool2d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Tensor:
    """Return the largest elements of windows of (examples, channels, height, width).

    The derivative goes to the largest element, of equal ones to the first; NaN is larger than all.

    Parameters
    ----------
    input : Tensor
        Of shape (examples, channels, height, width), or without examples.
    kernel_size, dilation : int or tuple of ints
        Numbers of places in a window along each axis, and the steps between them.
    stride : int or tuple of ints, optional
        Between windows; `kernel_size` by default.
    padding : int or tuple of ints
        How far windows begin before the input; at most half of their reach.
    ceil_mode : bool
        Let the last windows end behind the padded input, if they begin in the input or in the padding before it.

    Returns
    -------
    Tensor
        Of shape (examples, channels, rows of windows, columns of windows).

    Raises
    ------
    RuntimeError
        If windows do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.max_pool2d(cr.arange(16.0).reshape(1, 4, 4), 2)
    tensor([[[ 5.,  7.],
             [13., 15.]]])
    """
    return max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, 2)[0]


@public(method=False, kinds="if", samples=lambda: [
    Sample((1, 2, 4, 4, 4), 2), Sample((2, 5, 4, 6), [2, 3, 2], 2, [1, 1, 0], 1, True), Sample((0, 2, 2, 2, 2), 2), *_errors(3),
])  # fmt: skip
def max_pool3d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Tensor:
    """Return the largest elements of windows of (examples, channels, depth, height, width); see `max_pool2d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.max_pool3d(cr.arange(8.0).reshape(1, 2, 2, 2), 2)
    tensor([[[[7.]]]])
    """
    return max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, 3)[0]


@public(method=False, kinds="f", samples=lambda: [
    Sample((2, 3, 7), 2), Sample((3, 7), 3, 2, 1), Sample((2, 3, 8), 3, 2, 1, True, False), Sample((0, 4, 4), 2),
    Sample((4,), 2, error=(RuntimeError, "Expected 2 to 3 dimensions, but got 1-dimensional tensor for argument #1 'self'")),
    Sample((1, 4), 9, error=(RuntimeError, "Given input size: (1x1x4). Calculated output size: (1x1x")),
    Sample((1, 4), [2, 2], error=(RuntimeError, "avg_pool1d() argument 'kernel_size' should contain one int (got 2)")),
])  # fmt: skip
def avg_pool1d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:  # fmt: skip
    """Return the means of windows of (examples, channels, length); see `nn.functional.avg_pool2d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.avg_pool1d(cr.tensor([[1.0, 3.0, 2.0, 5.0]]), 2)
    tensor([[2.0000, 3.5000]])
    """
    return avg_pool(input, kernel_size, stride, padding, ceil_mode, count_include_pad, None, 1)


@public(method=False, kinds="f", samples=lambda: [
    Sample((2, 3, 7), 3), Sample((3, 7), 1), Sample((0, 3, 7), 7), Sample((2, 4), 5),
    Sample((4,), 2, error=(RuntimeError, "Expected 2 to 3 dimensions, but got 1-dimensional tensor for argument #1 'self'")),
])  # fmt: skip
def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Return the means of `output_size` windows of (examples, channels, length): see `nn.functional.adaptive_avg_pool2d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.adaptive_avg_pool1d(cr.tensor([[1.0, 3.0, 2.0, 5.0]]), 2)
    tensor([[2.0000, 3.5000]])
    """
    return adaptive_avg_pool(input, output_size, 1)


@public(method=False, kinds="f", samples=lambda: [
    Sample((2, 3, 7), 3), Sample((3, 7), 1), Sample((0, 3, 7), 7),
    Sample((4,), 2, error=(RuntimeError, "Expected 2 to 3 dimensions, but got 1-dimensional tensor for argument #1 'self'")),
])  # fmt: skip
def adaptive_max_pool1d(input: Tensor, output_size: Any) -> tuple[Tensor, Tensor]:
    """Return the largest elements of `output_size` windows of (examples, channels, length), and where they are.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.adaptive_max_pool1d(cr.tensor([[1.0, 3.0, 2.0, 5.0]]), 2)[0]
    tensor([[3., 5.]])
    """
    return adaptive_max_pool(input, output_size, 1)
