"""Choosing between values elementwise."""

from __future__ import annotations

import numpy as np

from chainrule.core.op import elementwise
from chainrule.core.sample import Bools, Sample

where = elementwise("where(condition, x, y)", np.where, dtype="free", kinds="bifc",
    x=lambda g, condition: where(condition, g, 0),
    y=lambda g, condition: where(condition, 0, g),
    samples=lambda: [
        Sample(Bools((3, 4)), (3, 4), (3, 4)), Sample(Bools((4,)), (3, 1), ()), Sample(Bools(()), (2,), (3, 1)),
        Sample(Bools((0, 2)), (2,), (1, 2)),
    ])  # fmt: skip
