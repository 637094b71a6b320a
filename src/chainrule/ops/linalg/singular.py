"""Singular values and vectors, and the pseudoinverse."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.op.batching import same
from chainrule.core.op.declaration import op
from chainrule.core.op.reach import apart, per_matrix
from chainrule.core.op.results import like_first, real_of
from chainrule.core.op.samples import Fixed, Matrices, Sample
from chainrule.core.tensor.value import is_complex
from chainrule.ops.indexing.select import where
from chainrule.ops.linalg.contract import matmul
from chainrule.ops.linalg.failure import LinAlgError
from chainrule.ops.linalg.gauge import cautioned, checked, held, over_gaps, phase_of, released
from chainrule.ops.linalg.matrix import (
    column,
    diagonal_of,
    hermitian,
    in_lapack,
    mh,
    mt,
    numpy_dtype_of,
    on_diagonal,
    product,
    real_part,
    row,
    skew,
    total,
)  # fmt: skip
from chainrule.ops.linalg.symmetric import mirrored
from chainrule.ops.pointwise.complex import conj, imag
from chainrule.ops.reduction.reduce import sum

ndarray = np.ndarray
RECTANGLES = [(3, 3), (4, 2), (2, 3), (2, 3, 2), (1, 1), (0, 2), (2, 0), (0, 2, 2)]


# -- singular vectors --------------------------------------------------------------------------------------------------


@in_lapack
def _svd(x: ndarray, *, strict: bool) -> tuple:
    if not np.isfinite(x).all():
        raise non_finite()
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    if u.dtype.kind != "c":
        return u, s, vh
    phase = phase_of(u)
    return u / phase, s, vh * mt(phase)


def non_finite() -> Exception:
    """Return PyTorch's error for matrices whose singular values no algorithm finds."""
    return LinAlgError("linalg.svd: The algorithm failed to converge because the input matrix contained non-finite values.")


def _inverted(s: Any) -> Any:
    """Return 1 / s, and 0 for singular values that are 0 but for rounding: what they are in front of is determined no more."""
    few = is_small(s)
    return where(few, 0, 1 / where(few, 1, s))


def _small(s: ndarray) -> ndarray:
    return s <= 8 * max(s.shape[-1], 1) ** 0.5 * np.finfo(s.dtype).eps * np.max(s, axis=-1, initial=0, keepdims=True)


is_small = op("is_small(s)", _small, nondiff=True, kinds="f",
    shape=lambda s: s, dtype=lambda s: np.dtype(bool),
    batch=same,
    doc="Which singular values are 0 but for rounding.",
    samples=lambda: [Sample((3,), domain=(0.5, 1)), Sample((2, 0)), Sample(np.array([1.0, 1e-17, 0.0]))])  # fmt: skip


def _over_squares(c: Any, s: Any) -> Any:
    """Return c[i, j] / (s[j]² - s[i]²), and 0 where s[i] and s[j] are one: told from them, and not from their squares."""
    sums = column(s) + row(s)
    blank = sums == 0
    return over_gaps(c, s) / where(blank, 1, sums)


def _svd_jvp(x_dot: Any, x: Any, out: Any, *, strict: bool) -> tuple:
    u, s, vh = out
    v, one = mh(vh), _inverted(s)
    inner = product(mh(u), x_dot, v)
    if strict:
        inner = cautioned(inner, s, name="svd")
    by_s = _over_squares(inner * row(s) + column(s) * mh(inner), s)
    by_v = _over_squares(column(s) * inner + mh(inner) * row(s), s)
    if is_complex(x):
        by_v = by_v - on_diagonal(imag(diagonal_of(inner)) * one * 1j)
    u_dot, v_dot = matmul(u, by_s), matmul(v, by_v)
    m, n = x.shape[-2:]
    k = s.shape[-1]
    if m > k:
        u_dot = u_dot + (matmul(x_dot, v) - matmul(u, inner)) * row(one)
    if n > k:
        v_dot = v_dot + (matmul(mh(x_dot), u) - matmul(v, mh(inner))) * row(one)
    if is_complex(x):
        u_dot, rate = held(u_dot, u)
        v_dot = v_dot - v * (rate * 1j)
    return u_dot, real_part(diagonal_of(inner)), mh(v_dot)


def _svd_pull(g: Any, x: Any, out: Any, *, strict: bool) -> Any:
    u, s, vh = out
    g_u, g_s, g_v = g[0], g[1], None if g[2] is None else mh(g[2])
    v, one = mh(vh), _inverted(s)
    left = None if g_u is None else matmul(mh(u), g_u)
    right = None if g_v is None else matmul(mh(v), g_v)
    if left is None and right is None:
        return None if g_s is None else product(u * row(g_s), vh)
    both = total(left, right)
    if strict:
        both = checked(both, s, phases=True, name="svd")
        both = both if g_s is None else cautioned(both, s, name="svd")
    inner = None if g_s is None else on_diagonal(g_s)
    if is_complex(x):
        g_u = released(_zeros(u) if g_u is None else g_u, u, imag(diagonal_of(both)))
        left = matmul(mh(u), g_u)
        if right is not None:
            inner = total(inner, on_diagonal(imag(diagonal_of(right)) * one * -1j))
    if left is not None:
        inner = total(inner, _over_squares(skew(left), s) * row(s))
    if right is not None:
        inner = total(inner, column(s) * _over_squares(skew(right), s))
    out = product(u, inner, vh)
    m, n = x.shape[-2:]
    k = s.shape[-1]
    if m > k and g_u is not None:
        out = out + matmul((g_u - matmul(u, left)) * row(one), vh)
    if n > k and g_v is not None:
        out = out + matmul(u, mh((g_v - matmul(v, right)) * row(one)))
    return out


