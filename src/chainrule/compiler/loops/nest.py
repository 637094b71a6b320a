"""Nest: one loop nest over strided memory, and the scalars that it computes at each point.

A nest runs over its outer axes, each point on its own, so that they may be split over threads and vectors. At each point its
stages run one after the other: a stage runs over inner axes of its own, reduces expressions over them, and stores others.
A later stage may use what an earlier one reduced: a softmax over rows is one nest of three stages. Memory is reached by
parameters, numbered from 0, each a pointer to elements of one dtype; `Nest.run` on NumPy arrays is what a nest means.

Nothing here knows of tensors, ops, or of the code that nests become.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from chainrule.core.op.lowering import PRIMITIVES

COMBINES: dict[str, np.ufunc] = {"sum": np.add, "prod": np.multiply, "max": np.maximum, "min": np.minimum}


class Expr:
    """A scalar at one point of a nest.

    Attributes
    ----------
    dtype : numpy.dtype
        bool, an integer, float32 or float64.
    """

    __slots__ = ("dtype",)
    dtype: np.dtype

    @property
    def operands(self) -> tuple[Expr, ...]:
        """The expressions that this one is computed from."""
        return ()


class Number(Expr):
    """A constant."""

    __slots__ = ("value",)

    def __init__(self, value: Any, dtype: np.dtype):
        self.value, self.dtype = np.dtype(dtype).type(value), np.dtype(dtype)

    def __repr__(self) -> str:
        return repr(self.value.item())


class Axis(Expr):
    """The index along an axis of the nest, an int64: outer axes come first, the stage's inner axes after them."""

    __slots__ = ("axis",)

    def __init__(self, axis: int):
        self.axis, self.dtype = axis, np.dtype(np.int64)

    def __repr__(self) -> str:
        return f"i{self.axis}"


class Place:
    """Where an element lies: ``offset + Σ strides[k] · index of axis k + Σ step · at``, in elements of a parameter.

    Attributes
    ----------
    param : int
    offset : int
    strides : tuple of int
        One for each axis of the nest and the stage; in a stage without inner axes, for the outer ones.
    at : tuple of (Expr, int)
        Computed indices (int64) and their steps: gathered reads.
    """

    __slots__ = ("at", "offset", "param", "strides")

    def __init__(self, param: int, strides: Sequence[int], offset: int = 0, at: Sequence[tuple[Expr, int]] = ()):
        self.param, self.offset, self.strides, self.at = param, offset, tuple(strides), tuple(at)

    @property
    def key(self) -> tuple:
        """Offset, strides and computed indices: places of one key in parameters that point alike are one place."""
        return self.offset, self.strides, tuple([(id(e), step) for e, step in self.at])

    def __repr__(self) -> str:
        terms = [f"{s}*i{k}" for k, s in enumerate(self.strides) if s] + [f"{s}*({e!r})" for e, s in self.at]
        return f"p{self.param}[{' + '.join(([str(self.offset)] if self.offset or not terms else []) + terms)}]"


class Load(Expr):
    """An element read from memory; where `guard` is false nothing is read, and the value is 0."""

    __slots__ = ("guard", "place")

    def __init__(self, place: Place, dtype: np.dtype, guard: Expr | None = None):
        self.place, self.dtype, self.guard = place, np.dtype(dtype), guard

    @property
    def operands(self) -> tuple[Expr, ...]:
        """The computed indices and the guard."""
        return (*[e for e, _ in self.place.at], *(() if self.guard is None else (self.guard,)))

    def __repr__(self) -> str:
        return f"{self.place!r}" if self.guard is None else f"({self.place!r} if {self.guard!r})"


class Apply(Expr):
    """A primitive (``core.op.lowering.PRIMITIVES``, or "cast") of operands.

    The operands have the dtype in which the primitive computes, one for all; bool for the first of "select". "cast" converts
    its operand to `dtype` as NumPy's `astype` does.
    """

    __slots__ = ("args", "name")

    def __init__(self, name: str, args: Sequence[Expr], dtype: np.dtype):
        self.name, self.args, self.dtype = name, tuple(args), np.dtype(dtype)

    @property
    def operands(self) -> tuple[Expr, ...]:
        """The primitive's operands."""
        return self.args

    def __repr__(self) -> str:
        name = self.dtype.name if self.name == "cast" else self.name
        return f"{name}({', '.join(map(repr, self.args))})"


class Reduced(Expr):
    """What an earlier stage reduced at the same outer point: the `number`-th of its reductions."""

    __slots__ = ("number", "stage")

    def __init__(self, stage: int, number: int, dtype: np.dtype):
        self.stage, self.number, self.dtype = stage, number, np.dtype(dtype)

    def __repr__(self) -> str:
        return f"r{self.stage}.{self.number}"


class Reduction:
    """An expression combined over a stage's inner axes, in its own dtype: by "sum", "prod", "max" or "min" (NaN wins)."""

    __slots__ = ("combine", "value")

    def __init__(self, combine: str, value: Expr):
        self.combine, self.value = combine, value

    def __repr__(self) -> str:
        return f"{self.combine} {self.value!r}"


class Store:
    """An expression written to memory, which has its dtype; bools are bytes of 0 and 1."""

    __slots__ = ("place", "value")

    def __init__(self, place: Place, value: Expr):
        self.place, self.value = place, value

    def __repr__(self) -> str:
        return f"{self.place!r} = {self.value!r}"


