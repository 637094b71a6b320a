"""Forward mode against numeric derivatives of the kernels."""

from __future__ import annotations

from tests.each import by_name

from chainrule.testing import cases, derivatives


@by_name("case", cases(differentiable=True))
def test_jvp_is_the_numeric_derivative(case):
    derivatives.jvp_is_the_numeric_derivative(case)
