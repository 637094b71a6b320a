"""Whatever op stands between a tensor and a fault, the fault is named, and not the op."""

from __future__ import annotations

import numpy as np
import pytest
from tests.each import by_name

import chainrule as cr
from chainrule.testing import cases

ABOVE = {"zero": 0.0, "nan": float("nan"), "inf": float("inf")}  # the factor that the op's result is multiplied by, elementwise
NAMED = {"zero": "zero factor", "nan": "bad data", "inf": "bad data"}
ITS_OWN = (
    "not selected", "masked", "rounding", "overwritten", "random", "stationary", "saturated", "cancelled", "clamp", "dead relu",
)  # fmt: skip


def programs(case, factor):
    """Return the loss of a case's op times a factor as a function, and the tensors that it is a function of."""
    inputs = [cr.tensor(np.array(case.args[i]), requires_grad=True) for i in case.moving]
    run = case.function(case.moving)

    def loss():
        outs = run(*inputs)
        outs = [o for o in (outs if isinstance(outs, (tuple, list)) else (outs,)) if o.dtype.is_floating_point]
        return sum([(o * cr.full(o.shape, factor, dtype=o.dtype)).sum() for o in outs])

    return loss, inputs


@pytest.mark.parametrize("fault", ABOVE)
@by_name("case", cases(kinds="f", differentiable=True), fast=1)
def test_a_fault_above_an_op_is_named(case, fault):
    loss, inputs = programs(case, ABOVE[fault])
    for found in cr.explain(loss, inputs):
        assert found.cause != "unknown", str(found)
        if found.kind == fault and found.size and found.cause not in ITS_OWN:
            assert (found.cause, found.op) == (NAMED[fault], "mul"), str(found)
