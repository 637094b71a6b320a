"""Extrema under PyTorch's names, with their positions."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.call.dispatch import as_tensor
from chainrule.core.op.samples import Bools, Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import axes_tuple, axis_index
from chainrule.functions.adapt import public
from chainrule.functions.elementwise import maximum, minimum
from chainrule.functions.reduction.reduce import NAN, dims, refuse_complex, refuse_empty
from chainrule.ops.comparison import order
from chainrule.ops.reduction import reduce as ops
from chainrule.return_types import named_result

__all__ = ["amax", "amin", "aminmax", "argmax", "argmin", "max", "min"]


def _extremum(
    name: str, input: Any, dim: Any, keepdim: bool, other: Any, result: Any, of_all: Any, along: Any, pair: Any
) -> Any:
    x = as_tensor(input, name)
    if isinstance(dim, (Tensor, np.ndarray)):
        dim, other = None, dim
    if other is not None:
        return pair(x, other)
    if dim is None:
        refuse_complex(x, f"\"{name}_all\" not implemented for '{{}}'")
        if not x.numel():
            raise RuntimeError(
                f"{name}(): Expected reduction dim to be specified for input.numel() == 0. "
                "Specify the reduction dim with the 'dim' argument."
            )
        return of_all(x, axis=tuple(range(x.ndim)), keepdims=False)
    refuse_complex(x, f"{name}(): does not support complex input", RuntimeError)
    axis = axis_index(dim, x.ndim)
    if x.ndim:
        refuse_empty(x, (axis,), name)
    return result(*along(x, axis=axis, keepdims=keepdim))


_max, _min = named_result("max", "values", "indices"), named_result("min", "values", "indices")


def _extremum_samples(name: str) -> list[Sample]:
    ties = np.array([[1.0, 3.0, 3.0], [3.0, 0.0, 1.0]])
    return [
        Sample((3, 4)), Sample((3, 4), dim=1), Sample((2, 3, 4), dim=-2, keepdim=True), Sample(()), Sample((), dim=0),
        Sample(ties), Sample(ties, dim=1), Sample((3, 4), (4,)), Sample(NAN), Sample(NAN, dim=0), Sample((3, 0), dim=0),
        Sample((0,), error=(RuntimeError, f"{name}(): Expected reduction dim to be specified for input.numel() == 0.")),
        Sample((0, 3), dim=0, error=(IndexError, f"{name}(): Expected reduction dim 0 to have non-zero size.")),
    ]  # fmt: skip


@public(out="exact", kinds="bif", samples=lambda: _extremum_samples("max"))
def max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """Return the largest element; or the largest along an axis with its index; or the elementwise maximum of two tensors.

    Parameters
    ----------
    input : Tensor
        Of any shape and real dtype. NaN counts as larger than any number.
    dim : int or Tensor, optional
        The axis. A tensor here means :func:`maximum` of both.
    keepdim : bool
        Keep the axis with size 1.
    other : Tensor, optional
        Tensor for the elementwise maximum.

    Returns
    -------
    Tensor or namedtuple (values, indices)
        Without an axis, ties share the gradient evenly; with one, it goes to the (first) index returned.

    Raises
    ------
    IndexError, RuntimeError
        If there is no element to choose from.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([[1.0, 5.0], [4.0, 3.0]])
    >>> cr.max(x)
    tensor(5.)
    >>> cr.max(x, dim=1).indices
    tensor([1, 0])
    """
    return _extremum("max", input, dim, keepdim, other, _max, ops.max_of_all, order.max_along, maximum)


@public(out="exact", kinds="bif", samples=lambda: _extremum_samples("min"))
def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """Return the smallest element; or the smallest along an axis with its index; or the elementwise minimum of two tensors.

    Parameters
    ----------
    input : Tensor
        Of any shape and real dtype. NaN counts as smaller than any number.
    dim, keepdim, other
        As for :func:`max`.

    Returns
    -------
    Tensor or namedtuple (values, indices)
        Without an axis, ties share the gradient evenly; with one, it goes to the (first) index returned.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.min(cr.tensor([[1.0, 5.0], [4.0, 3.0]]), dim=1).values
    tensor([1., 3.])
    """
    return _extremum("min", input, dim, keepdim, other, _min, ops.min_of_all, order.min_along, minimum)


def _amax_samples(name: str) -> list[Sample]:
    ties = np.array([[1.0, 3.0, 3.0], [3.0, 0.0, 1.0]])
    return [
        *dims(), Sample(ties), Sample(ties, dim=1), Sample((3, 0), dim=0),
        Sample((0,), error=(RuntimeError, f"{name}(): Expected reduction dim to be specified for input.numel() == 0.")),
        Sample((0, 3), dim=0, error=(IndexError, f"{name}(): Expected reduction dim 0 to have non-zero size.")),
    ]  # fmt: skip


def _many(name: str, values: str, op_call: Any, input: Any, dim: Any, keepdim: bool) -> Tensor:
    x = as_tensor(input, name)
    refuse_complex(x, f"\"{values}\" not implemented for '{{}}'")
    axes = axes_tuple(dim, x.ndim)
    if not x.numel():
        if len(axes) == x.ndim and dim in (None, ()):
            raise RuntimeError(
                f"{name}(): Expected reduction dim to be specified for input.numel() == 0. "
                "Specify the reduction dim with the 'dim' argument."
            )
        refuse_empty(x, axes, name)
    return op_call(x, axis=axes, keepdims=keepdim)


@public(out="exact", kinds="bif", samples=lambda: _amax_samples("amax"))
def amax(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """Return the largest element over all axes or some; ties share the gradient evenly.

    Parameters
    ----------
    input : Tensor
        Of any shape and real dtype.
    dim : int or tuple of int
        Axes; all by default.
    keepdim : bool
        Keep the axes with size 1.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.amax(cr.tensor([[1.0, 5.0], [4.0, 3.0]]), dim=(0, 1))
    tensor(5.)
    """
    return _many("amax", "max_values_cpu", ops.amax, input, dim, keepdim)


@public(out="exact", kinds="bif", samples=lambda: _amax_samples("amin"))
def amin(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """Return the smallest element over all axes or some; ties share the gradient evenly.

    Parameters
    ----------
    input : Tensor
        Of any shape and real dtype.
    dim, keepdim
        As for :func:`amax`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.amin(cr.tensor([[1.0, 5.0], [4.0, 3.0]]), dim=0)
    tensor([1., 3.])
    """
    return _many("amin", "min_values_cpu", ops.amin, input, dim, keepdim)


_aminmax = named_result("aminmax", "min", "max")


@public(out="exact",
    kinds="bif",
    samples=lambda: [
        Sample((3, 4)), Sample((3, 4), dim=1), Sample((2, 3, 4), dim=-2, keepdim=True), Sample(()),
        Sample(np.array([1.0, 1.0, 2.0])),
        Sample((0,),
        error=(RuntimeError, "aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity.")),
        Sample((0, 3), dim=0, error=(IndexError, "aminmax: Expected reduction dim 0 to have non-zero size.")),
    ],
)  # fmt: skip
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the smallest and the largest element, of all or along an axis; ties share the gradient evenly.

    Parameters
    ----------
    input : Tensor
        Of any shape and real dtype.
    dim : int, optional
        The axis; all by default.
    keepdim : bool
        Keep the axis with size 1.

    Returns
    -------
    namedtuple (min, max)

    Examples
    --------
    >>> import chainrule as cr
    >>> low, high = cr.aminmax(cr.tensor([2.0, 5.0, 3.0]))
    >>> low, high
    (tensor(2.), tensor(5.))
    """
    x = as_tensor(input, "aminmax")
    refuse_complex(x, "\"aminmax_cpu\" not implemented for '{}'")
    if dim is None:
        if not x.numel():
            raise RuntimeError("aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity.")
    elif x.ndim and not x.shape[axis_index(dim, x.ndim)]:
        raise IndexError(f"aminmax: Expected reduction dim {axis_index(dim, x.ndim)} to have non-zero size.")
    return _aminmax(*ops.aminmax(x, axis=axes_tuple(dim, x.ndim), keepdims=keepdim))


