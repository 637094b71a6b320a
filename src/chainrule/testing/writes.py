"""Laws of writes: whatever is changed in place between the forward and the backward pass, a gradient is right or refused.

A write may reach what a node saved through the tensor itself, under `no_grad`, through another tensor of its memory, or as
the ``out=`` of another call; each operand and each result is written to in turn. What the pass then gives is what it gives
without the write, or PyTorch's error; never another number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import autograd, func
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import bottom, innermost
from chainrule.testing.batched import refuses
from chainrule.testing.case import Case, is_floating, like
from chainrule.testing.compare import gap
from chainrule.testing.law import law

REFUSED = "one of the variables needed for gradient computation has been modified by an inplace operation"


def _under_no_grad(t: Tensor, new: Tensor) -> None:
    with cr.no_grad():
        t.copy_(new)


def _through_a_view(t: Tensor, new: Tensor) -> None:
    with cr.no_grad():
        t[...].copy_(new)


WAYS: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "under no_grad": _under_no_grad,
    "through detach()": lambda t, new: t.detach().copy_(new),
    "through a view": _through_a_view,
    "through out=": lambda t, new: cr.ldexp(new, wrap(np.zeros_like(new._data)), out=t.detach()),
}


class Recorded:
    """A call recorded on fresh tensors, and what a pass is asked of it.

    ``roots`` are the results that have gradients, ``weights`` their cotangents.

    Parameters
    ----------
    call : callable
    args, kwargs : sequence, dict
        Its arguments; arrays in them become tensors.
    at : int, optional
        The one floating operand that requires grad; all of them if not given.
    computed : bool
        The operands that require grad are results of an op, not leaves.
    """

    def __init__(self, call: Callable, args: Sequence, kwargs: dict, at: int | None, computed: bool):
        self.operands: list[Tensor] = []
        self.leaves: list[Tensor] = []
        self._at, self._computed, self._number = at, computed, count()
        with np.errstate(all="ignore"):
            out = call(*self._tensors(list(args)), **self._tensors(kwargs))
        self.results = list(tensors_in(out))
        self.roots = [r for r in self.results if r.requires_grad]
        rng = np.random.default_rng(0)
        self.weights = [wrap(like(rng, innermost(r))) for r in self.roots]

    def _tensors(self, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return type(value)([self._tensors(v) for v in value])
        if isinstance(value, dict):
            return {k: self._tensors(v) for k, v in value.items()}
        if not isinstance(value, (np.ndarray, np.generic)):
            return value
        t = wrap(np.array(value))
        if is_floating(value) and self._at in (None, next(self._number)):
            self.leaves.append(t.requires_grad_())
            t = t * 1 if self._computed else t  # type: ignore[operator]
        self.operands.append(t)
        return t

    def parts(self) -> list[tuple[str, Tensor]]:
        """Return what may be written to, with names."""
        named = [(f"operand {i}", t) for i, t in enumerate(self.operands)]
        return named + [(f"result {i}", t) for i, t in enumerate(self.results)]

    def gradients(self, **flags: Any) -> tuple:
        """Return the leaves' gradients."""
        return autograd.grad(self.roots, self.leaves, self.weights, allow_unused=True, **flags)


class Pulled(Recorded):
    """The same of a call whose derivative `func.vjp` takes (or `func.linearize`), of copies where operands are computed.

    The operands that it is not taken in are captured.
    """

    def __init__(
        self, call: Callable, args: Sequence, kwargs: dict, at: int | None, computed: bool, transform: Callable = func.vjp
    ):
        self.operands, self.leaves = [], []
        self._at, self._computed, self._number = at, False, count()
        given = self._tensors(list(args)), self._tensors(kwargs)
        places = {id(t): k for k, t in enumerate(self.leaves)}
        moving = [t.detach() for t in self.leaves]
        self.operands = [moving[places[id(t)]] if id(t) in places else t for t in self.operands]

        def of_leaves(*leaves: Tensor) -> tuple:
            leaves = tuple([t * 1 for t in leaves]) if computed else leaves

            def chosen(value: Any) -> Any:
                if isinstance(value, (list, tuple)):
                    return type(value)([chosen(v) for v in value])
                if isinstance(value, dict):
                    return {k: chosen(v) for k, v in value.items()}
                return leaves[places[id(value)]] if id(value) in places else value

            with np.errstate(all="ignore"):
                return tuple([r for r in tensors_in(call(*chosen(given[0]), **chosen(given[1]))) if is_floating(bottom(r))])

        self.results, self.roots, self.leaves = [], [], moving
        if not moving or not of_leaves(*moving):
            return
        found, self._pull = transform(of_leaves, *moving)
        self.results = self.roots = list(found)
        rng = np.random.default_rng(0)
        along = moving if transform is func.linearize else self.roots
        self.weights = [wrap(like(rng, innermost(t))) for t in along]
        self._splat = transform is func.linearize

    def gradients(self, **flags: Any) -> tuple:
        """Return what the map that the transform returned makes of its weights."""
        return self._pull(*self.weights) if self._splat else self._pull(tuple(self.weights))


