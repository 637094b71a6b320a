"""How the elements of a tensor lie in memory: PyTorch's ``contiguous_format``, ``channels_last`` and their kin."""

from __future__ import annotations

from typing import Any

from chainrule.core.types import spelling


class memory_format:  # noqa: N801 - PyTorch's name
    """An order of a tensor's elements in memory.

    Attributes
    ----------
    name : str
        PyTorch's name.
    order : tuple of int or None
        The axes from the slowest to the fastest; None where the number of axes does not matter.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.zeros(2, 3, 4, 5).to(memory_format=cr.channels_last).stride()
    (60, 1, 15, 3)
    """

    __slots__ = ("name", "order")

    def __init__(self, name: str, order: tuple[int, ...] | None = None):
        self.name, self.order = name, order

    def __repr__(self) -> str:
        return f"{spelling.library}.{self.name}"

    def __reduce__(self) -> tuple:
        return _named, (self.name,)

    def __copy__(self) -> memory_format:
        return self

    def __deepcopy__(self, memo: Any) -> memory_format:
        return self


contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last", (0, 2, 3, 1))
channels_last_3d = memory_format("channels_last_3d", (0, 2, 3, 4, 1))


def _named(name: str) -> memory_format:
    return globals()[name]


def order_in(format: memory_format, ndim: int) -> tuple[int, ...]:
    """Return the axes of a tensor from the slowest to the fastest in a format that says it.

    Raises
    ------
    RuntimeError
        If the format is for tensors of another number of axes.
    TypeError
        If it is no format.

    Examples
    --------
    >>> order_in(channels_last, 4), order_in(contiguous_format, 2)
    ((0, 2, 3, 1), (0, 1))
    """
    if not isinstance(format, memory_format):
        raise TypeError(f"argument 'memory_format' must be torch.memory_format, not {type(format).__name__}")
    if format.order is None:
        return tuple(range(ndim))
    if len(format.order) != ndim:
        raise RuntimeError(f"required rank {len(format.order)} tensor to use {format.name} format")
    return format.order


def lies_in(shape: tuple, strides: tuple, order: tuple[int, ...]) -> bool:
    """Tell whether elements with these strides lie without gaps in an order of the axes; axes of one element do not count.

    Examples
    --------
    >>> lies_in((2, 3), (1, 2), (0, 1)), lies_in((2, 3), (1, 2), (1, 0))
    (False, True)
    """
    step = 1
    for axis in reversed(order):
        if shape[axis] != 1 and strides[axis] != step:
            return 0 in shape
        step *= shape[axis]
    return True
