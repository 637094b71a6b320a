"""What a value of any level is, without its methods: its slots, and what can be asked of it from outside.

A tensor of level 0 holds a NumPy array or scalar; tensors of higher levels (one class per kind of transform) hold the value of
the level below. The classes all have this layout, so that a write in place can make a plain tensor a value of a transform.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any
from weakref import ref

import numpy as np

from chainrule.core.graph.nodes import LEAF_EDGE, Port, Version, hooks_of
from chainrule.core.mode.state import Mark, modes
from chainrule.core.types.absent import Absent, no_value
from chainrule.core.types.dtype import FLOAT, dtype
from chainrule.core.types.symbol import Symbol

ndarray = np.ndarray


OWN: Any = "its own"


class Meta:
    """What few tensors have: a gradient, hooks, marks."""

    grad: Any = None  # a tensor; or its payload, until someone asks for it
    grad_dtype: Any = OWN  # the dtype that a leaf's gradient has; None for any
    retains = False
    inference = False
    made = 0  # the level of the transform inside which the tensor was made
    frozen: str | None = None  # why this view may not be written to in place, if so
    recorder: Any = None  # the token of what recorded under level 0 when the tensor was made
    name: str | None = None
    given: tuple = ()  # on a dual: the (primal, tangent) that the user holds, whose memory it shares
    of: Any = None  # on a dual: the tensor that it was made of, whose view it is
    hooks: OrderedDict | None = None  # on a leaf: called with the gradient that arrives
    after: OrderedDict | None = None  # on a leaf: called with the leaf when its gradient is accumulated
    accumulator: Any = None  # a weak reference to the leaf's `AccumulateGrad`


def disabled_torch_function(func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
    """Call a function as it is: the ``__torch_function__`` of classes that take no part in the protocol."""
    return func(*args, **(kwargs or {}))


class Value:
    """The slots that tensors of all levels share.

    Attributes
    ----------
    _data
        The payload: a NumPy array or scalar, or the value of the level below.
    _memory
        The payload as it lies in memory: `_data` itself, but in the classes of ``core.tensor.unresolved``.
    _node
        The edge to what made the value: a `Node`, a `Port`, `LEAF`, or None where it does not require grad.
    _ver, _view
        The version counter of its memory, made at first need; the (parent, op, params, output number) that it is a view of.
    _meta
        A `Meta` of its own, a `Mark` that it shares, or None.
    _lv, _tangent
        Its level, and what else its transform keeps: unset in plain tensors.
    _born
        Of a leaf: no node with a smaller number leads to it; unset where that is not known.
    __dict__
        What programs set on it. Python 3.11 and 3.12 make room for it at once, for 20 to 40 ns; later ones at need. Without it,
        programs would need a ``__setattr__``, which every slot that is set would cost 50 ns.
    """

    __slots__ = ("__dict__", "__weakref__", "_born", "_data", "_lv", "_meta", "_node", "_tangent", "_ver", "_view")
    _level = 0
    _records = True  # whether ops at the level of this class record nodes
    _plain = True  # whether the hot path takes instances for plain tensors: of no transform, and without overrides
    _kind = LEAF_EDGE
    _bit = 0  # what is still to be done to the memory for its values: see `core.tensor.unresolved`
    _read: Any = None  # a level class whose payload is not the tensor's own values: (use) -> the error to raise, or None

    _data: Any
    _memory: Any
    _node: Any
    _ver: Version | None
    _view: tuple | None
    _meta: Any
    _lv: int
    _tangent: Any
    _born: int
    _wrap: Callable  # makes a tensor of a payload: `core.tensor.tensor.wrap`


Value._memory = Value._data  # type: ignore[misc]  # the same slot under another name


def marked_as(t: Any, source: Any) -> Any:
    """Return a tensor, made an inference tensor or a normal one as the tensor whose memory it shares."""
    if t._meta is not source._meta and t.is_inference() is not source.is_inference():
        meta_of(t).inference = source.is_inference()
    return t


def meta_of(t: Any) -> Meta:
    """Return the tensor's own `Meta`, made at first need."""
    mark = t._meta
    if mark.__class__ is not Meta:
        t._meta = Meta()
        if mark.__class__ is Mark:
            t._meta.inference, t._meta.made, t._meta.frozen = mark.inference, mark.made, mark.frozen
            t._meta.recorder = mark.recorder
    return t._meta


