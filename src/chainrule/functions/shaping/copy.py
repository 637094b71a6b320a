"""Copies, detaching, and writes of whole tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.call.dispatch import as_tensor, cast, in_full
from chainrule.core.graph.nodes import LEAF
from chainrule.core.mode.grad_mode import modes
from chainrule.core.op.samples import Sample
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import aliased, as_stored, marked_as, memory_of, take, version_of
from chainrule.core.types import dtype as dtypes
from chainrule.core.types import memory_format as formats
from chainrule.core.types.absent import Absent
from chainrule.core.write.inplace import assign, check_unfrozen, check_writable, repeats, write
from chainrule.core.write.views import loosen
from chainrule.functions.adapt import public
from chainrule.ops.indexing.view import getitem
from chainrule.ops.shaping import shape as ops

__all__ = ["clone", "detach", "fill"]

NUMBERS = frozenset((float, int, bool, complex))


@public(samples=lambda: [Sample((3, 4)), Sample(()), Sample((0,))])
def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """Return a copy; gradients flow through it.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.clone(cr.tensor([1, 2])).tolist()
    [1, 2]
    """
    return laid_out(ops.clone(as_tensor(input, "clone")), memory_format)


def laid_out(x: Tensor, memory_format: Any) -> Tensor:
    """Return a tensor with its elements in a memory format, itself if they are; None and `preserve_format` keep the order."""
    if memory_format is None or memory_format is formats.preserve_format:
        return x
    order = formats.order_in(memory_format, x.ndim)
    if memory_format.order is None:
        return x if x.is_contiguous() else ops.contiguous(x)
    if formats.lies_in(tuple(x.shape), x.stride(), order):
        return x
    moved = ops.contiguous(ops.permute(x, order=order))
    return ops.permute(moved, order=tuple(sorted(range(x.ndim), key=order.__getitem__)))


def contiguous(self: Tensor, memory_format: Any = None) -> Tensor:
    """Return the tensor with its elements in C order, or another memory format: itself if they are, a copy else.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.zeros(2, 3).T.contiguous().is_contiguous()
    True
    """
    return laid_out(self, formats.contiguous_format if memory_format is None else memory_format)


@public(samples=lambda: [Sample((3,)), Sample(())])
def detach(input: Tensor) -> Tensor:
    """Return the same memory without history: no derivative of any mode flows through it.

    Writes to either tensor are seen by the other and by the check of saved values.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.ones(2, requires_grad=True)
    >>> cr.detach(x * 2).requires_grad
    False
    """
    x = as_tensor(input, "detach")
    if x._level:
        return ops.detach(x)
    made = aliased(x) if x._bit else marked_as(wrap(memory_of(x)), x)
    made._ver = version_of(x)
    return made


def detach_(self: Tensor) -> Tensor:
    """Make this tensor a leaf without history, in place.

    Raises
    ------
    RuntimeError
        If it is a view.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.ones(2, requires_grad=True) * 2
    >>> x.detach_().requires_grad
    False
    """
    if self._view is not None:
        raise RuntimeError("Can't detach views in-place. Use detach() instead.")
    if self._level:
        take(self, ops.detach(self))
    elif self._node is not None and not modes().inference:
        self._node = None
        loosen(self)
    return self


# -- writes of whole tensors -------------------------------------------------------------------------------------------


def plain(target: Tensor, value: Any = None) -> bool:
    """Tell whether a write may go straight to memory: nothing of it is to be recorded, at any level."""
    if target._level or target._data.__class__ is Absent or modes().compiling is not None:
        return False
    if isinstance(value, Tensor):
        if value._level or value._data.__class__ is Absent:
            return False
        if modes().record and value._node is not None:
            return False
    return not modes().record or target._node is None


def put_raw(target: Tensor, index: Any, value: Any) -> None:
    """Write a number or the payload of a tensor to a place of a plain tensor's memory, cast to its dtype."""
    raw = value._data if isinstance(value, Tensor) else _number_in(value, target.dtype)
    array = memory_of(target)
    if getattr(raw, "dtype", None) is not array.dtype and raw.__class__ not in NUMBERS:
        raw = raw.real if raw.dtype.kind == "c" and array.dtype.kind != "c" else raw
        raw = raw.astype(array.dtype)
    if raw.__class__ is np.ndarray and raw.size > 1 and np.may_share_memory(raw, array):
        raw = raw.copy()
    array[index] = as_stored(target, raw)
    version_of(target).bump()


