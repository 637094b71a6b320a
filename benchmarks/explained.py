"""What is said of the forty planted gradients: by PyTorch's anomaly mode, which knows NaN alone.

The programs, their causes and lines are those of `tests/autograd/planted_gradients.py`. A report is right about the
line if the user's innermost line in it is the one marked as the cause; PyTorch names no cause, but the backward function.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from typing import Any, NamedTuple

from tests.autograd import planted_gradients
from tests.autograd.planted_gradients import FAULTS, PLANTED, Planted

from benchmarks.libraries import load
from benchmarks.table import environment, table

FILE = planted_gradients.__file__


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
            lines = re.findall(rf'File "{re.escape(FILE)}", line (\d+)', "\n".join(str(w.message) for w in caught))
            return Report(named[1], int(lines[-1]) if lines else None)
    return Report()


def explained(only: Iterable[str] | None, peers: tuple[str, ...], markdown: bool) -> None:
    """Print a row for each planted program named like one of the given texts, and how many lines are right."""
    chosen = [p for p in PLANTED if not only or any(text.lower() in p.name for text in only)]
    if not chosen:
        raise SystemExit(f"the planted programs are {', '.join(p.name for p in PLANTED)}")
    libraries, _ = load(tuple(peer for peer in peers if peer == "torch"))
    print(environment(libraries))
    rows, right = [], {(fault, library.name): 0 for fault in FAULTS for library in libraries}
    for planted in chosen:
        reports = {library.name: anomaly_mode(library.lib, planted) for library in libraries}
        rows.append([planted.name, planted.fault, planted.cause, str(planted.line() or ""), *map(str, reports.values())])
        for name, report in reports.items():
            right[planted.fault, name] += report.line is not None and report.line == planted.line()
    names = [f"anomaly mode of {library.name}" for library in libraries]
    print(f"\n{table(['program', 'gradient', 'cause', 'line', *names], rows, markdown)}")
    of_fault = {fault: sum(p.fault == fault for p in chosen) for fault in FAULTS}
    counts = [
        [fault, str(of_fault[fault]), *(str(right[fault, library.name]) for library in libraries)]
        for fault in FAULTS
        if of_fault[fault]
    ]
    print(f"\nlines named right\n\n{table(['gradient', 'programs', *names], counts, markdown)}")
