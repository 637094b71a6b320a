"""Showing the graph of a program: what it takes a backward pass over, or has left at its end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from chainrule.autograd.graph import noting
from chainrule.core.tensor.tensor import Tensor
from chainrule.overrides import TorchFunctionMode
from chainrule.visualization.api import write
from chainrule.visualization.names import Names, place_of
from chainrule.visualization.recorded import read

_PACKAGE = f"{os.path.dirname(os.path.dirname(__file__))}{os.sep}"
_COTANGENTS = ("gradient", "grad_tensors", "grad_outputs")


class Shown(SystemExit):
    """Ends a program whose graph is written."""


class Passes(TorchFunctionMode):
    """Waits for a backward pass of the program that runs, writes the graph that it is to go over, and ends the program.

    Parameters
    ----------
    file : Path
        What is written.
    number : int
        Which pass it is, from 1.
    """

    def __init__(self, file: Path, number: int):
        super().__init__()
        self.file, self.number, self.count = file, number, 0
        self._noting = noting(values=True)

    def __enter__(self) -> Passes:
        self._noting.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        super().__exit__(*exc)
        self._noting.__exit__(*exc)

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Call a public function; before the pass that is waited for, write its graph."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name.removeprefix("tensor_") in ("backward", "grad"):
            self.count += 1
            roots = _roots(args, kwargs)
            if self.count == self.number and roots:
                names = Names().look_around(_caller())
                write(roots, self.file, names, True, _cotangents(name, args, kwargs), _title(self.number))
                raise Shown(0)
        return func(*args, **kwargs)

    def at_the_end(self, variables: Mapping[str, Any]) -> bool:
        """Write the graph of what a program has left in its variables; tell whether there was any."""
        roots = _last(variables)
        if roots:
            names = Names()
            names.take(variables)
            called = ", ".join([names.of(place_of(root))[0] for root in roots])
            write(roots, self.file, names, title=f"The graph of {called}")
        return bool(roots)


def _title(number: int) -> str:
    return "The graph of the first backward pass" if number == 1 else f"The graph of backward pass {number}"


def _roots(args: tuple, kwargs: dict) -> list[Tensor]:
    given = args[0] if args else next((kwargs[name] for name in ("self", "tensors", "outputs") if name in kwargs), None)
    tensors = [given] if isinstance(given, Tensor) else list(given) if isinstance(given, (list, tuple)) else []
    return [t for t in tensors if isinstance(t, Tensor) and t.requires_grad]


def _cotangents(name: str, args: tuple, kwargs: dict) -> Any:
    place = 2 if name == "grad" else 1
    return args[place] if len(args) > place else next((kwargs[key] for key in _COTANGENTS if key in kwargs), None)


def _caller() -> Any:
    """Return the innermost frame that is the program's."""
    frame: Any = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return frame


def _last(variables: Mapping[str, Any]) -> list[Tensor]:
    """Return the tensors among variables that others were not computed from."""
    results = [v for v in variables.values() if isinstance(v, Tensor) and not v.is_leaf]
    results = list({place_of(t): t for t in results}.values())
    behind: set[int] = set()
    for t in results:
        behind.update([id(item.source) for item in read([t])[:-1]])
    return [t for t in results if place_of(t)[0] not in behind]
