"""PyTorch's ``autograd``: `backward`, `grad`, grad modes, forward mode's `forward_ad`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from chainrule.autograd.gradients import backward, grad
from chainrule.autograd.variable import Variable

if TYPE_CHECKING:
    from chainrule.autograd import anomaly_mode, forward_ad, function, functional, graph, profiler
    from chainrule.autograd.anomaly_mode import detect_anomaly, set_detect_anomaly
    from chainrule.autograd.error_bounds import rounding
    from chainrule.autograd.function import Function, NestedIOFunction
    from chainrule.autograd.safe import is_safe_derivatives_enabled, safe_derivatives

    estimate: Any  # stands above, in chainrule.func.estimation
    explain: Any  # stands above, in chainrule.explanation

__all__ = [
    "Function",
    "NestedIOFunction",
    "Variable",
    "anomaly_mode",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "enforce_grad_layout_policy",
    "estimate",
    "explain",
    "forward_ad",
    "function",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "is_multithreading_enabled",
    "is_safe_derivatives_enabled",
    "no_grad",
    "profiler",
    "rounding",
    "safe_derivatives",
    "set_detect_anomaly",
    "set_grad_enabled",
    "set_multithreading_enabled",
]

_LAZY = frozenset(("anomaly_mode", "forward_ad", "function", "functional", "graph", "profiler"))
_LAZY_NAMES = {
    "Function": "autograd.function", "NestedIOFunction": "autograd.function", "detect_anomaly": "autograd.anomaly_mode",
    "estimate": "func.estimation",
    "explain": "explanation", "is_safe_derivatives_enabled": "autograd.safe", "safe_derivatives": "autograd.safe",
    "rounding": "autograd.error_bounds", "set_detect_anomaly": "autograd.anomaly_mode",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _LAZY or name in _LAZY_NAMES:
        import importlib

        module = importlib.import_module(f"chainrule.{_LAZY_NAMES.get(name, f'autograd.{name}')}")
        return module if name in _LAZY else getattr(module, name)
    from chainrule.core.missing import missing

    raise missing(__name__, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_LAZY_NAMES})
