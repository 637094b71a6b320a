"""Gradients under a budget of memory, beside the same without: peaks, what runs again, time, and what Revolve would run again.

Revolve's least number of steps is for as many states as the budget would hold if it held nothing else.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterable
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

import chainrule as cr
from benchmarks.libraries import load
from benchmarks.table import environment, table
from benchmarks.timing import QUICK
from chainrule.utils._revolve import advances
from chainrule.utils.checkpoint import within

SHARES = (0.5, 0.25, 0.1, 0.07)  # of the memory that the whole takes


class Program(NamedTuple):
    """A function, its arguments, and into how many steps it falls, if that is a chain's question."""

    call: Callable
    arguments: Callable[[], list]
    steps: int
    state: int  # bytes


def recurrent(w: Any, h: Any, xs: Any) -> Any:
    """Return the sum of the last state of a recurrent network, its length known."""
    for t in range(len(xs)):
        h = cr.tanh(w @ h + xs[t])
    return h.sum()


def until(w: Any, h: Any, xs: Any) -> Any:
    """Return the same from a loop that asks values whether to go on."""
    t = 0
    while float(h.detach()[0, 0]) < 2 and t < len(xs):
        h = cr.tanh(w @ h + xs[t])
        t += 1
    return h.sum()


def pendulums(w: Any, h: Any, xs: Any) -> Any:
    """Return the energy of coupled pendulums after steps of Runge and Kutta's method."""
    rate = lambda y: -cr.sin(w @ y)
    for _ in range(len(xs)):
        a = rate(h)
        b = rate(h + 0.01 * a)
        c = rate(h + 0.01 * b)
        h = h + 0.02 / 6 * (a + 2 * b + 2 * c + rate(h + 0.02 * c))
    return (h * h).sum()


def _recurrence(steps: int, columns: int) -> Callable[[], list]:
    def arguments() -> list:
        rng = np.random.default_rng(0)
        w, h = rng.normal(size=(64, 64)) / 8, rng.normal(size=(64, columns))
        return [cr.tensor(w, requires_grad=True), cr.tensor(h, requires_grad=True), cr.tensor(rng.normal(size=(steps, 64, 1)))]

    return arguments


def programs(quick: bool) -> dict[str, Program]:
    """Return the programs, shorter ones if that is asked for."""
    n, columns = (100, 320) if quick else (1000, 256)
    state = 8 * 64 * columns
    return {
        f"recurrent, {n} steps": Program(recurrent, _recurrence(n, columns), n, state),
        f"while loop, {n} steps": Program(until, _recurrence(n, columns), n, state),
        f"Runge-Kutta, {n // 4} steps": Program(pendulums, _recurrence(n // 4, columns), n // 4, 4 * state),
    }


def peak_of(f: Callable, arguments: list) -> int:
    """Return the most bytes that a call and its backward pass hold beyond the arguments."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    f(*arguments).backward()
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    return peak


def seconds_of(f: Callable, arguments: list) -> float:
    """Return the seconds that a call and its backward pass take."""
    start = perf_counter()
    f(*arguments).backward()
    return perf_counter() - start


def budgets(only: Iterable[str] | None, effort: Any, markdown: bool) -> None:
    """Measure and print the table."""
    libraries, _ = load(())
    print(environment(libraries))
    rounds = 1 if effort is QUICK else 3
    rows = []
    for name, program in programs(effort is QUICK).items():
        if only and not any(text.lower() in name.lower() for text in only):
            continue
        peak_of(within(10**10)(program.call), program.arguments())  # what a first call makes for good
        whole = peak_of(program.call, program.arguments())
        for share in SHARES:
            budget = int(share * whole)
            f = within(budget)(program.call)
            try:
                peak = peak_of(f, program.arguments())
            except RuntimeError as error:
                rows.append(
                    [name, f"{share:g}", f"{budget / 1e6:.1f}", str(error).split("need ")[1].split(" at")[0], *[""] * 4]
                )
                continue
            pairs = [(seconds_of(f, program.arguments()), seconds_of(program.call, program.arguments())) for _ in range(rounds)]
            again = f.plan.recomputed / f.plan.steps * program.steps
            least = advances(program.steps, max(1, budget // program.state))
            rows.append([
                name, f"{share:g}", f"{budget / 1e6:.1f}", f"{peak / 1e6:.1f}", f"{again:.0f}", f"{least}",
                f"{again / least:.2f}", f"{median([a / b for a, b in pairs]):.2f}",
            ])  # fmt: skip
    if not rows:
        raise SystemExit("no program is named like that")
    print("\nMegabytes; steps that ran again beside the least with states alone; time to that without a budget.\n")
    head = ["program", "share", "budget", "peak", "steps again", "Revolve's least", "ratio", "time"]
    print(table(head, rows, markdown))
