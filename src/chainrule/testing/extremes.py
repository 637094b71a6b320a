"""Laws at special values: NaN, infinities, zeros of both signs, subnormal and largest numbers, bounds, whole numbers.

What a rule says there is easily right in one mode and wrong in the other, or right on an array and wrong on a number: the
laws hold an elementwise op to one answer, by whatever way it is asked, and to its reference where it has one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np

from chainrule import func
from chainrule.core.op.declaration import ELEMENTWISE
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.testing.case import Case, is_floating
from chainrule.testing.derive import payload, pulled, pushed
from chainrule.testing.law import law

Arrays = Sequence[np.ndarray]
ROUNDING = {"float64": 1e-9, "float32": 1e-4, "complex128": 1e-9, "complex64": 1e-4}
WHOLE = (1.0, 2.0, 3.0, 6.0, 20.0)
SEVERAL = 700  # at most so many points where there are several inputs
ALONE = 100  # at most so many of them as numbers, each in a call of its own


def special_values(dtype: Any, more: Sequence[float] = ()) -> np.ndarray:
    """Return the values at which an op of a dtype is tried, the given bounds and parameters among them.

    Examples
    --------
    >>> special_values("float32", [7.5])[:4].tolist()
    [nan, inf, -inf, 0.0]
    """
    dtype = np.dtype(dtype)
    if dtype.kind == "c":
        parts = [float(p) for p in (np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -2.5)]
        return np.array([complex(a, b) for a, b in product(parts, parts)], dtype)
    info = np.finfo(dtype)
    sizes = [info.smallest_subnormal, info.tiny / 64, info.tiny, info.eps / 3, 0.25, 0.5, 1 + info.eps, 1.5, 1e10, info.max]
    sizes += [1 - info.epsneg, *WHOLE, *more]
    signed = [float(s) * sign for s in dict.fromkeys(map(float, sizes)) for sign in (1, -1)]
    return np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, *signed], dtype)


def combinations_of(values: np.ndarray, inputs: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return arrays of equal length, one for each input: all combinations of the values, or `SEVERAL` drawn from them."""
    if inputs == 1:
        return [values]
    if len(values) ** inputs <= SEVERAL:
        return [np.array(column) for column in zip(*product(values, repeat=inputs), strict=True)]
    return [rng.choice(values, SEVERAL) for _ in range(inputs)]


def differing(found: Any, expected: Any, tolerance: float) -> np.ndarray:
    """Return where two arrays differ: NaN is NaN, an infinity itself, and below the smallest normal number all is one."""
    a, b = np.asarray(found), np.asarray(expected)
    if a.dtype.kind == "c" or b.dtype.kind == "c":
        return differing(a.real, b.real, tolerance) | differing(a.imag, b.imag, tolerance)
    if b.dtype.kind != "f":
        return a != b
    tiny = np.finfo(b.dtype).tiny
    with np.errstate(all="ignore"):
        near = np.abs(a - b) <= tolerance * np.abs(b) + tiny
    return ~(near | (a == b) | (np.isnan(a) & np.isnan(b)))


def first_difference(found: Any, expected: Any, at: Arrays, tolerance: float) -> str | None:
    """Return at which of the points `at` two arrays differ, and how; None if they do not."""
    bad = differing(found, expected, tolerance)
    if not bad.any():
        return None
    i = int(np.argmax(bad))
    where = ", ".join(repr(x[i].item()) for x in at)
    a, b = np.asarray(found)[i], np.asarray(expected)[i]
    return f"{a} against {b} at ({where}); {int(bad.sum())} of {bad.size} points differ"


