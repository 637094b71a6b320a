"""What a custom function sees and keeps: its `ctx`, its node in the graph, views of `ctx` for other levels.

In PyTorch `ctx` is the node. Here it is the public face of the node: users may give it attributes of any name, which must
not meet the node's own; the two share one dictionary, and `grad_fn` shows the face. The node holds its face weakly, so the
pair is no cycle.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any
from weakref import ref

from chainrule.core.graph.nodes import Node, expect_user_code, freed_error, new, next_id
from chainrule.core.mode.grad_mode import modes
from chainrule.core.record.notes import note
from chainrule.core.record.saved import unpack
from chainrule.core.tensor.tensor import Tensor, wrap


class FunctionCtx:
    """What a custom function's static methods get as `ctx`: how to save values and to declare what was done to them."""

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for `backward`, where ``ctx.saved_tensors`` returns them.

        Inputs and outputs come back with their history, so that `backward` can itself be differentiated; any other tensor is
        a constant there. A tensor that was written to in between is found out. Call it once.
        """
        self.to_save = tensors

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for `jvp`, where ``ctx.saved_tensors`` returns them."""
        for tensor in tensors:
            if not (isinstance(tensor, Tensor) or tensor is None):
                raise AssertionError(
                    "save_for_forward expects all arguments to be tensors; you should save non-tensors as attributes on ctx."
                )
        self.saved_for_forward = tensors

    def mark_dirty(self, *args: Tensor) -> None:
        """Declare inputs that `forward` wrote to in place; each must be among the outputs."""
        self.dirty_tensors = args

    def mark_non_differentiable(self, *args: Tensor) -> None:
        """Declare outputs that have no gradient; `backward` gets zeros for them."""
        self.non_differentiable = args

    def set_materialize_grads(self, value: bool) -> None:
        """Have `backward` and `jvp` get None where there is no gradient or tangent, with ``value=False``; by default zeros."""
        self.materialize_grads = value

    def mark_shared_storage(self, *pairs: Any) -> None:
        """Do nothing: shared memory is noticed without it."""
        warnings.warn(
            "`mark_shared_storage` is deprecated. Tensors with shared storages are automatically tracked. Note that calls to "
            "`set_()` are not tracked",
            FutureWarning,
            stacklevel=2,
        )


_REQUESTS = ("to_save", "saved_for_forward", "dirty_tensors", "non_differentiable")


