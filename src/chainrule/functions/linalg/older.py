"""Functions that PyTorch has removed: they raise, and say what took their place."""

from __future__ import annotations

from typing import Any

from chainrule.core.call.asking import asks
from chainrule.core.tensor.tensor import Tensor

__all__ = ["eig", "lstsq", "matrix_rank", "solve", "symeig"]


def _removed(name: str, instead: str, but: str = "") -> Any:
    def call(*args: Any, **kwargs: Any) -> Tensor:
        raise RuntimeError(
            f"This function was deprecated since version 1.9 and is now removed. Use chainrule.{instead}{but} instead of {name}"
        )

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"Raise RuntimeError: removed by PyTorch; use :func:`chainrule.{instead}`{but.rstrip(',')}."
    return asks(call)


eig = _removed("eig", "linalg.eig")
lstsq = _removed("lstsq", "linalg.lstsq")
matrix_rank = _removed("matrix_rank", "linalg.matrix_rank")
solve = _removed("solve", "linalg.solve", ", whose arguments are in the other order,")
symeig = _removed("symeig", "linalg.eigh")
