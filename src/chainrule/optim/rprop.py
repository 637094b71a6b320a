"""Rprop."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.tensor.tensor import Tensor
from chainrule.optim.elementwise import Elementwise, Rule, count, like, scalar
from chainrule.optim.options import check_implementation, check_lr, check_numbers, number

__all__ = ["Rprop"]


class Rprop(Elementwise):
    """Rprop (Riedmiller & Braun, ICNN 1993): steps against the gradient's sign, of lengths that adapt.

    An element's step grows while the sign stays, and shrinks when it turns; then the element rests for a step.

    Parameters
    ----------
    params : iterable
        Parameters, named parameters, or groups.
    lr : float or Tensor
        The length of the first steps.
    etas : pair of float
        What lengths are multiplied by where the sign turned, and where it stayed.
    step_sizes : pair of float
        The least and the greatest length.
    capturable, foreach, differentiable : bool, optional
        See :class:`Optimizer`.
    maximize : bool
        Climb instead of descend.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = cr.optim.Rprop([x], lr=0.1)
    >>> for _ in range(2):
    ...     opt.zero_grad()
    ...     (x * x).sum().backward()
    ...     opt.step()
    >>> x.detach()
    tensor([0.7800, 1.7800])
    """

    _shaped = ("prev", "step_size")

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_numbers("Rprop", lr=lr)
        check_lr(lr)
        if not 0 < etas[0] < 1 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        check_implementation(foreach, None, differentiable, capturable)
        super().__init__(
            params,
            {
                "lr": lr,
                "etas": etas,
                "step_sizes": step_sizes,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def _rule(self, p: Tensor, group: dict[str, Any]) -> tuple[Rule, tuple[str, ...]]:
        state = self.state[p]
        if not state:
            state.update(step=scalar(), prev=like(p), step_size=like(p, number(group["lr"])))
        count(state)
        (shorter, longer), (least, greatest) = group["etas"], group["step_sizes"]

        def rule(x: Any, g: Any, before: Any, length: Any) -> Any:
            agreement = g * before
            turned = agreement < 0
            changed = np.where(agreement > 0, length * longer, np.where(turned, length * shorter, length))
            length[...] = np.minimum(np.maximum(changed, least), greatest)
            before[...] = g = np.where(turned, 0 * g, g)
            return np.sign(g) * length

        return rule, self._shaped
