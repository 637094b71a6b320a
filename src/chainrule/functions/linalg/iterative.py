"""A few eigenpairs or singular values of large matrices, by search and by random projection.

They are declared when one of them is first used: see `functions.late`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.op.samples import Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.functions.adapt import public
from chainrule.functions.linalg import factor, spectrum
from chainrule.functions.linalg.arguments import check_dtype
from chainrule.functions.linalg.contract import operand
from chainrule.functions.random.tensors import randn
from chainrule.functions.shaping.view import expand
from chainrule.ops.linalg import iterative
from chainrule.ops.linalg.contract import matmul
from chainrule.ops.linalg.matrix import mh
from chainrule.ops.reduction.reduce import mean

__all__ = ["lobpcg", "pca_lowrank", "svd_lowrank"]


# -- eigenpairs --------------------------------------------------------------------------------------------------------


@public(method=False, kinds="f", samples=lambda: [
    Sample((5, 5), 2, error=(ValueError, "LOBPCG algorithm is not applicable when the number of A rows (=5) is smaller th")),
    Sample((9, 9), 2, (3, 3), error=(AssertionError, "A and B must have same shape, got ")),
    Sample((9, 9), 2, None, (3, 3), error=(AssertionError, "X")),
])  # fmt: skip
def lobpcg(
    A: Tensor, k: int | None = None, B: Tensor | None = None, X: Tensor | None = None, n: int | None = None,
    iK: Tensor | None = None, niter: int | None = None, tol: float | None = None, largest: bool | None = None,
    method: str | None = None, tracker: Any = None, ortho_iparams: dict | None = None, ortho_fparams: dict | None = None,
    ortho_bparams: dict | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return the k largest or smallest eigenvalues, and their vectors, of symmetric matrices A, or of A x = λ B x.

    Parameters
    ----------
    A : Tensor
        Shape (…, m, m), symmetric; its symmetric part is taken.
    k : int, optional
        How many pairs; as many as `X` has columns, or 1.
    B : Tensor, optional
        Of A's shape, positive definite; the identity by default.
    X : Tensor, optional
        Vectors to start from, of shape (…, m, n); random ones by default.
    n : int, optional
        How many vectors to search with if `X` is not given; `k` by default. A's rows are to be three times as many.
    iK : Tensor, optional
        A preconditioner, about the inverse of A, by which residuals are multiplied.
    niter : int, optional
        Steps at most, 1000 by default; -1 stands for as many as it takes.
    tol : float, optional
        The relative residual at which a pair has converged; the square root of ε by default.
    largest : bool, optional
        The largest eigenvalues, as by default, or the smallest.
    method : {"ortho", "basic"}
        Keep the basis of the search orthonormal, or not: that takes less time a step, and fails where vectors become dependent.
    tracker : callable, optional
        Called after each step with the state of the search: ``ivars["istep"]``, ``E``, ``X``, ``R``, ``tvars["rerr"]``. If it
        sets ``bvars["force_stop"]`` the search ends.
    ortho_iparams, ortho_fparams, ortho_bparams : dict, optional
        Of the method "ortho": ``ortho_i_max``, ``ortho_j_max``; ``ortho_tol``, ``ortho_tol_drop``, ``ortho_tol_replace``;
        ``ortho_use_drop``.

    Returns
    -------
    tuple (E, X)
        Of shapes (…, k), in descending order for the largest and in ascending for the smallest, and (…, m, k), B-orthonormal.

    Raises
    ------
    AssertionError, ValueError
        If shapes do not fit, or A has too few rows.

    Notes
    -----
    Derivatives are those of the pairs found, and take all eigenvectors of A to find, with B as without; in every order. PyTorch
    has the first, and none with B.

    References
    ----------
    Knyazev (2001), SIAM J. Sci. Comput. 23, 517; Duersch, Shao, Yang & Gu (2018), arXiv 1704.07458.

    Examples
    --------
    >>> import chainrule as cr
    >>> E, X = cr.lobpcg(cr.diag(cr.arange(9.0)), k=2)
    >>> E.round(decimals=3)
    tensor([8., 7.])
    """
    a = operand(A, "lobpcg", "A", 1)
    if a.ndim < 2 or a.shape[-2] != a.shape[-1]:
        raise AssertionError(f"A must be square, got shape {a.shape}")
    b = None if B is None else operand(B, "lobpcg", "B", 3)
    if b is not None and tuple(a.shape) != tuple(b.shape):
        raise AssertionError(f"A and B must have same shape, got {a.shape} vs {b.shape}")
    if a.dtype.category != dtypes.FLOAT:
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {a.dtype.old_name} != Float")
    check_dtype(a, "lobpcg")
    x = None if X is None else operand(X, "lobpcg", "X", 4)
    m = a.shape[-1]
    if k is None:
        k = 1 if x is None else x.shape[-1]
    columns = (k if n is None else n) if x is None else x.shape[-1]
    if columns < 1 or k < 0:
        raise ValueError(
            f"lobpcg: at least one vector is needed to search with, and no fewer pairs than none, not {columns}, {k}"
        )
    if m < 3 * columns:
        raise ValueError(
            f"LOBPCG algorithm is not applicable when the number of A rows (={m}) is smaller than 3 x the number of requested "
            f"eigenpairs (={columns})"
        )
    method = "ortho" if method is None else method
    if method not in ("ortho", "basic"):
        raise ValueError(f'lobpcg: method is to be "ortho" or "basic", not {method!r}')
    shape = (*a.shape[:-1], columns)
    start = randn(*shape, dtype=a.dtype) if x is None else x
    if tuple(start.shape) != shape:
        raise AssertionError(f"X shape mismatch: got {start.shape}, expected {shape}")
    tol = float(np.finfo(a.dtype.numpy).eps) ** 0.5 if tol is None else float(tol)
    ints = {"m": m, "n": columns, "k": k, "niter": 1000 if niter is None else niter, "ortho_i_max": 3, "ortho_j_max": 3}
    floats = {"tol": tol, **dict.fromkeys(("ortho_tol", "ortho_tol_drop", "ortho_tol_replace"), tol)}
    bools = {"largest": True if largest is None else bool(largest), "ortho_use_drop": False}
    settings = [
        tuple({**own, **(given or {} if method == "ortho" else {})}.items())
        for own, given in ((ints, ortho_iparams), (floats, ortho_fparams), (bools, ortho_bparams))
    ]
    inverse = None if iK is None else operand(iK, "lobpcg", "iK", 6)
    return iterative.lobpcg(
        a, b, start, inverse, method=method, ints=settings[0], floats=settings[1], bools=settings[2], tracker=tracker
    )


