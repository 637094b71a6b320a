"""Sparsity patterns found by tracing: never smaller than the truth, those of known families, guards of what was read."""

from __future__ import annotations

import numpy as np
import pytest
from tests.func.sparse_families import FAMILIES
from tests.func.test_sparse_jacobian import FUNCTIONS, Cube, blocks, sizes, tensors

import chainrule as cr
from chainrule.func import grad, jacrev
from chainrule.transforms import index_sets
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


F = cr.nn.functional
A = cr.linspace(1, 2, 48, dtype=cr.float64)
PLANE = cr.linspace(-1, 1, 2 * 4 * 5 * 6, dtype=cr.float64).reshape(2, 4, 5, 6).sin()
WINDOWS = {
    "grouped": lambda x: F.conv2d(x, A.reshape(4, 2, 3, 2), groups=2, padding=(1, 0), stride=(2, 1)),
    "dilated": lambda x: F.conv2d(x, A.reshape(4, 4, 1, 3), dilation=2, padding="same"),
    "of weights": lambda x: F.conv3d(PLANE[None, :1], x[0].reshape(5, 1, 2, 3, 4), padding=1),
    "transposed": lambda x: F.conv_transpose2d(x, A.reshape(4, 3, 2, 2), stride=3, dilation=2, output_padding=1),
    "wrapped": lambda x: F.conv1d(F.pad(x[0], (1, 1), mode="circular"), A[:20].reshape(2, 5, 2)),
    "differentiated": grad(lambda x: F.conv2d(x, A.reshape(4, 4, 3, 1)).sin().sum()),
    "averaged": lambda x: F.avg_pool2d(x, 3, stride=1, padding=1),
    "adapted": lambda x: F.adaptive_avg_pool2d(x, (3, 4)),
    "normed": lambda x: F.lp_pool2d(x, 2, 2),
    "resized": lambda x: F.interpolate(x, scale_factor=2),
    "unfolded and folded": lambda x: F.fold(F.unfold(x, 2), (5, 6), 2).cumsum(2),
    "sums": lambda x: x.cumsum(2).exp().cumsum(2),
    "sums of both axes": lambda x: x.cumsum(2).flip(3).cumsum(3),
    "products": lambda x: x.cumprod(-1),
    "logarithms of sums": lambda x: x.logcumsumexp(1),
    "crossed": lambda x: cr.linalg.cross(x[:, :3], x[:, 1:], dim=1),
    "substituted": lambda x: cr.linalg.solve_triangular(A[:25].reshape(5, 5), x, upper=False),
    "of a triangle": lambda x: cr.linalg.solve_triangular(x[:, :, :3, :3] + 3 * cr.eye(3), PLANE[:, :, :3], upper=True),
}  # fmt: skip


@pytest.mark.parametrize("name", list(WINDOWS))
def test_windows_reach_what_they_hold_and_no_more(name):
    f = WINDOWS[name]
    found = sparsity_of(f, (PLANE,)).tosparse().toarray()
    np.testing.assert_array_equal(found, blocks(jacrev(f)(PLANE), sizes(f(PLANE)), sizes(PLANE)) != 0)


CHOSEN = {
    "maxima": lambda x: F.max_pool2d(x, 3, stride=2, padding=1, dilation=2),
    "maxima of as many": lambda x: F.adaptive_max_pool2d(x, 3),
    "unpooled": lambda x: F.max_unpool2d(*F.max_pool2d(x[:, :, :4], 2, return_indices=True), 2),
    "fractions": lambda x: F.fractional_max_pool2d(x, 2, output_size=3, _random_samples=cr.full((2, 4, 2), 0.3).double()),
    "highest so far": lambda x: x.cummax(3).values + x.cummin(2).values,
    "resized": lambda x: F.interpolate(x, size=(7, 9), mode="bicubic") + F.interpolate(x, size=(7, 9), mode="bilinear"),
    "on a grid": lambda x: F.grid_sample(x, A[:36].reshape(2, 3, 3, 2) - 1.5, align_corners=True),
}


@pytest.mark.parametrize("name", list(CHOSEN))
def test_what_values_choose_lies_within_windows(name):
    assert holes(CHOSEN[name], PLANE) == []
    assert sparsity_of(CHOSEN[name], (PLANE,)).nnz < 0.2 * CHOSEN[name](PLANE).numel() * PLANE.numel()


def test_windows_that_would_be_too_much_are_lines(monkeypatch):
    f = lambda x: x.cumsum(1)
    monkeypatch.setattr(index_sets, "MOST", 100)
    x = cr.rand(3, 10)
    found = sparsity_of(f, (x,)).tosparse().toarray()
    np.testing.assert_array_equal(found, np.kron(np.eye(3), np.ones((10, 10))) != 0)


SECOND = cr.tensor(np.eye(6, k=1) - 2 * np.eye(6) + np.eye(6, k=-1))
CROSS = cr.tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]], dtype=cr.float64)[None, None].repeat(4, 4, 1, 1)
CONSTANTS = {
    "a matrix from the right": lambda x: x @ SECOND,
    "a matrix from the left": lambda x: SECOND[:5, :5] @ x,
    "both": lambda x: SECOND[:5, :5] @ x @ SECOND.T,
    "a vector": lambda x: SECOND @ x[0, 0, 0] + SECOND.mv(x[0, 0, 1]),
    "a sum": lambda x: cr.addmv(x[0, 0, 0].sin(), SECOND, x[0, 1, 0]) + cr.addmm(x[0, 0, 0], x[0, 0], SECOND)[0],
    "a layer": lambda x: F.linear(x, SECOND, x[0, 0, 0]),
    "a sum of products": lambda x: cr.einsum("ij,bckj->bcki", SECOND, x),
    "a mask": lambda x: (x * SECOND[:5]).sum(3),
    "a stencil": lambda x: F.conv2d(x, CROSS, padding=1),
    "one that spreads": lambda x: F.conv_transpose2d(x, CROSS, stride=2, dilation=2),
    "one that is differentiated": grad(lambda x: F.conv2d(x, CROSS, padding=1).sin().sum()),
    "a Hessian of several": jacrev(lambda x: x[0, 0, 0] ** 3),
}


@pytest.mark.parametrize("name", list(CONSTANTS))
def test_what_a_constant_multiplies_by_zero_is_not_linked(name):
    f = CONSTANTS[name]
    found = sparsity_of(f, (PLANE,)).tosparse().toarray()
    out = f(PLANE)
    np.testing.assert_array_equal(found, jacrev(f)(PLANE).reshape(out.numel(), PLANE.numel()).numpy() != 0)


def test_a_pattern_holds_where_constants_are_zero_in_the_same_places():
    mask = cr.tensor([0.0, 1.0, 0.0], dtype=cr.float64)
    found = sparsity_of(lambda x: x[:3] * mask, (X,))
    assert (found.nnz, found.holds(X)) == (1, True)
    mask *= 2
    assert found.holds(X)
    mask += 1
    assert not found.holds(X)


def test_a_constant_that_the_function_clears_after_its_use_is_not_zero():
    def f(x):
        c = cr.ones(3, dtype=cr.float64)
        first = c * x[:3]
        c.zero_()
        return first + c * x[3:6]

    def g(x):
        c = np.ones(3)
        first = cr.from_numpy(c) * x[:3]
        c[:] = 0
        return first

    assert sparsity_of(f, (X,)).nnz == sparsity_of(g, (X,)).nnz == 3


def test_a_zero_among_what_moves_is_linked():
    found = sparsity_of(lambda x: (x - X) * x.flip(0), (X,))
    assert found.nnz == 16


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
