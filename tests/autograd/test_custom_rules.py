"""`custom_jvp` and `custom_vjp`: their rules are used, in every transform, and agree with the plain function's derivatives."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import chainrule as cr
from chainrule import func
from chainrule.core.types.tree import tree_flatten


def plain(x, k):
    return x**3 * k


@func.custom_jvp
def by_jvp(x, k):
    return x**3 * k


@by_jvp.defjvp
def _(primals, tangents):
    (x, k), (dx, dk) = primals, tangents
    return by_jvp(x, k), 3 * x**2 * k * dx + x**3 * dk


@func.custom_vjp
def by_vjp(x, k):
    return x**3 * k


by_vjp.defvjp(lambda x, k: (x**3 * k, (x, x**2, k)), lambda r, g: (3 * r[1] * r[2] * g, r[1] * r[0] * g))


def double(value):
    return cr.tensor(value, dtype=cr.float64)


def forward(f):
    return lambda x: func.jvp(f, (x,), (x * 0 + 1,))[1]


def batched(f):
    return lambda x: func.vmap(f)(cr.stack([x, x + 1]))[0]


def recorded(f):
    def derivative(x):
        x = x if x.requires_grad else x.clone().requires_grad_()
        return cr.autograd.grad(f(x), x, create_graph=True)[0]

    return derivative


TRANSFORMS = {"grad": func.grad, "jvp": forward, "vmap": batched}
EXPECTED = {0: 16.0, 1: 24.0, 2: 24.0, 3: 12.0}


@pytest.mark.parametrize("function", [by_jvp, by_vjp])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_transforms_nest_in_any_order(function, depth):
    for names in itertools.product(TRANSFORMS, repeat=depth):
        derivatives = [n for n in names if n != "vmap"]
        if function is by_vjp and derivatives and derivatives[0] == "jvp":
            continue
        f = lambda x: function(x, double(2.0))
        for name in names:
            f = TRANSFORMS[name](f)
        assert f(double(2.0)).item() == EXPECTED[len(derivatives)], names


@pytest.mark.parametrize("function", [by_jvp, by_vjp])
def test_recorded_derivatives_have_every_order(function):
    f = lambda x: function(x, double(2.0))
    x = double(2.0).requires_grad_()
    assert recorded(recorded(recorded(f)))(x).item() == 12
    assert func.grad(recorded(f))(x.detach()).item() == 24
    assert recorded(func.grad(f))(x).item() == 24
    function(x, x).backward()
    assert x.grad.item() == 4 * 8


@pytest.mark.parametrize("function", [by_jvp, by_vjp])
def test_batches_that_share_an_argument_sum_its_gradients(function):
    x, k = cr.tensor([1.0, 2.0, 3.0], dtype=cr.float64), double(2.0)
    loss = lambda f: lambda x, k: (func.vmap(f, (0, None))(x, k) ** 2).sum()
    for a, b in zip(func.grad(loss(function), (0, 1))(x, k), func.grad(loss(plain), (0, 1))(x, k), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy())
    leaf = k.clone().requires_grad_()
    loss(function)(x, leaf).backward()
    np.testing.assert_allclose(leaf.grad.item(), func.grad(loss(plain), 1)(x, k).item())


def test_the_rules_are_the_ones_used():
    @func.custom_jvp
    def f(x):
        return x * 2

    f.defjvps(lambda t, out, x: 10 * t)
    x = double(3.0)
    assert f(x).item() == 6
    assert func.grad(f)(x).item() == 10
    assert func.jvp(f, (x,), (x,))[1].item() == 30

    @func.custom_vjp
    def g(x):
        return x * 2

    g.defvjp(lambda x: (x * 2, None), lambda _, g: (7 * g,))
    assert func.grad(g)(x).item() == 7
    assert func.vmap(func.grad(g))(cr.stack([x, x])).tolist() == [7.0, 7.0]


def test_a_rule_may_call_its_function():
    @func.custom_vjp
    def f(x):
        return x * 2

    f.defvjp(lambda x: (f(x), x), lambda x, g: (f(x) * g,))
    x = cr.tensor([1.0, 2.0, 3.0])
    assert func.vmap(f)(x).tolist() == [2.0, 4.0, 6.0]
    assert func.vmap(func.grad(f))(x).tolist() == [2.0, 4.0, 6.0]
    assert func.grad(lambda x: func.vmap(f)(x).sum())(x).tolist() == [2.0, 4.0, 6.0]
    assert func.vmap(func.grad(func.grad(f)))(x).tolist() == [2.0 * t for t in x.tolist()]
    assert func.trace(func.vmap(func.grad(f)))(x)(x).tolist() == [2.0, 4.0, 6.0]


def test_pytrees_static_arguments_and_keywords():
    @func.custom_jvp
    def f(params, mode, scale):
        assert mode == "sum"
        return {"out": (params["w"] * params["b"][0]).sum() * scale}, params["w"]

    f = func.custom_jvp(f.fun, nondiff_argnums=(1,))

    @f.defjvp
    def rule(mode, primals, tangents):
        params, scale = primals
        dots, ds = tangents
        assert (mode, ds) == ("sum", 0.0)
        out = f(params, mode, scale)
        t = (dots["w"] * params["b"][0] + params["w"] * dots["b"][0]).sum() * scale
        return out, ({"out": t}, dots["w"])

    @func.custom_vjp
    def g(params, mode, scale):
        return {"out": (params["w"] * params["b"][0]).sum() * scale}, params["w"]

    g = func.custom_vjp(g.fun, nondiff_argnums=(1,))
    g.defvjp(
        lambda params, mode, scale: (f.fun(params, mode, scale), (params, scale)),
        lambda mode, r, gs: (
            {"w": gs[0]["out"] * r[0]["b"][0] * r[1] + gs[1], "b": [gs[0]["out"] * r[0]["w"] * r[1]]},
            None,
        ),
    )
    params = {"w": cr.tensor([1.0, 2.0]), "b": [cr.tensor([3.0, 5.0])]}
    loss = lambda f: lambda p: f(p, "sum", scale=3.0)[0]["out"] ** 2 + f(p, "sum", 3.0)[1].sum()
    expected = tree_flatten(func.grad(loss(f.fun))(params))[0]
    for function in (f, g):
        found = tree_flatten(func.grad(loss(function))(params))[0]
        assert [t.tolist() for t in found] == [t.tolist() for t in expected]


def test_integer_arguments_and_results():
    @func.custom_jvp
    def f(x, i):
        return x[i] * 2, i + 1

    @f.defjvp
    def _(primals, tangents):
        x, i = primals
        return f(x, i), (tangents[0][i] * 2, None)

    x, i = cr.tensor([1.0, 2.0, 3.0]), cr.tensor(1)
    out, j = f(x, i)
    assert (out.item(), j.item()) == (4.0, 2)
    assert func.grad(lambda x: f(x, i)[0])(x).tolist() == [0.0, 2.0, 0.0]
    leaf = x.clone().requires_grad_()
    f(leaf, i)[0].backward()
    assert leaf.grad.tolist() == [0.0, 2.0, 0.0]


def test_complex_rules_give_pytorchs_conjugate_gradients():
    square = func.custom_jvp(lambda z: z * z)
    square.defjvps(lambda t, out, z: 2 * z * t)
    z = cr.tensor(1 + 2j)
    loss = lambda f: lambda z: f(z).real
    assert func.grad(loss(square))(z).item() == func.grad(loss(lambda z: z * z))(z).item() == 2 - 4j


def test_functions_trace_as_one_equation():
    for function in (by_jvp, by_vjp):
        graph = func.trace(lambda x, k, f=function: f(x, k) * 2)(double(2.0), double(3.0))
        assert [e.op.name for e in graph.equations] == [function.name, "mul"]
        assert graph(double(1.0), double(1.0)).item() == 2
        assert func.grad(graph)(double(3.0), double(1.0)).item() == 54
        derivative = func.trace(func.grad(function))(double(2.0), double(3.0))
        assert derivative(double(1.0), double(1.0)).item() == 3


def test_errors_say_what_to_do():
    w = cr.ones(()).requires_grad_()
    x = double(1.0).requires_grad_()
    closed = func.custom_jvp(lambda x: x * w)
    closed.defjvps(lambda t, out, x: t)
    with pytest.raises(RuntimeError, match="closes over .* Pass the tensor as an argument"):
        closed(x)
    with pytest.raises(RuntimeError, match="closes over"):
        func.grad(lambda v: func.custom_jvp(lambda x: x * v) and _closing(v)(x.detach() * v))(double(2.0))
    with cr.no_grad():
        assert closed(x).item() == 1
    with pytest.raises(AttributeError, match="No JVP defined for custom_jvp function"):
        func.custom_jvp(lambda x: x)(x)
    with pytest.raises(AttributeError, match="No VJP defined for custom_vjp function"):
        func.custom_vjp(lambda x: x)(x)
    with pytest.raises(NotImplementedError, match=r"can't apply forward-mode .* custom_jvp, whose rule serves both"):
        func.jvp(lambda x: by_vjp(x, x), (x.detach(),), (x.detach(),))
    with pytest.raises(NotImplementedError, match="can't apply forward-mode"):
        func.jvp(func.vmap(lambda x: by_vjp(x, x)), (cr.ones(2),), (cr.ones(2),))
    lone = func.custom_vjp(lambda x: x * 1)
    lone.defvjp(lambda x: x * 1, lambda r, g: (g,))
    with pytest.raises(TypeError, match="Custom VJP fwd rule for function .* must produce a pair"):
        lone(x)
    lone.defvjp(lambda x: (x * 1, None), lambda r, g: g)
    with pytest.raises(TypeError, match="Custom VJP bwd rule must produce an output with the same container"):
        lone(x).backward()
    bad = func.custom_jvp(lambda x: x * 1)
    bad.defjvp(lambda primals, tangents: primals[0])
    with pytest.raises(TypeError, match="Custom JVP rule for function .* must produce a pair"):
        bad(x).backward()
    bad.defjvp(lambda primals, tangents: (primals[0], (primals[0], primals[0])))
    with pytest.raises(TypeError, match="must produce primal and tangent outputs with equal container"):
        func.jvp(bad, (x.detach(),), (x.detach(),))


def _closing(v):
    f = func.custom_jvp(lambda x: x * v)
    f.defjvps(lambda t, out, x: t)
    return f


def test_methods_can_be_decorated():
    class Model:
        scale = 3.0

        @func.custom_jvp
        def f(self, x):
            return self.scale * x

        f.defjvp(lambda primals, tangents: (primals[0].f(primals[1]), 5 * tangents[1]))

    model = Model()
    assert func.grad(model.f)(double(1.0)).item() == 5
    assert model.f(double(1.0)).item() == 3


@pytest.mark.parametrize("inner", [lambda x: x, lambda x: x.sin()])
def test_taylor_mode_follows_the_rule(inner):
    f, g = (lambda x, h=h: h(inner(x), x).exp() for h in (by_jvp, plain))
    x, series = double(0.7), [double(1.0), *[double(0.0)] * 4]
    expected = func.jet(g, (x,), (series,))[1]
    for a, b in zip(func.jet(f, (x,), (series,))[1], expected, strict=True):
        np.testing.assert_allclose(a.item(), b.item(), rtol=1e-12)
    third = lambda f: func.grad(lambda x: func.jet(f, (x,), (series,))[1][2])
    np.testing.assert_allclose(third(f)(x).item(), third(g)(x).item(), rtol=1e-12)
    np.testing.assert_allclose(
        func.jet(func.grad(f), (x,), (series,))[1][2].item(), func.jet(func.grad(g), (x,), (series,))[1][2].item(), rtol=1e-12
    )
    with pytest.raises(NotImplementedError, match="can't apply forward-mode"):
        func.jet(lambda x: by_vjp(x, x), (x,), (series,))
