"""PyTorch's top-level forms of functions of ``nn.functional``: other orders of arguments, and reductions by number.

``chainrule.dropout(x, 0.5, True)`` is ``nn.functional.dropout(x, 0.5, training=True)``. Each says how its arguments are
ordered, and no more: what they mean stands with the function that it calls. Reductions are none where none is given: PyTorch's
parser reads the mean that their schemas name as 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.core.call.asking import asks
from chainrule.core.call.dispatch import as_tensor, cast
from chainrule.core.generator import Generator
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.functions.creation.fill import zeros
from chainrule.nn import functional as F
from chainrule.nn.functional.dropout import of_maps
from chainrule.nn.functional.embedding import bags_of, checked_indices, checked_padding, in_bags, refuse_sparse, renormalized
from chainrule.nn.functional.piecewise import rectified_at_random
from chainrule.nn.functional.regression import reduced
from chainrule.ops.indexing.index import index, index_sum
from chainrule.ops.indexing.select import where

__all__ = [
    "affine_grid_generator", "alpha_dropout", "alpha_dropout_", "batch_norm", "binary_cross_entropy_with_logits",
    "cosine_embedding_loss", "ctc_loss", "dropout", "dropout_", "embedding", "embedding_bag", "embedding_renorm_",
    "feature_alpha_dropout", "feature_alpha_dropout_", "feature_dropout", "feature_dropout_", "grid_sampler",
    "grid_sampler_2d", "grid_sampler_3d", "group_norm", "hinge_embedding_loss", "instance_norm", "kl_div", "layer_norm",
    "margin_ranking_loss", "poisson_nll_loss", "rrelu", "rrelu_", "triplet_margin_loss",
]  # fmt: skip

_REDUCTIONS = ("none", "mean", "sum")


def _reduction(number: int, name: str) -> str:
    if number not in (0, 1, 2):
        raise ValueError(f"{name}(): {number} is not a valid value for reduction: 0 for none, 1 for mean, 2 for sum")
    return _REDUCTIONS[number]


# -- rectifiers --------------------------------------------------------------------------------------------------------


@asks
def rrelu(
    input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, generator: Generator | None = None
) -> Tensor:
    """Do what :func:`chainrule.nn.functional.rrelu` does, with slopes of a generator if one is given.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.rrelu(cr.tensor([-1.0, 2.0]), 0.25, 0.75)
    tensor([-0.5000,  2.0000])
    """
    return rectified_at_random(input, lower, upper, training, False, generator)


@asks
def rrelu_(
    input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, generator: Generator | None = None
) -> Tensor:
    """In-place version of :func:`rrelu`."""
    return rectified_at_random(input, lower, upper, training, True, generator)


# -- dropout -----------------------------------------------------------------------------------------------------------


def _dropping(name: str, drop: Callable, inplace: bool) -> Callable[..., Tensor]:
    def call(input: Tensor, p: float, train: bool) -> Tensor:
        return drop(input, p, train, inplace)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"""Do what :func:`chainrule.nn.functional.{drop.__name__}` does{" in place" * inplace}, by position.

    Parameters
    ----------
    input : Tensor
        What to drop elements of.
    p : float
        The probability of one to be dropped.
    train : bool
        Whether any are.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.{name}(cr.ones(1, 2), 0.5, False)
    tensor([[1., 1.]])
    """
    return asks(call)


def _of_maps(input: Tensor, p: float, training: bool, inplace: bool) -> Tensor:
    return of_maps(input, p, training, inplace)


_of_maps.__name__ = "dropout1d"
dropout = _dropping("dropout", F.dropout, False)
dropout_ = _dropping("dropout_", F.dropout, True)
feature_dropout = _dropping("feature_dropout", _of_maps, False)
feature_dropout_ = _dropping("feature_dropout_", _of_maps, True)
alpha_dropout = _dropping("alpha_dropout", F.alpha_dropout, False)
alpha_dropout_ = _dropping("alpha_dropout_", F.alpha_dropout, True)
feature_alpha_dropout = _dropping("feature_alpha_dropout", F.feature_alpha_dropout, False)
feature_alpha_dropout_ = _dropping("feature_alpha_dropout_", F.feature_alpha_dropout, True)


# -- normalisation: `cudnn_enabled` asks for kernels that a CPU has not, and may be either ------------------------------


@asks
def batch_norm(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor | None, running_var: Tensor | None,
    training: bool, momentum: float, eps: float, cudnn_enabled: bool,
) -> Tensor:  # fmt: skip
    """Do what :func:`chainrule.nn.functional.batch_norm` does, by position.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.batch_norm(cr.tensor([[1.0], [3.0]]), None, None, None, None, True, 0.1, 1e-9, False).tolist()
    [[-1.0], [1.0]]
    """
    return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


@asks
def instance_norm(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor | None, running_var: Tensor | None,
    use_input_stats: bool, momentum: float, eps: float, cudnn_enabled: bool,
) -> Tensor:  # fmt: skip
    """Do what :func:`chainrule.nn.functional.instance_norm` does, by position.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.instance_norm(cr.tensor([[[1.0, 3.0]]]), None, None, None, None, True, 0.1, 0.0, False).tolist()
    [[[-1.0, 1.0]]]
    """
    return F.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


@asks
def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Tensor:  # fmt: skip
    """Do what :func:`chainrule.nn.functional.group_norm` does.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.group_norm(cr.tensor([[1.0, 3.0]]), 1, eps=0.0).tolist()
    [[-1.0, 1.0]]
    """
    return F.group_norm(input, num_groups, weight, bias, eps)


@asks
def layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor:  # fmt: skip
    """Do what :func:`chainrule.nn.functional.layer_norm` does.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.layer_norm(cr.tensor([1.0, 3.0]), (2,), eps=0.0)
    tensor([-1.,  1.])
    """
    return F.layer_norm(input, normalized_shape, weight, bias, eps)


# -- rows of a matrix --------------------------------------------------------------------------------------------------


@asks
def embedding(
    weight: Tensor, indices: Tensor, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Tensor:
    """Do what :func:`chainrule.nn.functional.embedding` does, the matrix first; a negative `padding_idx` stands for none.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.embedding(cr.eye(2), cr.tensor([1]))
    tensor([[0., 1.]])
    """
    padding = padding_idx if padding_idx >= 0 else None
    return F.embedding(indices, weight, padding, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse)


@asks
def embedding_renorm_(input: Tensor, indices: Tensor, max_norm: float, norm_type: float) -> Tensor:
    """Scale the rows of a matrix that are looked up down to a norm, in place; return the matrix.

    Parameters
    ----------
    input : Tensor (rows, columns)
    indices : Tensor of int
    max_norm : float
        What the norm of no such row then exceeds.
    norm_type : float
        The order of the norm.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.embedding_renorm_(cr.tensor([[3.0, 4.0], [3.0, 4.0]]), cr.tensor([1]), 1.0, 2.0).norm(dim=1).round(decimals=4)
    tensor([5., 1.])
    """
    renormalized(input, checked_indices(indices, "embedding_renorm_"), max_norm, norm_type)
    return input


@asks
def embedding_bag(
    weight: Tensor, indices: Tensor, offsets: Tensor, scale_grad_by_freq: bool = False, mode: int = 0, sparse: bool = False,
    per_sample_weights: Tensor | None = None, include_last_offset: bool = False, padding_idx: int | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Do what :func:`chainrule.nn.functional.embedding_bag` does, the matrix first; `mode` 0 sum, 1 mean, 2 max.

    Returns
    -------
    tuple of Tensor
        What is made of each bag; the bag of each index; how many indices count in each bag (zeros for a sum); for a maximum the
        row of the matrix that each element is from, and else what came before.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.embedding_bag(cr.eye(2), cr.tensor([1, 1, 0]), cr.tensor([0, 2]), mode=1)[0]
    tensor([[0., 1.],
            [1., 0.]])
    """
    w, given = as_tensor(weight, "embedding_bag"), as_tensor(indices, "embedding_bag", 1)
    if w.ndim != 2 or given.ndim != 1:
        raise RuntimeError(f"embedding_bag(): expected a 2-D weight and 1-D indices, but got {w.ndim}-D and {given.ndim}-D")
    if mode not in (0, 1, 2):
        raise RuntimeError("`mode` must be sum, mean, or max.")
    refuse_sparse(sparse, "embedding_bag")
    factors = None if per_sample_weights is None else as_tensor(per_sample_weights)
    if factors is not None and mode:
        raise RuntimeError("embedding_bag: per_sample_weights only supported with mode='sum'")
    if factors is not None and tuple(factors.shape) != tuple(given.shape):
        raise RuntimeError("expected per_sample_weights.numel() to be the same as indices.numel()")
    i, bag, bags = bags_of(given, offsets, include_last_offset)
    i = checked_indices(i, "embedding_bag")
    padding = checked_padding(w, i, factors, padding_idx)
    bag = np.minimum(bag, max(bags - 1, 0))
    name = ("sum", "mean", "max")[mode]
    out, counts, place = in_bags(w, i, bag, bags, name, scale_grad_by_freq and mode != 2, factors, padding)
    integer = given.dtype if given.dtype is as_tensor(offsets).dtype else dtypes.int64
    if mode == 0:
        sizes: Any = zeros(len(offsets), dtype=integer)
    else:
        sizes = cast(index_sum(cast(counts, dtypes.int64), bag, shape=(bags,), axes=(0,)), integer)
    rows = sizes
    if mode == 2:
        n = given.shape[0]
        rows = cast(where(place < n, index(i, where(place < n, place, 0), axes=(0,)), 0) if n else place * 0, integer)
    return out, cast(as_tensor(bag), integer), sizes, rows


