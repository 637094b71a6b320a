"""What the ops of `chainrule.ops.nn` on windows compute, written down a second time: by loops over positions and places."""

from __future__ import annotations

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


WINDOWED = {"conv": conv, "conv_input": conv_input, "conv_weight": conv_weight}
