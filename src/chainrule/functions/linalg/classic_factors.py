"""The factorisations that PyTorch has at its top level, and as methods; Vandermonde's matrix, distances of rows.

They are declared when one of them is first used: see `functions.late`.
"""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np

from chainrule.core.op.samples import Fixed, Matrices, Sample
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.shape import broadcast
from chainrule.functions.adapt import public
from chainrule.functions.linalg import factor, spectrum, various
from chainrule.functions.linalg.arguments import check_dtype, expanded
from chainrule.functions.linalg.classic import older_system
from chainrule.functions.linalg.contract import operand
from chainrule.ops.indexing.view import getitem
from chainrule.ops.linalg import orthogonal
from chainrule.ops.linalg.distance import distances
from chainrule.ops.linalg.matrix import mh, mt, numpy_dtype_of
from chainrule.ops.linalg.solve import solve_triangular
from chainrule.ops.shaping.shape import clone, flip
from chainrule.return_types import named_result

__all__ = [
    "cdist", "geqrf", "lu", "lu_solve", "lu_unpack", "orgqr", "ormqr", "qr", "svd", "triangular_solve", "vander",
]  # fmt: skip

_triangular_solve = named_result("triangular_solve", "solution", "cloned_coefficient")
_qr, _svd = named_result("qr", "Q", "R"), named_result("svd", "U", "S", "V")
_geqrf, _lu_unpack = named_result("geqrf", "a", "tau"), named_result("lu_unpack", "P", "L", "U")


# -- triangles ---------------------------------------------------------------------------------------------------------


@public(out=True, samples=lambda: [
    Sample((3, 2), Matrices((3, 3))), Sample((3, 2), Matrices((3, 3)), upper=False, transpose=True),
    Sample((2, 2), (2, 2), unitriangular=True), Sample((2, 3, 2), Matrices((3, 3)), False), Sample((0, 2), (0, 0)),
    Sample((2,), (2, 2), error=(RuntimeError, "torch.triangular_solve: Expected b to have at least 2 dimensions, but it has ")),
])  # fmt: skip
def triangular_solve(input: Tensor, A: Tensor, upper: bool = True, transpose: bool = False, unitriangular: bool = False) -> Any:
    """Return the solutions X of A X = B with triangular matrices, and a copy of these.

    Parameters
    ----------
    input : Tensor
        The right sides B, of shape (…, n, k).
    A : Tensor
        Shape (…, n, n); batch shapes broadcast.
    upper, transpose, unitriangular : bool
        Which triangle is read; whether to solve with the transposes; whether the diagonals count as ones.

    Returns
    -------
    namedtuple (solution, cloned_coefficient)

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.triangular_solve(cr.ones(2, 1), cr.eye(2) * 2).solution
    tensor([[0.5000],
            [0.5000]])
    """
    b, a = older_system("triangular_solve", input, A)
    check_dtype(a, "triangular_solve", "triangular_solve_cpu", ints=False)
    given = clone(a)
    a, upper = (mt(a), not upper) if transpose else (a, bool(upper))
    return _triangular_solve(solve_triangular(a, b, upper=upper, unit=bool(unitriangular)), given)


# -- factors -----------------------------------------------------------------------------------------------------------


@public(
    out=True, samples=lambda: [Sample((3, 3)), Sample((4, 2)), Sample((2, 3)), Sample((2, 3, 2)), Sample((2, 3), some=False)]
)
def qr(input: Tensor, some: bool = True) -> Any:
    """Return the QR decomposition: :func:`chainrule.linalg.qr`, complete if not `some`.

    Returns
    -------
    namedtuple (Q, R)

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.qr(cr.eye(2)).R.abs()
    tensor([[1., 0.],
            [0., 1.]])
    """
    return _qr(*factor.qr_factors(input, "reduced" if some else "complete"))


@public(out=True, samples=lambda: [
    Sample((3, 3)), Sample((4, 2)), Sample((2, 2, 3)), Sample((3, 2), some=False), Sample((3, 2), compute_uv=False),
    Sample((3,), error=(RuntimeError, "linalg.svd: input should have at least 2 dimensions, but has 1 dimensions instead")),
])  # fmt: skip
def svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> Any:
    """Return the singular value decomposition A = U diag(S) Vᴴ: :func:`chainrule.linalg.svd`, which gives Vᴴ.

    Parameters
    ----------
    input : Tensor
        Shape (…, m, n).
    some : bool
        Reduced U and V, of min(m, n) columns.
    compute_uv : bool
        If not, U and V are zeros.

    Returns
    -------
    namedtuple (U, S, V)

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.svd(cr.eye(2) * 2).S
    tensor([2., 2.])
    """
    x = operand(input, "svd", "input", 1)
    if x.ndim < 2:
        raise RuntimeError(f"linalg.svd: input should have at least 2 dimensions, but has {x.ndim} dimensions instead")
    if not compute_uv:
        blank = [wrap(np.zeros((*x.shape[:-2], n, n), numpy_dtype_of(x))) for n in x.shape[-2:]]
        return _svd(blank[0], spectrum.svdvals(x), blank[1])
    u, s, vh = spectrum.svd(x, not some)
    return _svd(u, s, mh(vh))


