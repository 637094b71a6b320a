"""Programs whose values and true derivatives are finite, and whose derivatives come out NaN by 0 * inf: the where-trap family.

Each is a scalar function of an array, written once for chainrule and for PyTorch (`m` is either), with gradient and Hessian
in closed form: those of the branch that was taken. They were written before the mode that gets them right.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi
from typing import Any, NamedTuple

import numpy as np

TRAPS: list[Trap] = []


class Trap(NamedTuple):
    """A program, a point at which it is trapped, one at which it is not, and the true derivatives as functions of the point."""

    name: str
    f: Callable[[Any, Any], Any]
    at: np.ndarray
    free: np.ndarray
    gradient: Callable[[np.ndarray], np.ndarray]
    hessian: Callable[[np.ndarray], np.ndarray]


def _trap(at: Any, free: Any, gradient: Callable, hessian: Callable) -> Callable:
    def take(f: Callable) -> Callable:
        TRAPS.append(Trap(f.__name__, f, np.array(at, float), np.array(free, float), gradient, hessian))
        return f

    return take


def _elementwise(first: Callable, second: Callable, taken: Callable) -> tuple[Callable, Callable]:
    """Return gradient and Hessian of a sum over elements, of which those not `taken` are constant."""

    def of(part: Callable) -> Callable:
        return lambda x: np.array([part(v) if taken(v) else 0.0 for v in x.ravel()]).reshape(x.shape)

    return of(first), lambda x: np.diag(of(second)(x).ravel())


def _by_rows(first: Callable, second: Callable, taken: Callable) -> tuple[Callable, Callable]:
    """Return gradient and Hessian of a sum over rows, of which those not `taken` are constant."""

    def hessian(x: np.ndarray) -> np.ndarray:
        n = x.shape[1]
        full = np.zeros((x.size, x.size))
        for i, row in enumerate(x):
            if taken(row):
                full[i * n : (i + 1) * n, i * n : (i + 1) * n] = second(row)
        return full

    return lambda x: np.array([first(row) if taken(row) else np.zeros(row.shape) for row in x]), hessian


# -- elements ----------------------------------------------------------------------------------------------------------


@_trap([-1, 0, 4], [1, 2, 3], *_elementwise(lambda v: 0.5 * v**-0.5, lambda v: -0.25 * v**-1.5, lambda v: v > 0))
def root(m: Any, x: Any) -> Any:
    """The square root of what is positive."""
    return m.where(x > 0, m.sqrt(x), 0.0).sum()


@_trap([0, 0.5, 2], [0.5, 1, 2], *_elementwise(lambda v: -np.log(v) - 1, lambda v: -1 / v, lambda v: v > 0))
def entropy(m: Any, x: Any) -> Any:
    """An entropy, whose terms of probability 0 are 0."""
    return -m.where(x > 0, x * m.log(x), 0.0).sum()


def _sinc_slope(v: float) -> float:
    return np.cos(v) / v - np.sin(v) / v**2 if abs(v) > 1e-3 else -v / 3


def _sinc_curve(v: float) -> float:
    return -np.sin(v) / v - 2 * np.cos(v) / v**2 + 2 * np.sin(v) / v**3 if abs(v) > 1e-3 else -1 / 3


@_trap([0, 1, -2], [1, 2, 3], *_elementwise(_sinc_slope, _sinc_curve, lambda v: True))
def sinc(m: Any, x: Any) -> Any:
    """A quotient of 0 and 0, with a series where it is one."""
    return m.where(abs(x) > 1e-3, m.sin(x) / x, 1 - x * x / 6).sum()


@_trap([-2, 0, 4], [1, 2, 3], *_elementwise(lambda v: 0.3 * v**-0.7, lambda v: -0.21 * v**-1.7, lambda v: v > 0))
def power(m: Any, x: Any) -> Any:
    """A fractional power."""
    return m.where(x > 0, x**0.3, 0.0).sum()


@_trap(
    [-1, 0.5, 1, 2], [-0.5, 0, 0.25, 0.5],
    *_elementwise(lambda v: (1 - v * v) ** -0.5, lambda v: v * (1 - v * v) ** -1.5, lambda v: abs(v) < 1),
)  # fmt: skip
def arcsine(m: Any, x: Any) -> Any:
    """An angle that stays at its end where the sine is out of range."""
    return m.where(abs(x) < 1, m.asin(x), m.sign(x) * (pi / 2)).sum()


@_trap([-1, 0, 3], [1, 2, 3], *_elementwise(lambda v: 1 / v, lambda v: -1 / v**2, lambda v: v > 0))
def filled(m: Any, x: Any) -> Any:
    """A logarithm, filled where there is none."""
    return m.log(x).masked_fill(x <= 0, -5.0).sum()


@_trap([0, 0.2, 3], [1, 2, 3], *_elementwise(lambda v: 1 / v, lambda v: -1 / v**2, lambda v: v > np.exp(-1)))
def floored(m: Any, x: Any) -> Any:
    """A logarithm with a floor below it."""
    return m.maximum(m.log(x), m.full_like(x, -1.0)).sum()


@_trap([0, 2], [1, 2], lambda x: np.array([0, -3 / x[1] ** 2]), lambda x: np.diag([0, 6 / x[1] ** 3]))
def ratio(m: Any, x: Any) -> Any:
    """A ratio of which NaN is taken out, as `nan_to_num` would."""
    share = m.tensor([0.0, 3.0], dtype=x.dtype) / x
    return m.where(m.isnan(share), 0.0, share).sum()


@_trap(
    [-1, 0, 2], [1, 2, 3],
    *_elementwise(lambda v: np.exp(-1 / v) / v**2, lambda v: np.exp(-1 / v) * (1 / v**4 - 2 / v**3), lambda v: v > 0),
)  # fmt: skip
def bump(m: Any, x: Any) -> Any:
    """Half of a smooth bump: trapped in forward mode, where the tangent of what the where puts in meets the pole."""
    return m.exp(-1 / m.where(x > 0, x, 0.0)).sum()


_TARGET = np.array([1.0, 0.0, 1.0, 0.0])
_VALID = np.array([False, False, True, True])


def _likelihood(x: np.ndarray) -> np.ndarray:
    return np.array([0, 0, -1 / x[2], 1 / (1 - x[3])]) / 2


@_trap([0, 1, 0.3, 0.6], [0.2, 0.4, 0.6, 0.8], _likelihood, lambda x: np.diag([0, 0, x[2] ** -2.0, (1 - x[3]) ** -2.0]) / 2)
def likelihood(m: Any, x: Any) -> Any:
    """A mean loss over the examples that are valid, selected; the others' logarithms have poles."""
    t, valid = m.tensor(_TARGET), m.tensor(_VALID)
    loss = -(t * m.log(x) + (1 - t) * m.log(1 - x))
    return m.where(valid, loss, 0.0).sum() / valid.sum()


