"""Distances of all pairs of rows of two matrices."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np

from chainrule.core.op.batching import same
from chainrule.core.op.declaration import op
from chainrule.core.op.reach import apart
from chainrule.core.op.results import joined
from chainrule.core.op.samples import Sample
from chainrule.ops.indexing.select import where
from chainrule.ops.linalg.contract import matmul
from chainrule.ops.linalg.matrix import column, mt, row, total
from chainrule.ops.reduction.reduce import sum
from chainrule.ops.reduction.statistics import vector_norm
from chainrule.ops.shaping.shape import unsqueeze

ndarray = np.ndarray


def distances(x: Any, y: Any, *, order: float, product: bool) -> Any:
    """Return the norms of the differences of all pairs of rows; those of order 2 from a product of matrices if `product`."""
    if product:
        return euclidean(x, y)
    gap = unsqueeze(x, axis=x.ndim - 1) - unsqueeze(y, axis=y.ndim - 2)
    return vector_norm(gap, order=order, axis=(gap.ndim - 1,), keepdims=False)


def _euclidean(x: ndarray, y: ndarray) -> ndarray:
    """Return the distances from |x|² + |y|² - 2 x·y, and those from differences of which too few digits are left."""
    size = np.einsum("...ik,...ik->...i", x, x)[..., :, None] + np.einsum("...jk,...jk->...j", y, y)[..., None, :]
    squares = size - 2 * np.matmul(x, y.swapaxes(-1, -2))
    near = np.nonzero(squares <= size * 1e-4)
    if near[0].size:
        *lead, i, j = near
        gap = x[(*lead, i)] - y[(*lead, j)]
        squares[near] = np.einsum("nk,nk->n", gap, gap)
    return np.sqrt(squares)


def _over(g: Any, out: Any) -> Any:
    """Return g / out, and 0 where a distance is 0."""
    return g / where(out == 0, inf, out)


def _rows(x: Any, y: Any) -> Any:
    return sum(x * y, axis=(x.ndim - 1,), keepdims=False)


def _euclidean_jvp(x_dot: Any, y_dot: Any, x: Any, y: Any, out: Any) -> Any:
    from_x = None if x_dot is None else column(_rows(x, x_dot)) - matmul(x_dot, mt(y))
    from_y = None if y_dot is None else row(_rows(y, y_dot)) - matmul(x, mt(y_dot))
    return _over(total(from_x, from_y), out)


def _euclidean_pull(g: Any, x: Any, y: Any, out: Any) -> Any:
    weights = _over(g, out)
    return x * column(sum(weights, axis=(weights.ndim - 1,), keepdims=False)) - matmul(weights, y)


euclidean = op("euclidean(x, y)", _euclidean, kinds="f", node="EuclideanDist",
    shape=lambda x, y: (*x[:-1], y[-2]), dtype=joined,
    reach={"x": apart(2, 2, (-2, -2)), "y": apart(2, 2, (-2, -1))},
    batch=same,
    jvp=_euclidean_jvp,
    x=lambda g, x, y, out: _euclidean_pull(g, x, y, out),
    y=lambda g, x, y, out: _euclidean_pull(mt(g), y, x, mt(out)),
    doc="Euclidean distances of all pairs of rows, by a product of matrices; where one is 0 its derivative is 0.",
    samples=lambda: [Sample((4, 2), (3, 2)), Sample((2, 3, 2), (2, 4, 2)), Sample((0, 2), (3, 2)),
             Sample((2, 0), (3, 0))])  # fmt: skip
