"""Methods that change what part of memory a tensor shows, or how: ``t_``, ``squeeze_``, ``set_``, ``resize_`` and their kin."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from chainrule.core.graph.nodes import LEAF
from chainrule.core.mode.grad_mode import ARGUMENT, enable_grad, no_grad
from chainrule.core.op.declaration import TABLE, Op
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import array_of, version_of
from chainrule.core.types.shape import sizes
from chainrule.core.write.inplace import check_unfrozen
from chainrule.core.write.views import renew, renew_views, views_of
from chainrule.functions.indexing.part import as_strided
from chainrule.functions.shaping.copy import fill_
from chainrule.functions.shaping.transpose import t, transpose
from chainrule.functions.shaping.view import squeeze, unsqueeze

__all__: list[str] = []

# -- shapes changed in place -------------------------------------------------------------------------------------------


def _reshaping(f: Callable, name: str) -> Callable:
    """Return the method that has a tensor stand for a view of itself."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        check_unfrozen(self)
        if self._meta is ARGUMENT:
            raise RuntimeError(
                f"vmap: {name}() of an argument would change the shape of the caller's tensor. Use {name[:-1]}(), or clone() "
                "the argument first."
            )
        with no_grad():
            f(self, *args, **kwargs)  # it may raise
        version_of(self).bump()
        with enable_grad():  # a result keeps its history
            seen = f(self, *args, **kwargs)
        _, op, params, index = seen._view
        _keep_views(self, op, params)
        link = self._view
        if link is not None:
            before = wrap(self._data, type(self))
            before._view = link
            self._view = (before, op, params, index)
        self._data = seen._data
        if self._node is not LEAF:
            renew(self, seen._node)
        if hasattr(self, "_tangent"):
            self._tangent = seen._tangent
        if link is None and not self._level and self._node is not None:
            renew_views(self)
        return self

    method.__name__ = name
    method.__qualname__ = f"Tensor.{name}"
    method.__doc__ = f"In-place version of :func:`chainrule.{name[:-1]}`."
    return method


def _keep_views(base: Tensor, op: Op, params: dict) -> None:
    """Link the views of a tensor that is about to change its shape by `op` to what it was, a view of what it becomes."""
    if base._view is not None:
        return
    children = {}
    for view in views_of(base):
        while view._view[0] is not base:  # type: ignore[index]
            view = view._view[0]  # type: ignore[index]
        children[id(view)] = view
    if not children:
        return
    before = wrap(base._data, type(base))
    before._ver = version_of(base)
    before._view = (base, *_inverse(op, params, tuple(base.shape)), None)
    for view in children.values():
        view._view = (before, *view._view[1:])  # type: ignore[index]


def _inverse(op: Op, params: dict, shape: tuple) -> tuple[Op, dict]:
    if op.name in ("t", "transpose"):
        return op, params
    if op.name in ("squeeze", "unsqueeze"):
        return TABLE["view"], {"shape": shape}
    raise RuntimeError(f"{op.name}_(): the tensor has views, whose places in it would be lost; use {op.name}() instead")


for _f in (squeeze, unsqueeze, transpose, t, as_strided):
    setattr(Tensor, _f.__name__ + "_", _reshaping(_f, _f.__name__ + "_"))
Tensor.swapaxes_ = Tensor.swapdims_ = Tensor.transpose_  # type: ignore[attr-defined]

# -- other memory ------------------------------------------------------------------------------------------------------


def _unrecorded(self: Tensor, name: str) -> None:
    if self.requires_grad or self._level:
        raise RuntimeError(
            f"Can't call {name}() on Variable that requires grad. Use var.detach().{name}() instead."
            if name in ("apply_", "map_", "map2_")
            else "cannot resize variables that require grad"
        )


def set_(self: Tensor, source: Tensor | None = None) -> Tensor:
    """Have this tensor show the memory of another of its dtype; without one, no memory.

    Raises
    ------
    RuntimeError
        If it requires grad, or the dtypes differ.

    Examples
    --------
    >>> import chainrule as cr
    >>> x, y = cr.zeros(2), cr.ones(3)
    >>> x.set_(y).add_(1).tolist(), y.tolist()
    ([2.0, 2.0, 2.0], [2.0, 2.0, 2.0])
    """
    check_unfrozen(self)
    if self.requires_grad or self._level:
        raise RuntimeError("derivative for aten::set_ is not implemented: it has none; use copy_()")
    if source is None:
        source = wrap(np.empty(0, self.dtype.numpy))
    if source.dtype is not self.dtype:
        raise RuntimeError(f"Could not set tensor of type {source.dtype} to a tensor of type {self.dtype}")
    self._data = array_of(source)
    version_of(self).bump()
    return self


