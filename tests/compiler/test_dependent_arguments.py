"""What a compiled function takes may depend on what else it takes or reads: a gradient goes each way once, in every order."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr

CALLS = 3  # the first is recorded, the second replayed, the third goes the short way


def leaf(*values):
    return cr.tensor(values, dtype=cr.float64, requires_grad=True)


def unrolled(cell, w, steps=3):
    h = x = leaf(1.0, 2.0)
    for _ in range(steps):
        x = cell(x)
    g, gh = cr.autograd.grad(x.sum(), [w, h], create_graph=True)
    (second,) = cr.autograd.grad((g * g).sum() + gh.sum(), w)
    plain = cr.autograd.grad(unrolled_loss(cell, h, steps), [w, h])
    return [t.detach().numpy() for t in (g, gh, second, *plain)]


def unrolled_loss(cell, x, steps):
    for _ in range(steps):
        x = cell(x)
    return x.sum()


def test_a_cell_that_reads_its_weights_is_unrolled():
    w = leaf(0.5, 0.3)

    def cell(h):
        return cr.tanh(h * w)

    expected, compiled = unrolled(cell, w), cr.compile(cell)
    for _ in range(CALLS):
        np.testing.assert_allclose(unrolled(compiled, w), expected)


@pytest.mark.parametrize("create_graph", [False, True])
def test_an_argument_that_was_made_of_another(create_graph):
    f = cr.compile(lambda x, r, q: (x * r * q).sum())
    for _ in range(CALLS):
        x = leaf(1.0, 2.0)
        q, r = (x * 2).unbind()[0], x.exp()
        (g,) = cr.autograd.grad(f(x, r, q), x, create_graph=create_graph)
        expected = cr.func.grad(lambda x: (x * x.exp() * x[0] * 2).sum())(x.detach())
        np.testing.assert_allclose(g.detach(), expected)


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_hook_on_what_is_read_is_called_once(create_graph):
    w, calls = leaf(1.0, 3.0), []
    w.register_hook(lambda g: calls.append(g) or g * 10)
    f = cr.compile(lambda s: (w * w * s).sum())
    for _ in range(CALLS):
        (g,) = cr.autograd.grad(f(w.sum()), w, create_graph=create_graph)
        np.testing.assert_allclose(g.detach(), [180.0, 340.0])  # 10 (2 w Σw + Σw²), w² and Σw having come together
        assert len(calls) == 1
        calls.clear()
