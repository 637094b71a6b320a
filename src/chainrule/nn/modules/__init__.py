"""Modules, by the topics of nn.functional; and under the names of the files in which PyTorch has them.

Programs import from those files what is public nowhere, to ask whether a module is of a kind: ``modules.batchnorm._BatchNorm``.
Such a module is made when it is first imported, of what the files here have.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# PyTorch's file -> the files here that have its classes.
_FILES = {
    "activation": "piecewise smooth attention",
    "channelshuffle": "resampling",
    "conv": "convolution lazy",
    "flatten": "linear",
    "fold": "resampling",
    "loss": "classification regression ranking",
    "pixelshuffle": "resampling",
    "rnn": "recurrent",
    "sparse": "embedding",
    "upsampling": "resampling",
}


class _OfPyTorch:
    """Finder and loader of the modules that bear the names of PyTorch's files.

    It is of no class of `importlib.abc`, which costs 10 ms to import.
    """

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return how a module is made, if it is one of these."""
        package, _, name = fullname.rpartition(".")
        return ModuleSpec(fullname, self) if package == __name__ and name in _FILES else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """Have Python make an empty module."""

    def exec_module(self, module: ModuleType) -> None:
        """Fill a module."""
        for file in _FILES[module.__name__.rpartition(".")[2]].split():
            names = vars(import_module(f"{__name__}.{file}"))
            module.__dict__.update({k: v for k, v in names.items() if isinstance(v, type) and k[:2] != "__"})


sys.meta_path.append(_OfPyTorch())  # type: ignore[arg-type]


def __getattr__(name: str) -> Any:
    """Return a class of nn, which PyTorch has here too, or a module under the name of PyTorch's file."""
    if name in _FILES:
        return import_module(f"{__name__}.{name}")
    if name[:1] != "_":
        nn = sys.modules["chainrule.nn"]
        if name in getattr(nn, "__all__", ()):
            return getattr(nn, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
