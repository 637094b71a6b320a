"""The passes over the whole table: of every op its graph, and that of its vjp, keep their values."""

from __future__ import annotations

import numpy as np
import pytest
from tests.compiler.graph.examples import assert_same, graph_of_case
from tests.each import by_name

import chainrule as cr
from chainrule import func
from chainrule.compiler.graph.checking import check
from chainrule.compiler.graph.simplification import simplified
from chainrule.core.op.declaration import TABLE
from chainrule.testing.case import cases
from chainrule.transforms.trace import graph_of

# Whose results are random, or are one of several that are right.
LEFT = {name for name, op in TABLE.items() if not op.pure}


def graphs(case):
    """Yield the graph of a case's op, and of its vjp, with inputs."""
    yield graph_of_case(case)
    if case.moving:
        values = [cr.tensor(case.args[i]) for i in case.moving]
        weights = [cr.tensor(w) for w in case.weights()]

        def pull(values, weights):
            return func.vjp(lambda *xs: tuple(case.function(case.moving)(*xs)), *values)[1](tuple(weights))

        yield graph_of(pull, (values, weights)), [*values, *weights]


@pytest.mark.slow
@by_name("case", [case for case in cases(kinds="bifc") if case.op.name not in LEFT])
def test_graphs_of_every_op_keep_their_values(case):
    with np.errstate(all="ignore"):
        pairs = list(graphs(case))
    for graph, inputs in pairs:
        for expand in (False, True):
            simple = simplified(graph, expand)
            check(simple)
            assert_same(graph, simple, inputs, 1e-12)
