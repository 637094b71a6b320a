"""Forward mode by dual numbers: what `forward_ad` carries is what `func.jvp` gives."""

from __future__ import annotations

import pytest

from chainrule.testing import cases, derivatives


@pytest.mark.parametrize("case", cases(kinds="f", differentiable=True), ids=repr)
def test_dual_numbers_give_the_jvp(case):
    derivatives.dual_numbers_give_the_jvp(case)
