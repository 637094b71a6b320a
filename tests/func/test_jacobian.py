"""`jacobian`, `jacrev`, `jacfwd`, `hessian`: PyTorch's results and errors; the choice of mode, chunks, complex numbers."""

from __future__ import annotations

import itertools
import tracemalloc
import warnings

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.types.tree import tree_flatten

X = np.array([0.3, -1.2, 2.0])
W = np.random.default_rng(0).normal(size=(4, 3))


def leaves(tree, torch):
    flat = torch.utils._pytree.tree_flatten(tree)[0] if torch else tree_flatten(tree)[0]
    return [np.asarray(leaf.detach()) for leaf in flat]


FUNCTIONS = {
    "wide": (lambda t, x: t.tensor(W) @ t.sin(x), lambda x: (x,)),
    "narrow": (lambda t, x: t.tensor(W).T[:2] @ x.exp(), lambda x: (x.new_tensor([0.1, 0.2, 0.3, 0.4]),)),
    "scalar": (lambda t, x: (x**3).sum(), lambda x: (x,)),
    "of a scalar": (lambda t, x: x * t.ones(3, dtype=t.float64), lambda x: (x[0],)),
    "scalar of a scalar": (lambda t, x: x.sin(), lambda x: (x[0],)),
    "matrices": (lambda t, x: x.reshape(3, 1) * x.exp(), lambda x: (x,)),
    "of a matrix": (lambda t, x: (x @ x.T).exp(), lambda x: (x.reshape(1, 3).repeat(2, 1),)),
    "trees": (
        lambda t, p: {"a": p["u"] * p["v"].sum(), "b": (p["v"],)},
        lambda x: ({"u": x[:2], "v": x.reshape(3, 1)},),
    ),
    "constant": (lambda t, x: t.ones(2, dtype=t.float64), lambda x: (x,)),
    "partly constant": (lambda t, x: (x * 2, t.ones(2, dtype=t.float64)), lambda x: (x,)),
    "the input": (lambda t, x: x, lambda x: (x,)),
    "no output": (lambda t, x: x[:0] * 2, lambda x: (x,)),
    "no input": (lambda t, x: x.sum() * t.ones(2, dtype=t.float64), lambda x: (x[:0],)),
}


@pytest.mark.parametrize(("mode", "chunk"), list(itertools.product((None, "forward", "reverse"), (None, 1, 2))))
@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_every_mode_and_chunk_gives_pytorchs_jacobian(name, mode, chunk, torch):
    f, at = FUNCTIONS[name]
    if name == "no input":
        expected = [np.zeros((2, 0))]
    else:
        expected = leaves(torch.func.jacrev(lambda *x: f(torch, *x))(*at(torch.tensor(X))), torch)
    found = leaves(cr.func.jacobian(lambda *x: f(cr, *x), mode=mode, chunk_size=chunk)(*at(cr.tensor(X))), None)
    assert [a.shape for a in found] == [a.shape for a in expected]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


