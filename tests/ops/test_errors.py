"""The errors that samples declare."""

from __future__ import annotations

import pytest

from chainrule.testing import cases, values


@pytest.mark.parametrize("case", cases(kinds="f", errors=True), ids=repr)
def test_declared_error_is_raised(case):
    values.declared_error_is_raised(case)
