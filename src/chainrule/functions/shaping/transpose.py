"""Transposes, permutations, flips and rolls under PyTorch's names."""

from __future__ import annotations

import operator
import warnings
from typing import Any

from chainrule.core.call.asking import asks
from chainrule.core.call.dispatch import as_tensor
from chainrule.core.op.samples import Fixed, Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import axes_tuple, axis_index, sizes, spread
from chainrule.functions.adapt import public
from chainrule.ops.indexing.view import getitem
from chainrule.ops.shaping import shape as ops

__all__ = [
    "adjoint", "flip", "fliplr", "flipud", "moveaxis", "movedim", "permute", "roll", "rot90", "swapaxes", "swapdims", "t",
    "transpose",
]  # fmt: skip


@public(samples=lambda: [
    Sample((2, 3, 4), Fixed((2, 0, 1))), Sample((2, 3), Fixed((-1, 0))), Sample((), Fixed(())),
    Sample((2, 3), Fixed((0, 0)), error=(RuntimeError, "permute(): duplicate dims are not allowed.")),
])  # fmt: skip
def permute(input: Tensor, *axes: Any, dims: Any = None) -> Tensor:
    """Return the view with the axes in another order.

    Parameters
    ----------
    input : Tensor
        Of any shape and dtype.
    *axes : int or tuple of int
        For each axis of the result, the axis of the input; `dims` by keyword.

    Raises
    ------
    RuntimeError
        If `dims` is not an ordering of all axes.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.permute(cr.zeros(2, 3, 4), (2, 0, 1)).shape
    chainrule.Size([4, 2, 3])
    """
    x = as_tensor(input, "permute")
    ndim, dims = x.ndim, sizes(axes if dims is None else spread(axes, dims, "permute", "dims"))
    if len(dims) != ndim:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired "
            f"ordering of dimensions i.e. input.dim() = {ndim} is not equal to len(dims) = {len(dims)}"
        )
    order = tuple([axis_index(d, ndim) for d in dims])
    if len(set(order)) != ndim:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return ops.permute(x, order=order)


@public(samples=lambda: [Sample((2, 3, 4), 0, 2), Sample((2, 3), -1, 0), Sample((), 0, -1), Sample((3,), 0, 0)])
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Return the view with two axes exchanged.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.transpose(cr.zeros(2, 3, 4), 0, 2).shape
    chainrule.Size([4, 3, 2])
    """
    x = as_tensor(input, "transpose")
    ndim = x.ndim
    a, b = axis_index(dim0, ndim), axis_index(dim1, ndim)
    return ops.transpose(x, a=a, b=b)


@asks
def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """Swap two axes: :func:`transpose` under NumPy's name.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.swapaxes(cr.zeros(2, 3, 4), 0, 2).shape
    chainrule.Size([4, 3, 2])
    """
    return transpose(input, axis0, axis1)


swapdims = transpose
Tensor.swapaxes, Tensor.swapdims = swapaxes, transpose  # type: ignore[attr-defined]


@public(samples=lambda: [
    Sample((2, 3)), Sample((3,)), Sample(()),
    Sample((2, 3, 4), error=(RuntimeError, "t() expects a tensor with <= 2 dimensions, but self is 3D")),
])  # fmt: skip
def t(input: Tensor) -> Tensor:
    """Return the transposed matrix, a view; a vector or number as it is.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.t(cr.zeros(2, 3)).shape
    chainrule.Size([3, 2])
    """
    x = as_tensor(input, "t")
    if x.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {x.ndim}D")
    return ops.t(x)


@public(samples=lambda: [
    Sample((2, 3, 4), 0, 2), Sample((2, 3, 4), Fixed((0, 1)), Fixed((-1, 0))), Sample((3,), 0, 0),
    Sample((2, 3), Fixed((0, 1)), Fixed((1,)), error=(RuntimeError, "movedim: Invalid source or destination dims:")),
])  # fmt: skip
def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Return the view with axes moved to other places, the rest in their order.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.movedim(cr.zeros(2, 3, 4), 0, -1).shape
    chainrule.Size([3, 4, 2])
    """
    x = as_tensor(input, "movedim")
    sources, places = (sizes((d,)) for d in (source, destination))
    if len(sources) != len(places):
        raise RuntimeError(
            "movedim: Invalid source or destination dims: source "
            f"({list(sources)} dims) should contain the same number of dims as destination ({list(places)} dims)"
        )
    taken = [axis_index(d, x.ndim) for d in sources]
    given = [axis_index(d, x.ndim) for d in places]
    if not x.ndim:
        return getitem(x, index=(...,))
    for name, dims in (("source", taken), ("destination", given)):
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"movedim: repeated dim in `{name}` ({dims})")
    rest = [d for d in range(x.ndim) if d not in taken]
    order = [-1] * x.ndim
    for a, b in zip(taken, given, strict=True):
        order[b] = a
    left = iter(rest)
    return ops.permute(x, order=tuple([next(left) if a < 0 else a for a in order]))


