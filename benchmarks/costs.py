"""Programs whose cost is held to PyTorch's, each written once and run with either library's module in the same place.

A program is a function of the module and of a source of random numbers; it returns the step that is timed, and the step
returns the tensors on which both libraries must agree.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from benchmarks import fields, kernels, layers, passes, training
from benchmarks.libraries import load
from benchmarks.table import duration, environment, table
from benchmarks.timing import Effort, interleaved, ratio

Step = Callable[[], Sequence[Any]]
PROGRAMS: dict[str, Callable[[Any, np.random.Generator], Step]] = {
    **fields.PROGRAMS,
    **kernels.PROGRAMS,
    **layers.PROGRAMS,
    **passes.PROGRAMS,
    **training.PROGRAMS,
}


def steps_of(name: str, libraries: Iterable) -> dict[str, Step]:
    """Build a program in every library, run it once, and return the steps.

    Raises
    ------
    AssertionError
        If the libraries' results differ by more than rounding.
    """
    steps: dict[str, Step] = {}
    expected: list = []
    for library in libraries:
        step = steps[library.name] = PROGRAMS[name](library.lib, np.random.default_rng(0))
        results = [library.read(value) for value in step()]
        expected = expected or results
        for found, wanted in zip(results, expected, strict=True):
            bound = (1e-2 if wanted.dtype == "float16" else 1e-4) * float(np.abs(wanted).max(initial=0))
            np.testing.assert_allclose(found, wanted, rtol=0, atol=bound, err_msg=f"{name} in {library.name}")
    return steps


def selected(only: Iterable[str] | None) -> list[str]:
    """Return the programs whose names contain one of the given texts; all without any."""
    found = [name for name in PROGRAMS if not only or any(text.lower() in name.lower() for text in only)]
    if not found:
        raise SystemExit(f"no program is named like {', '.join(only or ())}; there are: {'; '.join(PROGRAMS)}")
    return found


def costs(only: Iterable[str] | None, peers: tuple[str, ...], effort: Effort, markdown: bool) -> None:
    """Time the programs on one thread and print the table."""
    libraries, _ = load(tuple(p for p in peers if p == "torch"))
    names = [library.name for library in libraries]
    print(environment(libraries))
    before = [library.lib.get_num_threads() for library in libraries]
    rows = []
    try:
        for library in libraries:
            library.lib.set_num_threads(1)
        for name in selected(only):
            print(f"  {name} ...", file=sys.stderr)
            times = interleaved(steps_of(name, libraries), effort)
            medians = [duration(float(np.median(times[who]))) for who in names]
            rows.append([name, *medians, *(f"{ratio(times, who, 'chainrule'):.2f}" for who in names[1:])])
    finally:
        for library, number in zip(libraries, before, strict=True):
            library.lib.set_num_threads(number)
    print(
        f"One thread (NumPy's matrix products where OPENBLAS_NUM_THREADS=1); medians of {effort.rounds} interleaved rounds. "
        "The last column\nis the median of the ratios within a round: above 1, chainrule is faster.\n"
    )
    print(table(["program", *names, *(f"{name}/chainrule" for name in names[1:])], rows, markdown))
