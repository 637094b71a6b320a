"""Sparsity patterns found by tracing: never smaller than the truth, those of known families, guards of what was read."""

from __future__ import annotations

import numpy as np
import pytest
from tests.func.sparse_families import FAMILIES
from tests.func.test_sparse_jacobian import FUNCTIONS, Cube, blocks, sizes, tensors

import chainrule as cr
from chainrule.func import grad, jacrev
from chainrule.transforms.blame import TraceError
from chainrule.transforms.sparsity import sparsity_of

X = cr.linspace(0.1, 1, 8, dtype=cr.float64)
MORE = {
    "cumulated": lambda x: x.cumsum(0),
    "windows": lambda x: cr.nn.functional.conv1d(x.reshape(1, 1, 8), cr.ones(1, 1, 3, dtype=cr.float64)),
    "pooled": lambda x: cr.nn.functional.max_pool1d(x.reshape(1, 8), 2),
    "product": lambda x: x.reshape(4, 2) @ x.reshape(2, 4),
    "softmax": lambda x: cr.softmax(x.reshape(4, 2), 1),
    "sorted": lambda x: x.reshape(2, 4).sort(1).values,
    "gathered": lambda x: x.gather(0, cr.tensor([3, 3, 0])),
    "written": lambda x: x.clone().index_put_((cr.tensor([2]),), x[:1] * x[1:2]),
    "solved": lambda x: cr.linalg.solve(cr.eye(2, dtype=cr.float64) + x[:4].reshape(2, 2), x[4:6]),
    "transformed": lambda x: cr.fft.fft(x).real,
    "chosen": lambda x: cr.where(x > 0.5, x.sin(), x[0]),
    "custom": lambda x: cr.cat([Cube.apply(x[:3]), x[3:]]),
    "of items": lambda x: cr.stack([x[i] * x[i - 1] for i in range(8)]),
    "of a gradient": grad(lambda x: (x[1:] * x[:-1] ** 2).sum()),
}  # fmt: skip


def holes(f, x):
    """Return the places outside of the pattern where the Jacobian is not 0."""
    dense = blocks(jacrev(f)(x), sizes(f(x)), sizes(x))
    found = sparsity_of(f, (x,))
    assert found.shape == dense.shape
    assert (found.sizes_in, found.sizes_out) == (sizes(x), sizes(f(x)))
    assert found.tosparse().nnz == found.nnz
    return np.argwhere((dense != 0) & ~found.tosparse().toarray()).tolist()


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "no input"])
def test_no_entry_lies_outside_of_the_pattern(name):
    f, at = FUNCTIONS[name]
    assert holes(f, tensors(at)) == []


@pytest.mark.parametrize("name", list(MORE))
def test_no_entry_of_an_op_of_many_kinds_lies_outside_of_the_pattern(name):
    assert holes(MORE[name], X) == []


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_families_patterns_are_the_true_ones(family):
    f = family.function() if family.order == 1 else grad(family.function())
    found = sparsity_of(f, (cr.tensor(family.point(family.small)),))
    np.testing.assert_array_equal(found.tosparse().toarray(), family.pattern(family.small).toarray())


def test_a_pattern_holds_where_what_was_read_is_the_same():
    found = sparsity_of(lambda x: x * x.sum() if x[0] > 0 else x * 2, (X,))
    assert (found.nnz, found.holds(X), found.holds(2 * X), found.holds(-X)) == (64, True, True, False)
    found = sparsity_of(lambda x: x[x.argsort()], (X,))
    assert (found.nnz, found.holds(X + 1), found.holds(-X)) == (8, True, False)
    found = sparsity_of(lambda x: x[: int(x.sum())] * 2, (X,))
    assert (found.shape, found.holds(X), found.holds(X * 2)) == ((4, 8), True, False)
    assert sparsity_of(lambda x: x.sin(), (X,)).holds(-X)


def test_what_writes_outside_cannot_be_traced():
    outer = cr.zeros(8, dtype=cr.float64)
    with pytest.raises(TraceError):
        sparsity_of(lambda x: outer.copy_(x), (X,))