# -- sampling ----------------------------------------------------------------------------------------------------------

_INTERPOLATIONS, _PADDINGS = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")


def _sampler(name: str) -> Callable[..., Tensor]:
    def call(input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool) -> Tensor:
        if interpolation_mode not in (0, 1, 2) or padding_mode not in (0, 1, 2):
            raise RuntimeError(f"{name}(): modes are 0, 1 or 2, not {interpolation_mode} and {padding_mode}")
        return F.grid_sample(input, grid, _INTERPOLATIONS[interpolation_mode], _PADDINGS[padding_mode], align_corners)

    array, places = ("1, 1, 2, 2, 2", "1, 1, 1, 1, 3") if name.endswith("3d") else ("1, 1, 2, 2", "1, 1, 1, 2")
    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"""Do what :func:`chainrule.nn.functional.grid_sample` does, by position.

    Parameters
    ----------
    input, grid : Tensor
        The array, and where to sample it.
    interpolation_mode : int
        0 bilinear, 1 nearest, 2 bicubic.
    padding_mode : int
        0 zeros, 1 border, 2 reflection.
    align_corners : bool
        Whether -1 and 1 are the middles of the outermost elements, or their edges.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.{name}(cr.ones({array}), cr.zeros({places}), 0, 0, False).item()
    1.0
    """
    return asks(call)


