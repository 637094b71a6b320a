"""`autograd.Function` in forward mode and under transforms: as in PyTorch, and as the plain function."""

from __future__ import annotations

import gc
import itertools
import weakref

import numpy as np
import pytest
from tests.autograd.functions import close, functions, leaf, outcome

import chainrule as cr
from chainrule import func
from chainrule.autograd import forward_ad

# -- forward mode ------------------------------------------------------------------------------------------------------


def duals(lib, make, jvp, materialize=True, both=False):
    class F(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x, y, n):
            ctx.set_materialize_grads(materialize)
            ctx.save_for_forward(x, y)
            return make(ctx, x, y)

    F.jvp = staticmethod(jvp)
    fw = lib.autograd.forward_ad
    with fw.dual_level():
        x = fw.make_dual(lib.ones(3), lib.arange(3.0))
        y = fw.make_dual(lib.ones(3), lib.ones(3)) if both else lib.ones(3)
        out = F.apply(x, y, 1)
        return [
            (tuple(fw.unpack_dual(t)) if hasattr(t, "shape") else t)
            for t in (out if isinstance(out, tuple) else (out,))
        ]  # fmt: skip


def product(ctx, x, y):
    return x * y, x + 1, 3


def of_product(ctx, a, b, none):
    x, y = ctx.saved_tensors
    assert none is None
    return a * y + x * b, a, None


JVPS = {
    "tangents of tensors, None for others": lambda lib: duals(lib, product, of_product),
    "two tangents": lambda lib: duals(lib, product, of_product, both=True),
    "no zeros where not wanted": lambda lib: duals(
        lib, product, lambda ctx, a, b, n: (a, a * 2 if b is None else b, None), False
    ),
    "too few tangents": lambda lib: duals(lib, product, lambda ctx, a, b, n: a),
    "a tangent of another shape": lambda lib: duals(lib, product, lambda ctx, a, b, n: (a[:2], a, None)),
    "a number as tangent": lambda lib: duals(lib, product, lambda ctx, a, b, n: (3, a, None)),
    "a tangent of a constant": lambda lib: duals(
        lib, lambda ctx, x, y: (lambda r: (ctx.mark_non_differentiable(r), r)[1])(x * y), lambda ctx, a, b, n: a
    ),
    "a tangent in place": lambda lib: duals(
        lib, lambda ctx, x, y: (x.mul_(2), ctx.mark_dirty(x), x)[2], lambda ctx, a, b, n: a.mul_(2)
    ),
}


@pytest.mark.parametrize("name", list(JVPS))
def test_jvp_does_what_it_does_in_pytorch(torch, name):
    case = JVPS[name]
    results = [outcome(lambda lib, _: case(lib), lib, None)[0] for lib in (cr, torch)]
    assert results[0] == results[1]


def test_without_jvp_forward_mode_names_the_remedy():
    ours = functions(cr)
    with forward_ad.dual_level(), pytest.raises(NotImplementedError, match="You must implement the jvp function for custom"):
        ours["Exp"].apply(forward_ad.make_dual(cr.ones(3), cr.ones(3)))


# -- under transforms --------------------------------------------------------------------------------------------------


