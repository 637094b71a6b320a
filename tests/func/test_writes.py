"""Memory written to between a call of a transform and the use of what it returned: the right value or the error."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import func
from chainrule.autograd import grad
from chainrule.core.graph.nodes import Version
from chainrule.core.tensor.tensor import wrap
from chainrule.core.types.tree import tree_flatten
from chainrule.func import pullbacks, pushforwards
from chainrule.testing import OpError, cases, writes


def draw(seed, *shape, recorded=False):
    t = wrap(np.random.default_rng(seed).normal(size=shape) + 0.3)
    return t.requires_grad_() if recorded else t


class Product(cr.autograd.Function):
    @staticmethod
    def forward(x, w):
        return x * w

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        return g * w, g * x


@func.custom_vjp
def exponential(x):
    return x.exp()


def _residual(x):
    e = x.exp()
    return e, e


exponential.defvjp(_residual, lambda e, g: (g * e,))


@func.custom_jvp
def square(x):
    return x * x


square.defjvp(lambda primals, tangents: (primals[0] ** 2, 2 * primals[0] * tangents[0]))

V, W = draw(10, 3), draw(11, 3)


# Each returns the tensors to write to, and what is computed after the write.


def pulled(f, *args, has_aux=False):
    x = draw(0, *args) if args else draw(0, 3)
    y, pull, *aux = func.vjp(f, x, has_aux=has_aux)
    g = tree_flatten(y)[0]
    return [x, *g, *aux], lambda: pull(cr.ones_like(y))


def captured(f):
    """Differentiate by a recorded tensor that a transform captured."""
    x, w = draw(0, 3), draw(1, 3, recorded=True)
    found = tree_flatten(f(x, w))[0]
    weights = [draw(20 + i, *t.shape) for i, t in enumerate(found)]
    moving = [(t, g) for t, g in zip(found, weights, strict=True) if t.requires_grad]
    return [x, *found], lambda: grad([t for t, _ in moving], w, [g for _, g in moving])


def _both(f):
    """Return a function's intermediate value and its product with a recorded tensor."""
    return lambda x, w: ((z := f(x)), z * w)


def pull_of_a_recorded_argument():
    x = draw(0, 3, recorded=True) * 1
    _, pull = func.vjp(lambda x: x * x, x)
    return [x], lambda: pull(V)


def pull_by_a_cotangent_that_a_pull_saved():
    x, v = draw(0, 3), draw(1, 3)
    g, pull = func.vjp(lambda x: func.vjp(lambda x: x * x * x, x)[1](v)[0], x)
    return [x, v, g], lambda: pull(V)


def pull_of_a_pull():
    x, v = draw(0, 3), draw(1, 3)
    y, pull = func.vjp(lambda x: x * x.exp(), x)
    g, again = func.vjp(lambda v: pull(v)[0], v)
    return [x, v, y, g], lambda: again(V)


def batch_of_pulls():
    x = draw(0, 3)
    y, pull = func.vjp(lambda x: x * x.exp(), x)
    return [x, y], lambda: func.vmap(pull)(cr.eye(3, dtype=cr.float64))


def pull_of_a_push():
    x, v = draw(0, 3), draw(1, 3)
    (y, d), pull = func.vjp(lambda x: func.jvp(lambda x: x * x.exp(), (x,), (v,)), x)
    return [x, v, y, d], lambda: pull((V, W))


def pull_by_the_tangent_of_a_push():
    x, v = draw(0, 3), draw(1, 3)
    (y, d), pull = func.vjp(lambda v: func.jvp(lambda x: x * x.exp(), (x,), (v,)), v)
    return [x, v, y, d], lambda: pull((V, W))


def recorded_tangent():
    x, v = draw(0, 3), draw(1, 3, recorded=True)
    y, d = func.jvp(lambda x: x * x.exp(), (x,), (v,))
    return [x, y], lambda: grad(d, v, V)


def recorded_hessian():
    x, w = draw(0, 3), draw(1, 3, recorded=True)
    h = func.hessian(lambda x: (x**3 * w).sum())(x)
    s = (h * h).sum()
    return [x, h], lambda: grad(s, w)


def linear_map():
    x, w = draw(0, 3), draw(1, 3)
    y, push = func.linearize(lambda x: x * w * x, x)
    return [x, w, y], lambda: push(V)


def batched(f, **dims):
    x, w = draw(0, 2, 3), draw(1, 3, 3, recorded=True)
    z, y = func.vmap(lambda x: f(x, w), **dims)(x)
    g = draw(2, *y.shape)
    return [x, z, y], lambda: grad(y, w, g)