def copy_(self: Tensor, other: Any, non_blocking: bool = False) -> Tensor:
    """Write the values of `other` into this tensor, broadcast to its shape and cast to its dtype; gradients flow to `other`.

    Raises
    ------
    RuntimeError
        If the shapes do not fit, or this is a leaf that requires grad.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.zeros(2, 2).copy_(cr.tensor([1, 2])).tolist()
    [[1.0, 2.0], [1.0, 2.0]]
    """
    value = as_tensor(other, "copy_", 1)
    check_writable(self, value)
    shape = tuple(self.shape)
    if tuple(value.shape) != shape:
        try:
            fits = np.broadcast_shapes(value.shape, shape) == shape
        except ValueError:
            fits = False
        if not fits:
            raise RuntimeError(
                f"output with shape {list(shape)} doesn't match the broadcast shape: a value of shape {list(value.shape)} "
                "was given to copy_()"
            )
    if value.numel():
        dtypes.warn_discarding(value.dtype, self.dtype, 2)
    if plain(self, value):
        put_raw(self, ..., value)
        return self
    value = cast(value, self.dtype)
    if self._view is None and value._level <= self._level:
        return write(self, ops.copy(self, value, form="CopyBackwards!"), "copy_")
    return write(self, ops.clone(value) if value._node is LEAF or value._level else value, "copy_")


def _filled(x: Tensor, value: Any, form: str) -> Tensor:
    value = in_full(_number_in(value, x.dtype), "fill", 1)
    if value.ndim:
        raise RuntimeError(f"fill_ only supports 0-dimension value tensor but got tensor with {value.ndim} dimensions.")
    if x.numel():
        dtypes.warn_discarding(value.dtype, x.dtype, 3)
    return ops.copy(x, cast(value, x.dtype), form=form)


def _number_in(value: Any, d: dtypes.dtype) -> Any:
    """Return a value to fill with; raise PyTorch's error for a complex number where real ones go."""
    if value.__class__ is complex and d.category != dtypes.COMPLEX:
        if value.imag:
            raise RuntimeError(f"value cannot be converted to type {d.name.rstrip('0123456789')} without overflow")
        return value.real
    return value


@public(method=False, samples=lambda: [Sample((3, 4), 2.5), Sample((3,), ()), Sample((), 1.0)])
def fill(input: Tensor, value: Any) -> Tensor:
    """Return a tensor of the shape and dtype of `input` that holds one value everywhere; gradients flow to the value.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.fill(cr.zeros(2), 3.0).tolist()
    [3.0, 3.0]
    """
    return _filled(as_tensor(input, "fill"), value, "Fill1" if isinstance(value, Tensor) else "Fill0")


def fill_(self: Tensor, value: Any) -> Tensor:
    """Write one value everywhere.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.zeros(2).fill_(3.0).tolist()
    [3.0, 3.0]
    """
    return _fill(self, value, "Fill3" if isinstance(value, Tensor) else "Fill2")


def _fill(self: Tensor, value: Any, form: str) -> Tensor:
    if repeats(self):  # one element of each place in memory stands for all
        steps = self.stride()
        check_unfrozen(self)
        _fill(getitem(self, index=tuple([slice(0, 1) if step == 0 else slice(None) for step in steps])), value, form)
    elif value.__class__ in NUMBERS and plain(self):
        check_writable(self)
        array = memory_of(self)
        array[...] = as_stored(self, np.array(_number_in(value, self.dtype)).astype(array.dtype))
        version_of(self).bump()
    else:
        assign(self, lambda: _filled(self, value, form), form.lower().rstrip("0123456789") + "_")
    return self


def zero_(self: Tensor) -> Tensor:
    """Write zeros everywhere.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.ones(2).zero_().tolist()
    [0.0, 0.0]
    """
    return _fill(self, 0, "Zero")


Tensor.contiguous, Tensor.detach_ = contiguous, detach_  # type: ignore[attr-defined]
Tensor.copy_, Tensor.fill_, Tensor.zero_ = copy_, fill_, zero_  # type: ignore[attr-defined]
