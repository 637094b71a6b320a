"""Convolutions and transposed convolutions over one, two and three axes of space, as functions."""

from __future__ import annotations

import operator
from typing import Any

from chainrule.core.call.dispatch import as_tensor
from chainrule.core.op.samples import Fixed, Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.functions.adapt import public
from chainrule.functions.linalg.contract import C_NAMES
from chainrule.ops.nn import convolution as ops
from chainrule.ops.pointwise.arithmetic import add
from chainrule.ops.shaping.shape import permute, reshape, squeeze, unsqueeze

__all__ = [
    "conv1d", "conv2d", "conv3d", "conv_tbc", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "convolution",
]  # fmt: skip

_AXES = ("depth", "height", "width")
_INTEGERS = ("uint8", "int8", "int16", "int32", "int64")

# -- arguments ---------------------------------------------------------------------------------------------------------


def _ints(value: Any, count: int, name: str) -> tuple[int, ...]:
    """Return one integer for each axis of space."""
    values = tuple(map(operator.index, value)) if isinstance(value, (tuple, list)) else (operator.index(value),)
    if len(values) == 1:
        return values * count
    if len(values) != count:
        raise RuntimeError(
            f"expected {name} to be a single integer value or a list of {count} values to match the convolution dimensions, "
            f"but got {name}={list(values)}"
        )
    return values


def _tensors(input: Any, weight: Any, bias: Any, name: str) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the operands as tensors of one dtype."""
    x, w = as_tensor(input, name), as_tensor(weight, name, 1)
    if w.ndim < 3 and name != "conv_tbc":  # which says so in words of its own
        raise RuntimeError("weight should have at least three dimensions")
    if x.dtype is not w.dtype:
        raise RuntimeError(f"expected scalar type {x.dtype.old_name} but found {w.dtype.old_name}")
    b = None if bias is None else as_tensor(bias, name, 2)
    if b is not None and b.dtype is not x.dtype:
        given, found = C_NAMES[x.dtype.name], C_NAMES[b.dtype.name]
        raise RuntimeError(f"Input type ({given}) and bias type ({found}) should be the same")
    return x, w, b


def _batched(x: Tensor, space: int, name: str) -> tuple[Tensor, bool]:
    """Return the input with an axis of examples, and whether that is a new one."""
    if x.ndim == space + 1:
        return unsqueeze(x, axis=0), True
    if x.ndim != space + 2:
        raise RuntimeError(
            f"Expected {space + 1}D (unbatched) or {space + 2}D (batched) input to {name}, but got input of size: "
            f"{list(x.shape)}"
        )
    return x, False


def _named(values: tuple, prefix: str) -> str:
    """Return numbers with the names of their axes, as PyTorch's errors list them."""
    return " ".join([f"{prefix}_{axis}: {n}" for axis, n in zip(_AXES[-len(values) :], values, strict=True)])


def _check(
    x: Tensor, w: Tensor, b: Tensor | None, stride: tuple, padding: tuple, dilation: tuple, groups: int, transposed: bool
) -> None:
    """Raise PyTorch's errors for what does not fit."""
    if w.ndim < 3:
        raise RuntimeError("weight should have at least three dimensions")
    if min(padding) < 0:
        raise RuntimeError("negative padding is not supported")
    if min(stride) <= 0:
        raise RuntimeError("non-positive stride is not supported")
    if min(dilation) <= 0:
        raise RuntimeError(f"dilation should be greater than zero, but got {list(dilation)}")
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    given = list(w.shape)
    if w.ndim != x.ndim:
        raise RuntimeError(
            f"Expected {w.ndim}-dimensional input for {w.ndim}-dimensional weight {given}, but got {x.ndim}-dimensional input "
            f"of size {list(x.shape)} instead"
        )
    if given[0] < groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, but got weight of size {given} "
            "instead"
        )
    if given[0] % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got weight of size "
            f"[{given}] instead"
        )
    channels = given[0] if transposed else given[1] * groups
    how = "transposed=1" if transposed else f"groups={groups}"
    if x.shape[1] != channels:
        raise RuntimeError(
            f"Given {how}, weight of size {given}, expected input{list(x.shape)} to have {channels} channels, but got "
            f"{x.shape[1]} channels instead"
        )
    results = given[1] * groups if transposed else given[0]
    if b is not None and tuple(b.shape) != (results,):
        lead = "transposed=1, " if transposed else ""
        raise RuntimeError(
            f"Given {lead}weight of size {given}, expected bias to be 1-dimensional with {results} elements, but got bias of "
            f"size {list(b.shape)} instead"
        )
    if min(given[2:]) <= 0:
        raise RuntimeError(f"kernel size should be greater than zero, but got {_named(tuple(given[2:]), 'kernel')}")


