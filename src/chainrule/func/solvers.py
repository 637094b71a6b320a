"""Solvers on NumPy arrays for `func.implicit`, where the user brings none; and how far their results can be trusted."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod

import numpy as np

from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import array_of
from chainrule.functions.interop.info import finfo

DENSE = 128  # unknowns up to which a matrix is formed: n products of a matrix-free operator against some dozens
Leaves = Sequence[Tensor]


class Vectors:
    """Lists of tensors of given shapes and dtypes, as one vector."""

    def __init__(self, leaves: Leaves):
        self.shapes = [tuple(t.shape) for t in leaves]
        self.dtypes = [t.dtype.numpy for t in leaves]
        self.dtype = np.result_type(*self.dtypes)
        if self.dtype.itemsize == 2:  # which LAPACK has no routines for
            self.dtype = np.dtype(np.float32)
        self.size = sum(map(prod, self.shapes))

    def ravel(self, leaves: Leaves) -> np.ndarray:
        """Return the vector of a list."""
        return np.concatenate([array_of(t.detach()).ravel() for t in leaves]).astype(self.dtype, copy=False)  # type: ignore[attr-defined]

    def unravel(self, vector: np.ndarray) -> list[Tensor]:
        """Return the list of a vector."""
        made, start = [], 0
        for shape, d in zip(self.shapes, self.dtypes, strict=True):
            part = vector[start : start + prod(shape)].reshape(shape)
            start += prod(shape)
            if d.kind != "c" and part.dtype.kind == "c":
                part = part.real
            made.append(wrap(np.array(part, d)))
        return made


def norm(leaves: Leaves) -> float:
    """Return the 2-norm of a list of tensors."""
    return float(np.sqrt(sum(np.sum(np.abs(array_of(t.detach()).astype(complex)) ** 2) for t in leaves)))  # type: ignore[attr-defined]


def tolerance_for(given: float | None, leaves: Leaves) -> float:
    """Return the relative residual above which a solution is not trusted: by default the cube root of machine epsilon."""
    if given is not None:
        return given
    return epsilon(leaves) ** (1 / 3)


def epsilon(leaves: Leaves) -> float:
    """Return the machine epsilon of a list of tensors, that of the coarsest dtype."""
    return max(finfo(t.dtype).eps for t in leaves)


def untrusted(text: str) -> None:
    """Warn that a derivative cannot be trusted."""
    warnings.warn(f"{text} (tolerance=math.inf silences this)", UserWarning, stacklevel=2)


def solve_linear(matvec: Callable, b: Leaves, symmetric: bool, name: str, tolerance: float | None) -> tuple[list[Tensor], bool]:
    """Return x with ``matvec(x) = b``, and whether nothing speaks against it yet: its residual is to be looked at.

    By LU for few unknowns, by conjugate gradients or GMRES for many.
    """
    space = Vectors(b)
    if not space.size:
        return list(b), True
    right = space.ravel(b)

    def product(v: np.ndarray) -> np.ndarray:
        return space.ravel(matvec(space.unravel(v)))

    if space.size > DENSE:
        return space.unravel(_iterative(product, right, symmetric)), True
    matrix = _matrix(matvec, space)
    try:
        found = np.linalg.solve(matrix, right)
        condition = float(np.linalg.cond(matrix, 1))
    except np.linalg.LinAlgError:
        found, condition = np.linalg.lstsq(matrix, right, rcond=None)[0], np.inf
    return space.unravel(found), _is_sound(condition, space, name, tolerance)


def solve_batch(
    matvec: Callable, b: Sequence[Tensor], level: int, size: int, name: str, tolerance: float | None
) -> list[np.ndarray] | None:
    """Return the solutions of a batch of equations by one LU of all, batch axis first; None where that cannot be.

    `b` are tensors, some of them batched at the level; so may be what `matvec` uses.
    """
    space = Vectors(b)
    if not 0 < space.size <= DENSE or not size:
        return None
    columns = _columns(matvec, space)
    if columns is None:
        return None
    parts = [_with_batch(c, level, size).reshape(size, space.size, -1) for c in columns]
    matrix = np.concatenate(parts, axis=2).astype(space.dtype, copy=False).swapaxes(1, 2)
    right = np.concatenate([_with_batch(t, level, size).reshape(size, -1) for t in b], axis=1).astype(space.dtype, copy=False)
    try:
        found = np.linalg.solve(matrix, right[..., None])[..., 0]
        condition = float(np.max(np.linalg.cond(matrix, 1)))
    except np.linalg.LinAlgError:
        return None
    _is_sound(condition, space, name, tolerance)
    starts = np.cumsum([prod(shape) for shape in space.shapes])[:-1]
    pieces = np.split(found, starts, axis=1)
    return [p.reshape(size, *shape).astype(d) for p, shape, d in zip(pieces, space.shapes, space.dtypes, strict=True)]


def _with_batch(t: Tensor, level: int, size: int) -> np.ndarray:
    """Return the array of a value, batch axis first."""
    payload = t._data if t._level == level else t
    array = array_of(payload.detach()) if isinstance(payload, Tensor) else np.asarray(payload)  # type: ignore[attr-defined]
    return array if t._level == level else np.broadcast_to(array, (size, *array.shape))


def _is_sound(condition: float, space: Vectors, name: str, tolerance: float | None) -> bool:
    """Tell whether a condition number leaves two digits; warn if it does not."""
    sound = condition * np.finfo(space.dtype).eps < 1e-2
    if tolerance != np.inf and not sound:
        untrusted(
            f"{name}: the linear equation is singular or nearly so (condition number {condition:.1e} in {space.dtype}): its "
            "solution, and any derivative through it, cannot be trusted"
        )
    return bool(sound)


def _matrix(matvec: Callable, space: Vectors) -> np.ndarray:
    """Return the matrix of a linear function: all columns at once under `vmap`, or one by one where that cannot be."""
    columns = _columns(matvec, space) if space.size > 2 else None
    if columns is None:
        return np.stack([space.ravel(matvec(space.unravel(e))) for e in np.eye(space.size, dtype=space.dtype)], axis=1)
    rows = [array_of(c.detach()).reshape(space.size, -1) for c in columns]  # type: ignore[attr-defined]
    return np.concatenate(rows, axis=1).astype(space.dtype, copy=False).T


def _columns(matvec: Callable, space: Vectors) -> tuple[Tensor, ...] | None:
    """Return a linear function of all unit vectors, by leaves, their number first; None where it cannot be batched."""
    from chainrule.func.mapping import vmap

    units = [space.unravel(e) for e in np.eye(space.size, dtype=space.dtype)]
    stacked = [wrap(np.stack([array_of(t) for t in leaf])) for leaf in zip(*units, strict=True)]
    try:
        return vmap(lambda *v: tuple(matvec(list(v))))(*stacked)
    except (RuntimeError, ValueError, TypeError):
        return None  # a step of the user's own


def _iterative(product: Callable, b: np.ndarray, symmetric: bool) -> np.ndarray:
    from scipy.sparse.linalg import LinearOperator, cg, gmres

    operator = LinearOperator((b.size, b.size), matvec=product, dtype=b.dtype)
    goal = float(np.finfo(b.dtype).eps) ** 0.75
    if symmetric:
        found, failed = cg(operator, b, rtol=goal, maxiter=20 * b.size)
        if not failed:
            return found  # else the operator is not positive definite
    return gmres(operator, b, rtol=goal, restart=min(b.size, 100), maxiter=20)[0]


def solve_root(f: Callable, guess: Leaves) -> list[Tensor]:
    """Return x with ``f(x) = 0`` near `guess`: by SciPy's hybrid method for few unknowns, by Newton and Krylov for many."""
    from scipy.optimize import root

    space = Vectors(guess)
    if space.dtype.kind == "c":
        raise TypeError("custom_root: the default solver takes real unknowns; give solve= for complex ones")
    single = space.dtype.itemsize < 8
    wide = space.dtype if not single else np.dtype(np.float64)

    def values(v: np.ndarray) -> np.ndarray:
        return space.ravel(f(space.unravel(v))).astype(wide)

    few = space.size <= DENSE
    if few:  # eps: the relative error of f's values, which sets the step of the differences
        options = {"xtol": 1e-12 if not single else 1e-6, "eps": epsilon(guess)}
    else:
        options = {"fatol": 1e-10 if not single else 1e-5}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # what it could not do, the residual tells
        try:
            found = root(values, space.ravel(guess).astype(wide), method="hybr" if few else "krylov", options=options).x
        except (ValueError, FloatingPointError):
            return list(guess)
    return space.unravel(np.asarray(found).ravel())


