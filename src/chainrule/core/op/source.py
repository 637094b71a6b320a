"""Functions made from source, as `dataclasses` makes ``__init__``: a template filled in, compiled, and shown by debuggers.

A template is the text of a function with lines of two more kinds. What stands between ``% if …:``, ``% else:``, ``% for …:``
and ``% end`` is taken or left, or taken for each, when the function is made and not when it runs; and ``{x}`` stands for the
value of an expression. Each text is compiled once, whatever number of functions have it.
"""

from __future__ import annotations

import linecache
import os
from collections.abc import Callable
from typing import Any

_HERE = f"{os.path.dirname(__file__)}{os.sep}"  # what looks for the user's own frames skips those of files in this package
_makers: dict[tuple, Callable] = {}  # (text, bound names) -> what makes the function; as many as ops differ in form


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
    space: dict[str, Any] = {}
    exec("\n".join(program), space)
    return space["fill"]


def made(source: str, title: str, space: dict[str, Any], bound: dict[str, Any], name: str) -> Callable:
    """Return the function that a source defines.

    Parameters
    ----------
    source : str
        One ``def``.
    title : str
        What debuggers and tracebacks call its file.
    space : dict
        The globals of all functions of this kind.
    bound : dict
        What is this one's own: variables of an enclosing function.
    name : str
        What the function is to be called.
    """
    key = (source, *bound)
    maker = _makers.get(key)
    if maker is None:
        maker = _makers[key] = _compiled(source, f"{_HERE}<{title} {len(_makers)}>", space, tuple(bound))
    function = maker(**bound)
    # Code of its own: CPython specialises code by what it meets, and would not if all ops shared it.
    function.__code__ = function.__code__.replace(co_name=name, co_qualname=name)
    function.__name__ = function.__qualname__ = name
    return function


def _compiled(source: str, title: str, space: dict[str, Any], bound: tuple[str, ...]) -> Callable:
    head, *lines = source.splitlines()
    name = head.removeprefix("def ").partition("(")[0]
    body = [f"    {line}".rstrip() for line in (head, *lines)]
    text = "\n".join([f"def make({', '.join(bound)}):", *body, f"    return {name}", ""])
    linecache.cache[title] = (len(text), None, text.splitlines(True), title)
    found: dict[str, Any] = {}
    exec(compile(text, title, "exec"), space, found)
    return found["make"]
