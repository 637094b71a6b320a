"""Linear systems and what their solution gives: inverse, determinant. Singular matrices are told by `info`, as LAPACK's.

A result `info` is, for each matrix, 0 or the order of the leading minor that is singular: the public functions raise by it.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.op.batching import same
from chainrule.core.op.declaration import op
from chainrule.core.op.links import Link
from chainrule.core.op.reach import Call, apart, by_axes, per_matrix, so_far
from chainrule.core.op.results import DYNAMIC, joined, like_first, real_of, second
from chainrule.core.op.samples import Matrices, Sample
from chainrule.core.tensor.value import is_complex
from chainrule.ops.indexing.view import getitem
from chainrule.ops.linalg.contract import matmul
from chainrule.ops.linalg.matrix import diagonal_of, eye_like, in_lapack, mh, mt, numpy_dtype_of, product, scaled
from chainrule.ops.pointwise.complex import conj, imag, real
from chainrule.ops.reduction.reduce import sum
from chainrule.ops.shaping.join import cat
from chainrule.ops.shaping.shape import broadcast_to, tril, triu

ndarray = np.ndarray
INT32 = np.dtype(np.int32)
SQUARE = [
    Sample(Matrices((3, 3))),
    Sample(Matrices((2, 3, 3))),
    Sample(Matrices((1, 1))),
    Sample((0, 0)),
    Sample((0, 2, 2)),
    Sample(Matrices((2, 1, 2, 2))),
]


def zeros_info(lead: tuple) -> Any:
    """Return the info of a batch in which nothing failed."""
    return np.zeros(lead, INT32)[()]


def lapack(name: str, x: ndarray) -> Any:
    """Return LAPACK's routine for an array's dtype."""
    from scipy.linalg import get_lapack_funcs

    return get_lapack_funcs((name,), (x,))[0]


def singular_minors(x: ndarray) -> Any:
    """Return the info of an LU factorisation of each matrix."""
    getrf = lapack("getrf", x)
    info = np.zeros(x.shape[:-2], INT32)
    for at in np.ndindex(info.shape):
        info[at] = getrf(x[at])[2]
    return info[()]


# -- inverse -----------------------------------------------------------------------------------------------------------


@in_lapack
def _inv(x: ndarray) -> tuple:
    try:
        return np.linalg.inv(x), zeros_info(x.shape[:-2])
    except np.linalg.LinAlgError:
        info = singular_minors(x)
        regular = np.where(np.asarray(info)[..., None, None] == 0, x, np.eye(x.shape[-1], dtype=x.dtype))
        return np.where(np.asarray(info)[..., None, None] == 0, np.linalg.inv(regular), x.dtype.type(np.inf)), info


inv = op("inv(x)", _inv, node="LinalgInvEx",
    shape=lambda x: [x, x[:-2]], dtype=lambda x: [x, INT32],
    reach=per_matrix,
    batch=same,
    jvp=lambda x_dot, out: (-product(out[0], x_dot, out[0]), None),
    x=lambda g, out: -product(mh(out[0]), g[0], mh(out[0])),
    doc="Inverses, and the info of each: Giles (2008), section 2.2.3. Those of singular matrices are infinite.",
    samples=lambda: SQUARE)  # fmt: skip


# -- systems -----------------------------------------------------------------------------------------------------------

# Matrices from this size on keep their factors for the backward pass. NumPy's batched solver takes 1.2 µs a matrix of 8x8
# where calls of LAPACK from Python take 15; from 64 on the factorisation is what costs.
LARGE = 64


@in_lapack
def _solve(a: ndarray, b: ndarray) -> tuple:
    n, lead = a.shape[-1], a.shape[:-2]
    if n >= LARGE:
        return _factored(a, b)
    nothing = np.zeros((*lead, 0, 0, 2), _halves(a.dtype)), np.zeros((*lead, 0), INT32)
    try:
        return np.linalg.solve(a, b), *nothing, zeros_info(lead)
    except np.linalg.LinAlgError:
        info = singular_minors(a)
        fails = np.asarray(info)[..., None, None] != 0
        out = np.linalg.solve(np.where(fails, np.eye(n, dtype=a.dtype), a), b)
        return np.where(fails, out.dtype.type(np.nan), out), *nothing, info


def _factored(a: ndarray, b: ndarray) -> tuple:
    """Solve by the LU factors of the transposes, which in LAPACK's order of memory need no copy; keep them as integers."""
    n, lead = a.shape[-1], a.shape[:-2]
    getrf = lapack("getrf", a)
    lu, pivots, info = np.empty((*lead, n, n), a.dtype), np.empty((*lead, n), INT32), np.zeros(lead, INT32)
    for at in np.ndindex(*lead):
        factors, pivots[at], info[at] = getrf(a[at].T)
        lu[at] = factors.T
    out = _substituted(lu, pivots, b, False)
    out[info != 0] = np.nan
    return out, lu.view(_halves(a.dtype)).reshape(*lead, n, n, 2), pivots, info[()]


