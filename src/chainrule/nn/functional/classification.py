"""Losses of classification: `chainrule.nn.functional`'s part that compares logits or probabilities with classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.call.asking import asks
from chainrule.core.call.dispatch import as_tensor, cast
from chainrule.core.mode.grad_mode import modes
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import examined, satisfies
from chainrule.core.types import dtype as dtypes
from chainrule.functions.reduction.reduce import sum as total
from chainrule.nn.functional.regression import as_stored_in, reduced, reduction_of
from chainrule.ops.indexing.index import index
from chainrule.ops.indexing.select import where
from chainrule.ops.nn import loss as ops
from chainrule.ops.pointwise import activation
from chainrule.ops.pointwise.arithmetic import logaddexp
from chainrule.ops.reduction.reduce import sum
from chainrule.ops.shaping.shape import reshape

__all__ = ["binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "nll_loss"]


# -- many classes ----------------------------------------------------------------------------------------------------


def _class_weight(weight: Any, classes: int, d: dtypes.dtype) -> Tensor | None:
    if weight is None:
        return None
    w = as_tensor(weight)
    if tuple(w.shape) != (classes,):
        raise RuntimeError(
            f"weight tensor should be defined either for all {classes} classes or no classes but got weight tensor of "
            f"shape: {list(w.shape)}"
        )
    return cast(w, d)


def _class_indices(x: Tensor, target: Tensor, ignore: int) -> Tensor:
    """Return the targets as indices that fit (N, C, ...) or (C,); raise PyTorch's errors where they do not."""
    if not hasattr(ignore, "__index__"):
        raise TypeError(f"'ignore_index' must be int, not {type(ignore).__name__}")
    shape, given = x.shape, tuple(target.shape)
    if target.dtype is not dtypes.int64:
        if target.dtype is not dtypes.uint8:
            raise RuntimeError(f"expected target dtype to be Long or Byte, but got {target.dtype.old_name}")
        target = cast(target, dtypes.int64)
    if not shape:
        raise ValueError("Expected 1 or more dimensions (got 0)")
    if len(shape) == 1:
        if given == (1,):
            target, given = reshape(target, shape=()), ()
        if given:
            raise ValueError(f"Expected input batch_size (1) to match target batch_size ({given[0]}).")
    elif not given or given[0] != shape[0]:
        raise ValueError(f"Expected input batch_size ({shape[0]}) to match target batch_size ({given[0] if given else 1}).")
    elif len(shape) == 2 and len(given) > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    elif given[1:] != shape[2:]:
        raise RuntimeError(f"Expected target size {[shape[0], *shape[2:]]}, got {list(given)}")
    classes = shape[0] if len(shape) == 1 else shape[1]

    def is_class(t: Any) -> Any:
        return ((t >= 0) & (t < classes)) | (t == ignore)

    # As unsigned numbers, negative targets are large: one comparison finds both kinds.
    quick = lambda t: (np.asarray(t).view(np.uint64) < classes).all() or is_class(t).all()
    if not satisfies(target, lambda t: is_class(t).all(), quick):
        t = np.asarray(examined(target))
        raise IndexError(f"Target {t[~is_class(t)].flat[0]} is out of bounds.")
    return target


def _shares(target: Tensor, weight: Tensor | None, ignore: int) -> Tensor:
    """Return each sample's weight; 0 where it is ignored."""
    counted = target != ignore
    return counted if weight is None else where(counted, index(weight, where(counted, target, 0), axes=(0,)), 0)


def _nll_of_parts(x: Tensor, target: Tensor, weight: Tensor, ignore: int, reduction: str) -> Tensor:
    """Return the weighted loss as ops of which each has a derivative in the weight."""
    shares = _shares(target, weight, ignore)
    losses = ops.nll_loss(x, target, None, reduction="none", ignore=ignore) * shares
    return total(losses) / total(shares) if reduction == "mean" else reduced(losses, reduction)


def _nll(x: Tensor, target: Tensor, weight: Tensor | None, ignore: int, reduction: str) -> Tensor:
    if weight is not None and weight._level:  # another transform may need its derivative
        return _nll_of_parts(x, target, weight, ignore, reduction)
    if weight is not None and weight.requires_grad and modes().record:
        raise RuntimeError(
            "The function 'nll_loss_forward' is not differentiable with respect to argument 'weight'. This input cannot have "
            "requires_grad True."
        )
    return ops.nll_loss(x, target, weight, reduction=reduction, ignore=ignore)


