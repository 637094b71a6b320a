"""PyTorch's ``autograd``: `backward`, `grad`, grad modes, forward mode's `forward_ad`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chainrule.autograd import forward_ad, graph
from chainrule.autograd.grad_mode import (
    enable_grad,
    enforce_grad_layout_policy,
    inference_mode,
    is_multithreading_enabled,
    no_grad,
    set_grad_enabled,
    set_multithreading_enabled,
)
from chainrule.autograd.gradcheck import gradcheck, gradgradcheck
from chainrule.autograd.reverse import backward, grad
from chainrule.autograd.variable import Variable

if TYPE_CHECKING:
    from chainrule.autograd import function, functional
    from chainrule.autograd.function import Function

__all__ = [
    "Function",
    "Variable",
    "backward",
    "enable_grad",
    "enforce_grad_layout_policy",
    "forward_ad",
    "function",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "is_multithreading_enabled",
    "no_grad",
    "set_grad_enabled",
    "set_multithreading_enabled",
]

_LAZY = frozenset(("function", "functional"))


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        import importlib

        return importlib.import_module(f"chainrule.autograd.{name}")
    if name == "Function":
        from chainrule.autograd.function import Function

        return Function
    raise AttributeError(f"module 'chainrule.autograd' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
