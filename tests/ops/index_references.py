"""Functions of arrays that pick, place, order and count, by loops over places."""

from __future__ import annotations

import math

import numpy as np
from tests.ops.number_references import is_nan, larger, smaller
from tests.ops.reduction_references import along, lines, product, total


def scaled_sum(spec):
    return lambda x, a, b, *, beta, alpha: (beta * x if beta else 0) + alpha * product(spec)(a, b)


def at_index(x, index, axis):
    """Yield (place in the index, place in x) for gather and scatter along an axis."""
    for place in np.ndindex(index.shape):
        there = list(place)
        if there:
            there[axis] = int(index[place])
        yield place, tuple(there)


def gather(x, index, *, axis):
    out = np.zeros(index.shape, x.dtype)
    for place, there in at_index(x, index, axis):
        out[place] = x[there]
    return out


def scattered(put):
    def call(x, index, y, *, axis, **params):
        out = np.array(x)
        y = np.broadcast_to(y, index.shape) if np.ndim(y) == 0 else y
        touched = set()
        for place, there in at_index(x, index, axis):
            out[there] = put(out[there], y[place], there in touched, **params)
            touched.add(there)
        return out

    return call


def best_of(old, new, seen, largest, include_self):
    if not seen and not include_self:
        return new
    return (larger if largest else smaller)(old, new)


def turns(index, *, axis):
    """Return how often an element's target came before it."""
    seen, out = {}, np.zeros(index.shape, int)
    for place, there in at_index(None, index, axis):
        out[place] = seen.get(there, 0)
        seen[there] = out[place] + 1
    return out


def rows(put):
    """Return an op that writes to the rows that an index vector names, as slices along `axis`."""

    def call(x, i, y, *, axis, **_):
        out = np.moveaxis(np.array(x), axis, 0) if np.ndim(x) else np.array(x).reshape(1)
        y = np.moveaxis(np.asarray(y), axis, 0) if np.ndim(y) else y
        for k, row in enumerate(np.atleast_1d(i)):
            out[int(row)] = put(out[int(row)], y[k] if np.ndim(y) else y)
        return np.moveaxis(out, 0, axis) if np.ndim(x) else out.reshape(())

    return call


def place(x, *, shape, index):
    out = np.zeros(shape, np.asarray(x).dtype)
    out[index] = x
    return out


def overwrite(x, y, *, index):
    out = np.array(x)
    out[index] = y
    return out


def diagonal_places(shape, offset, a, b):
    """Yield (place in the diagonal, place in the array)."""
    rest = [k for k in range(len(shape)) if k not in (a, b)]
    n = min(shape[a] + min(offset, 0), shape[b] - max(offset, 0))
    for lead in np.ndindex(*[shape[k] for k in rest]):
        for k in range(max(n, 0)):
            there = dict(zip(rest, lead, strict=True)) | {a: k - min(offset, 0), b: k + max(offset, 0)}
            yield (*lead, k), tuple(there[j] for j in range(len(shape)))


def diagonal(x, *, offset, a, b):
    pairs = list(diagonal_places(x.shape, offset, a, b))
    rest = [n for k, n in enumerate(x.shape) if k not in (a, b)]
    out = np.zeros((*rest, max(0, min(x.shape[a] + min(offset, 0), x.shape[b] - max(offset, 0)))), x.dtype)
    for here, there in pairs:
        out[here] = x[there]
    return out


def diagonal_scatter(x, y, *, offset, a, b):
    out = np.array(x)
    for here, there in diagonal_places(x.shape, offset, a, b):
        out[there] = y[here]
    return out


def windows(x, *, axis, size, step):
    if not x.ndim:
        return np.array(x).reshape(1)[:size]
    starts = range(0, x.shape[axis] - size + 1, step)
    parts = [np.moveaxis(np.take(x, range(s, s + size), axis), axis, -1) for s in starts]
    return np.stack(parts, axis)


def fold(x, *, shape, axis, size, step):
    out = np.zeros(shape, x.dtype)
    if not shape:
        return x.sum().reshape(())
    for k in range(x.shape[axis]):
        for j in range(size):
            at = [slice(None)] * len(shape)
            at[axis] = k * step + j
            out[tuple(at)] += np.take(np.take(x, k, axis), j, -1)
    return out


