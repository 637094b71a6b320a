"""The paths of a specialisation: recordings that differ in what their guards read, found by running.

A path runs from its start. Where a guard fails, the paths whose guards read the same up to there, and something else there, run
from their start; where none holds, the call is recorded. Nothing that a path computes is seen outside before its last guard
has held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from chainrule.compiler.joint import Joint
from chainrule.compiler.kernels import KernelPlan
from chainrule.compiler.loops.steps import GuardFailed
from chainrule.compiler.pausing import collector_paused
from chainrule.compiler.planning import plan_of, strides_of
from chainrule.compiler.record.recording import Argument, Computed, SetGradient, View, Write
from chainrule.core.generator import Generator
from chainrule.core.tensor.tensor import wrap
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
    hides_tangents : bool
        Whether there are outputs without gradients of which the recording does not tell whether tangents pass to them.
    short : callable, None or False
        The short way of a call (``shortcut``); None if not yet looked for, False if there is none.
    served : bool
        Whether it has served a call since it was recorded.
    outcomes : tuple
        Of the guards, in order.
    generators : tuple of Generator
        Those that are drawn from.
    inexact : tuple of int
        The outputs that the graph computes and that could carry derivatives.
    forks : list of Fork
        For each guard, where the paths part that agree up to it.
    """

    def __init__(self, joint: Joint, native: bool, leaves: Sequence[Any]):
        self.joint, self.recording, self.native = joint, joint.recording, native
        self.derived: dict[Any, Any] = {}
        self.short: Any = None
        self.served = False
        equations = self.recording.graph.equations
        self.outcomes = tuple([e.params["outcome"] for e in equations if e.op.kind == "guard"])
        self.generators = tuple({o: None for e in equations for o in e.operands if isinstance(o, Generator)})
        self.forks: list[Fork] = []
        computed = [(i, o) for i, o in enumerate(self.recording.outputs) if isinstance(o, Computed)]
        self.inexact = tuple([i for i, o in computed if o.variable.dtype.category >= 2])
        views = [o for o in self.recording.outputs if isinstance(o, View) and not o.requires_grad]
        self.hides_tangents = bool(views) or (bool(joint.moving) and joint.moving != self.inexact)
        self._places = tuple([s.position if isinstance(s, Argument) else None for s in self.recording.sources])

        graph, effects = self.recording.graph, self.recording.effects
        wishes = {o.variable: o.strides for o in (*self.recording.outputs, *effects) if isinstance(o, (Computed, SetGradient))}
        written = {e.variable for e in effects if isinstance(e, Write)}
        self._returned = tuple([(i, wishes.get(v)) for i, v in enumerate(graph.outputs) if v in wishes or v in written])
        self._strides = strides_of(graph.inputs, arrays(self.inputs(leaves)))
        self.plan = plan_of(graph, native, self._strides, wishes)
        # The other outputs of a plan of kernels, which may share memory with what the user has.
        returned = {i for i, _ in self._returned}
        self._saved = [i for i in range(len(graph.outputs)) if i not in returned] if isinstance(self.plan, KernelPlan) else []

    @cached_property
    def backward(self) -> Callable:
        """The plan of the backward graph, made when it is first needed."""
        strides = {**self._strides, **dict(zip(self.recording.graph.outputs, getattr(self.plan, "layouts", ()), strict=False))}
        with collector_paused():
            return plan_of(self.joint.backward, self.native, strides, self.joint.strides)

    def plans(self) -> dict[str, Any]:
        """Return the plans that there are, by what stands before the names of their timings."""
        found = {"": self.plan}
        if "backward" in self.__dict__:
            found["backward "] = self.backward
        return found

    def run(self, inputs: Sequence[Any]) -> list:
        """Return the arrays of the graph's outputs for tensors and numbers; those that are returned own their memory."""
        given = arrays(inputs)
        found = self.plan(given)
        owned(found, self._returned, given)
        if self._saved:
            set_apart(found, self._saved, given)
        return found

    def tensors(self, inputs: Sequence[Any]) -> tuple[list | None, dict]:
        """Return the graph's outputs as tensors, and the states of generators before.

        They are None where a guard does not hold, or a kernel raises; the generators are then as they were.
        """
        states = {g: g._state() for g in self.generators}
        try:
            return [wrap(x) for x in self.run(inputs)], states
        except BaseException as error:
            for g, before in states.items():
                g._put(before)
            if not isinstance(error, Exception):
                raise
            return None, states

    def gradients(self, saved: Sequence[Any]) -> list:
        """Return the arrays of the backward graph's outputs."""
        given = [bottom(t) for t in saved]
        found = self.backward(given)
        owned(found, [(i, self.joint.strides.get(v)) for i, v in enumerate(self.joint.backward.outputs)], given)
        return found

    def inputs(self, leaves: Sequence[Any]) -> list:
        """Return the tensors and numbers that the graph takes, for a call's leaves."""
        sources = self.recording.sources
        return [source.fetch(leaves) if at is None else leaves[at] for at, source in zip(self._places, sources, strict=True)]


def owned(found: list, places: Iterable[tuple[int, Any]], given: Sequence[Any]) -> None:
    """Give results at some places memory of their own, where others may hold it, in given strides, where it lies otherwise."""
    for i, strides in places:
        x = found[i]
        if x.__class__ is not np.ndarray:
            continue
        if strides is not None and x.size and x.strides != (due := tuple([s * x.itemsize for s in strides])):
            found[i] = np.ndarray(x.shape, x.dtype, np.empty(x.size, x.dtype), 0, due)
            found[i][...] = x
        elif x.base is not None or any([x is y for y in given]):
            found[i] = x.copy(order="K")


def set_apart(found: list, places: Sequence[int], given: Sequence[Any]) -> None:
    """Give results at some places, to which nobody is to write, memory that is not the inputs' nor that of other results."""
    others = [*given, *[x for i, x in enumerate(found) if i not in places]]
    held = [x for x in others if x.__class__ is np.ndarray]
    for i in places:
        x = found[i]
        if x.__class__ is np.ndarray and any([np.may_share_memory(x, y) for y in held]):
            found[i] = x.copy(order="K")


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
            if not path.recording.state.holds(leaves):
                refused.add(path)
                path = next((p for p in reversed(self.all) if p not in refused), None)
                continue
            for g in path.generators:
                states.setdefault(g, g._state())
            inputs = path.inputs(leaves)
            try:
                found = path.run(inputs)
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
            return next((p for p in reversed(self.all) if p not in refused), None)
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
