"""Look-up of rows by index, alone and in bags: a part of `chainrule.nn.functional`.

What PyTorch changes in the backward pass alone (no gradient for padding, less for frequent rows) is here a part of the
function, by `detach`; so forward mode and second derivatives know of it too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.call.asking import asks
from chainrule.core.call.dispatch import as_tensor, cast
from chainrule.core.mode.grad_mode import no_grad
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import examined, innermost, satisfies
from chainrule.core.types import dtype as dtypes
from chainrule.functions.creation.fill import arange
from chainrule.functions.indexing.scatter import scatter_reduce
from chainrule.functions.reduction.vector_norm import vector_norm
from chainrule.ops.indexing.index import index, index_sum
from chainrule.ops.indexing.scatter import gather
from chainrule.ops.indexing.select import where
from chainrule.ops.indexing.view import zeros
from chainrule.ops.shaping.shape import broadcast_to, detach, reshape, unsqueeze

__all__ = ["embedding", "embedding_bag", "one_hot"]

_INTEGERS = (dtypes.int64, dtypes.int32)


# -- rows --------------------------------------------------------------------------------------------------------------


def checked_indices(given: Any, name: str) -> Tensor:
    i = as_tensor(given, name)
    if i.dtype not in _INTEGERS:
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got "
            f"chainrule.{i.dtype.old_name}Tensor instead (while checking arguments for {name})"
        )
    return cast(i, dtypes.int64)


def refuse_sparse(sparse: bool, name: str) -> None:
    if sparse:
        raise NotImplementedError(
            f"{name}(): sparse=True asks for a sparse gradient, and chainrule has dense tensors only; leave it out"
        )


def renormalized(weight: Any, i: Tensor, max_norm: float, norm_type: float) -> None:
    """Scale the rows that are looked up down to a norm, in place and without derivative."""
    with no_grad():
        used = np.unique(np.asarray(innermost(i)))
        rows = index(weight, used, axes=(0,))
        size = vector_norm(rows, float(norm_type), 1, True)
        scale = where(size > max_norm, max_norm / (size + 1e-7), 1)
        weight[used] = rows * cast(scale, rows.dtype)


def _shared_out(rows: Any, i: Tensor, count: int) -> Any:
    """Return the rows, their derivatives divided by how often each is looked up."""
    times = index(index_sum(zeros(tuple(i.shape), rows) + 1, i, shape=(count,), axes=(0,)), i, axes=(0,))
    still = detach(rows)
    return still + (rows - still) / unsqueeze(times, axis=times.ndim)


@asks
def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Return the rows of a matrix at indices.

    Parameters
    ----------
    input : Tensor
        ``int64`` or ``int32`` indices, of any shape.
    weight : Tensor
        Of shape (rows, D).
    padding_idx : int, optional
        A row that gets no gradient; negative ones count from the end.
    max_norm : float, optional
        Scale the rows that are looked up down to this norm first, in place.
    norm_type : float
        That norm's order.
    scale_grad_by_freq : bool
        Divide each row's gradient by how often it is looked up.
    sparse : bool
        Not supported: gradients are dense.

    Returns
    -------
    Tensor
        Of the shape of `input` and (D,).

    Raises
    ------
    IndexError
        If an index is out of range.
    AssertionError
        If `padding_idx` is.
    RuntimeError
        If `weight` is no matrix, or the indices are no integers.
    NotImplementedError
        If `sparse`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.embedding(cr.tensor([1, 0]), cr.tensor([[0.5, 1.0], [2.0, 3.0]]))
    tensor([[2.0000, 3.0000],
            [0.5000, 1.0000]])
    """
    w = as_tensor(weight, "embedding", 1)
    if w.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    i = checked_indices(input, "embedding")
    refuse_sparse(sparse, "embedding")
    count = w.shape[0]
    if padding_idx is not None:
        if not -count <= padding_idx < max(count, 1):
            raise AssertionError("Padding_idx must be within num_embeddings")
        padding_idx %= max(count, 1)
    if not are_rows(i, count):
        raise IndexError("index out of range in self")
    if max_norm is not None:
        renormalized(w, i, max_norm, norm_type)
    rows = index(w, i, axes=(0,))
    if scale_grad_by_freq and rows.dtype.category >= dtypes.FLOAT:
        rows = _shared_out(rows, i, count)
    if padding_idx is not None:
        rows = where(unsqueeze(i == padding_idx, axis=i.ndim), detach(rows), rows)
    return rows