# -- singular values ---------------------------------------------------------------------------------------------------


def _applied(a: Tensor, shift: Any, x: Tensor) -> Tensor:
    """Return (a - shift) x, without the difference."""
    out = matmul(a, x)
    return out if shift is None else out - matmul(shift, x)


def _truncated(a: Tensor, q: int, niter: int, shift: Any) -> tuple[Tensor, Tensor, Tensor]:
    if a.shape[-2] < a.shape[-1]:
        u, s, v = _truncated(mh(a), q, niter, None if shift is None else mh(shift))
        return v, s, u
    above, shift_above = mh(a), None if shift is None else mh(shift)
    basis, _ = factor.qr_factors(_applied(a, shift, randn(a.shape[-1], q, dtype=a.dtype)), "reduced")
    for _ in range(niter):
        basis, _ = factor.qr_factors(_applied(above, shift_above, basis), "reduced")
        basis, _ = factor.qr_factors(_applied(a, shift, basis), "reduced")
    u, s, vh = spectrum.svd(mh(_applied(above, shift_above, basis)), False)
    return matmul(basis, u), s, mh(vh)


def _low_rank(A: Any, name: str) -> Tensor:
    x = operand(A, name, "A", 1)
    if x.ndim < 2:
        raise ValueError(f"not enough values to unpack (expected 2, got {x.ndim}): {name} takes matrices")
    return x


