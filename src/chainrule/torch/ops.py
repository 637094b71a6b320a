"""PyTorch's ``ops``: a program's own functions by namespace and name, and chainrule's under ``aten``."""

from __future__ import annotations

from typing import Any, NoReturn

import chainrule
from chainrule.torch.library import REGISTRY

__all__ = ["aten", "load_library"]


class _Overload:
    """A function of chainrule under PyTorch's inner name, of which all overloads are one."""

    def __init__(self, name: str, function: Any) -> None:
        self.__name__, self._function = name, function
        self.op = getattr(function, "op", None)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def __getattr__(self, name: str) -> _Overload:
        if name[:1] == "_":
            raise AttributeError(name)
        return self

    def __repr__(self) -> str:
        return f"<OpOverloadPacket(op='aten.{self.__name__}')>"


class _Namespace:
    """Functions by name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        found: Any = REGISTRY.get(f"{self._name}::{name}")
        if found is None and self._name == "aten" and name[:2] != "__":
            function = getattr(chainrule, name, None) or getattr(chainrule.Tensor, name, None)
            found = _Overload(name, function) if callable(function) else None
        if found is None:
            raise AttributeError(f"'_OpNamespace' {self._name!r} object has no attribute {name!r}")
        setattr(self, name, found)
        return found


aten = _Namespace("aten")


def load_library(path: Any) -> NoReturn:
    """Raise: a library of compiled ops needs PyTorch."""
    raise OSError(f"Could not load this library: {path}. chainrule is Python; library.custom_op has an op of your own")


def __getattr__(name: str) -> Any:
    if any(op.partition("::")[0] == name for op in REGISTRY):
        return _Namespace(name)
    raise AttributeError(f"torch.ops has no namespace {name!r}: library.custom_op and library.define make one")