class BackwardCFunction(FunctionCtx):
    """The `ctx` of a custom function, and the `grad_fn` of its results; each `Function` has a subclass named after it."""

    __slots__ = ("_function_node",)
    _function_name = "Function"
    _forward_cls: Any = None

    to_save: Any = ()
    saved_for_forward: Any = None
    dirty_tensors: Any = ()
    non_differentiable: Any = ()
    materialize_grads = True
    _materialize_non_diff_grads = True
    needs_input_grad: tuple = ()

    @property
    def _engine_node(self) -> Any:
        """The node; None where nothing was recorded."""
        return getattr(self, "_function_node", None)

    @property
    def saved_tensors(self) -> tuple:
        """What was saved, with its history.

        Raises
        ------
        RuntimeError
            If it was freed by a pass, or was written to since.
        """
        return tuple([t.unboxed if t.__class__ is Boxed else t for t in self._saved()])

    @property
    def saved_variables(self) -> tuple:
        """The old name of `saved_tensors`."""
        warnings.warn("'saved_variables' is deprecated; use 'saved_tensors'", DeprecationWarning, stacklevel=2)
        return self.saved_tensors

    def _saved(self) -> tuple:
        node = self._engine_node
        if node is None:
            return tuple(self.to_save if self.saved_for_forward is None else self.saved_for_forward)
        if node.saved is None:
            raise freed_error()
        once = self._forward_cls is not None and self._forward_cls.clear_saved_tensors_on_access
        if once:
            if node.cleared:
                raise RuntimeError(
                    "saved_tensors can only be accessed once when clear_saved_tensors_on_access=True is set on the "
                    "autograd.Function. Either access saved_tensors only once, or set clear_saved_tensors_on_access=False."
                )
            node.cleared = True
        found = _boxed(tuple([None if k is None else unpack(k, node) for k in node.saved]), node.boxes)
        if once:
            node.saved = node.boxes = ()
        return found

    def _kept(self) -> list:
        """Return the tensors that the function keeps, saved or as attributes, without consequences."""
        node = self._engine_node
        saved = node.saved or () if node is not None else self.to_save or self.saved_for_forward or ()
        return [t for t in (*saved, *self.__dict__.values()) if isinstance(t, Tensor)]

    # -- the node's public side ----------------------------------------------------------------------------------------

    def name(self) -> str:
        """Return the name of the node, such as ``"MyFunctionBackward"``."""
        return f"{self._function_name}Backward"

    @property
    def next_functions(self) -> tuple:
        """The (node, output number) pairs that this node sends its gradients to."""
        node = self._engine_node
        return () if node is None else node.next_functions

    @property
    def metadata(self) -> dict:
        """A dictionary for the user's own notes on this node."""
        node = self._engine_node
        return {} if node is None else node.metadata

    def register_hook(self, fn: Callable) -> Any:
        """Have `fn` called with the gradients of inputs and outputs when the node has run; see the node's method."""
        return self._engine_node.register_hook(fn)

    def register_prehook(self, fn: Callable) -> Any:
        """Have `fn` called with the gradients of the outputs before the node runs; see the node's method."""
        return self._engine_node.register_prehook(fn)

    @property
    def requires_grad(self) -> bool:
        """True: a node is there for gradients."""
        return True

    @property
    def _input_metadata(self) -> tuple:
        return self._engine_node._input_metadata

    def _sequence_nr(self) -> int:
        """Return the position in the order of creation."""
        return self._engine_node.id

    @property
    def _raw_saved_tensors(self) -> tuple:
        node = self._engine_node
        if node.saved is None:
            raise freed_error()
        return node.saved

    def apply(self, *grads: Any) -> Any:
        """Call the function's `backward` with gradients, outside of a pass."""
        return self._engine_node.rules.backward(self, grads)

    __call__ = apply

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"


class FunctionNode(Node):
    """The node of a custom function at one level.

    Attributes
    ----------
    rules : Rules
        What pulls back (``call``).
    level : int
        The level it is recorded at.
    positions : tuple of int
        Which arguments its edges are for: those that are tensors.
    count : int
        Number of arguments.
    inputs : tuple
        (shape, dtype) per edge.
    outputs : tuple
        (shape, dtype, whether differentiable) per output; None for one that is not a tensor.
    attributes : dict
        Its face's, shared with it; `face` is a weak reference.
    boxes : tuple
        For each saved tensor, the `Boxed` owners it was saved in.
    """

    __slots__ = (
        "attributes", "boxes", "cleared", "count", "face", "face_class", "inputs", "level", "outputs", "positions", "rules",
    )  # fmt: skip

    attributes: dict
    boxes: tuple
    cleared: bool
    count: int
    face: Any
    face_class: type
    inputs: tuple
    level: int
    outputs: tuple
    positions: tuple
    rules: Any

    def name(self) -> str:
        """Return the name of the function with ``Backward`` behind it."""
        return f"{self.rules.name}Backward"

    def _public(self) -> Any:
        face: Any = self.face()
        if face is None:
            face = new(self.face_class)
            face.__dict__ = self.attributes
            face._function_node = self
            self.face = ref(face)
        return face

    def __repr__(self) -> str:
        return repr(self._public())


