"""Sampling at the positions of a grid, a composition that has every derivative: a part of `chainrule.nn.functional`."""

from __future__ import annotations

import itertools
import warnings
from math import prod
from typing import Any

import numpy as np

from chainrule.core.call.asking import asks
from chainrule.core.call.dispatch import as_tensor
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.types.dtype import int64
from chainrule.ops.indexing.select import where
from chainrule.ops.nn.interpolation import cubic_weights
from chainrule.ops.nn.pool import pick
from chainrule.ops.pointwise.rounding import floor
from chainrule.ops.shaping.shape import broadcast_to, reshape

__all__ = ["affine_grid", "grid_sample"]

_CHANGED = (
    "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. Please specify "
    "align_corners=True if the old behavior is desired. See the documentation of grid_sample for details."
)

# -- positions ---------------------------------------------------------------------------------------------------------


def _limited(at: Any, n: int) -> Any:
    """Return positions limited to the elements: constant from the first and the last on, as PyTorch's derivative has it."""
    return where(at > 0, where(at < n - 1, at, n - 1.0), 0.0)


def _mirrored(at: Any, n: int, aligned: bool) -> Any:
    """Return positions mirrored at the ends until they lie between them: at the elements' centers, or at their edges."""
    low, span = (0.0, n - 1.0) if aligned else (-0.5, float(n))
    if span <= 0:
        return at * 0
    off = at - low
    off = where(off < 0, -off, off)
    turns = floor(off / span)
    rest = off - turns * span
    return low + where(turns % 2 == 0, rest, span - rest)


def _confined(at: Any, n: int, padding: str, aligned: bool) -> Any:
    if padding == "zeros":
        return at
    return _limited(_mirrored(at, n, aligned) if padding == "reflection" else at, n)


def _positions(grid: Tensor, axis: int, n: int, aligned: bool) -> Any:
    """Return positions along an axis, counted in elements, from numbers between -1 and 1."""
    at = grid[..., axis]
    return (at + 1) * ((n - 1) / 2) if aligned else ((at + 1) * n - 1) / 2


# -- sums over the elements around -------------------------------------------------------------------------------------


def _elements(places: list, space: list[int]) -> tuple[Any, Any]:
    """Return flat places of elements, 0 for those outside, and which are inside."""
    flat, inside = 0, True
    for place, n in zip(places, space, strict=True):
        flat, inside = flat * n + place, (place >= 0) & (place <= n - 1) & inside
    return where(inside, flat, 0).to(int64), inside


def _sampled(x: Tensor, choices: list[list[tuple]]) -> Tensor:
    """Return the weighted sum of elements: along each axis a choice of (places, weights)."""
    examples, channels, *space = x.shape
    rows, out = reshape(x, shape=(examples, channels, prod(space))), None
    for corner in itertools.product(*choices):
        flat, inside = _elements([place for place, _ in corner], space)
        weight: Any = None
        for _, w in corner:
            weight = w if weight is None else weight * w
        shape = (examples, channels, prod(flat.shape[1:]))
        flat = broadcast_to(reshape(flat, shape=(examples, 1, shape[2])), shape=shape)
        weight = reshape(where(inside, weight, 0.0), shape=(examples, 1, shape[2]))
        term = pick(rows, flat, space=1) * weight
        out = term if out is None else out + term
    return out  # type: ignore[return-value]


def _choices(at: Any, n: int, mode: str, padding: str, aligned: bool) -> list[tuple]:
    """Return the elements around positions along an axis, and their weights."""
    if mode == "bicubic":
        low = floor(at)
        weights = cubic_weights(at - low, -0.75)
        return [(floor(_confined(low + k, n, padding, aligned) + 0.5), w) for k, w in zip((-1, 0, 1, 2), weights, strict=True)]
    at = _confined(at, n, padding, aligned)
    if mode == "nearest":
        near = at.round()
        return [(near, 1 + (near - near.detach()))]  # the weight is 1, and its derivative 0 instead of none
    low = floor(at)
    return [(low, 1 - (at - low)), (low + 1, at - low)]


# -- public ------------------------------------------------------------------------------------------------------------


def _check(x: Tensor, grid: Tensor, mode: str) -> None:
    given = f"but got input with sizes {list(x.shape)} and grid with sizes {list(grid.shape)}"
    if x.shape[0] != grid.shape[0]:
        raise RuntimeError(f"grid_sampler(): expected grid and input to have same batch size, {given}")
    space = x.ndim - 2
    if grid.shape[-1] != space:
        raise RuntimeError(
            f"grid_sampler(): expected grid to have size {space} in last dimension, but got grid with sizes {list(grid.shape)}"
        )
    if space not in (2, 3) or grid.ndim != x.ndim:
        raise RuntimeError(
            f"grid_sampler(): expected {4 if space not in (2, 3) else x.ndim}D input and grid with same number of dimensions, "
            f"{given}"
        )
    for axis, n in enumerate(x.shape[2:], 2):
        if n == 0:
            raise RuntimeError(
                f"grid_sampler(): expected input to have non-empty spatial dimensions, but input has sizes {list(x.shape)} "
                f"with dimension {axis} being empty"
            )
    if mode == "bicubic" and space == 3:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    if x.dtype is not grid.dtype:
        raise RuntimeError(f"expected scalar type {x.dtype.old_name} but found {grid.dtype.old_name}")
    if x.dtype.numpy.kind not in "fV":
        raise NotImplementedError(f"\"grid_sampler_{space}d_cpu_kernel_impl\" not implemented for '{x.dtype.old_name}'")


