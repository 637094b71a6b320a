"""Views of part of a tensor under PyTorch's names: stretches, elements, diagonals, windows, strides."""

from __future__ import annotations

import operator
from typing import Any

from chainrule.core.call.dispatch import as_tensor
from chainrule.core.op.samples import Fixed, Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.shape import axis_index
from chainrule.core.write.views import CUT_OFF, kind_of
from chainrule.functions.adapt import public
from chainrule.ops.indexing import view as parts
from chainrule.ops.pointwise.complex import view_as_real
from chainrule.ops.shaping.shape import permute

__all__ = ["as_strided", "diagonal", "narrow", "select"]


@public(samples=lambda: [Sample((5, 3), 0, 1, 2), Sample((5, 3), 1, -2, 2), Sample((3,), 0, 0, 0)])
def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """Return the view of `length` elements of an axis from `start`.

    Raises
    ------
    IndexError, RuntimeError
        If the range reaches outside the axis.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.narrow(cr.tensor([1, 2, 3, 4]), 0, 1, 2).tolist()
    [2, 3]
    """
    x = as_tensor(input, "narrow")
    if not x.ndim:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    axis = axis_index(dim, x.ndim)
    n = x.shape[axis]
    if isinstance(start, Tensor) and (start.ndim or start.dtype.category != dtypes.INT):
        raise RuntimeError("start must be an 0-dim integral Tensor.")
    first = operator.index(start)
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -n <= first <= n:
        raise IndexError(f"start out of range (expected to be in range of [{-n}, {n}], but got {first})")
    first += n if first < 0 else 0
    if first + length > n:
        raise RuntimeError(f"start ({first}) + length ({length}) exceeds dimension size ({n}).")
    return parts.getitem(x, index=(*(slice(None),) * axis, slice(first, first + length), ...))


@public(samples=lambda: [
    Sample((5, 3), 0, 1), Sample((5, 3), 1, -1),
    Sample((5, 3), 0, 5, error=(IndexError, "select(): index 5 out of range for tensor of size [5, 3] at dimension 0")),
])  # fmt: skip
def select(input: Tensor, dim: int, index: Any) -> Tensor:
    """Return the view of one element of an axis, without that axis.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.select(cr.tensor([[1, 2], [3, 4]]), 1, 0).tolist()
    [1, 3]
    """
    x = as_tensor(input, "select")
    if not x.ndim:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    axis, place = axis_index(dim, x.ndim), operator.index(index)
    n = x.shape[axis]
    if not -n <= place < n:
        raise IndexError(f"select(): index {place} out of range for tensor of size {list(x.shape)} at dimension {axis}")
    return parts.getitem(x, index=(*(slice(None),) * axis, place, ...))


@public(samples=lambda: [
    Sample((3, 4)), Sample((3, 4), 1), Sample((2, 3, 4), -1, 0, 2), Sample((3, 3), 7),
    Sample((3, 4), 0, 1, 1, error=(RuntimeError, "diagonal dimensions cannot be identical 1, 1")),
])  # fmt: skip
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """Return the view of the diagonal of two axes, as a last axis.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.diagonal(cr.tensor([[1, 2], [3, 4]])).tolist()
    [1, 4]
    """
    x = as_tensor(input, "diagonal")
    a, b = axis_index(dim1, x.ndim), axis_index(dim2, x.ndim)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    m, n = (x.shape[a], x.shape[b])
    return parts.diagonal(x, offset=max(-m, min(operator.index(offset), n)), a=a, b=b)


def check_steps(size: tuple, stride: tuple) -> None:
    """Raise PyTorch's errors for the arguments of `as_strided`."""
    if len(size) != len(stride):
        raise RuntimeError("mismatch in length of strides and shape")
    if any([step < 0 for step in stride]):
        raise RuntimeError(f"as_strided: Negative strides are not supported at the moment, got strides: {list(stride)}")


def unfold(self: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Return the view of all windows of `size` along an axis, `step` apart; the window is a new last axis.

    Raises
    ------
    RuntimeError
        If the window is larger than the axis, or the step is not positive.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.tensor([1, 2, 3, 4]).unfold(0, 2, 1).tolist()
    [[1, 2], [2, 3], [3, 4]]
    """
    axis = axis_index(dimension, self.ndim)
    n = self.shape[axis] if self.ndim else 1
    if size > n:
        raise RuntimeError(f"maximum size for tensor at dimension {axis} is {n} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    return parts.unfold(self, axis=axis, size=size, step=min(step, max(n, 1)))


Tensor.unfold = unfold  # type: ignore[attr-defined]


@public(samples=lambda: [Sample((3, 4), Fixed((2, 2)), Fixed((1, 2))), Sample((3, 4), Fixed((3,)), Fixed((5,)), 1)])
def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """Return the view of the memory with the given sizes and steps, counted in elements.

    Parameters
    ----------
    input : Tensor
        A contiguous tensor, or a view of one.
    size, stride : tuple of int
        Sizes and steps of the axes.
    storage_offset : int, optional
        Place of the first element in the memory; that of `input` by default.

    Raises
    ------
    RuntimeError
        If the sizes and steps reach outside the memory.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.as_strided(cr.tensor([1, 2, 3, 4]), (2, 2), (1, 1)).tolist()
    [[1, 2], [2, 3]]
    """
    x = as_tensor(input, "as_strided")
    size, stride = tuple(map(operator.index, size)), tuple(map(operator.index, stride))
    check_steps(size, stride)
    own = x.storage_offset()
    offset = own if storage_offset is None else operator.index(storage_offset)
    x._check_strided(size, stride, offset)
    last = offset + sum([(n - 1) * step for n, step in zip(size, stride, strict=True)])
    shown = x
    while x._view is not None and (offset < own or last >= own + x.numel() or not x.is_contiguous()):
        parent: Tensor = x._view[0]
        if parent.dtype is not x.dtype:
            if parent.is_complex():  # whose real and imaginary parts lie side by side
                x = view_as_real(parent)
                own = x.storage_offset()
            break
        x = parent
        own = x.storage_offset()
    if x is not shown and kind_of(shown) in CUT_OFF:  # no gradient passes the view
        x = x.detach()  # type: ignore[attr-defined]
    if not x.is_contiguous():  # in memory the axes have another order
        x = permute(x, order=tuple(sorted(range(x.ndim), key=lambda axis: (-x.stride(axis), axis))))
        if not x.is_contiguous():
            return shown._strided(as_strided, size, stride, offset)
    return parts.as_strided(x, size=size, stride=stride, offset=offset - own)
