"""Results, tangents and cotangents in the narrower precisions."""

from __future__ import annotations

from tests.each import by_name

from chainrule.testing import cases, values

NARROW = [c for c in cases(dtypes=("float16", "float32", "complex64"), differentiable=True) if c.is_supported()]


@by_name("case", NARROW, fast=4)
def test_precision_is_kept(case):
    values.precision_is_kept(case)
