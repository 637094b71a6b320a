"""Adadelta."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.tensor.tensor import Tensor
from chainrule.optim.elementwise import Elementwise, Rule, count, like, option, scalar
from chainrule.optim.options import check_at_least_zero, check_eps, check_implementation, check_lr, check_numbers

__all__ = ["Adadelta"]


class Adadelta(Elementwise):
    """Adadelta (Zeiler, arXiv 1212.5701): steps as large, on the average, as those before them.

    With ``g = grad + weight_decay * p``: ``v = rho * v + (1 - rho) * g²``, ``d = sqrt(u + eps) / sqrt(v + eps) * g``,
    ``u = rho * u + (1 - rho) * d²``, ``p -= lr * d``.

    Parameters
    ----------
    params : iterable
        Parameters, named parameters, or groups.
    lr : float or Tensor
        Scales the steps.
    rho : float
        How much of the running means each step keeps.
    eps : float
        As above.
    weight_decay : float
        As above.
    maximize : bool
        Climb instead of descend.
    foreach, capturable, differentiable : bool, optional
        See :class:`Optimizer`.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = cr.optim.Adadelta([x], lr=100.0)
    >>> (x * x).sum().backward()
    >>> opt.step()
    >>> x.detach()
    tensor([0.6838, 1.6838])
    """

    _shaped = ("square_avg", "acc_delta")

    def __init__(
        self,
        params: Any,
        lr: Any = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_numbers("Adadelta", lr=lr, rho=rho, eps=eps, weight_decay=weight_decay)
        check_lr(lr)
        if not 0 <= rho <= 1:
            raise ValueError(f"Invalid rho value: {rho}")
        check_eps(eps)
        check_at_least_zero(weight_decay=weight_decay)
        check_implementation(foreach, None, differentiable, capturable)
        super().__init__(
            params,
            {
                "lr": lr,
                "rho": rho,
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
                "capturable": capturable,
                "foreach": foreach,
                "differentiable": differentiable,
            },
        )

    def _rule(self, p: Tensor, group: dict[str, Any]) -> tuple[Rule, tuple[str, ...]]:
        state = self.state[p]
        if not state:
            state.update(step=scalar(), **{name: like(p) for name in self._shaped})
        count(state)
        lr, rho, eps = option(group, "lr"), option(group, "rho"), option(group, "eps")

        def rule(x: Any, g: Any, v: Any, u: Any) -> Any:
            v *= rho
            v += g * g * (1 - rho)
            d = np.sqrt(u + eps) / np.sqrt(v + eps) * g
            u *= rho
            u += d * d * (1 - rho)
            return d * lr

        return rule, self._shaped
