"""Functions of general square matrices: eigenvectors, the exponential; and factors of indefinite symmetric ones."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from chainrule.core.op.batching import same
from chainrule.core.op.declaration import op
from chainrule.core.op.reach import apart, per_matrix
from chainrule.core.op.results import like_first
from chainrule.core.op.samples import Fixed, Sample
from chainrule.core.tensor.value import is_complex
from chainrule.ops.describe import no_tangent
from chainrule.ops.indexing.view import getitem
from chainrule.ops.linalg.contract import matmul
from chainrule.ops.linalg.failure import LinAlgError
from chainrule.ops.linalg.gauge import checked, held, over_gaps, phase_of, released
from chainrule.ops.linalg.matrix import diagonal_of, in_lapack, mh, numpy_dtype_of, on_diagonal, real_part, row, total
from chainrule.ops.linalg.solve import INT32, lapack, solve
from chainrule.ops.pointwise.complex import conj, imag
from chainrule.ops.reduction.reduce import sum
from chainrule.ops.shaping.join import cat

ndarray = np.ndarray


# -- eigenvectors ------------------------------------------------------------------------------------------------------


@in_lapack
def _eig(x: ndarray, *, strict: bool) -> tuple:
    if not np.isfinite(x).all():
        raise RuntimeError("torch.linalg.eig: input tensor should not contain infs or NaNs.")
    try:
        w, v = np.linalg.eig(x)
    except np.linalg.LinAlgError:
        raise LinAlgError(
            "linalg.eig: The algorithm failed to converge because the input matrix is ill-conditioned or has too many repeated "
            "eigenvalues."
        ) from None
    d = np.result_type(x.dtype, np.complex64)
    v = v.astype(d, copy=False)
    return w.astype(d, copy=False), v / phase_of(v)


def _eig_jvp(x_dot: Any, out: Any, *, strict: bool) -> tuple:
    w, v = out
    inner = solve(v, matmul(x_dot + 0j, v))[0]
    v_dot = matmul(v, over_gaps(inner, w))
    length = sum(real_part(conj(v) * v_dot), axis=(v.ndim - 2,), keepdims=True)
    return diagonal_of(inner), held(v_dot - v * length, v)[0]


def _eig_pull(g: Any, x: Any, out: Any, *, strict: bool) -> Any:
    w, v = out
    g_w, g_v = g
    inner = None if g_w is None else on_diagonal(g_w)
    if g_v is not None:
        turning = imag(diagonal_of(matmul(mh(v), g_v)))
        if strict:
            turning = imag(diagonal_of(checked(on_diagonal(turning * 1j), w, phases=True, name="linalg_eig")))
        g_v = released(g_v, v, turning)
        frame = matmul(mh(v), g_v)
        frame = frame - matmul(mh(v), v) * row(real_part(diagonal_of(frame)))
        inner = total(inner, over_gaps(frame, conj(w)))
    moved = solve(mh(v), matmul(inner, mh(v)))[0]
    return moved if is_complex(x) else real_part(moved)


def _complexes(x: np.dtype) -> list:
    d = np.result_type(x, np.complex64)
    return [d, d]


eig = op("eig(x, *, strict)", _eig, node="LinalgEig",
    refuses=True,
    shape=lambda x: [x[:-1], x], dtype=_complexes,
    reach=apart(2, (1, 2)),
    batch=same,
    jvp=_eig_jvp,
    x=_eig_pull,
    doc="""Eigenvalues and eigenvectors of general matrices: Boeddeker et al., arXiv 1701.00392, eq. 4.77, with vectors of
    length 1 in the phase in which the largest element is real. `strict` refuses losses that depend on the phase.""",
    samples=lambda: [Sample((3, 3), strict=False), Sample((2, 3, 3), strict=False), Sample((1, 1), strict=False),
                     Sample((0, 0), strict=False), Sample((0, 2, 2), strict=False)])  # fmt: skip


# -- the exponential ---------------------------------------------------------------------------------------------------


@in_lapack
def _matrix_exp(x: ndarray) -> ndarray:
    if not x.size:
        return x.copy()
    from scipy.linalg import expm

    return expm(x).astype(x.dtype, copy=False)


def _along(x: Any, e: Any) -> Any:
    """Return the derivative of the exponential along e: the block beside the diagonal of that of [[x, e], [0, x]]."""
    n = x.shape[-1]
    blank = np.zeros(tuple(x.shape), numpy_dtype_of(x))
    rows = cat(cat(x, e, axis=x.ndim - 1), cat(blank, x, axis=x.ndim - 1), axis=x.ndim - 2)
    return getitem(matrix_exp(rows), index=(..., slice(n), slice(n, None)))


matrix_exp = op("matrix_exp(x)", _matrix_exp, node="LinalgMatrixExp",
    shape=lambda x: x, dtype=like_first,
    reach=per_matrix,
    batch=same,
    jvp=lambda x_dot, x: _along(x, x_dot),
    x=lambda g, x: _along(mh(x), g),
    doc="The matrix exponential; derivatives are blocks of it: Al-Mohy & Higham (2009), theorem 2.1; Mathias (1996).",
    samples=lambda: [Sample((3, 3)), Sample((2, 2, 2)), Sample((1, 1)), Sample((0, 0)), Sample((0, 2, 2))])  # fmt: skip


# -- indefinite factors ------------------------------------------------------------------------------------------------


def _underived(name: str) -> NoReturn:
    raise NotImplementedError(f"derivative for aten::{name} is not implemented: take that of linalg.solve, or of linalg.eigh")


def _ldl_factor(x: ndarray, *, hermitian: bool) -> tuple:
    lead, n = x.shape[:-2], x.shape[-1]
    factor = lapack("hetrf" if hermitian and x.dtype.kind == "c" else "sytrf", x)
    lu, pivots, info = np.empty(x.shape, x.dtype), np.empty((*lead, n), INT32), np.zeros(lead, INT32)
    for at in np.ndindex(*lead if n else (0,)):
        packed, places, info[at] = factor(x[at], lower=1)
        lu[at] = np.tril(packed)
        pivots[at] = places
    return lu, pivots, info[()]


_INDEFINITE = [
    (np.array([[1.0, 2.0], [2.0, 1.0]]), np.ones((2, 1)), False),
    (np.array([[1.0, 2j], [-2j, 1.0]]), np.ones((2, 2)) + 0j, True),
    (np.array([[0.0, 1.0, 2.0], [1.0, 0.0, 3.0], [2.0, 3.0, 0.0]])[None], np.ones((1, 3, 1)), True),
    (np.ones((0, 0)), np.ones((0, 1)), False),
]  # fmt: skip


ldl_factor = op("ldl_factor(x, *, hermitian)", _ldl_factor, node="LinalgLdlFactorEx",
    shape=lambda x: [x, x[:-1], x[:-2]], dtype=lambda x: [x, INT32, INT32],
    batch=same,
    jvp=lambda x_dot: no_tangent("linalg_ldl_factor_ex"),
    x=lambda g: _underived("linalg_ldl_factor_ex"),
    doc="Bunch and Kaufman's factors of symmetric or Hermitian matrices, as LAPACK packs them, and the info of each.",
    samples=lambda: [Sample(Fixed(x), hermitian=h) for x, _, h in _INDEFINITE])  # fmt: skip


def _check_pivots(pivots: ndarray) -> None:
    """Refuse pivots that LAPACK would follow out of a matrix: a negative one is half of a pair."""
    k, n = 0, len(pivots)
    while k < n:
        p = int(pivots[k])
        paired = p < 0
        if not 1 <= abs(p) <= n or (paired and (k + 1 == n or pivots[k + 1] != p)):
            raise ValueError("linalg.ldl_solve: the pivots are not those of a factorization by linalg.ldl_factor")
        k += 1 + paired


def _ldl_solve(ld: ndarray, pivots: ndarray, b: ndarray, *, hermitian: bool) -> ndarray:
    trs = lapack("hetrs" if hermitian and ld.dtype.kind == "c" else "sytrs", ld)
    out = np.empty(b.shape, b.dtype)
    for at in np.ndindex(*b.shape[:-2] if b.size else (0,)):
        _check_pivots(pivots[at])
        out[at] = trs(ld[at], pivots[at], b[at], lower=1)[0]
    return out


ldl_solve = op("ldl_solve(ld, pivots, b, *, hermitian)", _ldl_solve, node="LinalgLdlSolve",
    refuses=True,
    shape=lambda ld, pivots, b: b, dtype=like_first,
    batch=same,
    jvp=lambda ld_dot, b_dot: no_tangent("linalg_ldl_solve"),
    ld=lambda g: _underived("linalg_ldl_solve"),
    b=lambda g: _underived("linalg_ldl_solve"),
    doc="Solutions by the factors that `ldl_factor` packs.",
    samples=lambda: [Sample(Fixed(a), Fixed(p), Fixed(b), hermitian=h)
                     for x, b, h in _INDEFINITE for a, p, _ in [_ldl_factor(x, hermitian=h)]])  # fmt: skip
