"""An op that raises because of values says so: what compiles it then keeps it where nothing needs its result."""

from __future__ import annotations

import numpy as np
import pytest
from tests.each import by_name

from chainrule.core.op.declaration import ELEMENTWISE, TABLE, op
from chainrule.core.op.results import first, like_first
from chainrule.core.op.samples import Sample, samples_of
from chainrule.testing import Case, OpError, cases
from chainrule.testing.case import load_table
from chainrule.testing.refusals import refusing_op_says_so

ROWS = [Sample((3,))]
OPS = list(load_table().values())
OF_INTEGERS = [
    Case(op, i, s, "int64") for op in OPS if op.kind == ELEMENTWISE for i, s in enumerate(samples_of(op)) if not s.error
]


@by_name("case", [*cases(OPS, "fcib"), *OF_INTEGERS])
def test_an_op_that_refuses_values_says_so(case):
    refusing_op_says_so(case)


def test_what_is_said_is_found():
    """Every op that is said to refuse values refuses some that the law tries."""
    every = [*cases([op for op in OPS if op.refuses], "fcib"), *[case for case in OF_INTEGERS if case.op.refuses]]
    found = {case.op.name for case in every if refusing_op_says_so(case) is None}
    assert found == {op.name for op in OPS if op.refuses}


def test_an_op_that_does_not_say_so_is_caught():
    def kernel(x):
        if np.any(x == 0):
            raise ValueError("a zero")
        return 1 / x

    for says in (False, True):
        toy = op(f"toy_{says}(x)", kernel, nondiff=True, shape=first, dtype=like_first, samples=lambda: ROWS, refuses=says)
        del TABLE[toy.op.name]
        case = cases([toy.op], "f")[0]
        if says:
            refusing_op_says_so(case)
        else:
            with pytest.raises(OpError, match="does not say that it refuses values of kind 'f'"):
                refusing_op_says_so(case)