def _check_dtype(x: Tensor, kernel: str, integers: tuple[str, ...]) -> None:
    """Raise PyTorch's error for a dtype that its kernel lacks; of no elements it takes any."""
    d = x.dtype
    if x.numel() and not d.is_floating_point and not d.is_complex and d.name not in integers:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{d.old_name}'")


def _positions(x: Tensor, w: Tensor, stride: tuple, padding: tuple, dilation: tuple) -> tuple[int, ...]:
    """Return how many positions the kernel has along each axis, as much padding behind as before."""
    given = [n + 2 * p for n, p in zip(x.shape[2:], padding, strict=True)]
    reach = [d * (k - 1) + 1 for k, d in zip(w.shape[2:], dilation, strict=True)]
    if any([r > n for n, r in zip(given, reach, strict=True)]):
        raise RuntimeError(
            f"Calculated padded input size per channel: ({' x '.join(map(str, given))}). Kernel size: "
            f"({' x '.join(map(str, reach))}). Kernel size can't be greater than actual input size"
        )
    if 0 in x.shape[2:]:
        raise RuntimeError(f"Only zero batch or zero channel inputs are supported, but got input shape: {list(x.shape)}")
    return tuple([(n - r) // s + 1 for n, r, s in zip(given, reach, stride, strict=True)])


def _finished(out: Tensor, b: Tensor | None, is_one: bool) -> Tensor:
    if b is not None:
        out = add(out, reshape(b, shape=(b.shape[0], *(1,) * (out.ndim - 2))))
    return squeeze(out, axis=(0,), form="1") if is_one else out


# -- the two convolutions ----------------------------------------------------------------------------------------------


def _convolve(
    x: Tensor, w: Tensor, b: Tensor | None, stride: Any, padding: Any, dilation: Any, groups: Any, is_one: bool
) -> Tensor:
    space = w.ndim - 2
    stride, dilation = _ints(stride, space, "stride"), _ints(dilation, space, "dilation")
    groups = operator.index(groups)
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise RuntimeError(f"Invalid padding string: {padding!r}")
        before = (0,) * space
        if padding == "same":
            if any([s != 1 for s in stride]):
                raise RuntimeError("padding='same' is not supported for strided convolutions")
            before = tuple([d * (k - 1) // 2 for k, d in zip(w.shape[2:], dilation, strict=True)])
    else:
        before = _ints(padding, space, "padding")
    _check(x, w, b, stride, before, dilation, groups, False)
    size = tuple(x.shape[2:]) if padding == "same" else _positions(x, w, stride, before, dilation)
    if max(dilation) > 1:
        _check_dtype(x, "slow_conv_dilated<>", ("int64",))
    else:
        _check_dtype(x, "compute_columns3d" if space == 3 else "slow_conv2d_cpu", _INTEGERS)
    out = ops.conv(x, w, stride=stride, padding=before, dilation=dilation, groups=groups, size=size)
    return _finished(out, b, is_one)


def _convolve_transposed(
    x: Tensor, w: Tensor, b: Tensor | None, stride: Any, padding: Any, more: Any, groups: Any, dilation: Any, is_one: bool
) -> Tensor:
    space = w.ndim - 2
    stride, dilation = _ints(stride, space, "stride"), _ints(dilation, space, "dilation")
    padding, more, groups = _ints(padding, space, "padding"), _ints(more, space, "output_padding"), operator.index(groups)
    if min(more) < 0:
        raise RuntimeError("negative output_padding is not supported")
    _check(x, w, b, stride, padding, dilation, groups, True)
    if any([m >= max(s, d) for m, s, d in zip(more, stride, dilation, strict=True)]):
        given = " ".join([_named(v, n) for v, n in ((more, "output_padding"), (stride, "stride"), (dilation, "dilation"))])
        raise RuntimeError(f"output padding must be smaller than either stride or dilation, but got {given}")
    axes = zip(x.shape[2:], w.shape[2:], stride, padding, dilation, more, strict=True)
    size = tuple([(n - 1) * s - 2 * p + d * (k - 1) + m + 1 for n, k, s, p, d, m in axes])
    if min(size) < 1:
        given, found = (" x ".join(map(str, v)) for v in (x.shape[2:], size))
        raise RuntimeError(
            f"Given input size per channel: ({given}). Calculated output size per channel: ({found}). Output size is too small"
        )
    _check_dtype(x, f"slow_conv_transpose{max(space, 2)}d_out_cpu", ("int64",))
    out = ops.conv_input(x, w, stride=stride, padding=padding, dilation=dilation, groups=groups, size=size)
    return _finished(out, b, is_one)


# -- public ------------------------------------------------------------------------------------------------------------


def _errors(space: int, how: str) -> list[Sample]:
    """Return calls that PyTorch refuses."""
    fives, threes = (5,) * space, (3,) * space
    return [
        Sample((1, 3, *fives), (2, 4, *threes), error=(RuntimeError, f"Given {how}, weight of size [2, 4, 3")),
        Sample((1, *fives)[1:], (2, 3, *threes), error=(RuntimeError, f"Expected {space + 1}D (unbatched) or {space + 2}D")),
        Sample((1, 3, *fives), (3, 3, *threes), stride=0, error=(RuntimeError, "non-positive stride is not supported")),
        Sample((1, 3, *fives), (3, 3, *threes), padding=-1, error=(RuntimeError, "negative padding is not supported")),
        Sample((1, 3, *fives), (3, 3, *threes), dilation=0, error=(RuntimeError, "dilation should be greater than zero")),
        Sample((1, 3, *fives), (3, 3, *threes), groups=0, error=(RuntimeError, "non-positive groups is not supported")),
        Sample((1, 3, *fives), (3, 3, *threes), (1,), error=(RuntimeError, "Given ")),
        Sample(
            (1, 3, *fives), (3, 3, *threes), stride=(1,) * 4, error=(RuntimeError, "expected stride to be a single integer")
        ),
    ]


def _forward_errors(space: int) -> list[Sample]:
    fives, sevens = (5,) * space, (7,) * space
    return [
        *_errors(space, "groups=1"),
        Sample((1, 3, *fives), (2, 3, *sevens), error=(RuntimeError, "Calculated padded input size per channel: (5")),
        Sample(
            (1, 3, *fives), (2, 1, *sevens), groups=3, error=(RuntimeError, "Given groups=3, expected weight to be at least 3")
        ),
        Sample((1, 3, *fives), (2, 3, *sevens), padding="some", error=(RuntimeError, "Invalid padding string: 'some'")),
        Sample(
            (1, 3, *fives), (2, 3, *sevens), stride=2, padding="same", error=(RuntimeError, "padding='same' is not supported")
        ),
    ]


def _transposed_errors(space: int) -> list[Sample]:
    ones, fives = (1,) * space, (5,) * space
    return [
        *_errors(space, "transposed=1"),
        Sample(
            (1, 3, *fives), (3, 2, *ones), output_padding=1, error=(RuntimeError, "output padding must be smaller than either")
        ),
        Sample(
            (1, 3, *fives), (3, 2, *ones), output_padding=-1, error=(RuntimeError, "negative output_padding is not supported")
        ),
        Sample((1, 3, *ones), (3, 2, *ones), padding=1, error=(RuntimeError, "Given input size per channel: (1")),
    ]


@public(method=False, kinds="fc", samples=lambda: [
    Sample((2, 3, 7), (4, 3, 3)), Sample((2, 3, 7), (4, 3, 3), (4,), 2, 1), Sample((3, 7), (6, 1, 2), None, 1, "same", 2, 3),
    Sample((2, 4, 9), (2, 2, 2), stride=(3,), padding=(1,), dilation=(2,), groups=2), Sample((0, 3, 7), (4, 3, 3)),
    *_forward_errors(1),
])  # fmt: skip
def conv1d(
    input: Tensor, weight: Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """Convolve (examples, channels, length) with weights; parameters and errors are those of `conv2d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.conv1d(cr.tensor([[1.0, 2.0, 3.0, 4.0]]), cr.tensor([[[1.0, 10.0]]]))
    tensor([[21., 32., 43.]])
    """
    x, w, b = _tensors(input, weight, bias, "conv1d")
    x, is_one = _batched(x, 1, "conv1d")
    return _convolve(x, w, b, stride, padding, dilation, groups, is_one)


@public(method=False, kinds="fc", samples=lambda: [
    Sample((2, 3, 5, 6), (4, 3, 3, 2)), Sample((2, 3, 5, 6), (4, 3, 3, 3), (4,), 2, 1),
    Sample((4, 5, 5), (6, 2, 2, 3), (6,), Fixed((1, 2)), Fixed((2, 1)), Fixed((2, 1)), 2),
    Sample((1, 2, 5, 4), (3, 2, 2, 4), padding="same"),
    Sample((2, 3, 5, 5), (3, 1, 3, 3), padding=1, groups=3), Sample((1, 3, 5, 5), (6, 1, 3, 3), stride=2, groups=3),
    Sample((2, 3, 4, 4), (2, 3, 1, 1), padding="valid"), *_forward_errors(2),
])  # fmt: skip
def conv2d(
    input: Tensor, weight: Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """Convolve (examples, channels, height, width) with weights.

    ``out[n, m, o] = sum over c, k of input[n, c, stride * o + dilation * k - padding] * weight[m, c, k]``, plus the bias of m.
    Its derivatives are convolutions too (arXiv 1603.07285).

    Parameters
    ----------
    input : Tensor
        Of shape (examples, channels, height, width), or without examples; integers too. Half precision adds up in single.
    weight : Tensor
        Of shape (channels out, channels in / groups, rows, columns), and of the dtype of `input`.
    bias : Tensor, optional
        Of shape (channels out,).
    stride, dilation : int or tuple of ints
        Steps between positions of the kernel, and between its places, along each axis.
    padding : int, tuple of ints or str
        Zeros before and behind; ``"valid"`` for none, ``"same"`` for as many as keep the size, which needs stride 1.
    groups : int
        Into how many groups the channels fall, each convolved alone.

    Returns
    -------
    Tensor
        Of shape (examples, channels out, height, width).

    Raises
    ------
    RuntimeError
        If shapes or dtypes do not fit, the kernel is larger than the padded input, or a step is not positive.
    NotImplementedError
        If the values are truth values or, with dilation, integers other than int64.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.conv2d(cr.arange(9.0).reshape(1, 3, 3), cr.ones(1, 1, 2, 2))
    tensor([[[ 8., 12.],
             [20., 24.]]])
    """
    x, w, b = _tensors(input, weight, bias, "conv2d")
    x, is_one = _batched(x, 2, "conv2d")
    return _convolve(x, w, b, stride, padding, dilation, groups, is_one)


@public(method=False, kinds="fc", samples=lambda: [
    Sample((1, 2, 3, 4, 3), (2, 2, 2, 2, 2)),
    Sample((2, 2, 4, 3, 4), (4, 1, 2, 1, 2), (4,), stride=(1, 2, 1), padding=(0, 1, 1), dilation=(1, 1, 2), groups=2),
    *_forward_errors(3),
])  # fmt: skip
def conv3d(
    input: Tensor, weight: Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """Convolve (examples, channels, depth, height, width) with weights; parameters and errors are those of `conv2d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.conv3d(cr.ones(1, 2, 2, 3), cr.ones(1, 1, 2, 2, 2))
    tensor([[[[8., 8.]]]])
    """
    x, w, b = _tensors(input, weight, bias, "conv3d")
    x, is_one = _batched(x, 3, "conv3d")
    return _convolve(x, w, b, stride, padding, dilation, groups, is_one)


@public(method=False, kinds="fc", samples=lambda: [
    Sample((2, 3, 4), (3, 4, 3)), Sample((2, 3, 4), (3, 1, 3), (3,), 2, 1, 1, 3, 2), Sample((4, 5), (4, 2, 2)),
    *_transposed_errors(1),
])  # fmt: skip
def conv_transpose1d(
    input: Tensor, weight: Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
    groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """Spread (examples, channels, length) over weights; parameters and errors are those of `conv_transpose2d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.conv_transpose1d(cr.tensor([[1.0, 2.0]]), cr.tensor([[[1.0, 10.0]]]), stride=2)
    tensor([[ 1., 10.,  2., 20.]])
    """
    x, w, b = _tensors(input, weight, bias, "conv_transpose1d")
    x, is_one = _batched(x, 1, "conv_transpose1d")
    return _convolve_transposed(x, w, b, stride, padding, output_padding, groups, dilation, is_one)


@public(method=False, kinds="fc", samples=lambda: [
    Sample((2, 3, 4, 3), (3, 4, 3, 2)), Sample((2, 4, 3, 3), (4, 2, 3, 3), (4,), Fixed((2, 1)), 1, Fixed((1, 0)), 2, 2),
    Sample((3, 3, 3), (3, 1, 3, 3), None, 2, 1, 1, 3), Sample((0, 2, 3, 3), (2, 2, 1, 1)), *_transposed_errors(2),
])  # fmt: skip
def conv_transpose2d(
    input: Tensor, weight: Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
    groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """Spread each element of (examples, channels, height, width) over weights: the transpose of a convolution in its input.

    ``out[n, m, stride * i + dilation * k - padding] += input[n, c, i] * weight[c, m, k]``.

    Parameters
    ----------
    input : Tensor
        Of shape (examples, channels, height, width), or without examples.
    weight : Tensor
        Of shape (channels in, channels out / groups, rows, columns), and of the dtype of `input`.
    bias : Tensor, optional
        Of shape (channels out,).
    stride, dilation, padding : int or tuple of ints
        Those of the convolution whose input the result is.
    output_padding : int or tuple of ints
        What to add to the size of the result behind: sizes of input that a strided convolution does not tell apart.
    groups : int
        Into how many groups the channels fall.

    Returns
    -------
    Tensor
        Of shape (examples, channels out, height, width), where a size is
        ``(n - 1) * stride - 2 * padding + dilation * (k - 1) + output_padding + 1``.

    Raises
    ------
    RuntimeError
        If shapes or dtypes do not fit, a size would be less than 1, a step is not positive, or `output_padding` is not less
        than stride or dilation.
    NotImplementedError
        If the values are truth values, or integers other than int64.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.conv_transpose2d(cr.tensor([[[1.0, 2.0]]]), cr.ones(1, 1, 2, 2))
    tensor([[[1., 3., 2.],
             [1., 3., 2.]]])
    """
    x, w, b = _tensors(input, weight, bias, "conv_transpose2d")
    x, is_one = _batched(x, 2, "conv_transpose2d")
    return _convolve_transposed(x, w, b, stride, padding, output_padding, groups, dilation, is_one)


@public(method=False, kinds="fc", samples=lambda: [
    Sample((1, 2, 2, 3, 2), (2, 2, 2, 1, 2)),
    Sample((2, 3, 2, 2, 2), (3, 1, 2, 2, 2), (3,), 2, 1, 1, 3), *_transposed_errors(3),
])  # fmt: skip
def conv_transpose3d(
    input: Tensor, weight: Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
    groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """Spread (examples, channels, depth, height, width) over weights; parameters and errors are those of `conv_transpose2d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.conv_transpose3d(cr.ones(1, 1, 1, 2), cr.ones(1, 1, 1, 1, 2))
    tensor([[[[1., 2., 1.]]]])
    """
    x, w, b = _tensors(input, weight, bias, "conv_transpose3d")
    x, is_one = _batched(x, 3, "conv_transpose3d")
    return _convolve_transposed(x, w, b, stride, padding, output_padding, groups, dilation, is_one)


@public(method=False, kinds="fc", samples=lambda: [
    Sample((1, 2, 5, 5), (3, 2, 3, 3), None, stride=[1, 1], padding=[0, 1], dilation=[1, 1], transposed=False,
           output_padding=[0, 0], groups=1),
    Sample((1, 2, 3), (2, 2, 3), (2,), stride=[2], padding=[1], dilation=[1], transposed=True, output_padding=[1], groups=1),
])  # fmt: skip
def convolution(
    input: Tensor, weight: Tensor, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool, output_padding: Any,
    groups: int,
) -> Tensor:  # fmt: skip
    """Convolve over as many axes of space as the weight has, transposed or not; see `conv2d` and `conv_transpose2d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.convolution(cr.ones(1, 1, 3), cr.ones(1, 1, 2), None, [1], [0], [1], False, [0], 1)
    tensor([[[2., 2.]]])
    """
    x, w, b = _tensors(input, weight, bias, "convolution")
    if transposed:
        return _convolve_transposed(x, w, b, stride, padding, output_padding, groups, dilation, False)
    if min(_ints(output_padding, w.ndim - 2, "output_padding")) < 0:
        raise RuntimeError("negative output_padding is not supported")
    return _convolve(x, w, b, stride, padding, dilation, groups, False)


@public(method=False, kinds="f", samples=lambda: [
    Sample((5, 2, 3), (3, 3, 4), (4,)), Sample((5, 2, 3), (2, 3, 4), (4,), pad=1),
    Sample((5, 2), (3, 3, 4), (4,), error=(RuntimeError, "Input must have 3 dims: time, batch, in_channel")),
    Sample((5, 2, 3), (3, 4), (4,), error=(RuntimeError, "Weight tensor must have 3 dims: kernel_width,")),
    Sample((5, 2, 3), (3, 3, 4), (1, 4), error=(RuntimeError, "Bias must be 1-D")),
    Sample((5, 2, 3), (3, 2, 4), (4,), error=(RuntimeError, "Input dim 2 (input channels) is not == dim 1 in the weight")),
])  # fmt: skip
def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """Convolve a sequence (time, examples, channels) with weights (places, channels in, channels out), and add a bias.

    Raises
    ------
    RuntimeError
        If shapes or dtypes do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.conv_tbc(cr.ones(3, 1, 2), cr.ones(2, 2, 1), cr.zeros(1)).flatten()
    tensor([4., 4.])
    """
    x, w, b = _tensors(input, weight, bias, "conv_tbc")
    if x.ndim != 3:
        raise RuntimeError("Input must have 3 dims: time, batch, in_channel")
    if w.ndim != 3:
        raise RuntimeError("Weight tensor must have 3 dims: kernel_width, in_channels, out_channels.")
    if b is None or b.ndim != 1:
        raise RuntimeError("Bias must be 1-D")
    if x.shape[2] != w.shape[1]:
        raise RuntimeError("Input dim 2 (input channels) is not == dim 1 in the weight tensor")
    if b.shape[0] != w.shape[2]:
        raise RuntimeError("Bias size must equal dim 2 in the weight tensor (output channels).")
    _check_dtype(x, "addmm_impl_cpu_", _INTEGERS)
    out = _convolve(permute(x, order=(1, 2, 0)), permute(w, order=(2, 1, 0)), b, 1, operator.index(pad), 1, 1, False)
    return permute(out, order=(2, 0, 1))