def tensors_in(out: Any) -> Iterator[Tensor]:
    """Go through the tensors in a result."""
    if isinstance(out, Tensor):
        yield out
    elif isinstance(out, (list, tuple)):
        for o in out:
            yield from tensors_in(o)


def other_values(t: Tensor) -> np.ndarray | None:
    """Return values to write over a tensor's, which serve as indices where they do; None if all are equal."""
    old = np.array(innermost(t))
    if old.dtype.kind == "b":
        return None if not old.size else ~old
    new = np.roll(old.reshape(-1), 1).reshape(old.shape)
    if old.dtype.kind in "iu":
        new = new if (new != old).any() else np.zeros_like(old)
    else:
        with np.errstate(all="ignore"):
            new = (new * 1.5 + 0.75).astype(old.dtype)
    return new if (new != old).any() else None


def wrong_after_a_write(call: Callable, args: Sequence, kwargs: dict, thorough: bool = False) -> str | None:
    """Return what a write between forward and backward makes of a call's gradient that is neither right nor refused.

    Parameters
    ----------
    call, args, kwargs
        The call to record; arrays in its arguments become tensors.
    thorough : bool
        Write to each part in every way, for leaves and for computed operands; else in one of the ways in turn.

    Returns
    -------
    str or None
        The part and the way of the write, and both numbers.
    """
    return _search(Recorded, call, args, kwargs, thorough, _after_one_pass, every_way=thorough)


def wrong_after_a_write_between_passes(call: Callable, args: Sequence, kwargs: dict, thorough: bool = False) -> str | None:
    """Return what a write between a first pass and one through it makes of a second derivative, as `wrong_after_a_write`.

    The ways of a write are taken in turn: what they have in common, a version, is all that this pass sees of them.
    """
    return _search(Recorded, call, args, kwargs, thorough, _after_two_passes)


def wrong_after_a_write_before_the_pull(call: Callable, args: Sequence, kwargs: dict, thorough: bool = False) -> str | None:
    """Return what a write makes of the maps that `func.vjp` and `func.linearize` made before, as `wrong_after_a_write`.

    The ways of a write are taken in turn.
    """
    for transform in (func.vjp, func.linearize) if thorough else (func.vjp,):
        wrong = _search(partial(Pulled, transform=transform), call, args, kwargs, thorough, _after_one_pass)
        if wrong is not None:
            return f"func.{transform.__name__}: {wrong}"
    return None


def _search(
    record: Callable, call: Callable, args: Sequence, kwargs: dict, thorough: bool, attempt: Callable, every_way: bool = False
) -> str | None:
    turn = count()
    width = len([t for t in Recorded(call, args, kwargs, -1, False).operands if is_floating(t)])
    for at in (None, *(range(width) if width > 1 else ())):
        for computed in (False, True) if thorough else (record is Recorded and next(turn) % 2 == 0,):

            def again(at: int | None = at, computed: bool = computed) -> Recorded:
                return record(call, args, kwargs, at, computed)

            try:
                recorded = again()
                if not recorded.roots:
                    continue
                expected, names = attempt(recorded, None, None)
            except RuntimeError as error:
                if not str(error).startswith(("the derivative for", "derivative for")):  # there is none
                    raise
                continue
            for place, name in enumerate(names):
                ways = list(WAYS) if every_way else [list(WAYS)[next(turn) % len(WAYS)]]
                for way in ways:
                    passes, _ = attempt(again(), place, WAYS[way])
                    for found, right in zip(passes, expected, strict=False):
                        wrong = None if found is None else _first_gap(found, right)
                        if wrong is not None:
                            whose = "all operands" if at is None else f"operand {at}"
                            return f"{name} written {way}: gradient of {whose}: {wrong}"
    return None


def _first_gap(found: Sequence, expected: Sequence) -> str | None:
    for a, b in zip(found, expected, strict=True):
        wrong = gap(a, b, 1e-7) if a is not None and b is not None else None if a is b else f"{a} against {b}"
        if wrong is not None:
            return wrong
    return None


