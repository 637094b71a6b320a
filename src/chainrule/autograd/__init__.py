"""PyTorch's ``autograd``: `backward`, `grad`, grad modes, forward mode's `forward_ad`."""

from __future__ import annotations

from chainrule.autograd import forward_ad, graph
from chainrule.autograd.reverse import backward, grad
from chainrule.core.mode import enable_grad, inference_mode, no_grad, set_grad_enabled

__all__ = [
    "backward",
    "enable_grad",
    "forward_ad",
    "grad",
    "graph",
    "inference_mode",
    "no_grad",
    "set_grad_enabled",
]
