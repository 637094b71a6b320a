"""Inverses and linear systems: `chainrule.linalg`'s part that solves."""

from __future__ import annotations

from math import prod
from typing import Any

from chainrule.core.op.samples import Matrices, Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import axis_index
from chainrule.functions.adapt import public
from chainrule.functions.linalg.arguments import (
    as_columns,
    check_dtype,
    check_info,
    matrices,
    same_dtype,
    together,
)
from chainrule.functions.linalg.contract import operand
from chainrule.ops.linalg import solve as ops
from chainrule.ops.linalg.matrix import mt
from chainrule.ops.shaping.shape import permute, reshape, squeeze
from chainrule.return_types import named_result

__all__ = ["inv", "inv_ex", "solve", "solve_ex", "solve_triangular", "tensorinv", "tensorsolve"]

_linalg_inv_ex = named_result("linalg_inv_ex", "inverse", "info")
_linalg_solve_ex = named_result("linalg_solve_ex", "result", "info")
SINGULAR = (
    "{}: {{}}The diagonal element {{}} is zero, the inversion could not be completed because the input matrix is singular."
)
_UNSOLVED = "torch.{}: {{}}The solver failed because the input matrix is singular."
_ONES = [[1.0, 1.0], [1.0, 1.0]]


# -- inverses ----------------------------------------------------------------------------------------------------------


@public(name="linalg.inv", method=False, out=True, samples=lambda: [
    Sample(Matrices((3, 3))), Sample(Matrices((2, 3, 3))), Sample((0, 0)), Sample((0, 2, 2)),
    Sample((2, 3), error=(RuntimeError, "linalg.inv: A must be batches of square matrices, but they are 2 by 3 matrices")),
    Sample((3,), error=(RuntimeError, "linalg.inv: The input tensor A must have at least 2 dimensions.")),
])  # fmt: skip
def inv(A: Tensor) -> Tensor:
    """Return the inverses of square matrices.

    Parameters
    ----------
    A : Tensor
        Shape (…, n, n), of single or double precision, real or complex.

    Raises
    ------
    LinAlgError
        If a matrix is singular.
    RuntimeError
        If they are not square matrices of such a dtype.

    Notes
    -----
    The derivative is -A⁻¹ Ȧ A⁻¹ (Giles 2008, section 2.2.3). To solve a system, `solve` is faster and more exact.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.inv(cr.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    out, info = ops.inv(matrices(A, "linalg.inv"))
    check_info(info, SINGULAR.format("linalg.inv"))
    return out


@public(name="linalg.inv_ex", method=False, out=True, samples=lambda: [
    Sample(Matrices((3, 3))), Sample(Matrices((2, 2, 2)), check_errors=True),
    Sample((2, 3), error=(RuntimeError, "linalg.inv: A must be batches of square matrices, but they are 2 by 3 matrices")),
])  # fmt: skip
def inv_ex(A: Tensor, *, check_errors: bool = False) -> Any:
    """Return the inverses of square matrices, and of each whether it has one.

    Parameters
    ----------
    A : Tensor
        Shape (…, n, n).
    check_errors : bool
        Raise for a singular matrix, as :func:`inv` does.

    Returns
    -------
    namedtuple (inverse, info)
        `info`, of int32, is 0, or the order of the leading minor that is singular; the inverse is infinite then.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.inv_ex(cr.ones(2, 2)).info
    tensor(2, dtype=chainrule.int32)
    """
    out, info = ops.inv(matrices(A, "linalg.inv"))
    if check_errors:
        check_info(info, SINGULAR.format("linalg.inv_ex"))
    return _linalg_inv_ex(out, info)


# -- systems -----------------------------------------------------------------------------------------------------------


def is_vector(a: Tensor, b: Tensor) -> bool:
    """Tell whether right sides are one vector for each matrix of a batch, and not matrices (PyTorch's rule)."""
    return b.ndim == 1 or (a.ndim - 1 == b.ndim and tuple(b.shape) == tuple(a.shape[:-1]))


def _solved(A: Any, B: Any, left: bool, name: str) -> tuple:
    a = operand(A, name, "A", 1)
    b = operand(B, name, "B", 2)
    same_dtype("linalg.solve", a, b)
    if a.ndim < 2:
        raise RuntimeError("linalg.solve: The input tensor A must have at least 2 dimensions.")
    a = matrices(a, "linalg.solve")
    vector = is_vector(a, b)
    if vector:
        b = as_columns(b)
        if not left:
            raise RuntimeError(
                "linalg.solve: Vector broadcasting of the left hand side is not supported for left=False. In this case "
                "linalg.solve is equivalent to B / A.squeeze(-1)"
            )
    check_system("linalg.solve", a, b, left)
    a, b = together(a if left else mt(a), b if left else mt(b))
    out, _, _, info = ops.solve(a, b)
    out = out if left else mt(out)
    return (squeeze(out, axis=(out.ndim - 1,), form="1") if vector else out), info


def check_system(name: str, a: Tensor, b: Tensor, left: bool) -> None:
    """Raise PyTorch's error unless matrices and right sides have shapes that fit."""
    if b.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor B must have at least 2 dimensions.")
    if b.shape[-2 if left else -1] != a.shape[-1]:
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation {'AX = B' if left else 'XA = B'} "
            f"({a.shape[-2]}x{a.shape[-1]} and {b.shape[-2]}x{b.shape[-1]})"
        )


