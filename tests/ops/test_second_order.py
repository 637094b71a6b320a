"""Second derivatives in the four orders of forward and reverse mode."""

from __future__ import annotations

from tests.each import by_name

from chainrule.testing import cases, derivatives


@by_name("case", cases(differentiable=True), fast=2)
def test_second_order_agrees_in_all_orders(case):
    derivatives.second_order_agrees_in_all_orders(case)