CALLS = {
    "argnums": lambda t, x: t.func.jacrev(lambda x, y: x * y, argnums=1)(x, 2 * x),
    "several argnums": lambda t, x: t.func.jacrev(lambda x, y: (x * y, y), argnums=(0, 1))(x, 2 * x),
    "several argnums forward": lambda t, x: t.func.jacfwd(lambda x, y: (x * y, y), argnums=(1, 0))(x, 2 * x),
    "a negative argnum": lambda t, x: t.func.jacrev(lambda x, y: x * y, argnums=-1)(x, 2 * x),
    "aux": lambda t, x: t.func.jacrev(lambda x: (x * x, {"aux": x + 1}), has_aux=True)(x),
    "aux forward": lambda t, x: t.func.jacfwd(lambda x: (x * x, {"aux": x + 1}), has_aux=True)(x),
    "chunks": lambda t, x: t.func.jacrev(lambda x: x * x, chunk_size=2)(x),
    "preallocated": lambda t, x: t.func.jacrev(lambda x: x * x, chunk_size=1, _preallocate_and_copy=True)(x),
    "hessian": lambda t, x: t.func.hessian(lambda x: (x**3).sum() * x[0])(x),
    "hessian of several": lambda t, x: t.func.hessian(lambda x, y: (x * y**2).sum(), argnums=(0, 1))(x, 2 * x),
    "hessian of a vector": lambda t, x: t.func.hessian(lambda x: x**3 * x[0])(x),
    "hessian of trees": lambda t, x: t.func.hessian(lambda p: {"y": p["a"] * p["b"].sum()})({"a": x, "b": x[:2]}),
    "jacrev of jacrev": lambda t, x: t.func.jacrev(t.func.jacrev(lambda x: x**3))(x),
    "jacfwd of jacfwd": lambda t, x: t.func.jacfwd(t.func.jacfwd(lambda x: x**3 * x[0]))(x),
    "jacrev of jacfwd": lambda t, x: t.func.jacrev(t.func.jacfwd(lambda x: x**3 * x[0]))(x),
    "third derivative": lambda t, x: t.func.jacfwd(t.func.hessian(lambda x: (x**4).sum() * x[0]))(x),
    "vmap of jacrev": lambda t, x: t.func.vmap(t.func.jacrev(lambda x: x.sin() * x))(t.stack([x, 2 * x])),
    "vmap of hessian": lambda t, x: t.func.vmap(t.func.hessian(lambda x: (x.sin() * x).sum()))(t.stack([x, 2 * x])),
    "jacrev of vmap": lambda t, x: t.func.jacrev(t.func.vmap(lambda x: x.sum().exp()))(t.stack([x, 2 * x])),
    "no such argument": lambda t, x: t.func.jacrev(lambda x: x, argnums=1)(x),
    "argnums twice": lambda t, x: t.func.jacfwd(lambda x: x, argnums=(0, 0))(x),
    "argnums empty": lambda t, x: t.func.jacfwd(lambda x: x, argnums=())(x),
    "argnums a float": lambda t, x: t.func.jacfwd(lambda x: x, argnums=1.5)(x),
    "no chunk": lambda t, x: t.func.jacrev(lambda x: x, chunk_size=0)(x),
    "negative chunk": lambda t, x: t.func.jacrev(lambda x: x, chunk_size=-1)(x),
    "a number returned": lambda t, x: t.func.jacrev(lambda x: 3)(x),
    "a number returned forward": lambda t, x: t.func.jacfwd(lambda x: 3)(x),
    "integers": lambda t, x: t.func.jacrev(lambda x: x)(x.long()),
    "no aux": lambda t, x: t.func.jacfwd(lambda x: x, has_aux=True)(x),
    "random numbers": lambda t, x: t.func.jacfwd(lambda x: x * t.randn(3))(x),
}  # fmt: skip


@pytest.mark.parametrize("name", list(CALLS))
def test_calls_give_what_they_give_in_pytorch(name, torch):
    outcomes = []
    for library in (torch, cr):
        with warnings.catch_warnings():
            if library is torch:
                warnings.simplefilter("ignore")
            try:
                outcomes.append(leaves(CALLS[name](library, library.tensor(X)), torch if library is torch else None))
            except Exception as error:
                outcomes.append(error)
    expected, found = outcomes
    if isinstance(expected, Exception):
        assert type(found) is type(expected), found
        assert str(found).lower()[:20] == str(expected).lower()[:20]
        return
    assert not isinstance(found, Exception), found
    assert [a.shape for a in found] == [a.shape for a in expected]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)


# -- the choice of mode ------------------------------------------------------------------------------------------------


