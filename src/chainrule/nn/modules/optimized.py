"""What `chainrule.compile` returns for a module: a module whose calls are compiled, and which is the original in all else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.nn.modules.module import Module


class OptimizedModule(Module):
    """A module whose calls are compiled: PyTorch's class of that name.

    It has the original as its one child ``_orig_mod``, whose names stand before those of its parameters in `state_dict`; every
    other attribute is the original's.
    """

    def __init__(self, module: Module, compiled: Callable):
        super().__init__()
        self._modules["_orig_mod"] = module
        self.__dict__["_wrap"] = compiled
        self.__dict__["forward"] = compiled(module._call_impl)

    @property
    def training(self) -> bool:  # type: ignore[override]
        """The original's."""
        return self._orig_mod.training

    @training.setter
    def training(self, mode: bool) -> None:
        modules = self.__dict__.get("_modules")
        if modules:
            modules["_orig_mod"].training = mode

    def __getattr__(self, name: str) -> Any:
        original = self.__dict__["_modules"]["_orig_mod"]
        return original if name == "_orig_mod" else getattr(original, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(type(self), name):
            super().__setattr__(name, value)
        else:
            setattr(self._orig_mod, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._orig_mod, name)

    def __len__(self) -> int:
        return len(self._orig_mod)

    def __getitem__(self, key: Any) -> Any:
        return self._orig_mod[key]

    def __dir__(self) -> list[str]:
        return sorted({*dir(self._orig_mod), *super().__dir__()})

    def __reduce__(self) -> tuple:
        return OptimizedModule, (self._orig_mod, self._wrap)
