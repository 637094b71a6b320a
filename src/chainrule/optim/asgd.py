"""Averaged stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from chainrule.core.tensor.tensor import Tensor
from chainrule.optim.elementwise import Elementwise, Rule, count, keep, kept, like, option, scalar
from chainrule.optim.options import check_at_least_zero, check_implementation, check_lr, check_numbers, number

__all__ = ["ASGD"]


class ASGD(Elementwise):
    """Averaged stochastic gradient descent (Polyak & Juditsky, SIAM J. Control Optim. 30, 1992).

    At step t, with ``g = grad + weight_decay * p``: ``p = p * (1 - lambd * eta) - eta * g``, where
    ``eta = lr / (1 + lambd * lr * t)**alpha``; the state's ``"ax"`` is the mean of p since step t0.

    Parameters
    ----------
    params : iterable
        Parameters, named parameters, or groups.
    lr : float or Tensor
        The learning rate.
    lambd, alpha : float
        As above.
    t0 : float
        Where the mean begins.
    weight_decay : float
        As above.
    foreach, differentiable, capturable : bool, optional
        See :class:`Optimizer`.
    maximize : bool
        Climb instead of descend.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = cr.optim.ASGD([x], lr=0.1)
    >>> (x * x).sum().backward()
    >>> opt.step()
    >>> opt.state[x]["ax"]
    tensor([0.8000, 1.6000])
    """

    _shaped = ("ax",)

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_numbers("ASGD", lr=lr, lambd=lambd, alpha=alpha, t0=t0, weight_decay=weight_decay)
        check_lr(lr)
        check_at_least_zero(weight_decay=weight_decay)
        check_implementation(foreach, None, differentiable, capturable)
        super().__init__(
            params,
            {
                "lr": lr,
                "lambd": lambd,
                "alpha": alpha,
                "t0": t0,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def _rule(self, p: Tensor, group: dict[str, Any]) -> tuple[Rule, tuple[str, ...]]:
        state = self.state[p]
        lr = option(group, "lr")
        if not state:
            state.update(step=scalar(), eta=scalar(number(lr)), mu=scalar(1), ax=like(p))
        t, lambd = count(state), group["lambd"]
        eta, share = kept(state, "eta"), kept(state, "mu")
        keep(state, "eta", lr / (1 + lambd * lr * t) ** group["alpha"])
        keep(state, "mu", 1 / max(1, t - group["t0"]))

        def rule(x: Any, g: Any, mean: Any) -> Any:
            change = x * (lambd * eta) + g * eta
            mean += (x - change - mean) * share
            return change

        return rule, self._shaped
