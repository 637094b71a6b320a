"""Histograms over bins of one axis or several, under PyTorch's names: differentiable in the weights."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, prod
from typing import Any

import numpy as np

from chainrule.core.call.dispatch import as_tensor, cast
from chainrule.core.op.samples import Fixed, Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import examined, satisfies
from chainrule.core.types import dtype as dtypes
from chainrule.functions.adapt import public
from chainrule.functions.comparison.search import searchsorted
from chainrule.functions.indexing.select import where
from chainrule.functions.reduction.difference import diff
from chainrule.functions.reduction.extrema import amax, amin
from chainrule.ops.comparison.order import counted_of
from chainrule.ops.indexing.scatter import scatter_add
from chainrule.return_types import named_result

__all__ = ["histogram", "histogramdd"]

_histogram = named_result("histogram", "hist", "bin_edges")
_histogramdd = named_result("histogramdd", "hist", "bin_edges")
_EDGES = np.array([-1.0, 0.0, 0.25, 2.0])


@public(
    kinds="f", out=True,
    samples=lambda: [
        Sample((3, 4), 5), Sample((6,), 4, range=(-1.0, 1.0)), Sample((6,), 3, weight=np.arange(6.0), density=True),
        Sample((6,), Fixed(_EDGES)), Sample(np.array([2.0, 2.0]), 3), Sample((0,), 3),
        Sample((3,), 0, error=(RuntimeError, "torch.histogram(): bins must be > 0, but got 0 for dimension 0")),
        Sample((3,), 3, range=(3.0, 1.0), error=(RuntimeError, "torch.histogramdd: min should not exceed max, but got min 3")),
    ],
)  # fmt: skip
def histogram(input: Tensor, bins: Any = 100, *, range: Any = None, weight: Any = None, density: bool = False) -> Any:
    """Count the elements in bins, or sum their weights.

    Parameters
    ----------
    input : Tensor
        Of any shape, floating point.
    bins : int or Tensor
        Number of equal bins; or the increasing edges of the bins, the last of which has both its own.
    range : tuple of two floats, optional
        The outer edges of equal bins; the smallest and the largest element if not given. Elements outside are not counted.
    weight : Tensor, optional
        What each element counts, of the input's shape and dtype; 1 if not given.
    density : bool
        Divide by the sum of all bins and by the bins' widths: the histogram integrates to 1.

    Returns
    -------
    (hist, bin_edges)
        Named tuple: (bins,) and (bins + 1,), in the input's dtype. The counts are linear in `weight`, and differentiable in it;
        one with respect to the input raises.

    Raises
    ------
    NotImplementedError
        If the input is not float32 or float64.
    RuntimeError
        If there are no bins, the bounds are not finite or not in order, or the weights differ in shape.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.histogram(cr.tensor([1.0, 2.0, 1.0]), 4, range=(0.0, 3.0)).hist
    tensor([0., 2., 1., 0.])
    """
    x = _points(input, "histogram")
    edges = _edges(x.detach().reshape(-1), bins, range, 0)
    return _histogram(
        _counted("histogram", x.reshape(-1, 1), [edges], _weights(weight, x, x.shape), density),
        counted_of(edges, x, name="histogram"),
    )


@public(
    kinds="f", method=False,
    samples=lambda: [
        Sample((6, 2), [3, 2]), Sample((2, 3, 2), 3), Sample((6, 2), [2, 2], range=[-1.0, 1.0, 0.0, 1.0], density=True),
        Sample((4, 1), [3], weight=np.arange(4.0)),
        Sample((3,), 2, error=(RuntimeError, "torch.histogramdd: input tensor should have at least 2 dimensions")),
        Sample((3, 2), [2], error=(RuntimeError, "histogramdd: The size of bins must be equal to the innermost")),
    ],
)  # fmt: skip
def histogramdd(input: Tensor, bins: Any, range: Any = None, weight: Any = None, density: bool = False) -> Any:
    """Count points in bins of several axes, or sum their weights.

    Parameters
    ----------
    input : Tensor (..., D)
        Points of D coordinates, floating point.
    bins : int, sequence of D int, or sequence of D Tensor
        Numbers of equal bins along each axis, or the increasing edges of each.
    range : sequence of 2 D float, optional
        The outer edges of equal bins, the lower and the upper one of each axis in turn; the extreme coordinates if not given.
    weight, density
        As for :func:`histogram`; one weight for each point.

    Returns
    -------
    (hist, bin_edges)
        Named tuple: a tensor of D axes, and a tuple of D tensors.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.histogramdd(cr.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]]), bins=[2, 2]).hist
    tensor([[0., 1.],
            [1., 1.]])
    """
    x = _points(input, "histogramdd")
    if x.ndim < 2:
        raise RuntimeError("torch.histogramdd: input tensor should have at least 2 dimensions")
    n = x.shape[-1]
    each = list(bins) if isinstance(bins, Sequence) else [bins] * n
    if len(each) != n:
        raise RuntimeError(
            f"histogramdd: The size of bins must be equal to the innermost dimension of the input: got {len(each)} bins "
            f"for {n} coordinates"
        )
    if range is not None and len(range) != 2 * n:
        raise RuntimeError(
            f"torch.histogramdd: for a {n}-dimensional histogram range should have {2 * n} elements, but got {len(range)}"
        )
    points = x.reshape(-1, n)
    ranges = [None if range is None else range[2 * k : 2 * k + 2] for k, _ in enumerate(each)]
    edges = [_edges(points[:, k].detach(), b, r, k) for k, (b, r) in enumerate(zip(each, ranges, strict=True))]
    counts = _counted("histogramdd", points, edges, _weights(weight, x, x.shape[:-1]), density)
    return _histogramdd(counts, tuple([counted_of(e, x, name="histogramdd") for e in edges]))


def _points(input: Any, name: str) -> Tensor:
    x = as_tensor(input, name)
    if x.dtype not in (dtypes.float32, dtypes.float64):
        raise NotImplementedError(f"\"histogramdd\" not implemented for '{x.dtype.old_name}'")
    return x


def _weights(weight: Any, x: Tensor, shape: Sequence[int]) -> Tensor | None:
    if weight is None:
        return None
    w = as_tensor(weight, "histogram", 2)
    if w.dtype is not x.dtype:
        raise RuntimeError(
            "torch.histogramdd: if weight tensor is provided, input tensor and weight tensor should have the same dtype, but "
            f"got input({x.dtype.old_name.lower()}), and weight({w.dtype.old_name.lower()})"
        )
    if tuple(w.shape) != tuple(shape):
        raise RuntimeError(
            "torch.histogramdd: if weight tensor is provided it should have the same shape as the input tensor excluding its "
            f"innermost dimension, but got {list(w.shape)} for {list(shape)}"
        )
    return w.reshape(-1)  # type: ignore[attr-defined]


def _edges(x: Tensor, bins: Any, range: Any, axis: int) -> Tensor:
    """Return the edges of the bins of one coordinate."""
    if isinstance(bins, (Tensor, np.ndarray)):
        edges = as_tensor(bins, "histogram", 1)
        if edges.ndim != 1 or not edges.numel():
            raise RuntimeError(
                f"torch.histogramdd: bins tensor should have one dimension, but got {edges.ndim} dimensions in the bins tensor "
                f"for dimension {axis}"
            )
        if edges.dtype is not x.dtype:
            raise RuntimeError(
                "torch.histogramdd: input tensor and bins tensors should have the same dtype, but got input with dtype "
                f"{x.dtype.old_name.lower()} and bins for dimension {axis} with dtype {edges.dtype.old_name.lower()}"
            )
        return edges
    count = int(bins)
    if count <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {count} for dimension {axis}")
    low, high = _bounds(x, range, axis)
    part = as_tensor(np.linspace(0, 1, count + 1).astype(x.dtype.numpy))
    return (1 - part) * low + part * high  # whose ends are the bounds themselves


def _bounds(x: Tensor, range: Any, axis: int) -> tuple[Any, Any]:
    """Return the outer edges, a half around where they are equal."""
    if range is not None:
        low, high = map(float, range)
        if not (isfinite(low) and isfinite(high)):
            raise RuntimeError(f"torch.histogramdd: dimension {axis}'s range [{low:g}, {high:g}] is not finite")
        if low > high:
            raise RuntimeError(
                f"torch.histogramdd: min should not exceed max, but got min {low:g} max {high:g} for dimension {axis}"
            )
        return (low - 0.5, high + 0.5) if low == high else (low, high)
    if not x.numel():
        return 0.0, 1.0
    if not satisfies(x, lambda values: np.isfinite(values).all()):
        values = examined(x)
        low, high = np.min(values), np.max(values)
        raise RuntimeError(f"torch.histogramdd: dimension {axis}'s range [{low:g}, {high:g}] is not finite")
    low, high = amin(x), amax(x)
    flat = cast(low == high, x.dtype) * 0.5  # type: ignore[arg-type]
    return low - flat, high + flat


def _counted(name: str, given: Tensor, edges: list[Tensor], weight: Tensor | None, density: bool) -> Tensor:
    """Return the sums of the weights of points (n, D) in the bins between D sequences of edges."""
    points = given.detach()  # type: ignore[attr-defined]
    sizes = [e.shape[0] - 1 for e in edges]
    place, inside = 0, True
    for k, (e, size) in enumerate(zip(edges, sizes, strict=True)):
        x = points[:, k].contiguous()  # type: ignore[index]
        found = searchsorted(e, x, right=True) - 1
        place = place * size + where(x == e[-1], size - 1, found)  # type: ignore[index, operator]
        inside = (x >= e[0]) & (x <= e[-1]) & inside  # type: ignore[index, operator]
    total = prod(sizes)
    w = np.ones(points.shape[0], points.dtype.numpy) if weight is None else weight
    counts = scatter_add(np.zeros(total + 1, points.dtype.numpy), where(inside, place, total), w, axis=0)
    counts = counted_of(counts[:total].reshape(sizes), given, name=name)
    if not density:
        return counts
    counts = counts / counts.sum()
    for k, (e, size) in enumerate(zip(edges, sizes, strict=True)):
        counts = counts / diff(e).reshape([size if j == k else 1 for j, _ in enumerate(sizes)])
    return counts
