"""SparseAdam, which needs gradients of a kind that chainrule has not."""

from __future__ import annotations

from typing import Any

from chainrule.optim.optimizer import Optimizer

__all__ = ["SparseAdam"]


class SparseAdam(Optimizer):
    """Raise: PyTorch's SparseAdam takes sparse gradients only, and chainrule's gradients are dense.

    Raises
    ------
    NotImplementedError
        Always; `Adam` is for dense gradients.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.optim.SparseAdam([cr.ones(2, requires_grad=True)])
    Traceback (most recent call last):
    NotImplementedError: SparseAdam takes sparse gradients only, and chainrule's are dense: use Adam
    """

    def __init__(
        self, params: Any, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, maximize: bool = False
    ) -> None:
        raise NotImplementedError("SparseAdam takes sparse gradients only, and chainrule's are dense: use Adam")