def are_rows(i: Tensor, count: int) -> bool:
    """Tell whether all indices are those of rows; as unsigned numbers, negative ones are large: arrays need one comparison."""
    quick = lambda values: (np.asarray(values).view(np.uint64) < count).all()
    return satisfies(i, lambda values: ((values >= 0) & (values < count)).all(), quick)


# -- bags --------------------------------------------------------------------------------------------------------------


def bags_of(i: Tensor, offsets: Tensor | None, include_last_offset: bool) -> tuple[Tensor, np.ndarray, int]:
    """Return (indices in one row, the bag of each, the number of bags)."""
    if i.ndim == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length sequences. "
                f"However, found offsets of type {type(offsets)}"
            )
        count, size = i.shape
        return reshape(i, shape=(count * size,)), np.repeat(np.arange(count), size), count
    if i.ndim != 1:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {i.ndim}")
    if offsets is None:
        raise ValueError("offsets has to be a 1D Tensor but got None")
    starts = np.asarray(innermost(as_tensor(offsets)))
    if starts.ndim != 1:
        raise ValueError("offsets has to be a 1D Tensor")
    n = i.shape[0]
    if include_last_offset and not len(starts):
        raise RuntimeError("include_last_offset: number of offset should be at least 1")
    if len(starts) and starts[0]:
        raise RuntimeError(
            "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from position 0. However, got "
            f"{starts[0]}"
        )
    if len(starts) and starts[-1] > n:
        raise RuntimeError(f"offsets[-1] can not be greater than input's length {n} but got offsets[-1] of {starts[-1]}")
    bag = np.searchsorted(starts, np.arange(n), side="right") - 1
    return i, bag, len(starts) - include_last_offset


def _largest(rows: Any, bag: np.ndarray, counts: Any, bags: int) -> tuple:
    """Return the largest element of each bag in each column, the first of equal ones, and its place; 0, and n, of none."""
    n, columns = rows.shape
    if not n:
        return zeros((bags, columns), rows), as_tensor(np.full((bags, columns), n))
    at = np.broadcast_to(bag[:, None], (n, columns)).copy()
    still = where(unsqueeze(counts, axis=1), detach(rows), -np.inf)
    top: Any = scatter_reduce(zeros((bags, columns), rows), 0, at, still, "amax", include_self=False)
    hit = (still == gather(top, at, axis=0)) | (still != still)
    place = where(hit, unsqueeze(arange(n), axis=1), n)
    first = scatter_reduce(broadcast_to(as_tensor(np.array([[n]])), shape=(bags, columns)), 0, at, place, "amin")
    found = gather(rows, where(first < n, first, 0), axis=0)
    return where((first < n) & (top != -np.inf), found, 0), first


