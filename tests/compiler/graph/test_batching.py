"""Small matrix products put together: as few as can be, the same values, and in an order that can run."""

from __future__ import annotations

import random

import numpy as np
import pytest
from tests.compiler.graph.examples import assert_same, normal, ops, tensors

import chainrule as cr
from chainrule import func
from chainrule.compiler.graph.batching import batched
from chainrule.compiler.graph.checking import check
from chainrule.compiler.graph.simplification import simplified
from chainrule.transforms.equations import Variable
from chainrule.transforms.trace import graph_of


def lstm(params, x):
    """Return a loss of layers of LSTM over time, (T, B, in)."""
    for w, u, b in params:
        h = c = cr.zeros(x.shape[1], u.shape[1])
        outs = []
        for row in x.unbind(0):
            i, f, g, o = (row @ w.t() + h @ u.t() + b).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            outs.append(h)
        x = cr.stack(outs, 0)
    return (x * x).sum()


LAYERS = [(normal(16, 3) / 4, normal(16, 4) / 4, normal(16)), (normal(16, 4) / 4, normal(16, 4) / 4, normal(16))]


def after(f, *args):
    """Return the numbers of products before and after, the two graphs' values being the same."""
    graph = graph_of(f, args)
    simple = simplified(graph)
    check(simple)
    assert_same(graph, simple, tensors(args), 1e-5)
    return ops(graph).count("mm") + ops(graph).count("matmul"), ops(simple).count("mm")


def test_rows_by_one_matrix_are_one_product():
    f = lambda x, w: [(row @ w).sin() for row in x.unbind(0)]
    assert after(f, normal(7, 3, 4), normal(4, 5)) == (7, 1)
    assert after(f, normal(2, 3, 4), normal(4, 5)) == (2, 2)


def test_rows_that_need_each_other_stay_apart():
    def f(x, h, w):
        for t in range(len(x)):
            h = (x[t] @ w + h @ w).tanh()
        return h

    before, found = after(f, normal(9, 3, 4), normal(3, 4), normal(4, 4))
    assert before == 18
    assert found == 9  # the rows of `x`, with the first `h`, at once


def test_sums_of_products_are_one_product():
    f = lambda x, y: sum([a.t() @ b for a, b in zip(x.unbind(0), y.unbind(0), strict=True)], cr.ones(4, 5))
    assert after(f, normal(6, 3, 4), normal(6, 3, 5)) == (6, 1)
    g = lambda x, y: sum([a @ b for a, b in zip(x.unbind(0), y.unbind(0), strict=True)])
    assert after(g, normal(6, 3, 4), normal(6, 4, 5)) == (6, 1)


def test_a_product_that_is_used_twice_is_not_summed_away():
    f = lambda x, y: (p := [a @ b for a, b in zip(x.unbind(0), y.unbind(0), strict=True)]) and (p[0] + p[1] + p[2] + p[3], p[1])
    assert after(f, normal(4, 3, 4), normal(4, 4, 5)) == (4, 2)


def test_the_gradient_of_an_unrolled_lstm_has_a_product_a_step_and_direction_and_few_more():
    steps = 20
    before, found = after(func.grad(lstm), LAYERS[:1], normal(steps, 2, 3))
    assert before >= 4 * steps - 3
    assert found <= 2 * steps + 3  # forward and back through time; the inputs' and the weights' at once
    before, found = after(func.grad(lstm), LAYERS, normal(steps, 2, 3))
    assert found <= 4 * steps + 8


def test_sums_over_rows_go_along():
    graph = simplified(graph_of(func.grad(lstm), (LAYERS[:1], normal(20, 2, 3))))
    assert ops(graph).count("sum_to") == 1


@pytest.mark.parametrize("seed", range(40))
def test_random_programs_of_products_keep_their_values(seed):
    rng = random.Random(seed)
    weights = [normal(4, 4) / 4, normal(4, 4).t().contiguous() / 3]

    def f(x, *weights):
        values = list(x.unbind(0))
        for _ in range(14):
            a, b = rng.choice(values), rng.choice(values)
            w = rng.choice(weights)
            kind = rng.randrange(7)
            values.append(
                a @ w if kind < 3 else a @ w.t() if kind == 3 else a + b if kind == 4 else (a * b).tanh() if kind == 5
                else a.t() @ b
            )  # fmt: skip
        return values[-1], values[-2] + values[-3], sum([a @ weights[0] for a in values[-5:]])

    args = (normal(4, 4, 4) / 4, *weights)
    state = rng.getstate()
    for call in (f, func.jacrev(lambda *a: f(*a)[2].sum(), argnums=(0, 1))):
        rng.setstate(state)
        graph = graph_of(call, args)
        for change in (batched, simplified):
            simple = change(graph)
            check(simple)
            assert_same(graph, simple, list(args), 1e-4)


def test_what_is_large_by_itself_is_left():
    f = lambda x, w: [row @ w for row in x.unbind(0)]
    graph = graph_of(f, (cr.func.ShapeDtype((4, 600, 8)), cr.func.ShapeDtype((8, 8))))
    assert ops(batched(graph)).count("mm") == 4
    assert all(isinstance(o, Variable) for o in graph.outputs)
    assert np.prod(graph.outputs[0].shape) == 4800
