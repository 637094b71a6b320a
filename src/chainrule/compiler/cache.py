"""Object code on disk, so that what was compiled once is not compiled again by the next process.

An entry is a file named by the hash of its key. It is believed only if it belongs to this user, nobody else may write to it,
and the hash in its head is that of its key and its content: what is truncated, corrupted or foreign is as if absent, and
overwritten. Entries are written beside and renamed, so that processes may share the folder. A folder that cannot be read or
written only means that nothing is kept: no method raises for what the disk does. Nothing here knows of LLVM.

``CHAINRULE_CACHE`` names the folder in which the cache has its own (empty or ``0``: none); ``CHAINRULE_CACHE_SIZE`` is how
many megabytes it may hold, 256 unless set. The entries used longest ago are removed first.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
import warnings
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

MAGIC = b"chainrule code 1"
HEAD = len(MAGIC) + 8 + 32  # what it is, the content's length, the hash of key and content
ENDING, UNFINISHED, SIZE = ".code", ".part", "size"
MEGABYTES = 256
ABANDONED = 3600.0  # seconds after which an unfinished file is nobody's


class Cache:
    """A folder of entries.

    Parameters
    ----------
    folder : Path, optional
        Made when first written to; None for a cache that keeps nothing.
    limit : int
        Bytes that the entries may take.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> cache = Cache(Path(mkdtemp()) / "code", limit=1000)
    >>> cache.put(b"key", b"content")
    >>> cache.get(b"key"), cache.get(b"other")
    (b'content', None)
    """

    def __init__(self, folder: Path | None, limit: int = MEGABYTES << 20):
        self.folder, self.limit = folder, limit

    def get(self, key: bytes) -> bytes | None:
        """Return the content kept under a key, or None."""
        if self.folder is None or not _is_own(self.folder):
            return None
        path = self._path(key)
        try:
            with open(path, "rb", opener=_not_followed) as file:
                about = os.fstat(file.fileno())
                if not stat.S_ISREG(about.st_mode) or not _is_safe(about) or about.st_size > self.limit + HEAD:
                    return None
                content = _content(key, file.read())
        except OSError:
            return None
        if content is not None:
            with contextlib.suppress(OSError):
                os.utime(path)
        return content

    def put(self, key: bytes, content: bytes) -> None:
        """Keep content under a key."""
        size = HEAD + len(content)
        if self.folder is None or size > self.limit or not _is_made(self.folder):
            return
        part = self.folder / f"{os.urandom(8).hex()}{UNFINISHED}"
        try:
            with open(part, "xb", opener=_private) as file:
                file.write(MAGIC + len(content).to_bytes(8, "little") + _hash(key, content) + content)
            part.replace(self._path(key))
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()
            return
        held = self._told_size()
        held = sum(size for _, size, _ in self._files()) if held is None else held + size
        self._tell_size(self._evicted() if held > self.limit else held)

    def entries(self) -> list[tuple[Path, int]]:
        """Return the entries' files and sizes in bytes."""
        return [(path, size) for path, size, _ in self._files() if path.suffix == ENDING]

    def clear(self) -> int:
        """Remove all entries and return how many there were."""
        files = list(self._files())
        for path, _, _ in files:
            with contextlib.suppress(OSError):
                path.unlink()
        if self.folder is not None:
            with contextlib.suppress(OSError):
                (self.folder / SIZE).unlink()
        return len([path for path, _, _ in files if path.suffix == ENDING and not path.exists()])

    def _path(self, key: bytes) -> Path:
        assert self.folder is not None
        return self.folder / (sha256(key).hexdigest() + ENDING)

    def _files(self) -> Iterator[tuple[Path, int, float]]:
        """Yield path, size and last use of what the cache wrote."""
        if self.folder is None:
            return
        try:
            found = list(os.scandir(self.folder))
        except OSError:
            return
        for entry in found:
            if entry.name.endswith((ENDING, UNFINISHED)):
                with contextlib.suppress(OSError):
                    about = entry.stat(follow_symlinks=False)
                    yield Path(entry.path), about.st_size, about.st_mtime

    def _told_size(self) -> int | None:
        """Return how many bytes a file of the folder says that it holds; None without the file.

        Processes that write at once may lose a count, or count twice: sweeps, which look at all files, put it right. To look
        at them in each process's first write takes 40 ms for a thousand.
        """
        assert self.folder is not None
        try:
            with open(self.folder / SIZE, "rb", opener=_not_followed) as file:
                return int(file.read(20)) if _is_safe(os.fstat(file.fileno())) else None
        except (OSError, ValueError):
            return None

    def _tell_size(self, held: int) -> None:
        assert self.folder is not None
        with contextlib.suppress(OSError), open(self.folder / SIZE, "wb", opener=_private) as file:
            file.write(b"%d" % held)

    def _evicted(self) -> int:
        """Remove what was used longest ago, until a tenth of the limit is free; and what crashed processes left.

        Returns
        -------
        int
            Bytes that are left.
        """
        files = sorted(self._files(), key=lambda file: file[2])
        held, now = sum([size for _, size, _ in files]), time.time()
        for path, size, used in files:
            abandoned = path.suffix == UNFINISHED and used < now - ABANDONED
            if abandoned or (path.suffix == ENDING and held > self.limit * 0.9):
                with contextlib.suppress(OSError):
                    path.unlink()
                    held -= size
        return held


