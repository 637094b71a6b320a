"""Nothing that hooks, saved tensors, edges and anomaly mode keep outlives its graph, over a thousand rounds."""

from __future__ import annotations

import gc
import tracemalloc
import warnings

import pytest

import chainrule as cr
from chainrule.autograd.graph import (
    allow_mutation_on_saved_tensors,
    get_gradient_edge,
    register_multi_grad_hook,
    save_on_cpu,
    saved_tensors_hooks,
)
from chainrule.core.graph.nodes import LEAF_HOOKS, Node

pytestmark = pytest.mark.usefixtures("small_heap")


def hooks(x):
    y = x * 2
    y.register_hook(lambda g: g * 2)
    y.retain_grad()
    y.grad_fn.register_hook(lambda to, frm: None)
    y.grad_fn.register_prehook(lambda gs: None)
    y.grad_fn.next_functions[0][0].register_hook(lambda to, frm: None)
    y.sum().backward()


def leaf_hooks(x):
    with x.register_hook(lambda g: g), x.register_post_accumulate_grad_hook(lambda p: None):
        (x * 2).sum().backward()


def fresh_leaf(x):
    w = x.detach().requires_grad_()
    w.register_post_accumulate_grad_hook(lambda p: None)
    (w * x).sum().backward()


def multi_grad(x):
    y = x * 2
    with register_multi_grad_hook((x, y), lambda gs: None):
        y.sum().backward()


def saved(x):
    with saved_tensors_hooks(lambda t: t.detach(), lambda t: t):
        y = (x.exp() * x).sum()
    y.backward()


def saved_as_they_are(x):
    with saved_tensors_hooks(lambda t: t, lambda t: t):
        y = (x.exp() * x).sum()
    y.backward()


def on_cpu(x):
    with save_on_cpu():
        (x.exp() * x).sum().backward()


def seen(x):
    y = (x.exp() * x).sum()
    mul = y.grad_fn.next_functions[0][0]
    assert mul._saved_self is not None
    mul._raw_saved_other.register_hooks(lambda t: t.detach(), lambda t: t)
    y.backward()


def edges(x):
    y = x * 2
    cr.autograd.grad((y * y).sum(), [get_gradient_edge(y), get_gradient_edge(x)])


def mutated(x):
    with allow_mutation_on_saved_tensors():
        y = x * 2
        z = y * y
        y.zero_()
        z.sum().backward()


def recorded(x):
    y = x * x
    y.register_hook(lambda g: g * x)
    (g,) = cr.autograd.grad(y.sum(), x, create_graph=True)
    cr.autograd.grad(g.sum(), x)


def anomaly(x):
    with cr.autograd.set_detect_anomaly(True, check_inf=True, check_forward=True):
        y = (x.exp() * x).sum()
        assert y.grad_fn.metadata
        y.backward()


def anomaly_found(x):
    with warnings.catch_warnings(), cr.autograd.set_detect_anomaly(True):
        warnings.simplefilter("ignore")
        try:
            (x * 0).sqrt().mul(0).sum().backward()
        except RuntimeError as error:
            assert error.__notes__  # noqa: PT017 - not what is tested


ROUNDS = [
    hooks, leaf_hooks, fresh_leaf, multi_grad, saved, saved_as_they_are, on_cpu, seen, edges, mutated, recorded, anomaly,
    anomaly_found,
]  # fmt: skip


def nodes():
    gc.collect()
    return sum(issubclass(type(o), Node) for o in gc.get_objects())  # isinstance would ask lazy modules for their class


def check(f, rounds):
    x = cr.ones(3, requires_grad=True)
    for _ in range(10):
        f(x)
        x.grad = None
    before, hooked = nodes(), len(LEAF_HOOKS)
    tracemalloc.start()
    try:
        for _ in range(rounds):
            f(x)
            x.grad = None
        gc.collect()
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert nodes() == before
    assert len(LEAF_HOOKS) == hooked
    assert left < 50_000


@pytest.mark.parametrize("f", ROUNDS, ids=lambda f: f.__name__)
def test_nothing_is_left(f):
    check(f, 20)


@pytest.mark.slow
@pytest.mark.parametrize("f", ROUNDS, ids=lambda f: f.__name__)
def test_nothing_is_left_of_a_thousand_rounds(f):
    check(f, 1000)
