"""PyTorch's `Variable`, kept for old code: a tensor is a variable, and `Variable(tensor)` gives another on its memory."""

from __future__ import annotations

import warnings
from typing import Any

from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import check_differentiable
from chainrule.transforms.hook_calls import queue_callback

__all__ = ["Variable"]

_NO_EFFECT = "volatile was removed and now has no effect. Use `with chainrule.no_grad():` instead."


class _Engine:
    """What old code asks of the engine."""

    @staticmethod
    def queue_callback(callback: Any) -> None:
        """Have a function called when the backward pass that is running has ended."""
        queue_callback(callback)

    @staticmethod
    def is_checkpoint_valid() -> bool:
        """Tell whether the pass that is running is a plain `backward()`, not limited to some inputs."""
        from chainrule.transforms.hook_calls import RUNNING

        this = RUNNING.get()
        return this is None or this[1] is None


class _VariableMeta(type):
    def __instancecheck__(cls, other: object) -> bool:
        return isinstance(other, Tensor)


class Variable(metaclass=_VariableMeta):
    """Return a tensor on the memory of another, without its history.

    Parameters
    ----------
    data : Tensor, optional
        Empty by default.
    requires_grad : bool
        Whether operations on the new tensor are recorded.
    volatile : bool, optional
        Was removed from PyTorch; warns.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.autograd.Variable(cr.ones(2), requires_grad=True)
    >>> isinstance(x, cr.autograd.Variable)
    True
    """

    _execution_engine = _Engine()

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = False, volatile: bool | None = None) -> Any:  # noqa: D102
        if volatile:
            warnings.warn(_NO_EFFECT, UserWarning, stacklevel=2)
        if data is None:
            data = Tensor()
        if not isinstance(data, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        made = data.detach()  # type: ignore[assignment]
        if requires_grad:
            check_differentiable(made.dtype)
            made.requires_grad_()
        return made


def _volatile(self: Tensor) -> bool:
    """Return False: volatile was removed from PyTorch."""
    warnings.warn("volatile was removed (Variable.volatile is always False)", UserWarning, stacklevel=2)
    return False


def _set_volatile(self: Tensor, value: Any) -> None:
    warnings.warn(_NO_EFFECT, UserWarning, stacklevel=2)


Tensor.volatile = property(_volatile, _set_volatile)  # type: ignore[assignment]
