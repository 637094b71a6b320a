"""References of the ops of linear algebra: mpmath's algorithms on one matrix, in 30 digits."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np

from chainrule.ops.linalg.solve import solve as ops_solve


def exact(x):
    """Return a matrix of mpmath's."""
    convert = mp.mpc if x.dtype.kind == "c" else mp.mpf
    out = mp.matrix(*x.shape)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[i, j] = convert(x[i, j].item())
    return out


def array(m, dtype):
    """Return an array of a matrix or number of mpmath's."""
    convert = complex if np.dtype(dtype).kind == "c" else lambda v: float(mp.re(v))
    if isinstance(m, mp.matrix):
        return np.array([[convert(m[i, j]) for j in range(m.cols)] for i in range(m.rows)], dtype).reshape(m.rows, m.cols)
    return np.array(convert(m), dtype)


def each(f, shape, real=False):
    """Return a function of matrices as one of batches; `shape` gives that of one result, for batches without elements."""

    def call(*xs, **params):
        lead, dtype = xs[0].shape[:-2], np.result_type(*xs)
        dtype = dtype.type(0).real.dtype if real else dtype
        one = shape(*[x.shape[-2:] for x in xs])
        out = np.zeros((*lead, *one), dtype)
        for at in np.ndindex(*lead):
            if math.prod(xs[0].shape[-2:]) and math.prod(one):
                with mp.workdps(30):
                    out[at] = array(f(*[exact(x[at]) for x in xs], **params), dtype).reshape(one)
            elif not one:
                out[at] = 1  # of no rows
        return out

    return call


def info_of(x):
    return np.zeros(x.shape[:-2], np.int32)


def solve(a, b):
    out = each(columns, lambda a, b: b)(a, b)
    kept = ops_solve.op.kernel(a, b)[1:3]  # of large matrices, what later solutions start from: no two texts of that
    return out, *kept, info_of(a)


def columns(a, b):
    return mp.inverse(a) * b


def triangle(x, upper, unit):
    out = np.triu(x) if upper else np.tril(x)
    if unit:
        out = out - out * np.eye(x.shape[-1]) + np.eye(x.shape[-1])
    return out.astype(x.dtype)


def mirrored(x, *, upper):
    out = np.array(x)
    for *at, i, j in np.ndindex(x.shape):
        if (i > j) if upper else (i < j):
            out[(*at, i, j)] = x[(*at, j, i)].conj()
        if i == j:
            out[(*at, i, j)] = x[(*at, i, j)].real
    return out


def determinant_parts(x):
    det = each(mp.det, lambda x: ())(x)
    return det / np.abs(det), np.log(np.abs(det))


def cholesky(x, *, upper):
    out = each(mp.cholesky, lambda x: x)(mirrored(x, upper=upper))
    return (out.conj().swapaxes(-1, -2) if upper else out), info_of(x)


def eigenvalues(m):
    return mp.matrix(sorted(mp.eigh(m, eigvals_only=True)))


def singular_values(m):
    tall = m if m.rows >= m.cols else m.H
    return mp.matrix([mp.sqrt(abs(v)) for v in sorted(mp.eigh(tall.H * tall, eigvals_only=True))[::-1]])


def pseudoinverse(m):
    return mp.inverse(m.H * m) * m.H if m.rows >= m.cols else m.H * mp.inverse(m * m.H)


def series(m):
    """Return the exponential by its power series, of a matrix scaled down."""
    scale = 2**10
    term = total = mp.eye(m.rows)
    for k in range(1, 30):
        term = term * m / (scale * k)
        total = total + term
    for _ in range(10):
        total = total * total
    return total


