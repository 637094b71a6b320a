"""The places of Python that a function reads: what stands in them, and whether the same still does.

Each kind of thing has its own: the cells of a function, the elements of a container, the attributes of an object, the position
of an iterator, the value of a context variable.
"""

from __future__ import annotations

import gc
import os
import sys
from array import array
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from functools import partial
from io import BytesIO, StringIO
from itertools import count, cycle, tee
from opcode import opmap
from operator import is_, length_hint
from types import (
    BuiltinMethodType,
    CellType,
    CodeType,
    FunctionType,
    GeneratorType,
    MemberDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
)
from typing import Any

import numpy as np

from chainrule.core.generator import Generator
from chainrule.core.tensor.tensor import Tensor

LONGEST = 4096  # elements of a container
ATOMS = frozenset((int, float, bool, complex, str, bytes, type(None)))
_GLOBALS = frozenset((opmap["LOAD_GLOBAL"], opmap.get("STORE_GLOBAL", -1)))
_OPTIONS = frozenset(("_last_lr", "get_last_lr", "get_lr", "param_groups", "state_dict", "lr", "momentum", "betas"))
_MISSING = object()


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
            return (len(now) == len(values) and all(map(is_, now, values))) or self._differing() is None
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
            if old is not new and not (old.__class__ is new.__class__ and old.__class__ in ATOMS and old == new):
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


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet bound
        return _MISSING


# -- what is reached ---------------------------------------------------------------------------------------------------


def places_of(found: Any) -> Iterator[Place]:
    """Return the places that something has."""
    cls = found.__class__
    if cls is FunctionType:
        if not _is_of_library(found.__module__):
            yield from _of_function(found)
    elif cls is MethodType:
        yield Place((found.__func__, found.__self__), "a method")
    elif cls is BuiltinMethodType or cls is MethodWrapperType:
        yield Place((found.__self__,), "a method")
    elif cls is partial:
        yield Place((found.func, found.args, found.keywords), "a partial function")
    elif cls is CellType:
        yield Place(found, "a variable of an enclosing function")
    elif isinstance(found, _CONTAINERS):
        yield _of_container(found, next(base for base in _CONTAINERS if isinstance(found, base)))
    elif isinstance(found, type):
        if not _is_of_library(found.__module__):
            yield Place(found, f"class {found.__name__}", look=members)
    elif not isinstance(found, (Tensor, np.ndarray, np.generic, ModuleType, CodeType, Generator)):
        look = next((look for kinds, look in _LOOKS if isinstance(found, kinds)), None)
        if look is None and isinstance(found, Iterator) and cls.__module__ in ("builtins", "itertools"):
            look = _left_to_come
        if look is not None:
            yield Place(found, f"a {cls.__name__}", look=look)
        else:
            yield from _of_object(found)


_CONTAINERS = (list, tuple, OrderedDict, dict, deque, set, frozenset)


def _of_container(found: Any, base: Any) -> Place:
    """Return the place that holds the elements of a container of a class of Python's, or of one made from it."""
    words = f"a {type(found).__name__}"
    if base.__len__(found) > LONGEST:
        return Place(found, words, look=lambda many: (base.__len__(many),))
    own = ("__iter__", "__len__", *(("get", "values") if issubclass(base, dict) else ()))
    if all([getattr(type(found), name) is getattr(base, name) for name in own]):
        return Place(found, f"{words}: key" if issubclass(base, dict) else words)
    if issubclass(base, dict):
        return Place(found, words, look=lambda other: (*base.__iter__(other), *base.values(other)))
    return Place(found, words, look=lambda other: tuple(base.__iter__(other)))


def _of_generator(g: GeneratorType) -> Sequence:
    frame = g.gi_frame
    return (None,) if frame is None else (frame.f_lasti, *frame.f_locals.values())


def _left_to_come(iterator: Iterator) -> Sequence:
    """Return where an iterator is: how much is left, and what it takes that from, other iterators for one."""
    return (length_hint(iterator, -1), repr(iterator) if isinstance(iterator, count) else None, *gc.get_referents(iterator))


def _content_of_buffer(found: Any) -> Sequence:
    return (bytes(found) if len(found) <= 1 << 20 else None,)


