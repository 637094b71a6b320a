"""From a graph to a plan: passes, steps and native code where there is llvmlite; the eager kernels, op by op, where not."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from chainrule.compiler.graph.simplification import simplified
from chainrule.compiler.kernels import KernelPlan
from chainrule.compiler.llvm.engine import UnavailableError
from chainrule.compiler.loops.fusion import steps_of
from chainrule.compiler.plan import native_plan
from chainrule.transforms.equations import Graph, Variable

_told: set[str] = set()


def plan_of(graph: Graph, native: bool, strides: dict | None = None, wishes: dict | None = None) -> Callable:
    """Return the plan of a graph: called with the arrays of its inputs, it returns those of its outputs.

    It raises `GuardFailed` where a guard does not hold. Outputs may share memory with inputs and with each other. `strides` and
    `wishes` are those of ``loops.fusion.steps_of``; a plan of kernels gives results that lie as theirs do.
    """
    if native:
        try:
            return made(graph, strides, wishes)
        except UnavailableError as why:
            if not _told:
                _told.add("unavailable")
                warnings.warn(f"compile: {why}; compiled functions run op by op on NumPy", UserWarning, stacklevel=6)
        except NotImplementedError:
            pass  # a primitive without instructions
    return KernelPlan(graph)


def made(graph: Graph, strides: dict | None, wishes: dict | None) -> Any:
    """Return the native plan of a graph; its `timings` begin with the time that passes and fusion took."""
    start = perf_counter()
    simple = simplified(graph)
    passed = perf_counter()
    steps = steps_of(simple, strides, wishes)
    fused = perf_counter()
    plan = native_plan(steps)
    plan.timings = {"passes": passed - start, "fuse": fused - passed, **plan.timings}
    return plan


def strides_of(variables: Sequence[Variable], arrays: Sequence[Any]) -> dict[Variable, Sequence[int]]:
    """Return the steps, in elements, of arrays that do not lie in C order, where they are none backwards."""
    found: dict[Variable, Sequence[int]] = {}
    for v, x in zip(variables, arrays, strict=True):
        if x.__class__ is np.ndarray and not x.flags.c_contiguous and x.size:
            steps = [s // x.itemsize for s in x.strides]
            if min(steps) >= 0 and not any([s % x.itemsize for s in x.strides]):
                found[v] = steps
    return found
