"""A whole sequence of an LSTM as one op: what each step needs of the step before is one matrix product, the rest is in place.

The op means what its expansion says, a loop over `lstm_step`; its kernels, forward and back, are that loop on buffers of the
whole sequence, which hold columns (gates or features first, examples last): each gate of a step is then one block of memory,
and BLAS reads the weights as they lie. Derivatives of the weights are one product over all steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.op.batching import per_example
from chainrule.core.op.declaration import op
from chainrule.core.op.raw import in_c_order, narrowed
from chainrule.core.op.samples import Sample
from chainrule.ops.indexing.view import getitem
from chainrule.ops.linalg.contract import mm
from chainrule.ops.nn import recurrent
from chainrule.ops.nn.recurrent import lstm_step
from chainrule.ops.reduction.scan import wide
from chainrule.ops.shaping.join import cat, stack
from chainrule.ops.shaping.shape import reshape, t, unsqueeze

ndarray = np.ndarray


def _turned(x: Any) -> Any:
    """Return the steps of a sequence with rows and columns exchanged, a view."""
    return x.transpose(0, 2, 1)


def _columns(x: Any) -> ndarray:
    """Return a sequence whose steps are columns in one block of memory; the memory itself if it lies so."""
    return np.ascontiguousarray(_turned(wide(x)))


def _by_gate(columns: ndarray) -> ndarray:
    """Return the steps of gates in columns as (input, forget, candidate, output) each, a view."""
    steps, n, examples = columns.shape
    return columns.reshape(steps, 4, n // 4, examples)


# -- kernels -----------------------------------------------------------------------------------------------------------


def _forward(gates: ndarray, h: ndarray, c: ndarray, w: ndarray) -> tuple:
    active = np.multiply(_turned(wide(gates)), -1, order="C")  # of -x the logistic function is 1 / (1 + exp(x))
    before, cell, weights = wide(h).T, wide(c).T, wide(w)
    shape = (len(active), *before.shape)
    outputs, cells = np.empty(shape, active.dtype), np.empty(shape, active.dtype)
    own, fresh = np.empty(active.shape[1:], active.dtype), np.empty(before.shape, active.dtype)
    for a, (into, keep, candidate, show), out, new in zip(active, _by_gate(active), outputs, cells, strict=True):
        a -= np.dot(weights, before, out=own)
        np.tanh(candidate, out=fresh)
        np.exp(a, out=a)  # the four gates, in one block of memory, take less time than three in two
        a += 1
        np.divide(1, a, out=a)
        np.multiply(fresh, -1, out=candidate)
        np.multiply(keep, cell, out=new)
        new += np.multiply(into, candidate, out=fresh)
        np.tanh(new, out=out)
        out *= show
        before, cell = out, new
    return in_c_order(narrowed(_turned(outputs), gates)), narrowed(_turned(cells), gates), narrowed(_turned(active), gates)


def _back(g: list, c: ndarray, w: ndarray, out: tuple) -> tuple:
    """Return the cotangents of the gates, all steps', and of the first state and cell."""
    cells, active = _columns(out[1]), _columns(out[2])
    g_outputs, g_cells, g_active = [None if x is None else _columns(x) for x in g]
    before, back = wide(c).T, wide(w).T
    through = np.tanh(cells)
    gates, slopes = np.empty_like(active), np.empty_like(active[:1])
    to_h, to_cell, product = [np.zeros(before.shape, active.dtype) for _ in range(3)]
    by_gate, to_gates, squared = _by_gate(active), _by_gate(gates), _by_gate(slopes)[0, 2]
    for k in range(len(active) - 1, -1, -1):
        a, to_a, shown = active[k], gates[k], through[k]
        into, keep, candidate, show = by_gate[k]
        to_into, to_keep, to_candidate, to_show = to_gates[k]
        if g_outputs is not None:
            to_h += g_outputs[k]
        if g_cells is not None:
            to_cell += g_cells[k]
        np.multiply(to_h, shown, out=to_show)
        np.multiply(shown, shown, out=product)
        np.subtract(1, product, out=product)
        product *= show
        product *= to_h
        to_cell += product
        np.multiply(to_cell, candidate, out=to_into)
        np.multiply(to_cell, cells[k - 1] if k else before, out=to_keep)
        np.multiply(to_cell, into, out=to_candidate)
        if g_active is not None:
            to_a += g_active[k]
        np.subtract(1, a, out=slopes[0])
        slopes[0] *= a
        np.multiply(candidate, candidate, out=squared)
        np.subtract(1, squared, out=squared)
        to_a *= slopes[0]
        to_cell *= keep
        np.dot(back, to_a, out=to_h)
    return tuple([narrowed(np.array(x, order="C"), c) for x in (_turned(gates), to_h.T, to_cell.T)])


