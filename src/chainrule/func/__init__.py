"""PyTorch's ``func``: transforms of functions. Forward accumulation, `jvp`; reverse accumulation, `vjp` and `grad`."""

from __future__ import annotations

from chainrule.func.forward import jvp
from chainrule.func.reverse import grad, grad_and_value, vjp

__all__ = ["grad", "grad_and_value", "jvp", "vjp"]
