"""Elementwise extrema of several inputs, and clamping to bounds. At ties and bounds the derivatives are PyTorch 2.13's."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.op.declaration import elementwise
from chainrule.core.op.lowering import s
from chainrule.core.op.samples import Sample
from chainrule.core.tensor.value import is_complex
from chainrule.ops.describe import binary
from chainrule.ops.indexing.select import where


def _refuse_complex(name: str) -> Any:
    def check(*args: Any) -> None:
        if any(map(is_complex, args)):
            raise RuntimeError(f"{name} not implemented for complex tensors.")

    return check


_TIES = "Where both are equal, each gets half of the derivative."
_FIRST = "Where both are equal, `input` gets the derivative."
_BOUND = "At a bound, `input` gets the derivative."

maximum = elementwise("maximum(x, y)", np.maximum, calm=True, kinds="bif", check=_refuse_complex("maximum"),
    public=True,
    x=lambda g, x, y: where(x == y, g / 2, where(x < y, 0, g)),
    y=lambda g, x, y: where(x == y, g / 2, where(x > y, 0, g)),
    doc=binary("Return the larger of two values; NaN if either is NaN.",
               "cr.maximum(cr.tensor([1.0, 4.0]), cr.tensor([3.0, 2.0]))", "tensor([3., 4.])", note=_TIES))  # fmt: skip

minimum = elementwise("minimum(x, y)", np.minimum, calm=True, kinds="bif", check=_refuse_complex("minimum"),
    public=True,
    x=lambda g, x, y: where(x == y, g / 2, where(x > y, 0, g)),
    y=lambda g, x, y: where(x == y, g / 2, where(x < y, 0, g)),
    doc=binary("Return the smaller of two values; NaN if either is NaN.",
               "cr.minimum(cr.tensor([1.0, 4.0]), cr.tensor([3.0, 2.0]))", "tensor([1., 2.])", note=_TIES))  # fmt: skip

fmax = elementwise("fmax(x, y)", np.fmax, kinds="bif",
    public=True,
    x=lambda g, x, y: where((x >= y) | (y != y), g, 0),
    y=lambda g, x, y: where((x >= y) | (y != y), 0, g),
    doc=binary("Return the larger of two values; the other one where one is NaN.",
               "cr.fmax(cr.tensor([1.0, cr.nan]), cr.tensor([3.0, 2.0]))", "tensor([3., 2.])", note=_FIRST))  # fmt: skip

fmin = elementwise("fmin(x, y)", np.fmin, kinds="bif",
    public=True,
    x=lambda g, x, y: where((x <= y) | (y != y), g, 0),
    y=lambda g, x, y: where((x <= y) | (y != y), 0, g),
    doc=binary("Return the smaller of two values; the other one where one is NaN.",
               "cr.fmin(cr.tensor([1.0, cr.nan]), cr.tensor([3.0, 2.0]))", "tensor([1., 2.])", note=_FIRST))  # fmt: skip

# A Python number has the shape (), as a 0-d bound has: PyTorch tells them apart in the names of the nodes, we by shape.
clamp = elementwise("clamp(x, low, high)", lambda x, low, high: np.minimum(np.maximum(x, low), high), kinds="bif",
    lower=lambda x, low, high: s.min(s.max(x, low), high),
    node=lambda node: "Clamp1" if node.shapes[1] == node.shapes[2] == () else "Clamp",
    x=lambda g, x, low, high: where((low <= x) & (x <= high), g, 0),
    low=lambda g, x, low, high: where((low < high) & (x < low), g, 0),
    high=lambda g, x, low, high: where((high < x) | (high < low), g, 0),
    samples=lambda: [
        Sample((3, 4), (4,), (3, 1), domain=[(-2, 2), (-1, -0.5), (0.5, 1)]), Sample((), (), ()), Sample((3, 4), -0.5, 0.5),
        Sample((0, 2), (2,), ()), Sample((5,), 1.0, -1.0),
    ],
    doc=binary("Return `input` limited to [min, max]; `max` where the bounds are in the wrong order.", note=_BOUND,
               names=("input", "min", "max")))  # fmt: skip

clamp_min = elementwise("clamp_min(x, y)", np.maximum, native=True, kinds="bif",
    node=lambda node: "ClampMin1" if node.edges[1] is not None else "ClampMin",
    x=lambda g, x, y: where(x >= y, g, 0),
    y=lambda g, x, y: where(x < y, g, 0),
    doc=binary("Return `input`, at least `min`.", "cr.clamp_min(cr.tensor([-1.0, 2.0]), 0)", "tensor([0., 2.])",
               names=("input", "min"), note=_BOUND))  # fmt: skip

clamp_max = elementwise("clamp_max(x, y)", np.minimum, native=True, kinds="bif",
    node=lambda node: "ClampMax1" if node.edges[1] is not None else "ClampMax",
    x=lambda g, x, y: where(x <= y, g, 0),
    y=lambda g, x, y: where(x > y, g, 0),
    doc=binary("Return `input`, at most `max`.", "cr.clamp_max(cr.tensor([-1.0, 2.0]), 0)", "tensor([-1.,  0.])",
               names=("input", "max"), note=_BOUND))  # fmt: skip
