"""Gathering and scattering along one axis under PyTorch's names: the index has an element for each element moved."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.call.dispatch import as_tensor, cast, in_full
from chainrule.core.mode.state import modes
from chainrule.core.op.samples import Fixed, Ints, Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import innermost
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.shape import axis_index, broadcast
from chainrule.functions.adapt import public
from chainrule.functions.shaping.view import reshape
from chainrule.ops.indexing import scatter as ops
from chainrule.ops.indexing import view as parts
from chainrule.ops.indexing.select import where
from chainrule.ops.pointwise.arithmetic import remainder
from chainrule.ops.reduction.reduce import prod as product
from chainrule.ops.shaping.shape import named

__all__ = ["gather", "scatter", "scatter_add", "scatter_reduce", "take_along_dim"]

# -- checks ------------------------------------------------------------------------------------------------------------


def index_of(index: Any, name: str, position: int = 2, empty: bool = False) -> Tensor:
    """Return an index as a tensor of integers; one of no elements may be of any dtype if `empty`."""
    index = as_tensor(index, name, position)
    if empty and not index.numel():
        return cast(index, dtypes.int64)
    if index.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index")
    return index


def check_same_dtype(x: Tensor, y: Tensor, name: str) -> None:
    if x.dtype is not y.dtype:
        raise RuntimeError(f"{name}(): Expected self.dtype to be equal to src.dtype, got {x.dtype} and {y.dtype}")


def _fitting(x: Tensor, index: Tensor, axis: int, name: str) -> Tensor:
    """Return an index of gather or scatter that fits: as many axes as the input, and no longer off the axis."""
    shape, wanted = x.shape or (1,), index.shape or (1,)
    if 0 in wanted:
        return index
    if len(shape) != len(wanted):
        whose = "input" if name == "gather" else "self"
        raise RuntimeError(f"Index tensor must have the same number of dimensions as {whose} tensor")
    for d, (n, m) in enumerate(zip(shape, wanted, strict=True)):
        if m > n and d != axis:
            where = f"Size does not match at dimension {d} expected" if name == "gather" else "Expected"
            raise RuntimeError(
                f"{where} index {list(wanted)} to be no larger than self {list(shape)} apart from dimension {axis}"
            )
    return reshape(index, wanted) if len(x.shape) > len(index.shape) else index


def _source(y: Tensor, index: Tensor, name: str) -> Tensor:
    """Return the part of a source that an index reads: its leading corner of the index's shape."""
    have, wanted = y.shape, index.shape
    if have == wanted or (prod(have) == 1 and prod(wanted) == 1):
        return y if have == wanted else reshape(y, wanted)
    if 0 in wanted:
        return reshape(parts.getitem(reshape(y, (-1,)), index=(slice(0, 0), ...)), wanted)
    if len(have) != len(wanted):
        raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")
    if any(m > n for n, m in zip(have, wanted, strict=True)):
        raise RuntimeError(f"Expected index {list(wanted)} to be no larger size than src {list(have)}")
    return parts.getitem(y, index=(*[slice(0, m) for m in wanted], ...))


def _in_range(f: Any, *args: Any, **params: Any) -> Tensor:
    """Call an op; out-of-bounds indices of gather and scatter are a RuntimeError in PyTorch."""
    try:
        return f(*args, **params)
    except IndexError as error:
        words = str(error).partition("(): ")[2].partition(" (called with")[0]
        raise RuntimeError(words.replace("dimension 0", f"dimension {params['axis']}")) from None


# -- an index element for each element ---------------------------------------------------------------------------------


@public(out="exact", samples=lambda: [
    Sample((3, 4), 0, Ints((2, 4), 0, 3)), Sample((3, 4), 1, Ints((2, 6), 0, 4)), Sample((), 0, Ints((), 0, 1)),
    Sample((3,), -1, Ints((0,), 0, 1)), Sample((3,), 0, Fixed(np.array(1))),
    Sample((3,), 0, Fixed(np.array([5])), error=(RuntimeError, "index 5 is out of bounds for dimension 0 with size 3")),
])  # fmt: skip
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """Return, for each element of `index`, the element of the input at that place of the axis.

    Parameters
    ----------
    input : Tensor
        Of any shape and dtype.
    dim : int
        The axis that the index addresses; in the others, an element's own place counts.
    index : Tensor
        Of int64, with the axes of the input, no longer than it except along `dim`.
    sparse_grad : bool
        Gradients are dense here: only False is taken.

    Raises
    ------
    RuntimeError
        If an index is out of bounds, or the shapes do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.gather(cr.tensor([[1, 2], [3, 4]]), 1, cr.tensor([[0, 0], [1, 0]])).tolist()
    [[1, 1], [4, 3]]
    """
    if sparse_grad:
        raise NotImplementedError("gather(): gradients are dense; call it without sparse_grad")
    x, index = as_tensor(input, "gather"), index_of(index, "gather", empty=True)
    axis = axis_index(dim, x.ndim)
    out = _in_range(ops.gather, x, _fitting(x, index, axis, "gather"), axis=axis)
    return out if out.shape == index.shape else named(reshape(out, index.shape), form="Gather")


