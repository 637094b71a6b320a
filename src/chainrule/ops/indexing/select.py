"""Choosing between values elementwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.op.batching import dynamic
from chainrule.core.op.declaration import elementwise, op
from chainrule.core.op.links import Link, places
from chainrule.core.op.lowering import s
from chainrule.core.op.raw import zero_unless
from chainrule.core.op.reach import Call, by_broadcasting
from chainrule.core.op.results import DYNAMIC, int64, joined
from chainrule.core.op.samples import Bools, Sample
from chainrule.ops.describe import binary


def _where(condition: Any, x: Any, y: Any) -> Any:
    if x.__class__ is int and x == 0:
        return zero_unless(False, condition, y)
    if y.__class__ is int and y == 0:
        return zero_unless(True, condition, x)
    out = np.where(condition, x, y)
    if x.__class__ is float or y.__class__ is float:  # which is not weak to NumPy beside bfloat16
        d = getattr(y if x.__class__ is float else x, "dtype", None)
        if d is not None and d.isbuiltin != 1:
            return out.astype(d)
    return out


def _chosen(c: Call, i: int, o: int) -> Link | None:
    """Return the link of what is chosen to its place; of a condition that is not known, of either."""
    link, condition = by_broadcasting(c, i, o), c.read(0, False)
    if condition is None:
        return link
    out = c.out_shape(o)
    chosen = np.broadcast_to(np.asarray(condition, bool) == (i == 1), out).ravel()
    return Link(outs=np.where(chosen, places(out).ravel() if link.outs is None else link.outs, -1))


where: Callable = elementwise("where(condition, x, y)", _where, lower=s.select, promotion="free", kinds="bifc",
    dtype=lambda condition, x, y: joined(x, y),
    reach=_chosen,
    x=lambda g, condition: where(condition, g, 0),
    y=lambda g, condition: where(condition, 0, g),
    samples=lambda: [
        Sample(Bools((3, 4)), (3, 4), (3, 4)), Sample(Bools((4,)), (3, 1), ()), Sample(Bools(()), (2,), (3, 1)),
        Sample(Bools((0, 2)), (2,), (1, 2)),
    ],
    doc=binary("Return `input` where the condition holds, else `other`.", names=("condition", "input", "other")))  # fmt: skip


def _true_indices(condition: Any) -> tuple:
    return np.nonzero(np.atleast_1d(condition))


true_indices = op("true_indices(condition)", _true_indices, nondiff=True,
    shape=lambda condition: [DYNAMIC] * max(len(condition), 1), dtype=int64,
    batch=dynamic("where"),
    samples=lambda: [Sample(Bools((3, 4))), Sample(Bools((1,))), Sample(Bools((0,)))],
    doc="Return the indices of the true elements, one integer array an axis; not differentiable.")  # fmt: skip
