"""Reading PyTorch's files, of its zip format and of the older one.

Files may come from anywhere. What they claim (sizes, places, counts) is compared with the file's own length before anything is
allocated, and what is not on a list is refused by name.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
import sys
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.serialization.names import StorageKind
from chainrule.serialization.unpickling import FullUnpickler, PlainUnpickler, Storage

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # with which files of the older format begin
CUDA = (
    "Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is False. If you are running on a "
    "CPU-only machine, please use torch.load with map_location=torch.device('cpu') to map your storages to the CPU."
)
BROKEN = "PytorchStreamReader failed reading zip archive: {}: the file is truncated or corrupt"
ZIP_ERRORS = (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError)  # what zipfile raises of broken files

Locate = Callable[[str], None]


def read(file: Any, path: str | None, is_plain: bool, locate: Locate) -> Any:
    """Read the object in a file that is open; `path` is where its memory is to be mapped from, if it is."""
    start = file.tell()
    length = file.seek(0, io.SEEK_END) - start
    file.seek(start)
    head = file.read(9)
    file.seek(start)
    if not head:
        raise EOFError("Ran out of input: the file is empty")
    if head[8:] == b"{":
        raise pickle.UnpicklingError(
            "this is no file of PyTorch's but one of safetensors: chainrule.serialization.safetensors.load_file reads it"
        )
    unpickler = PlainUnpickler if is_plain else FullUnpickler
    if head[:2] == b"PK":
        return _Archive(file, length, path, locate).load(unpickler)
    if path is not None:
        raise RuntimeError("mmap can only be used with files saved with PyTorch's zip format; save it again to map it")
    return _Stream(file, length, locate).load(unpickler)


def native(kind: StorageKind) -> np.dtype:
    """Return the NumPy dtype of a kind of storage."""
    return np.dtype(np.uint8) if kind.dtype is None else kind.dtype.numpy


class _Archive:
    """A file of the zip format: the pickle ``data.pkl``, and an entry for each storage."""

    def __init__(self, file: Any, length: int, path: str | None, locate: Locate) -> None:
        self.length, self.path, self.locate = length, path, locate
        try:
            self.zip = zipfile.ZipFile(file)
        except Exception as error:  # whatever zipfile stumbles over
            raise RuntimeError(BROKEN.format("failed finding central directory")) from error
        self.entries = {info.filename: info for info in self.zip.infolist()}
        first = next(iter(self.entries), "")
        self.root, _, _ = first.partition("/")
        self.left = length  # bytes that storages may still have: entries that overlap could make much of a small file
        self.storages: dict[str, Storage] = {}
        if f"{self.root}/constants.pkl" in self.entries:
            raise RuntimeError(
                "this is a TorchScript program, which PyTorch's torch.jit.load reads: save the state dict instead"
            )
        order = self._bytes("byteorder") if f"{self.root}/byteorder" in self.entries else b"little"
        if order not in (b"little", b"big"):
            raise RuntimeError(BROKEN.format(f"unknown byte order {order[:20]!r}"))
        self.is_swapped = order.decode() != sys.byteorder

    def load(self, unpickler: type) -> Any:
        """Return the object."""
        return unpickler(io.BytesIO(self._bytes("data.pkl")), self._storage).load()

    def _entry(self, name: str) -> zipfile.ZipInfo:
        info = self.entries.get(f"{self.root}/{name}")
        if info is None:
            raise RuntimeError(BROKEN.format(f"file not found: {name}"))
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise RuntimeError(BROKEN.format(f"{name} is compressed or encrypted, which PyTorch's files never are"))
        if info.file_size != info.compress_size or not 0 <= info.header_offset <= self.length - info.file_size:
            raise RuntimeError(BROKEN.format(f"{name} claims {info.file_size} bytes"))
        return info

    def _bytes(self, name: str) -> bytes:
        try:
            return self.zip.read(self._entry(name))
        except ZIP_ERRORS as error:
            raise RuntimeError(BROKEN.format(f"{name}: {error}")) from error

    def _storage(self, kind: StorageKind, key: str, location: str, numel: int, view: Any) -> Storage:
        found = self.storages.get(key)
        if found is None:
            self.locate(location)
            found = self.storages[key] = Storage(self._memory(kind, key, numel))
        return found.checked(native(kind), numel)

    def _memory(self, kind: StorageKind, key: str, numel: int) -> np.ndarray:
        info, d = self._entry(f"data/{key}"), native(kind)
        if info.file_size != numel * d.itemsize:
            raise RuntimeError(BROKEN.format(f"storage {key} should have {numel * d.itemsize} bytes, not {info.file_size}"))
        self.left -= info.file_size
        if self.left < 0:
            raise RuntimeError(BROKEN.format("storages overlap"))
        if self.path is not None and info.file_size and not self.is_swapped:
            return np.memmap(self.path, d, "c", self._place(info), numel).view(np.ndarray)
        array = np.empty(numel, d)
        view = memoryview(array.view(np.uint8))  # type: ignore[arg-type]
        try:
            source: Any
            with self.zip.open(info) as source:
                done = 0
                while done < len(view) and (more := source.readinto(view[done:])):
                    done += more
        except ZIP_ERRORS as error:
            raise RuntimeError(BROKEN.format(f"storage {key}: {error}")) from error
        if done < len(view):
            raise RuntimeError(BROKEN.format(f"storage {key} ends early"))
        return array.byteswap() if self.is_swapped else array

    def _place(self, info: zipfile.ZipInfo) -> int:
        """Return where an entry's data begin: after its own header, whose extra field is not the directory's."""
        file: Any = self.zip.fp
        file.seek(info.header_offset)
        header = file.read(30)
        if len(header) < 30 or header[:4] != b"PK\3\4":
            raise RuntimeError(BROKEN.format(f"{info.filename} is not where the directory has it"))
        place = info.header_offset + 30 + sum(struct.unpack("<HH", header[26:30]))
        if place + info.file_size > self.length:
            raise RuntimeError(BROKEN.format(f"{info.filename} claims {info.file_size} bytes"))
        return place


class PyTorchFileReader:
    """The parts of a file of the zip format, under PyTorch's name: its pickle and the bytes of each storage.

    Parameters
    ----------
    file : str, path or file
        A file that `save` wrote, or one that is open for reading bytes.

    Raises
    ------
    RuntimeError
        If there is no such file, or it is truncated or corrupt.
    """

    def __init__(self, file: Any) -> None:
        if isinstance(file, (str, os.PathLike)):
            try:
                length = os.path.getsize(file)
            except OSError as error:
                raise RuntimeError(f"open file failed because of errno {error.errno} on fopen: {error.strerror}") from error
        else:
            length = file.seek(0, io.SEEK_END)
        self._archive = _Archive(file, length, None, no_cuda)

    def get_all_records(self) -> list[str]:
        """Return the names of all parts."""
        return [name.partition("/")[2] for name in self._archive.entries]

    def has_record(self, name: str) -> bool:
        """Tell whether there is a part of this name."""
        return f"{self._archive.root}/{name}" in self._archive.entries

    def get_record(self, name: str) -> bytes:
        """Return the bytes of a part."""
        return self._archive._bytes(name)


class _Stream:
    """A file of the format before PyTorch 1.6: four pickles, the keys of the storages, and their bytes."""

    def __init__(self, file: Any, length: int, locate: Locate) -> None:
        self.file, self.length, self.locate = file, length, locate
        self.storages: dict[str, Storage] = {}
        self.left = length

    def load(self, unpickler: type) -> Any:
        """Return the object."""
        plain = PlainUnpickler
        try:
            magic = plain(self.file, self._storage).load()
        except pickle.UnpicklingError as error:
            raise pickle.UnpicklingError("this is none of PyTorch's files: it begins as no format of theirs") from error
        if magic != MAGIC:
            raise RuntimeError("Invalid magic number; corrupt file? This is none of PyTorch's files")
        if (version := plain(self.file, self._storage).load()) != PROTOCOL:
            raise RuntimeError(f"Invalid protocol version: {version}")
        system = plain(self.file, self._storage).load()
        is_swapped = isinstance(system, dict) and system.get("little_endian") is not (sys.byteorder == "little")
        obj = unpickler(self.file, self._storage).load()
        keys = plain(self.file, self._storage).load()
        if not isinstance(keys, list) or set(keys) != set(self.storages):
            raise RuntimeError("Invalid list of storages; corrupt file?")
        for key in keys:
            array = self.storages[key].array
            count = self.file.read(8)
            if len(count) < 8 or struct.unpack("<q", count)[0] != array.size:
                raise RuntimeError(f"storage {key} should have {array.size} elements; the file is truncated or corrupt")
            data = self.file.read(array.nbytes)
            if len(data) != array.nbytes:
                raise RuntimeError(f"storage {key} ends early; the file is truncated or corrupt")
            array.view(np.uint8)[:] = np.frombuffer(data, np.uint8)
            if is_swapped:
                array.byteswap(inplace=True)
        return obj

    def _storage(self, kind: StorageKind, key: str, location: str, numel: int, view: Any) -> Storage:
        found, d = self.storages.get(key), native(kind)
        if found is None:
            self.locate(location)
            self.left -= numel * d.itemsize
            if self.left < 0:
                raise RuntimeError(f"storage {key} claims {numel} elements; the file is truncated or corrupt")
            found = self.storages[key] = Storage(np.zeros(numel, d))
        found.checked(d, numel)
        if view is None:
            return found
        _, offset, size = view
        if not (isinstance(offset, int) and isinstance(size, int) and 0 <= offset <= offset + size <= numel):
            raise pickle.UnpicklingError(f"storage {key} has {numel} elements: no place for {size} at {offset}")
        return found.part(offset, size)


def no_cuda(location: str) -> None:
    """Raise for memory that was on a device."""
    if location != "cpu":
        raise RuntimeError(
            CUDA if location.startswith("cuda") else f"memory was on device {location!r}: give map_location='cpu'"
        )
