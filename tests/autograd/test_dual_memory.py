"""A dual shares the memory of its primal and tangent: writes to it reach both; what does not fit is refused as by PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from tests.said import Error, check

import chainrule as cr


def dual(lib, write=lambda d: None, primal=None, tangent=None):
    """Return primal and tangent after a write to their dual, and what the dual then is."""
    ad = lib.autograd.forward_ad
    p = lib.zeros(3) if primal is None else primal
    t = lib.ones(3) if tangent is None else tangent
    with ad.dual_level():
        d = ad.make_dual(p, t)
        write(d)
        u = ad.unpack_dual(d)
        return p, t, u.primal, u.tangent, u.tangent is t, p._version, d._version


def between_duals(lib):
    ad = lib.autograd.forward_ad
    p, t = lib.zeros(3), lib.ones(3)
    with ad.dual_level():
        d, other = ad.make_dual(p, t), ad.make_dual(lib.full((3,), 5.0), lib.full((3,), 7.0))
        d[0] = other[1]
        d[1:].copy_((other * other)[1:])
        return p, t


def unpacked(lib):
    ad = lib.autograd.forward_ad
    with ad.dual_level():
        y = ad.make_dual(lib.ones(3), lib.ones(3)) * 2
        u = ad.unpack_dual(y)
        u.primal.add_(3)
        u.tangent.add_(10)
        y.mul_(2)
        return u.primal, u.tangent, ad.unpack_dual(y).primal, ad.unpack_dual(y).tangent


def handed_out(lib, view, write, then, late=False):
    """Write to what `unpack_dual` hands out of a view of a dual, and ask for what was computed of it and of its base."""
    ad = lib.autograd.forward_ad
    w = lib.ones(4, requires_grad=True)
    with ad.dual_level():
        base = ad.make_dual(lib.arange(4.0), lib.ones(4)) * 2
        seen = view(base)
        if late:
            u = ad.unpack_dual(seen)
        y = base * w
        if not late:
            u = ad.unpack_dual(seen)
        write(u)
        return then(ad, base, seen, y, w)


def _pulled(part):
    def then(ad, base, seen, y, w):
        getattr(ad.unpack_dual(y), part).sum().backward()
        return w.grad

    return then


def _as_it_is(ad, base, seen, y, w):
    return *ad.unpack_dual(base), *ad.unpack_dual(seen), base._version


MODIFIED = Error(RuntimeError, "one of the variables needed for gradient computation has been modified by an inplace operation")


def is_view(lib, f):
    ad = lib.autograd.forward_ad
    x = lib.arange(4.0)
    with ad.dual_level():
        d = f(ad.make_dual(x, lib.ones(4)))
        return d._is_view(), d._base is x, d._base is None


def nested(lib, inner):
    ad = lib.autograd.forward_ad
    with ad.dual_level():
        d = ad.make_dual(lib.ones(3), lib.ones(3))
        inner(ad, d)


def jvp_writes(lib):
    x, v = lib.ones(3), lib.ones(3)
    pair = lib.func.jvp(lambda x: x.mul_(2) * 3, (x,), (v,))
    return pair, x, v


def function(lib, forward, jvp, dirty=False):
    """Return what a custom function makes of a dual."""

    class F(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            if dirty:
                ctx.mark_dirty(x)
            return forward(x)

    F.jvp = staticmethod(jvp)
    ad = lib.autograd.forward_ad
    p, t = lib.ones(2), lib.ones(2)
    with ad.dual_level():
        u = ad.unpack_dual(F.apply(ad.make_dual(p, t)))
        return u.primal, u.tangent, p, t


ONE, TWO = [1, 1, 1], [2, 2, 2]
NO_VIEW = Error(
    RuntimeError, "A custom Function's forward is returning a view (or an input as-is) but the jvp is not returning a view."
)
PROGRAMS = {
    "mul_": (lambda t: dual(t, lambda d: d.mul_(2)), [[0, 0, 0], TWO, [0, 0, 0], TWO, True, 1, 1]),
    "add_": (lambda t: dual(t, lambda d: d.add_(5)), [[5, 5, 5], ONE, [5, 5, 5], ONE, True, 1, 1]),
    "zero_": (lambda t: dual(t, lambda d: d.zero_())[:4], [[0, 0, 0]] * 4),
    "a view": (lambda t: dual(t, lambda d: d[1:].mul_(4))[:4], [[0, 0, 0], [1, 4, 4], [0, 0, 0], [1, 4, 4]]),
    "exp_": (lambda t: dual(t, lambda d: d.exp_().exp_())[:4], [[np.e] * 3] * 4),
    "between duals": (between_duals, [[5, 25, 25], [7, 70, 70]]),
    "what was unpacked": (unpacked, [[10, 10, 10], [24, 24, 24]] * 2),
    "a leaf": (
        lambda t: dual(t, lambda d: d.mul_(2), t.zeros(3, requires_grad=True)),
        Error(RuntimeError, "a view of a leaf Variable that requires grad is being used in an in-place operation."),
    ),
    "jvp": (jvp_writes, [[[6, 6, 6], [6, 6, 6]], TWO, TWO]),
    "a tangent that lies otherwise": (
        lambda t: [x.stride() for x in dual(t, primal=t.zeros(2, 3), tangent=t.ones(3, 2).t())[2:4]],
        [[3, 1], [3, 1]],
    ),
    "an expanded tangent": (
        lambda t: dual(t, lambda d: d.mul_(2), t.zeros(2, 3), t.ones(3).expand(2, 3))[3:5],
        [[TWO, TWO], False],
    ),
    "a dual of a dual": (
        lambda t: nested(t, lambda ad, d: ad.make_dual(d, t.ones(3))),
        Error(
            RuntimeError,
            "Making a dual Tensor based on a Tensor that already has a forward gradient at the same level 0 is not supported.",
        ),
    ),
    "a dual as tangent": (
        lambda t: nested(t, lambda ad, d: ad.make_dual(t.ones(3), d)),
        Error(RuntimeError, "Setting a forward grad that itself has a forward gradient at the same level0 is not supported."),
    ),
    "another size": (
        lambda t: dual(t, tangent=t.ones(2)),
        Error(RuntimeError, "Trying to set a forward gradient that has a different size"),
    ),
    "unpacking a number": (
        lambda t: nested(t, lambda ad, d: ad.unpack_dual(2.0)),
        Error(TypeError, "argument 'dual' (position 1) must be Tensor"),
    ),
    "a view of a view": (
        lambda t: function(t, lambda x: x.view(2, 1), lambda ctx, g: g.view(2, 1))[:2],
        [[[1], [1]], [[1], [1]]],
    ),
    "a copy for a view": (lambda t: function(t, lambda x: x.view(2, 1), lambda ctx, g: g.view(2, 1) * 1), NO_VIEW),
    "a copy for the input": (lambda t: function(t, lambda x: x, lambda ctx, g: g * 1), NO_VIEW),
    "the tangent for the input": (lambda t: function(t, lambda x: x, lambda ctx, g: g), NO_VIEW),
    "a view for the input": (lambda t: function(t, lambda x: x, lambda ctx, g: g.view_as(g))[:2], [[1, 1], [1, 1]]),
    "a view of something else": (
        lambda t: function(t, lambda x: x.view(2, 1), lambda ctx, g: t.ones(2).view(2, 1)),
        Error(
            RuntimeError, "A custom Function is returning a view but the jvp is not returning a view of the given grad input."
        ),
    ),
    "a copy for a write": (
        lambda t: function(t, lambda x: x.mul_(2), lambda ctx, g: g * 2, dirty=True),
        Error(RuntimeError, "An inplace custom Function is not modifying the forward mode gradients inplace."),
    ),
    "a dual is a view": (lambda t: is_view(t, lambda d: d), [True, True, False]),
    "a view of a dual": (lambda t: is_view(t, lambda d: d[1:]), [True, True, False]),
    "a result is no view": (lambda t: is_view(t, lambda d: d * 1), [False, False, True]),
    "a write to the primal of a view": (
        lambda t: handed_out(t, lambda d: d[2:], lambda u: u.primal.mul_(5), _as_it_is),
        [[0, 2, 20, 30], [2, 2, 2, 2], [20, 30], [2, 2], 1],
    ),
    "a write to the tangent of a view": (
        lambda t: handed_out(t, lambda d: d[2:], lambda u: u.tangent.mul_(5), _as_it_is)[:4],
        [[0, 2, 4, 6], [2, 2, 10, 10], [4, 6], [10, 10]],
    ),
    **{
        f"{part} used before a write through {name}, {late=}": (
            lambda t, part=part, view=view, late=late: handed_out(
                t, view, lambda u: getattr(u, part).mul_(5), _pulled(part), late
            ),
            MODIFIED,
        )
        for part in ("primal", "tangent")
        for name, view in (("itself", lambda d: d), ("a view", lambda d: d[2:]), ("a reshape", lambda d: d.view(2, 2)))
        for late in (False, True)
    },
    "a write for a write": (
        lambda t: function(t, lambda x: x.mul_(2), lambda ctx, g: g.mul_(3), dirty=True),
        [[2, 2], [3, 3], [2, 2], [3, 3]],
    ),
}


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_a_program_says_what_it_should(name):
    check(cr, *PROGRAMS[name])


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_pytorch_says_so_too(name, torch):
    check(torch, *PROGRAMS[name])


IN_PLACE = {"sin": "sin_", "exp": "exp_", "square": "square_", "tanh": "tanh_"}


@pytest.mark.parametrize("name", list(IN_PLACE))
@pytest.mark.parametrize("given", ["leaf of another", "result"])
def test_gradients_of_tangents_are_those_of_the_functions_that_write_nothing(name, given):
    found = []
    for method in (name, IN_PLACE[name]):
        w, c = cr.tensor([0.7, -0.2], requires_grad=True), cr.tensor([0.4, 0.3], requires_grad=True)
        with cr.autograd.forward_ad.dual_level():
            d = cr.autograd.forward_ad.make_dual(w * 2 if given == "result" else cr.tensor([0.7, -0.2]), cr.tensor([0.5, 2.0]))
            d = d * 1 if given == "leaf of another" and method == name else d
            before = c * d
            d = getattr(d, method)()
            out = d * d * c + d.sin() * c
            tangent = cr.autograd.forward_ad.unpack_dual(out).tangent
            tangent.sum().backward()
        found.append((tangent.tolist(), c.grad.tolist(), None if w.grad is None else w.grad.tolist()))
        assert before.requires_grad
    np.testing.assert_allclose(*[np.concatenate([x for x in f if x is not None]) for f in found], rtol=1e-5)


def test_a_value_saved_before_a_write_to_a_dual_is_noticed():
    w = cr.ones(2, requires_grad=True)
    with cr.autograd.forward_ad.dual_level():
        y = cr.autograd.forward_ad.make_dual(cr.ones(2), cr.ones(2))
        z = w * y
        y.mul_(5)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            cr.autograd.forward_ad.unpack_dual(z).primal.sum().backward()
