"""PyTorch's ``amp``, as far as a library without narrow matrix products has an answer: dtypes stay as they are."""

from __future__ import annotations

import functools
import warnings
from typing import Any

from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.dtype import dtype

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available", "is_autocast_enabled"]


def is_autocast_available(device_type: str) -> bool:
    """Return False: nothing is computed in narrower dtypes by itself."""
    return False


def is_autocast_enabled(device_type: str | None = None) -> bool:
    """Return False: nothing is computed in narrower dtypes by itself."""
    return False


class autocast:  # noqa: N801 - PyTorch's public name
    """A block, or a function, whose operations take narrower dtypes by themselves: only one that is not enabled.

    As in PyTorch without a GPU, one for ``"cuda"`` warns and is not enabled.

    Raises
    ------
    NotImplementedError
        For an enabled one on the CPU.

    Examples
    --------
    >>> from chainrule.amp import autocast
    >>> with autocast("cpu", enabled=False):
    ...     pass
    """

    def __init__(
        self, device_type: str, dtype: dtype | None = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        if enabled and device_type != "cpu":
            warnings.warn(
                f"User provided device_type of {device_type!r}, but {device_type.upper()} is not available. Disabling",
                UserWarning,
                stacklevel=2,
            )
            enabled = False
        if enabled:
            raise NotImplementedError(
                "autocast('cpu'): chainrule computes in the dtype of what it is given; give enabled=False, or convert the model"
            )
        self.device, self.fast_dtype, self._enabled = device_type, dtype, enabled

    def __enter__(self) -> autocast:
        return self

    def __exit__(self, *exc: object) -> None:
        """End the block."""

    def __call__(self, func: Any) -> Any:
        """Return the function as it is."""
        return func


def custom_fwd(fwd: Any = None, *, device_type: str = "cpu", cast_inputs: dtype | None = None) -> Any:
    """Return the forward of an autograd function as it is."""
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)
    return fwd


def custom_bwd(bwd: Any = None, *, device_type: str = "cpu") -> Any:
    """Return the backward of an autograd function as it is."""
    return functools.partial(custom_bwd, device_type=device_type) if bwd is None else bwd


class GradScaler:
    """Scales a loss so that gradients of half precision do not vanish: here, only one that is not enabled.

    As in PyTorch without a GPU, an enabled one for ``"cuda"`` warns and is not enabled: losses stay as they are, and `step` is
    the optimizer's.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.amp import GradScaler
    >>> scaler = GradScaler(enabled=False)
    >>> scaler.scale(cr.tensor(2.0))
    tensor(2.)
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if enabled and device != "cpu":
            warnings.warn(
                f"torch.{device}.amp.GradScaler is enabled, but {device.upper()} is not available.  Disabling.",
                UserWarning,
                stacklevel=2,
            )
            enabled = False
        if enabled:
            raise NotImplementedError(
                "GradScaler('cpu'): chainrule computes in the dtype of what it is given; give enabled=False"
            )

    def scale(self, outputs: Any) -> Any:
        """Return the losses as they are."""
        return outputs

    def unscale_(self, optimizer: Any) -> None:
        """Leave the gradients as they are."""

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """Return what the optimizer's step returns."""
        return optimizer.step(*args, **kwargs)

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Leave the scale as it is."""

    def get_scale(self) -> float:
        """Return 1."""
        return 1.0

    def is_enabled(self) -> bool:
        """Return False."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Return no state."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take no state."""
