"""Every op under vmap: what it gives for one example after the other."""

from __future__ import annotations

from tests.each import by_name

from chainrule.core.op.declaration import ELEMENTWISE
from chainrule.testing import batched, cases
from chainrule.testing.case import load_table

CASES = cases(kinds="f") + [c for c in cases(kinds="bic") if c.op.kinds[-1] == c.dtype.kind != "f"]


@by_name("case", CASES, fast=2)
def test_vmap_is_a_loop(case):
    batched.vmap_is_a_loop(case)


@by_name("case", cases(differentiable=True), fast=1)  # all of them take half a minute
def test_vmap_composes_with_derivatives(case):
    batched.vmap_composes(case)


def test_every_op_has_a_batching_rule():
    assert [op.name for op in load_table().values() if op.kind != ELEMENTWISE and op.batch is None] == []
