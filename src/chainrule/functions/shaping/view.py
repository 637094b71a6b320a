"""Views and reshapes under PyTorch's names: the result shares memory with the input wherever PyTorch's does."""

from __future__ import annotations

import operator
from math import prod
from typing import Any

import numpy as np

from chainrule.core.call.asking import UNASKED, asked_here, asking, asks
from chainrule.core.call.dispatch import as_tensor
from chainrule.core.op.samples import Fixed, Sample
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import array_of, version_of
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.absent import Absent
from chainrule.core.types.shape import Size, axes_tuple, axis_index, broadcast, infer, sizes, spread
from chainrule.core.types.symbol import Symbol
from chainrule.functions.adapt import public
from chainrule.ops.shaping import shape as ops

__all__ = [
    "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_shapes", "broadcast_tensors", "broadcast_to", "flatten", "ravel",
    "reshape", "squeeze", "unflatten", "unsqueeze",
]  # fmt: skip

# -- reshapes ----------------------------------------------------------------------------------------------------------


def _viewable(x: Tensor, shape: tuple) -> bool:
    """Tell whether the memory of `x` can be seen in another shape without a copy."""
    data: Any = x
    while isinstance(data, Tensor):
        below = data._data
        shape = (*below.shape[: below.ndim - data.ndim], *shape)  # a batch axis stays in front
        data = below
    if data.flags.c_contiguous:
        return True
    if data.__class__ is not np.ndarray and isinstance(data, (Absent, Symbol)):
        data = data.stand_in()
    try:
        np.reshape(data, shape, copy=False)
    except ValueError:
        return False
    return True


@public(samples=lambda: [
    Sample((3, 4), Fixed((2, 6))), Sample((3, 4), Fixed((-1,))), Sample((), Fixed((1, 1))), Sample((2, 0), Fixed((0, 7))),
    Sample((3, 4), Fixed((5, -1)), error=(RuntimeError, "shape '[5, -1]' is invalid for input of size 12")),
])  # fmt: skip
def reshape(input: Tensor, *lengths: Any, shape: Any = None) -> Tensor:
    """Return the same elements in another shape: a view where the memory allows it, a copy else.

    Parameters
    ----------
    input : Tensor
        Of any shape and dtype.
    *lengths : int or tuple of int
        The new sizes; one may be -1, to be worked out; `shape` by keyword.

    Raises
    ------
    RuntimeError
        If the number of elements differs.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.reshape(cr.tensor([[1, 2], [3, 4]]), (-1,)).tolist()
    [1, 2, 3, 4]
    """
    if asking.on and (found := asked_here(reshape, locals())) is not UNASKED:
        return found
    x = as_tensor(input, "reshape")
    shape = infer(sizes(lengths if shape is None else spread(lengths, shape, "reshape", "shape")), prod(x.shape))
    if x.is_contiguous():
        return ops.view(x, shape=shape)
    if _viewable(x, shape):
        return ops.reshape_alias(x, shape=shape)
    return ops.reshape(ops.contiguous(x), shape=shape)


def view(self: Tensor, *shape: Any, size: Any = None, dtype: dtypes.dtype | None = None) -> Tensor:
    """Return the same memory in another shape, or with its bytes read as another dtype.

    Parameters
    ----------
    *shape : int, tuple of int, or dtype
        The new sizes; one may be -1; `size` by keyword. A dtype reinterprets the bytes; that result has no derivative.

    Raises
    ------
    RuntimeError
        If the number of elements differs, or the strides do not allow the shape.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.zeros(2, 3)
    >>> x.view(3, 2).shape
    chainrule.Size([3, 2])
    """
    if size is not None or dtype is not None:
        shape = spread(shape, size, "view", "size") if dtype is None else (dtype,)
    if len(shape) == 1 and isinstance(shape[0], (dtypes.dtype, type)):
        new = dtypes.as_dtype(shape[0])
        if self._level:
            raise RuntimeError("view(dtype) has no derivative; take it of a detached tensor outside the transform")
        if self._bit:
            kind = "conjugate" if self.is_complex() else "negative"
            raise RuntimeError(
                f"chainrule.Tensor.view is not supported for {kind} view tensors when converting to a different dtype."
            )
        array = array_of(self)
        _check_read(array, self.dtype, new)
        made = wrap(array.view(new.numpy))
        made._ver = version_of(self)
        return made
    target = infer(sizes(shape), prod(self.shape))
    if not _viewable(self, target):
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two "
            "contiguous subspaces). Use .reshape(...) instead."
        )
    return ops.view(self, shape=target)


