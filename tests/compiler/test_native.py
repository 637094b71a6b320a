"""Every op of the table, its gradient and its tangent, as native code: plans are what their steps mean."""

from __future__ import annotations

import numpy as np
import pytest
from tests.compiler.loops.test_table import REFUSALS, forward, tolerance
from tests.each import by_name

from chainrule.compiler.loops.fusion import steps_of
from chainrule.compiler.plan import native_plan
from chainrule.testing import cases
from chainrule.testing.compare import first_gap
from chainrule.testing.derive import at_of, gradient, slope, wrapped
from chainrule.transforms.blame import TraceError
from chainrule.transforms.trace import graph_of

pytest.importorskip("llvmlite")
pytestmark = pytest.mark.filterwarnings("ignore")


def agrees(f, inputs, tolerance):
    """Check the native plan of a function's graph against the steps, called by the native entry and from Python."""
    try:
        f(*inputs)
        graph = graph_of(f, tuple(inputs))
    except (*REFUSALS, TraceError):
        return
    steps = steps_of(graph)
    arrays = [np.asarray(x._data) for x in inputs]
    expected = [np.asarray(o) for o in steps.run(arrays)]
    plan = native_plan(steps)
    for run in (plan, plan._run):
        found = [np.asarray(o) for o in run(arrays)]
        assert [(o.shape, o.dtype) for o in found] == [(o.shape, o.dtype) for o in expected]
        with np.errstate(all="ignore"):
            assert first_gap(found, expected, tolerance) is None


@by_name("case", cases(dtypes=["float64", "float32", "int64", "bool", "uint8", "complex128", "float16"]), fast=0, share=3)
def test_native_ops_are_the_ops(case):
    agrees(*forward(case), tolerance(case) if case.dtype.itemsize > 2 else 1e-2)


@by_name("case", cases(dtypes=["float64", "float32"], differentiable=True), fast=0, share=2)
def test_native_gradients_are_the_gradients(case):
    if case.op.name == "to":  # whose samples say that they come from float64
        pytest.skip("not a gradient in other dtypes")
    agrees(gradient(case.function(case.moving), case.weights()), wrapped(at_of(case, case.moving)), tolerance(case))


@by_name("case", cases(dtypes=["float64"], differentiable=True), fast=0)
def test_native_tangents_are_the_tangents(case):
    agrees(slope(case.function(case.moving), case.directions(case.moving)), wrapped(at_of(case, case.moving)), tolerance(case))
