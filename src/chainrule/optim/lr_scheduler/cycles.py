"""Learning rates that go up and down, with momentum going the other way."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from chainrule.optim.lr_scheduler.scheduler import LRScheduler, state_of
from chainrule.optim.optimizer import Optimizer
from chainrule.optim.options import number

__all__ = ["CyclicLR", "OneCycleLR"]


class _WithMomentum(LRScheduler):
    """Base of the schedules that set a momentum too: the option of that name, or the first of the betas."""

    def _find_momentum(self, optimizer: Optimizer, is_wanted: bool) -> None:
        self.cycle_momentum = is_wanted
        if is_wanted:
            if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
                raise ValueError("optimizer must support momentum or beta1 with `cycle_momentum` option enabled")
            self.use_beta1 = "betas" in optimizer.defaults

    def _set_momentum(self, group: dict[str, Any], momentum: float) -> None:
        if self.use_beta1:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum


class CyclicLR(_WithMomentum):
    """Up from `base_lr` to `max_lr` in `step_size_up` steps, down in `step_size_down`, again and again (arXiv 1506.01186).

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    base_lr, max_lr : float or list of float
        The least rates and the greatest, one for all groups or one for each.
    step_size_up, step_size_down : int
        Steps up and down; as many down as up, if not given.
    mode : str
        How the height goes on: ``"triangular"``: stays, ``"triangular2"``: is halved in each cycle, ``"exp_range"``: is
        multiplied by `gamma` in each step.
    gamma : float
        As above.
    scale_fn : callable, optional
        The factor of the height, in place of `mode`.
    scale_mode : str
        Whether `scale_fn` takes the number of the ``"cycle"`` or that of the step (``"iterations"``).
    cycle_momentum : bool
        Whether momentum goes from `max_momentum` down to `base_momentum` and up.
    base_momentum, max_momentum : float or list of float
        As above.
    last_epoch : int
        The step before.

    Examples
    --------
    >>> import chainrule as cr
    >>> opt = cr.optim.SGD([cr.ones(1, requires_grad=True)], lr=1.0, momentum=0.9)
    >>> schedule = cr.optim.lr_scheduler.CyclicLR(opt, base_lr=0.0, max_lr=1.0, step_size_up=2)
    >>> opt.step()
    >>> schedule.step()
    >>> schedule.get_last_lr(), round(opt.param_groups[0]["momentum"], 6)
    ([0.5], 0.85)
    """

    _left_out = ("optimizer", "_scale_fn_custom")

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        base_lrs = each("base_lr", optimizer, base_lr)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, base_lrs, strict=True):
                group["lr"] = lr
        self.max_lrs = each("max_lr", optimizer, max_lr)
        up = float(step_size_up)
        self.total_size = up + (up if step_size_down is None else float(step_size_down))
        self.step_ratio = up / self.total_size
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError("mode is invalid and scale_fn is None")
        self.mode, self.gamma, self._scale_fn_custom = mode, gamma, scale_fn
        self.scale_mode = scale_mode if scale_fn is not None else "iterations" if mode == "exp_range" else "cycle"
        self._find_momentum(optimizer, cycle_momentum)
        if cycle_momentum:
            self.base_momentums = each("base_momentum", optimizer, base_momentum)
            self.max_momentums = each("max_momentum", optimizer, max_momentum)
            if last_epoch == -1:
                for group, low, high in zip(optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True):
                    self._set_momentum(group, high)
                    group.update(max_momentum=high, base_momentum=low)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """Return the factor of the height for a cycle or a step."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular":
            return 1.0
        return 1 / 2.0 ** (x - 1) if self.mode == "triangular2" else self.gamma**x

    def get_lr(self) -> list[float]:
        """Return the groups' rates for step `last_epoch`, and set their momentum."""
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        place = 1.0 + self.last_epoch / self.total_size - cycle
        height = place / self.step_ratio if place <= self.step_ratio else (place - 1) / (self.step_ratio - 1)
        height *= self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            for group, low, high in zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True):
                self._set_momentum(group, high - (high - low) * height)
        return [low + (high - low) * height for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """Return the schedule's settings and position, without the optimizer and a function (an object gives its state)."""
        custom = self._scale_fn_custom
        return {**super().state_dict(), "_scale_fn_custom": None if custom is None else state_of(custom)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the settings and position that `state_dict` returned."""
        state = state_dict.copy()
        custom = state.pop("_scale_fn_custom")
        self.__dict__.update(state)
        if custom is not None:
            vars(self._scale_fn_custom).update(custom)


class OneCycleLR(_WithMomentum):
    """Up to `max_lr` once, and far down (Smith & Topin, arXiv 1708.07120).

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    max_lr : float or list of float
        The greatest rates, one for all groups or one for each.
    total_steps, epochs, steps_per_epoch : int, optional
        The number of steps, or its factors.
    pct_start : float
        The share of the steps that go up.
    anneal_strategy : str
        ``"cos"`` or ``"linear"``.
    cycle_momentum : bool
        Whether momentum goes from `max_momentum` down to `base_momentum` and up.
    base_momentum, max_momentum : float or list of float
        As above.
    div_factor, final_div_factor : float
        The first rate is ``max_lr / div_factor``, the last that over `final_div_factor`.
    three_phase : bool
        Whether the rates first go down as they went up, and then to the last.
    last_epoch : int
        The step before.

    Examples
    --------
    >>> import chainrule as cr
    >>> opt = cr.optim.SGD([cr.ones(1, requires_grad=True)], lr=1.0, momentum=0.9)
    >>> schedule = cr.optim.lr_scheduler.OneCycleLR(opt, max_lr=1.0, total_steps=10, pct_start=0.2)
    >>> opt.step()
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.total_steps = _total(total_steps, epochs, steps_per_epoch)
        self._schedule_phases = _phases(self.total_steps, pct_start, three_phase)
        if pct_start < 0 or pct_start > 1 or not isinstance(pct_start, float):
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        self._anneal_func_type = anneal_strategy
        if last_epoch == -1:
            for group, high in zip(optimizer.param_groups, each("max_lr", optimizer, max_lr), strict=True):
                first = high / div_factor
                group.update(initial_lr=first, max_lr=high, min_lr=first / final_div_factor)
        self._find_momentum(optimizer, cycle_momentum)
        if cycle_momentum and last_epoch == -1:
            lows, highs = each("base_momentum", optimizer, base_momentum), each("max_momentum", optimizer, max_momentum)
            for group, low, high in zip(optimizer.param_groups, lows, highs, strict=True):
                self._set_momentum(group, high)
                group.update(max_momentum=high, base_momentum=low)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the groups' rates for step `last_epoch`, and set their momentum."""
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(f"Tried to step {step} times. The specified number of total steps is {self.total_steps}")
        start, (*early, last) = 0.0, self._schedule_phases
        phase = last
        for candidate in early:
            if step <= candidate["end_step"]:
                phase = candidate
                break
            start = candidate["end_step"]
        share = (step - start) / (phase["end_step"] - start)
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._anneal(group[phase["start_lr"]], group[phase["end_lr"]], share))
            if self.cycle_momentum:
                momentum = self._anneal(group[phase["start_momentum"]], group[phase["end_momentum"]], share)
                self._set_momentum(group, momentum)
        return rates

    def _anneal(self, start: float, end: float, share: float) -> float:
        if self._anneal_func_type == "cos":
            return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)
        return (end - start) * share + start


