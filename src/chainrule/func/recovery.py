"""Recovery: where the entries of a sparse Jacobian stand in the sums of its lines that sweeps gave, and what they then are."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from chainrule.core.op.declaration import TABLE
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.func.basis import of_columns, of_rows
from chainrule.func.colouring import Colouring
from chainrule.func.pattern import Pattern


class Read(NamedTuple):
    """Entries of one block that are read off one stack of sums: which one's, forward or not, and where in it.

    A complex stack has the sums along i behind those along 1: places are those of both.
    """

    forward: bool
    stack: int
    places: tuple[Tensor, ...]


class Block:
    """The entries of one result's Jacobian in one input.

    Attributes
    ----------
    rows, columns : ndarray of int64
        Row by row.
    shape : tuple of int
        Elements of the result, and of the input.
    reads : list of Read
    order : Tensor or None
        Of what was read: where each entry is; None if they are in order.
    """

    def __init__(self, rows: np.ndarray, columns: np.ndarray, shape: tuple, reads: list[Read], order: Tensor | None):
        self.rows, self.columns, self.shape, self.reads, self.order = rows, columns, shape, reads, order

    @cached_property
    def csr(self) -> Any:
        """The places as SciPy's array of bools, with indices of 32 bits where these are enough."""
        from scipy.sparse import csr_array

        starts = np.concatenate([[0], np.cumsum(np.bincount(self.rows, minlength=self.shape[0]))])
        made = csr_array((np.ones(self.rows.size, bool), self.columns, starts), shape=self.shape)
        made.has_canonical_format = True
        return made

    @cached_property
    def places(self) -> np.ndarray:
        """Where each entry stands in the flat matrix."""
        return self.rows * self.shape[1] + self.columns


def blocks_of(pattern: Pattern, colours: Colouring, outs: list, ins: list) -> list[list[Block]]:
    """Return, for each result and for each input, how the entries of its block are read."""
    heights, widths = [t.numel() for t in outs], [t.numel() for t in ins]
    rows_at, columns_at = np.cumsum([0, *heights]), np.cumsum([0, *widths])
    row_block = np.searchsorted(rows_at, pattern.rows, "right") - 1
    column_block = np.searchsorted(columns_at, pattern.columns, "right") - 1
    by_block = row_block * len(widths) + column_block
    order = np.argsort(by_block, kind="stable")
    ends = np.cumsum(np.bincount(by_block, minlength=len(heights) * len(widths)))
    where = _Places(pattern, colours, outs, ins)
    found: list[list[Block]] = []
    for k, m in enumerate(heights):
        found.append([])
        for j, n in enumerate(widths):
            b = k * len(widths) + j
            own = order[ends[b - 1] if b else 0 : ends[b]]
            rows, columns = pattern.rows[own] - rows_at[k], pattern.columns[own] - columns_at[j]
            found[k].append(Block(rows, columns, (m, n), *where.of_block(own, k, j)))
    return found


class _Places:
    """Where each entry of a pattern stands in the sums of one result's elements, or of one input's."""

    def __init__(self, pattern: Pattern, colours: Colouring, outs: list, ins: list):
        height, width = pattern.shape
        self.colours, self.ends = colours, {True: outs, False: ins}
        self.starts = {way: np.cumsum([0, *[t.numel() for t in ends]]) for way, ends in self.ends.items()}
        self.twice = {True: any([t.is_complex() for t in ins]), False: any([t.is_complex() for t in outs])}
        self.forward = forward = colours.places < colours.forward * height
        places = np.where(forward, colours.places, colours.places - colours.forward * height)
        across = np.maximum(np.where(forward, height, width), 1)
        self.colour, self.element = places // across, places % across
        of_out, of_in = [np.searchsorted(self.starts[way], self.element, "right") - 1 for way in (True, False)]
        self.stack = np.where(forward, of_out, of_in)

    def of_block(self, own: np.ndarray, k: int, j: int) -> tuple[list[Read], Tensor | None]:
        """Return how the entries with these numbers are read, of result `k` and input `j`, and in which order then."""
        reads, parts = [], []
        for way in (True, False):
            for s in np.unique(self.stack[own][self.forward[own] == way]).tolist():
                part = np.flatnonzero((self.forward[own] == way) & (self.stack[own] == s))
                parts.append(part)
                reads.append(self._read(way, s, own[part]))
        if not reads:
            reads.append(self._read(*((True, k) if self.colours.forward or not self.colours.reverse else (False, j)), own))
        back = None if len(parts) < 2 else wrap(np.argsort(np.concatenate(parts)))
        return reads, back

    def _read(self, way: bool, stack: int, own: np.ndarray) -> Read:
        size = self.ends[way][stack].numel()
        places = self.colour[own] * size + self.element[own] - self.starts[way][stack]
        behind = size * (self.colours.forward if way else self.colours.reverse)
        return Read(way, stack, (wrap(places), wrap(places + behind)) if self.twice[way] else (wrap(places),))


def entries_of(block: Block, colours: Colouring, columns: list, rows: list, out: Tensor, x: Tensor) -> Tensor:
    """Return the entries of a block, in its order, from the sums of columns for each result, and of rows for each input."""
    if colours.rounds:
        return _substituted(columns[0], colours)
    parts = [_read(read, columns if read.forward else rows, out, x) for read in block.reads]
    values = parts[0] if len(parts) == 1 else TABLE["cat"].call(*parts, axis=0)
    return values if block.order is None else _at(values, block.order)


def _read(read: Read, stacks: list, out: Tensor, x: Tensor) -> Tensor:
    sums = TABLE["reshape"].call(stacks[read.stack], shape=(-1,))
    if not (x if read.forward else out).is_complex():
        return _at(sums, read.places[0])
    along = tuple([_at(sums, places) for places in read.places])
    return of_columns(along, out, x) if read.forward else of_rows(along, out, x)


def _at(values: Tensor, places: Any) -> Tensor:
    return TABLE["index"].call(values, places if isinstance(places, Tensor) else wrap(places), axes=(0,))


def _substituted(sums: Tensor, colours: Colouring) -> Tensor:
    """Return a symmetric matrix's entries from sums of its columns, one round after another."""
    left, found = TABLE["reshape"].call(sums, shape=(-1,)), []
    for step in colours.rounds:
        found.append(values := _at(left, step.places))
        if step.away.size:
            left = TABLE["index_add"].call(left, wrap(step.away), -_at(values, step.known), axis=0)
    return _at(TABLE["cat"].call(*found, axis=0), np.argsort(np.concatenate([step.entries for step in colours.rounds])))
