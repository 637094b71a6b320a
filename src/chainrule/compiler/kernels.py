"""A graph run op by op on the eager kernels: the plan where there is no native code, and what one means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.compiler.loops.steps import GuardFailed
from chainrule.compiler.record.guards import outcome_of
from chainrule.core.call.dispatch import compute
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import bottom
from chainrule.transforms.equations import Equation, Graph, Variable

_PLAIN = Equation.evaluate


class KernelPlan:
    """A plan on NumPy.

    Parameters
    ----------
    graph : Graph
        Its inputs are what the plan takes; its outputs, all of them variables, are what it returns.
    """

    def __init__(self, graph: Graph):
        slots: dict[Any, int] = {v: i for i, v in enumerate((*graph.inputs, *graph.constants))}
        self.inputs, self.constants = len(graph.inputs), [bottom(t) for t in graph.values]
        steps = []
        for equation in graph.equations:
            operands = tuple([(slots[o], None) if o.__class__ is Variable else (-1, o) for o in equation.operands])
            for r in equation.results:
                slots[r] = len(slots)
            steps.append((equation, operands, tuple([slots[r] for r in equation.results])))
        last: dict[int, int] = {}
        for k, (_, operands, results) in enumerate(steps):
            last.update({i: k for i, _ in operands if i >= 0} | dict.fromkeys(results, k))
        self.outputs = tuple([slots[o] for o in graph.outputs])
        drops: list[list[int]] = [[] for _ in steps]
        for i, k in last.items():
            if i not in self.outputs:
                drops[k].append(i)
        self.steps = tuple([(*step, tuple(dropped)) for step, dropped in zip(steps, drops, strict=True)])
        self.size = len(slots)

    def __call__(self, arrays: Sequence[Any]) -> list:
        """Return the outputs, arrays or NumPy scalars; they may share memory with inputs and with each other.

        Raises
        ------
        GuardFailed
            If a guard's value is another than in the recording.
        """
        env: list[Any] = [None] * self.size
        env[: self.inputs] = arrays
        env[self.inputs : self.inputs + len(self.constants)] = self.constants
        guards = 0
        for equation, operands, results, dropped in self.steps:
            values = [env[i] if i >= 0 else o for i, o in operands]
            if equation.op.kind == "guard":
                if outcome_of(values[0], equation.params["use"]) != equation.params["outcome"]:
                    raise GuardFailed(guards)
                guards += 1
            else:
                out = evaluated(equation, values)
                for i, o in zip(results, out if equation.several else (out,), strict=True):
                    env[i] = o
            for i in dropped:
                env[i] = None
        return [env[i] for i in self.outputs]


def evaluated(equation: Any, values: list) -> Any:
    """Return the result of an equation for arrays."""
    if equation.__class__.evaluate is not _PLAIN:  # a custom function, which takes tensors
        given = tuple([wrap(x) if isinstance(x, (np.ndarray, np.generic)) else x for x in values])
        out = equation.evaluate(given)
        return tuple([bottom(o) if isinstance(o, Tensor) else o for o in out])
    if equation.op.view and values[0].__class__ is not np.ndarray:
        values[0] = np.asarray(values[0])
    return compute(equation.op, values, equation.params, tuple(values))
