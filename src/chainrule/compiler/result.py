"""What becomes of what a path computed: effects on tensors from outside, and the result as the function returns it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from chainrule.compiler.record.recording import Computed, Input, Recording, Repeat, Same, Static, View, Write
from chainrule.core.mode.grad_mode import no_grad
from chainrule.core.record.placed import follow
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import OWN, Meta, array_of, version_of
from chainrule.core.types.tree import tree_unflatten


def commit(recording: Recording, values: dict, leaves: Sequence[Any], kept: Iterable = ()) -> None:
    """Carry out a path's effects; `values` are the arrays of the graph's outputs by their variables.

    A gradient has memory of its own, as passes add to it in place: it is not that of another, nor of what is `kept` for the
    backward pass.
    """
    taken = set(kept)
    for effect in recording.effects:
        if isinstance(effect, Write):
            target = effect.source.fetch(leaves)
            write(target, values[effect.variable], effect.times)
        elif isinstance(effect, Repeat):
            effect.call()
        elif effect.variable is None:
            put_gradient(effect.of.fetch(leaves), None)
        else:
            value = values[effect.variable]
            put_gradient(effect.of.fetch(leaves), wrap(value.copy() if effect.variable in taken else value))
            taken.add(effect.variable)


def write(target: Any, value: Any, times: int) -> None:
    """Write into a tensor's memory, as so many writes in place that nothing records."""
    array_of(target)[...] = value
    note_writes(((target, times),))


def note_writes(written: Iterable[tuple[Any, int]]) -> None:
    """Note that tensors were written to, each so many times."""
    for t, times in written:
        version = version_of(t)
        for _ in range(times):
            version.bump()


def put_gradient(target: Any, grad: Tensor | None) -> None:
    """Give a tensor a new gradient of its own shape and dtype, or none."""
    meta = target._meta
    if meta.__class__ is Meta and meta.grad_dtype is OWN:
        meta.grad = grad
    else:
        target.grad = grad


def assembled(recording: Recording, tensors: dict, leaves: Sequence[Any]) -> Any:
    """Return the result of a call; `tensors` are those of the graph's outputs by their variables."""
    made: list = [None] * len(recording.outputs)
    views = []
    for i, out in enumerate(recording.outputs):
        if isinstance(out, Computed):
            made[i] = tensors[out.variable]
        elif isinstance(out, Static):
            made[i] = out.value
        elif isinstance(out, Input):
            made[i] = out.source.fetch(leaves)
        else:
            views.append(i)
    for i in views:
        out = recording.outputs[i]
        if isinstance(out, Same):
            made[i] = made[out.position]
        else:
            made[i] = shown(made[out.base] if isinstance(out.base, int) else out.base.fetch(leaves), out)
    return tree_unflatten(made, recording.out_spec)


def shown(base: Any, out: View) -> Tensor:
    """Return the view of a tensor that an output is."""
    if out.apart and not out.requires_grad:
        base = base.detach()
    elif not out.chain:
        base = base.view_as(base)
    if not out.frozen:
        return follow(base, out.chain)
    with no_grad():
        return follow(base, out.chain)
