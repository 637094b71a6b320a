"""Memory layouts, broadcast cotangents, NaN and infinity; empty and 0-d arrays are among every op's samples."""

from __future__ import annotations

import pytest

from chainrule.testing import cases, interface, values


@pytest.mark.parametrize("case", cases(kinds="fc"), ids=repr)
def test_layout_does_not_matter(case):
    values.layout_does_not_matter(case)


@pytest.mark.parametrize("case", cases(differentiable=True), ids=repr)
def test_broadcast_cotangent_gives_the_same(case):
    interface.broadcast_cotangent_gives_the_same(case)


@pytest.mark.parametrize("case", [c for c in cases(kinds="f") if c.op.kind == "elementwise"], ids=repr)
def test_strange_values_stay_where_they_are(case):
    values.strange_values_stay_where_they_are(case)
