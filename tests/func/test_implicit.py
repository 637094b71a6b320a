"""Implicit differentiation: solutions have the derivatives of the equations they solve, in every mode, nesting and batch."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest

import chainrule as cr
from chainrule import func
from chainrule.core.types.tree import tree_flatten
from chainrule.func import solvers

RNG = np.random.default_rng(3)


def double(value):
    return cr.tensor(value, dtype=cr.float64)


def close(a, b, rtol=1e-7, atol=1e-9):
    for x, y in zip(tree_flatten(a)[0], tree_flatten(b)[0], strict=True):
        np.testing.assert_allclose(x.detach().numpy(), y.detach().numpy(), rtol=rtol, atol=atol)


def cube_root(a):
    return func.custom_root(lambda x: x**3 - a, double(1.0))


def cube_root_by_iteration(a):
    return func.fixed_point(lambda x, a: (2 * x + a / x**2) / 3, double(1.0), a)


def cube_root_by_newton(a):
    def newton(f, x):
        for _ in range(40):
            x = x - f(x) / func.grad(f)(x)
        return x

    return func.custom_root(lambda x: x**3 - a, double(1.0), newton, lambda g, y: y / g(double(1.0)))


def quotient(a):
    return func.linear_solve(lambda x: a**2 * x, a**3 * 5)


SOLUTIONS = {
    "custom_root": (cube_root, lambda a: a ** (1 / 3)),
    "custom_root, own solvers": (cube_root_by_newton, lambda a: a ** (1 / 3)),
    "fixed_point": (cube_root_by_iteration, lambda a: a ** (1 / 3)),
    "linear_solve": (quotient, lambda a: 5 * a),
    "composed": (lambda a: cube_root(quotient(a) * a) * a, lambda a: (5 * a * a) ** (1 / 3) * a),
}


def recorded(f):
    def derivative(x):
        x = x if x.requires_grad else x.clone().requires_grad_()
        return cr.autograd.grad(f(x), x, create_graph=True)[0]

    return derivative


TRANSFORMS = {
    "grad": func.grad,
    "jvp": lambda f: lambda x: func.jvp(f, (x,), (x * 0 + 1,))[1],
    "vmap": lambda f: lambda x: func.vmap(f)(cr.stack([x, x + 1]))[0],
}


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("name", list(SOLUTIONS))
def test_transforms_nest_in_any_order(name, depth):
    solution, exact = SOLUTIONS[name]
    for names in itertools.product(TRANSFORMS, repeat=depth):
        f, g = solution, exact
        for n in names:
            f, g = TRANSFORMS[n](f), TRANSFORMS[n](g)
        close(f(double(8.0)), g(double(8.0)))


@pytest.mark.parametrize("names", [("grad", "jvp", "grad"), ("jvp", "grad", "jvp"), ("grad", "vmap", "jvp"), ("jvp",) * 3])
@pytest.mark.parametrize("name", ["custom_root", "linear_solve"])
def test_third_order(name, names):
    f, g = SOLUTIONS[name]
    for n in names:
        f, g = TRANSFORMS[n](f), TRANSFORMS[n](g)
    close(f(double(8.0)), g(double(8.0)), rtol=1e-6)


@pytest.mark.parametrize("name", list(SOLUTIONS))
def test_the_graph_holds_solutions(name):
    solution, exact = SOLUTIONS[name]
    a = double(8.0).requires_grad_()
    solution(a).backward()
    close(a.grad, func.grad(exact)(a.detach()))
    close(recorded(recorded(solution))(a), func.grad(func.grad(exact))(a.detach()))
    close(func.grad(recorded(solution))(a.detach()), func.grad(func.grad(exact))(a.detach()))


# -- matrices, pytrees -------------------------------------------------------------------------------------------------


def matrix(n, symmetric=False):
    m = RNG.normal(size=(n, n)) / n + 2 * np.eye(n)
    return double(m @ m.T if symmetric else m)


def dense(a, b):
    """Solve by elimination, written with chainrule's operations: the derivative another way."""
    n = len(b)
    rows, right = [a[i] for i in range(n)], [b[i] for i in range(n)]
    for k in range(n):
        for i in range(n):
            if i != k:
                factor = rows[i][k] / rows[k][k]
                rows[i], right[i] = rows[i] - factor * rows[k], right[i] - factor * right[k]
    return cr.stack([right[i] / rows[i][i] for i in range(n)])


