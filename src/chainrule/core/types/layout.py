"""Layouts under PyTorch's name. There is one: strided, which is dense."""

from __future__ import annotations

from chainrule.core.types import spelling


class layout:  # noqa: N801 - PyTorch's public name
    """How elements lie in memory, as PyTorch names it: ``chainrule.strided``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.ones(2).layout is cr.strided, cr.zeros(2, layout=cr.strided).layout
    (True, chainrule.strided)
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{spelling.library}.strided"

    def __reduce__(self) -> str:
        return "strided"  # the one there is


strided = layout()