def given_to(t: Any) -> tuple:
    """Return the (primal, tangent) whose memory a dual shares with the user; nothing for other tensors."""
    return t._meta.given if t._meta.__class__ is Meta else ()


def is_written(t: Any) -> bool:
    """Tell whether a tensor's memory was written to since its version counter was made, inference tensors' too."""
    return t._ver is not None and t._ver.count > 0


def has_views(t: Any) -> bool:
    """Tell whether a tensor is a view, or has views that are alive."""
    return t._view is not None or (t._ver is not None and bool(t._ver.members))


def as_stored(t: Any, raw: Any) -> Any:
    """Return a raw value as the memory of a level-0 tensor holds it."""
    return t._apply(raw) if t._bit else raw


def aliased(t: Any) -> Any:
    """Return a fresh tensor on the memory of a level-0 tensor, of its class, without history."""
    made = t._wrap(memory_of(t), type(t))
    if t._bit:
        made.__class__ = type(t)
        meta_of(made)
    return marked_as(made, t)


def root_of(t: Any) -> Any:
    """Return the base that a view is a view of; the tensor itself if it is none."""
    while t._view is not None:
        t = t._view[0]
    return t


def lies_in_memory(payload: Any) -> bool:
    """Tell whether a payload is an array, to which can be written, or stands for one in a call that is recorded."""
    return payload.__class__ is ndarray or (payload.__class__ is Symbol and payload.is_array)


def version_of(t: Any) -> Version:
    """Return the tensor's version counter, made at first need."""
    if t._ver is None:
        t._ver = Version()
    return t._ver


def carried(t: Any) -> Any:
    """Return the payload of a value of a transform as a tensor, whose memory has the value's version counter."""
    data = t._data
    if data.__class__ is ndarray:
        return on_memory_of(t, data)
    return data if isinstance(data, Value) else t._wrap(data)  # a scalar, to which nothing writes


def on_memory_of(t: Any, data: np.ndarray) -> Any:
    """Return a plain tensor of an array that lies in the memory of a value, and so has its version counter."""
    made = t._wrap(data)
    made._ver = version_of(t)
    return made


def written_since(t: Any, node_id: int) -> Version | None:
    """Return the version counter of a value, or of what it carries, that has counted a write since a node was made."""
    version = t._ver
    if version is not None and version.stamp > node_id:
        return version
    for part in (t._data, getattr(t, "_tangent", None) if t._level else None):
        if isinstance(part, Value):
            version = written_since(part, node_id)
            if version is not None:
                return version
    return None


def array_of(t: Any) -> np.ndarray:
    """Return a level-0 tensor's payload as an array that the tensor shares (a scalar becomes a 0-d array for good)."""
    if t._read is not None:
        error = t._read("read")
        if error is not None:
            raise error
    data = t._data if (recorder := modes().compiling) is None else recorder.read(t, "read")
    if data.__class__ is ndarray:
        if t._bit:
            data.flags.writeable = False  # a write to it would be lost; to be written is `memory_of`
        return data
    if isinstance(data, Value):
        return array_of(data)
    if data.__class__ is Absent:
        raise no_value()
    data = np.array(data)
    if not t._bit:
        t._data = data
    return data


def memory_of(t: Any) -> Any:
    """Return a level-0 tensor's memory for another to share: an array, or what stands for one (`Absent`, `Symbol`)."""
    if (recorder := modes().compiling) is not None:
        return recorder.memory(t)
    return t._memory if t._bit or t._data.__class__ is Absent else array_of(t)


def take(target: Any, value: Any) -> None:
    """Give a tensor the level, payloads and history of another; its identity, version and place among views stay."""
    level = value._level
    if level != target._level:
        target.__class__ = value.__class__
        if level:
            target._lv = level  # type: ignore[attr-defined]
    target._data, target._node = value._data, value._node
    if hasattr(value, "_tangent"):
        target._tangent = value._tangent  # type: ignore[attr-defined]
    elif hasattr(target, "_tangent"):
        del target._tangent


