"""Losses that are negative log-likelihoods of numbers, counts, sequences: a part of `chainrule.nn.functional`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.core.call.asking import asks
from chainrule.core.call.dispatch import as_tensor
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import satisfies
from chainrule.nn.functional.classification import cross_entropy
from chainrule.nn.functional.distance import held_above
from chainrule.nn.functional.linear import linear
from chainrule.nn.functional.regression import reduced, reduction_of
from chainrule.ops.indexing.select import where
from chainrule.ops.indexing.view import zeros
from chainrule.ops.pointwise.exponential import exp, log
from chainrule.ops.shaping.shape import reshape, unsqueeze

__all__ = ["gaussian_nll_loss", "linear_cross_entropy", "poisson_nll_loss"]


@asks
def gaussian_nll_loss(
    input: Tensor, target: Tensor, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """Return the mean of ``(log(var) + (input - target)² / var) / 2``.

    Parameters
    ----------
    input, target : Tensor
        Means and observations.
    var : Tensor or float
        Variances, not negative: of the shape of `input`, or with the last axis of size 1 or left out.
    full : bool
        Add the constant ``log(2π) / 2``.
    eps : float
        Variances are taken as at least this; it does not cut off their derivative.
    reduction : {"mean", "sum", "none"}
        What to make of the elements' losses.

    Returns
    -------
    Tensor
        0-d, or of the broadcast shape without reduction.

    Raises
    ------
    ValueError
        If a variance is negative, or they are of another size.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.gaussian_nll_loss(cr.tensor([1.0, 2.0]), cr.tensor([1.0, 4.0]), cr.tensor([1.0, 1.0]))
    tensor(1.)
    """
    x, y = as_tensor(input, "gaussian_nll_loss"), as_tensor(target, "gaussian_nll_loss", 1)
    spread = as_tensor(np.asarray(zeros((), x) + var) if isinstance(var, float) else var, "gaussian_nll_loss", 2)
    if not satisfies(spread, lambda v: ~(v < 0).any()):
        raise ValueError("var has negative entry/entries")
    shape, given = tuple(x.shape), tuple(spread.shape)
    if not isinstance(var, float) and given != shape:
        if shape[:-1] == given:
            spread = unsqueeze(spread, axis=len(given))
        elif len(shape) != len(given) or sum(m for n, m in zip(shape, given, strict=True) if n != m) != 1:
            raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid")
    spread = held_above(spread, eps)
    loss = 0.5 * (log(spread) + (x - y) ** 2 / spread)
    return reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


@asks
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: Any = None,
    eps: float = 1e-8,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the mean of ``exp(input) - target * input``, the negative log-likelihood of counts.

    Parameters
    ----------
    input : Tensor
        Logarithms of the expected counts; the counts themselves if not `log_input`.
    target : Tensor
        Counts.
    log_input : bool
        What `input` is; otherwise the loss is ``input - target * log(input + eps)``.
    full : bool
        Add Stirling's approximation of ``log(target!)`` for targets above 1.
    size_average, reduce : bool, optional
        PyTorch's older forms of `reduction`; they warn.
    eps : float
        Keeps the logarithm finite.
    reduction : {"mean", "sum", "none"}
        What to make of the elements' losses.

    Returns
    -------
    Tensor
        0-d, or of the broadcast shape without reduction.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.poisson_nll_loss(cr.tensor([0.0, 0.0]), cr.tensor([1.0, 3.0]))
    tensor(1.)
    """
    reduction = reduction_of(size_average, reduce, reduction)
    x, y = as_tensor(input, "poisson_nll_loss"), as_tensor(target, "poisson_nll_loss", 1)
    loss = exp(x) - y * x if log_input else x - y * log(x + eps)
    if full:
        many = where(y > 1, y, 1)  # so that the logarithm has a derivative where it does not count
        loss = loss + where(y > 1, many * log(many) - many + 0.5 * log(2 * math.pi * many), 0)
    return reduced(loss, reduction)


@asks
def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: Any = None,
) -> Tensor:
    """Return the cross entropy of the logits ``input @ linear_weight.T + linear_bias``.

    Parameters
    ----------
    input : Tensor
        Of shape (N, in) or (in,).
    linear_weight : Tensor
        Of shape (C, in), or (C, d1, ..., in) for logits of shape (N, C, d1, ...).
    target : Tensor
        As :func:`cross_entropy` takes it.
    linear_bias : Tensor, optional
        Of the shape of `linear_weight` without the last axis.
    weight, reduction, label_smoothing
        As :func:`cross_entropy` takes them.
    ignore_index : int, optional
        Target indices that count for nothing, -100 by default; not for probabilities.
    options : None
        PyTorch's settings for computing it in pieces are not supported.

    Returns
    -------
    Tensor
        0-d, or of the shape of the index targets without reduction.

    Raises
    ------
    RuntimeError
        If the shapes do not fit.
    NotImplementedError
        If `options` are given.

    Examples
    --------
    >>> import chainrule as cr
    >>> x, w = cr.tensor([[1.0, 0.0]]), cr.tensor([[0.0, 1.0], [0.0, 2.0]])
    >>> cr.nn.functional.linear_cross_entropy(x, w, cr.tensor([1]))
    tensor(0.6931)
    """
    if options is not None:
        raise NotImplementedError(
            "linear_cross_entropy: options, which compute it in pieces, are not supported; leave them out"
        )
    name = "linear_cross_entropy"
    x, w, t = as_tensor(input, name), as_tensor(linear_weight, name, 1), as_tensor(target, name, 2)
    if not 1 <= x.ndim <= 2:
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {x.ndim}")
    if w.ndim < 2:
        raise RuntimeError(f"expected linear_weight with dimensionality at least 2, got {w.ndim}")
    features = x.shape[-1]
    if features != w.shape[-1]:
        raise RuntimeError(
            "expected equal input and linear_weight last dimensions (in_features), got "
            f"{features} and {w.shape[-1]}, respectively"
        )
    classes = tuple(w.shape[:-1])
    b = None if linear_bias is None else as_tensor(linear_bias, name)
    if b is not None and tuple(b.shape) != classes:
        raise RuntimeError(f"expected linear_bias shape {classes}, got {tuple(b.shape)}")
    if w.ndim > 2 and x.ndim == 1:
        raise RuntimeError(
            f"K-dimensional loss defined by linear_weight shape {tuple(w.shape)} requires batched input, (N, {features}), got "
            f"unbatched input with shape {tuple(x.shape)}"
        )
    shape = (*x.shape[:-1], *classes)
    if tuple(t.shape) == shape and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    n = math.prod(classes)
    logits = linear(x, reshape(w, shape=(n, features)), None if b is None else reshape(b, shape=(n,)))
    return cross_entropy(
        reshape(logits, shape=shape),
        t,
        weight=weight,
        reduction=reduction,
        ignore_index=-100 if ignore_index is None else ignore_index,
        label_smoothing=label_smoothing,
    )
