"""Functions that PyTorch has at its top level, too, there with arguments in another order and reductions as numbers."""

from __future__ import annotations

from typing import Any

from chainrule.core.call.asking import asks
from chainrule.core.tensor.tensor import Tensor
from chainrule.nn.functional import classification, ctc, likelihood, normalization, ranking, regression
from chainrule.nn.functional.dropout import alpha_dropout as _alpha_dropout
from chainrule.nn.functional.dropout import dropout as _dropout
from chainrule.nn.functional.dropout import feature_alpha_dropout as _feature_alpha_dropout
from chainrule.nn.functional.dropout import of_maps
from chainrule.nn.functional.embedding import embedding as _embedding
from chainrule.nn.functional.piecewise import rrelu as _rrelu

__all__ = [
    "alpha_dropout", "batch_norm", "binary_cross_entropy_with_logits", "cosine_embedding_loss", "ctc_loss", "dropout",
    "embedding", "feature_alpha_dropout", "feature_dropout", "group_norm", "hinge_embedding_loss", "instance_norm", "kl_div",
    "layer_norm", "margin_ranking_loss", "poisson_nll_loss", "rrelu", "triplet_margin_loss",
]  # fmt: skip

_REDUCTIONS = ("none", "mean", "sum")


def _named(reduction: int) -> str:
    if reduction not in (0, 1, 2):
        raise RuntimeError(f"reduction must be 0 (none), 1 (mean) or 2 (sum), not {reduction}")
    return _REDUCTIONS[reduction]


# -- normalisation -----------------------------------------------------------------------------------------------------


@asks
def layer_norm(
    input: Tensor, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5, cudnn_enable: bool = True
) -> Tensor:
    """Return what :func:`chainrule.nn.functional.layer_norm` returns."""
    return normalization.layer_norm(input, normalized_shape, weight, bias, eps)


@asks
def batch_norm(
    input: Tensor, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool, momentum: float, eps: float,
    cudnn_enabled: bool,
) -> Tensor:  # fmt: skip
    """Return what :func:`chainrule.nn.functional.batch_norm` returns."""
    return normalization.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


@asks
def group_norm(
    input: Tensor, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, cudnn_enabled: bool = True
) -> Tensor:
    """Return what :func:`chainrule.nn.functional.group_norm` returns."""
    return normalization.group_norm(input, num_groups, weight, bias, eps)


@asks
def instance_norm(
    input: Tensor, weight: Any, bias: Any, running_mean: Any, running_var: Any, use_input_stats: bool, momentum: float,
    eps: float, cudnn_enabled: bool,
) -> Tensor:  # fmt: skip
    """Return what :func:`chainrule.nn.functional.instance_norm` returns."""
    return normalization.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


# -- look-up and dropout -----------------------------------------------------------------------------------------------


@asks
def embedding(
    weight: Tensor, indices: Tensor, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Tensor:
    """Return what :func:`chainrule.nn.functional.embedding` returns."""
    padding = None if padding_idx == -1 else padding_idx
    return _embedding(indices, weight, padding, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse)


@asks
def dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """Return what :func:`chainrule.nn.functional.dropout` returns."""
    return _dropout(input, p, train)


@asks
def feature_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """Return what :func:`chainrule.nn.functional.dropout1d` returns."""
    return of_maps(input, p, train)


@asks
def alpha_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """Return what :func:`chainrule.nn.functional.alpha_dropout` returns."""
    return _alpha_dropout(input, p, train)


@asks
def feature_alpha_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """Return what :func:`chainrule.nn.functional.feature_alpha_dropout` returns."""
    return _feature_alpha_dropout(input, p, train)


@asks
def rrelu(input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False) -> Tensor:
    """Return what :func:`chainrule.nn.functional.rrelu` returns."""
    return _rrelu(input, lower, upper, training)


# -- losses ------------------------------------------------------------------------------------------------------------


@asks
def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, weight: Any = None, pos_weight: Any = None, reduction: int = 1
) -> Tensor:
    """Return what :func:`chainrule.nn.functional.binary_cross_entropy_with_logits` returns."""
    return classification.binary_cross_entropy_with_logits(
        input, target, weight, reduction=_named(reduction), pos_weight=pos_weight
    )


@asks
def cosine_embedding_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: int = 1) -> Tensor:
    """Return what :func:`chainrule.nn.functional.cosine_embedding_loss` returns."""
    return ranking.cosine_embedding_loss(input1, input2, target, margin, reduction=_named(reduction))


@asks
def ctc_loss(
    log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any, blank: int = 0, reduction: int = 1,
    zero_infinity: bool = False,
) -> Tensor:  # fmt: skip
    """Return what :func:`chainrule.nn.functional.ctc_loss` returns."""
    return ctc.ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, _named(reduction), zero_infinity)


@asks
def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, reduction: int = 1) -> Tensor:
    """Return what :func:`chainrule.nn.functional.hinge_embedding_loss` returns."""
    return ranking.hinge_embedding_loss(input, target, margin, reduction=_named(reduction))


@asks
def kl_div(input: Tensor, target: Tensor, reduction: int = 1, *, log_target: bool = False) -> Tensor:
    """Return what :func:`chainrule.nn.functional.kl_div` returns."""
    summed = regression.kl_div(input, target, reduction="none", log_target=log_target)
    return regression.reduced(summed, _named(reduction))


@asks
def margin_ranking_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: int = 1) -> Tensor:
    """Return what :func:`chainrule.nn.functional.margin_ranking_loss` returns."""
    return ranking.margin_ranking_loss(input1, input2, target, margin, reduction=_named(reduction))


@asks
def poisson_nll_loss(input: Tensor, target: Tensor, log_input: bool, full: bool, eps: float, reduction: int) -> Tensor:
    """Return what :func:`chainrule.nn.functional.poisson_nll_loss` returns."""
    return likelihood.poisson_nll_loss(input, target, log_input, full, eps=eps, reduction=_named(reduction))


@asks
def triplet_margin_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6,
    swap: bool = False, reduction: int = 1,
) -> Tensor:  # fmt: skip
    """Return what :func:`chainrule.nn.functional.triplet_margin_loss` returns."""
    return ranking.triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, reduction=_named(reduction))
