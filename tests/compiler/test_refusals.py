"""What is refused because of values is refused in a replay, too: by ops that nothing needs, by checks, by backward passes."""

from __future__ import annotations

import numpy as np
import pytest
from tests.compiler.graph.examples import equation, graph_with, ops, run
from tests.compiler.test_table import FUNCTIONS
from tests.each import by_name
from tests.ops.test_refusals import OF_INTEGERS

import chainrule as cr
from chainrule.compiler.graph.algebra import simpler
from chainrule.compiler.graph.constants import folded
from chainrule.compiler.graph.expansion import expanded
from chainrule.compiler.graph.movement import moved
from chainrule.compiler.graph.partition import partitioned
from chainrule.compiler.graph.rebuilding import alive
from chainrule.compiler.graph.sharing import shared
from chainrule.compiler.graph.simplification import simplified
from chainrule.testing import OpError, cases
from chainrule.testing.case import load_table
from chainrule.testing.refusals import compiled_refuses
from chainrule.transforms.equations import Variable

F = cr.nn.functional
REFUSING = cases([op for op in load_table().values() if op.refuses and op.pure], "fcib")
WHOLE = [case for case in OF_INTEGERS if case.op.refuses]


@by_name("case", [*REFUSING[::8], *WHOLE, *FUNCTIONS[::24]])
def test_some_of_what_eager_refuses_is_refused_compiled(case):
    compiled_refuses(case)


@pytest.mark.slow
@by_name("case", [*REFUSING, *FUNCTIONS])
def test_all_that_eager_refuses_is_refused_compiled(case):
    compiled_refuses(case)


def test_a_refusal_that_is_dropped_is_caught(monkeypatch):
    case = next(case for case in REFUSING if case.op.name == "gather")
    monkeypatch.setattr(case.op, "refuses", "")
    with pytest.raises(OpError, match="nothing needs: it raises None against IndexError"):
        compiled_refuses(case)


# -- passes ------------------------------------------------------------------------------------------------------------


def unneeded():
    """Return a graph of a product and of elements that nothing needs, of which an index may be outside."""
    x, i = Variable((3,), cr.float64), Variable((2,), cr.int64)
    a, va = equation("mul", x, 2.0)
    b, _ = equation("gather", va, i, axis=0)
    c, _ = equation("sin", va)
    return graph_with([x, i], [a, b, c], [va])


@pytest.mark.parametrize("change", [simpler, folded, expanded, moved, alive, shared, simplified])
def test_passes_keep_what_may_refuse(change):
    graph = change(unneeded())
    assert "sin" not in ops(graph)
    x = cr.ones(3, dtype=cr.float64)
    run(graph, [x, cr.tensor([0, 2])])
    with pytest.raises(IndexError, match="index 3 is out of bounds"):
        run(graph, [x, cr.tensor([0, 3])])


def test_each_pass_of_two_keeps_what_may_refuse_in_it():
    x, i, g = Variable((3,), cr.float64), Variable((2,), cr.int64), Variable((3,), cr.float64)
    a, va = equation("mul", x, 2.0)
    b, _ = equation("gather", va, i, axis=0)
    c, vc = equation("mul", g, va)
    d, _ = equation("gather", vc, i, axis=0)
    parts = partitioned(graph_with([x, i, g], [a, b, c, d], [va, vc]), 1, [g])
    assert ops(parts.forward) == ["mul", "gather"]
    assert ops(parts.backward) == ["mul", "gather"]


# -- calls -------------------------------------------------------------------------------------------------------------


def told(f, *args):
    """Return what a call gives, or the error that it raises, to compare."""
    try:
        return [np.asarray(o).tolist() for o in f(*args)]
    except (RuntimeError, ValueError, IndexError) as error:
        return type(error), str(error)


def assert_same(calls, f, *args):
    """Hold a compiled function to itself in several calls, the first two of which are taken."""
    run = cr.compile(f)
    for k, call in enumerate(calls):
        assert told(call, run, *args) == told(call, f, *args), f"call {k}"


