"""What a call of a compiled function is known by: its arguments' structure, what is fixed, and the modes it is made in."""

from __future__ import annotations

from collections.abc import Sequence
from math import copysign
from typing import Any

import numpy as np

from chainrule.amp.casting import SETTINGS
from chainrule.core.graph.nodes import LEAF
from chainrule.core.mode.grad_mode import Mode
from chainrule.core.tensor.tensor import GradTracking, Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.symbol import Symbol
from chainrule.core.types.tree import TreeSpec
from chainrule.settings import are_deterministic_algorithms_enabled
from chainrule.transforms.forward import Dual

MOST_BYTES = 1 << 10  # of a NumPy array among the arguments, which is fixed by its content


class UnfitError(Exception):
    """A call that cannot be recorded, and why."""


class RecordedError(UnfitError):
    """A call on tensors that another thread's recording has hold of."""


class AsideError(UnfitError):
    """A call on values of a transform beside which a compiled function stands: jets."""


class BatchedError(UnfitError):
    """A call on examples of a `vmap` or series of Taylor mode, which the function itself takes as a whole."""


def key_of(leaves: Sequence[Any], spec: TreeSpec, mode: Mode) -> tuple:
    """Return what must agree for a call to be served by a specialisation.

    Raises
    ------
    UnfitError
        If an argument is of a kind that is not recorded.
    """
    settings = SETTINGS.get()
    ids = [id(leaf) for leaf in leaves if isinstance(leaf, Tensor)]
    return (
        tuple(map(ids.index, ids)) if len(set(ids)) < len(ids) else None,
        tuple([_tensor_key(leaf) if isinstance(leaf, Tensor) else static_of(leaf) for leaf in leaves]),
        _spec_key(spec),
        mode.grad,
        mode.inference,
        dtypes.get_default_dtype(),
        settings.enabled and (settings.enabled, tuple(settings.dtypes.items())),
        are_deterministic_algorithms_enabled(),
    )


def static_key(leaves: Sequence[Any], spec: TreeSpec) -> tuple:
    """Return what stands for the structure of a call and for what is no tensor in it."""
    return tuple([None if isinstance(leaf, Tensor) else static_of(leaf) for leaf in leaves]), _spec_key(spec)


def _tensor_key(t: Tensor) -> tuple:
    data: Any = t
    dual = False
    while isinstance(data, Tensor):
        if data._read is not None:
            raise BatchedError
        if data._bit:
            raise UnfitError(f"an argument is a {type(data).__name__}")
        cls = data.__class__
        dual = dual or cls is Dual
        if data._level and cls is not GradTracking and cls is not Dual:
            raise AsideError
        if not (data._plain or cls is GradTracking or cls is Dual):
            raise BatchedError if data._level else UnfitError(f"an argument is a {cls.__name__}")
        data = data._data
    carries = (t.requires_grad, dual) if t._level else 0 if t._node is None else 1 if t._node is LEAF else 2
    if data.__class__ is np.ndarray:
        lies = data.flags.c_contiguous or data.strides
        return cls_of(t), data.shape, data.dtype, lies, carries
    if isinstance(data, np.generic):
        return cls_of(t), (), data.dtype, True, carries
    if data.__class__ is Symbol:
        raise RecordedError
    raise UnfitError(f"an argument's values are a {type(data).__name__}")


def cls_of(t: Tensor) -> type:
    """Return the class of a tensor, as far as the function sees it."""
    return Tensor if t._level else t.__class__


def static_of(leaf: Any) -> Any:
    """Return what stands for an argument that is no tensor."""
    cls = leaf.__class__
    if cls is int or cls is str or cls is bool or leaf is None:
        return cls, leaf
    if cls is float:
        return cls, leaf if leaf == leaf else "nan", copysign(1.0, leaf)
    if cls is complex:
        return cls, static_of(leaf.real), static_of(leaf.imag)
    if isinstance(leaf, (np.ndarray, np.generic)):
        if leaf.dtype.hasobject or leaf.nbytes > MOST_BYTES:
            raise UnfitError(
                f"a NumPy array of {leaf.nbytes} bytes is among the arguments, which is fixed by its content; give a tensor, "
                "such as chainrule.from_numpy makes"
            )
        return cls, leaf.shape, leaf.dtype, leaf.strides, leaf.tobytes()
    try:
        hash(leaf)
    except TypeError:
        return cls, Same(leaf)
    return cls, leaf


class Same:
    """An object known by its identity, which it keeps alive."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def _spec_key(spec: TreeSpec) -> Any:
    """Return a hashable form of a structure."""
    if spec.type is None:
        return None
    context = spec.context
    if isinstance(context, list):
        context = tuple(context)
    try:
        hash(context)
    except TypeError:
        context = repr(context)
    return spec.type, context, tuple([_spec_key(child) for child in spec.children_specs])


def is_dual(t: Tensor) -> bool:
    """Tell whether a tensor carries a tangent of some level."""
    data: Any = t
    while isinstance(data, Tensor):
        if data.__class__ is Dual:
            return True
        data = data._data
    return False
