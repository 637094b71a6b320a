"""`func.jet` and `func.directional`: conventions, order, cost, singular points, and nesting with the other transforms."""

from __future__ import annotations

import gc
import itertools
import math
import weakref

import numpy as np
import pytest

import chainrule as cr
from chainrule.func import directional, grad, jet, jvp, trace, vjp, vmap

F64 = cr.float64


def t(value, dtype=F64, **kwargs):
    return cr.tensor(value, dtype=dtype, **kwargs)


def close(found, expected, rtol=1e-10):
    np.testing.assert_allclose(
        [np.asarray(x.detach()) for x in found], [np.asarray(x.detach()) for x in expected], rtol=rtol, atol=1e-12
    )


def line(f, x, order, direction=1.0):
    """Return the derivatives of f at x along a direction, up to an order."""
    return jet(f, (x,), ([cr.full_like(x, direction), *[None] * (order - 1)],))[1]


def nested(f, x, order):
    found = []
    for _ in range(order):
        f = (lambda g: lambda x: jvp(g, (x,), (cr.ones_like(x),))[1])(f)
        found.append(f(x))
    return found


# -- values and conventions --------------------------------------------------------------------------------------------


def test_derivatives_are_not_divided_by_factorials():
    found = line(cr.exp, t(0.0), 12)
    close(found, [t(1.0)] * 12)
    x = t(0.5)
    close(line(lambda x: 1 / x, x, 6), [t((-1) ** k * math.factorial(k) * 2.0 ** (k + 1)) for k in range(1, 7)])


def test_a_curve_that_is_no_line():
    """f(x(t)) with x = 2 + 3t + t²/2·5 + t³/6·7, by Faà di Bruno for f = x³."""
    x, d1, d2, d3 = 2.0, 3.0, 5.0, 7.0
    value, found = jet(lambda x: x**3, (t(x),), ([t(d1), t(d2), t(d3)],))
    assert value.item() == 8.0
    expected = [3 * x**2 * d1, 6 * x * d1**2 + 3 * x**2 * d2, 6 * d1**3 + 18 * x * d1 * d2 + 3 * x**2 * d3]
    close(found, [t(e) for e in expected])


def test_pytrees_in_and_out():
    p = {"a": t([1.0, 2.0]), "b": (t(3.0),)}
    series = {"a": [cr.ones(2, dtype=F64), None], "b": ([t(2.0), t(1.0)],)}
    value, found = jet(lambda p, y: {"s": p["a"] * p["b"][0] + y, "y": [y]}, (p, t(1.0)), (series, [None, t(4.0)]))
    close([value["s"], value["y"][0]][:1], [t([4.0, 7.0])])
    close(found["s"], [t([5.0, 7.0]), t([9.0, 10.0])])
    close(found["y"][0], [t(0.0), t(4.0)])


def test_order_0_is_the_value_alone():
    assert jet(lambda x: x * 2, (t(3.0),), ([],)) == (t(6.0), [])


def test_results_that_do_not_depend_and_integers():
    value, found = jet(lambda x: (x * 0 + 1, (x > 0).to(cr.int64), t(5.0)), (t(2.0),), ([t(1.0), t(1.0)],))
    assert [v.item() for v in value] == [1.0, 1, 5.0]
    assert [[d.item() for d in terms] for terms in found] == [[0.0, 0.0]] * 3
    assert found[1][0].dtype is cr.int64


def test_jax_agrees():
    """What jax.experimental.jet 0.10.2 gives; not imported, since it makes a later fork in the same process warn."""
    x, terms = [0.3, -0.4], [[1.0, 2.0], [0.5, -1.0], [0.2, 0.1]]
    value, found = jet(lambda x: cr.sin(x) * cr.exp(x).sum(), (t(x),), ([t(d) for d in terms],))
    np.testing.assert_allclose(value.numpy(), [0.5970036723121805, -0.7866947003404358], rtol=1e-12)
    expected = [
        [2.7250473642610094, 2.6736862644584036], [6.70128034623487, 9.626930789655917], [12.09028834109673, 6.054221313295676],
    ]  # fmt: skip
    np.testing.assert_allclose([d.numpy() for d in found], expected, rtol=1e-12)


