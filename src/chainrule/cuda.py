"""PyTorch's ``cuda``, as far as a library for the CPU has an answer: there is no GPU.

>>> import chainrule as cr
>>> "cuda" if cr.cuda.is_available() else "cpu"
'cpu'
"""

from __future__ import annotations

__all__ = ["device_count", "is_available"]


def is_available() -> bool:
    """Return False: chainrule computes on the CPU."""
    return False


def device_count() -> int:
    """Return 0, the number of GPUs that chainrule uses."""
    return 0
