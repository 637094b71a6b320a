"""Writing PyTorch's files: a zip archive of one pickle and the memory of each tensor, once.

The pickle names PyTorch's functions and types, so PyTorch reads it, and chainrule does not need PyTorch to write it.
"""

from __future__ import annotations

import io
import pickle
import struct
import sys
import zipfile
import zlib
from collections import OrderedDict
from hashlib import sha256
from typing import Any

import numpy as np

from chainrule.core.tensor.conversion import state_of
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import array_of
from chainrule.core.types.device import device
from chainrule.core.types.dtype import dtype
from chainrule.core.types.dtype import of as dtype_of
from chainrule.core.types.shape import Size
from chainrule.nn.parameter import Buffer, Parameter
from chainrule.serialization.names import Name, is_typed, storage_name

ALIGNMENT = 64  # of each memory in the archive, so that it can be mapped
EPOCH = (1980, 0, 0, 0, 0, 0)  # the time of all entries, as PyTorch has it: files of the same content are the same


class Memory:
    """The memory that one or more tensors are views of, as a vector."""

    __slots__ = ("array", "dtype", "key")

    def __init__(self, key: str, array: np.ndarray, kind: dtype) -> None:
        self.key, self.array, self.dtype = key, array, kind


_Pickler: Any = pickle._Pickler  # the one in Python: the other cannot name what is not there


class Pickler(_Pickler):
    """Pickles objects as PyTorch does; tensors' memory is collected in `memories`."""

    def __init__(self, file: Any, protocol: int) -> None:
        super().__init__(file, protocol)
        self.memories: dict[int, Memory] = {}
        self._names: dict[tuple[str, str], Name] = {}
        self._kept: list[Any] = []  # what is known by its address must live as long as this

    def _name(self, module: str, name: str) -> Name:
        return self._names.setdefault((module, name), Name(module, name))

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        """Write an object."""
        if isinstance(obj, dtype):
            obj = self._name("torch", obj.name)
        elif obj is Tensor or obj is Parameter:
            obj = self._name("torch" if obj is Tensor else "torch.nn.parameter", obj.__name__)
        if obj.__class__ is not Name:
            super().save(obj, save_persistent_id)
        elif (known := self.memo.get(id(obj))) is not None:
            self.write(self.get(known[0]))
        else:
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
            self.memoize(obj)

    def persistent_id(self, obj: Any) -> Any:
        """Return how the pickle refers to a memory."""
        if obj.__class__ is not Memory:
            return None
        kind = self._name(*storage_name(obj.dtype))
        size = obj.array.size if is_typed(obj.dtype) else obj.array.nbytes
        return ("storage", kind, obj.key, "cpu", size)

    def reducer_override(self, obj: Any) -> Any:
        """Return how PyTorch rebuilds what it has a name for."""
        if isinstance(obj, Tensor):
            return self._reduced(obj)
        if isinstance(obj, Size):
            return self._name("torch", "Size"), (tuple(obj),)
        if isinstance(obj, OrderedDict) and type(obj).__module__.startswith(("chainrule.", "torch.")):  # a module's state dict
            return OrderedDict, (), {"_metadata": obj._metadata}, None, iter(obj.items())  # type: ignore[attr-defined]
        if isinstance(obj, device):
            return self._name("torch", "device"), obj.__reduce__()[1]
        return NotImplemented

    def _reduced(self, t: Tensor) -> tuple:
        state = state_of(t)
        cls = Tensor if t._bit else type(t)  # one that is conjugated or negated when it is read is saved as it reads
        if cls is Parameter:
            data = wrap(array_of(t))
            self._kept.append(data)
            args: tuple = (data, t.requires_grad, OrderedDict())
            if not state:
                return self._name("torch._utils", "_rebuild_parameter"), args
            return self._name("torch._utils", "_rebuild_parameter_with_state"), (*args, state)
        rebuild, args = self._parts(t)
        if cls is Tensor and not state:
            return rebuild, args
        if cls is Buffer:
            cls, state = Tensor, {**state, "_is_buffer": True}
        return self._name("torch._tensor", "_rebuild_from_type_v2"), (rebuild, cls, args, state)

    def _parts(self, t: Tensor) -> tuple[Name, tuple]:
        """Return the function that rebuilds a tensor, and its memory, place and layout there."""
        array = array_of(t)
        memory, offset = self._memory(array)
        strides = tuple(s // array.itemsize for s in array.strides)
        args: tuple = (memory, offset, tuple(array.shape), strides, t.requires_grad, OrderedDict())
        if is_typed(memory.dtype):
            return self._name("torch._utils", "_rebuild_tensor_v2"), args
        return self._name("torch._utils", "_rebuild_tensor_v3"), (*args, memory.dtype)

    def _memory(self, array: np.ndarray) -> tuple[Memory, int]:
        """Return the memory that an array is a view of, and where in it the array begins, counted in elements."""
        owner = array
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        start = array.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
        is_whole = owner.flags.c_contiguous or owner.flags.f_contiguous
        if not is_whole or any(step % array.itemsize or step < 0 for step in (start, owner.nbytes, *array.strides)):
            return self._memory(array.copy())
        kind, memory = dtype_of(array.dtype), self.memories.get(id(owner))
        if memory is None:
            self._kept.append(owner)
            vector = (owner if owner.flags.c_contiguous else owner.T).reshape(-1).view(array.dtype)
            memory = self.memories[id(owner)] = Memory(str(len(self.memories)), vector, kind)
        elif memory.dtype is not kind:
            raise RuntimeError(
                "Cannot save multiple tensors or storages that view the same data as different types: "
                f"{memory.dtype} and {kind}; save a clone of one"
            )
        return memory, start // array.itemsize


def write(obj: Any, file: Any, root: str, protocol: int) -> None:
    """Write an object to a file that is open for writing bytes; all entries are in a folder `root`."""
    content = io.BytesIO()
    pickler = Pickler(content, protocol)
    pickler.dump(obj)
    digest = sha256(content.getvalue())
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:

        def entry(name: str, data: Any) -> None:
            view = memoryview(data).cast("B")
            info = zipfile.ZipInfo(f"{root}/{name}", EPOCH)
            info.file_size = view.nbytes
            is_large = view.nbytes * 1.05 > zipfile.ZIP64_LIMIT  # zipfile's own measure: such entries have 20 bytes more
            begin = archive.fp.tell() + 30 + len(info.filename.encode()) + 4 + 20 * is_large  # type: ignore[union-attr]
            padding = -begin % ALIGNMENT
            info.extra = struct.pack("<2sH", b"FB", padding) + b"Z" * padding
            with archive.open(info, "w") as to:
                to.write(view)

        entry("data.pkl", content.getvalue())
        entry(".format_version", b"1")
        entry(".storage_alignment", str(ALIGNMENT).encode())
        entry("byteorder", sys.byteorder.encode())
        for memory in pickler.memories.values():
            data = memory.array.view(np.uint8)
            digest.update(str(zlib.crc32(data.data)).encode())
            entry(f"data/{memory.key}", data)
        entry("version", b"3\n")
        entry(".data/serialization_id", str(int(digest.hexdigest(), 16))[:40].rjust(40, "0").encode())
