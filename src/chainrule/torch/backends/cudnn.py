"""PyTorch's ``backends.cudnn``: not there; what is set has no effect."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["allow_tf32", "benchmark", "benchmark_limit", "deterministic", "enabled", "flags", "is_acceptable", "is_available",
           "version"]  # fmt: skip

enabled, benchmark, deterministic, allow_tf32, benchmark_limit = True, False, False, True, 10


def is_available() -> bool:
    """Return False: there is no GPU."""
    return False


def version() -> int | None:
    """Return None."""
    return None


def is_acceptable(tensor: Any) -> bool:
    """Return False."""
    return False


@contextmanager
def flags(**given: Any) -> Iterator[None]:
    """Set some of the settings within a block."""
    module = sys.modules[__name__]
    unknown = set(given) - {"enabled", "benchmark", "benchmark_limit", "deterministic", "allow_tf32", "fp32_precision"}
    if unknown:
        raise TypeError(f"flags() got an unexpected keyword argument {sorted(unknown)[0]!r}")
    before = {name: getattr(module, name, None) for name in given}
    vars(module).update(given)
    try:
        yield
    finally:
        vars(module).update(before)