def _halves(d: np.dtype) -> np.dtype:
    """Return the integers of which two have the size of a number: factors have no derivative, and as such none is asked for."""
    return np.dtype(f"i{d.itemsize // 2}")


def _substituted(lu: ndarray, pivots: ndarray, b: ndarray, adjoint: bool) -> ndarray:
    """Return solutions by the factors of the transposes, of the adjoint systems if `adjoint`."""
    getrs = lapack("getrs", b)
    out = np.empty(b.shape, b.dtype)
    for at in np.ndindex(*b.shape[:-2]):
        if adjoint:
            out[at] = getrs(lu[at].T, pivots[at], b[at].conj())[0].conj()
        else:
            out[at] = getrs(lu[at].T, pivots[at], b[at], trans=1)[0]
    return out


def _again(a: Any, out: Any, b: Any, adjoint: bool) -> Any:
    """Solve with a matrix, or its adjoint, that was solved with before: by its factors where they are kept."""
    kept = out[1]
    if a.__class__ is ndarray is b.__class__ and kept.__class__ is ndarray and kept.size and a.dtype == b.dtype:
        return _substituted(kept.reshape(*a.shape[:-1], -1).view(a.dtype), out[2], b, adjoint)
    return solve(mh(a) if adjoint else a, b)[0]


def _solve_jvp(a_dot: Any, b_dot: Any, a: Any, out: Any) -> tuple:
    right = b_dot
    if a_dot is not None:
        moved = matmul(a_dot, out[0])
        right = -moved if b_dot is None else b_dot - moved
    return _again(a, out, right, False), None, None, None


def _solution(a: tuple, b: tuple) -> list:
    n, lead = a[-1], a[:-2]
    kept = (*lead, n, n) if n >= LARGE else (*lead, 0, 0)
    return [b, (*kept, 2), kept[:-1], lead]


solve = op("solve(a, b)", _solve, node="LinalgSolveEx",
    shape=_solution, dtype=lambda a, b: [joined(a, b), _halves(a), INT32, INT32],
    reach={"a": per_matrix, "b": apart(2, 2, (-1, -1))},
    batch=same,
    jvp=_solve_jvp,
    a=lambda g, a, out: -matmul(_again(a, out, g[0], True), mh(out[0])),
    b=lambda g, a, out: _again(a, out, g[0], True),
    doc="""Solutions of a x = b, kept factors and pivots of large matrices, and the info of each: Giles (2008), section 2.3.1.
    Those of singular matrices are NaN.""",
    samples=lambda: [
        Sample(Matrices((3, 3)), (3, 2)), Sample(Matrices((2, 3, 3)), (2, 3, 1)), Sample(Matrices((1, 1)), (1, 3)),
        Sample((0, 0), (0, 2)), Sample(Matrices((2, 2)), (2, 0)), Sample((0, 2, 2), (0, 2, 3)),
        Sample(Matrices((LARGE, LARGE)), (LARGE, 1)),
    ])  # fmt: skip


# -- triangular systems ------------------------------------------------------------------------------------------------


def triangle(x: Any, upper: bool, unit: bool) -> Any:
    """Return one triangle of each matrix, without the diagonal if that counts as ones."""
    return triu(x, k=int(unit)) if upper else tril(x, k=-int(unit))


