"""Adagrad."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.tensor.tensor import Tensor
from chainrule.optim.elementwise import Elementwise, Rule, count, like, option, scalar
from chainrule.optim.options import check_at_least_zero, check_eps, check_implementation, check_lr, check_numbers

__all__ = ["Adagrad"]


class Adagrad(Elementwise):
    """Adagrad (Duchi et al., JMLR 12, 2011): descent along the gradient, scaled by the root of the sum of its squares.

    At step t, with ``g = grad + weight_decay * p``: ``s += g²``, ``p -= lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)``.

    Parameters
    ----------
    params : iterable
        Parameters, named parameters, or groups.
    lr : float or Tensor
        The learning rate.
    lr_decay : float
        As above.
    weight_decay : float
        As above.
    initial_accumulator_value : float
        What s is at first.
    eps : float
        Added to the denominator.
    maximize : bool
        Climb instead of descend.
    foreach, differentiable, fused : bool, optional
        See :class:`Optimizer`.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = cr.optim.Adagrad([x], lr=0.1)
    >>> (x * x).sum().backward()
    >>> opt.step()
    >>> x.detach()
    tensor([0.9000, 1.9000])
    """

    _shaped = ("sum",)

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_numbers("Adagrad", lr=lr, lr_decay=lr_decay, weight_decay=weight_decay, eps=eps)
        check_lr(lr)
        check_at_least_zero(lr_decay=lr_decay, weight_decay=weight_decay, initial_accumulator_value=initial_accumulator_value)
        check_eps(eps)
        check_implementation(foreach, fused, differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "fused": fused,
            },
        )

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, with sums for each, as PyTorch has them before the first step."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        for p in group["params"]:
            self._start(p, group)

    def share_memory(self) -> None:
        """Raise: chainrule's tensors are not shared between processes."""
        raise NotImplementedError("Adagrad.share_memory: chainrule's tensors are not shared between processes")

    def _start(self, p: Tensor, group: dict[str, Any]) -> None:
        self.state[p].update(step=scalar(), sum=like(p, group["initial_accumulator_value"]))

    def _rule(self, p: Tensor, group: dict[str, Any]) -> tuple[Rule, tuple[str, ...]]:
        state = self.state[p]
        if not state:
            self._start(p, group)
        lr, eps = option(group, "lr") / (1 + (count(state) - 1) * option(group, "lr_decay")), option(group, "eps")

        def rule(x: Any, g: Any, s: Any) -> Any:
            s += g * g
            return g / (np.sqrt(s) + eps) * lr

        return rule, self._shaped
