"""PyTorch's ``fx``: functions are marked for it, and not traced by it."""

from __future__ import annotations

from typing import Any

from chainrule.torch import absent

__all__ = ["wrap"]


def wrap(fn_or_name: Any) -> Any:
    """Return a function, or its name, as it is."""
    return fn_or_name


def __getattr__(name: str) -> Any:
    return absent.name_of("fx", name)
