"""PyTorch's names for what its files hold, and what each is here."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Any, NoReturn

from chainrule.core.types import dtype as dtypes

_STORAGES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8",
    "BoolStorage": "bool", "ComplexFloatStorage": "complex64", "ComplexDoubleStorage": "complex128",
}  # fmt: skip
_UNTYPED = ("uint16", "uint32", "uint64")  # dtypes that have no storage of their own


class Name:
    """A name of PyTorch's that a file refers to; as PyTorch need not be there, it is only a name."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __call__(self, *args: Any) -> NoReturn:
        """Raise: pickle asks only whether it could be called."""
        raise TypeError(f"{self.module}.{self.name} is a name in a file")


class StorageKind:
    """A kind of storage, as a file names it: by the dtype that it holds, or None for bytes."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: dtypes.dtype | None) -> None:
        self.dtype = dtype


def is_typed(dtype: dtypes.dtype) -> bool:
    """Return whether PyTorch has a kind of storage for a dtype."""
    return dtype.name not in _UNTYPED


def storage_name(dtype: dtypes.dtype) -> tuple[str, str]:
    """Return module and name of the kind of storage that holds a dtype."""
    return ("torch", f"{dtype.old_name}Storage") if is_typed(dtype) else ("torch.storage", "UntypedStorage")


def plain(module: str, name: str) -> Any:
    """Return what is harmless in any file, by PyTorch's name: a container, a dtype, a kind of storage; None for other names."""
    if module == "collections":
        return {"OrderedDict": OrderedDict, "Counter": Counter}.get(name)
    if module not in ("torch", "torch.storage"):
        return None
    if name in _STORAGES:
        return StorageKind(dtypes.named(_STORAGES[name]))
    if name == "UntypedStorage":
        return StorageKind(None)
    return dtypes.named(name) if name in _UNTYPED or name in _STORAGES.values() else None
