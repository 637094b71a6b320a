"""Joining and splitting under PyTorch's names."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any

from chainrule.core.call.dispatch import NUMBERS, as_tensor, cast, common_dtype
from chainrule.core.op.samples import Fixed, Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import axis_index
from chainrule.functions.adapt import public
from chainrule.functions.shaping.view import atleast_1d, atleast_2d, atleast_3d, reshape
from chainrule.ops.indexing.view import getitem
from chainrule.ops.shaping import join as ops

__all__ = [
    "block_diag", "cat", "chunk", "column_stack", "concat", "concatenate", "dsplit", "dstack", "hsplit", "hstack",
    "row_stack", "split", "split_with_sizes", "stack", "tensor_split", "unbind", "unsafe_chunk", "unsafe_split",
    "unsafe_split_with_sizes", "vsplit", "vstack",
]  # fmt: skip

# -- joins -------------------------------------------------------------------------------------------------------------


def _same_dtype(xs: Sequence[Tensor]) -> list[Tensor]:
    first = xs[0].dtype
    if all([x.dtype is first for x in xs]):
        return list(xs)
    d = common_dtype(xs)
    return [cast(x, d) for x in xs]


def _plain_shapes(xs: list[Tensor]) -> list[tuple] | None:
    """Return the shapes of plain tensors of one dtype; None where there are others."""
    d = xs[0]._data.dtype if xs[0].__class__ is Tensor else None
    shapes = [x._data.shape for x in xs if x.__class__ is Tensor and x._data.dtype is d]
    return shapes if len(shapes) == len(xs) else None


def _tensors(tensors: Any, name: str) -> list[Tensor]:
    if isinstance(tensors, Tensor) or not hasattr(tensors, "__iter__"):
        raise TypeError(f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not {type(tensors).__name__}")
    return [t if t.__class__ is Tensor else _element(t, name, i) for i, t in enumerate(tensors)]


def _some(tensors: Any, name: str) -> list[Tensor]:
    if not (found := _tensors(tensors, name)):
        raise RuntimeError(f"{name} expects a non-empty TensorList")
    return found


def _element(value: Any, name: str, i: int) -> Tensor:
    if value is None:
        raise TypeError(f"expected Tensor as element {i} in argument 0, but got NoneType")
    if value.__class__ in NUMBERS:
        kind = type(value).__name__
        raise TypeError(f"expected Tensor as element {i} in argument 0, but got {kind}: make it one with tensor([{value}])")
    return as_tensor(value, name, i)


@public(out=True, method=False, samples=lambda: [
    Sample([(3, 4), (3, 2)], 1), Sample([(2,), (0,), (3,)]), Sample([(2, 3)], -1), Sample([(2, 3), (0,)], 1),
    Sample([], error=(ValueError, "torch.cat(): expected a non-empty list of Tensors")),
    Sample([(2, 3), (2, 4)], error=(RuntimeError, "Sizes of tensors must match except in dimension 0.")),
    Sample([()], error=(RuntimeError, "zero-dimensional tensor (at position 0) cannot be concatenated")),
])  # fmt: skip
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Return the tensors joined along one axis.

    Parameters
    ----------
    tensors : sequence of Tensor
        Of the same shape except along `dim`; of dtypes that promote together. Empty vectors are left out.
    dim : int
        The axis.

    Raises
    ------
    RuntimeError
        If the shapes do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.cat([cr.tensor([1, 2]), cr.tensor([3])]).tolist()
    [1, 2, 3]
    """
    xs = _tensors(tensors, "cat")
    plain = _plain_shapes(xs) if xs else None
    if plain is not None and len({len(s) for s in plain}) == 1 and plain[0]:
        axis = axis_index(dim, len(plain[0]))
        if len({(*s[:axis], *s[axis + 1 :]) for s in plain}) == 1:  # there is no more to check
            return ops.cat(*xs, axis=axis)
    if not xs:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    shapes: list[tuple] = [x.shape for x in xs]
    if () in shapes:
        raise RuntimeError(f"zero-dimensional tensor (at position {shapes.index(())}) cannot be concatenated")
    xs = _same_dtype(xs)
    if (0,) in shapes and any(s != (0,) for s in shapes):
        full = next(s for s in shapes if s != (0,))
        axis = axis_index(dim, len(full))
        empty = (*full[:axis], 0, *full[axis + 1 :])
        xs = [x if s != (0,) or len(full) == 1 else reshape(x, empty) for x, s in zip(xs, shapes, strict=True)]
        shapes = [x.shape for x in xs]
    axis = axis_index(dim, len(shapes[0]))
    for i, shape in enumerate(shapes):
        if shape == shapes[0]:
            continue
        if len(shape) != len(shapes[0]):
            raise RuntimeError(f"Tensors must have same number of dimensions: got {len(shapes[0])} and {len(shape)}")
        for k, (n, first) in enumerate(zip(shape, shapes[0], strict=True)):
            if n != first and k != axis:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {axis}. Expected size {first} but got size {n} for "
                    f"tensor number {i} in the list."
                )
    return ops.cat(*xs, axis=axis)