def innermost(t: Any, use: str = "read") -> Any:
    """Return the NumPy array or scalar at the bottom of a value of any level.

    Raises
    ------
    RuntimeError
        If the value is not one array's: it has many examples', or none yet. `use` says what is done with it: "item", "bool",
        "read", or "check", for which the values of all examples at once will do.
    """
    owner = None
    while isinstance(t, Value):
        if t._read is not None:
            error = t._read(use)
            if error is not None:
                raise error
        owner, t = t, t._data
    if t.__class__ is Absent:
        raise no_value()
    return t if (recorder := modes().compiling) is None or owner is None else recorder.read(owner, use)


def bottom(value: Any) -> Any:
    """Return the array at the bottom of a value of any level, with all examples of a batch."""
    owner = None
    while isinstance(value, Value):
        owner, value = value, value._data
    return value if owner is None or (recorder := modes().compiling) is None else recorder.read(owner, "check")


def examined(t: Any) -> Any:
    """Return the values of all examples at once, for a check of them; None in a trace on shapes alone, which has none."""
    return None if bottom(t).__class__ is Absent else innermost(t, "check")


def _is_absent(t: Any) -> bool:
    while isinstance(t, Value):
        t = t._data
    return t.__class__ is Absent


def satisfies(t: Any, test: Callable, quick: Callable | None = None) -> bool:
    """Tell whether a test of a tensor's values holds; True in a trace on shapes alone, which has none.

    Parameters
    ----------
    t : Tensor
        Of a batch all examples are tested at once.
    test : callable
        Returns a bool of an array or, in a call that is recorded, whose replays repeat the test, of a tensor: written with
        operators and ``all()`` or ``any()``.
    quick : callable, optional
        The same for arrays alone, in less time.
    """
    if (recorder := modes().compiling) is not None:
        return _is_absent(t) or recorder.check(t, test, quick or test)
    values = examined(t)
    return values is None or bool((quick or test)(values))


def is_batched_at(t: Any, level: int) -> bool:
    """Tell whether a value has a number for each example of the `vmap` of a level."""
    while isinstance(t, Value):
        if t._level == level and t._read is not None:
            return True
        t = t._data
    return False


def numpy_dtype(t: Any) -> np.dtype:
    """Return the NumPy dtype at the bottom of a value of any level."""
    while isinstance(t, Value):
        t = t._data
    return t.dtype


def is_complex(value: Any) -> bool:
    """Tell whether a raw value, tensor or Python number is complex."""
    d = getattr(value, "dtype", None)
    if d is None:
        return isinstance(value, complex)
    return d.category == 3 if isinstance(value, Value) else d.kind == "c"


def is_inexact(value: Any) -> bool:
    """Tell whether a raw value or tensor has a dtype that can require grad (kind V: ml_dtypes' bfloat16)."""
    d = value.dtype
    return d.category >= 2 if isinstance(value, Value) else d.kind in "fcV"


def not_a_flag(value: Any, argument: str) -> TypeError:
    """Return PyTorch's error for an argument that is no bool."""
    return TypeError(f"{argument} must be bool, not {type(value).__name__}")


def check_differentiable(d: dtype) -> None:
    """Raise PyTorch's error for a dtype that cannot require gradients."""
    if d.category < FLOAT:
        raise RuntimeError(f"Only Tensors of floating point and complex dtype can require gradients, not {d}")


def allowed_grad_dtype(t: Any) -> dtype | None:
    """Return the dtype that a tensor's gradient must have; None for any."""
    found = t._meta.grad_dtype if t._meta.__class__ is Meta else OWN
    return t.dtype if found is OWN else found


def keep_gradient(edge: Any, tensor: ref) -> None:
    """Have the pass store the gradient it finds at `edge` in the tensor."""
    node, index = (edge.node, edge.index) if edge.__class__ is Port else (edge, 0)
    hooks = hooks_of(node)
    hooks.retains = (*hooks.retains, (index, tensor))
