"""A pytest plugin that writes the outcome of each test as it ends, stops what takes too long, and leaves out what is named."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Generator
from fnmatch import fnmatch
from typing import Any

import pytest

SECONDS = 60
"""What a test may take."""

_outcomes: dict[str, str] = {}


class TooSlow(Exception):  # noqa: N818
    """A test took longer than it may."""


def _stop(signum: int, frame: Any) -> None:
    raise TooSlow(f"more than {SECONDS} s")


def _write(name: str, outcome: str) -> None:
    with open(os.environ["RECORD"], "a", encoding="utf-8") as file:
        file.write(json.dumps([name, outcome]) + "\n")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out the tests that match a pattern."""
    patterns = json.loads(os.environ["LEAVE"])
    items[:] = [item for item in items if not any(fnmatch(item.nodeid, f"*{pattern}*") for pattern in patterns)]


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Write a file that does not import as a failure."""
    if report.failed:
        _write(report.nodeid, "failed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Bound the time of a test."""
    signal.signal(signal.SIGALRM, _stop)
    signal.alarm(SECONDS)
    try:
        return (yield)
    finally:
        signal.alarm(0)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write what a test came to, once it is taken down."""
    order = ("passed", "skipped", "failed")
    so_far = _outcomes.get(report.nodeid, "passed")
    _outcomes[report.nodeid] = max(so_far, report.outcome, key=order.index)
    if report.when == "teardown":
        _write(report.nodeid, _outcomes.pop(report.nodeid))
