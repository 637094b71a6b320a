"""Seeds: directions that are sums of unit vectors, of all elements of one colour, as the sweeps of a sparse derivative take."""

from __future__ import annotations

import numpy as np

from chainrule.core.op.declaration import TABLE
from chainrule.core.tensor.tensor import Tensor, wrap

MOST = 1 << 25  # bytes of seeds that are kept from call to call: to make them takes longer than a sweep of a small function


class Seeds:
    """The sum of all elements of each colour, over the elements of some tensors; for complex numbers i times that as well.

    With `probes`, real numbers for each tensor's elements, there is one direction more, last: along them.

    Attributes
    ----------
    total : int
        How many there are.
    """

    __slots__ = ("_colours", "_count", "_kept", "_like", "_parts", "_probes", "total")

    def __init__(self, tensors: list, colours: np.ndarray, count: int, probes: list | None = None):
        self._like = [(tuple(t.shape), t.dtype.numpy) for t in tensors]
        self._colours = np.split(colours, np.cumsum([t.numel() for t in tensors])[:-1])
        self._count, self._probes = count, probes
        self._parts = 2 if any([t.is_complex() for t in tensors]) else 1
        self.total = self._parts * count + (probes is not None)
        small = self.total * sum([t.numel() * t.dtype.itemsize for t in tensors]) <= MOST
        self._kept = self._made(0, self.total) if small else None

    def block(self, start: int, stop: int) -> list[Tensor | None]:
        """Return, for each tensor, its part in the sums from `start` to `stop`, stacked; None where it is in none at all.

        Rules of custom functions may write to what they are given: each call has its own.
        """
        if self._kept is None:
            return self._made(start, stop)
        take, copy = TABLE["getitem"].call, TABLE["clone"].call
        if (start, stop) != (0, self.total):
            return [None if t is None else copy(take(t, index=(slice(start, stop),))) for t in self._kept]
        return [None if t is None else copy(t) for t in self._kept]

    def _made(self, start: int, stop: int) -> list[Tensor | None]:
        found: list[Tensor | None] = []
        for k, ((shape, dtype), colours) in enumerate(zip(self._like, self._colours, strict=True)):
            if colours.max(initial=-1) < 0 and (self._probes is None or not colours.size):
                found.append(None)
                continue
            values = np.zeros((stop - start, colours.size), dtype)
            for part, unit in enumerate((1, 1j) if values.dtype.kind == "c" else (1,)):
                rows = colours + (part * self._count - start)
                own = np.flatnonzero((colours >= 0) & (rows >= 0) & (rows < stop - start))
                values[rows[own], own] = unit
            if self._probes is not None and stop == self.total:
                values[-1] = self._probes[k]
            found.append(wrap(values.reshape(stop - start, *shape)))
        return found