moveaxis = movedim
Tensor.moveaxis = movedim  # type: ignore[attr-defined]


@public(samples=lambda: [Sample((2, 3)), Sample((2, 3, 4))])
def adjoint(input: Tensor) -> Tensor:
    """Return the conjugate transpose of the matrices in the last two axes.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.adjoint(cr.tensor([[1, 2j]])).tolist()
    [[(1-0j)], [-2j]]
    """
    x = as_tensor(input, "adjoint")
    if x.ndim < 2:
        raise RuntimeError(f"tensor.adjoint() is only supported on matrices or batches of matrices. Got {x.ndim}-D tensor.")
    flipped = ops.transpose(x, a=x.ndim - 2, b=x.ndim - 1)
    return flipped.conj() if x.is_complex() else flipped  # type: ignore[attr-defined]


def _told(name: str, instead: str) -> None:
    warnings.warn(f"Tensor.{name} is deprecated on 0-D tensors. {instead}", UserWarning, stacklevel=3)


_IDENTITY, _CONJUGATE = "This function is the identity in these cases.", "Consider using x.conj()."


def _reversed_axes(self: Tensor) -> Tensor:
    """Return the view with the axes in reverse order."""
    ndim = self.ndim
    if not ndim:
        _told("T", _IDENTITY)
    elif ndim != 2:
        warnings.warn(
            "The use of `x.T` on tensors of dimension other than 2 to reverse their shape is deprecated and it will throw an "
            "error in a future release. Consider `x.mT` to transpose batches of matrices or "
            "`x.permute(*torch.arange(x.ndim - 1, -1, -1))` to reverse the dimensions of a tensor.",
            UserWarning,
            stacklevel=2,
        )
    return ops.permute(self, order=_SWAPPED if ndim == 2 else tuple(range(ndim - 1, -1, -1)))


_SWAPPED = (1, 0)


def _matrix_transpose(self: Tensor) -> Tensor:
    """Return the view with the last two axes exchanged."""
    ndim = self.ndim
    if ndim < 2:
        if ndim:
            raise RuntimeError(f"tensor.mT is only supported on matrices or batches of matrices. Got {ndim}-D tensor.")
        _told("mT", _IDENTITY)
        return self
    return ops.transpose(self, a=ndim - 2, b=ndim - 1)


def _adjoint(self: Tensor) -> Tensor:
    """Return the conjugate transpose of the matrices in the last two axes."""
    if self.ndim == 1:
        raise RuntimeError("tensor.mH is only supported on matrices or batches of matrices. Got 1-D tensor.")
    if self.ndim:
        return adjoint(self)
    _told("mH", _CONJUGATE)
    return self.conj() if self.is_complex() else self  # type: ignore[attr-defined]


def _hermitian(self: Tensor) -> Tensor:
    """Return the conjugate transpose of a matrix."""
    if self.ndim not in (0, 2):
        batches = " For batches of matrices, consider using tensor.mH" if self.ndim > 2 else ""
        raise RuntimeError(f"tensor.H is only supported on matrices (2-D tensors). Got {self.ndim}-D tensor.{batches}")
    if self.ndim:
        return adjoint(self)
    _told("H", _CONJUGATE)
    return self.conj() if self.is_complex() else self  # type: ignore[attr-defined]