# -- rules -------------------------------------------------------------------------------------------------------------


def _add(x: Any, y: Any) -> Any:
    return y if x is None else x if y is None else x + y


def _at(x: Any, k: int) -> Any:
    """Return one step of a sequence; None if there is none."""
    return None if x is None else getitem(x, index=(k,))


def _of_steps(gates: Any, h: Any, c: Any, w: Any) -> tuple:
    found = []
    for k in range(gates.shape[0]):
        h, c, active = lstm_step(_at(gates, k) + mm(h, t(w)), c)
        found.append((h, c, active))
    return tuple([stack(*parts, axis=0) for parts in zip(*found, strict=True)])


def _jvp(gates_dot: Any, h_dot: Any, c_dot: Any, w_dot: Any, h: Any, c: Any, w: Any, out: Any) -> tuple:
    found = []
    for k in range(out[0].shape[0]):
        step = [_at(x, k) for x in out]
        moved = _add(_at(gates_dot, k), None if h_dot is None else mm(h_dot, t(w)))
        moved = _add(moved, None if w_dot is None else mm(h, t(w_dot)))
        h_dot, c_dot, active_dot = recurrent._jvp(moved, c_dot, c, step)
        h, c, _ = step
        found.append((h_dot, c_dot, active_dot if active_dot is not None else step[2] * 0))
    return tuple([stack(*parts, axis=0) for parts in zip(*found, strict=True)])


def _back_of_ops(g: list, c: Any, w: Any, out: Any) -> tuple:
    """Do what `_back` does by the library's ops, of any values."""
    to_h = to_cell = None
    found = []
    for k in range(out[0].shape[0] - 1, -1, -1):
        step = [_at(x, k) for x in out]
        came = [_add(_at(g[0], k), to_h), _add(_at(g[1], k), to_cell), _at(g[2], k)]
        found.append(recurrent._in_gates(came, _at(out[1], k - 1) if k else c, step))
        to_cell = recurrent._in_cell(came, step)
        to_h = mm(found[-1], w)
    return stack(*found[::-1], axis=0), to_h, to_cell


def _pull(g: list, h: Any, c: Any, w: Any, out: Any, needs: tuple) -> list:
    raw = all([x is None or x.__class__ is ndarray for x in (*g, h, c, w, *out)])
    gates, to_h, to_cell = (_back if raw else _back_of_ops)(g, c, w, out)
    to_w = None
    if needs[3]:
        before = cat(unsqueeze(h, axis=0), getitem(out[0], index=(slice(0, -1),)), axis=0)
        rows = [reshape(x, shape=(x.shape[0] * x.shape[1], x.shape[2])) for x in (gates, before)]
        to_w = mm(t(rows[0]), rows[1])
    return [gates, to_h, to_cell, to_w]


lstm = op("lstm(gates, h, c, w)", _forward, kinds="f", node="MkldnnRnnLayer", batch=per_example(_of_steps),
    shape=lambda gates, h, c, w: [(*gates[:2], h[1]), (*gates[:2], h[1]), gates],
    dtype=lambda gates, h, c, w: [gates, gates, gates],
    jvp=_jvp,
    pull=_pull,
    samples=lambda: [  # of several steps or of several features: with both, sums in float32 that nearly cancel differ
        Sample((1, 2, 8), (2, 2), (2, 2), (8, 2)), Sample((3, 2, 4), (2, 1), (2, 1), (4, 1)),
        Sample((2, 0, 8), (0, 2), (0, 2), (8, 2)),
    ],
    doc="Return the outputs, cells, activated gates of an LSTM's steps; gates are given without ``h @ w.T``.")  # fmt: skip
