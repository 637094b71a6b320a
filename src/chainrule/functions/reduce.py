"""Reductions under PyTorch's names."""

from __future__ import annotations

from typing import Any

from chainrule.core import dtype as dtypes
from chainrule.core.dispatch import as_tensor, cast
from chainrule.core.sample import Sample
from chainrule.core.shape import axes_tuple
from chainrule.core.tensor import Tensor
from chainrule.functions.adapt import public
from chainrule.ops import reduce as ops

__all__ = ["sum"]


@public(
    kinds="bifc",
    samples=lambda: [
        Sample((3, 4)), Sample((3, 4), dim=1), Sample((2, 3, 4), dim=(0, -1), keepdim=True), Sample(()), Sample((0, 3)),
        Sample((0, 3), dim=0),
        Sample((3, 4), dim=2, error=(IndexError, "Dimension out of range (expected to be in range of [-2, 1], but got 2)")),
        Sample((3, 4), dim=(0, 0), error=(RuntimeError, "dim 0 appears multiple times in the list of dims")),
    ],
)  # fmt: skip
def sum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Return the sum of the elements, over all axes or some.

    Parameters
    ----------
    input : Tensor
        Of any shape and dtype; integers and bools are summed as ``int64``.
    dim : int or tuple of int, optional
        Axes to sum over; all by default.
    keepdim : bool
        Keep the summed axes with size 1.
    dtype : dtype, optional
        Cast to this first.

    Raises
    ------
    IndexError
        If an axis is out of range.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.sum(cr.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=0)
    tensor([4., 6.])
    """
    x = as_tensor(input, "sum")
    if dtype is not None:
        x = cast(x, dtypes.as_dtype(dtype))
    elif x.dtype.category < dtypes.FLOAT:
        x = cast(x, dtypes.int64)
    return ops.sum(x, axis=axes_tuple(dim, x.ndim), keepdims=keepdim)
