"""Timers and tables of times: read as PyTorch's."""

from __future__ import annotations

import pickle
import re

import pytest

import chainrule as cr
from chainrule.utils import benchmark

UNITS = (3e-10, 5e-9, 2e-7, 1.0, 1e-6, 4.2e-4, 0.02, 7.0, 4e3)


def theirs():
    return pytest.importorskip("torch.utils.benchmark")


def taken(lib, times, number=10, **spec):
    return lib.Measurement(number, list(times), lib.TaskSpec(**{"stmt": "x + 1", "setup": "pass", **spec}))


def shown(value):
    return re.sub(r"<[\w.]+ object at 0x\w+>", "<>", str(value))


TIMES = [
    [1e-5],
    [1e-5, 2e-5],
    [1e-5 * k for k in (1, 1.1, 1.2, 1.3, 1.05)],
    [3.0, 4.0, 9.0, 1.0],
    [0.02 + k * 1e-6 for k in range(9)],
]


@pytest.mark.parametrize("times", TIMES, ids=len)
def test_statistics_and_text_are_pytorchs(times):
    specs = [
        {"label": "L", "sub_label": "s", "description": "d", "num_threads": 2},
        {"sub_label": "s", "setup": "x = 1"},
        {"stmt": "a\nb", "setup": "c\nd", "sub_label": "e"},
    ]
    for spec in specs:
        ours, other = taken(benchmark, times, **spec), taken(theirs(), times, **spec)
        assert shown(ours) == shown(other)
        for name in ("median", "mean", "iqr"):
            assert getattr(ours, name) == pytest.approx(getattr(other, name), rel=1e-12)
        for name in ("significant_figures", "has_warnings", "title", "as_row_name", "times", "sub_label", "num_threads"):
            assert getattr(ours, name) == getattr(other, name), name
        assert pickle.loads(pickle.dumps(ours)) == ours


def test_units_are_pytorchs():
    for t in UNITS:
        assert benchmark.select_unit(t) == theirs().select_unit(t)
        for n in (1, 2, 3):
            assert benchmark.trim_sigfig(t, n) == pytest.approx(theirs().trim_sigfig(t, n), rel=1e-6)
    assert [benchmark.unit_to_english(u) for u in ("ns", "us", "ms", "s")] == [
        "nanosecond",
        "microsecond",
        "millisecond",
        "second",
    ]


def measurements(lib, envs):
    found = []
    for k, (label, row, column) in enumerate(
        (label, row, column) for label in ("A", "B") for row in ("first", "2nd") for column in ("n=1", "n=10", "n=100")
    ):
        times = [1e-5 * (k + 1) ** 2 * (1 + j / (20 + 100 * (k % 2))) for j in range(8)]
        for env in ("old", "new")[: envs + 1]:
            for threads in (1, 2):
                if (row, column, threads) != ("2nd", "n=10", 2):
                    spec = {"label": label, "sub_label": row, "description": column, "num_threads": threads}
                    found += [taken(lib, times, env=env if envs else None, **spec)] * 2
    return found


@pytest.mark.parametrize("envs", [0, 1])
@pytest.mark.parametrize("how", ["", "trim_significant_figures", "highlight_warnings", "colorize", "rowwise"])
def test_tables_are_pytorchs(how, envs):
    texts = []
    for lib in (benchmark, theirs()):
        table = lib.Compare(measurements(lib, envs))
        if how:
            table.colorize(rowwise=True) if how == "rowwise" else getattr(table, how)()
        texts.append(str(table))
    assert texts[0] == texts[1]


def test_a_timer_measures_what_it_is_asked_to():
    t = benchmark.Timer("calls.append(torch.get_num_threads())", "y = calls", globals={"calls": (calls := [])}, num_threads=1)
    m = t.timeit(200)
    assert (m.number_per_run, len(m.raw_times), len(calls), set(calls)) == (200, 1, 202, {1})
    now, seen = [0.0], []
    slow = benchmark.Timer("now[0] += 1e-3", timer=lambda: now[0], globals={"now": now})
    m = slow.blocked_autorange(callback=lambda n, taken: seen.append(n), min_run_time=0.1)
    assert (m.number_per_run, m.median, set(seen)) == (1, pytest.approx(1e-3), {1})
    assert len(m.raw_times) == len(seen) in (100, 101)
    assert len(slow.adaptive_autorange().raw_times) == 10
    steps = iter(range(10**6))
    uneven = benchmark.Timer("now[0] += 1e-4 * next(steps)", timer=lambda: now[0], globals={"now": now, "steps": steps})
    assert 5 < sum(uneven.adaptive_autorange(max_run_time=5.0).raw_times) < 6


def test_a_statement_that_is_indented_runs():
    m = benchmark.Timer(
        """
        y = x + 1
        z = y * 2
        """,
        setup="""
            x = torch.ones(2)
        """,
    ).timeit(3)
    assert (m.stmt, m.setup) == ("y = x + 1\nz = y * 2", "x = torch.ones(2)")


def test_threads_are_as_before_after_a_measurement():
    before = cr.get_num_threads()
    with pytest.raises(ZeroDivisionError):
        benchmark.Timer("1 / 0").timeit(2)
    assert cr.get_num_threads() == before


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda b: b.Timer(3), ValueError, "Currently only a `str` stmt is supported."),
        (lambda b: b.Timer(language="x"), ValueError, "Invalid language `x`."),
        (lambda b: b.Timer(global_setup="z"), ValueError, "global_setup is C\\+\\+ only, got `z`."),
        (lambda b: b.Timer().repeat(), NotImplementedError, "See `Timer.blocked_autorange.`"),
        (lambda b: b.Compare([3]), ValueError, "Expected an instance of `Measurement`"),
    ],
)
def test_errors_are_pytorchs(call, error, words):
    for lib in (benchmark, theirs()):
        with pytest.raises(error, match=words):
            call(lib)


def test_what_needs_a_compiler_says_so():
    with pytest.raises(NotImplementedError, match="compiles no C"):
        benchmark.Timer(language="c++")
    with pytest.raises(NotImplementedError, match="blocked_autorange"):
        benchmark.Timer().collect_callgrind()