def _argument(name: str, op_call: Any, input: Any, dim: int | None, keepdim: bool) -> Tensor:
    x = as_tensor(input, name)
    refuse_complex(x, f"{name}(): does not support complex input", RuntimeError)
    if x.dtype.category == 0:
        raise RuntimeError(f"{name}(): does not support bool input")
    if dim is None:
        if not x.numel():
            raise IndexError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0.")
        return op_call(x, axis=None, keepdims=keepdim)
    axis = axis_index(dim, x.ndim)
    if x.ndim:
        refuse_empty(x, (axis,), name)
    return op_call(x, axis=axis, keepdims=keepdim)


def _argument_samples(name: str) -> list[Sample]:
    return [
        Sample((3, 4)), Sample((3, 4), dim=1), Sample((2, 3, 4), dim=-2, keepdim=True), Sample(()), Sample((3, 4),
        keepdim=True),
        Sample(NAN), Sample(np.array([2.0, 2.0, 1.0, 1.0])), Sample((3, 0), dim=0),
        Sample((0,), error=(IndexError, f"{name}(): Expected reduction dim to be specified for input.numel() == 0.")),
        Sample((0, 3), dim=0, error=(IndexError, f"{name}(): Expected reduction dim 0 to have non-zero size.")),
        Sample(Bools((3,)), error=(RuntimeError, f"{name}(): does not support bool input")),
    ]  # fmt: skip


@public(out="exact", kinds="if", samples=lambda: _argument_samples("argmax"))
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Return the index of the largest element, the first among equals: in the flattened tensor, or along an axis.

    Parameters
    ----------
    input : Tensor
        Of any shape, integer or floating point. NaN counts as larger than any number.
    dim : int, optional
        The axis; all by default.
    keepdim : bool
        Keep the axis with size 1.

    Returns
    -------
    Tensor of int64
        Not differentiable.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.argmax(cr.tensor([1.0, 5.0, 3.0]))
    tensor(1)
    """
    return _argument("argmax", ops.argmax, input, dim, keepdim)


@public(out="exact", kinds="if", samples=lambda: _argument_samples("argmin"))
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Return the index of the smallest element, the first among equals: in the flattened tensor, or along an axis.

    Parameters
    ----------
    input : Tensor
        Of any shape, integer or floating point. NaN counts as smaller than any number.
    dim, keepdim
        As for :func:`argmax`.

    Returns
    -------
    Tensor of int64
        Not differentiable.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.argmin(cr.tensor([1.0, 5.0, 0.0]))
    tensor(2)
    """
    return _argument("argmin", ops.argmin, input, dim, keepdim)
