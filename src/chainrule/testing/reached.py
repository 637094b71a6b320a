"""Laws of what a declaration says of reach: an element of the result that moves with one of an input is linked to it."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.op.declaration import Op
from chainrule.core.op.links import Link
from chainrule.core.op.reach import Call, links_of
from chainrule.core.tensor.value import is_inexact
from chainrule.testing.case import Case, cases
from chainrule.testing.derive import payload, pushed
from chainrule.testing.law import law


def linked(case: Case) -> list[list[np.ndarray]]:
    """Return for each floating result, and each moving input, which elements the declaration links, as a matrix of bool."""
    return [[_dense(link, size_in, size_out) for link, size_in, size_out in row] for row in _links(case)]


def _links(case: Case) -> list[list[tuple[Link | None, int, int]]]:
    """Return for each floating result, and each moving input, the link and the sizes of the input and of the result."""
    outs = case.call(case.args)
    outs = outs if isinstance(outs, (tuple, list)) else (outs,)
    args = [np.asarray(a) if isinstance(a, np.generic) else a for a in case.args]
    links = links_of(Call(case.op, args, case.params, outs))
    return [
        [(row[i], args[i].size, out.size) for i in case.moving] for out, row in zip(outs, links, strict=True) if is_inexact(out)
    ]


def _dense(link: Link | None, size_in: int, size_out: int) -> np.ndarray:
    return np.zeros((size_out, size_in), bool) if link is None else link.dense(size_in, size_out)


@law("links are the same both ways")
def links_are_the_same_both_ways(case: Case) -> str | None:
    """Check that an element of the input reaches those of the result that depend on it."""
    for row in _links(case):
        for i, (link, size_in, size_out) in zip(case.moving, row, strict=True):
            if link is None:
                continue
            back = [link.backward(np.arange(size_out) == k, size_in) for k in range(size_out)]
            if not np.array_equal(np.array(back, bool).reshape(size_out, size_in), link.dense(size_in, size_out)):
                return f"what reaches an element of the result is not what depends on {case.input_name(i)}"
    return None


def moved(case: Case) -> list[list[np.ndarray | None]]:
    """Return the same as derivatives tell: where the exact Jacobian is not 0; None for an input without elements."""
    columns = [[_column(case, i, k) for k in range(np.size(case.args[i]))] for i in case.moving]
    return [
        [np.array([c[o] for c in column], bool).reshape(len(column), -1).T if column else None for column in columns]
        for o in range(len(case.raw()))
    ]


def _column(case: Case, i: int, k: int) -> list[np.ndarray]:
    """Return which elements of each floating result move with one element of an input, along 1 or along i."""
    x: Any = np.asarray(case.args[i])
    found: list[np.ndarray] = []
    for unit in (1, 1j) if x.dtype.kind == "c" else (1,):
        along = np.zeros(x.shape, x.dtype)
        along.flat[k] = unit
        _, tangents = pushed(case.function((i,)), [x], [along])
        now = [payload(t).ravel() != 0 for t in tangents]
        found = [a | b for a, b in zip(found, now, strict=True)] if found else now
    return found


@law("what moves is linked")
def what_moves_is_linked(case: Case) -> str | None:
    """Check that no element of the exact Jacobian outside of the link is other than 0."""
    return _lacks(linked(case), moved(case), case)


def _lacks(links: list, truths: list, case: Case) -> str | None:
    for o, (row, true) in enumerate(zip(links, truths, strict=True)):
        for i, link, moves in zip(case.moving, row, true, strict=True):
            if moves is not None and (moves & ~link).any():
                at = tuple(np.argwhere(moves & ~link)[0].tolist())
                return (
                    f"element {at[0]} of result {o} moves with element {at[1]} of {case.input_name(i)}, and is not linked to it"
                )
    return None


def loose_inputs(op: Op, kinds: str = "f", seeds: int = 3) -> set[str]:
    """Return the inputs of an op that some sample links where nothing moves, whatever values are drawn."""
    found: set[str] = set()
    for case in cases([op], kinds, differentiable=True):
        truths = [moved(Case(op, case.index, case.sample, case.dtype, seed)) for seed in range(seeds)]
        for o, row in enumerate(linked(case)):
            for place, (i, link) in enumerate(zip(case.moving, row, strict=True)):
                seen = [moves for true in truths if (moves := true[o][place]) is not None]
                if seen and (link & ~np.logical_or.reduce(seen)).any():
                    found.add(op.inputs[0] if op.variadic else op.inputs[i])
    return found
