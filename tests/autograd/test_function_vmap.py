"""`autograd.Function` under vmap and in traces: as the plain function; its rules are checked as in PyTorch."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from tests.autograd.functions import close, outcome

import chainrule as cr
from chainrule import func


class OldMix(cr.autograd.Function):
    """A matrix applied to a vector and a scale; keeps an intermediate, an attribute and an output."""

    generate_vmap_rule = True

    @staticmethod
    def forward(ctx, w, x, s):
        product = w @ x
        out = product * s
        ctx.save_for_backward(w, x, product, out)
        ctx.s = {"scale": s}
        return out, x.sum()

    @staticmethod
    def backward(ctx, g, h):
        w, x, product, _ = ctx.saved_tensors
        g_x = w.t() @ (g * ctx.s["scale"]) + h.expand(x.shape)
        return (g * ctx.s["scale"]).outer(x), g_x, (g * product).sum()

    @staticmethod
    def jvp(ctx, a, b, c):
        w, x, product, _ = ctx.saved_tensors
        s = ctx.s["scale"]
        return (a @ x + w @ b) * s + product * c, b.sum()


class NewMix(cr.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(w, x, s):
        return w @ x * s, x.sum()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs, output[0])
        ctx.size = inputs[1].shape

    @staticmethod
    def backward(ctx, g, h):
        w, x, s, _ = ctx.saved_tensors
        return (g * s).outer(x), w.t() @ (g * s) + h.expand(ctx.size), (g * (w @ x)).sum()

    @staticmethod
    def jvp(ctx, a, b, c):
        w, x, s, _ = ctx.saved_tensors
        return (a @ x + w @ b) * s + w @ x * c, b.sum()


class RuleMix(NewMix):
    """With a rule of its own for a batch."""

    generate_vmap_rule = False

    @staticmethod
    def vmap(info, in_dims, w, x, s):
        assert info.batch_size == 3
        assert all(d in (None, 0) for d in in_dims)
        w = w.movedim(in_dims[0], 0) if in_dims[0] is not None else w.expand(3, *w.shape)
        x = x if in_dims[1] is not None else x.expand(3, *x.shape)
        s = s if in_dims[2] is not None else s.expand(3)
        out, total = Stacked.apply(w, x, s)
        return (out.t(), total), (1, 0)


class Stacked(cr.autograd.Function):
    @staticmethod
    def forward(w, x, s):
        return (w * x[:, None, :]).sum(-1) * s[:, None], x.sum(-1)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g, h):
        w, x, s = ctx.saved_tensors
        scaled = g * s[:, None]
        plain = (w * x[:, None, :]).sum(-1)
        return scaled[:, :, None] * x[:, None, :], (w * scaled[:, :, None]).sum(1) + h[:, None], (g * plain).sum(-1)

    @staticmethod
    def jvp(ctx, a, b, c):
        w, x, s = ctx.saved_tensors
        product = lambda w, x: (w * x[:, None, :]).sum(-1)
        return (product(a, x) + product(w, b)) * s[:, None] + product(w, x) * c[:, None], b.sum(-1)


def mixed(w, x, s):
    return w @ x * s, x.sum()


def values(*batched):
    rng = np.random.default_rng(0)
    shapes = ((2, 4), (4,), ())
    return [cr.tensor(rng.normal(size=(*((3,) if on else ()), *shape))) for shape, on in zip(shapes, batched, strict=True)]


MIXES = [OldMix, NewMix, RuleMix]
PATTERNS = [p for p in itertools.product((True, False), repeat=3) if any(p)]


@pytest.mark.parametrize("batched", PATTERNS, ids=str)
@pytest.mark.parametrize("function", MIXES)
def test_vmap_equals_the_plain_function(function, batched):
    args = values(*batched)
    dims = tuple(0 if on else None for on in batched)
    along = [a * 0.5 + 1 for a in args]

    def squares(f):
        def loss(*args):
            out, total = f(*args)
            return (out**2).sum() + total**2

        return loss

    def tangent(f):
        return lambda *both: func.jvp(f, both[:3], both[3:])[1]

    for of in (lambda f: f, lambda f: func.grad(squares(f), (0, 1, 2))):
        close(func.vmap(of(function.apply), dims)(*args), func.vmap(of(mixed), dims)(*args))
    close(
        func.vmap(tangent(function.apply), dims * 2)(*args, *along),
        func.vmap(tangent(mixed), dims * 2)(*args, *along),
    )
    if function is not OldMix:  # whose saved intermediate is a constant, as PyTorch documents
        second = lambda f: func.grad(lambda *a: sum((g**2).sum() for g in func.grad(squares(f), (0, 1, 2))(*a)), (0, 1, 2))
        close(func.vmap(second(function.apply), dims)(*args), func.vmap(second(mixed), dims)(*args))
        hvp = lambda f: lambda *both: func.jvp(func.grad(squares(f), (0, 1, 2)), both[:3], both[3:])[1]
        close(func.vmap(hvp(function.apply), dims * 2)(*args, *along), func.vmap(hvp(mixed), dims * 2)(*args, *along))


@pytest.mark.parametrize("batched", PATTERNS, ids=str)
@pytest.mark.parametrize("function", MIXES)
def test_gradients_of_vmap_sum_over_the_batch(function, batched):
    args = values(*batched)
    dims = tuple(0 if on else None for on in batched)

    def loss(f):
        def of(*args):
            out, total = func.vmap(f, dims)(*args)
            return (out**2).sum() + (total**2).sum()

        return of

    close(func.grad(loss(function.apply), (0, 1, 2))(*args), func.grad(loss(mixed), (0, 1, 2))(*args))
    leaves = [a.clone().requires_grad_() for a in args]
    close(cr.autograd.grad(loss(function.apply)(*leaves), leaves), cr.autograd.grad(loss(mixed)(*leaves), leaves))
    along = tuple(a * 0.5 + 1 for a in args)
    close(func.jvp(loss(function.apply), tuple(args), along), func.jvp(loss(mixed), tuple(args), along))


@pytest.mark.parametrize("function", [OldMix, NewMix])
def test_vmaps_nest(function):
    rng = np.random.default_rng(1)
    w, x, s = (cr.tensor(rng.normal(size=n)) for n in ((2, 3, 2, 4), (3, 4), (2,)))
    nested = lambda f: func.vmap(func.vmap(f, (0, 0, None)), (0, None, 0))
    close(nested(function.apply)(w, x, s), nested(mixed)(w, x, s))
    loss = lambda f: lambda *a: sum((o**2).sum() for o in nested(f)(*a))
    close(func.grad(loss(function.apply), (0, 1, 2))(w, x, s), func.grad(loss(mixed), (0, 1, 2))(w, x, s))
    inner = lambda f: nested(func.grad(lambda *a: sum((o**2).sum() for o in f(*a)), (0, 1, 2)))
    close(inner(function.apply)(w, x, s), inner(mixed)(w, x, s))
    leaf = x.clone().requires_grad_()
    close(
        cr.autograd.grad(loss(function.apply)(w, leaf, s), leaf),
        cr.autograd.grad(loss(mixed)(w, leaf, s), leaf),
    )


@pytest.mark.parametrize("function", [OldMix, NewMix])
def test_functions_trace_as_one_equation_which_differentiates(function):
    w, x, s = values(False, False, False)
    graph = func.trace(lambda w, x, s: function.apply(w, x, s)[0] * 2)(w, x, s)
    assert [e.op.name for e in graph.equations] == [function.__name__, "mul"]
    others = [2 * w + 1, x - 1, s * 3]
    close(graph(*others), mixed(*others)[0] * 2)
    loss = lambda f: lambda *a: (f(*a) ** 2).sum()
    plain = lambda *a: mixed(*a)[0] * 2
    close(func.grad(loss(graph), (0, 1, 2))(*others), func.grad(loss(plain), (0, 1, 2))(*others))
    batch = [cr.stack([o, o + 1]) for o in others]
    close(func.vmap(graph)(*batch), func.vmap(plain)(*batch))
    gradient = func.trace(func.grad(loss(lambda *a: function.apply(*a)[0] * 2), (0, 1, 2)))(w, x, s)
    close(gradient(*others), func.grad(loss(plain), (0, 1, 2))(*others))
    tangent = func.trace(lambda *a: func.jvp(lambda *a: function.apply(*a)[0], a, a)[1])(w, x, s)
    close(tangent(*others), func.jvp(lambda *a: mixed(*a)[0], tuple(others), tuple(others))[1])
    batched = func.trace(func.vmap(lambda *a: function.apply(*a)[0] * 2))(*batch)
    close(batched(*[b + 1 for b in batch]), func.vmap(plain)(*[b + 1 for b in batch]))


def batch_errors(lib):
    class New(lib.autograd.Function):
        @staticmethod
        def forward(x):
            return x * 2

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

    class Either(New):
        generate_vmap_rule = True
        vmap = staticmethod(lambda info, in_dims, x: (x, 0))

    class One(New):
        vmap = staticmethod(lambda info, in_dims, x: x)

    class Three(New):
        vmap = staticmethod(lambda info, in_dims, x: (x, 0, 0))

    class Misfit(New):
        vmap = staticmethod(lambda info, in_dims, x: (x, (0, 0)))

    class Shared(New):
        vmap = staticmethod(lambda info, in_dims, x: (x.sum(), None))

    class Told(New):
        @staticmethod
        def vmap(info, in_dims, x, y):
            assert str(info) == "VmapInfo(batch_size=3, randomness='error')"
            assert in_dims == (0, None)
            return x * y, 0

        forward = staticmethod(lambda x, y: x * y)

    return [New, Either, One, Three, Misfit, Shared, Told]


@pytest.mark.parametrize("k", range(7))
def test_vmap_rules_are_checked_as_in_pytorch(torch, k):
    def case(lib, _):
        args = (lib.ones(3, 2), lib.ones(2)) if k == 6 else (lib.ones(3, 2),)
        return lib.func.vmap(batch_errors(lib)[k].apply, (0, None)[: len(args)])(*args)

    assert outcome(case, cr, None)[0] == outcome(case, torch, None)[0]


def test_a_write_in_place_reaches_the_batch():
    class Twice(cr.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(ctx, x):
            x.mul_(2)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return 2 * g

    def f(x):
        y = x * 1
        z = Twice.apply(y)
        assert z is y
        return y * x

    x = cr.tensor([1.0, 2.0, 3.0])
    assert func.vmap(f)(x).tolist() == [2.0, 8.0, 18.0]
    assert func.grad(lambda x: func.vmap(f)(x).sum())(x).tolist() == [4.0, 8.0, 12.0]
    assert func.vmap(func.grad(f))(x).tolist() == [4.0, 8.0, 12.0]


def test_random_numbers_in_a_function_follow_vmap():
    class Noise(cr.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(ctx, x):
            ctx.noise = cr.rand(2)
            return x * ctx.noise

        @staticmethod
        def backward(ctx, g):
            return g * ctx.noise

    x = cr.ones(3, 2)
    with pytest.raises(RuntimeError, match="vmap: called random operation while in randomness error mode"):
        func.vmap(Noise.apply)(x)
    same = func.vmap(Noise.apply, randomness="same")(x)
    assert same[0].tolist() == same[1].tolist()
    leaf = x.clone().requires_grad_()
    out = func.vmap(Noise.apply, randomness="different")(leaf)
    assert out[0].tolist() != out[1].tolist()
    assert cr.autograd.grad(out.sum(), leaf)[0].tolist() == out.tolist()

    class Told(cr.autograd.Function):
        @staticmethod
        def forward(x):
            return x * 1

        setup_context = staticmethod(lambda ctx, inputs, output: None)
        vmap = staticmethod(lambda info, in_dims, x: (x * (1 if info.randomness == "same" else 0), 0))

    assert func.vmap(Told.apply, randomness="same")(x).tolist() == x.tolist()
