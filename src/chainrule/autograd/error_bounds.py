"""Rounding errors of a value and its gradient, to first order: how many digits are right, and where the others were lost.

Each rounding of a computation changes its result by the rounding times the derivative of the result with respect to the number
that was rounded. So the sum of unit roundoffs, weighted with adjoints, bounds the error. The adjoints come from the passes
that take all derivatives here: the function is traced, and run once more with a perturbation added to every inexact result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from chainrule.autograd.arguments import tensors
from chainrule.core.graph.nodes import LEAF
from chainrule.core.mode.grad_mode import enable_grad, recording
from chainrule.core.mode.levels import fresh_level
from chainrule.core.mode.watch import Watcher
from chainrule.core.op.lowering import Expansion
from chainrule.core.record.notes import Place
from chainrule.core.tensor.tensor import Tensor, wrap, wrap_at
from chainrule.core.types.dtype import FLOAT
from chainrule.transforms.batch import gradients_of_batch
from chainrule.transforms.custom.context import lowered
from chainrule.transforms.equations import Equation, Graph, evaluated
from chainrule.transforms.gradient import gradients_of, one_of
from chainrule.transforms.reverse import run_pass
from chainrule.transforms.roundoff import Roundoff, is_inexact, roundoff
from chainrule.transforms.trace import CallEquation, graph_of

__all__ = ["Rounding", "Source", "rounding"]

Tensors = Tensor | tuple[Tensor, ...]
_ELEMENTS = 1 << 22  # adjoints that are held at once
_Key = tuple[str, Any, bool]


class Source:
    """An op at a place in the program where digits are lost.

    Attributes
    ----------
    op : str
        Its name.
    place : Place or None
        Whose `file`, `line`, `function` and `text` tell the user's line; None where it is not known.
    backward : bool
        Whether the op runs in the backward pass through what was computed there.
    bound : Tensor
        What its roundings may add to each element's error.
    share : float
        Of the bounds of all elements together.
    known : bool
        Whether an analysis stands behind the bound, and not a rule of thumb for ops of which nothing is said.
    """

    __slots__ = ("backward", "bound", "known", "op", "place", "share")

    def __init__(self, key: _Key, bound: Tensor, share: float, known: bool):
        (self.op, self.place, self.backward), self.bound, self.share, self.known = key, bound, share, known

    def __repr__(self) -> str:
        where = "" if self.place is None else f", {self.place}"
        return f"{100 * self.share:.3g} % {self.op}{' of the backward pass' if self.backward else ''}{where}"


class Rounding:
    """A computed value, and how far rounding errors may have taken it from the exact one.

    Attributes
    ----------
    value : Tensor
        As computed.
    bound : Tensor
        For each element, a bound of its absolute error, to first order in the unit roundoff; infinite where an infinity or NaN
        was on the way. Double precision.
    digits : Tensor
        How many decimal digits of each element are right at least; 0 where none.
    sources : list of Source
        Where they were lost, the greatest share first.
    gradient : Rounding, tuple of Rounding or None
        Those of the gradient with respect to the inputs, if the value is a real number that depends on them.
    """

    __slots__ = ("bound", "gradient", "sources", "value")

    def __init__(self, value: Tensor, bound: Tensor, sources: list[Source]):
        self.value, self.bound, self.sources = value, bound, sources
        self.gradient: Any = None

    @property
    def digits(self) -> Tensor:
        """How many decimal digits of each element are right at least."""
        size, bound = np.abs(self.value.numpy()).astype(np.float64), self.bound.numpy()
        most = -np.log10(np.finfo(self.value.dtype.numpy).eps / 2)
        with np.errstate(all="ignore"):
            found = np.where(bound == 0, most, np.log10(size / bound))
        return wrap(np.clip(np.nan_to_num(found, nan=0.0), 0.0, most))

    def __repr__(self) -> str:
        size = np.abs(self.value.numpy()).astype(np.float64)
        if self.value.ndim:
            lines = [f"{tuple(self.value.shape)}: the fewest right digits are {self._worst():.1f}, bound {self._most():.2g}"]
        else:
            lines = [f"{self.value.item()!r} ± {self._most():.2g}: {self._worst():.1f} digits are right"]
        lines += [f"  {source!r}" for source in self.sources[:5] if source.share >= 0.01]
        gradients = self.gradient if isinstance(self.gradient, tuple) else (self.gradient,) if self.gradient else ()
        lines += ["gradient " + repr(g) for g in gradients]
        return "\n".join(lines) if size.size else "no elements"

    def _worst(self) -> float:
        return float(np.min(self.digits.numpy(), initial=np.inf))

    def _most(self) -> float:
        return float(np.max(self.bound.numpy(), initial=0.0))


def rounding(loss: Callable, inputs: Tensors, *, gradient: bool = True) -> Rounding:
    """Bound the rounding errors of a value and of its gradient, and tell in which ops the digits are lost.

    Parameters
    ----------
    loss : callable
        Takes the inputs as positional arguments and returns a tensor.
    inputs : Tensor or tuple of Tensor
        Floating or complex tensors. They, and what else the function uses, count as exact, and so do Python numbers.
    gradient : bool
        Whether to look at the gradient, too, where the value is one real number.

    Returns
    -------
    Rounding
        Of the value: `bound`, `digits` and `sources`; of the gradient, with respect to each input, in `gradient`.

    Raises
    ------
    TypeError
        If `loss` is no function, or an input is no tensor.
    RuntimeError
        If the function does not return one floating or complex tensor.

    Notes
    -----
    With v ranging over the results of all ops, and δ(v) the local rounding error of each, the error of a result y is at most
    the sum of abs(∂y/∂v)·δ(v), up to terms in u² (Linnainmaa 1976; Iri 1984; Higham, *Accuracy and Stability of Numerical
    Algorithms*, sections 3.3 and 26.4). Here δ(v) is u·abs(v) for one rounding; n·u times the sum of absolute values for a sum
    of n terms, and of products for a matrix product; for a factorisation, what a perturbation of the matrix by a few
    n·u·max(abs(A)) does to the result. The adjoints ∂y/∂v of a value of m elements take m backward passes; those of a gradient
    of n elements, n passes over its graph. They are computed in the value's own dtype.

    A branch that would have gone the other way in exact arithmetic is not seen, nor a jump of ``floor`` or a comparison. The
    gradient meant is the one of the ops that were taken.

    Examples
    --------
    Near 0 the cosine is so near to 1 that the difference has no digits left; the gradient has all of them.

    >>> import chainrule as cr
    >>> x = cr.tensor(1e-7, dtype=cr.float64)
    >>> found = cr.autograd.rounding(lambda x: 1 - cr.cos(x), x)
    >>> found.value.item(), found.digits.item() < 2, found.sources[0].op
    (4.9960036108132044e-15, True, 'cos')
    >>> found.gradient.digits.item() > 14
    True
    """
    if not callable(loss):
        raise TypeError(f"{type(loss).__name__!r} object is not callable: rounding() takes a function")
    many, given = tensors(inputs, "inputs", "rounding")
    given = tuple([t.detach() for t in given])
    places: dict[Equation, _Origin] = {}
    lines: dict[tuple, Place] = {}  # one place a line, whose sources are one

    def note(equation: Equation) -> None:
        place = Place()
        places[equation] = lines.setdefault((place.file, place.line), place), False

    graph = graph_of(loss, given, branches=True, watch=note)
    if len(graph.outputs) != 1 or not isinstance(graph.shapes, type(graph.outputs[0])):
        raise RuntimeError("rounding(): the function must return one tensor")
    found = _bounded(graph, given, places)[0]
    if gradient and found.value.numel() == 1 and found.value.dtype.category == FLOAT:
        pulled, places = _gradient_of(graph, given, places)
        gradients = tuple(_bounded(pulled, given, places))
        found.gradient = gradients if many else gradients[0]
    return found


# -- the graph of the gradient -----------------------------------------------------------------------------------------

_Origin = tuple[Any, bool]  # the place of an equation, and whether a backward pass runs it


class _Pulling(Watcher):
    """Knows which equation's node is pulling back."""

    def __init__(self) -> None:
        super().__init__()
        self.current: _Origin = (None, False)
        self.made: dict[int, Any] = {}

    def pulled(self, node: Any, proceed: Callable[[], Any]) -> Any:
        self.current = (self.made.get(node.id), True)
        try:
            return proceed()
        finally:
            self.current = (None, True)