@in_lapack
def _solve_triangular(a: ndarray, b: ndarray, *, upper: bool, unit: bool) -> ndarray:
    lead, n = a.shape[:-2], a.shape[-1]
    if not b.size:
        return np.zeros(b.shape, np.result_type(a, b))
    if prod(lead) * 4 < n or n > 48:
        trtrs = lapack("trtrs", a)
        out = np.empty(b.shape, b.dtype)
        for at in np.ndindex(*lead):  # the transpose of a matrix in C's order is one in LAPACK's
            out[at] = trtrs(a[at].T, b[at], lower=upper, trans=1, unitdiag=unit)[0]
        return out
    # One row of the whole batch after the other: 100 of 8x8 take 0.1 ms, one by one 0.6.
    out = b.astype(np.result_type(a, b))
    for i in range(n)[::-1] if upper else range(n):
        known = slice(i + 1, n) if upper else slice(0, i)
        if known.start < known.stop:
            out[..., i, :] -= (a[..., i : i + 1, known] @ out[..., known, :])[..., 0, :]
        if not unit:
            out[..., i, :] /= a[..., i, i, None]
    return out


def _triangular_jvp(a_dot: Any, b_dot: Any, a: Any, out: Any, *, upper: bool, unit: bool) -> Any:
    right = b_dot
    if a_dot is not None:
        moved = matmul(triangle(a_dot, upper, unit), out)
        right = -moved if b_dot is None else b_dot - moved
    return solve_triangular(a, right, upper=upper, unit=unit)


def _adjoint(a: Any, g: Any, upper: bool, unit: bool) -> Any:
    return solve_triangular(mh(a), g, upper=not upper, unit=unit)


def _substituted_in(c: Call, i: int, o: int) -> Link:
    """Rows of a triangle, and of the other side, reach their own row of the solution and those that are found after it."""
    shape, out, upper = c.shapes[i], c.out_shape(o), c.params["upper"]
    lead = len(out) - len(shape)
    axes = [(k, k + lead) for k in range(len(shape) - (i == 0))]
    link = by_axes(shape, out, axes, {len(out) - 2: so_far(out[-2], upper)})
    if i == 0:
        link.ins = np.where(triangle(np.ones(shape, bool), upper, c.params["unit"]).ravel(), link.ins, -1)  # type: ignore[arg-type]
    return link


solve_triangular = op("solve_triangular(a, b, *, upper, unit)", _solve_triangular, node="LinalgSolveTriangular",
    shape=second, dtype=joined,
    reach=_substituted_in,
    batch=same,
    jvp=_triangular_jvp,
    a=lambda g, a, out, *, upper, unit: -triangle(matmul(_adjoint(a, g, upper, unit), mh(out)), upper, unit),
    b=lambda g, a, *, upper, unit: _adjoint(a, g, upper, unit),
    doc="Solutions of a x = b by one triangle of a; of the other nothing is read: Giles (2008), section 2.3.1.",
    samples=lambda: [
        Sample(Matrices((3, 3)), (3, 2), upper=True, unit=False),
        Sample(Matrices((5, 3, 3)), (5, 3, 2), upper=False, unit=False),
        Sample((2, 2, 2), (2, 2, 1), upper=True, unit=True), Sample((3, 3), (3, 1), upper=False, unit=True),
        Sample((0, 0), (0, 2), upper=True, unit=False), Sample(Matrices((2, 2)), (2, 0), upper=True, unit=False),
    ])  # fmt: skip


# -- determinants ------------------------------------------------------------------------------------------------------


@in_lapack
def _null_bases(x: ndarray) -> tuple:
    """Return orthonormal bases of what x nearly annihilates, on the left and on the right, scaled to the size of x.

    All matrices of a batch get as many vectors as the one that needs most.
    """
    finite = np.isfinite(x).all(axis=(-2, -1), keepdims=True)
    u, s, vh = np.linalg.svd(np.where(finite, x, np.eye(x.shape[-1], dtype=x.dtype)))
    top = s[..., :1]
    few = s <= top * np.finfo(s.dtype).eps ** 0.25
    r = int(np.max(np.count_nonzero(few, axis=-1), initial=0))
    size = np.where(top == 0, 1, top)[..., None]
    n = x.shape[-1]
    return u[..., n - r :] * size, mh(vh[..., n - r :, :]) * size


null_bases = op("null_bases(x)", _null_bases, nondiff=True,
    shape=lambda x: [DYNAMIC, DYNAMIC], dtype=lambda x: [x, x],
    batch=same,
    samples=lambda: [Sample(Matrices((2, 3, 3))), Sample((0, 0))])  # fmt: skip


