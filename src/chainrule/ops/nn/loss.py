"""Losses that are primitives, and the affine map of a layer.

The negative log likelihood is linear in the log probabilities; its transpose puts one number a sample into zeros, in one
pass. Targets and weights are data. Classes lie along axis 1 of (N, C, ...), or along axis 0 of (C,).
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from chainrule.core.op.batching import Batch, per_example, reshaped
from chainrule.core.op.declaration import bilinear, elementwise, linear
from chainrule.core.op.links import Link
from chainrule.core.op.lowering import s
from chainrule.core.op.reach import Call, apart, by_axes, everything
from chainrule.core.op.results import given
from chainrule.core.op.samples import Fixed, Ints, Sample
from chainrule.ops.describe import binary
from chainrule.ops.indexing.index import index
from chainrule.ops.indexing.scatter import gather, scatter_add
from chainrule.ops.indexing.select import where
from chainrule.ops.indexing.view import zeros
from chainrule.ops.linalg.contract import _dot, by_matrix, matmul, mm, mv, outer
from chainrule.ops.pointwise.exponential import log, log1p, sigmoid
from chainrule.ops.reduction.reduce import sum
from chainrule.ops.reduction.scan import wide
from chainrule.ops.shaping.shape import reshape, squeeze, t, to, transpose, unsqueeze

# -- negative log likelihood -------------------------------------------------------------------------------------------


def _places(target: Any, ndim: int) -> tuple:
    """Return the index of each sample's target in the array of log probabilities."""
    if ndim == 1:
        return (target,)
    if ndim == 2:
        return np.arange(len(target)), target
    grid = np.ogrid[tuple(map(slice, target.shape))]
    return (grid[0], target, *grid[1:])


def _shares(target: Any, weight: Any, reduction: str, ignore: int, d: Any) -> tuple:
    """Return (target made safe to index with, factor of each sample or None for 1, mask of the ignored or None, divisor)."""
    counted = target != ignore
    ignored = None
    if not np.logical_and.reduce(counted, axis=None):
        ignored = ~counted
        target = np.where(counted, target, 0)
    factor = None if weight is None else weight[target].astype(d)
    if ignored is not None:
        factor = counted.astype(d) if factor is None else np.where(counted, factor, factor.dtype.type(0))
    total = 1
    if reduction == "mean":
        total = target.size if factor is None else np.add.reduce(factor, axis=None, dtype=np.float64)
    return target, factor, ignored, total


def _nll_loss(x: Any, target: Any, weight: Any, *, reduction: str, ignore: int) -> Any:
    target, factor, ignored, total = _shares(target, weight, reduction, ignore, x.dtype)
    picked = x[_places(target, x.ndim)]
    if ignored is not None:
        picked = np.where(ignored, x.dtype.type(0), picked)  # not 0 times it, which is NaN for -inf
    if factor is not None:
        picked = picked * factor
    if reduction == "none":
        return -picked
    out = -np.add.reduce(wide(picked), axis=None)
    if reduction == "mean":
        out = out / total
    return out if out.dtype is x.dtype else out.astype(x.dtype)


def _loss_shape(x: tuple, target: tuple, weight: Any, *, reduction: str) -> tuple:
    return target if reduction == "none" else ()


def _nll_spread(g: Any, target: Any, weight: Any, *, shape: tuple, reduction: str, ignore: int) -> Any:
    target, factor, ignored, total = _shares(target, weight, reduction, ignore, g.dtype)
    share = -g / g.dtype.type(total) if reduction == "mean" else -g
    if factor is not None:
        share = share * factor
    if ignored is not None:
        share = np.where(ignored, g.dtype.type(0), share)
    out = np.zeros(shape, g.dtype)
    out[_places(target, len(shape))] = share
    return out


def _counted(target: Any, weight: Any, ignore: int, like: Any) -> tuple:
    """Return (which samples count, target made safe to index with, factor of each sample), all on tensors."""
    counted = target != ignore
    safe = where(counted, target, 0)
    factor = zeros((), like) + 1 if weight is None else _in_dtype(index(weight, safe, axes=(0,)), like)
    return counted, safe, where(counted, factor, zeros((), like))


