"""PyTorch's ``_C``: of its private names those that several packages take, each with its meaning."""

from __future__ import annotations

import enum
from contextlib import nullcontext
from typing import Any

from chainrule import Generator, Size, Tensor, device, dtype, layout, memory_format
from chainrule.amp import autocast
from chainrule.core.mode.grad_mode import modes
from chainrule.linalg import LinAlgError as _LinAlgError
from chainrule.nn.modules.conversions import parse_to
from chainrule.overrides import DisableTorchFunction, DisableTorchFunctionSubclass
from chainrule.serialization.reading import PyTorchFileReader
from chainrule.torch.symbolic import Graph, Value

__all__ = [
    "DisableTorchFunction", "DisableTorchFunctionSubclass", "DispatchKey", "DispatchKeySet", "Generator", "Graph",
    "PyTorchFileReader", "Size", "Tensor", "Value", "_LinAlgError", "_TensorMeta", "device", "dtype", "layout", "memory_format",
]  # fmt: skip


_TensorMeta = type(Tensor)


class _nn:  # noqa: N801 - PyTorch's name
    """PyTorch's module of what neural networks have in C++."""

    _parse_to = staticmethod(parse_to)


class DispatchKey(enum.Enum):
    """What autocast is called where kernels are chosen, for each kind of device."""

    AutocastCPU, AutocastCUDA, AutocastXPU = "cpu", "cuda", "xpu"


class DispatchKeySet(frozenset[DispatchKey]):
    """Some of them, of one or of several kinds joined by ``|``."""

    def __new__(cls, *keys: DispatchKey) -> DispatchKeySet:
        """Make a set of its members."""
        return super().__new__(cls, keys)

    def __or__(self, other: Any) -> DispatchKeySet:
        return DispatchKeySet(*self, *other)


def _ExcludeDispatchKeyGuard(keys: DispatchKeySet) -> Any:  # noqa: N802 - PyTorch's name
    """Return a context in which autocast is off on the CPU, if that is among those excluded."""
    return autocast("cpu", enabled=False) if DispatchKey.AutocastCPU in keys else nullcontext()


def _get_tracing_state() -> None:
    """Return None: nothing is being traced for TorchScript."""


def _are_functorch_transforms_active() -> bool:
    """Tell whether a transform is running: a gradient, a tangent, a function over a batch, a trace."""
    return bool(modes().scopes or modes().mapped)


def _log_api_usage_once(event: str) -> None:
    """Count nothing."""


def _jit_flag(value: Any = None) -> bool:
    """Return False, the flag of a compiler that there is not."""
    return False


_jit_set_profiling_mode = _jit_set_profiling_executor = _jit_set_texpr_fuser_enabled = _jit_flag
_jit_set_nvfuser_enabled = _jit_override_can_fuse_on_cpu = _jit_override_can_fuse_on_gpu = _jit_flag
_jit_can_fuse_on_cpu = _jit_can_fuse_on_gpu = _jit_flag
