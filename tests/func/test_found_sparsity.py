"""Patterns found by themselves: when they are looked for, used again, doubted; `sparse=True` and `prepare`."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from tests.func.test_sparse_jacobian import FUNCTIONS, HESSIANS, agree, arrow, chain, differences, sizes, tensors

import chainrule as cr
from chainrule.core.types.tree import tree_flatten
from chainrule.func import hessian, jacobian


def ramp(n):
    return cr.linspace(0.1, 1, n, dtype=cr.float64)


@pytest.mark.parametrize("mode", [None, "forward", "reverse"])
@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_sparse_blocks_are_the_dense_ones(name, mode):
    f, at = FUNCTIONS[name]
    x = tensors(at)
    J = jacobian(f, mode=mode, sparse=True)
    for _ in range(2):
        found, dense = tree_flatten(J(x))[0], tree_flatten(jacobian(f)(x))[0]
        heights, widths = sizes(f(x)), sizes(x)
        assert [a.shape for a in found] == [(m, n) for m in heights for n in widths]
        for a, b in zip(found, dense, strict=True):
            assert isinstance(a, sp.csr_array)
            np.testing.assert_allclose(
                a.toarray(), b.numpy().reshape(a.shape), rtol=2e-3 if name == "float16" else 1e-5, atol=1e-6
            )
    if J.plan.sparse is not None:
        assert J.plan.sparse.detection > 0


@pytest.mark.parametrize("name", list(HESSIANS))
def test_sparse_hessians_are_the_dense_ones(name):
    f, at = HESSIANS[name]
    at = [cr.tensor(a) for a in at]
    argnums = 0 if name == "one of two" or len(at) == 1 else (0, 1)
    for H in (hessian(f, argnums, sparse=True), hessian(f, argnums, sparse=True).prepare(*at)):
        found, dense = tree_flatten(H(*at))[0], tree_flatten(hessian(f, argnums)(*at))[0]
        for a, b in zip(found, dense, strict=True):
            np.testing.assert_allclose(a.toarray(), b.numpy().reshape(a.shape), atol=1e-10)


# -- by itself ---------------------------------------------------------------------------------------------------------


def test_large_sparse_derivatives_are_compressed_by_themselves():
    x = ramp(2000)
    J = jacobian(lambda x: x[1:] ** 2 * x[:-1].sin())
    found = J(x)
    assert J.plan.sparse.colours == 2
    expected = np.zeros((1999, 2000))
    rows = np.arange(1999)
    expected[rows, rows + 1] = (2 * x[1:] * x[:-1].sin()).numpy()
    expected[rows, rows] = (x[1:] ** 2 * x[:-1].cos()).numpy()
    np.testing.assert_allclose(found.numpy(), expected)
    H = hessian(chain)
    t = cr.sin(ramp(2000) * 50)
    np.testing.assert_allclose((H(x) @ t).numpy(), cr.func.hvp(chain, x, t).numpy(), rtol=1e-9, atol=1e-9)
    assert (H.plan.sparse.kind, H.plan.sparse.colours) in (("star", 3), ("columns", 3))


def test_small_and_dense_derivatives_stay_dense():
    runs = []

    def f(x):
        runs.append(1)
        return x.sin()

    J = jacobian(f)
    for _ in range(200):
        J(ramp(40))
    assert (J.plan.sparse, len(runs)) == (None, 200)  # below 64 elements nothing is looked for, however often it is called
    weights = cr.tensor(np.random.default_rng(0).normal(size=(600, 600)) / 30)
    J = jacobian(lambda x: cr.tanh(weights @ cr.tanh(weights @ x)))
    x = ramp(600)
    found = J(x)
    for _ in range(3):
        assert cr.equal(J(x), found)
    assert J.plan.sparse is None
    if "dense, as" in J.plan.reason:
        assert J.plan.reason.endswith("dense, as 360000 of 360000 entries can be other than zero")


def test_what_is_taken_often_is_compressed_after_a_while():
    J, x = jacobian(differences), ramp(300)
    found = J(x)
    assert J.plan.sparse is None
    for _ in range(300):
        agree(J(x), found)
        if J.plan.sparse is not None:
            break
    assert J.plan.sparse.colours == 2


def test_functions_that_cannot_be_traced_are_taken_dense():
    calls = cr.zeros(())

    def f(x):
        calls.add_(1)
        return differences(x)

    J = jacobian(f, sparse=True)
    found = J(ramp(70))
    np.testing.assert_allclose(found.toarray(), jacobian(f)(ramp(70)).numpy())
    assert J.plan.sparse is None
    assert "dense, as its pattern cannot be found" in J.plan.reason


def test_random_numbers_are_drawn_as_in_one_run():
    def f(x):
        return differences(x) * cr.randn(x.numel() - 1, dtype=cr.float64)

    for n, sparse in ((70, True), (70, False), (1500, False)):
        x = ramp(n)
        cr.manual_seed(0)
        J = jacobian(f, sparse=sparse)(x)
        after = cr.rand(1).item()
        cr.manual_seed(0)
        expected = jacobian(f, mode="reverse", chunk_size=n)(x)
        assert cr.rand(1).item() == after
        np.testing.assert_allclose(J.toarray() if sparse else J.numpy(), expected.numpy())


# -- prepared ----------------------------------------------------------------------------------------------------------


def test_a_prepared_derivative_runs_the_function_no_more_than_its_sweeps():
    runs = []

    def f(x):
        runs.append(1)
        return differences(x)

    J = jacobian(f, sparse=True).prepare(ramp(70))
    assert J.plan.sparse.colours == 2
    runs.clear()
    for k in range(3):
        x = ramp(70) * (k + 1)
        np.testing.assert_allclose(J(x).toarray(), jacobian(differences)(x).numpy())
    assert len(runs) == 3
    plan = J.plan
    J(ramp(80))  # other shapes are found anew, and both are kept
    J(ramp(70))
    assert J.plan.sparse is plan.sparse
    assert jacobian(f, sparse=True).plan is None


def test_a_pattern_is_not_used_on_another_branch():
    def f(x):
        return x * x.sum() if x[0] > 0 else x * 2

    J = jacobian(f, sparse=True).prepare(-ramp(70))
    assert J.plan.sparse.entries == 70
    x = ramp(70)
    np.testing.assert_allclose(J(x).toarray(), jacobian(f)(x).numpy())
    assert J(-x).nnz == 70


def test_a_pattern_is_not_used_for_other_indices():
    def f(x):
        return x[x.argsort()] ** 2

    x = cr.tensor(np.random.default_rng(0).permutation(70) + 1.0)
    J = jacobian(f, sparse=True).prepare(x)
    for at in (x, x.flip(0), x[cr.randperm(70)]):
        np.testing.assert_allclose(J(at).toarray(), jacobian(f)(at).numpy())


def test_a_pattern_is_doubted_where_the_function_itself_has_changed():
    """A branch on what is no tensor leaves no guard: the one direction more that each sweep carries tells."""
    state = {"shift": 1, "cut": 69}

    def f(x):
        return (x[:70] * cr.roll(x, state["shift"])[:70])[: state["cut"]]

    for asked in (
        jacobian(f, sparse=True),
        jacobian(f, sparse=True, mode="reverse"),
        jacobian(f, sparse=True).prepare(ramp(70)),
    ):
        for state["shift"], state["cut"] in ((1, 69), (2, 69), (2, 60), (0, 70)):
            for _ in range(2):
                np.testing.assert_allclose(asked(ramp(70)).toarray(), jacobian(f)(ramp(70)).numpy())


class Crooked(cr.autograd.Function):
    """x y with a rule for y that forgets x's part in second derivatives: the Hessian is not symmetric."""

    @staticmethod
    def forward(x, y):
        return x * y

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return g * y, g * x.detach()


