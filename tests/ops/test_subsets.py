"""Every non-empty subset of the inputs traced."""

from __future__ import annotations

from tests.each import by_name

from chainrule.testing import cases, derivatives


@by_name("case", cases(inputs=2))
def test_every_subset_of_inputs_agrees(case):
    derivatives.every_subset_of_inputs_agrees(case)
