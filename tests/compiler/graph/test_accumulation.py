"""Parts of few places are running sums: the same values, each sum made where its parts are, each place written once."""

from __future__ import annotations

import pytest
from tests.compiler.graph.examples import assert_same, normal, ops, tensors

import chainrule as cr
from chainrule import func
from chainrule.compiler.graph.accumulation import accumulated
from chainrule.compiler.graph.checking import check
from chainrule.transforms.trace import graph_of


def gradient(trips, size):
    """Return the graph of a loop's gradient by a stack of weights, and its arguments."""

    def f(weight, x):
        for _ in range(trips):
            x = (x * weight[0] + weight[1]).tanh() * weight[2].sum() - x.mean()
        return x.sum()

    args = normal(4, size), normal(size)
    return graph_of(func.grad(f), args), args


def after(graph, args):
    """Return the graph with running sums, its values being the same."""
    found = accumulated(graph)
    check(found)
    assert_same(graph, found, tensors(args), 1e-5)
    return found


@pytest.mark.parametrize("size", [4, 500])
def test_rows_of_weights_are_added_up_where_they_are_made(size):
    graph, args = gradient(9, size)
    assert not {"place", "assemble"}.isdisjoint(ops(graph))  # cotangents are put in their places one by one, or together
    found = after(graph, args)
    [whole] = [e for e in found.equations if e.op.name == "assemble"]
    assert len(whole.operands) == 3
    assert found.equations[-1] is whole
    assert "place" not in ops(found)


def test_few_parts_stay():
    graph, _ = gradient(3, 4)
    assert accumulated(graph) is graph


def test_what_else_is_added_stays_added():
    def f(weight, x):
        total = (weight * weight).sum()
        for _ in range(9):
            total = total + (weight[1] * x).sum() * total.sin()
        return total

    args = normal(4, 3), normal(3)
    names = ops(after(graph_of(func.grad(f), args), args))
    assert names.count("assemble") == 1


def test_values_that_are_used_otherwise_too_stay():
    def f(x, y):
        rows = [cr.nn.functional.pad(x[k], (1, 2)) for k in range(9)]
        out = rows[0]
        for row in rows[1:]:
            out = out + row
        return out, rows

    args = normal(9, 4), normal(4)
    after(graph_of(f, args), args)


def test_terms_that_are_numbers_or_stand_twice_are_added_as_they_were():
    def f(weight, x):
        total = (weight * x.sum() + 1) + 2.5
        for k in range(9):
            total = total + func.grad(lambda w, k=k: (w[1] * x).sin().sum() * k)(weight)
        return total + weight + weight

    args = normal(4, 3), normal(3)
    names = ops(after(graph_of(f, args), args))
    assert names.count("assemble") == 1
