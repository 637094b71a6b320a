"""Adamax."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.tensor.tensor import Tensor
from chainrule.optim.elementwise import Elementwise, Rule, count, like, option, scalar
from chainrule.optim.options import check_at_least_zero, check_betas, check_eps, check_implementation, check_lr, check_numbers

__all__ = ["Adamax"]


class Adamax(Elementwise):
    """Adamax (Kingma & Ba, arXiv 1412.6980, section 7.1): Adam with a decaying maximum in place of the running mean of squares.

    At step t, with ``g = grad + weight_decay * p``: ``m = beta1 * m + (1 - beta1) * g``, ``u = max(beta2 * u, |g| + eps)``,
    ``p -= lr / (1 - beta1**t) * m / u``.

    Parameters
    ----------
    params : iterable
        Parameters, named parameters, or groups.
    lr : float or Tensor
        The learning rate.
    betas : pair of float
        How much of m and u each step keeps.
    eps : float
        As above.
    weight_decay : float
        As above.
    maximize : bool
        Climb instead of descend.
    foreach, differentiable, capturable : bool, optional
        See :class:`Optimizer`.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = cr.optim.Adamax([x], lr=0.1)
    >>> (x * x).sum().backward()
    >>> opt.step()
    >>> x.detach()
    tensor([0.9000, 1.9000])
    """

    _shaped = ("exp_avg", "exp_inf")

    def __init__(
        self,
        params: Any,
        lr: Any = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_numbers("Adamax", lr=lr, eps=eps, weight_decay=weight_decay)
        check_lr(lr)
        check_eps(eps)
        check_betas(type(self).__name__, betas)
        check_at_least_zero(weight_decay=weight_decay)
        check_implementation(foreach, None, differentiable, capturable)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def _rule(self, p: Tensor, group: dict[str, Any]) -> tuple[Rule, tuple[str, ...]]:
        state = self.state[p]
        if not state:
            state.update(step=scalar(), **{name: like(p) for name in self._shaped})
        t, (beta1, beta2) = count(state), option(group, "betas")
        size, eps = option(group, "lr") / (1 - beta1**t), option(group, "eps")

        def rule(x: Any, g: Any, m: Any, u: Any) -> Any:
            m += (g - m) * (1 - beta1)
            u[...] = largest = np.maximum(u * beta2, np.abs(g) + eps)
            return m / largest * size

        return rule, self._shaped
