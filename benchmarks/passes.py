"""What a reverse pass costs as its graph grows: gradients beside backward(), near the end of a history, in loops over parts.

Each program is linear in its number. PyTorch's loops over parts make an array of zeros for each part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.fields import Step, leaves


def chain(torch: Any, rng: np.random.Generator, n: int, graded: bool) -> Step:
    """Record n sines and products of a scalar; pull back by `autograd.grad`, or by `backward`."""
    x, w = leaves(torch, np.float64(0.5), np.float64(0.9))

    def step() -> list:
        x.grad = w.grad = None
        y = x
        for _ in range(n // 2):
            y = torch.sin(y * w)
        if graded:
            return [y, *torch.autograd.grad(y, (x, w))]
        y.backward()
        return [y, x.grad, w.grad]

    return step


def forces(torch: Any, rng: np.random.Generator, steps: int) -> Step:
    """Take each force of a simulation as minus the gradient of a potential, then differentiate the path's end."""
    start, stiffness = leaves(torch, rng.standard_normal(6), np.float64(2.0))

    def step() -> list:
        x, v, i = start * 1.0, start * 0.0, 0
        while i < steps:
            potential = 0.5 * stiffness * (x * x).sum() + (x * x * x * x).sum()
            (slope,) = torch.autograd.grad(potential, x, create_graph=True)
            v = v - 0.01 * slope
            x = x + 0.01 * v
            i += 1
        return [x, *torch.autograd.grad((x * x).sum(), (start, stiffness))]

    return step


def parts(torch: Any, rng: np.random.Generator, n: int, part: Callable[[Any, int], Any]) -> Step:
    """Sum the squares of parts of a matrix of n rows, one by one."""
    (x,) = leaves(torch, rng.standard_normal((n, 16)))

    def step() -> list:
        x.grad = None
        total = torch.zeros((), dtype=torch.float64)
        for i in range(n):
            p = part(x, i)
            total = total + (p * p).sum()
        total.backward()
        return [total, x.grad]

    return step


def joined(torch: Any, rng: np.random.Generator, n: int) -> Step:
    """Stack n tensors, each of which requires grad."""
    xs = leaves(torch, *rng.standard_normal((n, 2)))

    def step() -> list:
        for x in xs:
            x.grad = None
        y = torch.stack(xs)
        (y * y).sum().backward()
        return [y, xs[0].grad, xs[-1].grad]

    return step


def history(torch: Any, rng: np.random.Generator, steps: int) -> Step:
    """Stack all states so far at each step, as attention over a history does."""
    (x,) = leaves(torch, rng.standard_normal(2))

    def step() -> list:
        x.grad = None
        states, state = [], x
        for _ in range(steps):
            states.append(state)
            state = torch.tanh(torch.stack(states).mean(0) + x)
        state.sum().backward()
        return [state, x.grad]

    return step


_PARTS: dict[str, Callable[[Any, int], Any]] = {
    "rows": lambda x, i: x[i],
    "elements": lambda x, i: x[i][3],
    "slices": lambda x, i: x[i : i + 2],
    "columns of the transpose": lambda x, i: x.t()[:, i],
}

PROGRAMS: dict[str, Callable[[Any, np.random.Generator], Step]] = {}
for n in (2, 1_000, 100_000):
    PROGRAMS[f"backward() of {n:,} nodes"] = lambda torch, rng, n=n: chain(torch, rng, n, False)
    PROGRAMS[f"autograd.grad of {n:,} nodes"] = lambda torch, rng, n=n: chain(torch, rng, n, True)
for n in (50, 100, 200, 400):
    PROGRAMS[f"forces as gradients, {n} steps"] = lambda torch, rng, n=n: forces(torch, rng, n)
for n in (100, 1_000, 10_000):
    for name, part in _PARTS.items():
        PROGRAMS[f"loop over {n:,} {name}"] = lambda torch, rng, n=n, part=part: parts(torch, rng, n, part)
for n in (1_000, 8_000):
    PROGRAMS[f"stack of {n:,} tensors"] = lambda torch, rng, n=n: joined(torch, rng, n)
for n in (100, 200, 400):
    PROGRAMS[f"a history stacked at each of {n} steps"] = lambda torch, rng, n=n: history(torch, rng, n)
LARGE = {name for name in PROGRAMS if any(size in name for size in ("100,000", "10,000", "8,000", "400"))}
