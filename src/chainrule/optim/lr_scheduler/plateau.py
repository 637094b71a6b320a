"""Learning rates that fall when training stands still."""

from __future__ import annotations

import math
from typing import Any

from chainrule.optim.lr_scheduler.scheduler import LRScheduler, each_call
from chainrule.optim.optimizer import Optimizer
from chainrule.optim.options import number

__all__ = ["ReduceLROnPlateau"]


class ReduceLROnPlateau(LRScheduler):
    """Times `factor` when a number that should fall or rise has not done so for more than `patience` steps.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    mode : str
        ``"min"``: the number should fall; ``"max"``: rise.
    factor : float
        As above, below 1.
    patience : int
        As above.
    threshold : float
        How much counts as better: this share of the best (``threshold_mode="rel"``), or this much (``"abs"``).
    threshold_mode : str
        As above.
    cooldown : int
        Steps after a reduction that are not counted.
    min_lr : float or list of float
        The least rates, one for all groups or one for each.
    eps : float
        Reductions by less are left out.

    Examples
    --------
    >>> import chainrule as cr
    >>> opt = cr.optim.SGD([cr.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = cr.optim.lr_scheduler.ReduceLROnPlateau(opt, patience=1)
    >>> for loss in (1.0, 1.0, 1.0):
    ...     schedule.step(loss)
    >>> schedule.get_last_lr()
    [0.1]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        if factor >= 1.0:
            raise ValueError("Factor should be < 1.0.")
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer, self.factor = optimizer, factor
        groups = len(optimizer.param_groups)
        if isinstance(min_lr, (list, tuple)):
            if len(min_lr) != groups:
                raise ValueError(f"expected {groups} min_lrs, got {len(min_lr)}")
            self.default_min_lr, self.min_lrs = None, list(min_lr)
        else:
            self.default_min_lr, self.min_lrs = min_lr, [min_lr] * groups
        self.patience, self.cooldown, self.eps, self.last_epoch = patience, cooldown, eps, 0
        self._last_lr = [number(group["lr"]) for group in optimizer.param_groups]
        if mode not in ("min", "max"):
            raise ValueError(f"mode {mode} is unknown!")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold mode {threshold_mode} is unknown!")
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self.mode_worse = math.inf if mode == "min" else -math.inf
        self._reset()

    def _reset(self) -> None:
        """Forget the best, and how many steps were worse."""
        self.best, self.cooldown_counter, self.num_bad_epochs = self.mode_worse, 0, 0

    @each_call
    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Take the number of this epoch, and reduce the rates if it is time.

        Parameters
        ----------
        metrics : float or Tensor
            The number that should fall or rise.
        epoch : int, optional
            Deprecated: the epoch that this is.
        """
        current = float(number(metrics))
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self.is_better(current, self.best):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce_lr(self.last_epoch)
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = [number(group["lr"]) for group in self.optimizer.param_groups]

    def _reduce_lr(self, epoch: int) -> None:
        """Reduce the rates; PyTorch's name, under which packages put a method of theirs."""
        rates = [number(group["lr"]) for group in self.optimizer.param_groups]
        least = self.min_lrs + [self.default_min_lr or 0] * (len(rates) - len(self.min_lrs))
        reduced = [max(lr * self.factor, low) for lr, low in zip(rates, least, strict=True)]
        self._set_rates([new if old - new > self.eps else old for old, new in zip(rates, reduced, strict=True)])

    @property
    def in_cooldown(self) -> bool:
        """Whether a reduction was less than `cooldown` steps ago."""
        return self.cooldown_counter > 0

    def is_better(self, a: float, best: float) -> bool:
        """Return whether a number is better than the best by the threshold."""
        sign = 1 if self.mode == "min" else -1
        if self.threshold_mode == "rel":
            return sign * a < sign * best * (1 - sign * self.threshold)
        return sign * a < sign * best - self.threshold
