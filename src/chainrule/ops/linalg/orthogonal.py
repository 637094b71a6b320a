"""Orthogonal and triangular factors: QR of square and tall matrices, LU with pivots, Householder's reflections."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.op.batching import same
from chainrule.core.op.declaration import op
from chainrule.core.op.reach import apart, per_matrix
from chainrule.core.op.results import like_first
from chainrule.core.op.samples import Fixed, Matrices, Sample
from chainrule.core.tensor.value import is_complex
from chainrule.ops.describe import no_tangent
from chainrule.ops.indexing.scatter import gather
from chainrule.ops.indexing.view import getitem
from chainrule.ops.linalg.contract import matmul
from chainrule.ops.linalg.matrix import diagonal_of, in_lapack, mh, mt, on_diagonal, real_part, total
from chainrule.ops.linalg.solve import INT32, lapack, solve_triangular
from chainrule.ops.pointwise.complex import imag
from chainrule.ops.shaping.join import cat
from chainrule.ops.shaping.shape import broadcast_to, reshape, tril, triu

ndarray = np.ndarray


# -- QR ----------------------------------------------------------------------------------------------------------------


def over_triangle(x: Any, r: Any) -> Any:
    """Return x r⁻¹ for an upper triangle r."""
    return mt(solve_triangular(mt(r), mt(x), upper=False, unit=False))


def over_adjoint(x: Any, r: Any) -> Any:
    """Return x r⁻ᴴ for an upper triangle r."""
    return mh(solve_triangular(r, mh(x), upper=True, unit=False))


@in_lapack
def _qr(x: ndarray) -> tuple:
    return tuple(np.linalg.qr(x))


def _qr_jvp(x_dot: Any, out: Any) -> tuple:
    q, r = out
    moved = over_triangle(x_dot, r)
    inner = matmul(mh(q), moved)
    below = tril(inner, k=-1)
    turned = below - mh(below)
    if is_complex(inner):
        turned = turned + on_diagonal(imag(diagonal_of(inner)) * 1j)
    rest = inner - turned
    return moved - matmul(q, rest), matmul(rest, r)


def _qr_pull(g: Any, out: Any) -> Any:
    q, r = out
    inner = None if g[0] is None else -matmul(mh(q), g[0])
    inner = total(inner, None if g[1] is None else matmul(triu(g[1], k=0), mh(r)))
    above = triu(inner, k=1)
    inner = above + mh(above) + on_diagonal(real_part(diagonal_of(inner)))
    return over_adjoint(total(g[0], matmul(q, inner)), r)


qr = op("qr(x)", _qr, node="LinalgQr",
    shape=lambda x: [x, (*x[:-2], x[-1], x[-1])], dtype=lambda x: [x, x],
    reach=apart(2, (2, 2)),
    batch=same,
    jvp=_qr_jvp,
    x=_qr_pull,
    doc="The reduced QR decomposition of matrices of at least as many rows as columns: Walter & Lehmann, arXiv 1001.1654.",
    samples=lambda: [Sample(shape) for shape in ((3, 3), (4, 2), (2, 3, 2), (1, 1), (0, 0), (3, 0), (0, 2, 2))])  # fmt: skip


# -- LU ----------------------------------------------------------------------------------------------------------------


@in_lapack
def _lu(x: ndarray, *, pivot: bool) -> tuple:
    lead, (m, n) = x.shape[:-2], x.shape[-2:]
    k = min(m, n)
    lu, pivots, info = np.empty(x.shape, x.dtype), np.empty((*lead, k), INT32), np.zeros(lead, INT32)
    if not x.size:
        pivots[...] = np.arange(1, k + 1)
        return lu, pivots, info[()]
    getrf = lapack("getrf", x)
    for at in np.ndindex(*lead):
        if pivot:
            lu[at], pivots[at], info[at] = getrf(x[at])
        else:
            lu[at], info[at] = _unpivoted(x[at])
    if not pivot:
        pivots[...] = np.arange(1, k + 1)
        return lu, pivots, info[()]
    return lu, pivots + 1, info[()]


def _unpivoted(x: ndarray) -> tuple:
    """Return packed factors without exchanges of rows, and the place of the first pivot that is 0 (Golub & Van Loan, 3.2.1)."""
    lu, info = x.copy(), 0
    for k in range(min(x.shape)):
        if lu[k, k] == 0:
            info = info or k + 1
            continue
        lu[k + 1 :, k] /= lu[k, k]
        lu[k + 1 :, k + 1 :] -= np.outer(lu[k + 1 :, k], lu[k, k + 1 :])
    return lu, info


def permutation_of(pivots: ndarray, m: int) -> ndarray:
    """Return the order in which the exchanges of LAPACK's pivots leave `m` rows."""
    order = np.broadcast_to(np.arange(m), (*pivots.shape[:-1], m)).copy()
    for i in range(pivots.shape[-1]):
        other = pivots[..., i : i + 1].astype(np.int64) - 1
        held = order[..., i : i + 1].copy()
        order[..., i : i + 1] = np.take_along_axis(order, other, -1)
        np.put_along_axis(order, other, held, -1)
    return order