@public(out=True, inplace=True, samples=lambda: [
    Sample((3, 4), 0, Fixed(np.array([[1, 0, 2, 0], [0, 2, 1, 1]])), (2, 4)),
    Sample((3, 4), 1, Fixed(np.array([[1], [2]])), 2.5),
    Sample((3, 4), 0, Fixed(np.array([[1, 0, 2]])), (1, 3)), Sample((), 0, Fixed(np.array(0)), ()),
    Sample((3,), 0, Fixed(np.array(1)), ()), Sample((3, 4), 0, Fixed(np.zeros((0, 4), int)), (0, 4)),
    Sample((3,), 0, Fixed(np.array([3])), (1,), error=(RuntimeError, "index 3 is out of bounds for dimension 0 with size 3")),
])  # fmt: skip
def scatter(input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None) -> Tensor:
    """Return a copy with each element of `src`, or one value, written to the place of the axis that `index` names.

    Parameters
    ----------
    input, dim, index
        As for :func:`gather`.
    src : Tensor or number
        Of the dtype of the input, at least as large as the index.
    value : number, optional
        A number instead of `src`.
    reduce : {"add", "multiply"}, optional
        Combine with what is there instead of replacing it.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.scatter(cr.zeros(3), 0, cr.tensor([2, 0]), cr.tensor([1.0, 2.0])).tolist()
    [2.0, 0.0, 1.0]
    """
    x, index = as_tensor(input, "scatter"), index_of(index, "scatter", empty=True)
    if src is None:
        is_number = isinstance(value, Tensor) and not (value.ndim or value._level or value.requires_grad)
        src = value.item() if is_number else value
    axis = axis_index(dim, x.ndim)
    index = _fitting(x, index, axis, "scatter")
    if not isinstance(src, (Tensor, np.ndarray)):
        y = innermost(cast(in_full(src, "scatter", 3), x.dtype))
        if reduce is None:
            return _in_range(ops.scatter, x, index, y, axis=axis, form="1")
        src = as_tensor(np.full(tuple(index.shape), y))
    src = as_tensor(src, "scatter", 3)
    check_same_dtype(x, src, "scatter")
    src = _source(src, index, "scatter")
    if reduce is None:
        return _in_range(ops.scatter, x, index, src, axis=axis, form="0")
    if reduce not in ("add", "multiply"):
        raise RuntimeError("reduce argument must be either add or multiply.")
    return scatter_reduce(x, axis, index, src, {"add": "sum", "multiply": "prod"}[reduce])


@public(out=True, inplace=True, samples=lambda: [
    Sample((3, 4), 0, Ints((2, 4), 0, 3), (2, 4)), Sample((3, 4), 1, Ints((2, 6), 0, 4), (2, 6)),
    Sample((), 0, Ints((), 0, 1), ()), Sample((3,), 0, Fixed(np.array(1)), ()),
])  # fmt: skip
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """Return a copy with each element of `src` added at the place of the axis that `index` names.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.scatter_add(cr.zeros(3), 0, cr.tensor([2, 2]), cr.tensor([1.0, 2.0])).tolist()
    [0.0, 0.0, 3.0]
    """
    x, index, y = as_tensor(input, "scatter_add"), index_of(index, "scatter_add", empty=True), as_tensor(src, "scatter_add", 3)
    axis = axis_index(dim, x.ndim)
    index = _fitting(x, index, axis, "scatter_add")
    check_same_dtype(x, y, "scatter")
    return _in_range(ops.scatter_add, x, index, _source(y, index, "scatter_add"), axis=axis)


REDUCTIONS = ("sum", "mean", "prod", "amax", "amin")


@public(out="exact", inplace=True, kinds="f", samples=lambda: [
    Sample((3, 4), 0, Ints((5, 4), 0, 3), (5, 4), reduce, include_self=own) for reduce in REDUCTIONS for own in (True, False)
] + [Sample((3,), 0, Fixed(np.array(1)), (), "prod")])  # fmt: skip
def scatter_reduce(input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True) -> Tensor:
    """Return a copy with the elements of `src` combined at the places of the axis that `index` names.

    Parameters
    ----------
    input, dim, index, src
        As for :func:`scatter`.
    reduce : {"sum", "prod", "mean", "amax", "amin"}
        How elements at one place combine. Gradients of ties in amax and amin split evenly.
    include_self : bool
        Whether the input's own elements take part.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.scatter_reduce(cr.ones(2), 0, cr.tensor([0, 0]), cr.tensor([3.0, 5.0]), "mean").tolist()
    [3.0, 1.0]
    """
    x, index, y = as_tensor(input, "scatter_reduce"), index_of(index, "scatter_reduce"), as_tensor(src, "scatter_reduce", 3)
    axis = axis_index(dim, x.ndim)
    index = _fitting(x, index, axis, "scatter_reduce")
    check_same_dtype(x, y, "scatter")
    out = reduced(x, axis, index, _source(y, index, "scatter_reduce"), reduce, include_self)
    return named(out, form="ScatterReduce")


