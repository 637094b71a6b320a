"""Repetition, triangles, diagonals, grids and padding under PyTorch's names; copies of views."""

from __future__ import annotations

import operator
from collections.abc import Callable
from itertools import combinations as index_combinations
from itertools import combinations_with_replacement
from math import prod
from typing import Any

import numpy as np

from chainrule.core.call.asking import asks
from chainrule.core.call.dispatch import as_tensor, cast
from chainrule.core.op.samples import Fixed, Ints, Sample
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import examined, innermost, satisfies
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.shape import axis_index, sizes, spread
from chainrule.core.write.out import into
from chainrule.functions.adapt import public
from chainrule.functions.indexing import part
from chainrule.functions.indexing.select_index import index_select
from chainrule.functions.pointwise.complex import view_as_complex, view_as_real
from chainrule.functions.shaping import transpose, view
from chainrule.functions.shaping.copy import clone, detach
from chainrule.functions.shaping.join import split, split_with_sizes, stack, unbind
from chainrule.functions.shaping.view import expand, reshape, unsqueeze
from chainrule.ops.indexing import view as parts
from chainrule.ops.pointwise.arithmetic import floor_divide, remainder
from chainrule.ops.shaping import shape as ops

__all__ = [
    "alias_copy", "as_strided_copy", "cartesian_prod", "combinations", "constant_pad_nd", "detach_copy", "diag",
    "diag_embed", "diagflat", "diagonal_copy", "expand_copy", "meshgrid", "narrow_copy", "permute_copy",
    "repeat_interleave", "select_copy", "slice_copy", "split_copy", "split_with_sizes_copy", "squeeze_copy", "t_copy",
    "tile", "trace", "transpose_copy", "tril", "triu", "unbind_copy", "unfold_copy", "unravel_index", "unsqueeze_copy",
    "view_as_complex_copy", "view_as_real_copy", "view_copy",
]  # fmt: skip

# -- repetition --------------------------------------------------------------------------------------------------------


def repeat(self: Tensor, *times: Any, repeats: Any = None) -> Tensor:
    """Return the tensor repeated along its axes, copied; counts beyond its axes repeat it along new leading ones.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.tensor([1, 2]).repeat(2, 2).tolist()
    [[1, 2, 1, 2], [1, 2, 1, 2]]
    """
    counts = sizes(times if repeats is None else spread(times, repeats, "repeat", "repeats"))
    if len(counts) < self.ndim:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    if min(counts, default=0) < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(counts)}: {list(counts)}")
    return ops.repeat(self, counts=counts)


Tensor.repeat = repeat  # type: ignore[attr-defined]


@public(samples=lambda: [Sample((3, 4), Fixed((2,))), Sample((3,), Fixed((2, 3))), Sample((), Fixed((2,)))])
def tile(input: Tensor, *times: Any, dims: Any = None) -> Tensor:
    """Return the tensor repeated; fewer counts than axes repeat the last axes.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.tile(cr.tensor([1, 2]), (2,)).tolist()
    [1, 2, 1, 2]
    """
    x, counts = as_tensor(input, "tile"), sizes(times if dims is None else spread(times, dims, "tile", "dims"))
    return repeat(x, (1,) * (x.ndim - len(counts)) + counts)


