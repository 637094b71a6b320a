"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.tensor.tensor import wrap
from chainrule.optim.optimizer import (
    Optimizer,
    Scratch,
    array_of,
    blocks,
    check_lr,
    check_numbers,
    flat,
    number,
    refuse,
    written,
)


class SGD(Optimizer):
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
        Only PyTorch's defaults: there is one implementation.

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
        check_numbers(type(self).__name__, lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay)
        check_lr(lr)
        if momentum < 0:
            raise ValueError(f"Invalid momentum value: {momentum}")
        if weight_decay < 0:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        refuse(foreach=foreach, differentiable=differentiable, fused=fused)
        self._scratch = Scratch(2)
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

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._scratch = Scratch(2)

    _shaped = ("momentum_buffer",)

    def _update(self, group: dict[str, Any]) -> None:
        lr, decay = number(group["lr"]), number(group["weight_decay"])
        momentum, nesterov = group["momentum"], group["nesterov"]
        maximize, share = group["maximize"], 1 - group["dampening"]
        for p in group["params"]:
            grad = p.grad
            if grad is None:
                continue
            x, g = flat(p), flat(grad)
            vectors, is_first = [x, g], False
            if momentum:
                state = self.state[p]
                buffer: Any = state.get("momentum_buffer")
                is_first = buffer is None
                if is_first:
                    buffer = state["momentum_buffer"] = wrap(np.empty(array_of(p).shape, p.dtype.numpy))
                vectors.append(flat(buffer))
            for x_, d, *b, s, t in blocks(vectors, self._scratch(x.dtype, x.size)):
                if decay:
                    np.multiply(x_, decay, out=s)
                    d = np.subtract(s, d, out=s) if maximize else np.add(s, d, out=s)
                elif maximize:
                    d = np.negative(d, out=s)
                if momentum:
                    d = _with_momentum(d, b[0], momentum, share, nesterov, is_first, t)
                np.multiply(d, -lr, out=t)
                np.add(x_, t, out=x_)
            written(p, x)


def _with_momentum(
    d: np.ndarray, b: np.ndarray, momentum: float, share: float, nesterov: bool, is_first: bool, t: np.ndarray
) -> np.ndarray:
    """Return the direction of descent, having put `d` into the momentum buffer; `t` is scratch."""
    if is_first:
        b[...] = d
    else:
        np.multiply(b, momentum, out=b)
        np.add(b, d if share == 1 else np.multiply(d, share, out=t), out=b)
    if not nesterov:
        return b
    np.multiply(b, momentum, out=t)
    return np.add(d, t, out=t)