grid_sampler, grid_sampler_2d, grid_sampler_3d = map(_sampler, ("grid_sampler", "grid_sampler_2d", "grid_sampler_3d"))


@asks
def affine_grid_generator(theta: Tensor, size: Sequence[int], align_corners: bool) -> Tensor:
    """Do what :func:`chainrule.nn.functional.affine_grid` does.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.affine_grid_generator(cr.zeros(1, 2, 3), (1, 1, 2, 2), False).shape
    chainrule.Size([1, 2, 2, 2])
    """
    return F.affine_grid(theta, size, align_corners)


# -- losses ------------------------------------------------------------------------------------------------------------


@asks
def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, weight: Tensor | None = None, pos_weight: Tensor | None = None, reduction: int = 0
) -> Tensor:
    """Do what :func:`chainrule.nn.functional.binary_cross_entropy_with_logits` does; `reduction` 0 none, 1 mean, 2 sum.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.binary_cross_entropy_with_logits(cr.zeros(2), cr.ones(2), reduction=2)
    tensor(1.3863)
    """
    name = "binary_cross_entropy_with_logits"
    return F.binary_cross_entropy_with_logits(
        input, target, weight, reduction=_reduction(reduction, name), pos_weight=pos_weight
    )


@asks
def kl_div(input: Tensor, target: Tensor, reduction: int = 0, *, log_target: bool = False) -> Tensor:
    """Do what :func:`chainrule.nn.functional.kl_div` does; `reduction` 0 none, 1 mean, 2 sum.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.kl_div(cr.zeros(2), cr.ones(2), 2)
    tensor(0.)
    """
    found = F.kl_div(input, target, reduction="none", log_target=log_target)
    return reduced(found, _reduction(reduction, "kl_div"))


