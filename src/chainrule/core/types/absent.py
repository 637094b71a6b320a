"""Arrays without memory: what a value is where a function is traced on shapes and dtypes alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from chainrule.core.types.shape import Shape


class Absent:
    """The payload of a value that has none: its shape and dtype, and how its elements would lie in memory.

    Parameters
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    strides : callable, optional
        Returns the steps in bytes along each axis, when they are first asked for; in C order without gaps if not given.
    like : sequence of Absent
        Whose strides that asks for: they are found before it is called, so that a long chain needs no deep calls.

    Attributes
    ----------
    lease : object or None
        What knows that its memory would be in use for as long as something refers to it, where somebody counts that.
    """

    __slots__ = ("__weakref__", "_like", "_strides", "dtype", "lease", "shape")

    def __init__(
        self,
        shape: Shape,
        dtype: np.dtype,
        strides: Callable[[], tuple] | tuple | None = None,
        like: Sequence[Absent] = (),
    ):
        self.shape, self.dtype, self._strides, self._like = shape, dtype, strides, like
        self.lease: Any = None

    @property
    def strides(self) -> tuple:
        """The steps in bytes along each axis."""
        if self._strides is None:
            self._strides = packed(self.shape, self.dtype.itemsize, range(self.ndim))
        stack = [self] if callable(self._strides) else []
        while stack:
            x = stack[-1]
            unknown = [y for y in x._like if callable(y._strides)]
            if unknown:
                stack += unknown
                continue
            stack.pop()
            if callable(x._strides):
                x._strides, x._like = x._strides(), ()
        return self._strides  # type: ignore[return-value]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    @property
    def flags(self) -> Absent:
        """Itself, which tells whether it is contiguous, as an array's flags do."""
        return self

    @property
    def c_contiguous(self) -> bool:
        """Whether the elements would lie in C order without gaps."""
        if self._strides is None or not self.size:
            return True
        wanted = packed(self.shape, self.itemsize, range(self.ndim))
        return all([n == 1 or a == b for n, a, b in zip(self.shape, self.strides, wanted, strict=True)])

    def stand_in(self) -> np.ndarray:
        """Return an array that lies as this one would, for NumPy's own rules of views; untouched, its memory costs nothing.

        Raises
        ------
        MemoryError
            If there is not even so much address space.
        """
        steps = [(n - 1) * step for n, step in zip(self.shape, self.strides, strict=True)] if self.size else []
        low, high = sum([s for s in steps if s < 0]), sum([s for s in steps if s > 0])
        memory = np.empty(high - low + self.itemsize, np.uint8)
        return np.ndarray(self.shape, self.dtype, memory, -low, self.strides)


def no_value() -> RuntimeError:
    """Return the error for reading a value that is not there."""
    return RuntimeError("a value is read where a function is traced on shapes and dtypes alone: there is none")


def packed(shape: Shape, itemsize: int, order: Sequence[int]) -> tuple:
    """Return the strides of an array without gaps whose axes lie in an order in memory, the last the densest."""
    strides, step = [0] * len(shape), itemsize
    for axis in reversed(order):
        strides[axis] = step
        step *= max(shape[axis], 1)
    return tuple(strides)


def memory_order(shape: Shape, operands: Sequence[Any]) -> list[int]:
    """Return the order of axes in which NumPy lays out an elementwise result: its operands', or C order where they differ."""
    ndim = len(shape)
    steps = []
    for x in operands:
        if x.ndim:
            own = [0 if n == 1 else abs(s) for n, s in zip(x.shape, x.strides, strict=True)]
            steps.append([0] * (ndim - x.ndim) + own)
    order = list(range(ndim - 1, -1, -1))  # the densest first; sorted by insertion, as NumPy's iterator does
    for i in range(1, ndim):
        place = i
        for k in range(i - 1, -1, -1):
            denser = _is_denser(steps, order[i], order[k])
            if denser:
                place = k
            elif denser is False:
                break
        order.insert(place, order.pop(i))
    return order[::-1]


def _is_denser(steps: list, a: int, b: int) -> bool | None:
    """Tell whether all operands that have a step along both axes have the smaller one along `a`; None if there is none."""
    found = None
    for s in steps:
        if s[a] and s[b]:
            if s[b] <= s[a]:
                return False
            found = True
    return found
