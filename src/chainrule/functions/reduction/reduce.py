"""Reductions under PyTorch's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.call.dispatch import as_tensor, cast
from chainrule.core.op.samples import Ints, Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.shape import axes_tuple, axis_index
from chainrule.functions.adapt import public
from chainrule.ops.reduction import reduce as ops

__all__ = ["all", "any", "count_nonzero", "hash_tensor", "logsumexp", "mean", "nanmean", "nansum", "prod", "sum"]

OUT_OF_RANGE = (IndexError, "Dimension out of range (expected to be in range of [-2, 1], but got 2)")
TWICE = (RuntimeError, "dim 0 appears multiple times in the list of dims")
NAN = np.array([1.0, np.nan, 3.0])


def dims() -> list[Sample]:
    return [
        Sample((3, 4)), Sample((3, 4), dim=1), Sample((2, 3, 4), dim=(0, -1), keepdim=True), Sample(()),
        Sample((3, 4), dim=2, error=OUT_OF_RANGE), Sample((3, 4), dim=(0, 0), error=TWICE),
    ]  # fmt: skip


def _summand(input: Any, name: str, dtype: Any) -> Tensor:
    """Return the tensor to sum or multiply: cast to `dtype`, or integers and bools to int64."""
    x = as_tensor(input, name)
    if dtype is not None:
        return cast(x, dtypes.as_dtype(dtype))
    return cast(x, dtypes.int64) if x.dtype.category < dtypes.FLOAT else x


def _total(x: Tensor, dtype: Any) -> Tensor:
    """Return a total in the dtype asked for: that of integers and bools was taken in 64 bits, whose last are the same."""
    return x if dtype is None else cast(x, dtypes.as_dtype(dtype))


def refuse_complex(x: Tensor, text: str, kind: type[Exception] = NotImplementedError) -> None:
    """Raise PyTorch's error for a function that orders its elements; `{}` in the text is the dtype."""
    if x.dtype.category == dtypes.COMPLEX:
        raise kind(text.format(x.dtype.old_name))


def refuse_empty(x: Tensor, axes: tuple, name: str) -> None:
    """Raise PyTorch's error for an extremum over no elements."""
    for axis in axes:
        if not x.shape[axis]:
            raise IndexError(f"{name}(): Expected reduction dim {axis} to have non-zero size.")


# -- sums --------------------------------------------------------------------------------------------------------------


@public(out=True, kinds="bifc", samples=lambda: [*dims(), Sample((0, 3)), Sample((0, 3), dim=0)])
def sum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Return the sum of the elements, over all axes or some.

    Parameters
    ----------
    input : Tensor
        Of any shape and dtype; integers and bools are summed as ``int64``.
    dim : int or tuple of int, optional
        Axes to sum over; all by default.
    keepdim : bool
        Keep the summed axes with size 1.
    dtype : dtype, optional
        Cast to this first.

    Raises
    ------
    IndexError
        If an axis is out of range.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.sum(cr.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=0)
    tensor([4., 6.])
    """
    if dim is None and dtype is None and input.__class__ is Tensor and input._data.dtype.kind in "fc":
        return ops.sum(input, axis=ops.ALL[input.ndim], keepdims=keepdim)
    x = _summand(input, "sum", dtype)
    return _total(ops.sum(x, axis=axes_tuple(dim, x.ndim), keepdims=keepdim), dtype)


@public(out=True,
    samples=lambda: [*dims(), Sample((0, 3)), Sample((0, 3), dim=1),
        Sample(Ints((3,), 0, 4), error=(RuntimeError, "mean(): could not infer output dtype. Input dtype must be either a")),
    ],
)  # fmt: skip
def mean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Return the mean of the elements, over all axes or some.

    Parameters
    ----------
    input : Tensor
        Of any shape; floating point or complex unless `dtype` is given.
    dim : int or tuple of int, optional
        Axes to average over; all by default.
    keepdim : bool
        Keep the averaged axes with size 1.
    dtype : dtype, optional
        Cast to this first.

    Raises
    ------
    RuntimeError
        If the dtype is neither floating point nor complex.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.mean(cr.tensor([1.0, 2.0, 6.0]))
    tensor(3.)
    """
    if dim is None and dtype is None and input.__class__ is Tensor and input._data.dtype.kind in "fc":
        return ops.mean(input, axis=ops.ALL[input.ndim], keepdims=keepdim)
    x = as_tensor(input, "mean")
    if dtype is not None:
        x = cast(x, dtypes.as_dtype(dtype))
    if x.dtype.category < dtypes.FLOAT:
        which = "Input" if dtype is None else "Optional"
        raise RuntimeError(
            f"mean(): could not infer output dtype. {which} dtype must be either a floating point or complex dtype. "
            f"Got: {x.dtype.old_name}"
        )
    return ops.mean(x, axis=axes_tuple(dim, x.ndim), keepdims=keepdim)