def resize_(self: Tensor, *size: Any, memory_format: Any = None) -> Tensor:
    """Change the sizes, keeping the elements in their order; new elements, if there are more, are whatever is in memory.

    More elements than the memory holds move to new memory: views of the old one do not follow.

    Raises
    ------
    RuntimeError
        If the tensor requires grad.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.tensor([1, 2, 3, 4]).resize_(2).tolist()
    [1, 2]
    """
    _unrecorded(self, "resize_")
    shape, array = sizes(size), array_of(self)
    if shape == array.shape:
        return self
    flat = array if array.ndim == 1 and array.flags.c_contiguous else np.ascontiguousarray(array).reshape(-1)
    count = prod(shape)
    if count > flat.size:
        grown = np.empty(count, flat.dtype)
        grown[: flat.size] = flat
        flat = grown
    self._data = flat[:count].reshape(shape)
    version_of(self).bump()
    return self


def resize_as_(self: Tensor, the_template: Tensor, *, memory_format: Any = None) -> Tensor:
    """Change the sizes to those of another tensor, as `resize_` does.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.tensor([1, 2, 3, 4]).resize_as_(cr.zeros(2, 2)).tolist()
    [[1, 2], [3, 4]]
    """
    return resize_(self, tuple(the_template.shape))


# -- written one by one ------------------------------------------------------------------------------------------------


def fill_diagonal_(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Write a number to the main diagonal; to every diagonal of a tall matrix if `wrap`.

    Raises
    ------
    RuntimeError
        If there are fewer than two axes, or more and they differ in size.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.zeros(2, 2).fill_diagonal_(5).tolist()
    [[5.0, 0.0], [0.0, 5.0]]
    """
    shape = tuple(self.shape)
    if len(shape) < 2:
        raise RuntimeError("dimensions must larger than 1")
    if len(shape) > 2 and len(set(shape)) > 1:
        raise RuntimeError("all dimensions of input must be of equal length")
    steps = self.stride()
    count, step = min(shape), sum(steps)
    fill_(as_strided(self, (count,), (step,)), fill_value)
    if wrap and len(shape) == 2 and shape[0] > shape[1] + 1:
        start = (shape[1] + 1) * steps[0]
        rest = -(-(shape[0] * shape[1] - start) // step)
        if rest > 0:
            fill_(as_strided(self, (rest,), (step,), self.storage_offset() + start), fill_value)
    return self


def apply_(self: Tensor, callable: Callable) -> Tensor:
    """Replace each element by a Python function of it; slow.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.tensor([1.0, 2.0]).apply_(lambda v: v * 10).tolist()
    [10.0, 20.0]
    """
    return _each(self, "apply_", callable)


def map_(self: Tensor, tensor: Tensor, callable: Callable) -> Tensor:
    """Replace each element by a Python function of it and of another tensor's; slow.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.tensor([1.0, 2.0]).map_(cr.ones(2), lambda a, b: a + b).tolist()
    [2.0, 3.0]
    """
    return _each(self, "map_", callable, tensor)


def map2_(self: Tensor, x: Tensor, y: Tensor, callable: Callable) -> Tensor:
    """Replace each element by a Python function of it and of two other tensors'; slow.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.tensor([1.0]).map2_(cr.ones(1), cr.ones(1), lambda a, b, c: a + b + c).tolist()
    [3.0]
    """
    return _each(self, "map2_", callable, x, y)


def _each(self: Tensor, name: str, f: Callable, *others: Tensor) -> Tensor:
    _unrecorded(self, name)
    array = array_of(self)
    columns = [np.broadcast_to(array_of(o), array.shape).reshape(-1).tolist() for o in (self, *others)]
    array[...] = np.array([f(*row) for row in zip(*columns, strict=True)], array.dtype).reshape(array.shape)
    version_of(self).bump()
    return self


for _method in (set_, resize_, resize_as_, fill_diagonal_, apply_, map_, map2_):
    setattr(Tensor, _method.__name__, _method)
