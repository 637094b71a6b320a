"""Text of LLVM IR: types and constants as it spells them, and a function written line by line.

llvmlite's own builder costs some 20 µs an instruction; this one a microsecond or two. It knows nothing of nests.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

_ELEMENTS = {"float16": "half", "float32": "float", "float64": "double", "bool": "i1"}


class Kind:
    """A type of values: one element of a dtype, or several lanes of it.

    Attributes
    ----------
    dtype : numpy.dtype
    lanes : int
        1 for a scalar.
    element, text, suffix : str
        The element's type, the whole type, and the whole type as names of intrinsics end.
    bits : int
    is_float, is_bool, is_signed : bool
    """

    __slots__ = ("bits", "dtype", "element", "is_bool", "is_float", "is_signed", "lanes", "suffix", "text")

    def __init__(self, dtype: np.dtype, lanes: int):
        self.dtype, self.lanes = dtype, lanes
        self.is_float, self.is_bool, self.is_signed = dtype.kind == "f", dtype.kind == "b", dtype.kind == "i"
        self.bits = 1 if self.is_bool else dtype.itemsize * 8
        self.element = _ELEMENTS.get(dtype.name) or f"i{self.bits}"
        self.text = self.element if lanes == 1 else f"<{lanes} x {self.element}>"
        name = f"{'f' if self.is_float else 'i'}{self.bits}"
        self.suffix = name if lanes == 1 else f"v{lanes}{name}"

    def number(self, value: Any) -> str:
        """Return a constant, the same in all lanes."""
        one = self._one(value)
        return one if self.lanes == 1 else f"splat ({self.element} {one})"

    def numbers(self, values: Sequence[Any]) -> str:
        """Return a constant with a value for each lane."""
        return f"<{', '.join([f'{self.element} {self._one(v)}' for v in values])}>"

    def _one(self, value: Any) -> str:
        if self.bits == 16 and self.is_float:
            return f"0xH{int(np.float16(value).view(np.uint16)):04X}"
        if self.is_float:
            bits = struct.unpack("<Q", struct.pack("<d", float(value)))[0]
            return f"0x{bits:016X}"
        if self.is_bool:
            return "true" if value else "false"
        return str(int(value))

    def of(self, dtype: Any) -> Kind:
        """Return the kind of another dtype with as many lanes."""
        return kind(dtype, self.lanes)

    @property
    def whole(self) -> Kind:
        """The signed integers of as many bits."""
        return kind(f"i{self.bits // 8}", self.lanes)

    @property
    def mask(self) -> Kind:
        """The bools with as many lanes."""
        return kind("?", self.lanes)


@lru_cache(maxsize=256)
def _kind(dtype: np.dtype, lanes: int) -> Kind:
    return Kind(dtype, lanes)


def kind(dtype: Any, lanes: int = 1) -> Kind:
    """Return the kind of a dtype and a number of lanes."""
    return _kind(np.dtype(dtype), lanes)


INDEX = kind(np.int64)


class Function:
    """A function that is being written, at the place where the next line goes.

    What is written twice is the same register (loads too, as long as nothing was stored between), unless the first one
    lies in a loop that has ended.

    Attributes
    ----------
    lines : list of str
    declared, defined : dict of str to str
        Functions that are called, by name.
    calls : dict of str to int
        How often the defined ones are.
    depth : int
        How many loops the place lies in.
    saturates : bool
        Whether floats beyond the integers become the nearest ones.
    straight : int
        Loops of no more steps than this are written step by step.
    """

    def __init__(self, saturates: bool = False) -> None:
        self.saturates = saturates
        self.lines: list[str] = []
        self.declared: dict[str, str] = {}
        self.defined: dict[str, str] = {}
        self.calls: dict[str, int] = {}
        self.depth = 0
        self.straight = 1
        self._known: dict[str, str] = {}
        self._order: list[str] = []
        self._count = 0
        self._stores = 0
        self._block = "entry"

    def load(self, text: str) -> str:
        """Write a load, which is the same as an earlier one only if nothing has been stored since."""
        return self(text, f"{self._stores} {text}")

    def __call__(self, text: str, key: str | None = None) -> str:
        """Write an instruction, once for each key, its text if not given, and return its register."""
        key = key or text
        found = self._known.get(key)
        if found is None:
            self._count += 1
            found = self._known[key] = f"%v{self._count}"
            self._order.append(key)
            self.lines.append(f"  {found} = {text}")
        return found

    def store(self, text: str) -> None:
        """Write an instruction without a result."""
        self._stores += 1
        self.lines.append(f"  {text}")

    def declare(self, result: str, name: str, operands: Sequence[str]) -> None:
        """Declare a function that lies elsewhere."""
        if name not in self.declared:
            self.declared[name] = f"declare {result} @{name}({', '.join(operands)})"

    def intrinsic(self, result: str, name: str, *operands: tuple[str, str]) -> str:
        """Write a call of a function that lies elsewhere; operands are pairs of type and value."""
        self.declare(result, name, [t for t, _ in operands])
        return self(f"call {result} @{name}({', '.join([f'{t} {v}' for t, v in operands])})")

    def least(self, x: Any, y: Any) -> str:
        """Write the least of two int64."""
        return self.intrinsic("i64", "llvm.smin.i64", ("i64", str(x)), ("i64", str(y)))

    def largest(self, x: Any, y: Any) -> str:
        """Write the largest of two int64."""
        return self.intrinsic("i64", "llvm.smax.i64", ("i64", str(x)), ("i64", str(y)))

    def splat(self, k: Kind, scalar: str) -> str:
        """Return a vector with a scalar in all lanes."""
        if not scalar.startswith("%"):
            return f"splat ({k.element} {scalar})"
        one = self(f"insertelement {k.text} poison, {k.element} {scalar}, i32 0")
        return self(f"shufflevector {k.text} {one}, {k.text} poison, <{k.lanes} x i32> zeroinitializer")

    def by_lane(self, k: Kind, result: Kind, xs: Sequence[str], scalar: Callable[[list[str]], str]) -> str:
        """Write what `scalar` writes for each lane of vectors of one kind, and return the vector of the results."""
        if k.lanes == 1:
            return scalar(list(xs))
        out = "poison"
        for i in range(k.lanes):
            one = scalar([self(f"extractelement {k.text} {x}, i32 {i}") for x in xs])
            out = self(f"insertelement {result.text} {out}, {result.element} {one}, i32 {i}")
        return out

    def loop(
        self,
        start: Any,
        stop: Any,
        step: int,
        carried: Sequence[tuple[str, str]],
        body: Callable[[str, list[str]], Sequence[str]],
    ) -> tuple[str, list[str]]:
        """Write ``for index in range(start, stop, step)``, with `step` above 0.

        Parameters
        ----------
        start, stop : str or int
        step : int
        carried : sequence of (str, str)
            Types and first values of what the body changes.
        body : callable
            Writes the body; from the index and what is carried it returns what is carried on.

        Returns
        -------
        index : str
            The first index that was not run.
        carried : list of str
        """
        if isinstance(start, int) and isinstance(stop, int) and stop - start <= step * self.straight:
            names = [first for _, first in carried]
            for i in range(start, stop, step):
                names = list(body(str(i), names))
            return str(max(start, start + -(-(stop - start) // step) * step)), names
        self._count += 1
        n, before = self._count, self._block
        header, inside, end = f"loop{n}", f"body{n}", f"end{n}"
        self.lines += [f"  br label %{header}", f"{header}:"]
        hole = len(self.lines)
        names = [f"%c{n}.{i}" for i in range(len(carried))]
        self.lines += [f"  %go{n} = icmp slt i64 %i{n}, {stop}", f"  br i1 %go{n}, label %{inside}, label %{end}", f"{inside}:"]
        self._block, mark, stores = inside, len(self._order), self._stores
        self._stores += 1
        self.depth += 1
        after = body(f"%i{n}", names)
        self.depth -= 1
        latch = self._block
        phis = [f"  %i{n} = phi i64 [ {start}, %{before} ], [ %n{n}, %{latch} ]"]
        for name, (t, first), new in zip(names, carried, after, strict=True):
            phis.append(f"  {name} = phi {t} [ {first}, %{before} ], [ {new}, %{latch} ]")
        self.lines[hole:hole] = phis
        self.lines += [f"  %n{n} = add nsw i64 %i{n}, {step}", f"  br label %{header}", f"{end}:"]
        self._forget(mark)
        self._block = end
        if self._stores == stores + 1:
            self._stores = stores
        return f"%i{n}", names

    def when(self, condition: str, body: Callable[[], Any]) -> None:
        """Write what happens under a condition, which gives nothing."""
        self._count += 1
        n, mark = self._count, len(self._order)
        self.lines += [f"  br i1 {condition}, label %then{n}, label %end{n}", f"then{n}:"]
        self._block = f"then{n}"
        body()
        self.lines += [f"  br label %end{n}", f"end{n}:"]
        self._block = f"end{n}"
        self._forget(mark)

    def _forget(self, mark: int) -> None:
        """Forget what was written since a mark, for what follows is not reached through it alone."""
        for text in self._order[mark:]:
            del self._known[text]
        del self._order[mark:]

    def module(self, name: str, parameters: str) -> str:
        """Return the text of a module of this function, with what it calls."""
        head = [*self.declared.values(), *self.defined.values()]
        return "\n".join([*head, f"define void @{name}({parameters}) {{", "entry:", *self.lines, "  ret void", "}", ""])
