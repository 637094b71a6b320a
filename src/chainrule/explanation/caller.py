"""What the program calls its tensors: the expressions that a call's arguments were written as, and what its variables hold."""

from __future__ import annotations

import ast
import inspect
import os
import sys
from typing import Any

from chainrule.core.tensor.tensor import Tensor
from chainrule.explanation.written import Written, written

_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep
_NOTHING = object()


class Caller:
    """The frame of the program that called, and the expressions of the call's arguments.

    Attributes
    ----------
    arguments, keywords
        How the arguments were written: :class:`~chainrule.explanation.written.Written`.
    """

    def __init__(self) -> None:
        frame: Any = sys._getframe(1)
        while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
            frame = frame.f_back
        self.frame = frame
        self.arguments, self.keywords = Written([], {}) if frame is None else written(frame)

    def name(self, i: int, keyword: str) -> str:
        """Return how an argument was written; "" where that is not known, or too long for a name."""
        node = self._argument(i, keyword)
        text = "" if node is None else ast.unparse(node)
        return text if len(text) <= 40 else ""

    def names(self, i: int, keyword: str, count: int) -> list[str]:
        """Return how the items of an argument were written, if it was a list or tuple of `count`."""
        node = self._argument(i, keyword)
        if isinstance(node, (ast.List, ast.Tuple)) and len(node.elts) == count:
            return [ast.unparse(item) for item in node.elts]
        return [""] * count

    def _argument(self, i: int, keyword: str) -> ast.expr | None:
        return self.arguments[i] if i < len(self.arguments) else self.keywords.get(keyword)

    def with_gradient(self, gradient: Any) -> tuple[Tensor | None, str]:
        """Return the tensor whose `.grad` was given as first argument, and how it was written; None where none was."""
        node = self._argument(0, "what")
        if not isinstance(node, ast.Attribute) or node.attr != "grad":
            return None, ""
        owner = self._value(node.value)
        if not isinstance(owner, Tensor) or getattr(owner._meta, "grad", None) is not gradient:
            return None, ""
        return owner, ast.unparse(node.value)

    def _value(self, node: ast.expr) -> Any:
        """Return what a name, an attribute or an item is in the frame; None where it would take the program's own code."""
        if isinstance(node, (ast.Constant, ast.UnaryOp)):
            try:
                return ast.literal_eval(node)
            except ValueError:
                return None
        if isinstance(node, ast.Name):
            return next((space[node.id] for space in (self.frame.f_locals, self.frame.f_globals) if node.id in space), None)
        if isinstance(node, ast.Attribute):
            return _attribute(self._value(node.value), node.attr)
        if isinstance(node, ast.Subscript):
            return _item(self._value(node.value), self._value(node.slice))
        return None

    def variables(self) -> dict[str, Any]:
        """Return what the frame's variables hold, those of the module too."""
        return {} if self.frame is None else {**self.frame.f_globals, **self.frame.f_locals}

    def name_of(self, tensor: Any) -> str:
        """Return the variable that holds a tensor, or the module's parameter that it is; "" where none does."""
        for name, value in self.variables().items():
            if value is tensor and name.isidentifier() and not name.startswith("_"):
                return name
        for name, value in self.variables().items():
            named = getattr(type(value), "named_parameters", None)
            if named is not None and not isinstance(value, type):
                for path, parameter in named(value):
                    if parameter is tensor:
                        return f"{name}.{path}"
        return ""


def _attribute(held: Any, name: str) -> Any:
    """Return an attribute, for which no code of the program's is run: what is there, or what a class of this package gives."""
    found = inspect.getattr_static(held, name, _NOTHING)
    if found is _NOTHING:
        return _given(held, "__getattr__", name)
    if isinstance(found, property):
        return found.__get__(held) if _is_ours(found.fget) else None
    if inspect.ismemberdescriptor(found):  # a slot
        try:
            return found.__get__(held)
        except AttributeError:
            return None
    return None if hasattr(type(found), "__get__") else found


def _item(held: Any, index: Any) -> Any:
    """Return an item likewise."""
    own = type(held).__getitem__ if hasattr(type(held), "__getitem__") else None
    if index.__class__ not in (int, str):
        return None
    if own is dict.__getitem__:
        return held.get(index)
    if own in (list.__getitem__, tuple.__getitem__):
        return held[index] if index.__class__ is int and -len(held) <= index < len(held) else None
    return _given(held, "__getitem__", index)


def _given(held: Any, method: str, key: Any) -> Any:
    """Return what a method of a class of this package gives for a key; None for another class's, or if it gives nothing."""
    own: Any = getattr(type(held), method, None)
    try:
        return own(held, key) if _is_ours(own) else None
    except (AttributeError, IndexError, KeyError):
        return None


def _is_ours(function: Any) -> bool:
    code = getattr(function, "__code__", None)
    return code is not None and code.co_filename.startswith(_PACKAGE)