def test_complex_values():
    z, v = t(0.3 + 0.4j, cr.complex128), t(1 - 2j, cr.complex128)
    found = jet(lambda z: cr.exp(z * 2j), (z,), ([v, None, None],))[1]
    close(found, [(2j * v) ** k * cr.exp(z * 2j) for k in (1, 2, 3)])
    found = jet(lambda z: z.abs() ** 2, (z,), ([v, None, None],))[1]
    close(found, [t(2 * (0.3 - 0.8)), t(2 * 5.0), t(0.0)])


def test_directional_is_one_of_them():
    x, v = t([1.0, 2.0]), t([1.0, -1.0])
    f = lambda x: (x**3).sum()
    for k, expected in enumerate([3 * (1 - 4), 6 * (1 + 2), 6 * (1 - 1), 0.0], 1):
        assert directional(f, (x,), (v,), k).item() == expected
    assert directional(f, (x,), (v,)).item() == jvp(f, (x,), (v,))[1].item()


def test_directional_takes_pytrees():
    out = directional(lambda p: {"y": p["a"] ** 2 * p["b"]}, ({"a": t(2.0), "b": t(3.0)},), ({"a": t(1.0), "b": t(1.0)},), 2)
    assert out["y"].item() == 2 * 3 + 2 * 2 * 2.0 * 1


def test_laplacian_from_order_2_along_a_basis():
    x = t([0.3, -0.5, 0.7])
    f = lambda x: cr.exp(x[0] * x[1]) * cr.sin(x[2]) + (x**4).sum()
    found = vmap(lambda v: directional(f, (x,), (v,), 2))(cr.eye(3, dtype=F64)).sum()
    second = [jvp(grad(f), (x,), (row,))[1][i].item() for i, row in enumerate(cr.eye(3, dtype=F64))]
    np.testing.assert_allclose(found.item(), sum(second), rtol=1e-10)


# -- cost --------------------------------------------------------------------------------------------------------------


def ops_of(f, order):
    """Return how many ops the derivative of an order takes, counted in a trace."""
    return len(trace(lambda x: line(f, x, order)[-1])(t(0.7)).equations)


def test_order_8_costs_polynomially_where_nested_forward_mode_grows_threefold():
    f = lambda x: cr.sin(x * cr.exp(x))
    counts = [ops_of(f, k) for k in range(1, 13)]
    assert counts[7] < 200
    assert all(b - a <= 60 for a, b in itertools.pairwise(counts)), counts
    steps = np.diff(counts)
    assert max(np.diff(steps)) <= 6, counts  # second differences are bounded: quadratic
    one_by_one = [len(trace(lambda x: nested(f, x, k)[-1])(t(0.7)).equations) for k in (4, 5, 6)]  # noqa: B023
    assert all(b > 2.4 * a for a, b in itertools.pairwise(one_by_one)), one_by_one
    close(line(f, t(0.7), 6), nested(f, t(0.7), 6))


def test_a_long_chain_takes_no_deep_recursion():
    def f(x):
        for _ in range(5000):
            x = cr.sin(x) * 1.01
        return x

    value, found = jet(f, (t(0.5),), ([t(1.0), None, None],))
    dot = jvp(f, (t(0.5),), (t(1.0),))
    close([value, found[0]], dot)


def test_intermediate_series_are_freed_without_the_garbage_collector():
    seen = []
    gc.collect()
    gc.disable()
    try:

        def f(x):
            y = cr.tanh(cr.sin(x)) / (1 + x * x) + cr.lgamma(x) ** 1.5 + cr.logaddexp(x, x * 2)
            seen.append(weakref.ref(y._tangent))
            return y * 2

        jet(f, (t(1.3),), ([t(1.0), None, None],))
        assert seen[0]() is None
        assert not [o for o in gc.get_objects() if type(o).__name__ == "Coefficients"]
    finally:
        gc.enable()


# -- singular points ---------------------------------------------------------------------------------------------------

