"""A minimal cut of a network. Nothing here knows what it is of.

SciPy finds it, whose graphs take 140 ms and 16 MB to import; networks of some thousand arcs, which are those of functions that
a first call should not wait for, are cut here in a few milliseconds for each thousand.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import inf

import numpy as np

FEW = 4000  # arcs
_ENDLESS, _FINITE = (1 << 31) - 1, 1 << 30  # SciPy's flows are 32-bit integers


def nearest_cut(nodes: int, tails: Sequence[int], heads: Sequence[int], capacities: Sequence[float]) -> Sequence[bool]:
    """Return for each node whether it is on the sink's side of the minimal cut that is nearest to the sink.

    Parameters
    ----------
    nodes : int
        Numbered from 0, which is the source; 1 is the sink.
    tails, heads, capacities : sequence
        Of the arcs. A capacity below 0 is without bound; no path from source to sink has such arcs alone.

    Examples
    --------
    >>> nearest_cut(4, (0, 2, 3), (2, 3, 1), (3, 3, -1))
    [False, True, False, True]
    """
    return (_by_paths if len(tails) <= FEW else _by_scipy)(nodes, tails, heads, capacities)


def _by_paths(nodes: int, tails: Sequence[int], heads: Sequence[int], capacities: Sequence[float]) -> list[bool]:
    """Find the flow along all shortest paths with room, as long as there are any (Dinitz 1970; Even & Tarjan 1975).

    An arc and what can flow back through it have numbers that differ in the last bit.
    """
    ends = array("l", [end for ends in zip(heads, tails, strict=True) for end in ends])
    room = array("d", [room for c in capacities for room in (c if c >= 0 else inf, 0.0)])
    leaving: list[array] = [array("l") for _ in range(nodes)]
    for i, (tail, head) in enumerate(zip(tails, heads, strict=True)):
        leaving[tail].append(2 * i)
        leaving[head].append(2 * i + 1)
    while (levels := _levels(leaving, ends, room))[1] >= 0:
        _saturate(levels, leaving, ends, room)
    near = [False] * nodes
    near[1] = True
    reached = [1]
    for node in reached:  # which grows
        for arc in leaving[node]:
            if not near[ends[arc]] and room[arc ^ 1] > 0:
                near[ends[arc]] = True
                reached.append(ends[arc])
    return near


def _levels(leaving: list[array], ends: array, room: array) -> list[int]:
    """Return how many arcs with room lead from the source to each node at least; -1 where none do."""
    levels = [-1] * len(leaving)
    levels[0] = 0
    reached = [0]
    for node in reached:  # which grows
        for arc in leaving[node]:
            if room[arc] > 0 and levels[ends[arc]] < 0:
                levels[ends[arc]] = levels[node] + 1
                reached.append(ends[arc])
    return levels


def _saturate(levels: list[int], leaving: list[array], ends: array, room: array) -> None:
    """Send flow along paths of one arc a level until none has room."""
    untried = [array("l", each) for each in leaving]
    path: list[int] = []
    while True:
        node = ends[path[-1]] if path else 0
        if node == 1:
            flow = min([room[arc] for arc in path])
            for arc in path:
                room[arc] -= flow
                room[arc ^ 1] += flow
            full = next(i for i, arc in enumerate(path) if not room[arc])
            del path[full:]
            continue
        while untried[node]:
            arc = untried[node][-1]
            if room[arc] > 0 and levels[ends[arc]] == levels[node] + 1:
                path.append(arc)
                break
            untried[node].pop()
        else:
            if not path:
                return
            path.pop()
            untried[ends[path[-1]] if path else 0].pop()


def _by_scipy(nodes: int, tails: Sequence[int], heads: Sequence[int], capacities: Sequence[float]) -> Sequence[bool]:
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    costs = np.array(capacities)
    bounded = costs >= 0
    scale = min(1.0, _FINITE / max(costs[bounded].sum(), 1))
    capacity = np.where(bounded, np.maximum(np.rint(costs * scale), 1), _ENDLESS).astype(np.int32)
    network = csr_array((capacity, (np.array(tails), np.array(heads))), shape=(nodes, nodes))
    network.sum_duplicates()
    flow = maximum_flow(network, 0, 1).flow
    left = csr_array(network.astype(np.int64) - flow.astype(np.int64))
    left.data = (left.data > 0).astype(np.int8)
    left.eliminate_zeros()
    near = np.zeros(nodes, bool)
    near[breadth_first_order(csr_array(left.T), 1, return_predecessors=False)] = True
    return near.tolist()