def iterate(f: Callable, guess: Leaves, tolerance: float | None, limit: int, memory: int) -> list[Tensor]:
    """Return x with ``x = f(x)`` by iteration, accelerated by Anderson's mixing of the last `memory` steps (0 for none)."""
    space = Vectors(guess)
    goal = (10 * epsilon(guess)) if tolerance is None else tolerance
    x = space.ravel(guess)
    xs: list[np.ndarray] = []
    steps: list[np.ndarray] = []
    best, least = x, np.inf
    for _ in range(limit):
        image = space.ravel(f(space.unravel(x)))
        step = image - x
        size = float(np.linalg.norm(step))
        if size < least:
            best, least = image, size
        if not np.isfinite(size) or size <= goal * float(np.linalg.norm(image)):
            break
        xs, steps = [*xs[-memory:], image], [*steps[-memory:], step]
        x = image
        if memory and len(steps) > 1:
            # Walker & Ni, Anderson acceleration for fixed-point iterations (2011), eq. 2.1 in its unconstrained form
            slopes = np.stack([b - a for a, b in pairwise(steps)], axis=1)
            moves = np.stack([b - a for a, b in pairwise(xs)], axis=1)
            x = image - moves @ np.linalg.lstsq(slopes, step, rcond=None)[0]
    return space.unravel(best)