def solved(a, b, **options):
    return func.linear_solve(lambda x: a @ x, b, **options)


def hvp(f, args, along):
    gradient = func.grad(f, (0, 1))
    return func.jvp(gradient, args, along)[1], func.grad(lambda *x: _dot(gradient(*x), along), (0, 1))(*args)


def _dot(a, b):
    return sum((x * y).sum() for x, y in zip(a, b, strict=True))


SOLVERS = {
    "default": {},
    "own solve": {"solve": lambda matvec, b: double(np.linalg.solve(columns(matvec, b), b.numpy()))},
    "own transpose": {"transpose_solve": lambda vecmat, g: double(np.linalg.solve(columns(vecmat, g), g.numpy()))},
    "iterative": {"solve": None},
}


def columns(matvec, b):
    return np.stack([matvec(double(e)).numpy() for e in np.eye(len(b))], axis=1)


@pytest.mark.parametrize("name", list(SOLVERS))
def test_linear_solve_has_the_derivatives_of_elimination(name, monkeypatch):
    if name == "iterative":
        monkeypatch.setattr(solvers, "DENSE", 1)
    a, b = matrix(4), double(RNG.normal(size=4))
    along = double(RNG.normal(size=(4, 4))), double(RNG.normal(size=4))
    f, g = (lambda *x, s=s: (s(*x) ** 3).sum() for s in (lambda *x: solved(*x, **SOLVERS[name]), dense))
    close(solved(a, b, **SOLVERS[name]), dense(a, b))
    close(func.grad(f, (0, 1))(a, b), func.grad(g, (0, 1))(a, b))
    close(func.jvp(f, (a, b), along), func.jvp(g, (a, b), along))
    close(hvp(f, (a, b), along), hvp(g, (a, b), along), rtol=1e-6)


@pytest.mark.parametrize("dense_up_to", [1, 128])
def test_symmetric_operators_use_one_solver(dense_up_to, monkeypatch):
    monkeypatch.setattr(solvers, "DENSE", dense_up_to)
    m, b = matrix(4, symmetric=True), double(RNG.normal(size=4))
    f = lambda m, b: (solved((m + m.t()) / 2, b, symmetric=True) ** 2).sum()
    g = lambda m, b: (dense((m + m.t()) / 2, b) ** 2).sum()
    close(func.grad(f, (0, 1))(m, b), func.grad(g, (0, 1))(m, b))
    used = []

    def solve(matvec, b):
        used.append(1)
        return double(np.linalg.solve(columns(matvec, b), b.numpy()))

    func.grad(lambda b: solved(m, b, solve=solve, symmetric=True).sum())(b)
    assert len(used) == 2


@pytest.mark.parametrize("dims", [(0, 0), (0, None), (None, 0)])
def test_batches_of_equations(dims):
    a = double(np.stack([matrix(3).numpy() for _ in range(4)])) if dims[0] == 0 else matrix(3)
    b = double(RNG.normal(size=(4, 3) if dims[1] == 0 else 3))
    close(func.vmap(solved, dims)(a, b), func.vmap(dense, dims)(a, b))
    loss = lambda s: lambda a, b: (func.vmap(s, dims)(a, b) ** 2).sum()
    close(func.grad(loss(solved), (0, 1))(a, b), func.grad(loss(dense), (0, 1))(a, b))
    each = lambda s: func.vmap(func.grad(lambda a, b: (s(a, b) ** 2).sum(), (0, 1)), dims)
    close(each(solved)(a, b), each(dense)(a, b))
    close(func.jvp(loss(solved), (a, b), (a, b)), func.jvp(loss(dense), (a, b), (a, b)))