@asks
def grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Tensor:
    """Return (examples, channels, *space) sampled at positions between its elements (arXiv 1506.02025).

    Parameters
    ----------
    input : Tensor
        With two or three axes of space.
    grid : Tensor
        Of shape (examples, *out, 2 or 3): positions along width, height and depth, from -1 at the first end to 1 at the last.
    mode : {"bilinear", "nearest", "bicubic"}
        How to interpolate; bilinear means trilinear over three axes, bicubic is for two.
    padding_mode : {"zeros", "border", "reflection"}
        What lies outside.
    align_corners : bool, optional
        Let ends be the centers of the first and last elements, instead of their edges, as by default.

    Returns
    -------
    Tensor
        Of shape (examples, channels, *out). Derivatives of any order in both inputs; at kinks those of PyTorch.

    Raises
    ------
    ValueError
        For another mode.
    RuntimeError
        If shapes or dtypes do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([[[[1.0, 3.0]]]])
    >>> cr.nn.functional.grid_sample(x, cr.tensor([[[[0.0, 0.0], [1.0, 0.0]]]]), align_corners=True)
    tensor([[[[2., 3.]]]])
    """
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(
            f"nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: {mode!r}"
        )
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', but got: "
            f"{padding_mode!r}"
        )
    if align_corners is None:
        warnings.warn(_CHANGED, stacklevel=2)
    x, at = as_tensor(input, "grid_sampler"), as_tensor(grid, "grid_sampler", 1)
    _check(x, at, mode)
    if x.dtype.itemsize == 2:
        return grid_sample(x.float(), at.float(), mode, padding_mode, bool(align_corners)).to(x.dtype)  # type: ignore[attr-defined]
    space = [*x.shape[2:]]
    choices = []
    for axis, n in enumerate(space):
        along = _positions(at, len(space) - 1 - axis, n, bool(align_corners))
        choices.append(_choices(along, n, mode, padding_mode, bool(align_corners)))
    out = _sampled(x, choices)
    return reshape(out, shape=(*x.shape[:2], *at.shape[1:-1]))


def _steps(n: int, aligned: bool, d: Any) -> np.ndarray:
    if n <= 1:
        return np.zeros(n, d)
    steps = np.linspace(-1, 1, n, dtype=d)
    return steps if aligned else steps * d.type((n - 1) / n)


@asks
def affine_grid(theta: Tensor, size: Any, align_corners: bool | None = None) -> Tensor:
    """Return the positions, for `grid_sample`, at which affine maps take the elements of an array of some size.

    Parameters
    ----------
    theta : Tensor
        Of shape (examples, 2, 3) or (examples, 3, 4): matrices and, in the last column, shifts.
    size : sequence of int
        Of the array: (examples, channels, *space).
    align_corners : bool, optional
        As of `grid_sample`.

    Raises
    ------
    ValueError
        If `theta` is not floating point, or of another shape.
    NotImplementedError
        If the size is not of two or three axes of space.

    Examples
    --------
    >>> import chainrule as cr
    >>> theta = cr.tensor([[[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]]])
    >>> cr.nn.functional.affine_grid(theta, (1, 1, 1, 2), align_corners=True).tolist()
    [[[[-0.5, 0.0], [1.5, 0.0]]]]
    """
    if align_corners is None:
        warnings.warn(_CHANGED, stacklevel=2)
    x, size = as_tensor(theta, "affine_grid_generator"), tuple(map(int, size))
    if not x.is_floating_point():
        raise ValueError(f"Expected theta to have floating point type, but got {x.dtype}")
    if len(size) not in (4, 5):
        raise NotImplementedError(
            f"affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively. Got size {size}."
        )
    space = len(size) - 2
    if x.ndim != 3 or tuple(x.shape[-2:]) != (space, space + 1):
        raise ValueError(
            f"Expected a batch of {space}D affine matrices of shape Nx{space}x{space + 1} for size {size}. Got {x.shape}."
        )
    if min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    d = np.dtype(np.float32) if x.dtype.itemsize == 2 else x.dtype.numpy
    axes = np.meshgrid(*[_steps(n, bool(align_corners), d) for n in size[2:]], indexing="ij")
    base = np.stack([*axes[::-1], np.ones_like(axes[0])], axis=-1).reshape(1, -1, space + 1)
    points = wrap(base.astype(x.dtype.numpy)).expand(size[0], -1, -1)  # type: ignore[attr-defined]
    return reshape(points.bmm(x.transpose(1, 2)), shape=(size[0], *size[2:], space))
