"""Tables and the header that says where the numbers come from."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


def duration(seconds: float) -> str:
    """Return a time with three digits and its unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= 0.9995 * size:
            return f"{seconds / size:#.3g} {unit}".replace(". ", " ")
    return f"{seconds / 1e-9:#.3g} ns".replace(". ", " ")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], markdown: bool = False) -> str:
    """Lay out rows under a head: the first column to the left, the others to the right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    cells = [
        [cell.rjust(width) if i else cell.ljust(width) for i, (cell, width) in enumerate(zip(line, widths, strict=True))]
        for line in lines
    ]
    if not markdown:
        rule = "  ".join("-" * width for width in widths)
        first, *rest = ["  ".join(line).rstrip() for line in cells]
        return "\n".join([first, rule, *rest])
    rule = "| " + " | ".join("-" * (width - 1) + (":" if i else "-") for i, width in enumerate(widths)) + " |"
    first, *rest = ["| " + " | ".join(line) + " |" for line in cells]
    return "\n".join([first, rule, *rest])


def environment(libraries: Iterable[Any]) -> str:
    """Return the versions, the processor, the matrix library, and a warning if others are using the machine."""
    versions = {library.name.split(".")[0]: library.version for library in libraries}
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[index, call-overload]
    found = [
        "Python " + platform.python_version(),
        *(f"{name} {version}" for name, version in versions.items()),
        f"NumPy {np.__version__} with {blas['name']} {blas['version']}",
    ]
    lines = [", ".join(found), f"{os.cpu_count()} cores, {processor()}; threads: every library's defaults"]
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > 0.5:
        lines.append(f"load {load:.1f} at the start: if others use this machine, do not trust the numbers of thread pools")
    return "\n".join(lines)


def processor() -> str:
    """Return the processor's name where the system tells it."""
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