@asks
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the negative log likelihood of class indices, given log probabilities.

    Parameters
    ----------
    input : Tensor
        Log probabilities, of shape (C,), (N, C) or (N, C, d1, ...).
    target : Tensor
        ``int64`` class indices, of shape (), (N,) or (N, d1, ...).
    weight : Tensor, optional
        One weight a class; the mean is weighted too. Not differentiable.
    size_average, reduce : bool, optional
        PyTorch's older forms of `reduction`; they warn.
    ignore_index : int
        Targets that count for nothing.
    reduction : {"mean", "sum", "none"}
        What to make of the samples' losses.

    Returns
    -------
    Tensor
        0-d, or of the shape of `target` without reduction.

    Raises
    ------
    ValueError
        If the batch sizes differ.
    IndexError
        If a target is not a class.
    RuntimeError
        If shapes do not match otherwise, or the targets are not integers.

    Examples
    --------
    >>> import chainrule as cr
    >>> logp = cr.tensor([[0.5, 0.5], [0.25, 0.75]]).log()
    >>> cr.nn.functional.nll_loss(logp, cr.tensor([0, 1]))
    tensor(0.4904)
    """
    reduction = reduction_of(size_average, reduce, reduction)
    x = as_tensor(input, "nll_loss")
    t = _class_indices(x, as_tensor(target, "nll_loss", 1), ignore_index)
    w = _class_weight(weight, x.shape[0 if x.ndim == 1 else 1], x.dtype)
    return _nll(x, t, w, ignore_index, reduction)


@asks
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the cross entropy of logits with class indices or class probabilities.

    Parameters
    ----------
    input : Tensor
        Logits, of shape (C,), (N, C) or (N, C, d1, ...).
    target : Tensor
        ``int64`` class indices, of shape (), (N,) or (N, d1, ...), or probabilities of the shape of `input`.
    weight : Tensor, optional
        One weight a class. With indices, the mean is weighted too and there is no derivative in the weights.
    size_average, reduce : bool, optional
        PyTorch's older forms of `reduction`; they warn.
    ignore_index : int
        Target indices that count for nothing.
    reduction : {"mean", "sum", "none"}
        What to make of the samples' losses.
    label_smoothing : float
        In [0, 1]: how much of each target is spread evenly over the classes.

    Returns
    -------
    Tensor
        0-d, or of the shape of the index targets without reduction.

    Raises
    ------
    ValueError
        If the batch sizes differ.
    IndexError
        If a target is not a class.
    RuntimeError
        If shapes or dtypes do not match otherwise.

    Examples
    --------
    >>> import chainrule as cr
    >>> logits = cr.tensor([[0.0, 0.0], [0.0, 2.0]])
    >>> cr.nn.functional.cross_entropy(logits, cr.tensor([0, 1]))
    tensor(0.4100)
    """
    reduction = reduction_of(size_average, reduce, reduction)
    x, t = as_tensor(input, "cross_entropy"), as_tensor(target, "cross_entropy_loss", 1)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    shape = x.shape
    if shape == t.shape:
        return _soft_cross_entropy(x, t, weight, reduction, label_smoothing)
    t = _class_indices(x, t, ignore_index)
    axis = 0 if len(shape) == 1 else 1
    w = _class_weight(weight, shape[axis], x.dtype)
    logp = activation.log_softmax(x, axis=(axis,))
    loss = _nll(logp, t, w, ignore_index, reduction)
    if not label_smoothing:
        return loss
    even = logp if w is None else logp * _over_classes(w, x.ndim)
    even = -sum(even, axis=(axis,), keepdims=False)
    even = where(t != ignore_index, even, 0)
    if reduction != "none":
        even = reduced(even, "sum")
    if reduction == "mean":
        even = even / total(_shares(t, w, ignore_index), dtype=even.dtype)
    return loss * (1 - label_smoothing) + even * (label_smoothing / shape[axis])


