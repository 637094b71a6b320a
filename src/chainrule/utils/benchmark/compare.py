"""A table of measurements: a row for each sub-label, a column for each description, a table for each label."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable

from chainrule.utils.benchmark.measurement import Measurement, ordered_unique, select_unit, trim_sigfig, unit_to_english

__all__ = ["Colorize", "Compare"]

_BOLD, _END = "\033[1m", "\033[0m"
_BEST, _GOOD, _BAD, _VERY_BAD = "\033[92m", "\033[34m", "\033[2m\033[91m", "\033[31m"
_GAP = "  |  "


class Colorize(enum.Enum):
    """What times are compared with for their colours: nothing, those in a column, or those in a row."""

    NONE = "none"
    COLUMNWISE = "columnwise"
    ROWWISE = "rowwise"


class Compare:
    """A table of measurements, as :meth:`print` shows it and `str` returns it.

    Parameters
    ----------
    results : list of Measurement
        Those of one task are merged.

    Raises
    ------
    ValueError
        If one of them is something else.

    Examples
    --------
    >>> from chainrule.utils.benchmark import Compare, Measurement, TaskSpec
    >>> def took(ms, row, column):
    ...     return Measurement(1, [ms / 1000], TaskSpec("", "", label="Sum", sub_label=row, description=column))
    >>> Compare([took(1, "loop", "n=1"), took(2, "loop", "n=2"), took(3, "fused", "n=2")]).print()
    [---------- Sum ----------]
                 |  n=1  |  n=2
    1 threads: ----------------
          loop   |  1.0  |  2.0
          fused  |       |  3.0
    <BLANKLINE>
    Times are in milliseconds (ms).
    <BLANKLINE>
    """

    def __init__(self, results: list[Measurement]) -> None:
        self._results: list[Measurement] = []
        self.extend_results(results)
        self._trim, self._colorize, self._highlight = False, Colorize.NONE, False

    def extend_results(self, results: Iterable[Measurement]) -> None:
        """Add measurements."""
        results = list(results)
        for r in results:
            if not isinstance(r, Measurement):
                raise ValueError(f"Expected an instance of `Measurement`, got {type(r)} instead.")
        self._results += results

    def trim_significant_figures(self) -> None:
        """Show only the digits that can be trusted."""
        self._trim = True

    def colorize(self, rowwise: bool = False) -> None:
        """Colour times by how they compare with the best of their column, or row."""
        self._colorize = Colorize.ROWWISE if rowwise else Colorize.COLUMNWISE

    def highlight_warnings(self) -> None:
        """Show the spread of the times that are suspect."""
        self._highlight = True

    def print(self) -> None:
        """Print the tables."""
        print(str(self))  # noqa: T201 - what it is for

    def __str__(self) -> str:
        groups: dict[str | None, list[Measurement]] = {}
        for m in Measurement.merge(self._results):
            groups.setdefault(m.label, []).append(m)
        return "\n".join([_Table(group, self._trim, self._colorize, self._highlight).text() for group in groups.values()])


class _Table:
    """The table of one label."""

    def __init__(self, results: list[Measurement], trim: bool, colorize: Colorize, highlight: bool):
        self.results, self.trim, self.colorize, self.highlight = results, trim, colorize, highlight
        self.unit, self.scale = select_unit(min(m.median for m in results))
        self.envs = len({m.env for m in results}) > 1
        self.columns = ordered_unique([m.description for m in results])
        self.rows = sorted(ordered_unique([_row_of(m) for m in results]), key=lambda row: row[:2])
        self.cells = {(_row_of(m), m.description): m for m in results}

    def text(self) -> str:
        names = self._names()
        columns = [self._column(c) for c in self.columns]
        heads = [c or "" for c in self.columns]
        widths = [max(len(head), *map(len, texts)) for head, texts in zip(heads, columns, strict=True)]
        left = max(map(len, names))
        lines = [_GAP.join([" " * left, *[head.center(w) for head, w in zip(heads, widths, strict=True)]])]
        width, threads = len(lines[0]), None
        for i, row in enumerate(self.rows):
            if row[0] != threads:
                threads = row[0]
                lines.append(f"{threads} threads: ".ljust(width, "-"))
            shown = [self._coloured(c[i].center(w), row, d) for c, w, d in zip(columns, widths, self.columns, strict=True)]
            lines.append(_GAP.join([names[i].ljust(left), *shown]))
        title = f" {self.results[0].label or ''} ".center(width - 2, "-")
        note = "(! XX%) Measurement has high variance, where XX is the IQR / median * 100.\n"
        warns = self.highlight and any(m.has_warnings for m in self.results)
        times = f"Times are in {unit_to_english(self.unit)}s ({self.unit})."
        return "\n".join([f"[{title}]", *lines, "", times, note if warns else ""])

    def _names(self) -> list[str]:
        """Return what stands left of each row: the environment where it changes, and the row's name."""
        room = max(len(env) for _, env, _ in self.rows) + 4 if self.envs else 4
        names, before = [], (0, "")
        for threads, env, name in self.rows:
            shown = f"({env})" if self.envs and (threads, env) != before else ""
            names.append(f"  {shown.ljust(room)}{name}")
            before = threads, env
        return names

    def _column(self, description: str | None) -> list[str]:
        """Return the texts of a column, all of one width."""
        here = [self.cells.get((row, description)) for row in self.rows]
        there = [m for m in here if m is not None]
        digits = {id(m): math.ceil(math.log10(m.median / self.scale)) for m in there}
        decimals = min([max(m.significant_figures - digits[id(m)], 0) for m in there]) if self.trim else 1
        width = max(digits.values()) + decimals + (decimals > 0)
        room = 7 if self.highlight and any(m.has_warnings for m in there) else 0

        def text(m: Measurement | None) -> str:
            value = 1.0 if m is None else m.median / self.scale
            if self.trim:
                value = trim_sigfig(value, 1 if m is None else m.significant_figures)
            spread = f" (! {m.iqr / m.median * 100:.0f}%)" if m is not None and room and m.has_warnings else ""
            shown = f"{value:>{width}.{decimals}f}{spread:>{room}}"
            return " " * len(shown) if m is None else shown

        return [text(m) for m in here]

    def _coloured(self, text: str, row: tuple, description: str | None) -> str:
        m = self.cells.get((row, description))
        if m is None or self.colorize is Colorize.NONE:
            return text
        if self.colorize is Colorize.ROWWISE:
            rivals = [found for (r, _), found in self.cells.items() if r == row]
        else:
            rivals = [found for (r, d), found in self.cells.items() if d == description and r[0] == row[0]]
        best, value = min(r.median for r in rivals), m.median
        if value <= best * 1.01 or value <= best + 100e-9:
            return f"{_BEST}{_BOLD}{text}{_END}{_END}"
        if value <= best * 1.1:
            return f"{_GOOD}{_BOLD}{text}{_END}{_END}"
        if value >= best * 5:
            return f"{_VERY_BAD}{_BOLD}{text}{_END}{_END}"
        return f"{_BAD}{text}{_END}{_END}" if value >= best * 2 else text


def _row_of(m: Measurement) -> tuple[int, str, str]:
    return m.num_threads, m.env or "", m.as_row_name