def _check_read(array: np.ndarray, old: dtypes.dtype, new: dtypes.dtype) -> None:
    """Raise PyTorch's error unless the elements of an array can be read in place as another dtype's."""
    if old.itemsize == new.itemsize:
        return
    purpose = f"to view {old.old_name} as {new.old_name} (different element sizes)"
    if not array.ndim:
        raise RuntimeError(f"self.dim() cannot be 0 {purpose}")
    steps = [step // old.itemsize for step in array.strides]
    if steps[-1] != 1 and array.shape[-1] > 1:
        raise RuntimeError(f"self.stride(-1) must be 1 {purpose}, but got {steps[-1]}")
    ratio = new.itemsize // old.itemsize
    if ratio < 2:
        return
    if array.shape[-1] % ratio:
        raise RuntimeError(f"self.size(-1) must be divisible by {ratio} {purpose}, but got {array.shape[-1]}")
    for axis, step in enumerate(steps[:-1]):
        if step % ratio:
            raise RuntimeError(f"self.stride({axis}) must be divisible by {ratio} {purpose}, but got {step}")


def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """Return the same elements in the shape of `other`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.zeros(2, 3).reshape_as(cr.zeros(6)).shape
    chainrule.Size([6])
    """
    return reshape(self, other.shape)


def view_as(self: Tensor, other: Tensor) -> Tensor:
    """Return the same memory in the shape of `other`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.zeros(2, 3).view_as(cr.zeros(6)).shape
    chainrule.Size([6])
    """
    return view(self, other.shape)


Tensor.view, Tensor.reshape_as, Tensor.view_as = view, reshape_as, view_as  # type: ignore[attr-defined]


@public(samples=lambda: [
    Sample((2, 3, 4)), Sample((2, 3, 4), 1), Sample((2, 3, 4), 0, 1), Sample(()), Sample((3,)), Sample((2, 0)),
    Sample((2, 3), 1, 0, error=(RuntimeError, "flatten() has invalid args: start_dim cannot come after end_dim")),
])  # fmt: skip
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Return the tensor with the axes from `start_dim` to `end_dim` made into one.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.flatten(cr.zeros(2, 3, 4), 1).shape
    chainrule.Size([2, 12])
    """
    x = as_tensor(input, "flatten")
    shape = x.shape
    first, last = axis_index(start_dim, len(shape)), axis_index(end_dim, len(shape))
    if first > last:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if first == last and shape:
        return x
    return reshape(x, (*shape[:first], prod(shape[first : last + 1]), *shape[last + 1 :]))


@public(samples=lambda: [Sample((6, 4), 0, Fixed((2, 3))), Sample((6, 4), -1, Fixed((2, -1)))])
def unflatten(input: Tensor, dim: int, sizes: Any) -> Tensor:
    """Return the tensor with one axis split into several of the given sizes; one of them may be -1.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.unflatten(cr.zeros(6, 4), 0, (2, -1)).shape
    chainrule.Size([2, 3, 4])
    """
    x = as_tensor(input, "unflatten")
    shape = x.shape or (1,)
    axis = axis_index(dim, len(shape))
    wanted = tuple(map(operator.index, sizes))
    if not wanted:
        raise RuntimeError("unflatten: sizes must be non-empty")
    known = prod([n for n in wanted if n != -1])
    if wanted.count(-1) == 1 and known and shape[axis] % known == 0:
        wanted = tuple([shape[axis] // known if n == -1 else n for n in wanted])
    if prod(wanted) != shape[axis] or -1 in wanted:
        raise RuntimeError(
            f"unflatten: Provided sizes {list(wanted)} don't multiply up to the size of dim {axis} ({shape[axis]}) in the "
            "input tensor"
        )
    return view(x, (*shape[:axis], *wanted, *shape[axis + 1 :]))


@public(samples=lambda: [Sample((2, 3)), Sample(())])
def ravel(input: Tensor) -> Tensor:
    """Return the elements as one axis.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.ravel(cr.zeros(2, 3)).shape
    chainrule.Size([6])
    """
    return reshape(input, (-1,)) if as_tensor(input, "ravel").numel() else reshape(input, (0,))


@public(samples=lambda: [
    Sample((2, 1, 3, 1)), Sample((2, 1), 1), Sample((2, 1), 0), Sample((1, 2, 1), Fixed((0, 2))), Sample(()), Sample((), 0),
    Sample((2, 1), 2, error=(IndexError, "Dimension out of range (expected to be in range of [-2, 1], but got 2)")),
])  # fmt: skip
def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Return the tensor without its axes of size 1: all of them, or those named that have size 1.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.squeeze(cr.zeros(2, 1, 3)).shape
    chainrule.Size([2, 3])
    """
    x = as_tensor(input, "squeeze")
    shape = x.shape
    if dim is None:
        axes, form = range(len(shape)), "0"
    elif hasattr(dim, "__index__"):
        axes, form = (axis_index(dim, len(shape)),), "1"  # type: ignore[assignment]
    else:
        axes, form = axes_tuple(dim, len(shape)) if len(dim) else (), "2"  # type: ignore[assignment]
    return ops.squeeze(x, axis=tuple([a for a in axes if shape and shape[a] == 1]), form=form)


@public(samples=lambda: [
    Sample((2, 3), 0), Sample((2, 3), -1), Sample((), 0), Sample((0,), 1),
    Sample((2, 3), 3, error=(IndexError, "Dimension out of range (expected to be in range of [-3, 2], but got 3)")),
])  # fmt: skip
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """Return the tensor with an axis of size 1 put in at `dim`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.unsqueeze(cr.zeros(2, 3), 1).shape
    chainrule.Size([2, 1, 3])
    """
    x = as_tensor(input, "unsqueeze")
    return ops.unsqueeze(x, axis=axis_index(dim, x.ndim + 1))


# -- broadcasts --------------------------------------------------------------------------------------------------------


def expand(self: Tensor, *lengths: Any, size: Any = None, implicit: bool = False) -> Tensor:
    """Return a view with axes of size 1 repeated to larger sizes; -1 keeps an axis as it is.

    Raises
    ------
    RuntimeError
        If an axis of another size than 1 would change.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.tensor([[1], [2]]).expand(-1, 3).tolist()
    [[1, 1, 1], [2, 2, 2]]
    """
    wanted, shape = sizes(lengths if size is None else spread(lengths, size, "expand", "size")), self.shape
    lead = len(wanted) - len(shape)
    if lead < 0:
        raise RuntimeError(
            f"expand({self.dtype.old_name}Tensor{{{list(shape)}}}, size={list(wanted)}): the number of sizes provided "
            f"({len(wanted)}) must be greater or equal to the number of dimensions in the tensor ({len(shape)})"
        )
    target = []
    for i, n in enumerate(wanted):
        old = shape[i - lead] if i >= lead else None
        if n == -1:
            if old is None:
                raise RuntimeError(
                    f"The expanded size of the tensor ({n}) isn't allowed in a leading, non-existing dimension {i}"
                )
            n = old
        elif old is not None and old not in (n, 1):
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({old}) at non-singleton dimension {i}.  "
                f"Target sizes: {list(wanted)}.  Tensor sizes: {list(shape)}"
            )
        target.append(n)
    return ops.broadcast_to(self, shape=tuple(target))