@public(out=True, samples=lambda: [
    Sample(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]])), Sample(np.ones((2, 2, 2))), Sample(np.ones((0, 2))),
    Sample((3,), error=(RuntimeError, "torch.geqrf: input must have at least 2 dimensions.")),
])  # fmt: skip
def geqrf(input: Tensor) -> Any:
    """Return a QR decomposition as LAPACK packs it: R, and Householder's reflections below it.

    Parameters
    ----------
    input : Tensor
        Shape (…, m, n).

    Returns
    -------
    namedtuple (a, tau)
        For `orgqr` and `ormqr`; without a derivative, which :func:`chainrule.linalg.qr` has.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.geqrf(cr.eye(2)).tau
    tensor([0., 0.])
    """
    x = operand(input, "geqrf", "input", 1)
    if x.ndim < 2:
        raise RuntimeError("torch.geqrf: input must have at least 2 dimensions.")
    check_dtype(x, "geqrf", "geqrf_cpu", ints=False)
    return _geqrf(*orthogonal.geqrf(x))


@public(out=True, samples=lambda: [Sample((4, 2), (2,)), Sample((2, 3, 3), (2, 2))])
def orgqr(input: Tensor, input2: Tensor) -> Tensor:
    """Return products of reflections: :func:`chainrule.linalg.householder_product`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.orgqr(cr.eye(2), cr.zeros(2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    return factor.householder_product(input, input2)


@public(out=True, samples=lambda: [
    Sample((4, 3), (3,), (4, 2)), Sample((4, 3), (3,), (2, 4), left=False), Sample((4, 3), (3,), (4, 2), transpose=True),
    Sample((2, 3, 2), (2, 2), (2, 4, 3), False, True),
    Sample((4, 3), (3,), (3, 2), error=(RuntimeError, "torch.ormqr: other.shape[-2] must be equal to input.shape[-2]")),
])  # fmt: skip
def ormqr(input: Tensor, input2: Tensor, input3: Tensor, left: bool = True, transpose: bool = False) -> Tensor:
    """Return the product of a matrix with the square Q that reflections make.

    Parameters
    ----------
    input, input2 : Tensor
        As for :func:`orgqr`: reflections (…, m, k) and their factors tau (…, k).
    input3 : Tensor
        The matrix, of shape (…, m, n), or (…, n, m) if not `left`.
    left, transpose : bool
        Whether Q stands on the left; whether Qᴴ stands in its place.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.ormqr(cr.eye(2), cr.zeros(2), cr.ones(2, 1))
    tensor([[1.],
            [1.]])
    """
    a, t, x = (operand(v, "ormqr", n, i) for i, (v, n) in enumerate(((input, "input"), (input2, "tau"), (input3, "other")), 1))
    for what, v in (("input", a), ("other", x)):
        if v.ndim < 2:
            raise RuntimeError(f"torch.ormqr: {what} must have at least 2 dimensions.")
    if t.ndim != a.ndim - 1:
        raise RuntimeError(
            f"torch.ormqr: Expected tau to have one dimension less than input, but got tau.ndim equal to {t.ndim} and "
            f"input.ndim is equal to {a.ndim}"
        )
    if x.ndim != a.ndim:
        raise RuntimeError(
            f"torch.ormqr: Expected other to have the same number of dimensions as input, but got other.ndim equal to {x.ndim} "
            f"and input.ndim is equal to {a.ndim}"
        )
    place = -2 if left else -1
    if x.shape[place] < t.shape[-1]:
        raise RuntimeError(f"torch.ormqr: other.shape[{place}] must be greater than or equal to tau.shape[-1]")
    if x.shape[place] != a.shape[-2]:
        raise RuntimeError(f"torch.ormqr: other.shape[{place}] must be equal to input.shape[-2]")
    if t.shape[-1] > a.shape[-1]:
        raise RuntimeError("torch.ormqr: tau.shape[-1] must be less than or equal to input.shape[-1]")
    if t.shape[-1] != min(x.shape[place], a.shape[-1]):
        raise RuntimeError(f"torch.ormqr: tau.shape[-1] must be equal to min(other.shape[{place}], input.shape[-1])")
    for what, v in (("tau", t), ("other", x)):
        if v.dtype is not a.dtype:
            raise RuntimeError(
                f"torch.ormqr: Expected input and {what} to have the same dtype, but input has dtype{a.dtype.old_name} and "
                f"{what} has dtype {v.dtype.old_name}"
            )
    check_dtype(a, "ormqr", "ormqr_cpu", ints=False)
    if left:
        return factor.reflected(x, a, t, bool(transpose), bool(transpose))
    return mh(factor.reflected(mh(x), a, t, not transpose, not transpose))


# -- LU ----------------------------------------------------------------------------------------------------------------


@public(out=True, samples=lambda: [Sample((3, 3)), Sample((4, 2)), Sample((2, 2, 3)), Sample((3, 3), get_infos=True)])
def lu(A: Tensor, pivot: bool = True, get_infos: bool = False) -> tuple[Tensor, ...]:
    """Return packed LU factors and pivots: :func:`chainrule.linalg.lu_factor`; a singular matrix raises nothing.

    Returns
    -------
    tuple (LU, pivots) or (LU, pivots, infos)

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.lu(cr.eye(2))[1].tolist()
    [1, 2]
    """
    packed, pivots, info = factor.lu_parts(A, pivot, "torch.lu_factor")
    return (packed, pivots, info) if get_infos else (packed, pivots)


_PIVOTS = Fixed(np.array([2, 2], np.int32))


@public(out=True, samples=lambda: [Sample((2, 3), Matrices((2, 2)), _PIVOTS), Sample((4, 2, 1), Matrices((2, 2)), _PIVOTS)])
def lu_solve(input: Tensor, LU_data: Tensor, LU_pivots: Tensor) -> Tensor:
    """Return the solutions X of A X = b by factors of A: :func:`chainrule.linalg.lu_solve`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.lu_solve(cr.ones(2, 1), *cr.lu(cr.eye(2) * 2))
    tensor([[0.5000],
            [0.5000]])
    """
    return factor.lu_solve(LU_data, LU_pivots, input)


@public(method=False, out=True, samples=lambda: [
    Sample((2, 2), _PIVOTS), Sample((3, 2), _PIVOTS), Sample((2, 3), _PIVOTS),
    Sample((2, 2), Fixed(np.array([5, 2], np.int32)),
           error=(RuntimeError, "pivots passed to lu_unpack must be between 1 and LU.size(-2) inclusive.Did you properly pas")),
    Sample((2, 2), Fixed(np.array([2, 2])), error=(RuntimeError, "torch.lu_unpack: LU_pivots is expected to be a contiguous ")),
])  # fmt: skip
def lu_unpack(LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True) -> Any:
    """Return the factors of A = P L U from what :func:`chainrule.linalg.lu_factor` packs.

    Parameters
    ----------
    LU_data, LU_pivots : Tensor
        Of shapes (…, m, n) and (…, min(m, n)).
    unpack_data, unpack_pivots : bool
        If not, L and U, or P, are empty.

    Returns
    -------
    namedtuple (P, L, U)

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.lu_unpack(*cr.lu(cr.tensor([[0.0, 1.0], [2.0, 3.0]]))).U
    tensor([[2., 3.],
            [0., 1.]])
    """
    packed, pivots = operand(LU_data, "lu_unpack", "LU_data", 1), operand(LU_pivots, "lu_unpack", "LU_pivots", 2)
    if unpack_pivots and pivots.dtype is not dtypes.int32:
        raise RuntimeError(
            "torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype.\nNote: this function is "
            "intended to be used with the output produced by torch.linalg.lu_factor"
        )
    nothing = wrap(np.empty((0,), numpy_dtype_of(packed)))
    lower, upper = factor.lower_and_upper(packed) if unpack_data else (nothing, nothing)
    p = nothing
    if unpack_pivots:
        factor.check_places(pivots, packed)
        p = factor.permutation_matrix(pivots, packed.shape[-2], packed)
    return _lu_unpack(p, lower, upper)


# -- vectors -----------------------------------------------------------------------------------------------------------


@public(method=False, kinds="ifc", samples=lambda: [
    Sample((3,)), Sample((3,), 2), Sample((3,), 5, True), Sample((3,), 1),
    Sample((2, 2), error=(RuntimeError, "x must be a one-dimensional tensor.")),
    Sample((2,), -1, error=(RuntimeError, "N must be non-negative.")),
])  # fmt: skip
def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """Return the matrix whose rows are the powers N - 1, …, 1, 0 of the elements of a vector.

    Parameters
    ----------
    x : Tensor
        Of one axis.
    N : int, optional
        How many powers; as many as elements by default.
    increasing : bool
        Put the powers in ascending order.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.vander(cr.tensor([2, 3]), 3)
    tensor([[4, 2, 1],
            [9, 3, 1]])
    """
    a = operand(x, "vander", "x", 1)
    if a.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    count = a.shape[0] if N is None else int(N)
    if count < 0:
        raise RuntimeError("N must be non-negative.")
    powers = various.powers_of(a, max(count, 1))
    powers = powers if count else getitem(powers, index=(slice(None), slice(0)))
    return powers if increasing else flip(powers, axis=(1,))


@public(method=False, kinds="f", samples=lambda: [
    *[Sample((3, 4), (2, 4), p) for p in (2.0, 1.0, 0.0, 3.0, inf)], Sample((2, 3, 2), (2, 2)), Sample((0, 3), (2, 3)),
    Sample((2, 0), (3, 0)), Sample(np.zeros((2, 3)), Fixed(np.zeros((1, 3)))), Sample((3, 2), (4, 2),
    compute_mode="use_mm_for_euclid_dist"),
    Sample((3, 2), (4, 2), p=-1.0, error=(RuntimeError, "cdist only supports non-negative p values")),
    Sample((3, 2), (4, 3), error=(RuntimeError, "X1 and X2 must have the same number of columns. X1: 2 X2: 3")),
    Sample((3,), (4, 3), error=(RuntimeError, "cdist only supports at least 2D tensors, X1 got: 1D")),
    Sample((3, 2), (4, 2), compute_mode="x", error=(ValueError, "x is not a valid value for compute_mode")),
])  # fmt: skip
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary") -> Tensor:
    """Return the distances of all pairs of rows of two matrices.

    Parameters
    ----------
    x1, x2 : Tensor
        Shapes (…, n, k) and (…, m, k); batch shapes broadcast.
    p : number
        Order of the norm of the differences, at least 0.
    compute_mode : str
        ``"use_mm_for_euclid_dist"`` finds distances of order 2 from a product of matrices, which is faster; so does
        ``"use_mm_for_euclid_dist_if_necessary"`` where either matrix has more than 25 rows;
        ``"donot_use_mm_for_euclid_dist"`` does not.

    Returns
    -------
    Tensor
        Shape (…, n, m). Where a distance is 0 its gradient is 0.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.cdist(cr.tensor([[0.0, 0.0]]), cr.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor([[5., 1.]])
    """
    x, y = operand(x1, "cdist", "x1", 1), operand(x2, "cdist", "x2", 2)
    _check_cdist(x, y, p, compute_mode)
    rows = max(x.shape[-2], y.shape[-2])
    lead = broadcast(tuple(x.shape[:-2]), tuple(y.shape[:-2]))
    x, y = expanded(x, lead), expanded(y, lead)
    product = compute_mode == "use_mm_for_euclid_dist" or (compute_mode == "use_mm_for_euclid_dist_if_necessary" and rows > 25)
    return distances(x, y, order=float(p), product=p == 2 and product)


_MODES = ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")


def _check_cdist(x: Tensor, y: Tensor, p: float, compute_mode: Any) -> None:
    if compute_mode is not None and compute_mode not in _MODES:
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode")
    for name, v in (("X1", x), ("X2", y)):
        if v.ndim < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {name} got: {v.ndim}D")
    if x.shape[-1] != y.shape[-1]:
        raise RuntimeError(f"X1 and X2 must have the same number of columns. X1: {x.shape[-1]} X2: {y.shape[-1]}")
    for name, v in (("X1", x), ("X2", y)):
        if v.dtype.category != dtypes.FLOAT:
            raise RuntimeError(f"cdist only supports floating-point dtypes, {name} got: {v.dtype.old_name}")
    if not float(p) >= 0:
        raise RuntimeError("cdist only supports non-negative p values")
    if x.dtype is not y.dtype:
        raise RuntimeError(f"expected scalar type {x.dtype.old_name} but found {y.dtype.old_name}")
    if x.dtype.itemsize == 2:
        raise NotImplementedError(f"\"cdist\" not implemented for '{x.dtype.old_name}'")
