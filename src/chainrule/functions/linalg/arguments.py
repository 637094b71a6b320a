"""What functions of linear algebra ask of their arguments, in PyTorch's words; and what they do with LAPACK's info."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import examined, satisfies
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.shape import broadcast
from chainrule.functions.linalg.contract import operand
from chainrule.ops.linalg.failure import LinAlgError
from chainrule.ops.shaping.shape import broadcast_to, reshape


def matrices(
    value: Any,
    name: str,
    *,
    square: bool = True,
    kernel: str | None = None,
    position: int = 1,
    argument: str = "A",
    ints: bool = True,
) -> Tensor:
    """Return an argument that is to be a batch of matrices of floating point or complex numbers.

    Parameters
    ----------
    name : str
        Of the function, as its errors begin.
    kernel : str, optional
        PyTorch's name of the kernel that refuses half precision; without one the function itself does.
    ints : bool
        Whether the function refuses integers by its own words, and not by the kernel's.

    Raises
    ------
    RuntimeError, NotImplementedError
        If it is not.
    """
    x = operand(value, name.rpartition(".")[2], argument, position)
    if x.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor {argument} must have at least 2 dimensions.")
    if square and x.shape[-1] != x.shape[-2]:
        raise RuntimeError(
            f"{name}: {argument} must be batches of square matrices, but they are {x.shape[-2]} by {x.shape[-1]} matrices"
        )
    check_dtype(x, name, kernel, ints)
    return x


def check_dtype(x: Tensor, name: str, kernel: str | None = None, ints: bool = True) -> None:
    """Raise PyTorch's error for a dtype that LAPACK does not compute in."""
    if x.dtype.category < dtypes.FLOAT and ints:
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {x.dtype.old_name}")
    if x.dtype.category < dtypes.FLOAT or x.dtype.itemsize == 2:
        if kernel is not None:
            raise NotImplementedError(f"\"{kernel}\" not implemented for '{x.dtype.old_name}'")
        raise RuntimeError(f"{name}: Low precision dtypes not supported. Got {x.dtype.old_name}")


def check_info(info: Any, text: str, kind: type[Exception] = LinAlgError) -> None:
    """Raise an error if LAPACK says of a matrix that it failed.

    `text` reads ``"linalg.inv: {}The diagonal element {} is zero"``: into it go which of a batch it was, and the info.
    """
    if satisfies(info, lambda found: (found == 0).all()) if isinstance(info, Tensor) else not np.any(info):
        return
    found = np.asarray(examined(info))
    place = int(np.argmax(found.reshape(-1) != 0))
    raise kind(text.format(f"(Batch element {place}): " if found.ndim else "", int(found.reshape(-1)[place])))


def same_dtype(name: str, a: Tensor, b: Tensor, names: tuple[str, str] = ("A", "B")) -> None:
    """Raise PyTorch's error unless two operands have one dtype."""
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"{name}: Expected {names[0]} and {names[1]} to have the same dtype, but found {names[0]} of type "
            f"{a.dtype.old_name} and {names[1]} of type {b.dtype.old_name} instead"
        )


def expanded(x: Tensor, lead: tuple) -> Tensor:
    """Return a batch of matrices repeated to a batch shape."""
    shape = (*lead, *x.shape[-2:])
    return x if tuple(x.shape) == shape else broadcast_to(x, shape=shape)


def together(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return two batches of matrices with their batch shapes broadcast."""
    lead = broadcast(tuple(a.shape[:-2]), tuple(b.shape[:-2]))
    return expanded(a, lead), expanded(b, lead)


def as_columns(b: Tensor) -> Tensor:
    """Return vectors as matrices of one column."""
    return reshape(b, shape=(*b.shape, 1))
