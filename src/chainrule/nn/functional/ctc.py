"""Connectionist temporal classification: a part of `chainrule.nn.functional`."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.call.asking import asks
from chainrule.core.call.dispatch import as_tensor
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import innermost
from chainrule.core.types import dtype as dtypes
from chainrule.functions.shaping.join import cat
from chainrule.nn.functional.regression import reduced, reduction_of
from chainrule.ops.indexing.scatter import gather
from chainrule.ops.indexing.select import where
from chainrule.ops.indexing.view import getitem, zeros
from chainrule.ops.pointwise.arithmetic import logaddexp
from chainrule.ops.shaping.shape import reshape, unsqueeze

__all__ = ["ctc_loss"]

# Stands for the logarithm of 0: finite, so that derivatives stay so, and small enough that its exponential is 0.
_NEVER = -1e30


def _lengths(given: Any, name: str, batch: int) -> np.ndarray:
    found = np.asarray(innermost(given) if isinstance(given, Tensor) else given, dtype=np.int64).reshape(-1)
    if len(found) != batch:
        raise RuntimeError(f"{name} must be of size batch_size")
    return found


def _misfit(axis: int, expected: str, size: int) -> RuntimeError:
    return RuntimeError(
        f"Expected tensor to have size {expected} at dimension {axis}, but got size {size} for argument #2 'targets' (while "
        "checking arguments for ctc_loss)"
    )


def _labels(targets: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the targets of all samples as rows, the rest of which is 0."""
    longest = int(lengths.max(initial=0))
    if targets.ndim == 2:
        if targets.shape[0] != len(lengths):
            raise _misfit(0, str(len(lengths)), targets.shape[0])
        if targets.shape[1] < longest:
            raise _misfit(1, f"at least {longest}", targets.shape[1])
        return np.where(np.arange(longest) < lengths[:, None], targets[:, :longest], 0)
    if targets.shape[0] != lengths.sum():
        raise _misfit(0, str(lengths.sum()), targets.shape[0])
    out = np.zeros((len(lengths), longest), np.int64)
    out[np.arange(longest) < lengths[:, None]] = targets
    return out


def _log_likelihood(logp: Tensor, labels: np.ndarray, steps: np.ndarray, lengths: np.ndarray, blank: int) -> Any:
    """Return the log-likelihood of each sample's labels, by the forward recursion over positions in labels and blanks."""
    batch, longest = labels.shape
    states = np.full((batch, 2 * longest + 1), blank)
    states[:, 1::2] = labels
    skips = np.zeros(states.shape, bool)  # two states on, over the blank, unless both are one label
    skips[:, 3::2] = labels[:, 1:] != labels[:, :-1]
    scores = gather(logp, np.broadcast_to(states, (logp.shape[0], *states.shape)), axis=2)
    scores = where(scores < _NEVER, _NEVER, scores)
    starts = np.zeros(states.shape, bool)
    starts[:, :2] = True
    alpha: Any = where(starts, getitem(scores, index=(0,)), _NEVER)
    blocked = zeros((batch, 1), logp) + _NEVER
    for k in range(1, int(steps.max(initial=0))):
        stepped = cat((blocked, getitem(alpha, index=(slice(None), slice(None, -1)))), 1)
        arrived = logaddexp(alpha, stepped)
        if longest > 1:
            skipped = cat((blocked, blocked, getitem(alpha, index=(slice(None), slice(None, -2)))), 1)
            arrived = logaddexp(arrived, where(skips, skipped, _NEVER))
        arrived = arrived + getitem(scores, index=(k,))
        alpha = where((k < steps)[:, None], arrived, alpha) if k >= steps.min() else arrived
    last = reshape(gather(alpha, 2 * lengths[:, None], axis=1), shape=(batch,))
    before = reshape(gather(alpha, np.maximum(2 * lengths - 1, 0)[:, None], axis=1), shape=(batch,))
    return logaddexp(last, where(lengths > 0, before, _NEVER))


@asks
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Return the negative log-likelihood of label sequences, summed over their alignments (Graves et al., ICML 2006).

    Parameters
    ----------
    log_probs : Tensor
        Log probabilities of labels at each step, of shape (T, N, C) or (T, C).
    targets : Tensor
        Integer labels without blanks: of shape (N, S), or all in one row of shape (sum of `target_lengths`,).
    input_lengths, target_lengths : Tensor or sequence of int
        How many steps and labels each sample has.
    blank : int
        The label that means none.
    reduction : {"mean", "sum", "none"}
        What to make of the samples' losses; the mean is of the losses divided by the target lengths.
    zero_infinity : bool
        Count samples that have no alignment as 0 instead of inf.

    Returns
    -------
    Tensor
        0-d, or of shape (N,) without reduction.

    Raises
    ------
    RuntimeError
        If lengths do not fit, or `blank` is no label.

    Notes
    -----
    The derivative in `log_probs` is that of the value, minus the probability of each label at each step. PyTorch adds
    ``exp(log_probs)``, which makes no difference where they come from `log_softmax`. Where there is no alignment it is 0.

    Examples
    --------
    >>> import chainrule as cr
    >>> logp = cr.full((2, 1, 2), 0.5).log()
    >>> cr.nn.functional.ctc_loss(logp, cr.tensor([[1]]), [2], [1])
    tensor(0.2877)
    """
    reduction = reduction_of(None, None, reduction)
    x, t = as_tensor(log_probs, "ctc_loss"), as_tensor(targets, "ctc_loss", 1)
    if x.dtype.category != dtypes.FLOAT:
        raise RuntimeError(f"\"ctc_loss_cpu\" not implemented for '{x.dtype.old_name}'")
    if x.ndim not in (2, 3):
        raise RuntimeError(f"log_probs tensor must be 2D or 3D, got {x.ndim}D")
    single = x.ndim == 2
    if single:
        x = unsqueeze(x, axis=1)
    length, batch, classes = x.shape
    if not 0 <= blank < classes:
        raise RuntimeError("blank must be in label range")
    steps, sizes = _lengths(input_lengths, "input_lengths", batch), _lengths(target_lengths, "target_lengths", batch)
    if steps.max(initial=0) > length:
        raise RuntimeError(f"Expected input_lengths to have value at most {length}, but got value {steps.max()}")
    if steps.min(initial=0) < 0 or sizes.min(initial=0) < 0:
        raise RuntimeError("Expected lengths to have value at least 0")
    labels = _labels(np.asarray(innermost(t)).astype(np.int64), sizes)
    if np.any((labels < 0) | (labels >= classes)):
        raise RuntimeError(f"Expected targets to be labels from 0 to {classes - 1}")
    losses = -_log_likelihood(x, labels, steps, sizes, blank)
    losses = where(losses > -0.5 * _NEVER, 0.0 if zero_infinity else np.inf, losses)
    if reduction == "mean":
        return reduced(losses / np.maximum(sizes, 1).astype(x.dtype.numpy), "mean")
    return reduced(losses, reduction) if not single or reduction == "sum" else reshape(losses, shape=())
