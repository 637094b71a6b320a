"""PyTorch's ``backends.cpu``: no kernel is chosen by the processor."""

from __future__ import annotations

__all__ = ["get_cpu_capability"]


def get_cpu_capability() -> str:
    """Return ``"DEFAULT"``: NumPy and its BLAS choose by themselves what the processor can."""
    return "DEFAULT"
