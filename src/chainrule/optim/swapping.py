"""An optimizer that for a while is of other parameters, and of another state."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from chainrule.core.tensor.tensor import Tensor
from chainrule.optim.optimizer import Optimizer

__all__ = ["swap_in_optimizer_params_and_state"]


@contextmanager
def swap_in_optimizer_params_and_state(
    optimizer: Optimizer, swapin_parameters: dict[str, Tensor], swapin_optim_state: dict[str, Any]
) -> Iterator[None]:
    """Have an optimizer step other parameters, by another state, within a block; a context manager.

    Parameters
    ----------
    optimizer : Optimizer
        One that has taken a step.
    swapin_parameters : dict
        The parameters, in the order of the optimizer's own.
    swapin_optim_state : dict
        Of the form of `Optimizer.state_dict`. Tensors in it are written in place; what else the block changes is forgotten.

    Raises
    ------
    RuntimeError
        If the optimizer has no state yet, or what is given does not fit it.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.optim import swap_in_optimizer_params_and_state
    >>> x, y = cr.ones(2, requires_grad=True), cr.zeros(2, requires_grad=True)
    >>> x.grad = y.grad = cr.ones(2)
    >>> optimizer = cr.optim.SGD([x], lr=0.5, momentum=0.9)
    >>> optimizer.step()
    >>> with swap_in_optimizer_params_and_state(optimizer, {"y": y}, optimizer.state_dict()):
    ...     optimizer.step()
    >>> x, y
    (tensor([0.5000, 0.5000], requires_grad=True), tensor([-0.9500, -0.9500], requires_grad=True))
    """
    groups, state = _checked(optimizer, swapin_parameters, swapin_optim_state)
    own_groups, own_state = [dict(group) for group in optimizer.param_groups], optimizer.state
    swapped: defaultdict[Tensor, Any] = defaultdict(dict)
    left = iter(swapin_parameters.values())
    try:
        for group, given in zip(optimizer.param_groups, groups, strict=True):
            parameters = [next(left) for _ in given["params"]]
            group.update(given, params=parameters)
            swapped.update({p: dict(state.get(n, {})) for p, n in zip(parameters, given["params"], strict=True)})
        optimizer.state = swapped
        yield
    finally:
        for group, own in zip(optimizer.param_groups, own_groups, strict=True):
            group.clear()
            group.update(own)
        optimizer.state = own_state


def _checked(optimizer: Optimizer, parameters: dict[str, Tensor], given: Any) -> tuple[list[dict], dict]:
    """Return the groups and the states of parameters in what is given, if they fit the optimizer."""
    name = "swap_in_optimizer_params_and_state requires"
    if not optimizer.state:
        raise RuntimeError(f"{name} initialized optimizer state.")
    if not isinstance(given, dict):
        raise RuntimeError(f"{name} a DCP-style optimizer state_dict.")
    state, groups = given.get("state"), given.get("param_groups")
    if not isinstance(state, dict):
        raise RuntimeError(
            f"{name} swapin_optim_state['state'] to be a dict mapping packed parameter ids to per-param state dicts, got "
            f"{type(state).__name__}."
        )
    if not isinstance(groups, list):
        raise RuntimeError(f"{name} swapin_optim_state['param_groups'] to be a list, got {type(groups).__name__}.")
    if len(groups) != len(optimizer.param_groups):
        raise RuntimeError("swapin_optim_state has a different number of parameter groups than the live optimizer.")
    for i, (own, group) in enumerate(zip(optimizer.param_groups, groups, strict=True)):
        numbers = group.get("params") if isinstance(group, dict) else None
        if not isinstance(numbers, list) or not all(isinstance(n, int) for n in numbers):
            raise RuntimeError(f"{name} each param group to be a dictionary with a list of packed parameter ids.")
        if len(own["params"]) != len(numbers):
            raise RuntimeError(
                f"swapin_optim_state param group {i} has a different number of params than the live optimizer param group."
            )
        if own.keys() != group.keys():
            raise RuntimeError(
                f"{name} optimizer.state_dict()-style param group keys to exactly match the live optimizer group keys for "
                f"group {i}. Keys only in one: {sorted(own.keys() ^ group.keys())}."
            )
    numbers = [n for group in groups for n in group["params"]]
    if len(numbers) != len(parameters) or state.keys() - set(numbers):
        raise RuntimeError(f"{name} the explicit parameter state to match optimizer.param_groups ordering.")
    return groups, state