@public(out=True, kinds="bif", samples=lambda: [*dims(), Sample(NAN), Sample(NAN, dim=0, keepdim=True)])
def nansum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Return the sum of the elements that are not NaN.

    Parameters
    ----------
    input : Tensor
        Of any shape and any real dtype.
    dim, keepdim, dtype
        As for :func:`sum`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nansum(cr.tensor([1.0, float("nan"), 2.0]))
    tensor(3.)
    """
    x = _summand(input, "nansum", dtype)
    refuse_complex(x, "nansum on CPU does not support complex inputs", RuntimeError)
    if x.dtype.category < dtypes.FLOAT:
        return _total(ops.sum(x, axis=axes_tuple(dim, x.ndim), keepdims=keepdim), dtype)
    return ops.nansum(x, axis=axes_tuple(dim, x.ndim), keepdims=keepdim)


@public(out=True, kinds="f", samples=lambda: [*dims(), Sample(NAN), Sample(NAN, dim=0, keepdim=True)])
def nanmean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Return the mean of the elements that are not NaN.

    Parameters
    ----------
    input : Tensor
        Of any shape, floating point.
    dim, keepdim, dtype
        As for :func:`sum`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nanmean(cr.tensor([1.0, float("nan"), 2.0]))
    tensor(1.5000)
    """
    x = as_tensor(input, "nanmean")
    if x.dtype.category < dtypes.FLOAT:
        raise RuntimeError(f"nanmean(): expected input to have floating point or complex dtype but got {x.dtype.old_name}")
    total = nansum(x, dim, keepdim, dtype=dtype)
    present = ops.sum(cast(x == x, total.dtype), axis=axes_tuple(dim, x.ndim), keepdims=keepdim)
    return total / present


# -- products ----------------------------------------------------------------------------------------------------------


