"""Values: what a graph's variables are to loops: in memory, one number, read from elsewhere, or computed by a task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from chainrule.compiler.loops.coords import READ, ZERO, Coord, Coords, constant
from chainrule.compiler.loops.maps import MAPS, Piece
from chainrule.compiler.loops.scalars import NATIVE
from chainrule.compiler.loops.steps import Buffer, View
from chainrule.compiler.loops.tasks import Task
from chainrule.core.tensor.value import array_of
from chainrule.transforms.equations import Equation, Variable

GATHERS = frozenset(("gather", "index", "index_select"))


class Values:
    """The variables of a graph.

    Attributes
    ----------
    views : dict of Variable to View
        What is in memory: inputs, constants, results of products and kernels.
    maps : dict of Variable to (Equation, int)
        What is read from elsewhere, and the number of the result.
    tasks : dict of Variable to Task
    numbers : dict of Variable to NumPy scalar
        Constants whose elements are all the same.
    reads : list of (Variable, Coords, int)
        Integers that say where values are read (`coords.READ`), and the size of the axis.
    buffers : list of Buffer
        Of the constants that are read.
    """

    def __init__(self) -> None:
        self.views: dict[Variable, View] = {}
        self.maps: dict[Variable, tuple[Any, int]] = {}
        self.tasks: dict[Variable, Task] = {}
        self.numbers: dict[Variable, Any] = {}
        self.constants: dict[Variable, Any] = {}
        self.buffers: list[Buffer] = []
        self.reads: list[tuple[Variable, Coords, int]] = []
        self._read_numbers: dict[Any, int] = {}

    def add_constant(self, v: Variable, value: Any) -> None:
        """Take in a constant: a number where all its elements are one."""
        array = np.asarray(array_of(value))
        self.constants[v] = array
        if array.size and array.dtype in NATIVE:
            first = array[(0,) * array.ndim]
            if (
                not any(array.strides)
                or array.size == 1
                or np.ascontiguousarray(array).tobytes() == first.tobytes() * array.size
            ):
                self.numbers[v] = first

    def view(self, v: Variable) -> View:
        """Return where a value lies that no task computes; a constant is then laid down."""
        found = self.views.get(v)
        return self.laid_down(v) if found is None else found

    def laid_down(self, v: Variable) -> View:
        """Return where a constant lies, and have it be there."""
        array = self.constants[v]
        buffer = Buffer(array.dtype, array.shape, "constant", value=array)
        self.buffers.append(buffer)
        self.views[v] = buffer.view()
        return self.views[v]

    def pieces(self, v: Variable, coords: Coords) -> list[Piece]:
        """Return the pieces of a value that is read from elsewhere."""
        e, k = self.maps[v]
        if e.op.name in GATHERS:
            return [self._gathered(e, coords)]
        return MAPS[e.op.name](e, k, coords)

    def _gathered(self, e: Equation, coords: Coords) -> Piece:
        x, index = e.operands
        if e.op.name == "gather":
            axes, rows = (e.params["axis"],), [coords]
            if not x.shape:
                return Piece(x, (), ())
            rest = [c for k, c in enumerate(coords) if k != axes[0]]
        elif e.op.name == "index_select":
            axis = e.params["axis"]
            axes, rows = (axis,), [coords[axis : axis + 1]]
            rest = [*coords[:axis], *coords[axis + 1 :]]
        else:
            axes = e.params["axes"]
            ndim = len(index.shape) - (len(axes) > 1)
            at = axes[0] if axes[-1] - axes[0] == len(axes) - 1 else 0
            here = coords[at : at + ndim]
            rest = [*coords[:at], *coords[at + ndim :]]
            rows = [here] if len(axes) == 1 else [(constant(k), *here) for k in range(len(axes))]
        out, k = [], 0
        for axis, n in enumerate(x.shape):
            if axis in axes:
                row = rows[axes.index(axis)]
                out.append(self._read(index, row, n) if n != 1 else ZERO)
            else:
                out.append(rest[k] if n != 1 else ZERO)
                k += 1
        return Piece(x, tuple(out), ())

    def _read(self, index: Variable, coords: Coords, size: int) -> Coord:
        coords = tuple([ZERO if n == 1 and c[1] else c for c, n in zip(coords, index.shape, strict=True)])
        key = (index, coords, size)
        if key not in self._read_numbers:
            self._read_numbers[key] = len(self.reads)
            self.reads.append(key)
        return (0, (((READ, self._read_numbers[key], size), 1),))

    def leaves(self, v: Any, coords: Coords) -> Iterator[tuple[Variable, Coords]]:
        """Yield the tasks and the values in memory that a value is read from, and where there."""
        stack = [(v, coords)]
        while stack:
            v, coords = stack.pop()
            if v in self.maps:
                for piece in self.pieces(v, coords):
                    for c, _, _ in piece.conditions:
                        stack += self._read_by(c)
                    if piece.operand.__class__ is Variable:
                        stack.append((piece.operand, piece.coords))
            elif v not in self.numbers:
                for c in coords:
                    stack += self._read_by(c)
                yield v, coords

    def _read_by(self, c: Coord) -> list:
        found: list = []
        for atom, _ in c[1]:
            if atom[0] == READ:
                found.append(self.reads[atom[1]][:2])
            elif atom[0] < 0:
                found += self._read_by(atom[1])
        return found
