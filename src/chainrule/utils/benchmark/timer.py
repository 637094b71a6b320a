"""Timing a statement: a number of times, or as often as it takes for the times to be trusted."""

from __future__ import annotations

import contextlib
import enum
import statistics
import textwrap
import timeit
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, NoReturn

from chainrule.core.call.threads import get_num_threads, set_num_threads
from chainrule.utils.benchmark.measurement import Measurement, TaskSpec

__all__ = ["Language", "Timer", "set_torch_threads", "timer"]

timer = timeit.default_timer


class Language(enum.Enum):
    """What a statement is written in."""

    PYTHON = 0
    CPP = 1


@contextlib.contextmanager
def set_torch_threads(n: int) -> Iterator[None]:
    """Let functions use so many threads in a block.

    Examples
    --------
    >>> import chainrule as cr
    >>> with cr.utils.benchmark.set_torch_threads(1):
    ...     cr.get_num_threads()
    1
    """
    before = get_num_threads()
    try:
        set_num_threads(n)
        yield
    finally:
        set_num_threads(before)


def _dedented(code: str) -> str:
    return textwrap.dedent(code).removeprefix("\n").rstrip()


class Timer:
    """Measures the time that a statement takes.

    Parameters
    ----------
    stmt, setup : str
        The statement, and what is run once before each measurement; ``torch`` is defined in both.
    timer : callable
        Returns the time in seconds.
    globals : dict, optional
        What else is defined.
    label, sub_label, description, env : str, optional
        What :class:`Compare` calls the table, the row and the column; what else sets measurements apart.
    num_threads : int
        How many threads functions may use.

    Raises
    ------
    ValueError
        If `stmt` is no text, or for another language.
    NotImplementedError
        For ``language="c++"``: there is no compiler here.

    Examples
    --------
    >>> from chainrule.utils.benchmark import Timer
    >>> m = Timer("x * 2", setup="x = torch.ones(3)", label="Product").timeit(100)
    >>> m.number_per_run, m.title, 0 < m.median < 1
    (100, 'Product', True)
    """

    def __init__(
        self,
        stmt: str = "pass",
        setup: str = "pass",
        global_setup: str = "",
        timer: Callable[[], float] = timer,
        globals: dict[str, Any] | None = None,
        label: str | None = None,
        sub_label: str | None = None,
        description: str | None = None,
        env: str | None = None,
        num_threads: int = 1,
        language: Language | str = Language.PYTHON,
    ) -> None:
        if not isinstance(stmt, str):
            raise ValueError("Currently only a `str` stmt is supported.")
        if language in (Language.CPP, "cpp", "c++"):
            raise NotImplementedError(
                "Timer(language='c++'): chainrule is Python, and compiles no C++; time a Python statement"
            )
        if language not in (Language.PYTHON, "py", "python"):
            raise ValueError(f"Invalid language `{language}`.")
        if global_setup:
            raise ValueError(
                f"global_setup is C++ only, got `{global_setup}`. Most likely this code can simply be moved to `setup`."
            )
        space = dict(globals or {})
        if "torch" not in space:
            space["torch"] = import_module("chainrule.torch")
        stmt, setup = _dedented(stmt), _dedented(setup)
        self._timer = timeit.Timer(stmt, setup, timer, space)
        self._task_spec = TaskSpec(stmt, setup, "", label, sub_label, description, env, num_threads)

    def _timeit(self, number: int) -> float:
        return max(self._timer.timeit(number), 1e-9)

    def _measured(self, number: int, times: list[float]) -> Measurement:
        return Measurement(number, times, self._task_spec)

    def timeit(self, number: int = 1000000) -> Measurement:
        """Run the statement so many times, after a hundredth as many that warm up."""
        with set_torch_threads(self._task_spec.num_threads):
            self._timeit(max(number // 100, 2))
            return self._measured(number, [self._timeit(number)])

    def repeat(self, repeat: int = -1, number: int = -1) -> None:
        """Raise: :meth:`blocked_autorange` repeats."""
        raise NotImplementedError("See `Timer.blocked_autorange.`")

    def autorange(self, callback: Callable[[int, float], NoReturn] | None = None) -> None:
        """Raise: :meth:`blocked_autorange` finds how often."""
        raise NotImplementedError("See `Timer.blocked_autorange.`")

    def _number_for(self, min_run_time: float) -> int:
        """Return how often to run the statement in a measurement, that the clock costs next to nothing; this warms up, too."""
        overhead = statistics.median([self._timeit(0) for _ in range(5)])
        number = 1
        while number * 10 < 1 << 31:
            taken = self._timeit(number)
            if taken > min_run_time or (overhead <= 1e-4 * taken and taken >= min_run_time / 1000):
                break
            number *= 10
        return number

    def blocked_autorange(self, callback: Callable[[int, float], Any] | None = None, min_run_time: float = 0.2) -> Measurement:
        """Measure for a time, running the statement so often in each measurement that the clock costs little.

        Parameters
        ----------
        callback : callable, optional
            Called with the number of runs and the seconds of each measurement.
        min_run_time : float
            Seconds to measure for.
        """
        return self._until(lambda times: True, min_run_time, min_run_time, None, callback)

    def adaptive_autorange(
        self,
        threshold: float = 0.1,
        *,
        min_run_time: float = 0.01,
        max_run_time: float = 10.0,
        callback: Callable[[int, float], Any] | None = None,
    ) -> Measurement:
        """Measure until the interquartile range is below a part of the median, or for the longest time.

        Parameters
        ----------
        threshold : float
            That part.
        min_run_time, max_run_time : float
            Seconds to measure for.
        callback : callable, optional
            Called with the number of runs and the seconds of each measurement.
        """
        return self._until(
            lambda m: len(m.raw_times) > 3 and m.meets_confidence(threshold), 0.05, min_run_time, max_run_time, callback
        )

    def _until(
        self,
        is_enough: Callable[[Measurement], bool],
        block_time: float,
        min_run_time: float,
        max_run_time: float | None,
        callback: Callable[[int, float], Any] | None,
    ) -> Measurement:
        with set_torch_threads(self._task_spec.num_threads):
            number = self._number_for(block_time)
            times: list[float] = []
            total = 0.0
            while total < min_run_time or not is_enough(self._measured(number, times)):
                times.append(self._timeit(number))
                total += times[-1]
                if callback is not None:
                    callback(number, times[-1])
                if max_run_time and total > max_run_time:
                    break
            return self._measured(number, times)

    def collect_callgrind(self, number: int = 100, **options: Any) -> NoReturn:
        """Raise: instructions are counted by Valgrind for a compiled PyTorch.

        Raises
        ------
        NotImplementedError
            Always.
        """
        raise NotImplementedError("collect_callgrind: counts instructions by Valgrind; here, blocked_autorange measures time")
