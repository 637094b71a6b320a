"""What a recorded call is: a graph, where its inputs come from, what the call changed, and what it returned.

Everything in it is pure: the graph's equations read their operands and give new values. What a call changes in the world comes
after them, as a list of effects, so that a replay which finds a guard broken has changed nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import Meta
from chainrule.core.types.tree import TreeSpec
from chainrule.transforms.equations import Graph, Variable

# -- sources: where the value of a graph's input comes from ------------------------------------------------------------


def _equal(self: tuple, other: object) -> bool:
    """Tell whether two sources are one: tensors and containers are compared by identity."""
    return other.__class__ is self.__class__ and list(map(_key, self)) == list(map(_key, other))  # type: ignore[call-overload]


def _differ(self: tuple, other: object) -> bool:
    return not _equal(self, other)


def _hash(self: tuple) -> int:
    return hash((self.__class__, *map(_key, self)))


def _key(part: Any) -> Any:
    return part if isinstance(part, (int, str, tuple)) else id(part)


class Argument(NamedTuple):
    """A tensor among the flattened arguments (`transforms.equations.flatten_call`), by its position there."""

    position: int

    def fetch(self, leaves: Sequence[Any]) -> Tensor:
        """Return the tensor for the leaves of a call."""
        return leaves[self.position]


class Captured(NamedTuple):
    """A tensor from outside that the function got hold of otherwise: a parameter, a buffer, an optimiser's state."""

    tensor: Tensor

    def fetch(self, leaves: Sequence[Any]) -> Tensor:
        """Return the tensor."""
        return self.tensor


class Gradient(NamedTuple):
    """The `.grad` that a tensor has when the call begins."""

    of: Any

    def fetch(self, leaves: Sequence[Any]) -> Tensor | None:
        """Return the gradient."""
        return gradient_of(self.of.fetch(leaves))


class Number(NamedTuple):
    """A Python float that is looked up in each call, such as the learning rate of a group: a float64 without axes.

    With `place` it is the one at this place of a tuple.
    """

    container: Any
    key: Any
    place: int | None = None

    def fetch(self, leaves: Sequence[Any]) -> float:
        """Return the number."""
        found = self.container[self.key]
        return float(found if self.place is None else found[self.place])


for _kind in (Argument, Captured, Gradient, Number):
    _kind.__eq__, _kind.__ne__, _kind.__hash__ = _equal, _differ, _hash  # type: ignore[method-assign, assignment]

Source = Argument | Captured | Gradient | Number


def gradient_of(tensor: Tensor) -> Tensor | None:
    """Return a tensor's `.grad` without the warning of one that is no leaf."""
    meta = tensor._meta
    return tensor.grad if meta.__class__ is Meta and meta.grad is not None else None


# -- effects and outputs -----------------------------------------------------------------------------------------------


class Write(NamedTuple):
    """The memory of an input takes new values in place, and its version counts `times` writes."""

    source: Source
    variable: Variable
    times: int


class SetGradient(NamedTuple):
    """A tensor's `.grad` becomes a new tensor, that lies in memory by these strides; None drops it."""

    of: Source
    variable: Variable | None
    strides: tuple[int, ...] = ()


class Repeat(NamedTuple):
    """Python of the library's own runs again, after all tensors have their values: a schedule's step.

    What it changes belongs to `owners`, or is a number that calls look up.
    """

    call: Callable
    owners: tuple
    variable: None = None


Effect = Write | SetGradient | Repeat


class Computed(NamedTuple):
    """An output that the graph computes: a new tensor of the variable's value, which shares memory with no other.

    Its strides, in elements, are those of the call that was recorded, but without gaps.
    """

    variable: Variable
    requires_grad: bool = False
    strides: tuple[int, ...] = ()


class Static(NamedTuple):
    """An output that is no tensor: the same in each call on this path."""

    value: Any


class Input(NamedTuple):
    """An output that is an input itself, the same object."""

    source: Source


class Same(NamedTuple):
    """An output that is an earlier one, the same object."""

    position: int


class View(NamedTuple):
    """An output that is a view of an input, or of another output, by the steps that `core.write.views.chain_of` gives.

    It is `apart` where it shows the memory of the base and, by way of ``detach``, is no view of it to autograd. It is `frozen`
    where it was taken while nothing was recorded.
    """

    base: Any  # a source, or the position of an output
    chain: tuple
    requires_grad: bool = False
    apart: bool = False
    frozen: bool = False


Output = Computed | Static | Input | Same | View


class Recording:
    """A call, recorded.

    Attributes
    ----------
    graph : Graph
        ``graph.inputs`` belong to `sources`, one each. ``graph.outputs`` are the variables of `outputs` and of `effects`, each
        once. Besides ops its equations are guards, whose ``op.kind`` is "guard" (`record.guards`).
    sources : tuple of Source
    effects : tuple of Effect
        In an order in which they may be carried out.
    outputs : tuple of Output
        One for each leaf of the result.
    out_spec : TreeSpec
        The structure of the result.
    state : State
        What the call read of Python; ``state.holds(leaves)`` tells whether it is still so.
    replayable : bool
        Whether other calls may run the graph instead of the function.
    why : str
        The reason, where they may not.
    result : object
        What the call returned: ordinary tensors, as the function itself would have returned them.
    """

    __slots__ = ("effects", "graph", "out_spec", "outputs", "replayable", "result", "sources", "state", "why")

    def __init__(
        self,
        graph: Graph | None,
        sources: Sequence[Source],
        effects: Sequence[Effect],
        outputs: Sequence[Output],
        out_spec: TreeSpec | None,
        state: Any,
        result: Any,
        why: str = "",
    ):
        self.graph: Any = graph
        self.sources: tuple[Any, ...] = tuple(sources)
        self.effects: tuple[Any, ...] = tuple(effects)
        self.outputs: tuple[Any, ...] = tuple(outputs)
        self.out_spec: Any = out_spec
        self.state, self.result = state, result
        self.replayable, self.why = not why, why


__all__ = [
    "Argument", "Captured", "Computed", "Effect", "Gradient", "Input", "Number", "Output", "Recording",
    "Repeat", "Same", "SetGradient", "Source", "Static", "View", "Write",
]  # fmt: skip
