"""A gradient in two passes: the same values, nothing impure twice, and as little kept between them as the network allows."""

from __future__ import annotations

import itertools
from math import prod

import numpy as np
import pytest
from tests.compiler.graph.examples import equation, graph_with, impure, lstm_step, normal, ops, run, tensors

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import func
from chainrule.compiler.graph.checking import check
from chainrule.compiler.graph.partition import _costs, _cut, _Joint, is_cheap, partitioned
from chainrule.compiler.graph.simplification import simplified
from chainrule.transforms.equations import Variable
from chainrule.transforms.trace import graph_of


def joint_of(f, *args):
    """Return the simplified graph of a function and its vjp, how many outputs it has, its cotangents, and the inputs."""
    outs = f(*args)
    outs = outs if isinstance(outs, tuple) else (outs,)
    cotangents = tuple([normal(*o.shape) for o in outs])

    def both(args, g):
        found, back = func.vjp(f, *args)
        return found, back(g if isinstance(found, tuple) else g[0])

    graph = simplified(graph_of(both, (args, cotangents)))
    return graph, len(outs), graph.inputs[-len(outs) :], [*tensors(args), *cotangents]


def check_parts(graph, count, cotangents, inputs, parts):
    check(parts.forward)
    check(parts.backward)
    own = graph.outputs[:count]
    assert parts.forward.outputs == (*own, *[v for v in parts.kept if v not in graph.inputs and v not in own])
    assert parts.backward.outputs == graph.outputs[count:]
    primals = dict(zip(graph.inputs, inputs, strict=True))
    first = run(parts.forward, [primals[v] for v in parts.forward.inputs])
    values = dict(zip(parts.forward.outputs, first, strict=True)) | {v: np.asarray(t) for v, t in primals.items()}
    second = run(parts.backward, [cr.tensor(values[v]) for v in (*parts.kept, *cotangents)])
    for a, b in zip((*first[:count], *second), run(graph, inputs), strict=True):
        np.testing.assert_array_equal(a, b)


def kept_bytes(parts):
    return sum(prod(v.shape) * v.dtype.itemsize for v in parts.kept)


def layers(act, depth=50, width=32, rows=64):
    """Return a perceptron of so many layers, and its arguments."""
    params = [(normal(width, width) / width**0.5, normal(width)) for _ in range(depth)]

    def f(params, x):
        for w, b in params:
            x = act(F.linear(x, w, b))
        return x

    return f, params, normal(rows, width)


ACTS = {"tanh": cr.tanh, "relu": cr.relu, "gelu": F.gelu, "sigmoid": cr.sigmoid, "silu": F.silu, "softplus": F.softplus}
MODELS = {
    "mlp": (lambda p, x: layers(cr.tanh, 3)[0](p, x), *layers(cr.tanh, 3)[1:]),
    "gelu": (lambda p, x: layers(F.gelu, 3)[0](p, x), *layers(F.gelu, 3)[1:]),
    "chain": (lambda x: cr.exp(cr.sin(x) * x).tanh().sum(0), normal(50, 60)),
    "softmax": (lambda x: (F.softmax(x, 1), F.log_softmax(x, 0)), normal(50, 60)),
    "norm": (lambda x, w: F.layer_norm(x, (60,), w) * x, normal(50, 60), normal(60)),
    "lstm": (lstm_step, (normal(16, 3), normal(16, 4), normal(16)), normal(2, 3), normal(2, 4), normal(2, 4)),
    "attention": (lambda q, k, v: F.softmax(q @ k.mT / 8, -1) @ v, normal(2, 40, 16), normal(2, 40, 16), normal(2, 40, 16)),
}


@pytest.mark.parametrize("few", [0, 1 << 14])
@pytest.mark.parametrize("name", list(MODELS))
def test_both_passes_together_are_the_whole(name, few):
    graph, count, cotangents, inputs = joint_of(*MODELS[name])
    parts = partitioned(graph, count, cotangents, few)
    check_parts(graph, count, cotangents, inputs, parts)
    assert [e.op.name for e in parts.backward.equations if e in set(parts.forward.equations) and not is_cheap(e)] == []


