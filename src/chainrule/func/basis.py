"""Directions: the unit vectors that sweeps carry, and the blocks of a Jacobian that come back.

The directions of several tensors are numbered one after another. A complex number has two, 1 and i. A sweep takes a range
of them; a tensor that none of them moves has no tangent at all. A sparse Jacobian's are fewer: `chainrule.func.seeds`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from chainrule.core.mode.grad_mode import no_grad
from chainrule.core.op.declaration import TABLE
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.types.absent import Absent
from chainrule.core.types.symbol import Symbol
from chainrule.func.jacobian_plan import real_size


class Directions:
    """The unit vectors of the space that some tensors span.

    Attributes
    ----------
    tensors : sequence of Tensor
    starts : list of int
        The first direction of each tensor, and the number of all.
    """

    __slots__ = ("starts", "tensors")

    def __init__(self, tensors: Sequence[Tensor]):
        self.tensors = tensors
        self.starts = [0, *accumulate(real_size(t) for t in tensors)]

    @property
    def total(self) -> int:
        """How many there are."""
        return self.starts[-1]

    def block(self, start: int, stop: int) -> list[Tensor | None]:
        """Return, for each tensor, its part in the directions from `start` to `stop`, stacked; None where it has none."""
        found: list[Tensor | None] = []
        for t, first, after in zip(self.tensors, self.starts[:-1], self.starts[1:], strict=True):
            own = np.arange(max(start, first), min(stop, after))
            if not own.size:
                found.append(None)
                continue
            values = np.zeros((stop - start, t.numel()), t.dtype.numpy)
            if t.is_complex():
                values[own - start, (own - first) // 2] = np.where((own - first) % 2, 1j, 1)
            else:
                values[own - start, own - first] = 1
            found.append(wrap(values.reshape(stop - start, *t.shape)))
        return found

    def split(self, stacked: Tensor) -> list[Any]:
        """Return, for each tensor, what its directions gave: along 1, or along 1 and i for a complex one."""
        found: list[Any] = []
        for t, first, after in zip(self.tensors, self.starts[:-1], self.starts[1:], strict=True):
            if t.is_complex():
                found.append(tuple([_rows(stacked, slice(first + part, after, 2)) for part in (0, 1)]))
            else:
                found.append(stacked if len(self.tensors) == 1 else _rows(stacked, slice(first, after)))
        return found


def _rows(t: Tensor, index: slice) -> Tensor:
    return TABLE["getitem"].call(t, index=(index,))


class Stack:
    """Blocks of rows, put together: in one array made beforehand where nothing else watches, so that no row is held twice."""

    __slots__ = ("array", "parts", "total")

    def __init__(self, total: int):
        self.total = total
        self.parts: list = []
        self.array: np.ndarray | None = None

    def add(self, start: int, stop: int, block: Tensor) -> None:
        """Add the rows from `start` to `stop`; blocks come in order."""
        plain = block.__class__ is Tensor and block._node is None
        if (start, stop) == (0, self.total) or not plain or self.parts:
            if self.array is not None:
                self.parts, self.array = [wrap(self.array[:start])], None
            self.parts.append(block)
            return
        if self.array is None:
            self.array = np.empty((self.total, *block.shape[1:]), block.dtype.numpy)
        self.array[start:stop] = block._data

    def rows(self) -> Tensor:
        """Return all rows."""
        if self.array is not None:
            return wrap(self.array)
        return self.parts[0] if len(self.parts) == 1 else TABLE["cat"].call(*self.parts, axis=0)


def entry_of_columns(along: Any, out: Tensor, x: Tensor) -> Tensor:
    """Return the Jacobian of one result in one input from its columns, whose axis is the first."""
    columns = of_columns(along, out, x)
    if out.ndim:
        columns = TABLE["permute"].call(columns, order=(*range(1, out.ndim + 1), 0))
    return columns if x.ndim == 1 else TABLE["reshape"].call(columns, shape=(*out.shape, *x.shape))


def of_columns(along: Any, out: Tensor, x: Tensor) -> Tensor:
    """Return derivatives of one result in one input from its tangents, along 1 and along i for a complex input."""
    if not x.is_complex():
        return along
    along_x, along_y = along
    if out.is_complex():
        _check_holomorphic(along_x, along_y)
        return along_x
    return along_x + 1j * along_y


def entry_of_rows(gs: Any, out: Tensor, x: Tensor) -> Tensor:
    """Return the Jacobian of one result in one input from its rows, the cotangents pulled back."""
    rows = of_rows(gs, out, x)
    return rows if out.ndim == 1 else TABLE["reshape"].call(rows, shape=(*out.shape, *x.shape))


def of_rows(gs: Any, out: Tensor, x: Tensor) -> Tensor:
    """Return derivatives of one result in one input from the pulled cotangents, 1 and i for a complex result."""
    if not out.is_complex():
        return gs
    of_real, of_imag = gs  # u_x + i u_y and v_x + i v_y where the result is u + i v and the input x + i y
    if not x.is_complex():
        return of_real + 1j * of_imag
    along_x, along_y = of_real.real + 1j * of_imag.real, of_real.imag + 1j * of_imag.imag
    _check_holomorphic(along_x, along_y)
    return along_x


def bottom(value: Any) -> Any:
    """Return what is at the bottom of a value of any level: the array of all examples for a batched one."""
    while isinstance(value, Tensor):
        value = value._data
    return value


def _check_holomorphic(along_x: Tensor, along_y: Tensor) -> None:
    """Raise if a complex function's derivative along i is not i times that along 1: then no complex matrix holds it."""
    x: Any = bottom(along_x)
    y: Any = bottom(along_y)
    if not hasattr(x, "dtype") or x.__class__ is Absent or not x.size:
        return
    if x.__class__ is Symbol:  # a recording takes note of the answer: calls that replay it ask again
        with no_grad():
            broken = bool(_breaks(wrap(x), wrap(y), lambda t: abs(t).max()))
    else:
        broken = bool(_breaks(x, y, lambda a: np.max(np.abs(a))))
    if broken:
        raise RuntimeError(
            "a complex Jacobian is that of a holomorphic function, and this one does not obey the Cauchy-Riemann equations "
            "here (conj, abs, real and imag do not). Take its real Jacobian: of view_as_real of the result, in view_as_real "
            "of the input."
        )


def _breaks(x: Any, y: Any, largest: Callable) -> Any:
    """Tell whether numbers that are to be i times others are not, as far as rounding allows."""
    scale = largest(x) + largest(y) + 1e-300
    return largest(y - 1j * x) > float(np.finfo(_numpy_dtype(x)).eps ** 0.5) * scale


def _numpy_dtype(x: Any) -> Any:
    return x.dtype.numpy if isinstance(x, Tensor) else x.dtype
