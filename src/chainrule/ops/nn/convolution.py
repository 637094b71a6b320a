"""Convolution: one form that is linear in each of an input x, a weight w and a result y, and its three derivatives.

With the stride s, the dilation d and the padding p of each axis of space, the form is the sum of::

    x[n, c, s o + d k - p]  w[m, c, k]  y[n, m, o]

over examples n, channels c and m of one group, places k and positions o.

`conv` is its derivative in y, `conv_input` in x, `conv_weight` in w. Each is bilinear, and the transposes of each are the other
two, so that every order of derivative is made of the three (Dumoulin & Visin, arXiv 1603.07285).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import gcd, prod
from typing import Any, NamedTuple

import numpy as np

from chainrule.core.op.batching import Batch, moved, reshaped
from chainrule.core.op.declaration import bilinear
from chainrule.core.op.links import Link, Windows
from chainrule.core.op.raw import in_c_order
from chainrule.core.op.reach import Call, by_axes
from chainrule.core.op.samples import Sample
from chainrule.ops.nn.columns import correlate, gather, scatter
from chainrule.ops.nn.sliding import sliding
from chainrule.ops.reduction.scan import wide

ndarray = np.ndarray
# The cotangent of an input is a convolution of results that have at most a few times its channels: windows are copied 5 times
# faster than added up where they overlap. The zeros around results must meet no infinite weight.
_FEW = 4
_PHASES = 8  # of a strided input, each a convolution: more cost more in calls


def _shared(x: Any, w: Any) -> tuple:
    """Return two operands in C order and of one dtype, wider than half precision, and the dtype of the result."""
    d = np.result_type(x, w)
    x, w = wide(x), wide(w)
    common = np.result_type(x, w)
    return in_c_order(x.astype(common, copy=False)), in_c_order(w.astype(common, copy=False)), d


class _Phase(NamedTuple):
    """Every s-th element of the input along an axis: a convolution of the results with every S-th weight, in reverse.

    Attributes
    ----------
    elements, weights : slice
    size, padding, dilation : int
    """

    elements: slice
    weights: slice
    size: int
    padding: int
    dilation: int


def _phases(n: int, kernel: int, stride: int, padding: int, dilation: int) -> list[_Phase]:
    """Return the phases of an axis of `n` elements, except those that no window reaches.

    Element ``i = first + stride * j`` meets place k where ``i + padding - dilation * k`` is a multiple of the stride, and there
    it is the position. With k = ``k0 + step * t`` that is position ``j + behind - dilation / common * t``.
    """
    found = []
    common = gcd(stride, dilation)
    step = stride // common
    for first in range(min(stride, n)):
        places = [k for k in range(min(step, kernel)) if (first + padding - dilation * k) % stride == 0]
        if places:
            k0 = places[0]
            taps = -(-(kernel - k0) // step)
            last = k0 + (taps - 1) * step
            reach = dilation // common * (taps - 1)
            weights = slice(last, k0 - 1 if k0 else None, -step)
            behind = (first + padding - dilation * k0) // stride
            found.append(
                _Phase(slice(first, None, stride), weights, -(-(n - first) // stride), reach - behind, dilation // common)
            )
    return found


# -- kernels -----------------------------------------------------------------------------------------------------------


def _conv(x: Any, w: Any, *, stride: tuple, padding: tuple, dilation: tuple, groups: int, size: tuple) -> Any:
    x, w, d = _shared(x, w)
    shape = (x.shape[0], w.shape[0], *size)
    if not x.size or not w.size or not prod(shape):
        return np.zeros(shape, d)
    s = sliding(x.shape, w.shape[2:], size, stride, padding, dilation)
    return gather(s, x, w.reshape(groups, w.shape[0] // groups, -1)).astype(d, copy=False)


def _conv_input(y: Any, w: Any, *, stride: tuple, padding: tuple, dilation: tuple, groups: int, size: tuple) -> Any:
    y, w, d = _shared(y, w)
    shape = (y.shape[0], groups * w.shape[1], *size)
    if not prod(shape) or not y.size or not w.size:
        return np.zeros(shape, d)
    out = None if max(stride) == 1 else np.zeros(shape, y.dtype)
    by_group = w.reshape(groups, -1, *w.shape[1:])
    if w.shape[0] <= _FEW * groups * w.shape[1] and prod(stride) <= _PHASES and np.isfinite(w).all():
        for phases in product(*map(_phases, size, w.shape[2:], stride, padding, dilation)):
            elements, places, sizes, before, steps = zip(*phases, strict=True)
            part = np.ascontiguousarray(by_group.swapaxes(1, 2)[(..., *places)])  # BLAS takes no steps backwards
            s = sliding(y.shape, part.shape[3:], sizes, (1,) * len(size), before, steps)
            found = gather(s, y, part.reshape(groups, w.shape[1], -1))
            if out is None:
                return found.astype(d, copy=False)
            out[(..., *elements)] = found
    else:
        out = np.zeros(shape, y.dtype)
        s = sliding(shape, w.shape[2:], y.shape[2:], stride, padding, dilation)
        scatter(s, y, by_group.reshape(groups, by_group.shape[1], -1).swapaxes(1, 2), out)
    return out.astype(d, copy=False)


def _conv_weight(x: Any, y: Any, *, stride: tuple, padding: tuple, dilation: tuple, groups: int, size: tuple) -> Any:
    x, y, d = _shared(x, y)
    shape = (y.shape[1], x.shape[1] // groups, *size)
    out = np.zeros((groups, prod(shape[1:]), shape[0] // groups), x.dtype)
    if out.size and x.size and y.size:
        correlate(sliding(x.shape, size, y.shape[2:], stride, padding, dilation), x, y, out)
    return out.swapaxes(1, 2).reshape(shape).astype(d, copy=False)


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


# -- reach -------------------------------------------------------------------------------------------------------------


def _meeting(kinds: str) -> Callable:
    """Return the rule of reach of a form: along each axis of space, elements meet where some third one makes them meet."""

    def rule(c: Call, i: int, o: int) -> Link:
        mine, kind = kinds[i], kinds[2]
        shape, out = (_split(v, k, c.params["groups"]) for v, k in ((c.shapes[i], mine), (c.out_shape(o), kind)))
        common = [(a, _AXES[kind].index(letter)) for a, letter in enumerate(_AXES[mine]) if letter in _AXES[kind]]
        spaces = {name: v[2:] for name, v in zip(kinds, (*c.shapes, c.out_shape(o)), strict=True)}
        numbers = zip(*[spaces[k] for k in "xwy"], *[c.params[p] for p in ("stride", "padding", "dilation")], strict=True)
        meets = [dict(zip("xwy", _meets(*n), strict=True)) for n in numbers]
        zeros = c.zeros(1) if kinds[1] == "w" and i == 0 else None
        if zeros is not None and zeros.all((0, 1)).any():
            places = _of_some(meets, ~zeros.all((0, 1)), spaces)
            windows = Windows.of_pairs(prod(spaces[mine]), prod(spaces[kind]), places[kind], places[mine])
            sizes = (*shape[:3], prod(spaces[mine])), (*out[:3], prod(spaces[kind]))
            return by_axes(*sizes, [*common, (3, 3)], {3: windows})
        axes = range(len(meets))
        of_axes = [Windows.of_pairs(spaces[mine][k], spaces[kind][k], meets[k][kind], meets[k][mine]) for k in axes]
        return by_axes(shape, out, [*common, *[(3 + k, 3 + k) for k in axes]], {3 + k: of_axes[k] for k in axes})

    return rule


def _of_some(meets: list[dict], some: ndarray, spaces: dict) -> dict[str, ndarray]:
    """Return the flat places in space of the inputs and of the results that meet in some of the weights."""
    found: dict[str, list[ndarray]] = {"x": [], "y": []}
    for at in np.argwhere(some):
        for kind, places in found.items():
            of_axes = [meet[kind][meet["w"] == k] for meet, k in zip(meets, at, strict=True)]
            places.append(np.ravel_multi_index(np.ix_(*of_axes), spaces[kind]).ravel())
    return {kind: np.concatenate(places) if places else np.zeros(0, np.int64) for kind, places in found.items()}


def _split(shape: tuple, kind: str, groups: int) -> tuple:
    """Return an operand's shape with groups and channels apart."""
    first, second, *space = shape
    return (groups, first // groups, second, *space) if kind == "w" else (first, groups, second // groups, *space)


def _meets(n: int, kernel: int, m: int, stride: int, padding: int, dilation: int) -> tuple:
    """Return the elements, the places and the positions along an axis that meet."""
    places, positions = (a.ravel() for a in np.mgrid[:kernel, :m])
    elements = stride * positions + dilation * places - padding
    inside = (elements >= 0) & (elements < n)
    return elements[inside], places[inside], positions[inside]


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
    reach=_meeting("xwy"),
    batch=_over("xwy"),
    x=lambda g, w, x_shape, *, stride, padding, dilation, groups: conv_input(
        g, w, stride=stride, padding=padding, dilation=dilation, groups=groups, size=x_shape[2:]),
    w=lambda g, x, w_shape, *, stride, padding, dilation, groups: conv_weight(
        x, g, stride=stride, padding=padding, dilation=dilation, groups=groups, size=w_shape[2:]),
    samples=lambda: _samples("conv"),
    doc="Convolve (examples, channels, *space) with weights (channels out, channels of a group in, *places).")  # fmt: skip

