"""The short way of a call: one native function from tensors to tensors, where nothing else can be asked of it.

It serves calls of plain tensors, given by position or in lists and tuples, on a path without draws or steps in Python. Where
they carry derivatives, the results get their history from what is known of the path (``history``); effects are carried out
last. What the native entry does not look at itself (``llvm.entry``) is compared here, in a microsecond; where anything differs,
the call goes the long way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chainrule.amp.casting import SETTINGS
from chainrule.compiler.history import History, has_history
from chainrule.compiler.llvm.entry import ANY
from chainrule.compiler.paths import Path
from chainrule.compiler.record.recording import Argument, Captured, Computed, Recording
from chainrule.compiler.result import commit
from chainrule.compiler.stance import STATE
from chainrule.core.graph.nodes import LEAF
from chainrule.core.mode.grad_mode import Mode, modes
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.dtype import get_default_dtype
from chainrule.core.types.tree import tree_unflatten
from chainrule.settings import are_deterministic_algorithms_enabled

LONGEST = 16  # arguments


def shortcut(path: Path, args: Sequence[Any], leaves: Sequence[Any], mode: Mode, long: Callable) -> Callable | None:
    """Return a function of the arguments' tuple that gives the call's result, or None; None where a path has no short way.

    `long` returns the rules of a call, as :class:`chainrule.compiler.history.History` takes it.
    """
    recording = path.recording
    forms = [(a.__class__, len(a)) if a.__class__ in (list, tuple) else None for a in args]
    flat = all([form is None for form in forms])
    given, found = path.inputs(leaves), _flattened(args, forms)
    if not (
        found is not None
        and len(found) == len(leaves) <= LONGEST
        and all([a is b for a, b in zip(found, leaves, strict=True)])
        and all([a.__class__ is Tensor for a in leaves])
        and hasattr(path.plan, "on_tensors")
        and not path.generators
        and all([isinstance(o, Computed) for o in recording.outputs])
        and all([t.__class__ is float or (t.__class__._plain and t._level == 0) for t in given])
        and _are_apart(recording)
        and recording.graph.outputs[: len(recording.outputs)] == tuple([o.variable for o in recording.outputs])
    ):
        return None
    moving = bool(path.joint.moving)
    if moving and not has_history(path, given):
        return None
    count, size = len(leaves), len(recording.outputs)
    whole = len(recording.graph.outputs) == size
    single = recording.out_spec.type is None
    entry = path.plan.on_tensors([_kind(t) for t in given], single and whole)
    if entry is None:
        return None
    history = History(path, given, long) if moving else None
    kept = () if history is None else history.kept
    inner = [i for i, t in enumerate(given) if _kind(t)[1] is ANY]
    holds, spec = recording.state.holds, recording.out_spec
    settings, dtype, deterministic = SETTINGS.get(), get_default_dtype(), are_deterministic_algorithms_enabled()
    others: dict[int, Any] = {i: s.tensor for i, s in enumerate(recording.sources) if isinstance(s, Captured)}
    fetched = [(i, s.fetch) for i, s in enumerate(recording.sources) if not isinstance(s, (Argument, Captured))]
    others.update(dict.fromkeys([i for i, _ in fetched]))
    effects, results = recording.effects, recording.graph.outputs
    places = [s.position if isinstance(s, Argument) else 0 for s in recording.sources]
    straight = not others and places == list(range(count))
    as_it_is = single or (spec.type is tuple and all([c.type is None for c in spec.children_specs]))

    def short(args: Any) -> Any:
        if not flat:
            args = _flattened(args, forms)
        if (
            args is None
            or len(args) != count
            or modes() is not mode
            or STATE.busy
            or SETTINGS.get() is not settings
            or get_default_dtype() is not dtype
            or are_deterministic_algorithms_enabled() is not deterministic
            or not holds(args)
        ):
            return None
        if straight:
            given: Any = args
        else:
            given = [others[i] if i in others else args[k] for i, k in enumerate(places)]
            for i, fetch in fetched:
                given[i] = fetch(args)
        for i in inner:
            if given[i]._node is None or given[i]._node is LEAF:
                return None
        for i in kept:
            if given[i]._meta is not None and given[i]._meta.inference:
                return None
        found = entry(*given)
        if found is NotImplemented or found.__class__ is int:
            return None
        if history is not None:
            history.record((found,) if single and whole else found, given, args)
        if effects:
            commit(recording, dict(zip(results, [t._data for t in found], strict=True)), args)
        if single:
            return found if whole else found[0]
        if not whole:
            found = found[:size]
        return found if as_it_is else tree_unflatten(list(found), spec)

    return short


def _flattened(args: Sequence[Any], forms: list) -> list | None:
    """Return the elements of arguments that are lists and tuples, and the others; None if they have other forms."""
    if len(args) != len(forms):
        return None
    found: list = []
    for a, form in zip(args, forms, strict=True):
        if form is None:
            found.append(a)
        elif a.__class__ is form[0] and len(a) == form[1]:
            found += a
        else:
            return None
    return found


def _kind(t: Any) -> tuple[Any, Any]:
    """Return what the entry compares with an input: its class and its node, where that is not another in each call."""
    if t.__class__ is float:
        return None, None
    return t.__class__, t._node if t._node is None or t._node is LEAF else ANY


def _are_apart(recording: Recording) -> bool:
    """Tell whether outputs and effects have each a result of their own."""
    effects = [e.variable for e in recording.effects if e.variable is not None]
    return len({o.variable for o in recording.outputs} | set(effects)) == len(recording.outputs) + len(effects)
