"""Recordings of pure functions, by a trace above the levels of the arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.compiler.record.recording import Argument, Captured, Computed, Input, Recording, Static
from chainrule.compiler.stance import IN_RECORDING
from chainrule.core.mode.grad_mode import modes, recording, switch
from chainrule.core.mode.levels import fresh_level
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import bottom, root_of
from chainrule.core.types.tree import TreeSpec, tree_flatten, tree_unflatten
from chainrule.transforms.blame import TraceError, at
from chainrule.transforms.equations import Equation, Graph, Variable
from chainrule.transforms.trace import Traced, Tracer, _output, _tracer_of, _variable_of

MOST_BYTES = 1 << 12  # of a value that is read whole: what is read is compared in every call


class GuardOp:
    """What stands for a read where an equation has its op."""

    kind, name = "guard", "guard"
    view = nondiff = pure = is_differentiable = False
    params: tuple = ()

    def __repr__(self) -> str:
        return "<guard>"


GUARD: Any = GuardOp()


class Guard(Equation):
    """A read of a value: its truth alone (bool), or all of it (its bytes)."""

    __slots__ = ("outcome", "use")

    def __init__(self, variable: Variable, use: str, value: Any):
        self.use, self.outcome = use, _outcome(use, value)
        super().__init__(GUARD, (variable,), {"outcome": self.outcome}, (), True, False)

    def holds(self, value: Any) -> bool:
        """Tell whether a read of a value gives the same."""
        return _outcome(self.use, value) == self.outcome

    def evaluate(self, operands: tuple) -> tuple:
        """Do nothing: whoever runs a graph by itself has chosen it."""
        return ()


def _outcome(use: str, value: Any) -> Any:
    return bool(value) if use == "bool" else np.asarray(value).tobytes()


class Guarded(Traced):
    """A traced value that the function may read: that it read this value is recorded."""

    __slots__ = ()

    def _read(self, use: str) -> None:
        if use != "check" or bottom(self).nbytes <= MOST_BYTES:
            _tracer_of(self._level).guard(self, use)  # type: ignore[attr-defined]

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """Return the values, a copy, which the recording then holds for."""
        self._read("read")
        return np.array(bottom(self))


class Recorder(Tracer):
    """A trace whose values may be read."""

    def __init__(self, level: int):
        super().__init__(level, False)
        self.kind = Guarded

    def guard(self, t: Any, use: str) -> None:
        """Record that a value is read."""
        value = bottom(t)
        if value.nbytes > MOST_BYTES:
            raise TraceError(f"an array of {value.nbytes} bytes is read whole{at()}: too much to compare in every call")
        self.equations.append(Guard(t._tangent, use, value))

    def constant(self, value: Any) -> Variable:
        """Return the variable of a value from outside."""
        if isinstance(value, Tensor) and value._level:
            raise TraceError(f"a value of a transform that is running is used without being an argument{at()}")
        return super().constant(value)


def record(f: Callable, leaves: Sequence[Any], spec: TreeSpec) -> tuple[Recording, list]:
    """Return the recording of ``f(*args, **kwargs)`` for the flat arguments, and the arrays of its graph's outputs."""
    level = fresh_level()
    tracer = Recorder(level)
    values = [tracer.traced(bottom(x), _variable_of(x)) if isinstance(x, Tensor) else x for x in leaves]
    variables = [t._tangent if t.__class__ is Guarded else None for t in values]  # type: ignore[union-attr]
    given, named = tree_unflatten(list(values), spec)
    grad = modes().grad
    results: dict[Variable, Any] = {}
    with recording(level, reverse=False), IN_RECORDING:
        switch(tracer=tracer, grad=grad)
        try:
            result = f(*given, **named)
            outs, out_spec = tree_flatten(result)
            if any([v is not None and t._tangent is not v for v, t in zip(variables, values, strict=True)]):
                raise TraceError("an argument is written to in place")
            outputs = [_described(tracer, out, values, results) for out in outs]
        finally:
            switch(tracer=tracer.outer)
    tracer.forget()
    inputs = {v: Argument(k) for k, v in enumerate(variables) if v is not None}
    constants = {}
    for variable, value in tracer.constants.items():
        if tracer.is_inside(value):
            constants[variable] = wrap(bottom(value))
        else:
            inputs[variable] = Captured(value)
    graph = Graph(list(inputs), constants, tracer.equations, list(results), list(inputs), spec, out_spec)
    starts = [v for v, source in inputs.items() if carries(source.fetch(leaves))]
    moving = _moving(graph, starts)
    if moving != _moving(graph, starts, forward=True) and any([isinstance(x, Tensor) and x._level for x in leaves]):
        raise TraceError("derivatives are switched off in a part of it by no_grad, which forward mode does not heed")
    outputs = [Computed(o, o in moving) if o.__class__ is Variable else o for o in outputs]
    made = Recording(graph, list(inputs.values()), (), outputs, out_spec, HOLDS, None)
    return made, list(results.values())


class _Holds:
    """What a recording read of Python: nothing that is known."""

    def holds(self, leaves: Sequence[Any]) -> bool:
        """Return True."""
        return True


HOLDS = _Holds()


def _described(tracer: Recorder, out: Any, values: list, results: dict) -> Any:
    """Return what an output is; a `Variable` for one that is computed, whose array goes to `results`."""
    if not isinstance(out, Tensor):
        return Static(out)
    for k, t in enumerate(values):
        if out is t:
            return Input(Argument(k))
        if isinstance(t, Tensor) and root_of(out) is t:
            raise TraceError("a view of an argument is returned")
    if out._level < tracer.level and not tracer.is_inside(out):
        return Input(Captured(out))
    variable = _output(tracer, out)
    results.setdefault(variable, bottom(out))
    return variable


def carries(t: Tensor) -> bool:
    """Tell whether a tensor may carry derivatives: it requires grad, or is a value of a transform."""
    return t._level > 0 or t._node is not None


def _moving(graph: Graph, variables: list[Variable], forward: bool = False) -> set[Variable]:
    """Return the variables of a graph that some carry derivatives to: in reverse mode, or in forward mode."""
    moving = {v for v in variables if v.dtype.category >= 2}
    for e in graph.equations:
        if (e.recorded or forward) and e.op.is_differentiable and not moving.isdisjoint(_variables(e)):
            moving |= {r for r in e.results if r.dtype.category >= 2}
    return moving


def _variables(e: Equation) -> list:
    return [o for o in e.operands if o.__class__ is Variable]
