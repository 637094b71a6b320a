"""Graphs as steps: what is fused with what, how much memory that takes, and that the steps compute what the graph does."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from tests.compiler.loops.drawn import program

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import func
from chainrule.compiler.graph.simplification import simplified
from chainrule.compiler.loops.fusion import steps_of
from chainrule.compiler.loops.nest import Load, walk
from chainrule.compiler.loops.scalars import expression_of
from chainrule.compiler.loops.steps import GemmStep, GuardFailed, GuardStep, KernelStep, NestStep
from chainrule.core.op.declaration import TABLE
from chainrule.core.types.tree import tree_flatten
from chainrule.transforms.equations import Graph, Variable
from chainrule.transforms.trace import graph_of


def made(f, *args, simplify=True):
    """Return the steps of a call, checked against the call."""
    graph = graph_of(f, args)
    steps = steps_of(simplified(graph) if simplify else graph)
    assert overwrites(steps) == []
    inputs = [a.numpy() for a in tree_flatten(args)[0] if isinstance(a, cr.Tensor)]
    for found, expected in zip(steps.run(inputs), tree_flatten(f(*args))[0], strict=True):
        np.testing.assert_allclose(found, expected.detach().numpy(), rtol=2e-4, atol=2e-5)
    return steps


def overwrites(steps):
    """Return the nests that write to what they read at another point, which `Nest.run` cannot tell: it reads all first."""
    found = []
    for step in of_kind(steps, NestStep):
        reads = [(e.place, e.guard) for stage in step.nest.stages for e in walk(stage.roots) if isinstance(e, Load)]
        for store in [s for stage in step.nest.stages for s in stage.stores]:
            for place, guard in reads:
                (a, at), (b, start) = step.args[store.place.param], step.args[place.param]
                if a is b or a not in steps.temps or b not in steps.temps:
                    continue
                low, high = steps.temps[a], steps.temps[b]
                apart = low + a.nbytes <= high or high + b.nbytes <= low
                same = (low, at, store.place.key) == (high, start, place.key) and guard is None
                if not apart and not same:
                    found.append(step)
    return found


def of_kind(steps, kind):
    return [s for s in steps.steps if isinstance(s, kind)]


def counts(steps):
    """Return how many nests, distinct nests, matrix products, kernels and temporaries there are."""
    nests = of_kind(steps, NestStep)
    return (
        len(nests),
        len({s.key for s in nests}),
        len(of_kind(steps, GemmStep)),
        len(of_kind(steps, KernelStep)),
        len(steps.temps),
    )


def rand(*shape):
    return cr.tensor(np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32))


def black_scholes(s, k, t, r, v):
    root = v * cr.sqrt(t)
    d1 = (cr.log(s / k) + (r + v * v / 2) * t) / root
    normal = lambda x: 0.5 * (1 + cr.erf(x / 2**0.5))
    return s * normal(d1) - k * cr.exp(-r * t) * normal(d1 - root)


def with_gradients(f):
    def both(*args):
        out, pull = func.vjp(f, *args)
        return (out, *pull(cr.ones_like(out)))

    return both


def test_black_scholes_and_its_five_gradients_are_one_nest_without_temporaries():
    steps = made(with_gradients(black_scholes), *[cr.rand(1000) + 0.5 for _ in range(5)])
    assert counts(steps) == (1, 1, 0, 0, 0)
    assert len(steps.steps[0].args) == 11


def test_a_long_scalar_function_and_its_gradient_are_one_nest_without_axes():
    def f(x):
        y = x
        for _ in range(25):
            y = cr.sin(y) * x + cr.exp(-y) / (1 + y * y)
        return y

    steps = made(func.grad_and_value(f), cr.tensor(0.3))
    assert counts(steps) == (1, 1, 0, 0, 0)
    assert steps.steps[0].nest.outer == ()


def test_a_softmax_is_one_nest_whose_exponentials_wait_in_the_result():
    [step] = made(lambda x: F.softmax(x, 1), rand(6, 9)).steps
    assert step.nest.outer == (6,)
    assert len(step.args) == 2
    assert str(step.nest).count("exp(") == 2  # summed and stored: one expression


def test_cross_entropy_with_its_gradient():
    target = cr.tensor([1, 0, 3, 2, 4, 0])
    steps = made(func.grad_and_value(lambda x: F.cross_entropy(x, target)), rand(6, 5))
    nests, _, gemms, kernels, _ = counts(steps)
    assert (gemms, kernels) == (0, 0)
    assert nests <= 5


def test_layer_norm_with_gelu_and_gradients():
    f = lambda x, w, b: (F.layer_norm(F.gelu(x), (64,), w, b) ** 2).sum()
    steps = made(func.grad(f, argnums=(0, 1, 2)), rand(32, 64), rand(64), rand(64))
    assert counts(steps)[:4] == (2, 2, 0, 0)  # rows, then columns: the gradients of weight and bias in one
    assert str(steps.steps[0].nest).count("= sum") >= 3


def test_adam_is_one_nest_a_parameter():
    def adam(ws, ms, vs, gs):
        out = []
        for w, m, v, g in zip(ws, ms, vs, gs, strict=True):
            m = m * 0.9 + g * 0.1
            v = v * 0.999 + g * g * 0.001
            out += [w - 1e-3 * (m / 0.1) / (cr.sqrt(v / 0.001) + 1e-8), m, v]
        return out

    shapes = ((8, 4), (8,), (3, 8), (3,), (8, 4))
    steps = made(adam, *[[cr.rand(*shape) for shape in shapes] for _ in range(4)])
    assert counts(steps) == (5, 4, 0, 0, 0)


def test_a_training_step_of_a_perceptron():
    target = cr.tensor(np.arange(32) % 10)

    def loss(ws, x):
        h = cr.tanh(F.linear(x, ws[0], ws[1]))
        h = F.relu(F.linear(h, ws[2], ws[3]))
        return F.cross_entropy(F.linear(h, ws[4], ws[5]), target)

    ws = [rand(48, 64) * 0.1, rand(48), rand(48, 48) * 0.1, rand(48), rand(10, 48) * 0.1, rand(10)]
    step = lambda ws, x: [w - 0.1 * g for w, g in zip(ws, func.grad(loss)(ws, x), strict=True)]
    nests, _, gemms, kernels, _ = counts(made(step, ws, rand(32, 64)))
    assert (gemms, kernels) == (8, 0)
    assert nests <= 12


def test_unrolled_loops_have_few_distinct_nests():
    def rnn(w, u, h, xs):
        for t in range(xs.shape[0]):
            h = cr.tanh(xs[t] @ w + h @ u)
        return (h * h).sum()

    f = func.grad(rnn, argnums=(0, 1))
    args = [rand(16, 32) * 0.1, rand(32, 32) * 0.1, cr.zeros(8, 32)]
    few, many = [made(f, *args, rand(n, 8, 16), simplify=False) for n in (5, 30)]
    assert counts(few)[1] == counts(many)[1] <= 5
    few, many = [made(func.grad(rnn, argnums=(0, 1, 3)), *args, rand(n, 8, 16), simplify=False) for n in (5, 30)]
    assert counts(few)[1] == counts(many)[1] <= 8
    assert counts(many)[3] == 0
    sums = [s for s in of_kind(many, GemmStep) if s.beta == 1]
    assert len(sums) == 30 + 29 + 29  # products added to others in their place: each step's two, and the weights' gradients


@pytest.mark.slow
def test_the_code_of_a_loop_does_not_grow_with_its_trips():
    def elementwise(x, w):
        for _ in range(trips):
            x = (cr.sin(x) * w[0] + 0.1 * x).tanh() * w[1].sum()
        return x.sum()

    def reducing(x, w):
        for _ in range(trips):
            x = (x * w[0] + w[1]).tanh() * 0.5 - x.mean()
        return x.sum()

    for f in (elementwise, reducing):
        trips = 300
        steps = made(func.grad(f, argnums=(0, 1)), rand(50), rand(3, 50))
        codes = {s.key: s.nest for s in of_kind(steps, NestStep)}
        sizes = [len(list(walk([r for stage in nest.stages for r in stage.roots]))) for nest in codes.values()]
        assert len(steps.steps) > 30
        assert len(codes) <= 6
        assert sum(sizes) < 1000


def test_windows_of_one_memory_at_any_offset_are_one_nest():
    def f(x, w):
        h = w[0]
        for t in range(2, 12):
            h = cr.cat([x[t] * h[:3], x[t - 2] - h[3:]]) * w[1]
        return h

    assert counts(made(f, rand(12, 3), rand(2, 6)))[1] <= 4


def test_cotangents_of_parts_are_put_together_in_loops():
    def f(x):
        a, b, c, d = x.split(300)
        return (a * b + c.sin() * d[:300] + x[:300] * x[100:400]).sum()

    steps = made(func.grad(f), rand(1200))
    assert counts(steps)[3] == 0
    both = made(func.grad(lambda x: sum([(x[i] * x[i + 1]).sum() for i in range(12)])), rand(13, 200))
    assert counts(both)[3] <= 1


def test_large_reductions_are_split_into_parts():
    steps = made(lambda x: ((x * x).sum(), x.max(), (x * 2).mean()), rand(512, 300))
    first, second = steps.steps
    assert first.nest.outer == (32,)
    assert second.nest.outer == ()
    assert sum(b.nbytes for b in steps.temps) == 3 * 32 * 4


def test_what_needs_a_large_reduction_runs_after_it():
    steps = made(lambda x: x / (x * x).sum().sqrt(), rand(512, 300))
    assert [s.nest.outer for s in steps.steps] == [(32,), (), (153600,)]


def test_axes_are_joined_where_memory_allows():
    [step] = made(lambda x, y: cr.sin(x) + y, rand(4, 5, 6), rand(4, 5, 6)).steps
    assert step.nest.outer == (120,)
    [step] = made(lambda x, y: cr.sin(x) + y, rand(4, 5, 6), rand(5, 6)).steps
    assert step.nest.outer == (4, 30)


def test_transposed_factors_are_not_copied():
    steps = made(lambda x, y: x.t() @ y.t(), rand(40, 30), rand(50, 40))
    [step] = steps.steps
    assert (step.a.strides, step.b.strides) == ((1, 30), (1, 40))


def test_batches_of_matrices_are_one_product():
    x = rand(2, 3, 16, 64)
    steps = made(lambda q, k: q @ k.transpose(-1, -2), x, x)
    [step] = steps.steps
    assert step.sizes == (6, 16, 16, 64)


def test_a_product_lies_as_its_only_reader_reads_it():
    x, y = rand(5, 6, 16), rand(5, 16, 40)
    [product, nest] = made(lambda x, y: cr.sin((x @ y).permute(2, 0, 1)), x, y).steps
    assert nest.nest.outer == (40 * 5 * 6,)
    assert product.out.strides == (6, 30, 1)  # transposed: of each batch the columns lie apart
    heads = lambda x, y: cr.sin((x @ y).transpose(0, 1).reshape(6, 200))
    assert made(heads, x, y).steps[-1].nest.outer == (6 * 200,)
    made(lambda x, y: ((x @ y).transpose(0, 2), x @ y.cos()), x, y)


def test_factors_that_lie_or_broadcast_unevenly_are_copied_once():
    x, y = rand(2, 3, 4, 16, 20), rand(4, 3, 2, 20, 16)
    steps = made(lambda x, y: x @ y.transpose(0, 2), x, y)
    assert counts(steps) == (1, 1, 1, 0, 1)
    made(lambda x, y: x[:, :1] @ y.transpose(0, 2)[:1], x, y)
    made(lambda x, y: (x.transpose(0, 2).transpose(0, 1) @ y.transpose(0, 1)).transpose(1, 2), x, y)
    x, y = rand(30, 40), rand(40, 30)
    steps = made(lambda x, y: (x[::2, ::2] @ y[:20], y[:, :15] @ x[::2, ::2]), x, y)
    assert counts(steps) == (1, 1, 2, 0, 1)


def test_heads_are_multiplied_where_they_lie():
    """Factors and results of batches along two axes that are not one in memory, as those of attention, are not copied."""
    qkv = rand(2, 16, 3 * 24)
    heads = lambda part: part.reshape(2, 16, 3, 8).transpose(1, 2)

    def f(qkv, y):
        q, k, v = [heads(qkv[..., i * 24 : (i + 1) * 24]) for i in range(3)]
        return ((q @ k.transpose(-1, -2)) @ v).transpose(1, 2).reshape(2, 16, 24)

    steps = made(f, qkv, qkv)
    assert counts(steps) == (0, 0, 2, 0, 1)
    assert [s.sizes for s in steps.steps] == [(6, 16, 16, 8), (6, 16, 8, 16)]


def test_factors_broadcast_unevenly():
    x, y = rand(2, 3, 16, 20), rand(3, 2, 20, 16)
    assert counts(made(lambda x, y: x @ y.transpose(0, 1), x, y)) == (0, 0, 1, 0, 0)
    made(lambda x, y: x[:, :1] @ y[:1], rand(2, 3, 16, 20), rand(2, 3, 20, 16))
    made(lambda x, y: x[:, :1] @ y.transpose(0, 1)[:1], rand(2, 3, 16, 20), rand(3, 2, 20, 16))
    made(lambda x, y: x[::2, ::2] @ y, rand(30, 40), rand(20, 50))


def test_nests_that_differ_in_a_number_are_two():
    first, second = made(lambda x, y: (x + 1, y + 2), rand(7), rand(7)).steps
    assert first.key != second.key


def test_a_primitive_computes_in_the_dtype_of_all_its_operands():
    given = [Variable((3,), cr.int32), Variable((3,), cr.float64)]
    applied, _, dtype, _ = expression_of(TABLE["lt"], given, {})
    assert (applied[-1].computes, dtype) == (np.float64, np.bool_)
    assert expression_of(TABLE["add"], (given[0], 2), {})[2] == np.int32


def test_a_temporary_is_overwritten_by_what_takes_its_place():
    def f(x, w):
        for _ in range(4):
            x = cr.tanh(x @ w)
        return x

    steps = made(f, rand(8, 40), rand(40, 40))
    assert steps.arena == 2 * 8 * 40 * 4
    made(lambda x, w: cr.tanh((x @ w).flip(0)) @ w, rand(8, 40), rand(40, 40))
    made(lambda x, w: cr.tanh((x @ w).roll(3, 1)) @ w, rand(8, 40), rand(40, 40))
    made(lambda x, w: cr.tanh((x @ w).t()) @ x, rand(40, 40), rand(40, 40))


def test_a_product_that_is_needed_again_is_not_added_to():
    steps = made(lambda x, y, w: ((a := x @ w) + y @ w, cr.sin(a)), rand(8, 40), rand(8, 40) * 2, rand(40, 40))
    assert [s.beta for s in of_kind(steps, GemmStep)] == [0, 0]
    steps = made(lambda x, y, w: (x @ w + y @ w) * 2, rand(8, 40), rand(8, 40) * 2, rand(40, 40), simplify=False)
    assert [s.beta for s in of_kind(steps, GemmStep)] == [0, 1]


def test_many_pieces_are_written_where_they_belong():
    steps = made(lambda x: cr.stack([cr.sin(x[i]) for i in range(12)], 1), rand(12, 7))
    assert counts(steps)[0] <= 12
    assert "select" not in str(steps)


def test_what_is_written_piece_by_piece_is_read_after_all_of_them():
    def f(x):
        pieces = cr.cat([x, cr.sin(x)] * 6)
        return cr.sigmoid(pieces[10:11]) + x

    steps = made(f, rand(1), simplify=False)
    assert counts(steps)[0] == 2


def test_what_two_readers_need_and_costs_much_is_kept_and_the_cheap_is_not():
    f = lambda x, cheap: ((cr.exp(x) if not cheap else x + 1).sum(0), (cr.exp(x) if not cheap else x + 1).sum(1))
    dear, cheap = [made(lambda x: f(x, kind), rand(6, 7)) for kind in (False, True)]  # noqa: B023 (called here)
    assert (counts(dear)[4], counts(cheap)[4]) == (1, 0)


def test_inputs_may_lie_with_strides():
    x = np.arange(24.0).reshape(4, 6).T
    graph = graph_of(lambda x: cr.sin(x) + 1, (cr.tensor(x),))
    steps = steps_of(graph, {graph.inputs[0]: (1, 6)})
    np.testing.assert_allclose(steps.run([x])[0], np.sin(x) + 1)
    assert steps.steps[0].nest.outer == (6, 4)


def test_an_index_out_of_range_fails_a_guard_and_reads_nothing():
    graph = graph_of(lambda x, i: x[i] * 2, (rand(5, 3), cr.tensor([0, 4, -1])))
    steps = steps_of(graph)
    assert isinstance(steps.steps[-1], GuardStep)
    x = rand(5, 3).numpy()
    np.testing.assert_array_equal(steps.run([x, np.array([-5, 2, 4])])[0], x[[-5, 2, 4]] * 2)
    for bad in ([0, 5, 1], [0, -6, 1], [1 << 40, 0, 0]):
        with pytest.raises(GuardFailed):
            steps.run([x, np.array(bad)])


class Guard:
    """What stands for a guard among ops."""

    kind, name, pure, params, view = "guard", "guard", False, (), False
    is_differentiable = nondiff = True


class _GuardEquation:
    def __init__(self, variable, outcome):
        self.op, self.operands, self.params = Guard, (variable,), {"outcome": outcome}
        self.results, self.several, self.recorded, self.is_due = (), False, False, True


def test_nothing_moves_across_a_guard_and_it_fails_for_another_outcome():
    graph = graph_of(lambda x: (x.sum() > 0, cr.sin(x), cr.cos(x)), (rand(4),))
    positive = graph.outputs[0]
    later = [e for e in graph.equations if e.op.name in ("sin", "cos")]
    before = [e for e in graph.equations if e not in later]
    equations = [*before, later[0], _GuardEquation(positive, np.True_), later[1]]
    constants = dict(zip(graph.constants, graph.values, strict=True))
    steps = steps_of(Graph(graph.inputs, constants, equations, graph.outputs[1:], (), None, None))
    place = next(k for k, s in enumerate(steps.steps) if isinstance(s, GuardStep))
    assert "cos" in str(steps.steps[place + 1])
    assert steps.steps[place].number == 0
    steps.run([np.ones(4, np.float32)])
    with pytest.raises(GuardFailed):
        steps.run([-np.ones(4, np.float32)])


def test_an_input_returned_is_itself_and_a_value_returned_twice_is_one():
    graph = graph_of(lambda x: (x, x.t(), cr.sin(x)), (rand(3, 4),))
    out = graph.outputs
    steps = steps_of(Graph(graph.inputs, {}, graph.equations, (*out, out[2]), (), None, None))
    assert steps.outputs[0].buffer is steps.inputs[0]
    assert steps.outputs[1].buffer.kind == "output"
    assert steps.outputs[2] is steps.outputs[3]


def test_deep_and_wide_graphs_need_no_recursion():
    def chain(x):
        for _ in range(sys.getrecursionlimit() + 200):
            x = cr.sin(x) + x
        return x

    steps = made(chain, rand(3), simplify=False)
    assert counts(steps)[1] <= 3
    flat = made(lambda x: sum([x[i] * i for i in range(300)]), rand(300, 2))
    assert counts(flat)[:1] == (1,)


@pytest.mark.slow
def test_a_hundred_thousand_equations():
    def chain(x):
        for _ in range(50_000):
            x = cr.sin(x) + 1
        return x

    graph = graph_of(chain, (rand(3),))
    steps = steps_of(graph)
    assert len({s.key for s in steps.steps}) <= 3
    assert np.isfinite(steps.run([rand(3).numpy()])[0]).all()


def gradients(f):
    def both(*xs):
        outs, pull = func.vjp(f, *xs)
        return (*outs, *pull(tuple([cr.cos(o.detach()) for o in outs])))

    return both


def drawn_program_is_its_steps(seed):
    f, shapes = program(seed)
    rng = np.random.default_rng(seed)
    xs = [cr.tensor(rng.normal(size=s)) for s in shapes]
    for g in (f, gradients(f)):
        graph = graph_of(g, tuple(xs))
        expected = [np.asarray(o.detach().numpy()) for o in g(*xs)]
        steps = steps_of(simplified(graph) if seed % 2 else graph)
        assert overwrites(steps) == []
        for a, b in zip(steps.run([x.numpy() for x in xs]), expected, strict=True):
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("start", [0, 10, 20])
def test_drawn_programs_and_their_gradients(start):
    for seed in range(start, start + 10):
        drawn_program_is_its_steps(seed)


@pytest.mark.slow
@pytest.mark.parametrize("start", list(range(100, 1100, 100)))
def test_many_drawn_programs_and_their_gradients(start):
    for seed in range(start, start + 100):
        drawn_program_is_its_steps(seed)


def test_variables_of_no_element_run_as_kernels():
    steps = made(lambda x: (cr.sin(x[:0]), x[:0].sum(0)), rand(3, 2), simplify=False)
    assert of_kind(steps, NestStep) == []
    assert [v.shape for v in steps.outputs] == [(0, 2), (2,)]


def _lying(rng, shape):
    """Return strides of a shape, without gaps, with its axes in some order."""
    strides, step = [0] * len(shape), 1
    for axis in rng.permutation(len(shape)):
        strides[axis], step = step, step * shape[axis]
    return tuple(strides)


LAID = {
    "elementwise": lambda x, y: (x.sin() * y, (x + 1).exp()),
    "turned": lambda x, y: (x.permute(2, 0, 1) * 2, y.t().exp()),
    "reduced": lambda x, y: (x.sum(1), x.softmax(-1), (x * y).mean(0)),
    "products": lambda x, y: (x @ y.t(), (y @ y.t()).tanh(), y @ y.t()),
    "of kernels": lambda x, y: (x.cumsum(0), y.sort()[0].t(), y.cumsum(1) * 2),
    "parts": lambda x, y: (x[1], y[:, ::2], x[..., None] * 1, cr.cat([x, x], 1)),
    "one value": lambda x, y: (x * 2, (x * 2).permute(1, 2, 0), (x * 2).reshape(6, 5), (x * 2) + 1),
    "flags": lambda x, y: (x > 0, (x > 0).permute(2, 1, 0), y.t() == y.t()),
}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", LAID)
def test_results_lie_as_wished(name, seed):
    rng, inputs = np.random.default_rng(seed), (rand(2, 3, 5), rand(3, 5))
    graph = graph_of(LAID[name], inputs)
    wishes = {v: _lying(rng, v.shape) for v in graph.outputs if seed}
    steps = steps_of(graph, wishes=wishes)
    found = steps.run([x.numpy() for x in inputs])
    for o, v, a, b in zip(steps.outputs, graph.outputs, found, LAID[name](*inputs), strict=True):
        assert o.covers
        assert a.shape == tuple(b.shape)
        assert o.strides == wishes.get(v, o.strides)
        np.testing.assert_allclose(a, b.numpy(), 2e-6)
    assert len({o.buffer for o in steps.outputs}) == len(steps.outputs)


def test_loops_run_through_results_as_they_lie():
    graph = graph_of(lambda x: x.t().exp() + 1, (rand(64, 48),))
    (out,) = graph.outputs
    for wish, axes in (((1, 48), 1), ((64, 1), 2)):
        (step,) = steps_of(graph, wishes={out: wish}).steps
        assert len(step.nest.outer) == axes
