"""Forward mode against numeric derivatives of the kernels."""

from __future__ import annotations

import pytest

from chainrule.testing import cases, derivatives


@pytest.mark.parametrize("case", cases(differentiable=True), ids=repr)
def test_jvp_is_the_numeric_derivative(case):
    derivatives.jvp_is_the_numeric_derivative(case)