@public(name="linalg.solve", method=False, out=True, samples=lambda: [
    Sample(Matrices((3, 3)), (3, 2)), Sample(Matrices((3, 3)), (3,)), Sample(Matrices((2, 3, 3)), (2, 3)),
    Sample(Matrices((2, 3, 3)), (3, 2)), Sample(Matrices((3, 3)), (2, 2, 3), left=False), Sample((0, 0), (0, 2)),
    Sample(Matrices((2, 2, 2)), (2, 1, 2, 1)), Sample((0, 2, 2), (0, 2, 3)), Sample(Matrices((70, 70)), (70, 2)),
    Sample((2, 2), (3, 3), error=(RuntimeError, "linalg.solve: Incompatible shapes of A and B for the equation AX = B (2x2 a")),
    Sample((2, 3), (2, 3), error=(RuntimeError, "linalg.solve: A must be batches of square matrices, but they are 2 by 3")),
])  # fmt: skip
def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """Return the solutions X of A X = B, or of X A = B.

    Parameters
    ----------
    A : Tensor
        Shape (…, n, n).
    B : Tensor
        Shape (…, n, k) with a batch shape that broadcasts against A's; (…, k, n) if not `left`. It is one vector for each
        matrix if its shape is (n,), or that of A without the last axis.
    left : bool
        Whether A stands on the left.

    Raises
    ------
    LinAlgError
        If a matrix is singular.
    RuntimeError
        If shapes or dtypes do not fit.

    Notes
    -----
    With Ȧ and Ḃ the derivative is A⁻¹ (Ḃ - Ȧ X) (Giles 2008, section 2.3.1). Large matrices are factored once for the solution
    and its derivatives.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.solve(cr.tensor([[2.0, 0.0], [0.0, 4.0]]), cr.tensor([1.0, 1.0]))
    tensor([0.5000, 0.2500])
    """
    out, info = _solved(A, B, left, "linalg.solve")
    check_info(info, _UNSOLVED.format("linalg.solve"))
    return out


@public(name="linalg.solve_ex", method=False, out=True, samples=lambda: [
    Sample(Matrices((3, 3)), (3, 2)), Sample(Matrices((2, 2, 2)), (2, 2), check_errors=True),
])  # fmt: skip
def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> Any:
    """Return the solutions of linear systems, and of each whether there is one.

    Parameters
    ----------
    A, B, left
        As for :func:`solve`.
    check_errors : bool
        Raise for a singular matrix.

    Returns
    -------
    namedtuple (result, info)
        `info`, of int32, is 0, or the order of the leading minor that is singular; the solution is NaN then.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.solve_ex(cr.zeros(2, 2), cr.ones(2)).info
    tensor(1, dtype=chainrule.int32)
    """
    out, info = _solved(A, B, left, "linalg.solve_ex")
    if check_errors:
        check_info(info, _UNSOLVED.format("linalg.solve_ex"))
    return _linalg_solve_ex(out, info)


