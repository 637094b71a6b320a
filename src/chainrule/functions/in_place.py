"""In-place methods as functions: ``chainrule.relu_(x)`` is ``x.relu_()``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.core.call.asking import asks
from chainrule.core.tensor.tensor import Tensor
from chainrule.functions.late import CHAPTERS

__all__ = CHAPTERS["in_place"][0].split()


def _function(name: str) -> Callable[..., Tensor]:
    def call(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if not isinstance(input, Tensor):
            raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
        return getattr(input, name)(*args, **kwargs)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"Write into `input` what :meth:`Tensor.{name}` does, and return it."
    return asks(call)


globals().update({_name: _function(_name) for _name in __all__})
