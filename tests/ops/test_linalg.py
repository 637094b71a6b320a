"""Linear algebra beyond the laws of single ops: factors multiply to their matrix; gauges, singular matrices, errors."""

from __future__ import annotations

import subprocess
import sys
import warnings
from operator import itemgetter

import numpy as np
import pytest
from tests.each import by_name

import chainrule as cr
from chainrule import linalg
from chainrule.core.tensor.tensor import wrap

SHAPES = [(3, 3), (4, 2), (2, 4), (2, 3, 3), (2, 4, 2), (1, 1), (0, 3), (3, 0), (0, 2, 2)]
DTYPES = ("float32", "float64", "complex64", "complex128")


def drawn(shape, dtype="float64", seed=0):
    rng = np.random.default_rng([seed, *shape])
    x = rng.normal(size=shape) + (1j * rng.normal(size=shape) if np.dtype(dtype).kind == "c" else 0)
    return x.astype(dtype)


def symmetric(shape, dtype="float64"):
    x = drawn(shape, dtype)
    return x + x.conj().swapaxes(-1, -2)


def close(a, b):
    b = np.asarray(b)
    tolerance = 1e-4 if b.dtype in (np.float32, np.complex64) else 1e-10
    np.testing.assert_allclose(np.asarray(a), b, rtol=tolerance, atol=tolerance)


def adjoint(x):
    return x.conj().swapaxes(-1, -2)


# -- factors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_factors_of_any_matrix_multiply_to_it(shape, dtype):
    x = drawn(shape, dtype)
    t = wrap(x)
    for full in (False, True):
        u, s, vh = (p.numpy() for p in linalg.svd(t, full))
        k = s.shape[-1]
        close((u[..., :k] * s[..., None, :]) @ vh[..., :k, :], x)
        close(adjoint(u) @ u, np.broadcast_to(np.eye(u.shape[-1], dtype=dtype), (*shape[:-2], *u.shape[-1:] * 2)))
        close(vh @ adjoint(vh), np.broadcast_to(np.eye(vh.shape[-2], dtype=dtype), (*shape[:-2], *vh.shape[-2:-1] * 2)))
        assert (s >= 0).all()
        assert s.dtype == np.finfo(dtype).dtype
    for mode in ("reduced", "complete"):
        q, r = (p.numpy() for p in linalg.qr(t, mode))
        close(q @ r, x)
        close(adjoint(q) @ q, np.broadcast_to(np.eye(q.shape[-1], dtype=dtype), (*shape[:-2], *q.shape[-1:] * 2)))
        close(np.tril(r, -1), np.zeros_like(r))
    p, lower, upper = (p.numpy() for p in linalg.lu(t))
    close(p @ lower @ upper, x)
    if shape[-2] >= shape[-1]:
        close(cr.orgqr(*cr.geqrf(t)).numpy() @ np.triu(cr.geqrf(t)[0].numpy())[..., : shape[-1], :], x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 3), (2, 3, 3), (0, 0), (0, 2, 2)], ids=str)
def test_eigenvectors_and_indefinite_factors(shape, dtype):
    x = symmetric(shape, dtype)
    for uplo, part in (("L", np.tril(x)), ("U", np.triu(x))):
        w, v = (p.numpy() for p in linalg.eigh(wrap(part), uplo))  # one triangle is read
        close(x @ v, v * w[..., None, :])
        close(adjoint(v) @ v, np.broadcast_to(np.eye(shape[-1], dtype=dtype), shape))
        close(linalg.eigvalsh(wrap(part), uplo).numpy(), w)
    general = drawn(shape, dtype)
    w, v = (p.numpy() for p in linalg.eig(wrap(general)))
    close(general @ v, v * w[..., None, :])
    b = drawn((*shape[:-1], 2), dtype)
    factors = linalg.ldl_factor(wrap(np.tril(x)), hermitian=True)
    close(x @ linalg.ldl_solve(*factors, wrap(b), hermitian=True).numpy(), b)


# -- determinants of singular matrices ---------------------------------------------------------------------------------

SINGULAR = {
    "of rank n - 1": [[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]],
    "of rank n - 2": [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]],
    "zero": [[0.0, 0.0, 0.0]] * 3,
    "small": [[1e-9, 2e-9, 0.0], [2e-9, 4e-9, 0.0], [0.0, 0.0, 3e-9]],
}


def cofactors(x):
    n = len(x)
    minor = lambda i, j: np.delete(np.delete(x, i, 0), j, 1)
    return np.array([[(-1) ** (i + j) * np.linalg.det(minor(i, j)) for j in range(n)] for i in range(n)])


