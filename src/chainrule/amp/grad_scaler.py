"""Scaling a loss, so that gradients of half precision neither vanish nor overflow unnoticed."""

from __future__ import annotations

import inspect
import warnings
from collections import defaultdict
from collections.abc import Iterable
from enum import Enum
from typing import Any

import numpy as np

from chainrule.core.mode.grad_mode import no_grad
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.functions.creation.fill import full

__all__ = ["GradScaler", "OptState"]


_LARGEST = float(np.finfo(np.float32).max)


class OptState(Enum):
    """What has been done with an optimizer's gradients since the last update."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


def _fresh_state() -> dict[str, Any]:
    return {"stage": OptState.READY, "found_inf_per_device": {}}


class GradScaler:
    """Multiplies losses by a scale, divides gradients by it, and skips steps whose gradients are not finite.

    After such a step the scale is multiplied by `backoff_factor`; after `growth_interval` steps in a row without, by
    `growth_factor` (Micikevicius et al., *Mixed precision training*, arXiv 1710.03740, section 3.2).

    Parameters
    ----------
    device : str
        ``"cpu"``. As in PyTorch without a GPU, an enabled one for ``"cuda"`` warns and is not enabled.
    init_scale, growth_factor, backoff_factor : float
        The first scale, and its factors.
    growth_interval : int
        How many steps in a row must be finite before the scale grows.
    enabled : bool
        Without it losses stay as they are, and `step` is the optimizer's.

    Raises
    ------
    AssertionError
        If `growth_factor` is not above 1 or `backoff_factor` not below.

    Examples
    --------
    >>> import chainrule as cr
    >>> w = cr.ones(2, requires_grad=True)
    >>> optimizer, scaler = cr.optim.SGD([w], lr=0.5), cr.amp.GradScaler("cpu", init_scale=1024.0)
    >>> scaler.scale(w.sum()).backward()
    >>> w.grad
    tensor([1024., 1024.])
    >>> scaler.step(optimizer)
    >>> scaler.update()
    >>> w, scaler.get_scale()
    (tensor([0.5000, 0.5000], requires_grad=True), 1024.0)
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
        if enabled and device == "cuda":
            warnings.warn(
                "torch.cuda.amp.GradScaler is enabled, but CUDA is not available.  Disabling.", UserWarning, stacklevel=2
            )
            enabled = False
        self._device, self._enabled = device, enabled
        if not enabled:
            return
        if growth_factor <= 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if backoff_factor >= 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        self._init_scale, self._growth_factor, self._backoff_factor = init_scale, growth_factor, backoff_factor
        self._growth_interval, self._init_growth_tracker = growth_interval, 0
        self._scale: Tensor | None = None  # made when it is first needed, as is the count of finite steps
        self._growth_tracker: Tensor | None = None
        self._per_optimizer_states: dict[int, dict[str, Any]] = defaultdict(_fresh_state)

    # -- scaling -------------------------------------------------------------------------------------------------------

    def scale(self, outputs: Any) -> Any:
        """Return a tensor, or the tensors in an iterable and those in it, times the scale.

        Raises
        ------
        ValueError
            For what is neither.
        """
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            return outputs * self._made_scale()
        if isinstance(outputs, (list, tuple)):
            return type(outputs)(map(self.scale, outputs))
        if isinstance(outputs, Iterable):
            return map(self.scale, outputs)
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def _made_scale(self) -> Tensor:
        if self._scale is None:
            self._scale = full((), self._init_scale, dtype=dtypes.float32)
            self._growth_tracker = full((), self._init_growth_tracker, dtype=dtypes.int32)
        return self._scale

    def _begun(self, function: str) -> tuple[Tensor, Tensor]:
        """Return the scale and the count of finite steps; raise if nothing has been scaled."""
        if self._scale is None or self._growth_tracker is None:
            raise AssertionError(
                f"Attempted {function} but _scale is None.  This may indicate your script did not use scaler.scale(loss or "
                "outputs) earlier in the iteration."
            )
        return self._scale, self._growth_tracker

    def unscale_(self, optimizer: Any) -> None:
        """Divide an optimizer's gradients by the scale, before they are clipped or looked at.

        Raises
        ------
        RuntimeError
            If that was done since the last update, or a step was taken.
        ValueError
            For gradients of float16, which cannot hold them.
        """
        if not self._enabled:
            return
        scale, _ = self._begun("unscale_")
        state = self._per_optimizer_states[id(optimizer)]
        if state["stage"] is OptState.UNSCALED:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        if state["stage"] is OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        inverse = scale.double().reciprocal().float()  # type: ignore[attr-defined]
        state["found_inf_per_device"] = self._unscale_grads_(optimizer, inverse, full((), 0.0, dtype=dtypes.float32), False)
        state["stage"] = OptState.UNSCALED

    def _unscale_grads_(self, optimizer: Any, inv_scale: Tensor, found_inf: Tensor, allow_fp16: bool) -> dict:
        """Multiply an optimizer's gradients, and note in `found_inf` whether one was not finite; return it by its device."""
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if not allow_fp16 and any(g.dtype is dtypes.float16 for g in grads):
            raise ValueError("Attempting to unscale FP16 gradients.")
        factor = inv_scale.item()
        with no_grad():
            for g in grads:
                if not g.isfinite().all():
                    found_inf.fill_(1.0)  # type: ignore[attr-defined]
                if factor != 1.0:
                    g.mul_(factor)
        return {grads[0].device: found_inf} if grads else {}

    def _check_inf_per_device(self, optimizer: Any) -> dict:
        self._begun("_check_inf_per_device")
        one, zero = full((), 1.0, dtype=dtypes.float32), full((), 0.0, dtype=dtypes.float32)
        found = self._per_optimizer_states[id(optimizer)]["found_inf_per_device"] = self._unscale_grads_(
            optimizer, one, zero, True
        )
        return found

    def _found_inf_per_device(self, optimizer: Any) -> dict:
        return self._per_optimizer_states[id(optimizer)]["found_inf_per_device"]

    # -- steps ---------------------------------------------------------------------------------------------------------

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """Take the optimizer's step if its gradients are finite, divided by the scale if they are not yet; return its result.

        Raises
        ------
        RuntimeError
            For a closure, and for a second step since the last update.
        AssertionError
            If nothing has been scaled, or no parameter has a gradient.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._begun("step")
        state = self._per_optimizer_states[id(optimizer)]
        if state["stage"] is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if getattr(optimizer, "_step_supports_amp_scaling", False):
            return self._step_of_its_own(optimizer, state, args, kwargs)
        if state["stage"] is OptState.READY:
            self.unscale_(optimizer)
        if not state["found_inf_per_device"]:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        found = any(found.item() for found in state["found_inf_per_device"].values())
        result = None if found else optimizer.step(*args, **kwargs)
        state["stage"] = OptState.STEPPED
        return result

    def _step_of_its_own(self, optimizer: Any, state: dict, args: tuple, kwargs: dict) -> Any:
        """Take the step of an optimizer that handles scales itself, by the attributes `grad_scale` and `found_inf`."""
        takes_scaler = "grad_scaler" in inspect.signature(optimizer.step).parameters
        if takes_scaler:
            warnings.warn(
                "GradScaler is going to stop passing itself as a keyword argument to the passed optimizer. In the near future "
                "GradScaler registers `grad_scale: Tensor` and `found_inf: Tensor` to the passed optimizer and let the "
                "optimizer use them directly.",
                FutureWarning,
                stacklevel=3,
            )
            kwargs["grad_scaler"] = self
        else:
            if state["stage"] is OptState.READY:
                self._check_inf_per_device(optimizer)
            given = getattr(optimizer, "grad_scale", None)
            if state["stage"] is not OptState.UNSCALED:
                given = self._made_scale() * (1 if given is None else given)
            optimizer.grad_scale, optimizer.found_inf = given, sum(state["found_inf_per_device"].values())
        result = optimizer.step(*args, **kwargs)
        state["stage"] = OptState.STEPPED
        if not takes_scaler:
            del optimizer.grad_scale, optimizer.found_inf
        return result

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Let the scale grow or shrink by what the steps since the last update found; or set it.

        Raises
        ------
        AssertionError
            If no gradients have been looked at since.
        """
        if not self._enabled:
            return
        scale, count = self._begun("update")
        if new_scale is not None:
            self._set_scale(scale, new_scale)
        else:
            found = [f for state in self._per_optimizer_states.values() for f in state["found_inf_per_device"].values()]
            if not found:
                raise AssertionError("No inf checks were recorded prior to update.")
            self._adapt(scale, count, any(f.item() for f in found))
        self._per_optimizer_states = defaultdict(_fresh_state)

    def _adapt(self, scale: Any, count: Any, found_inf: bool) -> None:
        if found_inf:
            scale.mul_(self._backoff_factor)
            count.fill_(0)
        elif count.item() + 1 == self._growth_interval:
            grown = scale.item() * self._growth_factor
            if grown <= _LARGEST:
                scale.fill_(grown)
            count.fill_(0)
        else:
            count.add_(1)

    @staticmethod
    def _set_scale(scale: Any, new: float | Tensor) -> None:
        if isinstance(new, Tensor):
            if new.numel() != 1 or new.requires_grad:  # type: ignore[attr-defined]
                raise AssertionError(
                    "new_scale should be a float or a 1-element torch.cuda.FloatTensor or torch.FloatTensor with "
                    "requires_grad=False."
                )
            scale.copy_(new)  # type: ignore[attr-defined]
        else:
            scale.fill_(new)  # type: ignore[attr-defined]

    # -- settings ------------------------------------------------------------------------------------------------------

    def get_scale(self) -> float:
        """Return the scale; 1 if not enabled."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else self._scale.item()  # type: ignore[attr-defined]

    def get_growth_factor(self) -> float:
        """Return what the scale grows by."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set what the scale grows by."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """Return what the scale shrinks by."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set what the scale shrinks by."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """Return how many finite steps let the scale grow."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set how many finite steps let the scale grow."""
        self._growth_interval = new_interval

    def _get_growth_tracker(self) -> int:
        if not self._enabled:
            return 0
        count = self._growth_tracker
        return self._init_growth_tracker if count is None else count.item()  # type: ignore[attr-defined]

    def is_enabled(self) -> bool:
        """Tell whether it does anything."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """Return the scale, its factors and the count of finite steps; nothing if not enabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._get_growth_tracker(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what :meth:`state_dict` returned; nothing if not enabled.

        Raises
        ------
        RuntimeError
            For the empty state of one that was not enabled.
        """
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler."
            )
        self._init_scale, self._init_growth_tracker = state_dict["scale"], state_dict["_growth_tracker"]
        self._growth_factor, self._backoff_factor = state_dict["growth_factor"], state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        if self._scale is not None and self._growth_tracker is not None:
            self._scale.fill_(self._init_scale)  # type: ignore[attr-defined]
            self._growth_tracker.fill_(self._init_growth_tracker)  # type: ignore[attr-defined]

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        if self._enabled:
            if self._per_optimizer_states:
                raise AssertionError(
                    "A GradScaler instance may only be pickled at the beginning of an iteration, or at the end after "
                    "scaler.update()."
                )
            state |= {"_init_scale": self.get_scale(), "_init_growth_tracker": self._get_growth_tracker()}
            state |= {"_scale": None, "_growth_tracker": None}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
