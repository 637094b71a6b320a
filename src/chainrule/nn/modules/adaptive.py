"""The adaptive softmax: many classes, few of which are frequent."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from chainrule.core.tensor.tensor import Tensor
from chainrule.functions.shaping.join import cat
from chainrule.nn import functional as F
from chainrule.nn.modules.container import ModuleList, Sequential
from chainrule.nn.modules.linear import Linear
from chainrule.nn.modules.module import Module

__all__ = ["AdaptiveLogSoftmaxWithLoss"]


class _ASMoutput(NamedTuple):
    """What :class:`AdaptiveLogSoftmaxWithLoss` returns."""

    output: Any
    loss: Any


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-probabilities of classes sorted by frequency, and their mean negated (Grave et al. 2017, arXiv 1609.04309).

    The head tells the frequent classes apart, and clusters of the others; a cluster's tail, with fewer features the rarer its
    classes are, is computed only for the targets in it.

    Parameters
    ----------
    in_features, n_classes : int
        The size of inputs; how many classes.
    cutoffs : sequence of int
        The first class of each cluster.
    div_value : float
        By how much the features of a cluster are fewer than those of the cluster before.
    head_bias : bool
        Whether the head has a bias.
    device, dtype
        Of the parameters.

    Raises
    ------
    ValueError
        If the cutoffs are not increasing integers between 1 and ``n_classes - 1``.

    Examples
    --------
    >>> import chainrule as cr
    >>> net = cr.nn.AdaptiveLogSoftmaxWithLoss(8, 10, [4])
    >>> net(cr.zeros(2, 8), cr.tensor([0, 9])).output.exp().detach()
    tensor([0.2000, 0.0333])
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        cutoffs = list(cutoffs)
        if not cutoffs:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        increasing = all(a < b for a, b in pairwise([0, *cutoffs, n_classes]))
        if not increasing or any(int(c) != c for c in cutoffs):
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing order, where each value is "
                "between 1 and n_classes-1"
            )
        self.in_features, self.n_classes, self.cutoffs = in_features, n_classes, [*cutoffs, n_classes]
        self.div_value, self.head_bias = div_value, head_bias
        self.shortlist_size, self.n_clusters = cutoffs[0], len(cutoffs)
        self.head_size = self.shortlist_size + self.n_clusters
        given = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, self.head_size, bias=head_bias, **given)
        self.tail = ModuleList()
        for i, (first, last) in enumerate(pairwise(self.cutoffs)):
            size = int(in_features // div_value ** (i + 1))
            parts = Linear(in_features, size, bias=False, **given), Linear(size, last - first, bias=False, **given)
            self.tail.append(Sequential(*parts))

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        self.head.reset_parameters()
        for down, up in self.tail:
            down.reset_parameters()
            up.reset_parameters()

    def forward(self, input_: Any, target_: Any) -> _ASMoutput:
        """Return (the log-probability of each target, the mean of these negated), of shapes (N,) and ().

        Raises
        ------
        RuntimeError
            If the shapes do not fit, or a target is no class.
        """
        self._check(input_, target_)
        single = target_.ndim == 0
        x, target = (input_.unsqueeze(0), target_.unsqueeze(0)) if single else (input_, target_)
        if int(target.min()) < 0 or int(target.max()) >= self.n_classes:
            raise RuntimeError(
                f"Target values should be in [0, {self.n_classes - 1}], but values in range [{int(target.min())}, "
                f"{int(target.max())}] were found. "
            )
        places, out = target.clone(), None
        for i, (first, last) in enumerate(pairwise(self.cutoffs)):
            rows = ((target >= first) & (target < last)).nonzero().flatten()
            if rows.numel():
                found = F.log_softmax(self.tail[i](x.index_select(0, rows)), 1)
                found = found.gather(1, (target[rows] - first).unsqueeze(1)).squeeze(1)
                out = (found.new_zeros(len(target)) if out is None else out).index_copy(0, rows, found)
                places = places.index_fill(0, rows, self.shortlist_size + i)
        head = F.log_softmax(self.head(x), 1).gather(1, places.unsqueeze(1)).squeeze(1)
        out = head if out is None else head + out
        loss = (-out).mean()
        return _ASMoutput(out.squeeze(0) if single else out, loss)

    def _check(self, input: Any, target: Any) -> None:
        if target.ndim > 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        if target.ndim == 1 and input.shape[0] != target.shape[0]:
            raise RuntimeError("Input and target should have the same size in the batch dimension.")
        if input.ndim != target.ndim + 1:
            n = target.ndim
            raise RuntimeError(f"{n}D target tensor expects {n + 1}D input tensors, but found inputs with size {input.shape}")

    def log_prob(self, input: Tensor) -> Any:
        """Return the log-probabilities of all classes, of shape (N, n_classes)."""
        return self._full(input, self.head(input))

    def _full(self, input: Any, head: Any) -> Any:
        head = F.log_softmax(head, 1)
        clusters = [
            F.log_softmax(tail(input), 1) + head[:, self.shortlist_size + i].unsqueeze(1) for i, tail in enumerate(self.tail)
        ]
        return cat([head[:, : self.shortlist_size], *clusters], 1)

    def predict(self, input: Any) -> Any:
        """Return the most probable class of each input, of shape (N,)."""
        head = self.head(input)
        out = head.argmax(1)
        rare = (out >= self.shortlist_size).nonzero().flatten()
        if rare.numel():
            out = out.index_copy(0, rare, self._full(input[rare], head[rare]).argmax(1))
        return out
