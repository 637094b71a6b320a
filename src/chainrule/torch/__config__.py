"""PyTorch's ``__config__``: how this was built."""

from __future__ import annotations

__all__ = ["parallel_info", "show"]


def show() -> str:
    """Return chainrule's report of versions and of the BLAS in use."""
    from chainrule.info import report

    return report()


parallel_info = show