def _small_adjugate(w: Any) -> tuple:
    """Return determinant and adjugate without a division by what may be 0 (Faddeev and LeVerrier; Gantmacher, IV.5)."""
    n = w.shape[-1]
    m = broadcast_to(eye_like(w, n), shape=tuple(w.shape))
    c = None
    for k in range(1, n + 1):
        moved = matmul(w, m)
        c = sum(diagonal_of(moved), axis=(w.ndim - 2,), keepdims=False) * (-1 / k)
        if k < n:
            m = moved + scaled(eye_like(w, n), c)
    return c * (-1) ** n, m * (-1) ** (n - 1)


def adjugate(x: Any, det_x: Any) -> Any:
    """Return the transposed cofactors, which are the derivative of the determinant, of any matrix, to any order.

    Of a regular matrix it is det(x) x⁻¹. Of any other, x is bordered by constant bases P, Q of what it nearly annihilates, so
    that B = [[x, P], [Qᴴ, 0]] is regular. With the blocks X, Y, Z, W of B⁻¹, Jacobi's identity gives det x = det B det W, and
    Schur's complement x⁻¹ = X - Y W⁻¹ Z, so that adj x = det B (det(W) X - Y adj(W) Z), in which nothing is divided by 0.
    """
    left, right = null_bases(x)
    n, r = x.shape[-1], left.shape[-1]
    if not r:
        return scaled(inv(x)[0], det_x)
    corner = np.zeros((*x.shape[:-2], r, r), numpy_dtype_of(x))
    bordered = cat(cat(x, left, axis=x.ndim - 1), cat(mh(right), corner, axis=x.ndim - 1), axis=x.ndim - 2)
    inverse = inv(bordered)[0]
    blocks = [getitem(inverse, index=(..., i, j)) for i in (slice(n), slice(n, None)) for j in (slice(n), slice(n, None))]
    det_w, adj_w = _small_adjugate(blocks[3])
    return scaled(scaled(blocks[0], det_w) - product(blocks[1], adj_w, blocks[2]), det(bordered))


def _inner(x: Any, y: Any) -> Any:
    """Return the sums of the products of elements: the trace of x times the transpose of y."""
    return sum(x * y, axis=(x.ndim - 2, x.ndim - 1), keepdims=False)


det = op("det(x)", in_lapack(np.linalg.det), node="LinalgDet",
    shape=lambda x: x[:-2], dtype=like_first,
    reach=apart(2, 0),
    batch=same,
    jvp=lambda x_dot, x, out: _inner(x_dot, mt(adjugate(x, out))),
    x=lambda g, x, out: scaled(mh(adjugate(x, out)), g),
    doc="Determinants, with the right derivatives at singular matrices too: see `adjugate`.",
    samples=lambda: [*SQUARE, Sample(np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]])), Sample(np.ones((3, 3))),
                     Sample(np.zeros((3, 3))), Sample(np.array([np.eye(2), np.ones((2, 2)), np.zeros((2, 2))]))])  # fmt: skip


@in_lapack
def _slogdet(x: ndarray) -> tuple:
    return tuple(np.linalg.slogdet(x))


def _slogdet_jvp(x_dot: Any, x: Any, out: Any) -> tuple:
    rate = _inner(x_dot, mt(inv(x)[0]))
    if not is_complex(rate):
        return None, rate
    return out[0] * imag(rate) * 1j, real(rate)


def _slogdet_pull(g: Any, x: Any, out: Any) -> Any:
    weight = g[1]
    if is_complex(x) and g[0] is not None:
        turned = imag(conj(g[0]) * out[0]) * -1j
        weight = turned if weight is None else weight + turned
    return None if weight is None else scaled(mh(inv(x)[0]), weight)


slogdet = op("slogdet(x)", _slogdet, node="LinalgSlogdet",
    shape=lambda x: [x[:-2], x[:-2]], dtype=lambda x: [x, real_of(x)],
    reach=apart(2, (0, 0)),
    batch=same,
    jvp=_slogdet_jvp,
    x=_slogdet_pull,
    doc="Signs and logarithms of the sizes of determinants: Giles (2008), section 2.2.4.",
    samples=lambda: [Sample(shape) for shape in ((3, 3), (2, 3, 3), (1, 1), (0, 0), (0, 2, 2))])  # fmt: skip
