"""Choosing values by a condition, under PyTorch's names."""

from __future__ import annotations

from typing import Any

from chainrule.core.call.dispatch import NUMBERS, as_tensor, cast, common_dtype, in_full, lift
from chainrule.core.op.samples import Bools, Ints, Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.functions.adapt import public
from chainrule.ops.indexing import select as ops

__all__ = ["masked_fill", "where"]


def _as_condition(condition: Any) -> Tensor:
    c = as_tensor(condition, "where")
    if c.dtype.category != dtypes.BOOL:
        if c.dtype is not dtypes.uint8:
            raise RuntimeError(
                f"where expected condition to be a boolean tensor, but got a tensor with dtype {c.dtype.old_name}"
            )
        c = cast(c, dtypes.bool_)
    return c


_WHERE = [
    Sample(Bools((3, 4)), (3, 4), (4,)), Sample(Bools((4,)), (3, 1), 2.0), Sample(Bools(()), (), ()),
    Sample(Bools((0,)), (1,), 1.0),
    Sample(Bools((3, 4))),
    Sample((2,), (2,), (2,), error=(RuntimeError, "where expected condition to be a boolean tensor, but got")),
]  # fmt: skip


@public(out=True, kinds="fc", method=False, samples=lambda: _WHERE)
def where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """Return `input` where the condition holds and `other` elsewhere; of a condition alone, the indices where it holds.

    Where one of the two branches is not finite, its derivative is still multiplied by 0, which gives NaN: make the
    argument of the branch safe, not only its result.

    Parameters
    ----------
    condition : Tensor
        Bools.
    input, other : Tensor or number, optional
        Broadcast with the condition; dtypes are promoted.

    Returns
    -------
    Tensor, or tuple of Tensor
        Of the broadcast shape; of a condition alone, one ``int64`` tensor of indices an axis.

    Raises
    ------
    RuntimeError
        If the condition is not of bools.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([-1.0, 2.0])
    >>> cr.where(x > 0, x, 0.0)
    tensor([0., 2.])
    >>> cr.where(x > 0)
    (tensor([1]),)
    """
    if input is None and other is None:
        return ops.true_indices(as_tensor(condition, "where"))
    if input is None or other is None:
        raise TypeError("where() takes a condition alone, or a condition and both values to choose from")
    c, x, y = _as_condition(condition), lift(input, "where", 1), lift(other, "where", 2)
    if x.__class__ in NUMBERS and y.__class__ in NUMBERS:
        x = as_tensor(x)
    d = common_dtype((x, y))
    if d.numpy.isbuiltin != 1:  # beside ml_dtypes' bfloat16 a Python number would widen
        x, y = as_tensor(x), as_tensor(y)
    return ops.where(c, cast(x, d), cast(y, d))


def _where_method(self: Tensor, condition: Any, other: Any) -> Tensor:
    """Return `self` where the condition holds and `other` elsewhere; see :func:`chainrule.where`."""
    return where(condition, self, other)


_where_method.__name__ = "where"
_where_method.__qualname__ = "Tensor.where"
Tensor.where = _where_method  # type: ignore[attr-defined]


def _in_c(d: dtypes.dtype) -> str:
    """Return the name of a dtype's numbers in C++, as PyTorch's errors have it."""
    return f"{d.name}_t" if d.category == dtypes.INT else {"float64": "double", "float32": "float"}.get(d.name, d.name)


@public(
    inplace=True,
    kinds="fc",
    samples=lambda: [
        Sample((3, 4), Bools((4,)), 2.0), Sample((3, 1), Bools((3, 4)), ()), Sample((), Bools(()), 1),
        Sample((0,), Bools((1,)), 1.0),
        Sample((2,), Bools((2,)), (2,), error=(RuntimeError, "masked_fill_ only supports a 0-dimensional value tensor")),
        Sample((2,), Ints((2,), 0, 2), 1.0, error=(RuntimeError, "masked_fill_ only supports boolean masks")),
    ],
)  # fmt: skip
def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """Return `input` with `value` where the mask holds.

    Parameters
    ----------
    input : Tensor
        Of any dtype, which the result keeps.
    mask : Tensor
        Bools that broadcast with `input`.
    value : number or 0-d Tensor
        Differentiable if it is a tensor.

    Returns
    -------
    Tensor
        Of the broadcast shape.

    Raises
    ------
    RuntimeError
        If the mask is not of bools, or `value` has more than one element or a kind that `input` cannot hold.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 2.0, 3.0])
    >>> cr.masked_fill(x, x > 1.5, 0)
    tensor([1., 0., 0.])
    """
    x, m, v = as_tensor(input, "masked_fill"), as_tensor(mask, "masked_fill", 1), lift(value, "masked_fill", 2)
    if m.dtype.category != dtypes.BOOL:
        raise RuntimeError(f"masked_fill_ only supports boolean masks, but got mask with dtype {m.dtype}")
    if isinstance(v, Tensor):
        if v.ndim:
            raise RuntimeError(
                f"masked_fill_ only supports a 0-dimensional value tensor, but got tensor with {v.ndim} dimension(s)."
            )
    elif isinstance(v, complex) and x.dtype.category != dtypes.COMPLEX:
        raise RuntimeError(f"value cannot be converted to type {_in_c(x.dtype)} without overflow")
    if isinstance(v, Tensor) and v.dtype.category == dtypes.COMPLEX and dtypes.BOOL < x.dtype.category < dtypes.COMPLEX:
        raise RuntimeError(f"value cannot be converted to type {_in_c(x.dtype)} without overflow")
    return ops.where(m, cast(in_full(v), x.dtype), x)
