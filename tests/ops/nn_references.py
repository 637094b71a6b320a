"""What the ops of `chainrule.ops.nn` on windows compute, written down a second time: by loops over positions and places."""

from __future__ import annotations

import itertools
import math

import numpy as np


def steps(x_size, w_kernel, size, *, stride, padding, dilation):
    """Yield (position, place, element of the input) for every place of a window that lies inside."""
    for o in np.ndindex(*size):
        for k in np.ndindex(*w_kernel):
            i = tuple(s * a + d * b - p for s, a, d, b, p in zip(stride, o, dilation, k, padding, strict=True))
            if all(0 <= a < n for a, n in zip(i, x_size, strict=True)):
                yield o, k, i


def channels(inputs, outputs, groups):
    """Yield (channel in, channel in of its group, channel out) of one group."""
    for m in range(outputs):
        for c in range(inputs // groups):
            yield m // (outputs // groups) * (inputs // groups) + c, c, m


def conv(x, w, *, groups, size, **params):
    out = np.zeros((x.shape[0], w.shape[0], *size), x.dtype)
    for o, k, i in steps(x.shape[2:], w.shape[2:], size, **params):
        for a, c, m in channels(x.shape[1], w.shape[0], groups):
            out[(slice(None), m, *o)] += x[(slice(None), a, *i)] * w[(m, c, *k)]
    return out


def conv_input(y, w, *, groups, size, **params):
    out = np.zeros((y.shape[0], groups * w.shape[1], *size), y.dtype)
    for o, k, i in steps(size, w.shape[2:], y.shape[2:], **params):
        for a, c, m in channels(out.shape[1], w.shape[0], groups):
            out[(slice(None), a, *i)] += y[(slice(None), m, *o)] * w[(m, c, *k)]
    return out


def conv_weight(x, y, *, groups, size, **params):
    out = np.zeros((y.shape[1], x.shape[1] // groups, *size), x.dtype)
    for o, k, i in steps(x.shape[2:], size, y.shape[2:], **params):
        for a, c, m in channels(x.shape[1], y.shape[1], groups):
            out[(m, c, *k)] += (x[(slice(None), a, *i)] * y[(slice(None), m, *o)]).sum()
    return out


# -- maps along axes ---------------------------------------------------------------------------------------------------


def window(recipe, o):
    """Return the elements of a recipe's window at position o."""
    kind, n, m, *given = recipe
    if kind in ("windows", "means"):
        kernel, stride, padding, dilation = *given[:3], given[3] if kind == "windows" else 1
        return [i for i in (stride * o + dilation * k - padding for k in range(kernel)) if 0 <= i < n]
    if kind == "given windows":
        return list(range(given[1 + o], given[1 + o] + given[0]))
    if kind == "chosen":
        return [given[o]]
    if kind == "nearest":
        return [min(math.floor((o + 0.5 * given[1]) * given[0]), n - 1)]
    if kind in ("replicated", "reflected", "wrapped"):
        i = o - given[0]
        if kind == "wrapped":
            kept = list(range(n))[max(-given[0], 0) : n + min(given[1], 0)]
            return [kept[(o - max(given[0], 0)) % len(kept)]]
        inside = [min(max(i, 0), n - 1)]
        return inside if kind == "replicated" or 0 <= i < n else [-i if i < 0 else 2 * (n - 1) - i]
    return list(range(math.floor(o * n / m), math.ceil((o + 1) * n / m)))


def cubic(x, a):
    x = abs(x)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0


def weights(recipe, o):
    """Yield (element, weight) of a result."""
    kind, n, _, *given = recipe
    if kind in ("linear", "cubic"):
        scale, aligned, _ = given
        at = o * scale if aligned else (o + 0.5) * scale - 0.5
        for i in range(-3, n + 4):
            place = max(at, 0) if kind == "linear" else at
            w = max(1 - abs(i - place), 0) if kind == "linear" else cubic(i - place, -0.75)
            yield min(max(i, 0), n - 1), w
    elif kind.startswith("smooth"):
        scale = given[0]
        wide = max(scale, 1)
        reach, f = {
            "smooth linear": (1, lambda x: max(1 - abs(x), 0)), "smooth cubic": (2, lambda x: cubic(x, -0.5)),
            "smooth lanczos": (3, lambda x: np.sinc(x) * np.sinc(x / 3) if abs(x) < 3 else 0),
        }[kind]  # fmt: skip
        reach *= wide
        center = scale * (o + 0.5)
        inside = range(max(int(center - reach + 0.5), 0), min(int(center + reach + 0.5), n))
        total = sum(f((i - center + 0.5) / wide) for i in inside)
        for i in inside:
            yield i, f((i - center + 0.5) / wide) / total
    else:
        elements = window(recipe, o)
        count = len(elements)
        if kind == "means" and given[3]:
            kernel, stride, padding, _ = given
            count = sum(stride * o + k - padding < n + padding for k in range(kernel))
        for i in elements:
            yield i, 1 / count if "means" in kind else 1


def resample(x, *, maps, transposed, form):
    for axis, recipe in enumerate(maps, x.ndim - len(maps)):
        matrix = np.zeros((recipe[2], recipe[1]))
        for o in range(recipe[2]):
            for i, w in weights(recipe, o):
                matrix[o, i] += w
        x = np.moveaxis(np.tensordot(matrix.T if transposed else matrix, x, (1, axis)), 0, axis)
    return x


def positions(*axes):
    return [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in zip(*axes, strict=True)]


def columns(shape, kernel, stride, padding, dilation):
    """Yield (channel and place, position, place in the input) of windows side by side."""
    size = positions(shape[1:], kernel, stride, padding, dilation)
    for o, k, i in steps(shape[1:], kernel, size, stride=stride, padding=padding, dilation=dilation):
        for c in range(shape[0]):
            yield np.ravel_multi_index((c, *k), (shape[0], *kernel)), np.ravel_multi_index(o, size), (c, *i)


def im2col(x, *, kernel, stride, padding, dilation):
    shape = x.shape[-len(kernel) - 1 :]
    size = positions(shape[1:], kernel, stride, padding, dilation)
    out = np.zeros((*x.shape[: -len(shape)], shape[0] * math.prod(kernel), math.prod(size)), x.dtype)
    for row, column, i in columns(shape, kernel, stride, padding, dilation):
        out[..., row, column] = x[(..., *i)]
    return out


def col2im(x, *, size, kernel, stride, padding, dilation):
    shape = (x.shape[-2] // math.prod(kernel), *size)
    out = np.zeros((*x.shape[:-2], *shape), x.dtype)
    for row, column, i in columns(shape, kernel, stride, padding, dilation):
        out[(..., *i)] += x[..., row, column]
    return out


# -- maxima ------------------------------------------------------------------------------------------------------------


def max_pool(x, *, maps, form):
    space = x.shape[x.ndim - len(maps) :]
    lead = x.shape[: x.ndim - len(maps)]
    out = np.zeros((*lead, *[recipe[2] for recipe in maps]), x.dtype)
    index = np.zeros(out.shape, int)
    for at in np.ndindex(*out.shape):
        here, o = at[: len(lead)], at[len(lead) :]
        places = list(itertools.product(*[window(recipe, p) for recipe, p in zip(maps, o, strict=True)]))
        best = max(places, key=lambda p: x[(*here, *p)])  # the first of equal ones
        out[at], index[at] = x[(*here, *best)], np.ravel_multi_index(best, space)
    return out, index


def starts(u, n, m, kernel):
    alpha = (n - kernel) / (m - 1) if m > 1 else 0
    return [int((i + u) * alpha) - int(u * alpha) for i in range(m - 1)] + [n - kernel]


def fractional_max_pool(x, samples, *, kernel, size, form):
    dims = len(kernel)
    lead = x.shape[: x.ndim - dims]
    out, index = np.zeros((*lead, *size), x.dtype), np.zeros((*lead, *size), int)
    for here in np.ndindex(*lead):
        u = samples[here] if dims == 3 else samples[here][::-1]
        first = [starts(*v) for v in zip(u, x.shape[len(lead) :], size, kernel, strict=True)]
        maps = [("given windows", n, m, k, *s) for n, m, k, s in zip(x.shape[len(lead) :], size, kernel, first, strict=True)]
        out[here], index[here] = max_pool(x[here], maps=maps, form=form)
    return out, index


def pick(x, index, *, space):
    out = np.zeros(index.shape, x.dtype)
    for at in np.ndindex(*index.shape):
        here = at[: x.ndim - space]
        out[at] = x[here].reshape(-1)[index[at]]
    return out


def spread(g, index, *, size, apart):
    lead = g.ndim - len(size)
    out = np.zeros((*g.shape[:lead], math.prod(size)), g.dtype)
    for at in np.ndindex(*g.shape):
        out[(*at[:lead], index[at])] += g[at]
    return out.reshape(*g.shape[:lead], *size)


WINDOWED = {
    "conv": conv, "conv_input": conv_input, "conv_weight": conv_weight, "resample": resample, "im2col": im2col,
    "col2im": col2im, "max_pool": max_pool, "fractional_max_pool": fractional_max_pool, "pick": pick, "spread": spread,
}  # fmt: skip
