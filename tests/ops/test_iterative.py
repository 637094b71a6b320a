"""A few eigenpairs by search, singular values by projection: what dense factorisations give, with derivatives of these."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import linalg
from chainrule.core.tensor.tensor import wrap

RNG = np.random.default_rng(0)
Q = np.linalg.qr(RNG.normal(size=(2, 30, 30)))[0]
A = Q @ (np.arange(1.0, 31)[:, None] * Q.swapaxes(-1, -2))
B = np.eye(30) + 0.1 * (lambda x: x @ x.swapaxes(-1, -2))(RNG.normal(size=(2, 30, 30)))


def dense(a, b, k, largest):
    """Return eigenpairs of a pencil by NumPy, B-orthonormal, of vectors whose largest element is positive."""
    low = np.linalg.cholesky(b)
    w, v = np.linalg.eigh(np.linalg.solve(low, np.linalg.solve(low, a).swapaxes(-1, -2)))
    v = np.linalg.solve(low.swapaxes(-1, -2), v)
    w, v = (w[..., ::-1][..., :k], v[..., ::-1][..., :k]) if largest else (w[..., :k], v[..., :k])
    top = np.take_along_axis(v, np.argmax(np.abs(v), axis=-2)[..., None, :], axis=-2)
    return w, v * np.sign(top)


WAYS = [
    {}, {"largest": False}, {"method": "basic"}, {"n": 5}, {"ortho_bparams": {"ortho_use_drop": True}},
    {"ortho_iparams": {"ortho_i_max": 2, "ortho_j_max": 2}, "ortho_fparams": {"ortho_tol": 1e-8}}, {"niter": -1},
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("with_b", [False, True])
def test_pairs_are_those_of_the_dense_problem(way, with_b):
    cr.manual_seed(0)
    b = wrap(B) if with_b else None
    E, X = cr.lobpcg(wrap(A), 3, b, tol=1e-11, **way)
    w, v = dense(A, B if with_b else np.broadcast_to(np.eye(30), A.shape), 3, way.get("largest", True))
    np.testing.assert_allclose(E.numpy(), w, rtol=1e-9)
    np.testing.assert_allclose(X.numpy(), v, atol=1e-7)


def test_what_is_given_to_start_with_and_to_hurry_is_used():
    steps = []
    track = lambda search: steps.append(search.ivars["istep"])
    start = wrap(RNG.normal(size=(30, 2)))
    cr.lobpcg(wrap(A[0]), X=start, largest=False, tracker=track)
    plain = steps[-1]
    exact = wrap(np.linalg.inv(A[0]))
    E, _ = cr.lobpcg(wrap(A[0]), X=start, largest=False, tracker=track, iK=exact)
    assert steps[-1] < plain / 2
    np.testing.assert_allclose(E.numpy(), [1, 2], rtol=1e-6)
    near = wrap(np.linalg.eigh(A[0])[1][:, :2] + 1e-4)
    cr.lobpcg(wrap(A[0]), X=near, largest=False, tracker=track)
    assert steps[-1] < plain


def test_a_tracker_sees_the_search_and_ends_it():
    seen = []

    def track(search):
        residual = search.A @ search.X - search.X * search.E
        np.testing.assert_allclose(residual.numpy(), search.R.numpy(), atol=1e-12)
        seen.append((search.iparams["batch_index"], search.ivars["istep"], search.tvars["rerr"].max().item()))
        search.bvars["force_stop"] = search.ivars["istep"] == 3

    cr.lobpcg(wrap(A), 2, tol=1e-14, tracker=track)
    assert [s[:2] for s in seen] == [(i, k) for i in (0, 1) for k in (1, 2, 3)]
    assert seen[2][2] < seen[0][2]
    seen.clear()
    with pytest.raises(AssertionError, match="A must be square, got shape"):
        cr.lobpcg(cr.ones(4, 3))


def test_gradients_are_pytorchs_and_go_where_it_has_none(torch):
    start = RNG.normal(size=(30, 3))

    def loss(t, a, **given):
        E, X = t.lobpcg(a, 3, X=t.tensor(start), tol=1e-12, **given)
        return (E**2).sum() + (X[:4] ** 4).sum()

    ours, theirs = wrap(A[0].copy()).requires_grad_(), torch.tensor(A[0], requires_grad=True)
    loss(cr, ours).backward()
    loss(torch, theirs, largest=True).backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-4, atol=1e-4)

    def by_eigh(a):
        E, X = linalg.eigh(a)
        return (E[-3:] ** 2).sum() + (X[:4, -3:] ** 4).sum()

    one = cr.func.hessian(lambda d: loss(cr, ours.detach() + cr.diag(d)))(cr.zeros(30, dtype=cr.float64))
    two = cr.func.hessian(lambda d: by_eigh(ours.detach() + cr.diag(d)))(cr.zeros(30, dtype=cr.float64))
    np.testing.assert_allclose(one.numpy(), two.numpy(), atol=1e-5)


def test_a_repeated_value_whose_vectors_count_is_told_of():
    a = cr.diag(cr.tensor([1.0, 2, 3, 4, 5, 6, 7, 8, 9, 9], dtype=cr.float64)).requires_grad_()
    E, _ = cr.lobpcg(a, 2, tol=1e-12)
    assert E.sum().backward() is None
    E, X = cr.lobpcg(a, 1, tol=1e-12)
    with pytest.raises(RuntimeError, match="a value occurs more than once"):
        (X * cr.arange(10.0)[:, None]).sum().backward()


# -- projections -------------------------------------------------------------------------------------------------------

LOW = RNG.normal(size=(2, 9, 3)) @ RNG.normal(size=(2, 3, 7))


@pytest.mark.parametrize("x", [LOW, LOW.swapaxes(-1, -2), LOW[0], LOW + 1j * LOW], ids=lambda x: f"{x.shape} {x.dtype}")
@pytest.mark.parametrize("q", [3, 5, 9])
def test_matrices_of_low_rank_are_decomposed(x, q):
    shift = RNG.normal(size=x.shape[-1:]).astype(x.dtype)
    for given, what in (({}, x), ({"M": wrap(x[..., :1, :])}, x - x[..., :1, :]), ({"niter": 0}, x)):
        u, s, v = (p.numpy() for p in cr.svd_lowrank(wrap(x), q, **given))
        k = min(q, *x.shape[-2:])
        assert u.shape == (*x.shape[:-1], k)
        assert v.shape == (*x.shape[:-2], x.shape[-1], k)
        np.testing.assert_allclose((u * s[..., None, :]) @ v.conj().swapaxes(-1, -2), what, atol=1e-9)
        np.testing.assert_allclose(s[..., :3], np.linalg.svd(what)[1][..., :3], atol=1e-9)
    rows = wrap(x + shift)
    if q <= min(x.shape[-2:]):
        centred = (x + shift) - (x + shift).mean(axis=-2, keepdims=True)
        np.testing.assert_allclose(cr.pca_lowrank(rows, q)[1].numpy(), np.linalg.svd(centred)[1][..., :q], atol=1e-9)
        if q > 3:
            assert abs(cr.pca_lowrank(rows, q, center=False)[1].numpy() - np.linalg.svd(x + shift)[1][..., :q]).max() < 1e-9


def test_projections_have_the_derivative_of_what_they_find():
    x = wrap(LOW[0]).requires_grad_()
    cr.manual_seed(0)
    for f in (
        lambda x: cr.svd_lowrank(x, 3)[1],
        lambda x: cr.svd_lowrank(x, 3, M=x[:1] * 2)[1],
        lambda x: cr.pca_lowrank(x, 3)[1],
    ):
        (g,) = cr.autograd.grad(f(x)[:2].sum(), x)
        t = RNG.normal(size=(9, 3)) @ np.linalg.svd(LOW[0])[2][:3]  # a direction that leaves the rank as it is
        rate = (f(wrap(LOW[0] + 1e-6 * t)) - f(wrap(LOW[0] - 1e-6 * t)))[:2].sum() / 2e-6
        np.testing.assert_allclose((g * wrap(t)).sum().item(), rate.item(), rtol=1e-6)
