"""Colours for sparse matrices: which columns, or rows, or both, may share a sweep so that every entry can be read off again.

Columns that share no row may be added up: their entries stand in different places of the sum. A symmetric matrix needs fewer
colours, since each of its entries stands in it twice; and with a few full rows and columns it takes fewer to sum up some
lines of both kinds. Everything here is greedy, on patterns alone; what a sweep is, only the costs tell.

References: A. H. Gebremedhin, F. Manne and A. Pothen, "What color is your Jacobian?", SIAM Review 47 (2005) 629-705;
T. F. Coleman and A. Verma, SIAM J. Sci. Comput. 19 (1998) 1210-1233; A. Montoison, G. Dalle and A. Gebremedhin,
arXiv 2505.07308, for lines that need no colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.func.greedy import apart, fewest, graph_orders, line_orders, without_cycles, without_paths
from chainrule.func.pattern import Lines, Pattern, lines_of

__all__ = ["Colouring", "acyclic", "bidirectional", "by_columns", "by_rows", "candidates", "star", "turned"]

ROUNDS = 32  # of substitution: each is a pass over arrays, and in a long chain of differences digits are lost


@dataclass(frozen=True)
class Round:
    """One step of substitution: entries read off, and where their values are then taken away."""

    entries: np.ndarray
    places: np.ndarray
    known: np.ndarray
    away: np.ndarray


@dataclass(frozen=True)
class Colouring:
    """Colours of a pattern's lines, and where the entries stand in what the sweeps give.

    Attributes
    ----------
    kind : {"columns", "rows", "bidirectional", "star", "acyclic"}
    columns, rows : ndarray of int64
        The colour of each column and of each row, counted from 0 for either; -1 for a line that no sweep has to carry.
    forward, reverse : int
        How many colours the columns have, each a forward sweep, and the rows, each a reverse sweep.
    places : ndarray of int64
        For each entry, in the pattern's order, its place in the sums of columns, one after another, and then of rows.
    rounds : tuple of Round
        Where entries are found by substitution: how, one step after another.
    """

    kind: str
    columns: np.ndarray
    rows: np.ndarray
    forward: int
    reverse: int
    places: np.ndarray
    rounds: tuple[Round, ...] = ()

    @property
    def colours(self) -> int:
        """How many colours there are, each a sweep."""
        return self.forward + self.reverse


# -- one direction -----------------------------------------------------------------------------------------------------


def by_columns(pattern: Pattern) -> Colouring:
    """Colour the columns so that two of one colour share no row: a distance-2 colouring of the graph of rows and columns."""
    height = pattern.shape[0]
    colours = _line_colours(pattern)
    count = int(colours.max(initial=-1)) + 1
    return Colouring(
        "columns", colours, np.full(height, -1), count, 0, colours[pattern.columns] * height + pattern.rows
    )  # fmt: skip


def by_rows(pattern: Pattern) -> Colouring:
    """Colour the rows so that two of one colour share no column."""
    width = pattern.shape[1]
    colours = _line_colours(pattern.transposed)
    count = int(colours.max(initial=-1)) + 1
    return Colouring("rows", np.full(width, -1), colours, 0, count, colours[pattern.rows] * width + pattern.columns)


def _line_colours(pattern: Pattern) -> np.ndarray:
    """Return the colours of the columns; the best of several orders, or the first that reaches the lower bound."""
    bound = pattern.widest_row() if pattern.size else 0
    filled = np.unique(pattern.columns)
    colours = np.full(pattern.shape[1], -1)
    if bound == filled.size:  # a row holds them all
        colours[filled] = np.arange(bound)
        return colours
    lines, height = pattern.in_columns(), pattern.shape[0]
    degrees = np.bincount(pattern.rows, minlength=height)
    best = fewest(lambda order: apart(lines, order, height), line_orders(pattern, filled, lines, degrees), bound)
    return np.array(best)


# -- two directions ----------------------------------------------------------------------------------------------------


def bidirectional(pattern: Pattern, row_cost: float = 1.0, column_cost: float = 1.0) -> Colouring:
    """Colour rows and columns so that each entry can be read off a sum of rows or a sum of columns, at the least cost.

    A line may stay without a colour where every entry of it is read off lines that cross it; those then differ in colour. Of
    lines that cross and have colours, no path of four has two colours only. Rows fuller than a bound get colours beside all
    columns, or columns beside all rows; several bounds are tried. Where that costs more, it is :func:`by_columns` or
    :func:`by_rows`.
    """
    found = candidates(pattern, row_cost, column_cost)
    return min(found, key=lambda c: c.forward * column_cost + c.reverse * row_cost)


def candidates(pattern: Pattern, row_cost: float, column_cost: float) -> list[Colouring]:
    """Return the colours of columns, those of rows, and where both together cost less, those."""
    found = [by_columns(pattern), by_rows(pattern)]
    least = min(found[0].forward * column_cost, found[1].reverse * row_cost)
    for side, costs in ((pattern, (column_cost, row_cost)), (pattern.transposed, (row_cost, column_cost))):
        degrees = np.bincount(side.rows, minlength=side.shape[0])
        for bound in _bounds(degrees)[1:]:
            if bound * costs[0] + costs[1] >= least:
                continue
            both = _with_full_rows(side, degrees > bound, costs)
            cost = both.forward * costs[0] + both.reverse * costs[1]
            if cost < least:
                found[2:], least = [both if side is pattern else _transposed(both, pattern)], cost
    return found


def _bounds(degrees: np.ndarray) -> list[int]:
    """Return bounds on how full a row without a colour may be: as the fullest row, half of that or less, and so on."""
    found: list[int] = []
    for degree in np.unique(degrees)[::-1].tolist():
        if not found or 2 * degree <= found[-1]:
            found.append(degree)
    return found


def _with_full_rows(pattern: Pattern, full: np.ndarray, costs: tuple[float, float]) -> Colouring:
    """Colour all columns and the rows that are full; then leave out the colours from which no entry has to be read."""
    height, width = pattern.shape
    of_rows, of_columns = pattern.in_rows(), pattern.in_columns()
    neighbours = [[height + j for j in line] for line in of_rows] + of_columns
    filled = np.unique(pattern.columns)
    weights = np.array([len(line) for line in neighbours])
    rows = np.flatnonzero(full)
    order = np.concatenate([rows[np.argsort(-weights[rows], kind="stable")], height + filled])
    by_weight = np.concatenate([order[: rows.size], height + filled[np.argsort(-weights[height + filled], kind="stable")]])
    bare = [*(~full).tolist(), *[False] * width]
    tried = [np.array(without_paths(neighbours, o.tolist(), bare), np.int64) for o in (order, by_weight)]
    colours = min(tried, key=lambda c: (c[:height].max() + 1) * costs[1] + (c[height:].max() + 1) * costs[0])
    of_row, of_column = colours[:height], colours[height:]
    n = int(of_column.max()) + 1
    by_column = _alone(pattern.rows, of_column[pattern.columns])
    by_row = _alone(pattern.columns, of_row[pattern.rows]) & full[pattern.rows]
    total = n + int(of_row.max()) + 1
    kept = _needed((of_column[pattern.columns], n + of_row[pattern.rows]), (by_column, by_row), total, lambda c: costs[c >= n])
    forward = int(kept[:n].sum())
    of_column, of_row = _renumbered(of_column, kept[:n]), _renumbered(of_row, kept[n:])
    use_column = by_column & (of_column[pattern.columns] >= 0)
    places = np.where(
        use_column,
        of_column[pattern.columns] * height + pattern.rows,
        forward * height + of_row[pattern.rows] * width + pattern.columns,
    )
    return Colouring("bidirectional", of_column, of_row, forward, int(kept[n:].sum()), places)


def _transposed(found: Colouring, pattern: Pattern) -> Colouring:
    """Return a colouring of the transposed pattern as one of the pattern."""
    height, width = pattern.shape
    order = np.lexsort((pattern.rows, pattern.columns))
    places = np.empty_like(found.places)
    places[order] = found.places
    sums, own = found.forward * width, found.reverse * height  # of what were columns, and now are rows
    places = np.where(places < sums, places + own, places - sums)
    return Colouring(found.kind, found.rows, found.columns, found.reverse, found.forward, places)


def _alone(lines: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Tell of each entry whether it is the only one of its colour in its line."""
    keys = lines * (int(colours.max(initial=-1)) + 2) + colours + 1
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return counts[inverse] == 1


