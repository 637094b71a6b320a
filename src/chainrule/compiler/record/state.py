"""What a function reads of Python besides its arguments: looked at before and after a recording, and before each replay.

Reached are the cells of closures, globals that the code names, defaults, the objects of bound methods and of callables, modules
and optimizers with all that hangs on them, and functions of the user's that any of these call. Of containers and objects the
elements are compared by identity, numbers and strings by value, NumPy arrays by their bytes, tensors by what a graph depends
on: shape, dtype, strides, and whether they require grad. Not looked at is what libraries hold for themselves, and what leaves
no trace here, such as a line that is printed; of what has more elements than `LONGEST`, their number alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from operator import is_
from types import FunctionType
from typing import Any

import numpy as np

from chainrule.compiler.record.places import ATOMS, Place, members, parts, places_of, reads_options
from chainrule.compiler.record.recording import Argument, Captured, Number, Write, gradient_of
from chainrule.core.tensor.tensor import Tensor

MOST = 20_000  # things that are looked at


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
        self._gradients: list[tuple[Any, Any]] = []
        self._same: list[tuple[int, int]] = []  # positions of leaves that are one tensor
        self._pinned: list[tuple[int, Tensor]] = []  # leaves that the function gets hold of otherwise, too
        self._loose: list[int] = []  # positions of the leaves that it does not
        self._captured: dict[int, Tensor] = {}  # by their ids
        self._written: list[Any] = []
        self._own: dict[int, int] = {}  # position of a leaf that is written to → where it stands among what is
        self._positions: list[int] = []  # of leaves that are inputs
        self._generators: list[tuple[Any, Any]] = []  # of NumPy, and their states
        self._drawn = _random_states()
        self._reads_options = False
        self._seen: set[int] = set()
        self._kept: list[Any] = []  # so that no id is used anew
        stack = [f, *others]
        while stack and len(self._seen) < MOST:
            found = stack.pop()
            if found.__class__ in ATOMS or id(found) in self._seen:
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
            if found.__class__ is FunctionType and reads_options(found):
                self._reads_options = True
            for place in places_of(found):
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
        numbers = {
            (id(s.container), s.key) for s in recorder.inputs.values() if s.__class__ is Number and not self._reads_options
        }
        own = {id(vars(owner)) for repeat in recorder.repeats for owner in repeat.owners}
        self._places = [place for place in self._places if id(place.owner) not in own]
        if any([id(owner) not in self._seen for repeat in recorder.repeats for owner in repeat.owners]):
            recorder.give_up("it makes a step of a schedule that it makes itself")
        for place in self._places:
            place.leave_out(numbers)
        apart = (parts, members)
        self._open = [p for p in self._places if p.owner.__class__ is not tuple and not p.is_empty and p.look not in apart]
        functions = [place.owner for place in self._places if place.look is parts]
        self._functions = [(f, f.__code__, f.__defaults__, f.__kwdefaults__) for f in functions]
        self._classes = [(p.owner, list(vars(p.owner).values())) for p in self._places if p.look is members]
        self._empty = [place.owner for place in self._places if place.is_empty]
        self._tensors = [(t, *_described(t)) for t, _, _, _ in recorder.entered.values() if id(t) not in recorder.arguments]
        self._captured = {id(t): t for t, *_ in self._tensors}
        self._gradients = [(source, _meta_of(grad)) for _, source, grad in recorder.gradients.values()]
        return self


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


def _described(t: Tensor) -> list:
    data = t._data
    return [data.shape, data.dtype, data.strides, t._node is None, t._level]


def _meta_of(grad: Tensor | None) -> Any:
    return None if grad is None else _described(grad)


def _gradient(t: Any) -> Any:
    return _meta_of(gradient_of(t))
