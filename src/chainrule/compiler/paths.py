"""The paths of a specialisation: recordings that differ in what their guards read, found by running.

A path runs from its start. Where a guard fails, the paths whose guards read the same up to there, and something else there, run
from their start; where none holds, the call is recorded. Nothing that a path computes is seen outside before its last guard
has held.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from chainrule.compiler.loops.steps import GuardFailed
from chainrule.compiler.record.recording import Computed, Recording
from chainrule.core.generator import Generator
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import bottom
from chainrule.transforms.equations import Variable


class Path:
    """A recording and its plan.

    Attributes
    ----------
    recording : Recording
    plan : callable
        Takes the arrays of the graph's inputs; returns those of its outputs, or raises `GuardFailed`.
    derived : dict
        Compiled functions of derivatives, made when they are needed.
    outcomes : tuple
        Of the guards, in order.
    moving : tuple of bool
        Which of the graph's outputs carry derivatives.
    forks : list of Fork
        For each guard, where the paths part that agree up to it.
    """

    def __init__(self, recording: Recording, plan: Callable):
        self.recording, self.plan = recording, plan
        self.derived: dict[Any, Any] = {}
        equations = recording.graph.equations
        self.outcomes = tuple([e.params["outcome"] for e in equations if e.op.kind == "guard"])
        self.generators = tuple({o: None for e in equations for o in e.operands if isinstance(o, Generator)})
        self.forks: list[Fork] = []
        moving = {o.variable for o in recording.outputs if isinstance(o, Computed) and o.requires_grad}
        self.moving = tuple([v in moving for v in recording.graph.outputs])
        self._places = tuple([s.position if hasattr(s, "position") else None for s in recording.sources])

    def run(self, leaves: Sequence[Any]) -> list:
        """Return the outputs' arrays for a call's leaves.

        Raises
        ------
        GuardFailed
            If the call takes another path.
        """
        return self.plan([bottom(t) if isinstance(t, Tensor) else t for t in self.inputs(leaves)])

    def inputs(self, leaves: Sequence[Any]) -> list:
        """Return the tensors and numbers that the graph takes."""
        sources = self.recording.sources
        return [source.fetch(leaves) if at is None else leaves[at] for at, source in zip(self._places, sources, strict=True)]

    @cached_property
    def used(self) -> tuple[bool, ...]:
        """Which of the graph's inputs an output that carries derivatives depends on."""
        graph = self.recording.graph
        needed = {v for v, moves in zip(graph.outputs, self.moving, strict=True) if moves}
        for e in reversed(graph.equations):
            if e.recorded and e.op.is_differentiable and not needed.isdisjoint(e.results):
                needed |= {o for o in e.operands if o.__class__ is Variable}
        return tuple([v in needed for v in graph.inputs])

    def function(self, tensors: Sequence[Any]) -> list:
        """Return the graph's outputs for tensors."""
        graph = self.recording.graph
        return graph.run(tensors, graph.values, {})


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

    def run(self, leaves: Sequence[Any]) -> tuple[Path, list] | None:
        """Return the path that holds for a call, and its outputs; None if there is none yet."""
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
            try:
                found = path.run(leaves)
            except BaseException as error:
                for g, state in states.items():
                    g._put(state)
                if not isinstance(error, GuardFailed):
                    raise
                path = self._next(path, error.number, refused)
                continue
            if path is not first:
                self._prefer(path)
            return path, found
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
