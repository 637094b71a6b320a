"""Cholesky factors and those of indefinite symmetric matrices: `chainrule.linalg`'s part."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.op.samples import Fixed, Matrices, Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.functions.adapt import public
from chainrule.functions.linalg.arguments import check_info, matrices, same_dtype, together
from chainrule.functions.linalg.contract import operand
from chainrule.functions.linalg.solve import check_system
from chainrule.ops.linalg import general
from chainrule.ops.linalg import symmetric as ops
from chainrule.ops.shaping.shape import tril, triu
from chainrule.return_types import named_result

__all__ = ["cholesky", "cholesky_ex", "ldl_factor", "ldl_factor_ex", "ldl_solve"]

_linalg_cholesky_ex = named_result("linalg_cholesky_ex", "L", "info")
_linalg_ldl_factor = named_result("linalg_ldl_factor", "LD", "pivots")
_linalg_ldl_factor_ex = named_result("linalg_ldl_factor_ex", "LD", "pivots", "info")
INDEFINITE = (
    "{}: {{}}The factorization could not be completed because the input is not positive-definite (the leading minor of order "
    "{{}} is not positive-definite)."
)
POSITIVE = [Matrices((3, 3), "positive"), Matrices((2, 2, 2), "positive"), (0, 0), (0, 2, 2)]
_SWAP = np.array([[1.0, 2.0], [2.0, 1.0]])


@public(name="linalg.cholesky", method=False, out=True, samples=lambda: [
    *[Sample(x, upper=upper) for x in POSITIVE for upper in (False, True)],
    Sample((2, 3), error=(RuntimeError, "linalg.cholesky: A must be batches of square matrices, but they are 2 by 3 matrices")),
    Sample(_SWAP, error=(RuntimeError, INDEFINITE.format("linalg.cholesky").format("", 2))),
])  # fmt: skip
def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """Return the Cholesky factors of positive definite matrices.

    Parameters
    ----------
    A : Tensor
        Shape (…, n, n); one triangle is read, and the other taken for its mirror image.
    upper : bool
        Return U with A = Uᴴ U, instead of L with A = L Lᴴ; the upper triangle is read then.

    Returns
    -------
    Tensor
        Triangular, of shape (…, n, n), with a positive diagonal.

    Raises
    ------
    LinAlgError
        If a matrix is not positive definite.

    Notes
    -----
    L⁻¹ L̇ is the lower triangle of L⁻¹ Ȧ L⁻ᴴ with half of its diagonal (Murray, arXiv 1602.07527). Gradients are Hermitian, as
    PyTorch's.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.cholesky(cr.tensor([[4.0, 2.0], [2.0, 2.0]]))
    tensor([[2., 0.],
            [1., 1.]])
    """
    out, info = ops.cholesky(matrices(A, "linalg.cholesky", kernel="cholesky_cpu"), upper=bool(upper))
    check_info(info, INDEFINITE.format("linalg.cholesky"))
    return out


@public(name="linalg.cholesky_ex", method=False, out=True, samples=lambda: [
    *[Sample(x, upper=True) for x in POSITIVE[:2]], Sample(POSITIVE[0], check_errors=True),
    Sample(_SWAP, check_errors=True, error=(RuntimeError, INDEFINITE.format("linalg.cholesky_ex").format("", 2))),
])  # fmt: skip
def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False) -> Any:
    """Return Cholesky factors, and of each matrix whether it has them.

    Parameters
    ----------
    A, upper
        As for :func:`cholesky`.
    check_errors : bool
        Raise for a matrix that is not positive definite.

    Returns
    -------
    namedtuple (L, info)
        `info`, of int32, is 0, or the order of the leading minor that is not positive definite; the factor is unfinished then.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.cholesky_ex(-cr.eye(2)).info
    tensor(1, dtype=chainrule.int32)
    """
    out, info = ops.cholesky(matrices(A, "linalg.cholesky", kernel="cholesky_cpu"), upper=bool(upper))
    if check_errors:
        check_info(info, INDEFINITE.format("linalg.cholesky_ex"))
    return _linalg_cholesky_ex((triu if upper else tril)(out, k=0), info)


# -- indefinite matrices -----------------------------------------------------------------------------------------------

_ZERO_PIVOT = (
    "torch.linalg.{}: {{0}}D[{{1}},{{1}}] is zero and using it on ldl_solve would result in a division by zero. If you still "
    "want to perform the factorization, consider calling linalg.ldl_factor_ex(A)"
)
_SYMMETRIC = [np.array([[0.0, 1.0, 2.0], [1.0, 0.0, 3.0], [2.0, 3.0, 0.0]]), np.array([[[2.0, 1.0], [1.0, -3.0]]])]


def _factored(A: Any, hermitian: bool) -> tuple:
    x = matrices(A, "torch.linalg.ldl_factor_ex", kernel="ldl_factor_kernel_cpu")
    return general.ldl_factor(x, hermitian=bool(hermitian))


@public(name="linalg.ldl_factor", method=False, out=True, kinds="f", samples=lambda: [
    *[Sample(Fixed(x)) for x in _SYMMETRIC], Sample(Fixed(np.zeros((0, 0)))),
    Sample((2, 3), error=(RuntimeError, "torch.linalg.ldl_factor_ex: A must be batches of square matrices, but they are 2 by")),
])  # fmt: skip
def ldl_factor(A: Tensor, *, hermitian: bool = False) -> Any:
    """Return Bunch and Kaufman's factors L D Lᵀ of symmetric matrices, packed for :func:`ldl_solve`.

    Parameters
    ----------
    A : Tensor
        Shape (…, n, n); the lower triangle is read.
    hermitian : bool
        Whether complex matrices are Hermitian, L D Lᴴ, and not symmetric.

    Returns
    -------
    namedtuple (LD, pivots)
        Without a derivative: that of :func:`solve` has one.

    Raises
    ------
    RuntimeError
        If D is singular.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.ldl_factor(cr.tensor([[2.0, 0.0], [4.0, 1.0]])).pivots.shape
    chainrule.Size([2])
    """
    out, pivots, info = _factored(A, hermitian)
    check_info(info, _ZERO_PIVOT.format("ldl_factor"), RuntimeError)
    return _linalg_ldl_factor(out, pivots)


@public(name="linalg.ldl_factor_ex", method=False, out=True, kinds="f", samples=lambda: [
    *[Sample(Fixed(x)) for x in _SYMMETRIC], Sample(Fixed(_SYMMETRIC[1]), check_errors=True)])  # fmt: skip
def ldl_factor_ex(A: Tensor, *, hermitian: bool = False, check_errors: bool = False) -> Any:
    """Return the factors of symmetric matrices, and of each whether they can be solved with.

    Parameters
    ----------
    A, hermitian
        As for :func:`ldl_factor`.
    check_errors : bool
        Raise for a singular matrix.

    Returns
    -------
    namedtuple (LD, pivots, info)

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.ldl_factor_ex(cr.zeros(2, 2)).info
    tensor(1, dtype=chainrule.int32)
    """
    out, pivots, info = _factored(A, hermitian)
    if check_errors:
        check_info(info, _ZERO_PIVOT.format("ldl_factor_ex"), RuntimeError)
    return _linalg_ldl_factor_ex(out, pivots, info)


@public(name="linalg.ldl_solve", method=False, out=True, kinds="f", samples=lambda: [
    Sample(Fixed(ld), Fixed(pivots), Fixed(np.ones((*ld.shape[:-2], ld.shape[-1], 2))))
    for ld, pivots, _ in [general.ldl_factor(x, hermitian=False) for x in _SYMMETRIC]
])  # fmt: skip
def ldl_solve(LD: Tensor, pivots: Tensor, B: Tensor, *, hermitian: bool = False) -> Tensor:
    """Return the solutions X of A X = B by the factors of :func:`ldl_factor`.

    Parameters
    ----------
    LD, pivots : Tensor
        Of shapes (…, n, n) and (…, n).
    B : Tensor
        Shape (…, n, k).
    hermitian : bool
        As it was factored.

    Raises
    ------
    RuntimeError
        If shapes or dtypes do not fit, or the pivots are none.

    Examples
    --------
    >>> import chainrule as cr
    >>> factors = cr.linalg.ldl_factor(cr.tensor([[0.0, 2.0], [2.0, 0.0]]))
    >>> cr.linalg.ldl_solve(*factors, cr.tensor([[2.0], [4.0]]))
    tensor([[2.],
            [1.]])
    """
    name = "torch.linalg.ldl_solve"
    ld, b = matrices(LD, name, argument="LD", kernel="ldl_solve_kernel_cpu"), operand(B, name, "B", 3)
    p = operand(pivots, name, "pivots", 2)
    check_system(name, ld, b, True)
    same_dtype(name, ld, b, ("LD", "B"))
    if tuple(p.shape) != tuple(ld.shape[:-1]):
        raise RuntimeError(f"{name}: Expected LD.shape[:-1] and pivots.shape to be the same, but got pivots with shape "
                           f"{list(p.shape)} instead")  # fmt: skip
    if p.dtype.category != 1:
        raise RuntimeError(f"{name}: Expected pivots to be integers. Got {p.dtype.old_name}")
    whole, right = together(ld, b)
    places = p if whole is ld else p.expand(whole.shape[:-1])  # type: ignore[attr-defined]
    return general.ldl_solve(whole, places, right, hermitian=bool(hermitian))
