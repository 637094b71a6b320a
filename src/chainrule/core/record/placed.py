"""Placed: the cotangent of a value of which only parts have one, as indexing sends it back.

It is zero elsewhere, so it stays a list of (place, cotangent) pairs until a rule needs it whole or it meets a buffer, into
which it is added in place. A loop over the rows of a matrix then costs its rows, and not an array of zeros for each.

A place is a chain of views, each an (op, params, output number, shape before) step: what was done to the value to get the part.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from chainrule.core.op.declaration import TABLE
from chainrule.core.tensor.tensor import Tensor

ndarray = np.ndarray
Chain = tuple[tuple[Any, dict, int | None, tuple], ...]


def follow(value: Any, chain: Chain) -> Any:
    """Apply the steps of a view to a value of the base's shape."""
    for how, params, index, _ in chain:
        value = how.call(value, **params)
        if index is not None:
            value = value[index]
    return value


def shown(base: ndarray, chain: Chain) -> Any:
    """Return what a view shows of an array: the steps on arrays alone."""
    for how, params, index, _ in chain:
        base = how.kernel(base, **params)
        base = base if index is None else base[index]
    return base


def sent_back(g: Any, chain: Chain) -> Any:
    """Return the cotangent of the base for one of a view."""
    for how, params, index, shape in reversed(chain):
        if index is not None:
            gs: list = [None] * len(how.kernel(np.broadcast_to(np.zeros(()), shape), **params))
            gs[index] = g
            g = gs
        g = how.rules[0]((g,), (None,), (shape,), None, None, params)
    return g


SMALL = 1000  # elements: up to here an array of zeros is made and added in less time than pairs take to keep


class Placed:
    """A sum of cotangents of parts.

    Attributes
    ----------
    shape : tuple
        Of the whole.
    parts : list of (Chain, cotangent)
        A list of cotangents, some None, is that of an op of several results. The empty chain's is the whole's.
    raw : bool
        All cotangents are raw: they can be added into a buffer.
    count : int
        How many elements the parts have that others were joined to.
    """

    __slots__ = ("count", "parts", "raw", "shape")

    def __init__(self, shape: tuple, parts: list, raw: bool):
        self.shape, self.parts, self.raw, self.count = shape, parts, raw, 0

    @property
    def dtype(self) -> Any:
        """The NumPy dtype of the sum of raw parts."""
        found = {g.dtype for _, gs in self.parts for g in (gs if gs.__class__ is list else (gs,)) if g is not None}
        return found.pop() if len(found) == 1 else np.result_type(*found)

    def through(self, how: Any, params: dict, shape: tuple) -> Placed:
        """Return the cotangent of what this is the cotangent of a view of."""
        step = (how, params, None, shape)
        return Placed(shape, [((step, *chain), g) for chain, g in self.parts], self.raw)

    def into(self, buffer: ndarray) -> None:
        """Add raw parts into an array of their dtype, in place."""
        add = np.add
        for chain, g in self.parts:
            if len(chain) == 1:
                how, params, _, _ = chain[0]
                view = how.kernel(buffer, **params)
            else:
                view = shown(buffer, chain)
                if buffer.size and not np.may_share_memory(view, buffer):  # a reshape that had to copy
                    view, g = buffer, sent_back(g, chain)
            if g.__class__ is list:
                for v, gi in zip(view, g, strict=True):
                    if gi is not None:
                        add(v, gi, v)
            else:
                add(view, g, view)

    def whole(self) -> Any:
        """Return the whole cotangent: an array that nobody else holds, or a tensor."""
        if self.raw:
            out = np.zeros(self.shape, self.dtype)
            self.into(out)
            return out
        if len(self.parts) == 1:
            chain, g = self.parts[0]
            return sent_back(g, chain)
        chains = tuple([chain for chain, _ in self.parts])
        return TABLE["assemble"].call(*[g for _, g in self.parts], shape=self.shape, chains=chains)


def whole(g: Any) -> Any:
    """Return a cotangent whole."""
    return g.whole() if g.__class__ is Placed else g


def placing(op: Any, pull: Callable) -> Callable:
    """Return the pull of a view: what it selects gets its cotangent in its place; what rearranges all moves the places."""
    part, several, takes = op.selects == "part", op.selects == "parts", bool(op.params)

    def placed(node: Any, g: Any, level: int) -> Any:
        shape = node.shapes[0]
        if g.__class__ is Placed:
            return g.through(op, node.params if takes else {}, shape)
        if (part or several) and prod(shape) > SMALL:
            if part:
                return Placed(shape, [(((op, node.params, None, shape),), g)], not isinstance(g, Tensor))
            if any([gi is None for gi in g]) and not any([isinstance(gi, Tensor) for gi in g]):
                return Placed(shape, [(((op, node.params, None, shape),), g)], True)
        return pull(node, g, level)

    return placed


def pulled_whole(plan: Any, node: Any, g: Any, level: int) -> Any:
    """Return what a node pulls back from a whole cotangent, each whole: what ``plan.pull`` returns, for others to see."""
    gs = plan.pull(node, g, level)
    return whole(gs) if plan.single else [whole(gi) for gi in gs]


def joined(old: Any, new: Any, owned: bool) -> tuple[Any, bool]:
    """Return the sum of two cotangents, one of them placed or both, and whether it is a buffer of the pass.

    The old one is given up: it is added to in place if it is placed or `owned`.
    """
    a = old if old.__class__ is Placed else None
    b = new if new.__class__ is Placed else None
    if isinstance(old, Tensor) or isinstance(new, Tensor) or not (a is None or a.raw) or not (b is None or b.raw):
        return _listed(a, b, old, new), False
    if a is not None and b is not None:
        a.count = (a.count or _elements(a.parts)) + (b.count or _elements(b.parts))
        a.parts += b.parts
        return (a.whole(), True) if a.count > prod(a.shape) else (a, False)  # a buffer takes less memory now
    placed, dense = (a, new) if b is None else (b, old)
    if dense.__class__ is not ndarray or dense.dtype is not placed.dtype:  # type: ignore[union-attr]
        total = placed.whole() + dense  # type: ignore[union-attr]
        return total, total.__class__ is ndarray
    buffer = dense if owned and b is not None else dense.copy("K")
    placed.into(buffer)  # type: ignore[union-attr]
    return buffer, True


def _listed(a: Placed | None, b: Placed | None, old: Any, new: Any) -> Placed:
    """Return a sum with tensors in it, which becomes one when it is needed whole: pair by pair it would cost a whole each."""
    if a is None:
        a = Placed(b.shape, [((), old)], False)  # type: ignore[union-attr]
    elif a.raw:
        a.parts, a.raw = _each_whole(a.parts), False
    a.parts += [((), new)] if b is None else _each_whole(b.parts)
    return a


def _each_whole(parts: list) -> list:
    """Return parts of which none is a list."""
    return [((), sent_back(g, chain)) if g.__class__ is list else (chain, g) for chain, g in parts]


def _elements(parts: list) -> int:
    found = 0
    for _, g in parts:
        found += sum([gi.size for gi in g if gi is not None]) if g.__class__ is list else g.size
    return found