permutation = op("permutation(pivots, *, rows)", lambda pivots, *, rows: permutation_of(pivots, rows), nondiff=True, kinds="i",
    refuses=True,
    shape=lambda pivots, *, rows: (*pivots[:-1], rows), dtype=lambda pivots: np.dtype(np.int64),
    batch=same,
    doc="The order in which the exchanges that pivots name leave rows.",
    samples=lambda: [Sample(np.array([3, 3, 3], INT32), rows=4), Sample(np.array([[2, 2], [1, 2]], INT32), rows=2),
                     Sample(np.zeros((0,), INT32), rows=2)])  # fmt: skip


def _permutation_matrix(pivots: ndarray, *, rows: int, dtype: np.dtype) -> ndarray:
    order = permutation_of(pivots, rows)
    return (np.arange(rows)[:, None] == order[..., None, :]).astype(dtype)


permutation_matrix = op("permutation_matrix(pivots, *, rows, dtype)", _permutation_matrix, nondiff=True, kinds="i",
    refuses=True,
    shape=lambda pivots, *, rows: (*pivots[:-1], rows, rows), dtype=lambda pivots, *, dtype: dtype,
    batch=same,
    doc="The matrices P that put the rows back which exchanges have moved.",
    samples=lambda: [Sample(np.array([3, 3, 3], INT32), rows=4, dtype=np.dtype("f8"))])  # fmt: skip

reverse_order = op("reverse_order(order)", lambda order: np.argsort(order, -1), nondiff=True, kinds="i",
    shape=lambda order: order, dtype=lambda order: np.dtype(np.int64),
    batch=same,
    doc="The permutations that undo others.",
    samples=lambda: [Sample(np.array([2, 0, 1])), Sample(np.array([[1, 0], [0, 1]]))])  # fmt: skip


def rows_in_order(x: Any, order: Any) -> Any:
    """Return the rows of each matrix in an order of its own."""
    whole = broadcast_to(reshape(order, shape=(*order.shape, 1)), shape=tuple(x.shape))
    return gather(x, whole, axis=x.ndim - 2)


def unpacked(lu: Any) -> tuple:
    """Return the blocks of packed factors: L1, L2 (the rows below) or None, U1, U2 (the columns beyond) or None."""
    m, n = lu.shape[-2:]
    k = min(m, n)
    corner = lu if m == n else getitem(lu, index=(..., slice(k), slice(k)))
    lower = tril(corner, k=-1) + np.eye(k, dtype=np.float32).astype(_dtype(lu))
    below = getitem(lu, index=(..., slice(k, None), slice(None))) if m > k else None
    beyond = getitem(lu, index=(..., slice(None), slice(k, None))) if n > k else None
    return lower, below, triu(corner, k=0), beyond


def _dtype(x: Any) -> np.dtype:
    return x.dtype if isinstance(x.dtype, np.dtype) else x.dtype.numpy


def _left(lower: Any, x: Any) -> Any:
    return solve_triangular(lower, x, upper=False, unit=True)


def _left_adjoint(lower: Any, x: Any) -> Any:
    return solve_triangular(mh(lower), x, upper=True, unit=True)


def _lu_jvp(x_dot: Any, x: Any, out: Any, *, pivot: bool) -> tuple:
    m = x.shape[-2]
    moved = rows_in_order(x_dot, permutation(out[1], rows=m))
    lower, below, upper, beyond = unpacked(out[0])
    corner, moved_below, moved_beyond = _blocks(moved)
    inner = over_triangle(_left(lower, corner), upper)
    lower_dot, upper_dot = matmul(lower, tril(inner, k=-1)), matmul(triu(inner, k=0), upper)
    packed = lower_dot + upper_dot
    if below is not None:
        packed = cat(packed, over_triangle(moved_below - matmul(below, upper_dot), upper), axis=x.ndim - 2)
    if beyond is not None:
        packed = cat(packed, _left(lower, moved_beyond - matmul(lower_dot, beyond)), axis=x.ndim - 1)
    return packed, None, None


def _blocks(x: Any) -> tuple:
    m, n = x.shape[-2:]
    k = min(m, n)
    return (
        x if m == n else getitem(x, index=(..., slice(k), slice(k))),
        getitem(x, index=(..., slice(k, None), slice(None))) if m > k else None,
        getitem(x, index=(..., slice(None), slice(k, None))) if n > k else None,
    )


