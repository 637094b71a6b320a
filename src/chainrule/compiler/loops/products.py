"""Products: matrix products as BLAS takes them, factors transposed by their strides, copied only where they lie otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.compiler.loops.steps import BATCHES, Buffer, GemmStep, View, packed
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
    found = [_operand(groups, x, lead), _operand(groups, y, lead), blas_view(target, lead)]
    joined = _joined(found)
    if len(joined[0].shape) - 2 > BATCHES:
        target = target if target.buffer is buffer else buffer.view()
        joined = _joined([_in_order(groups, x, lead), _in_order(groups, y, lead), blas_view(target, lead)])
    a, b, written = joined
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
    return view if blas_view(view, view.shape[:-2]) is not None else None


def _transposed(v: View) -> View:
    shape, strides = [*v.shape[:-2], v.shape[-1], v.shape[-2]], [*v.strides[:-2], v.strides[-1], v.strides[-2]]
    return View(v.buffer, shape, strides, v.offset)


def _operand(groups: Grouping, v: Variable, lead: Sequence[int]) -> View:
    """Return a factor as BLAS reads it, with the axes in front that the product has."""
    view = groups.strided(v)
    found = None if view is None else blas_view(view, lead)
    if found is None:
        found = blas_view(groups.copy_of(v), lead)
        assert found is not None
    return found


def _in_order(groups: Grouping, v: Variable, lead: Sequence[int]) -> View:
    """Return a factor with axes in front that are one in memory, or repeat one matrix."""
    found = _operand(groups, v, lead)
    if len(_joined([found])[0].shape) > 3:
        whole = v
        if v.shape[:-2] != tuple(lead):  # broadcast along some of these axes only
            whole = Variable((*lead, *v.shape[-2:]), v.dtype)
            expand = Equation(TABLE["broadcast_to"], (v,), {"shape": whole.shape}, (whole,), False, False)
            groups.values.maps[whole] = (expand, 0)
        copied = blas_view(groups.copy_of(whole), lead)
        assert copied is not None
        return copied
    return found


def blas_view(view: View, lead: Sequence[int]) -> View | None:
    """Return a view with its last two axes as BLAS needs them, broadcast to axes in front; None if it lies otherwise."""
    (r, c), (down, right) = view.shape[-2:], view.strides[-2:]
    if c == 1:
        down, right = max(down, 1) if r > 1 else 1, 1
    elif r == 1:
        down, right = (c, 1) if right == 1 else (1, right)
    if not ((right == 1 and down >= c) or (down == 1 and right >= r)):
        return None
    front = (0,) * (len(lead) - len(view.shape) + 2) + view.strides[:-2]
    sizes = (1,) * (len(lead) - len(view.shape) + 2) + view.shape[:-2]
    front = tuple([0 if n == 1 else s for n, s in zip(sizes, front, strict=True)])
    return View(view.buffer, (*lead, r, c), (*front, down, right), view.offset) if min(front, default=0) >= 0 else None


def _joined(views: Sequence[Any]) -> list[View]:
    """Return views of the same axes in front, with those as one along which all of them step alike."""
    lead = views[0].shape[:-2]
    sizes: list[int] = []
    steps: list[list[int]] = [[] for _ in views]
    for axis, n in enumerate(lead):
        if n == 1:
            continue
        here = [v.strides[axis] for v in views]
        if sizes and all([s[-1] == step * n for s, step in zip(steps, here, strict=True)]):
            sizes[-1] *= n
            for s, step in zip(steps, here, strict=True):
                s[-1] = step
        else:
            sizes.append(n)
            for s, step in zip(steps, here, strict=True):
                s.append(step)
    return [View(v.buffer, (*sizes, *v.shape[-2:]), (*s, *v.strides[-2:]), v.offset) for v, s in zip(views, steps, strict=True)]
