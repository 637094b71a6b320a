"""Every non-empty subset of the inputs traced."""

from __future__ import annotations

import pytest

from chainrule.testing import cases, derivatives


@pytest.mark.parametrize("case", cases(inputs=2), ids=repr)
def test_every_subset_of_inputs_agrees(case):
    derivatives.every_subset_of_inputs_agrees(case)
