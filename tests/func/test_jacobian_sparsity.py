"""`jacobian_sparsity` and `hessian_sparsity`: the trees and places of the sparse derivatives, what was read, errors."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

import chainrule as cr
from chainrule.core.types.tree import tree_flatten, tree_map
from chainrule.func import hessian, hessian_sparsity, jacobian, jacobian_sparsity

X = cr.linspace(0.5, 1.5, 4, dtype=cr.float64)
MORE = {"b": cr.linspace(1, 2, 4, dtype=cr.float64), "c": [cr.tensor(3.0, dtype=cr.float64)]}


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


CALLS = {
    "one of one": (lambda x: x[1:] * x[:-1], {}, (X,)),
    "two of trees": (lambda x, more: {"p": x * more["b"], "q": (x.sum() * more["c"][0], x)}, {"argnums": (0, 1)}, (X, MORE)),
    "the second": (lambda x, more: x * more["b"] + more["c"][0], {"argnums": 1}, (X, MORE)),
    "by name": (lambda x, more: x.cumsum(0) * more["b"], {"argnames": "x"}, (X, MORE)),
    "a scalar": (lambda x: x @ x, {}, (X,)),
    "a matrix": (lambda x: x[:, None] * x[None], {}, (X,)),
    "complex": (lambda z: z * z.sum(), {}, (X.to(cr.complex128),)),
    "nothing": (lambda x: x[:0], {}, (X,)),
    "constants": (lambda x: x.detach() * 2, {}, (X,)),
}


def same_places(found, derivative):
    found, shown = tree_flatten(found), tree_flatten(derivative)
    assert found[1] == shown[1]
    for pattern, entry in zip(found[0], shown[0], strict=True):
        assert isinstance(pattern, scipy.sparse.csr_array)
        assert (pattern.dtype, pattern.shape) == (bool, entry.shape)
        assert pattern.nnz == pattern.toarray().sum()
        np.testing.assert_array_equal(pattern.toarray(), entry.toarray() != 0)


@pytest.mark.parametrize("name", list(CALLS))
def test_the_tree_and_the_places_are_those_of_a_sparse_jacobian(name):
    f, which, args = CALLS[name]
    same_places(jacobian_sparsity(f, **which)(*args), jacobian(f, sparse=True, **which)(*args))


@pytest.mark.parametrize(
    ("f", "which", "args"),
    [
        (rosenbrock, {}, (X,)),
        (lambda x, more: (x * more["b"] * more["c"][0]).sin().sum(), {"argnums": (0, 1)}, (X, MORE)),
    ],
)
def test_the_tree_and_the_places_are_those_of_a_sparse_hessian(f, which, args):
    same_places(hessian_sparsity(f, **which)(*args), hessian(f, sparse=True, **which)(*args))


def test_aux_is_left_out():
    found = jacobian_sparsity(lambda x: (x * 2, {"seen": x.sum()}), has_aux=True)(X)
    assert found.nnz == 4


def test_arrays_and_parameters_are_taken():
    assert jacobian_sparsity(lambda x: x * 2)(X.numpy()).nnz == 4
    assert jacobian_sparsity(lambda x: x * 2)(cr.nn.Parameter(X)).nnz == 4
    assert jacobian_sparsity(lambda x: x * 2)(X.clone().requires_grad_()).nnz == 4


def test_a_pattern_is_one_to_give():
    f = lambda x, y: (x * y[0], y.flip(0))
    x, y = X, X.sin()
    rows = jacobian_sparsity(f, argnums=(0, 1))(x, y)
    taken = jacobian(f, argnums=(0, 1), sparsity=scipy.sparse.block_array(rows))(x, y)
    plain = jacobian(f, argnums=(0, 1), mode="reverse")(x, y)
    assert all(cr.equal(a, b) for a, b in zip(tree_flatten(taken)[0], tree_flatten(plain)[0], strict=True))


def test_what_was_read_is_told():
    found = jacobian_sparsity(lambda x, k: x.cumsum(0) if x[k] > 0 else x[x.argsort()])
    assert (found.guards, found.holds(X, 1)) == ((), False)
    assert found(X, 1).nnz == 10
    assert [g.tolist() for g in found.guards] == [True]
    assert (found.holds(2 * X, 1), found.holds(-X, 1), found.holds(X[:3], 1)) == (True, False, False)
    assert found(-X, 1).nnz == 4
    assert [g.tolist() for g in found.guards] == [False, [3, 2, 1, 0]]
    assert (found.holds(-2 * X, 1), found.holds(-X.flip(0), 1)) == (True, False)
    assert jacobian_sparsity(cr.sin).holds(X) is False


def test_a_pattern_holds_for_the_other_arguments_that_it_was_found_with():
    mask = cr.tensor([0.0, 1.0, 0.0, 1.0], dtype=cr.float64)
    found = jacobian_sparsity(lambda x, mask, k: (1 - mask) * x.roll(k))
    assert found(X, mask, 1).nnz == 4  # another call may bring another mask
    assert found.holds(2 * X, mask, 1)
    assert not found.holds(X, mask, 2)
    assert not found.holds(X, 1 - mask, 1)
    mask += 1
    assert not found.holds(X, mask, 1)
    assert not found.holds(X.float(), mask - 1, 1)
    assert jacobian_sparsity(lambda x: (1 - cr.tensor([0.0, 1.0, 0.0, 1.0])) * x)(X).nnz == 2


def test_nothing_is_drawn_or_written():
    x, y = X.clone(), cr.zeros(4, dtype=cr.float64)
    cr.manual_seed(3)
    found = jacobian_sparsity(lambda x, y: y.copy_(x * cr.rand(4)) + x.mul_(2))
    assert found(x, y).nnz == 4
    assert cr.equal(x, X)
    assert not y.any()
    first = cr.rand(1)
    cr.manual_seed(3)
    assert cr.equal(first, cr.rand(1))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: jacobian_sparsity(3), TypeError, "'int' object is not callable: jacobian_sparsity"),
        (lambda: hessian_sparsity(3), TypeError, "'int' object is not callable: hessian_sparsity"),
        (lambda: jacobian_sparsity(cr.sin, ()), RuntimeError, "argnums must be non-empty"),
        (lambda: jacobian_sparsity(cr.sin, 1)(X), RuntimeError, "Got argnum=1, but only 1 positional inputs"),
        (lambda: jacobian_sparsity(cr.sin)(cr.arange(3)), RuntimeError, "floating point"),
        (lambda: jacobian_sparsity(cr.sin)(["x"]), ValueError, "Thing passed to transform API must be Tensor"),
        (lambda: jacobian_sparsity(lambda x: 3)(X), RuntimeError, "jacobian_sparsity"),
        (lambda: jacobian_sparsity(lambda x: np.sin(x.numpy()))(X), RuntimeError, "numpy"),
        (lambda: hessian_sparsity(lambda x: 3)(X), RuntimeError, "only tensors"),
        (lambda: cr.vmap(jacobian_sparsity(cr.sin))(X[None]), RuntimeError, "outside of it"),
        (lambda: jacobian(lambda x: (jacobian_sparsity(cr.sin)(x), x)[1])(X), RuntimeError, "outside of it"),
    ],
)
def test_what_cannot_be_is_told(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_no_inputs_have_no_pattern():
    assert tree_map(lambda p: p.nnz, jacobian_sparsity(lambda xs: cr.ones(3))([])) == []


@pytest.mark.slow
def test_the_figure_of_the_guide_has_the_colours_that_are_found(tmp_path):
    pytest.importorskip("matplotlib")
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, str(root / "scripts" / "write_sparse_figures.py"), str(tmp_path)], check=True)
    drawn, kept = (folder / "sparse-colours.svg" for folder in (tmp_path, root / "docs" / "figures"))
    titles = [re.findall(r">([a-zA-Z, ]+: \d+)<", file.read_text()) for file in (drawn, kept)]
    assert len(titles[0]) == 4
    assert titles[0] == titles[1], "run: python scripts/write_sparse_figures.py"
