"""Triangular and orthogonal factors: QR, LU, Householder's reflections: `chainrule.linalg`'s part."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.call.dispatch import as_tensor
from chainrule.core.op.samples import Fixed, Matrices, Sample
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import satisfies
from chainrule.core.types import dtype as dtypes
from chainrule.functions.adapt import public
from chainrule.functions.linalg.arguments import check_dtype, check_info, expanded, matrices, same_dtype
from chainrule.functions.linalg.contract import operand
from chainrule.functions.linalg.solve import check_system
from chainrule.ops.indexing.select import where
from chainrule.ops.indexing.view import getitem
from chainrule.ops.linalg import orthogonal as ops
from chainrule.ops.linalg.contract import matmul
from chainrule.ops.linalg.matrix import mh, numpy_dtype_of
from chainrule.ops.linalg.solve import solve_triangular
from chainrule.ops.shaping.join import cat
from chainrule.ops.shaping.shape import broadcast_to, tril, triu
from chainrule.return_types import named_result

__all__ = ["householder_product", "lu", "lu_factor", "lu_factor_ex", "lu_solve", "qr"]

_linalg_qr = named_result("linalg_qr", "Q", "R")
_linalg_lu = named_result("linalg_lu", "P", "L", "U")
_linalg_lu_factor = named_result("linalg_lu_factor", "LU", "pivots")
_linalg_lu_factor_ex = named_result("linalg_lu_factor_ex", "LU", "pivots", "info")
_ZERO_PIVOT = (
    "torch.linalg.{}: {{0}}U[{{1}},{{1}}] is zero and using it on lu_solve would result in a division by zero. If you still "
    "want to perform the factorization, consider calling linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)"
)


# -- QR ----------------------------------------------------------------------------------------------------------------


def qr_factors(A: Any, mode: str) -> tuple:
    """Return Q and R; of a wide matrix, whose first square block decides Q, the rest of R is Qᴴ times the rest of it."""
    x = matrices(A, "linalg.qr", square=False, kernel="geqrf_cpu")
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'"
        )
    m, n = x.shape[-2:]
    if m < n:
        q, r = ops.qr(getitem(x, index=(..., slice(m))))
        r = cat(r, matmul(mh(q), getitem(x, index=(..., slice(m, None)))), axis=x.ndim - 1)
    else:
        q, r = ops.qr(x)
    if mode == "complete" and m > n:
        q = cat(q, ops.rest_of_qr(q), axis=x.ndim - 1)
        r = cat(r, np.zeros((*x.shape[:-2], m - n, n), numpy_dtype_of(x)), axis=x.ndim - 2)
    return q, r


@public(name="linalg.qr", method=False, out=True, samples=lambda: [
    Sample((3, 3)), Sample((4, 2)), Sample((2, 3)), Sample((2, 3, 2)), Sample((2, 3), mode="complete"), Sample((0, 3)),
    Sample((3, 0)), Sample((0, 2, 2)),
    Sample((3,), error=(RuntimeError, "linalg.qr: The input tensor A must have at least 2 dimensions.")),
    Sample((2, 2), mode="x", error=(RuntimeError, "qr received unrecognized mode 'x' but expected one of 'reduced' (default)")),
])  # fmt: skip
def qr(A: Tensor, mode: str = "reduced") -> Any:
    """Return the QR decomposition, A = Q R with orthonormal columns in Q and an upper triangle R.

    Parameters
    ----------
    A : Tensor
        Shape (…, m, n).
    mode : {"reduced", "complete", "r"}
        Q of min(m, n) columns, or square; "r" gives an empty Q.

    Returns
    -------
    namedtuple (Q, R)
        With k = min(m, n), of shapes (…, m, k) and (…, k, n), or (…, m, m) and (…, m, n).

    Raises
    ------
    RuntimeError
        In a derivative, of "complete" if m > n, and of the empty Q of "r". The first min(m, n) columns must be independent.

    Notes
    -----
    Walter & Lehmann, arXiv 1001.1654.

    Examples
    --------
    >>> import chainrule as cr
    >>> q, r = cr.linalg.qr(cr.tensor([[3.0, 0.0], [4.0, 5.0]]))
    >>> (q @ r).round()
    tensor([[3., 0.],
            [4., 5.]])
    """
    q, r = qr_factors(A, mode)
    if mode == "r":
        q = wrap(np.empty((0,), numpy_dtype_of(q)))
    return _linalg_qr(q, r)


# -- LU ----------------------------------------------------------------------------------------------------------------


def lu_parts(A: Any, pivot: bool, name: str) -> tuple:
    """Return packed factors, pivots and info."""
    x = operand(A, name.rpartition(".")[2], "A", 1)
    if x.ndim < 2:
        raise RuntimeError(f"{name}: Expected tensor with 2 or more dimensions. Got size: {list(x.shape)} instead")
    check_dtype(x, name, "lu_cpu", ints=False)
    return ops.lu_factor(x, pivot=bool(pivot))


_LU = [(3, 3), (4, 2), (2, 3), (2, 3, 2), (0, 0), (0, 2, 2)]


@public(name="linalg.lu_factor", method=False, out=True, samples=lambda: [
    *[Sample(shape) for shape in _LU],
    Sample(np.ones((2, 2)), error=(RuntimeError, _ZERO_PIVOT.format("lu_factor").format("", 2))),
    Sample((3,), error=(RuntimeError, "torch.lu_factor: Expected tensor with 2 or more dimensions. Got size: [3] instead")),
])  # fmt: skip
def lu_factor(A: Tensor, *, pivot: bool = True) -> Any:
    """Return the LU factors of matrices, packed for :func:`lu_solve`.

    Parameters
    ----------
    A : Tensor
        Shape (…, m, n).
    pivot : bool
        Exchange rows for the largest pivot of each column.

    Returns
    -------
    namedtuple (LU, pivots)
        Of shapes (…, m, n) and (…, min(m, n)), of int32, counted from 1: which row each was exchanged with.

    Raises
    ------
    RuntimeError
        If a pivot is 0.

    Notes
    -----
    With P L U = A, L⁻¹ L̇ and U̇ U⁻¹ are the triangles of L⁻¹ Pᵀ Ȧ U⁻¹ (de Hoog, Anderssen & Lukas 2011).

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.lu_factor(cr.tensor([[1.0, 2.0], [2.0, 2.0]])).LU
    tensor([[2.0000, 2.0000],
            [0.5000, 1.0000]])
    """
    lu, pivots, info = lu_parts(A, pivot, "torch.lu_factor")
    check_info(info, _ZERO_PIVOT.format("lu_factor"), RuntimeError)
    return _linalg_lu_factor(lu, pivots)


@public(name="linalg.lu_factor_ex", method=False, out=True, samples=lambda: [
    *[Sample(shape) for shape in _LU[:3]], Sample((2, 2), check_errors=True),
])  # fmt: skip
def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False) -> Any:
    """Return the LU factors of matrices, and of each whether it is regular.

    Parameters
    ----------
    A, pivot
        As for :func:`lu_factor`.
    check_errors : bool
        Raise if a pivot is 0.

    Returns
    -------
    namedtuple (LU, pivots, info)
        `info`, of int32, is 0, or the place of the first pivot that is 0.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.lu_factor_ex(cr.ones(2, 2)).info
    tensor(2, dtype=chainrule.int32)
    """
    lu, pivots, info = lu_parts(A, pivot, "torch.lu_factor")
    if check_errors:
        check_info(info, _ZERO_PIVOT.format("lu_factor_ex"), RuntimeError)
    return _linalg_lu_factor_ex(lu, pivots, info)


def lower_and_upper(lu: Tensor) -> tuple:
    """Return L, with ones on its diagonal, and U of packed factors."""
    m, n = lu.shape[-2:]
    k = min(m, n)
    lower = tril(lu if m >= n else getitem(lu, index=(..., slice(k))), k=-1)
    lower = lower + wrap(np.eye(m, k).astype(numpy_dtype_of(lu)))
    return lower, triu(lu if m <= n else getitem(lu, index=(..., slice(k), slice(None))), k=0)


def permutation_matrix(pivots: Tensor, rows: int, like: Tensor) -> Tensor:
    """Return the permutation that pivots name, as matrices P with A = P L U."""
    return ops.permutation_matrix(pivots, rows=rows, dtype=numpy_dtype_of(like))


@public(name="linalg.lu", method=False, out=True, samples=lambda: [
    *[Sample(shape) for shape in _LU],
    Sample((3,), error=(RuntimeError, "linalg.lu: Expected tensor with 2 or more dimensions. Got size: [3] instead")),
])  # fmt: skip
def lu(A: Tensor, *, pivot: bool = True) -> Any:
    """Return the LU decomposition with pivots, A = P L U.

    Parameters
    ----------
    A : Tensor
        Shape (…, m, n).
    pivot : bool
        Whether rows are exchanged; without, P is empty.

    Returns
    -------
    namedtuple (P, L, U)
        With k = min(m, n), of shapes (…, m, m), (…, m, k) and (…, k, n).

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.lu(cr.tensor([[1.0, 2.0], [2.0, 2.0]])).U
    tensor([[2., 2.],
            [0., 1.]])
    """
    packed, pivots, _ = lu_parts(A, pivot, "linalg.lu")
    lower, upper = lower_and_upper(packed)
    p = permutation_matrix(pivots, packed.shape[-2], packed) if pivot else wrap(np.empty((0,), numpy_dtype_of(packed)))
    return _linalg_lu(p, lower, upper)


def check_pivots(name: str, pivots: Any, lu: Tensor) -> Tensor:
    """Return pivots; raise PyTorch's error for those of other factors."""
    p = operand(pivots, name, "pivots", 2)
    if p.dtype is not dtypes.int32:
        raise RuntimeError(f"{name}: pivots should be a Tensor of scalar type torch.int32")
    if p.shape[-1] != lu.shape[-1]:
        raise RuntimeError(f"{name}: Number of pivots per batch should be same as the dimension of the matrix")
    if tuple(p.shape[:-1]) != tuple(lu.shape[:-2]):
        raise RuntimeError(f"{name}: Expected LU.shape[:-1] and pivots.shape to be the same, but got pivots with shape "
                           f"{list(p.shape)} instead")  # fmt: skip
    check_places(p, lu)
    return p


