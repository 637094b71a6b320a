"""Contractions: matrix products, which BLAS computes."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.op import bilinear
from chainrule.core.sample import Sample
from chainrule.ops.shape import sum_to


def _t(x: Any) -> Any:
    return x.swapaxes(-1, -2)


mm = bilinear("mm(x, y)", lambda x, y: x.dot(y),
    x=lambda g, y: mm(g, y.T),
    y=lambda g, x: mm(x.T, g),
    samples=lambda: [Sample((3, 4), (4, 2)), Sample((0, 4), (4, 2)), Sample((2, 0), (0, 3))])  # fmt: skip
