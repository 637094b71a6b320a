"""The graph's vocabulary: nodes, ports of nodes with several outputs, leaves, version counters.

A node knows how to pull a cotangent back to its edges; it does not know the pass that asks it to
(``transforms.reverse``). Edges point from results to inputs only, so a graph without cycles of references is
freed as soon as its results are.
"""

from __future__ import annotations

from itertools import count
from typing import Any

new = object.__new__
next_id = count(1).__next__  # nodes are numbered in the order they are made: a parent's id is below its results'
NODE, PORT, LEAF_EDGE = range(3)


class _Leaf:
    """The `_node` of a tensor that requires grad and was made by no recorded op; the edge to it is the tensor itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "LEAF"


LEAF = _Leaf()


class Node:
    """One recorded op: `grad_fn` of its result.

    To keep recording cheap, a slot is set only where it is read: the plan says which.

    Attributes
    ----------
    id : int
        Position in the order of creation, over all threads.
    plan : Plan
        Its op, what it saved and how it pulls cotangents back (``core.record``).
    edge : edge or tuple of edges
        Where the cotangents go: a `Node`, a `Port`, a leaf `Tensor`, or None where no gradient flows. One bare edge
        where ``plan.single``, which spares the small graphs a tuple a node; read `edges` elsewhere.
    saved : tuple, or a bare value where ``plan.single``
        The inputs that rules named; None once freed.
    out, version
        The result's payload, and its version counter, where ``plan.saves_out``.
    shapes : tuple
        Shapes of the inputs; None where no un-broadcast is needed.
    params : dict
        The op's static parameters.
    width : int
        Number of results, where there are several.
    hooks : tuple or None
        (output number, weak reference to a tensor that retains its gradient).
    """

    __slots__ = (
        "__weakref__", "_metadata", "edge", "hooks", "id", "out", "params", "plan", "saved", "shapes", "version", "width",
    )  # fmt: skip
    _kind = NODE

    id: int
    plan: Any
    edge: Any
    saved: Any
    out: Any
    params: dict
    shapes: Any
    version: Any
    width: int
    hooks: Any

    @property
    def op(self) -> Any:
        """The op that ran."""
        return self.plan.op

    @property
    def edges(self) -> tuple:
        """One edge per input."""
        return (self.edge,) if self.plan.single else self.edge

    def name(self) -> str:
        """Return PyTorch's name of this node, such as ``"MulBackward0"``."""
        return self.plan.op.node_name(self)

    @property
    def next_functions(self) -> tuple:
        """The (node, output number) pairs that this node sends its gradients to; (None, 0) where none flows."""
        return tuple(public_edge(edge) for edge in self.edges)

    @property
    def metadata(self) -> dict:
        """A dictionary for the user's own notes on this node."""
        try:
            return self._metadata
        except AttributeError:
            self._metadata: dict = {}
            return self._metadata

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"


class Port:
    """The edge to one output of a node that has several."""

    __slots__ = ("index", "node")
    _kind = PORT

    def __init__(self, node: Node, index: int):
        self.node, self.index = node, index


class AccumulateGrad:
    """The node that stands for a leaf in `next_functions`; its `variable` is the leaf."""

    __slots__ = ("variable",)

    def __init__(self, variable: Any):
        self.variable = variable

    next_functions: tuple = ()

    def name(self) -> str:
        """Return ``"AccumulateGrad"``."""
        return "AccumulateGrad"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AccumulateGrad) and other.variable is self.variable

    def __hash__(self) -> int:
        return hash((AccumulateGrad, id(self.variable)))

    def __repr__(self) -> str:
        return f"<AccumulateGrad object at {id(self.variable):#x}>"


_dressed: dict[str, type[Node]] = {}


def dress(node: Node) -> Node:
    """Give `node` the class that carries its PyTorch name.

    Done when a user looks at a node, not when it is made: recording into one class lets CPython specialise the
    attribute stores of the hot path (one class per op cost 20 ns a store).
    """
    if node.__class__ is Node:
        name = node.name()
        cls = _dressed.get(name)
        if cls is None:
            cls = _dressed[name] = type(name, (Node,), {"__slots__": (), "__module__": "chainrule.autograd.graph"})
        node.__class__ = cls
    return node


def public_edge(edge: Any) -> tuple:
    """Return the (node, output number) pair PyTorch shows for an edge."""
    if edge is None:
        return (None, 0)
    if edge._kind == NODE:
        return (dress(edge), 0)
    if edge._kind == PORT:
        return (dress(edge.node), edge.index)
    return (AccumulateGrad(edge), 0)


class Refused:
    """The `_node` of a view that PyTorch forbids to use: whoever follows it gets the error."""

    __slots__ = ("words",)

    def __init__(self, words: str):
        self.words = words

    @property
    def _kind(self) -> int:
        raise RuntimeError(self.words)


class Version:
    """The version counter of one stretch of memory, shared by a tensor and all its aliases.

    `stamp` is the node id current at the last write. A node made before that write (`node.id < stamp`) that saved the
    memory finds it modified; so saving costs nothing, and only writing does.
    """

    __slots__ = ("count", "frozen", "history", "members", "stamp")

    def __init__(self) -> None:
        self.count = 0
        self.stamp = 0
        self.frozen = False  # whether some member's history depends on whether the memory was written to (`views.refuse`)
        self.history: tuple = ()
        self.members: set = set()  # weak references to the differentiable views (and their base) on this memory

    def bump(self) -> None:
        """Note a write."""
        self.count += 1
        self.stamp = next_id()
        self.history = (*self.history[-15:], self.stamp)
        if self.frozen:
            from chainrule.core.views import refuse

            refuse(self)

    def at(self, node_id: int) -> int:
        """Return the version that a node of this id saw (exact for the last 16 writes)."""
        return self.count - sum(stamp > node_id for stamp in self.history)


def freed_error() -> RuntimeError:
    """Return PyTorch's error for a second backward pass over freed saved values."""
    return RuntimeError(
        "Trying to backward through the graph a second time (or directly access saved tensors after they have already "
        "been freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). "
        "Specify retain_graph=True if you need to backward through the graph a second time or if you need to access "
        "saved tensors after calling backward."
    )
