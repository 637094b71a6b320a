"""Adam and AdamW."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import array_of
from chainrule.optim.optimizer import (
    Optimizer,
    Scratch,
    blocks,
    check_lr,
    check_numbers,
    flat,
    number,
    refuse,
    written,
    zero_step,
    zeros_for,
)

_MOMENTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")


class Adam(Optimizer):
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
        Only PyTorch's defaults: there is one implementation.
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
        if not hasattr(betas, "__getitem__") or isinstance(betas, str):
            raise TypeError(f"{type(self).__name__}: betas must be two numbers, not {type(betas).__name__} ({betas!r})")
        check_lr(lr)
        if not eps >= 0:
            raise ValueError(f"Invalid epsilon value: {eps}")
        for i in (0, 1):
            if not 0 <= number(betas[i]) < 1:
                raise ValueError(f"Invalid beta parameter at index {i}: {betas[i]}")
        if not weight_decay >= 0:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        if not all(isinstance(b, float) for b in betas) and not all(isinstance(b, Tensor) for b in betas):
            raise ValueError("betas must be either both floats or both Tensors")
        refuse(foreach=foreach, capturable=capturable, differentiable=differentiable, fused=fused)
        self._scratch = Scratch(2)
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

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._scratch = Scratch(2)

    _shaped = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")

    def _update(self, group: dict[str, Any]) -> None:
        lr, eps, decay = number(group["lr"]), group["eps"], number(group["weight_decay"])
        beta1, beta2 = map(number, group["betas"])
        names = _MOMENTS if group["amsgrad"] else _MOMENTS[:2]
        for p in group["params"]:
            if p.grad is None:
                continue
            state = self.state[p]
            if not state:
                state["step"] = zero_step()
                state.update({name: zeros_for(p) for name in names})
            count = array_of(state["step"])
            count += 1
            t = count.item()
            # The correction c of v is moved out of the root: lr·(m/c1) / (sqrt(v)/c + eps) = size·m / (sqrt(v) + eps·c).
            c = (1 - beta2**t) ** 0.5
            size = lr / (1 - beta1**t) * c
            x = flat(p)
            vectors = [x, flat(p.grad), *(flat(state[name]) for name in names)]
            shrink = 1 - lr * decay if decay and group["decoupled_weight_decay"] else None
            l2 = 0 if shrink is not None else decay
            for x_, g, m, v, *largest, s, s2 in blocks(vectors, self._scratch(x.dtype, x.size)):
                if shrink is not None:
                    np.multiply(x_, shrink, out=x_)
                if l2:
                    np.multiply(x_, l2, out=s2)
                    g = np.subtract(s2, g, out=s2) if group["maximize"] else np.add(s2, g, out=s2)
                elif group["maximize"]:
                    g = np.negative(g, out=s2)
                np.subtract(g, m, out=s)
                np.multiply(s, 1 - beta1, out=s)
                np.add(m, s, out=m)
                np.multiply(v, beta2, out=v)
                np.multiply(g, g, out=s)
                np.multiply(s, 1 - beta2, out=s)
                np.add(v, s, out=v)
                np.sqrt(np.maximum(largest[0], v, out=largest[0]) if largest else v, out=s)
                np.add(s, eps * c, out=s)
                np.divide(m, s, out=s)
                np.multiply(s, -size, out=s)
                np.add(x_, s, out=x_)
            written(p, x)


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
