"""PyTorch's ``__future__``: how modules are converted."""

from __future__ import annotations

__all__ = [
    "get_overwrite_module_params_on_conversion", "get_swap_module_params_on_conversion",
    "set_overwrite_module_params_on_conversion", "set_swap_module_params_on_conversion",
]  # fmt: skip


def get_overwrite_module_params_on_conversion() -> bool:
    """Return whether conversions give modules new parameters."""
    return False


def set_overwrite_module_params_on_conversion(value: bool) -> None:
    """Raise unless False: conversions write the parameters' data."""
    if value:
        raise NotImplementedError("modules are converted by writing their parameters' data; leave this False")


def get_swap_module_params_on_conversion() -> bool:
    """Return whether conversions swap parameters with new ones."""
    return False


def set_swap_module_params_on_conversion(value: bool) -> None:
    """Raise unless False: conversions write the parameters' data."""
    if value:
        raise NotImplementedError("modules are converted by writing their parameters' data; leave this False")
