"""Notes at nodes: where each was made, and of which values, while a context asks for it.

``autograd.graph.noting`` is how the user asks; anomaly mode, and what explains gradients or shows a graph, ask too. A note
holds arrays and version counters, never a tensor of its node's own level: that would keep the graph alive that it is a note in.
"""

from __future__ import annotations

import linecache
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from types import CodeType
from typing import Any

import numpy as np

from chainrule.core.graph.nodes import Node, Version, engine_node
from chainrule.core.mode.grad_mode import modes
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import bottom, lies_in_memory, version_of

_PYTHON, _NUMPY = [os.path.dirname(file) + os.sep for file in (os.__file__, np.__file__)]
_PACKAGE = f"{os.path.dirname(os.path.dirname(os.path.dirname(__file__)))}{os.sep}"
EVALUATING: ContextVar[Node | None] = ContextVar("chainrule.evaluating", default=None)  # the node that is pulling


def user_frames() -> tuple[list[tuple[CodeType, int]], list[str]]:
    """Return the (code, line number) pairs of the frames outside of this package, outermost first; and what the last called.

    That is the names of the functions of this package that led from the user's innermost line to here, outermost first.
    """
    found: list = []
    called = []
    frame: Any = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if not code.co_filename.startswith(_PACKAGE):
            found.append((code, frame.f_lineno))
        elif not found:
            called.append(code.co_name)
        frame = frame.f_back
    found.reverse()
    called.reverse()
    return found, called


class Place:
    """A place in the user's program: the frames that led there.

    Attributes
    ----------
    frames : list of (code, int)
        The user's code objects and line numbers, outermost first.
    called : list of str
        The functions of this package that were called from there, outermost first.
    """

    __slots__ = ("called", "frames")

    def __init__(self) -> None:
        self.frames, self.called = user_frames()

    @classmethod
    def of(cls, f: Callable) -> Place:
        """Return the place where a function is defined."""
        place = cls.__new__(cls)
        code = getattr(f, "__code__", None)
        place.frames, place.called = [] if code is None else [(code, code.co_firstlineno)], []
        return place

    def _innermost(self) -> tuple[CodeType, int] | None:
        """Return the innermost frame, if it can be of one that is not of Python's own modules or NumPy's."""
        for code, line in reversed(self.frames):
            file = code.co_filename
            if not (file.startswith(_NUMPY) or (file.startswith(_PYTHON) and "site-packages" not in file)):
                return code, line
        return self.frames[-1] if self.frames else None

    @property
    def file(self) -> str:
        """The innermost frame's file; "" where no frame is the user's."""
        frame = self._innermost()
        return "" if frame is None else frame[0].co_filename

    @property
    def line(self) -> int:
        """The innermost frame's line number; 0 where no frame is the user's."""
        frame = self._innermost()
        return 0 if frame is None else frame[1]

    @property
    def function(self) -> str:
        """The name of the function of that frame."""
        frame = self._innermost()
        return "" if frame is None else frame[0].co_name

    @property
    def text(self) -> str:
        """The source of that line, stripped; "" where it cannot be read."""
        return linecache.getline(self.file, self.line).strip() if self.frames else ""

    def lines(self) -> list[str]:
        """Return the frames as `traceback` formats them."""
        found = [(code.co_filename, line, code.co_name, None) for code, line in self.frames]
        return traceback.StackSummary.from_list(found).format()  # type: ignore[arg-type]

    def __str__(self) -> str:
        if not self.frames:
            return "a line that is not known"
        return ": ".join([line.strip() for line in self.lines()[-1].strip().splitlines()])


class Note(Place):
    """What is noted of a node.

    Attributes
    ----------
    frames : list of (code, int)
        Where the user's program made it, outermost first; `file`, `line`, `function` and `text` tell the innermost.
    parent : Node or None
        The node for whose derivative this one was computed, where a backward pass made it.
    has_values : bool
        Whether its operands and results were noted too.
    """

    __slots__ = ("_made_at", "_operands", "_results", "parent")

    def __init__(self, parent: Node | None):
        super().__init__()
        self.parent = parent
        self._made_at = 0
        self._operands: tuple = ()
        self._results: tuple = ()

    @property
    def has_values(self) -> bool:
        """Whether its operands and results were noted too."""
        return bool(self._results)

    def place(self) -> Place:
        """Return the place alone, which keeps no values."""
        place = Place.__new__(Place)
        place.frames, place.called = self.frames, self.called
        return place

    def operands(self) -> list:
        """Return the op's operands: arrays, numbers, None for one that there was not, :data:`OVERWRITTEN`."""
        return [self._as_it_was(*each) for each in self._operands]

    def results(self) -> list:
        """Return the node's results likewise."""
        return [self._as_it_was(*each) for each in self._results]

    def _as_it_was(self, payload: Any, version: Version | None) -> Any:
        return OVERWRITTEN if version is not None and version.stamp > self._made_at else bottom(payload)

    def metadata(self) -> dict:
        """Return what PyTorch keeps of this in a node's `metadata`."""
        found: dict[str, Any] = {"traceback_": self.lines()}
        return found if self.parent is None else {**found, "parent_": self.parent}


class _Overwritten:
    """Stands for a value that was noted and whose memory has been written to since."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "OVERWRITTEN"


OVERWRITTEN = _Overwritten()


def note(node: Node) -> None:
    """Note where a node is made."""
    node._note = Note(EVALUATING.get())


def note_values(node: Node, args: Sequence, outs: Sequence, level: int) -> None:
    """Note the values of an op's arguments and results at a level, if they are wanted."""
    if modes().noting.values:
        found: Note = node._note
        found._made_at = node.id
        found._operands = tuple([_held(a, level) for a in args])
        found._results = tuple([_held(o, level) for o in outs])


def note_of(shown: Any) -> Note | None:
    """Return the note of a node, or of what `grad_fn` shows of it; None where there is none."""
    return getattr(engine_node(shown), "_note", None)


def _held(a: Any, level: int) -> tuple[Any, Version | None]:
    if not isinstance(a, Tensor):
        return a, None
    payload = a._data if a._level == level else a
    return payload, version_of(a) if lies_in_memory(a._data) else None


class Noting:
    """What is noted of each node that is recorded: where it was made and, if `values`, of what and with which results."""

    __slots__ = ("values",)

    def __init__(self, values: bool):
        self.values = values
