"""The short way of a call: one native function from tensors to tensors, where nothing else can be asked of it.

It serves calls of plain tensors, given by position, that carry no derivatives, on a path without effects, draws, or steps in
Python. What the native entry does not look at itself (``llvm.entry``) is compared here, in a microsecond; where anything
differs, the call goes the long way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chainrule.amp.casting import SETTINGS
from chainrule.compiler.paths import Path
from chainrule.compiler.record.recording import Argument, Captured, Computed
from chainrule.compiler.stance import STATE
from chainrule.core.mode.grad_mode import Mode, modes
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.dtype import get_default_dtype
from chainrule.core.types.tree import tree_unflatten
from chainrule.settings import are_deterministic_algorithms_enabled

LONGEST = 16  # arguments


def shortcut(path: Path, args: Sequence[Any], leaves: Sequence[Any], mode: Mode) -> Callable | None:
    """Return a function of the arguments' tuple that gives the call's result, or None; None where a path has no short way."""
    recording = path.recording
    flat = len(args) == len(leaves) <= LONGEST and all([a is b for a, b in zip(args, leaves, strict=True)])
    given = path.inputs(leaves)
    if not (
        flat
        and all([a.__class__ is Tensor for a in args])
        and hasattr(path.plan, "on_tensors")
        and not (recording.effects or path.generators)
        and all([isinstance(s, (Argument, Captured)) for s in recording.sources])
        and all([isinstance(o, Computed) for o in recording.outputs])
        and all([t.__class__._plain and t._level == 0 and t._node is None for t in given])
        and recording.graph.outputs == tuple([o.variable for o in recording.outputs])
    ):
        return None
    single = recording.out_spec.type is None
    entry = path.plan.on_tensors([(t.__class__, None) for t in given], single)
    if entry is None:
        return None
    count, holds, spec = len(args), recording.state.holds, recording.out_spec
    settings, dtype, deterministic = SETTINGS.get(), get_default_dtype(), are_deterministic_algorithms_enabled()
    others = {i: s.tensor for i, s in enumerate(recording.sources) if isinstance(s, Captured)}
    places = [s.position if isinstance(s, Argument) else 0 for s in recording.sources]
    straight = not others and places == list(range(count))
    as_it_is = single or (spec.type is tuple and all([c.type is None for c in spec.children_specs]))

    def short(args: tuple) -> Any:
        if (
            len(args) != count
            or modes() is not mode
            or STATE.busy
            or SETTINGS.get() is not settings
            or get_default_dtype() is not dtype
            or are_deterministic_algorithms_enabled() is not deterministic
            or not holds(args)
        ):
            return None
        found = entry(*args) if straight else entry(*[others[i] if i in others else args[k] for i, k in enumerate(places)])
        if found is NotImplemented or found.__class__ is int:
            return None
        return found if as_it_is else tree_unflatten(list(found), spec)

    return short