POINTS = {
    "x**2 at 0": (lambda x: x**2, 0.0), "x**3 at 0": (lambda x: x**3, 0.0), "x**0 at 0": (lambda x: x**0, 0.0),
    "x**3.5 at 0": (lambda x: x**3.5, 0.0), "x**-2": (lambda x: x**-2, -2.0),
    "pow(x, 2.) at 0": (lambda x: cr.pow(x, t(2.0)), 0.0), "x**(x+1)": (lambda x: x ** (x + 1), 0.5),
    "sinc at 0": (cr.sinc, 0.0), "sinc near 0": (cr.sinc, 1e-9), "i0 at 0": (cr.i0, 0.0),
    "abs at 0": (cr.abs, 0.0), "sqrt at 0": (cr.sqrt, 0.0), "log at 0": (cr.log, 0.0), "1/x at 0": (lambda x: 1 / x, 0.0),
    "relu at 0": (cr.relu, 0.0), "clamp at a bound": (lambda x: cr.clamp(x, 0, 1), 1.0),
    "maximum tie": (lambda x: cr.maximum(x, x * 2), 0.0), "sign": (cr.sign, 0.0),
    "prod with a zero": (lambda x: cr.prod(cr.stack([x, x - 1, x * 2])), 1.0),
    "prod of zeros": (lambda x: cr.prod(cr.stack([x, x, x * 2])), 0.0),
    "cumprod of zeros": (lambda x: cr.cumprod(cr.stack([x, x, x * 2]), 0).sum(), 0.0),
    "norm at 0": (lambda x: cr.stack([x, x * 2]).norm(), 0.0), "3-norm": (lambda x: cr.stack([x, x - 1]).norm(3), 0.5),
    "hypot": (lambda x: cr.hypot(x, x + 1), 0.0), "hypot at 0": (lambda x: cr.hypot(x, x), 0.0),
    "atan2": (lambda x: cr.atan2(x, x * 0 + 1), 0.0), "atan2 at 0": (lambda x: cr.atan2(x, x), 0.0),
    "logsumexp": (lambda x: cr.logsumexp(cr.stack([x, x * 2]), 0), 0.0),
    "logaddexp far": (lambda x: cr.logaddexp(x, -x), 50.0), "xlogy at 0": (lambda x: cr.xlogy(x, x + 1), 0.0),
    "where branch": (lambda x: cr.where(x > 0, cr.sqrt(x), x), -1.0), "std of equals": (lambda x: cr.stack([x, x]).std(), 1.0),
    "tan near its pole": (cr.tan, 1.5), "lerp": (lambda x: cr.lerp(x, x * x, x), 0.5),
    "sorted": (lambda x: cr.sort(cr.stack([x, x * x, x * 3]))[0][1], 0.5),
}  # fmt: skip


@pytest.mark.parametrize("name", list(POINTS))
def test_points_where_a_formula_may_break(name):
    f, x = POINTS[name]
    close(line(f, t(x), 5), nested(f, t(x), 5))


# -- writes in place ---------------------------------------------------------------------------------------------------


def test_writes_in_place():
    def f(x):
        y = cr.zeros(3, dtype=F64)
        y[0] = x
        y[1:] = x * x
        v = y[:2]
        v.mul_(cr.sin(x))
        x = x.clone()
        x += y.sum()
        return y * x

    close(line(f, t(0.6), 4), nested(f, t(0.6), 4))


def test_writes_do_not_meet_shared_results():
    """The second sin is the first one's series; writing to one must not reach the other."""

    def f(x):
        a, b = cr.sin(x), cr.sin(x)
        a.mul_(2)
        return a + b * 10

    close(line(f, t(0.6), 3), [t(12 * d) for d in (math.cos(0.6), -math.sin(0.6), -math.cos(0.6))])
    a, b = jet(lambda x: (cr.sin(x), cr.sin(x)), (t([0.6]),), ([t([1.0])],))[0]
    a.zero_()
    assert b.item() != 0


# -- nesting -----------------------------------------------------------------------------------------------------------

F = lambda x: cr.sin(x) * cr.exp(x * 0.5) / (1 + x * x)


def third(f):
    return lambda x: line(f, x, 3)[2]


D = {
    "grad": (lambda f: lambda x: grad(lambda x: f(x).sum())(x), 1),
    "jvp": (lambda f: lambda x: jvp(f, (x,), (cr.ones_like(x),))[1], 1),
    "vjp": (lambda f: lambda x: vjp(f, x)[1](cr.ones_like(x))[0], 1),
    "trace": (lambda f: lambda x: trace(f)(x * 0.5)(x), 0),
    "trace and call": (lambda f: trace(f)(t(0.1)), 0),
    "vmap": (lambda f: lambda x: vmap(f)(cr.stack([x, x]))[1], 0),
    "second of jet": (lambda f: lambda x: line(f, x, 2)[1], 2),
}


