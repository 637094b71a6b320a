"""Every op computes what its reference says, a second text of what it is: see `references`."""

from __future__ import annotations

import warnings

from tests.each import by_name
from tests.ops.references import BY_LAWS, reference_of

from chainrule.testing import cases
from chainrule.testing.case import load_table
from chainrule.testing.values import differs_from

OPS = list(load_table().values())


def test_every_op_has_a_reference():
    assert {op.name for op in OPS if reference_of(op) is None} == {op.name for op in OPS if op.name in BY_LAWS}


CASES = [case for case in cases(OPS, dtypes=("float64", "complex128")) if case.op.name not in BY_LAWS]


@by_name("case", CASES, fast=3)
def test_value_is_the_reference(case):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert differs_from(reference_of(case.op), case) is None
