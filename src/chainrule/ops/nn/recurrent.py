"""One step of a long short-term memory (Hochreiter & Schmidhuber 1997, with forget gates), from its gates' inputs.

Fourteen ops in one. The activated gates are a result, so that the rule computes none of them again, and every further order
knows of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.op.batching import same
from chainrule.core.op.declaration import op
from chainrule.core.op.raw import narrowed
from chainrule.core.op.reach import apart
from chainrule.core.op.samples import Sample
from chainrule.ops.indexing.view import getitem
from chainrule.ops.pointwise.exponential import _sigmoid
from chainrule.ops.pointwise.trigonometric import tanh
from chainrule.ops.reduction.scan import wide
from chainrule.ops.shaping.join import cat


def _lstm_step(gates: Any, c: Any) -> tuple:
    x = wide(gates)
    n = x.shape[-1] // 4
    active = np.empty(x.shape, x.dtype)
    for start, stop, f in ((0, 2 * n, _sigmoid), (2 * n, 3 * n, np.tanh), (3 * n, 4 * n, _sigmoid)):
        f(x[..., start:stop], out=active[..., start:stop])
    i, f, g, o = (active[..., k * n : (k + 1) * n] for k in range(4))
    cell = f * wide(c)
    cell += i * g
    h = np.tanh(cell)
    h *= o
    return narrowed(h, gates), narrowed(cell, c), narrowed(active, gates)


def _parts(active: Any) -> list:
    n = active.shape[-1] // 4
    return [getitem(active, index=(..., slice(k * n, (k + 1) * n))) for k in range(4)]


def _slopes(active: Any) -> Any:
    """Return the activated gates' derivatives in their inputs."""
    i, f, g, o = _parts(active)
    return cat(i * (1 - i), f * (1 - f), 1 - g * g, o * (1 - o), axis=active.ndim - 1)


def _add(x: Any, y: Any) -> Any:
    return y if x is None else x if y is None else x + y


def _jvp(gates_dot: Any, c_dot: Any, c: Any, out: Any) -> tuple:
    _, cell, active = out
    i, f, g, o = _parts(active)
    through = tanh(cell)
    cell_dot = None if c_dot is None else f * c_dot
    if gates_dot is None:
        return o * (1 - through * through) * cell_dot, cell_dot, None
    active_dot = gates_dot * _slopes(active)
    i_dot, f_dot, g_dot, o_dot = _parts(active_dot)
    cell_dot = _add(cell_dot, i_dot * g + i * g_dot + f_dot * c)
    return o_dot * through + o * (1 - through * through) * cell_dot, cell_dot, active_dot


def _to_cell(g: list, out: Any) -> Any:
    """Return the cotangent of the new cell, from those of the results; None if there is none."""
    if g[0] is None:
        return g[1]
    _, cell, active = out
    through = tanh(cell)
    return _add(g[0] * _parts(active)[3] * (1 - through * through), g[1])


def _in_gates(g: list, c: Any, out: Any) -> Any:
    _, cell, active = out
    i, _, fresh, _ = _parts(active)
    to_cell = _to_cell(g, out)
    total = g[2]
    if to_cell is not None:
        to_output = g[0] * tanh(cell) if g[0] is not None else to_cell * 0
        pulled = cat(to_cell * fresh, to_cell * c, to_cell * i, to_output, axis=active.ndim - 1)
        total = _add(pulled, total)
    return total * _slopes(active)


def _in_cell(g: list, out: Any) -> Any:
    to_cell = _to_cell(g, out)
    return None if to_cell is None else to_cell * _parts(out[2])[1]


lstm_step = op("lstm_step(gates, c)", _lstm_step, kinds="f", reach=apart(1, (1, 1, 1)), batch=same, node="LstmCell",
    shape=lambda gates, c: [c, c, gates],
    dtype=lambda gates, c: [gates, c, gates],
    jvp=_jvp,
    gates=_in_gates,
    c=_in_cell,
    samples=lambda: [Sample((3, 8), (3, 2)), Sample((4,), (1,)), Sample((2, 3, 8), (2, 3, 2)), Sample((0, 8), (0, 2))],
    doc="Return the output, the cell and the activated gates (input, forget, cell, output) of an LSTM's step.")  # fmt: skip
