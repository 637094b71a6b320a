"""Second derivatives in the four orders of forward and reverse mode."""

from __future__ import annotations

import pytest

from chainrule.testing import cases, derivatives


@pytest.mark.parametrize("case", cases(differentiable=True), ids=repr)
def test_second_order_agrees_in_all_orders(case):
    derivatives.second_order_agrees_in_all_orders(case)