def test_a_batch_of_equations_is_solved_at_once(monkeypatch):
    calls = []
    one = solvers.solve_linear
    monkeypatch.setattr(solvers, "solve_linear", lambda *args: calls.append(1) or one(*args))
    a = double(np.stack([matrix(3).numpy() for _ in range(20)]))
    b = double(RNG.normal(size=(20, 3)))
    func.vmap(func.grad(lambda a, b: (solved(a, b) ** 2).sum(), (0, 1)))(a, b)
    assert not calls
    nested = lambda s: func.vmap(func.vmap(s, (None, 0)), (0, None))(a[:2], b[:3])
    close(nested(solved), nested(dense))
    with pytest.warns(UserWarning, match="singular or nearly so"):
        func.vmap(lambda d: func.linear_solve(lambda v: d * v, double([1.0, 1.0])))(double([[1.0, 1.0], [1.0, 1e-18]]))
    assert func.vmap(solved)(a[:0], b[:0]).shape == (0, 3)
    assert func.vmap(cube_root)(double(np.zeros(0))).shape == (0,)


def test_batches_of_roots():
    a, x0 = double([1.0, 8.0, 27.0]), double(1.0)
    root = lambda a: func.custom_root(lambda x: x**3 - a, x0)
    close(func.vmap(root)(a), double([1.0, 2.0, 3.0]))
    close(func.vmap(func.grad(root))(a), 1 / 3 * a ** (-2 / 3))
    close(func.grad(lambda a: func.vmap(root)(a).sum())(a), 1 / 3 * a ** (-2 / 3))
    close(func.vmap(func.grad(func.grad(root)))(a), -2 / 9 * a ** (-5 / 3), rtol=1e-6)


def test_complex_equations_have_pytorchs_conjugate_gradients():
    a = cr.tensor(RNG.normal(size=(3, 3)) + 1j * RNG.normal(size=(3, 3)) + 3 * np.eye(3))
    b = cr.tensor(RNG.normal(size=3) + 1j * RNG.normal(size=3))
    f, g = (lambda *x, s=s: (s(*x).abs() ** 2).sum() for s in (solved, dense))
    close(func.grad(f, (0, 1))(a, b), func.grad(g, (0, 1))(a, b))
    close(func.jvp(f, (a, b), (a, b)), func.jvp(g, (a, b), (a, b)))


def test_unknowns_are_pytrees_and_solvers_return_aux():
    p = double([1.0, 2.0])

    def f(x):
        return {"u": x["u"] ** 2 + p * x["v"][0] - 3, "v": [x["v"][0] - p.sum() / 3]}

    guess = {"u": double([1.0, 1.0]), "v": [double(1.0)]}

    def solve(f, x):
        count = 0
        while solvers.norm(tree_flatten(f(x))[0]) > 1e-13:
            v = x["v"][0] - f(x)["v"][0]
            x = {"u": x["u"] - f({"u": x["u"], "v": [v]})["u"] / (2 * x["u"]), "v": [v]}
            count += 1
        return x, {"iterations": count, "last": x["u"]}

    def loss(q):
        nonlocal p
        p = q
        x, aux = func.custom_root(f, guess, solve, has_aux=True)
        assert aux["iterations"] < 60
        assert not aux["last"].requires_grad
        return (x["u"] ** 2).sum() + x["v"][0]

    exact = lambda q: (3 - q * q.sum() / 3).sum() + q.sum() / 3
    q = double([1.0, 2.0])
    close(func.grad(loss)(q), func.grad(exact)(q))
    close(func.jvp(loss, (q,), (q,)), func.jvp(exact, (q,), (q,)))
    b = {"x": double([1.0, 2.0]), "y": (double(3.0),)}
    operator = lambda w: lambda v: {"x": w * v["x"] + v["y"][0], "y": (v["x"].sum() + 5 * v["y"][0],)}
    solution = lambda w: sum(t.sum() for t in tree_flatten(func.linear_solve(operator(w), b))[0])
    w = double([2.0, 3.0])
    fixed = double([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 5.0]])
    a = lambda w: fixed + cr.diag(cr.cat([w, w[:1] * 0]))
    close(func.grad(solution)(w), func.grad(lambda w: dense(a(w), double([1.0, 2.0, 3.0])).sum())(w))