def strided(size, stride, offset):
    """Yield (place in the view, place in the flat memory)."""
    for here in np.ndindex(*size):
        yield here, offset + sum(k * s for k, s in zip(here, stride, strict=True))


def as_strided(x, *, size, stride, offset):
    out = np.zeros(size, x.dtype)
    for here, there in strided(size, stride, offset):
        out[here] = x.reshape(-1)[there]
    return out


def sum_strided(x, *, shape, size, stride, offset):
    out = np.zeros(math.prod(shape), x.dtype)
    for here, there in strided(size, stride, offset):
        out[there] += x[here]
    return out.reshape(shape)


def as_strided_scatter(x, y, *, size, stride, offset):
    out = np.array(x).reshape(-1)
    for here, there in strided(size, stride, offset):
        out[there] = y[here]
    return out.reshape(x.shape)


def tile(x, *, counts):
    x = x.reshape((*(1,) * (len(counts) - x.ndim), *x.shape))
    out = np.zeros([n * c for n, c in zip(x.shape, counts, strict=True)], x.dtype)
    for place in np.ndindex(out.shape):
        out[place] = x[tuple(p % n for p, n in zip(place, x.shape, strict=True))]
    return out


def moved_by(x, *, shifts, axis):
    out = np.array(x)
    if axis == ():  # of the elements in a row
        return moved_by(out.reshape(-1), shifts=shifts, axis=(0,)).reshape(x.shape)
    for n, k in zip(shifts, axis, strict=True) if isinstance(axis, tuple) else [(shifts, axis)]:
        size = out.shape[k]
        out = np.take(out, [(i - n) % size for i in range(size)], k) if size else out
    return out


def triangle(keeps):
    def call(x, *, k):
        out = np.zeros_like(x)
        for place in np.ndindex(x.shape):
            if keeps(place[-1] - place[-2], k):
                out[place] = x[place]
        return out

    return call


def padded(x, *, widths, value):
    out = np.full([a + n + b for n, (a, b) in zip(x.shape, widths, strict=True)], value, x.dtype)
    for place in np.ndindex(x.shape):
        there = tuple(p + a for p, (a, _) in zip(place, widths, strict=True))
        if all(0 <= t < n for t, n in zip(there, out.shape, strict=True)):
            out[there] = x[place]
    return out


def stable_order(values, descending):
    key = lambda i: (is_nan(values[i]), values[i] if not is_nan(values[i]) else 0)
    if not descending:
        return sorted(range(len(values)), key=key)
    return sorted(range(len(values)), key=lambda i: (not is_nan(values[i]), -values[i] if not is_nan(values[i]) else 0))


def sort(x, *, axis, descending, stable):
    if not x.ndim:
        return x, np.zeros((), int)
    moved = np.moveaxis(x, axis, -1)
    order = np.array([stable_order(list(map(float, line)), descending) for _, line in lines(x, axis)], int)
    order = order.reshape(moved.shape)
    return np.moveaxis(np.take_along_axis(moved, order, -1), -1, axis), np.moveaxis(order, -1, axis)


