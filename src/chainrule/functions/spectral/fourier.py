"""Discrete Fourier transforms under the names of PyTorch's ``fft``: in one, two and several dimensions.

Sizes, axes and norms are read and checked here; three ops compute (``ops.spectral.fourier``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.core.call.dispatch import as_tensor, cast
from chainrule.core.op.samples import Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.shape import Shape, axis_index
from chainrule.functions.adapt import public
from chainrule.ops.pointwise.complex import conj_view
from chainrule.ops.shaping.shape import constant_pad
from chainrule.ops.spectral import fourier as ops

__all__ = [
    "fft", "fft2", "fftn", "hfft", "hfft2", "hfftn", "ifft", "ifft2", "ifftn",
    "ihfft", "ihfft2", "ihfftn", "irfft", "irfft2", "irfftn", "rfft", "rfft2", "rfftn",
]  # fmt: skip

# What divides a forward and a backward transform.
_NORMS = {"forward": ("n", "none"), "backward": ("none", "n"), "ortho": ("root", "root")}


def _norm(norm: Any, forward: bool, name: str) -> str:
    if norm is None:
        norm = "backward"
    if not isinstance(norm, str):
        raise TypeError(f"fft_{name}(): argument 'norm' must be str, not {type(norm).__name__}")
    if norm not in _NORMS:
        raise RuntimeError(f'Invalid normalization mode: "{norm}"')
    return _NORMS[norm][not forward]


def _points(n: Any, name: str) -> int:
    if not hasattr(n, "__index__"):
        raise TypeError(f"fft_{name}(): argument 'n' must be int, not {type(n).__name__}")
    n = n.__index__()
    if n < 1:
        raise RuntimeError(f"Invalid number of data points ({n}) specified")
    return n


def _taken(input: Any, name: str, *, real: bool = False, complex: bool = False) -> Tensor:
    """Return the input in a dtype that is transformed: integers in the default one, reals made complex if need be."""
    x = as_tensor(input, f"fft_{name}")
    if x.dtype.category < dtypes.FLOAT:
        x = cast(x, dtypes.get_default_dtype())
    if x.dtype.itemsize == 2 and x.dtype.category == dtypes.FLOAT:
        raise RuntimeError(f"Unsupported dtype {x.dtype.old_name}")
    if real and x.dtype.category == dtypes.COMPLEX:
        words = "real" if name in ("rfft", "ihfft") else "real-valued"
        if name.startswith("ihfft") and name != "ihfft":
            raise RuntimeError(f"Only supports floating-point dtypes, but found: {x.dtype.old_name}")
        raise RuntimeError(f"{name} expects a {words} input tensor, but got {x.dtype.old_name}")
    if complex and x.dtype.category != dtypes.COMPLEX:
        x = cast(x, dtypes.complex64 if x.dtype.itemsize == 4 else dtypes.complex128)
    return x


def _resized(x: Tensor, axes: Shape, sizes: Any) -> Tensor:
    """Return the input cut or filled with zeros at the ends of axes, so that it has these sizes there."""
    missing = {axis: n - x.shape[axis] for axis, n in zip(axes, sizes, strict=True)}
    if not any(missing.values()):
        return x
    return constant_pad(x, widths=tuple([(0, missing.get(k, 0)) for k in range(x.ndim)]), value=0)


# -- one axis ----------------------------------------------------------------------------------------------------------


def _one_axis(x: Tensor, n: Any, dim: int, name: str, half: bool = False) -> tuple[Tensor, int, int]:
    """Return the input of the right size, its axis, the number of points; `half` if it is half a spectrum."""
    if not x.ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    axis = axis_index(dim, x.ndim)
    n = _points((2 * (x.shape[axis] - 1) if half else x.shape[axis]) if n is None else n, name)
    return _resized(x, (axis,), (n // 2 + 1 if half else n,)), axis, n


def _forth(input: Any, n: Any, dim: int, norm: Any, name: str, forward: bool) -> Tensor:
    x, axis, _ = _one_axis(_taken(input, name), n, dim, name)
    norm = _norm(norm, forward, name)
    if x.dtype.category == dtypes.COMPLEX:
        return ops.fft_c2c(x, axis=(axis,), norm=norm, forward=forward)
    out = ops.fft_r2c(x, axis=(axis,), norm=norm, half=False)
    return out if forward else conj_view(out)


def _halved(input: Any, n: Any, dim: int, norm: Any, name: str, forward: bool) -> Tensor:
    x, axis, _ = _one_axis(_taken(input, name, real=True), n, dim, name)
    out = ops.fft_r2c(x, axis=(axis,), norm=_norm(norm, forward, name), half=True)
    return out if forward else conj_view(out)


def _to_real(input: Any, n: Any, dim: int, norm: Any, name: str, forward: bool) -> Tensor:
    x, axis, n = _one_axis(_taken(input, name, complex=True), n, dim, name, half=True)
    return ops.fft_c2r(conj_view(x) if forward else x, axis=(axis,), norm=_norm(norm, forward, name), n=n)


# -- several axes ------------------------------------------------------------------------------------------------------


def _several(x: Tensor, s: Any, dim: Any, name: str, half: bool = False) -> tuple[Tensor, Shape, int]:
    """Return the input of the right sizes, its axes, the number of points of the last; `half` if it is half a spectrum."""
    ndim = x.ndim
    s, dim = ((v,) if hasattr(v, "__index__") else v for v in (s, dim))
    if dim is not None:
        if not ndim and len(dim):
            raise IndexError(f"Dimension specified as {dim[0]} but tensor has no dimensions")
        axes = tuple([axis_index(d, ndim) for d in dim])
        if len(set(axes)) != len(axes):
            raise RuntimeError("FFT dims must be unique")
        if s is not None and len(s) != len(axes):
            raise RuntimeError("When given, dim and shape arguments must have the same length")
    elif s is None:
        axes = tuple(range(ndim))
    elif len(s) > ndim:
        raise RuntimeError(f"Got shape with {len(s)} values but input tensor only has {ndim} dimensions.")
    else:
        axes = tuple(range(ndim - len(s), ndim))
    s = [-1] * len(axes) if s is None else s
    wanted = [x.shape[k] if n == -1 else n for k, n in zip(axes, s, strict=True)]
    if axes and half and s[-1] == -1:
        wanted[-1] = 2 * (x.shape[axes[-1]] - 1)
    sizes = [_points(n, name) for n in wanted]
    n = sizes[-1] if sizes else 1
    if axes and half:
        sizes[-1] = n // 2 + 1
    return _resized(x, axes, sizes), axes, n


def _some(axes: Shape, name: str) -> None:
    if not axes:
        raise RuntimeError(f"{name} must transform at least one axis")


def _forth_n(input: Any, s: Any, dim: Any, norm: Any, name: str, forward: bool) -> Tensor:
    x, axes, _ = _several(_taken(input, name, complex=True), s, dim, name)
    norm = _norm(norm, forward, name)
    return ops.fft_c2c(x, axis=axes, norm=norm, forward=forward)


def _halved_n(input: Any, s: Any, dim: Any, norm: Any, name: str, forward: bool) -> Tensor:
    x, axes, _ = _several(_taken(input, name, real=True), s, dim, name)
    _some(axes, name)
    norm = _norm(norm, forward, name)
    if forward:
        return ops.fft_r2c(x, axis=axes, norm=norm, half=True)
    out = conj_view(ops.fft_r2c(x, axis=axes[-1:], norm=norm, half=True))
    return ops.fft_c2c(out, axis=axes[:-1], norm=norm, forward=False) if axes[:-1] else out


def _to_real_n(input: Any, s: Any, dim: Any, norm: Any, name: str, forward: bool) -> Tensor:
    x, axes, n = _several(_taken(input, name, complex=True), s, dim, name, half=True)
    _some(axes, name)
    norm = _norm(norm, forward, name)
    if not forward:
        return ops.fft_c2r(x, axis=axes, norm=norm, n=n)
    if axes[:-1]:
        x = ops.fft_c2c(x, axis=axes[:-1], norm=norm, forward=True)
    return ops.fft_c2r(conj_view(x), axis=axes[-1:], norm=norm, n=n)


# -- the public functions ----------------------------------------------------------------------------------------------

_ABOUT = """{summary}

