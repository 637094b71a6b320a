"""PyTorch's ``func``: transforms of functions. Forward accumulation, `jvp`; reverse accumulation, `vjp` and `grad`."""

from __future__ import annotations

from chainrule.func.batch import vmap
from chainrule.func.forward import jvp, linearize
from chainrule.func.reverse import grad, grad_and_value, value_and_grad, vjp
from chainrule.func.trace import trace

__all__ = ["grad", "grad_and_value", "jvp", "linearize", "trace", "value_and_grad", "vjp", "vmap"]
