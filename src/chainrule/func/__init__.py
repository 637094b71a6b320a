"""PyTorch's ``func``: transforms of functions, and what goes beyond it.

Forward accumulation, `jvp`; reverse accumulation, `vjp` and `grad`; batches, `vmap`; and what is made of the three.
"""

from __future__ import annotations

from chainrule.core.missing import tell_of_missing as _tell_of_missing
from chainrule.func.axes import rearrange
from chainrule.func.custom_rules import custom_jvp, custom_vjp
from chainrule.func.hessians import hessian, hvp, laplacian
from chainrule.func.implicit import custom_root, fixed_point, linear_solve
from chainrule.func.jacobians import jacfwd, jacobian, jacrev
from chainrule.func.jet import directional, jet
from chainrule.func.mapping import vmap
from chainrule.func.module import functional_call, replace_all_batch_norm_modules_, stack_module_state
from chainrule.func.pullbacks import grad, grad_and_value, value_and_grad, vjp
from chainrule.func.pushforwards import jvp, linearize
from chainrule.func.sparsity import hessian_sparsity, jacobian_sparsity
from chainrule.func.trace import ShapeDtype, trace
from chainrule.func.unwrap import debug_unwrap, functionalize

__all__ = [
    "ShapeDtype",
    "custom_jvp",
    "custom_root",
    "custom_vjp",
    "debug_unwrap",
    "directional",
    "fixed_point",
    "functional_call",
    "functionalize",
    "grad",
    "grad_and_value",
    "hessian",
    "hessian_sparsity",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacobian_sparsity",
    "jacrev",
    "jet",
    "jvp",
    "laplacian",
    "linear_solve",
    "linearize",
    "rearrange",
    "replace_all_batch_norm_modules_",
    "stack_module_state",
    "trace",
    "value_and_grad",
    "vjp",
    "vmap",
]

_tell_of_missing(__name__)
