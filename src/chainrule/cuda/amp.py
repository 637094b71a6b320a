"""PyTorch's ``cuda.amp``: the older names of :mod:`chainrule.amp`, for the one device."""

from __future__ import annotations

from typing import Any

from chainrule import amp

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd"]

custom_bwd, custom_fwd = amp.custom_bwd, amp.custom_fwd


class autocast(amp.autocast):  # noqa: N801 - PyTorch's public name
    """A block of :class:`chainrule.amp.autocast` for CUDA: not enabled, as there is none."""

    def __init__(self, enabled: bool = True, dtype: Any = None, cache_enabled: bool = True) -> None:
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
        super().__init__("cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled)