@pytest.mark.parametrize("name", list(D))
def test_jet_nests_with_every_transform_in_both_orders(name):
    of, order = D[name]
    x = t(0.4)
    expected = line(F, x, 3 + order)[2 + order]
    close([third(of(F))(x)], [expected])
    close([of(third(F))(x)], [expected])
    close([of(of(third(F)))(x)], [line(F, x, 3 + 2 * order)[2 + 2 * order]])


def test_mixed_partials_of_jet_in_jet():
    """d³/dx² dy of exp(x y) without perturbation confusion."""
    f = lambda x, y: cr.exp(x * y)
    inner = lambda y: line(lambda x: f(x, y), t(0.5), 2)[1]
    found = line(inner, t(0.3), 1)[0]
    expected = (2 * 0.3 + 0.3**2 * 0.5) * math.exp(0.15)
    close([found], [t(expected)])
    close([line(lambda x: x * line(lambda y: x + y, t(1.0), 1)[0], t(3.0), 2)[0]], [t(1.0)])


def test_gradients_flow_to_leaves_through_primals_and_series():
    x, v = t(0.5, requires_grad=True), t(2.0, requires_grad=True)
    w = t(3.0, requires_grad=True)
    jet(lambda x: cr.sin(w * x), (x,), ([v, None],))[1][1].backward()
    x0, v0, w0 = 0.5, 2.0, 3.0
    s, c = math.sin(w0 * x0), math.cos(w0 * x0)  # -(w v)² sin(w x)
    by_w = -2 * w0 * v0**2 * s - (w0 * v0) ** 2 * x0 * c
    close([x.grad, v.grad, w.grad], [t(-((w0 * v0) ** 2) * w0 * c), t(-2 * w0**2 * v0 * s), t(by_w)])


def test_vmap_over_primals_and_series():
    xs, vs = t([0.1, 0.2, 0.3]), t([1.0, 2.0, 3.0])
    found = vmap(lambda x, v: jet(F, (x,), ([v, v, None],))[1])(xs, vs)
    for k in range(3):
        rows = [jet(F, (x,), ([v, v, None],))[1][k] for x, v in zip(xs, vs, strict=True)]
        close([found[k]], [cr.stack(rows)])


# -- errors ------------------------------------------------------------------------------------------------------------


def test_errors():
    x = t(1.0)
    with pytest.raises(RuntimeError, match="Expected primals and series to be tuples"):
        jet(cr.sin, x, ([x],))
    with pytest.raises(RuntimeError, match="series has another structure"):
        jet(cr.sin, (x,), ([x], [x]))
    with pytest.raises(RuntimeError, match="Expected a list of derivatives in series for each tensor of primals, got Tensor"):
        jet(cr.sin, (x,), (x,))
    with pytest.raises(RuntimeError, match=r"Expected as many derivatives for each tensor, got \[1, 2\]"):
        jet(cr.mul, (x, x), ([x], [x, x]))
    with pytest.raises(RuntimeError, match="forward gradient that has a different size"):
        jet(cr.sin, (x,), ([cr.ones(2, dtype=F64)],))
    with pytest.raises(RuntimeError, match="Expected f to return only tensors, got float"):
        jet(lambda x: 1.0, (x,), ([x],))
    with pytest.raises(ValueError, match="order must be at least 1"):
        directional(cr.sin, (x,), (x,), 0)
    with pytest.raises(ValueError, match="Expected primal to be floating point or complex"):
        jet(cr.sin, (cr.tensor(1),), ([cr.tensor(1)],))


def test_a_backward_pass_inside_raises():
    w = t(2.0, requires_grad=True)
    with pytest.raises(RuntimeError, match="inside func.jet: differentiate there with func.grad or func.vjp"):
        line(lambda x: x.requires_grad_(), t(1.0), 2)
    for f in (lambda x: cr.autograd.grad(w * x, w)[0], lambda x: (w * x).backward()):
        with pytest.raises(RuntimeError, match="func.grad or func.vjp"):
            line(f, t(1.0), 2)
    assert w.grad is None