class OldCubic(cr.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(ctx, x, y, k):
        square = x * x
        ctx.save_for_backward(x, y)
        ctx.save_for_forward(x, y)
        ctx.k, ctx.x = k, [x]
        return square * x * y * k, y * 1

    @staticmethod
    def backward(ctx, g, h):
        x, y = ctx.saved_tensors
        return 3 * g * ctx.k * ctx.x[0] ** 2 * y, g * ctx.k * x**3 + h, None

    @staticmethod
    def jvp(ctx, a, b, _):
        x, y = ctx.saved_tensors
        return ctx.k * (3 * x**2 * y * a + ctx.x[0] ** 3 * b), b


class NewCubic(cr.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x, y, k):
        return x**3 * y * k, y * 1

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, y, ctx.k = inputs
        ctx.save_for_backward(x, y, output[0])
        ctx.save_for_forward(x, y)

    backward = staticmethod(lambda ctx, g, h: (
        3 * g * ctx.k * ctx.saved_tensors[0] ** 2 * ctx.saved_tensors[1], g * ctx.k * ctx.saved_tensors[0] ** 3 + h, None
    ))  # fmt: skip

    @staticmethod
    def jvp(ctx, a, b, _):
        x, y = ctx.saved_tensors
        return ctx.k * (3 * x**2 * y * a + x**3 * b), b


def reverse(f):
    return func.grad(f)


def forward(f):
    return lambda x: func.jvp(f, (x,), (cr.ones_like(x),))[1]


def recorded(f):
    def derivative(x):
        if not x.requires_grad:
            x = x.clone().requires_grad_()
        return cr.autograd.grad(f(x), x, create_graph=True)[0]

    return derivative


def tangents(f):
    def derivative(x):
        with forward_ad.dual_level():
            return forward_ad.unpack_dual(f(forward_ad.make_dual(x, cr.ones_like(x)))).tangent

    return derivative


DERIVATIVES = {"grad": reverse, "jvp": forward, "dual_level": tangents}


@pytest.mark.parametrize("function", [OldCubic, NewCubic])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_derivatives_nest_in_any_order(function, order):
    values = {1: 6 * 4.0, 2: 12 * 2.0 + 0, 3: 12.0}
    for names in itertools.product(DERIVATIVES, repeat=order):
        f = lambda x: function.apply(x, cr.tensor(1.0, dtype=cr.float64), 2.0)[0]
        for name in names:
            f = DERIVATIVES[name](f)
        assert f(cr.tensor(2.0, dtype=cr.float64)).item() == values[order], names


@pytest.mark.parametrize("function", [OldCubic, NewCubic])
@pytest.mark.parametrize("outer", [None, *DERIVATIVES])
def test_recorded_derivatives_nest_in_transforms(function, outer):
    def f(x):
        return function.apply(x, x, 1.0)[0]

    x = cr.tensor(2.0, dtype=cr.float64, requires_grad=True)
    twice = recorded(recorded(f))
    third = recorded(twice) if outer is None else DERIVATIVES[outer](twice)
    assert third(x if outer is None else x.detach()).item() == pytest.approx(24 * 2.0)


@pytest.mark.parametrize("function", [OldCubic, NewCubic])
def test_closed_over_tensors_keep_their_gradients(function):
    y = cr.tensor(3.0, dtype=cr.float64, requires_grad=True)
    g = func.grad(lambda x: function.apply(x, y, 2.0)[0])(cr.tensor(2.0, dtype=cr.float64))
    assert g.item() == 72
    g.backward()
    assert y.grad.item() == 24
    both = func.grad(lambda a: func.jvp(lambda x: function.apply(x, a, 2.0)[0], (a,), (a,))[1])(y.detach())
    assert both.item() == pytest.approx(6 * 4 * 27)


def test_setup_context_runs_once_a_level_and_forward_once():
    log = []

    class F(cr.autograd.Function):
        @staticmethod
        def forward(x):
            log.append("forward")
            return x * 2

        @staticmethod
        def setup_context(ctx, inputs, output):
            log.append(type(inputs[0]).__name__)

        @staticmethod
        def backward(ctx, g):
            return 2 * g

    func.grad(func.grad(lambda x: F.apply(x) * x))(cr.tensor(1.0))
    assert log == ["forward", "GradTracking", "GradTracking"]


@pytest.mark.parametrize("function", [OldCubic, NewCubic])
def test_nothing_is_kept_alive(function):
    gc.collect()
    gc.disable()
    try:
        x = cr.ones(3).requires_grad_()
        out = function.apply(x * 1, x * 2, 1.0)[0]
        (g,) = cr.autograd.grad(out.sum(), x, create_graph=True)
        dead = [weakref.ref(t) for t in (out, g, out.grad_fn)]
        cr.autograd.grad(g.sum(), x)
        del out, g
        assert [r() for r in dead] == [None] * 3
        kept = []
        func.grad(lambda x: kept.append(weakref.ref(x)) or function.apply(x, x, 1.0)[0].sum())(x.detach())
        assert kept[0]() is None
        for name in ("Exp", "Same"):
            out = functions(cr)[name].apply(x * 1)
            dead = weakref.ref(out)
            del out
            assert dead() is None, name
    finally:
        gc.enable()


def test_attributes_of_any_name_are_the_users():
    names = ("width", "saved", "plan", "id", "edge", "hooks", "out", "params", "version", "shapes", "count", "rules", "level")

    class F(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            for k, name in enumerate(names):
                assert not hasattr(ctx, name)
                setattr(ctx, name, k)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, a, b):
            assert [getattr(ctx, name) for name in names] == list(range(len(names)))
            return a + b

    x = cr.ones(3).requires_grad_()
    a, b = F.apply(x)
    assert cr.autograd.grad((a + b).sum(), x)[0].tolist() == [2.0] * 3
    assert a.grad_fn.width == 0


def test_a_gradient_returned_twice_is_not_added_into():
    class F(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, g):
            g = g * 1
            F.kept = g
            return g, g

    x, y = cr.ones(3).requires_grad_(), cr.ones(3).requires_grad_()
    before = 2 * x + x  # made earlier, so that the pass comes to it later
    (before + F.apply(x, y)).sum().backward()
    assert (x.grad.tolist(), y.grad.tolist(), F.kept.tolist()) == ([4.0] * 3, [1.0] * 3, [1.0] * 3)
    x.grad.zero_()
    assert y.grad.tolist() == [1.0] * 3


def test_once_differentiable_raises_where_only_a_saved_tensor_moves():
    ours = functions(cr)
    """PyTorch drops this derivative without a word."""
    x = leaf(cr)
    (g,) = cr.autograd.grad(ours["Sine"].apply(x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="trying to differentiate twice a function that was marked with @once_diff"):
        g.sum().backward()
    with pytest.raises(RuntimeError, match="trying to differentiate twice"):
        func.grad(lambda x: func.grad(lambda x: ours["Sine"].apply(x).sum())(x).sum())(x.detach())
    twice = func.jvp(func.grad(lambda x: Sine.apply(x).sum()), (x.detach(),), (cr.ones(3),))[1]
    np.testing.assert_allclose(twice.numpy(), -np.sin(x.detach().numpy()), rtol=1e-6)


class Sine(cr.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    @cr.autograd.function.once_differentiable
    def backward(ctx, g):
        return g * ctx.saved_tensors[0].cos()

    @staticmethod
    def jvp(ctx, t):
        return t * ctx.saved_tensors[0].cos()


def test_nested_functions_take_and_return_nested_tensors():
    class F(cr.autograd.function.NestedIOFunction):
        @staticmethod
        def forward_extended(ctx, pair, k):
            ctx.k = k
            return {"sum": pair[0] + k * pair[1]}, pair[0] * 5

        @staticmethod
        def backward_extended(ctx, g, h):
            return [g["sum"] + 5 * h, ctx.k * g["sum"]], None

    x, y = leaf(cr), leaf(cr)
    out, other = F.apply([x, y], 3.0)
    assert [g.tolist() for g in cr.autograd.grad((out["sum"] + other).sum(), (x, y))] == [[6.0] * 3, [3.0] * 3]


def test_complex_functions_take_pytorchs_conjugate_gradients():
    class Product(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.save_for_backward(x, y)
            return x * y

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            return g * y.conj(), g * x.conj()

    x = cr.tensor([1 + 2j, 0.5j], requires_grad=True)
    y = cr.tensor([3 - 1j, 2.0], requires_grad=True)
    got = cr.autograd.grad(Product.apply(x, y).real.sum(), (x, y))
    expected = cr.autograd.grad((x * y).real.sum(), (x, y))
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy())


def test_values_of_transforms_come_as_arguments():
    class Sum(cr.autograd.Function):
        forward = staticmethod(lambda ctx, tensors, k: sum(tensors) * k)
        backward = staticmethod(lambda ctx, g: (None, None))

    with pytest.raises(RuntimeError, match="none of its arguments .* Pass it as an argument of its own"):
        func.grad(lambda x: Sum.apply([x, x], 2.0))(cr.tensor(1.0))
    with pytest.raises(RuntimeError, match="none of its arguments"):
        func.vmap(lambda x: Sum.apply([x, x], cr.ones(())))(cr.ones(3))


@pytest.mark.parametrize("function", [OldCubic, NewCubic])
def test_taylor_mode_follows_jvp(function):
    def plain(x, y, k):
        return x**3 * y * k, y * 1

    double = lambda v: cr.tensor(v, dtype=cr.float64)
    x, along = double(0.7), [double(1.0), double(0.5), double(0.0), double(0.0)]

    def loss(f):
        def of(x):
            out, same = f(x.sin(), x, 2.0)
            return out.exp() * same, same

        return of

    close(func.jet(loss(function.apply), (x,), (along,)), func.jet(loss(plain), (x,), (along,)))
    third = lambda f: func.grad(lambda x: func.jet(lambda x: loss(f)(x)[0], (x,), (along,))[1][2])(x)
    close(third(function.apply), third(plain))