def _total(steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    """Return the number of steps."""
    if steps is not None:
        if steps <= 0 or not isinstance(steps, int):
            raise ValueError(f"Expected positive integer total_steps, but got {steps}")
        return steps
    if epochs is None or steps_per_epoch is None:
        raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
    for name, value in (("epochs", epochs), ("steps_per_epoch", steps_per_epoch)):
        if value <= 0 or not isinstance(value, int):
            raise ValueError(f"Expected positive integer {name}, but got {value}")
    return epochs * steps_per_epoch


def _phases(steps: int, share: float, are_three: bool) -> list[dict[str, Any]]:
    """Return the phases: the step in which each ends, and between which of a group's options it goes."""
    path = ["initial_lr", "max_lr", "initial_lr", "min_lr"] if are_three else ["initial_lr", "max_lr", "min_lr"]
    high, low = "max_momentum", "base_momentum"
    momenta = [high, low, high, high] if are_three else [high, low, high]
    ends = [float(share * steps) - 1, 2 * share * steps - 2, steps - 1] if are_three else [float(share * steps) - 1, steps - 1]
    return [
        {
            "end_step": end,
            "start_lr": path[i],
            "end_lr": path[i + 1],
            "start_momentum": momenta[i],
            "end_momentum": momenta[i + 1],
        }
        for i, end in enumerate(ends)
    ]


def each(name: str, optimizer: Optimizer, value: Any) -> list[float]:
    """Return a value for each group, given one for all or a list."""
    groups = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [number(value)] * groups
    if len(value) != groups:
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. {name} has {len(value)} values, "
            f"param_groups has {groups}."
        )
    return [number(v) for v in value]