X, CLASSES = cr.linspace(-1, 1, 12).reshape(4, 3), cr.tensor([0, 1, 2, 0])
LABELS = cr.tensor([[0, 1, -1], [0, -1, 1], [2, 1, -1], [0, -1, -1]])
CHECKED = {
    "nll_loss": (F.nll_loss, (X, CLASSES), (X, CLASSES + 1)),
    "cross_entropy": (F.cross_entropy, (X, CLASSES), (X, CLASSES - 5)),
    "embedding": (lambda w, i: F.embedding(i, w), (X, CLASSES), (X, CLASSES + 2)),
    "embedding_bag": (lambda w, i: F.embedding_bag(i.reshape(2, 2), w), (X, CLASSES), (X, CLASSES + 2)),
    "one_hot": (lambda x, i: F.one_hot(i, 3), (X, CLASSES), (X, CLASSES + 1)),
    "multi_margin_loss": (F.multi_margin_loss, (X, CLASSES), (X, CLASSES + 1)),
    "multilabel_margin_loss": (F.multilabel_margin_loss, (X, LABELS), (X, LABELS + 1)),
    "binary_cross_entropy": (lambda p, x: F.binary_cross_entropy(p, x * 0), (X.sigmoid(), X), (X * 2, X)),
    "gaussian_nll_loss": (lambda x, v: F.gaussian_nll_loss(x, x, v), (X, X.exp()), (X, X)),
    "multinomial": (lambda x, p: cr.multinomial(p, 2), (X, X.exp()), (X, X)),
    "bernoulli": (lambda x, p: cr.bernoulli(p), (X, X.sigmoid()), (X, X)),
    "an index": (lambda x, i: x[i], (X, CLASSES), (X, CLASSES + 2)),
    "a write": (lambda x, i: x.clone().index_put_((i,), x[0]), (X, CLASSES), (X, CLASSES + 2)),
    "an assertion": (lambda x, y: cr._assert_async(y.sum() > 0), (X, X.exp()), (X, -X.exp())),
    "cholesky": (lambda x, y: cr.linalg.cholesky(y), (X, cr.eye(3)), (X, -cr.eye(3))),
    "a quotient": (lambda x, i: CLASSES // i, (X, CLASSES + 1), (X, CLASSES)),
}


@pytest.mark.parametrize("name", CHECKED)
def test_what_functions_check_is_checked_in_replays(name):
    f, good, bad = CHECKED[name]

    def unused(*args):
        f(*args)
        return args[0] + 1

    def call(of, args):
        return (of(*args),)

    def calls(*args):
        return [lambda of, given=given: call(of, given) for given in args]

    assert told(call, unused, bad)[0] in (RuntimeError, ValueError, IndexError, cr.linalg.LinAlgError)
    assert_same(calls(good, good, good, bad, good, bad), unused)


def loss(x):
    """Return what depends on how singular vectors of one value are chosen."""
    return cr.linalg.svd(x)[0][0, 1] * 1.0


def leaf_gradient(x):
    def call(f):
        leaf = x.clone().requires_grad_()
        f(leaf).backward()
        return (leaf.grad.abs(),)

    return call


APART, ONE = cr.diag(cr.tensor([1.0, 2.0, 3.0])), cr.eye(3)
GRADIENTS = [leaf_gradient(x) for x in (APART, APART, APART, ONE, APART, ONE)]


def test_an_ill_defined_loss_is_refused_by_the_backward_pass_of_a_replay():
    assert told(GRADIENTS[3], loss)[1].startswith("svd_backward: a value occurs more than once")
    assert_same(GRADIENTS, loss)


def test_an_ill_defined_loss_is_refused_by_a_replay_that_takes_the_gradient():
    def gradient(x):
        return cr.autograd.grad(loss(x := x.clone().requires_grad_()), x)[0].abs()

    assert_same([lambda f, x=x: (f(x),) for x in (APART, APART, APART, ONE, APART, ONE)], gradient)


def test_a_refused_backward_pass_of_a_call_with_effects_raises():
    counts = cr.zeros(1)

    def counted(x):
        counts.add_(1)
        return loss(x)

    assert_same(GRADIENTS, counted)


def test_a_refusal_leaves_the_effects_that_came_before_it():
    counts, leaf = cr.zeros(1), cr.ones(4, requires_grad=True)

    def effects(i):
        counts.add_(1)
        (leaf * 2).sum().backward()
        found = leaf.detach()[i] * 1
        counts.add_(10)
        leaf.grad = None
        return found

    def call(i):
        def go(f):
            counts.zero_()
            leaf.grad = None
            how = told(lambda: (f(i),))
            return counts, [0.0] if leaf.grad is None else leaf.grad, *[np.array([str(how)])]

        return go

    good, bad = cr.tensor([0, 3]), cr.tensor([0, 4])
    assert "out of bounds" in told(call(bad), effects)[2][0]
    assert told(call(bad), effects)[:2] == [[1.0], [2.0] * 4]
    assert_same([call(i) for i in (good, good, good, bad, good, bad)], effects)


def test_a_hook_that_writes_is_called_by_backward_passes_alone():
    counts = cr.zeros(1)

    def hooked(x):
        y = x * 2
        y.register_hook(lambda g: (counts.add_(1), g)[1])
        return y.sum()

    def call(f):
        counts.zero_()
        out = f(cr.ones(3, requires_grad=True))
        before = counts.clone()
        out.backward()
        return before, counts

    with pytest.warns(UserWarning, match="a backward pass that writes into tensors from outside"):
        assert_same([call] * 3, hooked)


@pytest.mark.parametrize("with_effects", [False, True])
def test_an_index_that_is_outside_in_a_pass_is_refused(with_effects):
    counts = cr.zeros(1)

    def f(x, i):
        if with_effects:
            counts.add_(1)
        y = x * 2
        y.register_hook(lambda g: g[i])
        return (y * y).sum()

    def call(i):
        def go(g):
            x = cr.arange(3.0).requires_grad_()
            g(x, i).backward()
            return (x.grad,)

        return go

    good, bad = cr.tensor([2, 0, 1]), cr.tensor([2, 3, 1])
    run = cr.compile(f)
    for i in (good, good, good, bad, good, bad):
        found, due = told(call(i), run), told(call(i), f)
        assert (found == due) if i is good or not with_effects else found[0] is due[0] is IndexError


def test_a_pass_that_was_not_recorded_to_its_end_leaves_nothing_to_replays():
    def f(x, i):
        y = x * x
        y.sum().backward()
        return y[i]

    run = cr.compile(f)
    for _ in range(4):
        x = cr.arange(3.0).requires_grad_()
        out = run(x, cr.tensor([0, 2]))
        assert x.grad.tolist() == [0, 2, 4]
        with pytest.raises(RuntimeError, match="backward through the graph a second time"):
            out.sum().backward()
    path = run._last
    assert path.joint.status == "freed"
    assert len(path.recording.sources) == len(path.recording.graph.inputs) == 2
    assert "index_sum" not in ops(path.recording.graph)
