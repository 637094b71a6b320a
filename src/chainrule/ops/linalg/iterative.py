"""Some eigenpairs of a large symmetric matrix by LOBPCG, and their derivatives.

The search is Knyazev's (2001, algorithm 4.1), with the choice of bases of Duersch, Shao, Yang & Gu (arXiv 1704.07458); it works
on arrays. Derivatives do not go through it: they are those of the eigenpairs that it has found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.op.batching import same
from chainrule.core.op.declaration import op
from chainrule.core.op.samples import Matrices, Sample
from chainrule.core.tensor.tensor import wrap
from chainrule.ops.linalg.contract import matmul
from chainrule.ops.linalg.failure import LinAlgError
from chainrule.ops.linalg.gauge import cautioned, checked, over_gaps, phase_of
from chainrule.ops.linalg.matrix import hermitian, in_lapack, mt, numpy_dtype_of, row, total
from chainrule.ops.linalg.solve import solve_triangular
from chainrule.ops.linalg.symmetric import cholesky, eigh
from chainrule.ops.reduction.reduce import sum

ndarray = np.ndarray


# -- the search --------------------------------------------------------------------------------------------------------


class Search:
    """The state of one search, which a tracker sees: arguments, parameters and variables under PyTorch's names.

    Attributes
    ----------
    A, B, iK : ndarray or None
        The matrices, and the preconditioner.
    X, E, R, S : ndarray
        Eigenvectors, eigenvalues and residuals as they are, and the basis of the next step.
    iparams, fparams, bparams : dict
        What was asked for: whole numbers, tolerances, switches.
    ivars, fvars, bvars, tvars : dict
        What the search counts and measures; it stops once ``bvars["force_stop"]`` is set.
    """

    def __init__(self, A: ndarray, B: Any, X: ndarray, iK: Any, iparams: dict, fparams: dict, bparams: dict, method: str):
        self.A, self.B, self.iK, self.X, self.method = A, B, iK, X.copy(), method
        self.iparams, self.fparams, self.bparams = iparams, fparams, bparams
        n = X.shape[1]
        self.E, self.R, self.S = np.zeros(n, X.dtype), np.zeros_like(X), X
        self.ivars = {"istep": 0, "iterations_left": iparams["niter"], "converged_count": 0}
        self.fvars: dict[str, float] = {}
        self.bvars: dict[str, bool] = {}
        self.tvars: dict[str, Any] = {}

    def run(self, tracker: Callable | None) -> None:
        """Step until as many pairs as asked for have converged, steps run out, or the tracker says so."""
        size = np.linalg.norm(self.X)
        self.fvars.update(
            X_norm=size, A_norm=np.linalg.norm(self.A @ self.X) / size, B_norm=np.linalg.norm(self.b(self.X)) / size
        )
        step = self.begin
        while True:
            step()
            self.ivars["iterations_left"] -= 1
            self.ivars["istep"] += 1
            if tracker is not None:
                tracker(Shown(self))
            left, converged = self.ivars["iterations_left"], self.ivars["converged_count"]
            if self.bvars.get("force_stop") or left == 0 or converged >= self.iparams["k"]:
                return
            step = self.step

    def b(self, x: ndarray) -> ndarray:
        """Return B times some columns."""
        return x if self.B is None else self.B @ x

    def begin(self) -> None:
        """Find the best pairs in the span of the first guess."""
        to_basis = self.orthonormalizer(self.X)
        basis = self.X @ to_basis
        self.E, z = self.pairs(basis)
        self.X = basis @ z
        self.look(np.empty((len(self.X), 0), self.X.dtype))

    def step(self) -> None:
        """Find the best pairs in the span of the vectors, where they last moved, and where the residuals point."""
        n = self.X.shape[1]
        # What has converged stays as it is where the rest is kept orthogonal to it; where not, it would be found again.
        done = 0 if self.method == "basic" else self.ivars["converged_count"]
        basis = self.S[:, done:]
        if self.method == "basic":
            basis = basis @ self.orthonormalizer(basis)
        w, z = self.pairs(basis)
        few = n - done
        self.X = np.concatenate([self.X[:, :done], basis @ z[:, :few]], axis=1)
        self.E = np.concatenate([self.E[:done], w[:few]])
        rest = z[:, few:]
        if self.method == "basic":
            moved = basis @ rest[:, :few]
        else:  # among directions away from the new vectors, those that lead from the old ones
            moved = basis @ (rest @ np.linalg.qr(z[:few, few:].T)[0])
        self.look(moved)

    def pairs(self, basis: ndarray) -> tuple:
        """Return eigenvalues and -vectors of A in a B-orthonormal basis, those that are sought first."""
        inner = basis.T @ (self.A @ basis)
        w, z = np.linalg.eigh((inner + inner.T) / 2)
        return (w[::-1], z[:, ::-1]) if self.bparams["largest"] else (w, z)

    def look(self, moved: ndarray) -> None:
        """Measure residuals, count what has converged, from the front without a gap, and span the next search."""
        x = self.X
        self.R = self.A @ x - self.b(x) * self.E
        scale = self.fvars["A_norm"] + np.abs(self.E) * self.fvars["B_norm"]
        error = self.tvars["rerr"] = np.linalg.norm(self.R, axis=0) / (np.linalg.norm(x, axis=0) * scale)
        converged = error < self.fparams["tol"]
        count = len(converged) if converged.all() else int(np.argmin(converged))
        self.ivars["converged_count"] = max(count, self.ivars["converged_count"])
        point = self.R[:, self.ivars["converged_count"] :]
        point = point if self.iK is None else self.iK @ point
        known = np.concatenate([x, moved], axis=1)
        self.S = np.concatenate([known, point if self.method == "basic" else self.away(point, known)], axis=1)

    # -- bases

    def orthonormalizer(self, s: ndarray) -> ndarray:
        """Return the triangle that makes columns B-orthonormal, from the Cholesky factor of their scaled Gram matrix."""
        gram = s.T @ self.b(s)
        d = np.diagonal(gram) ** -0.5
        try:
            lower = np.linalg.cholesky(gram * d * d[:, None])
        except np.linalg.LinAlgError:
            raise LinAlgError(
                "linalg.cholesky: The factorization could not be completed because the input is not positive-definite: the "
                'basis of the search is not independent, or B is no positive definite matrix; method="ortho" is more robust'
            ) from None
        return d[:, None] * np.linalg.inv(lower).T

    def away(self, u: ndarray, v: ndarray) -> ndarray:
        """Return a B-orthonormal basis of columns' part that is B-orthogonal to v (Stathopoulos & Wu 2002)."""
        if not u.size:
            return u
        size_of_v = np.linalg.norm(self.b(v))
        drops = self.bparams["ortho_use_drop"]
        for _ in range(self.iparams["ortho_i_max"]):
            u = u - v @ (v.T @ self.b(u))
            floor = self.fparams["ortho_tol_drop" if drops else "ortho_tol_replace"]
            drop = False
            for _ in range(self.iparams["ortho_j_max"]):
                u = self.decorrelated(u, drop, floor)
                drop, floor = drops, self.fparams["ortho_tol_replace"]
                if not u.size:
                    return u
                bu = self.b(u)
                apart = np.linalg.norm(u.T @ bu - np.eye(u.shape[1]))
                if apart < self.fparams["ortho_tol"] * np.linalg.norm(bu) * np.linalg.norm(u):
                    break
            common = np.linalg.norm(v.T @ self.b(u))
            if common < self.fparams["ortho_tol"] * size_of_v * np.linalg.norm(u):
                break
            if len(u) < u.shape[1] + v.shape[1]:
                raise ValueError(
                    f"Overdetermined shape of U: #B-cols(={len(u)}) >= #U-cols(={u.shape[1]}) + #V-cols(={v.shape[1]}) must "
                    "hold"
                )
        return u

    def decorrelated(self, u: ndarray, drop: bool, floor: float) -> ndarray:
        """Return columns made B-orthonormal by the eigenvectors of their Gram matrix; weak ones are dropped, or raised."""
        gram = u.T @ self.b(u)
        there = np.diagonal(gram) > 0
        u, gram = u[:, there], gram[there][:, there]
        if not u.size:
            return u
        d = np.diagonal(gram) ** -0.5
        w, z = np.linalg.eigh(gram * d * d[:, None])
        least = floor * np.max(np.abs(w))
        if drop:
            w, z = w[w > least], z[:, w > least]
        return (u * d) @ (z / np.sqrt(np.maximum(w, least)))


