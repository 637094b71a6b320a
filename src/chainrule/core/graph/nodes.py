"""The graph's vocabulary: nodes, ports of nodes with several outputs, leaves, version counters.

A node knows how to pull a cotangent back to its edges; it does not know the pass that asks it to
(``transforms.reverse``). Edges point from results to inputs only, so a graph without cycles of references is
freed as soon as its results are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import count
from typing import Any
from weakref import ref

from chainrule.core.graph.handle import RemovableHandle, register

new = object.__new__
NOTHING = ()  # what a node keeps of an input that no rule named: not None, which means freed
next_id = count(1).__next__  # nodes are numbered in the order they are made: a parent's id is below its results'
NODE, PORT, LEAF_EDGE = range(3)


class _Leaf:
    """The `_node` of a tensor that requires grad and was made by no recorded op; the edge to it is the tensor itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "LEAF"


LEAF = _Leaf()


class Hooks:
    """What is called when a pass reaches a node, in this order.

    Attributes
    ----------
    outputs : dict
        Output number → the hooks on the tensor that is this output: each may replace its gradient.
    retains : tuple
        (output number, weak reference to a tensor that retains its gradient).
    before, after : OrderedDict
        The node's own hooks, before and after it pulls.
    """

    __slots__ = ("after", "before", "outputs", "retains")

    def __init__(self) -> None:
        self.outputs: dict[int, OrderedDict] = {}
        self.retains: tuple = ()
        self.before: OrderedDict = OrderedDict()
        self.after: OrderedDict = OrderedDict()


class Node:
    """One recorded op: `grad_fn` of its result.

    To keep recording cheap, a slot is set only where it is read: the plan says which. Edges and saved values of an op of
    one or two inputs lie in slots and not in tuples, each of which Python's garbage collector would visit as well: a
    recording of 45,000 products takes 20 ms with the collector on, and 50 with two tuples a node (11 and 9 with it off).

    Attributes
    ----------
    id : int
        Position in the order of creation, over all threads.
    plan : Plan
        Its op, what it saved and how it pulls cotangents back (``core.record.plans``).
    edge, edge2 : edge
        Where the cotangents go: a `Node`, a `Port`, a leaf `Tensor`, or None where no gradient flows. The first is the
        only one where ``plan.single``, the second there where ``plan.pair``; in all other nodes `edge` is a tuple of them.
        Off the hot path, read and set `edges`.
    saved, saved2 : value
        The inputs that rules named, likewise, where ``plan.keeps``: `NOTHING` for those they did not, None once freed. Off
        the hot path, read and set `kept`.
    out, version
        The result's payload, and its version counter, where ``plan.saves_out``.
    shapes : tuple
        Shapes of the inputs; None where no un-broadcast is needed.
    params : dict
        The op's static parameters.
    width : int
        Number of results, where there are several.
    hooks : Hooks or None
        What the user wants to be called.
    """

    __slots__ = (
        "__weakref__", "_accumulators", "_metadata", "_note", "_results", "edge", "edge2", "hooks", "id", "out", "params",
        "plan", "saved", "saved2", "shapes", "version", "width",
    )  # fmt: skip
    _kind = NODE
    requires_grad = True

    id: int
    plan: Any
    edge: Any
    edge2: Any
    saved: Any
    saved2: Any
    out: Any
    params: dict
    shapes: Any
    version: Any
    width: int
    hooks: Hooks | None
    _accumulators: tuple  # of the leaves in `edges`, kept so that their hooks live as long as this node
    _results: dict  # output number → (shape, dtype, level), of the outputs that a user held when looking at the node
    _note: Any  # what was noted of it (`core.record.notes`), where notes were asked for

    @property
    def op(self) -> Any:
        """The op that ran."""
        return self.plan.op

    @property
    def edges(self) -> tuple:
        """One edge per input."""
        plan = self.plan
        if plan.pair:
            return (self.edge, self.edge2)
        return (self.edge,) if plan.single else self.edge

    @edges.setter
    def edges(self, values: tuple) -> None:
        plan = self.plan
        if plan.pair:
            self.edge, self.edge2 = values
        else:
            self.edge = values[0] if plan.single else values

    @property
    def kept(self) -> tuple:
        """What is kept of each input, None where nothing is.

        Raises
        ------
        RuntimeError
            If it was freed.
        """
        plan, saved = self.plan, self.saved
        if saved is None:
            raise freed_error()
        each = (saved, self.saved2) if plan.pair else (saved,) if plan.single else saved
        return tuple([None if value is NOTHING else value for value in each])

    @kept.setter
    def kept(self, values: Iterable) -> None:
        plan, each = self.plan, tuple([NOTHING if value is None else value for value in values])
        if plan.pair:
            self.saved, self.saved2 = each
        else:
            self.saved = each[0] if plan.single else each

    def free(self) -> None:
        """Let go of what was saved."""
        self.saved = self.saved2 = self.out = None

    def name(self) -> str:
        """Return PyTorch's name of this node, such as ``"MulBackward0"``."""
        return self.plan.op.node_name(self)

    def _public(self) -> Any:
        """Return what `grad_fn` shows: the node itself, except that a custom function's shows its `ctx`."""
        return self

    @property
    def next_functions(self) -> tuple:
        """The (node, output number) pairs that this node sends its gradients to; (None, 0) where none flows."""
        found = tuple([public_edge(edge) for edge in self.edges])
        self._accumulators = tuple([node for node, _ in found if isinstance(node, AccumulateGrad)])
        return found

    @property
    def metadata(self) -> dict:
        """A dictionary for the user's own notes on this node; anomaly mode's `traceback_` and `parent_` are there too."""
        try:
            return self._metadata
        except AttributeError:
            note = getattr(self, "_note", None)
            self._metadata: dict = {} if note is None else note.metadata()
            return self._metadata

    def register_hook(self, fn: Callable) -> RemovableHandle:
        """Have ``fn(grad_inputs, grad_outputs)`` called after this node has pulled.

        Parameters
        ----------
        fn : callable
            Takes two tuples: the gradients that leave the node, one per `next_functions` (None where there is none), and
            those that came. Returns a tuple to send on instead of the first, or None.
        """
        expect_user_code()
        return register(hooks_of(self).after, fn)

    def register_prehook(self, fn: Callable) -> RemovableHandle:
        """Have ``fn(grad_outputs)`` called before this node pulls.

        Parameters
        ----------
        fn : callable
            Takes the tuple of gradients of the node's results; returns a tuple to use instead, or None.
        """
        expect_user_code()
        return register(hooks_of(self).before, fn)

    def _sequence_nr(self) -> int:
        """Return the position in the order of creation."""
        return self.id

    @property
    def _input_metadata(self) -> tuple:
        """The shape and dtype of each result, as far as they are known: of results whose `grad_fn` was looked at."""
        known = getattr(self, "_results", {})
        return tuple([known[i] for i in sorted(known)])

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"