def reduced(x: Tensor, axis: int, index: Tensor, y: Tensor, reduce: str, include_self: bool) -> Tensor:
    if reduce in ("amax", "amin"):
        return _in_range(ops.scatter_extreme, x, index, y, axis=axis, largest=reduce == "amax", include_self=bool(include_self))
    if reduce not in ("sum", "mean", "prod"):
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    if not include_self:
        start = np.asarray(1 if reduce == "prod" else 0, x.dtype.numpy)
        x = _in_range(ops.scatter, x, index, start, axis=axis, form="1")
    if reduce == "sum":
        return _in_range(ops.scatter_add, x, index, y, axis=axis)
    if reduce == "mean":
        ones = np.ones(tuple(y.shape), x.dtype.numpy)
        own = np.asarray(1 if include_self else 0, x.dtype.numpy)
        counts = ops.scatter_add(np.broadcast_to(own, tuple(x.shape)), index, ones, axis=axis)
        total = _in_range(ops.scatter_add, x, index, y, axis=axis)
        counts = where(counts == 0, 1, counts)
        return total / counts if x.dtype.category >= dtypes.FLOAT else total // counts  # type: ignore[operator]
    return _product(x, axis, index, y)


def _product(x: Tensor, axis: int, index: Tensor, y: Tensor) -> Tensor:
    """Multiply in rounds, in each of which no place is named twice: exact derivatives of every order, zeros included."""
    turn = ops.turns(index, axis=axis)
    if modes().tracer is not None:
        return _product_of_rows(x, axis, index, y, turn)
    zeros = np.zeros(tuple(x.shape), x.dtype.numpy)
    zero, one = np.zeros((), zeros.dtype), np.ones((), zeros.dtype)
    for k in range(int(innermost(turn, "check").max(initial=-1)) + 1):
        now = turn == k
        placed = _in_range(ops.scatter_add, zeros, index, where(now, y, zero), axis=axis)
        hit = ops.scatter_add(zeros, index, where(now, one, zero), axis=axis)
        x = x * where(hit == 0, one, placed)
    return x


def _product_of_rows(x: Tensor, axis: int, index: Tensor, y: Tensor, turn: Tensor) -> Tensor:
    """Multiply rows of all the factors that a place may have: for a graph, in which values decide on no number of rounds."""
    if not x.ndim or not index.ndim:
        shape = x.shape
        x, index, y, turn = [reshape(t, (-1,)) if t.ndim < 1 else t for t in (x, index, y, turn)]
        return reshape(_product_of_rows(x, axis, index, y, turn), shape)
    before, m, after, n = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :], index.shape[axis]
    rows = np.ones((*before, m * n, *after), x.dtype.numpy)
    rows = _in_range(ops.scatter, rows, index * n + turn, y, axis=axis, form="0")  # type: ignore[operator]
    return x * cast(product(reshape(rows, (*before, m, n, *after)), axis=axis + 1, keepdims=False), x.dtype)


@public(out="exact", samples=lambda: [
    Sample((3, 4), Ints((3, 2), 0, 4), 1), Sample((3, 4), Ints((1, 4), 0, 3), 0), Sample((3, 4), Ints((5,), 0, 12)),
])  # fmt: skip
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """Return elements gathered along an axis, input and indices broadcast in the others; what argsort's result is for.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.take_along_dim(cr.tensor([[3, 1], [2, 4]]), cr.tensor([[1, 0]]), dim=1).tolist()
    [[1, 3], [4, 2]]
    """
    x, i = as_tensor(input, "take_along_dim"), index_of(indices, "take_along_dim", 1)
    if dim is None:
        return gather(reshape(x, (-1,)), 0, reshape(i, (-1,)))
    if x.ndim != i.ndim:
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, but got "
            f"{x.ndim} dimensions for input, and {i.ndim} dimensions for indices"
        )
    if not x.ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    axis = axis_index(dim, x.ndim)
    flat = [tuple(1 if d == axis else n for d, n in enumerate(t.shape)) for t in (x, i)]
    shape = broadcast(*flat)
    x, i = (
        t.expand([n if d == axis else shape[d] for d, n in enumerate(t.shape)])  # type: ignore[attr-defined]
        for t in (x, i)
    )
    return gather(x, axis, _counted(i, x.shape[axis]))


def _counted(i: Tensor, n: int) -> Tensor:
    """Return indices below n, counted from the end where they are negative, and on from the start beyond it, as PyTorch's."""
    return remainder(i, n) if n else i
