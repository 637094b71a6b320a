"""Laws of transforms composed: the derivative that a nest of `jvp`, `vjp` and `vmap` gives is the one found another way.

The other way is numeric, by differences of the derivative one order lower, or a loop in the place of `vmap`. Each nest is a
law of its own, named as a composition reads, so that a table can tell which op fails in which.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import numpy as np

from chainrule.core.tensor.tensor import Tensor
from chainrule.func import jvp, vjp, vmap
from chainrule.testing import batched, derivatives, ways
from chainrule.testing.batched import EXAMPLES, NO_ARRAYS, REFUSED, UNFIT, arrays, every_result, examples, refuses, stacked
from chainrule.testing.case import Case, like, tensor_of
from chainrule.testing.compare import first_gap, gap_to_slope
from chainrule.testing.derive import at_of, payload, wrapped
from chainrule.testing.law import Law, law

NUMERIC, EXACT = 1e-6, 1e-9

# What a nest takes beside the function and the primals, in order: t for tangents of the primals, w for weights of the results.
NESTS: dict[str, tuple[str, Callable]] = {
    "jvp": ("t", lambda f, x, t: jvp(f, x, t)[1]),
    "vjp": ("w", lambda f, x, w: vjp(f, *x)[1](w)),
    "jvp∘jvp": ("tt", lambda f, x, t, u: jvp(lambda *x: jvp(f, x, t)[1], x, u)[1]),
    "jvp∘vjp": ("wt", lambda f, x, w, t: jvp(lambda *x: vjp(f, *x)[1](w), x, t)[1]),
    "vjp∘jvp": ("tw", lambda f, x, t, w: vjp(lambda *x: jvp(f, x, t)[1], *x)[1](w)),
    "vjp∘vjp": ("wt", lambda f, x, w, t: vjp(lambda *x: vjp(f, *x)[1](w), *x)[1](t)),
    "jvp∘jvp∘jvp": (
        "ttt",
        lambda f, x, t, u, v: jvp(lambda *x: jvp(lambda *x: jvp(f, x, t)[1], x, u)[1], x, v)[1],
    ),
}


def vectors(case: Case, kinds: str) -> list[list[np.ndarray]]:
    """Return what a nest of these kinds takes beside the primals."""
    return [case.directions(case.moving, f"direction {i}") if kind == "t" else case.weights() for i, kind in enumerate(kinds)]


def _taken(nest: Callable, f: Callable, *groups: tuple) -> Sequence[Tensor]:
    return ways.transformed(lambda *given: nest(f, *given))(*groups)


def numeric(name: str) -> Law:
    """Return the law that a nest of derivatives is what differences of the derivative one order lower give.

    A second derivative with a `vjp` in it is the product of a direction and the Hessian of the weighted sum of the results,
    which is symmetric: in every order it is the gradient's derivative along that direction.
    """
    kinds, nest = NESTS[name]
    inner = name.partition("∘")[2] if "vjp" not in name else "vjp"

    @law(name)
    def agrees(case: Case) -> str | None:
        at, f, given = at_of(case, case.moving), case.function(case.moving), vectors(case, kinds)
        found = [payload(o) for o in _taken(nest, f, wrapped(at), *map(wrapped, given))]
        lower = NESTS[inner][1]
        rest = given[:-1] if "vjp" not in name else [given[kinds.index("w")]]
        step = given[-1] if "vjp" not in name else given[kinds.index("t")]
        numbers = lambda *x: [payload(o) for o in lower(f, wrapped(x), *map(wrapped, rest))]
        different = gap_to_slope(found, numbers, at, step, NUMERIC)
        return None if different is None else f"result {different[0]}: {different[1]} (differences of {inner})"

    return agrees


def looped(name: str, nest: Callable, kinds: str) -> Law:
    """Return the law that a nest with `vmap` in it, over all that moves, is a loop in its place.

    `nest(f, x, *vectors)` takes batches, and its counterpart without `vmap` is ``NESTS[name less vmap]``.
    """
    single = NESTS["∘".join(part for part in name.split("∘") if part != "vmap")][1]

    @law(name)
    def is_a_loop(case: Case) -> str | None:
        at, f = case.moving, case.function(case.moving)
        rng = case.rng("batch")
        columns = [examples(case, i) for i in at]
        rows = list(zip(*columns, strict=True))
        try:
            outs = [[payload(o) for o in f(*wrapped(row))] for row in rows]
            [np.stack(column) for column in zip(*outs, strict=True)]
        except (ValueError, RuntimeError, IndexError):
            return UNFIT
        pairs = list(zip(rows, outs, strict=True))
        given = [[[like(rng, a) for a in (row if kind == "t" else out)] for kind in kinds] for row, out in pairs]
        expected = [
            [payload(o) for o in single(f, wrapped(row), *map(wrapped, more))] for row, more in zip(rows, given, strict=True)
        ]
        try:
            with _loops_allowed():
                found = _taken(nest, f, _stacked(rows), *[_stacked([g[k] for g in given]) for k in range(len(kinds))])
        except RuntimeError as error:
            if refuses(case, at, error):
                return REFUSED
            raise
        wanted = [np.stack(column) for column in zip(*expected, strict=True)]
        different = first_gap([payload(o) for o in found], wanted, ways.rounding(EXACT, wanted))
        return None if different is None else f"result {different[0]}: {different[1]} (a loop)"

    return is_a_loop


@contextmanager
def _loops_allowed() -> Iterator[None]:
    """Silence the warning that an op has no batching rule and loops."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)
        yield


