"""What is said of the forty planted gradients: by `explain`, and by anomaly modes, which know NaN alone.

The programs, their causes and lines are those of `tests/autograd/planted_gradients.py`. A report is right about the
line if the user's innermost line in it is the one marked as the cause, or if there is none to name and it is named a word.
An anomaly mode names no cause, but the backward function.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from tests.autograd.planted_gradients import FAULTS, PLANTED, Planted

import chainrule as cr
from benchmarks.libraries import load
from benchmarks.table import environment, table


class Report(NamedTuple):
    """What a library says of a program: the name of an op or a cause, and a line of the program's file."""

    name: str = "nothing"
    line: int | None = None

    def __str__(self) -> str:
        return self.name if self.line is None else f"{self.name}, line {self.line}"


def anomaly_mode(lib: Any, planted: Planted) -> Report:
    """Return the function that a library's anomaly mode names, and the user's innermost line of its forward call."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with lib.autograd.detect_anomaly():
                planted.gradient(lib)
        except RuntimeError as error:
            named = re.search(r"Function '(\w+)' returned nan", str(error))
            if named is None:
                raise
            file, text = re.escape(planted.program.__code__.co_filename), "\n".join(str(w.message) for w in caught)
            lines = re.findall(rf'File "{file}", line (\d+)', text)
            return Report(named[1], int(lines[-1]) if lines else None)
    return Report()


def by_explain(planted: Planted) -> Report:
    """Return the cause and the line that `explain` gives for the whole program."""

    def whole() -> tuple:
        f, inputs = planted.made()
        return f(*inputs), inputs[planted.asked]

    (found,) = cr.explain(whole)
    return Report(found.cause, found.line)


def is_right(planted: Planted, report: Report) -> bool:
    """Return whether a report names the line, or where there is none, the cause."""
    if planted.line() is None:
        return report.name == planted.cause
    return report.line == planted.line()


def explained(only: Iterable[str] | None, peers: tuple[str, ...], markdown: bool) -> None:
    """Print a row for each planted program named like one of the given texts, and how many lines are right."""
    chosen = [p for p in PLANTED if not only or any(text.lower() in p.name for text in only)]
    if not chosen:
        raise SystemExit(f"the planted programs are {', '.join(p.name for p in PLANTED)}")
    libraries, _ = load(tuple(peer for peer in peers if peer == "torch"))
    print(environment(libraries))
    ways: dict[str, Callable[[Planted], Report]] = {"explain": by_explain}
    ways.update({f"anomaly mode of {library.name}": partial(anomaly_mode, library.lib) for library in libraries})
    rows, right = [], dict.fromkeys(((fault, way) for fault in FAULTS for way in ways), 0)
    for planted in chosen:
        reports = {way: report(planted) for way, report in ways.items()}
        rows.append([planted.name, planted.fault, planted.cause, str(planted.line() or ""), *map(str, reports.values())])
        for way, report in reports.items():
            right[planted.fault, way] += is_right(planted, report)
    print(f"\n{table(['program', 'gradient', 'cause', 'line', *ways], rows, markdown)}")
    of_fault = {fault: sum(p.fault == fault for p in chosen) for fault in FAULTS}
    counts = [[f, str(of_fault[f]), *(str(right[f, way]) for way in ways)] for f in FAULTS if of_fault[f]]
    print(f"\nlines named right\n\n{table(['gradient', 'programs', *ways], counts, markdown)}")
