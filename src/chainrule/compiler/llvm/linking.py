"""Object code of x86-64 Linux in memory, without LLVM: what the cache kept runs before llvmlite, 30 ms to import, is there.

It takes what compiled nests consist of: instructions and constants, which refer to each other and to functions of the C library
or Python. Anything else is refused (`UnlinkableError`), and left to LLVM's own linker. Numbers are those of the System V ABI's
AMD64 supplement.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import struct
import sys
from collections.abc import Sequence
from functools import cache

HERE = sys.platform == "linux" and platform.machine() == "x86_64" and sys.maxsize > 2**32
_HEADER, _SECTION, _SYMBOL, _ADDEND = "<16sHHIQQQIHHHHHH", "<IIQQQQIIQQ", "<IBBHQQ", "<QQq"
_BITS, _SYMBOLS, _RELOCATIONS = 1, 2, 4  # types of sections
_WRITE, _ALLOC, _TLS = 1, 2, 0x400  # flags of sections
_ABSOLUTE, _RELATIVE, _TABLE = (
    (1,),
    (2, 4),
    (9, 41, 42),
)  # kinds of references: 64 bits; 32 bits, of code; by a table of addresses
_JUMP = b"\xff\x25\0\0\0\0"  # to the address that follows
_MASK = 2**64 - 1
MOST = 1 << 28  # bytes of code


class UnlinkableError(RuntimeError):
    """Object code has what is not linked here."""


class Linked:
    """Functions in memory, by name; freed with this object."""

    def __init__(self, images: Sequence[bytes], names: Sequence[str]):
        if not HERE:
            raise UnlinkableError("not x86-64 Linux")
        try:
            start, found = self._written([_Object(image) for image in images])
            self._found = {name: found[name] for name in names}
        except (struct.error, LookupError, ValueError, OverflowError, MemoryError, OSError) as error:
            raise UnlinkableError(f"{type(error).__name__}: {error}") from error
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        if protect(start, len(self._memory), mmap.PROT_READ | mmap.PROT_EXEC):
            raise UnlinkableError("memory may not be executed")

    def _written(self, objects: list[_Object]) -> tuple[int, dict[str, int]]:
        """Write objects to new memory; return where it is, and the functions' addresses."""
        size = 0
        found: dict[str, int] = {}
        for o in objects:
            size = o.place(size)
        if size > MOST:
            raise ValueError(f"{size} bytes")
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self._memory = mmap.mmap(-1, max(size, 1), flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        for o in objects:
            o.write(self._memory, start)
            found |= o.exported(start)
        return start, found

    def __getitem__(self, name: str) -> int:
        return self._found[name]


class _Object:
    """An object file."""

    def __init__(self, image: bytes):
        self.image = image
        ident, kind, machine, *_, table, _, _, _, _, size, count, names = struct.unpack_from(_HEADER, image)
        if ident[:6] != b"\x7fELF\2\1" or (kind, machine, size) != (1, 62, struct.calcsize(_SECTION)):
            raise ValueError("of another kind")
        self.sections = [struct.unpack_from(_SECTION, image, table + k * size) for k in range(count)]
        strings = self._content(self.sections[names])
        self.placed: dict[int, int] = {}
        self.symbols: list[tuple[str, int, int, int]] = []
        self.references: list[tuple[int, int, int, int, int]] = []
        self._wanted: set[int] = set()
        for k, (name, kind, flags, *_) in enumerate(self.sections):
            title = _text(strings, name)
            if flags & _ALLOC and not title.startswith((".eh_frame", ".note")):
                constant = not flags & _WRITE or title.startswith(".data.rel.ro")
                if kind != _BITS or flags & _TLS or not constant:
                    raise ValueError(f"section {title}")
                self._wanted.add(k)
        for section in self.sections:
            if section[1] == _SYMBOLS:
                self._read_symbols(section)
        for section in self.sections:
            if section[1] == _RELOCATIONS and section[7] in self._wanted:
                for at, info, addend in struct.iter_unpack(_ADDEND, self._content(section)):
                    self.references.append((section[7], at, info >> 32, info & 0xFFFFFFFF, addend))
        self.outside = sorted({s for _, _, s, kind, _ in self.references if not self.symbols[s][2] or kind in _TABLE})

    def _content(self, section: tuple) -> bytes:
        offset, size = section[4:6]
        if offset + size > len(self.image):
            raise ValueError("cut off")
        return self.image[offset : offset + size]

    def _read_symbols(self, section: tuple) -> None:
        strings = self._content(self.sections[section[6]])
        for name, info, _, index, value, _ in struct.iter_unpack(_SYMBOL, self._content(section)):
            self.symbols.append((_text(strings, name), info >> 4, index, value))

    def place(self, start: int) -> int:
        """Give the sections and jumps places after what is there; return where they end."""
        for k in sorted(self._wanted):
            alignment = max(self.sections[k][8], 1)
            start = -(-start // alignment) * alignment
            self.placed[k] = start
            start += self.sections[k][5]
        start = -(-start // 16) * 16
        self.jumps = {s: start + 16 * k for k, s in enumerate(self.outside)}
        return start + 16 * len(self.outside)

    def _value(self, symbol: int, start: int) -> int:
        """Return a symbol's address."""
        name, _, index, value = self.symbols[symbol]
        if not index:
            return _address(name)
        if index not in self.placed:
            raise UnlinkableError(f"symbol {name!r}")
        return start + self.placed[index] + value

    def write(self, memory: mmap.mmap, start: int) -> None:
        """Write code and constants, referring to where they are."""
        for k, at in self.placed.items():
            content = self._content(self.sections[k])
            memory[at : at + len(content)] = content
        for symbol, at in self.jumps.items():
            memory[at : at + 14] = _JUMP + struct.pack("<Q", self._value(symbol, start))
        for section, offset, symbol, kind, addend in self.references:
            at = self.placed[section] + offset
            if at + (8 if kind in _ABSOLUTE else 4) > self.placed[section] + self.sections[section][5]:
                raise UnlinkableError("a reference outside its section")
            if kind in _ABSOLUTE:
                memory[at : at + 8] = struct.pack("<Q", (self._value(symbol, start) + addend) & _MASK)
            elif kind in _TABLE:
                memory[at : at + 4] = struct.pack("<i", self.jumps[symbol] + len(_JUMP) + addend - at)
            elif kind in _RELATIVE:
                target = self.jumps[symbol] if symbol in self.jumps else self._value(symbol, start) - start
                memory[at : at + 4] = struct.pack("<i", target + addend - at)
            else:
                raise UnlinkableError(f"a reference of kind {kind}")

    def exported(self, start: int) -> dict[str, int]:
        """Return the addresses of global symbols."""
        return {name: start + self.placed[k] + value for name, bind, k, value in self.symbols if bind and k in self.placed}


def _text(strings: bytes, start: int) -> str:
    return strings[start : strings.index(b"\0", start)].decode()


@cache
def _address(name: str) -> int:
    """Return the address of a function of the C library or Python."""
    try:
        return ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0
    except AttributeError:
        raise UnlinkableError(f"there is no function {name!r}") from None
