"""PyTorch's ``cuda`` without a GPU: what may be asked is answered, what needs one raises as PyTorch does."""

from __future__ import annotations

from typing import Any

from chainrule.cuda import amp

__all__ = [
    "amp", "device_count", "empty_cache", "is_available", "is_bf16_supported", "is_current_stream_capturing", "is_initialized",
    "manual_seed", "manual_seed_all", "max_memory_allocated", "max_memory_reserved", "memory_allocated", "memory_reserved",
    "seed", "seed_all",
]  # fmt: skip


def is_available() -> bool:
    """Return False: chainrule computes on the CPU.

    Examples
    --------
    >>> import chainrule as cr
    >>> "cuda" if cr.cuda.is_available() else "cpu"
    'cpu'
    """
    return False


def device_count() -> int:
    """Return 0, the number of GPUs that chainrule uses."""
    return 0


def _nothing(*args: Any) -> None:
    """Do nothing: there is no GPU whose seed or cache this could concern."""


manual_seed = manual_seed_all = seed = seed_all = empty_cache = _nothing


def _zero(device: Any = None) -> int:
    """Return 0: there is no memory of a GPU."""
    return 0


memory_allocated = memory_reserved = max_memory_allocated = max_memory_reserved = _zero


def _false(*args: Any, **kwargs: Any) -> bool:
    """Return False: there is no GPU."""
    return False


is_initialized = is_bf16_supported = is_current_stream_capturing = _false


def __getattr__(name: str) -> Any:
    if name[:2] == "__":
        raise AttributeError(name)

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError(f"Torch not compiled with CUDA enabled: chainrule computes on the CPU, without torch.cuda.{name}")

    return refuse