class Port:
    """The edge to one output of a node that has several."""

    __slots__ = ("index", "node")
    _kind = PORT

    def __init__(self, node: Node, index: int):
        self.node, self.index = node, index


class AccumulateGrad(Node):
    """The node that stands for a leaf in `next_functions`; its `variable` is the leaf.

    A leaf has one at a time, kept alive by whoever looks at it and by the nodes that it was looked up from; hooks on it
    live as long as it does. Its hooks get an empty tuple of `grad_inputs`, once the gradient has been added.
    """

    __slots__ = ("variable",)
    hooks: Hooks

    def __init__(self, variable: Any):
        self.variable, self.hooks = variable, Hooks()
        self.hooks.before, self.hooks.after = LeafHooks(), LeafHooks()

    edges = next_functions = ()  # type: ignore[assignment]

    def name(self) -> str:
        """Return PyTorch's name of such nodes."""
        return "torch::autograd::AccumulateGrad"

    def __repr__(self) -> str:
        return f"<AccumulateGrad object at {id(self):#x}>"

    def _sequence_nr(self) -> int:
        return (1 << 64) - 1

    @property
    def _input_metadata(self) -> tuple:
        return (self.variable._described(),)


USER_CODE: list = []  # holds something once a pass may call the user's code: hooks, custom functions, packed values


def expect_user_code() -> None:
    """Have passes from now on tell the user's code that they run: no earlier, for it takes 3 % of a small pass."""
    if not USER_CODE:
        USER_CODE.append(True)


def hooks_of(node: Node) -> Hooks:
    """Return the node's hooks, made at first need."""
    if node.hooks is None:
        node.hooks = Hooks()
    return node.hooks


LEAF_HOOKS: dict[int, ref] = {}  # the dictionaries of hooks on leaves that hold any: if there are some, passes look for them


class LeafHooks(OrderedDict):
    """Hooks on a leaf, or on the node that stands for it."""

    def __setitem__(self, key: int, hook: Any) -> None:
        super().__setitem__(key, hook)
        key = id(self)
        LEAF_HOOKS[key] = ref(self, lambda _: LEAF_HOOKS.pop(key, None))

    def pop(self, key: int, *default: Any) -> Any:
        """Take a hook out."""
        found = super().pop(key, *default)
        if not self:
            LEAF_HOOKS.pop(id(self), None)
        return found