def test_the_mode_follows_the_sizes_and_can_be_overridden():
    few, many = cr.ones(3, dtype=cr.float64), cr.ones(50, dtype=cr.float64)
    widen = lambda x: (x[:, None] * cr.ones(30, dtype=cr.float64)).sin().reshape(-1)
    narrow = lambda x: x.reshape(-1, 5).sum(0).sin()
    cases = [
        (cr.func.jacobian(widen), few, "forward", 3, 90),
        (cr.func.jacobian(narrow), many, "reverse", 50, 5),
        (cr.func.jacobian(widen, mode="reverse"), few, "reverse", 3, 90),
        (cr.func.jacobian(narrow, mode="forward"), many, "forward", 50, 5),
        (cr.func.jacobian(lambda x: x.sin()), few[0], "forward", 1, 1),
    ]
    for jacobian, x, mode, inputs, outputs in cases:
        assert jacobian.plan is None
        jacobian(x)
        plan = jacobian.plan
        assert (plan.mode, plan.inputs, plan.outputs, plan.sweeps) == (mode, inputs, outputs, 1)
        assert plan.reason
    with pytest.raises(ValueError, match="mode is 'forward', 'reverse' or None"):
        cr.func.jacobian(widen, mode="backward")


def test_the_function_runs_no_oftener_than_needed():
    runs = []

    def f(x):
        runs.append(1)
        return x.sin().sum()

    x = cr.ones(40, dtype=cr.float64)
    cr.func.jacobian(f)(x)
    assert len(runs) == 1  # recorded, and pulled along the record
    cr.func.jacobian(f, chunk_size=7)(x)
    assert len(runs) == 2
    cr.func.jacobian(lambda x: f(x) * cr.ones(5))(x[0])
    assert len(runs) == 3  # one input: forward mode at once
    cr.func.jacobian(lambda x: f(x) * cr.ones(5))(x[:2])
    assert len(runs) == 4  # two inputs, five outputs: the record is there, and running again would save little
    cr.func.jacobian(lambda x: f(x) * cr.ones(500))(x[:2])
    assert len(runs) == 6  # recorded, which tells the sizes; then forward


def test_hessian_is_forward_over_the_cheaper_first_derivative():
    x = cr.ones(4, dtype=cr.float64)
    hessian = cr.func.hessian(lambda x: (x**3).sum())
    hessian(x)
    assert (hessian.plan.mode, hessian.plan.inner.mode) == ("forward", "reverse")
    hessian = cr.func.hessian(lambda x: cr.outer(x, x).repeat(3, 3).sin())
    hessian(x)
    assert (hessian.plan.mode, hessian.plan.inner.mode) == ("forward", "forward")
    assert cr.func.hessian(lambda x: (x**3).sum(), chunk_size=3)(x).tolist() == np.diag([6.0] * 4).tolist()


WEIGHTS = [cr.tensor(np.random.default_rng(seed).normal(size=(200, 200)) / 15) for seed in range(4)]


class Square(cr.autograd.Function):
    @staticmethod
    def forward(x):
        return x * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * x * g


def test_what_has_no_forward_rule_is_taken_in_reverse_mode():
    x = cr.tensor(X)
    widen = lambda x: Square.apply(x)[:, None] * cr.ones(1000, dtype=cr.float64)
    jacobian = cr.func.jacobian(widen)
    assert cr.equal(jacobian(x), cr.func.jacrev(widen)(x))
    assert jacobian.plan.mode == "reverse"
    assert jacobian.plan.reason.startswith("forward mode cannot: You must implement the jvp function")
    with pytest.raises(NotImplementedError, match="You must implement the jvp function"):
        cr.func.jacobian(widen, mode="forward")(x)
    f = lambda x: (Square.apply(x) ** 2).sum()
    np.testing.assert_allclose(cr.func.hessian(f)(x).numpy(), np.diag(12 * X**2))
    np.testing.assert_allclose(cr.func.hvp(f, x, cr.tensor([1.0, 2, 3], dtype=cr.float64)).numpy(), 12 * X**2 * [1, 2, 3])


def perceptron(x):
    for weight in WEIGHTS:
        x = cr.tanh(weight @ x)
    return x


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_memory_stays_within_the_bound(mode):
    x = cr.tensor(np.linspace(0, 1, 200))
    cr.func.jacobian(perceptron, mode=mode, memory=50_000)(x)
    bound, result = 300_000, 200 * 200 * 8
    peaks = {}
    for memory in (None, bound):
        jacobian = cr.func.jacobian(perceptron, mode=mode, memory=memory)
        tracemalloc.start()
        jacobian(x)
        peaks[memory] = tracemalloc.get_traced_memory()[1] - result
        tracemalloc.stop()
    assert peaks[bound] < bound
    assert peaks[None] > 2 * bound
    assert 1 < jacobian.plan.chunk < 50


