"""Methods that change what part of memory a tensor shows, or how: ``t_``, ``squeeze_``, ``set_``, ``resize_`` and their kin."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any
from weakref import ref

import numpy as np

from chainrule.core.call.misfits import oversized
from chainrule.core.graph.nodes import LEAF, Part, Parts, Refused, next_id
from chainrule.core.mode.grad_mode import Argument, enable_grad, inference_mode, modes, no_grad
from chainrule.core.op.declaration import TABLE, Op
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import array_of, root_of, version_of
from chainrule.core.types.shape import sizes, spread
from chainrule.core.write.inplace import check_known, check_unfrozen
from chainrule.core.write.views import renew, renew_views, views_of
from chainrule.functions.indexing.part import as_strided
from chainrule.functions.shaping.copy import fill_
from chainrule.functions.shaping.transpose import swapaxes, t, transpose
from chainrule.functions.shaping.view import squeeze, unsqueeze

__all__: list[str] = []

# -- shapes changed in place -------------------------------------------------------------------------------------------


def _reshaping(f: Callable, name: str) -> Callable:
    """Return the method that has a tensor stand for a view of itself."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        check_known(self)
        check_unfrozen(self)
        if self._meta.__class__ is Argument:
            raise RuntimeError(
                f"vmap: {name}() of an argument would change the shape of the caller's tensor. Use {name[:-1]}(), or clone() "
                "the argument first."
            )
        with no_grad():
            f(self, *args, **kwargs)  # it may raise
        if self._level or not self.is_inference():
            version_of(self).bump()
        with inference_mode(False), enable_grad():  # a result keeps its history
            seen = f(self, *args, **kwargs)
        if seen is self:
            return self
        link, step = self._view, seen._view
        if step is not None:
            _keep_views(self, seen, step)
        if link is not None:
            self._view = (_as_it_was(self, link), *step[1:])
        self._data = seen._data
        if self._node is not LEAF:
            renew(self, seen._node)
        if hasattr(self, "_tangent"):
            self._tangent = seen._tangent
        if self._view is None and not self._level and self._node is not None:
            renew_views(self)
        return self

    method.__name__ = name
    method.__qualname__ = f"Tensor.{name}"
    method.__doc__ = f"In-place version of :func:`chainrule.{name[:-1]}`."
    return method


def _as_it_was(t: Tensor, link: tuple | None) -> Tensor:
    """Return another tensor of the memory and shape that a tensor has, with a place of its own among the views."""
    before = wrap(t._data, type(t))
    before._ver, before._view = version_of(t), link
    return before


def _keep_views(t: Tensor, seen: Tensor, step: tuple) -> None:
    """Link the views of a tensor that is about to stand for one of itself, as `step` says, to what it was.

    That is a view of what it becomes where the step can be undone; else the tensor becomes a view of it.
    """
    children = [v for v in views_of(root_of(t)) if v is not seen]
    for n, view in enumerate(children):
        while view is not None and view._view is not None and view._view[0] is not t:
            view = view._view[0]
        children[n] = view
    children = list({id(v): v for v in children if v._view is not None}.values())
    if not children:
        return
    back = None if t._view is not None else _inverse(step[1], step[2], tuple(t.shape))
    if back is not None:
        before = _as_it_was(t, (t, *back, None))
    else:
        before = _as_it_was(t, t._view)
        before._node = t._node
        if t._view is None:
            t._view = (before, *step[1:])
            members = version_of(t).members
            members.add(ref(t, members.discard))
    for view in children:
        view._view = (before, *view._view[1:])  # type: ignore[index]


def _inverse(op: Op, params: dict, shape: tuple) -> tuple[Op, dict] | None:
    """Return the step that undoes one; None if there is none."""
    if op.name in ("t", "transpose"):
        return op, params
    return (TABLE["view"], {"shape": shape}) if op.name in ("squeeze", "unsqueeze") else None


for _f in (squeeze, unsqueeze, transpose, swapaxes, t, as_strided):
    setattr(Tensor, _f.__name__ + "_", _reshaping(_f, _f.__name__ + "_"))
