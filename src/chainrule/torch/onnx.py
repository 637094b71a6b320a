"""PyTorch's ``onnx``: nothing is being exported."""

from __future__ import annotations

from typing import Any

from chainrule.torch import absent

__all__ = ["is_in_onnx_export"]
__path__: list[str] = []


def is_in_onnx_export() -> bool:
    """Return False."""
    return False


def __getattr__(name: str) -> Any:
    return absent.name_of("onnx", name)
