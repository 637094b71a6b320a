"""What algebra, constants, sharing and movement do, case by case: equations before and after."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from tests.compiler.graph.examples import assert_same, equation, graph_of_case, graph_with, ops

import chainrule as cr
from chainrule.compiler.graph.algebra import keeps_all, simpler
from chainrule.compiler.graph.checking import MalformedGraphError, check
from chainrule.compiler.graph.constants import folded
from chainrule.compiler.graph.expansion import CLOSE, EXACT, expanded
from chainrule.compiler.graph.movement import moved
from chainrule.compiler.graph.rewriting import frozen
from chainrule.compiler.graph.sharing import shared
from chainrule.compiler.graph.simplification import simplified
from chainrule.core.op.declaration import TABLE
from chainrule.core.op.lowering import Expansion
from chainrule.testing.case import cases, load_table
from chainrule.transforms.equations import Graph, Variable
from chainrule.transforms.trace import graph_of

X = cr.tensor(np.array([[0.0, -0.0, np.inf], [-np.inf, np.nan, -1.5]], np.float32))
A, B = cr.tensor(np.random.default_rng(0).normal(size=(2, 3, 4))), cr.tensor(np.random.default_rng(1).normal(size=(2, 3, 4)))


def after(change, f, *args):
    """Return the ops of the graph of a function after a pass, which keeps its values."""
    graph = graph_of(f, args)
    simple = change(graph)
    check(simple)
    assert_same(graph, simple, list(args))
    return " ".join(ops(simple))


@pytest.mark.parametrize(
    ("f", "left"),
    [
        (lambda x: x * 1 + -0.0, "clone"),
        (lambda x: (x / 1 - 0) ** 1, "clone"),
        (lambda x: x + 0, "add"),
        (lambda x: x * 0, "mul"),
        (lambda x: x - x, "sub"),
        (lambda x: x + -x.sin(), "sin sub"),
        (lambda x: -x + x.sin(), "sin sub"),
        (lambda x: x - -x.sin(), "sin add"),
        (lambda x: x.sin().neg().neg(), "sin"),
        (lambda x: -(x - x.sin()), "sin sub neg"),
        (lambda x: -(x * 0.3), "mul"),
        (lambda x: -x * 0.3, "mul"),
        (lambda x: -x * -x.sin(), "sin mul"),
        (lambda x: -x * 0, "neg mul"),
        (lambda x: -x / 0, "neg div"),
        (lambda x: x * -1, "neg"),
        (lambda x: x / 4, "mul"),
        (lambda x: x / 3, "div"),
        (lambda x: x**2, "mul"),
        (lambda x: x**3, "mul mul"),
        (lambda x: x**0.5, "sqrt"),
        (lambda x: x**-1, "div"),
        (lambda x: x**2.5, "pow"),
        (lambda x: (-x).abs(), "abs"),
        (lambda x: x.abs().abs(), "abs"),
        (lambda x: x.relu().relu(), "relu"),
        (lambda x: cr.maximum(x, x).sin(), "sin"),
        (lambda x: cr.where(x > 0, x.sin(), x.sin()), "gt sin sin where"),
        (lambda x: cr.where(~(x > 0), x, -x), "gt neg where"),
        (lambda x: x.clone().detach().contiguous().sin(), "sin"),
        (lambda x: x.double().float().sin(), "sin"),
        (lambda x: x.half().float().sin(), "to to sin"),
        (lambda x: x.double().to(cr.complex128).real.sin(), "to real sin"),
        (lambda x: cr.exp(x).log(), "exp log"),
    ],
)
def test_algebra(f, left):
    assert after(simpler, f, X) == left


def test_integers_keep_their_own_arithmetic():
    x = cr.tensor(np.array([-128, -1, 0, 127], np.int8))
    assert after(simpler, lambda x: x * 1, x) == "clone"
    assert after(simpler, lambda x: x * -128, x) == "mul"
    assert after(simpler, lambda x: -x * -128, x) == "neg mul"
    assert after(simpler, lambda x: x / 1, x) == "to"
    assert after(simpler, lambda x: x**2, x) == "mul"


def test_casts_that_lose_nothing():
    lossless = {(a, b) for a in ALL for b in ALL if keeps_all(a, b)}
    for a, b in lossless:
        assert b.is_complex or not a.is_complex
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the imaginary part, on the way back to a real dtype
            values = edge_values(a)
            np.testing.assert_array_equal(values.astype(b.numpy).astype(a.numpy), values)
    assert {(cr.float32, cr.float64), (cr.int32, cr.float64), (cr.bool, cr.float16), (cr.uint8, cr.int16)} <= lossless
    assert not lossless & {(cr.int64, cr.float64), (cr.int32, cr.float32), (cr.int8, cr.uint8), (cr.float64, cr.float32)}


ALL = (
    cr.bool,
    cr.uint8,
    cr.int8,
    cr.int16,
    cr.int32,
    cr.int64,
    cr.float16,
    cr.float32,
    cr.float64,
    cr.complex64,
    cr.complex128,
)


def edge_values(d):
    if d is cr.bool:
        return np.array([False, True])
    if d.numpy.kind in "iu":
        low, high = np.iinfo(d.numpy).min, np.iinfo(d.numpy).max
        return np.array([low, high, low + 1, high - 1, 0, 1], d.numpy)
    parts = np.finfo(d.numpy)
    values = np.array([parts.max, parts.smallest_subnormal, parts.tiny, 1 + parts.eps, 0, np.inf], parts.dtype)
    return values if d.numpy.kind == "f" else values.astype(d.numpy) + 1j * values[::-1].astype(d.numpy)


@pytest.mark.parametrize(
    ("f", "left"),
    [
        (lambda x: x * (cr.ones(2, 3) * 2 + 1), "mul"),
        (lambda x: x + cr.sin(cr.tensor([1.0, 2.0, 3.0])).sum(), "add"),
        (lambda x: x * cr.ones(3).expand(2, 3).t().contiguous().t(), "mul"),
        (lambda x: cr.arange(100_000.0).sin()[:3] * x, "mul"),
    ],
)
def test_constants_fold(f, left):
    assert after(folded, f, X) == left


def test_what_is_made_of_many_constants_is_left():
    x = cr.rand(100_000)
    assert after(folded, lambda y: (x.sin() + x).sum() + y, cr.tensor(1.0)).startswith("sin add sum")


def test_constants_of_one_number_become_numbers():
    graph = folded(graph_of(lambda x: cr.where(x > cr.zeros(2, 3), x * cr.full((3,), 2.0), cr.ones(2, 3)), (X,)))
    assert [o for e in graph.equations for o in e.operands if not isinstance(o, Variable)] == [0.0, 2.0, 1.0]
    assert not graph.constants
    kept = folded(graph_of(lambda x: x * cr.full((4, 2, 3), 2.0), (X,)))  # which gives the result its shape
    assert len(kept.constants) == 1


def test_the_same_is_computed_once():
    f = lambda x: x.sin() * x.cos() + x.cos() * x.sin() + x.sum(0) + x.sum(1).sum() + x.sum(0)
    assert after(shared, f, X) == "sin cos mul add sum add sum sum add add"
    assert after(shared, lambda x: (x + 0.0) + (x + -0.0) + (x * 1) + (x * 1.0) + x[0:1] + x[0:1], X).count("add") == 7
    assert after(shared, lambda x: (x + 0.0) + (x + -0.0) + (x * 1) + (x * 1.0) + x[0:1] + x[0:1], X).count("getitem") == 1


def test_equal_constants_are_one():
    row = lambda *values: cr.tensor(values)
    f = lambda x: x * row(1.0, 2.0, 3.0) + x * row(1.0, 2.0, 3.0) + x * row(1.0, 2.0, -0.0) + x * row(1.0, 2.0, 0.0)
    assert after(shared, f, X) == "mul add mul add mul add"
    constants = {Variable((2,), cr.float32): row(1.0, 2.0) for _ in range(2)}
    assert shared(Graph([], constants, [], list(constants))).outputs == tuple(constants)


def test_keys_tell_what_python_calls_equal_apart():
    values = (1, 1.0, True, 0, 0.0, -0.0, False, None, "1", (1,), [1], (1.0,), slice(1), slice(1.0), 1 + 0j, np.dtype("f4"))
    assert len({frozen(v) for v in values}) == len(values)
    assert frozen(float("nan")) == frozen(float("nan"))
    assert frozen(np.ones(2)) != frozen(np.ones(2))


@pytest.mark.parametrize(
    ("f", "left"),
    [
        (lambda x: x.reshape(6, 4).view(24).unsqueeze(0).squeeze(0).reshape(2, 12).sin(), "reshape sin"),
        (lambda x: x.reshape(24).reshape(2, 3, 4).sin(), "sin"),
        (lambda x: x.reshape(24).sin().reshape(2, 3, 4).cos(), "sin cos"),
        (lambda x: x.permute(2, 0, 1).permute(1, 2, 0).sin(), "sin"),
        (lambda x: x.permute(2, 0, 1).transpose(0, 1).sin(), "permute sin"),
        (lambda x: x[:1].permute(1, 0, 2).sin(), "getitem reshape sin"),
        (lambda x: x + x.sum(0, keepdim=True).expand(2, 3, 4), "sum add"),
        (lambda x: x + x[0].unsqueeze(0).expand(2, 3, 4), "getitem add"),
        (lambda x: x[0].expand(5, 3, 4).expand(2, 5, 3, 4).sin(), "getitem broadcast_to sin"),
        (lambda x: x.flip(1).flip(1).sin(), "sin"),
        (lambda x: cr.cat([x, x.sin()], 1)[:, 3:].cos(), "sin cos"),
        (lambda x: cr.cat([x, x.sin()], 1)[:, 2:].cos(), "sin cat getitem cos"),
        (lambda x: cr.cat([x, x.sin()], 1)[:, 3:5].cos(), "sin cat getitem cos"),
        (lambda x: cr.stack([x, x.sin()], 1)[:, 1].cos(), "sin cos"),
        (lambda x: cr.cat([x, x.sin()], 1).split(3, 1)[1].cos(), "sin cos"),
        (lambda x: cr.cat(x.split(1, 1), 1).sin(), "sin"),
        (lambda x: cr.stack(x.unbind(1), 1).sin(), "sin"),
        (lambda x: x[..., None, :].sum(2) * 1.5, "add mul"),
        (lambda x: x.unsqueeze(1).amax(1).sin(), "sin"),
        (lambda x: x.reshape(6, 4) @ x[0].t(), "reshape getitem permute mm"),
        (lambda x: x @ x[0].t(), "getitem permute reshape mm reshape"),
        (lambda x: x @ x.mT, "permute bmm"),
    ],
)
def test_movement(f, left):
    assert after(moved, f, A) == left


def test_writes_over_rows_are_read_without_memory():
    def f(x, y):
        z = x.clone()
        z[1] = y
        z[1] = y * 2
        return z[1].sin(), z

    assert after(simplified, f, A, B[0]) == "mul overwrite sin" or after(simplified, f, A, B[0]) == "mul sin overwrite"


def test_sums_of_repeated_elements_are_products():
    x = graph_of(lambda x: TABLE["sum_to"].call(x.expand(5, 2, 3), shape=(2, 3)), (cr.rand(2, 3),))
    assert ops(moved(x)) == ["mul", "add"]
    assert_same(x, moved(x), [cr.rand(2, 3)], 1e-6)


def test_a_transposed_product_is_the_product_of_the_transposed():
    f = lambda x, y: (x.t() @ y).t().sin()
    args = (cr.rand(5, 3), cr.rand(5, 4))
    simple = simplified(graph_of(f, args))
    assert ops(simple) == ["permute", "mm", "sin"]
    assert_same(graph_of(f, args), simple, args, 1e-6)


# -- expansion ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*EXACT, *CLOSE])
def test_expansions_have_the_ops_values(name):
    found = 0
    for case in cases([TABLE[name]], dtypes=(np.float32, np.float64)):
        graph, args = graph_of_case(case)
        simple = expanded(graph)
        check(simple)
        found += ops(simple) != ops(graph)
        assert_same(graph, simple, args, None if name in EXACT else 1e-6 if case.dtype == np.float32 else 1e-14)
    assert found


def test_every_expansion_is_expanded_or_is_not_for_a_reason():
    declared = {name for name, op in load_table().items() if isinstance(op.lowering, Expansion)}
    assert declared - {*EXACT, *CLOSE} == set(KEPT)


KEPT = {
    "isin": "it sorts, where its expansion compares all with all",
    "retake": "a view by a chain of views",
    "index_fill": "scatters", "take": "gathers", "put": "scatters", "masked_scatter": "scatters", "unmasked": "gathers",
    "block_diag": "copies into zeros, where its expansion pads each", "nll_spread": "scatters one number a row",
    "lstm": "runs through time in one kernel",
}  # fmt: skip


def test_expansions_of_half_precision_are_left():
    graph = graph_of(lambda x: cr.softmax(x, 0), (cr.rand(4).half(),))
    assert ops(expanded(graph)) == ["softmax"]


# -- the specification -------------------------------------------------------------------------------------------------


def test_the_check_refuses_what_is_no_graph():
    x = Variable((2, 3), cr.float32)
    good, y = equation("sin", x)
    check(graph_with([x], [good], [y]))
    wrong_shape, z = equation("sin", x, result=Variable((3, 2), cr.float32))
    wrong_dtype, w = equation("sin", x, result=Variable((2, 3), cr.float64))
    params, u = equation("sum", x, axis=(0,))
    mixed, v = equation("add", x, Variable((2, 3), cr.float64))
    for graph in (
        graph_with([], [good], [y]),
        graph_with([x], [good, good], [y]),
        graph_with([x], [], [y]),
        graph_with([x], [wrong_shape], [z]),
        graph_with([x], [wrong_dtype], [w]),
        graph_with([x], [params], [u]),
        graph_with([x, mixed.operands[1]], [mixed], [v]),
    ):
        with pytest.raises(MalformedGraphError):
            check(graph)
