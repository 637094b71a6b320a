"""Measured times of one task: their statistics, and how they read."""

from __future__ import annotations

import dataclasses
import functools
import math
import textwrap
from collections.abc import Iterable
from typing import Any

import numpy as np

__all__ = ["Measurement", "TaskSpec", "ordered_unique", "select_unit", "trim_sigfig", "unit_to_english"]

_UNITS = {"ns": ("nanosecond", 1e-9), "us": ("microsecond", 1e-6), "ms": ("millisecond", 1e-3), "s": ("second", 1)}
_SHORTEST_INTERVAL = 25e-9  # seconds that no clock and no loop can be trusted below
_SUSPECT, _GROSS = 0.1, 0.25  # interquartile ranges, relative to the median, that a measurement warns of


@dataclasses.dataclass(repr=False, frozen=True)
class TaskSpec:
    """What is measured: a statement, and what the user calls it.

    Attributes
    ----------
    stmt, setup, global_setup : str
        The statement, and what is run before it; the last is for C++, and empty.
    label, sub_label, description, env : str, optional
        The title of a table, of a row, of a column, and what else sets a measurement apart.
    num_threads : int
        How many threads it may use.
    """

    stmt: str
    setup: str
    global_setup: str = ""
    label: str | None = None
    sub_label: str | None = None
    description: str | None = None
    env: str | None = None
    num_threads: int = 1

    @property
    def title(self) -> str:
        """What the measurement is called: its label, or else the statement, and the sub-label."""
        if self.label is None and "\n" in self.stmt:
            return f"stmt:{f' ({self.sub_label})' if self.sub_label else ''}\n{textwrap.indent(self.stmt, '  ')}"
        return (self.stmt if self.label is None else self.label) + (f": {self.sub_label}" if self.sub_label else "")

    def setup_str(self) -> str:
        """Return the setup as it is shown; nothing if there is none."""
        if not self.setup or self.setup == "pass":
            return ""
        return f"setup:\n{textwrap.indent(self.setup, '  ')}" if "\n" in self.setup else f"setup: {self.setup}"

    def summarize(self) -> str:
        """Return title, description and setup, each on a line."""
        parts = (self.title, self.description, self.setup_str())
        return "\n".join([f"{part}\n" if "\n" in part else part for part in parts if part])


_TOLD_BY_SPEC = tuple(field.name for field in dataclasses.fields(TaskSpec))


