"""Perturbation confusion: the derivatives of nested transforms are kept apart, whatever closes over what.

The cases are the literature's: Siskind & Pearlmutter, "Perturbation confusion and referential transparency" (2005); Manzyuk et
al., "Perturbation confusion in forward automatic differentiation of higher-order functions" (JFP 2019), where a function
that returns functions is differentiated.
"""

from __future__ import annotations

import gc
import itertools
import threading
from weakref import ref

import numpy as np
import pytest

import chainrule as cr
from chainrule.autograd import forward_ad
from chainrule.func import grad, jacfwd, jacrev, jvp, linearize, vjp, vmap

pytestmark = pytest.mark.usefixtures("small_heap")


def number(x):
    return cr.tensor(float(x), dtype=cr.float64)


def by_dual_level(f):
    def derivative(x):
        with forward_ad.dual_level():
            out = forward_ad.unpack_dual(f(forward_ad.make_dual(x, cr.ones_like(x))))
            return cr.zeros_like(out.primal) if out.tangent is None else out.tangent

    return derivative


def by_batch_of_one(f):
    return lambda x: vmap(grad(f))(x[None])[0]


D = {
    "jvp": lambda f: lambda x: jvp(f, (x,), (cr.ones_like(x),))[1],
    "grad": grad,
    "jacfwd": jacfwd,
    "jacrev": jacrev,
    "linearize": lambda f: lambda x: linearize(f, x)[1](cr.ones_like(x)),
    "vjp": lambda f: lambda x: vjp(f, x)[1](cr.ones_like(x))[0],
    "dual_level": by_dual_level,
    "vmap of grad": by_batch_of_one,
}
PAIRS = list(itertools.product(D, repeat=2))


@pytest.mark.parametrize(("outer", "inner"), PAIRS)
def test_an_inner_derivative_does_not_see_the_outer_variable(outer, inner):
    outer, inner = D[outer], D[inner]
    assert outer(lambda x: x * inner(lambda y: x + y)(number(1)))(number(3)).item() == 1
    assert outer(lambda x: x * inner(lambda y: x * y)(number(2)))(number(3)).item() == 6
    assert outer(lambda x: inner(lambda y: x * y * y)(x))(number(3)).item() == 12
    assert outer(lambda x: x * inner(lambda y: x)(number(1)))(number(3)).item() == 0
    assert outer(lambda x: inner(lambda x: inner(lambda x: x**4)(x) * x)(x))(number(2)).item() == 16 * 3 * 4


@pytest.mark.parametrize("modes", list(itertools.product(("jvp", "grad", "jacrev"), repeat=3)), ids="-".join)
def test_three_levels_of_closures(modes):
    a, b, c = (D[m] for m in modes)
    f = lambda x: a(lambda u: b(lambda v: c(lambda w: x * u * v * w * w)(x + v))(u))(x)
    # c: 2 x u v (x + v); b at v = u: 2 x u (x + 2 v) = 2 x² u + 4 x u²; a at u = x: 2 x² + 8 x² = 10 x²
    assert f(number(1.5)).item() == pytest.approx(10 * 1.5**2, rel=1e-12)
    assert a(f)(number(1.5)).item() == pytest.approx(20 * 1.5, rel=1e-12)


@pytest.mark.parametrize(("outer", "inner"), PAIRS)
def test_functions_that_return_functions(outer, inner):
    outer, inner = D[outer], D[inner]
    shifted = lambda u: lambda f: lambda x: f(x + u)
    # Manzyuk et al., section 3: the derivative of u -> D(f shifted by u) at x, twice nested, is f''
    found = outer(lambda u: inner(shifted(u)(cr.sin))(number(0.5)))(number(0.25))
    np.testing.assert_allclose(found.item(), -np.sin(0.75), rtol=1e-12)
    twice = outer(lambda u: inner(shifted(u)(inner(shifted(u)(cr.exp))))(number(0.5)))(number(0.25))
    np.testing.assert_allclose(twice.item(), 2 * np.exp(1.0), rtol=1e-12)  # d/du exp(x + 2 u)


@pytest.mark.parametrize("mode", list(D))
def test_a_returned_closure_holds_a_value_and_no_derivative_of_its_own(mode):
    made = []

    def f(x):
        made.append(lambda y: x * y)
        return x * x

    D[mode](f)(number(3))
    (scale,) = made[-1:]
    product = lambda y: scale(y).sum()
    if mode == "vmap of grad":
        return  # what escaped has an example axis of its own
    if mode in ("jvp", "grad", "vjp"):
        assert D["grad"](product)(number(2)).item() == 3
        assert D["jvp"](product)(number(2)).item() == 3


@pytest.mark.parametrize("mode", ["jvp", "grad", "vjp", "jacrev", "linearize"])
def test_a_leaked_value_is_a_constant_to_every_later_transform(mode):
    leaked = []

    def f(x):
        leaked.append(x * 2)
        return x * x

    D[mode](f)(number(3))
    for later in D.values():
        assert later(lambda y: y * leaked[0])(number(5)).item() == 6
    w = cr.tensor(2.0, dtype=cr.float64, requires_grad=True)
    (g,) = cr.autograd.grad((w * leaked[0]).sum(), w)
    assert g.item() == 6


@pytest.mark.parametrize("mode", ["jvp", "grad", "jacfwd", "jacrev"])
def test_the_same_function_called_at_two_levels_at_once(mode):
    d = D[mode]

    def f(x, depth):
        return x * x if depth == 0 else d(lambda y: f(y, depth - 1) * x)(x)

    # f1 = 2x·x = 2x²; f2 = d/dy(2y² x) = 4x²; f3 = 8x²
    for depth in range(4):
        np.testing.assert_allclose(f(number(1.5), depth).item(), 2**depth * 1.5**2, rtol=1e-12)


def test_an_error_inside_leaves_no_level_open():
    def fails(x):
        raise ValueError("inside")

    for mode, d in D.items():
        with pytest.raises(ValueError, match="inside"):
            d(fails)(number(1))
        assert cr.is_grad_enabled(), mode
        x = cr.tensor(2.0, requires_grad=True)
        (x * x).backward()
        assert x.grad.item() == 4
        buffer = cr.zeros(1)
        buffer[0] = 1.0  # a plain write: no transform is running
        assert buffer.item() == 1


def test_threads_do_not_see_each_others_levels():
    found = {}

    def work(i):
        f = lambda x: x * grad(lambda y: x * y**2)(x)  # 2 x³
        found[i] = [jvp(grad(f), (number(i),), (number(1),))[1].item() for _ in range(20)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {i: [12.0 * i] * 20 for i in range(4)}


@pytest.mark.parametrize("mode", list(D))
def test_nothing_is_kept_after_a_transform(mode):
    seen = []

    def f(x):
        y = x * x
        seen.append(ref(y))
        return y * x

    gc.collect()
    gc.disable()
    try:
        D[mode](f)(number(2))
        assert [r() for r in seen] == [None] * len(seen)
    finally:
        gc.enable()
