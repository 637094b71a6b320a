"""The choice among the ways to colour a pattern: by what a sweep of either kind takes, measured."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np

from chainrule.core.generator import default_generator
from chainrule.func.colouring import Colouring, acyclic, by_columns, by_rows, candidates, star, turned
from chainrule.func.compressed import Compression, check_height, is_traced
from chainrule.func.jacobian_plan import SparsePlan, counted
from chainrule.func.pattern import Pattern
from chainrule.func.seeds import Seeds
from chainrule.func.sweeps import Function, pulled, pushed

STEP = 1e-4  # seconds of a round of substitution
ALIKE = 1.5  # costs that differ less are the same: the first way of them is taken, so that another run takes it as well
MOST = 6  # times that a sweep is measured; twice at least, where that takes no longer than `LONG`
ENOUGH, LONG = 4e-3, 0.1  # seconds of measuring


def compression_of(
    pattern: Pattern,
    f: Function,
    mode: str | None,
    prefer: str | None,
    symmetric: bool,
    thorough: bool = False,
    detection: float | None = None,
) -> Compression:
    """Return the cheapest way to take a derivative of this pattern, by what a sweep of either kind takes, measured."""
    cost = _measured(f, mode, prefer)
    if cost.outs is not None:
        check_height(pattern, cost.outs)
    alike = {t.dtype for t in [*(cost.outs or ()), *f.flat]}
    square = symmetric and pattern.shape[0] == pattern.shape[1] and len(alike) == 1 and not f.flat[0].is_complex()
    start = perf_counter()
    pattern = pattern.mirrored() if square else pattern
    tried = _of_symmetric(pattern, cost, thorough) if square else _of_any(pattern, cost)
    chosen = cheapest([cost.of(c) for c in tried])
    names = [f"{c.kind}: {counted(c.colours, 'colour')}, {1e3 * cost.of(c):.3g} ms" for c in tried]
    rejected = tuple([name for i, name in enumerate(names) if i != chosen] + ([cost.obstacle] if cost.obstacle else []))
    c = tried[chosen]
    told = SparsePlan(
        c.kind, pattern.size, c.forward, c.reverse, detection, perf_counter() - start,
        None if cost.forward == np.inf else cost.forward, None if cost.reverse == np.inf else cost.reverse, rejected,
    )  # fmt: skip
    return Compression(pattern, c, told)


def cheapest(costs: list[float]) -> int:
    """Return the place of the least cost, or of an earlier one that is as good as that."""
    return next(i for i, c in enumerate(costs) if c <= ALIKE * min(costs))


def _of_symmetric(pattern: Pattern, cost: Cost, thorough: bool) -> list[Colouring]:
    tried = [star(pattern), by_columns(pattern)]
    if thorough and cost.outs and len(cost.outs) == 1 and tried[0].colours > 2:
        deep = acyclic(pattern)
        tried += [deep] if deep is not None else []
    return [turned(c) for c in tried if not c.rounds] if cost.forward == np.inf else tried


def _of_any(pattern: Pattern, cost: Cost) -> list[Colouring]:
    if cost.reverse == np.inf:
        return [by_columns(pattern)]
    if cost.forward == np.inf:
        return [by_rows(pattern)]
    tried = candidates(pattern, cost.reverse, cost.forward)
    return tried[:2] if is_traced() else tried  # two runs of one function draw the same numbers, which no graph holds


class Cost:
    """What a forward and a reverse sweep take in seconds, infinity where there is none.

    Attributes
    ----------
    forward, reverse : float
    outs : list of Tensor or None
        The function's results, if it was run.
    obstacle : str
        What is in the way of forward mode.
    """

    def __init__(self, forward: float = np.inf, reverse: float = np.inf):
        self.forward, self.reverse, self.obstacle = forward, reverse, ""
        self.outs: list | None = None

    def of(self, colours: Colouring) -> float:
        """Return what a derivative in these colours takes."""
        pairs = ((colours.forward, self.forward), (colours.reverse, self.reverse))
        return sum([sweeps * each for sweeps, each in pairs if sweeps]) + len(colours.rounds) * STEP

    def push(self, f: Function) -> None:
        """Run a forward sweep and note the least time so far."""
        start = perf_counter()
        self.outs = pushed(f, _one_sum(f.flat), 2).outs
        self.forward = min(self.forward, perf_counter() - start)

    def pull(self, f: Function) -> None:
        """Run a reverse sweep and note the least time so far."""
        start = perf_counter()
        run = f.record()
        pulled(run, _one_sum(run.outs), 2)
        self.outs, self.reverse = run.outs, min(self.reverse, perf_counter() - start)


def _measured(f: Function, mode: str | None, prefer: str | None) -> Cost:
    """Measure both kinds of sweeps; a mode that was asked for, or is preferred and can be, is the only one.

    The kinds take turns, so that what disturbs one disturbs the other; the first run of each, which may compile or load what
    later ones find, is not counted.
    """
    if is_traced():  # these runs would stand in the graph
        return Cost(np.inf if mode == "reverse" else 1.0, np.inf if mode == "forward" else 1.0)
    state = default_generator.get_state()
    cost, warm = Cost(), Cost()
    if mode != "reverse":
        try:
            warm.push(f)
        except NotImplementedError as error:  # of a custom Function without jvp
            if mode is not None:
                raise
            cost.obstacle = f"forward mode cannot: {error}"
    kinds: list[Callable] = [Cost.push] if warm.forward < np.inf else []
    if mode == "reverse" or (mode is None and (prefer != "forward" or cost.obstacle)):
        default_generator.set_state(state)
        warm.pull(f)
        kinds.append(Cost.pull)
    start = perf_counter()
    for n in range(MOST):
        for take in kinds:
            default_generator.set_state(state)
            take(cost, f)
        if perf_counter() - start > (ENOUGH if n else LONG):
            break
    default_generator.set_state(state)
    return cost


def _one_sum(tensors: list) -> Seeds:
    size = sum(t.numel() for t in tensors)
    return Seeds(tensors, np.zeros(size, np.int64), min(size, 1))
