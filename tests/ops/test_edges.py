"""Memory layouts, broadcast cotangents, NaN and infinity; empty and 0-d arrays are among every op's samples."""

from __future__ import annotations

import numpy as np
from tests.each import by_name

import chainrule as cr
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


def test_zeta_far_below_zero_takes_no_time_and_is_right():
    x = cr.tensor([-70.3, -100.25, -1e4 - 0.4, -1e12 - 0.5], dtype=cr.float64)  # mpmath's, whose time grows with x
    wanted = [15.065289643812127, 19.729283325349364, 10.911466270439332, 9.869604401089358]
    np.testing.assert_allclose(cr.special.polygamma(1, x).numpy(), wanted, rtol=1e-12)
    np.testing.assert_allclose(cr.special.zeta(cr.tensor(2.0, dtype=cr.float64), x).numpy(), wanted, rtol=1e-12)
    assert cr.special.zeta(cr.tensor(2.5), x).isnan().all()
