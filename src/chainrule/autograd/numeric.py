"""Numeric derivatives: the one place that takes differences of a function's values. It knows no graph and no rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np


class GradcheckError(RuntimeError):
    """Raised by :func:`gradcheck` and :func:`gradgradcheck` for a derivative that is not right."""

    __module__ = "chainrule.autograd.gradcheck"


def central(f: Callable[[float], Sequence[Any]], h: float) -> list[np.ndarray]:
    """Return the central difference (f(h) - f(-h)) / 2h of a function of a number that returns arrays.

    Its error is h² f'''/6, and rounding of size ε |f| / h.
    """
    with np.errstate(all="ignore"):
        ahead, behind = f(h), f(-h)
        return [(_wide(a) - _wide(b)) / (2 * h) for a, b in zip(ahead, behind, strict=True)]


def _wide(a: Any) -> np.ndarray:
    a = np.asarray(a)
    return a.astype(np.float64) if a.dtype.kind in "biu" else a


def extrapolated(f: Callable[[float], Sequence[Any]], h: float) -> list[np.ndarray]:
    """Return the difference at a step and its half, extrapolated to step 0 (Richardson): the error is of fourth order in h."""
    with np.errstate(all="ignore"):
        return [(4 * fine - coarse) / 3 for coarse, fine in zip(central(f, h), central(f, h / 2), strict=True)]


def differences(run: Callable[[], Sequence[Any]], memory: np.ndarray, directions: Iterable[Any], h: float) -> list[np.ndarray]:
    """Return the derivatives of a computation along directions in an array that it reads.

    The array is written to in place, so that a computation which captured it sees the change, and is left as it was.

    Parameters
    ----------
    run : callable
        Computes; returns a sequence of arrays.
    memory : numpy.ndarray
        Of any shape.
    directions : iterable of array_like
        Flat, of the array's size.
    h : float
        The step.

    Returns
    -------
    list of numpy.ndarray
        For each result, of shape (number of directions, size of the result).

    Raises
    ------
    AssertionError
        If a shape or dtype changes with the input.
    """
    kept = memory.copy()
    plain = [np.asarray(out) for out in run()]
    columns = []
    try:
        for i, direction in enumerate(directions):
            step = np.reshape(direction, memory.shape)

            def moved(e: float, step: np.ndarray = step, i: int = i) -> Sequence[Any]:
                memory[...] = kept + e * step
                outs = run()
                for before, after in zip(plain, outs, strict=True):
                    _check_alike(before, np.asarray(after), i, h)
                return outs

            columns.append([d.reshape(-1) for d in central(moved, h)])
    finally:
        memory[...] = kept
    if not columns:
        return [np.zeros((0, out.size)) for out in plain]
    return [np.stack(column) for column in zip(*columns, strict=True)]


def _check_alike(before: np.ndarray, after: np.ndarray, i: int, h: float) -> None:
    for what, a, b in (("shape", before.shape, after.shape), ("dtype", before.dtype, after.dtype)):
        if a != b:
            raise AssertionError(
                f"Expected `func` to return outputs with the same {what} when inputs are perturbed on index {i} by {h}, but "
                f"got: {what}s {a} and {b}."
            )
