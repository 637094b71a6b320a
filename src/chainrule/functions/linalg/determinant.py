"""Determinants: `chainrule.linalg`'s part."""

from __future__ import annotations

from typing import Any

from chainrule.core.op.samples import Matrices, Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.functions.adapt import public
from chainrule.functions.linalg.arguments import matrices
from chainrule.ops.linalg import solve as ops
from chainrule.return_types import named_result

_linalg_slogdet = named_result("linalg_slogdet", "sign", "logabsdet")

__all__ = ["det", "slogdet"]


def determinant_samples(name: str) -> list[Sample]:
    return [
        Sample(Matrices((3, 3))), Sample((2, 3, 3)), Sample((0, 0)), Sample((0, 2, 2)), Sample((1, 1)),
        Sample((2, 3), error=(RuntimeError, f"{name}: A must be batches of square matrices, but they are 2 by 3 matrices")),
        Sample((3,), error=(RuntimeError, f"{name}: The input tensor A must have at least 2 dimensions.")),
    ]  # fmt: skip


@public(name="linalg.det", method=False, out=True, samples=lambda: determinant_samples("linalg.det"))
def det(A: Tensor) -> Tensor:
    """Return the determinants of square matrices.

    Parameters
    ----------
    A : Tensor
        Shape (…, n, n).

    Returns
    -------
    Tensor
        Shape (…).

    Notes
    -----
    The derivative is tr(adj(A) Ȧ), right at singular matrices too, to any order: the gradient of one of rank n - 1 is its
    cofactors, of lower rank 0. PyTorch's first derivatives there are 0 in both cases.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([[1.0, 2.0], [2.0, 4.0]], requires_grad=True)
    >>> cr.linalg.det(x).backward()
    >>> x.grad.round(decimals=4)
    tensor([[ 4., -2.],
            [-2.,  1.]])
    """
    return ops.det(matrices(A, "linalg.det", kernel="lu_cpu"))


@public(name="linalg.slogdet", method=False, out=True, samples=lambda: determinant_samples("linalg.slogdet"))
def slogdet(A: Tensor) -> Any:
    """Return the signs of determinants, and the logarithms of their sizes, which do not overflow.

    Parameters
    ----------
    A : Tensor
        Shape (…, n, n).

    Returns
    -------
    namedtuple (sign, logabsdet)
        Of shape (…); `logabsdet` is real, and -inf where a matrix is singular, its gradient infinite.

    Notes
    -----
    The derivative of the logarithm is Re tr(A⁻¹ Ȧ) (Giles 2008, section 2.2.4), of a complex sign i Im tr(A⁻¹ Ȧ) times it.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.slogdet(cr.tensor([[1.0, 0.0], [0.0, -1.0]]))
    chainrule.return_types.linalg_slogdet(
    sign=tensor(-1.),
    logabsdet=tensor(0.))
    """
    return _linalg_slogdet(*ops.slogdet(matrices(A, "linalg.slogdet")))
