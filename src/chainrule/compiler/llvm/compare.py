"""The native comparison: whether objects of Python are as they were, walked through as a table.

What a recording depends on (elements of containers, cells, code of functions, tensors' shapes, gradients) is compared by
identity, in 1 to 5 ns each, where Python takes 30 to 300. It only reads: a difference that it finds is for Python to judge,
for which other objects may be equal. The layouts that it relies on are found from samples first, as ``entry`` does.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from functools import cache
from types import CellType, FunctionType
from typing import Any

import numpy as np

from chainrule.compiler.llvm import engine, entry
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import Meta

GRAD = "grad"
HEAD = ("first", "end", "leaves", "true", "false", "none", "refused", "ndarray", "meta", "grad")
ROW = ("kind", "owner", "count", "expected", "sizes", "scalar", "class", "more")
KINDS = (  # in the order in which they are looked at: what is read of leaves comes after their classes
    "class", "leaf", "is", "is_not", "same", "distinct", "word", "items", "values", "keys", "lies", "no_gradient", "gradient",
    "apart", "base",
)  # fmt: skip
_KIND = {name: number for number, name in enumerate(KINDS)}
USED, CONTENT, SET_USED, ITEMS = 16, 16, 24, 24  # of a container, a cell, a set, a list


@cache
def of_function() -> tuple[int, ...] | None:
    """Return where a function has its code, defaults and keyword defaults; None where the comparison cannot be used."""
    try:
        return _checked()
    except (entry.UnexpectedError, AttributeError, TypeError, ValueError):
        return None


def _checked() -> tuple[int, ...]:
    if entry.offsets() is None:
        raise entry.UnexpectedError

    def sample(x: Any = object(), *, y: Any = object()) -> Any:  # noqa: B008
        return marks

    marks = [object(), object()]
    cell = sample.__closure__[0]  # type: ignore[index]
    seen: list[tuple[Any, int, int | None]] = [
        (marks, USED, 2), (dict.fromkeys(marks), USED, 2), (set(marks), SET_USED, 2), (cell, CONTENT, id(marks)),
        (np.zeros(1)[:], entry.BASE, None), (np.zeros(1), entry.BASE, 0),
    ]  # fmt: skip
    for owner, at, expected in seen:
        held = entry.word(id(owner) + at)
        if held != (id(owner.base) if expected is None else expected):
            raise entry.UnexpectedError
    if entry.word(entry.word(id(marks) + ITEMS) + 8) != id(marks[1]):
        raise entry.UnexpectedError
    return tuple([entry.offset(FunctionType, name, sample) for name in ("__code__", "__defaults__", "__kwdefaults__")])


def text() -> str | None:
    """Return the IR of ``cr_same``; None where the comparison cannot be used."""
    at = entry.offsets()
    if at is None or of_function() is None:
        return None
    numbers = dict.fromkeys(("leaves", "kind", "count", "more"), "i64")
    return engine.template(
        "compare",
        HEAD=entry.words(HEAD, numbers, "table", "h."),
        ROW=entry.words(ROW, numbers, "row", "r."),
        WORDS=str(len(ROW)),
        **{name.upper(): str(number) for name, number in _KIND.items()},
        **{name.upper(): str(offset) for name, offset in at._asdict().items()},
    )


def _has_order(owner: Any) -> bool:
    """Tell whether it is a dict that has no other order than dicts have."""
    return isinstance(owner, dict) and type(owner).__iter__ is dict.__iter__ and type(owner).values is dict.values


class Comparison:
    """What is to be compared, as it is put together; :meth:`function` makes of it what compares.

    Methods that return a bool tell whether the comparison can be made this way.
    """

    def __init__(self) -> None:
        self._rows: list[list[int]] = []
        self._keeps: list[Any] = []

    def empty(self, owner: Any) -> bool:
        """Say that a container has no elements."""
        if not isinstance(owner, (dict, list, set)):
            return False
        return self._add("word", owner, SET_USED if isinstance(owner, set) else USED, 0)

    def items(self, owner: Any, values: Sequence[Any]) -> bool:
        """Say that a list has these elements."""
        return isinstance(owner, list) and self._add("items", owner, len(values), self._identities(values))

    def values(self, owner: Any, keys: Sequence[Any], values: Sequence[Any]) -> bool:
        """Say that a dict has these keys and values, in this order."""
        return _has_order(owner) and self._add("values", owner, len(values), self._identities([*values, *keys]))

    def keys(self, owner: Any, keys: Sequence[Any], values: Sequence[Any], missing: object) -> bool:
        """Say that a dict has these values for some keys, or none where that is `missing`."""
        if not isinstance(owner, dict) or not all([key.__class__ is str for key in keys]):
            return False
        found = np.array([id(key) for key in keys] + [0 if v is missing else id(v) for v in values], np.uint64)
        self._keeps += [*keys, *values]
        return self._add("keys", owner, len(keys), self._array(found))

    def content(self, owner: CellType, value: Any) -> bool:
        """Say that a cell has this content."""
        self._keeps.append(value)
        return self._add("word", owner, CONTENT, id(value))

    def code(self, f: FunctionType) -> bool:
        """Say that a function has the code and the defaults that it has now."""
        self._keeps += [f.__code__, f.__defaults__, f.__kwdefaults__]
        return all([self._add("word", f, at, entry.word(id(f) + at)) for at in of_function() or ()])

    def members(self, cls: type, values: Sequence[Any]) -> bool:
        """Say that a class has these members."""
        found = gc.get_referents(vars(cls))
        return len(found) == 1 and found[0].__class__ is dict and self.values(found[0], list(found[0]), values)

    def lies(self, t: Any, shape: Any, d: Any, strides: Any, plain: bool, level: int) -> bool:
        """Say which shape, dtype and strides a tensor's payload has; and that it does not require grad (`plain`), or does."""
        return self._as_it_lies("lies", t, t.__class__, (shape, d, strides, plain, level))

    def node(self, t: Any) -> None:
        """Say that a tensor has the node that it has now."""
        self._keeps.append(t._node)
        self._add("word", t, entry.offsets().node, id(t._node))  # type: ignore[union-attr]

    def gradient(self, t: Any, described: Sequence[Any] | None) -> bool:
        """Say that a tensor has no gradient, or one that lies as described, and does not require grad."""
        if described is None:
            return self._add("no_gradient", t)
        return described[3] and self._as_it_lies("gradient", t, Tensor, described)

    def _as_it_lies(self, kind: str, owner: Any, cls: Any, described: Sequence[Any]) -> bool:
        shape, d, strides, plain, level = described
        if level or cls._level != 0 or d.hasobject:
            return False
        return self._add(kind, owner, *self._lie(shape, d, strides), id(cls), plain)

    def _lie(self, shape: Sequence[int], d: np.dtype, strides: Sequence[int]) -> tuple[int, ...]:
        sizes = self._array(np.array([*shape, *strides] or [0], np.int64))
        self._keeps.append(d)
        return len(shape), id(d), sizes, 0 if shape else id(d.type)

    def class_of(self, place: int, cls: type) -> None:
        """Say that the leaf at a place has a class."""
        self._keeps.append(cls)
        self._put("class", place, 0, id(cls))

    def leaf(self, place: int, t: Any, node: Any) -> None:
        """Say that the leaf at a place has the class of a tensor, lies as it does, and has a node (`entry.ANY`: whichever)."""
        self._keeps.append(node)
        data, at = t._data, 0 if node is entry.ANY else id(node)
        self._put("leaf", place, *self._lie(data.shape, data.dtype, data.strides), id(t.__class__), at)

    def leaf_is(self, place: int, value: Any) -> None:
        """Say that the leaf at a place is an object."""
        self._keeps.append(value)
        self._put("is", place, 0, id(value))

    def same(self, place: int, other: int) -> None:
        """Say that the leaves at two places are one."""
        self._put("same", place, other)

    def distinct(self, places: Sequence[int], loose: Sequence[int], others: Sequence[Any]) -> None:
        """Say that no two leaves at some places are one, and that those at some of them are none of some objects."""
        if others:
            objects = self._identities(others)
            for place in loose:
                self._put("is_not", place, len(others), objects)
        before = self._array(np.array([*places, 0], np.int64))
        for k, place in enumerate(places):
            if k:
                self._put("distinct", place, k, before)

    def apart(self, place: int, written: Sequence[Any]) -> None:
        """Say that the leaf at a place has not the array of any of some tensors, and owns its memory."""
        for t in written:
            self._keeps.append(t)
            self._put("apart", place, 0, id(t))
        self._put("base", place)

    def _identities(self, values: Sequence[Any]) -> int:
        self._keeps += values
        return self._array(np.array([*[id(v) for v in values], 0], np.uint64))

    def _array(self, made: np.ndarray) -> int:
        self._keeps.append(made)
        return made.ctypes.data

    def _add(self, kind: str, owner: Any, *words: int) -> bool:
        self._keeps.append(owner)
        self._put(kind, id(owner), *words)
        return True

    def _put(self, kind: str, *words: int) -> None:
        row = [_KIND[kind], *[int(w) for w in words]]
        self._rows.append(row + [0] * (len(ROW) - len(row)))

    def function(self, address: int, leaves: int) -> Callable:
        """Return the built-in function that compares: called with the leaves of a call, it returns whether all is as it was.

        It returns ``NotImplemented`` where the leaves are not as was said, else False where something else differs, else None
        where the memory of a leaf is that of another array. `address` is that of ``cr_same``.
        """
        self._rows.sort(key=lambda row: row[0])
        table = np.array([word for row in self._rows for word in row] or [0], np.uint64)
        start, size = table.ctypes.data, 8 * len(ROW) * len(self._rows)
        values = {
            "first": start, "end": start + size, "leaves": leaves, "true": id(True), "false": id(False), "none": id(None),
            "refused": id(NotImplemented), "ndarray": id(np.ndarray), "meta": id(Meta), "grad": id(GRAD),
        }  # fmt: skip
        return entry.bound(b"same", address, [values[name] for name in HEAD], (*self._keeps, table))
