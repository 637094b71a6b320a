"""Losses of classes that compare scores with a margin, the support vector machines': a part of `chainrule.nn.functional`."""

from __future__ import annotations

from math import prod
from typing import Any

from chainrule.core.call.asking import asks
from chainrule.core.call.dispatch import as_tensor, cast
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import satisfies
from chainrule.core.types import dtype as dtypes
from chainrule.functions.creation.fill import arange
from chainrule.functions.reduction.reduce import any
from chainrule.functions.reduction.scan import cumprod
from chainrule.nn.functional.regression import as_stored_in, reduced, reduction_of
from chainrule.ops.indexing.index import index
from chainrule.ops.indexing.scatter import gather
from chainrule.ops.indexing.select import where
from chainrule.ops.pointwise.activation import relu
from chainrule.ops.pointwise.arithmetic import logaddexp
from chainrule.ops.reduction.reduce import sum
from chainrule.ops.shaping.shape import reshape, squeeze, unsqueeze

__all__ = ["multi_margin_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss", "soft_margin_loss"]


@asks
def soft_margin_loss(
    input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Tensor:
    """Return the mean of ``log(1 + exp(-target * input))``, without overflow.

    Parameters
    ----------
    input, target : Tensor
        Scores; 1 or -1. They broadcast.
    size_average, reduce : bool, optional
        PyTorch's older forms of `reduction`; they warn.
    reduction : {"mean", "sum", "none"}
        What to make of the elements' losses.

    Returns
    -------
    Tensor
        0-d, or of the broadcast shape without reduction.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.soft_margin_loss(cr.tensor([0.0, 1000.0]), cr.tensor([1.0, -1.0]), reduction="none")
    tensor([6.9315e-01, 1.0000e+03])
    """
    reduction = reduction_of(size_average, reduce, reduction)
    x, t = as_tensor(input, "soft_margin_loss"), as_tensor(target, "soft_margin_loss", 1)
    return reduced(as_stored_in(x, logaddexp(-t * x, 0)), reduction)


@asks
def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the mean over classes and samples of the binary cross entropy of scores with targets.

    Parameters
    ----------
    input, target : Tensor
        Scores and their targets in [0, 1], of shape (N, C) or (C,).
    weight : Tensor, optional
        One weight a class.
    size_average, reduce : bool, optional
        PyTorch's older forms of `reduction`; they warn.
    reduction : {"mean", "sum", "none"}
        What to make of the samples' losses.

    Returns
    -------
    Tensor
        0-d, or of the shape of `input` without the last axis.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.multilabel_soft_margin_loss(cr.tensor([[0.0, 0.0]]), cr.tensor([[1.0, 0.0]]))
    tensor(0.6931)
    """
    reduction = reduction_of(size_average, reduce, reduction)
    x, t = as_tensor(input, "multilabel_soft_margin_loss"), as_tensor(target, "multilabel_soft_margin_loss", 1)
    losses = t * logaddexp(-x, 0) + (1 - t) * logaddexp(x, 0)
    if weight is not None:
        losses = losses * as_tensor(weight)
    return reduced(sum(losses, axis=(x.ndim - 1,), keepdims=False) / x.shape[-1], reduction)


def _as_rows(x: Tensor) -> Tensor:
    """Return scores as a matrix with a row for each sample."""
    if x.ndim > 2 or (x.ndim and not x.shape[-1]):
        raise RuntimeError(f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {list(x.shape)}")
    return x if x.ndim == 2 else reshape(x, shape=(1, prod(x.shape)))


def _check_long(t: Tensor) -> None:
    if t.dtype is not dtypes.int64:
        raise RuntimeError(f"expected scalar type Long but found {t.dtype.old_name}")


@asks
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the hinge loss of many classes: the mean over j ≠ y of ``max(0, margin - x[y] + x[j])**p``, times 1 - 1/C.

    Parameters
    ----------
    input : Tensor
        Scores, of shape (N, C) or (C,).
    target : Tensor
        ``int64`` classes, of shape (N,) or ().
    p : {1, 2}
        The power.
    margin : float
        By how much the target's score should be the largest.
    weight : Tensor, optional
        One weight a class, for samples of that target.
    size_average, reduce : bool, optional
        PyTorch's older forms of `reduction`; they warn.
    reduction : {"mean", "sum", "none"}
        What to make of the samples' losses.

    Returns
    -------
    Tensor
        0-d, or of the shape of `target` without reduction.

    Raises
    ------
    ValueError
        If `p` is neither 1 nor 2, or `weight` has more than one axis.
    RuntimeError
        If shapes or dtypes do not match, or a target is not a class.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.multi_margin_loss(cr.tensor([[0.5, 1.0, 0.0]]), cr.tensor([0]))
    tensor(0.6667)
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    given, t = as_tensor(input, "multi_margin_loss"), as_tensor(target, "multi_margin_loss", 1)
    w = None if weight is None else as_tensor(weight)
    if w is not None and w.ndim != 1:
        raise ValueError("weight must be one-dimensional")
    x = _as_rows(given)
    count, classes = x.shape
    if t.ndim > 1 or prod(t.shape) != count:
        raise RuntimeError(
            "multi_margin_loss: target tensor should be 1-D with size equal to the number of input samples (batch size). "
            f"Expected target size [{count}], but got {list(t.shape)}. Input has shape {list(given.shape)}."
        )
    if w is not None and tuple(w.shape) != (classes,):
        raise RuntimeError(f"inconsistent weight size, expected {classes} but got {list(w.shape)}")
    _check_long(t)
    if not satisfies(t, lambda i: ((i >= 0) & (i < classes)).all()):
        raise RuntimeError("target out of range")
    rows = reshape(t, shape=(count, 1))
    gaps = relu(margin - gather(x, rows, axis=1) + x)
    if p == 2:
        gaps = gaps * gaps
    if w is not None:
        gaps = gaps * index(cast(w, x.dtype), rows, axes=(0,))
    losses = sum(where(rows == arange(classes), 0, gaps), axis=(1,), keepdims=False) / classes
    if reduction == "none":
        return losses if t.ndim else reshape(losses, shape=())
    return reduced(losses, reduction) if count else sum(losses, axis=(0,), keepdims=False)


@asks
def multilabel_margin_loss(
    input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Tensor:
    """Return the hinge loss of samples of many classes each: the sum of ``max(0, 1 - (x[y] - x[i])) / C``.

    It is summed over the targets y of a sample and the classes i that are none.

    Parameters
    ----------
    input : Tensor
        Scores, of shape (N, C) or (C,).
    target : Tensor
        ``int64`` classes of the same shape: those of a sample stand first, and what follows a -1 counts for nothing.
    size_average, reduce : bool, optional
        PyTorch's older forms of `reduction`; they warn.
    reduction : {"mean", "sum", "none"}
        What to make of the samples' losses.

    Returns
    -------
    Tensor
        0-d, or one number a sample without reduction.

    Raises
    ------
    RuntimeError
        If shapes or dtypes do not match, or a target is not a class.

    Examples
    --------
    >>> import chainrule as cr
    >>> x, y = cr.tensor([[0.1, 0.2, 0.4, 0.8]]), cr.tensor([[3, 0, -1, 1]])
    >>> cr.nn.functional.multilabel_margin_loss(x, y)
    tensor(0.8500)
    """
    reduction = reduction_of(size_average, reduce, reduction)
    given, t = as_tensor(input, "multilabel_margin_loss"), as_tensor(target, "multilabel_margin_loss", 1)
    x = _as_rows(given)
    if tuple(given.shape) != tuple(t.shape):
        raise RuntimeError(f"inconsistent target size: {list(t.shape)} for input of size: {list(given.shape)}")
    _check_long(t)
    classes = x.shape[1]
    if not satisfies(t, lambda i: ((i >= -1) & (i < classes)).all()):
        raise RuntimeError("argument #2 'target' is out of range")
    t = reshape(t, shape=tuple(x.shape))
    counts = cumprod(cast(t >= 0, dtypes.int64), 1) > 0  # up to the first -1
    safe = where(counts, t, 0)
    hit = any((unsqueeze(safe, axis=2) == arange(classes)) & unsqueeze(counts, axis=2), 1)
    gaps = relu(1 - unsqueeze(gather(x, safe, axis=1), axis=2) + unsqueeze(x, axis=1))
    pairs = unsqueeze(counts, axis=2) & ~unsqueeze(hit, axis=1)
    losses = sum(where(pairs, gaps, 0), axis=(1, 2), keepdims=False) / classes
    if reduction == "none":
        return losses if given.ndim == 2 else squeeze(losses, axis=(0,), form="1")
    return reduced(losses, reduction)