@dataclasses.dataclass(repr=False)
class Measurement:
    """Times of one task.

    Attributes
    ----------
    number_per_run : int
        How often the statement ran in each.
    raw_times : list of float
        Seconds that each took.
    task_spec : TaskSpec
        What was measured; its attributes are the measurement's too.
    metadata : dict, optional
        The user's own.

    Examples
    --------
    >>> from chainrule.utils.benchmark import Measurement, TaskSpec
    >>> m = Measurement(10, [1e-5, 2e-5, 3e-5, 4e-5], TaskSpec("x + 1", "pass"))
    >>> round(m.median * 1e6, 9), round(m.iqr * 1e6, 9), m.significant_figures
    (2.5, 1.5, 1)
    """

    number_per_run: int
    raw_times: list[float]
    task_spec: TaskSpec
    metadata: dict[Any, Any] | None = None

    def __getattr__(self, name: str) -> Any:
        if name in _TOLD_BY_SPEC:
            return getattr(self.task_spec, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def times(self) -> list[float]:
        """Seconds for one run of the statement, from each measurement."""
        return [t / self.number_per_run for t in self.raw_times]

    @functools.cached_property
    def _quartiles(self) -> tuple[float, float, float]:
        low, middle, high = np.quantile(self.times, (0.25, 0.5, 0.75)).tolist() if self.raw_times else (-1.0, -1.0, -1.0)
        return low, middle, high

    @property
    def median(self) -> float:
        """The median of the times, in seconds; -1 of none."""
        return self._quartiles[1]

    @property
    def mean(self) -> float:
        """The mean of the times, in seconds; -1 of none."""
        return float(np.mean(self.times)) if self.raw_times else -1.0

    @property
    def iqr(self) -> float:
        """The interquartile range, in seconds."""
        return self._quartiles[2] - self._quartiles[0]

    @property
    def significant_figures(self) -> int:
        """How many digits of the median can be trusted, 1 to 4: by the spread of the middle half of the times."""
        n = len(self.raw_times)
        middle = sorted(self.times)[n // 4 : math.ceil(3 * n / 4)]
        interval = max(1.645 * float(np.std(middle)) / math.sqrt(len(middle)), _SHORTEST_INTERVAL)
        return min(max(math.floor(math.log10(self.median / interval)), 1), 4)

    def meets_confidence(self, threshold: float = _SUSPECT) -> bool:
        """Tell whether the interquartile range is below a part of the median."""
        return self.iqr / self.median < threshold

    @property
    def _warning(self) -> str:
        if not self.raw_times or self.meets_confidence(_SUSPECT):
            return ""
        why = (
            "could indicate system fluctuation"
            if self.meets_confidence(_GROSS)
            else "suggests significant environmental influence"
        )
        spread = self.iqr / self.median * 100
        return f"  WARNING: Interquartile range is {spread:.1f}% of the median measurement.\n           This {why}."

    @property
    def has_warnings(self) -> bool:
        """Whether the spread is such that the times are suspect."""
        return bool(self._warning)

    @property
    def title(self) -> str:
        """What the measurement is called."""
        return self.task_spec.title

    @property
    def as_row_name(self) -> str:
        """What the measurement is called in a table."""
        return self.sub_label or self.stmt or "[Unknown]"

    def __repr__(self) -> str:
        n, threads = len(self.raw_times), self.num_threads
        unit, scale = select_unit(self.median)
        low, middle, high = [t / scale for t in self._quartiles]
        lines = [object.__repr__(self), self.task_spec.summarize(), f"  {'Median: ' if n > 1 else ''}{middle:.2f} {unit}"]
        if n >= 4:
            lines.append(f"  IQR:    {high - low:.2f} {unit} ({low:.2f} to {high:.2f})")
        each = "per measurement," if n > 1 else ","
        count = f"  {n} measurement{'s' if n > 1 else ''}, {self.number_per_run} runs {each}"
        lines.append(f"{count} {threads} thread{'s' if threads > 1 else ''}")
        return "\n".join([*lines, self._warning]).rstrip("\n")

    @staticmethod
    def merge(measurements: Iterable[Measurement]) -> list[Measurement]:
        """Return one measurement for each task, with the times of all."""
        groups: dict[TaskSpec, list[float]] = {}
        for m in measurements:
            groups.setdefault(m.task_spec, []).extend(m.times)
        return [Measurement(1, times, spec) for spec, times in groups.items()]


def select_unit(t: float) -> tuple[str, float]:
    """Return the unit to show a time of so many seconds in, and how many seconds that is.

    Examples
    --------
    >>> from chainrule.utils.benchmark import select_unit
    >>> select_unit(3e-5)
    ('us', 1e-06)
    """
    power = int(math.log10(t) // 3) if t > 0 else 0
    unit = {-3: "ns", -2: "us", -1: "ms"}.get(power, "s")
    return unit, _UNITS[unit][1]


def unit_to_english(u: str) -> str:
    """Return the name of a unit.

    Examples
    --------
    >>> from chainrule.utils.benchmark import unit_to_english
    >>> unit_to_english("us")
    'microsecond'
    """
    return _UNITS[u][0]


def trim_sigfig(x: float, n: int) -> float:
    """Return a number with only so many digits.

    Examples
    --------
    >>> from chainrule.utils.benchmark import trim_sigfig
    >>> trim_sigfig(3.14159, 3)
    3.14
    """
    if n != int(n):
        raise AssertionError("Number of significant figures must be an integer")
    return float(f"{x:.{max(int(n), 1) - 1}e}")


def ordered_unique(elements: Iterable[Any]) -> list[Any]:
    """Return the elements without repetitions, in the order of their first.

    Examples
    --------
    >>> from chainrule.utils.benchmark import ordered_unique
    >>> ordered_unique("abab")
    ['a', 'b']
    """
    return list(dict.fromkeys(elements))
