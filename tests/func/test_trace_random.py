"""`func.trace` of functions that draw random numbers."""

from __future__ import annotations

import numpy as np
import pytest
from tests.func.traced import trace

import chainrule as cr
from chainrule import nn
from chainrule.func import grad, vmap

pytestmark = pytest.mark.usefixtures("small_heap")


RANDOM = {
    "rand": lambda x: x * cr.rand(4) + cr.rand(4),
    "unused draws too": lambda x: (cr.rand(3), x * cr.randn(4))[1],
    "own generator": lambda x: x + cr.randn(4, generator=GENERATOR),
    "several kinds": lambda x: x * cr.bernoulli(cr.full((4,), 0.5)) + cr.randperm(4) + cr.randint(9, (4,)),
    "with parameters": lambda x: cr.poisson(x.abs() * 9) + cr.normal(x, x.abs()) + cr.multinomial(x.abs(), 4, True),
    "in place": lambda x: x.clone().uniform_(1, 2) + cr.empty(4).normal_() * x,
    "dropout": lambda x: nn.functional.dropout(x, 0.5),
    "one for each example": lambda x: vmap(lambda y: y + cr.rand(2), randomness="different")(x.reshape(2, 2)),
    "one for all": lambda x: vmap(lambda y: y * cr.randn(2), randomness="same")(x.reshape(2, 2)),
    "inside of a gradient": grad(lambda x: (cr.rand(4) * x**2).sum()),
    "nested traces": lambda x: cr.func.trace(lambda y: y * cr.rand(4))(x)(x),
}
GENERATOR = cr.Generator()


@pytest.mark.parametrize("name", list(RANDOM))
def test_random_numbers_are_drawn_anew_in_every_run_and_as_the_function_draws_them(name):
    def seeded(f, x):
        cr.manual_seed(3)
        GENERATOR.manual_seed(3)
        return f(x), cr.rand(1)

    f, x = RANDOM[name], cr.tensor([0.5, 1.0, 2.0, 3.0])
    graph = trace(f)(x)
    for a, b in zip(seeded(graph, x), seeded(f, x), strict=True):
        assert a.tolist() == b.tolist()
    rows = [graph(x).tolist() for _ in range(4)]
    assert any(row != rows[0] for row in rows[1:])


def test_a_graph_that_draws_under_vmap():
    graph = trace(lambda x: x + cr.rand(2))(cr.zeros(2))
    each = vmap(graph, randomness="different")(cr.zeros(3, 2))
    assert len({tuple(row) for row in each.tolist()}) == 3
    same = vmap(graph, randomness="same")(cr.zeros(3, 2))
    assert len({tuple(row) for row in same.tolist()}) == 1
    with pytest.raises(RuntimeError, match="called random operation while in randomness error mode"):
        vmap(graph)(cr.zeros(3, 2))


def test_a_draw_is_an_equation_whose_operand_is_its_generator():
    graph = trace(lambda x: x + cr.rand(2) + cr.randn(2, generator=GENERATOR))(cr.zeros(2))
    assert (
        str(graph)
        == """\
graph(a: float32[2]):
    b: float32[2] = random(default_generator, shape=(2,), dtype=float32)
    c: float32[2] = add(a, b)
    d: float32[2] = random(generator, shape=(2,), dtype=float32)
    e: float32[2] = add(c, d)
    return e"""
    )
    assert [equation.op.pure for equation in graph.equations] == [False, True, False, True]


def test_a_graph_draws_from_the_generator_that_it_is_given():
    def f(x, generator):
        return x + cr.rand(3, generator=generator) * cr.poisson(x + 3, generator=generator)

    traced, given = cr.Generator().manual_seed(1), cr.Generator().manual_seed(2)
    graph = trace(f)(cr.ones(3), traced)
    again = cr.Generator().manual_seed(2)
    assert graph(cr.ones(3), given).tolist() == f(cr.ones(3), again).tolist()
    assert given.get_state().tolist() == again.get_state().tolist()
    with pytest.raises((ValueError, TypeError), match="graph: "):
        graph(cr.ones(3), None)


def test_a_draw_with_parameters_of_the_function_s_own_is_drawn_anew():
    graph = trace(lambda x: x + cr.poisson(cr.full((8,), 9.0)))(cr.zeros(8))
    assert len({tuple(graph(cr.zeros(8)).tolist()) for _ in range(4)}) > 1


DRAWS = {
    "poisson": cr.poisson,
    "multinomial": lambda x: cr.multinomial(x, 2),
    "multinomial with replacement": lambda x: cr.multinomial(x, 4, replacement=True),
    "binomial": lambda x: cr.binomial(x.round(), x / 9),
    "inside grad": cr.func.grad(lambda x: (x * cr.poisson(x)).sum()),
    "inside jvp": lambda x: cr.func.jvp(lambda x: x * cr.poisson(x), (x,), (x,))[1],
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_random_numbers_with_parameters_are_drawn_inside_vmap_inside_a_graph(draw, depth):
    f = draw
    for _ in range(depth):
        f = cr.func.vmap(f, randomness="different")
    shape = (2, 2, 3)[2 - depth :]
    x = cr.arange(1.0, 1 + np.prod(shape)).reshape(shape)
    cr.manual_seed(0)
    expected = f(x)
    graph = cr.func.trace(f)(x)
    cr.manual_seed(0)
    assert graph(x).tolist() == expected.tolist()
    assert str(cr.func.trace(f)(cr.func.ShapeDtype(x.shape))) == str(graph)