def _gradient_of(graph: Graph, given: tuple, places: dict) -> tuple[Graph, dict[Equation, _Origin]]:
    """Return the graph of the gradient of a graph's one output, and where its equations come from."""
    pulling = _Pulling()
    origins: dict[Equation, _Origin] = {}

    def step(equation: Equation, operands: tuple) -> Any:
        place = places[equation][0]
        pulling.current = (place, False)
        out = evaluated(equation, operands)
        for t in out if equation.several else (out,):
            node = getattr(t, "_node", None)
            if node is not None and node is not LEAF:
                pulling.made[getattr(node, "node", node).id] = place
        return out

    def gradient(*inputs: Tensor) -> list:
        level = fresh_level()
        leaves = []
        for t in inputs:
            leaf = wrap_at(level, lowered(t))
            leaf._node = LEAF
            leaves.append(leaf)
        with recording(level):
            out = graph.run(leaves, graph.values, {}, step)[0]
        found: dict = {}
        if isinstance(out, Tensor) and out._level == level and out._node is not None:
            root = out if out._node is LEAF else out._node
            with pulling:
                found = run_pass([(root, lowered(one_of(out)))], level, False, False, adds=False)
        entries = [found.get(id(leaf)) for leaf in leaves]
        return [t * 0 if entry is None else _as_tensor(entry[1]) for t, entry in zip(inputs, entries, strict=True)]

    traced = graph_of(gradient, given, branches=True, watch=lambda e: origins.__setitem__(e, pulling.current))
    return traced, origins


