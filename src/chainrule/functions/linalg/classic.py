"""The functions of linear algebra that PyTorch has at its top level, and as methods: most are `chainrule.linalg`'s.

They are declared when one of them is first used: see `functions.late`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.call.dispatch import cast
from chainrule.core.op.samples import Matrices, Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import is_complex
from chainrule.core.types import dtype as dtypes
from chainrule.functions.adapt import public
from chainrule.functions.linalg import definite, determinant, rank, various
from chainrule.functions.linalg import solve as systems
from chainrule.functions.linalg.arguments import check_dtype, check_info, matrices, together
from chainrule.functions.linalg.contract import operand
from chainrule.functions.linalg.determinant import determinant_samples
from chainrule.ops.indexing.select import where
from chainrule.ops.linalg import solve as ops
from chainrule.ops.linalg import symmetric
from chainrule.ops.linalg.contract import matmul
from chainrule.ops.linalg.matrix import diagonal_of, mh, numpy_dtype_of
from chainrule.ops.linalg.solve import solve_triangular
from chainrule.ops.pointwise.exponential import log
from chainrule.ops.reduction.reduce import amax
from chainrule.return_types import named_result

__all__ = [
    "cholesky", "cholesky_inverse", "cholesky_solve", "det", "inverse", "logdet", "matrix_exp", "matrix_power", "pinverse",
    "slogdet",
]  # fmt: skip

_slogdet = named_result("slogdet", "sign", "logabsdet")
_SINGULAR = (
    "cholesky_inverse: {}The diagonal element {} is zero, the inversion could not be completed because the input matrix is "
    "singular."
)


# -- determinants and inverses -----------------------------------------------------------------------------------------


@public(samples=lambda: determinant_samples("linalg.det"))
def det(input: Tensor) -> Tensor:
    """Return the determinants of square matrices: :func:`chainrule.linalg.det`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.det(cr.eye(2) * 3)
    tensor(9.)
    """
    return determinant.det(input)


@public(samples=lambda: determinant_samples("linalg.slogdet"), out=True)
def slogdet(input: Tensor) -> Any:
    """Return signs and logarithms of the sizes of determinants: :func:`chainrule.linalg.slogdet`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.slogdet(cr.eye(2)).logabsdet
    tensor(0.)
    """
    return _slogdet(*determinant.slogdet(input))


@public(samples=lambda: [*determinant_samples("logdet"), Sample(np.array([[0.0, 1.0], [1.0, 0.0]]))])
def logdet(input: Tensor) -> Tensor:
    """Return the logarithms of determinants.

    Parameters
    ----------
    input : Tensor
        Shape (…, n, n).

    Returns
    -------
    Tensor
        NaN where a real determinant is negative, -inf where it is 0; of complex matrices the principal logarithm.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.logdet(cr.eye(2) * 2)
    tensor(1.3863)
    """
    sign, size = ops.slogdet(matrices(input, "logdet"))
    if is_complex(sign):
        return log(sign) + size
    return where(sign == -1, np.nan, size)


@public(out=True, samples=lambda: [
    Sample(Matrices((3, 3))), Sample((0, 2, 2)),
    Sample((2, 3), error=(RuntimeError, "linalg.inv: A must be batches of square matrices, but they are 2 by 3 matrices")),
    Sample(np.ones((2, 2)), error=(RuntimeError, "linalg.inv: The diagonal element 2 is zero, the inversion could not be com")),
])  # fmt: skip
def inverse(input: Tensor) -> Tensor:
    """Return the inverses of square matrices: :func:`chainrule.linalg.inv`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.inverse(cr.eye(2) * 2)
    tensor([[0.5000, 0.0000],
            [0.0000, 0.5000]])
    """
    return systems.inv(input)


@public(samples=lambda: [Sample((3, 3)), Sample((4, 2)), Sample((2, 2, 3)), Sample((3, 2), 0.1)])
def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """Return the pseudoinverses of matrices: :func:`chainrule.linalg.pinv` with ``rtol=rcond``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.pinverse(cr.ones(2, 1))
    tensor([[0.5000, 0.5000]])
    """
    return rank.pinv(input, rcond)


@public(samples=lambda: [Sample((3, 3)), Sample((2, 2, 2)), Sample((0, 0))])
def matrix_exp(input: Tensor) -> Tensor:
    """Return the exponentials of square matrices: :func:`chainrule.linalg.matrix_exp`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.matrix_exp(cr.zeros(2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    return various.matrix_exp(input)


@public(out=True, samples=lambda: [Sample(Matrices((3, 3)), n) for n in (0, 1, 2, 3, -2)])
def matrix_power(input: Tensor, n: int) -> Tensor:
    """Return square matrices to an integer power: :func:`chainrule.linalg.matrix_power`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.matrix_power(cr.eye(2) * 2, 3)
    tensor([[8., 0.],
            [0., 8.]])
    """
    return various.matrix_power(input, n)


# -- Cholesky ----------------------------------------------------------------------------------------------------------


@public(out=True, samples=lambda: [
    *[Sample(x, upper=upper) for x in definite.POSITIVE for upper in (False, True)], Sample(definite.POSITIVE[0], True),
    Sample((2, 3), error=(RuntimeError, "cholesky: A must be batches of square matrices, but they are 2 by 3 matrices")),
    Sample(-np.eye(2), error=(RuntimeError, definite.INDEFINITE.format("cholesky").format("", 1))),
])  # fmt: skip
def cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """Return the Cholesky factors of positive definite matrices: :func:`chainrule.linalg.cholesky`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.cholesky(cr.eye(2) * 4)
    tensor([[2., 0.],
            [0., 2.]])
    """
    x = matrices(input, "cholesky", kernel="cholesky_cpu", ints=False)
    out, info = symmetric.cholesky(x, upper=bool(upper))
    check_info(info, definite.INDEFINITE.format("cholesky"))
    return out


@public(out=True, samples=lambda: [
    Sample((3, 2), Matrices((3, 3))), Sample((3, 2), Matrices((3, 3)), True),
    Sample((2, 3, 2), Matrices((3, 3))), Sample((0, 2), (0, 0)),
    Sample((4, 2), (2, 2), error=(RuntimeError, "Incompatible matrix sizes for cholesky_solve: each A matrix is 2 by 2 but e")),
    Sample((2,), (2, 2), error=(RuntimeError, "b should have at least 2 dimensions, but has 1 dimensions instead")),
])  # fmt: skip
def cholesky_solve(input: Tensor, input2: Tensor, upper: bool = False) -> Tensor:
    """Return the solutions X of A X = B by the Cholesky factors of A.

    Parameters
    ----------
    input : Tensor
        The right sides B, of shape (…, n, k).
    input2 : Tensor
        The factors, of shape (…, n, n); batch shapes broadcast.
    upper : bool
        Whether they are upper triangles.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.cholesky_solve(cr.tensor([[4.0], [8.0]]), cr.eye(2) * 2)
    tensor([[1.],
            [2.]])
    """
    b, a = older_system("cholesky_solve", input, input2)
    check_dtype(a, "cholesky_solve", "cholesky_solve_cpu", ints=False)
    low = mh(a) if upper else a
    half = solve_triangular(low, b, upper=False, unit=False)
    return solve_triangular(mh(low), half, upper=True, unit=False)


def older_system(name: str, B: Any, A: Any) -> tuple:
    """Return right sides and matrices with their batch shapes broadcast; raise PyTorch's errors if they do not fit."""
    b, a = operand(B, name, "input", 1), operand(A, name, "input2" if name == "cholesky_solve" else "A", 2)
    prefix = "b should" if name == "cholesky_solve" else f"torch.{name}: Expected b to"
    rest = "has" if name == "cholesky_solve" else "it has"
    for what, x in (("b", b), ("A" if name == "triangular_solve" else "u", a)):
        if x.ndim < 2:
            text = prefix.replace("b ", f"{what} ", 1) if name == "cholesky_solve" else prefix.replace(" b ", f" {what} ")
            raise RuntimeError(f"{text} have at least 2 dimensions, but {rest} {x.ndim} dimensions instead")
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"Expected b and A to have the same dtype, but found b of type {b.dtype.old_name} and A of type {a.dtype.old_name} "
            "instead."
        )
    if a.shape[-1] != a.shape[-2]:
        raise RuntimeError(f"A must be batches of square matrices, but they are {a.shape[-1]} by {a.shape[-2]} matrices")
    if a.shape[-2] != b.shape[-2]:
        raise RuntimeError(
            f"Incompatible matrix sizes for {name}: each A matrix is {a.shape[-1]} by {a.shape[-1]} but each b matrix is "
            f"{b.shape[-2]} by {b.shape[-1]}"
        )
    a, b = together(a, b)
    return b, a


@public(out=True, samples=lambda: [
    Sample(Matrices((3, 3)), kinds="f"), Sample(Matrices((2, 2, 2)), upper=True, kinds="f"), Sample((0, 0)),
    Sample((2, 3), error=(RuntimeError, "cholesky_inverse: A must be batches of square matrices, but they are 2 by 3 matrice")),
])  # fmt: skip
def cholesky_inverse(input: Tensor, upper: bool = False) -> Tensor:
    """Return the inverses of the matrices L Lᴴ, or Uᴴ U, by their Cholesky factors.

    Parameters
    ----------
    input : Tensor
        Triangles of shape (…, n, n).
    upper : bool
        Whether they are upper triangles.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.cholesky_inverse(cr.eye(2) * 2)
    tensor([[0.2500, 0.0000],
            [0.0000, 0.2500]])
    """
    a = matrices(input, "cholesky_inverse", kernel="cholesky_inverse_out_cpu", ints=False)
    zero = cast(diagonal_of(a) == 0, dtypes.int64)
    count = np.arange(a.shape[-1], 0, -1)  # of the first zero the largest
    first = amax(zero * count, axis=(zero.ndim - 1,), keepdims=False) if a.shape[-1] else None
    if first is not None:
        check_info(where(first == 0, 0, a.shape[-1] + 1 - first), _SINGULAR)
    low = mh(a) if upper else a
    one = np.broadcast_to(np.eye(a.shape[-1], dtype=numpy_dtype_of(a)), tuple(a.shape)).copy()
    inner = solve_triangular(low, one, upper=False, unit=False)
    return matmul(mh(inner), inner)
