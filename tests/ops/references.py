"""What every op of the table computes, written down a second time: from its mathematics, by Python's numbers, mpmath and loops.

None of it is quick, and none shares code with a kernel. An elementwise op has a function of numbers; any other one of arrays.
"""

from __future__ import annotations

import cmath
import itertools
import math
import operator
from functools import reduce

import mpmath as mp
import numpy as np
from tests.ops.index_references import (
    as_strided,
    as_strided_scatter,
    best_of,
    bincount,
    diagonal,
    diagonal_scatter,
    fold,
    gather,
    histogram,
    index,
    index_put,
    index_sum,
    masked,
    masked_put,
    median_of,
    moved_by,
    overwrite,
    padded,
    place,
    put,
    rows,
    scaled_sum,
    scattered,
    searched,
    sort,
    sum_strided,
    ties,
    tile,
    triangle,
    turns,
    unique,
    windows,
)
from tests.ops.matrices import BY_PRODUCT, MATRICES
from tests.ops.nn_references import WINDOWED
from tests.ops.number_references import NUMBERS, elementwise, is_nan
from tests.ops.reduction_references import (
    along,
    bits,
    largest,
    logsumexp,
    matmul,
    mean,
    norm,
    product,
    recurrence,
    running,
    scanned,
    smallest,
    spread,
    total,
)


def softmax(values):
    weights = [mp.exp(v) for v in values]
    return [float(w / mp.fsum(weights)) for w in weights]


def each_line(f):
    """Return a function that makes a line of a line, along `axis`."""

    def call(x, *, axis):
        if not x.ndim:
            return np.asarray(f([x.item()])[0])
        moved = np.moveaxis(x, axis, -1)
        out = np.array([f([v.item() for v in moved[p]]) for p in np.ndindex(moved.shape[:-1])], float).reshape(moved.shape)
        return np.moveaxis(out, -1, axis)

    return call


def parts_of(x, sizes, axis):
    starts = [sum(sizes[:k]) for k in range(len(sizes))]
    return tuple([np.take(x, range(s, s + n), axis) for s, n in zip(starts, sizes, strict=True)])


def split(x, *, sizes, axis):
    if isinstance(sizes, int):
        n = x.shape[axis]
        sizes = [min(sizes, n - k) for k in range(0, n, sizes)] or [0]
    return parts_of(x, list(sizes), axis)


def cat(*xs, axis):
    xs = [x for x in xs if x.shape != (0,) or all(y.shape == (0,) for y in xs)]
    shape = list(xs[0].shape)
    shape[axis] = sum(x.shape[axis] for x in xs)
    out, at = np.zeros(shape, np.result_type(*xs)), 0
    for x in xs:
        for here in np.ndindex(x.shape):
            there = list(here)
            there[axis] += at
            out[tuple(there)] = x[here]
        at += x.shape[axis]
    return out


def block_diag(*xs):
    xs = [np.atleast_2d(x) for x in xs]
    out, r, c = np.zeros((sum(x.shape[0] for x in xs), sum(x.shape[1] for x in xs)), np.result_type(*xs)), 0, 0
    for x in xs:
        out[r : r + x.shape[0], c : c + x.shape[1]] = x
        r, c = r + x.shape[0], c + x.shape[1]
    return out


def cross(x, y, *, axis):
    x, y = np.broadcast_arrays(x, y)
    a, b = np.moveaxis(x, axis, 0), np.moveaxis(y, axis, 0)
    return np.moveaxis(np.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]), 0, axis)


def class_places(target, ndim):
    for p in np.ndindex(target.shape):
        yield p, ((p[0], int(target[p]), *p[1:]) if ndim > 1 else (int(target[p]),))


def nll_loss(x, target, weight, *, reduction, ignore):
    terms, total_weight = np.zeros(target.shape), 0.0
    for p, there in class_places(target, x.ndim):
        if target[p] != ignore:
            w = 1.0 if weight is None else weight[int(target[p])]
            terms[p], total_weight = -w * x[there], total_weight + w
    if reduction == "none":
        return terms
    return terms.sum() if reduction == "sum" else terms.sum() / total_weight


def nll_spread(g, target, weight, *, shape, reduction, ignore):
    out = np.zeros(shape)
    live = [p for p, _ in class_places(target, len(shape)) if target[p] != ignore]
    weights = {p: 1.0 if weight is None else weight[int(target[p])] for p in live}
    for p, there in class_places(target, len(shape)):
        if p in weights:
            share = weights[p] / (sum(weights.values()) if reduction == "mean" else 1)
            out[there] = -share * (g[p] if reduction == "none" else g)
    return out


def summed_to(x, *, shape):
    out = np.zeros(shape, x.dtype)
    for p in np.ndindex(x.shape):
        q = p[len(p) - len(shape) :] if shape else ()
        out[tuple(0 if n == 1 else k for k, n in zip(q, shape, strict=True))] += x[p]
    return out