def _over_classes(w: Tensor, ndim: int) -> Tensor:
    return w if ndim <= 2 else reshape(w, shape=(w.shape[0],) + (1,) * (ndim - 2))


def _soft_cross_entropy(x: Tensor, target: Tensor, weight: Any, reduction: str, smoothing: float) -> Tensor:
    """Return the cross entropy with class probabilities."""
    if target.dtype.category != dtypes.FLOAT:
        raise RuntimeError(f"Expected floating point type for target with class probabilities, got {target.dtype.old_name}")
    if not x.ndim:
        raise RuntimeError("cross_entropy(): input must have at least one axis, the classes'")
    axis = 0 if x.ndim == 1 else 1
    classes = x.shape[axis]
    if smoothing:
        target = target * (1 - smoothing) + smoothing / classes
    terms = activation.log_softmax(x, axis=(axis,)) * target
    w = _class_weight(weight, classes, x.dtype)
    if w is not None:
        terms = terms * _over_classes(w, x.ndim)
    losses = -sum(terms, axis=(axis,), keepdims=False)
    return reduced(losses, reduction)


# -- two classes -------------------------------------------------------------------------------------------------------


@asks
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the cross entropy of probabilities with targets between 0 and 1.

    Parameters
    ----------
    input : Tensor
        Probabilities.
    target : Tensor
        Of the same shape.
    weight : Tensor, optional
        Multiplies the elements' losses; broadcasts.
    size_average, reduce : bool, optional
        PyTorch's older forms of `reduction`; they warn.
    reduction : {"mean", "sum", "none"}
        What to make of the elements' losses.

    Returns
    -------
    Tensor
        0-d, or of the shape of `input` without reduction.

    Raises
    ------
    ValueError
        If the shapes differ.
    RuntimeError
        If a probability is outside [0, 1].

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.binary_cross_entropy(cr.tensor([0.5, 0.9]), cr.tensor([1.0, 1.0]))
    tensor(0.3993)
    """
    reduction = reduction_of(size_average, reduce, reduction)
    x, y = as_tensor(input, "binary_cross_entropy"), as_tensor(target, "binary_cross_entropy", 1)
    if x.shape != y.shape:
        raise ValueError(
            f"Using a target size ({y.shape}) that is different to the input size ({x.shape}) is deprecated. Please ensure "
            "they have the same size."
        )
    if not satisfies(x, lambda p: ((p >= 0) & (p <= 1)).all()):
        raise RuntimeError("all elements of input should be between 0 and 1")
    loss = ops.binary_cross_entropy(x, y)
    return reduced(loss if weight is None else loss * as_tensor(weight), reduction)


@asks
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Return the cross entropy of ``sigmoid(input)`` with targets between 0 and 1, without overflow.

    Parameters
    ----------
    input : Tensor
        Logits.
    target : Tensor
        Of the same shape.
    weight : Tensor, optional
        Multiplies the elements' losses; broadcasts.
    size_average, reduce : bool, optional
        PyTorch's older forms of `reduction`; they warn.
    reduction : {"mean", "sum", "none"}
        What to make of the elements' losses.
    pos_weight : Tensor, optional
        Multiplies the losses of positive targets; broadcasts.

    Returns
    -------
    Tensor
        0-d, or of the shape of `input` without reduction.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.binary_cross_entropy_with_logits(cr.tensor([0.0, 200.0]), cr.tensor([1.0, 1.0]))
    tensor(0.3466)
    """
    reduction = reduction_of(size_average, reduce, reduction)
    x, y = as_tensor(input, "binary_cross_entropy"), as_tensor(target, "binary_cross_entropy", 1)
    if x.shape != y.shape:
        raise ValueError(f"Target size ({y.shape}) must be the same as input size ({x.shape})")
    if x.dtype.category < dtypes.FLOAT:
        raise NotImplementedError(f"\"log_sigmoid_cpu\" not implemented for '{x.dtype.old_name}'")
    loss = as_stored_in(y, ops.cross_entropy_with_logits(x, y))
    if pos_weight is not None:
        loss = loss + (as_tensor(pos_weight) - 1) * y * logaddexp(-x, 0)
    return reduced(loss if weight is None else loss * as_tensor(weight), reduction)