def _stacked(rows: Sequence[Sequence[np.ndarray]]) -> tuple[Tensor, ...]:
    return tuple([stacked(column, 0) for column in zip(*rows, strict=True)])


def outside(name: str) -> Law:
    """Return the law of `vmap` of a nest."""
    kinds, nest = NESTS[name]

    def mapped(f: Callable, *groups: tuple) -> tuple:
        sizes = np.cumsum([0, *map(len, groups)])
        regroup = lambda flat: [tuple(flat[a:b]) for a, b in pairwise(sizes)]
        return vmap(lambda *flat: nest(f, *regroup(flat)))(*[t for group in groups for t in group])

    return looped(f"vmap∘{name}", mapped, kinds)


def inside(name: str) -> Law:
    """Return the law of a nest of `vmap`."""
    kinds, nest = NESTS[name]
    return looped(f"{name}∘vmap", lambda f, *groups: nest(vmap(f), *groups), kinds)


@law("vmap∘vmap")
def vmap_of_vmap_is_a_loop(case: Case) -> str | None:
    """Check batches of batches, of two orders of the same examples, against a loop."""
    at = arrays(case)
    if not at:
        return NO_ARRAYS
    f = every_result(case, at)
    orders = [range(EXAMPLES), range(EXAMPLES)[::-1]]
    rows = list(zip(*[examples(case, i) for i in at], strict=True))
    try:
        outs = [[payload(o) for o in f(*wrapped(row))] for row in rows]
        [np.stack(column) for column in zip(*outs, strict=True)]
    except (ValueError, RuntimeError, IndexError):
        return UNFIT
    x = [tensor_of(np.stack([np.stack([column[k] for k in order]) for order in orders])) for column in zip(*rows, strict=True)]
    try:
        with _loops_allowed():
            found = ways.transformed(vmap(vmap(f)))(*x)
    except RuntimeError as error:
        if refuses(case, at, error):
            return REFUSED
        raise
    expected = [np.stack([np.stack([column[k] for k in order]) for order in orders]) for column in zip(*outs, strict=True)]
    different = first_gap([payload(o) for o in found], expected, ways.rounding(EXACT, expected))
    return None if different is None else f"result {different[0]}: {different[1]} (a loop)"


SINGLES: dict[str, Law] = {
    "jvp": derivatives.jvp_is_the_numeric_derivative,
    "vjp": derivatives.vjp_is_the_transpose_of_jvp,
    "vmap": batched.vmap_is_a_loop,
}
PAIRS: dict[str, Law] = {
    **{name: numeric(name) for name in ("jvp∘jvp", "jvp∘vjp", "vjp∘jvp", "vjp∘vjp")},
    **{f"vmap∘{name}": outside(name) for name in ("jvp", "vjp")},
    **{f"{name}∘vmap": inside(name) for name in ("jvp", "vjp")},
    "vmap∘vmap": vmap_of_vmap_is_a_loop,
}
TRIPLES: dict[str, Law] = {
    "vmap∘vjp∘vjp": outside("vjp∘vjp"),
    "vmap∘jvp∘vjp": outside("jvp∘vjp"),
    "jvp∘jvp∘jvp": numeric("jvp∘jvp∘jvp"),
}
COMPOSITIONS: dict[str, Law] = {**SINGLES, **PAIRS, **TRIPLES}
