"""One test for each op or function, which runs all its cases: a test of its own for each costs more than most laws do."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import pytest


def of_op(case: Any) -> str:
    """Return the name of a case's op."""
    return case.op.name


def of_function(call: Any) -> str:
    """Return the name of a call's function."""
    return call.function.name


def by_name(argument: str, items: Iterable[Any], name: Callable[[Any], str] = of_op, *, fast: int | None = None) -> Callable:
    """Parametrize a check of one item by the items' names; the test runs all of a name and tells which fail.

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

    Returns
    -------
    callable
        The decorator. A check may skip an item; the test is skipped if all of its items are.
    """
    groups: dict[str, list] = {}
    for item in items:
        groups.setdefault(name(item), []).append(item)
    parameters = [pytest.param(group[:fast], id=key) for key, group in groups.items()]
    if fast is not None:
        slow = {key: group[fast:] for key, group in groups.items() if len(group) > fast}
        parameters += [pytest.param(group, id=f"{key}-rest", marks=pytest.mark.slow) for key, group in slow.items()]

    def decorate(check: Callable) -> Callable:
        @pytest.mark.parametrize(argument, parameters)
        @functools.wraps(check)
        def test(**given: Any) -> None:
            run_each(lambda item: check(**{**given, argument: item}), given[argument])

        return test

    return decorate


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
