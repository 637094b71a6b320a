"""PyTorch's ``accelerator``: there is none."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = [
    "current_accelerator", "current_device_index", "current_stream", "device_count", "device_index", "empty_cache",
    "is_available", "set_device_index", "set_stream", "synchronize",
]  # fmt: skip


def is_available() -> bool:
    """Return False: chainrule computes on the CPU."""
    return False


def current_accelerator(check_available: bool = False) -> None:
    """Return None: there is no accelerator."""


def device_count() -> int:
    """Return 0."""
    return 0


def empty_cache() -> None:
    """Give back no memory: there is none of an accelerator."""


def _refuse(*args: Any, **kwargs: Any) -> NoReturn:
    """Raise: there is no accelerator."""
    raise RuntimeError("Cannot access accelerator device when none is available: chainrule computes on the CPU")


current_device_index = current_stream = device_index = set_device_index = set_stream = synchronize = _refuse
