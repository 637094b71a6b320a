"""Recipes of interpolation along one axis: which elements a result lies between, and with what weights.

Positions are PyTorch's, in the precision in which PyTorch computes them, since a rounded position may choose another element.
The cubic kernel is Keys' (IEEE Trans. ASSP 29, 1981), with a = -3/4; against aliasing filters are widened by the scale, and the
cubic one has a = -1/2.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from chainrule.ops.nn.taps import Pairs

ndarray = np.ndarray


def _sources(m: int, scale: float, aligned: bool, precise: bool) -> ndarray:
    """Return the positions of results between elements."""
    d = np.float64 if precise else np.float32
    o = np.arange(m).astype(d)
    return o * d(scale) if aligned else (o + d(0.5)) * d(scale) - d(0.5)


def _nearest(n: int, m: int, scale: float, exact: bool) -> Pairs:
    o = np.arange(m)
    if not exact and m in (n, 2 * n):
        columns = o // (m // max(n, 1))
    else:
        columns = np.floor((o.astype(np.float32) + np.float32(0.5 if exact else 0)) * np.float32(scale)).astype(int)
    return Pairs(o, np.minimum(columns, n - 1), np.zeros(m, int))


def _linear(n: int, m: int, scale: float, aligned: bool, precise: bool) -> Pairs:
    if n == m:
        return Pairs(np.arange(m), np.arange(m), np.zeros(m, int))
    at = np.maximum(_sources(m, scale, aligned, precise), 0)
    low = np.minimum(at.astype(int), n - 1)
    part = np.clip(at - low, 0, 1)
    return _pairs(np.stack([low, np.minimum(low + 1, n - 1)]), np.stack([1 - part, part]))


def cubic_weights(t: ndarray, a: float) -> list[ndarray]:
    """Return the weights of the four elements around a position whose fractional part is `t`."""
    return [_far(t + 1, a), _near(t, a), _near(1 - t, a), _far(2 - t, a)]


def _near(x: ndarray, a: float) -> ndarray:
    return ((a + 2) * x - (a + 3)) * x * x + 1


def _far(x: ndarray, a: float) -> ndarray:
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a


def _cubic(n: int, m: int, scale: float, aligned: bool, precise: bool) -> Pairs:
    at = _sources(m, scale, aligned, precise)
    low = np.floor(at)
    columns = np.stack([np.clip(low.astype(int) + k, 0, n - 1) for k in (-1, 0, 1, 2)])
    return _pairs(columns, np.stack(cubic_weights(at - low, -0.75)))


def _pairs(columns: ndarray, weights: ndarray) -> Pairs:
    labels, rows = (a.reshape(-1) for a in np.indices(columns.shape))
    return Pairs(rows, columns.reshape(-1), labels, weights.reshape(-1))


def _triangle(x: ndarray) -> ndarray:
    return np.maximum(1 - np.abs(x), 0)


def _cubic_filter(x: ndarray) -> ndarray:
    x = np.abs(x)
    return np.where(x < 1, _near(x, -0.5), np.where(x < 2, _far(x, -0.5), 0))


def _lanczos_filter(x: ndarray) -> ndarray:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)


def _smooth(reach: int, weight: Callable[[ndarray], ndarray]) -> Callable[..., Pairs]:
    """Return the recipe of a filter that is widened where elements are closer than results."""

    def recipe(n: int, m: int, scale: float, precise: bool) -> Pairs:
        d = np.float64 if precise else np.float32
        scale = d(scale)
        support = reach * max(scale, d(1))
        center = scale * (np.arange(m).astype(d) + d(0.5))
        low = np.maximum((center - support + d(0.5)).astype(int), 0)
        high = np.minimum((center + support + d(0.5)).astype(int), n)
        labels, rows = (a.reshape(-1) for a in np.mgrid[: (high - low).max(), :m])
        inside = labels < (high - low)[rows]
        labels, rows = labels[inside], rows[inside]
        columns = low[rows] + labels
        weights = weight((columns - center[rows] + d(0.5)) / max(scale, d(1)))
        total = np.zeros(m, d)
        np.add.at(total, rows, weights)
        return Pairs(rows, columns, labels, weights / total[rows])

    return recipe


RECIPES: dict[str, Callable[..., Pairs]] = {
    "nearest": _nearest, "linear": _linear, "cubic": _cubic, "smooth linear": _smooth(1, _triangle),
    "smooth cubic": _smooth(2, _cubic_filter), "smooth lanczos": _smooth(3, _lanczos_filter),
}  # fmt: skip
