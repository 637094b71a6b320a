"""How things are timed: side by side in rounds, so that what slows the machine for a while slows all of them."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes
    ----------
    rounds : int
        Timings of each step.
    seconds : float
        What one timing lasts: the step is repeated to fill it.
    pause : float
        Seconds of rest before each timing. The idle workers of thread pools spin before they sleep (OpenBLAS's for about
        20 ms); without a rest they would take a core from the library that is timed next.
    """

    rounds: int = 31
    seconds: float = 0.01
    pause: float = 0.03


FULL, QUICK = Effort(), Effort(rounds=3, seconds=0.001, pause=0.0)


def seconds_per_call(step: Callable, repeats: int) -> float:
    """Time a number of calls; return the mean."""
    calls = range(repeats)
    start = time.perf_counter()
    for _ in calls:
        step()
    return (time.perf_counter() - start) / repeats


def interleaved(steps: Mapping[str, Callable], effort: Effort) -> dict[str, np.ndarray]:
    """Time several steps in rounds, each round in another order.

    Garbage collection stays on, as it is for users; what exists already is frozen, so that a collection looks at what
    the steps make and not at the modules of all the libraries loaded here.

    Returns
    -------
    dict
        Seconds per call, one entry per round.
    """
    repeats = {}
    for name, step in steps.items():
        step()
        guess = seconds_per_call(step, 1)
        for _ in range(3):  # a first call is often slow, and the repeats it suggests too few
            repeats[name] = max(1, round(effort.seconds / guess))
            guess = min(guess, seconds_per_call(step, repeats[name]))
    gc.collect()
    gc.freeze()
    order, shuffle = list(steps), random.Random(0).shuffle
    times: dict[str, list] = {name: [] for name in steps}
    try:
        for _ in range(effort.rounds):
            shuffle(order)
            for name in order:
                time.sleep(effort.pause)
                steps[name]()
                spent = seconds_per_call(steps[name], repeats[name])
                times[name].append(spent)
                repeats[name] = max(1, round(effort.seconds / spent))
    finally:
        gc.unfreeze()
    return {name: np.array(found) for name, found in times.items()}


def ratio(times: Mapping[str, np.ndarray], of: str, to: str) -> float:
    """Return the median over rounds of the ratio of two steps' times in the same round."""
    return float(np.median(times[of] / times[to]))