def test_a_function_that_branches_keeps_its_derivatives():
    def solution(a):
        def f(x):
            if x < 10:
                return x**3 - a
            return (x - a) ** 2

        return func.custom_root(f, double(1.0), lambda f, x: _newton(f, x))

    close(func.grad(solution)(double(8.0)), double(1 / 12))
    a = double(8.0).requires_grad_()
    solution(a).backward()
    close(a.grad, double(1 / 12))


def _newton(f, x):
    for _ in range(60):
        x = x - f(x) / func.grad(f)(x)
    return x


def test_optimality_conditions_give_the_derivative_of_a_minimiser():
    x, y = double(RNG.normal(size=(6, 3))), double(RNG.normal(size=6))

    def ridge(weight):
        loss = lambda w: ((x @ w - y) ** 2).sum() + weight * (w**2).sum()
        return func.custom_root(func.grad(loss), double(np.zeros(3)))

    exact = lambda weight: dense(x.t() @ x + weight * double(np.eye(3)), x.t() @ y)
    w = double(0.7)
    close(ridge(w), exact(w))
    for take in (lambda f: func.jvp(f, (w,), (w,))[1], lambda f: func.grad(lambda v: (f(v) ** 2).sum())(w)):
        close(take(ridge), take(exact))
    second = lambda f: func.grad(func.grad(lambda v: (f(v) ** 2).sum()))(w)
    close(second(ridge), second(exact), rtol=1e-6)


def test_fixed_points_of_layers():
    w, b = double(RNG.normal(size=(4, 4)) / 5), double(RNG.normal(size=4))
    layer = lambda z, w, b: cr.tanh(w @ z + b)

    def unrolled(w, b):
        z = b * 0
        for _ in range(80):
            z = layer(z, w, b)
        return z

    equilibrium = lambda w, b: func.fixed_point(layer, double(np.zeros(4)), w, b)
    loss = lambda f: lambda *p: (f(*p) ** 2).sum()
    close(equilibrium(w, b), unrolled(w, b))
    close(func.grad(loss(equilibrium), (0, 1))(w, b), func.grad(loss(unrolled), (0, 1))(w, b))
    close(func.jvp(equilibrium, (w, b), (w, b)), func.jvp(unrolled, (w, b), (w, b)))
    close(func.vmap(equilibrium, (None, 0))(w, cr.stack([b, b + 1]))[1], unrolled(w, b + 1))
    closed = lambda p: func.fixed_point(lambda z: layer(z, p, b), double(np.zeros(4)), memory=0)
    close(func.grad(loss(closed))(w), func.grad(loss(lambda w: unrolled(w, b)))(w))


def test_solutions_trace():
    graph = func.trace(cube_root)(double(8.0))
    assert "custom_root" in [e.op.name for e in graph.equations]
    close(graph(double(27.0)), double(3.0))
    close(func.grad(graph)(double(27.0)), double(1 / 27))
    derivative = func.trace(func.grad(cube_root))(double(8.0))
    close(derivative(double(27.0)), double(1 / 27))


def test_many_unknowns_are_solved_without_a_matrix():
    n = 400
    d, b = double(RNG.uniform(1, 2, n)), double(RNG.normal(size=n))
    products = []

    def solution(d, symmetric):
        def matvec(v):
            products.append(1)
            return d * v + 0.1 * (cr.roll(v, 1) + cr.roll(v, -1))

        return func.linear_solve(matvec, b, symmetric=symmetric)

    for symmetric in (False, True):
        products.clear()
        x = solution(d, symmetric)
        whole = np.diag(d.numpy()) + 0.1 * (np.roll(np.eye(n), 1, 0) + np.roll(np.eye(n), -1, 0))
        close(x, double(np.linalg.solve(whole, b.numpy())))
        g = func.grad(lambda d, s=symmetric: solution(d, s).sum())(d)
        close(g, double(-np.linalg.solve(whole.T, np.ones(n)) * x.numpy()), rtol=1e-6)


# -- trust -------------------------------------------------------------------------------------------------------------


