"""Minimal cuts: found one way or the other they are the same, of least capacity, and nearest to the sink."""

from __future__ import annotations

import random
from itertools import product

import pytest

from chainrule.compiler.graph.cut import _by_paths, _by_scipy, nearest_cut


def drawn(seed):
    """Return a random network: a source, a sink, nodes, and an arc without bound to and from some of them."""
    rng = random.Random(seed)
    nodes = rng.randint(3, 9)
    arcs = [(0, rng.randrange(2, nodes), -1), (rng.randrange(2, nodes), 1, rng.randint(1, 9))]
    for _ in range(3 * nodes):
        tail, head = rng.randrange(nodes), rng.randrange(nodes)
        if tail != head and tail != 1 and head != 0:
            endless = rng.random() < 0.2 and head != 1
            arcs.append((tail, head, -1 if endless else rng.randint(0, 9)))
    return nodes, arcs


@pytest.mark.parametrize("seed", range(60))
def test_a_cut_is_the_least_and_of_these_the_nearest_to_the_sink(seed):
    nodes, arcs = drawn(seed)
    cuts = []
    for side in product((False, True), repeat=nodes - 2):
        near = [False, True, *side]
        cost = sum([float("inf") if c < 0 else c for tail, head, c in arcs if near[head] and not near[tail]])
        cuts.append((cost, sum(near), near))
    least, count, near = min(cuts)
    assert least < float("inf")
    assert nearest_cut(nodes, *zip(*arcs, strict=True)) == near
    assert sum([cut[:2] == (least, count) for cut in cuts]) == 1


@pytest.mark.parametrize("seed", range(20))
def test_both_ways_find_the_same(seed):
    nodes, arcs = drawn(seed)
    arcs = [(*ends, c or 1) for ends, c in {(tail, head): c for tail, head, c in arcs}.items()]  # each once, none without room
    assert _by_paths(nodes, *zip(*arcs, strict=True)) == _by_scipy(nodes, *zip(*arcs, strict=True))


def test_a_flow_takes_back_what_went_the_wrong_way():
    arcs = [(0, 2, 1), (0, 3, 1), (2, 4, 1), (4, 1, 1), (3, 4, 1), (2, 5, 1), (5, 6, 1), (6, 1, 1)]
    arcs = list(zip(*arcs, strict=True))
    assert _by_paths(7, *arcs) == _by_scipy(7, *arcs) == [False, True] + [False] * 5
