"""Classes that name PyTorch's modules as theirs while chainrule stands in: ``torch.nn.modules.linear`` of a `Linear`.

Programs look at these names, and pickles hold them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_OWN_ROOMS = frozenset(("core", "functions", "ops", "transforms", "settings"))
"""Packages that PyTorch has no counterpart of: what is public of theirs is of ``torch`` itself."""
_ELSEWHERE = {
    "nn.modules.attention": "nn.modules.activation", "nn.modules.classification": "nn.modules.loss",
    "nn.modules.convolution": "nn.modules.conv", "nn.modules.embedding": "nn.modules.sparse",
    "nn.modules.piecewise": "nn.modules.activation", "nn.modules.ranking": "nn.modules.loss",
    "nn.modules.recurrent": "nn.modules.rnn", "nn.modules.regression": "nn.modules.loss",
    "nn.modules.smooth": "nn.modules.activation", "utils.data.loader": "utils.data.dataloader",
    "Flatten": "nn.modules.flatten", "Unflatten": "nn.modules.flatten", "Upsample": "nn.modules.upsampling",
}  # fmt: skip
"""PyTorch's files, under which chainrule has the classes too, for files, or for classes, of other names here."""


class Namer(MetaPathFinder):
    """Finds chainrule's modules as ever, and has what they define named as PyTorch's."""

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        """Return how a module of chainrule is loaded; None for other modules."""
        spec = PathFinder.find_spec(fullname, path, target) if fullname.startswith("chainrule.") else None
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            rename(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]  # a loader is of one module
        return spec


def rename(module: ModuleType) -> None:
    """Give the classes that a module defines the name of PyTorch's module."""
    for value in list(vars(module).values()):
        if isinstance(value, type) and value.__module__ in (module.__name__, "chainrule"):
            value.__module__ = _theirs(value)
            if "__annotations__" in vars(value):  # texts, which `typing.get_type_hints` would look up in PyTorch's module
                value.__annotations__ = {}


def rename_loaded() -> None:
    """Do so in all modules that are there already."""
    for name, module in list(sys.modules.items()):
        if name.startswith("chainrule.") and module is not None:
            rename(module)


def _theirs(cls: type) -> str:
    """Return the name of PyTorch's module for a class; its own where it is not public."""
    if cls.__module__ == "chainrule":
        return "torch"
    rest = cls.__module__.removeprefix("chainrule.").removeprefix("torch.")
    if rest.partition(".")[0] in _OWN_ROOMS:
        public = vars(sys.modules["chainrule"])
        return "torch" if public.get(cls.__name__) is cls or cls.__name__ in public["_LATE"] else cls.__module__
    if rest.startswith("optim.lr_scheduler."):
        rest = "optim.lr_scheduler"
    elif rest.startswith("distributions.") and rest.endswith(("transform", "transforms")):
        rest = "distributions.transforms"
    return f"torch.{_ELSEWHERE.get(cls.__name__ if rest.startswith('nn.') else rest) or _ELSEWHERE.get(rest, rest)}"
