"""Places of buffers in the arena: nothing that lives together overlaps, and little is wasted."""

from __future__ import annotations

import random

import pytest

from chainrule.compiler.loops.arena import ALIGNMENT, _by_size, _by_time, least, placed


def drawn(seed: int, sizes: list[int], count: int = 120) -> list:
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        start = rng.randrange(count)
        found.append((start, start + min(int(rng.expovariate(0.3)), count), rng.choice(sizes)))
    return found


def overlaps(intervals: list, offsets: list) -> list:
    """Return the pairs of buffers that share a step and a byte."""
    each = [(*interval, offset) for interval, offset in zip(intervals, offsets, strict=True)]
    return [
        (a, b)
        for i, a in enumerate(each)
        for b in each[:i]
        if a[0] <= b[1] and b[0] <= a[1] and a[3] < b[3] + b[2] and b[3] < a[3] + a[2]
    ]


MIXES = {"one size": [4096], "powers": [64 << k for k in range(8)], "odd": [1, 63, 65, 1000, 5000], "with none": [0, 256, 100]}


@pytest.mark.parametrize("sizes", MIXES.values(), ids=list(MIXES))
@pytest.mark.parametrize("seed", range(6))
def test_nothing_that_lives_together_overlaps(seed, sizes):
    intervals = drawn(seed, sizes)
    aligned = [-(-size // ALIGNMENT) * ALIGNMENT for _, _, size in intervals]
    for offsets in (placed(intervals)[0], _by_time(intervals, aligned), _by_size(intervals, aligned)):
        assert not overlaps(intervals, offsets)
        assert all(offset % ALIGNMENT == 0 for offset in offsets)
    offsets, total = placed(intervals)
    assert total >= max(offset + size for offset, (_, _, size) in zip(offsets, intervals, strict=True))


@pytest.mark.parametrize("seed", range(6))
def test_buffers_of_one_size_take_the_least(seed):
    intervals = drawn(seed, [4096], 600)
    assert placed(intervals)[1] == least(intervals)


def test_little_more_than_the_least_is_taken():
    ratios = []
    for seed in range(20):
        intervals = drawn(seed, MIXES["powers"])
        ratios.append(placed(intervals)[1] / least(intervals))
    assert max(ratios) < 1.25
    assert sum(ratios) / len(ratios) < 1.06


def test_a_chain_takes_two_buffers_and_a_forward_with_its_backward_what_is_kept():
    assert placed([(i, i + 1, 640) for i in range(1000)])[1] == 2 * 640
    depth = 50
    kept = [(i, 2 * depth - i, 1 << 16) for i in range(depth)]
    passing = [(depth + i, depth + i + 1, 1 << 16) for i in range(depth)]
    assert placed(kept + passing)[1] == least(kept + passing)


def test_a_buffer_used_in_a_step_is_not_given_to_what_the_step_writes():
    offsets, _ = placed([(0, 1, 64), (1, 2, 64)])
    assert offsets[0] != offsets[1]


def test_nothing_takes_nothing():
    assert placed([]) == ([], 0)
    assert placed([(0, 3, 0)]) == ([0], 0)