concat = concatenate = cat


@public(out=True, method=False, samples=lambda: [
    Sample([(3, 4), (3, 4)], 1), Sample([(), ()]), Sample([(2, 3)], -1),
    Sample([(2,), (3,)], error=(RuntimeError, "stack expects each tensor to be equal size, but got [2] at entry 0")),
    Sample([], error=(RuntimeError, "stack expects a non-empty TensorList")),
])  # fmt: skip
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Return the tensors, all of one shape, joined along a new axis.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.stack([cr.tensor([1, 2]), cr.tensor([3, 4])], dim=1).tolist()
    [[1, 3], [2, 4]]
    """
    xs = _tensors(tensors, "stack")
    if not xs:
        raise RuntimeError("stack expects a non-empty TensorList")
    first = xs[0].shape
    for i, x in enumerate(xs):
        if x.shape != first:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(first)} at entry 0 and {list(x.shape)} at entry {i}"
            )
    if _plain_shapes(xs) is None:
        xs = _same_dtype(xs)
    return ops.stack(*xs, axis=axis_index(dim, len(first) + 1))


@public(out=True, method=False, samples=lambda: [Sample([(3, 4), (3, 4)]), Sample([(3,), (2,)]), Sample([(), ()])])
def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Return the tensors joined along the second axis; vectors and numbers along the first.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.hstack([cr.tensor([1]), cr.tensor([2, 3])]).tolist()
    [1, 2, 3]
    """
    xs = atleast_1d(_some(tensors, "hstack"))
    return cat(xs, 0 if xs and xs[0].ndim == 1 else 1)


@public(out=True, method=False, samples=lambda: [Sample([(3, 4), (2, 4)]), Sample([(3,), (3,)])])
def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Return the tensors joined along the first axis, vectors as rows.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.vstack([cr.tensor([1, 2]), cr.tensor([3, 4])]).tolist()
    [[1, 2], [3, 4]]
    """
    return cat(atleast_2d(_some(tensors, "vstack")), 0)


row_stack = vstack


@public(
    out=True, method=False, samples=lambda: [Sample([(3, 4), (3, 4)]), Sample([(3,), (3,)]), Sample([(1, 2, 3), (1, 2, 1)])]
)
def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """Return the tensors joined along the third axis.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.dstack([cr.zeros(2, 3), cr.zeros(2, 3)]).shape
    chainrule.Size([2, 3, 2])
    """
    return cat(atleast_3d(_some(tensors, "dstack")), 2)


@public(out=True, method=False, samples=lambda: [Sample([(3,), (3,)]), Sample([(3, 2), (3,)]), Sample([(), ()])])
def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Return the tensors joined along the second axis, vectors as columns.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.column_stack([cr.tensor([1, 2]), cr.tensor([3, 4])]).tolist()
    [[1, 3], [2, 4]]
    """
    given = _tensors(tensors, "column_stack")
    if not given:
        raise RuntimeError("column_stack expects a non-empty TensorList")
    return cat([x if x.ndim > 1 else reshape(x, (x.numel(), 1)) for x in given], 1)


@public(method=False, samples=lambda: [Sample((2, 3), (1, 2)), Sample((3,), (), (2, 2))])
def block_diag(*tensors: Tensor) -> Tensor:
    """Return a matrix with the given matrices along its diagonal; vectors count as rows, numbers as 1 by 1.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.block_diag(cr.tensor([[1, 2]]), cr.tensor(3)).tolist()
    [[1, 2, 0], [0, 0, 3]]
    """
    xs = list(atleast_2d(_tensors(tensors, "block_diag")))
    for i, x in enumerate(xs):
        if x.ndim > 2:
            raise RuntimeError(
                f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {i} has {x.ndim} dimensions"
            )
    return ops.block_diag(*_same_dtype(xs))


# -- splits ------------------------------------------------------------------------------------------------------------


