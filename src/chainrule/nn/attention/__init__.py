"""The choice among implementations of attention: there is one here, so that any choice of PyTorch's means that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

__all__ = ["SDPBackend", "sdpa_kernel"]


class SDPBackend(IntEnum):
    """PyTorch's implementations of `nn.functional.scaled_dot_product_attention`; chainrule's is what MATH is."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextmanager
def sdpa_kernel(backends: Any, set_priority: bool = False) -> Iterator[dict]:
    """Choose implementations within the block: they differ in speed and rounding alone, and here there is one.

    Parameters
    ----------
    backends : SDPBackend or list of SDPBackend
        Those that may be used.
    set_priority : bool
        Whether the first are preferred.

    Raises
    ------
    AssertionError
        If it is neither.
    RuntimeError
        If none may be used.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.nn.attention import SDPBackend, sdpa_kernel
    >>> with sdpa_kernel(SDPBackend.MATH):
    ...     y = cr.nn.functional.scaled_dot_product_attention(*[cr.ones(1, 2, 3)] * 3)
    >>> y.shape
    chainrule.Size([1, 2, 3])
    """
    if not isinstance(backends, (list, SDPBackend)):
        raise AssertionError(
            f"Backend must be an instance of SDPBackend or a list of SDPBackend instances, got {type(backends).__name__}"
        )
    if backends == []:
        raise RuntimeError("No viable backend for scaled_dot_product_attention was found.")
    yield {}