class Stage:
    """What happens at each outer point, over inner axes: reductions, and stores.

    Attributes
    ----------
    inner : tuple of int
        Sizes; without inner axes the stage is one point.
    reductions : tuple of Reduction
    stores : tuple of Store
        A stage may load what it or an earlier stage stores at the same point, and nothing that other points store.
    """

    __slots__ = ("inner", "reductions", "stores")

    def __init__(self, inner: Sequence[int], reductions: Sequence[Reduction] = (), stores: Sequence[Store] = ()):
        self.inner, self.reductions, self.stores = tuple(inner), tuple(reductions), tuple(stores)

    @property
    def roots(self) -> tuple[Expr, ...]:
        """The expressions that the stage is there for."""
        return (*[r.value for r in self.reductions], *[s.value for s in self.stores])


class Nest:
    """A loop nest.

    Attributes
    ----------
    outer : tuple of int
        Sizes of the axes whose points are independent of each other.
    stages : tuple of Stage
    params : tuple of numpy.dtype
        Of each parameter's elements.
    """

    __slots__ = ("outer", "params", "stages")

    def __init__(self, outer: Sequence[int], stages: Sequence[Stage], params: Sequence[Any]):
        self.outer, self.stages, self.params = tuple(outer), tuple(stages), tuple([np.dtype(d) for d in params])

    def __repr__(self) -> str:
        lines = [f"nest{list(self.outer)}({', '.join([f'p{i}: {d}' for i, d in enumerate(self.params)])}):"]
        for i, stage in enumerate(self.stages):
            lines.append(f"    over {list(stage.inner)}:" if stage.inner else "    once:")
            lines += [f"        r{i}.{k} = {r!r}" for k, r in enumerate(stage.reductions)]
            lines += [f"        {store!r}" for store in stage.stores]
        return "\n".join(lines)

    def run(self, memory: Sequence[np.ndarray]) -> None:
        """Run on memory: for each parameter a flat array of its dtype (bool for bool), at whose start the pointer points."""
        reduced: dict[tuple[int, int], Any] = {}
        for number, stage in enumerate(self.stages):
            sizes = (*self.outer, *stage.inner)
            if 0 in self.outer:
                return
            found: dict[int, Any] = {}
            grid = [np.arange(n).reshape([-1 if i == k else 1 for i in range(len(sizes))]) for k, n in enumerate(sizes)]
            point = _Point(memory, grid, reduced, len(stage.inner), found)
            for e in walk(stage.roots):  # operands first, so that no chain of them is deep
                point.value(e)
            values = [np.broadcast_to(point.value(e), sizes) for e in stage.roots]
            inner = tuple(range(len(self.outer), len(sizes)))
            for k, (reduction, value) in enumerate(zip(stage.reductions, values, strict=False)):
                initial = None if 0 not in stage.inner or reduction.combine in ("sum", "prod") else extreme(reduction)
                extra = {} if initial is None else {"initial": initial}
                with np.errstate(all="ignore"):
                    reduced[number, k] = COMBINES[reduction.combine].reduce(value, axis=inner, dtype=value.dtype, **extra)
            for store, value in zip(stage.stores, values[len(stage.reductions) :], strict=True):
                memory[store.place.param][np.broadcast_to(point.places(store.place), sizes)] = value


def extreme(reduction: Reduction) -> Any:
    """Return what a "max" or "min" of nothing is: the least or greatest value of the dtype."""
    d, low = reduction.value.dtype, reduction.combine == "max"
    if d.kind == "f":
        return d.type(-np.inf if low else np.inf)
    return d.type(not low) if d.kind == "b" else (np.iinfo(d).min if low else np.iinfo(d).max)


class _Point:
    """All points of a stage at once."""

    def __init__(self, memory: Sequence[np.ndarray], grid: list, reduced: dict, inner: int, found: dict):
        self.memory, self.grid, self.reduced, self.inner, self.found = memory, grid, reduced, inner, found

    def places(self, place: Place) -> Any:
        index: Any = place.offset
        for step, along in zip(place.strides, self.grid, strict=True):
            index = index + step * along
        for e, step in place.at:
            index = index + step * self.value(e)
        return np.asarray(index)

    def value(self, e: Expr) -> Any:
        if id(e) not in self.found:
            with np.errstate(all="ignore"):
                self.found[id(e)] = self._computed(e)
        return self.found[id(e)]

    def _computed(self, e: Expr) -> Any:
        if isinstance(e, Number):
            return e.value
        if isinstance(e, Axis):
            return self.grid[e.axis]
        if isinstance(e, Reduced):
            out = self.reduced[e.stage, e.number]
            return out.reshape(*out.shape, *(1,) * self.inner) if self.inner else out
        if isinstance(e, Load):
            index = self.places(e.place)
            if e.guard is None:
                return self.memory[e.place.param][index]
            guard = self.value(e.guard)
            return np.where(guard, self.memory[e.place.param][np.where(guard, index, 0)], e.dtype.type(0))
        assert isinstance(e, Apply)
        args = [self.value(a) for a in e.args]
        if e.name == "cast":
            return args[0].astype(e.dtype)
        return np.asarray(PRIMITIVES[e.name](*args)).astype(e.dtype)


def walk(roots: Sequence[Expr]) -> Iterator[Expr]:
    """Yield the expressions under some, each once, operands before what is computed from them; without recursion."""
    seen: set[int] = set()
    stack = [(e, False) for e in reversed(roots)]
    while stack:
        e, ready = stack.pop()
        if ready:
            yield e
        elif id(e) not in seen:
            seen.add(id(e))
            stack.append((e, True))
            stack += [(x, False) for x in reversed(e.operands)]