def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """Return a view expanded to the shape of `other`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.ones(1).expand_as(cr.zeros(2, 3)).shape
    chainrule.Size([2, 3])
    """
    return expand(self, other.shape)


Tensor.expand, Tensor.expand_as = expand, expand_as  # type: ignore[attr-defined]


@public(samples=lambda: [Sample((3, 1), Fixed((2, 3, 4))), Sample((), Fixed((2,)))])
def broadcast_to(input: Tensor, size: Any) -> Tensor:
    """Return a view of the tensor broadcast to a shape.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.broadcast_to(cr.ones(3), (2, 3)).shape
    chainrule.Size([2, 3])
    """
    return expand(as_tensor(input, "broadcast_to"), size)


@public(method=False, samples=lambda: [Sample((3, 1), (4,)), Sample((), (2,))])
def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """Return views of the tensors, all broadcast to their common shape.

    Examples
    --------
    >>> import chainrule as cr
    >>> a, b = cr.broadcast_tensors(cr.ones(3, 1), cr.ones(4))
    >>> b.shape
    chainrule.Size([3, 4])
    """
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    xs = [as_tensor(t, "broadcast_tensors", i) for i, t in enumerate(tensors)]
    shape = broadcast(*[x.shape for x in xs])
    return tuple([x if x.shape == shape else ops.broadcast_to(x, shape=shape) for x in xs])


