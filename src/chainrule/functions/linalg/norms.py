"""Norms under names that PyTorch keeps at its top level: of matrices, and of all slices along an axis.

They are declared when one of them is first used: see `functions.late`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.call.dispatch import as_tensor
from chainrule.core.op.samples import Fixed, Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.shape import axes_tuple, axis_index
from chainrule.functions.adapt import public
from chainrule.functions.linalg.size import matrix_norm
from chainrule.ops.reduction.statistics import vector_norm

__all__ = ["frobenius_norm", "norm_except_dim", "nuclear_norm"]


def _floating(value: Any, name: str) -> Tensor:
    x = as_tensor(value, name)
    if x.dtype.category < dtypes.FLOAT:
        raise RuntimeError(f"norm(): input dtype should be either floating point or complex. Got {x.dtype.old_name} instead.")
    return x


@public(method=False, out=True, samples=lambda: [
    Sample((3, 4), Fixed((0, 1))), Sample((2, 3, 4), Fixed((0, 2)), True), Sample((3, 4), 1), Sample((2, 3), dim=()),
    Sample(np.zeros((2, 2)), 0), Sample((0, 3), 0),
    Sample((2, 3, 4), Fixed((0, 1, 2)), error=(RuntimeError, "Expected at most 2 dimensions, but got 3 dimensions instead.")),
    Sample((2, 3), Fixed((0, 0)), error=(RuntimeError, "dim 0 appears multiple times in the list of dims")),
    Sample((2, 3), 2, error=(IndexError, "Dimension out of range (expected to be in range of [-2, 1], but got 2)")),
    Sample(np.array([1]), 0, error=(RuntimeError, "norm(): input dtype should be either floating point or complex. Got Long")),
])  # fmt: skip
def frobenius_norm(input: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """Return the square root of the sum of squared sizes along one axis or two.

    Parameters
    ----------
    input : Tensor
        Floating point or complex.
    dim : int or tuple of int
        At most two axes; all axes if empty.
    keepdim : bool
        Keep them with size 1.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.frobenius_norm(cr.tensor([[3.0, 0.0], [0.0, 4.0]]), (0, 1))
    tensor(5.)
    """
    x = _floating(input, "frobenius_norm")
    if isinstance(dim, (tuple, list)) and len(dim) > 2:
        raise RuntimeError(f"Expected at most 2 dimensions, but got {len(dim)} dimensions instead.")
    return vector_norm(x, order=2.0, axis=axes_tuple(dim, x.ndim), keepdims=bool(keepdim))


@public(method=False, out=True, samples=lambda: [
    Sample((3, 4)), Sample((2, 3, 4), True), Sample((2, 3, 4), Fixed((0, 2))), Sample((2, 3, 4), Fixed((2, 0)), True),
    Sample((3,), error=(RuntimeError, "linalg.matrix_norm: The input tensor A must have at least 2 dimensions.")),
    Sample((2, 3), 0, error=(RuntimeError, "linalg.matrix_norm: dim")),
])  # fmt: skip
def nuclear_norm(input: Tensor, dim: Any = (-2, -1), keepdim: bool = False) -> Tensor:
    """Return the sums of the singular values of matrices: :func:`chainrule.linalg.matrix_norm` of order ``"nuc"``.

    Parameters
    ----------
    input : Tensor
        Floating point or complex.
    dim : tuple of int
        The two axes of the matrices; a bool here is `keepdim`.
    keepdim : bool
        Keep them with size 1.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nuclear_norm(cr.tensor([[3.0, 0.0], [0.0, -4.0]]))
    tensor(7.)
    """
    if isinstance(dim, bool):
        dim, keepdim = (-2, -1), dim
    if dim is None:
        raise TypeError("nuclear_norm(): argument 'dim' must be tuple of ints, not NoneType")
    pair = (dim, dim) if isinstance(dim, int) else dim  # PyTorch takes one axis for both, and then refuses it
    return matrix_norm(as_tensor(input, "nuclear_norm"), "nuc", pair, bool(keepdim))


@public(method=False, samples=lambda: [
    *[Sample((2, 3, 4), 2, dim) for dim in (0, 1, 2, -1, -2)], Sample((3, 2)), Sample((3, 2), 1, 1), Sample((3,), 2, 0),
    Sample((3, 2), 0, 0), Sample((3, 2), pow=3),
    Sample((), error=(IndexError, "Dimension specified as 0 but tensor has no dimensions")),
    Sample((3,), 2, 1, error=(IndexError, "Dimension out of range (expected to be in range of [-1, 0], but got 1)")),
    Sample(np.array([1]), error=(RuntimeError, "norm(): input dtype should be either floating point or complex. Got Long")),
])  # fmt: skip
def norm_except_dim(v: Tensor, pow: int = 2, dim: int = 0) -> Tensor:
    """Return the norm of each slice along an axis, as weight normalisation divides by.

    Parameters
    ----------
    v : Tensor
        Of at least one axis; floating point or complex.
    pow : int
        The order.
    dim : int
        The axis that is kept; -1 stands for none: the norm of all elements.

    Returns
    -------
    Tensor
        With all other axes of size 1; of no axes if `dim` is -1.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.norm_except_dim(cr.tensor([[3.0, 4.0], [0.0, 2.0]]))
    tensor([[5.],
            [2.]])
    """
    x = _floating(v, "norm_except_dim")
    if dim == -1:
        return vector_norm(x, order=float(pow), axis=tuple(range(x.ndim)), keepdims=False)
    if not x.ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    kept = axis_index(dim, x.ndim)
    return vector_norm(x, order=float(pow), axis=tuple([k for k in range(x.ndim) if k != kept]), keepdims=True)