def packed(x, *, pivot):
    """Eliminate with the largest pivot of each column, one row after the other."""
    lead, (m, n) = x.shape[:-2], x.shape[-2:]
    out, pivots = np.array(x), np.zeros((*lead, min(m, n)), np.int32)
    for at in np.ndindex(*lead):
        a = out[at]
        for k in range(min(m, n)):
            best = max(range(k, m), key=lambda i: abs(a[i, k].real) + abs(a[i, k].imag)) if pivot else k
            pivots[at][k] = best + 1
            a[[k, best]] = a[[best, k]]
            for i in range(k + 1, m):
                a[i, k] /= a[k, k]
                for j in range(k + 1, n):
                    a[i, j] -= a[i, k] * a[k, j]
    return out, pivots, info_of(x)


def exchanged(pivots, *, rows):
    out = np.zeros((*pivots.shape[:-1], rows), int)
    for at in np.ndindex(pivots.shape[:-1]):
        order = list(range(rows))
        for i, p in enumerate(pivots[at]):
            order[i], order[p - 1] = order[p - 1], order[i]
        out[at] = order
    return out


def inverse_gaps(w):
    out = np.zeros((*w.shape, w.shape[-1]), w.dtype)
    for *at, i, j in np.ndindex(out.shape):
        gap = w[(*at, j)] - w[(*at, i)]
        out[(*at, i, j)] = 1 / gap if gap else 0
    return out


def largest(v):
    out = np.zeros(v.shape)
    for at in np.ndindex(*v.shape[:-2]):
        for k in range(v.shape[-1]):
            out[(*at, int(np.argmax(np.abs(v[at][:, k]))), k)] = 1
    return out


def distances(x, y):
    out = np.zeros((*x.shape[:-1], y.shape[-2]))
    for *at, i, j in np.ndindex(out.shape):
        out[(*at, i, j)] = math.dist(x[(*at, i)], y[(*at, j)])
    return out


MATRICES = {
    "inv": lambda x: (each(mp.inverse, lambda x: x)(x), info_of(x)),
    "solve": solve,
    "solve_triangular": lambda a, b, upper, unit: each(columns, lambda a, b: b)(triangle(a, upper, unit), b),
    "det": each(mp.det, lambda x: ()), "slogdet": determinant_parts,
    "mirrored": mirrored, "cholesky": cholesky,
    "eigvalsh": lambda x, upper: each(eigenvalues, lambda x: x[:1], real=True)(mirrored(x, upper=upper)),
    "svdvals": each(singular_values, lambda x: (min(x),), real=True),
    "is_small": lambda s: np.array([v <= 1e-14 for v in s.flat]).reshape(s.shape),
    "pinv": lambda x, atol, rtol, symmetric: each(pseudoinverse, lambda x: x[::-1])(x),
    "matrix_exp": each(series, lambda x: x),
    "lu_factor": packed, "permutation": exchanged,
    "permutation_matrix": lambda pivots, rows, dtype: np.eye(rows)[:, exchanged(pivots, rows=rows)],
    "euclidean": distances,
    "reverse_order": lambda order: np.array([[list(row).index(k) for k in range(len(row))]
                                             for row in order.reshape(-1, order.shape[-1])]).reshape(order.shape),
    "inverse_gaps": inverse_gaps, "checked": lambda c, w, phases, name: np.array(c),
    "cautioned": lambda c, w, name: np.array(c),
    "anchors": largest,
}  # fmt: skip
# Functions whose vectors have a gauge: of a random cotangent they say that it depends on that.
GAUGED = {"linalg.eig", "linalg.eigh", "linalg.svd", "svd"}
_RECONSTRUCTED = "its factors multiply to its input: tests/ops/test_linalg.py"
BY_PRODUCT = {
    "eigh": _RECONSTRUCTED, "eig": _RECONSTRUCTED, "svd": _RECONSTRUCTED, "qr": _RECONSTRUCTED, "geqrf": _RECONSTRUCTED,
    **dict.fromkeys(("ldl_factor", "ldl_solve"), "its factors solve: tests/ops/test_linalg.py"),
    **dict.fromkeys(("complement", "rest_of_qr"), "orthonormal with its input: tests/ops/test_linalg.py"),
    "lobpcg": "its pairs are eigh's: tests/ops/test_linalg.py", "null_bases": "det's derivatives at singular matrices",
}  # fmt: skip