class Shown:
    """A search as its tracker sees it: matrices are tensors on its memory, all else is its own."""

    def __init__(self, search: Search):
        self._search = search

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._search, name)
        if name == "tvars":
            return {key: wrap(value) for key, value in found.items()}
        return wrap(found) if isinstance(found, ndarray) else found


# -- the op ------------------------------------------------------------------------------------------------------------

Settings = tuple[tuple[str, Any], ...]


@in_lapack
def _lobpcg(
    a: ndarray, b: Any, start: ndarray, inverse: Any, *, method: str, ints: Settings, floats: Settings, bools: Settings,
    tracker: Any,
) -> tuple:  # fmt: skip
    k = min(dict(ints)["k"], start.shape[-1])
    a = (a + mt(a)) / 2
    values, vectors = np.empty((*a.shape[:-2], k), a.dtype), np.empty((*a.shape[:-1], k), a.dtype)
    for i, at in enumerate(np.ndindex(a.shape[:-2])):
        own = {**dict(ints), "batch_index": i} if a.ndim > 2 else dict(ints)
        preconditioner = inverse[at] if inverse is not None and inverse.ndim > 2 else inverse
        search = Search(a[at], None if b is None else b[at], start[at], preconditioner, own, dict(floats), dict(bools), method)
        search.run(tracker)
        values[at], vectors[at] = search.E[:k], search.X[:, :k]
    return values, vectors / phase_of(vectors)  # the search leaves signs to chance


