"""Storages: the memory below tensors, as bytes. Views of one tensor have one storage; programs compare and map it."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import memory_of
from chainrule.core.types.device import device as Device
from chainrule.functions.creation.create import check_device
from chainrule.functions.creation.memory import mapped

__all__ = ["UntypedStorage", "is_storage"]


class UntypedStorage:
    """The bytes of one piece of memory, which tensors show.

    Parameters
    ----------
    size : int
        How many bytes; what is in them is by chance.
    device : device or str, optional
        Only the CPU.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.zeros(3, dtype=cr.uint8)
    >>> x.untyped_storage()[1] = 7
    >>> x[1:].untyped_storage().data_ptr() == x.untyped_storage().data_ptr(), x.tolist()
    (True, [0, 7, 0])
    """

    __slots__ = ("_bytes",)
    is_cuda = is_sparse = is_sparse_csr = is_hpu = False

    def __init__(self, size: int = 0, *, device: Any = None) -> None:
        check_device(device)
        self._bytes = np.empty(size, np.uint8)

    @classmethod
    def _of(cls, memory: np.ndarray) -> UntypedStorage:
        made = cls.__new__(cls)
        made._bytes = memory
        return made

    @classmethod
    def from_file(cls, filename: Any, shared: bool = False, nbytes: int = 0) -> UntypedStorage:
        """Return the memory of a file, which is read as it is used.

        Parameters
        ----------
        filename : str or path
        shared : bool
            Whether writes go to the file, which is made if it is not there, and grown if it is too short.
        nbytes : int
            How many bytes.

        Raises
        ------
        RuntimeError
            If the file cannot be opened, or is shorter than asked for and not shared.
        """
        return cls._of(mapped(os.fspath(filename), shared, nbytes, np.dtype(np.uint8)))

    @property
    def device(self) -> Device:
        """The CPU."""
        return Device("cpu")

    def untyped(self) -> UntypedStorage:
        """Return the storage itself: it has no dtype."""
        return self

    cpu = untyped

    def data_ptr(self) -> int:
        """Return the address of the first byte; 0 if there is none."""
        return self._bytes.ctypes.data if self._bytes.size else 0

    def nbytes(self) -> int:
        """Return how many bytes there are."""
        return self._bytes.size

    size = __len__ = nbytes

    def element_size(self) -> int:
        """Return the size of an element: of a byte."""
        return 1

    def tolist(self) -> list[int]:
        """Return the bytes as numbers."""
        return self._bytes.tolist()

    def clone(self) -> UntypedStorage:
        """Return a copy."""
        return self._of(self._bytes.copy())

    def copy_(self, source: UntypedStorage, non_blocking: bool = False) -> UntypedStorage:
        """Write another's bytes, of which there must be as many."""
        if source.nbytes() != self.nbytes():
            raise RuntimeError(f"size does not match, self was {self.nbytes()} bytes but src was {source.nbytes()} bytes")
        self._bytes[:] = source._bytes
        return self

    def fill_(self, value: int) -> UntypedStorage:
        """Write one value into all bytes."""
        self._bytes[:] = value
        return self

    def is_shared(self) -> bool:
        """Tell whether the memory is shared between processes: never."""
        return False

    is_pinned = is_shared

    def __iter__(self) -> Any:
        return iter(self.tolist())

    def __getitem__(self, place: Any) -> Any:
        if not isinstance(place, slice):
            return int(self._bytes[place])
        if place.step not in (None, 1):
            raise RuntimeError(f"Trying to slice with a step of {place.step}, but only a step of 1 is supported")
        return self._of(self._bytes[place])

    def __setitem__(self, place: Any, value: int) -> None:
        self._bytes[place] = value

    def __repr__(self) -> str:
        shown = "".join(f" {byte}\n" for byte in self._bytes[:1000])
        more = "" if self.nbytes() <= 1000 else " ...\n"
        return f"{shown}{more}[{type(self).__module__}.{type(self).__name__}(device=cpu) of size {self.nbytes()}]"

    def __dlpack__(self, **options: Any) -> Any:
        """Return a DLPack capsule: what makes arrays of a storage shares its memory."""
        return self._bytes.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        """Return DLPack's name of the CPU."""
        return self._bytes.__dlpack_device__()


class _Span:
    """The bytes of an array from its first to its last, whatever its strides are; lives as long as they are used."""

    def __init__(self, array: np.ndarray) -> None:
        first, end = byte_bounds(array) if array.size else (array.ctypes.data,) * 2
        self._owner = array
        self.__array_interface__ = {
            "data": (first, not array.flags.writeable), "shape": (end - first,), "typestr": "|u1", "version": 3,
        }  # fmt: skip


def untyped_storage(self: Tensor) -> UntypedStorage:
    """Return the memory that this tensor shows, and all views of it: a write to either shows in both.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.ones(2, 3)
    >>> x[1].untyped_storage().nbytes(), x[1].storage_offset()
    (24, 3)
    """
    root = memory_of(self)
    while isinstance(root.base, np.ndarray):
        root = root.base
    return UntypedStorage._of(np.asarray(_Span(root)))


Tensor.untyped_storage = untyped_storage  # type: ignore[attr-defined]


def is_storage(obj: Any) -> bool:
    """Tell whether an object is a storage.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.is_storage(cr.ones(1)), cr.is_storage(cr.ones(1).untyped_storage())
    (False, True)
    """
    return isinstance(obj, UntypedStorage)
