"""What tensors are called: the names that modules give to their parameters, and the variables of whoever asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import FrameType, FunctionType
from typing import Any

from chainrule.core.graph.nodes import LEAF
from chainrule.core.tensor.tensor import Tensor
from chainrule.visualization.recorded import end_of

_SEVERAL = 200  # elements of a list or dictionary that are looked at: a longer one is data


class Names:
    """The names of tensors, by the place in the graph where they stand.

    Attributes
    ----------
    parameters : dict
        Place → dotted name of a parameter or buffer.
    variables : dict
        Place → names of variables.
    modules : dict
        Dotted name of a module → name of its class.
    """

    def __init__(self) -> None:
        self.parameters: dict[Any, str] = {}
        self.variables: dict[Any, list[str]] = {}
        self.modules: dict[str, str] = {}

    def of(self, place: Any) -> list[str]:
        """Return all names of a place."""
        given = [self.parameters[place]] if place in self.parameters else []
        return given + [name for name in self.variables.get(place, ()) if name not in given]

    def take(self, given: Any) -> Names:
        """Take the names that a user gives: a module, or a mapping of names to tensors and modules."""
        if hasattr(given, "named_parameters"):
            self._module("", given)
        elif isinstance(given, Mapping):
            self._variables({str(name): value for name, value in given.items()})
        else:
            raise TypeError(f"names must be a module or a mapping of names to tensors and modules, not {type(given).__name__}")
        return self

    def look_around(self, frame: FrameType | None, function: Any = None) -> Names:
        """Take the variables of a frame and of its callers in the same file, and what a function captured."""
        while isinstance(function, FunctionType):
            cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
            captured = {name: _content(cell) for name, cell in cells}
            self._variables({**_picked(function.__globals__, function.__code__.co_names), **captured})
            function = getattr(function, "__wrapped__", None)
        if frame is None:
            return self
        file, local = frame.f_code.co_filename, True
        names = frame.f_globals
        while frame is not None:
            if frame.f_code.co_filename == file:
                self._variables(dict(frame.f_locals) if local or frame.f_locals is not names else {})
            frame, local = frame.f_back, False
        self._variables(names)
        return self

    def _variables(self, variables: Mapping[str, Any]) -> None:
        found = [(name, value) for name, value in variables.items() if name[:1] != "_"]
        modules = [(name, value) for name, value in found if _is_module(value)]
        own = [(name, module) for name, module in modules if not _is_part(module, [other for _, other in modules])]
        for name, module in own:
            self._module(name if len(own) > 1 or self.modules else "", module)
        for name, value in found:
            for inner, tensor in _tensors(name, value):
                self._variable(inner, tensor)

    def _variable(self, name: str, tensor: Tensor) -> None:
        place = place_of(tensor)
        if place is None:
            return
        if "." in name and name not in self.parameters:  # of parameters in a dictionary, as functional_call takes them
            self.parameters.setdefault(place, name)
        else:
            names = self.variables.setdefault(place, [])
            if name not in names:
                names.append(name)

    def _module(self, prefix: str, module: Any) -> None:
        for name, part in module.named_modules(prefix=prefix):
            self.modules.setdefault(name, type(part).__name__)
        for named in (module.named_parameters(prefix=prefix), module.named_buffers(prefix=prefix)):
            for name, tensor in named:
                place = place_of(tensor)
                if place is not None:
                    self.parameters.setdefault(place, name)


def place_of(tensor: Tensor) -> Any:
    """Return a key for where a tensor stands in the graph, (identity, number of the output); None if it is not in one."""
    node = tensor._node
    if node is None:
        return None
    source, i = (tensor, 0) if node is LEAF else end_of(node)
    return id(source), i


def _is_module(value: Any) -> bool:
    return not isinstance(value, (type, Tensor)) and callable(getattr(value, "named_parameters", None))


def _is_part(module: Any, others: Iterable[Any]) -> bool:
    return any(other is not module and any(part is module for part in other.modules()) for other in others)


def _tensors(name: str, value: Any) -> list[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        return [(name, value)]
    if isinstance(value, (list, tuple)) and len(value) <= _SEVERAL:
        return [(f"{name}[{i}]", v) for i, v in enumerate(value) if isinstance(v, Tensor)]
    if isinstance(value, dict) and len(value) <= _SEVERAL:
        named = [(key if "." in str(key) else f"{name}[{key!r}]", v) for key, v in value.items()]
        return [(str(key), v) for key, v in named if isinstance(v, Tensor)]
    return []


def _picked(variables: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: variables[name] for name in names if name in variables}


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None
