"""Hooks inside transforms, in several threads, and what they keep alive: beyond PyTorch."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest
from tests.autograd.test_hooks import leaf

import chainrule as cr
from chainrule.autograd.graph import register_multi_grad_hook
from chainrule.core.graph.nodes import LEAF_HOOKS

pytestmark = pytest.mark.usefixtures("small_heap")


def test_multi_grad_hook_works_under_grad_of_a_leaf():
    a, b = leaf(cr, 1.0), leaf(cr, 2.0)
    seen = []
    register_multi_grad_hook((a, b), seen.append)
    cr.autograd.grad(a * b, a)
    assert [[g is None for g in gs] for gs in seen] == [[False, True]]


def test_hooks_on_values_inside_transforms():
    seen = []

    def f(x):
        y = x * x
        y.register_hook(lambda g: (seen.append(g), g * x)[1])
        return y.sum()

    x = cr.tensor([2.0, 3.0], dtype=cr.float64)
    assert cr.func.grad(f)(x).tolist() == [8.0, 18.0]
    assert seen[0].tolist() == [1.0, 1.0]
    np.testing.assert_allclose(cr.func.grad(lambda x: cr.func.grad(f)(x).sum())(x).numpy(), [8.0, 12.0])


def test_hooks_on_duals_act_on_the_primal():
    seen = []
    x = leaf(cr, 2.0)
    with cr.autograd.forward_ad.dual_level():
        d = cr.autograd.forward_ad.make_dual(x * 1, cr.ones(1, dtype=cr.float64))
        y = d * d
        y.register_hook(lambda g: seen.append(g))
        y.backward()
    assert seen


@pytest.mark.parametrize("outer", ["grad of vmap", "vmap of grad"])
def test_hooks_inside_vmap_see_each_example(outer):
    x = cr.tensor([[3.0, 4.0], [5.0, 12.0], [8.0, 15.0]], dtype=cr.float64)
    shapes = []

    def f(x):
        y = x * 1
        y.register_hook(lambda g: (shapes.append(tuple(g.shape)), g / g.norm())[1])
        return (y * y).sum()

    if outer == "grad of vmap":
        found = cr.func.grad(lambda x: cr.func.vmap(f)(x).sum())(x)
    else:
        found = cr.func.vmap(cr.func.grad(f))(x)
    np.testing.assert_allclose(found.numpy(), x.numpy() / np.linalg.norm(x.numpy(), axis=1, keepdims=True))
    assert shapes == [(2,)]


def test_what_has_no_meaning_inside_vmap_raises():
    def f(x, use):
        use(x * 1)
        return x.sum()

    x = cr.ones(2, 3)
    for use in (
        lambda y: y.retain_grad(),
        lambda y: y.register_post_accumulate_grad_hook(lambda p: None),
        lambda y: cr.autograd.graph.get_gradient_edge(y),
    ):
        with pytest.raises(RuntimeError, match="inside of vmap"):
            cr.func.grad(lambda x, use=use: cr.func.vmap(lambda x: f(x, use))(x).sum())(x)
    with pytest.raises(RuntimeError, match="cannot register a hook on a tensor that doesn't require gradient"):
        cr.func.vmap(lambda x: f(x, lambda y: y.register_hook(lambda g: g)))(x)


def test_edges_and_hooks_of_one_of_several_duals():
    x = leaf(cr, 1.0, 2.0, 3.0)
    seen = []
    with cr.autograd.forward_ad.dual_level():
        d = cr.autograd.forward_ad.make_dual(x * 1, cr.ones(3, dtype=cr.float64))
        _, b, _ = d.unbind()
        b.register_hook(lambda g: seen.append(g.item()))
        assert cr.autograd.graph.get_gradient_edge(b).output_nr == 1
        (b * b).backward()
    assert seen == [4.0]


def test_hook_that_would_lose_a_tangent_raises():
    x = leaf(cr, 1.0, 2.0)
    with cr.autograd.forward_ad.dual_level():
        d = cr.autograd.forward_ad.make_dual(x * 1, cr.ones(2, dtype=cr.float64))
        y = d * d
        y.register_hook(lambda g: g * 2)
        with pytest.raises(RuntimeError, match="replaces the gradient of a value that carries a forward-mode tangent"):
            y.sum().backward()

    def f(x):
        y = x * x
        y.register_hook(lambda g: g * g * 3)
        return (y * y).sum()

    # hook: 3 (2 y)² and then 2 x: 24 x⁵
    primal, tangent = cr.func.jvp(cr.func.grad(f), (x.detach(),), (cr.ones(2, dtype=cr.float64),))
    np.testing.assert_allclose(primal.numpy(), 24 * x.detach().numpy() ** 5)
    np.testing.assert_allclose(tangent.numpy(), 120 * x.detach().numpy() ** 4)


def test_leaf_hooks_are_called_where_the_gradient_is_a_dual():
    x = leaf(cr, 1.0, 2.0)
    seen = []
    x.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad))
    with cr.autograd.forward_ad.dual_level():
        d = cr.autograd.forward_ad.make_dual(x * 1, cr.ones(2, dtype=cr.float64))
        (d * d).sum().backward()
        assert cr.autograd.forward_ad.unpack_dual(seen[0]).tangent.tolist() == [2.0, 2.0]


@pytest.mark.parametrize("kind", ["tensor", "post", "node", "multi"])
def test_graphs_with_hooks_are_freed(kind):
    x = leaf(cr, 1.0, 2.0)
    y = x * 2
    gc.collect()
    gc.disable()
    try:
        if kind == "tensor":
            y.register_hook(lambda g: g)
        elif kind == "post":
            x.register_post_accumulate_grad_hook(lambda p: None)
        elif kind == "node":
            y.grad_fn.register_hook(lambda to, frm: None)
        else:
            register_multi_grad_hook((x, y), lambda gs: None)
        y.sum().backward()
        node, kept = weakref.ref(y.grad_fn), weakref.ref(x)
        del y, x
        if kind == "multi":  # the hook on the leaf knows the nodes: a cycle, for the collector
            gc.collect()
        assert node() is None
        assert kept() is None
    finally:
        gc.enable()


def test_no_pass_looks_for_leaf_hooks_once_they_are_gone():
    gc.collect()
    before = len(LEAF_HOOKS)
    x = leaf(cr, 1.0)
    handle = x.register_hook(lambda g: None)
    x.register_post_accumulate_grad_hook(lambda p: None)
    assert len(LEAF_HOOKS) == before + 2
    handle.remove()
    assert len(LEAF_HOOKS) == before + 1
    del x
    assert len(LEAF_HOOKS) == before


def test_hooks_of_passes_in_several_threads_are_kept_apart():
    a, b = leaf(cr, 1.0), leaf(cr, 2.0)
    e = a * b
    seen = []
    register_multi_grad_hook((a, b, e), lambda gs: seen.append([g.item() for g in gs]))

    def run(i):
        for _ in range(20):
            (e * float(i)).backward(retain_graph=True)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(1, 5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(seen) == sorted([2.0 * i, 1.0 * i, 1.0 * i] for i in range(1, 5) for _ in range(20))
    assert a.grad.item() == 2.0 * 20 * 10
