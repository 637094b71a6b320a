"""Adam and its kin: descent along running means of the gradient, scaled by those of its square."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.tensor.tensor import Tensor
from chainrule.optim.elementwise import Elementwise, Rule, count, like, option, scalar
from chainrule.optim.options import check_at_least_zero, check_betas, check_eps, check_implementation, check_lr, check_numbers

__all__ = ["Adam", "AdamW"]


class Adam(Elementwise):
    """Adam (Kingma & Ba, arXiv 1412.6980): descent along running means of the gradient, scaled by those of its square.

    At step t, with ``g = grad + weight_decay * p``: ``m = beta1 * m + (1 - beta1) * g``,
    ``v = beta2 * v + (1 - beta2) * g²``, ``p -= lr * m / (1 - beta1**t) / (sqrt(v / (1 - beta2**t)) + eps)``.

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
        As above.
    amsgrad : bool
        Take the largest v so far (Reddi et al., ICLR 2018).
    maximize : bool
        Climb instead of descend.
    foreach, capturable, differentiable, fused : bool, optional
        See :class:`Optimizer`.
    decoupled_weight_decay : bool
        Shrink the parameter by ``1 - lr * weight_decay`` instead of changing g: `AdamW`.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = cr.optim.Adam([x], lr=0.1)
    >>> (x * x).sum().backward()
    >>> opt.step()
    >>> x.detach()
    tensor([0.9000, 1.9000])
    """

    _shaped = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[Any, Any] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_numbers(type(self).__name__, lr=lr, eps=eps, weight_decay=weight_decay)
        check_lr(lr)
        check_eps(eps)
        check_betas(type(self).__name__, betas)
        check_at_least_zero(weight_decay=weight_decay)
        if not all(isinstance(b, float) for b in betas) and not all(isinstance(b, Tensor) for b in betas):
            raise ValueError("betas must be either both floats or both Tensors")
        check_implementation(foreach, fused, differentiable, capturable)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": tuple(betas),
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
                "fused": fused,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )

    def _rule(self, p: Tensor, group: dict[str, Any]) -> tuple[Rule, tuple[str, ...]]:
        state = self.state[p]
        names = self._shaped if group["amsgrad"] else self._shaped[:2]
        if not state:
            state.update(step=scalar(), **{name: like(p) for name in names})
        t, (beta1, beta2) = count(state), option(group, "betas")
        # The correction c of v is moved out of the root: lr·(m/c1) / (sqrt(v)/c + eps) = size·m / (sqrt(v) + eps·c).
        c = (1 - beta2**t) ** 0.5
        size, eps = option(group, "lr") / (1 - beta1**t) * c, option(group, "eps") * c

        def rule(x: Any, g: Any, m: Any, v: Any, *largest: Any) -> Any:
            d = g - m
            d *= 1 - beta1
            m += d
            v *= beta2
            d = g * g
            d *= 1 - beta2
            v += d
            for w in largest:
                w[...] = v = np.where(w > v, w, v)  # which needs neither for its derivative, as w is written to
            return m / (np.sqrt(v) + eps) * size

        return rule, names


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter, arXiv 1711.05101): see :class:`Adam`.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([1.0], requires_grad=True)
    >>> opt = cr.optim.AdamW([x], lr=0.1, weight_decay=0.5)
    >>> (x * x).sum().backward()
    >>> opt.step()
    >>> x.detach()
    tensor([0.8500])
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[Any, Any] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True
