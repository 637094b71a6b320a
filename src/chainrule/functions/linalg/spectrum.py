"""Eigenvalues, singular values, and their vectors: `chainrule.linalg`'s part."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.op.samples import Matrices, Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.functions.adapt import public
from chainrule.functions.linalg.arguments import matrices
from chainrule.ops.linalg import general, orthogonal, singular, symmetric
from chainrule.ops.linalg.matrix import mh, product
from chainrule.ops.shaping.join import cat
from chainrule.return_types import named_result

__all__ = ["eig", "eigh", "eigvals", "eigvalsh", "svd", "svdvals"]

_linalg_eig = named_result("linalg_eig", "eigenvalues", "eigenvectors")
_linalg_eigh = named_result("linalg_eigh", "eigenvalues", "eigenvectors")
_linalg_svd = named_result("linalg_svd", "U", "S", "Vh")


# -- Hermitian matrices ------------------------------------------------------------------------------------------------


def _uplo(UPLO: str) -> bool:
    """Tell whether the upper triangle is meant."""
    if not isinstance(UPLO, str) or UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return UPLO.upper() == "U"


def _hermitian(A: Any) -> Tensor:
    return matrices(A, "linalg.eigh", kernel="linalg_eigh_cpu", ints=False)


def _eigh_samples() -> list[Sample]:
    return [
        Sample(Matrices((3, 3), "hermitian")), Sample(Matrices((2, 3, 3), "hermitian"), UPLO="U"),
        Sample((0, 0)), Sample((0, 2, 2)),
        Sample((2, 3), error=(RuntimeError, "linalg.eigh: A must be batches of square matrices, but they are 2 by 3 matrices")),
        Sample((2, 2), UPLO="x", error=(RuntimeError, "Expected UPLO argument to be 'L' or 'U', but got x")),
    ]  # fmt: skip


@public(name="linalg.eigh", method=False, out=True, samples=_eigh_samples)
def eigh(A: Tensor, UPLO: str = "L") -> Any:
    """Return the eigenvalues, in ascending order, and eigenvectors of Hermitian matrices.

    Parameters
    ----------
    A : Tensor
        Shape (…, n, n); one triangle is read, and the other taken for its mirror image.
    UPLO : {"L", "U"}
        Which triangle.

    Returns
    -------
    namedtuple (eigenvalues, eigenvectors)
        Of shapes (…, n), real, and (…, n, n), whose columns are orthonormal.

    Raises
    ------
    RuntimeError
        In the backward pass, if the loss depends on the phase of complex vectors, or on how the vectors of a repeated
        eigenvalue are chosen in their space.

    Warns
    -----
    UserWarning
        If a derivative may depend on that choice: if vectors of a repeated eigenvalue move into one another, or a loss has them
        and the values together.

    Notes
    -----
    Giles (2008), section 3.1, with the correction of arXiv 1701.00392, eq. 4.77. Where eigenvalues are repeated those of the
    values and of spaces are right.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.eigh(cr.tensor([[2.0, 0.0], [0.0, 1.0]])).eigenvalues
    tensor([1., 2.])
    """
    x = _hermitian(A)
    return _linalg_eigh(*symmetric.eigh(x, upper=_uplo(UPLO), strict=True))


@public(name="linalg.eigvalsh", method=False, out=True, samples=_eigh_samples)
def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """Return the eigenvalues of Hermitian matrices, in ascending order.

    Parameters
    ----------
    A, UPLO
        As for :func:`eigh`.

    Returns
    -------
    Tensor
        Real, of shape (…, n).

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.eigvalsh(cr.tensor([[2.0, 0.0], [0.0, 1.0]]))
    tensor([1., 2.])
    """
    x = _hermitian(A)
    return symmetric.eigvalsh(x, upper=_uplo(UPLO))


# -- general matrices --------------------------------------------------------------------------------------------------


def _general(A: Any, name: str) -> Tensor:
    x = matrices(A, name, kernel="linalg_eig_out_cpu") if not _is_integral(A) else A
    if x.dtype.category < dtypes.FLOAT:
        raise RuntimeError(f"Unknown Complex ScalarType for {x.dtype.old_name}")
    return x


def _is_integral(A: Any) -> bool:
    return isinstance(A, Tensor) and A.ndim > 1 and A.shape[-1] == A.shape[-2] and A.dtype.category < dtypes.FLOAT


@public(name="linalg.eig", method=False, out=True, samples=lambda: [
    Sample((3, 3)), Sample((2, 3, 3)), Sample((0, 0)), Sample((0, 2, 2)),
    Sample((2, 3), error=(RuntimeError, "linalg.eig: A must be batches of square matrices, but they are 2 by 3 matrices")),
    Sample(np.full((2, 2), np.nan), error=(RuntimeError, "torch.linalg.eig: input tensor should not contain infs or NaNs.")),
])  # fmt: skip
def eig(A: Tensor) -> Any:
    """Return the eigenvalues and eigenvectors of square matrices.

    Parameters
    ----------
    A : Tensor
        Shape (…, n, n).

    Returns
    -------
    namedtuple (eigenvalues, eigenvectors)
        Complex, of shapes (…, n), in no order, and (…, n, n), whose columns have length 1.

    Raises
    ------
    RuntimeError
        If an element is not finite; in the backward pass, if the loss depends on the phase of the vectors.

    Notes
    -----
    Boeddeker et al., arXiv 1701.00392, eq. 4.77. Matrices that cannot be diagonalised have no derivative.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.eig(cr.tensor([[0.0, 2.0], [-2.0, 0.0]])).eigenvalues
    tensor([0.+2.j, 0.-2.j])
    """
    return _linalg_eig(*general.eig(_general(A, "linalg.eig"), strict=True))


@public(name="linalg.eigvals", method=False, out=True, samples=lambda: [
    Sample((3, 3)), Sample((2, 3, 3)), Sample((0, 0)),
])  # fmt: skip
def eigvals(A: Tensor) -> Tensor:
    """Return the eigenvalues of square matrices.

    Parameters
    ----------
    A : Tensor
        Shape (…, n, n).

    Returns
    -------
    Tensor
        Complex, of shape (…, n), in no order.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.eigvals(cr.tensor([[1.0, 1.0], [0.0, 2.0]]))
    tensor([1.+0.j, 2.+0.j])
    """
    return general.eig(_general(A, "linalg.eigvals"), strict=True)[0]


# -- singular values ---------------------------------------------------------------------------------------------------


def completed(u: Tensor) -> Tensor:
    """Return orthonormal columns with a basis of what they leave, whose derivative is that of the space it spans.

    Of the constant complement C at u, (1 - u uᴴ) C spans what u leaves nearby; its columns are made orthonormal by the Cholesky
    factor of their products.
    """
    n, k = u.shape[-2:]
    if n == k:
        return u
    rest = orthogonal.complement(u)
    rest = rest - product(u, mh(u), rest)
    lower, _ = symmetric.cholesky(product(mh(rest), rest), upper=False)
    return cat(u, orthogonal.over_triangle(rest, mh(lower)), axis=u.ndim - 1)


@public(name="linalg.svd", method=False, out=True, samples=lambda: [
    Sample((3, 3)), Sample((4, 2), full_matrices=False), Sample((2, 2, 3)), Sample((0, 3), full_matrices=False), Sample((3, 0)),
    Sample((0, 2, 2)), Sample((2, 3), True),
    Sample((3,), error=(RuntimeError, "linalg.svd: The input tensor A must have at least 2 dimensions.")),
    Sample(np.full((2, 2), np.nan), error=(RuntimeError, "linalg.svd: The algorithm failed to converge because the input mat")),
    Sample((2, 2), driver="gesvd", error=(RuntimeError, "torch.linalg.svd: keyword argument `driver=` is only supported on C")),
])  # fmt: skip
def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None) -> Any:
    """Return the singular value decomposition A = U diag(S) Vh.

    Parameters
    ----------
    A : Tensor
        Shape (…, m, n).
    full_matrices : bool
        Complete U and Vh to square matrices; their derivative beyond the first min(m, n) is that of the space they span.
    driver : None
        PyTorch's choice of CUDA's algorithm; there is none here.

    Returns
    -------
    namedtuple (U, S, Vh)
        With k = min(m, n), of shapes (…, m, k), (…, k), real and descending, and (…, k, n), or (…, m, m) and (…, n, n).

    Raises
    ------
    LinAlgError
        If an element is not finite.
    RuntimeError
        In the backward pass, if the loss depends on the phase of complex vectors, or on how those of a repeated singular value
        are chosen in their space.

    Warns
    -----
    UserWarning
        If a derivative may depend on that choice.

    Notes
    -----
    Townsend (2016), *Differentiating the Singular Value Decomposition*; complex: arXiv 1909.02659.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.svd(cr.tensor([[3.0, 0.0], [0.0, 4.0]])).S
    tensor([4., 3.])
    """
    x = matrices(A, "linalg.svd", square=False, kernel="linalg_svd_cpu")
    if driver is not None:
        raise RuntimeError(
            "torch.linalg.svd: keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER backend."
        )
    u, s, vh = singular.svd(x, strict=True)
    if full_matrices:
        u, vh = completed(u), mh(completed(mh(vh)))
    return _linalg_svd(u, s, vh)


@public(name="linalg.svdvals", method=False, out=True, samples=lambda: [
    Sample((3, 3)), Sample((4, 2)), Sample((2, 2, 3)), Sample((0, 3)), Sample((0, 2, 2)), Sample((2, 2), driver=None),
    Sample((3,), error=(RuntimeError, "linalg.svd: The input tensor A must have at least 2 dimensions.")),
])  # fmt: skip
def svdvals(A: Tensor, *, driver: str | None = None) -> Tensor:
    """Return the singular values of matrices, in descending order.

    Parameters
    ----------
    A, driver
        As for :func:`svd`.

    Returns
    -------
    Tensor
        Real, of shape (…, min(m, n)).

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.svdvals(cr.tensor([[3.0, 0.0], [0.0, 4.0]]))
    tensor([4., 3.])
    """
    x = matrices(A, "linalg.svd", square=False, kernel="linalg_svd_cpu")
    if driver is not None:
        raise RuntimeError(
            "torch.linalg.svd: keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER backend."
        )
    return singular.svdvals(x)
