"""Hooks and the memory of gradients: what a hook keeps does not change, what it may write to is its own."""

from __future__ import annotations

import numpy as np
import pytest
from tests.autograd.test_hooks import leaf

import chainrule as cr

pytestmark = pytest.mark.usefixtures("small_heap")


def test_gradients_that_hooks_hold_do_not_change():
    x = leaf(cr, *([1.0] * 4))
    held = []
    y = x * 2
    z = y.exp()
    for t in (x, y, z):
        t.register_hook(lambda g: held.append((g, g.numpy().copy())))
        if t is not x:
            t.grad_fn.register_hook(lambda to, frm: held.extend((g, g.numpy().copy()) for g in to if g is not None))
    (z * y + y).sum().backward()
    (x * 3).sum().backward()
    for g, then in held:
        np.testing.assert_array_equal(g.numpy(), then)


def test_a_hook_may_write_to_an_expanded_gradient():
    x = cr.ones(3, requires_grad=True)
    x.register_hook(lambda g: g.mul_(2))
    twice = x * 3
    twice.register_hook(lambda g: g.__setitem__(0, 5.0))
    twice.sum().backward()
    assert x.grad.tolist() == [30.0, 6.0, 6.0]


def test_posthooks_of_a_leafs_node_see_the_memory_of_its_first_gradient():
    x = leaf(cr, 1.0, 2.0)
    node = cr.autograd.graph.get_gradient_edge(x).node
    seen = []
    node.register_hook(lambda gi, go: seen.append((gi, go[0].data_ptr() == x.grad.data_ptr(), go[0].tolist(), x.grad.tolist())))
    (x * x).sum().backward()
    (x * x).sum().backward()  # is added: the hook sees what came, not the sum
    assert seen == [((), True, [2.0, 4.0], [2.0, 4.0]), ((), False, [2.0, 4.0], [4.0, 8.0])]


def test_a_posthook_of_a_leafs_node_may_write_to_its_gradient():
    x = leaf(cr, 1.0, 2.0)
    node = cr.autograd.graph.get_gradient_edge(x).node
    versions = []

    def tenfold(gi, go):
        before = x.grad._version
        go[0].mul_(10)
        versions.append(x.grad._version - before)

    node.register_hook(tenfold)
    (x * x).sum().backward()
    assert x.grad.tolist() == [20.0, 40.0]
    (x * x).sum().backward()
    assert x.grad.tolist() == [22.0, 44.0]
    assert versions == [1, 0]


def test_posthooks_of_a_scalar_leafs_node():
    x = cr.tensor(3.0, requires_grad=True)
    node = cr.autograd.graph.get_gradient_edge(x).node

    def tenfold(gi, go):
        go[0].mul_(10)

    node.register_hook(tenfold)
    (x * x).backward()
    assert x.grad.item() == 60


KEEPERS = {
    "itself": lambda t, kept: kept.append(t),
    "an alias": lambda t, kept: kept.append(t.detach()),
    "a view": lambda t, kept: kept.append(t[:1]),
    "an array": lambda t, kept: kept.append(t.numpy()),
    "a buffer": lambda t, kept: kept.append(memoryview(t.numpy())),
    "a list's": lambda t, kept: kept.append([t]),
}


def made_of(g, kept, keep, where):
    made = cr.full_like(g, 3)
    where.append(made.data_ptr())
    if keep is not None:
        KEEPERS[keep](made, kept)
    return made


class Keeping(cr.autograd.Function):
    """The identity; its backward returns a fresh tensor, of which something may be kept."""

    @staticmethod
    def forward(ctx, x, kept, keep, where):
        ctx.given = kept, keep, where
        return x * 1

    @staticmethod
    def backward(ctx, g):
        return made_of(g, *ctx.given), None, None, None


def by_function(x, *given):
    return Keeping.apply(x, *given)


def by_hook(x, *given):
    x.register_hook(lambda g: made_of(g, *given))
    return x * 2


@pytest.mark.parametrize("keep", [None, *KEEPERS])
@pytest.mark.parametrize("make", [by_function, by_hook])
def test_a_leaf_takes_over_a_gradient_that_nobody_else_holds(make, keep):
    x, kept, where = leaf(cr, 1.0, 2.0), [], []
    make(x, kept, keep, where).sum().backward()
    assert (x.grad.data_ptr() == where[0]) is (keep is None)
    x.grad.mul_(100)
    for held in kept:
        while isinstance(held, list):
            (held,) = held
        assert set(held.tolist()) == {3.0}
    assert x.grad.tolist() == [300.0, 300.0]


def test_a_gradient_for_two_inputs_is_of_each():
    class Both(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, g):
            made = g * 2
            return made, made

    x, y = leaf(cr, 1.0), leaf(cr, 2.0)
    Both.apply(x, y).backward()
    x.grad.mul_(5)
    assert (x.grad.item(), y.grad.item()) == (10, 2)
    assert x.grad.data_ptr() != y.grad.data_ptr()


@pytest.mark.parametrize("retain", [False, True])
def test_a_saved_tensor_that_is_returned_as_gradient_is_copied(retain):
    class Saved(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x * 3)
            return x * 3

        @staticmethod
        def backward(ctx, g):
            return ctx.saved_tensors

    x = leaf(cr, 1.0, 2.0)
    y = Saved.apply(x).sum()
    y.backward(retain_graph=True)
    x.grad.mul_(100)
    y.backward(retain_graph=retain)
    assert x.grad.tolist() == [303.0, 606.0]


def test_zeros_for_unused_inputs_require_grad_in_a_recorded_pass():
    x, w = leaf(cr, 1.0, 2.0), leaf(cr, 1.0)
    for create_graph in (False, True):
        gx, gw = cr.autograd.grad((x * x).sum(), [x, w], create_graph=create_graph, materialize_grads=True)
        assert gw.tolist() == [0.0]
        assert gx.requires_grad is gw.requires_grad is create_graph
        assert gw.is_leaf


def test_zeros_cannot_be_made_for_an_edge_that_is_not_used():
    x, w = leaf(cr, 1.0, 2.0), leaf(cr, 1.0)
    edge, y = cr.autograd.graph.get_gradient_edge, x * x
    options = {"materialize_grads": True, "retain_graph": True}
    gy, gw = cr.autograd.grad(y.sum(), [edge(y), w], **options)
    assert (gy.tolist(), gw.tolist()) == ([1.0, 1.0], [0.0])
    (gx,) = cr.autograd.grad(y.sum(), edge(x), **options)
    assert gx.tolist() == [2.0, 4.0]
    with pytest.raises(RuntimeError, match="materialize_grads cannot be used when the given input is a GradientEdge"):
        cr.autograd.grad(y.sum(), [x, edge(w)], **options)
