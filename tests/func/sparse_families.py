"""The classic families of sparse Jacobians and Hessians, as programs that run at any size, with their true patterns.

A program is written for a library given as `lib`: chainrule as a user writes it, and by the few names it uses (`exp`,
`sin`, `cat`, `pad`, `grid`, `flat`, `sum`) the peers of `benchmarks/sparse.py`. Its pattern is index arithmetic, which
shares nothing with the code that finds patterns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np
import scipy.sparse

import chainrule as cr


class Ours:
    """chainrule by the names that the families use."""

    exp, sin, cat = staticmethod(cr.exp), staticmethod(cr.sin), staticmethod(cr.cat)

    @staticmethod
    def sum(x):
        return x.sum()

    @staticmethod
    def pad(x):
        """Return `x` with a border of zeros, one element wide."""
        return cr.nn.functional.pad(x, (1, 1) * x.ndim)

    @staticmethod
    def grid(x, m):
        return x.reshape(m, m)

    @staticmethod
    def flat(x):
        return x.reshape(-1)


# -- Jacobians ---------------------------------------------------------------------------------------------------------


def tridiagonal(lib, x):
    """Broyden's tridiagonal function (Broyden 1965; Moré, Garbow & Hillstrom 1981, problem 30)."""
    p = lib.pad(x)
    return (3 - 2 * x) * x - p[:-2] - 2 * p[2:] + 1


def arrow(lib, x):
    """Every equation holds the first unknown, and the first equation every unknown."""
    return lib.cat([lib.sum(x * x) - x[:1], x[1:] * x[1:] * x[0] + x[1:]])


def brusselator(lib, x):
    """A reaction with diffusion on a line, unknowns u before v (Hairer & Wanner, Solving ODEs II, IV.1.2)."""
    n = x.shape[0] // 2
    u, v = x[:n], x[n:]
    rate = (n + 1) ** 2 / 50
    pu, pv = lib.pad(u), lib.pad(v)
    reaction = u * u * v
    return lib.cat(
        [1 + reaction - 4 * u + rate * (pu[:-2] - 2 * u + pu[2:]), 3 * u - reaction + rate * (pv[:-2] - 2 * v + pv[2:])]
    )


def bratu(lib, x):
    """Ignition of solid fuel, -u'' = λ exp(u), on a line (MINPACK-2's SFI in one dimension)."""
    p = lib.pad(x)
    width = 1 / (x.shape[0] + 1)
    return p[:-2] - 2 * x + p[2:] + 3.0 * width**2 * lib.exp(x)


def nonlinear_diffusion(lib, x):
    """Diffusion on a square grid with conductivity 1 + u²: the 2-D Laplacian with a nonlinearity."""
    m = isqrt(x.shape[0])
    p = lib.pad(lib.grid(x, m))
    k = 1 + p * p
    down = (k[1:, 1:-1] + k[:-1, 1:-1]) * (p[1:, 1:-1] - p[:-1, 1:-1])
    right = (k[1:-1, 1:] + k[1:-1, :-1]) * (p[1:-1, 1:] - p[1:-1, :-1])
    return lib.flat(down[1:, :] - down[:-1, :] + right[:, 1:] - right[:, :-1]) / 2


# -- Hessians ----------------------------------------------------------------------------------------------------------


def rosenbrock(lib, x):
    """The chained valley (Rosenbrock 1960; the extension of Dixon & Mills)."""
    climb = x[1:] - x[:-1] ** 2
    return lib.sum(100 * climb**2) + lib.sum((1 - x[:-1]) ** 2)


def optimal_control(lib, x):
    """Swing up a damped pendulum: angles, speeds, torques after one another; the equations of motion by penalties."""
    n = x.shape[0] // 3
    angle, speed, torque = x[:n], x[n : 2 * n], x[2 * n :]
    step = 0.05
    moved = angle[1:] - angle[:-1] - step * speed[:-1]
    turned = speed[1:] - speed[:-1] - step * (torque[:-1] - 0.1 * speed[:-1] - 9.81 * lib.sin(angle[:-1]))
    cost = step * (lib.sum((angle - np.pi) ** 2) + 0.1 * lib.sum(speed**2) + 0.01 * lib.sum(torque**2))
    return cost + 50 * (lib.sum(moved**2) + lib.sum(turned**2))


# -- their patterns ----------------------------------------------------------------------------------------------------


def bands(n, *offsets):
    return scipy.sparse.diags_array([np.ones(n - abs(k), bool) for k in offsets], offsets=offsets, shape=(n, n), dtype=bool)


def pattern_of_arrow(n):
    first, each = np.zeros(n, int), np.arange(n)
    return matrix(n, [(first, each), (each, first), (each, each)])


def pattern_of_brusselator(n):
    line, diagonal = bands(n // 2, -1, 0, 1), bands(n // 2, 0)
    return scipy.sparse.block_array([[line, diagonal], [diagonal, line]])


def pattern_of_grid(n):
    m = isqrt(n)
    near, same = bands(m, -1, 0, 1).astype(int), bands(m, 0).astype(int)
    return (scipy.sparse.kron(near, same) + scipy.sparse.kron(same, near)).astype(bool)


def pattern_of_control(n):
    now = np.arange(n // 3 - 1)
    angle, speed, torque = (now + k * (n // 3) for k in range(3))
    squared = [(angle, angle + 1, speed), (speed, speed + 1, torque, angle)]
    return matrix(n, [(np.arange(n), np.arange(n)), *[(i, j) for group in squared for i in group for j in group]])


def matrix(n, places):
    """Return the matrix that is True at pairs of arrays of rows and columns."""
    rows, columns = (np.concatenate(of) for of in zip(*places, strict=True))
    found = scipy.sparse.coo_array((np.ones(rows.size, int), (rows, columns)), shape=(n, n))
    return found.tocsr().astype(bool)


@dataclass(frozen=True)
class Family:
    """A program with its derivative's order, its true pattern, and how many colours are enough.

    Attributes
    ----------
    program : callable
        Of a library and a vector.
    order : {1, 2}
        1: the Jacobian is asked for, 2: the Hessian.
    large, small : int
        The sizes at which it is measured and tested.
    pattern : callable
        The boolean matrix for a size.
    colours : int
        No more may be needed. The least is known for bands and the arrow: 3.
    """

    program: Callable
    order: int
    large: int
    small: int
    pattern: Callable
    colours: int

    @property
    def name(self) -> str:
        return self.program.__name__.replace("_", " ")

    def function(self, lib: Any = Ours) -> Callable:
        return lambda x: self.program(lib, x)

    @property
    def derivative(self) -> Callable:
        """chainrule's transform that gives the derivative."""
        return cr.func.jacobian if self.order == 1 else cr.func.hessian

    def point(self, n: int) -> np.ndarray:
        """Return numbers in no special position."""
        return np.random.default_rng(n).uniform(0.3, 1.7, n)


FAMILIES = [
    Family(tridiagonal, 1, 10_000, 20, lambda n: bands(n, -1, 0, 1), 3),
    Family(arrow, 1, 10_000, 20, pattern_of_arrow, 3),
    Family(brusselator, 1, 10_000, 20, pattern_of_brusselator, 4),
    Family(bratu, 1, 10_000, 20, lambda n: bands(n, -1, 0, 1), 3),
    Family(nonlinear_diffusion, 1, 10_000, 25, pattern_of_grid, 7),
    Family(rosenbrock, 2, 3_000, 20, lambda n: bands(n, -1, 0, 1), 3),
    Family(optimal_control, 2, 3_000, 21, pattern_of_control, 6),
]