Tensor.T = property(_reversed_axes)  # type: ignore[attr-defined]
Tensor.mT = property(_matrix_transpose)  # type: ignore[attr-defined]
Tensor.H = property(_hermitian)  # type: ignore[attr-defined]
Tensor.mH = property(_adjoint)  # type: ignore[attr-defined]

# -- orders within an axis ---------------------------------------------------------------------------------------------


@public(samples=lambda: [Sample((3, 4), Fixed((0,))), Sample((2, 3, 4), Fixed((0, -1))), Sample((0, 2), Fixed((0,)))])
def flip(input: Tensor, *axes: Any, dims: Any = None) -> Tensor:
    """Return a copy with the order of the elements reversed along the given axes.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.flip(cr.tensor([1, 2, 3]), (0,)).tolist()
    [3, 2, 1]
    """
    x = as_tensor(input, "flip")
    axes = sizes(axes if dims is None else spread(axes, dims, "flip", "dims"))
    return ops.flip(x, axis=axes_tuple(axes, x.ndim) if axes else ())


@public(samples=lambda: [Sample((3, 4)), Sample((3,), error=(RuntimeError, "Input must be >= 2-d."))])
def fliplr(input: Tensor) -> Tensor:
    """Return a copy with the second axis reversed.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.fliplr(cr.tensor([[1, 2], [3, 4]])).tolist()
    [[2, 1], [4, 3]]
    """
    x = as_tensor(input, "fliplr")
    if x.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return ops.flip(x, axis=(1,))


@public(samples=lambda: [Sample((3, 4)), Sample((), error=(RuntimeError, "Input must be >= 1-d."))])
def flipud(input: Tensor) -> Tensor:
    """Return a copy with the first axis reversed.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.flipud(cr.tensor([[1, 2], [3, 4]])).tolist()
    [[3, 4], [1, 2]]
    """
    x = as_tensor(input, "flipud")
    if x.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return ops.flip(x, axis=(0,))


@public(samples=lambda: [
    Sample((3, 4), 1), Sample((3, 4), Fixed((1, -1)), Fixed((0, 1))), Sample((3, 4), 2, -1), Sample((0, 2), 1, 0),
    Sample((), 1),
])  # fmt: skip
def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """Return a copy with the elements shifted along axes, those that leave one end coming in at the other.

    Parameters
    ----------
    input : Tensor
        Of any shape and dtype.
    shifts : int or tuple of int
        By how many places; one for each axis.
    dims : int or tuple of int, optional
        The axes; by default the elements shift as one axis.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.roll(cr.tensor([1, 2, 3]), 1).tolist()
    [3, 1, 2]
    """
    x = as_tensor(input, "roll")
    steps = sizes((shifts,))
    axes = () if dims is None else sizes((dims,))
    if not steps:
        raise RuntimeError("`shifts` required")
    if not axes:
        if len(steps) != 1:
            raise RuntimeError(f"shifts and dimensions must align. shifts: {len(steps)}, dims:0")
        return ops.roll(x, shifts=steps, axis=())
    if not x.ndim:
        raise IndexError(f"Dimension specified as {axes[0]} but tensor has no dimensions")
    if len(steps) != len(axes):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(steps)}, dims:{len(axes)}")
    return ops.roll(x, shifts=steps, axis=tuple([axis_index(d, x.ndim) for d in axes]))


@public(samples=lambda: [Sample((3, 4)), Sample((3, 4), 2), Sample((2, 3, 4), -1, Fixed((1, 2))), Sample((3, 4), 4)])
def rot90(input: Tensor, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    """Return a copy rotated `k` quarter turns in the plane of two axes, from the first towards the second.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.rot90(cr.tensor([[1, 2], [3, 4]])).tolist()
    [[2, 4], [1, 3]]
    """
    x = as_tensor(input, "rot90")
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if x.ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {x.ndim}")
    a, b = (axis_index(d, x.ndim) for d in dims)
    if a == b:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    return ops.rot90(x, k=operator.index(k) % 4, axis=(a, b))