def _as_tensor(g: Any) -> Tensor:
    return g if isinstance(g, Tensor) else wrap(g)


# -- perturbations -----------------------------------------------------------------------------------------------------


class _Perturbed:
    """A run of a graph in which a perturbation is added wherever rounding errors come in.

    Attributes
    ----------
    points : list of (Tensor, array, key, bool)
        Each perturbation, how large it may be, the source that it belongs to, and whether an analysis says so.
    """

    def __init__(self, places: dict):
        self.points: list[tuple[Tensor, np.ndarray, _Key, bool]] = []
        self._places = places

    def run(self, graph: Graph, inputs: Sequence[Any]) -> list:
        """Return the outputs, recorded as functions of the perturbations."""
        with enable_grad():
            return graph.run(inputs, [_plain(v) for v in graph.values], {}, lambda e, xs: self._step(self._places[e], e, xs))

    def _step(self, origin: _Origin, equation: Equation, operands: tuple) -> Any:
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
                one = [16 * np.finfo(r.dtype).eps * np.abs(r) if is_inexact(r) else None for r in results]
                return Roundoff(one, [None] * len(values), False)
            return roundoff(equation.op, values, equation.params, results)

    def _with(self, x: Any, size: np.ndarray, key: _Key, known: bool) -> Any:
        if not isinstance(x, Tensor) or not np.any(size):
            return x
        delta = wrap(np.zeros(tuple(x.shape), x.dtype.numpy))
        delta.requires_grad_()
        self.points.append((delta, size, key, known))
        return x + delta

    def _expanded(self, origin: _Origin, equation: Equation, operands: tuple) -> Any:
        """Run the ops that an op is made of, each with its own errors."""
        f = partial(equation.op.lowering.f, **equation.params)
        plain = tuple([x.detach() if isinstance(x, Tensor) else x for x in operands])
        graph = graph_of(f, plain, branches=True)
        inner = _Perturbed({})
        inner._places = dict.fromkeys(graph.equations, origin)
        inner.points = self.points
        outs = inner.run(graph, [x for x in operands if isinstance(x, Tensor)])
        return tuple(outs) if equation.several else outs[0]


def _plain(value: Tensor) -> Tensor:
    return value.detach() if value._level == 0 else value


def _bounded(graph: Graph, given: tuple, places: dict) -> list[Rounding]:
    """Return what rounding may do to each output of a graph."""
    perturbed = _Perturbed(places)
    found = []
    for out in perturbed.run(graph, given):
        parts = _contributions(out, perturbed.points) if isinstance(out, Tensor) and out.requires_grad else {}
        value = out.detach()
        shape = tuple(value.shape)
        with np.errstate(all="ignore"):
            total = np.sum([part for part, _ in parts.values()], axis=0) if parts else np.zeros(value.numel())
            total = np.where(np.isfinite(value.numpy().reshape(-1)), total, np.inf)
            total = np.where(np.isnan(total), np.inf, total)
            whole = float(np.sum(total))
        sources = []
        for key, (part, known) in parts.items():
            share = float(np.sum(part)) / whole if 0 < whole < np.inf else float(not np.isfinite(part).all())
            sources.append(Source(key, wrap(part.reshape(shape)), share, known))
        sources.sort(key=lambda s: -s.share)
        found.append(Rounding(value, wrap(total.reshape(shape)), [s for s in sources if s.share > 0]))
    return found


def _contributions(out: Tensor, points: list) -> dict[_Key, tuple[np.ndarray, bool]]:
    """Return, for each source, what it may add to the error of each element of a result."""
    deltas = [delta for delta, *_ in points]
    m = out.numel()
    rows = max(1, min(m, _ELEMENTS // max(sum([d.numel() for d in deltas]), 1)))
    parts: dict[_Key, tuple[np.ndarray, bool]] = {}
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
