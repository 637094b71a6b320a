"""Convolution: one form that is linear in each of an input x, a weight w and a result y, and its three derivatives.

With the stride s, the dilation d and the padding p of each axis of space, the form is the sum of::

    x[n, c, s o + d k - p]  w[m, c, k]  y[n, m, o]

over examples n, channels c and m of one group, places k and positions o.

`conv` is its derivative in y, `conv_input` in x, `conv_weight` in w. Each is bilinear, and the transposes of each are the other
two, so that every order of derivative is made of the three (Dumoulin & Visin, arXiv 1603.07285). A convolution is a product
with the matrix of windows (Chellapilla et al. 2006), made a block at a time; where a group has one channel of input, a sum over
the places in a window.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from chainrule.core.op.batching import Batch, moved, reshaped
from chainrule.core.op.declaration import bilinear
from chainrule.core.op.samples import Sample
from chainrule.ops.nn.sliding import Block, Sliding
from chainrule.ops.reduction.scan import wide

ndarray = np.ndarray
_CACHED = 1 << 19  # bytes of input at once where each is used for few products


def _shared(x: Any, w: Any) -> tuple:
    """Return two operands of one dtype, wider than half precision, and the dtype of the result."""
    d = np.result_type(x, w)
    x, w = wide(x), wide(w)
    common = np.result_type(x, w)
    return x.astype(common, copy=False), w.astype(common, copy=False), d


def _by_position(y: ndarray, groups: int) -> ndarray:
    """Return results (examples, channels, *positions) as a view (groups, channels of a group, examples, *positions)."""
    n, channels = y.shape[:2]
    axes = y.reshape(n, groups, channels // groups, *y.shape[2:])
    return np.moveaxis(axes, 0, 2)


def _apart(w: ndarray, y: ndarray, groups: int) -> tuple:
    """Return weights and results, each with the results of one channel of input along an axis of their own."""
    return w.reshape(groups, -1, *w.shape[2:]), y.reshape(y.shape[0], groups, -1, *y.shape[2:])


def _part(y: ndarray, block: Block) -> ndarray:
    """Return a block of results as `_by_position` lays them out."""
    return y[:, :, block.n : block.m, block.r : block.q]


def _as_columns(y: ndarray, s: Sliding) -> ndarray:
    """Return a block of results as matrices (groups, channels, examples and positions), zeros where windows hang over."""
    if not s.joined or s.width == y.shape[-1]:
        return y.reshape(*y.shape[:2], prod(y.shape[2:]))
    shape = (*y.shape[:2], prod(y.shape[2:-1]) * s.width)
    out = np.zeros((*y.shape[:-1], s.width), y.dtype)
    out[..., : y.shape[-1]] = y
    return out.reshape(shape)


class _Space:
    """Memory that products of one shape after the other are written to: fresh pages cost more than the product."""

    __slots__ = ("memory",)

    def __init__(self) -> None:
        self.memory: ndarray | None = None


def _product(x: ndarray, y: ndarray, space: _Space) -> ndarray:
    """Return the products of matrices, in memory that the next of the same shape takes over."""
    shape = (x.shape[0], x.shape[1], y.shape[2])
    if space.memory is None or space.memory.shape != shape:
        space.memory = np.empty(shape, x.dtype)
    return np.matmul(x, y, out=space.memory)


# -- one channel a group -----------------------------------------------------------------------------------------------
#
# A matrix product of one row would copy each window for a single use. NumPy's einsum multiplies and adds in one pass, in C,
# if its inner loop runs over positions: it does where they lie closest in memory, which the last axis of places may contest.


def _examples_at_once(s: Sliding, itemsize: int) -> int:
    return max(1, _CACHED // (s.shape[1] * prod(s.extent) * itemsize))


def _row_sums(windows: ndarray, w: ndarray) -> ndarray:
    """Return the sum over places of windows (channels, *places, examples, *positions) times weights (channels, *places)."""
    places, axes = w.ndim - 1, windows.ndim
    if (
        windows.strides[-1] != windows.itemsize
    ):  # of positions apart einsum is no faster than a product and a sum for each place
        ones = (1,) * (axes - w.ndim)
        out = np.zeros((windows.shape[0], *windows.shape[w.ndim :]), windows.dtype)
        for place in np.ndindex(*w.shape[1:]):
            out += windows[:, *place] * w[:, *place].reshape(-1, *ones)
        return out
    rows, kept = list(range(places)), [0, *range(places + 1, axes)]
    out = None
    for k in range(w.shape[-1]):
        part = np.einsum(windows[(slice(None),) * places + (k,)], [*rows, *kept[1:]], w[..., k], rows, kept)
        out = part if out is None else np.add(out, part, out=out)
    return out  # type: ignore[return-value]


def _conv_apart(s: Sliding, memory: ndarray, w: ndarray, out: ndarray) -> None:
    """Convolve where each channel is a group: into `out`, (examples, channels, results of a channel, *positions)."""
    channels, step = s.shape[1], _examples_at_once(s, memory.itemsize)
    for n in range(0, s.shape[0], step):
        block = Block(n, min(n + step, s.shape[0]), 0, s.size[0])
        windows = s.windows(memory, channels, block)[:, 0]
        for k in range(out.shape[2]):
            y = _row_sums(windows, w[:, k])
            into = np.moveaxis(out[block.n : block.m, :, k], 0, 1)
            into[...] = y.reshape(*into.shape[:-1], s.width)[..., : s.size[-1]]


def _backwards(kernel: tuple, stride: tuple, padding: tuple, dilation: tuple) -> tuple | None:
    """Return the padding with which convolving results with reversed weights gives the cotangent of the input, or None."""
    back = tuple([d * (k - 1) - p for d, k, p in zip(dilation, kernel, padding, strict=True)])
    return back if all([s == 1 for s in stride]) and min(back) >= 0 else None


def _reversed(w: ndarray) -> ndarray:
    """Return weights with the order of places reversed."""
    return w[(slice(None), slice(None), *[slice(None, None, -1)] * (w.ndim - 2))]


def _conv_input_apart(s: Sliding, y: ndarray, w: ndarray, quick: bool) -> ndarray:
    """Return the cotangent of `x` where each channel is a group; `y` as `_conv_apart` lays it out.

    At stride 1 it is the convolution of the cotangents with the reversed weights.
    """
    back = _backwards(s.kernel, s.stride, s.padding, s.dilation)
    if quick and back is not None:
        reversed_w = _reversed(w)
        out = np.zeros((*s.shape[:2], 1, *s.shape[2:]), y.dtype)
        for k in range(y.shape[2]):
            t = Sliding((*s.shape[:2], *s.size), s.kernel, s.shape[2:], s.stride, back, s.dilation)
            part = out if not k else np.empty_like(out)
            _conv_apart(t, t.padded(y[:, :, k]), reversed_w[:, k : k + 1], part)
            if k:
                out += part
        return out[:, :, 0]
    memory = s.empty(y.dtype)
    windows = s.windows(memory, s.shape[1], Block(0, s.shape[0], 0, s.size[0]))[:, 0]
    by_channel = np.moveaxis(y, 0, 2)
    for place in np.ndindex(*s.kernel):
        into = windows[:, *place].reshape(*windows.shape[:1], s.shape[0], *s.positions())
        for k in range(y.shape[2]):
            share = by_channel[:, k] * w[:, k, *place].reshape(-1, *(1,) * (1 + len(s.size)))
            into[...] += _as_columns(share[:, None], s).reshape(into.shape)
    return s.cropped(memory)


def _conv_weight_apart(s: Sliding, memory: ndarray, y: ndarray, out: ndarray) -> None:
    """Add up the cotangent of the weight where each channel is a group: (channels, results of a channel, *places)."""
    channels, step = s.shape[1], _examples_at_once(s, memory.itemsize)
    for n in range(0, s.shape[0], step):
        block = Block(n, min(n + step, s.shape[0]), 0, s.size[0])
        windows = s.windows(memory, channels, block)[:, 0]
        results = np.moveaxis(y[block.n : block.m], 0, 2)
        columns = _as_columns(results, s).reshape(*results.shape[:2], *windows.shape[1 + len(s.kernel) :])
        for place in np.ndindex(*s.kernel):
            for k in range(y.shape[2]):
                out[:, k, *place] += _dots(windows[:, *place], columns[:, k])


def _dots(x: ndarray, y: ndarray) -> ndarray:
    """Return the sums of products along all axes but the first."""
    if x.dtype.kind != "f":
        return np.einsum(x, list(range(x.ndim)), y, list(range(x.ndim)), [0])
    found = np.vecdot(x, y)
    return np.add.reduce(found, axis=tuple(range(1, found.ndim)))


# -- kernels -----------------------------------------------------------------------------------------------------------


def _conv(x: Any, w: Any, *, stride: tuple, padding: tuple, dilation: tuple, groups: int, size: tuple) -> Any:
    x, w, d = _shared(x, w)
    s = Sliding(x.shape, w.shape[2:], size, stride, padding, dilation)
    blocks = s.blocks(x.itemsize)
    if not blocks or not w.size:
        return np.zeros((x.shape[0], w.shape[0], *size), d)
    out = np.empty((x.shape[0], w.shape[0], *size), x.dtype)
    memory = s.padded(x)
    matrix = w.reshape(groups, w.shape[0] // groups, -1)
    if w.shape[1] == 1:
        _conv_apart(s, memory, *_apart(w, out, groups))
        return out.astype(d, copy=False)
    buffer, results, space = s.buffer(blocks, x.dtype), _by_position(out, groups), _Space()
    for block in blocks:
        columns = s.columns(memory, groups, block, buffer)
        into = _part(results, block)
        y = _product(matrix, columns, space)
        into[...] = y.reshape(*into.shape[:-1], s.width if s.joined else into.shape[-1])[..., : into.shape[-1]]
    return out.astype(d, copy=False)


def _exact(kernel: Callable) -> Callable:
    """Return a kernel that computes again what is not finite, without zeros that `quick` brings in: times NaN they are NaN."""

    def run(x: Any, y: Any, **params: Any) -> Any:
        out = kernel(x, y, quick=True, **params)
        if out.dtype.kind in "fcV" and not np.isfinite(wide(out)).all():
            return kernel(x, y, quick=False, **params)
        return out

    return run


@_exact
def _conv_input(
    y: Any, w: Any, *, stride: tuple, padding: tuple, dilation: tuple, groups: int, size: tuple, quick: bool
) -> Any:  # fmt: skip
    y, w, d = _shared(y, w)
    back = _backwards(w.shape[2:], stride, padding, dilation)
    if quick and back is not None and w.shape[1] > 1 and w.shape[0] <= 4 * groups * w.shape[1]:
        # Windows are copied 5 times faster than added up where they overlap.
        reversed_w = (
            _reversed(w).reshape(groups, -1, *w.shape[1:]).swapaxes(1, 2).reshape(-1, w.shape[0] // groups, *w.shape[2:])
        )
        out = _conv(y, reversed_w, stride=stride, padding=back, dilation=dilation, groups=groups, size=size)
        return out.astype(d, copy=False)
    shape = (y.shape[0], groups * w.shape[1], *size)
    s = Sliding(shape, w.shape[2:], y.shape[2:], stride, padding, dilation, quick)
    blocks = s.blocks(y.itemsize)
    if not blocks or not w.size:
        return np.zeros(shape, d)
    if w.shape[1] == 1:
        w, y = _apart(w, y, groups)
        return _conv_input_apart(s, y, w, quick).astype(d, copy=False)
    memory, results = s.empty(y.dtype), _by_position(y, groups)
    matrix = w.reshape(groups, w.shape[0] // groups, -1).swapaxes(1, 2)
    places, space = list(np.ndindex(*s.kernel)), _Space()
    for block in blocks:
        windows = s.windows(memory, groups, block)
        columns = _product(matrix, _as_columns(_part(results, block), s), space).reshape(windows.shape)
        for place in places:
            into = windows[:, :, *place]
            np.add(into, columns[:, :, *place], out=into)  # `+=` would write the view back onto itself
    return s.cropped(memory).astype(d, copy=False)


@_exact
def _conv_weight(
    x: Any, y: Any, *, stride: tuple, padding: tuple, dilation: tuple, groups: int, size: tuple, quick: bool
) -> Any:  # fmt: skip
    x, y, d = _shared(x, y)
    s = Sliding(x.shape, size, y.shape[2:], stride, padding, dilation, quick)
    out = np.zeros((groups, x.shape[1] // groups * prod(size), y.shape[1] // groups), x.dtype)
    blocks = s.blocks(x.itemsize) if y.size and prod(size) else []
    if not blocks:
        return out.reshape(y.shape[1], x.shape[1] // groups, *size).astype(d, copy=False)
    memory, results = s.padded(x), _by_position(y, groups)
    if x.shape[1] == groups:
        weights = np.zeros((groups, y.shape[1] // groups, *size), x.dtype)
        _conv_weight_apart(s, memory, y.reshape(y.shape[0], groups, -1, *y.shape[2:]), weights)
        return weights.reshape(y.shape[1], 1, *size).astype(d, copy=False)
    buffer = s.buffer(blocks, x.dtype)
    for block in blocks:
        columns = s.columns(memory, groups, block, buffer)
        # Transposed, the product has the longer side of columns as its rows, which BLAS likes better: 1.4 times faster.
        out += np.matmul(columns, _as_columns(_part(results, block), s).swapaxes(1, 2))
    return out.swapaxes(1, 2).reshape(y.shape[1], x.shape[1] // groups, *size).astype(d, copy=False)


# -- batches -----------------------------------------------------------------------------------------------------------

_AXES = {"x": "ngc", "y": "ngo", "w": "goc"}  # of the leading axes: examples, groups, channels of a group in and out


def _folded(v: Any, kind: str, at: str, groups: int) -> Any:
    """Return an operand with the batch axis, which it has in front, joined with one of its leading axes."""
    size, first, second, *space = v.shape
    axes = [first, groups, second // groups] if kind != "w" else [groups, first // groups, second]
    split = reshaped(v, (size, *axes, *space))
    place = _AXES[kind].index(at)
    axes[place] *= size
    return reshaped(moved(split, 0, place), (*_joined(axes, kind), *space))


def _joined(axes: list, kind: str) -> tuple:
    a, b, c = axes
    return (a, b * c) if kind != "w" else (a * b, c)


def _unfolded(v: Any, kind: str, at: str, groups: int, size: int) -> Any:
    """Return a result with the batch axis in front again; `groups` are those of one example."""
    first, second, *space = v.shape
    scale = size if at == "g" else 1
    axes = (
        [first, groups * scale, second // (groups * scale)]
        if kind != "w"
        else [groups * scale, first // (groups * scale), second]
    )
    place = _AXES[kind].index(at)
    axes[place] //= size
    split = reshaped(v, (*axes[:place], size, *axes[place:], *space))
    return reshaped(moved(split, place, 0), (size, *_joined(axes, kind), *space))


def _over(kinds: str) -> Callable:
    """Return the batching rule of a form: the batch joins the axis that only the batched operand and the result have."""

    def rule(b: Batch, x: Any, w: Any, *, groups: int, **params: Any) -> Any:
        if not b.size:
            shapes = [v.shape[on:] for v, on in zip((x, w), b.on, strict=True)]
            return reshaped(x if b.on[0] else w, (0, *b.op.shape(shapes, {"groups": groups, **params})))
        if all(b.on):
            at = "g"
        else:
            mine, other = kinds[:2] if b.on[0] else kinds[1::-1]
            (at,) = set(_AXES[mine]) & set(_AXES[kinds[2]]) - set(_AXES[other])
        given = [_folded(v, kind, at, groups) if on else v for v, kind, on in zip((x, w), kinds[:2], b.on, strict=True)]
        out = b.op.call(*given, groups=groups * b.size if at == "g" else groups, **params)
        return _unfolded(out, kinds[2], at, groups, b.size)

    return rule


# -- the form ----------------------------------------------------------------------------------------------------------

_CASES = [  # input, weight, stride, padding, dilation, groups, positions
    ((2, 3, 5), (4, 3, 3), (1,), (0,), (1,), 1, (3,)), ((2, 4, 7), (6, 2, 2), (2,), (1,), (3,), 2, (3,)),
    ((1, 2, 3, 3), (2, 2, 2, 3), (1, 1), (1, 1), (1, 1), 1, (4, 3)),
    ((1, 2, 3, 5), (2, 1, 3, 2), (1, 1), (1, 0), (1, 1), 2, (3, 4)),
    ((1, 2, 5, 4), (4, 1, 2, 2), (2, 1), (0, 1), (2, 1), 2, (2, 4)),
    ((2, 2, 3, 3), (3, 2, 1, 1), (1, 1), (0, 0), (1, 1), 1, (3, 3)),
    ((1, 1, 2, 3, 3), (2, 1, 2, 2, 2), (1, 2, 1), (0, 1, 1), (1, 1, 2), 1, (1, 2, 3)),
    ((0, 2, 3), (2, 2, 2), (1,), (0,), (1,), 1, (2,)), ((1, 2, 2, 5), (2, 2, 2, 2), (1, 1), (0, 0), (1, 1), 1, (1, 4)),
    ((1, 2, 1, 2, 5), (1, 2, 1, 2, 2), (1, 1, 1), (0, 0, 0), (1, 1, 1), 1, (1, 1, 4)),
]  # fmt: skip


def _samples(name: str) -> list[Sample]:
    """Return the samples of one of the three: the two operands' shapes, the third's space as its size."""
    found = []
    for x, w, stride, padding, dilation, groups, size in _CASES:
        y = (x[0], w[0], *size)
        shapes, space = {"conv": ((x, w), size), "conv_input": ((y, w), x[2:]), "conv_weight": ((x, y), w[2:])}[name]
        found.append(Sample(*shapes, stride=stride, padding=padding, dilation=dilation, groups=groups, size=space))
    return found


_PARAMS = "stride, padding, dilation, groups, size"

conv: Callable = bilinear(f"conv(x, w, *, {_PARAMS})", _conv, kinds="ifc", node="Convolution",
    shape=lambda x, w, *, size: (x[0], w[0], *size),
    batch=_over("xwy"),
    x=lambda g, w, x_shape, *, stride, padding, dilation, groups: conv_input(
        g, w, stride=stride, padding=padding, dilation=dilation, groups=groups, size=x_shape[2:]),
    w=lambda g, x, w_shape, *, stride, padding, dilation, groups: conv_weight(
        x, g, stride=stride, padding=padding, dilation=dilation, groups=groups, size=w_shape[2:]),
    samples=lambda: _samples("conv"),
    doc="Convolve (examples, channels, *space) with weights (channels out, channels of a group in, *places).")  # fmt: skip

conv_input: Callable = bilinear(f"conv_input(y, w, *, {_PARAMS})", _conv_input, kinds="ifc", node="Convolution",
    shape=lambda y, w, *, groups, size: (y[0], groups * w[1], *size),
    batch=_over("ywx"),
    y=lambda g, w, y_shape, *, stride, padding, dilation, groups: conv(
        g, w, stride=stride, padding=padding, dilation=dilation, groups=groups, size=y_shape[2:]),
    w=lambda g, y, w_shape, *, stride, padding, dilation, groups: conv_weight(
        g, y, stride=stride, padding=padding, dilation=dilation, groups=groups, size=w_shape[2:]),
    samples=lambda: _samples("conv_input"),
    doc="Spread results over the input of a convolution, whose space has the given size: transposed convolution.")  # fmt: skip

conv_weight: Callable = bilinear(f"conv_weight(x, y, *, {_PARAMS})", _conv_weight, kinds="ifc", node="ConvolutionBackward",
    shape=lambda x, y, *, groups, size: (y[1], x[1] // groups, *size),
    batch=_over("xyw"),
    x=lambda g, y, x_shape, *, stride, padding, dilation, groups: conv_input(
        y, g, stride=stride, padding=padding, dilation=dilation, groups=groups, size=x_shape[2:]),
    y=lambda g, x, y_shape, *, stride, padding, dilation, groups: conv(
        x, g, stride=stride, padding=padding, dilation=dilation, groups=groups, size=y_shape[2:]),
    samples=lambda: _samples("conv_weight"),
    doc="Correlate the input of a convolution with its results, at the given number of places along each axis.")  # fmt: skip
