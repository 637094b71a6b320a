"""Tensors with the shape or dtype of another: ``zeros_like`` and its kin, the methods ``new_zeros`` and theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.call.asking import UNASKED, asked_here, asking
from chainrule.core.mode.grad_mode import modes
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.memory_format import order_in, preserve_format
from chainrule.functions.creation.create import placed
from chainrule.functions.creation.fill import (
    empty,
    empty_strided,
    filled,
    finished,
    full,
    number,
    numpy_dtype,
    ones,
    size_of,
    zeros,
)

__all__ = ["empty_like", "full_like", "ones_like", "zeros_like"]


def like(
    input: Any, name: str, make: Callable, dtype: Any, device: Any, requires_grad: bool, memory_format: Any = None
) -> Tensor:
    """Return a tensor of `input`'s shape, and dtype and layout in memory unless given; the latter of a level-0 tensor."""
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    numpy = numpy_dtype(dtype, input.dtype)
    if memory_format is not None and memory_format is not preserve_format:
        order = order_in(memory_format, input.ndim)
        array = np.empty([input.shape[axis] for axis in order], numpy).transpose(np.argsort(order))
    elif input._level or input.ndim < 2:
        array = np.empty(tuple(input.shape), numpy)
    else:
        data = input._data if (recorder := modes().compiling) is None else recorder.place(input)
        array = np.empty_like(data, numpy, subok=False)
    return finished(make(array), device, requires_grad)


def _writing(value: Any) -> Callable:
    def make(array: np.ndarray) -> np.ndarray:
        array[...] = value
        return array

    return make


@placed
def zeros_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, memory_format: Any = None
) -> Tensor:
    """Return zeros of `input`'s shape and dtype.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.zeros_like(cr.tensor([1.0, 2.0]))
    tensor([0., 0.])
    """
    if asking.on and (found := asked_here(zeros_like, locals())) is not UNASKED:
        return found
    return like(input, "zeros_like", _writing(0), dtype, device, requires_grad, memory_format)


@placed
def ones_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, memory_format: Any = None
) -> Tensor:
    """Return ones of `input`'s shape and dtype.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.ones_like(cr.tensor([5, 6]))
    tensor([1, 1])
    """
    if asking.on and (found := asked_here(ones_like, locals())) is not UNASKED:
        return found
    return like(input, "ones_like", _writing(1), dtype, device, requires_grad, memory_format)


@placed
def empty_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, memory_format: Any = None
) -> Tensor:
    """Return unspecified values of `input`'s shape and dtype.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.empty_like(cr.ones(2, 3)).shape
    chainrule.Size([2, 3])
    """
    if asking.on and (found := asked_here(empty_like, locals())) is not UNASKED:
        return found
    return like(input, "empty_like", lambda array: array, dtype, device, requires_grad, memory_format)


@placed
def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Return one value everywhere, in `input`'s shape and dtype.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.full_like(cr.ones(2), 3)
    tensor([3., 3.])
    """
    if asking.on and (found := asked_here(full_like, locals())) is not UNASKED:
        return found
    value = number(fill_value, "full_like")

    def make(array: np.ndarray) -> np.ndarray:
        array[...] = filled((), value, array.dtype)
        return array

    return like(input, "full_like", make, dtype, device, requires_grad, memory_format)


def _new_method(name: str, factory: Callable) -> None:
    def method(
        self: Tensor, *sizes: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
    ) -> Tensor:
        dtype = dtype or self.dtype
        return factory(size_of(name, sizes, size), dtype=dtype, device=device, requires_grad=requires_grad)

    method.__name__, method.__qualname__ = name, f"Tensor.{name}"
    method.__doc__ = f"Return :func:`chainrule.{factory.__name__}` of a shape, in this tensor's dtype unless given."
    setattr(Tensor, name, placed(method))


for _factory in (zeros, ones, empty):
    _new_method(f"new_{_factory.__name__}", _factory)


@placed
def new_full(
    self: Tensor, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return :func:`chainrule.full` of a shape and value, in this tensor's dtype unless given."""
    return full(size, fill_value, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)


@placed
def new_empty_strided(
    self: Tensor, size: Any, stride: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return :func:`chainrule.empty_strided` of a shape and strides, in this tensor's dtype unless given."""
    return empty_strided(size, stride, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)


Tensor.new_full = new_full  # type: ignore[attr-defined]
Tensor.new_empty_strided = new_empty_strided  # type: ignore[attr-defined]
