"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from typing import Any

from chainrule.core.tensor.tensor import Tensor
from chainrule.optim.elementwise import Elementwise, Rule, like, option
from chainrule.optim.options import check_implementation, check_lr, check_numbers

__all__ = ["SGD"]


class SGD(Elementwise):
    """Stochastic gradient descent: ``p -= lr * d``.

    With ``d = grad + weight_decay * p`` and momentum, the buffer ``b = momentum * b + (1 - dampening) * d`` (at first
    ``b = d``) takes the place of d; by Nesterov's method ``d + momentum * b`` does (Sutskever et al., ICML 2013).

    Parameters
    ----------
    params : iterable
        Parameters, named parameters, or groups.
    lr : float or Tensor
        The learning rate.
    momentum, dampening, weight_decay : float
        As above.
    nesterov : bool
        Nesterov's momentum.
    maximize : bool
        Climb instead of descend.
    foreach, differentiable, fused : bool, optional
        See :class:`Optimizer`.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = cr.optim.SGD([x], lr=0.1)
    >>> (x * x).sum().backward()
    >>> opt.step()
    >>> x.detach()
    tensor([0.8000, 1.6000])
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_numbers("SGD", lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay)
        check_lr(lr)
        if momentum < 0:
            raise ValueError(f"Invalid momentum value: {momentum}")
        if weight_decay < 0:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        check_implementation(foreach, fused, differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
                "foreach": foreach,
                "differentiable": differentiable,
                "fused": fused,
            },
        )

    _shaped = ("momentum_buffer",)

    def _rule(self, p: Tensor, group: dict[str, Any]) -> tuple[Rule, tuple[str, ...]]:
        lr, momentum, nesterov = option(group, "lr"), option(group, "momentum"), group["nesterov"]
        if not momentum:
            return lambda x, d: d * lr, ()
        state, share = self.state[p], 1 - group["dampening"]
        if state.get("momentum_buffer") is None:
            state["momentum_buffer"], share = like(p, -0.0), 1  # to which d adds as it is, the sign of a zero included

        is_whole = share == 1

        def rule(x: Any, d: Any, b: Any) -> Any:
            b *= momentum
            b += d if is_whole else d * share
            return (b * momentum + d if nesterov else b) * lr

        return rule, self._shaped
