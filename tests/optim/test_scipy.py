"""SciPy's optimizers with chainrule's derivatives: of arrays as SciPy's users write them, and of pytrees."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr

optimize = pytest.importorskip("scipy.optimize")


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


START = np.array([-1.2, 1.0, 0.8])


def test_minimize_runs_as_written():
    found = optimize.minimize(rosenbrock, START, jac=cr.func.grad(rosenbrock))
    np.testing.assert_allclose(found.x, 1, atol=1e-4)
    found = optimize.minimize(cr.func.value_and_grad(rosenbrock), START, jac=True)
    np.testing.assert_allclose(found.x, 1, atol=1e-4)
    hess = cr.func.hessian(rosenbrock)
    found = optimize.minimize(rosenbrock, START, jac=cr.func.grad(rosenbrock), hess=hess, method="trust-exact")
    np.testing.assert_allclose(found.x, 1, atol=1e-6)
    hessp = lambda x, p: cr.func.hvp(rosenbrock, x, p)
    found = optimize.minimize(rosenbrock, START, jac=cr.func.grad(rosenbrock), hessp=hessp, method="trust-ncg")
    np.testing.assert_allclose(found.x, 1, atol=1e-4)


def test_transforms_of_arrays_give_arrays():
    x, f = np.array([1.0, 2.0]), lambda x: (x**3).sum()
    for found, expected in (
        (cr.func.grad(f)(x), [3, 12]),
        (cr.func.hessian(f)(x), [[6, 0], [0, 12]]),
        (cr.func.jacobian(cr.sin)(x), np.diag(np.cos(x))),
        (cr.func.jacrev(cr.sin)(x), np.diag(np.cos(x))),
        (cr.func.jacfwd(cr.sin)(x), np.diag(np.cos(x))),
        (cr.func.vjp(cr.sin, x)[1](np.ones(2))[0], np.cos(x)),
        (cr.func.jvp(cr.sin, (x,), (np.ones(2),))[1], np.cos(x)),
        (cr.func.grad(lambda p: f(p["a"]))({"a": x})["a"], [3, 12]),
        (cr.func.grad(lambda x: f(x).real)(x + 0j), [3, 12]),
    ):
        assert type(found) is np.ndarray
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert cr.func.grad(f)(x.astype(np.float32)).dtype == np.float32
    value, slope = cr.func.value_and_grad(lambda x: x * x)(np.float64(3))
    assert (value, slope) == (9, 6)
    assert isinstance(value, np.float64)
    assert isinstance(cr.func.grad(f)(cr.tensor(x)), cr.Tensor)
    with pytest.raises(RuntimeError, match="only Tensors of floating point dtype can require gradients"):
        cr.func.grad(f)(np.array([1, 2]))
    with pytest.raises(ValueError, match="Thing passed to transform API must be Tensor, got <class 'float'>"):
        cr.func.grad(f)(1.0)


def test_what_was_given_is_not_shared_and_outer_transforms_keep_their_values():
    x = np.array([1.0, 2.0])
    for found in cr.func.jvp(lambda x: x, (x,), (x,)):
        found[:] = 7
    assert x.tolist() == [1, 2]
    outer = cr.func.grad(lambda t: cr.func.grad(lambda x: (x * x * t).sum())(x).sum())
    assert outer(cr.tensor(3.0, dtype=cr.float64)).item() == 6  # of 2 x t, summed


TREE = {"a": cr.tensor(-1.2, dtype=cr.float64), "b": [cr.tensor([1.0, 0.8], dtype=cr.float64)]}
of_tree = lambda p: rosenbrock(cr.cat([p["a"].reshape(1), p["b"][0]]))
METHODS = ["BFGS", "CG", "L-BFGS-B", "TNC", "SLSQP", "Newton-CG", "dogleg", "trust-ncg", "trust-krylov", "trust-exact",
           "trust-constr", "Nelder-Mead", "Powell", None]  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_each_method_minimizes_a_function_of_a_pytree(method):
    start = TREE
    if method == "dogleg":  # which wants convexity on its way
        start = {"a": cr.tensor(1.1, dtype=cr.float64), "b": [cr.tensor([1.2, 1.4], dtype=cr.float64)]}
    options = {"options": {"maxiter": 3000}} if method in ("CG", "Nelder-Mead", "trust-constr") else {}
    options |= {"options": {"maxfun": 3000}} if method == "TNC" else {}
    options |= {"tol": 1e-9} if method in ("SLSQP", "Nelder-Mead", "Powell") else {}
    found = cr.optim.scipy_minimize(of_tree, start, method=method, **options)
    assert isinstance(found.x["a"], cr.Tensor)
    near = 1e-2 if method == "TNC" else 1e-3  # it stops where steps are small
    np.testing.assert_allclose(found.x["a"].item(), 1, atol=near)
    np.testing.assert_allclose(found.x["b"][0].numpy(), 1, atol=near)


def test_derivatives_of_a_pytree_are_those_of_its_flat_array():
    from chainrule.optim.scipy import Flat, Objective

    objective, x = Objective(of_tree, Flat(TREE, "test")), START
    value, slope = objective.fun_and_jac(x)
    assert value == objective.fun(x)
    np.testing.assert_allclose(value, optimize.rosen(x))
    np.testing.assert_allclose(slope, optimize.rosen_der(x))
    np.testing.assert_allclose(objective.hess(x), optimize.rosen_hess(x))
    p = np.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(objective.hessp(x, p), optimize.rosen_hess(x) @ p)


def test_bounds_arguments_and_arrays_pass_through():
    loss = lambda x, c: ((x - c) ** 2).sum()
    found = cr.optim.scipy_minimize(loss, np.zeros(2), (cr.tensor([2.0, -1.0]),), bounds=[(0, 1), (0, 1)])
    assert type(found.x) is np.ndarray
    np.testing.assert_allclose(found.x, [1, 0])
    given = cr.optim.scipy_minimize(loss, np.zeros(2), (1.0,), jac=lambda x: 2 * (x - 1), method="BFGS")
    np.testing.assert_allclose(given.x, 1)


def test_least_squares_and_roots():
    t = cr.linspace(0, 2, 20, dtype=cr.float64)
    y = 2 * cr.exp(-1.5 * t) + 0.5
    found = cr.optim.scipy_least_squares(
        lambda p: p["scale"] * cr.exp(p["rate"] * t) + p["shift"] - y, {"rate": -1.0, "scale": 1.0, "shift": np.array(0.0)}
    )
    np.testing.assert_allclose([found.x["rate"], found.x["scale"], found.x["shift"]], [-1.5, 2, 0.5], atol=1e-6)
    for method in ("hybr", "lm", "krylov"):
        root = cr.optim.scipy_root(
            lambda x: cr.stack([x[0] + x[1] - 3, x[0] * x[1] - 2]), cr.tensor([0.5, 3.0]).double(), method=method
        )
        np.testing.assert_allclose(root.x.numpy(), [1, 2], atol=1e-5)


def test_what_cannot_be_flattened_is_refused():
    with pytest.raises(ValueError, match="scipy_minimize: x0 holds no values"):
        cr.optim.scipy_minimize(lambda x: x, [])
    with pytest.raises(TypeError, match="scipy_root: x0 holds complex128; SciPy takes real numbers"):
        cr.optim.scipy_root(lambda x: x, np.array(1j))