def test_negative_argnums_and_keyword_arguments_work_in_both_modes():
    x, y = cr.tensor(X), cr.tensor(2 * X)  # PyTorch's jacfwd gives zeros for argnums=-1
    for jacobian in (cr.func.jacfwd, cr.func.jacrev):
        np.testing.assert_allclose(jacobian(lambda x, y: x * y, argnums=-1)(x, y).numpy(), np.diag(X))
        np.testing.assert_allclose(jacobian(lambda x, *, s: x * s)(x, s=2).numpy(), 2 * np.eye(3))


def test_chunks_draw_the_same_random_numbers():
    def f(x):
        return x * cr.randn(6, dtype=cr.float64)

    x = cr.ones(6, dtype=cr.float64)
    for mode, chunk in itertools.product(("forward", "reverse"), (None, 1, 4)):
        cr.manual_seed(0)
        expected = f(x)
        cr.manual_seed(0)
        J = cr.func.jacobian(f, mode=mode, chunk_size=chunk)(x)
        np.testing.assert_allclose(J.numpy(), np.diag(expected.numpy()))
    drawn = []
    for randomness, chunk in itertools.product(("same", "different"), (None, 4)):
        cr.manual_seed(0)
        J, aux = cr.func.jacobian(
            lambda x: (f(x), x + 1), has_aux=True, mode="forward", randomness=randomness, chunk_size=chunk
        )(x)  # fmt: skip
        assert aux.tolist() == [2] * 6
        drawn.append(np.diag(J.numpy()))
    np.testing.assert_allclose(drawn[0], drawn[1])
    assert not np.allclose(drawn[0], drawn[2])


def test_entries_of_a_result_are_differentiable():
    w = cr.tensor(X, requires_grad=True)
    for mode, chunk in itertools.product(("forward", "reverse"), (None, 1, 2)):
        J = cr.func.jacobian(lambda x: w * x**2, mode=mode, chunk_size=chunk)(cr.tensor(X))
        (g,) = cr.autograd.grad(J.sum(), w)
        np.testing.assert_allclose(g.numpy(), 2 * X)


# -- complex numbers ---------------------------------------------------------------------------------------------------

Z = np.array([1 + 2j, -0.5 + 0.3j])
COMPLEX = {
    "holomorphic": (lambda z: z**2 * z[0], Z, "holomorphic"),
    "to real": (lambda z: (z * z.conj()).real * z[0].real, Z, "gradient"),
    "from real": (lambda x: x**2 * (1 + 2j) * x[0], Z.real, "parts"),
    "real": (lambda x: x**2 * x[0], Z.real, "parts"),
}


@pytest.mark.parametrize(("mode", "chunk"), list(itertools.product((None, "forward", "reverse"), (None, 1, 3))))
@pytest.mark.parametrize("name", list(COMPLEX))
def test_complex_jacobians_are_numeric_derivatives(name, mode, chunk):
    f, x, convention = COMPLEX[name]
    J = cr.func.jacobian(f, mode=mode, chunk_size=chunk)(cr.tensor(x)).numpy()
    h = 1e-6
    along = lambda t: (f(cr.tensor(x + h * t)).numpy() - f(cr.tensor(x - h * t)).numpy()) / (2 * h)
    columns = []
    for e in np.eye(2):
        column = along(e.astype(x.dtype))
        columns.append(column + 1j * along(1j * e) if convention == "gradient" else column)
    np.testing.assert_allclose(J, np.stack(columns, 1), rtol=1e-7, atol=1e-8)


