"""Averages of weights over the course of training: stochastic weight averaging, and exponential moving averages."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from copy import deepcopy
from itertools import chain
from typing import Any

from chainrule.core.mode.grad_mode import no_grad
from chainrule.core.tensor.tensor import Tensor
from chainrule.functions.creation.create import tensor
from chainrule.nn.modules.batchnorm import _BatchNorm
from chainrule.nn.modules.module import Module
from chainrule.optim.lr_scheduler.cycles import each
from chainrule.optim.lr_scheduler.scheduler import LRScheduler
from chainrule.optim.optimizer import Optimizer
from chainrule.optim.options import number

__all__ = [
    "SWALR", "AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn", "get_swa_multi_avg_fn", "update_bn",
]  # fmt: skip


def get_ema_avg_fn(decay: float = 0.999) -> Callable[[Tensor, Tensor, Any], Tensor]:
    """Return the function that moves an average towards a parameter by the share ``1 - decay``.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.optim.swa_utils import get_ema_avg_fn
    >>> get_ema_avg_fn(0.75)(cr.tensor(0.0), cr.tensor(1.0), 1)
    tensor(0.2500)
    """
    _check_decay(decay)

    @no_grad()
    def ema_update(average: Tensor, current: Tensor, num_averaged: Any) -> Tensor:
        return decay * average + (1 - decay) * current

    return ema_update


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[[list[Tensor], list[Tensor], Any], None]:
    """Return the function that moves averages towards parameters by the share ``1 - decay``, in place."""
    _check_decay(decay)

    @no_grad()
    def ema_update(averages: list[Tensor], currents: list[Tensor], num_averaged: Any) -> None:
        for average, current in zip(averages, currents, strict=True):
            if average.is_floating_point() or average.is_complex():
                average.lerp_(current.to(average.dtype), 1 - decay)
            else:
                average.copy_(average * decay + current * (1 - decay))

    return ema_update


def get_swa_avg_fn() -> Callable[[Tensor, Tensor, Any], Tensor]:
    """Return the function that makes the mean of one more parameter.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.optim.swa_utils import get_swa_avg_fn
    >>> get_swa_avg_fn()(cr.tensor(1.0), cr.tensor(4.0), 2)
    tensor(2.)
    """

    @no_grad()
    def swa_update(average: Tensor, current: Tensor, num_averaged: Any) -> Tensor:
        return average + (current - average) / (num_averaged + 1)

    return swa_update


def get_swa_multi_avg_fn() -> Callable[[list[Tensor], list[Tensor], Any], None]:
    """Return the function that makes the means of one more of each parameter, in place."""

    @no_grad()
    def swa_update(averages: list[Tensor], currents: list[Tensor], num_averaged: Any) -> None:
        for average, current in zip(averages, currents, strict=True):
            average.copy_(average + (current - average) / (num_averaged + 1))

    return swa_update


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


class AveragedModel(Module):
    """A copy of a model whose parameters are the average of those seen (Izmailov et al., arXiv 1803.05407).

    Parameters
    ----------
    model : Module
        The model; it is copied.
    device : optional
        Only the CPU.
    avg_fn : callable, optional
        ``avg_fn(average, parameter, n)`` returns the next average; by default all seen weigh the same.
    multi_avg_fn : callable, optional
        ``multi_avg_fn(averages, parameters, n)`` makes all averages in place, in place of `avg_fn`.
    use_buffers : bool
        Whether buffers are averaged; else they are copied.

    Examples
    --------
    >>> import chainrule as cr
    >>> net = cr.nn.Linear(1, 1)
    >>> average = cr.optim.swa_utils.AveragedModel(net)
    >>> for value in (1.0, 3.0):
    ...     _ = net.weight.detach().fill_(value)
    ...     average.update_parameters(net)
    >>> average.module.weight.item()
    2.0
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Callable[..., Any] | None = None,
        multi_avg_fn: Callable[..., Any] | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the averaged model returns."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the parameters of a model into the average."""
        ours, theirs = self._averaged(self.module), self._averaged(model)
        n = self.n_averaged
        with no_grad():
            if n.item() == 0:
                for average, current in zip(ours, theirs, strict=True):
                    average.copy_(current)
            elif self.avg_fn is not None:
                for average, current in zip(ours, theirs, strict=True):
                    average.copy_(self.avg_fn(average, current, n))
            else:
                (self.multi_avg_fn or get_swa_multi_avg_fn())(ours, theirs, n)
            if not self.use_buffers:
                for kept, current in zip(self.module.buffers(), model.buffers(), strict=True):
                    kept.copy_(current)
            n += 1

    def _averaged(self, model: Module) -> list[Tensor]:
        chosen = chain(model.parameters(), model.buffers()) if self.use_buffers else model.parameters()
        return [t.detach() for t in chosen]


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Compute a model's running means and variances anew, by one pass over data.

    Parameters
    ----------
    loader : iterable
        Batches, or lists and tuples that begin with them.
    model : Module
        The model; its batch normalisation is in training meanwhile.
    device : optional
        Where batches are moved to: only the CPU.
    """
    momenta = {module: module.momentum for module in model.modules() if isinstance(module, _BatchNorm)}
    if not momenta:
        return
    for module in momenta:
        module.reset_running_stats()
    was_training = model.training
    model.train()
    for module in momenta:
        module.momentum = None  # the mean over all batches
    for batch in loader:
        given = batch[0] if isinstance(batch, (list, tuple)) else batch
        model(given if device is None else given.to(device))
    for module, momentum in momenta.items():
        module.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """From the rates of another schedule to fixed ones, in `anneal_epochs`.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    swa_lr : float or list of float
        The rates at the end, one for all groups or one for each.
    anneal_epochs : int
        As above.
    anneal_strategy : str
        ``"cos"`` or ``"linear"``.
    last_epoch : int
        The epoch before.

    Examples
    --------
    >>> import chainrule as cr
    >>> opt = cr.optim.SGD([cr.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = cr.optim.swa_utils.SWALR(opt, swa_lr=0.5, anneal_epochs=2, anneal_strategy="linear")
    >>> opt.step()
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.75]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        for group, lr in zip(optimizer.param_groups, each("swa_lr", optimizer, swa_lr), strict=True):
            group["swa_lr"] = lr
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self._anneal_strategy, self.anneal_epochs = anneal_strategy, anneal_epochs
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the groups' rates, from those of the epoch before."""
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for group in self.optimizer.param_groups:
            lr, end = number(group["lr"]), group["swa_lr"]
            start = end if before == 1 else (lr - before * end) / (1 - before)
            rates.append(end * now + start * (1 - now))
        return rates

    def _share(self, step: int) -> float:
        """Return how much of the way is done."""
        done = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * done)) / 2 if self._anneal_strategy == "cos" else done