@public(out=True,
    kinds="bifc",
    samples=lambda: [
        Sample((3, 4)), Sample((3, 4), dim=1), Sample((2, 3, 4), dim=-1, keepdim=True), Sample(()), Sample((), dim=0),
        Sample((0, 3)), Sample((0, 3), dim=0), Sample(np.array([2.0, 0.0, 3.0])), Sample(np.array([[0.0, 0.0], [3.0, 0.0]]),
        dim=1),
        Sample((3, 4), dim=2, error=OUT_OF_RANGE),
    ],
)  # fmt: skip
def prod(input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Return the product of all elements, or along one axis; the gradient is exact where elements are zero.

    Parameters
    ----------
    input : Tensor
        Of any shape and dtype; integers and bools are multiplied as ``int64``.
    dim : int, optional
        Axis to multiply over; all by default.
    keepdim : bool
        Keep the axis with size 1.
    dtype : dtype, optional
        Cast to this first.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([2.0, 0.0, 3.0], requires_grad=True)
    >>> x.prod().backward()
    >>> x.grad
    tensor([0., 6., 0.])
    """
    x = _summand(input, "prod", dtype)
    return _total(ops.prod(x, axis=None if dim is None else axis_index(dim, x.ndim), keepdims=keepdim), dtype)


# -- logarithm of a sum ------------------------------------------------------------------------------------------------


@public(out=True,
    kinds="ifc",
    samples=lambda: [
        Sample((3, 4), 1), Sample((3, 4), dim=(0, 1)), Sample((2, 3, 4), dim=-2, keepdim=True), Sample((), dim=0),
        Sample((0, 3), dim=0),
        Sample(np.array([-np.inf, 0.0]), dim=0), Sample(np.array([np.inf, 0.0]), dim=0), Sample((3, 4),
        dim=2, error=OUT_OF_RANGE),
    ],
)  # fmt: skip
def logsumexp(input: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """Return ``log(sum(exp(input)))`` over axes, computed without overflow.

    Parameters
    ----------
    input : Tensor
        Of any shape; integers become the default dtype.
    dim : int or tuple of int
        Axes to sum over.
    keepdim : bool
        Keep the axes with size 1.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.logsumexp(cr.tensor([100.0, 100.0]), dim=0)
    tensor(100.6931)
    """
    x = as_tensor(input, "logsumexp")
    if x.dtype.category < dtypes.FLOAT:
        x = cast(x, dtypes.get_default_dtype())
    return ops.logsumexp(x, axis=axes_tuple(dim, x.ndim), keepdims=keepdim)


# -- truth -------------------------------------------------------------------------------------------------------------


def _truth(input: Any, name: str, op_call: Any, dim: Any, keepdim: bool) -> Tensor:
    x = as_tensor(input, name)
    out = op_call(x, axis=axes_tuple(dim, x.ndim), keepdims=keepdim)
    return cast(out, dtypes.uint8) if x.dtype is dtypes.uint8 else out


@public(out="exact", kinds="bifc", samples=lambda: [*dims(), Sample((0, 3)), Sample((0, 3), dim=0)])
def all(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Tell whether all elements are true, over all axes or some.

    Parameters
    ----------
    input : Tensor
        Of any shape and dtype; what is not zero is true.
    dim : int or tuple of int, optional
        Axes; all by default.
    keepdim : bool
        Keep the axes with size 1.

    Returns
    -------
    Tensor of bool
        Of uint8 for uint8 input, as in PyTorch. Not differentiable.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.all(cr.tensor([[True, True], [True, False]]), dim=1)
    tensor([ True, False])
    """
    return _truth(input, "all", ops.all, dim, keepdim)


@public(out="exact", kinds="bifc", samples=lambda: [*dims(), Sample((0, 3)), Sample((0, 3), dim=0)])
def any(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Tell whether any element is true, over all axes or some.

    Parameters
    ----------
    input : Tensor
        Of any shape and dtype; what is not zero is true.
    dim, keepdim
        As for :func:`all`.

    Returns
    -------
    Tensor of bool
        Of uint8 for uint8 input, as in PyTorch. Not differentiable.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.any(cr.tensor([[False, False], [True, False]]), dim=1)
    tensor([False,  True])
    """
    return _truth(input, "any", ops.any, dim, keepdim)


@public(kinds="bifc", samples=lambda: [Sample((3, 4)), Sample((3, 4), dim=1), Sample((2, 3, 4), dim=(0, 2)), Sample(())])
def count_nonzero(input: Tensor, dim: Any = None) -> Tensor:
    """Count the elements that are not zero, over all axes or some.

    Parameters
    ----------
    input : Tensor
        Of any shape and dtype.
    dim : int or tuple of int, optional
        Axes; all by default.

    Returns
    -------
    Tensor of int64
        Not differentiable.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.count_nonzero(cr.tensor([[1.0, 0.0], [2.0, 3.0]]), dim=0)
    tensor([2, 1])
    """
    x = as_tensor(input, "count_nonzero")
    return ops.count_nonzero(x, axis=axes_tuple(dim, x.ndim))


@public(
    kinds="bif", out="exact",
    samples=lambda: [
        Sample((3, 4)), Sample((3, 4), 1), Sample((2, 3, 4), dim=(0, 2), keepdim=True), Sample(()), Sample((0, 2), 1),
        Sample((0,), error=(RuntimeError, "hash_tensor: Expected reduction dim to be specified for input.numel() == 0")),
    ],
)  # fmt: skip
def hash_tensor(input: Tensor, dim: Any = (), *, keepdim: bool = False, mode: int = 0) -> Tensor:
    """Return the exclusive or of the bits of the elements, each as a double or a 64-bit integer: equal tensors hash equally.

    Parameters
    ----------
    input : Tensor
        Real.
    dim : int or tuple of int
        The axes to reduce; none means all.
    keepdim : bool
        Keep reduced axes at size 1.
    mode : int
        0, the only one there is.

    Returns
    -------
    Tensor of uint64

    Raises
    ------
    RuntimeError
        For another mode, or no elements and no axes.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.hash_tensor(cr.tensor([1, 2, 4])).item()
    7
    """
    x = as_tensor(input, "hash_tensor")
    if mode != 0:
        raise RuntimeError(f"hash_tensor: unsupported mode {mode}; 0 is the only one")
    if x.dtype.category > dtypes.FLOAT:
        raise NotImplementedError(f"\"xor_sum_cpu\" not implemented for '{x.dtype.old_name}'")
    axes = axes_tuple(dim, x.ndim)
    if not x.numel() and not (hasattr(dim, "__index__") or dim):
        raise RuntimeError(
            "hash_tensor: Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the "
            "'dim' argument."
        )
    return ops.xor_sum(x, axis=axes, keepdims=keepdim)
