"""Memory layouts, broadcast cotangents, NaN and infinity; empty and 0-d arrays are among every op's samples."""

from __future__ import annotations

from tests.each import by_name

from chainrule.testing import cases, interface, values


@by_name("case", cases(kinds="fc"), fast=2)
def test_layout_does_not_matter(case):
    values.layout_does_not_matter(case)


@by_name("case", cases(differentiable=True), fast=3)
def test_broadcast_cotangent_gives_the_same(case):
    interface.broadcast_cotangent_gives_the_same(case)


@by_name("case", [c for c in cases(kinds="f") if c.op.kind == "elementwise"])
def test_strange_values_stay_where_they_are(case):
    values.strange_values_stay_where_they_are(case)
