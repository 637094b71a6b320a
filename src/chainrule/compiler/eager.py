"""Large eager work by the compiler's kernels: ops that fill the slot which ``core.call.threads`` offers.

An op that has a lowering becomes one loop nest over all elements, or over the rows of its last axis; its code serves every
number of elements or rows, is compiled once, and kept on disk. It makes one pass over memory, on all threads, where NumPy makes
one for each ufunc. What has no such nest (arrays that broadcast or lie apart, other dtypes) is left to the kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import Context
from math import prod
from typing import Any

import numpy as np

from chainrule.compiler.llvm import engine
from chainrule.compiler.llvm.executor import Table, runtime
from chainrule.compiler.loops.fusion import steps_of
from chainrule.compiler.loops.steps import Buffer, NestStep, View
from chainrule.compiler.plan import LARGE, LINE, SHARE, address, cost_of, written
from chainrule.core.op.declaration import ELEMENTWISE, TABLE, Op
from chainrule.core.tensor.tensor import wrap
from chainrule.transforms.trace import graph_of

ELEMENTS, ROWS = 1 << 16, 64  # for which code is made; it serves any number
MOST_COLUMNS = 1 << 16  # of a row: rows are not split over threads
ABSENT, WHOLE, ROW = range(3)  # operands: none, of the shape of the first, or of one row for all
KEPT = 512  # kernels, after which all are forgotten

ndarray = np.ndarray
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_kernels: dict[Any, Kernel | None] = {}
_ops: dict[Callable, Op] = {}


class Kernel:
    """Code of an op for arrays of one dtype, for any number of elements or rows.

    Attributes
    ----------
    cost : float
        Additions that a point takes.
    makes : tuple of bool
        For each result whether it has the shape of the first operand; else one number a row, whose axis is kept.
    """

    def __init__(self, code: engine.Code, function: int, order: Sequence[int], cost: float, makes: Sequence[bool]):
        self._code, self._function, self._order, self.cost, self.makes = code, function, tuple(order), cost, tuple(makes)

    def run(self, arrays: Sequence[ndarray], points: int) -> None:
        """Run on operands and results, in C order."""
        shared = runtime()
        table, grain = Table(), 0
        if points * self.cost >= LARGE and points > 1:
            grain = max(int(SHARE / self.cost), 1)
            grain = -(-grain // LINE) * LINE if points >= 16 * LINE else grain
        table.call(self._function, 0, points, grain, [(k, 0) for k in self._order])
        words, params = table.array(), np.empty(table.widest, np.int64)
        bases = np.array([address(a) for a in arrays], np.int64)
        first = address(words)
        helpers = shared.pool.helpers() if grain else 0
        shared.run(first, first + words.nbytes, address(bases), address(params), shared.pool.address, helpers)


def native(kernel: Callable, arrays: tuple, params: dict) -> Any:
    """Return what an op's kernel returns for arrays, computed by native code; None where there is none for it."""
    first = arrays[0]
    if first.__class__ is not ndarray:
        return None
    dtype, shape = first.dtype, first.shape
    op = _op_of(kernel)
    if op is None or dtype not in _FLOATS:
        return None
    columns = None
    if op.kind != ELEMENTWISE:
        if params.get("axis") != (len(shape) - 1,) or not 1 < shape[-1] <= MOST_COLUMNS:
            return None
        columns = shape[-1]
    roles = []
    for a in arrays:
        if a is None:
            roles.append(ABSENT)
            continue
        if a.__class__ is not ndarray or a.dtype is not dtype or not (a.flags.c_contiguous and a.flags.aligned):
            return None
        role = WHOLE if a.shape == shape else ROW if columns is not None and a.shape == shape[-1:] else None
        if role is None:
            return None
        roles.append(role)
    key = (kernel, dtype, columns, *roles, *params.items())
    try:
        found = _kernels[key]
    except KeyError:
        if len(_kernels) >= KEPT:
            _kernels.clear()
        made = Context().run(_made, op, dtype, columns, roles, params)  # in ordinary modes
        found = _kernels[key] = made
    if found is None:
        return None
    points = first.size if columns is None else first.size // columns
    outs = [np.empty(shape if whole else (*shape[:-1], 1), dtype) for whole in found.makes]
    found.run([*[a for a in arrays if a is not None], *outs], points)
    return outs[0] if len(outs) == 1 else tuple(outs)


def _op_of(kernel: Callable) -> Op | None:
    """Return the op whose kernel a function is."""
    if not _ops:
        _ops.update({op.backend.kernel: op for op in TABLE.values()})
    return _ops.get(kernel)


def _made(op: Op, dtype: np.dtype, columns: int | None, roles: Sequence[int], params: dict) -> Kernel | None:
    """Return the kernel of an op, if it becomes one nest whose points may be of any number."""
    points = ELEMENTS if columns is None else ROWS
    shape = (points,) if columns is None else (points, columns)
    if columns is not None:
        params = {**params, "axis": (1,)}
    try:
        shapes = {WHOLE: shape, ROW: shape[1:]}
        operands = [None if role == ABSENT else wrap(np.ones(shapes[role], dtype)) for role in roles]
        graph = graph_of(lambda *xs: op.call(*xs, **params), tuple(operands))
        steps = steps_of(graph)
    except Exception:  # NumPy serves eager calls whatever the compiler cannot do
        return None
    if len(steps.steps) != 1 or steps.steps[0].__class__ is not NestStep:
        return None
    (step,) = steps.steps
    results = [o.buffer for o in steps.outputs if o.__class__ is View and o.is_whole and o.buffer.kind == "output"]
    buffers: list[Buffer] = [*steps.inputs, *results]
    fits = (
        len(results) == len(steps.outputs) == len(set(results))
        and prod(step.nest.outer) == points  # type: ignore[union-attr]
        and len([n for n in step.nest.outer if n != 1]) == 1  # type: ignore[union-attr]
        and all([b in buffers and not offset for b, offset in step.args])  # type: ignore[union-attr]
        and all([b.dtype == dtype and b.shape in (shape, (points, 1)) for b in results])
    )
    if not fits:
        return None
    texts, names = written(steps)
    code = engine.load(list(texts.values()), list(texts))
    order = [buffers.index(b) for b, _ in step.args]  # type: ignore[union-attr]
    cost = cost_of(step.nest) / points  # type: ignore[union-attr]
    return Kernel(code, code.address(names[step.key]), order, cost, [b.shape == shape for b in results])  # type: ignore[union-attr]
