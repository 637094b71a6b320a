"""The norm of the elements along axes, as of one vector: what all norms of vectors, under whatever name, check and call."""

from __future__ import annotations

from math import inf
from typing import Any

from chainrule.core.call.dispatch import cast
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.shape import axes_tuple
from chainrule.ops.reduction import statistics as ops


def vector_norm(x: Tensor, order: float, dim: Any, keepdim: bool, dtype: Any = None) -> Tensor:
    """Return the vector norm over axes, with the checks of ``linalg.vector_norm``."""
    if x.dtype.category < dtypes.FLOAT:
        raise RuntimeError(f"linalg.vector_norm: Expected a floating point or complex tensor as input. Got {x.dtype.old_name}")
    x = widened(x, dtype, "linalg.vector_norm")
    axes = axes_tuple(dim, x.ndim)
    if order in (inf, -inf) or order < 0:
        for axis in axes:
            if not x.shape[axis]:
                place = "an empty tensor" if len(axes) == x.ndim else f"the dimension {axis} because this dimension is empty"
                joined = "because" if len(axes) == x.ndim else "and"
                raise RuntimeError(
                    f"linalg.vector_norm cannot compute the {order:g} norm on {place} {joined} the operation does not "
                    "have an identity"
                )
    return ops.vector_norm(x, order=order, axis=axes, keepdims=keepdim)


def widened(x: Tensor, dtype: Any, name: str) -> Tensor:
    """Return a tensor in the dtype asked for, which must hold all that its own does; as it is if none is."""
    if dtype is None:
        return x
    asked = dtypes.as_dtype(dtype)
    if asked.category < dtypes.FLOAT:
        raise RuntimeError(f"{name}: dtype should be floating point or complex, but got {asked.old_name}")
    if x.dtype.is_complex != asked.is_complex:
        kind = "complex for complex" if x.dtype.is_complex else "real for real"
        raise RuntimeError(f"{name}: dtype should be {kind} inputs, but got {asked.old_name}")
    if dtypes.promote_types(x.dtype, asked) is not asked:
        raise RuntimeError(
            f"{name}: the dtype of the input ({x.dtype.old_name}) should be convertible without narrowing to the specified "
            f"dtype ({asked.old_name})"
        )
    return cast(x, asked)
