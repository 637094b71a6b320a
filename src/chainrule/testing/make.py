"""PyTorch's ``make_tensor``: tensors of random numbers in a range, of any dtype and layout, for tests."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import chainrule as cr
from chainrule.core.types.dtype import dtype as Dtype

__all__ = ["make_tensor"]


def make_tensor(
    *shape: int | Sequence[int],
    dtype: Dtype,
    device: Any,
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
    memory_format: Any = None,
) -> cr.Tensor:
    """Return a tensor of numbers drawn uniformly from ``[low, high)``, by the default generator.

    Parameters
    ----------
    *shape : int or sequence of int
    dtype : dtype
    device : device or str
        The CPU.
    low, high : float, optional
        The range, cut to what is finite in the dtype (of uint64, to its lower half). Without them -9 to 10 for integers, 0 to
        10 if they are unsigned, 0 to 2 for bools, -9 to 9 for floating point and for both parts of complex numbers.
    requires_grad : bool
        Whether operations on the tensor are recorded.
    noncontiguous : bool
        Whether the tensor is every other element of one with twice as many columns. One of a single element or none stays
        contiguous.
    exclude_zero : bool
        Whether zeros become 1, or the smallest normal number of a floating point or complex dtype.
    memory_format : memory_format, optional
        The layout of the tensor, if it is not `noncontiguous`.

    Raises
    ------
    ValueError
        If `low` is not below `high`, one is NaN, or no number of the dtype is between them; for `requires_grad` of an integer
        or bool tensor; for `noncontiguous` and `memory_format` together.

    Warns
    -----
    FutureWarning
        If `low` equals `high` for a floating point or complex dtype.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.testing.make_tensor((3, 4), dtype=cr.float64, device="cpu", low=1, high=2, noncontiguous=True)
    >>> x.shape, x.stride(), bool((x >= 1).all())
    (chainrule.Size([3, 4]), (8, 2), True)
    """
    given = shape[0] if len(shape) == 1 and isinstance(shape[0], Sequence) else shape
    sizes: tuple[Any, ...] = tuple(given)  # type: ignore[arg-type]
    if noncontiguous and memory_format is not None:
        raise ValueError(
            "The parameters `noncontiguous` and `memory_format` are mutually exclusive, "
            f"but got {noncontiguous=} and {memory_format=}"
        )
    if not isinstance(dtype, Dtype):
        raise TypeError(f"The requested dtype '{dtype}' is not supported by torch.testing.make_tensor().")
    is_inexact = dtype.is_floating_point or dtype.is_complex
    if requires_grad and not is_inexact:
        raise ValueError(f"`requires_grad=True` is not supported for boolean and integral dtypes, but got {dtype=}")
    is_spread = noncontiguous and math.prod(sizes) > 1
    if is_spread:  # and begins at its second element, so that an offset that is overlooked shows
        sizes = (*sizes[:-1], 2 * sizes[-1])
    start, stop = _range(low, high, dtype, is_inexact)
    if is_inexact:
        out = cr.empty(sizes, dtype=dtype, device=device)
        _draw(cr.view_as_real(out) if dtype.is_complex else out, start, stop)
    else:
        out = cr.randint(math.ceil(start), math.ceil(stop), sizes, dtype=dtype, device=device)
    if is_spread:
        out = out[..., 1::2]
    elif memory_format is not None:
        out = out.clone(memory_format=memory_format)
    if exclude_zero:
        out[out == 0] = cr.finfo(dtype).tiny if is_inexact else 1
    return out.requires_grad_(requires_grad)


def _draw(out: cr.Tensor, low: float, high: float) -> None:
    if high - low >= cr.finfo(out.dtype).max:  # of which uniform_ cannot draw
        out.uniform_(low / 2, high / 2).mul_(2)
    else:
        out.uniform_(low, high)


def _range(low: float | None, high: float | None, dtype: Dtype, is_inexact: bool) -> tuple[float, float]:
    """Return the range to draw from: within that of the dtype, and with the last number excluded."""
    lowest: float
    highest: float
    if is_inexact:
        lowest, highest, usual = cr.finfo(dtype).min, cr.finfo(dtype).max, (-9, 9)
    elif dtype is cr.bool:
        lowest, highest, usual = 0, 2, (0, 2)
    else:  # randint takes its bounds as int64
        lowest, usual = cr.iinfo(dtype).min, (-9, 10)
        highest = min(cr.iinfo(dtype).max + 1, cr.iinfo(cr.int64).max)
    low, high = usual[0] if low is None else low, usual[1] if high is None else high
    if math.isnan(low) or math.isnan(high):
        raise ValueError(f"`low` and `high` cannot be NaN, but got {low=} and {high=}")
    if low == high and is_inexact:
        warnings.warn(
            "Passing `low==high` to `torch.testing.make_tensor` for floating or complex types is deprecated since 2.1 and "
            "will be removed in 2.3. Use `torch.full(...)` instead.",
            FutureWarning,
            stacklevel=3,
        )
    elif low >= high:
        raise ValueError(f"`low` must be less than `high`, but got {low} >= {high}")
    elif high < lowest or low >= highest:
        raise ValueError(
            f"The value interval specified by `low` and `high` is [{low}, {high}), "
            f"but {dtype} only supports [{lowest}, {highest})"
        )
    return min(max(low, lowest), highest), min(max(high, lowest), highest)