class Dressed(Node):
    """A node that a user has looked at: what it saved can be read under PyTorch's names.

    A class of its own, because a `__getattr__` would keep CPython from specialising the loads of all attributes of nodes,
    which cost a pass a fifth of its time. ``core.record.inspection`` gives it its `__getattr__`.
    """

    __slots__ = ()


@lru_cache(1024)  # more than the ops there are; a user may declare others
def _dressed(name: str) -> type[Node]:
    return type(name, (Dressed,), {"__slots__": (), "__module__": "chainrule.autograd.graph"})


def dress(node: Node) -> Node:
    """Give `node` the class that carries its PyTorch name.

    Done when a user looks at a node, not when it is made: recording into one class lets CPython specialise the
    attribute stores of the hot path (one class per op cost 20 ns a store).
    """
    if node.__class__ is Node:
        node.__class__ = _dressed(node.name())
    return node._public()


def engine_node(shown: Any) -> Any:
    """Return the node behind what `grad_fn` shows: itself, or that of which it is the `ctx`."""
    return getattr(shown, "_engine_node", shown)


def public_edge(edge: Any) -> tuple:
    """Return the (node, output number) pair PyTorch shows for an edge."""
    if edge is None:
        return (None, 0)
    if edge._kind == NODE:
        return (dress(edge), 0)
    if edge._kind == PORT:
        return (dress(edge.node), edge.index)
    return (edge._accumulator(), 0)


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
        # Called at each write, where some member's history depends on whether the memory was written to (`views.refuse`).
        self.frozen: Callable[[Version], None] | None = None
        self.history: tuple = ()
        self.members: set = set()  # weak references to the differentiable views (and their base) on this memory

    def bump(self) -> None:
        """Note a write."""
        self.count += 1
        self.stamp = next_id()
        self.history = (*self.history[-15:], self.stamp)
        if self.frozen is not None:
            self.frozen(self)

    def at(self, node_id: int) -> int:
        """Return the version that a node of this id saw (exact for the last 16 writes)."""
        return self.count - sum(stamp > node_id for stamp in self.history)


class Parts:
    """The memory that several tensors show parts of, each with a version counter of its own: a `Part`.

    Attributes
    ----------
    whole : Version
        Of all the memory.
    last, direct : int
        Its stamp when one of the parts was last written to, and when it was last written to otherwise.
    """

    __slots__ = ("direct", "last", "whole")

    def __init__(self, whole: Version):
        self.whole, self.last, self.direct = whole, whole.stamp, 0

    def catch_up(self) -> int:
        """Return the stamp of the last write to the memory that was none to a part."""
        if self.whole.stamp != self.last:
            self.direct = self.last = self.whole.stamp
        return self.direct


class Part(Version):
    """The version counter of a tensor that shows memory that is not its own: who saved the one finds writes to the other.

    A write to one part of the memory is none to the other parts.
    """

    __slots__ = ("_own", "parts")

    def __init__(self, parts: Parts, stamp: int = 0, count: int = 0):
        self.parts = parts
        super().__init__()
        self._own, self.count, self.history = stamp, count, (stamp,) * bool(stamp)

    @property
    def stamp(self) -> int:  # type: ignore[override]
        """The node id current at the last write to this part, or to the memory as a whole."""
        return max(self._own, self.parts.catch_up())

    @stamp.setter
    def stamp(self, value: int) -> None:
        self._own = value

    def bump(self) -> None:
        """Note a write to this part, and to the whole."""
        self.parts.catch_up()
        super().bump()
        self.parts.whole.bump()
        self.parts.last = self.parts.whole.stamp


class Inner(Version):
    """The version counter of a value of a transform in memory from outside: who saved the one finds writes to the other.

    A write to the value replaces it, and is none to that memory.
    """

    __slots__ = ("_own", "outer")

    def __init__(self, outer: Version):
        self.outer = outer
        super().__init__()

    @property
    def stamp(self) -> int:  # type: ignore[override]
        """The node id current at the last write to either."""
        return max(self._own, self.outer.stamp)

    @stamp.setter
    def stamp(self, value: int) -> None:
        self._own = value

    def at(self, node_id: int) -> int:
        """Return the version that a node of this id saw, by the writes to either."""
        return super().at(node_id) - (self.outer.count - self.outer.at(node_id))


def freed_error() -> RuntimeError:
    """Return PyTorch's error for a second backward pass over freed saved values."""
    return RuntimeError(
        "Trying to backward through the graph a second time (or directly access saved tensors after they have already "
        "been freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). "
        "Specify retain_graph=True if you need to backward through the graph a second time or if you need to access "
        "saved tensors after calling backward."
    )