def test_a_hessian_that_a_rule_makes_unsymmetric_is_taken_as_it_is():
    loss = lambda p: (p["x"] * Crooked.apply(p["y"], p["x"])).sum()
    p = {"x": ramp(40), "y": ramp(40) + 1}
    H = hessian(loss, sparse=True)
    for _ in range(2):
        found, dense = tree_flatten(H(p))[0], tree_flatten(hessian(loss)(p))[0]
        for a, b in zip(found, dense, strict=True):
            np.testing.assert_allclose(a.toarray(), b.numpy())


def test_nests_of_what_finds_its_pattern_stay_right():
    x = ramp(70)
    J = jacobian(differences).prepare(x)
    loss = lambda J: lambda x: (J(x) ** 2).sum()
    dense = jacobian(differences, mode="reverse")
    np.testing.assert_allclose(cr.func.grad(loss(J))(x).numpy(), cr.func.grad(loss(dense))(x).numpy())
    batch = cr.stack([x, 2 * x])
    np.testing.assert_allclose(cr.func.vmap(J)(batch).numpy(), cr.func.vmap(dense)(batch).numpy())
    y = ramp(70).requires_grad_()
    (g,) = cr.autograd.grad((J(y) ** 2).sum(), y)
    np.testing.assert_allclose(g.numpy(), cr.func.grad(loss(dense))(x).numpy())


def test_a_prepared_hessian_may_use_substitution():
    tree = lambda x: sum([(x[i] * x[(i - 1) // 2]) ** 2 for i in range(1, 31)])
    H = hessian(tree).prepare(ramp(31))
    agree(H(ramp(31)), hessian(tree)(ramp(31)))
    kinds = {H.plan.sparse.kind, *[line.split(":")[0] for line in H.plan.sparse.rejected]}
    assert {"star", "acyclic"} <= kinds


def test_arrow_is_found_to_take_three_colours():
    J = jacobian(arrow, sparse=True)
    np.testing.assert_allclose(J(ramp(50)).toarray(), jacobian(arrow)(ramp(50)).numpy())
    assert (J.plan.mode, J.plan.sparse.colours) == ("both", 3)


def masks() -> cr.Tensor:
    return (cr.arange(100) % 2).double()


def test_derivatives_by_a_constant_with_zeros_are_whole() -> None:
    mask, x = masks().requires_grad_(), cr.linspace(1, 2, 100, dtype=cr.float64)
    J = jacobian(lambda x: mask * cr.sin(x)).prepare(x)
    J(x).sum().backward()
    assert cr.equal(mask.grad, cr.cos(x))


def test_zeros_of_a_constant_are_given_up_where_its_place_is_taken_by_one_that_requires_grad() -> None:
    outer, x = {"mask": masks()}, cr.linspace(1, 2, 100, dtype=cr.float64)
    J = jacobian(lambda x: outer["mask"] * cr.sin(x)).prepare(x)
    assert J(x).count_nonzero() == J.plan.sparse.entries == 50
    outer["mask"] = mask = masks().requires_grad_()
    J(x).sum().backward()
    assert cr.equal(mask.grad, cr.cos(x))