{note}
Parameters
----------
input : Tensor
    {takes}
{sizes}
norm : {{"backward", "ortho", "forward"}}
    Which direction is divided by the number of points: the inverse (as by default), both by its root, or the other.
out : Tensor, optional
    Where the result is written.

Returns
-------
Tensor
    {gives}

Raises
------
RuntimeError
    If a number of points is below 1, axes repeat, the norm is unknown, or the dtype is not transformed, as half precision.
IndexError
    If an axis does not exist.

Examples
--------
>>> import chainrule as cr
>>> {example}
{shown}
"""
_POINTS = """n : int, optional
    Number of points: the axis is cut or filled with zeros to {}.
dim : int
    The axis."""
_SIZES = """s : tuple of int, optional
    Numbers of points, -1 for as many as there are: axes are cut or filled with zeros, the last to {}.
dim : tuple of int, optional
    The axes; {}."""
# Of each group: the dtypes tried, what it takes, what it makes of n points of the (last) axis, what it gives.
_GROUPS = {
    "": ("ifc", "Real or complex; integers are taken in the default dtype.", "it", "Complex, with all frequencies."),
    "r": ("if", "Real; integers are taken in the default dtype.", "it",
          "Complex: the n // 2 + 1 frequencies of the last axis that are not the conjugates of others."),
    "i": ("ifc", "Half a spectrum: the frequencies that are not given are the conjugates of those that are.", "n // 2 + 1",
          "Real, of n points along the last axis: 2 (m - 1) of m frequencies if n is not given."),
}  # fmt: skip


def _declare(name: str, group: str, forward: bool, summary: str, shown: str) -> Callable:
    """Make the public function of a name: ``(input, n, dim, norm)`` of one axis, ``(input, s, dim, norm)`` of several."""
    kinds, takes, points, gives = _GROUPS[group]
    one, several = {"": (_forth, _forth_n), "r": (_halved, _halved_n), "i": (_to_real, _to_real_n)}[group]
    pair = name[-1] == "2"
    if name[-1] == "t":

        def transform(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
            return one(input, n, dim, norm, name, forward)

        sizes = _POINTS.format(points)
    elif pair:

        def transform(input: Tensor, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Tensor:  # type: ignore[misc]
            return several(input, s, dim, norm, name, forward)

        sizes = _SIZES.format(points, "the last two by default")
    else:

        def transform(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:  # type: ignore[misc]
            return several(input, s, dim, norm, name, forward)

        sizes = _SIZES.format(points, "the last as many as `s` has, or all, by default")
    transform.__name__ = transform.__qualname__ = name
    transform.__doc__ = _ABOUT.format(
        summary=summary, note=_NOTE, takes=takes, sizes=sizes, gives=gives, shown=shown,
        example=f"cr.fft.{name}(cr.tensor({_ROW if name[-1] == 't' else _SQUARE}))")  # fmt: skip
    samples = _samples_of_one if name[-1] == "t" else _samples_of_two if pair else _samples_of_several
    return public(transform, samples=lambda: samples(name, group), kinds=kinds, method=False, out=True, name=f"fft.{name}")


_NOTE = "Its derivative is the transform of the tangent; the adjoint is the transform the other way (Cooley & Tukey 1965).\n"
_ROW, _SQUARE = "[1.0, 2.0, 4.0, 3.0]", "[[1.0, 2.0], [4.0, 3.0]]"
_INVALID = (RuntimeError, "Invalid number of data points (0) specified")


def _samples_of_one(name: str, group: str) -> list[Sample]:
    half = 2 * (group == "i")  # one point is half a spectrum of none
    return [
        Sample((6,)), Sample((5,)), Sample((3, 4), n=6), Sample((5, 4), n=3, dim=0), Sample((3, 4), 4, 1, "ortho"),
        Sample((3, 5), norm="forward"), Sample((2, 1 + half)), Sample((3, 4), n=1), Sample((2, 5), dim=-1, norm="backward"),
        Sample((3,), n=0, error=_INVALID),
        Sample((3,), dim=1, error=(IndexError, "Dimension out of range (expected to be in range of [-1, 0], but got 1)")),
        Sample((3,), norm="other", error=(RuntimeError, 'Invalid normalization mode: "other"')),
        Sample((), error=(IndexError, "Dimension specified as -1 but tensor has no dimensions")),
    ]  # fmt: skip


def _samples_of_two(name: str, group: str) -> list[Sample]:
    return [
        Sample((4, 3)), Sample((2, 3, 4)), Sample((3, 4), s=(2, 5)), Sample((4, 3, 2), s=(3, 4), dim=(0, 1)),
        Sample((3, 4), norm="ortho"), Sample((3, 5), norm="forward"), Sample((3, 4), s=(-1, 3), dim=(1, 0)),
        Sample((3,), error=(IndexError, "Dimension out of range (expected to be in range of [-1, 0], but got -2)")),
        Sample((3, 4), s=(2,), error=(RuntimeError, "When given, dim and shape arguments must have the same length")),
    ]  # fmt: skip


def _samples_of_several(name: str, group: str) -> list[Sample]:
    none = (RuntimeError, f"{name} must transform at least one axis")
    return [
        Sample((4,)), Sample((2, 3, 4)), Sample((2, 3, 4), s=(2, 5)), Sample((2, 3, 4), dim=(0, 2)),
        Sample((4, 3), s=(3, 5), dim=(1, 0), norm="ortho"), Sample((3, 5), norm="forward"),
        Sample((3, 4), s=(2, 0), error=_INVALID),
        Sample((3, 4), s=(2, 2, 2), error=(RuntimeError, "Got shape with 3 values but input tensor only has 2 dimensions.")),
        Sample((3, 4), dim=(0, 0), error=(RuntimeError, "FFT dims must be unique")),
        *([Sample((), error=none), Sample((3, 4), dim=(), error=none)] if group else [Sample(()), Sample((3, 4), dim=())]),
    ]  # fmt: skip


fft = _declare("fft", "", True, "Return the discrete Fourier transform along an axis.",
    "tensor([10.-0.j, -3.+1.j,  0.-0.j, -3.-1.j])")  # fmt: skip
ifft = _declare("ifft", "", False, "Return the inverse discrete Fourier transform along an axis.",
    "tensor([ 2.5000+0.0000j, -0.7500-0.2500j,  0.0000+0.0000j, -0.7500+0.2500j])")  # fmt: skip
rfft = _declare("rfft", "r", True, "Return half of the discrete Fourier transform of real values; it determines the rest.",
    "tensor([10.+0.j, -3.+1.j,  0.+0.j])")  # fmt: skip
irfft = _declare("irfft", "i", False, "Return the real values of which half a spectrum is the :func:`rfft`.",
    "tensor([ 2.6667, -0.6667, -0.3333,  0.3333, -0.3333, -0.6667])")  # fmt: skip
hfft = _declare("hfft", "i", True, "Return the real transform of values that are symmetric, of which one half is given.",
    "tensor([16., -4., -2.,  2., -2., -4.])")  # fmt: skip
ihfft = _declare("ihfft", "r", False, "Return half of the inverse transform of real values; it determines the rest.",
    "tensor([ 2.5000-0.0000j, -0.7500-0.2500j,  0.0000-0.0000j])")  # fmt: skip
fft2 = _declare("fft2", "", True, "Return the discrete Fourier transform over two axes.",
    "tensor([[10.+0.j,  0.+0.j],\n        [-4.+0.j, -2.+0.j]])")  # fmt: skip
ifft2 = _declare("ifft2", "", False, "Return the inverse discrete Fourier transform over two axes.",
    "tensor([[ 2.5000+0.j,  0.0000+0.j],\n        [-1.0000+0.j, -0.5000+0.j]])")  # fmt: skip
rfft2 = _declare("rfft2", "r", True, "Return half of the transform of real values over two axes; it determines the rest.",
    "tensor([[10.+0.j,  0.+0.j],\n        [-4.+0.j, -2.+0.j]])")  # fmt: skip
irfft2 = _declare("irfft2", "i", False, "Return the real values of which half a spectrum is the :func:`rfft2`.",
    "tensor([[ 2.5000,  0.0000],\n        [-1.0000, -0.5000]])")  # fmt: skip
hfft2 = _declare("hfft2", "i", True, "Return the real transform over two axes of symmetric values, given by one half.",
    "tensor([[10.,  0.],\n        [-4., -2.]])")  # fmt: skip
ihfft2 = _declare("ihfft2", "r", False, "Return half of the inverse transform of real values over two axes.",
    "tensor([[ 2.5000-0.j,  0.0000-0.j],\n        [-1.0000+0.j, -0.5000+0.j]])")  # fmt: skip
fftn = _declare("fftn", "", True, "Return the discrete Fourier transform over several axes.",
    "tensor([[10.+0.j,  0.+0.j],\n        [-4.+0.j, -2.+0.j]])")  # fmt: skip
ifftn = _declare("ifftn", "", False, "Return the inverse discrete Fourier transform over several axes.",
    "tensor([[ 2.5000+0.j,  0.0000+0.j],\n        [-1.0000+0.j, -0.5000+0.j]])")  # fmt: skip
rfftn = _declare("rfftn", "r", True, "Return half of the transform of real values over several axes; it determines the rest.",
    "tensor([[10.+0.j,  0.+0.j],\n        [-4.+0.j, -2.+0.j]])")  # fmt: skip
irfftn = _declare("irfftn", "i", False, "Return the real values of which half a spectrum is the :func:`rfftn`.",
    "tensor([[ 2.5000,  0.0000],\n        [-1.0000, -0.5000]])")  # fmt: skip
hfftn = _declare("hfftn", "i", True, "Return the real transform over several axes of symmetric values, given by one half.",
    "tensor([[10.,  0.],\n        [-4., -2.]])")  # fmt: skip
ihfftn = _declare("ihfftn", "r", False, "Return half of the inverse transform of real values over several axes.",
    "tensor([[ 2.5000-0.j,  0.0000-0.j],\n        [-1.0000+0.j, -0.5000+0.j]])")  # fmt: skip