@pytest.mark.parametrize("act", list(ACTS))
def test_a_deep_perceptron_keeps_no_more_than_pytorch(act, torch):
    f, params, x = layers(ACTS[act])
    graph, count, cotangents, inputs = joint_of(f, params, x)
    parts = partitioned(graph, count, cotangents)
    check_parts(graph, count, cotangents, inputs, parts)
    theirs = {}

    def pack(t):
        theirs[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    y = torch.tensor(np.asarray(x), requires_grad=True)
    weights = [
        (torch.tensor(np.asarray(w), requires_grad=True), torch.tensor(np.asarray(b), requires_grad=True)) for w, b in params
    ]
    acts = {"gelu": torch.nn.functional.gelu, "silu": torch.nn.functional.silu, "softplus": torch.nn.functional.softplus}
    out = y
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        for w, b in weights:
            out = acts.get(act, getattr(torch, act, None))(torch.nn.functional.linear(out, w, b))
    outputs = {out.untyped_storage().data_ptr()}
    assert kept_bytes(parts) <= sum(theirs.values()) + sum(theirs.get(p, 0) for p in outputs)
    if act in ("gelu", "silu"):  # of which PyTorch keeps what goes in and what comes out
        assert kept_bytes(parts) < 0.7 * sum(theirs.values())


def test_cheap_chains_are_computed_again_from_one_value():
    graph, count, cotangents, _ = joint_of(lambda x: (x.sin() * x.cos()).exp().tanh() * 2.0, normal(100, 100))
    parts = partitioned(graph, count, cotangents, 0)
    assert parts.kept == graph.inputs[:1]
    assert "sin" in ops(parts.backward)
    everything = partitioned(graph, count, cotangents, 1 << 30)
    assert len(everything.kept) > 2
    assert "sin" not in ops(everything.backward)


def test_loops_over_few_elements_are_computed_again_where_fewer_values_are_kept():
    def chain(x):
        y = x
        for _ in range(25):
            y = cr.sin(y * x + 0.3) * 1.1
        return y

    for x, count in ((normal(), 1), (normal(4, 4), 1), (normal(17), 50)):
        joint = joint_of(chain, x)
        parts = partitioned(*joint[:3])
        assert (count < 50) == (len(parts.kept) == 1)
        check_parts(*joint, parts)


def test_what_few_elements_are_part_of_is_not_kept_for_them():
    joint = joint_of(lambda x, w: (w @ x)[3].sin() * (w @ x)[5].cos(), normal(20), normal(20, 20))
    parts = partitioned(*joint[:3])
    assert "mv" not in [e.op.name for e in joint[0].equations if not set(e.results).isdisjoint(parts.kept)]
    check_parts(*joint, parts)


def test_of_equal_choices_the_last_is_kept_so_that_least_is_computed_again():
    graph, count, cotangents, _ = joint_of(lambda x, w: (x @ w).tanh() @ w, normal(50, 40), normal(40, 40))
    assert "tanh" not in ops(partitioned(graph, count, cotangents, 0).backward)


def test_what_is_written_in_any_case_is_kept_rather_than_what_only_loops_compute():
    graph, count, cotangents, _ = joint_of(lambda x, w: ((x @ w).tanh() * 2).sum(0), normal(50, 40), normal(40, 50))
    parts = partitioned(graph, count, cotangents, 0)
    assert [e.op.name for e in parts.forward.equations if not set(e.results).isdisjoint(parts.kept)] == ["mm"]
    assert "tanh" in ops(parts.backward)


def test_a_long_recurrence_is_not_run_twice():
    def f(x):
        y = x
        for _ in range(100):
            y = (y * x).sin()
        return y

    graph, count, cotangents, _ = joint_of(f, normal(100, 100))
    parts = partitioned(graph, count, cotangents, 0)
    again = [e for e in parts.backward.equations if e in set(parts.forward.equations)]
    assert 2 < len(parts.kept) < 40
    assert len(again) <= 200


def test_products_reductions_and_draws_are_kept():
    def f(x, w):
        h = (x @ w).cumsum(0)
        return F.dropout(h, 0.5) * h.sum(0).exp()

    graph, count, cotangents, _ = joint_of(f, normal(30, 40), normal(40, 50))
    parts = partitioned(graph, count, cotangents, 0)
    both = [e.op.name for e in parts.backward.equations if e in set(parts.forward.equations)]
    assert not {"mm", "cumsum", "sum", "random", "random_of"} & set(both)
    drawn = [name for name in ops(parts.forward) if name.startswith("random")]
    assert drawn
    assert not [name for name in ops(parts.backward) if name.startswith("random")]


def test_impure_equations_run_once_each_in_order_where_their_operands_are_first_known():
    guard, _ = impure()
    x, g = Variable((100, 100), cr.float32), Variable((100, 100), cr.float32)
    a, va = equation("sin", x)
    g1, v1 = equation(guard, va)
    b, vb = equation("mul", g, v1)
    g2, v2 = equation(guard, vb)
    g3, v3 = equation(guard, v1)
    c, vc = equation("mul", v2, v3)
    parts = partitioned(graph_with([x, g], [a, g1, b, g2, g3, c], [va, vc]), 1, [g], 0)
    assert [e for e in parts.forward.equations if not e.op.pure] == [g1, g3]
    assert [e for e in parts.backward.equations if not e.op.pure] == [g2]


def test_what_a_guard_reads_is_not_computed_twice():
    guard, _ = impure()
    x, g = Variable((100, 100), cr.float32), Variable((100, 100), cr.float32)
    a, va = equation("cumsum", x, axis=0)
    b, _ = equation(guard, va)
    c, vc = equation("mul", g, va)
    parts = partitioned(graph_with([x, g], [a, b, c], [x, vc]), 1, [g], 0)
    assert parts.kept == (va,)
    assert ops(parts.backward) == ["mul"]
    free = partitioned(graph_with([x, g], [a, c], [x, vc]), 1, [g], 0)  # the gradient alone needs it: it is no second time
    assert free.kept == (x,)
    assert ops(free.forward) == []


def test_an_output_of_the_function_may_not_depend_on_a_cotangent():
    x, g = Variable((2,), cr.float32), Variable((2,), cr.float32)
    e, v = equation("mul", x, g)
    with pytest.raises(ValueError, match="depends on a cotangent"):
        partitioned(graph_with([x, g], [e], [v, v]), 1, [g])


@pytest.mark.parametrize("seed", range(12))
def test_no_other_choice_costs_less(seed):
    rng = np.random.default_rng(seed)
    x, g = Variable((8,), cr.float32), Variable((8,), cr.float32)
    values, equations = [x], []
    for _ in range(7):
        name = rng.choice(["sin", "exp", "cumsum", "mul", "mul"])
        chosen = [values[rng.integers(len(values))] for _ in range(2 if name == "mul" else 1)]
        e, v = equation(str(name), *chosen, **({"axis": 0} if name == "cumsum" else {}))
        equations.append(e)
        values.append(v)
    used = [values[i] for i in rng.choice(len(values), 3, replace=False)]
    late, total = [], g
    for v in used:
        e, total = equation("mul", total, v)
        late.append(e)
    joint = _Joint(graph_with([x, g], [*equations, *late], [values[-1], total]), 1, [g])
    costs = _costs(joint)
    best = min(
        sum(map(costs, chosen))
        for size in range(len(values) + 1)
        for chosen in itertools.combinations(values, size)
        if suffices(joint, chosen)
    )
    assert suffices(joint, _cut(joint))
    assert sum(map(costs, _cut(joint))) == best


def suffices(joint, kept):
    """Tell whether the backward pass can be made of these."""
    stack, have = list(joint.needed), set(kept)
    while stack:
        v = stack.pop()
        if v in have:
            continue
        e = joint.made.get(v)
        if e is None or (e in joint.early and not is_cheap(e)):
            return False
        stack += e.operands
    return True
