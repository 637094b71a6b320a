"""One test for a dozen ops or functions, which runs all their cases: a test costs pytest 4 ms, which is more than most laws do.

With ``-k`` each name has a test of its own, so that ``pytest tests/ops -k mul`` runs what concerns `mul` and nothing else.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any
from zlib import crc32

import pytest

TOGETHER = 16
"""How many names one test runs. `conftest.py` sets it to 1 where tests are chosen by name."""


def of_op(case: Any) -> str:
    """Return the name of a case's op."""
    return case.op.name


def of_function(call: Any) -> str:
    """Return the name of a call's function."""
    return call.function.name


def by_name(
    argument: str, items: Iterable[Any], name: Callable[[Any], str] = of_op, *, fast: int | None = None, share: int = 1
) -> Callable:
    """Parametrize a check of one item by the items' names; a test runs all of some names and tells which fail.

    Parameters
    ----------
    argument : str
        The check's argument that takes an item.
    items : iterable
        Their `repr` is what a failure is told by.
    name : callable
        Returns an item's name, that of its op if not given. ``pytest -k NAME`` runs the items of one.
    fast : int, optional
        So many items of each name are checked in the fast set, the rest in the slow one; all in the fast one if not given.
    share : int
        Of the items behind each name's first, and not in the fast set, one in so many is checked where the test is; the
        others in the sweep alone. Which, their own names decide, so that another item changes nothing for them.

    Returns
    -------
    callable
        The decorator. A check may skip an item; the test is skipped if all of its items are.
    """
    groups: dict[str, list] = {}
    for item in items:
        groups.setdefault(name(item), []).append(item)
    own, slow, swept = {}, {}, {}
    for key, group in groups.items():
        first, others = group[: fast or 1], group[fast or 1 :]
        checked = first + [item for item in others if is_drawn(item, share)]
        own[key], slow[f"{key}-rest"] = checked[:fast], [] if fast is None else checked[fast:]
        swept[f"{key}-swept"] = [item for item in others if not is_drawn(item, share)]
    parameters = [*_tests(own), *_tests(slow, marks=pytest.mark.slow), *_tests(swept, marks=pytest.mark.sweep)]

    def decorate(check: Callable) -> Callable:
        @pytest.mark.parametrize(argument, parameters)
        @functools.wraps(check)
        def test(**given: Any) -> None:
            run_each(lambda item: check(**{**given, argument: item}), given[argument])

        return test

    return decorate


def is_drawn(item: Any, share: int) -> bool:
    """Tell whether an item is the one in so many."""
    return crc32(repr(item).encode()) % share == 0


def _tests(groups: dict[str, list], **marks: Any) -> list:
    """Return the parameters of tests that run so many groups each, called by the first and the last; none of empty ones."""
    found = []
    having = [key for key, group in groups.items() if group]
    for start in range(0, len(having), TOGETHER):
        names = having[start : start + TOGETHER]
        items = [item for key in names for item in groups[key]]
        found.append(pytest.param(items, id="..".join(dict.fromkeys([names[0], names[-1]])), **marks))
    return found


def run_each(check: Callable[[Any], None], items: list) -> None:
    """Run a check of every item; raise what failed, with the items' names, once all have run."""
    failed, skipped = [], []
    for item in items:
        try:
            check(item)
        except pytest.skip.Exception as skip:
            skipped.append(f"{item!r}: {skip}")
        except Exception as error:
            error.add_note(f"of {item!r}")
            failed.append((item, error))
    if len(failed) == 1:
        raise failed[0][1]
    if failed:
        names = ", ".join(repr(item) for item, _ in failed)
        raise ExceptionGroup(f"{len(failed)} of {len(items)} cases fail: {names}", [error for _, error in failed])
    if items and len(skipped) == len(items):
        pytest.skip("; ".join(skipped))
