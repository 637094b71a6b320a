"""Sparse Jacobians and Hessians by compressed sweeps: the dense ones' values for every structure, dtype, mode and nest."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.sparse as sp

import chainrule as cr
from chainrule.core.types.tree import tree_flatten
from chainrule.func import hessian, jacobian

RNG = np.random.default_rng(0)
X = RNG.normal(size=12) + 0.2
Z = X[:6] + 1j * X[6:]


def arrow(x):
    return cr.cat([(x[0] * x).sum().reshape(1), x[0] * x[1:] ** 2])


def differences(x):
    return x[1:] ** 2 * x[:-1].sin()


def trees(p):
    return {"a": p["u"] * p["v"][0], "b": (p["v"] ** 2 * p["u"][:4].reshape(2, 2).sum(), p["u"][1:].sin())}


FUNCTIONS = {
    "arrow": (arrow, X),
    "differences": (differences, X),
    "wide": (lambda x: x.reshape(3, 4).prod(1), X),
    "tall": (lambda x: cr.cat([x.sin(), x**2, x[1:] * x[:-1]]), X),
    "of a matrix": (lambda x: x[:, :1] * x.exp(), X.reshape(3, 4)),
    "scalar": (lambda x: (x[:3] ** 2).sum(), X),
    "of a scalar": (lambda x: cr.stack([x, x**2, cr.zeros((), dtype=cr.float64)]), X[0]),
    "constant": (lambda x: cr.ones(3, dtype=cr.float64), X),
    "no output": (lambda x: x[:0], X),
    "no input": (lambda x: cr.ones(3, dtype=cr.float64) * x.sum(), X[:0]),
    "trees": (trees, {"u": X[:5], "v": X[5:7]}),
    "float32": (arrow, X.astype(np.float32)),
    "float16": (differences, X.astype(np.float16)),
    "complex": (lambda z: z[1:] * z[:-1] ** 2, Z),
    "complex arrow": (arrow, Z),
    "complex to real": (lambda z: (z * z.conj()).real[1:] * z[0].real, Z),
    "real to complex": (lambda x: cr.cat([x[:3] * (1 + 2j), (x[:1] ** 2).sum().reshape(1) * 1j]), X),
    "complex and real": (lambda p: (p["z"] ** 2 * p["x"][0], p["x"] ** 3), {"x": X[:4], "z": Z[:3]}),
}  # fmt: skip


def tensors(tree):
    return {k: cr.tensor(v) for k, v in tree.items()} if isinstance(tree, dict) else cr.tensor(tree)


def sizes(tree):
    return [t.numel() for t in tree_flatten(tree)[0]]


def blocks(dense, heights, widths):
    """Return the matrix of a dense Jacobian's blocks."""
    leaves = [np.asarray(t) for t in tree_flatten(dense)[0]]
    rows = [leaves[k * len(widths) : (k + 1) * len(widths)] for k in range(len(heights))]
    return np.block([[a.reshape(m, n) for a, n in zip(row, widths, strict=True)] for row, m in zip(rows, heights, strict=True)])


def agree(found, dense):
    found, dense = tree_flatten(found)[0], tree_flatten(dense)[0]
    assert len(found) == len(dense)
    for a, b in zip(found, dense, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        tolerance = 10 * np.finfo(b.dtype.numpy).eps
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("mode", "chunk"), list(itertools.product((None, "forward", "reverse"), (None, 1, 2))))
@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_compressed_is_dense(name, mode, chunk):
    f, at = FUNCTIONS[name]
    x = tensors(at)
    dense = jacobian(f)(x)
    heights, widths = sizes(f(x)), sizes(x)
    pattern = blocks(dense, heights, widths) != 0
    J = jacobian(f, mode=mode, chunk_size=chunk, sparsity=pattern)
    for _ in range(2):
        agree(J(x), jacobian(f, mode=mode)(x))
    assert J.plan.sparse.entries == pattern.sum()
    assert mode is None or J.plan.mode in (mode, "forward" if not pattern.any() else mode)
    found = jacobian(f, mode=mode, chunk_size=chunk, sparsity=sp.csc_array(pattern), sparse=True)(x)
    leaves = [a.toarray() for a in tree_flatten(found)[0]]
    for a, b, (m, n) in zip(leaves, tree_flatten(dense)[0], itertools.product(heights, widths), strict=True):
        assert a.shape == (m, n)
        np.testing.assert_allclose(a, b.numpy().reshape(m, n), rtol=2e-3 if name == "float16" else 1e-5, atol=1e-6)


