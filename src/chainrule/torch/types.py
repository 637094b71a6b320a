"""PyTorch's ``types``: names for annotations."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from os import PathLike
from typing import Any, TypeAlias

from chainrule import Size, Tensor, device, dtype, layout

__all__ = ["Device", "FileLike", "Number", "Storage"]

_bool, _int, _float, _complex = builtins.bool, builtins.int, builtins.float, builtins.complex
_dtype, _device, _layout, _qscheme = dtype, device, layout, Any
Number: TypeAlias = int | float | bool
_Number = (int, float, bool)
_size: TypeAlias = Size | list[int] | tuple[int, ...]
_TensorOrTensors: TypeAlias = Tensor | Sequence[Tensor]
Device: TypeAlias = device | str | int | None
FileLike: TypeAlias = str | PathLike[str] | Any
Storage: TypeAlias = Any
SymInt, _symint, SymFloat, SymBool = int, int, float, bool
IntLikeType, FloatLikeType, BoolLikeType = int, float, bool
PySymType: TypeAlias = int | float | bool
py_sym_types = (int, float, bool)
