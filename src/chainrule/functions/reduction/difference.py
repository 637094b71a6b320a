"""Differences, slopes and integrals of samples along an axis, under PyTorch's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.call.dispatch import as_tensor, cast, common_dtype
from chainrule.core.op.samples import Bools, Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.shape import axis_index, sizes
from chainrule.functions.adapt import public
from chainrule.ops.indexing.view import getitem
from chainrule.ops.reduction import scan as ops
from chainrule.ops.reduction.reduce import sum as sum_over
from chainrule.ops.shaping.join import cat
from chainrule.ops.shaping.shape import clone, reshape

__all__ = ["cumulative_trapezoid", "diff", "gradient", "trapezoid", "trapz"]


def part(x: Tensor, axis: int, start: int | None, stop: int | None) -> Tensor:
    """Return a slice along one axis."""
    return getitem(x, index=(*(slice(None),) * axis, slice(start, stop), ...))


@public(out=True,
    kinds="bifc",
    samples=lambda: [
        Sample((5,)), Sample((3, 4), n=2), Sample((3, 4), dim=0), Sample((2,), n=3), Sample((3,), n=0), Sample((3, 4),
        prepend=np.zeros((3, 1))),
        Sample((3, 4), 1, 0, np.ones((2, 4)), np.zeros((1, 4))),
        Sample((), error=(RuntimeError, "diff expects input to be at least one-dimensional")),
        Sample((3,), n=-1, error=(RuntimeError, "order must be non-negative but got -1")),
    ],
)  # fmt: skip
def diff(input: Tensor, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Tensor:
    """Return the `n`-th differences of neighbours along an axis.

    Parameters
    ----------
    input : Tensor
        Of at least one axis and any dtype; of bools, whether neighbours differ.
    n : int
        How often to take differences.
    dim : int
        The axis.
    prepend, append : Tensor, optional
        Joined to the input along the axis first.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.diff(cr.tensor([1.0, 4.0, 9.0]))
    tensor([3., 5.])
    """
    x = as_tensor(input, "diff")
    if not x.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    axis = axis_index(dim, x.ndim)
    if not n:  # nothing is joined either
        return clone(x)
    if prepend is not None or append is not None:
        parts = [as_tensor(p, "diff", i) for i, p in enumerate((prepend, x, append)) if p is not None]
        d = common_dtype(parts)
        x = cat(*[cast(p, d) for p in parts], axis=axis)
    for _ in range(n):
        if not x.shape[axis]:
            break
        x = ops.difference(x, axis=axis)
    return x


def _coordinates(spacing: Any, axes: list[int], given: bool, x: Tensor) -> list:
    """Return for each axis a step or a 1-D tensor of coordinates."""
    many = isinstance(spacing, (list, tuple))
    if not many:
        if isinstance(spacing, Tensor) and spacing.ndim == 1:
            return [spacing]
        return [spacing] * len(axes)
    if len(spacing) != len(axes):
        expected = "dim.size() = " if given else "self.dim() = "
        why = "" if given else ", since dim argument was not given,"
        raise RuntimeError(
            f"torch.gradient expected spacing to be unspecified, a scalar, or a list of length equal to '{expected}{len(axes)}'"
            f"{why} but got a list of length {len(spacing)}"
        )
    return list(spacing)


def _along(h: Tensor, axis: int, ndim: int) -> Tensor:
    return reshape(h, shape=tuple(h.shape[0] if i == axis else 1 for i in range(ndim)))


def _slope(x: Tensor, axis: int, h: Any, edge_order: int) -> Tensor:
    def at(start: int | None, stop: int | None) -> Tensor:
        return part(x, axis, start, stop)

    if isinstance(h, Tensor) and h.ndim:
        step = ops.difference(h, axis=0)
        lo, hi = _along(part(step, 0, None, -1), axis, x.ndim), _along(part(step, 0, 1, None), axis, x.ndim)
        inside = (
            at(None, -2) * (-hi / (lo * (lo + hi)))
            + at(1, -1) * ((hi - lo) / (lo * hi))
            + at(2, None) * (lo / (hi * (lo + hi)))
        )
        first, last = [part(_along(step, axis, x.ndim), axis, *ends) for ends in ((0, 1), (-1, None))]
        second, next_to_last = [part(_along(step, axis, x.ndim), axis, *ends) for ends in ((1, 2), (-2, -1))]
    else:
        inside = (at(2, None) - at(None, -2)) / (2 * h)
        first = last = second = next_to_last = h
    if edge_order == 1:
        head, tail = (at(1, 2) - at(0, 1)) / first, (at(-1, None) - at(-2, -1)) / last
    else:
        head = _edge(at(0, 1), at(1, 2), at(2, 3), first, second)
        tail = -_edge(at(-1, None), at(-2, -1), at(-3, -2), last, next_to_last)
    return cat(head, inside, tail, axis=axis)


def _edge(y0: Tensor, y1: Tensor, y2: Tensor, a: Any, b: Any) -> Tensor:
    """Return the slope at y0 of the parabola through three points, `a` and then `b` apart."""
    return y0 * (-(2 * a + b) / (a * (a + b))) + y1 * ((a + b) / (a * b)) + y2 * (-a / (b * (a + b)))


@public(
    kinds="ifc", method=False,
    samples=lambda: [
        Sample((5,)), Sample((3, 4)), Sample((3, 4), dim=1), Sample((3, 4), dim=(0, 1), spacing=2.0), Sample((3, 4),
        spacing=(2.0, 0.5)),
        Sample((5,), edge_order=2), Sample((3, 4), edge_order=2, dim=0, spacing=0.5),
        Sample((1,), error=(RuntimeError, "torch.gradient expected each dimension size to be at least edge_order+1")),
        Sample((5,), edge_order=3, error=(RuntimeError, "torch.gradient only supports edge_order=1 and edge_order=2.")),
    ],
)  # fmt: skip
def gradient(input: Tensor, *, spacing: Any = None, dim: Any = None, edge_order: int = 1) -> tuple:
    """Estimate the derivative of sampled values along axes by second-order differences.

    Parameters
    ----------
    input : Tensor
        Of any dtype; integers become the default dtype.
    spacing : number, Tensor, or list of either
        Distance of samples, 1 by default; or their coordinates as one 1-D tensor for each axis.
    dim : int or tuple of int, optional
        The axes; all by default.
    edge_order : int
        Order of the differences at the ends: 1 or 2.

    Returns
    -------
    tuple of Tensor
        One for each axis, of the input's shape.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.gradient(cr.tensor([1.0, 4.0, 9.0, 16.0]))
    (tensor([3., 4., 6., 7.]),)
    """
    x = as_tensor(input, "gradient")
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    if x.dtype.category == dtypes.BOOL:
        raise RuntimeError("Subtraction, the `-` operator, with two bool tensors is not supported.")
    if x.dtype.category < dtypes.FLOAT:
        x = cast(x, dtypes.get_default_dtype())
    given = dim is not None
    axes = list(range(x.ndim)) if not given else [axis_index(d, x.ndim) for d in sizes((dim,))]
    for axis in axes:
        if axes.count(axis) > 1:
            raise RuntimeError(f"dim {axis} appears multiple times in the list of dims")
    steps = _coordinates(1 if spacing is None else spacing, axes, given, x)
    for axis in axes:
        if x.shape[axis] < edge_order + 1:
            raise RuntimeError("torch.gradient expected each dimension size to be at least edge_order+1")
    made = []
    for axis, step in zip(axes, steps, strict=True):
        h = as_tensor(step) if isinstance(step, (Tensor, np.ndarray)) else step
        if isinstance(h, Tensor) and h.ndim and h.shape[0] != x.shape[axis]:
            raise RuntimeError("torch.gradient expected each element of spacing to have the size of its dimension of input")
        made.append(_slope(x, axis, h, edge_order))
    return tuple(made)


# -- integrals ---------------------------------------------------------------------------------------------------------


def _no_axis(name: str, dim: int) -> str:
    if name == "trapezoid":
        return f"Dimension specified as {dim} but tensor has no dimensions"
    return "slice() cannot be applied to a 0-dim tensor."


def _strips(name: str, y: Any, x: Any, dx: Any, dim: int) -> tuple[Tensor, int]:
    """Return twice the areas of the strips between neighbours, and the axis."""
    y = as_tensor(y, name)
    if y.dtype.category == dtypes.BOOL:
        raise RuntimeError(f"{name}: received a bool input for `y`, but bool is not supported")
    if not y.ndim:
        raise IndexError(_no_axis(name, dim))
    axis = axis_index(dim, y.ndim)
    if x is None:
        step = 1 if dx is None else dx
    else:
        if dx is not None:
            raise TypeError(f"{name}() received both coordinates `x` and a step `dx`; give one")
        x = as_tensor(x, name, 1)
        if x.dtype.category == dtypes.BOOL:
            raise RuntimeError(f"{name}: received a bool input for `x`, but bool is not supported")
        of = axis if x.ndim == y.ndim else axis_index(dim, x.ndim) if x.ndim > 1 else 0
        if x.shape[of] != y.shape[axis]:
            raise RuntimeError(f"{name}: There must be one `x` value for each sample point")
        step = ops.difference(x, axis=of)
        if x.ndim == 1 and y.ndim > 1:
            step = _along(step, axis, y.ndim)
    if not y.shape[axis]:
        return y, axis
    pairs = part(y, axis, None, -1) + part(y, axis, 1, None)
    return pairs * step if isinstance(step, Tensor) or step != 1 else pairs, axis


def _half(x: Tensor) -> Tensor:
    return x * 0.5 if x.dtype.category >= dtypes.FLOAT else x / 2


def _integral_samples(name: str) -> list[Sample]:
    return [
        Sample((5,)), Sample((3, 4), dim=0), Sample((3, 4), dx=0.5), Sample((4,), (4,)), Sample((3, 4), (4,)),
        Sample((3, 4), (3, 4)), Sample((1,)),
        Sample((2,), (3,), error=(RuntimeError, f"{name}: There must be one `x` value for each sample point")),
        Sample((), error=(IndexError, _no_axis(name, -1))),
        Sample(Bools((3,)), error=(RuntimeError, f"{name}: received a bool input for `y`, but bool is not supported")),
    ]  # fmt: skip


@public(kinds="ifc", method=False, samples=lambda: _integral_samples("trapezoid"))
def trapezoid(y: Tensor, x: Any = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """Return the integral of sampled values along an axis by the trapezoidal rule.

    Parameters
    ----------
    y : Tensor
        Values, of at least one axis.
    x : Tensor, optional
        Coordinates: one for each sample along the axis, or of the shape of `y`.
    dx : number, optional
        Distance of samples where no coordinates are given; 1 by default.
    dim : int
        The axis.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.trapezoid(cr.tensor([1.0, 2.0, 3.0]))
    tensor(4.)
    """
    strips, axis = _strips("trapezoid", y, x, dx, dim)
    return _half(sum_over(strips, axis=(axis,), keepdims=False))


@public(kinds="ifc", method=False, samples=lambda: _integral_samples("trapezoid"))
def trapz(y: Tensor, x: Any = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """Return the integral of sampled values; the older name of :func:`trapezoid`.

    Parameters
    ----------
    y, x, dx, dim
        As for :func:`trapezoid`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.trapz(cr.tensor([1.0, 2.0, 3.0]), dx=0.5)
    tensor(2.)
    """
    return trapezoid(y, x, dx=dx, dim=dim)


@public(kinds="ifc", method=False, samples=lambda: _integral_samples("cumulative_trapezoid"))
def cumulative_trapezoid(y: Tensor, x: Any = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """Return the running integral of sampled values along an axis by the trapezoidal rule.

    Parameters
    ----------
    y, x, dx, dim
        As for :func:`trapezoid`.

    Returns
    -------
    Tensor
        One element fewer along the axis than `y`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.cumulative_trapezoid(cr.tensor([1.0, 2.0, 3.0]))
    tensor([1.5000, 4.0000])
    """
    strips, axis = _strips("cumulative_trapezoid", y, x, dx, dim)
    return ops.cumsum(_half(strips), axis=axis, reverse=False)
