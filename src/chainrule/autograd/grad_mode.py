"""PyTorch's ``autograd.grad_mode``: the grad modes, and two settings of the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.core.mode.grad_mode import Decorator, enable_grad, inference_mode, modes, no_grad, set_grad_enabled, switch

__all__ = [
    "enable_grad",
    "enforce_grad_layout_policy",
    "inference_mode",
    "no_grad",
    "set_grad_enabled",
    "set_multithreading_enabled",
]


class _Setting(Decorator):
    """Sets one flag when it is made; as a context manager sets it back at the end, as a decorator for every call."""

    __slots__ = ("_before", "_mode")
    _flag: str

    def __init__(self, mode: bool) -> None:
        if not isinstance(mode, bool):
            raise TypeError(f"{type(self).__name__}(): argument 'enabled' (position 1) must be bool, not {type(mode).__name__}")
        self._mode = mode
        self._before = [getattr(modes(), self._flag)]
        switch(**{self._flag: self._mode})

    def __enter__(self) -> None:
        if not self._before:
            self._before.append(getattr(modes(), self._flag))
            switch(**{self._flag: self._mode})

    def __exit__(self, *exc: object) -> None:
        switch(**{self._flag: self._before.pop()})

    def _fresh(self) -> Any:
        return type(self)(self._mode)

    def __call__(self, f: Callable) -> Callable:  # type: ignore[override]
        """Decorate a function that runs with this setting."""
        if self._before:  # used as a decorator: the setting was not meant to last
            switch(**{self._flag: self._before.pop()})
        return super().__call__(f)


class set_multithreading_enabled(_Setting):  # noqa: N801 - PyTorch's public name
    """Set whether backward passes may use other threads: a function, context manager and decorator.

    A pass runs in the thread that calls it. One deep inside others, started by their hooks, goes on in a thread of its own,
    where Python's stack is fresh; without that it ends in a `RecursionError`.

    Parameters
    ----------
    mode : bool
        On at first.

    Examples
    --------
    >>> import chainrule as cr
    >>> with cr.autograd.set_multithreading_enabled(False):
    ...     cr.autograd.is_multithreading_enabled()
    False
    """

    __slots__ = ()
    _flag = "multithreading"


class enforce_grad_layout_policy(_Setting):  # noqa: N801 - PyTorch's public name
    """Set whether accumulated gradients take the strides of their tensors: a function, context manager and decorator.

    Where that is on, a first gradient that comes with other strides is copied: into the strides of a tensor whose elements
    fill its memory, into rows one after the other for any other tensor.

    Parameters
    ----------
    enable : bool
        On at first.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.ones(2, 3, requires_grad=True)
    >>> with cr.autograd.enforce_grad_layout_policy(False):
    ...     (x.T * cr.ones(3, 2)).sum().backward()
    >>> x.grad.stride()
    (1, 2)
    """

    __slots__ = ()
    _flag = "layout"

    def __init__(self, enable: bool = True) -> None:
        super().__init__(enable)


def is_multithreading_enabled() -> bool:
    """Tell whether backward passes may use other threads."""
    return modes().multithreading
