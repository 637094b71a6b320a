"""A trace of every op: the graph equals the op, and its derivatives, taken of the graph or traced themselves, are the op's."""

from __future__ import annotations

import numpy as np
import pytest
from tests.each import by_name

from chainrule.func import trace, vmap
from chainrule.testing import cases
from chainrule.testing.compare import first_gap
from chainrule.testing.derive import at_of, gradient, payload, pulled, pushed, slope, wrapped
from chainrule.testing.traced import graph_equals_the_op

TOLERANCE = 1e-12
# The slow set holds the others to the first law with all columns of the matrix: test_compositions.py.
FIRST = [case for case in cases(kinds="bifc") if not case.index]
DIFFERENTIABLE = cases(differentiable=True)


@by_name("case", FIRST)
def test_the_graph_equals_the_op(case):
    graph_equals_the_op(case)


@by_name("case", DIFFERENTIABLE, fast=1)
def test_derivatives_of_the_graph_and_graphs_of_derivatives(case):
    at, xs, weights, along = case.moving, at_of(case, case.moving), case.weights(), case.directions(case.moving)
    f = case.function(at)
    graph = trace(f)(*wrapped(xs))
    cotangents = [payload(g) for g in pulled(f, xs, weights)]
    tangents = [payload(t) for t in pushed(f, xs, along)[1]]
    found = {
        "vjp of graph": (pulled(graph, xs, weights), cotangents),
        "graph of vjp": (trace(gradient(f, weights))(*wrapped(xs))(*wrapped(xs)), cotangents),
        "jvp of graph": (pushed(graph, xs, along)[1], tangents),
        "graph of jvp": (trace(slope(f, along))(*wrapped(xs))(*wrapped(xs)), tangents),
    }
    for how, (values, expected) in found.items():
        assert first_gap([payload(v) for v in values], expected, TOLERANCE) is None, how


@by_name("case", cases(kinds="f", differentiable=True), fast=1)
def test_gradients_reach_leaves_through_the_graph(case):
    leaves = [x.requires_grad_() for x in wrapped(at_of(case, case.moving))]
    f = case.function(case.moving)
    outs = trace(f)(*leaves)(*leaves)
    weights = case.weights()
    moving = [(out, w) for out, w in zip(outs, wrapped(weights), strict=True) if out.requires_grad]
    if not moving:
        return
    from chainrule.autograd import backward

    backward([out for out, _ in moving], [w for _, w in moving])
    expected = pulled(f, at_of(case, case.moving), weights)
    found = [np.zeros(x.shape) if x.grad is None else payload(x.grad) for x in leaves]
    assert first_gap(found, [payload(g) for g in expected], TOLERANCE) is None


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # of the ops that loop
@by_name("case", cases(kinds="f", differentiable=True), fast=1)
def test_the_graph_is_batched_as_the_op(case):
    f, xs = case.function(case.moving), at_of(case, case.moving)
    graph = trace(f)(*wrapped(xs))
    rows = wrapped([np.stack([x, np.roll(x, 1)]) for x in xs])
    found, expected = vmap(graph)(*rows), vmap(f)(*rows)
    assert first_gap([payload(a) for a in found], [payload(b) for b in expected], TOLERANCE) is None
    again = trace(vmap(f))(*rows)(*rows)
    assert first_gap([payload(a) for a in again], [payload(b) for b in expected], TOLERANCE) is None
