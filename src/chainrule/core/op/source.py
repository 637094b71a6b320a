"""Functions made from source, as `dataclasses` makes ``__init__``: a template filled in, compiled, and shown by debuggers.

A template is the text of a function with lines of two more kinds. What stands between ``% if …:``, ``% else:``, ``% for …:``
and ``% end`` is taken or left, or taken for each, when the function is made and not when it runs; and ``{x}`` stands for the
value of an expression. Each text is compiled once, whatever number of functions have it; those that every import needs are
written as one module, whose bytecode Python keeps.
"""

from __future__ import annotations

import _imp  # its hash is the one in Python's bytecode; `zlib` would be another library to load
import builtins
import functools
import linecache
import os
from collections.abc import Callable, Sequence
from importlib.machinery import SourceFileLoader
from itertools import count
from types import FunctionType
from typing import Any

_HERE = f"{os.path.dirname(__file__)}{os.sep}"  # what looks for the user's own frames skips those of files in this package
_numbers = count(1)


class Template:
    """The text of a function, with what may be decided of it beforehand.

    Parameters
    ----------
    text : str
        The template.
    names : str
        What is to be given when it is filled in.
    """

    def __init__(self, text: str, names: str):
        self._text, self._names = text, names
        self._fill: Callable | None = None

    def __call__(self, *given: Any) -> str:
        """Return the source with everything decided."""
        if self._fill is None:
            self._fill = _filler(self._text, self._names)
        lines: list[str] = []
        self._fill(lines.append, *given)
        return "\n".join(lines)


def _filler(text: str, names: str) -> Callable:
    """Return a function that takes `append` and the given names, and appends the lines of the source."""
    program = [f"def fill(append, {names}):"]
    depth = 1
    for line in text.strip("\n").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word != "%":
            program.append(f"{'    ' * depth}append(f{line!r})")
        elif rest == "end":
            depth -= 1
        elif rest.startswith("el"):
            program.append("    " * (depth - 1) + rest)
        else:
            program.append("    " * depth + rest)
            depth += 1
    return _executed("\n".join(program), "template")["fill"]


def made(source: str, title: str, name: str, space: dict[str, Any]) -> FunctionType:
    """Return the function that a source defines as `call`.

    Parameters
    ----------
    source : str
        One ``def``.
    title : str
        What debuggers and tracebacks call its file.
    name : str
        What the function is to be called.
    space : dict
        Its globals, which are its own.
    """
    return copied(compiled(source, title), name, space)


def copied(function: FunctionType, name: str, space: dict[str, Any]) -> FunctionType:
    """Return a function of the same text, with a name and globals of its own."""
    space.setdefault("__builtins__", builtins)
    # Code of its own: CPython adapts code to what it meets, and would go back and forth if all ops shared it.
    copy = FunctionType(function.__code__.replace(co_name=name, co_qualname=name), space, name)
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


@functools.cache
def compiled(source: str, title: str) -> FunctionType:
    """Return the function that a source defines as `call`, to be copied."""
    return _executed(source, title)["call"]


class Written(SourceFileLoader):
    """The loader of a module that is no file: Python keeps its bytecode as that of files, for as long as they are the same.

    Parameters
    ----------
    title : str
        What debuggers and tracebacks call its file.
    origins : sequence of str
        The files that decide its text, and this one.
    write : callable
        Returns the text; called if there is no bytecode, and by what shows the text.
    """

    def __init__(self, title: str, origins: Sequence[str], write: Callable[[], str]):
        super().__init__(title, f"{_HERE}{title}.py")
        self._origins, self._write = (__file__, *origins), write

    def path_stats(self, path: Any) -> dict[str, Any]:
        """Return what tells whether bytecode is of this text, in place of a time: packages of two versions may share those."""
        text = b"".join([self.get_data(origin) for origin in self._origins])
        return {"mtime": int.from_bytes(_imp.source_hash(1, text)[:4], "little"), "size": None}

    def get_data(self, path: Any) -> bytes:
        """Return the text, or what is in a file."""
        return self._write().encode() if path == self.path else super().get_data(path)

    def names(self) -> dict[str, Any]:
        """Return what the module defines."""
        linecache.lazycache(self.path, {"__name__": self.name, "__loader__": self})
        space: dict[str, Any] = {"__name__": self.name}
        exec(self.get_code(self.name), space)  # type: ignore[arg-type]
        return space


def _executed(source: str, title: str) -> dict[str, Any]:
    """Run a source that debuggers and tracebacks can show; return what it defines."""
    where = f"{_HERE}<{title} {next(_numbers)}>"
    linecache.cache[where] = (len(source), None, source.splitlines(True), where)
    space: dict[str, Any] = {}
    exec(compile(source, where, "exec"), space)
    return space
