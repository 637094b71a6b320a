"""`autograd.grad` and batches: `is_grads_batched`, and gradients taken inside of `vmap`."""

from __future__ import annotations

import numpy as np
import pytest
from tests.oracle import agree, outcome

import chainrule as cr

W, X = np.array([0.7, -1.1]), np.array([[0.1, 0.4], [2.0, -0.3], [1.0, 1.0]])
G = np.array([[1.0, 0.0], [0.5, -2.0], [3.0, 1.0]])


def leaf(lib, array):
    return lib.tensor(array, requires_grad=True)


PROGRAMS = {
    "one output": lambda lib, w, x, g: lib.autograd.grad(w.sin() * w, w, g, is_grads_batched=True),
    "two outputs": lambda lib, w, x, g: lib.autograd.grad(
        (w.exp(), w * w), w, (g, g * 2), is_grads_batched=True, retain_graph=True
    ),
    "a result among the inputs": lambda lib, w, x, g: lib.autograd.grad((y := w * 2).sin(), (w, y), g, is_grads_batched=True),
    "unused": lambda lib, w, x, g: lib.autograd.grad(w * 2, (w, x), g, is_grads_batched=True, allow_unused=True),
    "unused made zeros": lambda lib, w, x, g: (
        lib.autograd.grad(w * 2, x, g, is_grads_batched=True, materialize_grads=True)[0].shape
    ),
    "with a graph": lambda lib, w, x, g: lib.autograd.grad(
        lib.autograd.grad(w**3, w, g, is_grads_batched=True, create_graph=True)[0].sum(), w
    ),
    "matrix": lambda lib, w, x, g: lib.autograd.grad(x @ w, (x, w), lib.tensor(np.eye(3)), is_grads_batched=True),
    "views": lambda lib, w, x, g: lib.autograd.grad(x.t()[0].flip(0).expand(2, 3), x, lib.ones(4, 2, 3), is_grads_batched=True),
    "a cotangent of the wrong shape": lambda lib, w, x, g: lib.autograd.grad(w * 2, w, g[:, :1], is_grads_batched=True),
    "a cotangent from inside vmap": lambda lib, w, x, g: lib.func.vmap(lambda g: lib.autograd.grad((w * w).sum(), w, g)[0])(
        g[:, 0]
    ),
}


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_batched_gradients_are_pytorchs(torch, name):
    def program(lib):
        return PROGRAMS[name](lib, leaf(lib, W), leaf(lib, X), lib.tensor(G))

    agree(outcome(cr, program)[0], outcome(torch, program)[0], full_text=False)


def test_one_pass_serves_the_whole_batch():
    w, passes = leaf(cr, W), []
    y = w.sin()
    y.register_hook(lambda g: passes.append(g.shape))
    cr.autograd.grad(y * 2, w, cr.tensor(G), is_grads_batched=True)
    assert len(passes) == 1


def test_gradients_of_examples_in_what_is_theirs_and_in_what_they_share():
    w = leaf(cr, W)

    def loss(x):
        return (w.sin() * x * w).sum()

    def of_shared(x):
        return cr.autograd.grad(loss(x), w)[0]

    expected = np.stack([cr.autograd.grad(loss(cr.tensor(x)), w)[0].numpy() for x in X])
    np.testing.assert_allclose(cr.func.vmap(of_shared)(cr.tensor(X)).numpy(), expected)
    batch = leaf(cr, X)
    found = cr.func.vmap(lambda x: cr.autograd.grad(loss(x * x), x)[0])(batch)
    (expected,) = cr.autograd.grad((w.sin() * batch**2 * w).sum(), batch)
    np.testing.assert_allclose(found.numpy(), expected.numpy())
    both = cr.func.vmap(lambda x: cr.autograd.grad(loss(x * x), (w, x)))(batch)
    assert [tuple(g.shape) for g in both] == [(3, 2), (3, 2)]


def test_tangents_pass_through_the_graph_of_another_level():
    w = leaf(cr, W)
    _, tangent = cr.func.jvp(lambda s: cr.autograd.grad((w**3).sum(), w, s)[0], (cr.tensor(2.0),), (cr.tensor(0.5),))
    np.testing.assert_allclose(tangent.numpy(), 1.5 * W**2)


def test_backward_of_each_example_is_refused():
    w = leaf(cr, W)
    with pytest.raises(RuntimeError, match=r"^backward\(\) called inside a functorch transform"):
        cr.func.vmap(lambda x: (w * x).sum().backward())(cr.tensor(X))
    assert w.grad is None


def test_batch_axes_that_differ_are_refused():
    w = leaf(cr, W)
    with pytest.raises(ValueError, match="same size in the mapped dimension, got sizes"):
        cr.autograd.grad((w * 2, w * 3), w, (cr.tensor(G), cr.tensor(G[:2])), is_grads_batched=True)
    with pytest.raises(IndexError, match="invalid index of a 0-dim tensor"):
        cr.autograd.grad(w.sum(), w, cr.tensor(1.0), is_grads_batched=True)