def check_places(pivots: Tensor, lu: Tensor) -> None:
    """Raise PyTorch's error for pivots that are no rows."""
    rows = lu.shape[-2]
    if not satisfies(pivots, lambda places: ((places >= 1) & (places <= rows)).all()):
        raise RuntimeError("pivots passed to lu_unpack must be between 1 and LU.size(-2) inclusive."
                           "Did you properly pass the result of lu_factor?")  # fmt: skip


_FACTORS = (np.array([[2.0, 1.0], [0.5, 2.5]]), np.array([2, 2], np.int32))


@public(name="linalg.lu_solve", method=False, out=True, samples=lambda: [
    Sample(Matrices((2, 2)), Fixed(_FACTORS[1]), (2, 3)), Sample(Matrices((2, 2)), Fixed(_FACTORS[1]), (2, 3), adjoint=True),
    Sample(Matrices((2, 2)), Fixed(_FACTORS[1]), (3, 2), left=False), Sample(Matrices((2, 2)), Fixed(_FACTORS[1]), (4, 2, 1)),
    Sample(Matrices((2, 2)), Fixed(_FACTORS[1]), (3, 2), left=False, adjoint=True),
])  # fmt: skip
def lu_solve(LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False) -> Tensor:
    """Return the solutions X of A X = B, or of X A = B, by the factors that :func:`lu_factor` gave of A.

    Parameters
    ----------
    LU, pivots : Tensor
        Of shapes (…, n, n) and (…, n).
    B : Tensor
        Shape (…, n, k), or (…, k, n) if not `left`.
    left, adjoint : bool
        Whether A stands on the left; whether Aᴴ stands in its place.

    Raises
    ------
    RuntimeError
        If shapes or dtypes do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> factors = cr.linalg.lu_factor(cr.tensor([[1.0, 2.0], [2.0, 2.0]]))
    >>> cr.linalg.lu_solve(*factors, cr.tensor([[3.0], [4.0]]))
    tensor([[1.],
            [1.]])
    """
    name = "linalg.lu_solve"
    x, b = matrices(LU, name, argument="LU", kernel="lu_solve_cpu"), operand(B, name, "B", 3)
    same_dtype(name, x, b, ("LU", "B"))
    check_system(name, x, b, left)
    p = check_pivots(name, pivots, x)
    lead = np.broadcast_shapes(tuple(x.shape[:-2]), tuple(b.shape[:-2]))
    x, b = expanded(x, lead), expanded(b, lead)
    order = broadcast_to(ops.permutation(p, rows=x.shape[-1]), shape=(*lead, x.shape[-1]))
    if not left:  # X A = B is Aᴴ Xᴴ = Bᴴ
        b, adjoint = mh(b), not adjoint
    if adjoint:
        half = solve_triangular(mh(x), b, upper=False, unit=False)
        half = solve_triangular(mh(x), half, upper=True, unit=True)
        out = ops.rows_in_order(half, ops.reverse_order(order))
    else:
        half = solve_triangular(x, ops.rows_in_order(b, order), upper=False, unit=True)
        out = solve_triangular(x, half, upper=True, unit=False)
    return out if left else mh(out)


