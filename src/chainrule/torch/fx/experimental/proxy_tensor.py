"""PyTorch's ``fx.experimental.proxy_tensor``: whether a function is being traced."""

from __future__ import annotations

from typing import Any

from chainrule.core.mode.grad_mode import modes
from chainrule.torch import absent

__all__ = ["get_proxy_mode"]


def get_proxy_mode() -> Any:
    """Return the trace that is running, of `chainrule.func.trace`; None if none is."""
    return modes().tracer


def __getattr__(name: str) -> Any:
    return absent.name_of("fx.experimental.proxy_tensor", name)
