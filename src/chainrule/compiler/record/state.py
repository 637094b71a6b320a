"""What a function reads of Python besides its arguments: looked at before and after a recording, and before each replay.

Reached are the cells of closures, globals that the code names, defaults, the objects of bound methods and of callables, modules
and optimizers with all that hangs on them, and functions of the user's that any of these call. Of containers and objects the
elements are compared by identity, numbers and strings by value, NumPy arrays by their bytes, tensors by what a graph depends
on: shape, dtype, strides, and whether they require grad. Not looked at is what libraries hold for themselves, what has more
elements than `LONGEST`, and what leaves no trace here, such as a line that is printed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from opcode import opmap
from operator import is_
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from chainrule.compiler.record.recording import Argument, Captured, Number, Write, gradient_of
from chainrule.core.generator import Generator
from chainrule.core.tensor.tensor import Tensor

MOST = 20_000  # things that are looked at
LONGEST = 4096  # elements of a container
_ATOMS = frozenset((int, float, bool, complex, str, bytes, type(None)))
_GLOBALS = frozenset((opmap["LOAD_GLOBAL"], opmap.get("STORE_GLOBAL", -1)))
_MISSING = object()


class State:
    """What a function reads of Python, as it is now."""

    def __init__(self, f: Any, others: Iterable = ()):
        self._places: list[Place] = []
        self._open: list[Place] = []  # those whose content can change
        self._functions: list[tuple] = []  # with their code and defaults
        self._classes: list[tuple[type, list]] = []  # what they hold, and held
        self._empty: list[Any] = []  # containers with nothing in them, of which there are many
        self._arrays: list[tuple[np.ndarray, bytes]] = []
        self._tensors: list[tuple] = []
        self._gradients: list[tuple] = []
        self._same: list[tuple[int, int]] = []  # positions of leaves that are one tensor
        self._pinned: list[tuple[int, Tensor]] = []  # leaves that the function gets hold of otherwise, too
        self._loose: list[int] = []  # positions of the leaves that it does not
        self._captured: dict[int, Tensor] = {}  # by their ids
        self._written: list[Any] = []
        self._own: dict[int, int] = {}  # position of a leaf that is written to → where it stands among what is
        self._positions: list[int] = []  # of leaves that are inputs
        self._generators: list[tuple[Any, Any]] = []  # of NumPy, and their states
        self._drawn = _random_states()
        self._seen: set[int] = set()
        self._kept: list[Any] = []  # so that no id is used anew
        stack = [f, *others]
        while stack and len(self._seen) < MOST:
            found = stack.pop()
            if found.__class__ in _ATOMS or id(found) in self._seen:
                continue
            self._seen.add(id(found))
            self._kept.append(found)
            if found.__class__ is np.ndarray:
                if found.nbytes <= 1 << 20:
                    self._arrays.append((found, found.tobytes()))
                continue
            if hasattr(type(found), "bit_generator"):
                self._generators.append((found, repr(found.bit_generator.state)))
                continue
            for place in _places(found):
                self._places.append(place)
                stack += place.values

    def change(self) -> str | None:
        """Return in words what is no longer as it was; None if all is."""
        for place in self._places:
            if not place.holds():
                return place.changed()
        for array, content in self._arrays:
            if array.tobytes() != content:
                return "a NumPy array"
        if self._drawn != _random_states() or any([repr(g.bit_generator.state) != state for g, state in self._generators]):
            return "the state of a random number generator that is not chainrule's"
        return None

    def holds(self, leaves: Sequence[Any]) -> bool:
        """Tell whether all is as it was when the call was recorded, for a call with these leaves."""
        if any(map(len, self._empty)) or not all([place.holds() for place in self._open]):
            return False
        for f, code, defaults, named in self._functions:  # a third of the time of `Place.holds`, as there may be many
            if f.__code__ is not code or f.__defaults__ is not defaults or f.__kwdefaults__ is not named:
                return False
        return (
            all([_has_members(*known) for known in self._classes])
            and all([_is_described(*known) for known in self._tensors])
            and all([_has_gradient(*known, leaves) for known in self._gradients])
            and all([leaves[i] is leaves[k] for i, k in self._same])
            and all([leaves[i] is t for i, t in self._pinned])
            and (len(self._positions) < 2 or len({id(leaves[i]) for i in self._positions}) == len(self._positions))
            and not (self._captured and any([id(leaves[i]) in self._captured for i in self._loose]))
            and (not self._written or self.are_apart(leaves))
            and all([_has_content(*known) for known in self._arrays])
        )

    def forget(self, position: int) -> None:
        """Look no longer at the leaf of a position, which other calls do not have."""
        self._positions = [i for i in self._positions if i != position]
        self._loose = [i for i in self._loose if i != position]

    def compare(self, c: Any, leaves: Sequence[Any]) -> list[Callable]:
        """Say to a comparison (``llvm.compare``) what :meth:`holds` looks at, for calls with leaves of the same classes.

        Returns
        -------
        list of callable
            What tells, given the leaves, whether the rest holds that it cannot look at.
        """
        rest: list[Callable] = [partial(_holds, place) for place in self._open if not place.compare(c)]
        rest += [partial(_is_empty, owner) for owner in self._empty if not c.empty(owner)]
        rest += [partial(_has_members, *known) for known in self._classes if not c.members(*known)]
        rest += [partial(_is_described, *known) for known in self._tensors if not c.lies(*known)]
        rest += [partial(_has_content, *known) for known in self._arrays]
        for source, expected in self._gradients:
            if not (source.__class__ is Captured and c.gradient(source.tensor, expected)):
                rest.append(partial(_has_gradient, source, expected))
        for f, _, _, _ in self._functions:
            c.code(f)
        for i, leaf in enumerate(leaves):
            c.class_of(i, leaf.__class__)
        for i, k in self._same:
            c.same(i, k)
        for i, t in self._pinned:
            c.leaf_is(i, t)
        c.distinct(self._positions, self._loose, list(self._captured.values()))
        if self._written and all([s.__class__ is Captured for s in self._written]):
            for i in self._positions:
                c.apart(i, [s.tensor for s in self._written])
        elif self._written:
            rest.append(self.are_apart)
        return rest

    def are_apart(self, leaves: Sequence[Any]) -> bool:
        """Tell whether no argument shares memory with another tensor that is written to."""
        written = [source.fetch(leaves)._data for source in self._written]
        owners = {id(array) for array in written}
        for i in self._positions:
            array, own = leaves[i]._data, self._own.get(i)
            if array.__class__ is not np.ndarray or (array.base is None and own is None and id(array) not in owners):
                continue
            for k, other in enumerate(written):
                if k != own and other.__class__ is np.ndarray and np.may_share_memory(array, other):
                    return False
        return True

    def after(self, recorder: Any, leaves: Sequence[Any], effects: Iterable) -> State:
        """Return the state without the numbers that are inputs of a graph, with the tensors that the call used."""
        for i, leaf in enumerate(leaves):
            first = recorder.arguments.get(id(leaf), i)
            if first != i:
                self._same.append((i, first))
            elif isinstance(leaf, Tensor):
                self._positions.append(i)
                if id(leaf) in self._seen:
                    self._pinned.append((i, leaf))
                else:
                    self._loose.append(i)
        self._written = [effect.source for effect in effects if isinstance(effect, Write)]
        self._own = {s.position: k for k, s in enumerate(self._written) if isinstance(s, Argument)}
        numbers = {(id(s.container), s.key) for s in recorder.inputs.values() if s.__class__ is Number}
        for place in self._places:
            place.leave_out(numbers)
        self._open = [p for p in self._places if p.owner.__class__ is not tuple and not p.is_empty and p.look is None]
        functions = [place.owner for place in self._places if place.look is _parts]
        self._functions = [(f, f.__code__, f.__defaults__, f.__kwdefaults__) for f in functions]
        self._classes = [(p.owner, list(vars(p.owner).values())) for p in self._places if p.look is _members]
        self._empty = [place.owner for place in self._places if place.is_empty]
        self._tensors = [(t, *_described(t)) for t, _, _, _ in recorder.entered.values() if id(t) not in recorder.arguments]
        self._captured = {id(t): t for t, *_ in self._tensors}
        self._gradients = [(source, _meta_of(grad)) for _, source, grad in recorder.gradients.values()]
        return self


class Place:
    """Some names of a namespace, the elements of a container or the content of a cell, and what stood there.

    Parameters
    ----------
    owner : object
        The dict, the list, set or tuple, or the cell; or what `look` is called with.
    values : list
    keys : list, optional
        Of a dict, where not all of it is looked at.
    words : str
        What it is.
    look : callable, optional
        Returns what stands there, of what is no container.
    """

    __slots__ = ("_all", "keys", "look", "owner", "values", "words")

    def __init__(self, owner: Any, words: str, keys: list | None = None, look: Callable[[Any], Sequence] | None = None):
        self.owner, self.words, self.look = owner, words, look
        self._all = keys is None and look is None
        self.keys = (list(owner) if keys is None else keys) if isinstance(owner, dict) else None
        self.values = self._now()

    def _now(self) -> list:
        owner = self.owner
        if self.look is not None:
            return list(self.look(owner))
        if self.keys is not None:
            return [owner.get(key, _MISSING) for key in self.keys]
        if owner.__class__ is CellType:
            return [_content(owner)]
        return list(owner)

    @property
    def is_empty(self) -> bool:
        """Whether it is all of a container that has no elements."""
        return self._all and not self.values

    def holds(self) -> bool:
        """Tell whether the same stands there."""
        owner, values = self.owner, self.values
        if self.look is not None:
            now = self.look(owner)
            return len(now) == len(values) and all(map(is_, now, values))
        if self._all:
            if self.keys is not None:
                now = owner.values()
                if not all(map(is_, owner, self.keys)):
                    return self._differing() is None
            elif owner.__class__ is CellType:
                try:
                    return owner.cell_contents is values[0] or self._differing() is None
                except ValueError:  # not bound
                    return self._differing() is None
            else:
                now = owner
            if len(owner) == len(values) and all(map(is_, now, values)):
                return True
        return self._differing() is None

    def compare(self, c: Any) -> bool:
        """Say to a comparison what :meth:`holds` looks at; return False if it cannot look at it."""
        owner, values = self.owner, self.values
        if self.look is not None:
            return False
        if owner.__class__ is CellType:
            return c.content(owner, values[0])
        if self.keys is None:
            return c.items(owner, values)
        return c.values(owner, self.keys, values) if self._all else c.keys(owner, self.keys, values, _MISSING)

    def _differing(self) -> int | None:
        """Return where something else stands; None if nowhere."""
        owner, values = self.owner, self.values
        if self._all and len(owner) != len(values) if owner.__class__ is not CellType else False:
            return len(values)
        if self._all and self.keys is not None and list(owner) != self.keys:
            return next((i for i, (old, new) in enumerate(zip(self.keys, owner, strict=False)) if old != new), len(values))
        now = owner.values() if self._all and self.keys is not None else self._now()
        if all(map(is_, now, values)) and len(now) == len(values):
            return None
        if len(now) != len(values):
            return len(values)
        for i, (old, new) in enumerate(zip(values, self._now(), strict=False)):
            if old is not new and not (old.__class__ is new.__class__ and old.__class__ in _ATOMS and old == new):
                return i
        return None

    def changed(self) -> str:
        """Return in words what changed."""
        i = self._differing()
        named = f" {self.keys[i]!r}" if self.keys is not None and i is not None and i < len(self.keys) else ""
        return f"{self.words}{named}"

    def leave_out(self, numbers: set[tuple[int, Any]]) -> None:
        """Look no longer at some keys, given with the id of their dict."""
        if self.keys is None:
            return
        kept = [key for key in self.keys if (id(self.owner), key) not in numbers]
        if len(kept) < len(self.keys):
            self.keys, self._all = kept, False
            self.values = self._now()


def _holds(place: Place, leaves: Sequence[Any]) -> bool:
    return place.holds()


def _is_empty(owner: Any, leaves: Sequence[Any] = ()) -> bool:
    return not len(owner)


def _has_members(cls: type, expected: list, leaves: Sequence[Any] = ()) -> bool:
    members = vars(cls)
    return len(members) == len(expected) and all(map(is_, members.values(), expected))


def _is_described(t: Tensor, shape: Any, d: Any, strides: Any, plain: bool, level: int, leaves: Sequence[Any] = ()) -> bool:
    data = t._data
    same = data.shape == shape and data.dtype == d and data.strides == strides
    return same and (t._node is None) is plain and t._level == level


def _has_content(array: np.ndarray, content: bytes, leaves: Sequence[Any] = ()) -> bool:
    return array.tobytes() == content


def _has_gradient(source: Any, expected: Any, leaves: Sequence[Any]) -> bool:
    return _gradient(source.fetch(leaves)) == expected


def _random_states() -> list:
    """Return the states of Python's and NumPy's global generators, as far as a program has loaded them."""
    found: list[Any] = []
    if "random" in sys.modules:
        found.append(sys.modules["random"].getstate())
    if "numpy.random" in sys.modules:
        name, keys, *rest = np.random.get_state(legacy=True)
        found.append((name, np.asarray(keys).tobytes(), *rest))
    return found


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet bound
        return _MISSING


def _described(t: Tensor) -> list:
    data = t._data
    return [data.shape, data.dtype, data.strides, t._node is None, t._level]


def _meta_of(grad: Tensor | None) -> Any:
    return None if grad is None else _described(grad)


def _gradient(t: Any) -> Any:
    return _meta_of(gradient_of(t))


# -- what is reached ---------------------------------------------------------------------------------------------------


def _places(found: Any) -> Iterator[Place]:
    """Return the places that something has."""
    cls = found.__class__
    if cls is FunctionType:
        if not _is_of_library(found.__module__):
            yield from _of_function(found)
    elif cls is MethodType:
        yield Place((found.__func__, found.__self__), "a method")
    elif cls is partial:
        yield Place((found.func, found.args, found.keywords), "a partial function")
    elif cls is CellType:
        yield Place(found, "a variable of an enclosing function")
    elif cls in (list, tuple, set, frozenset) or isinstance(found, (list, tuple)):
        if len(found) <= LONGEST:
            yield Place(found, f"a {cls.__name__}")
    elif isinstance(found, dict):
        if len(found) <= LONGEST:
            yield Place(found, f"a {cls.__name__}: key")
    elif isinstance(found, type):
        if not _is_of_library(found.__module__):
            yield Place(found, f"class {found.__name__}", look=_members)
    elif not isinstance(found, (Tensor, np.ndarray, np.generic, ModuleType, CodeType, Generator)):
        yield from _of_object(found)


def _of_function(f: FunctionType) -> Iterator[Place]:
    names, attributes = _names(f.__code__)
    own = [name for name in names if name in f.__globals__]
    if own:
        yield Place(f.__globals__, "the global", own)
    for module in [f.__globals__[name] for name in own]:
        if module.__class__ is ModuleType and not _is_of_library(module.__name__):
            held = [name for name in attributes if name in module.__dict__]
            if held:
                yield Place(module.__dict__, f"module {module.__name__}: attribute", held)
    yield Place(f, f"function {f.__name__}", look=_parts)


def _parts(f: FunctionType) -> Sequence:
    return (f.__code__, f.__defaults__, f.__kwdefaults__, *(f.__closure__ or ()))


def _members(cls: type) -> Sequence:
    """Return what a class holds: its functions, also those of properties and of static and class methods, and values."""
    found = []
    for name, value in vars(cls).items():
        kind = value.__class__
        if kind is FunctionType:
            found.append(value)
        elif kind is property:
            found.append(value.fget)
        elif kind is staticmethod or kind is classmethod:
            found.append(value.__func__)
        elif name[:2] != "__":
            found.append(value)
    return found


def _of_object(found: Any) -> Iterator[Place]:
    cls = type(found)
    if cls.__module__.partition(".")[0] in _CLOSED:
        return
    held = getattr(found, "__dict__", None)
    if held.__class__ is dict:
        if _is_of_library(cls.__module__) and not (hasattr(found, "_modules") or hasattr(found, "param_groups")):
            kept = tuple([v for v in held.values() if callable(v)])  # what else it keeps is its own affair
            yield Place(kept, f"a {cls.__name__}")
        else:
            marks = [key for key in held if key != "_opt_called"] if hasattr(found, "param_groups") else None
            yield Place(held, f"a {cls.__name__}: attribute", marks)
    users = [c for c in cls.__mro__ if not _is_of_library(c.__module__)]
    if users:
        yield Place(tuple(users), f"class {cls.__name__}")
    called = getattr(found, "__wrapped__", None)
    if called is not None:
        yield Place((called,), "a wrapped function")


_CLOSED = frozenset(sys.stdlib_module_names) - {"__main__"} | {"numpy", "scipy", "builtins"}


def _is_of_library(name: Any) -> bool:
    """Tell whether a module is no user's: of Python, of NumPy, or chainrule's own."""
    if not isinstance(name, str):
        return True
    top = name.partition(".")[0]
    return top == "chainrule" or top in _CLOSED


def _names(code: CodeType) -> tuple[list, list]:
    """Return the names of globals that code and the functions inside of it use, and all of its other names."""
    found: dict[str, None] = {}
    others: dict[str, None] = dict.fromkeys(code.co_names)
    extended, text = 0, code.co_code
    for i in range(0, len(text), 2):
        argument = text[i + 1] | extended << 8
        extended = argument if text[i] == opmap["EXTENDED_ARG"] else 0
        if text[i] in _GLOBALS:
            index = argument >> 1 if text[i] == opmap["LOAD_GLOBAL"] else argument
            found[code.co_names[index]] = None
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            globals_, names = _names(constant)
            found.update(dict.fromkeys(globals_))
            others.update(dict.fromkeys(names))
    return list(found), list(others)
