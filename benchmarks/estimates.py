"""What `autograd.estimate` predicts, beside what runs take: peaks by `tracemalloc`, in this process, and operations."""

from __future__ import annotations

from collections.abc import Iterable

from tests.func.estimated import EXAMPLES, HELD_OUT, peak, ways

import chainrule as cr
from benchmarks.libraries import load
from benchmarks.table import environment, table
from chainrule.autograd import estimate


def readable(size: float) -> str:
    """Return bytes in thousands or millions."""
    return f"{size / 1e3:.1f} kB" if size < 1e6 else f"{size / 1e6:.2f} MB"


def estimates(only: Iterable[str] | None, markdown: bool) -> None:
    """Measure and print the table."""
    programs = {**EXAMPLES, **HELD_OUT}
    chosen = [name for name in programs if not only or any(text.lower() in name.lower() for text in only)]
    if not chosen:
        raise SystemExit(f"no program is named like that; there are: {'; '.join(programs)}")
    print(environment(load(())[0]))
    rows = []
    for name in chosen:
        cr.manual_seed(0)
        f, x = programs[name]()
        found = estimate(f, x)
        for way, run in ways(f, x).items():
            said, seen = getattr(found, way), peak(run)
            rows.append(
                [f"{name}, {way}", f"{said.operations:,}", readable(said.peak), readable(seen), f"{said.peak / seen:.3f}"]
            )
    print("\nOperations and the peak as predicted; the peak as measured; the ratio of the two.\n")
    print(table(["program", "operations", "peak, predicted", "measured", "ratio"], rows, markdown))