def _zeros(x: Any) -> ndarray:
    return np.zeros(tuple(x.shape), numpy_dtype_of(x))


def _parts(x: tuple) -> list:
    *lead, m, n = x
    k = min(m, n)
    return [(*lead, m, k), (*lead, k), (*lead, k, n)]


svd = op("svd(x, *, strict)", _svd, node="LinalgSvd",
    refuses=True,
    shape=_parts, dtype=lambda x: [x, real_of(x), x],
    reach=apart(2, (2, 1, 2)),
    batch=same,
    jvp=_svd_jvp,
    x=_svd_pull,
    doc="""The reduced singular value decomposition: Townsend (2016), *Differentiating the Singular Value Decomposition*;
    complex: arXiv 1909.02659. Complex vectors have the phase in which the largest element of each in u is real. `strict`
    refuses losses that depend on a gauge; without it derivatives are those in this phase.""",
    samples=lambda: [Sample(shape, strict=False) for shape in RECTANGLES])  # fmt: skip


@in_lapack
def _svdvals(x: ndarray) -> ndarray:
    if not np.isfinite(x).all():
        raise non_finite()
    return np.linalg.svd(x, compute_uv=False)


def _svdvals_jvp(x_dot: Any, x: Any) -> Any:
    u, _, vh = svd(x, strict=True)
    moved = (conj(u) if is_complex(u) else u) * matmul(x_dot, mh(vh))
    return sum(real_part(moved), axis=(moved.ndim - 2,), keepdims=False)


def _svdvals_pull(g: Any, x: Any) -> Any:
    u, _, vh = svd(x, strict=True)
    return matmul(u * row(g), vh)


svdvals = op("svdvals(x)", _svdvals, node="LinalgSvd",
    refuses=True,
    shape=lambda x: (*x[:-2], min(x[-2:])), dtype=real_of,
    reach=apart(2, 1),
    batch=same,
    jvp=_svdvals_jvp,
    x=_svdvals_pull,
    doc="Singular values; of repeated ones, and of 0, the derivative is one of several.",
    samples=lambda: [Sample(shape) for shape in RECTANGLES])  # fmt: skip


# -- the pseudoinverse -------------------------------------------------------------------------------------------------


@in_lapack
def _pinv(x: ndarray, atol: ndarray, rtol: ndarray, *, symmetric: bool) -> ndarray:
    if not np.isfinite(x).all():
        raise non_finite()
    if symmetric:
        s, u = np.linalg.eigh(x)
        vh = mh(u)
    else:
        u, s, vh = np.linalg.svd(x, full_matrices=False)
    size = np.abs(s)
    top = np.max(size, axis=-1, initial=0, keepdims=True)
    keep = size > np.maximum(np.asarray(atol)[..., None], np.asarray(rtol)[..., None] * top)
    one = np.where(keep, 1 / np.where(keep, s, 1), 0).astype(s.dtype)
    return (mh(vh) * one[..., None, :]) @ mh(u)


def _pinv_jvp(x_dot: Any, x: Any, out: Any, *, symmetric: bool) -> Any:
    if symmetric:
        x, x_dot = mirrored(x, upper=False), hermitian(x_dot)
    adjoint = mh(out)
    right = product(out, adjoint, mh(x_dot))
    left = product(mh(x_dot), adjoint, out)
    return right - product(right, x, out) + left - product(out, x, left) - product(out, x_dot, out)


def _pinv_pull(g: Any, x: Any, out: Any, *, symmetric: bool) -> Any:
    x, adjoint = mirrored(x, upper=False) if symmetric else x, mh(out)
    right = product(mh(g), out, adjoint)
    left = product(adjoint, out, mh(g))
    moved = right - product(x, out, right) + left - product(left, out, x) - product(adjoint, g, adjoint)
    return hermitian(moved) if symmetric else moved


pinv = op("pinv(x, atol, rtol, *, symmetric)", _pinv, node="LinalgPinv",
    refuses=True,
    shape=lambda x, atol, rtol: (*x[:-2], x[-1], x[-2]), dtype=like_first,
    reach=per_matrix,
    batch=same,
    jvp=_pinv_jvp,
    x=_pinv_pull,
    doc="Pseudoinverses by singular values above max(atol, rtol times the largest): Golub & Pereyra (1973), eq. 4.12.",
    samples=lambda: [
        *[Sample(shape, *[Fixed(np.full(shape[:-2], tol)) for tol in (0.0, 1e-10)], symmetric=False) for shape in RECTANGLES],
        *[Sample(Matrices(shape, "hermitian"), *[Fixed(np.full(shape[:-2], tol)) for tol in (0.0, 1e-10)], symmetric=True)
          for shape in ((3, 3), (2, 2, 2))],
    ])  # fmt: skip