def test_a_complex_gradient_is_what_grad_gives():
    f = lambda z: (z * z.conj()).real.sum()
    for mode in ("forward", "reverse"):
        np.testing.assert_allclose(cr.func.jacobian(f, mode=mode)(cr.tensor(Z)).numpy(), cr.func.grad(f)(cr.tensor(Z)).numpy())


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_a_function_that_is_not_holomorphic_has_no_complex_jacobian(mode):
    with pytest.raises(RuntimeError, match="does not obey the Cauchy-Riemann equations"):
        cr.func.jacobian(lambda z: z.conj(), mode=mode)(cr.tensor(Z))
    as_real = lambda p: cr.view_as_real(cr.view_as_complex(p).conj().resolve_conj())
    real = cr.func.jacobian(as_real, mode=mode)(cr.view_as_real(cr.tensor(Z)))
    np.testing.assert_allclose(real.numpy()[0, :, 0], [[1, 0], [0, -1]])


# -- Hessian-vector products and Laplacians ----------------------------------------------------------------------------


def test_hvp_is_the_product_with_the_hessian():
    f = lambda x: (x.sin() * x[0]).sum()
    x, t = cr.tensor(X), cr.tensor([1.0, -2.0, 0.5], dtype=cr.float64)
    H = cr.func.hessian(f)(x)
    np.testing.assert_allclose(cr.func.hvp(f, x, t).numpy(), (H @ t).numpy())
    (product,) = cr.func.hvp(f, (x,), (t,))
    np.testing.assert_allclose(product.numpy(), (H @ t).numpy())
    np.testing.assert_allclose(cr.func.vmap(lambda t: cr.func.hvp(f, x, t))(cr.eye(3, dtype=cr.float64)).numpy(), H.numpy())


def test_hvp_takes_several_arguments_and_pytrees():
    f = lambda x, p: (x**2 * p["a"] ** 3).sum()
    x, a = cr.tensor(X), cr.tensor(X + 1)
    dx, da = cr.tensor(X * 2), cr.tensor(X - 1)
    by_x, by_p = cr.func.hvp(f, (x, {"a": a}), (dx, {"a": da}))
    np.testing.assert_allclose(by_x.numpy(), (2 * a**3 * dx + 6 * x * a**2 * da).numpy())
    np.testing.assert_allclose(by_p["a"].numpy(), (6 * x * a**2 * dx + 6 * x**2 * a * da).numpy())


def test_hvp_runs_the_function_once():
    runs = []
    cr.func.hvp(lambda x: runs.append(1) or (x**3).sum(), cr.tensor(X), cr.tensor(X))
    assert len(runs) == 1


@pytest.mark.parametrize("chunk", [None, 1, 2])
def test_laplacian_is_the_trace_of_the_hessian(chunk):
    f = lambda x: (x.sin() * x[0] * x.exp()).sum()
    x = cr.tensor(X)
    np.testing.assert_allclose(cr.func.laplacian(f, chunk_size=chunk)(x).item(), cr.func.hessian(f)(x).trace().item())
    np.testing.assert_allclose(cr.func.laplacian(f, memory=1000)(x).item(), cr.func.hessian(f)(x).trace().item())
    several = cr.func.laplacian(lambda x, y: {"u": x**2 * y**3, "c": x.sum()}, argnums=(0, 1), chunk_size=chunk)(x, x + 1)
    np.testing.assert_allclose(several["u"].numpy(), 2 * (X + 1) ** 3 + 6 * X**2 * (X + 1))
    assert several["c"].item() == 0


def test_laplacian_nests_and_refuses_complex_numbers():
    f = lambda x: (x**4).sum()
    x = cr.tensor(X)
    np.testing.assert_allclose(cr.func.grad(cr.func.laplacian(f))(x).numpy(), 24 * X)
    np.testing.assert_allclose(cr.func.laplacian(cr.func.laplacian(f))(x).item(), 72)
    batch = cr.stack([x, 2 * x])
    np.testing.assert_allclose(cr.func.vmap(cr.func.laplacian(f))(batch).numpy(), [12 * (X**2).sum(), 48 * (X**2).sum()])
    with pytest.raises(RuntimeError, match="Expected all inputs to be of real floating point numbers"):
        cr.func.laplacian(f)(cr.tensor(Z))