def _in_dtype(x: Any, like: Any) -> Any:
    return to(x, dtype=zeros((), like).dtype, source=zeros((), x).dtype)


def _all(x: Any) -> Any:
    return sum(x, axis=tuple(range(x.ndim)), keepdims=False)


def _loss_of_examples(x: Any, target: Any, weight: Any, *, reduction: str, ignore: int) -> Any:
    counted, safe, factor = _counted(target, weight, ignore, x)
    axis = min(1, x.ndim - 1)
    picked = squeeze(gather(x, unsqueeze(safe, axis=axis), axis=axis), axis=(axis,), form="1")
    out = -where(counted, picked, 0) * factor
    if reduction == "none":
        return out
    return _all(out) / _all(factor) if reduction == "mean" else _all(out)


def _spread_of_examples(g: Any, target: Any, weight: Any, *, shape: tuple, reduction: str, ignore: int) -> Any:
    counted, safe, factor = _counted(target, weight, ignore, g)
    share = where(counted, -g / _all(factor) * factor if reduction == "mean" else -g * factor, 0)
    axis = min(1, len(shape) - 1)
    return scatter_add(zeros(shape, g), unsqueeze(safe, axis=axis), unsqueeze(share, axis=axis), axis=axis)


def _targets(shape: tuple, classes: int) -> Ints:
    return Ints(shape, 0, classes)


_WEIGHT = np.array([0.5, 2.0, 1.0, 3.0])


def _per_sample(c: Call, i: int, o: int) -> Link:
    """Classes of a sample reach the sample's loss, or come of it."""
    shape, out = c.shapes[i], c.out_shape(o)
    ndim = max(len(shape), len(out))
    if abs(len(shape) - len(out)) != 1 or ndim == 1:
        return everything(c, i, o)
    pairs = list(enumerate([k for k in range(ndim) if k != 1]))
    return by_axes(shape, out, pairs if len(out) == ndim else [(k, to) for to, k in pairs])


nll_loss = linear("nll_loss(x, target, weight, *, reduction, ignore)", _nll_loss, kinds="f",
    refuses=True,
    shape=_loss_shape,
    reach=_per_sample,
    batch=per_example(_loss_of_examples),
    node=lambda node: "NllLoss2D0" if len(node.shapes[0]) > 2 else "NllLoss",
    x=lambda g, x_shape, target, weight, *, reduction, ignore: nll_spread(
        g, target, weight, shape=x_shape, reduction=reduction, ignore=ignore),
    samples=lambda: [
        Sample((3, 4), _targets((3,), 4), None, reduction="mean", ignore=-100),
        Sample((3, 4), Fixed(np.array([1, 0, 3])), Fixed(_WEIGHT), reduction="mean", ignore=0),
        Sample((2, 4, 3), _targets((2, 3), 4), Fixed(_WEIGHT), reduction="none", ignore=-100),
        Sample((4,), Fixed(np.array(2)), None, reduction="sum", ignore=-100),
    ],
    doc="Return minus the log probabilities of the targets, weighted, and reduced.")  # fmt: skip

nll_spread: Callable = linear("nll_spread(g, target, weight, *, shape, reduction, ignore)", _nll_spread, kinds="f",
    refuses=True,
    shape=given,
    reach=_per_sample,
    batch=per_example(_spread_of_examples),
    node="NllLossBackward",
    g=lambda g, target, weight, *, reduction, ignore: nll_loss(g, target, weight, reduction=reduction, ignore=ignore),
    samples=lambda: [
        Sample((), _targets((3,), 4), None, shape=(3, 4), reduction="mean", ignore=-100),
        Sample((2, 3), _targets((2, 3), 4), Fixed(_WEIGHT), shape=(2, 4, 3), reduction="none", ignore=-100),
    ],
    doc="Return zeros with each sample's share of the cotangent at its target: the transpose of `nll_loss`.")  # fmt: skip


# -- binary cross entropy ----------------------------------------------------------------------------------------------


def _binary_cross_entropy(x: Any, y: Any) -> Any:
    """Return the loss with logarithms limited to -100, as PyTorch limits them."""
    return (y - 1) * np.maximum(np.log1p(-x), -100) - y * np.maximum(np.log(x), -100)


