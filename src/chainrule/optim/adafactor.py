"""Adafactor."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.mode.grad_mode import modes, no_grad
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import array_of
from chainrule.functions.interop.info import finfo
from chainrule.optim.elementwise import count, flat, largest, option, scalar, smaller, written
from chainrule.optim.optimizer import Optimizer
from chainrule.optim.options import check_lr, check_numbers, number

__all__ = ["Adafactor"]


class Adafactor(Optimizer):
    """Adafactor (Shazeer & Stern, arXiv 1804.04235): Adam's scaling from the means of the squares by rows and by columns.

    At step t, with ``rate = t**beta2_decay``: the means of g² over rows and over columns (of vectors, g² itself) are averaged
    with weight `rate`; their product over its mean estimates g²; ``u = g / sqrt(estimate)``, divided by ``max(1, rms(u) / d)``;
    ``p = p * (1 - lr * weight_decay) - max(eps[1], rms(p)) * min(lr, 1 / sqrt(t)) * u``.

    Parameters
    ----------
    params : iterable
        Real parameters, named parameters, or groups.
    lr : float or Tensor
        The learning rate.
    beta2_decay : float
        As above, at most 0.
    eps : pair of float
        The least estimate's root (None: the dtype's epsilon), and the least scale of a parameter.
    d : float
        As above, at least 1.
    weight_decay : float
        As above.
    foreach : bool, optional
        See :class:`Optimizer`.
    maximize : bool
        Climb instead of descend.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = cr.optim.Adafactor([x], lr=0.1)
    >>> (x * x).sum().backward()
    >>> opt.step()
    >>> x.detach()
    tensor([0.8419, 1.8419])
    """

    _shaped = ("variance",)

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        check_numbers("Adafactor", lr=lr, beta2_decay=beta2_decay, d=d, weight_decay=weight_decay)
        if isinstance(lr, Tensor):
            check_lr(lr)
        for name, value in (("Learning rate", number(lr)), ("epsilon1", eps[0] or 0), ("epsilon2", eps[1])):
            if not value >= 0:
                raise ValueError(f"{name} should be >= 0 but is: {value}")
        if not beta2_decay <= 0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if not d >= 1:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        if not weight_decay >= 0:
            raise ValueError(f"weight_decay should be >= 0 but is: {weight_decay}")
        super().__init__(
            params,
            {
                "lr": lr,
                "beta2_decay": beta2_decay,
                "eps": eps,
                "d": d,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "maximize": maximize,
            },
        )

    def _update(self, group: dict[str, Any]) -> None:
        for p in group["params"]:
            if p.grad is None:
                continue
            if p.is_complex():
                raise RuntimeError("Adafactor does not support complex parameters")
            if modes().compiling is not None:
                with no_grad():
                    whole = p.detach()  # type: ignore[attr-defined]
                    change, kept = self._change(p, p.grad, whole, group)
                    whole.copy_(whole * kept - change)
                continue
            x = flat(p)
            change, kept = self._change(p, array_of(p.grad), x, group)
            if group["weight_decay"]:
                x *= kept
            x -= change.reshape(-1)
            written(p, x)

    def _change(self, p: Tensor, g: Any, x: Any, group: dict[str, Any]) -> tuple[Any, Any]:
        """Return by how much the parameter, of values x, shrinks after its decay, and what share of it that leaves.

        Of arrays, or of tensors in a call that is recorded.
        """
        state, lr, d = self.state[p], option(group, "lr"), p.dtype.numpy
        g = -g if group["maximize"] else g
        if not state:
            shape = tuple(p.shape)
            if p.ndim > 1:
                by_row, by_column = (*shape[:-1], 1), (*shape[:-2], 1, shape[-1])
                state.update(step=scalar(), row_var=_zeros(by_row, d), col_var=_zeros(by_column, d))
            else:
                state.update(step=scalar(), variance=_zeros(shape, d))
        t = count(state)
        rate, (least, smallest) = t ** group["beta2_decay"], group["eps"]
        least = finfo(p.dtype).eps if least is None else least
        size = largest(_rms(x), smallest) * smaller(lr, t**-0.5)
        if p.ndim > 1:
            rows, columns = (
                _average(state[name], (g * g).mean(axis, keepdims=True), rate)
                for name, axis in (("row_var", -1), ("col_var", -2))
            )
            estimate = rows @ columns / np.maximum(rows.mean(-2, keepdims=True), least)
        else:
            estimate = _average(state["variance"], g * g, rate)
        u = g / np.sqrt(np.maximum(estimate, least * least))
        return u * (size / largest(_rms(u) / group["d"], 1.0)), 1 - lr * group["weight_decay"]


def _zeros(shape: tuple[int, ...], d: np.dtype) -> Tensor:
    return wrap(np.zeros(shape, d))


def _average(mean: Tensor, value: Any, rate: Any) -> Any:
    """Move a running mean towards a value, and return it."""
    kept: Any = mean if isinstance(value, Tensor) else array_of(mean)
    kept += (value - kept) * rate
    return kept


def _rms(x: Any) -> Any:
    """Return the root of the mean of the squares."""
    if isinstance(x, Tensor):
        return (x * x).mean().sqrt().double() if x.numel() else 0.0  # type: ignore[attr-defined]
    return float(np.sqrt(np.vdot(x, x) / x.size)) if x.size else 0.0