def reshaped(x, *, shape):
    return np.array(list(x.flat), x.dtype).reshape(shape)


def copied(x, **_):
    return np.array(x)


def shifted(x, *, axis, by):
    out = np.zeros_like(x)
    for here in np.ndindex(x.shape):
        there = list(here)
        if there:
            there[axis] += by
            if 0 <= there[axis] < x.shape[axis]:
                out[tuple(there)] = x[here]
    return out


def dft(x, axis, norm, sign):
    """Sum x[j] exp(sign 2πi jk / n) along axes, as it is written."""
    points = math.prod([x.shape[k] for k in axis])
    for k in axis:
        n = x.shape[k]
        turns = np.array([[cmath.exp(sign * 2j * math.pi * a * b / n) for b in range(n)] for a in range(n)])
        x = np.moveaxis(np.tensordot(turns, x, (1, k)), 0, k)
    return x / {"none": 1, "root": math.sqrt(points), "n": points}[norm]


def half_dft(x, *, axis, norm, half):
    out = dft(x, axis, norm, -1)
    return np.take(out, range(x.shape[axis[-1]] // 2 + 1), axis[-1]) if half else out


def real_dft(x, *, axis, norm, n):
    """The other frequencies of the last axis are the conjugates of those given, at the opposite place of all axes."""
    other, last = axis[:-1], axis[-1]
    x = dft(x, other, "none", 1)
    x = np.moveaxis(x, last, 0)
    whole = np.stack([x[k].real if 2 * k % n == 0 else x[k] if 2 * k < n else x[n - k].conj() for k in range(n)])
    whole = np.moveaxis(whole, 0, last)
    out = dft(whole, (last,), "none", 1).real
    points = math.prod([out.shape[k] for k in axis])
    return out / {"none": 1, "root": math.sqrt(points), "n": points}[norm]


def along_axes(f, x, axis):
    """Return a function of the lists of elements along axes, these kept with size 1."""
    rest = [range(1) if k in axis else range(n) for k, n in enumerate(x.shape)]
    out = np.zeros([len(r) for r in rest])
    for p in itertools.product(*rest):
        out[p] = f(list(x[tuple(slice(None) if k in axis else i for k, i in enumerate(p))].flat))
    return out


def standardize(x, w, b, axis, eps):
    average = along_axes(mean, x, axis)
    scale = 1 / np.sqrt(along_axes(mean, (x - average) ** 2, axis) + eps)
    return (x - average) * scale * (1 if w is None else w) + (0 if b is None else b), average, scale


def lstm_step(gates, c):
    n = c.shape[-1]
    logistic = lambda x: np.vectorize(lambda v: 1 / (1 + math.exp(-v)), otypes=[float])(x)
    i, f, g, o = (gates[..., k * n : (k + 1) * n] for k in range(4))
    i, f, g, o = logistic(i), logistic(f), np.tanh(g), logistic(o)
    cell = f * c + i * g
    return o * np.tanh(cell), cell, np.concatenate([i, f, g, o], -1)


def lstm(gates, h, c, w):
    found = []
    for x in gates:
        h, c, active = lstm_step(x + h @ w.T, c)
        found.append((h, c, active))
    return tuple(np.stack(parts) for parts in zip(*found, strict=True))


ARRAYS = {
    "fft_c2c": lambda x, axis, norm, forward: dft(x, axis, norm, -1 if forward else 1), "fft_r2c": half_dft,
    "fft_c2r": real_dft,
    "true_indices": lambda condition: tuple([np.array([p[k] for p in np.ndindex(condition.shape) if condition[p]], int)
                                             for k in range(condition.ndim)]),
    "getitem": lambda x, index: x[index], "place": place, "overwrite": overwrite,
    "diagonal": diagonal,
    "place_diagonal": lambda x, shape, **p: diagonal_scatter(np.zeros(shape, x.dtype), x, **p),
    "diagonal_scatter": diagonal_scatter,
    "trace": lambda x: sum([x[k, k] for k in range(min(x.shape))], x.dtype.type(0)),
    "unfold": windows, "fold": fold,
    "as_strided": as_strided, "sum_strided": sum_strided, "as_strided_scatter": as_strided_scatter,
    "to": lambda x, dtype, source: np.array([v if np.dtype(dtype).kind == "c" else getattr(v, "real", v)
                                             for v in x.flat], dtype).reshape(x.shape),
    "clone": copied, "alias": copied, "contiguous": copied, "named": copied,
    "copy": lambda x, y, form: np.broadcast_to(y, x.shape),
    "broadcast_to": lambda x, shape: x + np.zeros(shape, x.dtype), "sum_to": summed_to,
    "reshape": reshaped, "view": reshaped, "reshape_alias": reshaped,
    "squeeze": lambda x, axis, form: reshaped(x, shape=[n for k, n in enumerate(x.shape) if k not in axis]),
    "unsqueeze": lambda x, axis: reshaped(x, shape=[*x.shape[:axis], 1, *x.shape[axis:]]),
    "permute": lambda x, order: np.moveaxis(x, order, range(x.ndim)),
    "transpose": lambda x, a, b: np.swapaxes(x, a, b) if x.ndim else x,
    "t": lambda x: np.moveaxis(x, 0, -1) if x.ndim > 1 else x,
    "flip": lambda x, axis: x[tuple(slice(None, None, -1) if k in axis else slice(None) for k in range(x.ndim))],
    "roll": moved_by,
    "rot90": lambda x, k, axis: quarter_turns(x, k, axis),
    "tril": triangle(lambda d, k: d <= k), "triu": triangle(lambda d, k: d >= k),
    "repeat": tile, "constant_pad": padded,
    "index": index, "index_sum": index_sum, "index_put": index_put,
    "index_select": lambda x, i, axis: index(x, np.atleast_1d(i), axes=(axis,)) if x.size else np.take(x, i, axis),
    "index_add": rows(operator.add), "index_copy": rows(lambda old, new: new), "index_fill": rows(lambda old, new: new),
    "fill_places": lambda i, size, after: np.array([k in {v % size for v in i.reshape(-1)} for k in range(size)]).reshape(
        size, *(1,) * after),
    "take": lambda x, i: np.array([x.flat[k] for k in i.reshape(-1)], x.dtype).reshape(i.shape), "put": put,
    "gather": gather, "scatter_add": scattered(lambda old, new, seen: old + new),
    "scatter": scattered(lambda old, new, seen, form: new), "scatter_extreme": scattered(best_of), "turns": turns,
    "max_along": along(largest, 2), "min_along": along(smallest, 2),
    "sort": sort,
    "topk": lambda x, k, axis, largest: tuple([np.take(o, range(k), axis) if x.ndim else o
                                               for o in sort(x, axis=axis, descending=largest, stable=True)]),
    "searchsorted": searched, "unique": unique, "unique_consecutive": lambda x, axis: unique(x, axis=axis, consecutive=True),
    "isin": lambda x, test, invert: np.array([(v in set(test.reshape(-1).tolist())) != invert
                                              for v in x.reshape(-1).tolist()], bool).reshape(x.shape),
    "histc": histogram, "bincount": bincount,
    "shift": shifted,
    "cumsum": scanned(lambda s, v: ((s or 0) + v,) * 2), "cumprod": scanned(lambda s, v: ((1 if s is None else s) * v,) * 2),
    "logcumsumexp": scanned(lambda s, v: (([*(s or []), v]), logsumexp([*(s or []), v]))),
    "difference": lambda x, axis: np.take(x, range(1, x.shape[axis]), axis) - np.take(x, range(x.shape[axis] - 1), axis),
    "recurrence": recurrence, "cummax": running(max), "cummin": running(min),
    "sum": along(total), "mean": along(mean), "nansum": along(lambda v: total([x for x in v if not is_nan(x)])),
    "prod": along(lambda v: math.prod(v, start=1.0)), "ties": ties,
    "amax": along(lambda v: largest(v)[0]), "amin": along(lambda v: smallest(v)[0]),
    "max_of_all": along(lambda v: largest(v)[0]), "min_of_all": along(lambda v: smallest(v)[0]),
    "median_of_all": along(median_of), "nanmedian_of_all": along(lambda v: median_of(v, skip=True)),
    "aminmax": lambda x, axis, keepdims: tuple([along(lambda v: e(v)[0])(x, axis=axis, keepdims=keepdims)  # noqa: B023
                                                for e in (smallest, largest)]),
    "argmax": along(lambda v: largest(v)[1]), "argmin": along(lambda v: smallest(v)[1]),
    "all": along(lambda v: all(map(bool, v))), "any": along(lambda v: any(map(bool, v))),
    "xor_sum": along(lambda v: reduce(operator.xor, map(bits, v), 0)),
    "counted_of": lambda y, x, name: y,
    "count_nonzero": along(lambda v: sum(x != 0 for x in v)),
    "logsumexp": along(logsumexp), "softmax": each_line(softmax),
    "log_softmax": each_line(lambda v: [x - logsumexp(v) for x in v]),
    "frexp": lambda x: tuple([np.array([math.frexp(v)[k] for v in x.flat]).reshape(x.shape) for k in (0, 1)]),
    "real": lambda x: np.array([v.real for v in x.flat], float).reshape(x.shape),
    "imag": lambda x: np.array([v.imag for v in x.flat], float).reshape(x.shape),
    "complex": lambda x, y: x + 1j * y,
    "view_as_real": lambda x: np.array([[v.real, v.imag] for v in x.flat], float).reshape(*x.shape, 2),
    "view_as_complex": lambda x: x[..., 0] + 1j * x[..., 1],
    "mm": product("ij,jk->ik"), "mv": product("ij,j->i"), "dot": product("i,i->"), "outer": product("i,j->ij"),
    "bmm": product("bij,bjk->bik"), "matmul": matmul, "bmm_sum": product("bij,bjk->ik"),
    "vdot": lambda x, y: product("i,i->")(x.conj(), y), "cross": cross,
    "addmm": scaled_sum("ij,jk->ik"), "addmv": scaled_sum("ij,j->i"), "addr": scaled_sum("i,j->ij"),
    "baddbmm": scaled_sum("bij,bjk->bik"), "addbmm": scaled_sum("bij,bjk->ik"),
    "linear_map": lambda x, w: matmul(x, np.swapaxes(w, 0, 1)),
    "cat": cat, "stack": lambda *xs, axis: cat(*[np.expand_dims(x, axis) for x in xs], axis=axis),
    "unbind": lambda x, axis: tuple([np.take(x, k, axis) for k in range(x.shape[axis])]),
    "split": split, "split_with_sizes": split, "unsafe_split": split, "unsafe_split_with_sizes": split,
    "block_diag": block_diag,
    "var": along(spread), "std": along(lambda v, correction: math.sqrt(spread(v, correction))),
    "var_mean": along(lambda v, correction: (spread(v, correction), mean(v)), 2),
    "std_mean": along(lambda v, correction: (math.sqrt(spread(v, correction)), mean(v)), 2),
    "vector_norm": along(norm),
    "dist": lambda x, y, order: np.asarray(norm(list(np.broadcast_arrays(x - y)[0].flat), order)),
    "masked": masked, "masked_select": lambda x, mask: masked(x, mask, lead=0),
    "masked_place": lambda x, mask, shape, lead: masked_put(np.zeros(shape, x.dtype), mask, x, lead=lead, accumulate=False),
    "masked_put": masked_put,
    "masked_scatter": lambda x, mask, y: masked_put(x, mask, y.reshape(-1)[: int(mask.sum())], lead=0, accumulate=False),
    "unmasked": lambda x, mask, shape: np.array([*[v for v, m in zip(x.flat, mask.flat, strict=True) if m],
                                                 *[0] * (math.prod(shape) - int(mask.sum()))], x.dtype).reshape(shape),
    "nonzero_static": lambda x, size, fill_value: np.array(
        ([p for p in np.ndindex(x.shape) if x[p]] + [(fill_value,) * x.ndim] * size)[:size], int
    ).reshape(size, x.ndim),
    "nonzero": lambda x: np.array([p for p in np.ndindex(x.shape) if x[p]], int).reshape(sum(map(bool, x.flat)), x.ndim),
    "nll_loss": nll_loss, "nll_spread": nll_spread,
    "standardize": standardize, "lstm_step": lstm_step, "lstm": lstm,
    "softmax_pull": lambda g, y, axis: g * y - y * along(total)(g * y, axis=axis, keepdims=True),
    "log_softmax_pull": lambda g, y, axis: g - np.exp(y) * along(total)(g, axis=axis, keepdims=True),
    "standardized": lambda t, y, scale, axis: scale * (t - along_axes(mean, t, axis) - y * along_axes(mean, t * y, axis)),
}  # fmt: skip
ARRAYS |= MATRICES
ARRAYS["conj_view"] = lambda x: np.array([v.conjugate() for v in x.flat], x.dtype).reshape(x.shape)


def quarter_turns(x, k, axis):
    """Turn a quarter k times: the first axis of the plane becomes the second, reversed."""
    a, b = axis
    for _ in range(k % 4):
        x = np.swapaxes(x, a, b)
        x = np.take(x, range(x.shape[a])[::-1], a)
    return x


# Ops whose results no second text says better than the laws do.
BY_LAWS = {
    **dict.fromkeys(("copy_slices", "retake", "assemble"),
                    "its parameter is a path of views: tests/core/test_inplace_writes.py"),
    **dict.fromkeys(("random", "random_of"), "its moments and streams are tested: tests/core/test_random.py"),
    "undifference": "the transpose of difference, by the inner product",
    **dict.fromkeys(("median_along", "nanmedian_along", "kthvalue", "mode"),
                    "which position, at ties, is PyTorch's choice: tests/ops/test_reduction_kinks.py"),
    **BY_PRODUCT,
}  # fmt: skip


def reference_of(op):
    """Return the reference of an op: a function of arrays, or None."""
    if op.name in NUMBERS:
        return elementwise(NUMBERS[op.name])
    return ARRAYS.get(op.name) or WINDOWED.get(op.name) or op.about.reference
