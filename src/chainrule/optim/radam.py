"""RAdam."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.tensor.tensor import Tensor
from chainrule.optim.elementwise import Elementwise, Rule, count, like, option, scalar
from chainrule.optim.options import check_at_least_zero, check_betas, check_eps, check_implementation, check_lr, check_numbers

__all__ = ["RAdam"]


class RAdam(Elementwise):
    """RAdam (Liu et al., arXiv 1908.03265): Adam whose scale waits until the variance of the squares' mean is bounded.

    With ``m`` and ``v`` as in :class:`Adam`, ``c1 = 1 - beta1**t``, ``c2 = 1 - beta2**t``, ``r_max = 2 / (1 - beta2) - 1`` and
    ``r = r_max - 2 * t * beta2**t / c2``: ``p -= lr * m / c1`` while r is at most 5, then that times
    ``sqrt((r - 4) * (r - 2) * r_max / ((r_max - 4) * (r_max - 2) * r)) * sqrt(c2) / (sqrt(v) + eps)``.

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
    decoupled_weight_decay : bool
        Shrink the parameter by ``1 - lr * weight_decay`` instead of changing the gradient.
    foreach, capturable, differentiable : bool, optional
        See :class:`Optimizer`.
    maximize : bool
        Climb instead of descend.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = cr.optim.RAdam([x], lr=0.1)
    >>> (x * x).sum().backward()
    >>> opt.step()
    >>> x.detach()
    tensor([0.8000, 1.6000])
    """

    _shaped = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_numbers("RAdam", lr=lr, eps=eps, weight_decay=weight_decay)
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
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "decoupled_weight_decay": decoupled_weight_decay,
                "differentiable": differentiable,
            },
        )

    def _rule(self, p: Tensor, group: dict[str, Any]) -> tuple[Rule, tuple[str, ...]]:
        state = self.state[p]
        if not state:
            state.update(step=scalar(), **{name: like(p) for name in self._shaped})
        t, (beta1, beta2) = count(state), option(group, "betas")
        c1, c2, longest = 1 - beta1**t, 1 - beta2**t, 2 / (1 - beta2) - 1
        length = longest - 2 * t * beta2**t / c2
        size, eps = option(group, "lr") / c1, option(group, "eps")
        if is_bounded := length > 5:
            growth = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
            size = size * (growth * c2) ** 0.5

        def rule(x: Any, g: Any, m: Any, v: Any) -> Any:
            m += (g - m) * (1 - beta1)
            v *= beta2
            v += g * g * (1 - beta2)
            return m / (np.sqrt(v) + eps) * size if is_bounded else m * size

        return rule, self._shaped
