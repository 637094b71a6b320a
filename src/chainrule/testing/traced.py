"""The law of tracing: the graph, run, is the call."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from chainrule.func import trace
from chainrule.testing.case import Case, filled, tensor_of
from chainrule.testing.compare import first_gap
from chainrule.testing.composed import Composed
from chainrule.testing.law import Silent, law
from chainrule.testing.values import results
from chainrule.transforms.blame import TraceError

DECIDES = Silent("Python asks for values on its way, so no graph holds it: `trace` refuses")


@law("the graph equals the op")
def graph_equals_the_op(case: Case) -> str | None:
    """Check the graph's values, what it says of their shapes and dtypes, its text, and that it refuses what the op refuses."""
    places = [i for i, a in enumerate(case.args) if isinstance(a, np.ndarray)]
    f = lambda *values: case.op.call(*filled(case.tensors(), values, places), **case.params)
    inputs = [tensor_of(case.args[i]) for i in places]
    try:
        expected = results(f(*inputs))
    except RuntimeError as error:
        return _refuses_too(f, inputs, str(error))
    try:
        graph = trace(f)(*inputs)
    except TraceError:
        if isinstance(case.op, Composed):
            return DECIDES
        raise
    found = results(graph(*inputs))
    different = first_gap(found, expected, 1e-12)
    if different is not None:
        return f"result {different[0]}: {different[1]}"
    said = [(v.shape, v.dtype.numpy) for v in graph.outputs]
    for what in (said, [(r.shape, r.dtype) for r in found]):
        if what != [(r.shape, r.dtype) for r in expected]:
            return f"{what} against {[(r.shape, r.dtype) for r in expected]}"
    lines, told = len(graph.equations) + len(graph.constants) + 1, str(graph).count("\n")
    return None if told == lines else f"its text has {told} lines against {lines}"


def _refuses_too(f: Callable, inputs: list, words: str) -> str | None:
    try:
        trace(f)(*inputs)
    except RuntimeError as error:
        return None if str(error).startswith(words[:20]) else f"raised {error} against {words}"
    return f"nothing was raised; the op raises {words}"


def ending_ops(of: Sequence[Case]) -> set[str]:
    """Return the names of the ops that give the results of a function's first call that can be traced."""
    for case in of:
        places = [i for i, a in enumerate(case.args) if isinstance(a, np.ndarray)]
        f = lambda *values: case.op.call(*filled(case.tensors(), values, places), **case.params)  # noqa: B023 (called here)
        try:
            graph = trace(f)(*[tensor_of(case.args[i]) for i in places])
        except RuntimeError:
            continue
        return {e.op.name for e in graph.equations if not set(graph.outputs).isdisjoint(e.results)}
    return set()
