"""PyTorch's ``cuda.amp``: the older names of :mod:`chainrule.amp`, for the one device."""

from __future__ import annotations

import warnings
from typing import Any

from chainrule import amp

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd"]


def _warn(name: str, new: str) -> None:
    warnings.warn(
        f"`torch.cuda.amp.{name}(args...)` is deprecated. Please use `torch.amp.{new} instead.", FutureWarning, stacklevel=3
    )


def custom_fwd(fwd: Any = None, *, cast_inputs: Any = None) -> Any:
    """Call :func:`chainrule.amp.custom_fwd` for CUDA: an older name, which warns."""
    _warn("custom_fwd", "custom_fwd(args..., device_type='cuda')`")
    return amp.custom_fwd(fwd, device_type="cuda", cast_inputs=cast_inputs)


def custom_bwd(bwd: Any) -> Any:
    """Call :func:`chainrule.amp.custom_bwd` for CUDA: an older name, which warns."""
    _warn("custom_bwd", "custom_bwd(args..., device_type='cuda')`")
    return amp.custom_bwd(bwd, device_type="cuda")


class autocast(amp.autocast):  # noqa: N801 - PyTorch's public name
    """A block of :class:`chainrule.amp.autocast` for CUDA: not enabled, as there is none."""

    def __init__(self, enabled: bool = True, dtype: Any = None, cache_enabled: bool = True) -> None:
        _warn("autocast", "autocast('cuda', args...)`")
        super().__init__("cuda", dtype, enabled, cache_enabled)


class GradScaler(amp.GradScaler):
    """A :class:`chainrule.amp.GradScaler` for CUDA: not enabled, as there is none."""

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        _warn("GradScaler", "GradScaler('cuda', args...)`")
        super().__init__("cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled)
