"""Writing in place: the memory is written, and the graph records the functional write that it means.

A write to a tensor that shares memory with a base replaces the region of the base that the view shows (`CopySlices`);
afterwards the base and every other view of it stand for the new values.

Where PyTorch refuses a program whose meaning is clear, this goes on with the right gradient: one of several views used after a
write to their base, operands that overlap in memory, a second pass through a write that saved nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import ref

import numpy as np

from chainrule.core.call.dispatch import as_tensor, run
from chainrule.core.call.silence import hush, unhush
from chainrule.core.graph.nodes import LEAF, LEAF_EDGE, PORT, next_id
from chainrule.core.mode.grad_mode import modes, set_modes, switch
from chainrule.core.op.declaration import TABLE, Op
from chainrule.core.record.plans import pack_node
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import array_of, as_stored, given_to, memory_of, root_of, take, version_of
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.absent import Absent
from chainrule.core.types.symbol import Symbol
from chainrule.core.write.views import chain_of, follow, forbidden, rewire, unhook, views_of

ndarray = np.ndarray


def assign(target: Tensor, compute: Callable[[], Tensor], name: str) -> Tensor:
    """Write the result of `compute` into `target`; return `target`.

    Raises
    ------
    RuntimeError
        Where PyTorch forbids it: a leaf that requires grad or a view of one, a view among several outputs or made
        under `no_grad`, a result of another shape or of a dtype that does not fit.
    """
    check_writable(target)
    unhook(target)
    start = next_id()
    mode = modes()
    if mode.saving is None:
        value = as_tensor(compute())
        _keep_old_values(target, value, start)
    else:
        switch(saving=None)  # until the values about to be written over are copied
        try:
            value = as_tensor(compute())
        finally:
            set_modes(mode)
        for node, level in _keep_old_values(target, value, start):
            pack_node(node, level)
    return write(target, value, name)


def _keep_old_values(target: Tensor, value: Tensor, start: int) -> list:
    """Have the nodes made since `start` for `value` keep copies of what they saved of the memory about to be written.

    Only an op that saves its input costs that copy; nodes made earlier keep the memory, and find it modified. Return
    the new nodes and their levels.
    """
    written = [t for t in (target, *given_to(root_of(target))) if t is not None]
    stack = _histories(value)
    seen = {}
    while stack:
        edge, level = stack.pop()
        if edge is None or edge is LEAF or edge._kind == LEAF_EDGE:
            continue
        node = edge.node if edge._kind == PORT else edge
        if node.id <= start or node.id in seen:
            continue
        seen[node.id] = (node, level)
        stack += [(e, level) for e in node.edges]
        if node.plan.keeps:
            node.kept = [_old(t) if any([_shares(t, w, w._ver) for w in written]) else t for t in node.kept]
    return list(seen.values())


def _shares(t: Any, target: Tensor, version: Any) -> bool:
    return t is target or (version is not None and isinstance(t, Tensor) and t._ver is version)


def _histories(value: Any) -> list:
    """Return the nodes of a value, at every level of it, and the levels."""
    found = []
    while isinstance(value, Tensor):
        found += [(value._node, value._level), *_histories(getattr(value, "_tangent", None))]
        value = value._data
    return found


def _old(t: Any) -> Tensor:
    """Return a tensor of the same values and history that no write reaches."""
    kept = wrap(None if t._level else memory_of(t).copy())
    data = kept._data
    take(kept, t)
    if not t._level:
        kept._data = data
    return kept


def assign_elementwise(target: Tensor, op: Op, call: Callable, args: tuple, name: str) -> Tensor:
    """Write an elementwise op of `target` and `args` into `target`: in one sweep over memory where nothing is recorded."""
    check_writable(target)
    if target.__class__._level == 0 and not target._bit and target._data.__class__ is ndarray and not _records(target, args):
        raw = [a._data if isinstance(a, Tensor) else a for a in args]
        ufunc = _UFUNCS.get(op.name)
        if ufunc is not None and not modes().watchers and all(_fits(target._data, r) for r in raw):
            token = hush()
            try:
                ufunc(target._data, *raw, out=target._data)  # type: ignore[call-overload]
            finally:
                unhush(token)
            version_of(target).bump()
            return target
    return assign(target, lambda: call(target, *args), name)


_UFUNCS = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.true_divide}


def _fits(data: np.ndarray, raw: Any) -> bool:
    """Tell whether a ufunc into `data` computes in its dtype and shape, and reads no other view of its memory."""
    if raw.__class__ in (float, int):
        return data.dtype.kind in "fc"
    return getattr(raw, "dtype", None) is data.dtype and data.dtype.kind in "fc" and (raw.ndim == 0 or raw.shape == data.shape)


def _records(target: Tensor, args: tuple) -> bool:
    if not modes().record:
        return False
    return target._node is not None or any(isinstance(a, Tensor) and (a._node is not None or a._level) for a in args)


def about_to_write(target: Tensor) -> None:
    """Tell whoever must know before a tensor's memory changes."""
    on_write = modes().on_write
    if on_write is not None:
        on_write(target)


