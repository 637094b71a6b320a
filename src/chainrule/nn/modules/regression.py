"""Losses of regression as modules, and what all losses have; each calls the function of its name in `chainrule.nn.functional`.

`reduction` is "mean", "sum" or "none" everywhere; PyTorch's older `size_average` and `reduce` are understood.
"""

from __future__ import annotations

import warnings

from chainrule.core.tensor.tensor import Tensor
from chainrule.nn import functional as F
from chainrule.nn.modules.module import Module

__all__ = ["HuberLoss", "KLDivLoss", "L1Loss", "MSELoss", "SmoothL1Loss"]


def _reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """Return the reduction that PyTorch's older two arguments mean, or else the newer one."""
    if size_average is None and reduce is None:
        return reduction
    if reduce is False:
        meant = "none"
    else:
        meant = "sum" if size_average is False else "mean"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{meant}' instead.", UserWarning, stacklevel=4
    )
    return meant


class _Loss(Module):
    """A loss with a reduction."""

    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = _reduction(size_average, reduce, reduction)


class L1Loss(_Loss):
    """The absolute difference.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.L1Loss()(cr.tensor([1.0, 3.0]), cr.zeros(2))
    tensor(2.)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss of inputs and targets."""
        return F.l1_loss(input, target, reduction=self.reduction)


class MSELoss(_Loss):
    """The squared difference.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.MSELoss()(cr.tensor([1.0, 3.0]), cr.zeros(2))
    tensor(5.)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss of inputs and targets."""
        return F.mse_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """``d² / (2 * beta)`` where the absolute difference d is below `beta`, else ``d - beta / 2``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.SmoothL1Loss()(cr.tensor([1.0, 3.0]), cr.zeros(2))
    tensor(1.5000)
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss of inputs and targets."""
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """``d² / 2`` where the absolute difference d is below `delta`, else ``delta * (d - delta / 2)``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.HuberLoss()(cr.tensor([1.0, 3.0]), cr.zeros(2))
    tensor(1.5000)
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        if not isinstance(delta, (float, int)):
            raise TypeError(f"delta must be a float or int, got: {type(delta)}")
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss of inputs and targets."""
        return F.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class KLDivLoss(_Loss):
    """The Kullback-Leibler divergence of targets from inputs given as log-probabilities.

    Examples
    --------
    >>> import chainrule as cr
    >>> loss = cr.nn.KLDivLoss(reduction="batchmean")
    >>> loss(cr.tensor([[0.5, 0.5]]).log(), cr.tensor([[0.5, 0.5]]))
    tensor(0.)
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        log_target: bool = False,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss of inputs and targets."""
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)
