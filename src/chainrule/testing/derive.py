"""The derivatives of a case's op, taken by the public transforms: what the laws compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import func
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.testing import ways
from chainrule.testing.case import Case

Arrays = Sequence[np.ndarray]


def payload(t: Any) -> Any:
    """Return the array of a plain tensor."""
    return np.asarray(t._data) if isinstance(t, Tensor) else np.asarray(t)


def wrapped(arrays: Arrays) -> tuple:
    """Return tensors of arrays."""
    return tuple(wrap(np.asarray(a)) for a in arrays)


def at_of(case: Case, positions: Sequence[int]) -> list[np.ndarray]:
    """Return the arrays at some positions."""
    return [case.args[i] for i in positions]


def pushed(f: Callable, at: Arrays, along: Arrays) -> tuple[tuple, tuple]:
    """Return results and tangents of f by forward mode."""
    n = len(at)
    return ways.transformed(lambda *given: func.jvp(f, given[:n], given[n:]))(*wrapped(at), *wrapped(along))


def pulled(f: Callable, at: Arrays, weights: Arrays) -> tuple:
    """Return the cotangents of f's inputs by reverse mode."""
    n = len(at)
    return ways.transformed(lambda *given: func.vjp(f, *given[:n])[1](given[n:]))(*wrapped(at), *wrapped(weights))


def gradient(f: Callable, weights: Arrays) -> Callable:
    """Return the gradient of <weights, f> as a function of tensors, by reverse mode."""
    w = wrapped(weights)

    def of(*x: Tensor) -> tuple:
        return func.vjp(f, *x)[1](w)

    return of


def slope(f: Callable, along: Arrays) -> Callable:
    """Return the tangent of f along a direction as a function of tensors, by forward mode."""
    t = wrapped(along)

    def of(*x: Tensor) -> tuple:
        return func.jvp(f, x, t)[1]

    return of
