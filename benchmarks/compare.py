"""The comparison: every case in every library, checked to give the same results, then timed in rounds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

import numpy as np

from benchmarks.cases import CASES, Case
from benchmarks.libraries import load
from benchmarks.table import duration, environment, table
from benchmarks.timing import Effort, interleaved, ratio


def steps_of(case: Case, libraries: Iterable) -> dict[str, Callable]:
    """Build a case in every library, run it once, and return the steps.

    Raises
    ------
    AssertionError
        If the libraries' results differ by more than rounding.
    """
    steps: dict[str, Callable] = {}
    expected: list = []
    for library in libraries:
        step, read = case.build(library)
        results = [library.read(value) for value in read(step())]
        steps[library.name] = step
        expected = expected or results
        assert_equal(results, expected, f"{case.name} in {library.name}")
    return steps


def assert_equal(results: list, expected: list, where: str) -> None:
    """Compare arrays up to single-precision rounding, relative to the largest entry of each."""
    assert len(results) == len(expected), where
    for found, wanted in zip(results, expected, strict=True):
        assert found.shape == wanted.shape, f"{where}: shapes {found.shape} and {wanted.shape}"
        np.testing.assert_allclose(found, wanted, rtol=0, atol=3e-6 * float(np.abs(wanted).max()), err_msg=where)


def selected(only: Iterable[str] | None) -> list[Case]:
    """Return the cases whose names contain one of the given texts; all without any."""
    if not only:
        return CASES
    found = [case for case in CASES if any(text.lower() in case.name.lower() for text in only)]
    if not found:
        raise SystemExit(f"no case is named like {', '.join(only)}; there are: {'; '.join(c.name for c in CASES)}")
    return found


def compare(only: Iterable[str] | None, peers: tuple[str, ...], effort: Effort, markdown: bool) -> None:
    """Time the cases and print the table."""
    libraries, missing = load(peers)
    names = [library.name for library in libraries]
    print(environment(libraries))
    if missing:
        print(f"not installed, so left out: {', '.join(missing)}")
    rows = []
    for case in selected(only):
        print(f"  {case.name} ...", file=sys.stderr)
        times = interleaved(steps_of(case, libraries), effort)
        rows.append(
            [
                case.name,
                *(duration(float(np.median(times[name]))) for name in names),
                *(f"{ratio(times, name, 'chainrule'):.2f}" for name in names[1:]),
            ]
        )
    print(
        f"One forward and backward pass; medians of {effort.rounds} interleaved rounds. The last columns are medians of "
        "the ratios\nwithin a round: above 1, chainrule is faster.\n"
    )
    print(table(["case", *names, *(f"{name}/chainrule" for name in names[1:])], rows, markdown))