PROGRAMS = {
    "pull": lambda: pulled(lambda x: x * x.exp()),
    "pull of a view": lambda: pulled(lambda x: (lambda z: z * z)(x.reshape(6)), 2, 3),
    "pull of a product that reshapes": lambda: pulled(lambda x: x @ W, 2, 2, 3),
    "pull of sorted values": lambda: pulled(lambda x: x.sort().values ** 2, 5),
    "pull of several saved results": lambda: pulled(lambda x: x.cummax(0).values.exp(), 5),
    "pull with aux": lambda: pulled(lambda x: ((z := x * 2) * z, z), has_aux=True),
    "pull with a view as aux": lambda: pulled(lambda x: ((z := x * 2) * z, z[1:]), has_aux=True),
    "pull of a batch": lambda: pulled(func.vmap(lambda x: x * x.exp()), 2, 3),
    "pull of a custom function": lambda: pulled(lambda x: Product.apply(x, W)),
    "pull of a custom vjp": lambda: pulled(exponential),
    "pull of a batch of a custom vjp": lambda: pulled(func.vmap(exponential)),
    "pull of a custom jvp": lambda: pulled(square),
    "vjp of a captured tensor": lambda: captured(lambda x, w: func.vjp(lambda x: x * w, x)[0]),
    "vjp, an intermediate value": lambda: captured(lambda x, w: func.vjp(lambda x: _both(cr.exp)(x, w), x)[0]),
    "vjp, a custom function": lambda: captured(lambda x, w: func.vjp(lambda x: Product.apply(x, w), x)[0]),
    "jvp of a captured tensor": lambda: captured(lambda x, w: func.jvp(lambda x: x * w, (x,), (x.exp(),))),
    "jvp, an intermediate value": lambda: captured(lambda x, w: func.jvp(lambda x: _both(cr.exp)(x, w), (x,), (V,))),
    "jvp of a flattened value": lambda: captured(lambda x, w: func.jvp(lambda x: x.flatten() * w, (x,), (V,))),
    "jet of a captured tensor": lambda: captured(lambda x, w: func.jet(lambda x: x * w, (x,), ([V],))),
    "linearize with a captured tensor": lambda: captured(lambda x, w: func.linearize(lambda x: x * w, x)[0]),
    "vmap": lambda: batched(lambda x, w: ((z := x * 2), z * w)),
    "vmap of a product": lambda: batched(lambda x, w: ((z := x * 2), z @ w)),
    "vmap to another axis": lambda: batched(lambda x, w: ((z := x * 2), z * w), out_dims=1),
    **{f.__name__: f for f in (
        pull_of_a_recorded_argument, pull_by_a_cotangent_that_a_pull_saved, pull_of_a_pull, batch_of_pulls, pull_of_a_push,
        pull_by_the_tangent_of_a_push, recorded_tangent, recorded_hessian, linear_map,
    )},
}  # fmt: skip


def silently_wrong(program):
    """Return which tensor, written to in which way, makes a program give another number."""
    right = arrays(program()[1]())
    for place in range(len(program()[0])):
        for way, write in writes.WAYS.items():
            tensors, after = program()
            if not writes.has_written(tensors[place], write):
                continue
            try:
                found = arrays(after())
            except RuntimeError as error:
                assert str(error).startswith(writes.REFUSED), error  # noqa: PT017
                continue
            if not all(np.allclose(a, b) for a, b in zip(found, right, strict=True)):
                return f"tensor {place} {way}"
    return None


def arrays(tree):
    return [t.detach().numpy() for t in tree_flatten(tree)[0]]


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_write_after_a_transform_is_noticed(program):
    assert silently_wrong(program) is None


@pytest.mark.parametrize("name", ["linear_map", "pull_of_a_pull"])
@pytest.mark.parametrize("looks_on", ["a hook on a leaf", "anomaly mode"])
def test_it_is_noticed_whatever_looks_on(name, looks_on):
    if looks_on == "anomaly mode":
        with cr.autograd.set_detect_anomaly(True, check_nan=False):
            assert silently_wrong(PROGRAMS[name]) is None
    else:
        leaf = cr.ones(1, requires_grad=True)
        handle = leaf.register_hook(lambda g: g)
        assert silently_wrong(PROGRAMS[name]) is None
        handle.remove()


def test_an_argument_that_was_written_to_before_is_as_any():
    x = cr.ones(3)
    x.mul_(3)
    _, pull = func.vjp(lambda x: x * x, x)
    assert pull(cr.ones(3))[0].tolist() == [6.0, 6.0, 6.0]


def test_the_error_tells_versions():
    x = cr.tensor([1.0, 2.0])
    _, pull = func.vjp(lambda x: x * x, x)
    x.mul_(5)
    with pytest.raises(RuntimeError, match=r"is at version 1; expected version 0 instead"):
        pull(cr.ones(2))


# -- planted faults ----------------------------------------------------------------------------------------------------


def test_leaves_without_the_version_of_their_memory_are_found(monkeypatch):
    monkeypatch.setattr(pullbacks, "version_of", lambda t: Version())
    assert silently_wrong(PROGRAMS["pull"]) is not None
    first = {case.op.name: case for case in reversed(cases(kinds="f"))}
    for name in ("div", "mm", "hypot"):
        with pytest.raises(OpError, match=r"func\.vjp: operand"):
            writes.a_write_before_the_pull_is_noticed(first[name])


def test_duals_without_the_version_of_their_memory_are_found(monkeypatch):
    monkeypatch.setattr(pushforwards, "version_of", lambda t: Version())
    assert silently_wrong(PROGRAMS["jvp of a captured tensor"]) is not None
