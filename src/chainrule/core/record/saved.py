"""What a node keeps for its backward pass: tensors as they are, or what the user's hooks made of them.

Without hooks a node keeps the tensors themselves and none of this runs. Under a pair of hooks (`Mode.saving`) it keeps
a :class:`SavedTensor`, which calls `unpack` when the pass asks for the value. Hooks always see plain tensors: of a value
inside transforms they see the arrays at the bottom, so hooks that work outside transforms work inside them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from weakref import ref

import numpy as np

from chainrule.core.graph.nodes import LEAF, Node, Port, Version, expect_user_code, freed_error
from chainrule.core.mode.grad_mode import modes, ungraded
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import lies_in_memory, take, version_of, written_since
from chainrule.core.types import dtype as dtypes


class SavedTensor:
    """A tensor that a node saved: the value, or what hooks made of it, and its place in the graph.

    Made by :func:`pack` and :func:`pack_output`; `grad_fn._raw_saved_self` and the like show it.

    Parameters
    ----------
    kept
        The tensor, or what the pack hook returned.
    edge
        Where the gradient of the value flows: None, a leaf, a `Node` or a `Port`.
    index : int, optional
        The value is this output of the node that saves it; its edge is the node, which it must not keep alive.
    unpack : callable, optional
        Makes a tensor of `kept`.
    like : Tensor, optional
        The tensor that was packed, for its shape and dtype.
    """

    __slots__ = ("__weakref__", "dtype", "edge", "index", "kept", "owner", "shape", "unpack_hook")

    def __init__(
        self, kept: Any, edge: Any, index: int | None = None, unpack: Callable | None = None, like: Tensor | None = None
    ):
        self.kept, self.edge, self.index, self.unpack_hook = kept, edge, index, unpack
        if unpack is not None:
            expect_user_code()
        if like is not None:
            self.shape, self.dtype = like.shape, like.dtype
        self.owner: Callable[[], Any] | None = None  # a weak reference to the node, for those that a user has seen

    def tensor(self, node: Any) -> Tensor:
        """Return the value with its history.

        Raises
        ------
        RuntimeError
            If it was written to since `node` saved it; with hooks that cannot be told.
        TypeError
            If the unpack hook returns anything but a tensor.
        """
        t = self.kept
        if self.unpack_hook is not None:
            t = self.unpack_hook(t)
            if not isinstance(t, Tensor):
                raise TypeError(
                    f"Output of saved tensor unpack_hook expected to be a Tensor but got result of type {type(t).__name__}"
                )
            if t._level:
                raise RuntimeError("an unpack hook returned a value of a transform, where the saved tensor was a plain one")
            if t.shape != self.shape:
                raise RuntimeError(
                    f"an unpack hook returned a tensor of shape {list(t.shape)} for a saved one of {list(self.shape)}"
                )
            if t.dtype is not self.dtype:
                t = t.to(self.dtype)  # type: ignore[attr-defined]
        else:
            version = written_since(t, node.id)
            if version is not None:
                raise modified_error(node, version, t, None if self.index is None else node, self.index or 0)
            if self.index is None:
                return t
        return with_history(t, self.edge if self.index is None else output_edge(node, self.index))

    # -- the public side ---------------------------------------------------------------------------------------------

    def register_hooks(self, pack_hook: Callable, unpack_hook: Callable) -> None:
        """Have `pack_hook` replace the saved tensor now, and `unpack_hook` make it again when it is needed.

        Parameters
        ----------
        pack_hook : callable
            Takes the tensor, returns anything.
        unpack_hook : callable
            Takes that, returns a tensor of equal values.

        Raises
        ------
        RuntimeError
            If there are hooks already, the value was freed, or `pack_hook` writes to its argument.
        """
        node = self._live(
            "Calling register_hooks on a saved tensor after it has been freed. Saved intermediate values of the graph are "
            "freed when you call .backward() or autograd.grad(). Specify retain_graph=True if you need to backward through the "
            "graph a second time or if you need to access saved variables after calling backward."
        )
        if self.unpack_hook is not None:
            raise RuntimeError(
                "Calling register_hooks on a saved tensor whose hooks have already been set. Hint: only one pair of hooks is "
                "allowed at a time."
            )
        if self.kept._level:
            raise RuntimeError(
                "Calling register_hooks on a saved value of a transform is not supported: register them outside."
            )
        t = self.tensor(node)
        self.kept = run_pack_hook(pack_hook, t if self.index is None else with_history(t, None))
        self.edge, self.unpack_hook = edge_to(t), unpack_hook
        expect_user_code()
        self.shape, self.dtype = t.shape, t.dtype

    def unpack(self) -> Tensor:
        """Return the saved tensor."""
        return self.tensor(self._live(str(freed_error())))

    @property
    def data(self) -> Any:
        """The tensor, or what the pack hook made of it."""
        self._live(str(freed_error()))
        return self.kept

    def _live(self, message: str) -> Any:
        node = self.owner and self.owner()
        if node is None or node.saved is None:
            raise RuntimeError(message)
        return node


class SavedValue:
    """A value of transforms that hooks packed: its payloads, each a `SavedTensor`, another of these, or kept as it is."""

    __slots__ = ("edge", "index", "payloads", "shell")

    def __init__(self, value: Tensor, edge: Any, index: int | None):
        self.edge, self.index = edge, index
        self.shell = wrap(None)
        take(self.shell, value)
        self.shell._data = self.shell._node = None
        parts = {"_data": value._data, "_tangent": getattr(value, "_tangent", None)}
        self.payloads = {name: (isinstance(p, Tensor), _packed_payload(p)) for name, p in parts.items()}
        if hasattr(self.shell, "_tangent"):
            self.shell._tangent = None

    def tensor(self, node: Any) -> Tensor:
        """Return the value with its history."""
        made = wrap(None)
        take(made, self.shell)
        for name, (whole, kept) in self.payloads.items():
            if kept.__class__ in PACKED:
                value = kept.tensor(node)
                kept = value if whole else value._data
            if kept is not None:
                setattr(made, name, kept)
        made._node = self.edge if self.index is None else output_edge(node, self.index)
        return made


PACKED: frozenset[Any] = frozenset((SavedTensor, SavedValue))


def _packed_payload(payload: Any) -> Any:
    if isinstance(payload, Tensor):
        return _packed(payload, edge_to(payload), None)
    if isinstance(payload, (np.ndarray, np.generic)):
        return _packed(wrap(payload), None, None)
    return payload


def _packed(t: Tensor, edge: Any, index: int | None) -> Any:
    if t._level:
        return SavedValue(t, edge, index)
    pack_hook, unpack_hook = modes().saving  # type: ignore[misc]
    return SavedTensor(run_pack_hook(pack_hook, t), edge, index, unpack_hook, t)


def pack(value: Any) -> Any:
    """Return what a node keeps of one of its inputs, or of anything that is not its output: see :func:`unpack`.

    That is the tensor itself, unless hooks on saved tensors are in force.
    """
    if modes().saving is None or not isinstance(value, Tensor):
        return value
    return _packed(value, edge_to(value), None)


def pack_output(t: Tensor, index: int = 0) -> Any:
    """Return what a node keeps of its own output, which has its history: never the tensor itself, which keeps the node."""
    if modes().saving is not None:
        return _packed(t, None, index)
    if lies_in_memory(t._data) and not t._level:
        version_of(t)
    return SavedTensor(with_history(t, None), None, index)


def pack_constant(t: Tensor) -> Any:
    """Return what a node keeps of a result that has no gradient, such as the positions of maxima."""
    return SavedTensor(t, None) if modes().saving is None else _packed(t, None, None)


def unpack(kept: Any, node: Any) -> Any:
    """Return the tensor that `node` saved as `kept`, with its history; anything else as it is.

    Raises
    ------
    RuntimeError
        If the tensor was written to after the node was made (``node.id`` was taken).
    """
    if kept.__class__ in PACKED:
        return kept.tensor(node)
    if isinstance(kept, Tensor):
        version = written_since(kept, node.id)
        if version is not None:
            raise modified_error(node, version, kept, None if kept.is_leaf else kept.grad_fn, kept.output_nr)
    return kept


def run_pack_hook(hook: Callable, t: Tensor) -> Any:
    """Return what a pack hook makes of a tensor, which it may not write to."""
    before = t._version
    packed = ungraded(hook, t)
    if t._version != before:
        raise RuntimeError(
            "A saved tensor pack hook is modifying its input in place. Tensors provided as input to pack hook cannot be "
            "modified by in-place operations as this can lead to unexpected side-effects. Please open an issue if you need to "
            "perform in-place operations on the input to a pack hook."
        )
    return packed


def edge_to(t: Tensor) -> Any:
    """Return the edge to a tensor; None if it does not require grad."""
    return t if t._node is LEAF else t._node


def output_edge(node: Any, index: int) -> Any:
    """Return the edge to one output of a node."""
    return Port(node, index) if hasattr(node, "width") else node


def with_history(t: Tensor, edge: Any) -> Tensor:
    """Return another tensor of the same memory, level and version, whose gradient flows to `edge`.

    For a leaf the edge is the leaf itself: what is computed from the new tensor sends its gradient there.
    """
    made = wrap(None)
    take(made, t)
    made._ver = version_of(t) if lies_in_memory(t._data) else t._ver
    made._node = edge
    return made


def of_node(kept: SavedTensor, node: Node) -> SavedTensor:
    """Return a saved tensor that knows its node, for the user to see."""
    kept.owner = ref(node)
    return kept


def modified_error(node: Any, version: Version, value: Any, maker: Any, index: int) -> RuntimeError:
    """Return PyTorch's error for a saved value, output `index` of `maker`, that was written to after `node` saved it."""
    d = value.dtype
    kind = (d if isinstance(d, dtypes.dtype) else dtypes.of(d)).old_name
    origin = "" if maker is None else f", which is output {index} of {re.sub(r'Backward[0-9]*$', '', maker.name())},"
    if modes().anomaly is None:
        hint = (
            "enable anomaly detection to find the operation that failed to compute its gradient, with "
            "chainrule.autograd.set_detect_anomaly(True, check_nan=False)."
        )
    else:
        hint = (
            "the backtrace further above shows the operation that failed to compute its gradient. The variable in question "
            "was changed in there or anywhere later. Good luck!"
        )
    return RuntimeError(
        "one of the variables needed for gradient computation has been modified by an inplace operation: "
        f"[chainrule.{kind}Tensor {list(value.shape)}]{origin} is at version {version.count}; expected version "
        f"{version.at(node.id)} instead. Hint: {hint}"
    )