Tensor.swapdims_ = Tensor.transpose_  # type: ignore[attr-defined]

# -- other memory ------------------------------------------------------------------------------------------------------


def _unrecorded(self: Tensor, name: str) -> None:
    if self.requires_grad or self._level:
        raise RuntimeError(
            f"Can't call {name}() on Variable that requires grad. Use var.detach().{name}() instead."
            if name in ("apply_", "map_", "map2_")
            else "cannot resize variables that require grad"
        )


def set_(
    self: Tensor, source: Tensor | None = None, storage_offset: int | None = None, size: Any = None, stride: Any = None
) -> Tensor:
    """Have this tensor show the memory of another of its dtype, or part of it; without one, no memory.

    Parameters
    ----------
    source : Tensor, optional
        Whose memory to show.
    storage_offset, size, stride : int, tuple of int, tuple of int, optional
        The part of it, as of :func:`chainrule.as_strided`; all of it if not given.

    Raises
    ------
    RuntimeError
        If it is a leaf that requires grad, or the dtypes differ; where the tensor is used, if it or the source had a history.

    Examples
    --------
    >>> import chainrule as cr
    >>> x, y = cr.zeros(2), cr.ones(3)
    >>> x.set_(y).add_(1).tolist(), y.tolist()
    ([2.0, 2.0, 2.0], [2.0, 2.0, 2.0])
    """
    if (recorder := modes().compiling) is not None:
        recorder.refuse("gives a tensor other memory")
    check_known(self)
    check_unfrozen(self)
    if source is None:
        source = wrap(np.empty(0, self.dtype.numpy))
    if not isinstance(source, Tensor):
        raise TypeError(f"set_() takes a Tensor, not {type(source).__name__}")
    if self._level or source._level:
        raise RuntimeError("set_() of a value of a transform would lose its derivative; use copy_()")
    if source.dtype is not self.dtype:
        names = [t.dtype.old_name.lower() for t in (source, self)]
        raise RuntimeError(f"Could not set tensor of type {names[0]} to a tensor of type {names[1]}")
    shown = source.detach()  # type: ignore[attr-defined]
    if size is not None:
        steps = stride if stride is not None else wrap(np.empty(tuple(size), np.bool_)).stride()
        shown = as_strided(shown, tuple(size), tuple(steps), storage_offset or 0)
    self._data = array_of(shown)
    # Whoever saved this tensor finds it changed; whoever saved the source, only once one of them is written to.
    self._ver = Part(Parts(version_of(source)), next_id(), version_of(self).count + 1)
    self._view = None
    if modes().record and (source.requires_grad or (self.requires_grad and not self.is_leaf)):
        self._node = Refused("derivative for aten::set_ is not implemented")
    return self


def resize_(self: Tensor, *lengths: Any, size: Any = None, memory_format: Any = None) -> Tensor:
    """Change the sizes: the tensor shows as many elements, in C order, of the memory from its first element on.

    More elements than the memory holds move to new memory, where those added are unspecified: views of the old one do
    not follow.

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
    if (recorder := modes().compiling) is not None:
        recorder.refuse("gives a tensor other memory")
    check_known(self)
    if not modes().inference or self._level:
        _unrecorded(self, "resize_")
    shape, array = sizes(lengths if size is None else spread(lengths, size, "resize_", "size")), array_of(self)
    if shape == array.shape:
        return self
    memory, count = _from_first(array), prod(shape)
    if count > memory.size:
        try:
            grown = np.empty(count, memory.dtype)
        except (MemoryError, ValueError) as error:
            raise oversized(error) or error from None
        grown[: memory.size] = memory
        memory = grown
    self._data = memory[:count].reshape(shape)
    if not self.is_inference():
        version_of(self).bump()
    return self


def _from_first(array: np.ndarray) -> np.ndarray:
    """Return the memory of an array from its first element on, as far as it belongs to it, as one axis."""
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    if owner.dtype != array.dtype or not (owner.flags.c_contiguous or owner.flags.f_contiguous):
        return array.reshape(-1)
    start = array.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
    return owner.ravel(order="K")[start // array.itemsize :]


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