def _lu_pull(g: Any, x: Any, out: Any, *, pivot: bool) -> Any:
    m = x.shape[-2]
    lower, below, upper, beyond = unpacked(out[0])
    corner, g_below, g_beyond = _blocks(g[0])
    g_lower, g_upper = tril(corner, k=-1), triu(corner, k=0)
    if below is not None:
        g_below = over_adjoint(g_below, upper)
        g_upper = g_upper - matmul(mh(below), g_below)
    if beyond is not None:
        g_beyond = _left_adjoint(lower, g_beyond)
        g_lower = g_lower - matmul(g_beyond, mh(beyond))
    inner = tril(matmul(mh(lower), g_lower), k=-1) + triu(matmul(g_upper, mh(upper)), k=0)
    moved = over_adjoint(_left_adjoint(lower, inner), upper)
    if below is not None:
        moved = cat(moved, g_below, axis=x.ndim - 2)
    if beyond is not None:
        moved = cat(moved, g_beyond, axis=x.ndim - 1)
    return rows_in_order(moved, reverse_order(permutation(out[1], rows=m)))


lu_factor = op("lu_factor(x, *, pivot)", _lu, node="LinalgLuFactorEx",
    shape=lambda x: [x, (*x[:-2], min(x[-2:])), x[:-2]], dtype=lambda x: [x, INT32, INT32],
    reach=per_matrix,
    batch=same,
    jvp=_lu_jvp,
    x=_lu_pull,
    doc="Packed LU factors, pivots counted from 1, and the info of each: de Hoog, Anderssen & Lukas (2011).",
    samples=lambda: [
        Sample(shape, pivot=True) for shape in ((3, 3), (4, 2), (2, 3), (2, 3, 2), (0, 0), (2, 0), (0, 2, 2))
    ] + [Sample(Matrices((3, 3)), pivot=False), Sample(Matrices((2, 2, 3)), pivot=False)])  # fmt: skip


# -- Householder -------------------------------------------------------------------------------------------------------


def _geqrf(x: ndarray) -> tuple:
    lead, (m, n) = x.shape[:-2], x.shape[-2:]
    out, tau = np.empty(x.shape, x.dtype), np.zeros((*lead, min(m, n)), x.dtype)
    if x.size:
        geqrf = lapack("geqrf", x)
        for at in np.ndindex(*lead):
            out[at], tau[at] = geqrf(x[at])[:2]
    return out, tau


def _underived(name: str) -> Any:
    raise NotImplementedError(
        f"the derivative for '{name}' is not implemented. Take that of linalg.qr, whose factors these reflections make"
    )


geqrf = op("geqrf(x)", _geqrf, node="Geqrf",
    shape=lambda x: [x, (*x[:-2], min(x[-2:]))], dtype=lambda x: [x, x],
    batch=same,
    jvp=lambda x_dot: no_tangent("geqrf"),
    x=lambda g: _underived("geqrf"),
    doc="Reflections and triangles as LAPACK's geqrf packs them.",
    samples=lambda: [Sample(Fixed(x)) for x in (np.diag([1.0, 2.0]) + 1, np.ones((2, 3, 2)), np.ones((0, 2)))])  # fmt: skip


# -- complements -------------------------------------------------------------------------------------------------------


def _complement(q: ndarray) -> ndarray:
    return np.ascontiguousarray(np.linalg.qr(q, mode="complete")[0][..., q.shape[-1] :])


complement = op("complement(q)", in_lapack(_complement), nondiff=True,
    shape=lambda q: (*q[:-1], q[-2] - q[-1]), dtype=like_first,
    batch=same,
    doc="An orthonormal basis of what the columns of tall matrices leave; which one is not said, so that it is a constant.",
    samples=lambda: [Sample((3, 2)), Sample((2, 4, 1)), Sample((3, 0)), Sample((2, 2))])  # fmt: skip


def _incomplete(q: Any) -> Any:
    raise RuntimeError("The QR decomposition is not differentiable when mode='complete' and nrows > ncols.")


rest_of_qr = op("rest_of_qr(q)", in_lapack(_complement), node="LinalgQr",
    shape=lambda q: (*q[:-1], q[-2] - q[-1]), dtype=like_first,
    batch=same,
    jvp=lambda q_dot: _incomplete(q_dot),
    q=lambda g: _incomplete(g),
    doc="The columns that complete those of a QR decomposition.",
    samples=lambda: [Sample(Fixed(np.eye(3)[:, :2]))])  # fmt: skip
