"""PyTorch's ``backends.opt_einsum``: chainrule chooses the order of einsum's products itself."""

from __future__ import annotations

__all__ = ["enabled", "is_available", "strategy"]

enabled, strategy = False, None


def is_available() -> bool:
    """Return False: the package is not asked."""
    return False