@pytest.mark.parametrize("name", SINGULAR)
def test_gradients_of_det_are_cofactors_to_second_order(name):
    x = np.array(SINGULAR[name])
    scale = np.abs(x).max() ** 2 or 1.0
    gradient = cr.func.grad(linalg.det)
    np.testing.assert_allclose(gradient(wrap(x)).numpy() / scale, cofactors(x) / scale, atol=1e-9)
    leaf = wrap(x).requires_grad_()
    linalg.det(leaf).backward()
    np.testing.assert_allclose(leaf.grad.numpy() / scale, cofactors(x) / scale, atol=1e-9)
    t, h = drawn((3, 3)), 1e-3 * max(np.abs(x).max(), 1.0)
    expected = (cofactors(x + h * t) - cofactors(x - h * t)) / (2 * h)
    along = cr.func.jvp(gradient, (wrap(x),), (wrap(t),))[1].numpy()
    np.testing.assert_allclose(along, expected, atol=1e-8)
    _, pull = cr.func.vjp(gradient, wrap(x))
    np.testing.assert_allclose(pull(wrap(t))[0].numpy(), expected, atol=1e-8)


# -- gauges ------------------------------------------------------------------------------------------------------------

REPEATED = np.diag([1.0, 1.0, 3.0])


def test_derivatives_of_spaces_of_repeated_eigenvalues_are_right():
    turn, _ = np.linalg.qr(drawn((3, 3)))
    x = turn @ REPEATED @ turn.T
    g, t = symmetric((3, 3)), symmetric((3, 3))

    def loss(x):
        v = linalg.eigh(x).eigenvectors[:, :2]
        return (v @ v.mH * wrap(g)).sum()

    gradient = cr.func.grad(loss)(wrap(x)).numpy()
    top = turn[:, 2:]  # d(1 - vvᵀ) = -(dv vᵀ + v dvᵀ), with dv = (3 - x)⁺ t v
    moved = np.linalg.pinv(3 * np.eye(3) - x) @ t @ top
    expected = -np.sum(g * (moved @ top.T + top @ moved.T))
    assert np.sum(gradient * t) == pytest.approx(expected, rel=1e-8)


def test_derivatives_of_repeated_values_are_finite():
    for f in (linalg.eigvalsh, linalg.svdvals, lambda x: linalg.matrix_norm(x, "nuc")):
        close(cr.func.grad(lambda x: f(x).sum())(wrap(REPEATED)), np.eye(3))  # noqa: B023
    close(cr.func.grad(lambda x: linalg.eigh(x)[0].sum())(wrap(REPEATED)), np.eye(3))


def test_losses_that_depend_on_a_gauge_are_refused():
    leaf = wrap(REPEATED).requires_grad_()
    turned = linalg.eigh(leaf)[1] @ wrap(np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 0.0], [3.0, 0.0, 1.0]]))
    with pytest.raises(RuntimeError, match="linalg_eigh_backward: a value occurs more than once"):
        (turned * wrap(drawn((3, 3)))).sum().backward()
    u = linalg.svd(leaf)[0]
    with pytest.raises(RuntimeError, match="svd_backward: a value occurs more than once"):
        (u * wrap(drawn((3, 3)))).sum().backward()
    x = wrap(symmetric((2, 2), "complex128")).requires_grad_()
    for f, name in ((linalg.eigh, "linalg_eigh"), (linalg.eig, "linalg_eig")):
        with pytest.raises(RuntimeError, match=f"{name}_backward: The eigenvectors in the complex case are specified up to"):
            f(x)[1].imag.sum().backward()
    with pytest.raises(RuntimeError, match="svd_backward: The singular vectors in the complex case are specified up to"):
        linalg.svd(x)[0].imag.sum().backward()


def test_what_may_depend_on_a_gauge_is_warned_of():
    leaf = wrap(REPEATED).requires_grad_()
    w, v = linalg.eigh(leaf)
    with pytest.warns(UserWarning, match="linalg_eigh: a value occurs more than once"):
        (v @ (w.sqrt()[:, None] * v.mT)).sum().backward()
    with pytest.warns(UserWarning, match="linalg_eigh: a value occurs more than once"):
        cr.func.jvp(linalg.eigh, (wrap(REPEATED),), (wrap(np.ones((3, 3))),))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cr.func.jvp(linalg.eigh, (wrap(REPEATED),), (wrap(np.diag([1.0, 2.0, 3.0])),))


