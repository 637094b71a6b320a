"""Forward mode by dual numbers: what `forward_ad` carries is what `func.jvp` gives."""

from __future__ import annotations

from tests.each import by_name

from chainrule.testing import cases, derivatives


@by_name("case", cases(kinds="f", differentiable=True))
def test_dual_numbers_give_the_jvp(case):
    derivatives.dual_numbers_give_the_jvp(case)
