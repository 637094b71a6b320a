"""Views whose values are those in memory conjugated or negated: PyTorch's conjugate and negative bits.

``z.conj()`` takes no memory: it is a view of z, whose payload is computed whenever it is read, so that writes to either reach
both. Such a tensor has a class of its own, in which `_data` is a property; whoever reads payloads needs to know nothing of it,
and ordinary tensors pay nothing. Writers write to `_memory`, which in other tensors is `_data` itself: `value.memory_of`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import Value, disabled_torch_function, meta_of

CONJ, NEG = 1, 2


class Unresolved(Tensor):
    """A tensor of level 0 whose values are an involution of what lies in its memory, an array."""

    __slots__ = ()
    __torch_function__ = disabled_torch_function
    _apply: Callable

    @property
    def _data(self) -> Any:  # type: ignore[override]
        return self._apply(self._memory)

    @_data.setter
    def _data(self, value: Any) -> None:
        self.__class__ = Tensor  # type: ignore[assignment]
        self._data = value  # values of its own: there is nothing to resolve


class Conjugated(Unresolved):
    """A tensor with PyTorch's conjugate bit."""

    __slots__ = ()
    _bit = CONJ
    _apply = staticmethod(np.conjugate)


class Negated(Unresolved):
    """A tensor with PyTorch's negative bit."""

    __slots__ = ()
    _bit = NEG
    _apply = staticmethod(np.negative)


_CLASSES: dict[int, type[Unresolved]] = {CONJ: Conjugated, NEG: Negated}


def with_bit(t: Tensor, bit: int) -> Tensor:
    """Return a plain tensor that was just made of memory, its values to be read with a bit from now on."""
    if bit:
        t.__class__ = _CLASSES[bit]
        meta_of(t)  # the hot path of views looks for bits where there is a `Meta`
    return t


def bit_of(t: Any) -> int:
    """Return the bit of a value of any level: of its memory, or that which the steps of the view have given it."""
    if not isinstance(t, Value):
        return 0
    if not t._level:
        return t._bit
    if t._view is None:
        return bit_of(t._data)
    parent, how, _, _ = t._view
    bit = bit_of(parent)
    return bit if how.bit is None else how.bit(bit) or 0
