"""Every op computes what its reference says, a second text of what it is: see `references`."""

from __future__ import annotations

import warnings

import numpy as np
from tests.each import by_name
from tests.ops.references import BY_LAWS, reference_of

from chainrule.testing import cases
from chainrule.testing.case import load_table
from chainrule.testing.compare import first_gap
from chainrule.testing.values import results

OPS = list(load_table().values())


def test_every_op_has_a_reference():
    assert {op.name for op in OPS if reference_of(op) is None} == {op.name for op in OPS if op.name in BY_LAWS}


CASES = [case for case in cases(OPS, dtypes=("float64", "complex128")) if case.op.name not in BY_LAWS]


@by_name("case", CASES, fast=3)
def test_value_is_the_reference(case):
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found, expected = results(case.call(case.args)), results(reference_of(case.op)(*case.args, **case.params))
    assert len(found) == len(expected)
    different = first_gap(found, expected, 1e-9)
    assert different is None, different
