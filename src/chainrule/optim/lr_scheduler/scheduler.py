"""LRScheduler: a learning rate that changes from epoch to epoch.

A rate follows from the one before it, so that schedules can be used together, and what the user sets in between counts. Where a
rate is known from the epoch alone, `_get_closed_form_lr` says it, for going to an epoch at once.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from types import FunctionType
from typing import Any

from chainrule.core.mode.grad_mode import modes, no_grad
from chainrule.core.tensor.tensor import Tensor
from chainrule.optim.optimizer import Optimizer
from chainrule.optim.options import number

__all__ = ["LRScheduler"]

TOO_EARLY = (
    "Detected call of `lr_scheduler.step()` before `optimizer.step()`. You should call them in the opposite order: otherwise "
    "the first value of the learning rate schedule is skipped."
)
OUTSIDE = "To get the last learning rate computed by the scheduler, please use `get_last_lr()`."
BY_EPOCH = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where possible. Please use "
    "`scheduler.step()` to step the scheduler. If epoch is given, the rate is computed from it alone, where there is a formula."
)


def each_call(step: Callable) -> Callable:
    """Have a schedule's step run in each call of a compiled function, after what the call computed.

    Where it takes a tensor, or a rate is one, it is recorded as any code is.
    """

    @functools.wraps(step)
    def stepped(self: Any, *args: Any, **kwargs: Any) -> None:
        recorder = modes().compiling
        rates = () if recorder is None else [group["lr"] for group in self.optimizer.param_groups]
        if recorder is None or any([isinstance(x, Tensor) for x in (*args, *kwargs.values(), *rates)]):
            return step(self, *args, **kwargs)
        return recorder.repeat(functools.partial(step, self, *args, **kwargs), self._inner())

    return stepped


class LRScheduler:
    """Base of all schedules: a subclass defines `get_lr`.

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups' ``"lr"`` is set: now, and at each `step`.
    last_epoch : int
        The epoch before; -1 starts anew, and makes each group's rate its ``"initial_lr"``.

    Attributes
    ----------
    last_epoch : int
        How often `step` was called.
    base_lrs : list of float
        The groups' rates at the start.
    """

    _get_lr_called_within_step = False
    _left_out: tuple[str, ...] = ("optimizer",)  # of the state

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", number(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming scheduler with last_epoch >= 0."
                )
        self.optimizer = optimizer
        self.base_lrs = [number(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._initial_step()

    def _initial_step(self) -> None:
        """Set the first rates, by the subclass's own `step`."""
        self._step_count, self._is_initial = 0, True
        try:
            self.step()
        finally:
            self._is_initial = self._get_lr_called_within_step = False

    def get_lr(self) -> list[float]:
        """Return the groups' rates for epoch `last_epoch`, from those of the epoch before."""
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """Return the groups' rates that were set last."""
        return self._last_lr

    def _inner(self) -> tuple:
        """Return the schedules whose position a step changes."""
        return (self,)

    @each_call
    def step(self, epoch: int | None = None) -> None:
        """Go to the next epoch and set the groups' rates.

        Parameters
        ----------
        epoch : int, optional
            Deprecated: the epoch to go to.
        """
        if self._step_count == 1 and not self.optimizer._opt_called:
            warnings.warn(TOO_EARLY, UserWarning, stacklevel=3)
        if epoch is not None:
            warnings.warn(BY_EPOCH, UserWarning, stacklevel=3)
        self._advance(epoch)

    def _begin(self) -> None:
        """Start when a schedule before this one has ended."""
        self._advance(0)

    def _advance(self, epoch: int | None) -> None:
        self._step_count += 1
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        closed = getattr(self, "_get_closed_form_lr", None)
        self._get_lr_called_within_step = True
        try:
            rates = self.get_lr() if epoch is None or closed is None else closed()
        finally:
            self._get_lr_called_within_step = False
        self._set_rates(rates)

    def _set_rates(self, rates: list[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            if isinstance(group["lr"], Tensor):
                with no_grad():
                    group["lr"].fill_(lr)
            else:
                group["lr"] = lr
        self._last_lr = [number(group["lr"]) for group in self.optimizer.param_groups]

    def _rates(self) -> list[float]:
        """Return the groups' present rates, for `get_lr`."""
        if not self._get_lr_called_within_step:
            warnings.warn(OUTSIDE, UserWarning, stacklevel=3)
        return [number(group["lr"]) for group in self.optimizer.param_groups]

    def _scaled(self, factor: float) -> list[float]:
        return [lr * factor for lr in self._rates()]

    def state_dict(self) -> dict[str, Any]:
        """Return the schedule's settings and position, without the optimizer."""
        return {key: value for key, value in self.__dict__.items() if key not in self._left_out}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the settings and position that `state_dict` returned."""
        self.__dict__.update(state_dict)


def state_of(f: Any) -> dict[str, Any] | None:
    """Return the state of an object that is called; functions have none."""
    return None if isinstance(f, FunctionType) else dict(vars(f))
