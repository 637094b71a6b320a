"""Every op under vmap: what it gives for one example after the other."""

from __future__ import annotations

import pytest

from chainrule.core.op.declaration import ELEMENTWISE
from chainrule.testing import batched, cases
from chainrule.testing.case import load_table

CASES = cases(kinds="f") + [c for c in cases(kinds="bic") if c.op.kinds[-1] == c.dtype.kind != "f"]


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_vmap_is_a_loop(case):
    batched.vmap_is_a_loop(case)


# All of them take half a minute; the fast set has every third.
COMPOSED = [
    pytest.param(c, id=repr(c), marks=() if i % 3 == 0 else pytest.mark.slow) for i, c in enumerate(cases(differentiable=True))
]


@pytest.mark.parametrize("case", COMPOSED)
def test_vmap_composes_with_derivatives(case):
    batched.vmap_composes(case)


def test_every_op_has_a_batching_rule():
    assert [op.name for op in load_table().values() if op.kind != ELEMENTWISE and op.batch is None] == []
