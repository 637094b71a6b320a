"""PyTorch's ``distributed``: there is none, and programs that ask are told so."""

from __future__ import annotations

from typing import Any

from chainrule.torch import absent

__all__ = [
    "is_available", "is_backend_available", "is_gloo_available", "is_initialized", "is_mpi_available", "is_nccl_available",
    "is_torchelastic_launched", "is_ucc_available", "is_xccl_available",
]  # fmt: skip
__path__: list[str] = []


def is_available() -> bool:
    """Return False: chainrule has no process groups."""
    return False


def is_backend_available(backend: str) -> bool:
    """Return False: there is none of that name."""
    return False


def is_initialized() -> bool:
    """Return False."""
    return False


is_gloo_available = is_mpi_available = is_nccl_available = is_ucc_available = is_xccl_available = is_initialized


def is_torchelastic_launched() -> bool:
    """Return False."""
    return False


def __getattr__(name: str) -> Any:
    return absent.name_of("distributed", name)