def _needed(colours: Sequence[np.ndarray], readable: Sequence[np.ndarray], total: int, cost: Any) -> np.ndarray:
    """Return which colours have to be kept, so that every entry is read off one; the dearest are left out first.

    `colours` holds the two colours that each entry may be read off, `readable` whether it can be.
    """
    kept = np.ones(total, bool)
    ways = readable[0].astype(int) + readable[1]
    for colour in sorted(range(total), key=cost, reverse=True):
        hits = [r & (c == colour) for c, r in zip(colours, readable, strict=True)]
        if not ((ways == 1) & (hits[0] | hits[1])).any():
            kept[colour] = False
            ways = ways - hits[0] - hits[1]
    return kept


def _renumbered(colours: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return the colours that are kept, counted from 0, and -1 for those that are not."""
    return np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1)[colours]


# -- symmetric matrices ------------------------------------------------------------------------------------------------


def star(pattern: Pattern) -> Colouring:
    """Colour a symmetric pattern so that no path of four has two colours only: each entry stands alone in one of two sums.

    Two lines that meet differ, so that the diagonal is read off as well. A colour from which nothing has to be read, where
    there is no diagonal, is left out.
    """
    n = pattern.shape[0]
    neighbours, filled = _graph(pattern)
    tried = [np.array(without_paths(neighbours, order), np.int64) for order in graph_orders(neighbours, filled)]
    colours = min(tried, key=lambda c: c.max(initial=-1))
    of_row, of_column = colours[pattern.rows], colours[pattern.columns]
    diagonal = pattern.rows == pattern.columns
    readable = _alone(pattern.rows, of_column) | diagonal, _alone(pattern.columns, of_row) & ~diagonal
    kept = _needed((of_column, of_row), readable, int(colours.max(initial=-1)) + 1, lambda c: -c)
    colours = _renumbered(colours, kept)
    of_row, of_column = colours[pattern.rows], colours[pattern.columns]
    places = np.where(readable[0] & (of_column >= 0), of_column * n + pattern.rows, of_row * n + pattern.columns)
    return Colouring("star", colours, np.full(n, -1), int(kept.sum()), 0, places)


def _graph(pattern: Pattern) -> tuple[Lines, list[int]]:
    """Return the neighbours of each vertex of a symmetric pattern, without itself, and the vertices that have an entry."""
    off = pattern.rows != pattern.columns
    return lines_of(pattern.rows[off], pattern.columns[off], pattern.shape[0]), np.unique(pattern.rows).tolist()


def turned(found: Colouring) -> Colouring:
    """Return a colouring of a symmetric matrix's columns as one of its rows, which are the same."""
    return Colouring(found.kind, found.rows, found.columns, 0, found.forward, found.places)


def acyclic(pattern: Pattern) -> Colouring | None:
    """Colour a symmetric pattern so that no cycle has two colours only: entries follow by substitution, from leaves inwards.

    It takes fewer colours than :func:`star`; None where the substitution would go through more than `ROUNDS` steps.
    """
    neighbours, filled = _graph(pattern)
    tried = [np.array(without_cycles(neighbours, order), np.int64) for order in graph_orders(neighbours, filled)]
    colours = min(tried, key=lambda c: c.max(initial=-1))
    rounds = _substitution(pattern, colours)
    if rounds is None:
        return None
    n = pattern.shape[0]
    return Colouring(
        "acyclic", colours, np.full(n, -1), int(colours.max(initial=-1)) + 1, 0,
        colours[pattern.columns] * n + pattern.rows, rounds,
    )  # fmt: skip


def _substitution(pattern: Pattern, colours: np.ndarray) -> tuple[Round, ...] | None:
    """Return the steps in which entries are read off: those that stand alone in a sum, which are then taken from the others."""
    n, rows, columns = pattern.shape[0], pattern.rows, pattern.columns
    here = colours[columns] * n + rows  # the sum in which an entry stands; of its mirror image, the sum in `there`
    there = colours[rows] * n + columns
    mirror = np.lexsort((rows, columns))  # the mirror image of each entry, as the pattern is symmetric
    diagonal = np.flatnonzero(rows == columns)
    nowhere = np.zeros(0, np.int64)
    rounds = [Round(diagonal, here[diagonal], nowhere, nowhere)]
    left = np.flatnonzero(rows != columns)
    while left.size:
        if len(rounds) > ROUNDS:
            return None
        crowd = np.bincount(here[left], minlength=1)
        alone = left[crowd[here[left]] == 1]
        both = crowd[there[alone]] == 1  # its image stands alone as well: then one of the two is enough
        first = alone[~both | (rows[alone] < columns[alone])]
        both = crowd[there[first]] == 1
        rounds.append(
            Round(np.concatenate([first, mirror[first]]), np.tile(here[first], 2), np.flatnonzero(~both), there[first[~both]])
        )
        done = np.zeros(pattern.size, bool)
        done[rounds[-1].entries] = True
        left = left[~done[left]]
    return tuple(rounds)