def chain(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


HESSIANS = {
    "tridiagonal": (chain, (X,)),
    "arrow": (lambda x: x[0] ** 2 * (x**2).sum(), (X,)),
    "tree": (lambda x: sum([x[i] ** 2 * x[(i - 1) // 2] ** 2 for i in range(1, 12)]), (X,)),
    "bilinear": (lambda x: x[:4].sum() * x[4:].sum(), (X,)),
    "dense": (lambda x: x.sum().exp(), (X / 9,)),
    "linear": (lambda x: x.sum(), (X,)),
    "of a vector": (lambda x: x[1:] ** 2 * x[:-1], (X[:5],)),
    "of a matrix": (lambda x: (x[0] ** 2 * x[1] ** 3).sum(), (X.reshape(2, 6),)),
    "of two": (lambda x, y: (x[:, None] * y[None, :2] ** 2).sum() + (y**4).sum(), (X[:3], X[3:8])),
    "one of two": (lambda x, y: (x**3 * y.sum()).sum(), (X[:3], X[3:8])),
    "complex": (lambda z: (z**3).sum() * z[0], (Z,)),
}  # fmt: skip


@pytest.mark.parametrize("name", list(HESSIANS))
def test_compressed_hessians_are_dense_ones(name):
    f, at = HESSIANS[name]
    at = [cr.tensor(a) for a in at]
    argnums = 0 if name == "one of two" or len(at) == 1 else (0, 1)
    dense = hessian(f, argnums)(*at)
    widths = sizes(at if argnums else at[0])
    heights = [m * n for m in sizes(f(*at)) for n in widths]
    pattern = blocks(dense, heights, widths) != 0
    for given in (pattern, np.triu(pattern)) if pattern.shape[0] == pattern.shape[1] and name != "complex" else (pattern,):
        H = hessian(f, argnums, sparsity=given)
        agree(H(*at), dense)
        assert H.plan.sparse.entries == pattern.sum()
        assert H.plan.inner is not None
        found = hessian(f, argnums, sparsity=given, sparse=True)(*at)
        for a, b in zip(tree_flatten(found)[0], tree_flatten(dense)[0], strict=True):
            np.testing.assert_allclose(a.toarray(), b.numpy().reshape(a.shape), atol=1e-10)


def test_arrow_takes_three_sweeps_and_its_hessian_two():
    pattern = np.eye(50)
    pattern[0], pattern[:, 0] = 1, 1
    x = cr.linspace(0.1, 1, 50, dtype=cr.float64)
    J = jacobian(arrow, sparsity=pattern)
    agree(J(x), jacobian(arrow)(x))
    assert J.plan.mode == "both"
    assert J.plan.sparse.colours == 3
    assert {line.split(":")[0] for line in J.plan.sparse.rejected} == {"columns", "rows"}
    H = hessian(lambda x: x[0] ** 2 * (x**2).sum(), sparsity=pattern)
    H(x)
    assert (H.plan.mode, H.plan.sparse.kind, H.plan.sparse.colours) == ("forward", "star", 2)
    text = str(J.plan)
    for part in ("50 x 50 in both mode", "148 entries in 3 colours (bidirectional)", "colouring", "rejected: rows: 50 colours"):
        assert part in text


def test_the_function_runs_as_often_as_the_plan_says():
    runs = []

    def f(x):
        runs.append(1)
        return differences(x)

    pattern = np.eye(11, 12) + np.eye(11, 12, 1)
    J = jacobian(f, sparsity=pattern)
    J(cr.tensor(X))
    runs.clear()
    J(cr.tensor(X))  # the pattern is coloured, and what sweeps cost is known
    assert len(runs) == 1
    J = jacobian(f, sparsity=pattern, mode="forward", chunk_size=1)
    J(cr.tensor(X))
    runs.clear()
    J(cr.tensor(X))
    assert len(runs) == J.plan.sweeps == 2


def test_several_arguments_aux_keywords_and_arrays():
    f = lambda x, y: (x[1:] * y, {"aux": x + 1})
    x, y = cr.tensor(X), cr.tensor(X[1:] * 2)
    pattern = np.hstack([np.eye(11, 12, 1), np.eye(11)])
    (by_x, by_y), aux = jacobian(f, (0, 1), has_aux=True, sparsity=pattern)(x, y)
    agree((by_x, by_y), jacobian(lambda x, y: f(x, y)[0], (0, 1))(x, y))
    assert cr.equal(aux["aux"], x + 1)
    by_y = jacobian(lambda x, *, y: f(x, y)[0], argnames="y", sparsity=np.eye(11), sparse=True)(x, y=y)
    np.testing.assert_allclose(by_y.toarray(), np.diag(X[1:]))
    J = jacobian(differences, sparsity=np.eye(11, 12) + np.eye(11, 12, 1))(X)
    assert isinstance(J, np.ndarray)
    found = jacobian(differences, sparsity=np.eye(11, 12) + np.eye(11, 12, 1), sparse=True)(X)
    assert isinstance(found, sp.csr_array)
    np.testing.assert_allclose(found.toarray(), J)


def test_one_function_draws_the_same_numbers_in_both_modes():
    def f(x):
        return arrow(x) * cr.randn(50, dtype=cr.float64)

    x = cr.linspace(0.1, 1, 50, dtype=cr.float64)
    pattern = np.eye(50)
    pattern[0], pattern[:, 0] = 1, 1
    J = jacobian(f, sparsity=pattern)
    for _ in range(2):
        cr.manual_seed(0)
        found = J(x)
        assert J.plan.mode == "both"
        cr.manual_seed(0)
        agree(found, jacobian(f, mode="reverse")(x))


# -- nests -------------------------------------------------------------------------------------------------------------

BAND = np.eye(11, 12) + np.eye(11, 12, 1)
TRI = np.eye(12) + np.eye(12, k=1) + np.eye(12, k=-1)
ARROW = np.eye(12)
ARROW[0], ARROW[:, 0] = 1, 1
NESTS = {
    "grad": lambda J: cr.func.grad(lambda x: (J(x) ** 2).sum()),
    "jvp": lambda J: lambda x: cr.func.jvp(J, (x,), (x.cos(),))[1],
    "vmap": lambda J: lambda x: cr.func.vmap(J)(cr.stack([x, 2 * x, x.sin()])),
    "jacobian": lambda J: lambda x: jacobian(J)(x),
    "vmap of grad": lambda J: lambda x: cr.func.vmap(cr.func.grad(lambda x: (J(x) ** 2).sum()))(cr.stack([x, 2 * x])),
    "backward": lambda J: lambda x: cr.autograd.grad((J(x.requires_grad_()) ** 2).sum(), x)[0],
    "compile": lambda J: cr.compile(J),
}  # fmt: skip


@pytest.mark.parametrize("mode", [None, "forward", "reverse"])
@pytest.mark.parametrize("nest", list(NESTS))
def test_compressed_jacobians_nest(nest, mode):
    for f, pattern in ((differences, BAND), (arrow, ARROW)):
        found = NESTS[nest](jacobian(f, sparsity=pattern, mode=mode))(cr.tensor(X))
        expected = NESTS[nest](jacobian(f, mode=mode))(cr.tensor(X))
        np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("nest", list(NESTS))
def test_compressed_hessians_nest(nest):
    for f, pattern in ((chain, TRI), (lambda x: x[0] ** 2 * (x**2).sum(), ARROW)):
        found = NESTS[nest](hessian(f, sparsity=pattern))(cr.tensor(X))
        expected = NESTS[nest](hessian(f))(cr.tensor(X))
        np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("mode", [None, "forward", "reverse"])
def test_captured_tensors_get_gradients(mode):
    def gradient(**how):
        w = cr.tensor(X[1:], requires_grad=True)
        J = jacobian(lambda x: w * differences(x), mode=mode, **how)(cr.tensor(X))
        return cr.autograd.grad((J**2).sum(), w)[0].numpy()

    np.testing.assert_allclose(gradient(sparsity=BAND), gradient())


# -- errors ------------------------------------------------------------------------------------------------------------


class Cube(cr.autograd.Function):
    @staticmethod
    def forward(x):
        return x**3

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):
        return 3 * ctx.saved_tensors[0] ** 2 * g


def test_what_has_no_forward_rule_is_taken_in_reverse_mode():
    f = lambda x: Cube.apply(x)[1:] * x[:-1]
    J = jacobian(f, sparsity=BAND)
    agree(J(cr.tensor(X)), jacobian(f, mode="reverse")(cr.tensor(X)))
    assert J.plan.mode == "reverse"
    assert J.plan.sparse.rejected[-1].startswith("forward mode cannot: You must implement the jvp function")
    with pytest.raises(NotImplementedError, match="You must implement the jvp function"):
        jacobian(f, sparsity=BAND, mode="forward")(cr.tensor(X))
    loss = lambda x: (Cube.apply(x)[1:] * x[:-1]).sum()
    H = hessian(loss, sparsity=TRI)
    agree(H(cr.tensor(X)), hessian(loss)(cr.tensor(X)))
    assert (H.plan.mode, H.plan.sparse.kind) == ("reverse", "star")


def test_a_pattern_of_another_shape_is_refused():
    x = cr.tensor(X)
    with pytest.raises(ValueError, match=r"jacobian: sparsity has the shape \(11, 11\), but the inputs have 12 elements"):
        jacobian(differences, sparsity=BAND[:, 1:])(x)
    with pytest.raises(ValueError, match=r"shape \(10, 12\) was given, but the results have 11 elements"):
        jacobian(differences, sparsity=BAND[1:])(x)
    J = jacobian(lambda x, n: differences(x)[:n], sparsity=BAND)
    J(x, 11)
    with pytest.raises(ValueError, match=r"shape \(11, 12\) was given, but the results have 10 elements"):
        J(x, 10)
    with pytest.raises(ValueError, match="sparsity is a matrix"):
        jacobian(differences, sparsity=np.ones(12))
    with pytest.raises(ValueError, match="sparsity is a matrix"):
        jacobian(differences, sparsity="tridiagonal")


def test_scipy_arrays_hold_no_history():
    x = cr.tensor(X)
    J = jacobian(differences, sparsity=BAND, sparse=True)
    for taken in (lambda: cr.func.vmap(J)(cr.stack([x, x])), lambda: J(x.clone().requires_grad_())):
        with pytest.raises(RuntimeError, match="a SciPy array holds numbers alone"):
            taken()


def test_what_is_sparse_without_a_pattern_has_the_entries_that_are_not_zero():
    found = jacobian(differences, sparse=True)(cr.tensor(X))
    assert isinstance(found, sp.csr_array)
    np.testing.assert_allclose(found.toarray(), jacobian(differences)(cr.tensor(X)).numpy())
    assert found.nnz == 22
