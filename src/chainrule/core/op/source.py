"""Functions made from source, as `dataclasses` makes ``__init__``: a template filled in, compiled, and shown by debuggers.

A template is the text of a function with lines of two more kinds. What stands between ``% if …:``, ``% else:``, ``% for …:``
and ``% end`` is taken or left, or taken for each, when the function is made and not when it runs; and ``{x}`` stands for the
value of an expression. Each text is compiled once, whatever number of functions have it.
"""

from __future__ import annotations

import builtins
import functools
import linecache
import os
from collections.abc import Callable
from itertools import count
from types import CodeType, FunctionType
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
    code, defaults = _compiled(source, title)
    space.setdefault("__builtins__", builtins)
    # Code of its own: CPython adapts code to what it meets, and would go back and forth if all ops shared it.
    function = FunctionType(code.replace(co_name=name, co_qualname=name), space, name)
    function.__kwdefaults__ = defaults
    return function


@functools.cache
def _compiled(source: str, title: str) -> tuple[CodeType, dict | None]:
    """Return the code of the function that a source defines, and its keywords' defaults."""
    function = _executed(source, title)["call"]
    return function.__code__, function.__kwdefaults__


def _executed(source: str, title: str) -> dict[str, Any]:
    """Run a source that debuggers and tracebacks can show; return what it defines."""
    where = f"{_HERE}<{title} {next(_numbers)}>"
    linecache.cache[where] = (len(source), None, source.splitlines(True), where)
    space: dict[str, Any] = {}
    exec(compile(source, where, "exec"), space)
    return space