def _all_pairs(a: Any, b: Any) -> tuple:
    """Return all eigenvalues and B-orthonormal eigenvectors of a pencil, by way of B's Cholesky factor."""
    if b is None:
        return eigh(a, upper=False, strict=True)
    lower = cholesky(b, upper=False)[0]
    half = solve_triangular(lower, a, upper=False, unit=False)
    w, v = eigh(solve_triangular(lower, mt(half), upper=False, unit=False), upper=False, strict=True)
    return w, solve_triangular(mt(lower), v, upper=True, unit=False)


def _chosen(n: int, k: int, bools: Settings) -> ndarray:
    """Return the matrix of zeros and ones that takes the k pairs sought from all n in ascending order."""
    place = np.arange(k)
    return np.eye(n)[:, n - 1 - place if dict(bools)["largest"] else place]


def _placed(c: Any, w: Any, bools: Settings) -> tuple:
    """Return columns for some pairs put among zero ones for all pairs, and the matrix that takes them back."""
    pick = _chosen(w.shape[-1], c.shape[-1], bools).astype(numpy_dtype_of(c))
    return matmul(c, pick.T), pick


def _lobpcg_jvp(a_dot: Any, b_dot: Any, a: Any, b: Any, out: Any, *, bools: Settings) -> tuple:
    e, x = out
    w, v = _all_pairs(a, b)
    by_b = None if b_dot is None else matmul(hermitian(b_dot), x)
    moved = total(None if a_dot is None else matmul(hermitian(a_dot), x), None if by_b is None else -by_b * row(e))
    inner, pick = _placed(matmul(mt(v), moved), w, bools)
    x_dot = matmul(v, matmul(over_gaps(cautioned(inner, w, name="lobpcg"), w), pick))
    if by_b is not None:
        x_dot = x_dot - x * _of_columns(x, by_b) * 0.5
    return sum(x * moved, axis=(x.ndim - 2,), keepdims=False), x_dot


def _of_columns(x: Any, y: Any) -> Any:
    """Return the inner products of columns, as a row."""
    return sum(x * y, axis=(x.ndim - 2,), keepdims=True)


def _before_gaps(g: Any, a: Any, b: Any, out: Any, bools: Settings) -> Any:
    """Return the cotangent of what A - e B makes of the vectors x."""
    x = out[1]
    turned = None
    if g[1] is not None:
        w, v = _all_pairs(a, b)
        frame, pick = _placed(matmul(mt(v), g[1]), w, bools)
        turned = matmul(v, matmul(over_gaps(checked(frame, w, phases=False, name="lobpcg"), w), pick))
    return total(None if g[0] is None else x * row(g[0]), turned)


def _of_a(g: Any, a: Any, b: Any, out: Any, *, bools: Settings) -> Any:
    left = _before_gaps(g, a, b, out, bools)
    return None if left is None else hermitian(matmul(left, mt(out[1])))


def _of_b(g: Any, a: Any, b: Any, out: Any, *, bools: Settings) -> Any:
    e, x = out
    left = _before_gaps(g, a, b, out, bools)
    if left is None:
        return None
    scaled = left * row(e)
    if g[1] is not None:
        scaled = scaled + x * _of_columns(x, g[1]) * 0.5
    return -hermitian(matmul(scaled, mt(x)))


_LIMIT = {"k": 2, "niter": 40, "ortho_i_max": 3, "ortho_j_max": 3}
_TINY = dict.fromkeys(("tol", "ortho_tol", "ortho_tol_drop", "ortho_tol_replace"), 1e-13)


def _samples() -> list[Sample]:
    def sample(lead: tuple, with_b: bool, largest: bool, method: str) -> Sample:
        start = np.random.default_rng(0).normal(size=(*lead, 7, 2))
        return Sample(
            Matrices((*lead, 7, 7), "hermitian"), Matrices((*lead, 7, 7), "positive") if with_b else None, start, None,
            method=method, ints=tuple(_LIMIT.items()), floats=tuple(_TINY.items()),
            bools=(("largest", largest), ("ortho_use_drop", False)), tracker=None,
        )  # fmt: skip

    return [sample((), False, True, "ortho"), sample((2,), False, False, "ortho"), sample((), True, True, "ortho")]


lobpcg = op("lobpcg(a, b, start, inverse, *, method, ints, floats, bools, tracker)", _lobpcg, kinds="f",
    refuses=True,
    node="LOBPCGAutogradFunction",
    shape=lambda a, b, start, inverse, *, ints: [(*a[:-2], _count(start, ints)), (*a[:-1], _count(start, ints))],
    dtype=lambda a, b, start, inverse: [a, a],
    batch=same,
    jvp=_lobpcg_jvp,
    a=_of_a, b=_of_b,
    doc="""Some eigenvalues and eigenvectors of symmetric matrices, or of pencils of two, by search. Derivatives are those of
    the pairs in the frame of all eigenvectors: Giles (2008), section 3.1.""",
    samples=_samples)  # fmt: skip


def _count(start: tuple, ints: Settings) -> int:
    return min(dict(ints)["k"], start[-1])