# -- Householder -------------------------------------------------------------------------------------------------------


def reflected(x: Tensor, a: Tensor, tau: Tensor, adjoint: bool, reverse: bool) -> Tensor:
    """Return reflections 1 - τ v vᴴ applied to x from the left, the first last, or first if `reverse`; v are packed in `a`."""
    vectors = tril(a, k=-1) + wrap(np.eye(*a.shape[-2:]).astype(numpy_dtype_of(a)))
    places = range(tau.shape[-1])
    for i in places if reverse else reversed(places):
        v = getitem(vectors, index=(..., slice(i, i + 1)))
        t = getitem(tau, index=(..., slice(i, i + 1), None))
        x = x - matmul(v, matmul(mh(v), x)) * (mh(t) if adjoint else t)
    return x


@public(name="linalg.householder_product", method=False, out=True, samples=lambda: [
    Sample((3, 3), (3,)), Sample((4, 2), (2,)), Sample((2, 3, 2), (2, 1)), Sample((3, 2), (0,)), Sample((0, 0), (0,)),
    Sample((2, 3), (2,), error=(RuntimeError, "torch.linalg.householder_product: input.shape[-2] must be greater than or equ")),
])  # fmt: skip
def householder_product(A: Tensor, tau: Tensor) -> Tensor:
    """Return the first columns of the product of Householder's reflections, as `geqrf` packs them.

    Parameters
    ----------
    A : Tensor
        Shape (…, m, n) with m ≥ n: below its diagonal, in columns, the reflections' vectors, which begin with a 1.
    tau : Tensor
        Shape (…, k) with k ≤ n: their factors.

    Returns
    -------
    Tensor
        Shape (…, m, n): the first columns of H₁ H₂ … H_k with H_i = 1 - τ_i v_i v_iᴴ.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.householder_product(cr.eye(2), cr.tensor([2.0, 0.0]))
    tensor([[-1.,  0.],
            [ 0.,  1.]])
    """
    name = "torch.linalg.householder_product"
    a, t = operand(A, name, "input", 1), operand(tau, name, "tau", 2)
    if a.ndim < 2:
        raise RuntimeError(f"{name}: input must have at least 2 dimensions.")
    m, n = a.shape[-2:]
    if m < n:
        raise RuntimeError(f"{name}: input.shape[-2] must be greater than or equal to input.shape[-1]")
    if n < t.shape[-1]:
        raise RuntimeError(f"{name}: input.shape[-1] must be greater than or equal to tau.shape[-1]")
    if t.ndim != a.ndim - 1 or tuple(t.shape[:-1]) != tuple(a.shape[:-2]):
        raise RuntimeError(
            f"{name}: Expected batch dimensions of tau to be equal to input.shape[:-2], but got {list(t.shape[:-1])}"
        )
    if t.dtype is not a.dtype:
        raise RuntimeError(f"{name}: tau dtype {t.dtype.name} does not match input dtype {a.dtype.name}")
    check_dtype(a, name, "orgqr_cpu", ints=False)
    start: Any = as_tensor(np.broadcast_to(np.eye(m, n), (*a.shape[:-2], m, n)).astype(numpy_dtype_of(a)))
    return reflected(start if t.shape[-1] else where(False, a, start), a, t, False, False)