@public(name="linalg.solve_triangular", method=False, out=True, samples=lambda: [
    Sample(Matrices((3, 3)), (3, 2), upper=True), Sample(Matrices((2, 3, 3)), (3, 2), upper=False),
    Sample(Matrices((3, 3)), (2, 3), upper=True, left=False), Sample((2, 2), (2, 2), upper=False, unitriangular=True),
    Sample((0, 0), (0, 2), upper=True), Sample(Matrices((60, 60)), (60, 2), upper=True),
    Sample((2, 2), (3, 3), upper=True,
           error=(RuntimeError, "linalg.solve_triangular: Incompatible shapes of A and B for the equation AX = B (2x2 and 3x")),
    Sample((2, 2), (2,), upper=True, error=(RuntimeError, "linalg.solve_triangular: The input tensor B must have at least 2")),
])  # fmt: skip
def solve_triangular(A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Tensor:
    """Return the solutions X of A X = B, or of X A = B, with triangular matrices.

    Parameters
    ----------
    A : Tensor
        Shape (…, n, n); one triangle is read.
    B : Tensor
        Shape (…, n, k), or (…, k, n) if not `left`; batch shapes broadcast.
    upper : bool
        Which triangle.
    left : bool
        Whether A stands on the left.
    unitriangular : bool
        Take the diagonal as ones, and do not read it.

    Returns
    -------
    Tensor
        Not finite where the diagonal has a 0.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.solve_triangular(cr.tensor([[2.0, 9.0], [1.0, 1.0]]), cr.tensor([[2.0], [3.0]]), upper=False)
    tensor([[1.],
            [2.]])
    """
    a = operand(A, "linalg.solve_triangular", "A", 1)
    b = operand(B, "linalg.solve_triangular", "B", 2)
    name = "linalg.solve_triangular"
    same_dtype(name, a, b)
    a = matrices(a, name, kernel="triangular_solve_cpu", ints=False)
    check_system(name, a, b, left)
    a, b = together(a, b)
    if left:
        return ops.solve_triangular(a, b, upper=bool(upper), unit=bool(unitriangular))
    return mt(ops.solve_triangular(mt(a), mt(b), upper=not upper, unit=bool(unitriangular)))


# -- tensors as matrices -----------------------------------------------------------------------------------------------


@public(name="linalg.tensorsolve", method=False, out=True, samples=lambda: [
    Sample(Matrices((6, 6)), (6,)), Sample((2, 3, 6), (2, 3)), Sample((3, 6, 2), (3, 2), dims=(1,)),
])  # fmt: skip
def tensorsolve(A: Tensor, B: Tensor, dims: Any = None) -> Tensor:
    """Return the X with tensordot(A, X, X.ndim) = B.

    Parameters
    ----------
    A : Tensor
        Its first axes are those of B, and the product of the others' sizes is B's number of elements.
    B : Tensor
        The right side.
    dims : sequence of int, optional
        Axes of A to move to its end first.

    Returns
    -------
    Tensor
        Of the shape of A's last axes.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.tensorsolve(cr.eye(4).reshape(2, 2, 4), cr.ones(2, 2))
    tensor([1., 1., 1., 1.])
    """
    a, b = operand(A, "linalg.tensorsolve", "A", 1), operand(B, "linalg.tensorsolve", "B", 2)
    if dims is not None:
        last = [axis_index(d, a.ndim) for d in dims]
        a = permute(a, order=(*[k for k in range(a.ndim) if k not in last], *last))
    shape = tuple(a.shape[b.ndim :])
    if prod(a.shape[: b.ndim]) != prod(shape):
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), but got "
            f"{prod(shape)} != {prod(a.shape[: b.ndim])}"
        )
    n = prod(shape)
    found = solve(reshape(a, shape=(prod(b.shape), n)), reshape(b, shape=(prod(b.shape),)))
    return reshape(found, shape=shape)


@public(name="linalg.tensorinv", method=False, out=True, samples=lambda: [
    Sample(Matrices((6, 6)), 1), Sample((2, 3, 6)), Sample((6, 2, 3), ind=1),
    Sample((2, 2), error=(RuntimeError, "Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[")),
    Sample((4, 4), 0, error=(RuntimeError, "Expected a strictly positive integer for 'ind', but got 0")),
])  # fmt: skip
def tensorinv(A: Tensor, ind: int = 2) -> Tensor:
    """Return the inverse of a tensor as a map, of its last axes to its first `ind`: of tensordot(A, ·).

    Parameters
    ----------
    A : Tensor
        The product of its first `ind` sizes is that of the others.
    ind : int
        At least 1.

    Returns
    -------
    Tensor
        Of shape ``A.shape[ind:] + A.shape[:ind]``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.tensorinv(cr.eye(4).reshape(2, 2, 4)).shape
    chainrule.Size([4, 2, 2])
    """
    a = operand(A, "linalg.tensorinv", "A", 1)
    if ind <= 0:
        raise RuntimeError(f"Expected a strictly positive integer for 'ind', but got {ind}")
    if a.ndim < ind:
        raise RuntimeError(f"ArrayRef: invalid slice, N = {ind}; size = {a.ndim}")
    first, last = tuple(a.shape[:ind]), tuple(a.shape[ind:])
    if prod(first) != prod(last):
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), but got "
            f"{prod(last)} != {prod(first)}"
        )
    check_dtype(a, "linalg.inv")
    out, info = ops.inv(reshape(a, shape=(prod(first), prod(last))))
    check_info(info, SINGULAR.format("inverse"))
    return reshape(out, shape=(*last, *first))