INVARIANT = {
    "eigh": lambda lib, x, g: (lambda w, v: (v.abs() ** 2 * g.abs()).sum() + (w**3).sum())(*lib.linalg.eigh(x @ x.mH)),
    "eig": lambda lib, x, g: (lambda w, v: (v.abs() * g.abs()).sum() + w.abs().sum())(*lib.linalg.eig(x)),
    "svd": lambda lib, x, g: (lambda u, s, vh: ((u @ vh) * g).abs().sum() + (s**2).sum())(*lib.linalg.svd(x, False)),
    "full svd": lambda lib, x, g: (lambda u, s, vh: (u[:, :2].abs() ** 2 * g[:, :2].abs()).sum())(*lib.linalg.svd(x)),
}


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("name", INVARIANT)
def test_gradients_without_a_gauge_are_pytorchs(torch, name, dtype):
    x, g = drawn((3, 3), dtype), drawn((3, 3), dtype, 1)
    ours, theirs = wrap(x).requires_grad_(), torch.tensor(x, requires_grad=True)
    INVARIANT[name](cr, ours, wrap(g)).backward()
    INVARIANT[name](torch, theirs, torch.tensor(g)).backward()
    close(ours.grad, theirs.grad)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("shape", [(4, 2), (2, 4)], ids=str)
def test_the_columns_that_complete_singular_vectors_move_with_their_space(shape, dtype):
    g = wrap(symmetric((4, 4), dtype))

    def loss(x, complete):
        u, _, vh = linalg.svd(x, complete)
        basis = u if shape[0] > shape[1] else vh.mH
        rest = basis[:, 2:] @ basis[:, 2:].mH if complete else cr.eye(4, dtype=g.dtype) - basis @ basis.mH
        return (rest * g).sum().real

    x, t = wrap(drawn(shape, dtype)), wrap(drawn(shape, dtype, 1))
    first, second = (cr.func.grad(lambda x, c=c: loss(x, c)) for c in (True, False))
    close(first(x), second(x))
    close(cr.func.jvp(first, (x,), (t,))[1], cr.func.jvp(second, (x,), (t,))[1])


# -- rank --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("f", [linalg.pinv, lambda x: linalg.lstsq(x, wrap(np.ones((4, 2))), driver="gelsd").solution])
def test_pseudoinverse_and_least_squares_of_deficient_rank(f):
    left, right = drawn((4, 2)), drawn((2, 3), seed=1)
    at = lambda e: (left + e * left[::-1]) @ (right + e * right[:, ::-1])  # of rank 2 all along
    h = 1e-5
    along = wrap((at(h) - at(-h)) / (2 * h))
    expected = (f(wrap(at(h))).numpy() - f(wrap(at(-h))).numpy()) / (2 * h)
    np.testing.assert_allclose(cr.func.jvp(f, (wrap(at(0)),), (along,))[1].numpy(), expected, rtol=1e-6, atol=1e-6)


def test_pinv_of_repeated_singular_values():
    close(cr.func.jvp(linalg.pinv, (cr.eye(3, dtype=cr.float64),), (wrap(drawn((3, 3))),))[1], -drawn((3, 3)))


# -- distances ---------------------------------------------------------------------------------------------------------


def test_distances_by_a_product_of_matrices_are_exact_where_they_are_small():
    x = drawn((30, 4)) + 100
    y = np.concatenate([x[:5], x[5:10] + 1e-7, drawn((20, 4), seed=1)])
    exact = cr.cdist(wrap(x), wrap(y), compute_mode="donot_use_mm_for_euclid_dist")
    np.testing.assert_allclose(cr.cdist(wrap(x), wrap(y)).numpy(), exact.numpy(), rtol=1e-10)
    ours = [cr.func.grad(lambda x, m=m: cr.cdist(x, wrap(y), compute_mode=m).sum())(wrap(x)).numpy()
            for m in ("use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")]  # fmt: skip
    np.testing.assert_allclose(ours[0], ours[1], rtol=1e-5, atol=1e-5)
    same = wrap(x).requires_grad_()
    cr.cdist(same, same).sum().backward()
    assert np.isfinite(same.grad.numpy()).all()


# -- errors ------------------------------------------------------------------------------------------------------------

