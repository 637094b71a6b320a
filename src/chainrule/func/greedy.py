"""Greedy colouring of graphs: one vertex after another gets the least colour that may stand there; and orders of vertices.

A set of colours is one Python integer, whose bits or-ed together cost little even where thousands meet in one vertex, and
what pairs of vertices would be asked is kept at the vertex between them: every colouring takes a time of the number of edges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import heapify, heappop, heappush

import numpy as np

from chainrule.func.pattern import Lines, Pattern

PAIRS = 200_000  # pairs of lines that meet, beyond which orders that count them take longer than the colours they save

# -- colours -----------------------------------------------------------------------------------------------------------


def apart(lines: Lines, order: Iterable[int], crossings: int) -> list[int]:
    """Give each line the least colour that no line has which crosses one of the same; a set of colours is one integer."""
    taken, colours = [0] * crossings, [-1] * len(lines)
    for v in order:
        line = lines[v]
        used = 0
        for i in line:
            used |= taken[i]
        bit = ~used & (used + 1)
        for i in line:
            taken[i] |= bit
        colours[v] = bit.bit_length() - 1
    return colours


def without_paths(neighbours: Lines, order: Iterable[int], bare: Sequence[bool] | None = None) -> list[int]:
    """Give each vertex the least colour that makes no path of four vertices with two colours.

    Gebremedhin, Tarafdar, Manne and Pothen (SIAM J. Sci. Comput. 29 (2007) 1042-1072, algorithm 4.1), each set of colours one
    integer, which costs O(edges) however many meet in a hub. With `bare`, for a graph of two sides with colours of their own:
    the vertices that stay without a colour, around which all colours differ.
    """
    n = len(neighbours)
    colours = [-1] * n
    near = [0] * n  # the colours around a vertex
    hubs = [0] * n  # the colours of those neighbours that have two or more neighbours of its colour
    only: list[dict[int, int]] = [{} for _ in range(n)]  # by colour, its one neighbour of that, or -1 for several
    for v in order:
        groups: dict[int, list[int]] = {}
        used = 0
        for w in neighbours[v]:
            if colours[w] >= 0:
                groups.setdefault(colours[w], []).append(w)
            elif bare is not None and bare[w]:
                used |= near[w]
        for k, group in groups.items():
            if bare is None:
                used |= 1 << k
            if len(group) > 1:
                for w in group:
                    used |= near[w]
            else:
                used |= hubs[group[0]]
        bit = ~used & (used + 1)
        colours[v] = c = bit.bit_length() - 1
        if bare is not None:
            for w in neighbours[v]:
                if bare[w]:
                    near[w] |= bit
        for k, group in groups.items():
            near[v] |= 1 << k
            only[v][k] = group[0] if len(group) == 1 else -1
            for w in group:
                near[w] |= bit
                if len(group) > 1:
                    hubs[w] |= bit
                other = only[w].get(c)
                only[w][c] = v if other is None else -1
                if other is not None:
                    hubs[v] |= 1 << k
                    if other >= 0:
                        hubs[other] |= 1 << k
    return colours


def without_cycles(neighbours: Lines, order: Iterable[int]) -> list[int]:
    """Give each vertex the least colour that closes no cycle of two colours.

    Gebremedhin et al. 2007, algorithm 3.1, with trees kept as (vertex, other colour): a vertex and its neighbours of one
    colour are always in one.
    """
    colours = [-1] * len(neighbours)
    near: list[set[int]] = [set() for _ in neighbours]
    parent: dict[tuple[int, int], tuple[int, int]] = {}

    def root(key: tuple[int, int]) -> tuple[int, int]:
        while (above := parent.get(key, key)) != key:
            parent[key] = parent.get(above, above)
            key = above
        return key

    for v in order:
        groups: dict[int, list[int]] = {}
        for w in neighbours[v]:
            if colours[w] >= 0:
                groups.setdefault(colours[w], []).append(w)
        used = set(groups)
        for group in groups.values():
            seen: set[tuple[int, tuple[int, int]]] = set()
            for w in group if len(group) > 1 else ():
                for c in near[w] - used:
                    tree = (c, root((w, c)))
                    if tree in seen:
                        used.add(c)
                    seen.add(tree)
        c = 0
        while c in used:
            c += 1
        colours[v] = c
        near[v].update(groups)
        for k, group in groups.items():
            for w in group:
                near[w].add(c)
                parent[root((w, c))] = root((v, k))
    return colours


# -- orders ------------------------------------------------------------------------------------------------------------


def fewest(colour: Callable[[Sequence[int]], list[int]], orders: Iterator[Sequence[int]], bound: int) -> list[int]:
    """Return the fewest colours that the orders give, and then those orders that go through the found colours backwards.

    Coloured again class by class, a line never needs a later colour, and often an earlier one (Culberson's iterated greedy).
    """
    best: list[int] = []
    for order in orders:
        found = colour(order)
        if not best or max(found, default=-1) < max(best):
            best = found
        if max(best, default=-1) < bound:
            return best
    for turn in range(4):
        classes = np.array(best)
        sizes = np.bincount(classes[classes >= 0])
        key = sizes[classes] * classes.size + classes if turn % 2 else -classes
        again = np.argsort(key, kind="stable")
        found = colour(again[classes[again] >= 0].tolist())
        if max(found) <= max(best):
            best = found
        if max(best) < bound:
            break
    return best


def line_orders(pattern: Pattern, filled: np.ndarray, lines: Lines, degrees: np.ndarray) -> Iterator[list[int]]:
    """Yield orders in which to colour columns: as they stand, those that meet most others first, smallest last, incidence."""
    yield filled.tolist()
    weights = np.bincount(pattern.columns, degrees[pattern.rows], pattern.shape[1])
    yield filled[np.argsort(-weights[filled], kind="stable")].tolist()
    if (degrees.astype(float) ** 2).sum() > PAIRS:
        return
    of_rows = pattern.in_rows()
    neighbours = [list({k for i in line for k in of_rows[i]} - {v}) for v, line in enumerate(lines)]
    yield from _counted(neighbours, filled.tolist())


def graph_orders(neighbours: Lines, filled: list[int]) -> Iterator[list[int]]:
    """Yield orders in which to colour a graph: as it stands, largest first, smallest last, incidence."""
    yield filled
    yield sorted(filled, key=lambda v: -len(neighbours[v]))
    if sum(map(len, neighbours)) <= PAIRS:
        yield from _counted(neighbours, filled)


def _counted(neighbours: Lines, vertices: list[int]) -> Iterator[list[int]]:
    """Yield the smallest-last and the incidence-degree order of a graph's vertices."""
    yield _picked(neighbours, {v: len(neighbours[v]) for v in vertices})[::-1]
    yield _picked(neighbours, dict.fromkeys(vertices, 0))


def _picked(neighbours: Lines, keys: dict[int, int]) -> list[int]:
    """Return the vertices in the order of least keys, each one's key falling by one as a neighbour is picked."""
    heap = [(key, v) for v, key in keys.items()]
    heapify(heap)
    order = []
    while heap:
        key, v = heappop(heap)
        if keys.get(v) != key:
            continue
        del keys[v]
        order.append(v)
        for w in neighbours[v]:
            if w in keys:
                keys[w] -= 1
                heappush(heap, (keys[w], w))
    return order
