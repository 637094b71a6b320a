"""PyTorch's ``optim``: optimizers that update parameters in place from their gradients."""

from __future__ import annotations

from chainrule.core.missing import tell_of_missing as _tell_of_missing
from chainrule.optim import lr_scheduler
from chainrule.optim.adam import Adam, AdamW
from chainrule.optim.optimizer import Optimizer
from chainrule.optim.scipy import scipy_least_squares, scipy_minimize, scipy_root
from chainrule.optim.sgd import SGD

__all__ = [
    "SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler", "scipy_least_squares", "scipy_minimize", "scipy_root",
]  # fmt: skip

_tell_of_missing(__name__)