def _slope(x: Any, y: Any) -> Any:
    variance = (1 - x) * x
    return (x - y) / where(variance > 1e-12, variance, 1e-12)


binary_cross_entropy = elementwise("binary_cross_entropy(x, y)", _binary_cross_entropy, kinds="f", domain=(0.05, 0.95),
    lower=lambda x, y: (y - 1) * s.max(s.log1p(-x), -100) - y * s.max(s.log(x), -100),
    x=lambda g, x, y: g * _slope(x, y),
    y=lambda g, x: g * (log1p(-x) - log(x)),
    doc=binary("Return ``-(target log(input) + (1 - target) log(1 - input))``, at most 100.",
               note="The derivative stays finite at 0 and 1: its denominator is at least 1e-12.",
               names=("input", "target")))  # fmt: skip


def _with_logits(x: Any, y: Any) -> Any:
    return np.maximum(x, 0) - x * y + np.log1p(np.exp(-np.abs(x)))


def _logit_slope(x: Any, y: Any) -> Any:
    """Return ``sigmoid(x) - y``, with all its digits where it is small: at well classified elements of either class."""
    return where(x < 0, sigmoid(x) - y, 1 - y - sigmoid(-x))


cross_entropy_with_logits = elementwise("cross_entropy_with_logits(x, y)", _with_logits, kinds="f",
    node="BinaryCrossEntropyWithLogits",
    lower=lambda x, y: s.max(x, 0) - x * y + s.log1p(s.exp(-s.abs(x))),
    x=lambda g, x, y: g * _logit_slope(x, y),
    y=lambda g, x: -g * x,
    doc="Return ``-y * log(sigmoid(x)) - (1 - y) * log(1 - sigmoid(x))`` without overflow.")  # fmt: skip

# -- affine map --------------------------------------------------------------------------------------------------------


def _rows(x: Any) -> Any:
    """Return a value of any number of axes as a matrix of its last axis's rows."""
    return reshape(x, shape=(prod(x.shape[:-1]), x.shape[-1]))


def _linear(x: Any, w: Any) -> Any:
    if x.ndim <= 2:
        return _dot(x, w.T)
    return _dot(x.reshape(prod(x.shape[:-1]), x.shape[-1]), w.T).reshape(*x.shape[:-1], w.shape[0])


def _in_weight(g: Any, x: Any) -> Any:
    if g.ndim == 1:
        return outer(g, x)
    return mm(t(g), x) if g.ndim == 2 else mm(t(_rows(g)), _rows(x))


def _linear_examples(b: Batch, x: Any, w: Any) -> Any:
    if not b.on[1]:
        return linear_map(x, w)
    middle = tuple(x.shape[b.on[0] : -1])
    rows = reshaped(x, (*x.shape[: b.on[0]], prod(middle), x.shape[-1]))
    return reshaped(matmul(rows, transpose(w, a=1, b=2)), (b.size, *middle, w.shape[1]))


def _mapped(c: Call, i: int, o: int) -> Link:
    """Elements of a line reach all of its results, but by a zero that stays; rows of the matrix reach one of each line."""
    zeros = c.zeros(1) if i == 0 else None
    if zeros is not None:
        return by_matrix(c, i, o, zeros, -1)
    return (apart(2, 0, (-2, -1)) if i else apart(1, 1))(c, i, o)


linear_map: Callable = bilinear("linear_map(x, w)", _linear, kinds="ifc", node="Linear",
    shape=lambda x, w: (*x[:-1], w[0]),
    reach=_mapped,
    batch=_linear_examples,
    lower=lambda x, w: mv(w, x) if x.ndim == 1 else matmul(x, t(w)),
    x=lambda g, w: linear_map(g, t(w)),
    w=lambda g, x: _in_weight(g, x),
    samples=lambda: [
        Sample((3, 4), (2, 4)), Sample((4,), (2, 4)), Sample((2, 3, 4), (5, 4)), Sample((0, 4), (2, 4)), Sample((3, 0), (2, 0)),
    ],
    doc="Return ``x @ w.T`` for `x` of any number of axes and a matrix `w`, as one matrix product.")  # fmt: skip
