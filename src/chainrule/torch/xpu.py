"""PyTorch's ``xpu``: there is no such device."""

from __future__ import annotations

__all__ = ["device_count", "is_available"]


def is_available() -> bool:
    """Return False: chainrule computes on the CPU."""
    return False


def device_count() -> int:
    """Return 0."""
    return 0