def cache() -> Cache:
    """Return the cache that the environment asks for."""
    return _cache(os.environ.get("CHAINRULE_CACHE"), os.environ.get("CHAINRULE_CACHE_SIZE", ""))


def described() -> dict[str, str]:
    """Return what is known of the cache, for people to read: its folder, size and number of entries."""
    kept = cache()
    if kept.folder is None:
        return {"folder": "off"}
    sizes = [size for _, size in kept.entries()]
    return {
        "folder": str(kept.folder),
        "size": f"{sum(sizes) / (1 << 20):.1f} of {kept.limit >> 20} MB",
        "entries": str(len(sizes)),
    }


@lru_cache(8)
def _cache(asked: str | None, size: str) -> Cache:
    if asked in ("", "0"):
        return Cache(None)
    above = _users_folder() if asked is None else _home(asked)
    if size and not size.isdecimal():
        warnings.warn(f"CHAINRULE_CACHE_SIZE is a number of megabytes, got {size!r}; {MEGABYTES} is used", stacklevel=2)
        size = ""
    limit = int(size) if size else MEGABYTES
    return Cache(None if above is None or not limit else above.absolute() / "code", limit << 20)


def _home(path: str) -> Path | None:
    try:
        return Path(path).expanduser()
    except RuntimeError:  # there is no such user, or no home
        return None


def _users_folder() -> Path | None:
    """Return where the platform keeps what a user's programs can make anew."""
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return Path(local) / "chainrule" / "cache" if local else None
    if sys.platform == "darwin":
        return _home("~/Library/Caches/chainrule")
    named = os.environ.get("XDG_CACHE_HOME", "")
    return Path(named) / "chainrule" if os.path.isabs(named) else _home("~/.cache/chainrule")


def _hash(key: bytes, content: bytes) -> bytes:
    return sha256(sha256(key).digest() + content).digest()


def _content(key: bytes, data: bytes) -> bytes | None:
    """Return an entry's content if the entry is whole and the key's."""
    content = data[HEAD:]
    expected = MAGIC + len(content).to_bytes(8, "little") + _hash(key, content)
    return content if data[:HEAD] == expected else None


def _is_safe(about: os.stat_result) -> bool:
    """Tell whether a file or folder is this user's, and nobody else may write to it (on Windows the profile sees to it)."""
    return sys.platform == "win32" or (about.st_uid == os.geteuid() and not about.st_mode & 0o022)


def _is_own(folder: Path) -> bool:
    try:
        return _is_safe(folder.lstat())
    except OSError:
        return False


def _is_made(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    return _is_own(folder)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)


def _not_followed(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
