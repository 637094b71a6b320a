"""PyTorch's ``_dynamo``, as far as programs turn it off or mark what it is to know."""

from __future__ import annotations

from typing import Any

from chainrule.torch import absent
from chainrule.torch._dynamo.settings import config
from chainrule.torch.compiler import allow_in_graph, assume_constant_result, disable, is_compiling, reset

__all__ = [
    "allow_in_graph", "assume_constant_result", "config", "disable", "graph_break", "is_compiling", "is_dynamo_supported",
    "mark_dynamic", "mark_static", "mark_static_address", "maybe_mark_dynamic", "reset",
]  # fmt: skip


def is_dynamo_supported() -> bool:
    """Return True: functions can be compiled."""
    return True


def graph_break(msg: str = "") -> None:
    """Break the graph of a compiled function: there is none."""


def mark_static(t: Any, *args: Any, **kwargs: Any) -> None:
    """Tell of a tensor's shape or place what only a compiler asks."""


mark_dynamic = maybe_mark_dynamic = mark_static_address = mark_static


def __getattr__(name: str) -> Any:
    return absent.name_of("_dynamo", name)