@public(samples=lambda: [Sample((3, 4)), Sample((3, 4), 1), Sample((2,), 0)])
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Return the views of all elements of an axis.

    Examples
    --------
    >>> import chainrule as cr
    >>> a, b = cr.unbind(cr.tensor([[1, 2], [3, 4]]))
    >>> b.tolist()
    [3, 4]
    """
    x = as_tensor(input, "unbind")
    if not x.ndim:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    axis = axis_index(dim, x.ndim)
    return tuple(ops.unbind(x, axis=axis)) if x.shape[axis] else ()


def _axis_of(x: Tensor, dim: int, name: str) -> int:
    if not x.ndim:
        raise RuntimeError(f"{name} expects at least a 1-dimensional tensor")
    return axis_index(dim, x.ndim)


@public(samples=lambda: [
    Sample((5, 4), 2), Sample((5, 4), 2, -1), Sample((5,), Fixed([2, 3])), Sample((5,), 7), Sample((0, 2), 0),
    Sample((5,), Fixed([2, 2]), error=(RuntimeError, "split_with_sizes expects split_sizes to sum exactly to 5")),
])  # fmt: skip
def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Return the views of consecutive stretches of an axis: of one size (the last may be less), or of the sizes given.

    Examples
    --------
    >>> import chainrule as cr
    >>> [part.tolist() for part in cr.split(cr.tensor([1, 2, 3]), 2)]
    [[1, 2], [3]]
    """
    x = as_tensor(tensor, "split")
    axis = _axis_of(x, dim, "split")
    if not hasattr(split_size_or_sections, "__index__"):
        return split_with_sizes(x, split_size_or_sections, axis)
    return tuple(ops.split(x, sizes=_stretches(x.shape[axis], split_size_or_sections), axis=axis))


