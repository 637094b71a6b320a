"""Laws of batching: an op under `vmap` gives what it gives for one example after the other, alone and in transforms."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from chainrule.core.op.batching import looped
from chainrule.core.op.declaration import Op
from chainrule.core.op.samples import Fixed
from chainrule.core.tensor.tensor import Tensor
from chainrule.func import jvp, vjp, vmap
from chainrule.testing import ways
from chainrule.testing.case import Case, filled, like, tensor_of
from chainrule.testing.compare import first_gap
from chainrule.testing.derive import payload
from chainrule.testing.law import Silent, law

REFUSED = Silent("`vmap` refuses: values decide the shape of a result, or Python asks for them on its way")
UNFIT = Silent("other examples are refused with these parameters, or have results of other shapes")
RAGGED = Silent("the examples' results have several shapes, where PyTorch's result for a batch has one")
NO_ARRAYS = Silent("no arrays are given that could be batched")
EXAMPLES, EXACT = 3, 1e-9
MOST_SUBSETS = 32
REFUSALS = ("vmap: ", "vmap over ", "Batching rule not implemented", "Cannot access data pointer of Tensor")


def arrays(case: Case) -> list[int]:
    """Return the positions of the inputs that can be batched."""
    return [i for i, a in enumerate(case.args) if isinstance(a, (np.ndarray, np.generic))]


def subsets(positions: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the non-empty subsets of positions, single ones and all together first."""
    sizes = [1, *range(len(positions), 1, -1)]
    return [s for n in sizes for s in combinations(positions, n)][:MOST_SUBSETS]


def examples(case: Case, i: int) -> list[np.ndarray]:
    """Return an input for each example: drawn anew, or a fixed one with its elements in another order."""
    if isinstance(case.sample.args[i], (Fixed, np.ndarray, np.generic)):
        a = np.asarray(case.args[i])
        return [np.roll(a.reshape(-1), k).reshape(a.shape) for k in range(EXAMPLES)]
    return [
        np.asarray(Case(case.op, case.index, case.sample, case.dtype, case.seed + 1000 * k).args[i]) for k in range(EXAMPLES)
    ]


def refuses(case: Case, batched: Sequence[int], error: Exception) -> bool:
    """Tell whether an error is that of results of another shape for each example, from an op that has such."""
    masks = any(np.asarray(case.args[i]).dtype == bool for i in batched)
    return str(error).startswith(REFUSALS) and (masks or getattr(case.op.batch, "refuses", False))


def stacked(rows: Sequence[np.ndarray], dim: int) -> Tensor:
    """Return a tensor of the examples along an axis."""
    return tensor_of(np.stack(rows, dim))


def _outputs(out: Any) -> tuple:
    return tuple(out) if isinstance(out, (tuple, list)) else (out,)


class RaggedError(Exception):
    """The examples' results have several shapes, so that no array holds them."""


def _one_by_one(f: Callable, rows: Sequence[Sequence[np.ndarray]]) -> list:
    """Return f's results on each example, stacked."""
    found = [[payload(o) for o in f(*[tensor_of(x) for x in row])] for row in rows]
    if len({tuple([o.shape for o in outs]) for outs in found}) > 1:
        raise RaggedError
    return [np.stack(column) for column in zip(*found, strict=True)]


@law("vmap = loop")
def vmap_is_a_loop(case: Case) -> str | None:
    """Check every non-empty subset of the inputs batched, the batch axis first, last, and mixed; no examples; two levels."""
    silent: str | None = NO_ARRAYS
    for batched in subsets(arrays(case)):
        names = ", ".join(case.input_name(i) for i in batched)
        try:
            wrong = _batched(case, batched)
        except RuntimeError as error:
            if not refuses(case, batched, error):
                error.add_note(f"batched {names}")
                raise
            wrong = REFUSED
        if wrong.__class__ is str:
            return f"batched {names}, {wrong}"
        silent = silent and wrong  # one subset that is batched is enough to have been checked
    return silent


def _batched(case: Case, batched: tuple[int, ...]) -> str | None:
    """Return what is wrong with the op where the inputs at some positions are batched."""
    rows = list(zip(*[examples(case, i) for i in batched], strict=True))
    f = every_result(case, batched)
    try:
        expected = _one_by_one(f, rows)
    except (ValueError, RuntimeError, IndexError):
        return UNFIT
    except RaggedError:
        mapped(f, (0,) * len(batched), [stacked(column, 0) for column in zip(*rows, strict=True)])
        return "the results have a shape each, and vmap does not refuse" if isinstance(case.op, Op) else RAGGED
    for dims in _placements([x.ndim for x in rows[0]]):
        xs = [stacked(column, dim) for column, dim in zip(zip(*rows, strict=True), dims, strict=True)]
        wrong = _differs(mapped(f, dims, xs), expected)
        if wrong is not None:
            return f"in_dims={dims}: {wrong}"
    if case.op.batch in (None, looped):
        return None
    wrong = _without_examples(f, rows, expected)
    if wrong is not None:
        return f"no examples: {wrong}"
    wrong = _differs(_twice(f, rows), [np.stack([e, e], 1) for e in expected])
    return None if wrong is None else f"twice: {wrong}"


