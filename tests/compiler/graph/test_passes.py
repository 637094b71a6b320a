"""Laws of all passes on graphs: values kept, a sound graph, nothing left to do the second time, guards where they were."""

from __future__ import annotations

import pytest
from tests.compiler.graph.examples import assert_same, drawn, equation, graph_with, graphs_of, impure, models, ops, run

import chainrule as cr
from chainrule.compiler.graph.algebra import simpler
from chainrule.compiler.graph.checking import check
from chainrule.compiler.graph.constants import folded
from chainrule.compiler.graph.expansion import expanded
from chainrule.compiler.graph.movement import moved
from chainrule.compiler.graph.rebuilding import alive
from chainrule.compiler.graph.sharing import shared
from chainrule.compiler.graph.simplification import simplified
from chainrule.compiler.record.guards import GuardEquation
from chainrule.transforms.equations import Variable
from chainrule.transforms.trace import graph_of


def unexpanded(graph):
    return simplified(graph, expand=False)


PASSES = (alive, folded, shared, simpler, moved, unexpanded)
MODELS = models()


def check_all(seed):
    pairs, source = graphs_of(seed)
    for graph, args in pairs:
        text = str(graph)
        for change in PASSES:
            simple = change(graph)
            try:
                check(simple)
                assert_same(graph, simple, args)
                again = change(simple)  # which sees that fewer use a value
                assert len(again.equations) <= len(simple.equations)
                assert str(change(again)) == str(again), "the third time changes more"
            except Exception as error:
                error.add_note(f"{change.__name__} of\n{source}\n{graph}\nis\n{simple}")
                raise
        assert str(graph) == text


@pytest.mark.parametrize("seeds", [range(k, k + 20) for k in range(0, 60, 20)])
def test_random_programs_and_their_gradients_keep_their_bits(seeds):
    for seed in seeds:
        check_all(seed)


@pytest.mark.slow
def test_many_random_programs_and_their_gradients_keep_their_bits():
    for seed in range(1000, 1400):
        check_all(seed)


def test_the_random_programs_reach_most_rules():
    assert sum(len(graph.equations) - len(unexpanded(graph).equations) for s in range(30) for graph, _ in graphs_of(s)[0]) > 300
    assert len({name for seed in range(60) for graph, _ in graphs_of(seed)[0] for name in ops(graph)}) > 40
    assert drawn(1)[2] != drawn(2)[2]


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("change", [*PASSES, expanded, simplified])
def test_gradients_of_models_keep_their_values(name, change):
    graph, args = MODELS[name]
    simple = change(graph)
    check(simple)
    assert_same(graph, simple, args, 2e-6)
    assert str(change(simple)) == str(simple)


def test_what_is_gained():
    gained = {name: (len(graph.equations), len(unexpanded(graph).equations)) for name, (graph, _) in MODELS.items()}
    assert gained == {"mlp": (27, 27), "black_scholes": (84, 75), "lstm_step": (38, 33), "block": gained["block"]}
    assert gained["block"][1] < gained["block"][0]


@pytest.mark.parametrize("change", [*PASSES, expanded, simplified])
def test_guards_stay_in_order_and_are_neither_merged_nor_moved_nor_dropped(change):
    first, calls = impure("first")
    second, _ = impure("second")
    x = Variable((2,), cr.float32)
    a, va = equation("mul", x, 1)
    g1, _ = equation(first, va)
    b, vb = equation("neg", va)
    g2, vg2 = equation(first, va)
    g3, _ = equation(second, vb)
    c, vc = equation("neg", vb)
    g4, _ = equation(first, vc)
    simple = change(graph_with([x], [a, g1, b, g2, g3, c, g4], [vc, vg2]))
    check(simple)
    assert [e.op.name for e in simple.equations if not e.op.pure] == ["first", "first", "second", "first"]
    run(simple, [cr.tensor([1.0, 2.0])])
    assert [c.tolist() for c in calls] == [[1.0, 2.0]] * 3


def test_a_guard_of_what_is_simplified_stays_the_same_guard():
    made = lambda v: GuardEquation(v, "bool", True)
    x = Variable((), cr.float32)
    a, va = equation("mul", x, 1)
    b, vb = equation("sin", va)
    guard = made(vb)
    (kept,) = [e for e in simplified(graph_with([x], [a, b, guard], [va])).equations if e.op.name == "guard"]
    assert kept.operands[0] is vb
    guard = made(va)
    (kept,) = [e for e in simplified(graph_with([x], [a, guard], [va])).equations if e.op.name == "guard"]
    assert kept is not guard
    assert kept.operands == (x,)
    assert (kept.params, kept.results, type(kept)) == (guard.params, (), type(guard))
    kept.evaluate((cr.tensor(True),))


def test_random_draws_stay_as_they_are():
    f = lambda x: (cr.rand_like(x), cr.rand_like(x), cr.nn.functional.dropout(x, 0.5), x * 1)
    x = cr.ones(4)
    graph = graph_of(f, (x,))
    draws = [name for name in ops(graph) if name.startswith("random")]
    simple = simplified(graph)
    assert [name for name in ops(simple) if name.startswith("random")] == draws
    found = []
    for g in (graph, simple):
        cr.manual_seed(0)
        found.append(run(g, [x]))
    for a, b in zip(*found, strict=True):
        assert a.tolist() == b.tolist()


@pytest.mark.parametrize("change", [*PASSES, simplified])
def test_outputs_stay_values_of_their_own(change):
    def f(x):
        y = x.sin()
        made = (y * 1, x * 1, x.t().contiguous(), x, y, x.t().t(), x.sin(), x.sin(), x.clone(), (x * 2).t().contiguous())
        return *made, cr.ones(3) + 1, y.t(), y.t().t(), y, Twice.apply(x), cr.softmax(x, 0) * 1

    x = cr.rand(2, 3)
    graph = graph_of(f, (x,))
    simple = change(graph)
    check(simple)
    assert_same(graph, simple, [x], 1e-6)
    assert (simple.inputs, simple.outputs) == (graph.inputs, graph.outputs)
    assert not set(simple.outputs) & {*simple.constants}
    made = {r: e.op for e in simple.equations for r in e.results}
    assert [made[o].aliasing for o in simple.outputs[:3]] == [None, None, None]


def test_a_view_of_an_input_that_becomes_the_input_is_copied():
    x = cr.rand(2, 3)
    graph = graph_of(lambda x: x.t().t(), (x,))
    simple = simplified(graph)
    check(simple)
    assert ops(simple) == ["clone"]
    assert simple.outputs == graph.outputs


class Twice(cr.autograd.Function):
    """A function with rules of its own."""

    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * 2


def test_captured_tensors_that_require_grad_are_no_constants_to_fold():
    w = cr.tensor([2.0, 2.0], requires_grad=True)
    graph = graph_of(lambda x: x * (w * 3), (cr.ones(2),))
    assert ops(simplified(graph)) == ["mul", "mul"]