# -- rows --------------------------------------------------------------------------------------------------------------


def _size(r: np.ndarray) -> np.ndarray:
    return (np.eye(len(r)) - np.outer(r, r) / (r @ r)) / np.sqrt(r @ r)


@_trap([[0, 0], [3, 4]], [[1, 2], [3, 4]], *_by_rows(lambda r: r / np.sqrt(r @ r), _size, lambda r: r.any()))
def lengths(m: Any, x: Any) -> Any:
    """The lengths of rows, one of which is 0."""
    square = (x * x).sum(1)
    return m.where(square > 0, m.sqrt(square), 0.0).sum()


_WEIGHTS = np.array([0.5, -2.0])


def _direction(r: np.ndarray) -> np.ndarray:
    size = np.sqrt(r @ r)
    return _WEIGHTS / size - r * (r @ _WEIGHTS) / size**3


def _turning(r: np.ndarray) -> np.ndarray:
    size, along = np.sqrt(r @ r), r @ _WEIGHTS
    return 3 * along * np.outer(r, r) / size**5 - (np.outer(_WEIGHTS, r) + np.outer(r, _WEIGHTS) + along * np.eye(2)) / size**3


@_trap([[0, 0], [3, 4]], [[1, 2], [3, 4]], *_by_rows(_direction, _turning, lambda r: r.any()))
def normalized(m: Any, x: Any) -> Any:
    """Rows of length 1, or 0 where a row has no direction."""
    size = m.sqrt((x * x).sum(1, keepdim=True))
    return (m.where(size > 0, x / size, 0.0) * m.tensor(_WEIGHTS)).sum()


def _spiral(p: np.ndarray) -> np.ndarray:
    x, y = p
    r, t = np.hypot(x, y), np.arctan2(y, x)
    return np.array([t * x - y, t * y + x]) / r


def _spirals(p: np.ndarray) -> np.ndarray:
    x, y = p
    r, t = np.hypot(x, y), np.arctan2(y, x)
    xx = (t - x * y / r**2) / r - (t * x - y) * x / r**3
    xy = (x * x / r**2 - 1) / r - (t * x - y) * y / r**3
    yy = (t + x * y / r**2) / r - (t * y + x) * y / r**3
    return np.array([[xx, xy], [xy, yy]])


@_trap([[0, 0], [3, 4]], [[1, 2], [3, 4]], *_by_rows(_spiral, _spirals, lambda r: r.any()))
def spiral(m: Any, x: Any) -> Any:
    """Radius times angle, which the origin has none of."""
    r, angle = m.hypot(x[:, 0], x[:, 1]), m.atan2(x[:, 1], x[:, 0])
    return m.where(r > 0, r * angle, 0.0).sum()


_KEYS = np.array([[True, True, False], [False, False, False]])
_VALUES = np.array([1.0, -2.0, 5.0])


