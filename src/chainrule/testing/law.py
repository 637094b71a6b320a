"""law: the decorator that makes a check a law: it has a name, and whatever goes wrong in it is an `OpError`.

A law may find that a case has not what it speaks of. It then says why, by `Silent`: that is neither a pass nor a failure.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from chainrule.testing.case import Case, OpError


class Silent(str):
    """Why a law says nothing of a case."""

    __slots__ = ()


Law = Callable[[Case], Silent | None]


def law(name: str) -> Callable[[Callable[[Case], str | None]], Law]:
    """Make a law of a function of a case that returns what is wrong, None, or why there is nothing to check, as `Silent`.

    Parameters
    ----------
    name : str
        What holds if the law does, as the error tells it.
    """

    def declare(check: Callable[[Case], str | None]) -> Law:
        @functools.wraps(check)
        def checked(case: Case) -> Silent | None:
            try:
                wrong = check(case)
            except Exception as error:
                where = "".join(f"{note}: " for note in getattr(error, "__notes__", ()))
                raise OpError(name, case, f"{where}raised {type(error).__name__}: {error}") from error
            if wrong is None or wrong.__class__ is Silent:
                return wrong  # type: ignore[return-value]
            raise OpError(name, case, wrong)

        checked.name = name  # type: ignore[attr-defined]
        return checked

    return declare
