"""law: the decorator that makes a check a law: it has a name, and whatever goes wrong in it is an `OpError`."""

from __future__ import annotations

import functools
from collections.abc import Callable

from chainrule.testing.case import Case, OpError

Law = Callable[[Case], None]


def law(name: str) -> Callable[[Callable[[Case], str | None]], Law]:
    """Make a law of a function of a case that returns what is wrong, or None.

    Parameters
    ----------
    name : str
        What holds if the law does, as the error tells it.
    """

    def declare(check: Callable[[Case], str | None]) -> Law:
        @functools.wraps(check)
        def checked(case: Case) -> None:
            try:
                wrong = check(case)
            except Exception as error:
                where = "".join(f"{note}: " for note in getattr(error, "__notes__", ()))
                raise OpError(name, case, f"{where}raised {type(error).__name__}: {error}") from error
            if wrong is not None:
                raise OpError(name, case, wrong)

        checked.name = name  # type: ignore[attr-defined]
        return checked

    return declare
