"""Tasks: what a graph computes in loops, each a pointwise expression or a reduction, and the groups that will be nests.

A group is a space of loops; tasks join it in the order of the graph, one after what it reads. In the same group they read each
other at the same point, without memory between.
"""

from __future__ import annotations

from math import prod
from typing import Any

from chainrule.compiler.loops.coords import ZERO, Coords, axis
from chainrule.compiler.loops.steps import Buffer, View

POINT, REDUCE = "point", "reduce"


class Task:
    """A value that loops compute.

    Attributes
    ----------
    variable : Variable or None
        None for one that is only written somewhere.
    kind : str
    shape : tuple of int
        Over which it iterates: its own, or of what it reduces.
    operands : tuple
        Variables and numbers, broadcast to the shape.
    expression : tuple
        As `scalars.expression_of` returns it.
    combine, kept : str, tuple of bool
        Of a reduction: how, and which axes stay.
    home : tuple of coordinates
        Of its value in the loops of its group, an axis of its shape each; of a reduction those that are left.
    sources : list of Task
        What it reads that loops compute.
    buffer : Buffer or None
        Where its value is kept, if it is.
    written : list of View
        Other places that take its value.
    level : int
        Even for what runs over all axes of a group, odd for what runs over the outer ones: each reads lower ones.
    groups : set of Group
        Where it has to be computed.
    roots, reads : set
        The tasks and buffers that it reads; with what those read that are cheap.
    own, cost, again : int
        What its expression costs, alone, with all that it would be computed from, and with what is computed from it again.
    lodged : Buffer or None
        Where its value is until a later stage writes the result that belongs there.
    """

    __slots__ = (
        "again", "buffer", "combine", "cost", "dtype", "expression", "group", "groups", "home", "kept", "kind", "level",
        "lodged", "operands", "own", "reads", "roots", "shape", "sources", "variable", "written",
    )  # fmt: skip

    def __init__(self, variable: Any, kind: str, shape: tuple, operands: tuple, expression: Any, dtype: Any):
        self.variable, self.kind, self.shape, self.operands, self.expression = variable, kind, shape, operands, expression
        self.dtype = dtype
        self.combine: str = ""
        self.kept: tuple[bool, ...] = ()
        self.home: Coords = ()
        self.sources: list[Task] = []
        self.buffer: Buffer | None = None
        self.written: list[View] = []
        self.reads: set = set()
        self.roots: set = set()
        self.lodged: Buffer | None = None
        self.level = self.cost = self.own = self.again = 0
        self.group: Any = None
        self.groups: set[Group] = set()

    @property
    def is_kept(self) -> bool:
        """Whether its value is in memory."""
        return self.buffer is not None

    @property
    def runs_over_all(self) -> bool:
        """Whether it is computed at every point of its group's loops."""
        return self.level % 2 == 0


class Group:
    """A space of loops, and the tasks in it.

    Attributes
    ----------
    sizes : tuple of int
        Of all axes, none of them 1.
    outer : tuple of int or None
        The axes that reductions keep; None while there are none.
    position : int
        Its place among the steps.
    tasks : list of Task
    reads : set
        The values that its tasks read, by which others are found to belong to it.
    weight : int
        How many primitives it has.
    is_read : bool
        Whether anything outside reads what it computes: then it cannot move.
    trip : int
        The trip of a loop in which its last task is; -1 outside of loops.
    """

    __slots__ = ("is_read", "outer", "position", "reads", "sizes", "tasks", "trip", "weight")

    def __init__(self, sizes: tuple, position: int):
        self.sizes, self.position = sizes, position
        self.outer: tuple[int, ...] | None = None
        self.tasks: list[Task] = []
        self.reads: set = set()
        self.weight, self.trip, self.is_read = 0, -1, False

    @property
    def outer_sizes(self) -> tuple[int, ...]:
        """The sizes of the axes that reductions keep."""
        return tuple([self.sizes[k] for k in self.outer or ()])

    @property
    def is_wide(self) -> bool:
        """Whether it reduces much to little, so that its loops are to be split where they reduce."""
        return self.outer is not None and is_wide(prod(self.outer_sizes), prod(self.sizes))


FEW, MUCH = 8, 1 << 15


def is_wide(outer: int, total: int) -> bool:
    """Tell whether a reduction leaves so few elements of so many that threads should share each."""
    return outer < FEW and total >= MUCH


def essential(shape: tuple) -> tuple[int, ...]:
    """Return a shape without axes of size 1."""
    return tuple([n for n in shape if n != 1])


def home_of(shape: tuple, axes: Any = None) -> Coords:
    """Return the coordinates of a shape whose axes, but those of size 1, are the loops' in this order."""
    out, k = [], 0
    for n in shape:
        if n == 1:
            out.append(ZERO)
        else:
            out.append(axis(k if axes is None else axes[k], n))
            k += 1
    return tuple(out)
