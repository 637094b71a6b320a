"""PyTorch's ``cpu``: the one device there is."""

from __future__ import annotations

from typing import Any

from chainrule.torch.cpu import amp

__all__ = ["amp", "current_device", "device_count", "is_available", "synchronize"]


def is_available() -> bool:
    """Return True."""
    return True


def device_count() -> int:
    """Return 1."""
    return 1


def current_device() -> str:
    """Return its name."""
    return "cpu"


def synchronize(device: Any = None) -> None:
    """Return at once: work is done when a function returns."""
