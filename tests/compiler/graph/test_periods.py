"""Where a graph repeats: the trips of loops are found, whatever is around or in them, and nothing else is taken for one."""

from __future__ import annotations

import random

from tests.compiler.graph.examples import normal

import chainrule as cr
from chainrule import func
from chainrule.compiler.graph.periods import LONG, trips_of
from chainrule.transforms.trace import graph_of

ONE = [cr.sin, cr.cos, cr.tanh, cr.exp, cr.sigmoid, cr.sqrt]


def equations(*words):
    """Return the equations of a chain of functions of one number, by their numbers."""

    def f(x):
        for k in [k for word in words for k in word]:
            x = ONE[k](x)
        return x

    return graph_of(f, (normal(3),)).equations


def test_trips_are_found_between_other_equations():
    found = trips_of(equations([1, 2, 3, 1, 1], [0, 4, 4, 2] * 200, [5, 5, 3]))
    inside = [i for i, trip in enumerate(found) if trip >= 0]
    assert inside == list(range(inside[0], inside[-1] + 1))
    assert inside[0] <= 5
    assert 4 * 200 <= len(inside) <= 4 * 200 + 3
    assert [found[i] for i in inside] == [(i - inside[0]) // 4 for i in inside]


def test_a_trip_may_repeat_something_itself():
    body = [*[0, 1] * 15, *range(6)]
    found = trips_of(equations(body * 40))
    assert min(found) == 0
    assert found.count(7) == len(body)


def test_two_loops_have_trips_of_their_own():
    found = trips_of(equations([0, 1, 2] * 300, [5], [3, 4] * 400))
    assert found.count(found[30]) == 3
    assert found.count(found[-5]) == 2
    assert set(found[:890]).isdisjoint(found[910:])


def test_a_short_loop_and_one_of_few_trips_and_no_loop_are_none():
    rng = random.Random(0)
    assert set(trips_of(equations([0, 1] * (LONG // 4)))) == {-1}
    body = [rng.randrange(6) for _ in range(LONG // 4)]
    assert set(trips_of(equations(body * 6))) == {-1}
    assert set(trips_of(equations([rng.randrange(6) for _ in range(2 * LONG)]))) == {-1}


def test_the_trips_of_a_gradient_are_found_there_and_back():
    def f(x):
        for _ in range(300):
            x = (x * 1.5).sin() + x
        return x.sum()

    found = trips_of(graph_of(func.grad(f), (normal(3),)).equations)
    assert len(found) - found.count(-1) >= 0.9 * len(found)
    assert len(set(found)) > 2 * 290