def has_written(t: Tensor, way: Callable) -> bool:
    """Write other values to a tensor; tell whether that was allowed and there are any."""
    new = other_values(t)
    if new is None:
        return False
    try:
        way(t, wrap(new))
    except RuntimeError as error:  # elements that lie in one place
        if "more than one element of the written-to tensor" not in str(error) and "can't be cast" not in str(error):
            raise
        return False
    return True


def _passed(run: Callable[[], Any]) -> list | None:
    """Return the gradients that a pass gives as arrays; None if it refuses for a write."""
    try:
        return [None if g is None else np.array(innermost(g)) for g in run()]
    except RuntimeError as error:
        if not str(error).startswith(REFUSED):
            raise
        return None


def _after_one_pass(recorded: Recorded, place: int | None, way: Callable | None) -> tuple[list, list[str]]:
    parts = recorded.parts()
    if place is not None and not has_written(parts[place][1], way):  # type: ignore[arg-type]
        return [], []
    return [_passed(recorded.gradients)], [name for name, _ in parts]


def _after_two_passes(recorded: Recorded, place: int | None, way: Callable | None) -> tuple[list, list[str]]:
    for w in recorded.weights:
        w.requires_grad_()
    first = [g for g in recorded.gradients(create_graph=True) if g is not None and g.requires_grad]
    if not first:
        return [], []
    parts = [
        *recorded.parts(),
        *[(f"cotangent {i}", w) for i, w in enumerate(recorded.weights)],
        *[(f"gradient {i}", g) for i, g in enumerate(first)],
    ]
    rng = np.random.default_rng(1)
    along = [wrap(like(rng, innermost(g))) for g in first]
    if place is not None and not has_written(parts[place][1], way):  # type: ignore[arg-type]
        return [], []
    # The pass to the cotangents alone does not come by the nodes of the first, which would find the write as well.
    found = [
        _passed(partial(autograd.grad, first, targets, along, allow_unused=True, retain_graph=True))
        for targets in (recorded.weights, recorded.leaves)
    ]
    return found, [name for name, _ in parts]


# -- as laws of ops ----------------------------------------------------------------------------------------------------


@law("a write between forward and backward is noticed")
def a_write_is_noticed(case: Case) -> str | None:
    """Check that a write to an operand or a result leaves the gradient right, or has the pass refuse."""
    return wrong_after_a_write(case.op.call, case.args, case.params)


@law("a write between two passes is noticed")
def a_write_between_passes_is_noticed(case: Case) -> str | None:
    """Check the same of the second derivative and a write after the first pass."""
    return wrong_after_a_write_between_passes(case.op.call, case.args, case.params)


@law("a write is noticed under vmap")
def a_write_is_noticed_under_vmap(case: Case) -> str | None:
    """Check the same of a call whose operands all have two examples."""
    arrays = [i for i, a in enumerate(case.args) if isinstance(a, np.ndarray)]
    in_dims = tuple([0 if i in arrays else None for i in range(len(case.args))])

    def call(*args: Any, **params: Any) -> Any:
        return func.vmap(lambda *xs: case.op.call(*xs, **params), in_dims)(*args)

    args = [np.stack([a, a[::-1] if a.ndim else a]) if i in arrays else a for i, a in enumerate(case.args)]
    try:
        return wrong_after_a_write(call, args, case.params)
    except RuntimeError as error:
        if refuses(case, arrays, error):
            return None
        raise


@law("a write between func.vjp and its pull is noticed")
def a_write_before_the_pull_is_noticed(case: Case) -> str | None:
    """Check that the map that `func.vjp` returned is right or refuses, whatever is written to after the call."""
    return wrong_after_a_write_before_the_pull(case.op.call, case.args, case.params)


@law("results lie in declared memory")
def results_lie_in_declared_memory(case: Case) -> str | None:
    """Check that a result shares memory with an operand only where the op is declared a view or as sharing it."""
    args = [np.array(a) if isinstance(a, np.ndarray) else a for a in case.args]
    out = case.call(args)
    for r, o in enumerate(out if isinstance(out, (tuple, list)) else (out,)):
        for i, a in enumerate(args):
            if not (isinstance(a, np.ndarray) and isinstance(o, np.ndarray) and a.size):
                continue
            if (o is a or np.may_share_memory(o, a)) and (i or not (case.op.view or case.op.shares)):
                return f"result {r} lies in the memory of {case.input_name(i)}; declare view=True or shares=True"
    return None
