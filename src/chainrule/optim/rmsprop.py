"""RMSprop."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.tensor.tensor import Tensor
from chainrule.optim.elementwise import Elementwise, Rule, count, like, option, scalar
from chainrule.optim.options import check_at_least_zero, check_eps, check_implementation, check_lr, check_numbers

__all__ = ["RMSprop"]


class RMSprop(Elementwise):
    """RMSprop (Hinton, lecture 6e of Neural Networks for Machine Learning, 2012): descent scaled by a running mean's root.

    With ``g = grad + weight_decay * p``: ``v = alpha * v + (1 - alpha) * g²`` and ``d = g / (sqrt(v) + eps)``, or, if
    `centered`, with the running mean's square subtracted from v (Graves, arXiv 1308.0850); ``p -= lr * d``, or, with momentum,
    ``b = momentum * b + d``, ``p -= lr * b``.

    Parameters
    ----------
    params : iterable
        Parameters, named parameters, or groups.
    lr : float or Tensor
        The learning rate.
    alpha : float
        How much of the running means each step keeps.
    eps : float
        Added to the denominator.
    weight_decay, momentum : float
        As above.
    centered : bool
        As above.
    capturable, foreach, differentiable : bool, optional
        See :class:`Optimizer`.
    maximize : bool
        Climb instead of descend.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = cr.optim.RMSprop([x], lr=0.01)
    >>> (x * x).sum().backward()
    >>> opt.step()
    >>> x.detach()
    tensor([0.9000, 1.9000])
    """

    _shaped = ("square_avg", "momentum_buffer", "grad_avg")

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_numbers("RMSprop", lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum)
        check_lr(lr)
        check_eps(eps)
        check_at_least_zero(momentum=momentum, weight_decay=weight_decay, alpha=alpha)
        check_implementation(foreach, None, differentiable, capturable)
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "alpha": alpha,
                "eps": eps,
                "centered": centered,
                "weight_decay": weight_decay,
                "capturable": capturable,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
            },
        )

    def _rule(self, p: Tensor, group: dict[str, Any]) -> tuple[Rule, tuple[str, ...]]:
        state = self.state[p]
        momentum, is_centered = option(group, "momentum"), group["centered"]
        has_momentum = momentum > 0
        names = ("square_avg", *["momentum_buffer"] * has_momentum, *["grad_avg"] * is_centered)
        if not state:
            state.update(step=scalar(), **{name: like(p) for name in names})
        count(state)
        lr, alpha, eps = option(group, "lr"), option(group, "alpha"), option(group, "eps")

        def rule(x: Any, g: Any, v: Any, *others: Any) -> Any:
            v *= alpha
            v += g * g * (1 - alpha)
            if is_centered:
                mean = others[-1]
                mean += (g - mean) * (1 - alpha)
                d = g / (np.sqrt(v - mean * mean) + eps)
            else:
                d = g / (np.sqrt(v) + eps)
            if has_momentum:
                b = others[0]
                b *= momentum
                b += d
                d = b
            return d * lr

        return rule, names