def _stretches(n: int, split_size: Any) -> tuple[int, ...]:
    """Return the sizes of stretches of one size of an axis of n elements, the last maybe smaller."""
    size = operator.index(split_size)
    if size < 0:
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={size}")
    if size == 0 and n:
        raise RuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {n}")
    return (*(size,) * (n // size), *((n % size,) if n % size else ())) if n else (0,)


@public(samples=lambda: [Sample((5, 4), Fixed((1, 0, 4))), Sample((5, 4), Fixed((1, 3)), 1)])
def split_with_sizes(input: Tensor, split_sizes: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Return the views of consecutive stretches of an axis, of the sizes given.

    Examples
    --------
    >>> import chainrule as cr
    >>> [part.tolist() for part in cr.split_with_sizes(cr.tensor([1, 2, 3]), (1, 2))]
    [[1], [2, 3]]
    """
    x = as_tensor(input, "split_with_sizes")
    axis = _axis_of(x, dim, "split_with_sizes")
    return tuple(ops.split_with_sizes(x, sizes=_given_sizes(x.shape[axis], split_sizes, axis), axis=axis))


def _given_sizes(n: int, split_sizes: Any, axis: int) -> tuple[int, ...]:
    sizes = tuple(map(operator.index, split_sizes))
    if sum(sizes) != n:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at dimension {axis}), but got "
            f"split_sizes={list(sizes)}"
        )
    if min(sizes, default=0) < 0:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes have only non-negative entries, but got split_sizes={list(sizes)}"
        )
    return sizes


@public(samples=lambda: [Sample((5, 4), 2), Sample((5, 4), 3, 1), Sample((2,), 5), Sample((0, 2), 3)])
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Return the views of an axis cut into at most `chunks` stretches of equal size, the last maybe smaller.

    Examples
    --------
    >>> import chainrule as cr
    >>> [part.tolist() for part in cr.chunk(cr.tensor([1, 2, 3]), 2)]
    [[1, 2], [3]]
    """
    x = as_tensor(input, "chunk")
    axis = _axis_of(x, dim, "chunk")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    n = x.shape[axis]
    if not n:
        return split_with_sizes(x, (0,) * chunks, axis)
    return split(x, -(-n // chunks), axis)


@public(samples=lambda: [Sample((5, 4), 2), Sample((5, 4), 2, -1), Sample((0, 2), 0)])
def unsafe_split(input: Tensor, split_size: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Return :func:`split` as tensors that are no views: each may be written to, and has a history of its own.

    A write to one changes the elements of the tensor that was split, but not its history: use that no more.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.ones(4, requires_grad=True)
    >>> a, b = cr.unsafe_split(x * 2, 2)
    >>> (a.mul_(3) + b).sum().backward()
    >>> x.grad.tolist()
    [6.0, 6.0, 2.0, 2.0]
    """
    x = as_tensor(input, "unsafe_split")
    axis = _axis_of(x, dim, "split")
    return tuple(ops.unsafe_split(x, sizes=_stretches(x.shape[axis], split_size), axis=axis))


@public(samples=lambda: [Sample((5, 4), Fixed((1, 0, 4))), Sample((5, 4), Fixed((1, 3)), 1)])
def unsafe_split_with_sizes(input: Tensor, split_sizes: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Return :func:`split_with_sizes` as tensors that are no views, as :func:`unsafe_split` does.

    Examples
    --------
    >>> import chainrule as cr
    >>> [part.tolist() for part in cr.unsafe_split_with_sizes(cr.tensor([1, 2, 3]), (1, 2))]
    [[1], [2, 3]]
    """
    x = as_tensor(input, "unsafe_split_with_sizes")
    axis = _axis_of(x, dim, "split_with_sizes")
    return tuple(ops.unsafe_split_with_sizes(x, sizes=_given_sizes(x.shape[axis], split_sizes, axis), axis=axis))


@public(samples=lambda: [Sample((5, 4), 2), Sample((5, 4), 3, 1), Sample((0, 2), 3)])
def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Return :func:`chunk` as tensors that are no views, as :func:`unsafe_split` does.

    Examples
    --------
    >>> import chainrule as cr
    >>> [part.tolist() for part in cr.unsafe_chunk(cr.tensor([1, 2, 3]), 2)]
    [[1, 2], [3]]
    """
    x = as_tensor(input, "unsafe_chunk")
    axis = _axis_of(x, dim, "chunk")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    n = x.shape[axis]
    return unsafe_split(x, -(-n // chunks), axis) if n else unsafe_split_with_sizes(x, (0,) * chunks, axis)


@public(samples=lambda: [
    Sample((5, 4), 2), Sample((5, 4), Fixed((1, 3)), 1), Sample((5,), Fixed((1, 7))), Sample((5,), Fixed((-2,))),
])  # fmt: skip
def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Return the views of an axis cut into a number of nearly equal stretches, or cut at the given places.

    Examples
    --------
    >>> import chainrule as cr
    >>> [part.tolist() for part in cr.tensor_split(cr.tensor([1, 2, 3, 4]), (1, 3))]
    [[1], [2, 3], [4]]
    """
    x = as_tensor(input, "tensor_split")
    if not x.ndim:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    axis = axis_index(dim, x.ndim)
    n = x.shape[axis]
    if isinstance(indices_or_sections, Tensor):
        indices_or_sections = indices_or_sections.tolist()
    if isinstance(indices_or_sections, Iterable):
        cuts = [slice(None, i).indices(n)[1] for i in map(operator.index, indices_or_sections)]
    else:
        count = operator.index(indices_or_sections)
        if count <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {count}")
        _ = [None] * count  # there may be no memory for so many
        small, more = divmod(n, count)
        cuts = [i * small + min(i, more) for i in range(1, count)]
    starts, ends = [0, *cuts], [*cuts, n]
    return tuple([getitem(x, index=ops.section(axis, a, max(a, b))) for a, b in zip(starts, ends, strict=True)])


def _along(x: Tensor, indices_or_sections: Any, dim: int, name: str, least: int) -> tuple[Tensor, ...]:
    if x.ndim < least:
        raise RuntimeError(
            f"torch.{name} requires a tensor with at least {least} dimension{'s' if least > 1 else ''}, but got a tensor with "
            f"{x.ndim} dimensions!"
        )
    n = x.shape[dim]
    if not isinstance(indices_or_sections, Iterable) and (indices_or_sections <= 0 or n % indices_or_sections):
        raise RuntimeError(
            f"torch.{name} attempted to split along dimension {dim}, but the size of the dimension {n} is not divisible by the "
            f"split_size {indices_or_sections}!"
        )
    return tensor_split(x, indices_or_sections, dim)


@public(samples=lambda: [Sample((4, 6), 2), Sample((4,), 2), Sample((4, 6), Fixed((1, 2)))])
def hsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Return the views of the second axis (of a vector, the first) cut into parts; see :func:`tensor_split`.

    Examples
    --------
    >>> import chainrule as cr
    >>> [part.tolist() for part in cr.hsplit(cr.tensor([[1, 2]]), 2)]
    [[[1]], [[2]]]
    """
    x = as_tensor(input, "hsplit")
    return _along(x, indices_or_sections, 0 if x.ndim == 1 else 1, "hsplit", 1)


@public(samples=lambda: [Sample((4, 6), 2), Sample((4, 6), Fixed((1, 2)))])
def vsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Return the views of the first axis cut into parts; see :func:`tensor_split`.

    Examples
    --------
    >>> import chainrule as cr
    >>> [part.tolist() for part in cr.vsplit(cr.tensor([[1, 2], [3, 4]]), 2)]
    [[[1, 2]], [[3, 4]]]
    """
    return _along(as_tensor(input, "vsplit"), indices_or_sections, 0, "vsplit", 2)


@public(samples=lambda: [Sample((2, 3, 4), 2), Sample((2, 3, 4), Fixed((1, 2)))])
def dsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Return the views of the third axis cut into parts; see :func:`tensor_split`.

    Examples
    --------
    >>> import chainrule as cr
    >>> len(cr.dsplit(cr.zeros(2, 3, 4), 2))
    2
    """
    return _along(as_tensor(input, "dsplit"), indices_or_sections, 2, "dsplit", 3)