def _attending(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    p = np.exp(x[0]) * _KEYS[0]
    p = p / p.sum()
    return p, _VALUES - p @ _VALUES


def _attended(x: np.ndarray) -> np.ndarray:
    p, above = _attending(x)
    return np.array([p * above, np.zeros(3)])


def _attendeds(x: np.ndarray) -> np.ndarray:
    p, above = _attending(x)
    full = np.zeros((6, 6))
    slope = p * above
    full[:3, :3] = np.diag(slope) - np.outer(slope, p) - np.outer(p, slope)
    return full


@_trap([[0.1, 0.7, 2], [1, 2, 3]], [[0.3, 0.2, 1], [1, 1, 1]], _attended, _attendeds)
def attention(m: Any, x: Any) -> Any:
    """Attention in which a query may see no key at all: the softmax of its row is NaN, and is dropped."""
    keys = m.tensor(_KEYS)
    p = m.softmax(x + m.where(keys, 0.0, -float("inf")), -1)
    return (m.where(keys.any(-1, keepdim=True), p, 0.0) @ m.tensor(_VALUES)).sum()


_ROWS = np.array([[1.0, 2.0], [np.nan, np.inf], [3.0, -1.0]])


@_trap([0.5, 2], [1, 1], lambda w: 2 * _ROWS[[0, 2]].T @ (_ROWS[[0, 2]] @ w), lambda w: 2 * _ROWS[[0, 2]].T @ _ROWS[[0, 2]])
def bad_rows(m: Any, x: Any) -> Any:
    """A linear model of data with a bad row, whose result is indexed away."""
    found = m.tensor(_ROWS) @ x
    return (found[m.tensor([0, 2])] ** 2).sum()


# -- indices -----------------------------------------------------------------------------------------------------------


@_trap([-1, 0, 3], [1, 2, 3], *_elementwise(lambda v: 1 / v, lambda v: -1 / v**2, lambda v: v > 0))
def picked(m: Any, x: Any) -> Any:
    """The logarithms that are some, by a boolean index."""
    return m.log(x)[x > 0].sum()


@_trap(
    [0, 4, 9], [1, 2, 3], lambda x: np.array([0, 1, 0.5]) * np.r_[0, x[1:] ** -0.5],
    lambda x: np.diag(np.r_[0, -0.5 * x[1] ** -1.5, -0.25 * x[2] ** -1.5]),
)  # fmt: skip
def gathered(m: Any, x: Any) -> Any:
    """Roots, some gathered twice, one not at all."""
    return m.gather(m.sqrt(x), 0, m.tensor([1, 2, 1])).sum()


@_trap([4, 9], [1, 2], *_elementwise(lambda v: 0.5 * v**-0.5, lambda v: -0.25 * v**-1.5, lambda v: True))
def padded(m: Any, x: Any) -> Any:
    """The roots of what was padded with zeros: trapped in forward mode, whose tangents there are 0."""
    return m.sqrt(m.nn.functional.pad(x, (1, 2))).sum()


_SEGMENT = [0, 0, 2]
_OF_EACH = np.array([1.0, 5.0, 2.0])


def _means(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    total, above = np.zeros(3), np.zeros(3)
    for k in (0, 1, 2):
        own = np.array([s == k for s in _SEGMENT])
        if (weight := x[own].sum()) > 0:
            total[own], above[own] = weight, _OF_EACH[own] - x[own] @ _OF_EACH[own] / weight
    return total, above, np.array([[a == b for a in _SEGMENT] for b in _SEGMENT])


def _mean_slope(x: np.ndarray) -> np.ndarray:
    total, above, _ = _means(x)
    return np.divide(above, total, out=np.zeros(3), where=total > 0)


def _mean_curve(x: np.ndarray) -> np.ndarray:
    total, above, same = _means(x)
    whole = np.where(total > 0, total, np.inf)
    return -1.0 * same * (above[:, None] + above[None, :]) / whole[:, None] ** 2


@_trap([1, 3, 0], [1, 2, 3], _mean_slope, _mean_curve)
def segments(m: Any, x: Any) -> Any:
    """Weighted means of segments, of which one is empty and one has no weight."""
    index = m.tensor(_SEGMENT)
    weight = m.zeros(3, dtype=x.dtype).index_add(0, index, x)
    total = m.zeros(3, dtype=x.dtype).index_add(0, index, x * m.tensor(_OF_EACH))
    return m.where(weight > 0, total / weight, 0.0).sum()


def _tails(part: Callable) -> Callable:
    def of(x: np.ndarray) -> np.ndarray:
        c = np.cumsum(x)
        return np.array([part(v) if v > 0 else 0.0 for v in c])

    return of


@_trap(
    [-1, 1, 3], [1, 2, 3],
    lambda x: np.cumsum(_tails(lambda v: 0.5 * v**-0.5)(x)[::-1])[::-1],
    lambda x: np.tril(np.ones((3, 3))).T @ np.diag(_tails(lambda v: -0.25 * v**-1.5)(x)) @ np.tril(np.ones((3, 3))),
)  # fmt: skip
def running(m: Any, x: Any) -> Any:
    """The roots of running sums, where these are positive."""
    c = m.cumsum(x, 0)
    return m.where(c > 0, m.sqrt(c), 0.0).sum()