def open_node(rules: Any, ctx: Any, args: tuple, level: int, edges: tuple, plan: Any) -> FunctionNode:
    """Return the node that `ctx` is the face of, before the function has run."""
    node = new(FunctionNode)
    node.id = next_id()
    node.plan, node.rules, node.level = plan, rules, level
    node.hooks = node.out = node.version = node.shapes = None
    node.saved = node.boxes = ()
    node.cleared = False
    node.positions = tuple([i for i, a in enumerate(args) if isinstance(a, Tensor)])
    node.count = len(args)
    node.edge = tuple([edges[i] for i in node.positions])
    node.inputs = tuple([(tuple(args[i].shape), args[i].dtype) for i in node.positions])
    node.attributes, node.face, node.face_class = ctx.__dict__, ref(ctx), ctx.__class__
    ctx._function_node = node
    expect_user_code()
    if modes().noting is not None:
        note(node)
    return node


def take_requests(ctx: Any) -> tuple:
    """Remove and return what the function asked of its `ctx`: it would keep the outputs, and they the node, alive."""
    given = ctx.__dict__
    return tuple([given.pop(name, None) for name in _REQUESTS])


# -- values of other levels --------------------------------------------------------------------------------------------


class Boxed:
    """The payload of a value that was batched, kept by the batched form (`owner`) of a function until it can be one again."""

    __slots__ = ("owner", "value")

    def __init__(self, value: Any, owner: Any):
        self.value, self.owner = value, owner

    @property
    def unboxed(self) -> Tensor:
        """The payload."""
        return unbox(self)[0]


def unbox(value: Any) -> tuple[Any, tuple]:
    """Return a payload without its boxes, and their owners, outermost first."""
    owners = []
    while value.__class__ is Boxed:
        owners.append(value.owner)
        value = value.value
    return value, tuple(owners)


def _boxed(values: tuple, boxes: tuple) -> tuple:
    if not boxes:
        return values
    found = []
    for value, owners in zip(values, boxes, strict=True):
        for owner in reversed(owners):
            value = Boxed(value, owner)
        found.append(value)
    return tuple(found)


def mapped(f: Callable, value: Any, box: Callable | None = None) -> Any:
    """Apply `f` to the tensors in a value, through lists, tuples, dicts and boxes; `box` to each box then made."""
    if isinstance(value, Tensor):
        return f(value)
    cls = value.__class__
    if cls is Boxed:
        made = Boxed(mapped(f, value.value, box), value.owner)
        return made if box is None else box(made)
    if cls is tuple or cls is list:
        return cls([mapped(f, v, box) for v in value])
    if cls is dict:
        return {k: mapped(f, v, box) for k, v in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return cls(*[mapped(f, v, box) for v in value])
    return value


class ContextView(FunctionCtx):
    """A `ctx` as a rule of another level sees it: values go through `put` when set and through `get` when read."""

    def __init__(self, ctx: Any, get: Callable, put: Callable | None = None):
        object.__setattr__(self, "_view_of", (ctx, get, put))

    def __getattr__(self, name: str) -> Any:
        ctx, get, _ = self._view_of
        return get(ctx._saved() if name == "saved_tensors" else getattr(ctx, name))

    def __setattr__(self, name: str, value: Any) -> None:
        ctx, _, put = self._view_of
        setattr(ctx, name, value if put is None else put(value))

    def __delattr__(self, name: str) -> None:
        delattr(self._view_of[0], name)

    def _saved(self) -> Any:
        ctx, get, _ = self._view_of
        return get(ctx._saved())

    def _kept(self) -> list:
        ctx, get, _ = self._view_of
        return get(ctx._kept())


def lowering(level: int) -> Callable:
    """Return the `get` that shows values of a level as those one level down."""
    return lambda value: mapped(lambda t: raised(t._data) if t._level == level else t, value)


def raised(value: Any) -> Any:
    """Return a payload as a tensor."""
    return value if isinstance(value, Tensor) else wrap(value)


def lowered(t: Any) -> Any:
    """Return a plain tensor that nothing watches as its payload, which is cheaper; others as they are."""
    return t._data if t.__class__ is Tensor and t._node is None and modes().tracer is None else t