def disagreement(f: Callable, at: Arrays, moving: Sequence[int]) -> str | None:
    """Return where the ways to ask an elementwise function for value or derivative answer differently; None if they agree.

    Parameters
    ----------
    f : callable
        Of as many tensors as there are arrays; one elementwise result.
    at : sequence of ndarray
        The points: 1-D arrays of one length.
    moving : sequence of int
        The inputs in which to differentiate.
    """
    tolerance = ROUNDING[np.result_type(*at).name]
    value = payload(f(*map(wrap, at)))
    some = [x[:ALONE] for x in at]
    one_by_one = np.array([payload(f(*[wrap(v) for v in point])) for point in zip(*some, strict=True)])
    wrong = first_difference(one_by_one, value[:ALONE], some, tolerance)
    if wrong is not None:
        return f"value of numbers, and of arrays: {wrong}"
    for i in moving:
        wrong = _modes_differ(lambda x, i=i: f(*[x if j == i else wrap(a) for j, a in enumerate(at)]), f, at, i, tolerance)
        if wrong is not None:
            return f"input {i}: {wrong}"
    return None


def _modes_differ(alone: Callable, f: Callable, at: Arrays, i: int, tolerance: float) -> str | None:
    x = at[i]
    out, tangents = pushed(lambda x: (alone(x),), [x], [np.ones_like(x)])
    if not is_floating(out[0]):
        return None
    ones = np.ones_like(payload(out[0]))
    reverse = np.conj(payload(pulled(lambda x: (alone(x),), [x], [ones])[0]))
    if x.dtype.kind == "c":  # of what is not complex-linear the two modes give different halves
        return first_difference(payload(tangents[0]), reverse, at, tolerance)
    some = [a[:ALONE] for a in at]
    slope = func.grad(lambda *xs: f(*xs).real if x.dtype.kind == "c" else f(*xs), argnums=i)
    ways = {
        "forward mode": lambda: payload(tangents[0]),
        "func.grad of each number": lambda: [payload(slope(*map(wrap, point))) for point in zip(*some, strict=True)],
        "vmap of func.grad": lambda: payload(func.vmap(slope)(*map(wrap, at))),
        "grad with create_graph": lambda: payload(_twice(alone, x)),
    }
    for name, take in ways.items():
        found = take()
        n = len(found)
        wrong = first_difference(found, reverse[:n], [a[:n] for a in at], tolerance)
        if wrong is not None:
            return f"{name}, and reverse mode: {wrong}"
    return None


def _twice(alone: Callable, x: np.ndarray) -> Tensor:
    """Return the gradient taken so that it can be differentiated again: by the rules on tensors, and not on arrays."""
    leaf = wrap(x.copy()).requires_grad_()
    out = alone(leaf)
    return func.vjp(alone, leaf)[1](wrap(np.ones_like(payload(out.detach()))))[0].detach()


def points_of(case: Case) -> tuple[list[int], list[np.ndarray]]:
    """Return the positions of a case's floating inputs and the special values to put there."""
    positions = [i for i, a in enumerate(case.args) if is_floating(a)]
    bounds = [float(v) for v in case.params.values() if isinstance(v, (int, float)) and abs(v) < 1e6]
    return positions, combinations_of(special_values(case.dtype, bounds), len(positions), case.rng("special"))


def is_tried(case: Case) -> bool:
    """Tell whether the laws of special values speak of a case: an elementwise op, on real or complex arrays alone."""
    arrays = [a for a in case.args if isinstance(a, (np.ndarray, np.generic))]
    return (
        case.op.kind == ELEMENTWISE and len(arrays) > 0 and all(is_floating(a) for a in arrays) and "dtype" not in case.params
    )


@law("one derivative at special values")
def one_derivative_at_special_values(case: Case) -> str | None:
    """Check that value and derivative at special values are the same on numbers and arrays, in both modes, under vmap."""
    if not is_tried(case):
        return None
    positions, at = points_of(case)
    holomorphic = case.dtype.kind != "c" or not case.op.real_linear
    moving = [positions.index(i) for i in case.moving] if holomorphic else []
    with np.errstate(all="ignore"):
        return disagreement(case.run, at, moving)


@law("value = reference at special values")
def value_is_the_reference_at_special_values(case: Case) -> str | None:
    """Check the kernel at special values against the reference that the declaration gives, if it gives one."""
    if case.op.about.reference is None or not is_tried(case):
        return None
    _, at = points_of(case)
    with np.errstate(all="ignore"):
        expected = case.op.about.reference(*at, **case.params)
        found = case.op.call(*at, **case.params)
    return first_difference(found, expected, at, ROUNDING[case.dtype.name])
