"""Devices under PyTorch's name. There is one: the CPU."""

from __future__ import annotations

from typing import Any


class device:  # noqa: N801 - PyTorch's public name
    """Where a tensor lives: ``device("cpu")``.

    Parameters
    ----------
    type : str or device
        ``"cpu"`` or ``"cpu:0"``.
    index : int, optional
        0 or None.

    Raises
    ------
    RuntimeError
        For any other device.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.ones(2).device
    device(type='cpu')
    >>> cr.zeros(2, device=cr.device("cpu")).device.type
    'cpu'
    """

    __slots__ = ("index", "type")

    def __init__(self, type: Any, index: int | None = None):
        name, _, number = str(type).partition(":")
        if number:
            index = int(number)
        if name != "cpu" or index not in (None, 0):
            raise RuntimeError(f"chainrule computes on the CPU only; device {str(type)!r} is not available")
        self.type, self.index = name, index

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return f"device(type={self.type!r}{'' if self.index is None else f', index={self.index}'})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __enter__(self) -> device:
        """Make what factories make live here, as it does anyway."""
        return self

    def __exit__(self, *exc: object) -> None:
        """End it."""

    def __reduce__(self) -> tuple:
        return (device, (self.type, self.index))


CPU = device("cpu")
