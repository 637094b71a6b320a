"""Replays: what a recording means, on arrays, by the ops' own kernels. Every faster plan of its graph is held equal to this."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.compiler.record.guards import GuardError, outcome_of
from chainrule.compiler.record.recording import Number, Recording
from chainrule.compiler.result import assembled, commit
from chainrule.core.call.silence import hush, unhush
from chainrule.core.generator import Draws
from chainrule.core.mode.grad_mode import back, modes, switch
from chainrule.core.tensor.tensor import Tensor, wrap
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
    values = {v: out.copy() if out.__class__ is ndarray else out for v, out in zip(recording.graph.outputs, outs, strict=True)}
    commit(recording, values, leaves)
    return assembled(recording, {v: wrap(value) for v, value in values.items()}, leaves)


__all__ = ["fetch", "interpret", "replay"]
