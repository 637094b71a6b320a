"""A minimal cut of a network. Nothing here knows what it is of.

SciPy finds it, whose graphs take 140 ms to import; networks of a few hundred arcs, which are those of functions that a first
call should not wait for, are cut here in a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FEW = 1000  # arcs
_ENDLESS, _FINITE = (1 << 31) - 1, 1 << 30  # SciPy's flows are 32-bit integers
Arc = tuple[int, int, float]


def nearest_cut(nodes: int, arcs: Sequence[Arc]) -> Sequence[bool]:
    """Return for each node whether it is on the sink's side of the minimal cut that is nearest to the sink.

    Parameters
    ----------
    nodes : int
        Numbered from 0, which is the source; 1 is the sink.
    arcs : sequence of (tail, head, capacity)
        Below 0: without bound. No path from source to sink has such arcs alone.

    Examples
    --------
    >>> nearest_cut(4, [(0, 2, 3), (2, 3, 3), (3, 1, -1)])
    [False, True, False, True]
    """
    return _by_paths(nodes, arcs) if len(arcs) <= FEW else _by_scipy(nodes, arcs)


def _by_paths(nodes: int, arcs: Sequence[Arc]) -> list[bool]:
    """Find the flow along the shortest paths that have room (Edmonds & Karp 1972, https://doi.org/10.1145/321694.321699)."""
    room: list[dict[int, float]] = [{} for _ in range(nodes)]
    for tail, head, capacity in arcs:
        room[tail][head] = room[tail].get(head, 0) + (capacity if capacity >= 0 else float("inf"))
        room[head].setdefault(tail, 0)
    while True:
        before = {0: 0}
        reached = [0]
        for node in reached:  # which grows
            for head, left in room[node].items():
                if left > 0 and head not in before:
                    before[head] = node
                    reached.append(head)
        if 1 not in before:
            break
        path = [1]
        while path[-1]:
            path.append(before[path[-1]])
        steps = list(zip(path[1:], path, strict=False))
        flow = min([room[tail][head] for tail, head in steps])
        for tail, head in steps:
            room[tail][head] -= flow
            room[head][tail] += flow
    near = [False] * nodes
    near[1] = True
    reached = [1]
    for node in reached:
        for tail in room[node]:
            if not near[tail] and room[tail][node] > 0:
                near[tail] = True
                reached.append(tail)
    return near


def _by_scipy(nodes: int, arcs: Sequence[Arc]) -> Sequence[bool]:
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    tails, heads, costs = (np.array(each) for each in zip(*arcs, strict=True))
    bounded = costs >= 0
    scale = min(1.0, _FINITE / max(costs[bounded].sum(), 1))
    capacity = np.where(bounded, np.maximum(np.rint(costs * scale), 1), _ENDLESS).astype(np.int32)
    network = csr_array((capacity, (tails, heads)), shape=(nodes, nodes))
    network.sum_duplicates()
    flow = maximum_flow(network, 0, 1).flow
    left = csr_array(network.astype(np.int64) - flow.astype(np.int64))
    left.data = (left.data > 0).astype(np.int8)
    left.eliminate_zeros()
    near = np.zeros(nodes, bool)
    near[breadth_first_order(csr_array(left.T), 1, return_predecessors=False)] = True
    return near.tolist()
