"""Runs of a graph in which a perturbation is added wherever rounding errors come in, and what each does to a result.

The derivative of a result with respect to a perturbation that is zero is the adjoint of the number that was rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from chainrule.core.mode.grad_mode import enable_grad
from chainrule.core.op.lowering import Expansion
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.transforms.batch import gradients_of_batch
from chainrule.transforms.equations import Equation, Graph
from chainrule.transforms.gradient import gradients_of
from chainrule.transforms.roundoff import Roundoff, is_inexact, magnitude, roundoff, unit
from chainrule.transforms.trace import CallEquation, graph_of

_ELEMENTS = 1 << 22  # adjoints that are held at once
Origin = tuple[Any, bool]
"""The place of an equation, and whether a backward pass runs it."""
Key = tuple[str, Any, bool]
"""A source of errors: the op's name and its origin."""


class Perturbed:
    """A run of a graph in which a perturbation is added wherever rounding errors come in.

    Attributes
    ----------
    points : list of (Tensor, array, key, bool)
        Each perturbation, how large it may be, the source that it belongs to, and whether an analysis says so.
    """

    def __init__(self, places: dict):
        self.points: list[tuple[Tensor, np.ndarray, Key, bool]] = []
        self._places = places

    def run(self, graph: Graph, inputs: Sequence[Any]) -> list:
        """Return the outputs, recorded as functions of the perturbations."""
        with enable_grad():
            return graph.run(inputs, [_plain(v) for v in graph.values], {}, lambda e, xs: self._step(self._places[e], e, xs))

    def _step(self, origin: Origin, equation: Equation, operands: tuple) -> Any:
        op = equation.op
        if op.name == "detach":  # its rounding errors go on, though its derivative does not
            return operands[0]
        if not isinstance(equation, CallEquation) and isinstance(getattr(op, "lowering", None), Expansion):
            return self._expanded(origin, equation, operands)
        values = [x._data if isinstance(x, Tensor) else x for x in operands]
        out = equation.evaluate(operands)
        outs = list(out) if equation.several else [out]
        found = self._local(equation, values, [o._data for o in outs])
        key = (op.name, *origin)
        if any([m is not None for m in found.operands]):
            moved = [
                x if m is None else self._with(x, m, key, found.known) for x, m in zip(operands, found.operands, strict=True)
            ]
            out = equation.evaluate(tuple(moved))
            outs = list(out) if equation.several else [out]
        outs = [o if b is None else self._with(o, b, key, found.known) for o, b in zip(outs, found.results, strict=True)]
        return tuple(outs) if equation.several else outs[0]

    def _local(self, equation: Equation, values: list, results: list) -> Roundoff:
        with np.errstate(all="ignore"):
            if isinstance(equation, CallEquation):
                one = [32 * unit(r.dtype) * magnitude(r) if is_inexact(r) else None for r in results]
                return Roundoff(one, [None] * len(values), False)
            return roundoff(equation.op, values, equation.params, results)

    def _with(self, x: Any, size: np.ndarray, key: Key, known: bool) -> Any:
        if not isinstance(x, Tensor) or not np.any(size):
            return x
        delta = wrap(np.zeros(tuple(x.shape), x.dtype.numpy))
        delta.requires_grad_()
        self.points.append((delta, size, key, known))
        return x + delta

    def _expanded(self, origin: Origin, equation: Equation, operands: tuple) -> Any:
        """Run the ops that an op is made of, each with its own errors."""
        f = partial(equation.op.lowering.f, **equation.params)
        plain = tuple([x.detach() if isinstance(x, Tensor) else x for x in operands])
        graph = graph_of(f, plain, branches=True)
        inner = Perturbed({})
        inner._places = dict.fromkeys(graph.equations, origin)
        inner.points = self.points
        outs = inner.run(graph, [x for x in operands if isinstance(x, Tensor)])
        return tuple(outs) if equation.several else outs[0]


def _plain(value: Tensor) -> Tensor:
    return value.detach() if value._level == 0 else value


def contributions(out: Tensor, points: list) -> dict[Key, tuple[np.ndarray, bool]]:
    """Return, for each source, what it may add to the error of each element of a result."""
    deltas = [delta for delta, *_ in points]
    m = out.numel()
    rows = max(1, min(m, _ELEMENTS // max(sum([d.numel() for d in deltas]), 1)))
    parts: dict[Key, tuple[np.ndarray, bool]] = {}
    for start in range(0, m, rows):
        stop = min(start + rows, m)
        turns = [_adjoints(out, deltas, start, stop, turn) for turn in ((1, 1j) if out.is_complex() else (1,))]
        for i, (_, size, key, known) in enumerate(points):
            found = [adjoints[i] for adjoints in turns if adjoints[i] is not None]
            if found:
                part, sure = parts.get(key) or (np.zeros(m), True)
                with np.errstate(all="ignore"):
                    part[start:stop] += _weighted(found, size)
                parts[key] = part, sure and known
    return parts


def _weighted(adjoints: list[np.ndarray], size: np.ndarray) -> np.ndarray:
    """Return Σ |adjoint|·size per row; an adjoint of 0 keeps even an infinite error out."""
    weights = np.sqrt(sum([np.abs(a).astype(np.float64) ** 2 for a in adjoints])) if len(adjoints) > 1 else np.abs(adjoints[0])
    rows = weights.astype(np.float64).reshape(len(weights), -1)
    sizes = np.broadcast_to(size, weights.shape[1:]).reshape(-1)
    return np.sum(np.where(rows == 0, 0.0, rows * sizes), axis=1)


def _adjoints(out: Tensor, deltas: list, start: int, stop: int, turn: complex) -> list:
    """Return the derivatives of some elements of a result with respect to each perturbation, an element a row."""
    basis = np.zeros((stop - start, out.numel()), out.dtype.numpy)
    basis[np.arange(stop - start), np.arange(start, stop)] = turn
    basis = basis.reshape(stop - start, *out.shape)
    if stop - start == 1:
        found = gradients_of([out], deltas, [wrap(basis[0])], True, False)
        return [None if g is None else g.numpy()[None] for g in found]
    return [None if g is None else g.numpy() for g in gradients_of_batch([out], deltas, [wrap(basis)], True, False)]
