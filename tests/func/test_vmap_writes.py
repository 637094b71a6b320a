"""Writes in place under vmap, alone and with derivatives in every order: what each example gives alone."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.func import grad, jvp, vmap

RNG = np.random.default_rng(0)
X, V, XX = RNG.normal(size=(3, 4)), RNG.normal(size=(3, 4)), RNG.normal(size=(2, 3, 4))


def into_a_fresh_tensor(a):
    y = a.new_zeros(4)
    y[0] = a[1] * a[2]
    y[1:3] += a[:2]
    y.view(2, 2).t()[1].mul_(a[3])
    return (y * y).sum()


def between_views(a):
    b = a * 1
    b.view(2, 2)[:, 0].copy_(b.view(2, 2)[:, 1] * 2)
    b.add_(a)
    return b.sin().sum()


def seen_by_an_older_view(a):
    b = a.clone()
    c = b[1:]
    c[:2].mul_(3)
    b[0] = c.sum()
    return (b**2).sum()


def by_a_mask(a):
    b = a.clone()
    b[b > 0] = b.sum()
    return (b**2).sum()


def into_a_diagonal(a):
    y = cr.zeros(4, 4, dtype=cr.float64)
    y.diagonal().copy_(a)
    y[0] += a
    return (y @ a).sum()


PROGRAMS = [into_a_fresh_tensor, between_views, seen_by_an_older_view, by_a_mask, into_a_diagonal]


def loop(f, *arrays):
    return np.stack([f(*[cr.tensor(a[i]) for a in arrays]).numpy() for i in range(len(arrays[0]))])


def of_leaves(f):
    x = cr.tensor(X, requires_grad=True)
    vmap(f)(x).sum().backward()
    return x.grad


def _push(f, a, t):
    return jvp(f, (a,), (t,))[1]


x, v, xx = cr.tensor(X), cr.tensor(V), cr.tensor(XX)
# How it is taken under vmap, and one example alone.
WAYS = {
    "values": (lambda f: vmap(f)(x), lambda f: loop(f, X)),
    "vmap of grad": (lambda f: vmap(grad(f))(x), lambda f: loop(grad(f), X)),
    "grad of vmap": (lambda f: grad(lambda t: vmap(f)(t).sum())(x), lambda f: loop(grad(f), X)),
    "backward": (of_leaves, lambda f: loop(grad(f), X)),
    "vmap of jvp": (lambda f: vmap(lambda a, t: _push(f, a, t))(x, v), lambda f: loop(lambda a, t: _push(f, a, t), X, V)),
    "jvp of vmap": (lambda f: _push(vmap(f), x, v), lambda f: loop(lambda a, t: _push(f, a, t), X, V)),
    "vmap of jvp of grad": (
        lambda f: vmap(lambda a, t: _push(grad(f), a, t))(x, v), lambda f: loop(lambda a, t: _push(grad(f), a, t), X, V)),
    "jvp of grad of vmap": (
        lambda f: _push(grad(lambda t: vmap(f)(t).sum()), x, v), lambda f: loop(lambda a, t: _push(grad(f), a, t), X, V)),
    "vmap of vmap": (lambda f: vmap(vmap(f))(xx), lambda f: np.stack([loop(f, part) for part in XX])),
    "vmap of vmap of grad": (lambda f: vmap(vmap(grad(f)))(xx), lambda f: np.stack([loop(grad(f), part) for part in XX])),
    "grad of vmap of vmap": (
        lambda f: grad(lambda t: vmap(vmap(f))(t).sum())(xx), lambda f: np.stack([loop(grad(f), part) for part in XX])),
    "vmap of jacfwd": (
        lambda f: vmap(lambda a: vmap(lambda t: _push(f, a, t))(cr.eye(4, dtype=cr.float64)))(x), lambda f: loop(grad(f), X)),
}  # fmt: skip


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_writes_under_vmap_are_each_examples_own(program, way):
    together, alone = WAYS[way]
    np.testing.assert_allclose(together(program).numpy(), alone(program), rtol=1e-9, atol=1e-12)