@public(samples=lambda: [
    Sample((3, 4), 2, 0), Sample((3, 4), 2), Sample((3, 4), Ints((3,), 0, 3), 0), Sample((3,), Fixed(np.array([1, 0, 2]))),
    Sample(np.array([2, 0, 1])),
])  # fmt: skip
def repeat_interleave(
    input: Any = None, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Return the elements of an axis, each repeated in its place; without an axis, those of the tensor as a vector.

    Of counts alone, ``repeat_interleave(counts)``, the result is the places 0, 1, …, each as often as it says.

    Parameters
    ----------
    input : Tensor
        Of any shape and dtype.
    repeats : int or Tensor
        How often: one count for all, or one for each element of the axis.
    dim : int, optional
        The axis.
    output_size : int, optional
        The length of the result along the axis; it is checked.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.repeat_interleave(cr.tensor([1, 2]), cr.tensor([2, 1])).tolist()
    [1, 1, 2]
    """
    if input is None:
        input, repeats = repeats, None
    x = as_tensor(input, "repeat_interleave")
    if repeats is None:
        if x.dtype not in (dtypes.int64, dtypes.int32):
            raise RuntimeError("repeats has to be Long or Int tensor")
        x, repeats = wrap(np.arange(x.shape[0] if x.ndim else 1).astype(x.dtype.numpy)), x
    if isinstance(repeats, (Tensor, np.ndarray)):
        counts = np.atleast_1d(innermost(repeats))
        if counts.ndim != 1:
            raise RuntimeError("repeat_interleave: only 1-dimensional repeat is accepted")
        if counts.size and counts.min() < 0:
            raise RuntimeError("repeats can not be negative")
        if dim is None:
            x, dim = view.ravel(x), 0
        n = x.shape[axis_index(dim, x.ndim)] if x.ndim else 1
        if counts.size not in (1, n):
            raise RuntimeError("repeats must have the same size as input along dim")
        result = index_select(x, dim, np.repeat(np.arange(n), counts))
    else:
        count = operator.index(repeats)
        if count < 0:
            raise RuntimeError("Repeats must be non-negative")
        if dim is None:
            x, dim = view.ravel(x), 0
        axis = axis_index(dim, x.ndim)
        shape = tuple(x.shape)
        wide = (*shape[: axis + 1], count, *shape[axis + 1 :])
        copied = ops.contiguous(expand(unsqueeze(x, axis + 1), wide))
        result = reshape(copied, (*shape[:axis], shape[axis] * count, *shape[axis + 1 :]))
    if output_size is not None and result.shape[dim] != output_size:
        raise RuntimeError(f"allocated size does not match required size: {output_size} is not {result.shape[dim]}")
    return result


# -- triangles and diagonals -------------------------------------------------------------------------------------------


def _matrices(input: Any, name: str) -> Tensor:
    x = as_tensor(input, name)
    if x.ndim < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
    return x


@public(out="exact", inplace=True, samples=lambda: [Sample((3, 4)), Sample((2, 4, 3), -1), Sample((0, 3), 1)])
def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return a copy with the elements above a diagonal set to zero.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.tril(cr.ones(2, 2)).tolist()
    [[1.0, 0.0], [1.0, 1.0]]
    """
    return ops.tril(_matrices(input, "tril"), k=operator.index(diagonal))


@public(out="exact", inplace=True, samples=lambda: [Sample((3, 4)), Sample((2, 4, 3), -1), Sample((0, 3), 1)])
def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return a copy with the elements below a diagonal set to zero.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.triu(cr.ones(2, 2)).tolist()
    [[1.0, 1.0], [0.0, 1.0]]
    """
    return ops.triu(_matrices(input, "triu"), k=operator.index(diagonal))


@public(samples=lambda: [
    Sample((3, 4)), Sample((0, 3)),
    Sample((3,), error=(RuntimeError, "trace: expected a matrix, but got tensor with dim 1")),
])  # fmt: skip
def trace(input: Tensor) -> Tensor:
    """Return the sum of the diagonal of a matrix.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.trace(cr.tensor([[1.0, 2.0], [3.0, 4.0]])).item()
    5.0
    """
    x = as_tensor(input, "trace")
    if x.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {x.ndim}")
    if x.dtype.category < 2:
        return x.diagonal().sum()  # type: ignore[attr-defined]
    return parts.trace(x)


@public(samples=lambda: [Sample((3,)), Sample((3,), -1), Sample((2, 3), 1), Sample((2, 3), 0, 0, -1)])
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Return a tensor of zeros whose diagonals, over two new axes, are the last axis of the input.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.diag_embed(cr.tensor([1, 2])).tolist()
    [[1, 0], [0, 2]]
    """
    x = as_tensor(input, "diag_embed")
    ndim = x.ndim + 1
    a, b = axis_index(dim1, ndim), axis_index(dim2, ndim)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    offset = operator.index(offset)
    n = x.shape[-1] + abs(offset)
    rest = iter(x.shape[:-1])
    shape = tuple([n if d in (a, b) else next(rest) for d in range(ndim)])
    return parts.place_diagonal(x, shape=shape, offset=offset, a=a, b=b)


@public(out="exact", samples=lambda: [Sample((3,)), Sample((3,), -1)])
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return the matrix with a vector on its diagonal; or a copy of the diagonal of a matrix.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.diag(cr.tensor([1, 2])).tolist()
    [[1, 0], [0, 2]]
    """
    x = as_tensor(input, "diag")
    if x.ndim == 1:
        return diag_embed(x, diagonal)
    if x.ndim != 2:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {x.ndim}D")
    return clone(part.diagonal(x, diagonal))


@public(samples=lambda: [Sample((3,)), Sample((2, 2), 1), Sample(())])
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """Return the matrix with all elements of the input on its diagonal.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.diagflat(cr.tensor([[1, 2]])).tolist()
    [[1, 0], [0, 2]]
    """
    return diag_embed(view.ravel(input), offset)


# -- grids -------------------------------------------------------------------------------------------------------------


@public(method=False, samples=lambda: [
    Sample((2,), (3,), indexing="ij"), Sample((2,), (3,), (), indexing="xy"), Sample((3,), indexing="ij"),
])  # fmt: skip
def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Return the vectors as coordinates on their grid: views, each with one axis for every vector.

    Parameters
    ----------
    *tensors : Tensor
        Vectors or numbers of one dtype; or one sequence of them.
    indexing : {"ij", "xy"}
        Whether axes come in the order of the vectors, or with the first two exchanged.

    Examples
    --------
    >>> import chainrule as cr
    >>> x, y = cr.meshgrid(cr.tensor([1, 2]), cr.tensor([3, 4]), indexing="xy")
    >>> x.tolist()
    [[1, 2], [1, 2]]
    """
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    xs = [as_tensor(t, "meshgrid", i) for i, t in enumerate(tensors)]
    if not xs:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    if any(x.ndim > 1 for x in xs):
        bad = next(x for x in xs if x.ndim > 1)
        raise RuntimeError(f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {list(bad.shape)}")
    if any(x.dtype is not xs[0].dtype for x in xs):
        raise RuntimeError("torch.meshgrid expects all tensors to have the same dtype")
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    swap = indexing == "xy" and len(xs) > 1
    if swap:
        xs[:2] = xs[1], xs[0]
    shape = tuple([x.numel() for x in xs])
    grids = [expand(reshape(x, (1,) * k + (x.numel(),) + (1,) * (len(xs) - 1 - k)), shape) for k, x in enumerate(xs)]
    if swap:
        grids[:2] = grids[1], grids[0]
    return tuple(grids)


@public(method=False, samples=lambda: [Sample((2,), (3,)), Sample((3,))])
def cartesian_prod(*tensors: Tensor) -> Tensor:
    """Return all combinations of one element from each vector, one a row.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.cartesian_prod(cr.tensor([1, 2]), cr.tensor([3, 4])).tolist()
    [[1, 3], [1, 4], [2, 3], [2, 4]]
    """
    if len(tensors) == 1:
        return as_tensor(tensors[0])
    return stack([reshape(g, (-1,)) for g in meshgrid(*tensors)], 1)


@public(samples=lambda: [Sample((4,)), Sample((3,), 3), Sample((3,), 2, with_replacement=True)])
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """Return all combinations of `r` elements of a vector, one a row, in order.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.combinations(cr.tensor([1, 2, 3])).tolist()
    [[1, 2], [1, 3], [2, 3]]
    """
    x = as_tensor(input, "combinations")
    if x.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(x.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    choose = combinations_with_replacement if with_replacement else index_combinations
    if not r:
        return reshape(x[:0], (0,))
    rows = np.array(list(choose(range(x.numel()), r)), np.int64).reshape(-1, r)
    return stack([index_select(x, 0, np.ascontiguousarray(rows[:, k])) for k in range(r)], 1)


# -- padding and sums --------------------------------------------------------------------------------------------------


@public(method=False, samples=lambda: [
    Sample((3, 4), Fixed((1, 2))), Sample((3, 4), Fixed((1, -1, 0, 2)), 1.5), Sample((2, 0), Fixed((2, 1)), 3.0),
])  # fmt: skip
def constant_pad_nd(input: Tensor, pad: Any, value: Any = 0) -> Tensor:
    """Return the tensor with a constant put before and after the elements of its last axes; negative widths cut.

    Parameters
    ----------
    input : Tensor
        Of any shape and dtype.
    pad : tuple of int
        Widths before and after: of the last axis, then of the one before it, and so on.
    value : number
        The constant.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.constant_pad_nd(cr.tensor([1, 2]), (1, 2)).tolist()
    [0, 1, 2, 0, 0]
    """
    x, widths = as_tensor(input, "constant_pad_nd"), tuple(map(operator.index, pad))
    if len(widths) % 2:
        raise RuntimeError("Length of pad must be even")
    if len(widths) > 2 * x.ndim:
        raise RuntimeError(
            f"Length of pad should be no more than twice the number of dimensions of the input. Pad length is {len(widths)} "
            f"while the input has {x.ndim} dimensions."
        )
    pairs = [(0, 0)] * (x.ndim - len(widths) // 2)
    pairs += [(widths[k], widths[k + 1]) for k in range(len(widths) - 2, -1, -2)]
    for n, (a, b) in zip(x.shape, pairs, strict=True):
        if n + a + b < 0:
            raise RuntimeError(
                f"The input size {n}, plus negative padding {a} and {b} resulted in a negative output size, which is invalid."
            )
    return ops.constant_pad(x, widths=tuple(pairs), value=innermost(value))


def sum_to_size(self: Tensor, *lengths: Any, size: Any = None) -> Tensor:
    """Return the tensor summed to a shape that broadcasts to its own.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.ones(2, 3).sum_to_size(1, 3).tolist()
    [[2.0, 2.0, 2.0]]
    """
    wanted, shape = sizes(lengths if size is None else spread(lengths, size, "sum_to_size", "size")), tuple(self.shape)
    lead = len(shape) - len(wanted)
    if lead < 0 or any(n not in (1, m) for n, m in zip(wanted, shape[lead:], strict=True)):
        raise RuntimeError(f"size {{{list(wanted)}}} is not expandable to size {{{list(shape)}}}.")
    if wanted == shape and shape:
        return self
    if self.dtype.category < dtypes.FLOAT:
        self = cast(self, dtypes.int64)  # type: ignore[assignment]
    return self if wanted == shape else ops.sum_to(self, shape=wanted)


Tensor.sum_to_size = sum_to_size  # type: ignore[attr-defined]


@public(method=False, kinds="", samples=lambda: [Sample(Ints((3,), 0, 12), Fixed((3, 4)))])
def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """Return, for places in a tensor read as a vector, the index arrays of its axes.

    Examples
    --------
    >>> import chainrule as cr
    >>> [i.tolist() for i in cr.unravel_index(cr.tensor([5]), (2, 3))]
    [[1], [2]]
    """
    given = as_tensor(indices, "unravel_index")
    if given.dtype.category != dtypes.INT:
        raise TypeError(f"expected 'indices' to be integer dtype, but got {given.dtype}")
    i = cast(given, dtypes.int64)
    shape = (shape,) if hasattr(shape, "__index__") else tuple(shape)
    if any([n < 0 for n in shape]):
        raise ValueError(f"'shape' cannot have negative values, but got {shape}")
    if not satisfies(i, lambda places: ((places >= 0) & (places < prod(shape))).all()):
        np.unravel_index(examined(i), shape)  # raises
    found = []
    for n in reversed(shape):
        found.append(remainder(i, n))
        i = floor_divide(i, n)
    return tuple(reversed(found))


# -- copies of views ---------------------------------------------------------------------------------------------------


def part_along(input: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Tensor:
    """Return every `step`-th part along an axis from `start` to before `end`: a slice, as a function."""
    axis = axis_index(dim, input.ndim)
    return input[(slice(None),) * axis + (slice(start, end, step),)]  # type: ignore[index]


def _copying(f: Callable, name: str) -> Callable:
    """Return the version of a view function that copies its result."""

    def copied(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        seen = f(as_tensor(input, name), *args, **kwargs)
        return tuple(map(clone, seen)) if isinstance(seen, tuple) else clone(seen)

    def call(input: Tensor, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        return copied(input, *args, **kwargs) if out is None else into(out, name, copied, (input, *args), kwargs)

    call.__name__ = call.__qualname__ = name
    call.__module__ = "chainrule"
    shown = name.removesuffix("_copy")
    call.__doc__ = f"Return a copy of what ``{shown}`` shows of a tensor; the arguments are the same, and ``out=``."
    return asks(call)


alias_copy = _copying(lambda x: x, "alias_copy")
detach_copy = _copying(detach, "detach_copy")
as_strided_copy = _copying(part.as_strided, "as_strided_copy")
diagonal_copy = _copying(part.diagonal, "diagonal_copy")
expand_copy = _copying(view.expand, "expand_copy")
narrow_copy = _copying(part.narrow, "narrow_copy")
permute_copy = _copying(transpose.permute, "permute_copy")
select_copy = _copying(part.select, "select_copy")
slice_copy = _copying(part_along, "slice_copy")
split_copy = _copying(split, "split_copy")
split_with_sizes_copy = _copying(split_with_sizes, "split_with_sizes_copy")
squeeze_copy = _copying(view.squeeze, "squeeze_copy")
t_copy = _copying(transpose.t, "t_copy")
transpose_copy = _copying(transpose.transpose, "transpose_copy")
unbind_copy = _copying(unbind, "unbind_copy")
unfold_copy = _copying(part.unfold, "unfold_copy")
unsqueeze_copy = _copying(view.unsqueeze, "unsqueeze_copy")
view_as_complex_copy = _copying(view_as_complex, "view_as_complex_copy")
view_as_real_copy = _copying(view_as_real, "view_as_real_copy")
view_copy = _copying(view.view, "view_copy")
Tensor.narrow_copy = narrow_copy  # type: ignore[attr-defined]
