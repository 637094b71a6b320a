"""The counts of binomial checkpointing against the least that a search finds, and what thinning costs beside them."""

from __future__ import annotations

from functools import lru_cache

import pytest

from chainrule.utils._revolve import advances, left_out, reach, reversal, split, splits


@lru_cache(None)
def searched(length, slots):
    """Return the fewest steps run forward, by trying every place for the next state."""
    if length <= 1:
        return 0
    if slots == 1:
        return length * (length - 1) // 2
    return min([m + searched(m, slots) + searched(length - m, slots - 1) for m in range(1, length)])


def cost(marks, length, slots):
    """Return the steps run forward where the first sweep keeps the states before these steps."""
    ends = [*marks[1:], length]
    return marks[-1] + sum([advances(e - s, slots - i) for i, (s, e) in enumerate(zip(marks, ends, strict=True))])


@pytest.mark.parametrize("slots", range(1, 7))
def test_the_closed_form_is_the_least(slots):
    for length in range(1, 60):
        assert advances(length, slots) == searched(length, slots)


def test_the_counts_of_griewank_and_walther():
    # Their formula: r * l - C(c + r, r - 1) for C(c + r - 1, c) < l <= C(c + r, c)
    assert [advances(10, 3), advances(1000, 44), advances(1000, 100)] == [15, 2 * 1000 - 46, 2 * 1000 - 102]
    assert reach(100, 2) == 5151


@pytest.mark.parametrize("slots", range(1, 9))
def test_splits_are_optimal(slots):
    for length in range(2, 120):
        m = split(length, slots)
        assert m == length or advances(length, slots) == m + advances(m, slots) + advances(length - m, slots - 1)
        assert cost([0, *splits(length, slots)], length, slots) == advances(length, slots)


@pytest.mark.parametrize("slots", [2, 3, 5, 8, 12])
def test_thinning_a_chain_of_unknown_length_costs_little_more_than_knowing_it(slots):
    marks = [0]
    for length in range(2, min(reach(slots, 3), 300) + 1):
        marks.append(length - 1)
        if len(marks) > slots:
            del marks[left_out(marks, length, slots)[0]]
        assert len(marks) <= slots
        assert marks[0] == 0
        assert cost(marks, length, slots) <= (1 + 0.76 / slots) * advances(length, slots)


def test_values_of_many_steps_are_made_at_a_time_where_that_is_less():
    steps, group, slots = reversal(1000, 70, 4)
    assert group + slots <= 70
    assert steps < advances(1000, 69)
    assert reversal(5, 1, 8) == (1 << 60, 1, 1)  # not even one step's values fit
