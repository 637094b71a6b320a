"""Write the list of PyTorch's public names that ``chainrule.core.missing`` tells users of; run it with PyTorch installed."""

from __future__ import annotations

import importlib
import inspect
import types
import typing
from pathlib import Path

TARGET = Path(__file__).parent.parent / "src" / "chainrule" / "core" / "torch_names.txt"
MODULES = (
    "", "autograd", "autograd.functional", "autograd.graph", "distributions", "fft", "func", "linalg", "nn", "nn.functional",
    "nn.init", "nn.utils", "optim", "optim.lr_scheduler", "special", "utils", "utils.data",
)  # fmt: skip
_NOT_THEIRS = {*dir(typing), "builtins", "ctypes", "functools", "glob", "importlib", "inspect", "math", "os", "platform", "sys",
               "textwrap", "threading", "warnings"}  # fmt: skip


def names(module: types.ModuleType) -> list[str]:
    """Return the public names of a module: what it says, or what it holds of its own."""
    found = []
    parts = [name for name in dir(module) if isinstance(getattr(module, name, None), types.ModuleType)]
    for name in [*parts, *(getattr(module, "__all__", None) or dir(module))]:
        value = inspect.getattr_static(module, name, None)
        foreign = isinstance(value, types.ModuleType) and not value.__name__.startswith("torch")
        if name[0] != "_" and name not in _NOT_THEIRS and not foreign:
            found.append(name)
    return sorted(set(found))


def text() -> str:
    """Return the file: a line for each module, its name and then its names."""
    lines = []
    for name in MODULES:
        module = importlib.import_module(f"torch.{name}" if name else "torch")
        lines.append(f"{name}: {' '.join(names(module))}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
