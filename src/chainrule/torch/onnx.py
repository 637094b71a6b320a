"""PyTorch's ``onnx``: nothing is being exported, and what packages register for it is not asked for."""

from __future__ import annotations

from typing import Any

from chainrule.torch import absent

__all__ = ["is_in_onnx_export", "parse_args", "register_custom_op_symbolic", "unregister_custom_op_symbolic"]
__path__: list[str] = []


def is_in_onnx_export() -> bool:
    """Return False."""
    return False


def register_custom_op_symbolic(symbolic_name: str, symbolic_fn: Any, opset_version: int) -> None:
    """Take note of nothing: how an op would be exported."""


def unregister_custom_op_symbolic(symbolic_name: str, opset_version: int) -> None:
    """Take note of nothing."""


def parse_args(*arg_descriptors: str) -> Any:
    """Return what returns the function as it is; PyTorch has it in ``onnx.symbolic_helper``."""
    return lambda fn: fn


def __getattr__(name: str) -> Any:
    return absent.name_of("onnx", name)