# What tells the content of things that are no containers; nothing tells that of some, so that it is always another.
_LOOKS: tuple[tuple[Any, Callable[[Any], Sequence]], ...] = (
    (GeneratorType, _of_generator),
    (ContextVar, lambda variable: (variable.get(_MISSING),)),
    ((array, bytearray), _content_of_buffer),
    ((StringIO, BytesIO), lambda stream: (stream.closed or stream.tell(),)),
    ((cycle, type(tee(())[0])), lambda iterator: (object(),)),
)


def _of_function(f: FunctionType) -> Iterator[Place]:
    names, attributes = _names(f.__code__)
    own = [name for name in names if name in f.__globals__]
    if own:
        yield Place(f.__globals__, "the global", own)
    for module in [f.__globals__[name] for name in own]:
        if module is os and not {"environ", "getenv"}.isdisjoint(attributes):
            yield Place((os.environ,), "the environment")
        elif module.__class__ is ModuleType and not _is_of_library(module.__name__):
            held = [name for name in attributes if name in module.__dict__]
            if held:
                yield Place(module.__dict__, f"module {module.__name__}: attribute", held)
    yield Place(f, f"function {f.__name__}", look=parts)


def reads_options(f: FunctionType) -> bool:
    """Tell whether a function of the user's may read options of optimizers itself, so that each value is a case of its own."""
    return not (_is_of_library(f.__module__) or _OPTIONS.isdisjoint(_names(f.__code__)[1]))


def parts(f: FunctionType) -> Sequence:
    """Return what a function is made of."""
    return (f.__code__, f.__defaults__, f.__kwdefaults__, *(f.__closure__ or ()))


def members(cls: type) -> Sequence:
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
    module = cls.__module__
    if module.partition(".")[0] in _UNSEEN:
        return
    if module == "random":
        yield Place(found, "a random.Random", look=lambda drawn: (repr(drawn.getstate()),))
        return
    held = getattr(found, "__dict__", None)
    if held.__class__ is dict:
        if module.startswith(_APART):
            kept = tuple([v for v in held.values() if callable(v)])  # what else it keeps is its own affair
            yield Place(kept, f"a {cls.__name__}")
        else:
            marks = [key for key in held if key != "_opt_called"] if hasattr(found, "param_groups") else None
            yield Place(held, f"a {cls.__name__}: attribute", marks)
    if shared := getattr(cls, "_of_all", None):
        yield Place(shared, f"what all of {cls.__name__}'s kind share")
    users = [c for c in cls.__mro__ if not _is_of_library(c.__module__)]
    slots = [member for c in users for member in vars(c).values() if member.__class__ is MemberDescriptorType]
    if slots:
        yield Place(found, f"a {cls.__name__}: attribute", look=lambda o: [_slot(o, member) for member in slots])
    if users:
        yield Place(tuple(users), f"class {cls.__name__}")
    called = getattr(found, "__wrapped__", None)
    if called is not None:
        yield Place((called,), "a wrapped function")


def _slot(o: Any, member: Any) -> Any:
    try:
        return member.__get__(o)
    except AttributeError:
        return _MISSING


# Objects of these rooms keep what makes them fast, and their results do not depend on it.
_APART = tuple([f"chainrule.{room}." for room in ("autograd", "compiler", "core", "func", "functions", "ops", "transforms")])
# Of these modules objects hold locks, streams and caches, which change with all that a program does.
_UNSEEN = frozenset(("builtins", "logging", "numpy", "scipy", "threading", "unittest", "weakref"))
_CLOSED = frozenset(sys.stdlib_module_names) - {"__main__"} | {"builtins", "chainrule", "numpy", "scipy", "torch"}


def _is_of_library(name: Any) -> bool:
    """Tell whether a module is no user's: of Python, of NumPy, or chainrule's own."""
    if not isinstance(name, str):
        return True
    return name.partition(".")[0] in _CLOSED


def _names(code: CodeType) -> tuple[list, list]:
    """Return the names of globals that code and the functions inside of it use, and all other names and texts."""
    found: dict[str, None] = {}
    others: dict[str, None] = dict.fromkeys([*code.co_names, *[c for c in code.co_consts if c.__class__ is str]])
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
