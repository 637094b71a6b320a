"""Replays: what a recording means, on arrays, by the ops' own kernels. Every faster plan of its graph is held equal to this."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.compiler.record.guards import GuardError, outcome_of
from chainrule.compiler.record.recording import (
    Computed,
    Input,
    Number,
    Recording,
    Repeat,
    Static,
    View,
    Write,
)
from chainrule.core.call.silence import hush, unhush
from chainrule.core.generator import Draws
from chainrule.core.mode.grad_mode import back, modes, switch
from chainrule.core.record.placed import follow
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import memory_of, meta_of, version_of
from chainrule.core.types.tree import tree_unflatten
from chainrule.transforms.equations import Graph, Variable

ndarray = np.ndarray


def interpret(graph: Graph, arrays: Sequence[Any]) -> list:
    """Return the graph's outputs for arrays or NumPy scalars as inputs; they may share memory with these and with constants.

    Raises
    ------
    GuardError
        If a guard does not hold.
    """
    env: dict[Any, Any] = dict(zip(graph.inputs, arrays, strict=True))
    env.update(zip(graph.constants, [t._data for t in graph.values], strict=True))
    token = hush()
    try:
        for position, (equation, dropped) in enumerate(zip(graph.equations, graph._dropped, strict=True)):
            values = [env[o] if o.__class__ is Variable else o for o in equation.operands]
            if equation.op.kind == "guard":
                found = outcome_of(values[0], equation.params["use"])
                if found != equation.params["outcome"]:
                    raise GuardError(position, found)
            else:
                out = equation.op.backend.kernel(*values, **equation.params)
                for result, value in zip(equation.results, out if equation.several else (out,), strict=True):
                    env[result] = value._data if isinstance(value, Tensor) else value
            for variable in dropped:
                env.pop(variable, None)
    finally:
        unhush(token)
    return [env[o] for o in graph.outputs]


def fetch(recording: Recording, leaves: Sequence[Any]) -> list:
    """Return the arrays that the inputs of a recording are in a call with these leaves."""
    found = []
    for source in recording.sources:
        value = source.fetch(leaves)
        found.append(np.float64(value) if source.__class__ is Number else value._data)  # type: ignore[union-attr]
    return found


def replay(recording: Recording, leaves: Sequence[Any]) -> Any:
    """Do what the recorded call did, with other leaves: return its result, which no graph of autograd leads to.

    Raises
    ------
    GuardError
        If a guard does not hold; nothing is changed then.
    """
    before = modes()
    draws = Draws(before.draws)
    switch(draws=draws)
    entered = modes()
    try:
        outs = interpret(recording.graph, fetch(recording, leaves))
    except GuardError:
        draws.rewind()
        raise
    finally:
        back(entered, before, "draws")
    return commit(recording, leaves, outs)


def commit(recording: Recording, leaves: Sequence[Any], outs: Sequence[Any]) -> Any:
    """Carry out a recording's effects with the values of its graph's outputs; return its result."""
    values = {v: out.copy() if out.__class__ is ndarray else out for v, out in zip(recording.graph.outputs, outs, strict=True)}
    bases = [source.fetch(leaves) for source in recording.sources]
    known = dict(zip(recording.sources, bases, strict=True))
    for effect in recording.effects:
        if isinstance(effect, Write):
            t: Any = known[effect.source] if effect.source in known else effect.source.fetch(leaves)
            np.copyto(memory_of(t), values[effect.variable])
            for _ in range(effect.times):
                version_of(t).bump()
        elif isinstance(effect, Repeat):
            effect.call()
        else:
            owner: Any = effect.of.fetch(leaves)
            meta_of(owner).grad = None if effect.variable is None else wrap(_fresh(values[effect.variable]))
    results: list[Any] = []
    for output in recording.outputs:
        if isinstance(output, Static):
            results.append(output.value)
        elif isinstance(output, Input):
            results.append(output.source.fetch(leaves))
        elif isinstance(output, Computed):
            results.append(wrap(_fresh(values[output.variable])))
        else:
            results.append(output)
    for i, output in enumerate(results):
        if isinstance(output, View):
            base = results[output.base] if output.base.__class__ is int else output.base.fetch(leaves)
            results[i] = follow(base if output.chain and output.requires_grad else base.detach(), output.chain)
    return tree_unflatten(results, recording.out_spec)  # type: ignore[arg-type]


def _fresh(value: Any) -> Any:
    return value.copy() if value.__class__ is ndarray else value


__all__ = ["commit", "fetch", "interpret", "replay"]
