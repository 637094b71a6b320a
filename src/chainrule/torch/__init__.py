"""The look-alike of PyTorch's package, under which unmodified programs run: `chainrule.as_torch` has it answer to ``torch``.

It has chainrule's names, and those that programs ask for beside the mathematics: whether there is a GPU, whether they are being
compiled, which version this is. Each has an honest answer, or an error that says what there is instead.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import chainrule
from chainrule.torch import absent
from chainrule.torch.version import __version__ as __version__

OWN = frozenset((
    "_C", "__config__", "__future__", "_dynamo", "_higher_order_ops", "_jit_internal", "_utils", "accelerator", "backends",
    "compiler", "cpu", "distributed", "futures", "fx", "hub", "jit", "library", "mps", "multiprocessing", "onnx", "ops",
    "profiler", "quasirandom", "types", "version", "xpu",
))  # fmt: skip
"""Submodules of this package; all others are chainrule's."""
_INNER = {"Future": "futures", "PyTorchFileReader": "_C", "ScriptFunction": "jit", "ScriptModule": "jit"}
"""Names that PyTorch has at its top and in a submodule, which is where they are here."""

globals().update({name: value for name, value in vars(chainrule).items() if name[:1] != "_" and name not in {"torch", *OWN}})


def __getattr__(name: str) -> Any:
    if name in OWN:
        return import_module(f"chainrule.torch.{name}")
    if name in _INNER:
        return getattr(import_module(f"chainrule.torch.{_INNER[name]}"), name)
    if name in absent.REASONS and (found := absent.module(name)) is not None:
        return found
    return getattr(chainrule, name)


def __dir__() -> list[str]:
    return sorted({*dir(chainrule), *OWN})
