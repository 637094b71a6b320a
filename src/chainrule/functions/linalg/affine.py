"""Products added to a scaled input, BLAS's gemm family: addmm and its kin."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.call.dispatch import cast, common_dtype
from chainrule.core.op.samples import Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.functions.adapt import public
from chainrule.functions.linalg.contract import (
    C_NAMES,
    are_plain_matrices,
    check_batches,
    check_matrices,
    check_vector,
    not_bool,
    operand,
)
from chainrule.ops.linalg import contract as ops

__all__ = ["addbmm", "addmm", "addmv", "addr", "baddbmm"]


def _check_expands(x: Tensor, shape: tuple) -> None:
    given = tuple(x.shape)
    lead = len(shape) - len(given)
    if lead < 0:
        raise RuntimeError(
            f"expand(chainrule.{x.dtype.old_name}Tensor{{{list(given)}}}, size={list(shape)}): the number of sizes provided "
            f"({len(shape)}) must be greater or equal to the number of dimensions in the tensor ({len(given)})"
        )
    for axis in reversed(range(lead, len(shape))):
        if given[axis - lead] not in (1, shape[axis]):
            raise RuntimeError(
                f"The expanded size of the tensor ({shape[axis]}) must match the existing size ({given[axis - lead]}) at "
                f"non-singleton dimension {axis}.  Target sizes: {list(shape)}.  Tensor sizes: {list(given)}"
            )


def _factors(x: Tensor, beta: Any, alpha: Any) -> dict[str, Any]:
    """Return beta and alpha as numbers; as ints for integer tensors, as PyTorch takes them."""
    beta, alpha = (v.item() if isinstance(v, (Tensor, np.generic)) else v for v in (beta, alpha))
    if x.dtype.category <= dtypes.INT:
        beta, alpha = int(beta), int(alpha)
    return {"beta": beta, "alpha": alpha}


@public(out="exact", inplace=True, kinds="fc", samples=lambda: [
    Sample((3, 5), (3, 4), (4, 5)), Sample((5,), (3, 4), (4, 5), beta=0.5, alpha=2), Sample((), (2, 0), (0, 3), beta=0),
    Sample((6,), (3, 4), (4, 5), error=(RuntimeError, "The expanded size of the tensor (5) must match the existing size (6)")),
    Sample((5,), (3, 4), (3, 5), error=(RuntimeError, "mat1 and mat2 shapes cannot be multiplied (3x4 and 3x5)")),
    Sample((5,), (3,), (3, 5), error=(RuntimeError, "mat1 must be a matrix, got 1-D tensor")),
])  # fmt: skip
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """Return ``beta * input + alpha * (mat1 @ mat2)``.

    Parameters
    ----------
    input : Tensor
        Broadcasts to the result; not read if `beta` is 0.
    mat1, mat2 : Tensor
        Of shapes (n, k) and (k, m), and the dtype of `input`.
    beta, alpha : number
        The factors.

    Raises
    ------
    RuntimeError
        If shapes or dtypes do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.addmm(cr.ones(2), cr.ones(1, 3), cr.ones(3, 2))
    tensor([[4., 4.]])
    """
    if input.__class__ is Tensor and beta.__class__ is int and alpha.__class__ is int and are_plain_matrices(mat1, mat2):
        bias, size = input._data, mat2.shape[1]
        if bias.shape == (size,) and bias.dtype is mat1._data.dtype:
            return ops.addmm(input, mat1, mat2, beta=beta, alpha=alpha)
    x, a, b = operand(input, "addmm", "input", 1), operand(mat1, "addmm", "mat1", 2), operand(mat2, "addmm", "mat2", 3)
    for name, m in (("mat1", a), ("mat2", b)):
        if m.ndim != 2:
            raise RuntimeError(f"{name} must be a matrix, got {m.ndim}-D tensor")
    if x.dtype is not b.dtype:
        raise RuntimeError(f"self and mat2 must have the same dtype, but got {x.dtype.old_name} and {b.dtype.old_name}")
    check_matrices(a, b)
    _check_expands(x, (a.shape[0], b.shape[1]))
    return ops.addmm(x, a, b, **_factors(x, beta, alpha))


@public(out="exact", inplace=True, kinds="fc", samples=lambda: [
    Sample((3,), (3, 4), (4,)), Sample((), (3, 4), (4,), beta=2, alpha=-0.5),
    Sample((2,), (3, 4), (4,), error=(RuntimeError, "size mismatch, got input (2), mat (3x4), vec (4)")),
])  # fmt: skip
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """Return ``beta * input + alpha * (mat @ vec)``.

    Parameters
    ----------
    input : Tensor
        Broadcasts to the result; not read if `beta` is 0.
    mat, vec : Tensor
        Of shapes (n, k) and (k,), and the dtype of `input`.
    beta, alpha : number
        The factors.

    Raises
    ------
    RuntimeError
        If shapes or dtypes do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.addmv(cr.ones(2), cr.ones(2, 3), cr.ones(3))
    tensor([4., 4.])
    """
    x, a, b = operand(input, "addmv", "input", 1), operand(mat, "addmv", "mat", 2), operand(vec, "addmv", "vec", 3)
    if a.ndim != 2 or b.ndim != 1 or x.ndim > 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {x.ndim}, {a.ndim}, {b.ndim}")
    check_vector(x.numel(), a, b, x)
    return ops.addmv(x, a, b, **_factors(x, beta, alpha))


@public(out="exact", inplace=True, kinds="fc", samples=lambda: [
    Sample((3, 4), (3,), (4,)), Sample((4,), (3,), (4,), beta=2, alpha=-0.5),
    Sample((5,), (3,), (4,), error=(RuntimeError, "The expanded size of the tensor (4) must match the existing size (5)")),
    Sample((4,), (3, 1), (4,), error=(RuntimeError, "addr: Expected 1-D argument vec1, but got 2-D")),
])  # fmt: skip
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """Return ``beta * input + alpha * outer(vec1, vec2)``.

    Parameters
    ----------
    input : Tensor
        Broadcasts to the result; not read if `beta` is 0.
    vec1, vec2 : Tensor
        Of shapes (n,) and (m,), and the dtype of `input`.
    beta, alpha : number
        The factors.

    Raises
    ------
    RuntimeError
        If shapes or dtypes do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.addr(cr.zeros(2, 2), cr.tensor([1.0, 2.0]), cr.ones(2))
    tensor([[1., 1.],
            [2., 2.]])
    """
    x, a, b = operand(input, "addr", "input", 1), operand(vec1, "addr", "vec1", 2), operand(vec2, "addr", "vec2", 3)
    for name, v in (("vec1", a), ("vec2", b)):
        if v.ndim != 1:
            raise RuntimeError(f"addr: Expected 1-D argument {name}, but got {v.ndim}-D")
    _check_expands(x, (a.shape[0], b.shape[0]))
    common = common_dtype([x, a, b])
    if common is dtypes.bool_:  # sums of products of truths: or, and
        products = a[:, None] & b & bool(alpha)
        return x & bool(beta) | products
    return ops.addr(cast(x, common), cast(a, common), cast(b, common), **_factors(x, beta, alpha))


@public(out="exact", inplace=True, kinds="fc", samples=lambda: [
    Sample((2, 3, 5), (2, 3, 4), (2, 4, 5)), Sample((5,), (2, 3, 4), (2, 4, 5), beta=2, alpha=-0.5),
    Sample((6,), (2, 3, 4), (2, 4, 5), error=(RuntimeError, "The expanded size of the tensor (5) must match the existing")),
    Sample((5,), (3, 4), (3, 4, 5), error=(RuntimeError, "batch1 must be a 3D tensor")),
])  # fmt: skip
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """Return ``beta * input + alpha * bmm(batch1, batch2)``.

    Parameters
    ----------
    input : Tensor
        Broadcasts to the result; not read if `beta` is 0.
    batch1, batch2 : Tensor
        Of shapes (b, n, k) and (b, k, m), and the dtype of `input`.
    beta, alpha : number
        The factors.

    Raises
    ------
    RuntimeError
        If shapes or dtypes do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.baddbmm(cr.ones(1), cr.ones(1, 1, 3), cr.ones(1, 3, 2))
    tensor([[[4., 4.]]])
    """
    x = operand(input, "baddbmm", "input", 1)
    a, b = operand(batch1, "baddbmm", "batch1", 2), operand(batch2, "baddbmm", "batch2", 3)
    check_batches(a, b)
    if not x.dtype is a.dtype is b.dtype:
        given = ", ".join(f"{n} {C_NAMES[z.dtype.name]}" for n, z in (("input", x), ("batch1:", a), ("batch2:", b)))
        raise RuntimeError(f"Input dtypes must be the same, got: {given}")
    not_bool(x, "baddbmm")
    _check_expands(x, (*a.shape[:2], b.shape[2]))
    return ops.baddbmm(x, a, b, **_factors(x, beta, alpha))


@public(out="exact", inplace=True, kinds="fc", samples=lambda: [
    Sample((3, 5), (2, 3, 4), (2, 4, 5)), Sample((5,), (2, 3, 4), (2, 4, 5), beta=2, alpha=-0.5),
    Sample((5,), (2, 3, 4), (3, 4, 5), error=(RuntimeError, "batch1 and batch2 must have same number of batches, got 2 and 3")),
    Sample((5,), (2, 3, 4), (2, 3, 5), error=(RuntimeError, "Incompatible matrix sizes for bmm (3x4 and 3x5)")),
])  # fmt: skip
def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """Return ``beta * input + alpha * bmm(batch1, batch2).sum(0)``.

    Parameters
    ----------
    input : Tensor
        Broadcasts to the result; not read if `beta` is 0.
    batch1, batch2 : Tensor
        Of shapes (b, n, k) and (b, k, m), and the dtype of `input`.
    beta, alpha : number
        The factors.

    Raises
    ------
    RuntimeError
        If shapes or dtypes do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.addbmm(cr.zeros(1, 1), cr.ones(2, 1, 3), cr.ones(2, 3, 1))
    tensor([[6.]])
    """
    x = operand(input, "addbmm", "input", 1)
    a, b = operand(batch1, "addbmm", "batch1", 2), operand(batch2, "addbmm", "batch2", 3)
    check_batches(a, b, same_batch=False)
    if a.shape[0] != b.shape[0]:
        raise RuntimeError(f"batch1 and batch2 must have same number of batches, got {a.shape[0]} and {b.shape[0]}")
    if a.shape[2] != b.shape[1]:
        raise RuntimeError(f"Incompatible matrix sizes for bmm ({a.shape[1]}x{a.shape[2]} and {b.shape[1]}x{b.shape[2]})")
    _check_expands(x, (a.shape[1], b.shape[2]))
    if not x.dtype is a.dtype is b.dtype:
        raise RuntimeError(f"self and mat2 must have the same dtype, but got {x.dtype.old_name} and {b.dtype.old_name}")
    not_bool(x, "bmm")
    return ops.addbmm(x, a, b, **_factors(x, beta, alpha))
