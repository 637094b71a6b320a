"""What a profile found: events, and their sums by name, as lists that print as tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

__all__ = ["EventList", "FunctionEvent", "FunctionEventAvg", "Interval"]


def _shown(us: float) -> str:
    """Return a time in microseconds as PyTorch prints it."""
    if us >= 1e6:
        return f"{us / 1e6:.3f}s"
    return f"{us / 1e3:.3f}ms" if us >= 1e3 else f"{us:.3f}us"


class Interval:
    """When an event began and ended, in microseconds since its profile began."""

    def __init__(self, start: float, end: float):
        self.start, self.end = start, end

    def elapsed_us(self) -> float:
        """Return its length."""
        return self.end - self.start


class _Timed:
    """What one event and a sum of events have in common."""

    count: int
    cpu_time_total: float
    self_cpu_time_total: float

    @property
    def cpu_time(self) -> float:
        """Microseconds per call, those of what it called included."""
        return self.cpu_time_total / self.count if self.count else 0.0

    @property
    def cpu_time_str(self) -> str:
        """`cpu_time` as a table shows it."""
        return _shown(self.cpu_time)

    @property
    def cpu_time_total_str(self) -> str:
        """`cpu_time_total` as a table shows it."""
        return _shown(self.cpu_time_total)

    @property
    def self_cpu_time_total_str(self) -> str:
        """`self_cpu_time_total` as a table shows it."""
        return _shown(self.self_cpu_time_total)


class FunctionEvent(_Timed):
    """One op, node or range that ran.

    Attributes
    ----------
    name, key : str
        Of the op or node, or of the range that :class:`record_function` marked.
    time_range : Interval
        When it ran.
    cpu_parent, cpu_children : FunctionEvent or None, list of FunctionEvent
        What it ran inside of, and what ran inside of it.
    input_shapes : list
        Of an op's inputs, where the profile records them.
    stack : list of str
        Where the user called it, where the profile records that.
    """

    count = 1

    def __init__(self, id: int, name: str, thread: int, start: float, input_shapes: list, stack: list[str]):
        self.id, self.name, self.thread = id, name, thread
        self.time_range = Interval(start, start)
        self.input_shapes, self.stack = input_shapes, stack
        self.cpu_children: list[FunctionEvent] = []
        self.cpu_parent: FunctionEvent | None = None

    @property
    def key(self) -> str:
        """The name."""
        return self.name

    @property
    def cpu_time_total(self) -> float:  # type: ignore[override]
        """Microseconds, those of what it called included."""
        return self.time_range.elapsed_us()

    @property
    def self_cpu_time_total(self) -> float:  # type: ignore[override]
        """Microseconds, without those of what it called."""
        return self.cpu_time_total - sum(child.cpu_time_total for child in self.cpu_children)

    def __repr__(self) -> str:
        return (
            f"<FunctionEvent id={self.id} name={self.name} cpu_time={self.cpu_time_str} start_us={self.time_range.start:.3f} "
            f"end_us={self.time_range.end:.3f} cpu_children={[c.id for c in self.cpu_children]} thread={self.thread} "
            f"input_shapes={self.input_shapes}>"
        )


class FunctionEventAvg(_Timed):
    """The sum of the events of one name (and of the same shapes or stack, if asked for)."""

    def __init__(self, key: str, input_shapes: Any = "", stack: list[str] | None = None):
        self.key, self.input_shapes, self.stack = key, input_shapes, stack or []
        self.count = 0
        self.cpu_time_total = self.self_cpu_time_total = 0.0

    def add(self, event: Any) -> FunctionEventAvg:
        """Add an event, or a sum of events."""
        self.count += event.count
        self.cpu_time_total += event.cpu_time_total
        self.self_cpu_time_total += event.self_cpu_time_total
        return self

    def __repr__(self) -> str:
        return (
            f"<FunctionEventAvg key={self.key} self_cpu_time={self.self_cpu_time_total_str} cpu_time={self.cpu_time_str} "
            f"input_shapes={self.input_shapes}>"
        )


class EventList(list):
    """Events or sums of events; prints as a table."""

    def __str__(self) -> str:
        return self.table()

    @property
    def self_cpu_time_total(self) -> float:
        """Microseconds in all events."""
        return sum(event.self_cpu_time_total for event in self)

    def key_averages(self, group_by_input_shapes: bool = False, group_by_stack_n: int = 0) -> EventList:
        """Return the sums of the events by name.

        Parameters
        ----------
        group_by_input_shapes : bool
            Keep calls with inputs of other shapes apart.
        group_by_stack_n : int
            Keep calls from elsewhere apart, by so many innermost lines of the user's.
        """
        sums: dict[tuple, FunctionEventAvg] = {}
        for event in self:
            shapes = event.input_shapes if group_by_input_shapes else ""
            stack = event.stack[:group_by_stack_n]
            key = (event.key, str(shapes), tuple(stack))
            if key not in sums:
                sums[key] = FunctionEventAvg(event.key, shapes, stack)
            sums[key].add(event)
        return EventList(sums.values())

    def total_average(self) -> FunctionEventAvg:
        """Return the sum of all events."""
        total = FunctionEventAvg("Total")
        for event in self:
            total.add(event)
        return total

    def table(
        self,
        sort_by: str | None = None,
        row_limit: int = 100,
        max_src_column_width: int = 75,
        max_name_column_width: int = 55,
        header: str | None = None,
        top_level_events_only: bool = False,
    ) -> str:
        """Return the events as the text of a table.

        Parameters
        ----------
        sort_by : str, optional
            A number of each event, the largest first: ``"cpu_time"``, ``"cpu_time_total"``, ``"self_cpu_time_total"``,
            ``"count"``.
        row_limit : int
            How many events to show; -1 for all.
        max_src_column_width, max_name_column_width : int
            Longer texts are cut.
        header : str, optional
            Text above the table.
        top_level_events_only : bool
            Leave out what ran inside of other events.
        """
        rows: list[Any] = list(self)
        if top_level_events_only:
            rows = [e for e in rows if getattr(e, "cpu_parent", None) is None]
        total = self.self_cpu_time_total
        if sort_by is not None:
            rows.sort(key=lambda e: getattr(e, sort_by), reverse=True)
        if row_limit >= 0:
            rows = rows[:row_limit]
        shaped, traced = any(e.input_shapes for e in rows), any(e.stack for e in rows)
        titles = ["Name", "Self CPU %", "Self CPU", "CPU total %", "CPU total", "CPU time avg", "# of Calls"]
        titles += ["Input Shapes"] * shaped + ["Source Location"] * traced
        cells = [titles]
        for e in rows:
            row = [
                _cut(e.key, max_name_column_width), _percent(e.self_cpu_time_total, total), e.self_cpu_time_total_str,
                _percent(e.cpu_time_total, total), e.cpu_time_total_str, e.cpu_time_str, str(e.count),
            ]  # fmt: skip
            row += [str(e.input_shapes)] * shaped + [_cut(e.stack[0] if e.stack else "", max_src_column_width)] * traced
            cells.append(row)
        widths = [max(12, *[len(row[i]) for row in cells]) for i in range(len(titles))]
        rule = "  ".join("-" * w for w in widths)
        lines = ["  ".join(text.rjust(w) for text, w in zip(row, widths, strict=True)) for row in cells]
        shown = [header] if header else []
        return "\n".join([*shown, rule, lines[0], rule, *lines[1:], rule, f"Self CPU time total: {_shown(total)}", ""])

    def export_chrome_trace(self, path: str) -> None:
        """Write the events to a file that Chrome's ``chrome://tracing`` and Perfetto show."""
        with open(path, "w") as f:
            json.dump(list(self._traced()), f)

    def _traced(self) -> Iterator[dict]:
        for e in self:
            start = e.time_range.start
            yield {"name": e.name, "ph": "X", "ts": start, "dur": e.cpu_time_total, "tid": e.thread, "pid": "CPU functions"}


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.2f}%" if whole else "0.00%"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."
