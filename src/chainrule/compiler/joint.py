"""A call recorded together with its backward pass: one graph, of the function and of the gradients of what it reads.

The pass is the engine's own, run inside of the recording on cotangents that stand for any: hooks, custom functions, ``detach``
and ``no_grad`` mean what they mean without. The graph is then parted into what a call computes and what its backward pass does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from chainrule.compiler.graph.partition import partitioned
from chainrule.compiler.graph.simplification import simplified
from chainrule.compiler.record.record import _outputs, record
from chainrule.compiler.record.recording import Computed, Recording, Source
from chainrule.core.graph.nodes import LEAF, Node, Port
from chainrule.core.mode.grad_mode import modes, no_grad
from chainrule.core.op.declaration import TABLE
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import Meta, is_inexact
from chainrule.core.types.tree import TreeSpec, tree_flatten, tree_unflatten
from chainrule.transforms.equations import Equation, Graph, Variable
from chainrule.transforms.gradient import gradients_of

NOTHING, KNOWN, FREED, UNKNOWN = "nothing", "known", "freed", "unknown"


class Joint:
    """A recorded call.

    Attributes
    ----------
    recording : Recording
        Its graph computes the outputs and effects, and then what the backward pass needs of them.
    result : object
        What the call returned.
    moving : tuple of int
        Which outputs (leaves of the result) the graph computes and carry derivatives.
    wanted : tuple of Source
        The inputs that gradients are known of.
    backward : Graph or None
        Takes values of `saved`, and a cotangent for each of `moving`; returns the gradients of `wanted`.
    saved : tuple of Variable
        Of the forward graph: inputs, and results.
    places : tuple of (int or None)
        For each of `wanted` the output of the backward graph; None where nothing depends on it.
    sources : tuple of frozenset
        For each of `wanted` which of `moving` it depends on.
    strides : dict
        Variables of the gradients → how they lie in memory.
    timings : dict
        Seconds: of the call itself, recorded.
    status : str
        What a backward pass finds: NOTHING that carries derivatives, KNOWN gradients, a graph that the function has FREED, or
        gradients that only the function itself tells (UNKNOWN).
    """

    def __init__(self, recording: Recording, result: Any, status: str, moving: tuple, wanted: tuple):
        self.recording, self.result, self.status, self.moving, self.wanted = recording, result, status, moving, wanted
        self.backward: Any = None
        self.saved: tuple = ()
        self.places: tuple = ()
        self.strides: dict[Variable, tuple[int, ...]] = {}
        self.timings: dict[str, float] = {}
        self.sources: tuple = tuple([frozenset(range(len(moving)))] * len(wanted))


def record_call(
    f: Callable, leaves: Sequence[Any], spec: TreeSpec, again: Callable, alone: bool, reads: Callable, instead: Any = None
) -> Joint:
    """Call a function, and record it with its backward pass.

    Parameters
    ----------
    f : callable
    leaves, spec
        Its flattened arguments, tensors of level 0, and their structure.
    again : callable
        Runs the call as it is, if it cannot be recorded.
    alone : bool
        The tensors stand for those of transforms: a call that changes others is not recorded.
    reads : callable
        The user's function in `f`.
    instead : object, optional
        What is to be the result where the graph may as well give it (see `record`).
    """
    notes: dict[str, Any] = {"status": NOTHING, "moving": (), "wanted": (), "added": (0, 0), "lost": []}

    def joint(*given: Any) -> Any:
        args, kwargs = tree_unflatten(list(given[:-1]), spec)
        result = f(*args, **kwargs)
        recorder: Any = modes().compiling
        outs = tree_flatten(result)[0]
        if alone and (recorder.gradients or any([symbol.count for *_, symbol in recorder.roots.values()])):
            recorder.refuse("writes into tensors from outside, under a transform")
        if not modes().record:
            return result, (), ()
        moving = tuple([i for i, o in enumerate(_outputs(recorder, outs)) if isinstance(o, Computed) and o.requires_grad])
        recorded = [t for t, _, edge, _ in list(recorder.entered.values()) if edge is not None]
        entered = [t for t in recorded if id(t) in recorder.roots]
        if any([id(t) not in recorder.roots and t._view is None for t in recorded]):
            recorder.refuse("is given two tensors of the same memory, of which one requires grad")
        wanted = [t for t in entered if is_inexact(t) and t._node is not None]
        notes.update(moving=moving, status=UNKNOWN if moving else NOTHING)
        notes["wanted"] = tuple([recorder.roots[id(t)][1] for t in wanted])
        if not moving or not wanted:
            return result, (), ()
        before, written = len(recorder.equations), _written(recorder)
        with no_grad():
            cotangents = [_cotangent(given[-1], outs[i]) for i in moving]
        try:
            with _Unhooked(wanted):
                grads = tuple(gradients_of([outs[i] for i in moving], wanted, cotangents, True, False, inner=True))
        except Exception as error:  # found again, if a backward pass is wanted, by the function itself
            if "backward through the graph a second time" in str(error):
                notes["status"] = FREED
            notes["lost"] = recorder.equations[before:]
            grads = None
        if _written(recorder) != written:
            recorder.refuse("has a backward pass that writes into tensors from outside, by a hook or a custom function")
        if grads is None:
            return result, (), ()
        notes.update(status=KNOWN, added=(len(grads), len(cotangents)))
        return result, grads, tuple(cotangents)

    seed = wrap(np.ones((), np.float64))
    start = perf_counter()
    made = record(joint, (*leaves, seed), again=again, reads=reads, instead=(instead,) if instead is not None else None)
    if not made.replayable:
        result = made.result[0] if made.graph is not None else made.result
        return Joint(made, result, UNKNOWN, (), ())
    result, (grads, cotangents) = made.result[0], notes["added"]
    count = len(made.outputs) - grads - cotangents
    outputs, of_grads, of_cotangents = made.outputs[:count], made.outputs[count : count + grads], made.outputs[count + grads :]
    found = Joint(made, result, notes["status"], notes["moving"], notes["wanted"])
    found.timings["record"] = perf_counter() - start
    starts = [o.variable for o in of_cotangents]
    effects: tuple[Any, ...] = made.effects
    forward = _unique([o.variable for o in (*outputs, *effects) if isinstance(getattr(o, "variable", None), Variable)])
    wanted = [o.variable if isinstance(o, Computed) else None for o in of_grads]
    found.strides = {o.variable: o.strides for o in of_grads if isinstance(o, Computed)}
    late = _late(made.graph, starts)
    if found.status == KNOWN and any([not e.op.pure for e in late]):  # a guard looks at it, or it is drawn
        found.status, wanted, starts = UNKNOWN, [], []
    targets = _unique([v for v in wanted if v is not None])
    lost = {*notes["lost"], *(() if targets else late)}
    whole = _whole(made.graph, starts if targets else [], [*forward, *targets], lost)
    if targets:
        parted = partitioned(simplified(whole, expand=False), len(forward), starts)
        graph, found.backward, found.saved = parted.forward, parted.backward, parted.kept
        found.places = tuple([None if v is None else targets.index(v) for v in wanted])
    else:
        graph = whole
        found.places = (None,) * len(wanted)
    if found.status == KNOWN:
        found.sources = _sources(made.graph, wanted, starts)
    sources: dict[Variable, Source] = dict(zip(made.graph.inputs, made.sources, strict=True))
    made.graph, made.outputs = graph, outputs
    made.sources = tuple([sources[v] for v in graph.inputs])
    made.out_spec = made.out_spec.children_specs[0]
    made.state.forget(len(leaves))
    return found


def _written(recorder: Any) -> tuple:
    """Return how often tensors from outside have been written to, and which gradients were looked at or changed."""
    return sum([symbol.count for *_, symbol in recorder.roots.values()]), len(recorder.gradients)


def _cotangent(seed: Tensor, out: Tensor) -> Tensor:
    """Return a tensor like an output whose variable stands for any cotangent."""
    d = out.dtype.numpy
    cast = TABLE["to"].call(seed, dtype=d, source=np.dtype(np.float64)) if d != np.float64 else seed
    return TABLE["clone"].call(TABLE["broadcast_to"].call(cast, shape=tuple(out.shape)))


class _Unhooked:
    """A block in which hooks on some tensors are not called: the pass that goes on from them calls these."""

    def __init__(self, tensors: Sequence[Tensor]):
        self._holders: list[tuple[Any, Any]] = []
        for t in tensors:
            holder: Any = t._meta if t._node is LEAF else t._node.node if t._node.__class__ is Port else t._node
            if (holder.__class__ is Meta or isinstance(holder, Node)) and holder.hooks is not None:
                self._holders.append((holder, holder.hooks))

    def __enter__(self) -> None:
        for holder, _ in self._holders:
            holder.hooks = None

    def __exit__(self, *exc: object) -> None:
        for holder, hooks in self._holders:
            holder.hooks = hooks


# -- graphs ------------------------------------------------------------------------------------------------------------


def _unique(variables: Sequence[Variable]) -> list[Variable]:
    return list(dict.fromkeys(variables))


def _late(graph: Graph, cotangents: Sequence[Variable]) -> dict[Equation, None]:
    """Return the equations that depend on a cotangent."""
    given, late = set(cotangents), set(cotangents)
    found: dict[Equation, None] = {}
    for e in graph.equations:
        if given.isdisjoint(e.results) and not late.isdisjoint(_variables(e)):
            found[e] = None
            late |= set(e.results)
    return found


def _whole(graph: Graph, cotangents: Sequence[Variable], outputs: Sequence[Variable], lost: set[Equation]) -> Graph:
    """Return a graph with cotangents as inputs, in place of the equations that stand for them, and with these outputs.

    Of a backward pass that is not recorded to its end, or not wanted, the equations are lost: they run only if outputs, which
    effects may be, need them.
    """
    given, used = set(cotangents), set(outputs)
    equations = []
    for e in reversed(graph.equations):
        if given.isdisjoint(e.results) and not (e in lost and used.isdisjoint(e.results)):
            equations.append(e)
            used.update(_variables(e))
    equations.reverse()
    _, in_spec = tree_flatten(((*graph.inputs, *cotangents), {}))
    _, out_spec = tree_flatten(list(outputs))
    constants = dict(zip(graph.constants, graph.values, strict=True))
    made = Graph((), constants, equations, outputs, (), in_spec, out_spec)  # which drops what is not needed
    used = {o for e in made.equations for o in _variables(e)} | set(outputs)
    made.inputs = (*[v for v in graph.inputs if v in used], *cotangents)
    return made


def _sources(graph: Graph, wanted: Sequence[Variable | None], cotangents: Sequence[Variable]) -> tuple:
    """Return for each gradient the numbers of the cotangents that it depends on."""
    known: dict[Variable, frozenset] = {v: frozenset((k,)) for k, v in enumerate(cotangents)}
    for e in graph.equations:
        if e.results and e.results[0] not in known:
            found = frozenset().union(*[known[o] for o in _variables(e) if o in known])
            known.update(dict.fromkeys(e.results, found))
    return tuple([frozenset() if v is None else known.get(v, frozenset()) for v in wanted])


def _variables(e: Equation) -> list[Variable]:
    return [o for o in e.operands if o.__class__ is Variable]
