"""PyTorch's ``backends.cuda``: not there; what is set has no effect."""

from __future__ import annotations

from types import SimpleNamespace

__all__ = [
    "enable_cudnn_sdp", "enable_flash_sdp", "enable_math_sdp", "enable_mem_efficient_sdp", "flash_sdp_enabled", "is_built",
    "math_sdp_enabled", "matmul", "mem_efficient_sdp_enabled",
]  # fmt: skip

matmul = SimpleNamespace(
    allow_tf32=False, allow_fp16_reduced_precision_reduction=True, allow_bf16_reduced_precision_reduction=True
)


def is_built() -> bool:
    """Return False."""
    return False


def _set(enabled: bool) -> None:
    """Set nothing: there is one way in which attention is computed."""


enable_cudnn_sdp = enable_flash_sdp = enable_math_sdp = enable_mem_efficient_sdp = _set


def math_sdp_enabled() -> bool:
    """Return True: attention is computed by its formula."""
    return True


def flash_sdp_enabled() -> bool:
    """Return False."""
    return False


mem_efficient_sdp_enabled = flash_sdp_enabled
