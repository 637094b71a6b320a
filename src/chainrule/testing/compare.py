"""Comparing arrays, inner products, numeric derivatives: the arithmetic that laws share. It knows no ops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from chainrule.autograd.numeric import extrapolated

STEPS = (1e-3, 1e-4, 1e-5, 1e-2)


def gap(a: Any, b: Any, tolerance: float) -> str | None:
    """Return where and how two arrays differ by more than a tolerance; None if they do not.

    The tolerance is relative to each number, with a tenth of it relative to the largest; equal infinities and NaNs agree.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        return f"shape {a.shape} against {b.shape}"
    if not a.size:
        return None
    if a.dtype.kind in "biu" and b.dtype.kind in "biu":
        bad = a != b
    else:
        wide = np.complex128 if "c" in (a.dtype.kind, b.dtype.kind) else np.float64
        a, b = a.astype(wide), b.astype(wide)
        with np.errstate(all="ignore"):
            size = np.abs(b)
            scale = max(1.0, float(np.max(size, where=np.isfinite(size), initial=0.0)))
            bad = ~(np.abs(a - b) <= tolerance * (size + 0.1 * scale))
            bad &= ~((a == b) | (np.isnan(a) & np.isnan(b)))
    if not bad.any():
        return None
    where = tuple(int(i) for i in np.argwhere(bad)[0])
    return f"{a[where]} against {b[where]}" + (f" at {list(where)} ({int(bad.sum())} of {a.size} differ)" if where else "")


def first_gap(found: Sequence[Any], expected: Sequence[Any], tolerance: float) -> tuple[int, str] | None:
    """Return which of several arrays differs, and how; None if none does."""
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        how = gap(a, b, tolerance)
        if how is not None:
            return i, how
    return None


def tolerance(dtype: np.dtype) -> float:
    """Return how far kernels of other roundings may be from the eager ones in a dtype, relative to the largest number."""
    single = dtype in (np.float32, np.complex64)
    return 1e-5 if single else 1e-11 if dtype in (np.float64, np.complex128) or dtype.kind in "biu" else 4e-3


def inner(a: Sequence[Any], b: Sequence[Any]) -> tuple[float, float]:
    """Return the real inner product of two lists of arrays, and the sum of its terms' sizes."""
    terms = [np.conj(np.asarray(x)) * np.asarray(y) for x, y in zip(a, b, strict=True)]
    return float(sum(np.sum(t.real) for t in terms)), float(sum(np.sum(np.abs(t)) for t in terms))


def slopes(f: Callable[..., list], at: Sequence[np.ndarray], along: Sequence[np.ndarray]) -> Iterator[list]:
    """Yield numeric derivatives of f along a direction, one for each of several steps.

    No one step suits every function, near a kink, near a pole, or where a kernel has few correct digits.
    """
    moved = lambda e: f(*[x + e * t for x, t in zip(at, along, strict=True)])
    for h in STEPS:
        yield extrapolated(moved, h)


def gap_to_slope(
    found: Sequence[Any], f: Callable[..., list], at: Sequence[np.ndarray], along: Sequence[np.ndarray], tolerance: float
) -> tuple[int, str] | None:
    """Return which result's tangent differs from the numeric derivative at every step, and how; None if none does."""
    worst = None
    for slope in slopes(f, at, along):
        difference = first_gap(found, slope, tolerance)
        if difference is None:
            return None
        worst = worst or difference
    return worst