def check_writable(target: Tensor, value: Any = None) -> None:
    """Raise PyTorch's error if `target` may not be written to in the current mode, with `value` where that is known."""
    if not isinstance(target, Tensor):
        raise TypeError(f"only a Tensor can be written in place, not {type(target).__name__}")
    if modes().tracer is not None:
        modes().tracer.before_write(target)
    about_to_write(target)
    if repeats(target):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
            "Please clone() the tensor before performing the operation."
        )
    if modes().inference:
        return
    check_known(target)
    if not modes().record or target._level < modes().floor:
        return
    check_unfrozen(target, value)


def check_known(target: Tensor) -> None:
    """Raise PyTorch's error if `target` was made in inference mode, and so has no version, and that is over."""
    if target._meta is not None and not modes().inference and target.is_inference():
        raise RuntimeError(
            "Inplace update to inference tensor outside InferenceMode is not allowed. You can make a clone to get a normal "
            "tensor before doing inplace update."
        )


def check_unfrozen(target: Tensor, value: Any = None) -> None:
    """Raise PyTorch's error if a recorded write to `target` has no meaning, or would change a leaf."""
    m = modes()
    if m.tracer is not None:
        m.tracer.before_write(target)
    if not m.record or target._level < m.floor:
        return
    requires_grad = target.requires_grad
    if target._view is not None and (
        requires_grad or root_of(target).requires_grad or (isinstance(value, Tensor) and value.requires_grad)
    ):
        _check_view(target)
    if requires_grad and target.is_leaf:
        a_leaf = "a leaf" if target._view is None else "a view of a leaf"
        raise RuntimeError(f"{a_leaf} Variable that requires grad is being used in an in-place operation.")


def repeats(t: Tensor) -> bool:
    """Tell whether a tensor shows an element of its memory more than once, through a stride of 0."""
    steps = t.stride() if t._level else t._data.strides
    return 0 in steps and t.numel() > 1 and any(step == 0 and n > 1 for n, step in zip(t.shape, steps, strict=True))


def _check_view(target: Tensor) -> None:
    """Raise PyTorch's error if a recorded write to this view has no meaning for its base."""
    error = forbidden(target)
    if error is not None:
        raise error
    if target.requires_grad and root_of(target).is_leaf:
        raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation.")


def write(target: Tensor, value: Tensor, name: str) -> Tensor:
    """Have `target` take the values and the history of `value`, memory included."""
    shape = tuple(target.shape)
    if tuple(value.shape) != shape:
        try:
            value = TABLE["broadcast_to"].call(value, shape=shape)
        except (RuntimeError, ValueError):
            raise RuntimeError(
                f"output with shape {list(shape)} doesn't match the broadcast shape {list(value.shape)} in {name}()"
            ) from None
    d = target.dtype
    if value.dtype is not d:
        if not dtypes.can_cast(value.dtype, d):
            raise RuntimeError(
                f"result type {value.dtype.old_name} can't be cast to the desired output type {d.old_name} in {name}()"
            )
        value = TABLE["to"].call(value, dtype=d.numpy, source=value.dtype.numpy)
    if value._level > target._level:
        _promote(target, value, name)
    if target._view is not None and modes().record and value.requires_grad and not target.requires_grad:
        _check_view(target)
    if target._level:
        _replace(target, _laid_out(value, target))
        version_of(target).bump()
        return target
    array = memory_of(target)
    if array.__class__ is Symbol:
        array.recorder.write(array, value)
    elif array.__class__ is not Absent:  # where a function is traced on shapes alone there is nothing to write to
        fresh = as_stored(target, array_of(value))
        if fresh is not array:
            if np.may_share_memory(fresh, array):
                fresh = fresh.copy()
            np.copyto(array, fresh)
    version_of(target).bump()
    for watcher in modes().watchers:
        watcher.written(target, value)
    if (
        modes().record
        and not modes().floor
        and (value._node is not None or target._node is not None or root_of(target)._node is not None)
    ):
        rewire(target, value, name)
    return target


