"""PyTorch's ``distributed``: there is none, and programs that ask are told so."""

from __future__ import annotations

from typing import Any

from chainrule.torch import absent

__all__ = ["is_available", "is_initialized", "is_torchelastic_launched"]
__path__: list[str] = []


def is_available() -> bool:
    """Return False: chainrule has no process groups."""
    return False


def is_initialized() -> bool:
    """Return False."""
    return False


def is_torchelastic_launched() -> bool:
    """Return False."""
    return False


def __getattr__(name: str) -> Any:
    return absent.name_of("distributed", name)