@asks
def margin_ranking_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: int = 0) -> Tensor:
    """Do what :func:`chainrule.nn.functional.margin_ranking_loss` does; `reduction` 0 none, 1 mean, 2 sum.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.margin_ranking_loss(cr.zeros(2), cr.ones(2), cr.ones(2), 0.5, 2)
    tensor(3.)
    """
    return F.margin_ranking_loss(input1, input2, target, margin, reduction=_reduction(reduction, "margin_ranking_loss"))


@asks
def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, reduction: int = 0) -> Tensor:
    """Do what :func:`chainrule.nn.functional.hinge_embedding_loss` does; `reduction` 0 none, 1 mean, 2 sum.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.hinge_embedding_loss(cr.tensor([2.0, 0.5]), cr.tensor([1.0, -1.0]), reduction=0)
    tensor([2.0000, 0.5000])
    """
    return F.hinge_embedding_loss(input, target, margin, reduction=_reduction(reduction, "hinge_embedding_loss"))


@asks
def cosine_embedding_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: int = 0) -> Tensor:
    """Do what :func:`chainrule.nn.functional.cosine_embedding_loss` does; `reduction` 0 none, 1 mean, 2 sum.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.cosine_embedding_loss(cr.ones(1, 2), cr.ones(1, 2), -cr.ones(1), 0.5, reduction=1).round(decimals=4)
    tensor(0.5000)
    """
    return F.cosine_embedding_loss(input1, input2, target, margin, reduction=_reduction(reduction, "cosine_embedding_loss"))


@asks
def triplet_margin_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6,
    swap: bool = False, reduction: int = 0,
) -> Tensor:  # fmt: skip
    """Do what :func:`chainrule.nn.functional.triplet_margin_loss` does; `reduction` 0 none, 1 mean, 2 sum.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.triplet_margin_loss(cr.zeros(1, 2), cr.zeros(1, 2), cr.zeros(1, 2), reduction=1)
    tensor(1.)
    """
    return F.triplet_margin_loss(
        anchor, positive, negative, margin, p, eps, swap, reduction=_reduction(reduction, "triplet_margin_loss")
    )


@asks
def poisson_nll_loss(input: Tensor, target: Tensor, log_input: bool, full: bool, eps: float, reduction: int) -> Tensor:
    """Do what :func:`chainrule.nn.functional.poisson_nll_loss` does, by position; `reduction` 0 none, 1 mean, 2 sum.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.poisson_nll_loss(cr.zeros(2), cr.ones(2), True, False, 1e-8, 2)
    tensor(2.)
    """
    return F.poisson_nll_loss(input, target, log_input, full, eps=eps, reduction=_reduction(reduction, "poisson_nll_loss"))


@asks
def ctc_loss(
    log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any, blank: int = 0, reduction: int = 0,
    zero_infinity: bool = False,
) -> Tensor:  # fmt: skip
    """Do what :func:`chainrule.nn.functional.ctc_loss` does; `reduction` 0 none, 1 mean, 2 sum.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.ctc_loss(cr.zeros(2, 1, 2).log_softmax(2), cr.ones(1, 1, dtype=cr.int64), [2], [1], reduction=2)
    tensor(0.2877)
    """
    return F.ctc_loss(
        log_probs, targets, input_lengths, target_lengths, blank, _reduction(reduction, "ctc_loss"), zero_infinity
    )
