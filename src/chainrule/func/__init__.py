"""PyTorch's ``func``: transforms of functions. Forward accumulation, `jvp`; reverse accumulation, `vjp` and `grad`."""

from __future__ import annotations

from chainrule.func.forward import jvp, linearize
from chainrule.func.reverse import grad, grad_and_value, value_and_grad, vjp

__all__ = ["grad", "grad_and_value", "jvp", "linearize", "value_and_grad", "vjp"]