conv_input: Callable = bilinear(f"conv_input(y, w, *, {_PARAMS})", _conv_input, kinds="ifc", node="Convolution",
    shape=lambda y, w, *, groups, size: (y[0], groups * w[1], *size),
    reach=_meeting("ywx"),
    batch=_over("ywx"),
    y=lambda g, w, y_shape, *, stride, padding, dilation, groups: conv(
        g, w, stride=stride, padding=padding, dilation=dilation, groups=groups, size=y_shape[2:]),
    w=lambda g, y, w_shape, *, stride, padding, dilation, groups: conv_weight(
        g, y, stride=stride, padding=padding, dilation=dilation, groups=groups, size=w_shape[2:]),
    samples=lambda: _samples("conv_input"),
    doc="Spread results over the input of a convolution, whose space has the given size: transposed convolution.")  # fmt: skip

conv_weight: Callable = bilinear(f"conv_weight(x, y, *, {_PARAMS})", _conv_weight, kinds="ifc", node="ConvolutionBackward",
    shape=lambda x, y, *, groups, size: (y[1], x[1] // groups, *size),
    reach=_meeting("xyw"),
    batch=_over("xyw"),
    x=lambda g, y, x_shape, *, stride, padding, dilation, groups: conv_input(
        y, g, stride=stride, padding=padding, dilation=dilation, groups=groups, size=x_shape[2:]),
    y=lambda g, x, y_shape, *, stride, padding, dilation, groups: conv(
        x, g, stride=stride, padding=padding, dilation=dilation, groups=groups, size=y_shape[2:]),
    samples=lambda: _samples("conv_weight"),
    doc="Correlate the input of a convolution with its results, at the given number of places along each axis.")  # fmt: skip