@asks
def broadcast_shapes(*shapes: Any) -> Size:
    """Return the shape that all shapes broadcast to.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.broadcast_shapes((3, 1), (4,))
    chainrule.Size([3, 4])
    """
    return Size(broadcast(*[(s,) if isinstance(s, int) else tuple(s) for s in shapes]))


@public(name="atleast_1d", samples=lambda: [Sample(()), Sample((2,))], method=False)
def atleast_1d(*tensors: Any) -> Any:
    """Return the tensor with at least one axis; a tuple for several tensors.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.atleast_1d(cr.tensor(1.0)).shape
    chainrule.Size([1])
    """
    return _each(tensors, lambda x: x if x.ndim else reshape(x, (1,)))


@public(samples=lambda: [Sample(()), Sample((2,)), Sample((2, 3))], method=False)
def atleast_2d(*tensors: Any) -> Any:
    """Return the tensor with at least two axes, new ones in front; a tuple for several tensors.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.atleast_2d(cr.zeros(3)).shape
    chainrule.Size([1, 3])
    """
    return _each(tensors, lambda x: x if x.ndim > 1 else ops.unsqueeze(x, axis=0) if x.ndim else reshape(x, (1, 1)))


@public(samples=lambda: [Sample(()), Sample((2,)), Sample((2, 3)), Sample((1, 2, 3))], method=False)
def atleast_3d(*tensors: Any) -> Any:
    """Return the tensor with at least three axes; a tuple for several tensors.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.atleast_3d(cr.zeros(3)).shape
    chainrule.Size([1, 3, 1])
    """

    def grown(x: Tensor) -> Tensor:
        if x.ndim == 0:
            return reshape(x, (1, 1, 1))
        if x.ndim == 1:
            return ops.unsqueeze(ops.unsqueeze(x, axis=0), axis=2)
        return ops.unsqueeze(x, axis=2) if x.ndim == 2 else x

    return _each(tensors, grown)


def _each(tensors: tuple, f: Any) -> Any:
    if len(tensors) == 1:
        if isinstance(tensors[0], (tuple, list)):
            return tuple([f(t if t.__class__ is Tensor else as_tensor(t)) for t in tensors[0]])
        return f(as_tensor(tensors[0]))
    return tuple([f(as_tensor(t)) for t in tensors])
