"""NAdam."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.tensor.tensor import Tensor
from chainrule.optim.elementwise import Elementwise, Rule, count, kept, like, option, scalar, scale
from chainrule.optim.options import check_at_least_zero, check_betas, check_eps, check_implementation, check_lr, check_numbers

__all__ = ["NAdam"]


class NAdam(Elementwise):
    """NAdam (Dozat, ICLR 2016 workshop): Adam with Nesterov's momentum.

    At step t, with ``g``, ``m`` and ``v`` as in :class:`Adam` and ``mu_t = beta1 * (1 - 0.96**(t * momentum_decay) / 2)``:
    ``n = (1 - mu_t) / (1 - prod(mu[:t])) * g + mu_(t+1) / (1 - prod(mu[:t+1])) * m``,
    ``p -= lr * n / (sqrt(v / (1 - beta2**t)) + eps)``.

    Parameters
    ----------
    params : iterable
        Parameters, named parameters, or groups.
    lr : float or Tensor
        The learning rate.
    betas : pair of float
        How much of the running means each step keeps.
    eps : float
        Added to the denominator.
    weight_decay : float
        As in :class:`Adam`.
    momentum_decay : float
        As above.
    decoupled_weight_decay : bool
        Shrink the parameter by ``1 - lr * weight_decay`` instead of changing g.
    foreach, capturable, differentiable : bool, optional
        See :class:`Optimizer`.
    maximize : bool
        Climb instead of descend.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = cr.optim.NAdam([x], lr=0.1)
    >>> (x * x).sum().backward()
    >>> opt.step()
    >>> x.detach()
    tensor([0.8944, 1.8944])
    """

    _shaped = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Any,
        lr: Any = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_numbers("NAdam", lr=lr, eps=eps, weight_decay=weight_decay, momentum_decay=momentum_decay)
        check_lr(lr)
        check_eps(eps)
        check_betas(type(self).__name__, betas)
        check_at_least_zero(weight_decay=weight_decay, momentum_decay=momentum_decay)
        check_implementation(foreach, None, differentiable, capturable)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
            },
        )

    def _rule(self, p: Tensor, group: dict[str, Any]) -> tuple[Rule, tuple[str, ...]]:
        state = self.state[p]
        if not state:
            state.update(step=scalar(), mu_product=scalar(1), **{name: like(p) for name in self._shaped})
        t, (beta1, beta2) = count(state), option(group, "betas")
        mu, coming = (beta1 * (1 - 0.96 ** (s * option(group, "momentum_decay")) / 2) for s in (t, t + 1))
        scale(state, "mu_product", mu)
        product = kept(state, "mu_product")
        lr, eps, c = option(group, "lr"), option(group, "eps"), 1 - beta2**t
        of_g, of_m = lr * (1 - mu) / (1 - product), lr * coming / (1 - product * coming)

        def rule(x: Any, g: Any, m: Any, v: Any) -> Any:
            m += (g - m) * (1 - beta1)
            v *= beta2
            v += g * g * (1 - beta2)
            return (g * of_g + m * of_m) / (np.sqrt(v / c) + eps)

        return rule, self._shaped
