"""Functions of arrays that reduce, scan and multiply, by loops over lines."""

from __future__ import annotations

import cmath
import itertools
import math
import struct

import mpmath as mp
import numpy as np
from tests.ops.number_references import INF, is_nan


def lines(x, axis):
    """Yield (where, line) for each line of an array along an axis; a 0-d array is a line of one."""
    x = np.atleast_1d(x)
    moved = np.moveaxis(x, axis, -1)
    for place in np.ndindex(moved.shape[:-1]):
        yield place, list(moved[place])


def bits(x):
    return struct.unpack("<Q", struct.pack("<d", x))[0] if isinstance(x, float) else int(x) % 2**64


def along(f, results=1):
    """Return a function of a line that gives numbers, as a reduction along `axis` with `keepdims`."""

    def call(x, *, axis, keepdims=False, **params):
        if axis is None:
            axis = tuple(range(x.ndim))
        axes = axis if isinstance(axis, tuple) else (axis,)
        if not x.ndim:
            found = f([x[()]], **params)
            return np.asarray(found) if results == 1 else tuple([np.asarray(v) for v in found])
        kept = [k for k in range(x.ndim) if k not in axes]
        shape = [1 if k in axes else n for k, n in enumerate(x.shape)]
        length = math.prod([x.shape[k] for k in axes])
        flat = x.transpose(*kept, *axes).reshape(*[x.shape[k] for k in kept], length) if axes else x[..., None]
        outs = [np.empty(flat.shape[:-1], object) for _ in range(results)]
        for place in np.ndindex(flat.shape[:-1]):
            found = f([v.item() for v in flat[place]], **params)
            for out, value in zip(outs, found if results > 1 else (found,), strict=True):
                out[place] = value
        outs = [typed(o).reshape(shape if keepdims else o.shape) for o in outs]
        return outs[0] if results == 1 else tuple(outs)

    return call


def typed(out):
    kinds = {type(v) for v in out.flat}
    return out.astype(bool if kinds == {bool} else complex if complex in kinds else float)


def total(values):
    return sum(values, 0.0)


def mean(values):
    return total(values) / len(values) if values else math.nan


def spread(values, correction):
    n = len(values)
    if n - correction <= 0:
        return math.nan
    m = mean(values)
    return sum([abs(v - m) ** 2 for v in values]) / (n - correction)


def extreme(better):
    """Return (value, first position) of the best of a line; a NaN is the best."""

    def call(values):
        k = next((i for i, v in enumerate(values) if is_nan(v)), None)
        if k is None:
            k = better(range(len(values)), key=lambda i: values[i])
        return values[k], k

    return call


largest, smallest = extreme(max), extreme(min)


def logsumexp(values):
    if any(isinstance(v, complex) for v in values):
        return cmath.log(sum(map(cmath.exp, values))) if values else -INF
    return float(mp.log(mp.fsum([mp.exp(v) for v in values]))) if values else -INF


def norm(values, order):
    sizes = [abs(v) for v in values]
    if order == INF:
        return max(sizes, default=0.0)
    if order == -INF:
        return min(sizes, default=INF)
    if order == 0:
        return float(sum(v != 0 for v in sizes))
    return sum([v**order for v in sizes]) ** (1 / order)


def scanned(step):
    """Return a function that carries a state along each line: ``state, value = step(state, element)``."""

    def call(x, *, axis, reverse=False):
        x = np.asarray(x)
        if not x.ndim:
            return np.asarray(step(None, x[()])[1])
        moved = np.moveaxis(x, axis, -1)
        moved = moved[..., ::-1] if reverse else moved
        out = np.empty(moved.shape, object)
        for place in np.ndindex(moved.shape[:-1]):
            state = None
            for k, v in enumerate(moved[place]):
                state, out[(*place, k)] = step(state, v.item())
        out = typed(out) if out.size else out.astype(x.dtype)
        return np.moveaxis(out[..., ::-1] if reverse else out, -1, axis)

    return call


def running(better):
    def call(x, *, axis):
        if not x.ndim:
            return x, np.zeros((), int)
        moved = np.moveaxis(x, axis, -1)
        values, places = np.empty(moved.shape, x.dtype), np.zeros(moved.shape, int)
        for place in np.ndindex(moved.shape[:-1]):
            at = 0
            for k, v in enumerate(moved[place]):
                best = moved[place][at]
                if is_nan(v) or (not is_nan(best) and (v == best or better(v, best) == v)):
                    at = k
                values[(*place, k)], places[(*place, k)] = moved[place][at], at
        return np.moveaxis(values, -1, axis), np.moveaxis(places, -1, axis)

    return call


def recurrence(a, b, *, axis, reverse):
    """y[k] = a[k] y[k-1] + b[k]."""
    if not np.ndim(b):
        return b
    a, b = np.moveaxis(np.asarray(a), axis, -1), np.moveaxis(np.asarray(b), axis, -1)
    a, b = (a[..., ::-1], b[..., ::-1]) if reverse else (a, b)
    y = np.zeros(b.shape, np.result_type(a, b))
    for k in range(b.shape[-1]):
        y[..., k] = b[..., k] + (a[..., k] * y[..., k - 1] if k else 0)
    return np.moveaxis(y[..., ::-1] if reverse else y, -1, axis)


def product(spec):
    """Return a contraction written as for einsum, summed by loops over all its letters."""
    inputs, output = spec.split("->")
    letters = inputs.split(",")

    def call(*args):
        args = [np.asarray(a) for a in args]
        sizes = {c: n for word, a in zip(letters, args, strict=True) for c, n in zip(word, a.shape, strict=True)}
        out = np.zeros([sizes[c] for c in output], np.result_type(*args))
        for place in itertools.product(*[range(n) for n in sizes.values()]):
            at = dict(zip(sizes, place, strict=True))
            term = math.prod([a[tuple(at[c] for c in word)] for word, a in zip(letters, args, strict=True)])
            out[tuple(at[c] for c in output)] += term
        return out

    return call


def matmul(x, y):
    if x.ndim == 1 or y.ndim == 1 or x.ndim == y.ndim == 2:
        x2, y2 = x.reshape(1, -1) if x.ndim == 1 else x, y.reshape(-1, 1) if y.ndim == 1 else y
        if x2.ndim == y2.ndim == 2:
            out = product("ij,jk->ik")(x2, y2)
            return out.reshape([n for n, gone in zip(out.shape, (x.ndim == 1, y.ndim == 1), strict=True) if not gone])
    lead = np.broadcast_shapes(x.shape[:-2] if x.ndim > 1 else (), y.shape[:-2] if y.ndim > 1 else ())
    xs = np.broadcast_to(x, (*lead, *x.shape[-2:])) if x.ndim > 1 else None
    ys = np.broadcast_to(y, (*lead, *y.shape[-2:])) if y.ndim > 1 else None
    parts = [matmul(x if xs is None else xs[k], y if ys is None else ys[k]) for k in np.ndindex(lead)]
    if parts:
        return np.stack(parts).reshape(*lead, *parts[0].shape)
    rest = ([] if x.ndim == 1 else [x.shape[-2]]) + ([] if y.ndim == 1 else [y.shape[-1]])
    return np.zeros((*lead, *rest), np.result_type(x, y))
