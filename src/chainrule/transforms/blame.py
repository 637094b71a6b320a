"""The errors of a trace: they name the user's file, line and code, and the remedy."""

from __future__ import annotations

import linecache
import os
import sys
from typing import Any

_HERE = os.path.dirname(os.path.dirname(__file__)) + os.sep


class TraceError(RuntimeError):
    """A traced function did something that a graph cannot hold."""


def _user_frame() -> tuple[Any, str]:
    """Return the innermost frame outside of this package, and the name of the function that it called."""
    frame: Any = sys._getframe(1)
    called = ""
    while frame is not None and frame.f_code.co_filename.startswith(_HERE):
        name = frame.f_code.co_name
        called = called if name in _WRAPPERS else name
        frame = frame.f_back
    return frame, called


def at() -> str:
    """Return the user's file, line and code, as it stands in an error."""
    frame, _ = _user_frame()
    if frame is None:
        return ""
    name = frame.f_code.co_filename
    text = linecache.getline(name, frame.f_lineno, frame.f_globals).strip()
    return f" at {name}:{frame.f_lineno}, in {frame.f_code.co_name}" + (f": `{text}`" if text else "")


_WRAPPERS = ("call", "method", "wrapped")  # closures around a function of a public name
_USES = {"__bool__": "A Python branch or loop", "item": ".item()", "tolist": ".tolist()", "numpy": ".numpy()"}
_USES |= {f"__{name}__": f"{name}()" for name in ("float", "int", "complex", "index")}
_USES["__array__"] = "A NumPy function"


def frozen() -> str:
    """Return the error's text for a value that is read."""
    _, called = _user_frame()
    use = _USES.get(called, f"{called.strip('_')}()")
    return (
        f"{use} needs the value of a traced tensor{at()}. A graph is one straight list of ops, in which that value would be "
        "frozen. Choose between values with chainrule.where, compute with chainrule's own ops, or decide outside of the traced "
        "function and pass a Python number."
    )


def no_pass(what: str) -> str:
    """Return the error's text for a backward pass."""
    return (
        f"{what} on a traced tensor{at()}: a graph cannot hold a backward pass into tensors' .grad. Differentiate inside with "
        "func.grad or func.vjp, or differentiate the graph."
    )