def _without_examples(f: Callable, rows: Sequence[Sequence[np.ndarray]], expected: Sequence[np.ndarray]) -> str | None:
    xs = [stacked(column, 0)[:0] for column in zip(*rows, strict=True)]
    try:
        found = mapped(f, (0,) * len(xs), xs)
    except RuntimeError as error:
        if "has no batching rule, and so none for a batch of size 0" in str(error):
            return None
        raise
    return _differs(found, [e[:0] for e in expected])


def _twice(f: Callable, rows: Sequence[Sequence[np.ndarray]]) -> Any:
    """Return f's results for two copies of the examples, under two levels of `vmap`."""
    xs = [tensor_of(np.stack([np.stack(c)] * 2, 1)) for c in zip(*rows, strict=True)]
    return mapped(lambda *x: mapped(f, (0,) * len(x), x), (1,) * len(xs), xs, 1)


def mapped(f: Callable, dims: tuple, xs: Sequence[Tensor], out_dims: int = 0) -> Any:
    """Return what f gives under `vmap`; an op that is declared to loop need not say so."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)
        return ways.transformed(vmap(f, in_dims=dims, out_dims=out_dims))(*xs)


def every_result(case: Case, at: Sequence[int]) -> Callable:
    """Return the op as a function of tensors at some positions: a tuple of all its results."""
    return lambda *xs: _outputs(case.run(*filled(case.tensors(), xs, at)))


def _differs(found: Sequence[Tensor], expected: Sequence[np.ndarray]) -> str | None:
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        if a.dtype.numpy != b.dtype:
            return f"result {i}: dtype {a.dtype} against {b.dtype}"
    different = first_gap([payload(o) for o in found], expected, ways.rounding(EXACT, expected))
    return None if different is None else f"result {different[0]}: {different[1]}"


def _placements(ndims: Sequence[int]) -> list[tuple[int, ...]]:
    """Return some choices of a batch axis for each input of so many axes."""
    first, last = (0,) * len(ndims), (-1,) * len(ndims)
    mixed = tuple([n // 2 + (k % 2) * (n % 2) for k, n in enumerate(ndims)])
    return list(dict.fromkeys((first, last, mixed)))


@law("vmap composes with derivatives")
def vmap_composes(case: Case) -> str | None:
    """Check vmap of jvp and vjp, and jvp and vjp of vmap, against loops over jvp and vjp."""
    at = case.moving
    for batched in [at, *[(i,) for i in at]] if len(at) > 1 else [at]:
        names = ", ".join(case.input_name(i) for i in batched)
        try:
            wrong = _composed(case, batched)
        except RuntimeError as error:
            if refuses(case, batched, error):
                continue
            error.add_note(f"batched {names}")
            raise
        if wrong is not None:
            return f"batched {names}: {wrong}"
    return None


def _composed(case: Case, batched: tuple[int, ...]) -> str | None:
    at = case.moving
    f = case.function(at)
    fixed = [case.args[i] for i in at]
    columns = [examples(case, i) if i in batched else [x] * EXAMPLES for i, x in zip(at, fixed, strict=True)]
    rng = case.rng("batched")
    tangents = [[like(rng, x) for x in column] for column in columns]
    dims = tuple([0 if i in batched else None for i in at])
    xs = tuple([stacked(c, 0) if d == 0 else tensor_of(c[0]) for c, d in zip(columns, dims, strict=True)])
    rows = list(zip(*columns, *tangents, strict=True))
    n = len(at)
    pushed = lambda *given: jvp(f, tuple(given[:n]), tuple(given[n:]))[1]
    expected = _one_by_one(pushed, rows)
    ts = tuple([stacked(c, 0) for c in tangents])
    wrong = _differs(mapped(pushed, (*dims, *[0] * n), (*xs, *ts)), expected)
    if wrong is not None:
        return f"vmap of jvp: {wrong}"
    same = tuple([t if d == 0 else tensor_of(c[0]) for t, c, d in zip(ts, tangents, dims, strict=True)])
    moved = [(*row[:n], *[c[k] if d == 0 else c[0] for c, d in zip(tangents, dims, strict=True)]) for k, row in enumerate(rows)]
    over = lambda *given: mapped(f, dims, given)
    wrong = _differs(jvp(over, xs, same)[1], _one_by_one(pushed, moved))
    if wrong is not None:
        return f"jvp of vmap: {wrong}"
    outs = [[like(rng, payload(o)) for o in f(*[tensor_of(c[k]) for c in columns])] for k in range(EXAMPLES)]
    weights = list(zip(*outs, strict=True))
    pulled = lambda *given: vjp(f, *given[:n])[1](tuple(given[n:]))
    expected = _one_by_one(pulled, [(*row[:n], *out) for row, out in zip(rows, outs, strict=True)])
    ws = tuple([stacked(w, 0) for w in weights])
    wrong = _differs(mapped(pulled, (*dims, *[0] * len(ws)), (*xs, *ws)), expected)
    if wrong is not None:
        return f"vmap of vjp: {wrong}"
    summed = [g if d == 0 else g.sum(0) for g, d in zip(expected, dims, strict=True)]
    wrong = _differs(vjp(over, *xs)[1](ws), summed)
    return None if wrong is None else f"vjp of vmap: {wrong}"
