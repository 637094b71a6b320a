"""PyTorch's ``_C``: of its private names those that several packages take, each with its meaning."""

from __future__ import annotations

from typing import Any

from chainrule import Generator, Size, Tensor, device, dtype, layout, memory_format
from chainrule.linalg import LinAlgError as _LinAlgError
from chainrule.overrides import DisableTorchFunction, DisableTorchFunctionSubclass
from chainrule.torch.symbolic import Graph, Value

__all__ = [
    "DisableTorchFunction", "DisableTorchFunctionSubclass", "Generator", "Graph", "Size", "Tensor", "Value", "_LinAlgError",
    "_TensorMeta", "device", "dtype", "layout", "memory_format",
]  # fmt: skip


_TensorMeta = type(Tensor)


def _get_tracing_state() -> None:
    """Return None: nothing is being traced for TorchScript."""


def _log_api_usage_once(event: str) -> None:
    """Count nothing."""


def _jit_flag(value: Any = None) -> bool:
    """Return False, the flag of a compiler that there is not."""
    return False


_jit_set_profiling_mode = _jit_set_profiling_executor = _jit_set_texpr_fuser_enabled = _jit_flag
_jit_set_nvfuser_enabled = _jit_override_can_fuse_on_cpu = _jit_override_can_fuse_on_gpu = _jit_flag
_jit_can_fuse_on_cpu = _jit_can_fuse_on_gpu = _jit_flag
