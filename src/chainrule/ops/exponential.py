"""Exponentials and logarithms."""

from __future__ import annotations

import numpy as np

from chainrule.core.op import elementwise

POSITIVE = (0.2, 3.0)

exp = elementwise("exp(x)", np.exp, dtype="float", lower="exp",
    x=lambda g, out: g * out)  # fmt: skip

log = elementwise("log(x)", np.log, dtype="float", lower="log", domain=POSITIVE,
    x=lambda g, x: g / x)  # fmt: skip
