"""Losses that compare pairs and triplets with a margin: `chainrule.nn.functional`'s part for ranking and metric learning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.core.call.asking import asks
from chainrule.core.call.dispatch import as_tensor
from chainrule.core.tensor.tensor import Tensor
from chainrule.nn.functional.distance import pairwise_distance
from chainrule.nn.functional.regression import reduced, reduction_of
from chainrule.ops.indexing.select import where
from chainrule.ops.pointwise.exponential import sqrt
from chainrule.ops.pointwise.extremum import clamp_min, minimum
from chainrule.ops.reduction.reduce import sum

__all__ = [
    "cosine_embedding_loss", "hinge_embedding_loss", "margin_ranking_loss", "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]  # fmt: skip

# -- pairs -------------------------------------------------------------------------------------------------------------


@asks
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the mean of ``max(0, margin - target * (input1 - input2))``.

    Parameters
    ----------
    input1, input2 : Tensor
        Scores, of as many axes as `target`; they broadcast.
    target : Tensor
        1 where the first score should be the larger, -1 where the second should.
    margin : float
        By how much.
    size_average, reduce : bool, optional
        PyTorch's older forms of `reduction`; they warn.
    reduction : {"mean", "sum", "none"}
        What to make of the elements' losses.

    Returns
    -------
    Tensor
        0-d, or of the broadcast shape without reduction.

    Raises
    ------
    RuntimeError
        If the numbers of axes differ.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.margin_ranking_loss(cr.tensor([1.0, 2.0]), cr.tensor([2.0, 0.0]), cr.tensor([1.0, 1.0]))
    tensor(0.5000)
    """
    reduction = reduction_of(size_average, reduce, reduction)
    x, y, t = (as_tensor(z, "margin_ranking_loss", i) for i, z in enumerate((input1, input2, target)))
    if not x.ndim == y.ndim == t.ndim:
        raise RuntimeError(
            f"margin_ranking_loss : All input tensors should have same dimension but got sizes: input1: {x.shape}, input2: "
            f"{y.shape}, target: {t.shape} "
        )
    return reduced(clamp_min(-t * (x - y) + margin, 0), reduction)


@asks
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the mean of `input` where the target is 1, and of ``max(0, margin - input)`` where it is -1.

    Parameters
    ----------
    input : Tensor
        Distances.
    target : Tensor
        1 for pairs that belong together, -1 for others; broadcasts with `input`.
    margin : float
        How far apart the others should be.
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
    >>> cr.nn.functional.hinge_embedding_loss(cr.tensor([0.5, 0.5]), cr.tensor([1, -1]))
    tensor(0.5000)
    """
    reduction = reduction_of(size_average, reduce, reduction)
    x, t = as_tensor(input, "hinge_embedding_loss"), as_tensor(target, "hinge_embedding_loss", 1)
    apart = where(t != 1, clamp_min(margin - x, 0), 0)
    return reduced(apart + where(t != -1, x, 0), reduction)


@asks
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the mean of ``1 - cos`` where the target is 1 and of ``max(0, cos - margin)`` where it is -1.

    Parameters
    ----------
    input1, input2 : Tensor
        Vectors, of shape (N, D) or (D,).
    target : Tensor
        1 for pairs that belong together, -1 for others: of shape (N,) or ().
    margin : float
        The cosine that others may have.
    size_average, reduce : bool, optional
        PyTorch's older forms of `reduction`; they warn.
    reduction : {"mean", "sum", "none"}
        What to make of the pairs' losses.

    Returns
    -------
    Tensor
        0-d, or of the shape of `target` without reduction.

    Raises
    ------
    RuntimeError
        If the numbers of axes do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> x, y = cr.tensor([[1.0, 0.0], [1.0, 0.0]]), cr.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> cr.nn.functional.cosine_embedding_loss(x, y, cr.tensor([1, -1]), reduction="none")
    tensor([1., 1.])
    """
    reduction = reduction_of(size_average, reduce, reduction)
    x, y, t = (as_tensor(z, "cosine_embedding_loss", i) for i, z in enumerate((input1, input2, target)))
    if t.ndim > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if not x.ndim == y.ndim == t.ndim + 1:
        raise RuntimeError(
            f"{t.ndim}D target tensor expects {t.ndim + 1}D input tensors, but found inputs with sizes {list(x.shape)} and "
            f"{list(y.shape)}."
        )
    inner, size1, size2 = (sum(z, axis=(t.ndim,), keepdims=False) for z in (x * y, x * x, y * y))
    cosine = inner / sqrt((size1 + 1e-12) * (size2 + 1e-12))
    near = where(t == 1, 1 - cosine, 0)
    return reduced(near + where(t == -1, clamp_min(cosine - margin, 0), 0), reduction)


# -- triplets ----------------------------------------------------------------------------------------------------------


def _triplet(
    tensors: tuple, distance: Callable[[Tensor, Tensor], Tensor], margin: float, swap: bool, reduction: str, name: str
) -> Tensor:
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    anchor, positive, negative = (as_tensor(z, name, i) for i, z in enumerate(tensors))
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: anchor "
            f"{anchor.ndim}D, positive {positive.ndim}D, and negative {negative.ndim}D inputs"
        )
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return reduced(clamp_min(margin + near - far, 0), reduction)


@asks
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the mean of ``max(0, margin + d(anchor, positive) - d(anchor, negative))``, d the distance of p-norm.

    Parameters
    ----------
    anchor, positive, negative : Tensor
        Of shape (N, D) or (D,).
    margin : float
        By how much the negative should be further away, positive.
    p, eps : float
        As :func:`pairwise_distance` takes them.
    swap : bool
        Take the distance of the negative from the positive instead of from the anchor, where that is smaller.
    size_average, reduce : bool, optional
        PyTorch's older forms of `reduction`; they warn.
    reduction : {"mean", "sum", "none"}
        What to make of the triplets' losses.

    Returns
    -------
    Tensor
        0-d, or of the shape of the distances without reduction.

    Raises
    ------
    ValueError
        If the margin is not positive.
    RuntimeError
        If the numbers of axes differ.

    Examples
    --------
    >>> import chainrule as cr
    >>> a, p, n = cr.tensor([[0.0, 0.0]]), cr.tensor([[0.0, 1.0]]), cr.tensor([[1.0, 0.0]])
    >>> cr.nn.functional.triplet_margin_loss(a, p, n)
    tensor(1.)
    """
    reduction = reduction_of(size_average, reduce, reduction)
    distance = lambda x, y: pairwise_distance(x, y, p, eps)
    return _triplet((anchor, positive, negative), distance, margin, swap, reduction, "triplet_margin_loss")


@asks
def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """Return :func:`triplet_margin_loss` with a distance of one's own; by default :func:`pairwise_distance`.

    Examples
    --------
    >>> import chainrule as cr
    >>> a, p, n = cr.tensor([[0.0, 0.0]]), cr.tensor([[0.0, 1.0]]), cr.tensor([[2.0, 0.0]])
    >>> l1 = lambda x, y: (x - y).abs().sum(-1)
    >>> cr.nn.functional.triplet_margin_with_distance_loss(a, p, n, distance_function=l1, margin=2.0)
    tensor(1.)
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    distance = pairwise_distance if distance_function is None else distance_function
    return _triplet((anchor, positive, negative), distance, margin, swap, reduction, "triplet_margin_with_distance_loss")
