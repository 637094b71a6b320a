"""`record`: call a function once, as it is, and keep what it computed as a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.compiler.loops.steps import is_dense
from chainrule.compiler.record.recorder import Recorder
from chainrule.compiler.record.recording import (
    Captured,
    Computed,
    Effect,
    Input,
    Output,
    Recording,
    Same,
    SetGradient,
    Static,
    View,
    Write,
    gradient_of,
)
from chainrule.compiler.record.settling import escaped, roll_back, settle
from chainrule.compiler.record.state import State
from chainrule.core.generator import Draws
from chainrule.core.mode.grad_mode import back, modes, switch
from chainrule.core.op.raw import empty_like
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import root_of
from chainrule.core.types.symbol import Symbol, Unrecordable
from chainrule.core.types.tree import tree_flatten
from chainrule.core.write.views import FROZEN, kind_of
from chainrule.transforms.equations import Graph, flatten_call

# NumPy's words where the program writes to an array that it got of a tensor.
_READ_ONLY = dict.fromkeys(
    ("assignment destination is read-only", "output array is read-only"), "it writes to a tensor's memory through NumPy"
)


def record(
    f: Callable,
    args: tuple = (),
    kwargs: dict | None = None,
    again: Callable | None = None,
    reads: Any = None,
    instead: Any = None,
) -> Recording:
    """Call a function and record what it does.

    Parameters
    ----------
    f : callable
    args, kwargs
        Of the call: pytrees. Tensors in them are inputs, all else is fixed.
    again : callable, optional
        What is called, without arguments, where the call cannot be recorded; the call itself if not given.
    reads : callable, optional
        The function whose state in Python replays look at; `f` if not given.
    instead : object, optional
        What is to be the result where work was put off that a replay may as well do, as others may replay the call: all is then
        as it was before it.

    Returns
    -------
    Recording
        Its `result` is that of the call, whether or not it could be recorded.

    Raises
    ------
    RuntimeError
        Inside of another recording, where there is nothing to record apart.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.compiler.record import record
    >>> recording = record(lambda x: cr.sin(x) * x, (cr.ones(2),))
    >>> recording.graph
    graph(a: float32[2]):
        b: float32[2] = sin(a)
        c: float32[2] = mul(b, a)
        return c
    """
    if modes().compiling is not None:
        raise RuntimeError("record() inside of a function that is being recorded: call the function itself")
    kwargs = kwargs or {}
    leaves, _ = flatten_call(args, kwargs)
    recorder = Recorder()
    state = State(f if reads is None else reads, [leaf for leaf in leaves if not isinstance(leaf, Tensor)])
    before = modes()
    draws = Draws(before.draws)
    switch(tracer=recorder, draws=draws)
    entered = modes()
    try:
        try:
            recorder.begin(leaves)
            result = f(*args, **kwargs)
        finally:
            back(entered, before, "tracer", "draws")
        outs, out_spec = tree_flatten(result)
        outputs = _outputs(recorder, outs)
    except (Unrecordable, ValueError) as error:
        if error.__class__ is ValueError and str(error) not in _READ_ONLY:
            settle(recorder)
            raise
        roll_back(recorder)
        draws.rewind()
        return Recording(
            None, (), (), (), None, None, again() if again else f(*args, **kwargs), _READ_ONLY.get(str(error), str(error))
        )
    except BaseException:
        settle(recorder)
        raise
    effects = _effects(recorder)
    graph = _graph(recorder, outputs, effects)
    early = instead is not None and recorder.puts_off
    if early and _is_whole(recorder, outs, state, leaves, effects):
        result = instead
        outs.clear()
        roll_back(recorder)
    else:
        settle(recorder, outs)
    recorder.nodes.clear()
    if not early:
        _is_whole(recorder, outs, state, leaves, effects)
    return Recording(graph, tuple(recorder.inputs.values()), effects, outputs, out_spec, state, result, recorder.why)


def _outputs(recorder: Recorder, outs: list) -> list[Output]:
    places = {id(recorder.symbol(t)): i for i, t in reversed(list(enumerate(outs))) if isinstance(t, Tensor) and not t._level}
    first: dict[int, int] = {}  # id of a result → where it stands first
    hidden: dict[int, list] = {}  # id of a root that is no result → what results show of it
    found: list[Output] = []
    for i, t in enumerate(outs):
        if not isinstance(t, Tensor):
            found.append(Static(t))
            continue
        if t._level:
            raise Unrecordable("it returns a value of a transform that has ended")
        symbol = recorder.symbol(t)
        root = symbol.root
        outside = next(((base, source) for base, source, _, s in recorder.roots.values() if s is root), None)
        if id(t) in recorder.entered:
            found.append(Input(recorder.roots[id(t)][1] if id(t) in recorder.roots else Captured(t)))
        elif first.setdefault(id(t), i) != i:
            found.append(Same(first[id(t)]))
        elif outside is not None:
            found.append(_view(t, *outside, symbol.chain))
        elif places.get(id(root), i) != i:
            found.append(_view(t, outs[places[id(root)]], places[id(root)], symbol.chain))
        else:
            shown = hidden.setdefault(id(root), [])
            if any([_overlap(symbol.value, other.value) for other in shown]):
                recorder.give_up("two of its results share memory with a tensor that it does not return")
            shown.append(symbol)
            if t.requires_grad and t.is_leaf:
                recorder.give_up("it returns a leaf that it makes, which requires grad")
            found.append(Computed(symbol.variable, t.requires_grad, _strides(symbol)))
    return found


def _view(t: Tensor, base: Tensor, place: Any, chain: tuple) -> View:
    """Return what an output is that shows the memory of a tensor, an input or another output, which stands at a place."""
    return View(place, chain, t.requires_grad, root_of(t) is not root_of(base), kind_of(t) in FROZEN)


def _strides(symbol: Symbol) -> tuple[int, ...]:
    """Return the strides, in elements, of new memory in which what a symbol stands for lies as it does, without gaps."""
    strides = tuple([s // symbol.itemsize for s in symbol.strides])
    if is_dense(symbol.shape, strides):
        return strides
    return tuple([s // symbol.itemsize for s in empty_like(symbol.stand_in()).strides])


def _is_whole(recorder: Recorder, outs: list, state: State, leaves: list, effects: list) -> bool:
    """Tell whether others may replay the call: its results and effects are all that it leaves behind."""
    if not recorder.why and (left := escaped(recorder, outs)) is not None:
        recorder.give_up(f"a tensor of shape {list(left.shape)} that it makes outlives it, and is no result of it")
    if not recorder.why and (changed := state.after(recorder, leaves, effects).change()) is not None:
        recorder.give_up(f"it changes what it finds in Python: {changed}")
    return not recorder.why


def _overlap(a: Any, b: Any) -> bool:
    """Tell whether two arrays have an element in common; True where that is hard to tell."""
    try:
        return np.shares_memory(a, b, max_work=10_000)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def _effects(recorder: Recorder) -> list[Effect]:
    found: list[Effect] = []
    for t, source, _, symbol in recorder.roots.values():
        if symbol.count:
            found.append(Write(source, symbol.variable, t._version - recorder.entered[id(t)][3]))
    for t, source, old in recorder.gradients.values():
        new = gradient_of(t)
        if new is old:
            continue
        if new is None:
            found.append(SetGradient(source, None))
        elif not recorder.is_inside(new) or new._level:
            recorder.give_up("it sets a .grad to a tensor from outside, or to a value of a transform")
        else:
            symbol = recorder.symbol(new)
            found.append(SetGradient(source, symbol.variable, _strides(symbol)))
    found += recorder.repeats
    for t, _, edge, _ in recorder.entered.values():
        if t._node is not edge:
            recorder.give_up("it changes whether a tensor from outside requires grad, or the history of one")
    return found


def _graph(recorder: Recorder, outputs: list[Output], effects: list[Effect]) -> Graph:
    """Return the graph of what the outputs and the effects need."""
    found = [getattr(o, "variable", None) for o in (*outputs, *effects)]
    wanted = [variable for variable in found if variable is not None]
    inputs = tuple(recorder.inputs)
    _, in_spec = flatten_call(inputs, {})
    outs, out_spec = tree_flatten(list(dict.fromkeys(wanted)))
    constants = {variable: wrap(array) for variable, array in recorder.constants.items()}
    return Graph(inputs, constants, recorder.equations, outs, inputs, in_spec, out_spec)
