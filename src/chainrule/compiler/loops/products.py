"""Products: matrix products as BLAS takes them, factors transposed by their strides, copied only where they lie otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.compiler.loops.steps import Buffer, GemmStep, View, packed
from chainrule.core.op.declaration import TABLE
from chainrule.transforms.equations import Equation, Variable

if TYPE_CHECKING:
    from chainrule.compiler.loops.grouping import Grouping

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def matrices(groups: Grouping, e: Equation, reader: Any = None) -> GemmStep | None:
    """Return the step of a product of matrices, axes in front broadcast; None for what BLAS does not compute.

    The result lies as its only `reader` reads it, where BLAS can write it so.
    """
    x, y = e.operands
    [out] = e.results
    dtype = out.dtype.numpy
    if dtype not in _FLOATS or any([v.__class__ is not Variable or v.dtype is not out.dtype for v in (x, y)]):
        return None
    if len(x.shape) < 2 or len(y.shape) < 2:
        return None
    buffer = Buffer(dtype, out.shape, "temp")
    target = buffer.view()
    k, n = x.shape[-1], y.shape[-1]
    if len(y.shape) == 2 and len(x.shape) > 2:  # one product of all rows
        rows = prod(x.shape[:-1])
        flat = Variable((rows, k), x.dtype)
        groups.values.maps[flat] = (Equation(TABLE["reshape"], (x,), {"shape": (rows, k)}, (flat,), False, False), 0)
        x = flat
        target = View(buffer, (rows, n), (n, 1), 0)
    elif reader is not None and (turned := _turned(out, reader)) is not None:
        target = turned
    lead = target.shape[:-2]
    a, b = _operand(groups, x, lead), _operand(groups, y, lead)
    written = blas_view(target, lead)
    assert written is not None
    groups.values.views[out] = View(target.buffer, out.shape, packed(out.shape), 0) if target.buffer is buffer else target
    if written.strides[-1] == 1:
        return GemmStep(a, b, written)
    return GemmStep(_transposed(b), _transposed(a), _transposed(written))


def _turned(out: Variable, reader: Equation) -> View | None:
    """Return where a product lies in memory whose order is that in which a permutation of it is read."""
    ndim = len(out.shape)
    if reader.op.name == "permute":
        order = list(reader.params["order"])
    elif reader.op.name == "transpose":
        order = list(range(ndim))
        a, b = reader.params["a"], reader.params["b"]
        order[a], order[b] = b, a
    else:
        return None
    buffer = Buffer(out.dtype.numpy, [out.shape[k] for k in order], "temp")
    strides = [0] * ndim
    for step, k in zip(buffer.strides, order, strict=True):
        strides[k] = step
    view = View(buffer, out.shape, strides, 0)
    return view if blas_view(view, out.shape[:-2]) is not None else None


def _transposed(v: View) -> View:
    shape, strides = [*v.shape[:-2], v.shape[-1], v.shape[-2]], [*v.strides[:-2], v.strides[-1], v.strides[-2]]
    return View(v.buffer, shape, strides, v.offset)


def _operand(groups: Grouping, v: Variable, lead: Sequence[int]) -> View:
    """Return a factor as BLAS reads it: (m, k), or with one axis in front where there are any."""
    view = groups.strided(v)
    found = None if view is None else blas_view(view, lead)
    if found is None:
        found = blas_view(groups.kept(groups.copied(v)).view(), lead)
    if found is None:  # broadcast along some axes in front only
        whole = Variable((*lead, *v.shape[-2:]), v.dtype)
        groups.values.maps[whole] = (Equation(TABLE["broadcast_to"], (v,), {"shape": whole.shape}, (whole,), False, False), 0)
        found = blas_view(groups.kept(groups.copied(whole)).view(), lead)
        assert found is not None
    return found


def blas_view(view: View, lead: Sequence[int]) -> View | None:
    """Return a view with its last two axes as BLAS needs them and all in front as one; None if it lies otherwise."""
    (r, c), (down, right) = view.shape[-2:], view.strides[-2:]
    if c == 1:
        down, right = max(down, 1) if r > 1 else 1, 1
    elif r == 1:
        down, right = (c, 1) if right == 1 else (1, right)
    if not ((right == 1 and down >= c) or (down == 1 and right >= r)):
        return None
    if not lead:
        return View(view.buffer, (r, c), (down, right), view.offset)
    given = (1,) * (len(lead) - len(view.shape) + 2) + view.shape[:-2]
    steps = (0,) * (len(lead) - len(view.shape) + 2) + view.strides[:-2]
    step, size = 0, 1
    for n, have, s in zip(reversed(lead), reversed(given), reversed(steps), strict=True):
        if n == 1:
            continue
        s = 0 if have == 1 else s
        if size == 1:
            step = s
        elif s != step * size:
            return None
        size *= n
    return View(view.buffer, (prod(lead), r, c), (step, down, right), view.offset) if step >= 0 else None
