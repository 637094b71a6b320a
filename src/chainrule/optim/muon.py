"""Muon: momentum, made orthogonal."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.core.mode.grad_mode import modes
from chainrule.core.tensor.tensor import Tensor
from chainrule.optim.elementwise import flat, largest, like, option, written
from chainrule.optim.optimizer import Optimizer
from chainrule.optim.options import check_lr, check_numbers, number

__all__ = ["Muon"]


class Muon(Optimizer):
    """Muon (Jordan et al., 2024; Liu et al., arXiv 2502.16982): steps of matrices along the momentum's orthogonal factor.

    ``b = momentum * b + (1 - momentum) * grad``; by Nesterov's method ``momentum * b + (1 - momentum) * grad`` takes its place;
    `ns_steps` of Newton and Schulz's iteration send its singular values near 1; ``p = p * (1 - lr * weight_decay) - size * b``.

    Parameters
    ----------
    params : iterable
        Matrices.
    lr : float
        The learning rate.
    weight_decay, momentum : float
        As above.
    nesterov : bool
        As above.
    ns_coefficients : three floats
        Those of the iteration ``X = a * X + b * X Xᵀ X + c * (X Xᵀ)² X``.
    eps : float
        The least norm that the matrix is divided by before the iteration.
    ns_steps : int
        Iterations, below 100.
    adjust_lr_fn : str, optional
        ``"original"`` (the default): ``size = lr * sqrt(max(1, rows / columns))``; ``"match_rms_adamw"``:
        ``size = 0.2 * lr * sqrt(max(rows, columns))``.

    Notes
    -----
    PyTorch iterates in bfloat16, this in the parameter's dtype (float32 at least), so results differ by bfloat16's rounding.

    Examples
    --------
    >>> import chainrule as cr
    >>> W = cr.eye(2).requires_grad_()
    >>> opt = cr.optim.Muon([W], lr=0.1, weight_decay=0.0)
    >>> (W * W).sum().backward()
    >>> opt.step()
    >>> bool((W.diagonal() < 1).all())
    True
    """

    _shaped = ("momentum_buffer",)

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        check_numbers("Muon", lr=lr, weight_decay=weight_decay, momentum=momentum, eps=eps)
        if isinstance(lr, Tensor):
            check_lr(lr)
        for name, value in (("Learning rate", lr), ("momentum", momentum), ("weight decay", weight_decay)):
            if not number(value) >= 0:
                raise ValueError(f"{name} should be >= 0 but is: {value}")
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        if ns_steps >= 100:
            raise ValueError("Number of steps must be less than 100 for computational efficiency")
        if len(ns_coefficients) != 3:
            raise ValueError("Coefficients must be a tuple of exactly 3 values")
        super().__init__(
            params,
            {
                "lr": lr,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "nesterov": nesterov,
                "ns_coefficients": ns_coefficients,
                "eps": eps,
                "ns_steps": ns_steps,
                "adjust_lr_fn": adjust_lr_fn,
            },
        )
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim != 2:
                    raise ValueError(f"Muon only supports 2D parameters whereas we found a parameter with size: {p.size()}")

    def _update(self, group: dict[str, Any]) -> None:
        lr, momentum = option(group, "lr"), group["momentum"]
        for p in group["params"]:
            if p.grad is None:
                continue
            if p.is_complex():
                raise RuntimeError("Muon does not support complex parameters")
            state = self.state[p]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = like(p)
            rows, columns = p.shape
            recorded = modes().compiling is not None
            shown: Any = Tensor.detach if recorded else flat  # type: ignore[attr-defined]
            g, b, x = shown(p.grad), shown(state["momentum_buffer"]), shown(p)
            b += (g - b) * (1 - momentum)
            d = g + (b - g) * momentum if group["nesterov"] else b
            d = _orthogonal(d.reshape(rows, columns), group["ns_coefficients"], group["ns_steps"], group["eps"])
            if group["adjust_lr_fn"] == "match_rms_adamw":
                size = 0.2 * lr * math.sqrt(max(rows, columns))
            else:
                size = lr * math.sqrt(max(1, rows / columns))
            if recorded:
                x.copy_(x * (1 - lr * group["weight_decay"]) - d * size)
                continue
            x *= 1 - lr * group["weight_decay"]
            x -= (d * size).reshape(-1).astype(x.dtype)
            for t, vector in ((state["momentum_buffer"], b), (p, x)):
                written(t, vector)


def _orthogonal(X: Any, coefficients: tuple[float, float, float], steps: int, eps: float) -> Any:
    """Return a matrix with the singular vectors of X and singular values near 1, by Newton and Schulz's iteration."""
    a, b, c = coefficients
    is_tall = X.shape[0] > X.shape[1]
    X = X.T if is_tall else X
    if isinstance(X, Tensor):
        X = X if X.dtype.itemsize >= 4 else X.float()  # type: ignore[attr-defined]
        X = X / largest((X * X).sum().sqrt(), eps)
    else:
        X = X.astype(np.promote_types(X.dtype, np.float32) if X.dtype.kind == "f" else np.float32)
        X = X / max(float(np.sqrt(np.vdot(X, X))), eps)
    for _ in range(steps):
        A = X @ X.T
        X = a * X + (b * A + c * (A @ A)) @ X
    return X.T if is_tall else X
