"""What declarations say of reach: nothing that moves is left out, and where more is linked than can move is known."""

from __future__ import annotations

from tests.each import by_name

from chainrule.testing import cases, reached


@by_name("case", cases(differentiable=True), fast=3)
def test_what_moves_is_linked(case):
    reached.what_moves_is_linked(case)
