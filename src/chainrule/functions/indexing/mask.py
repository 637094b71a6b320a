"""Masks and positions: selecting and filling where a mask is True, finding where values are not zero."""

from __future__ import annotations

from typing import Any

from chainrule.core.call.dispatch import as_tensor
from chainrule.core.op.samples import Bools, Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.functions.adapt import public
from chainrule.functions.shaping.join import unbind
from chainrule.functions.shaping.view import broadcast_tensors
from chainrule.ops.indexing import mask as ops

__all__ = ["argwhere", "masked_scatter", "masked_select", "nonzero", "nonzero_static"]


def _mask_of(x: Tensor, mask: Any, name: str) -> tuple[Tensor, Tensor]:
    mask = as_tensor(mask, name, 1)
    if mask.dtype is not dtypes.bool_ and name.startswith("masked_scatter"):
        raise RuntimeError(f"masked_scatter_ only supports boolean masks, but got mask with dtype {mask.dtype.old_name}")
    if mask.dtype is not dtypes.bool_:
        raise RuntimeError(f"{name}: expected BoolTensor for mask, not {mask.dtype.old_name}Tensor")
    return (x, mask) if x.shape == mask.shape else broadcast_tensors(x, mask)  # type: ignore[return-value]


@public(out="exact", samples=lambda: [Sample((3, 4), Bools((3, 4))), Sample((3, 4), Bools((4,))), Sample((), Bools((3,)))])
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """Return the elements where a mask is True, as a vector; input and mask broadcast together.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, -2.0, 3.0])
    >>> cr.masked_select(x, x > 0).tolist()
    [1.0, 3.0]
    """
    x, mask = _mask_of(as_tensor(input, "masked_select"), mask, "masked_select()")
    return ops.masked_select(x, mask)


@public(inplace=True, samples=lambda: [Sample((3, 4), Bools((3, 4)), (12,)), Sample((3, 4), Bools((4,)), (3, 4))])
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """Return a copy with the places where a mask is True taken, in order, by the elements of `source`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.masked_scatter(cr.zeros(3), cr.tensor([True, False, True]), cr.tensor([1.0, 2.0])).tolist()
    [1.0, 0.0, 2.0]
    """
    x, y = as_tensor(input, "masked_scatter"), as_tensor(source, "masked_scatter", 2)
    if x.dtype is not y.dtype:
        raise RuntimeError(
            f"masked_scatter: expected self and source to have same dtypes but got {x.dtype.old_name} and {y.dtype.old_name}"
        )
    x, mask = _mask_of(x, mask, "masked_scatter_()")
    return ops.masked_scatter(x, mask, y)


@public(out="exact", kinds="bifc", samples=lambda: [Sample((3, 4)), Sample(()), Sample(Bools((2, 3)))])
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """Return the positions of the elements that are not zero.

    Parameters
    ----------
    input : Tensor
        Of any dtype.
    as_tuple : bool
        Return one index array for each axis, which together select the elements.

    Returns
    -------
    Tensor of int64 (count, ndim), or tuple of Tensor

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nonzero(cr.tensor([0, 3, 4])).tolist()
    [[1], [2]]
    """
    found = ops.nonzero(as_tensor(input, "nonzero"))
    return unbind(found, 1) if as_tuple else found


@public(
    kinds="bifc", out=True,
    samples=lambda: [
        Sample(Bools((3, 4)), size=5), Sample((2, 3), size=2), Sample((3,), size=4, fill_value=7), Sample((), size=2),
        Sample((3,), size=-1, error=(RuntimeError, "nonzero_static: 'size' must be an non-negative integer")),
    ],
)  # fmt: skip
def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """Return the positions of the first elements that are not zero, in a tensor of a known size.

    Parameters
    ----------
    input : Tensor
        Of any dtype.
    size : int
        How many rows the result has.
    fill_value : int
        What rows hold for which there is no such element.

    Returns
    -------
    Tensor of int64 (size, ndim)

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nonzero_static(cr.tensor([0, 3, 4]), size=3).tolist()
    [[1], [2], [-1]]
    """
    x = as_tensor(input, "nonzero_static")
    if size < 0:
        raise RuntimeError("nonzero_static: 'size' must be an non-negative integer")
    return ops.nonzero_static(x, size=int(size), fill_value=int(fill_value))


@public(kinds="bifc", samples=lambda: [Sample((3, 4)), Sample(Bools((2, 3)))])
def argwhere(input: Tensor) -> Tensor:
    """Return the positions of the elements that are not zero, one a row.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.argwhere(cr.tensor([0, 3, 4])).tolist()
    [[1], [2]]
    """
    return ops.nonzero(as_tensor(input, "argwhere"))