ONES, BATCH = np.ones((2, 2)), np.array([np.eye(2), np.ones((2, 2))])
FAILURES = [
    *[(name, (x,)) for name in ("linalg.inv", "inverse") for x in (ONES, BATCH)],
    *[(name, (x, np.ones((2, 1)))) for name in ("linalg.solve",) for x in (ONES, BATCH)],
    *[(name, (-x,)) for name in ("linalg.cholesky", "cholesky") for x in (ONES, BATCH)],
    ("linalg.lu_factor", (ONES,)), ("linalg.svd", (np.full((2, 2), np.nan),)), ("linalg.eig", (np.full((2, 2), np.inf),)),
    ("linalg.solve", (ONES, np.ones((3, 1)))), ("linalg.solve", (ONES, np.ones((2, 1), np.float32))),
    ("linalg.matrix_power", (ONES, -1)),
]  # fmt: skip
UNFIT = [np.ones((2, 2), np.int64), np.ones((2, 2), np.float16), np.ones(3), np.array(1.0), np.ones((2, 3), np.float64)]
OF_ONE = (
    "det", "slogdet", "logdet", "inverse", "cholesky", "cholesky_inverse", "pinverse", "geqrf", "linalg.det", "linalg.slogdet",
    "linalg.inv", "linalg.inv_ex", "linalg.cholesky", "linalg.eigh", "linalg.eigvalsh", "linalg.eig", "linalg.eigvals",
    "linalg.svd", "linalg.svdvals", "linalg.qr", "linalg.lu", "linalg.lu_factor", "linalg.lu_factor_ex", "linalg.pinv",
    "linalg.matrix_rank", "linalg.cond", "linalg.matrix_norm", "linalg.matrix_exp", "linalg.ldl_factor", "linalg.tensorinv",
)  # fmt: skip


def named(lib, name):
    for part in name.split("."):
        lib = getattr(lib, part)
    return lib


@by_name("failure", FAILURES + [(name, (x,)) for name in OF_ONE for x in UNFIT], itemgetter(0))
def test_errors_are_pytorchs(torch, failure):
    name, args = failure
    try:
        named(torch, name)(*[torch.tensor(a) if isinstance(a, np.ndarray) else a for a in args])
    except Exception as error:
        expected = error
    else:
        return  # it is none there
    with pytest.raises(RuntimeError) as found:
        named(cr, name)(*[wrap(a.copy()) if isinstance(a, np.ndarray) else a for a in args])
    assert str(found.value)[:60] == str(expected)[:60]
    assert isinstance(found.value, linalg.LinAlgError) == (type(expected).__name__ == "_LinAlgError")


def test_info_tells_which_failed_and_vmap_raises_as_a_batch_does():
    assert linalg.inv_ex(wrap(BATCH)).info.tolist() == linalg.solve_ex(wrap(BATCH), wrap(ONES)).info.tolist() == [0, 2]
    assert linalg.cholesky_ex(wrap(-BATCH)).info.tolist() == [1, 1]
    with pytest.raises(linalg.LinAlgError, match=r"linalg.inv: \(Batch element 1\): The diagonal element 2 is zero"):
        cr.vmap(linalg.inv)(wrap(BATCH))


# -- surfaces ----------------------------------------------------------------------------------------------------------


def test_it_is_imported_when_it_is_used():
    code = (
        "import sys, chainrule as cr; names = lambda: {m for m in sys.modules if 'linalg.classic' in m or 'scipy' in m}; "
        "assert not names(), names(); assert cr.eye(2).det() == 1; assert not [m for m in names() if 'scipy' in m]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_numpys_functions_on_tensors():
    x = drawn((3, 3)) + 4 * np.eye(3)
    t = wrap(x).requires_grad_()
    for name in ("inv", "det", "eigvalsh", "pinv", "svdvals", "cholesky"):
        a = x @ x.T
        found = getattr(np.linalg, name)(t @ t.mT)
        assert found.grad_fn is not None
        close(found.detach(), getattr(np.linalg, name)(a))
    close(np.linalg.solve(t, np.ones(3)).detach(), np.linalg.solve(x, np.ones(3)))
    close(np.linalg.norm(t, "nuc").detach(), np.linalg.norm(x, "nuc"))
    assert np.linalg.slogdet(t)[1].grad_fn is not None


def test_small_singular_values_are_told_apart_in_single_precision():
    def gradient(x):
        leaf = wrap(x).requires_grad_()
        u, s, vh = linalg.svd(leaf, full_matrices=False)
        (u @ (s.sqrt()[:, None] * vh)).sum().backward()
        return leaf.grad.numpy()

    x = drawn((100, 100), "float32")
    exact = gradient(x.astype("float64"))
    assert np.abs(gradient(x) - exact).max() < 1e-3 * np.abs(exact).max()
