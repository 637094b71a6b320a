"""Rounding errors of a value and its gradient, to first order: how many digits are right, and where the others were lost.

Each rounding of a computation changes its result by the rounding times the derivative of the result with respect to the number
that was rounded. So the sum of unit roundoffs, weighted with adjoints, bounds the error. The adjoints come from the passes
that take all derivatives here: the function is traced, or a tensor's history read, and run once more with a perturbation added
to every inexact result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.autograd.arguments import tensors
from chainrule.core.generator import get_rng_state, set_rng_state
from chainrule.core.graph.nodes import LEAF
from chainrule.core.mode.grad_mode import recording
from chainrule.core.mode.levels import fresh_level
from chainrule.core.mode.watch import Watcher
from chainrule.core.record.notes import Place, note_of
from chainrule.core.tensor.tensor import Tensor, wrap, wrap_at
from chainrule.core.tensor.value import bottom
from chainrule.core.types.dtype import FLOAT
from chainrule.core.types.tree import tree_flatten
from chainrule.transforms.custom.context import lowered, raised
from chainrule.transforms.equations import Equation, Graph, Variable, evaluated
from chainrule.transforms.gradient import check_wanted, one_of
from chainrule.transforms.noted import Noted, leaves_of
from chainrule.transforms.perturbed import Key, Origin, Perturbed, contributions
from chainrule.transforms.reverse import run_pass
from chainrule.transforms.roundoff import magnitude, unit
from chainrule.transforms.trace import graph_of

__all__ = ["Rounding", "Source", "rounding"]


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

    def __init__(self, key: Key, bound: Tensor, share: float, known: bool):
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
        size, bound = magnitude(bottom(self.value)), self.bound.numpy()
        most = -np.log10(unit(self.value.dtype.numpy))
        with np.errstate(all="ignore"):
            found = np.where(bound == 0, most, np.log10(size / bound))
        return wrap(np.clip(np.nan_to_num(found, nan=0.0), 0.0, most))

    def __repr__(self) -> str:
        if self.value.ndim:
            lines = [f"{tuple(self.value.shape)}: the fewest right digits are {self._worst():.1f}, bound {self._most():.2g}"]
        else:
            lines = [f"{self.value.item()!r} ± {self._most():.2g}: {self._worst():.1f} digits are right"]
        lines += [f"  {source!r}" for source in self.sources[:5] if source.share >= 0.01]
        gradients = self.gradient if isinstance(self.gradient, tuple) else (self.gradient,) if self.gradient else ()
        lines += ["gradient " + repr(g) for g in gradients]
        return "\n".join(lines) if self.value.numel() else "no elements"

    def _worst(self) -> float:
        return float(np.min(self.digits.numpy(), initial=np.inf))

    def _most(self) -> float:
        return float(np.max(self.bound.numpy(), initial=0.0))


def rounding(loss: Tensor | Callable, inputs: Tensor | Sequence[Tensor] | None = None, *, gradient: bool = True) -> Rounding:
    """Bound the rounding errors of a value and of its gradient, and tell in which ops the digits are lost.

    Parameters
    ----------
    loss : Tensor or callable
        A tensor that was recorded under ``autograd.graph.noting(values=True)``; or a function that takes the inputs as
        positional arguments and returns a tensor.
    inputs : Tensor or sequence of Tensor
        Floating or complex tensors, which count as exact. Of a function these are its arguments; of a tensor what to
        differentiate in, leaves or not, by default all leaves that its history leads to, in the order in which they were used.
    gradient : bool
        Whether to look at the gradient, too, where the value is one real number.

    Returns
    -------
    Rounding
        Of the value: `bound`, `digits` and `sources`; of the gradient, with respect to each input, in `gradient`.

    Raises
    ------
    TypeError
        If `loss` is neither, an input is no tensor, or none is given with a function.
    RuntimeError
        If the function does not return one floating or complex tensor, or an input is not floating or complex; if the tensor
        does not require grad, was recorded without its values, or one of them was written to since.

    Notes
    -----
    With v ranging over the results of all ops, and δ(v) the local rounding error of each, the error of a result y is at most
    the sum of abs(∂y/∂v)·δ(v), up to terms in u² (Linnainmaa 1976; Iri 1984; Higham, *Accuracy and Stability of Numerical
    Algorithms*, sections 3.3 and 26.4). Here δ(v) is u·abs(v) for one rounding; n·u times the sum of absolute values for a sum
    of n terms, and of products for a matrix product; for a factorisation, what a perturbation of the matrix by a few
    n·u·max(abs(A)) does to the result. The adjoints ∂y/∂v of a value of m elements take m backward passes; those of a gradient
    of n elements, n passes over its graph. They are computed in the value's own dtype.

    Of a function all that it computes is seen. Of a tensor its history is: what was computed before it, of constants alone,
    under ``no_grad`` or before `detach`, counts as exact. Its gradient is the one of the recorded ops; hooks are not called.

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

    The same of a tensor that there is already:

    >>> x = x.requires_grad_()
    >>> with cr.autograd.graph.noting(values=True):
    ...     loss = 1 - cr.cos(x)
    >>> cr.autograd.rounding(loss, x).digits.item() < 2
    True
    """
    if isinstance(loss, Tensor):
        what = _recorded(loss, inputs)
    elif callable(loss):
        what = _called(loss, inputs)
    else:
        raise TypeError(f"{type(loss).__name__!r} object is not callable: rounding() takes a tensor or a function")
    found = what.bounded()[0]
    if isinstance(loss, Tensor):
        _check_repeated(found, what.repeated[0])
    if gradient and found.value.numel() == 1 and found.value.dtype.category == FLOAT:
        gradients = tuple(_gradient_of(what).bounded())
        found.gradient = gradients[0] if isinstance(inputs, Tensor) else gradients
    return found


def _checked(inputs: Any) -> tuple[Tensor, ...]:
    """Return inputs as a tuple, without their history; raise where one has no rounding errors."""
    _, given = tensors(tuple(inputs) if isinstance(inputs, list) else inputs, "inputs", "rounding")
    for t in given:
        if not (t.is_floating_point() or t.is_complex()):
            raise RuntimeError(f"rounding(): only floating and complex tensors have rounding errors, not an input of {t.dtype}")
        if t._level:
            raise RuntimeError(
                "rounding(): an input is a value of a transform (func.grad, vmap, …), which has no digits of its own; call it "
                "outside of the transform, with the transformed function"
            )
    return tuple([t.detach() for t in given])


# -- what was computed -------------------------------------------------------------------------------------------------


class _Computed:
    """What was computed: as equations, from which inputs, with which values, where in the program.

    Attributes
    ----------
    repeated : list of Tensor
        The values that the equations give when they run once more, as :meth:`bounded` has them do.
    """

    def __init__(self, graph: Graph, given: tuple, values: list, places: dict[Equation, Origin], drawn: Tensor):
        self.graph, self.given, self.values, self.places, self.drawn = graph, given, values, places, drawn
        self.repeated: list = []

    def bounded(self) -> list[Rounding]:
        """Return what rounding may do to each value."""
        perturbed = Perturbed(self.places)
        set_rng_state(self.drawn)
        self.repeated = perturbed.run(self.graph, self.given)
        outs = zip(self.repeated, self.values, strict=True)
        return [_rounding(value, out, perturbed) for out, value in outs]


def _rounding(value: Tensor, out: Any, perturbed: Perturbed) -> Rounding:
    parts = contributions(out, perturbed.points) if isinstance(out, Tensor) and out.requires_grad else {}
    shape = tuple(value.shape)
    with np.errstate(all="ignore"):
        total = np.sum([part for part, _ in parts.values()], axis=0) if parts else np.zeros(value.numel())
        total = np.where(np.isfinite(np.reshape(bottom(value), -1)), total, np.inf)
        total = np.where(np.isnan(total), np.inf, total)
        whole = float(np.sum(total))
    sources = []
    for key, (part, known) in parts.items():
        share = float(np.sum(part)) / whole if 0 < whole < np.inf else float(not np.isfinite(part).all())
        sources.append(Source(key, wrap(part.reshape(shape)), share, known))
    sources.sort(key=lambda s: -s.share)
    return Rounding(value, wrap(total.reshape(shape)), [s for s in sources if s.share > 0])


def _called(f: Callable, inputs: Any) -> _Computed:
    """Return what a function computes of the inputs."""
    if inputs is None:
        raise TypeError("rounding(): a function needs its inputs: rounding(f, inputs)")
    given = _checked(inputs)
    places: dict[Equation, Origin] = {}
    lines = _Lines()
    graph, drawn, values = _traced(f, given, lambda e: places.__setitem__(e, (lines.one(Place()), False)))
    out = graph.shapes
    if out.__class__ is not Variable:
        raise RuntimeError(f"rounding(): the function must return one tensor, not {_told(out)}")
    if out.dtype.category < FLOAT:
        raise RuntimeError(f"rounding(): the function returns {out.dtype}, which has no rounding errors")
    return _Computed(graph, given, values, places, drawn)


def _traced(f: Callable, given: tuple, watch: Callable[[Equation], None]) -> tuple[Graph, Tensor, list[Tensor]]:
    """Return the graph of a call, the state of the random numbers before, and the values that it returned."""
    drawn, values = get_rng_state(), []

    def run(*xs: Tensor) -> Any:
        result = f(*xs)
        values.extend([wrap(bottom(t)) for t in tree_flatten(result)[0] if isinstance(t, (Tensor, np.ndarray))])
        return result

    return graph_of(run, given, branches=True, watch=watch), drawn, values


def _told(result: Any) -> str:
    return f"a {type(result).__name__} of {len(result)}" if isinstance(result, (tuple, list, dict)) else type(result).__name__


def _recorded(loss: Tensor, inputs: Any) -> _Computed:
    """Return how a tensor was computed from the inputs, from its history."""
    if loss._level:
        raise RuntimeError("rounding(): the tensor is a value of a transform: give a function, outside of the transform")
    if loss.dtype.category < FLOAT or not loss.requires_grad:
        raise RuntimeError("element 0 of tensors does not require grad and does not have a grad_fn")
    if inputs is None:
        asked = leaves_of(loss)
    else:
        _checked(inputs)
        asked = [inputs] if isinstance(inputs, Tensor) else list(inputs)
        check_wanted(asked)
        if len({id(t) for t in asked}) < len(asked):
            raise RuntimeError("rounding(): the same tensor is given twice among the inputs")
    noted = Noted(loss, asked, "rounding()")
    lines = _Lines()
    places = {}
    for equation, note in noted.notes.items():  # of a backward pass: at the line whose derivative it is
        of = note if note.parent is None else note_of(note.parent) or note
        places[equation] = lines.one(of.place()), note.parent is not None
    return _Computed(noted.graph, noted.inputs, [loss.detach()], places, get_rng_state())


def _check_repeated(found: Rounding, repeated: Tensor) -> None:
    """Raise where computing a tensor once more has given another value than it has, farther off than rounding tells."""
    recorded, again = np.asarray(bottom(found.value)), np.asarray(bottom(repeated))
    with np.errstate(all="ignore"):
        differ = (magnitude(again - recorded) > 4 * found.bound.numpy()) & (again != recorded)
    if differ.any():
        raise RuntimeError(
            "rounding(): the recorded ops give another value when they are computed once more: a custom function draws random "
            "numbers or keeps a state, or memory was written to past the tensors that show it. Give a function and its inputs"
        )


class _Lines:
    """One place a line, whose sources are one."""

    def __init__(self) -> None:
        self._known: dict[tuple, Place] = {}

    def one(self, place: Place) -> Place:
        return self._known.setdefault((place.file, place.line), place)


# -- the graph of the gradient -----------------------------------------------------------------------------------------


class _Pulling(Watcher):
    """Knows which equation's node is pulling back."""

    def __init__(self) -> None:
        super().__init__()
        self.current: Origin = (None, False)
        self.made: dict[int, Any] = {}

    def pulled(self, node: Any, proceed: Callable[[], Any]) -> Any:
        self.current = (self.made.get(node.id), True)
        try:
            return proceed()
        finally:
            self.current = (None, True)


def _gradient_of(what: _Computed) -> _Computed:
    """Return how the gradient of a value is computed: as a backward pass through what was computed does it."""
    pulling = _Pulling()
    places: dict[Equation, Origin] = {}

    def step(equation: Equation, operands: tuple) -> Any:
        place = what.places[equation][0]
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
            out = what.graph.run(leaves, what.graph.values, {}, step)[0]
        found: dict = {}
        if isinstance(out, Tensor) and out._level == level and out._node is not None:
            root = out if out._node is LEAF else out._node
            with pulling:
                found = run_pass([(root, lowered(one_of(out)))], level, False, False, adds=False)
        entries = [found.get(id(leaf)) for leaf in leaves]
        return [_zeros(t) if entry is None else raised(entry[1]) for t, entry in zip(inputs, entries, strict=True)]

    set_rng_state(what.drawn)
    graph, drawn, values = _traced(gradient, what.given, lambda e: places.__setitem__(e, pulling.current))
    return _Computed(graph, what.given, values, places, drawn)


def _zeros(t: Tensor) -> Tensor:
    return wrap(np.zeros(tuple(t.shape), t.dtype.numpy))
