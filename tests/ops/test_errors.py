"""The errors that samples declare."""

from __future__ import annotations

from tests.each import by_name

from chainrule.testing import cases, values


@by_name("case", cases(kinds="f", errors=True))
def test_declared_error_is_raised(case):
    values.declared_error_is_raised(case)
