"""How often a chain of steps runs again when only some of its states are kept: binomial checkpointing, and its online form.

Of a chain of `length` steps with `slots` states kept at a time, the one it starts from included, the least number of steps that
run again is known in closed form (Griewank & Walther, ACM TOMS 26(1), 2000, https://doi.org/10.1145/347837.347846; Grimm,
Pottier & Rostaing-Schmidt 1996). Where the length is not known, the states that are kept are thinned out as the chain grows
(Stumm & Walther, SIAM J. Sci. Comput. 32(2), 2010, https://doi.org/10.1137/080742439). Nothing here knows what a step is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import comb

ENDLESS = 1 << 60


def reach(slots: int, sweeps: int) -> int:
    """Return how many steps can be reversed with so many states kept if none runs forward more than `sweeps` times.

    Examples
    --------
    >>> reach(3, 2)
    10
    """
    return comb(slots + sweeps, slots) if slots >= 0 and sweeps >= 0 else 0


def sweeps_of(length: int, slots: int) -> int:
    """Return how often a step runs forward at most before its turn comes, if that is as seldom as it can be."""
    sweeps = 0
    while reach(slots, sweeps) < length:
        sweeps += 1
    return sweeps


def advances(length: int, slots: int) -> int:
    """Return the least number of steps to run forward for reversing a chain whose first state is kept.

    The step that is about to be reversed runs once more, with its values kept; that is not counted here.

    Examples
    --------
    Griewank & Walther's ten steps with three states:

    >>> advances(10, 3)
    15
    """
    if length <= 1:
        return 0
    if slots < 1:
        return ENDLESS
    sweeps = sweeps_of(length, slots)
    return sweeps * length - reach(slots + 1, sweeps - 1)


def split(length: int, slots: int) -> int:
    """Return how many steps after the first state the next one is to be kept; `length` if none is.

    Examples
    --------
    >>> m = split(10, 3)
    >>> advances(10, 3) == m + advances(10 - m, 2) + advances(m, 3)
    True
    """
    if slots < 2 or length < 2:
        return length
    sweeps = sweeps_of(length, slots)
    return max(1, min(reach(slots, sweeps - 1), length - reach(slots - 1, sweeps - 1)))


def splits(length: int, slots: int) -> list[int]:
    """Return at which steps states are kept in the first sweep over a chain, the first one's, 0, apart.

    Examples
    --------
    >>> splits(10, 3)
    [4, 7]
    """
    found: list[int] = []
    at = 0
    while True:
        step = split(length - at, slots)
        if step >= length - at:
            return found
        at, slots = at + step, slots - 1
        found.append(at)


def left_out(
    marks: Sequence[int], length: int, slots: int, cost: Callable[[int, int], int] = advances, count: int = 1
) -> list[int]:
    """Return which of the kept states of a growing chain to give up: those that cost the fewest steps, no two neighbours.

    Parameters
    ----------
    marks : sequence of int
        The steps before which states are kept, ascending; the first, 0, is not given up.
    length : int
        Steps run so far.
    slots : int
        States that are kept from now on.
    cost : callable
        ``cost(length, slots)``: of reversing a gap between two of them with so many slots left, its first state's included.
    count : int
        How many to give up at most.

    Returns
    -------
    list of int
        Indices of `marks`.

    Examples
    --------
    >>> left_out([0, 1, 2, 3], 5, 3)
    [1]
    """
    gaps = [end - start for start, end in zip(marks, [*marks[1:], length], strict=True)]
    before = [0]
    for i, gap in enumerate(gaps):
        before.append(before[-1] + cost(gap, max(slots - i, 1)))
    after = [0] * (len(marks) + 1)  # of the gaps from an index on, each with one more slot: one mark fewer lies before it
    for i in range(len(marks) - 1, 0, -1):
        after[i] = after[i + 1] + cost(gaps[i], max(slots - i + 1, 1))
    totals = []
    for i in range(1, len(marks)):
        joined = cost(gaps[i - 1] + gaps[i], max(slots - i + 1, 1))
        last = marks[-2] if i == len(marks) - 1 else marks[-1]
        totals.append((before[i - 1] + joined + after[i + 1] + last, i))
    found: list[int] = []
    for _, i in sorted(totals):
        if i - 1 not in found and i + 1 not in found:
            found.append(i)
            if len(found) == count:
                break
    return found


@lru_cache(512)  # these count as memory, too
def reversal(length: int, slots: int, quarters: int) -> tuple[int, int, int]:
    """Return how best to reverse a chain whose steps' values take memory from the states.

    Parameters
    ----------
    length : int
    slots : int
        States that fit into memory beside nothing else, the first one's included.
    quarters : int
        What reversing one step needs of its values, in quarters of a state.

    Returns
    -------
    tuple of int
        The steps that run forward beside those with values kept, how many steps are reversed at a time, and the states kept.

    Examples
    --------
    A hundred steps, whose values are their states: with twenty at a time there is room for all four states between.

    >>> reversal(100, 26, 4)
    (80, 20, 6)
    """
    best, groups = (ENDLESS, 1, 1), 1
    while True:
        group = -(-length // groups)
        left = slots - -(-group * quarters // 4)
        if left >= 1:
            best = min(best, (advances(groups, left) * group, group, left))
        if group == 1 or not best[0]:
            return best
        groups = min(max(groups + 1, groups * 5 // 4), length)
