"""An interpreter is one file: this one counts multiplications, inside and outside of the library's own transforms."""

from __future__ import annotations

from math import prod

import pytest

import chainrule as cr
from chainrule import func
from chainrule.core.call.dispatch import run
from chainrule.core.mode.levels import fresh_level
from chainrule.core.mode.state import scope
from chainrule.core.op.raw import shape_of
from chainrule.core.record.plans import link_view
from chainrule.core.tensor.level import Level
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.transforms.custom.call import Outcome, run_rules


class Counted(Level):
    """A value whose products are counted; its `_tangent` is the list that they are counted in."""

    __slots__ = ()

    def _process(self, op, args, params):
        lower = tuple([a._data if isinstance(a, Tensor) and a._level == self._level else a for a in args])
        out = run(op, lower, params)
        several = isinstance(out, (tuple, list))
        made = [counted(self._level, o, self._tangent) for o in (out if several else (out,))]
        if op.name == "mul":
            self._tangent.append(prod(shape_of(made[0])))
        if op.view:
            for i, t in enumerate(made):
                link_view(t, args[0], op, params, i if several else None)
        return tuple(made) if several else made[0]

    def _lift(self, value):
        return counted(self._level, value, self._tangent)

    def _custom(self, rules, args, above):
        lower = tuple([a._data if isinstance(a, Tensor) and a._level == self._level else a for a in args])
        inner = run_rules(rules, tuple([wrap(a) if not isinstance(a, (Tensor, float, int)) else a for a in lower]), above)
        outs = tuple([counted(self._level, o, self._tangent) for o in inner.outs])
        return Outcome(outs, inner.single, outs, inner.same, inner.requests)


def counted(level, payload, products):
    if isinstance(payload, Counted) and payload._level == level:
        return payload
    t = wrap(payload, Counted)
    t._lv, t._tangent = level, products
    return t


def count(f):
    """Return a function that gives the result of `f` and how many products of numbers it took."""

    def wrapped(*args):
        level, products = fresh_level(), []
        with scope(level):
            out = f(*[counted(level, a, products) for a in args])
        return out._data if out._level == level else out, sum(products)

    return wrapped


def cube(x):
    return x * x * x


def products(f, *args):
    return count(f)(*args)[1]


def test_products_are_counted():
    out, n = count(cube)(cr.tensor([2.0, 3.0]))
    assert cr.as_tensor(out).tolist() == [8.0, 27.0]
    assert n == 4
    assert products(lambda x: (x + x).exp(), cr.ones(3)) == 0


def test_writes_in_place_and_views_count():
    def f(x):
        y = x.clone()
        y[0].mul_(3)
        return y

    out, n = count(f)(cr.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert cr.as_tensor(out).tolist() == [[3.0, 6.0], [3.0, 4.0]]
    assert n == 2


def test_other_transforms_run_inside():
    x = cr.tensor([1.0, 2.0, 3.0])
    forward = products(lambda x: func.jvp(cube, (x,), (cr.ones(3),))[1], x)
    backward = products(lambda x: func.grad(lambda x: cube(x).sum())(x), x)
    assert forward > 6
    assert backward > 6
    assert products(lambda x: func.vmap(cube)(x), x) == 6
    gradient, _ = count(func.grad(lambda x: cube(x).sum()))(x)
    assert cr.as_tensor(gradient).tolist() == [3.0, 12.0, 27.0]


@pytest.mark.parametrize("outer", ["grad", "jvp", "vmap", "requires_grad"])
def test_it_runs_inside_of_other_transforms(outer):
    f = lambda x: cr.as_tensor(count(cube)(x)[0])
    x = cr.tensor([1.0, 2.0])
    if outer == "grad":
        found = func.grad(lambda x: f(x).sum())(x)
    elif outer == "jvp":
        found = func.jvp(f, (x,), (cr.ones(2),))[1]
    elif outer == "vmap":
        found = func.vmap(func.grad(f))(x)
    else:
        x.requires_grad_()
        found = cr.autograd.grad(f(x).sum(), x)[0]
    assert found.tolist() == [3.0, 12.0]


def test_functions_with_rules_of_their_own_pass():
    class Square(cr.autograd.Function):
        @staticmethod
        def forward(x):
            return x * x

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g):
            return 2 * g * ctx.saved_tensors[0]

    x = cr.tensor(3.0, requires_grad=True)
    out, n = count(Square.apply)(x)
    assert cr.autograd.grad(out, x)[0].item() == 6
    assert n == 0  # forward runs at the bottom


def test_what_it_does_not_implement_is_refused_in_words():
    class Bare(Level):
        __slots__ = ()

        def _process(self, op, args, params):
            return wrap_bare(run(op, tuple([a._data if isinstance(a, Bare) else a for a in args]), params))

    def wrap_bare(payload):
        t = wrap(payload, Bare)
        t._lv = level
        return t

    level = fresh_level()
    with scope(level):
        y = wrap_bare(cr.ones(2)) * 2
        assert y.shape == (2,)
        with pytest.raises(RuntimeError, match="no way to pass through a function with rules of its own"):
            _identity(y)
        with pytest.raises(RuntimeError, match="records no backward pass"):
            cr.autograd.grad(y.sum(), cr.ones(2, requires_grad=True), allow_unused=True)


def _identity(x):
    class Identity(cr.autograd.Function):
        @staticmethod
        def forward(x):
            return x.clone()

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, g):
            return g

    return Identity.apply(x)