def test_bad_solutions_warn():
    a = double(8.0)
    with pytest.warns(UserWarning, match=r"custom_root: the solution leaves a residual of .*cannot be trusted"):
        func.custom_root(lambda x: x**3 - a, double(1.0), lambda f, x: x + 0.9)
    with pytest.warns(UserWarning, match="fixed_point: the solution leaves a residual"):
        func.fixed_point(lambda x: x * 0.999 + 1, double(0.0), max_iterations=2, memory=0)
    with pytest.warns(UserWarning, match="linear_solve: the solution leaves a relative residual"):
        func.linear_solve(lambda v: 2 * v, double([1.0, 2.0]), lambda matvec, b: b)
    for matvec in (lambda v: v**2, lambda v: 2 * v + 1):
        with pytest.warns(UserWarning, match="what is not linear in its argument"):
            func.linear_solve(matvec, double([1.0, 2.0]))
    with pytest.warns(UserWarning, match="singular or nearly so"):
        func.linear_solve(lambda v: v.sum() + 0 * v, double([1.0, 1.0]))
    with pytest.warns(UserWarning, match=r"equation of the derivative\).*singular or nearly so"):
        func.grad(lambda p: func.custom_root(lambda x: x**3 - p, double(0.0), lambda f, x: x))(double(0.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        func.custom_root(lambda x: x**3 - a, double(1.0), lambda f, x: x + 0.9, tolerance=math.inf)
        func.custom_root(lambda x: x**3 - a, double(1.0), lambda f, x: x + 0.9, tolerance=0.5)
        func.linear_solve(lambda v: v.sum() + 0 * v, double([1.0, 1.0]), tolerance=math.inf)
        cube_root(cr.tensor(8.0))  # single precision


def test_misuse_is_explained():
    with pytest.raises(ValueError, match="f must return the structure and shapes of its argument"):
        func.custom_root(lambda x: (x, x), double(1.0))
    with pytest.raises(ValueError, match="matvec must return the structure and shapes"):
        func.linear_solve(lambda x: x[:1], double([1.0, 2.0]))
    with pytest.raises(ValueError, match="f returns chainrule.float64 for an unknown of chainrule.float32"):
        func.custom_root(lambda x: x - double([1.0]), cr.ones(1))
    with pytest.raises(ValueError, match="unknowns must be floating point or complex, not chainrule.int64"):
        func.custom_root(lambda x: x * 2, cr.tensor(1))
    with pytest.raises(TypeError, match="the solver returned the structure"):
        func.custom_root(lambda x: x, double(1.0), lambda f, x: (x, 3))
    with pytest.raises(TypeError, match=r"must return a pair \(solution, aux\)"):
        func.custom_root(lambda x: x, double(1.0), lambda f, x: x, has_aux=True)
    with pytest.raises(ValueError, match="has_aux=True needs a solve"):
        func.fixed_point(lambda x: x, double(1.0), has_aux=True)
    with pytest.raises(TypeError, match="takes real unknowns"):
        func.custom_root(lambda x: x**2 + 1, cr.tensor(1j))


@pytest.mark.parametrize("dtype", [cr.float16, cr.bfloat16, cr.float32], ids=str)
def test_small_dtypes_are_solved_in_single(dtype):
    x = cr.tensor([1.0, 2.0]).to(dtype)
    start = cr.ones(2, dtype=dtype)
    solutions = [
        (lambda x: func.custom_root(lambda u: u**3 - x, start), [1.0, 2 ** (1 / 3)], [1 / 3, 2 ** (-2 / 3) / 3]),
        (lambda x: func.fixed_point(lambda u: u * 0.5 + x, start), [2.0, 4.0], [2.0, 2.0]),
        (lambda x: func.linear_solve(lambda u: u * x, start), [1.0, 0.5], [-1.0, -0.25]),
    ]
    for f, value, slope in solutions:
        found = f(x), func.grad(lambda x, f=f: f(x).sum())(x)
        assert [t.dtype for t in found] == [dtype, dtype]
        for t, right in zip(found, (value, slope), strict=True):
            close(t.double(), double(right), rtol=4 * cr.finfo(dtype).eps)