def _laid_out(value: Tensor, like: Tensor) -> Tensor:
    """Return a value with its elements in memory as those of the tensor whose place it takes."""
    steps = zip(like.shape, value.stride(), like.stride(), strict=True)
    if like._view is not None or all([a == b or n < 2 for n, a, b in steps]):
        return value
    return TABLE["copy"].call(like, value, form="CopyBackwards!")


def _replace(target: Tensor, value: Tensor) -> None:
    """Do a write at a level above 0: values there are replaced, not overwritten, for the base and all its views."""
    base = root_of(target)
    if base is target:
        _become(target, value)
    else:
        _become(base, run(TABLE["copy_slices"], (base, value), {"chain": chain_of(target)}))
    for t in views_of(base):
        _become(t, follow(base, chain_of(t)))


def adopt(target: Tensor, value: Tensor, name: str) -> None:
    """Give `target`, whose memory `name` wrote to, the history of `value`; the write was counted already."""
    if target._level:
        _replace(target, value)
    else:
        check_writable(target)
        rewire(target, value, name)


def _become(target: Tensor, value: Tensor) -> None:
    if value._level != target._level:
        value = target._lift(value)  # type: ignore[attr-defined]
    given = given_to(target)
    if given:
        value = _poured(value, *given)
    take(target, value)


def _poured(value: Tensor, primal: Tensor, tangent: Tensor | None) -> Tensor:
    """Write a dual into the memory of the tensors that another was made of; return it as one of these."""
    copy = TABLE["copy"].call
    for whole, part in ((primal, value._data), (tangent, value._tangent)):
        if whole is None:
            continue
        if part is None:
            part = np.zeros(tuple(whole.shape), whole.dtype.numpy)
        part = part if isinstance(part, Tensor) else wrap(part)
        assign(whole, partial(copy, whole, part, form="CopyBackwards!"), "copy_")
    value._data, value._tangent = primal, value._tangent if tangent is None else tangent
    return value


def _promote(target: Tensor, value: Tensor, name: str) -> None:
    """Make a tensor, its base and the base's views constants of the level of a value that is about to be written there.

    Raises
    ------
    RuntimeError
        PyTorch's, if the memory was not made inside the transform of that level: its caller would see the value escape.
    """
    level, base = value._level, root_of(target)
    opened = modes().open.get(level)
    if opened is None and getattr(base._meta, "made", 0) < level:
        raise value._captured(name)  # type: ignore[attr-defined]
    for t in {id(t): t for t in (base, target, *views_of(base))}.values():
        if t.__class__ is not Tensor and not (t._level or t._bit):  # a subclass, which would come back as a Tensor
            raise RuntimeError(f"{name}(): a {type(t).__name__} cannot hold a value of a transform; write into a clone() of it")
        kept = wrap(None)
        kept._meta, kept._ver, kept._view = t._meta, t._ver, t._view
        take(kept, t)
        take(t, value._lift(kept))  # type: ignore[attr-defined]
        if opened is not None:
            opened.append(ref(t))


def demote(promoted: list, level: int) -> None:
    """Make the tensors that took values of a level in place ordinary ones again: the level ends, their tangents with it."""
    for reference in promoted:
        t = reference()
        if t is not None and t._level == level:
            take(t, t._data if isinstance(t._data, Tensor) else wrap(t._data))
