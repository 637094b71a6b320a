"""The paths of a specialisation: recordings that differ in what their guards read, found by running.

A path runs from its start. Where a guard fails, the paths whose guards read the same up to there, and something else there, run
from their start; where none holds, the call is recorded. Nothing that a path computes is seen outside before its last guard
has held.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.compiler.joint import Joint
from chainrule.compiler.loops.steps import GuardFailed
from chainrule.compiler.record.recording import Argument, Computed, Write, gradient_of
from chainrule.core.generator import Generator
from chainrule.core.tensor.value import bottom


class Path:
    """A recorded call and its plans.

    Attributes
    ----------
    joint : Joint
    recording : Recording
    plan : callable
        Takes the arrays of the graph's inputs; returns those of its outputs, or raises `GuardFailed`.
    backward : callable or None
        The plan of the backward graph.
    derived : dict
        Compiled functions of derivatives, made when they are needed.
    outcomes : tuple
        Of the guards, in order.
    generators : tuple of Generator
        Those that are drawn from.
    all_move : bool
        Whether all outputs that could carry derivatives do.
    forks : list of Fork
        For each guard, where the paths part that agree up to it.
    """

    def __init__(self, joint: Joint, plan: Callable):
        self.joint, self.recording = joint, joint.recording
        self.plan = plan(self.recording.graph)
        self._plan, self._backward = plan, None
        self.derived: dict[Any, Any] = {}
        equations = self.recording.graph.equations
        self.outcomes = tuple([e.params["outcome"] for e in equations if e.op.kind == "guard"])
        self.generators = tuple({o: None for e in equations for o in e.operands if isinstance(o, Generator)})
        self.forks: list[Fork] = []
        written = {e.source for e in self.recording.effects if isinstance(e, Write)}
        self._written = [i for i, s in enumerate(self.recording.sources) if s in written]
        outputs = self.recording.outputs
        inexact = {i for i, o in enumerate(outputs) if isinstance(o, Computed) and o.variable.dtype.category >= 2}
        self.all_move = inexact == set(joint.moving)
        self._places = tuple([s.position if isinstance(s, Argument) else None for s in self.recording.sources])

    @property
    def backward(self) -> Callable:
        """The plan of the backward graph, made when it is first needed."""
        if self._backward is None:
            self._backward = self._plan(self.joint.backward)
        return self._backward

    def inputs(self, leaves: Sequence[Any]) -> list:
        """Return the tensors and numbers that the graph takes, for a call's leaves."""
        sources = self.recording.sources
        return [source.fetch(leaves) if at is None else leaves[at] for at, source in zip(self._places, sources, strict=True)]

    def holds(self, inputs: list) -> bool:
        """Tell whether tensors from outside are of the shapes and dtypes that were recorded."""
        for variable, t, at in zip(self.recording.graph.inputs, inputs, self._places, strict=True):
            if at is None and t.__class__ is not float:
                if t is None:
                    return False
                data = bottom(t)
                if data.shape != variable.shape or data.dtype != variable.dtype.numpy:
                    return False
        return not self._written or self._are_apart(inputs)

    def _are_apart(self, inputs: list) -> bool:
        """Tell whether tensors that the call writes to share memory with none of the others."""
        for i in self._written:
            data = bottom(inputs[i])
            if any(
                [k != i and t.__class__ is not float and np.may_share_memory(data, bottom(t)) for k, t in enumerate(inputs)]
            ):
                return False
        return True

    def has_gradients(self, leaves: Sequence[Any]) -> bool:
        """Tell whether the tensors whose `.grad` the call looked at or changed have one where they had one then."""
        return all([(gradient_of(s.fetch(leaves)) is not None) == present for s, present in self.joint.gradients])


def arrays(inputs: Sequence[Any]) -> list:
    """Return the arrays of tensors and numbers."""
    return [np.float64(t) if t.__class__ is float else bottom(t) for t in inputs]


class Fork:
    """Where paths part: each outcome of a guard → what comes after it, and the path that last went there."""

    __slots__ = ("children", "path")

    def __init__(self) -> None:
        self.children: dict[Any, Fork] = {}
        self.path: Path | None = None


class Paths:
    """The paths of one specialisation."""

    def __init__(self) -> None:
        self.all: list[Path] = []
        self._root = Fork()

    def add(self, path: Path) -> None:
        """Add a path."""
        fork = self._root
        for outcome in path.outcomes:
            path.forks.append(fork)
            fork = fork.children.setdefault(outcome, Fork())
        self.all.append(path)
        self._prefer(path)

    def _prefer(self, path: Path) -> None:
        self._root.path = path
        for fork, outcome in zip(path.forks, path.outcomes, strict=True):
            fork.children[outcome].path = path

    def run(self, leaves: Sequence[Any]) -> Served | None:
        """Return the path that holds for a call, and what it computed; None if there is none yet."""
        path = first = self._root.path
        refused: set = set()
        states: dict[Generator, tuple] = {}
        while path is not None:
            inputs = path.inputs(leaves)
            state = path.recording.state
            held = path.holds(inputs) and path.has_gradients(leaves) and (state is None or state.holds(leaves))
            if not held:
                refused.add(path)
                path = next((p for p in reversed(self.all) if p not in refused), None)
                continue
            for g in path.generators:
                states.setdefault(g, g._state())
            try:
                found = path.plan(arrays(inputs))
            except BaseException as error:
                for g, before in states.items():
                    g._put(before)
                if not isinstance(error, GuardFailed):
                    raise
                path = self._next(path, error.number, refused)
                continue
            if path is not first:
                self._prefer(path)
            return Served(path, inputs, found, {g: states[g] for g in path.generators})
        return None

    def _next(self, path: Path, guard: int | None, refused: set) -> Path | None:
        """Return a path that reads something else where a guard of one failed, and has not been tried."""
        refused.add(path)
        if guard is None:
            return None
        fork = path.forks[guard]
        refused.add((fork, path.outcomes[guard]))
        for outcome, child in reversed(fork.children.items()):
            if (fork, outcome) not in refused and child.path not in refused:
                return child.path
        return None


class Served:
    """A call that a path served.

    Attributes
    ----------
    path : Path
    inputs : list
        The tensors and numbers that its graph took.
    results : list
        The arrays of the graph's outputs.
    states : dict
        Generator → its state before the call.
    """

    __slots__ = ("inputs", "path", "results", "states")

    def __init__(self, path: Path, inputs: list, results: list, states: dict):
        self.path, self.inputs, self.results, self.states = path, inputs, results, states
