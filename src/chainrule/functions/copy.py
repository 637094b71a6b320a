"""Copies, detaching, and writes of whole tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.dispatch import as_tensor, cast
from chainrule.core.graph import LEAF
from chainrule.core.inplace import assign, check_writable, write
from chainrule.core.mode import modes
from chainrule.core.sample import Sample
from chainrule.core.tensor import Tensor, array_of, marked_as, take, version_of, wrap
from chainrule.functions.adapt import public
from chainrule.functions.transpose import t, transpose
from chainrule.functions.view import squeeze, unsqueeze
from chainrule.ops import shape as ops

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
    return ops.clone(as_tensor(input, "clone"))


def contiguous(self: Tensor, memory_format: Any = None) -> Tensor:
    """Return the tensor with its elements in C order: itself if they are, a copy else.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.zeros(2, 3).T.contiguous().is_contiguous()
    True
    """
    return self if self.is_contiguous() else ops.contiguous(self)


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
    made = marked_as(wrap(array_of(x)), x)
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
    else:
        self._node = None
    return self


# -- writes of whole tensors -------------------------------------------------------------------------------------------


def plain(target: Tensor, value: Any = None) -> bool:
    """Tell whether a write may go straight to memory: nothing of it is to be recorded, at any level."""
    if target._level:
        return False
    if isinstance(value, Tensor):
        if value._level:
            return False
        if modes().record and value._node is not None:
            return False
    return not modes().record or target._node is None


def put_raw(target: Tensor, index: Any, value: Any) -> None:
    """Write a number or the payload of a tensor to a place of a plain tensor's memory, cast to its dtype."""
    raw = value._data if isinstance(value, Tensor) else value
    array = array_of(target)
    if getattr(raw, "dtype", None) is not array.dtype and raw.__class__ not in NUMBERS:
        raw = raw.real if raw.dtype.kind == "c" and array.dtype.kind != "c" else raw
        raw = raw.astype(array.dtype)
    if raw.__class__ is np.ndarray and raw.size > 1 and np.may_share_memory(raw, array):
        raw = raw.copy()
    array[index] = raw
    version_of(target).bump()


def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Write the values of `src` into this tensor, broadcast to its shape and cast to its dtype; gradients flow to `src`.

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
    value = as_tensor(src, "copy_", 1)
    check_writable(self, value)
    shape = tuple(self._data.shape)
    if tuple(value._data.shape) != shape:
        try:
            fits = np.broadcast_shapes(value.shape, shape) == shape
        except ValueError:
            fits = False
        if not fits:
            raise RuntimeError(
                f"output with shape {list(shape)} doesn't match the broadcast shape: a value of shape {list(value.shape)} "
                "was given to copy_()"
            )
    if value is self:
        return self
    if plain(self, value):
        put_raw(self, ..., value)
        return self
    value = cast(value, self.dtype)
    if self._view is None and value._level <= self._level:
        return write(self, ops.copy(self, value, form="CopyBackwards!"), "copy_")
    return write(self, ops.clone(value) if value._node is LEAF or value._level else value, "copy_")


def _filled(x: Tensor, value: Any, form: str | None = None) -> Tensor:
    form = form or ("Fill1" if isinstance(value, Tensor) else "Fill0")
    value = as_tensor(value, "fill", 1)
    if value.ndim:
        raise RuntimeError(f"fill_ only supports 0-dimension value tensor but got tensor with {value.ndim} dimensions.")
    return ops.copy(x, cast(value, x.dtype), form=form)


@public(method=False, samples=lambda: [Sample((3, 4), 2.5), Sample((3,), ()), Sample((), 1.0)])
def fill(input: Tensor, value: Any) -> Tensor:
    """Return a tensor of the shape and dtype of `input` that holds one value everywhere; gradients flow to the value.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.fill(cr.zeros(2), 3.0).tolist()
    [3.0, 3.0]
    """
    return _filled(as_tensor(input, "fill"), value)


def fill_(self: Tensor, value: Any) -> Tensor:
    """Write one value everywhere.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.zeros(2).fill_(3.0).tolist()
    [3.0, 3.0]
    """
    return _fill(self, value, None)


def _fill(self: Tensor, value: Any, form: str | None) -> Tensor:
    if value.__class__ in NUMBERS and plain(self):
        check_writable(self)
        array = array_of(self)
        array[...] = np.array(value).astype(array.dtype)
        version_of(self).bump()
        return self
    return assign(self, lambda: _filled(self, value, form), "fill_")


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

# -- shapes changed in place -------------------------------------------------------------------------------------------


def _reshaping(f: Callable, name: str) -> Callable:
    """Return the method that has a tensor stand for a view of itself."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if modes().record and self._node is LEAF:
            raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
        if self._view is None and self._ver is not None and any(r() is not None for r in self._ver.members):
            raise RuntimeError(f"{name}(): the tensor has views, whose places in it would be lost; use {name[:-1]}() instead")
        seen = f(self, *args, **kwargs)
        parent, version = self._view, version_of(self)
        take(self, seen)
        if parent is not None:
            self._view = _rerouted(parent, seen)
        version.bump()
        return self

    method.__name__ = name
    method.__qualname__ = f"Tensor.{name}"
    method.__doc__ = f"In-place version of :func:`chainrule.{name[:-1]}`."
    return method


def _rerouted(parent: tuple, seen: Tensor) -> tuple:
    """Return the link of a view that changed its shape: a stand-in with its old link, then the step to its new shape."""
    base, op, params, index = parent
    stand_in = wrap(np.empty(0), type(seen))
    stand_in._view = (base, op, params, index)
    _, op, params, index = seen._view  # type: ignore[misc]
    return (stand_in, op, params, index)


for _f in (squeeze, unsqueeze, transpose, t):
    setattr(Tensor, _f.__name__ + "_", _reshaping(_f, _f.__name__ + "_"))
Tensor.swapaxes_ = Tensor.swapdims_ = Tensor.transpose_  # type: ignore[attr-defined]