@asks
def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Return the sum, mean or maximum of the rows of a matrix at the indices of each bag.

    Parameters
    ----------
    input : Tensor
        Indices: of shape (bags, n), or all in one row with `offsets`.
    weight : Tensor
        Of shape (rows, D).
    offsets : Tensor, optional
        Where in the row of indices each bag starts.
    max_norm, norm_type, scale_grad_by_freq, sparse
        As :func:`embedding` takes them.
    mode : {"sum", "mean", "max"}
        What to make of a bag; an empty one gives zeros. The largest element's derivative goes to the first of equal ones.
    per_sample_weights : Tensor, optional
        Factors of the rows, of the shape of `input`; for "sum" only.
    include_last_offset : bool
        The last offset says where the last bag ends, and starts none.
    padding_idx : int, optional
        Indices that count for nothing.

    Returns
    -------
    Tensor
        Of shape (bags, D).

    Raises
    ------
    ValueError
        If shapes, offsets or the mode do not fit.
    RuntimeError
        If an index or an offset is out of range.
    NotImplementedError
        If `sparse`, or for weights with another mode than "sum".

    Examples
    --------
    >>> import chainrule as cr
    >>> w = cr.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> cr.nn.functional.embedding_bag(cr.tensor([0, 2, 1]), w, cr.tensor([0, 2]), mode="sum")
    tensor([[6., 8.],
            [3., 4.]])
    """
    given, w = as_tensor(input, "embedding_bag"), as_tensor(weight, "embedding_bag", 1)
    factors = None if per_sample_weights is None else as_tensor(per_sample_weights)
    if factors is not None and tuple(given.shape) != tuple(factors.shape):
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({factors.shape}) is not None, then it must have the same shape as the "
            f"input ({given.shape})"
        )
    if w.ndim != 2:
        raise ValueError(f"weight has to be a 2D Tensor, but got Tensor of dimension {w.ndim}")
    i, bag, bags = bags_of(given, offsets, include_last_offset)
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if mode == "max" and scale_grad_by_freq:
        raise ValueError("max mode does not support scaling the gradient by the frequency")
    refuse_sparse(sparse, "embedding_bag")
    i = checked_indices(i, "embedding_bag")
    if max_norm is not None:
        renormalized(w, i, max_norm, norm_type)
    if factors is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for mode='sum' (got "
            f"mode='{mode}'). Please open a feature request on GitHub."
        )
    padding_idx = checked_padding(w, i, factors, padding_idx)
    if include_last_offset and offsets is not None:
        kept = bag < bags
        bag, i = bag[kept], index(i, np.flatnonzero(kept), axes=(0,))
        factors = None if factors is None else index(factors, np.flatnonzero(kept), axes=(0,))
    return in_bags(w, i, bag, bags, mode, scale_grad_by_freq, factors, padding_idx)[0]


def checked_padding(w: Tensor, i: Tensor, factors: Tensor | None, padding_idx: int | None) -> int | None:
    """Return the index of padding counted from the front; raise if it, an index, or the dtype of factors does not fit."""
    count = w.shape[0]
    if factors is not None and factors.dtype is not w.dtype:
        raise RuntimeError(
            "Expected tensor for argument #1 'weight' to have the same type as tensor for argument #1 'per_sample_weights'; "
            f"but type chainrule.{w.dtype.old_name}Tensor does not equal chainrule.{factors.dtype.old_name}Tensor (while "
            "checking arguments for embedding_bag)"
        )
    if padding_idx is not None:
        if not -count <= padding_idx < count:
            raise RuntimeError(
                f"padding_idx must be within the number of embeddings, -{count} through {count - 1}, but got {padding_idx}"
            )
        padding_idx %= count
    if not are_rows(i, count):
        values = np.asarray(examined(i))
        bad = (values < 0) | (values >= count)
        place = int(np.argmax(bad.reshape(-1)))
        raise RuntimeError(
            f"Index {place} of input takes value {values.reshape(-1)[place]} which is not in the valid range [0, {count})"
        )
    return padding_idx


def in_bags(
    w: Tensor, i: Tensor, bag: np.ndarray, bags: int, mode: str, scale_grad_by_freq: bool, factors: Tensor | None, padding: Any
) -> tuple:
    """Return (what is made of each bag, which indices count, and for "max" the place of each largest element)."""
    rows = index(w, i, axes=(0,))
    counts = (i == i) if padding is None else i != padding
    if mode == "max":
        out, place = _largest(rows, bag, counts, bags)
        return out, counts, place
    if scale_grad_by_freq:
        rows = _shared_out(rows, i, w.shape[0])
    if factors is not None:
        rows = rows * unsqueeze(reshape(factors, shape=(len(bag),)), axis=1)
    if padding is not None:
        rows = where(unsqueeze(counts, axis=1), rows, 0)
    out = index_sum(rows, bag, shape=(bags, w.shape[1]), axes=(0,))
    if mode == "mean":
        sizes = index_sum(cast(counts, w.dtype), bag, shape=(bags,), axes=(0,))
        out = out / unsqueeze(where(sizes > 0, sizes, 1), axis=1)
    return out, counts, None


@asks
def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Return vectors that are 1 at the given indices and 0 elsewhere.

    Parameters
    ----------
    tensor : Tensor
        ``int64`` indices, of any shape.
    num_classes : int
        The vectors' length; one more than the largest index if -1.

    Returns
    -------
    Tensor
        ``int64``, of the shape of the indices and (num_classes,).

    Raises
    ------
    RuntimeError
        If an index is out of range or no ``int64``, or there is none to tell the length.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.one_hot(cr.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    i = as_tensor(tensor, "one_hot")
    if i.dtype is not dtypes.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    if num_classes <= 0 and not i.numel() and examined(i) is not None:
        raise RuntimeError("Can not infer total number of classes from empty tensor.")
    if not satisfies(i, lambda values: (values >= 0).all()):
        raise RuntimeError("Class values must be non-negative.")
    if num_classes == -1:
        num_classes = int(np.max(innermost(i))) + 1
    if num_classes < 1:
        raise RuntimeError("num_classes should be positive")
    if not satisfies(i, lambda values: (values < num_classes).all()):
        raise RuntimeError("Class values must be smaller than num_classes.")
    return cast(unsqueeze(i, axis=i.ndim) == arange(num_classes), dtypes.int64)
