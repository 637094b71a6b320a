"""PyTorch's ``func``: transforms of functions. Forward accumulation, `jvp`; reverse accumulation, `vjp` and `grad`."""

from __future__ import annotations

from chainrule.func.batch import vmap
from chainrule.func.custom_rules import custom_jvp, custom_vjp
from chainrule.func.forward import jvp, linearize
from chainrule.func.jet import directional, jet
from chainrule.func.reverse import grad, grad_and_value, value_and_grad, vjp
from chainrule.func.trace import trace

__all__ = [
    "custom_jvp", "custom_vjp", "directional", "grad", "grad_and_value", "jet", "jvp", "linearize", "trace", "value_and_grad",
    "vjp", "vmap",
]  # fmt: skip
