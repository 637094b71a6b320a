"""Shapes as plain tuples: broadcasting, axes, reductions and their PyTorch error texts. Pure functions, no arrays."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from math import prod
from typing import Any, SupportsIndex, overload

from chainrule.core.types import spelling

Shape = tuple[int, ...]


class Size(tuple[int, ...]):
    """The shape of a tensor: a tuple of ints that prints as ``chainrule.Size([2, 3])``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.zeros(2, 3).shape
    chainrule.Size([2, 3])
    >>> cr.zeros(2, 3).shape.numel()
    6
    """

    __slots__ = ()

    def numel(self) -> int:
        """Return the number of elements of a tensor of this shape."""
        return prod(self)

    def __repr__(self) -> str:
        return f"{spelling.library}.Size([{', '.join(map(str, self))}])"

    @overload
    def __getitem__(self, index: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Size: ...
    def __getitem__(self, index: Any) -> Any:
        found = tuple.__getitem__(self, index)
        return Size(found) if isinstance(index, slice) else found

    def __add__(self, other: tuple) -> Size:  # type: ignore[override]
        return Size(tuple(self) + tuple(other))

    def __reduce__(self) -> tuple:
        return (Size, (tuple(self),))


def sizes(shape: Sequence) -> Shape:
    """Return the shape meant by ``f(2, 3)`` or ``f((2, 3))``, as PyTorch's varargs take it."""
    if len(shape) == 1 and not hasattr(shape[0], "__index__"):
        shape = shape[0]
    try:
        return tuple(map(operator.index, shape))
    except TypeError:
        parts = shape if isinstance(shape, (tuple, list)) else (shape,)
        bad = next((part for part in parts if not hasattr(part, "__index__")), shape)
        raise TypeError(f"sizes, steps and axes must be ints or one tuple of ints, not {type(bad).__name__}") from None


def spread(given: tuple, named: Any, function: str, name: str) -> tuple:
    """Return the varargs of a function that takes them by keyword as well: ``f(2, 3)``, ``f((2, 3))`` or ``f(name=(2, 3))``."""
    if given:
        raise TypeError(f"{function}() got multiple values for argument {name!r}")
    if not hasattr(named, "__iter__"):
        raise TypeError(f"{function}(): argument {name!r} must be tuple of ints, not {type(named).__name__}")
    return (named,)


def broadcast(*shapes: Shape) -> Shape:
    """Return the shape that all broadcast to; raise PyTorch's `RuntimeError` where they do not."""
    ndim = max(map(len, shapes), default=0)
    out = [1] * ndim
    for shape in shapes:
        lead = ndim - len(shape)
        for axis, n in enumerate(shape, lead):
            if n != 1 and n != out[axis]:
                if out[axis] != 1:
                    raise RuntimeError(
                        f"The size of tensor a ({out[axis]}) must match the size of tensor b ({n}) "
                        f"at non-singleton dimension {axis}; shapes {', '.join(str(list(s)) for s in shapes)}"
                    )
                out[axis] = n
    return tuple(out)


def broadcast_axes(small: Shape, big: Shape) -> Shape:
    """Return the axes of `big` along which a value of shape `small` was repeated."""
    lead = len(big) - len(small)
    return tuple(range(lead)) + tuple(i for i, n in enumerate(small, lead) if n == 1 and big[i] != 1)


def axis_index(axis: int, ndim: int) -> int:
    """Return `axis` counted from the front; a 0-d tensor takes 0 and -1, as in PyTorch."""
    if axis.__class__ is not int:
        try:
            axis = operator.index(axis)
        except TypeError:
            raise TypeError(f"dim must be an int, not {type(axis).__name__}") from None
    limit = ndim or 1
    if not -limit <= axis < limit:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-limit}, {limit - 1}], but got {axis})")
    return axis % limit


def axes_tuple(dim: int | Iterable[int] | None, ndim: int) -> Shape:
    """Return a sorted tuple of distinct axes; `None` or an empty sequence means all."""
    if dim is None:
        return tuple(range(ndim))
    if dim.__class__ is int or hasattr(dim, "__index__"):
        axis = axis_index(dim, ndim)  # type: ignore[arg-type]
        return (axis,) if ndim else ()
    axes = tuple([axis_index(d, ndim) for d in dim])  # type: ignore[union-attr]
    if not axes:
        return tuple(range(ndim))
    for k, axis in enumerate(axes):
        if axis in axes[:k]:
            raise RuntimeError(f"dim {axis} appears multiple times in the list of dims")
    return () if ndim == 0 else tuple(sorted(axes))


def reduced(shape: Shape, axis: Shape, keepdims: bool) -> Shape:
    """Return the shape left after reducing the (normalised) axes."""
    if keepdims:
        return kept(shape, axis)
    return tuple([n for i, n in enumerate(shape) if i not in axis])


def kept(shape: Shape, axis: Shape) -> Shape:
    """Return `shape` with 1 at the reduced axes: what a reduction's result is reshaped to before it broadcasts back."""
    return tuple([1 if i in axis else n for i, n in enumerate(shape)])


def infer(shape: Shape, numel: int) -> Shape:
    """Return `shape` with its single -1 worked out; raise PyTorch's error when the element counts differ."""
    if -1 in shape:
        if shape.count(-1) > 1:
            raise RuntimeError("only one dimension can be inferred")
        known = -prod(shape)
        if known == 0 and numel == 0:
            raise RuntimeError(
                f"cannot reshape tensor of 0 elements into shape {list(shape)} because the unspecified dimension size "
                "-1 can be any value and is ambiguous"
            )
        if known and numel % known == 0:
            return tuple([numel // known if n == -1 else n for n in shape])
    elif prod(shape) == numel and min(shape, default=0) >= 0:
        return shape
    bad = min(shape, default=0)
    if bad < -1:
        raise RuntimeError(f"invalid shape dimension {bad}")
    raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {numel}")