@public(method=False, samples=lambda: [
    Sample((3,), error=(ValueError, "not enough values to unpack (expected 2, got 1)")),
    Sample((4, 3), -1, error=(RuntimeError, "Trying to create tensor with negative dimension -1")),
    Sample((4, 3), 2, 2, (2,), error=(RuntimeError, "The expanded size of the tensor (3) must match the existing size (2)")),
    Sample(np.ones((4, 3), int), 2, error=(RuntimeError, "expected m1 and m2 to have the same dtype, but got: ")),
])  # fmt: skip
def svd_lowrank(A: Tensor, q: int | None = 6, niter: int | None = 2, M: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Return about the largest singular values, and their vectors, of matrices of low rank, by random projection.

    Parameters
    ----------
    A : Tensor
        Shape (…, m, n), floating point or complex.
    q : int
        How many, somewhat more than the rank.
    niter : int
        How often the space is iterated, for singular values that fall slowly.
    M : Tensor, optional
        What is taken from A first; broadcast to its shape.

    Returns
    -------
    tuple (U, S, V)
        Of shapes (…, m, q), (…, q) and (…, n, q), with A - M ≈ U diag(S) Vᴴ; at most min(m, n) of them. The derivative is that
        of this projection.

    References
    ----------
    Halko, Martinsson & Tropp (2011), arXiv 0909.4061, algorithms 4.4 and 5.1.

    Examples
    --------
    >>> import chainrule as cr
    >>> U, S, V = cr.svd_lowrank(cr.tensor([[3.0, 4.0], [6.0, 8.0]]), 1)
    >>> S.round(decimals=3)
    tensor([11.1800])
    """
    x = _low_rank(A, "svd_lowrank")
    if x.dtype.category < dtypes.FLOAT:
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {x.dtype.old_name} != Float")
    shift = None if M is None else expand(_same_dtype(operand(M, "svd_lowrank", "M", 4), x), tuple(x.shape))
    return _truncated(x, 6 if q is None else q, 2 if niter is None else niter, shift)


def _same_dtype(shift: Tensor, x: Tensor) -> Tensor:
    if shift.dtype is not x.dtype:
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {shift.dtype.old_name} != {x.dtype.old_name}")
    return shift


@public(method=False, samples=lambda: [
    Sample((4, 3), 4, error=(ValueError, "q(=4) must be non-negative integer and not greater than min(m, n)=3")),
    Sample((4, 3), 2, niter=-1, error=(ValueError, "niter(=-1) must be non-negative integer")),
    Sample((3,), error=(ValueError, "not enough values to unpack (expected 2, got 1)")),
    Sample(np.ones((4, 3), int), 2, error=(RuntimeError, "mean(): could not infer output dtype.")),
])  # fmt: skip
def pca_lowrank(A: Tensor, q: int | None = None, center: bool = True, niter: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Return about the first principal components of rows, by :func:`svd_lowrank`.

    Parameters
    ----------
    A : Tensor
        Shape (…, m, n): m samples of n numbers each.
    q : int, optional
        How many, at most min(m, n); 6 by default, or as many as there are.
    center : bool
        Take the mean of the samples from each.
    niter : int
        As for :func:`svd_lowrank`.

    Returns
    -------
    tuple (U, S, V)
        Of shapes (…, m, q), (…, q) and (…, n, q): the columns of V are the directions, S² / (m - 1) the variances along them.

    Examples
    --------
    >>> import chainrule as cr
    >>> U, S, V = cr.pca_lowrank(cr.tensor([[1.0, 0.0], [3.0, 0.0], [5.0, 0.0]]), 1)
    >>> (S**2 / 2).round(decimals=3)
    tensor([4.])
    """
    x = _low_rank(A, "pca_lowrank")
    m, n = x.shape[-2:]
    if q is None:
        q = min(6, m, n)
    elif not 0 <= q <= min(m, n):
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}")
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    if not center:
        return svd_lowrank(x, q, niter)
    if x.dtype.category < dtypes.FLOAT:
        raise RuntimeError(
            "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. Got: "
            f"{x.dtype.old_name}"
        )
    return _truncated(x - mean(x, axis=(x.ndim - 2,), keepdims=True), q, niter, None)
