"""Interpolation to other sizes: a part of `chainrule.nn.functional`."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from chainrule.core.call.asking import asks
from chainrule.core.call.dispatch import as_tensor
from chainrule.core.tensor.tensor import Tensor
from chainrule.functions.nn.pooling import adaptive_avg_pool, refuse
from chainrule.ops.nn.resample import resample

__all__ = ["interpolate", "upsample", "upsample_bilinear", "upsample_nearest"]

_SPACE = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3, "lanczos": 2}
_MODES = "nearest | linear | bilinear | bicubic | trilinear | lanczos | area | nearest-exact"
_FORMS = {"nearest": "Nearest", "nearest-exact": "NearestExact"}


def _sizes(x: Tensor, size: Any, factor: Any, again: Any, mode: str) -> tuple[list[int], list[float] | None]:
    """Return the sizes of the result, and the factors that decide where its elements lie, if given ones do."""
    space = [*x.shape[2:]]
    if size is not None and factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is None and factor is None:
        raise ValueError("either size or scale_factor should be defined")
    wanted, name = (size, "output size of") if factor is None else (factor, "scale_factor of shape")
    if isinstance(wanted, (tuple, list)) and len(wanted) != len(space):
        short = "output" if factor is None else "scale_factor"
        raise ValueError(
            f"Input and {short} must have the same number of spatial dimensions, but got input with spatial dimensions of "
            f"{space} and {name} {wanted}. Please provide input tensor in (N, C, d1, d2, ...,dK) format and "
            f"{'output size in (o1, o2, ...,oK)' if factor is None else 'scale_factor in (s1, s2, ...,sK)'} format."
        )
    wanted = list(wanted) if isinstance(wanted, (tuple, list)) else [wanted] * len(space)
    if factor is None:
        if not all([hasattr(n, "__index__") for n in wanted]):
            raise TypeError(
                f"expected size to be one of int or Tuple[int] or Tuple[int, int] or Tuple[int, int, int], but got {size}"
            )
        if again:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
        return [int(n) for n in wanted], None
    sizes = [math.floor(float(n) * float(s)) for n, s in zip(space, wanted, strict=True)]
    return sizes, None if again or mode == "area" else [float(s) for s in wanted]


def _scale(n: int, m: int, factor: float | None, aligned: bool, d: type) -> float:
    """Return how many elements apart two results are, in the precision in which PyTorch computes it."""
    if aligned:
        return float(d(n - 1) / d(m - 1)) if m > 1 else 0.0
    return float(d(1 / factor)) if factor is not None and factor > 0 else float(d(n) / d(m))


def _recipe(n: int, m: int, factor: float | None, mode: str, aligned: bool, smooth: bool, precise: bool) -> tuple:
    """Return the recipe of the map along one axis."""
    d = np.float64 if precise else np.float32
    if mode in _FORMS:
        return ("nearest", n, m, _scale(n, m, factor, False, np.float32), mode != "nearest")
    scale, kind = _scale(n, m, factor, aligned, d), "cubic" if mode == "bicubic" else "linear"
    if smooth:
        return (f"smooth {mode if mode == 'lanczos' else kind}", n, m, scale, precise)
    return (kind, n, m, scale, aligned, precise)


@asks
def interpolate(
    input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None, antialias: bool = False,
) -> Tensor:  # fmt: skip
    """Return (examples, channels, *space) interpolated to another size of space.

    Parameters
    ----------
    input : Tensor
        With one to three axes of space; floating point, or uint8 for some modes.
    size : int or tuple of ints, optional
        Of the result's space.
    scale_factor : float or tuple of floats, optional
        By what to multiply the size, rounded down; one of the two must be given.
    mode : str
        ``"nearest"`` (as OpenCV's, off by half an element), ``"nearest-exact"``, ``"linear"``, ``"bilinear"``, ``"trilinear"``,
        ``"bicubic"`` (Keys 1981, a = -3/4), ``"lanczos"``, or ``"area"`` for means of windows.
    align_corners : bool, optional
        Let the centers of the first and last elements be those of the results, instead of their edges.
    recompute_scale_factor : bool, optional
        Let the rounded size decide where elements lie, instead of `scale_factor`.
    antialias : bool
        Widen the filter where the result is smaller; of two axes, in modes bilinear and bicubic (a = -1/2).

    Raises
    ------
    ValueError
        If sizes are missing or too many, or an option does not go with the mode.
    NotImplementedError
        If the mode is not one of that number of axes.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([[[1.0, 2.0]]])
    >>> cr.nn.functional.interpolate(x, scale_factor=2, mode="linear")
    tensor([[[1.0000, 1.2500, 1.7500, 2.0000]]])
    """
    x = as_tensor(input, "interpolate")
    if mode in ("nearest", "area", "nearest-exact") and align_corners is not None:
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear"
        )
    space = x.ndim - 2
    sizes, factors = _sizes(x, size, scale_factor, recompute_scale_factor, mode)
    if antialias and not (mode in ("bilinear", "bicubic", "lanczos") and space == 2):
        raise ValueError(
            "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D tensor as input"
        )
    wanted = _SPACE.get(mode, space)
    if space in (1, 2, 3) and wanted != space and mode in ("linear", "bilinear", "trilinear"):
        raise NotImplementedError(f"Got {x.ndim}D input, but {mode} mode needs {wanted + 2}D input")
    if space not in (1, 2, 3) or wanted != space or mode not in (*_SPACE, *_FORMS, "area"):
        raise NotImplementedError(
            f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {x.ndim}D) for the modes: {_MODES} (got {mode})"
        )
    if mode == "lanczos" and not antialias:
        raise ValueError("Lanczos mode requires antialias=True")
    if mode == "area":
        return adaptive_avg_pool(x, sizes, space)
    return _interpolated(x, sizes, factors, mode, bool(align_corners), antialias)


def _interpolated(x: Tensor, sizes: list, factors: list | None, mode: str, aligned: bool, smooth: bool) -> Tensor:
    space = x.ndim - 2
    given, axes = [*x.shape[2:]], "DHW"[-space:]
    if min(*given, *sizes) <= 0:
        shown = [", ".join([f"{a}: {n}" for a, n in zip(axes, v, strict=True)]) for v in (given, sizes)]
        raise RuntimeError(f"Input and output sizes should be greater than 0, but got input ({shown[0]}) output ({shown[1]})")
    if x.shape[1] == 0:
        raise RuntimeError(f"Non-empty {x.ndim}D data tensor expected but got a tensor with sizes {list(x.shape)}")
    is_byte = x.dtype.name == "uint8"
    if not (is_byte and (mode in _FORMS or space == 2)):
        refuse(x, "f", f"upsample_{mode}{space}d")
    values = x.double() if is_byte and mode not in _FORMS else x  # type: ignore[attr-defined]
    maps = tuple([
        _recipe(n, m, None if factors is None else factors[i], mode, aligned, smooth, values.dtype.name == "float64")
        for i, (n, m) in enumerate(zip(given, sizes, strict=True))
    ])  # fmt: skip
    form = f"Upsample{_FORMS.get(mode) or mode.capitalize()}{space}D" + ("Aa" if smooth else "")
    out = resample(values, maps=maps, transposed=False, form=form)
    return out if values is x else out.round().clamp(0, 255).to(x.dtype)  # type: ignore[attr-defined]


@asks
def upsample(
    input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None
) -> Tensor:
    """Return what `interpolate` does; an older name of it, which warns.

    Examples
    --------
    >>> import chainrule as cr, warnings
    >>> with warnings.catch_warnings(action="ignore"):
    ...     cr.nn.functional.upsample(cr.ones(1, 1, 2), scale_factor=2)
    tensor([[[1., 1., 1., 1.]]])
    """
    warnings.warn("`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, mode, align_corners)


@asks
def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """Return what `interpolate` does with mode "nearest"; an older name of it, which warns.

    Examples
    --------
    >>> import chainrule as cr, warnings
    >>> with warnings.catch_warnings(action="ignore"):
    ...     cr.nn.functional.upsample_nearest(cr.ones(1, 1, 2), scale_factor=2)
    tensor([[[1., 1., 1., 1.]]])
    """
    warnings.warn("`nn.functional.upsample_nearest` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, "nearest")


@asks
def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """Return what `interpolate` does with mode "bilinear" and aligned corners; an older name of it, which warns.

    Examples
    --------
    >>> import chainrule as cr, warnings
    >>> with warnings.catch_warnings(action="ignore"):
    ...     cr.nn.functional.upsample_bilinear(cr.tensor([[[[1.0, 3.0]]]]), size=(1, 3))
    tensor([[[[1., 2., 3.]]]])
    """
    warnings.warn("`nn.functional.upsample_bilinear` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, "bilinear", True)
