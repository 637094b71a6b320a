"""A second opinion on the whole rule book: `gradcheck` and `gradgradcheck`, in every mode and batched, on every sample."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.autograd import gradcheck, gradgradcheck
from chainrule.core.tensor import wrap
from chainrule.testing import cases

pytestmark = pytest.mark.slow

CASES = cases(differentiable=True)
SMALL = 40  # the elements up to which whole Jacobians of second derivatives are taken, instead of a projection
FIRST = {"check_forward_ad": True, "check_batched_grad": True, "check_batched_forward_grad": True, "check_grad_dtypes": True}
SECOND = {"check_fwd_over_rev": True, "check_fwd_over_fwd": True, "check_rev_over_fwd": True, "check_batched_grad": True}


def inputs_of(case):
    return [wrap(np.array(case.args[i])).requires_grad_() for i in case.moving]


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_first_derivatives(case):
    assert gradcheck(case.function(case.moving), inputs_of(case), **FIRST)


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_second_derivatives(case):
    inputs = inputs_of(case)
    fast = sum(x.numel() for x in inputs) > SMALL
    assert gradgradcheck(case.function(case.moving), inputs, fast_mode=fast, **SECOND)
