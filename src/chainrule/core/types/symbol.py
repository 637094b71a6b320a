"""Symbols: what a value is while the call that computes it is recorded under level 0 (``compiler.record``)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any
from weakref import ref

import numpy as np

from chainrule.core.types.absent import Absent


class Unrecordable(BaseException):
    """Something is done with a symbol that no graph can hold. No program is meant to catch it, so it is no `Exception`."""


class Deferred(Absent):
    """A value that the recording does without until a program reads it: one result of a call that has yet to run.

    Attributes
    ----------
    like : Absent
        Its shape, dtype and strides. What is told of other layouts from it holds this, and no values.
    is_array : bool
        Whether it will be an array, and no scalar.
    """

    __slots__ = ("call", "index", "is_array", "like")

    def __init__(self, call: DeferredCall, index: int, like: Absent):
        super().__init__(like.shape, like.dtype, None if like._strides is None else lambda: like.strides, (like,))
        self.call, self.index, self.like = call, index, like
        self.is_array: bool = bool(like.shape) or call.op.view

    def as_array(self) -> Deferred:
        """Return a scalar's value as an array."""
        made = Deferred(self.call, self.index, self.like)
        made.is_array = True
        return made

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.itemsize

    def computed(self) -> Any:
        """Return the value; what it depends on is computed first."""
        if self.call.results is None:
            compute([self])
        found: Any = self.call.results[self.index]  # type: ignore[index]
        if found.shape != self.shape or found.dtype != self.dtype:
            raise Unrecordable(f"{self.call.op.name} gives another result than its declaration says")
        return np.array(found) if self.is_array and found.__class__ is not np.ndarray else found


class DeferredCall:
    """An op's kernel, with what it will be run on.

    Attributes
    ----------
    results : list or None
        What it gave, once it has run.
    number : int
        Of two calls the later one has the greater.
    """

    __slots__ = ("kernel", "number", "op", "results", "values")

    def __init__(self, op: Any, kernel: Callable, values: list):
        self.op, self.kernel, self.values, self.number = op, kernel, values, next(_numbers)
        self.results: list | None = None

    def run(self) -> None:
        """Run the kernel, and let go of what it was for."""
        out = self.kernel([v.computed() if v.__class__ is Deferred else v for v in self.values])
        self.results = list(out) if out.__class__ in (tuple, list) else [out]
        self.values = []


_numbers = count()


def compute(wanted: list[Deferred]) -> None:
    """Run the calls that some values need, in the order of the program: nothing lives longer than it would have there."""
    calls: set[DeferredCall] = set()
    stack = [v.call for v in wanted]
    while stack:
        call = stack.pop()
        if call.results is None and call not in calls:
            calls.add(call)
            stack += [v.call for v in call.values if v.__class__ is Deferred]
    order = sorted(calls, key=lambda call: call.number, reverse=True)
    del calls, stack
    while order:
        order.pop().run()


class Symbol:
    """A place in memory of a call that is being recorded: the payload of a tensor of level 0 in place of an array.

    Who shares memory shares the symbol, or holds one that is a view of it. A write gives the symbol another variable and value:
    what was computed of the old ones keeps them. What is no op must not use it unseen, so NumPy and Python's operators raise.

    Attributes
    ----------
    recorder : object
        The recorder to whose call it belongs.
    base : tuple or None
        Of a view the (symbol, op, params, result number) that it shows.
    count : int
        How often the memory was written to; of a view, how often when it was last looked at.
    """

    __slots__ = ("__weakref__", "_value", "_variable", "base", "count", "recorder")

    def __init__(self, recorder: Any, variable: Any, value: Any, base: tuple | None = None):
        self.recorder, self._variable, self._value, self.base = recorder, variable, value, base
        self.count: int = 0 if base is None else self.root.count
        recorder.symbols.append(ref(self))

    @property
    def root(self) -> Symbol:
        """The symbol of which it is a view, by way of others; itself if it is none."""
        found = self
        while found.base is not None:
            found = found.base[0]
        return found

    @property
    def chain(self) -> tuple:
        """The steps from the root to this view, as `core.write.views.chain_of` gives them."""
        steps: list[tuple] = []
        found = self
        while found.base is not None:
            parent, op, params, index = found.base
            steps.append((op, params, index, parent.shape))
            found = parent
        return tuple(reversed(steps))

    @property
    def value(self) -> Any:
        """The array or NumPy scalar that it stands for in the call being recorded: not to be written to."""
        found = self.payload
        if found.__class__ is Deferred:
            self._value = found = found.computed()
        return found

    @property
    def payload(self) -> Any:
        """Its value, which may be deferred."""
        if self.base is not None and self.count != self.root.count:
            self._look()
        return self._value

    @property
    def variable(self) -> Any:
        """Its variable in the graph."""
        if self.base is not None and self.count != self.root.count:
            self._look()
        return self._variable

    def _look(self) -> None:
        """Take a view anew from what was written to."""
        parent, op, params, index = self.base  # type: ignore[misc]
        self._variable, self._value = self.recorder.looked(parent, op, params, index)
        self.count = self.root.count

    def copy(self) -> Symbol:
        """Return another place with the same value."""
        return Symbol(self.recorder, self.variable, self.payload)

    def put(self, variable: Any, value: Any) -> None:
        """Have the memory of a root hold another value."""
        self._variable, self._value = variable, value
        self.count += 1

    # -- what layouts ask of arrays; no write changes it ---------------------------------------------------------------

    @property
    def shape(self) -> tuple:
        """The lengths of the axes."""
        return self._value.shape

    @property
    def dtype(self) -> np.dtype:
        """The NumPy dtype."""
        return self._value.dtype

    @property
    def strides(self) -> tuple:
        """The steps in bytes along each axis."""
        return self._value.strides

    @property
    def flags(self) -> Any:
        """Those of the array."""
        return self._value.flags

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._value.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._value.size

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self._value.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self._value.nbytes

    @property
    def is_array(self) -> bool:
        """Whether it stands for an array, to which can be written, and not for a scalar."""
        value = self._value
        return value.__class__ is np.ndarray or (value.__class__ is Deferred and value.is_array)

    def stand_in(self) -> np.ndarray:
        """Return an array that lies as this one does, for NumPy's own rules of views."""
        return self._value.stand_in() if self._value.__class__ is Deferred else np.asarray(self._value)

    # -- all else ------------------------------------------------------------------------------------------------------

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise Unrecordable("NumPy or Python works on the memory of a tensor")

    def __getattr__(self, name: str) -> Any:
        raise Unrecordable(f"the {name!r} of a tensor's memory is used")

    __array__ = __array_ufunc__ = __array_function__ = _refuse
    __bool__ = __float__ = __int__ = __complex__ = __index__ = __len__ = __iter__ = _refuse
    __getitem__ = __setitem__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse  # type: ignore[assignment]
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse
    __neg__ = __pow__ = __rpow__ = __matmul__ = __rmatmul__ = __copy__ = __deepcopy__ = __reduce_ex__ = _refuse  # type: ignore[assignment]
    __hash__ = object.__hash__