def median_of(values, skip=False):
    if not skip and any(map(is_nan, values)):
        return math.nan
    kept = sorted(v for v in values if not is_nan(v))
    return kept[(len(kept) - 1) // 2] if kept else math.nan


def searched(boundaries, values, *, right):
    out = np.zeros(np.shape(values), int)
    for at in np.ndindex(out.shape):
        row = boundaries if boundaries.ndim == 1 else boundaries[at[:-1]]
        v = values[at] if np.ndim(values) else values
        out[at] = sum(b <= v if right else b < v for b in row)
    return out


def masked_put(x, mask, values, *, lead, accumulate):
    out, flat = np.array(x), None
    places = [p for p in np.ndindex(mask.shape) if mask[p]]
    for n, p in enumerate(places):
        at = (*[slice(None)] * lead, *p)
        value = np.asarray(values)
        if value.ndim > lead:
            value = value[(*[slice(None)] * lead, n if value.shape[lead] > 1 else 0)]
        out[at] = out[at] + value if accumulate else value
    return out if flat is None else flat


def masked(x, mask, *, lead):
    places = [p for p in np.ndindex(mask.shape) if mask[p]]
    rest = x.shape[lead + mask.ndim :]
    out = np.zeros((*x.shape[:lead], len(places), *rest), x.dtype)
    for n, p in enumerate(places):
        out[(*[slice(None)] * lead, n)] = x[(*[slice(None)] * lead, *p)]
    return out


def subscripts(i, axes):
    """Yield (place in the index, {axis: position})."""
    parts = i[None] if len(axes) == 1 else i
    for place in np.ndindex(parts.shape[1:]):
        yield place, {axis: int(part[place]) for axis, part in zip(axes, parts, strict=True)}


def indexed_places(x_shape, i, axes):
    """Yield (place in the result, place in x) of an index by integer arrays along some axes."""
    rest = [k for k in range(len(x_shape)) if k not in axes]
    adjacent = list(axes) == list(range(axes[0], axes[-1] + 1))
    front = [k for k in rest if k < axes[0]] if adjacent else []
    back = [k for k in rest if k not in front]
    for before in np.ndindex(*[x_shape[k] for k in front]):
        for place, fixed in subscripts(i, axes):
            for after in np.ndindex(*[x_shape[k] for k in back]):
                there = dict(zip(front, before, strict=True)) | fixed | dict(zip(back, after, strict=True))
                yield (*before, *place, *after), tuple(there[k] for k in range(len(x_shape)))


def indexed_shape(shape, i, axes):
    places = i.shape if len(axes) == 1 else i.shape[1:]
    adjacent = list(axes) == list(range(axes[0], axes[-1] + 1))
    front = [n for k, n in enumerate(shape) if k not in axes and k < axes[0] and adjacent]
    return (*front, *places, *[n for k, n in enumerate(shape) if k not in axes][len(front) :])


def index(x, i, *, axes):
    pairs = list(indexed_places(x.shape, i, axes))
    out = np.zeros(indexed_shape(x.shape, i, axes), x.dtype)
    for here, there in pairs:
        out[here] = x[there]
    return out


def index_sum(g, i, *, shape, axes):
    out = np.zeros(shape, g.dtype)
    for here, there in indexed_places(shape, i, axes):
        out[there] += g[here]
    return out


def index_put(x, i, values, *, axes, accumulate):
    out = np.array(x)
    pairs = list(indexed_places(x.shape, i, axes))
    values = np.broadcast_to(values, indexed_shape(x.shape, i, axes))
    for here, there in pairs:
        out[there] = out[there] + values[here] if accumulate else values[here]
    return out


def put(x, i, y, *, accumulate):
    out = np.array(x).reshape(-1)
    for k, v in zip(i.reshape(-1), y.reshape(-1), strict=True):
        out[k] = out[k] + v if accumulate else v
    return out.reshape(x.shape)


def unique(x, *, axis, consecutive=False):
    rows = x.reshape(-1) if axis is None else np.moveaxis(np.atleast_1d(x), axis, 0)
    keys = [tuple(np.ravel(r).tolist()) for r in rows]
    if consecutive:
        kept = [k for k in range(len(keys)) if not k or keys[k] != keys[k - 1]]
        inverse = [sum(k <= j for k in kept) - 1 for j in range(len(keys))]
    else:
        kept = [keys.index(key) for key in sorted(set(keys))]
        inverse = [[keys[k] for k in kept].index(key) for key in keys]
    counts = [inverse.count(n) for n in range(len(kept))]
    values = rows[kept]
    values = values if axis is None else np.moveaxis(values, 0, axis)
    return values, np.array(inverse, int).reshape(x.shape if axis is None else -1), np.array(counts, int)


def histogram(x, *, bins, low, high):
    out = np.zeros(bins, int)
    for v in x.reshape(-1):
        if low <= v <= high:
            out[min(int((v - low) / (high - low) * bins), bins - 1)] += 1
    return out


def bincount(x, weights=None, *, minlength):
    out = np.zeros(max(minlength, max(x.reshape(-1).tolist(), default=-1) + 1), int if weights is None else weights.dtype)
    for k, v in enumerate(x):
        out[v] += 1 if weights is None else weights[k]
    return out


def ties(x, out, *, axis, keepdims, nan):
    best = out if keepdims or not x.ndim else np.reshape(out, [1 if k in axis else n for k, n in enumerate(x.shape)])
    chosen = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        b = best[tuple(0 if k in axis else p for k, p in enumerate(place))] if x.ndim else best
        chosen[place] = x[place] == b or (nan and is_nan(x[place]) and is_nan(b))
    counts = along(total)(chosen, axis=axis, keepdims=True)
    return chosen / counts
