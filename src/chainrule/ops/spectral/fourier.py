"""Discrete Fourier transforms over axes: complex to complex, real to complex, half a spectrum to real.

All 18 transforms of ``chainrule.fft`` are one of these three, as in PyTorch. Each is linear over the reals, and its adjoint is
another of them, so that derivatives of every order are transforms again. SciPy computes them: its ``fft`` keeps single
precision and is 1.3 to 5 times faster than NumPy's there; it is loaded when first called.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.op.batching import shift_axes
from chainrule.core.op.declaration import linear
from chainrule.core.op.reach import in_lines
from chainrule.core.op.results import first, like_first, real_of
from chainrule.core.op.samples import Sample
from chainrule.core.types.shape import Shape
from chainrule.ops.pointwise.complex import real

# How a transform is scaled, by its direction, in SciPy's words: not at all, by the root of the number of points, by it.
_NORMS = {
    ("none", True): "backward", ("root", True): "ortho", ("n", True): "forward",
    ("none", False): "forward", ("root", False): "ortho", ("n", False): "backward",
}  # fmt: skip


@functools.cache
def _transform(name: str) -> Callable:
    """Return a function of ``scipy.fft``, which is imported when first needed."""
    from scipy import fft

    return getattr(fft, name)


def _checked(x: Any) -> Any:
    """Return an array of a precision in which SciPy computes; it would widen half precision without a word."""
    if x.dtype.itemsize == 2:
        raise TypeError("Unsupported dtype Half" if x.dtype.kind == "f" else "Unsupported dtype BFloat16")
    return x


def _c2c(x: Any, *, axis: Shape, norm: str, forward: bool) -> Any:
    name = "fft" if forward else "ifft"
    if not axis:
        return _checked(x).copy()
    if len(axis) == 1:  # 2 µs less than SciPy's function of several axes
        return _transform(name)(_checked(x), axis=axis[0], norm=_NORMS[norm, forward])
    return _transform(f"{name}n")(_checked(x), axes=axis, norm=_NORMS[norm, forward])


def _r2c(x: Any, *, axis: Shape, norm: str, half: bool) -> Any:
    name = "rfft" if half else "fft"
    if len(axis) == 1:
        return _transform(name)(_checked(x), axis=axis[0], norm=_NORMS[norm, True])
    return _transform(f"{name}n")(_checked(x), axes=axis, norm=_NORMS[norm, True])


def _c2r(x: Any, *, axis: Shape, norm: str, n: int) -> Any:
    if len(axis) == 1:
        return _transform("irfft")(_checked(x), n, axis=axis[0], norm=_NORMS[norm, False])
    sizes = [x.shape[k] for k in axis[:-1]]
    return _transform("irfftn")(_checked(x), (*sizes, n), axes=axis, norm=_NORMS[norm, False])


def _with_size(shape: Shape, axis: int, n: int) -> Shape:
    return (*shape[:axis], n, *shape[axis + 1 :])


def _complex_of(x: np.dtype) -> np.dtype:
    return np.result_type(x, np.complex64)


def _reweighted(x: Any, axis: int, n: int, weight: float) -> Any:
    """Return half a spectrum of `n` points with each frequency that stands for two times `weight`: all but 0 and n / 2."""
    d = np.dtype(getattr(x.dtype, "numpy", x.dtype))
    weights = np.full(x.shape[axis], weight, real_of(d))
    weights[0] = 1
    if n % 2 == 0:
        weights[-1] = 1
    return x * weights.reshape([-1 if k == axis else 1 for k in range(x.ndim)])


def _from_spectrum(g: Any, x_shape: Shape, axis: Shape, norm: str, half: bool) -> Any:
    """Return the adjoint of a transform of reals: the real part of the inverse sum over the frequencies that it gave."""
    if not half:
        return real(fft_c2c(g, axis=axis, norm=norm, forward=False))
    n = x_shape[axis[-1]]
    return fft_c2r(_reweighted(g, axis[-1], n, 0.5), axis=axis, norm=norm, n=n)


_SHAPES = [
    Sample((5,), axis=(0,), norm="none"), Sample((3, 4), axis=(1,), norm="n"), Sample((4, 3), axis=(0,), norm="root"),
    Sample((2, 3, 4), axis=(0, 2), norm="n"), Sample((3, 4), axis=(1, 0), norm="root"), Sample((2, 1), axis=(1,), norm="none"),
    Sample((0, 3), axis=(1,), norm="none"),
]  # fmt: skip


def _varied(**options: Any) -> list[Sample]:
    """Return the samples with each of the options' values."""
    ((name, values),) = options.items()
    made = []
    for given in _SHAPES:
        made += [Sample(*given.args, **given.params, **{name: value}) for value in values]
    return made


fft_c2c = linear("fft_c2c(x, *, axis, norm, forward)", _c2c, real_linear=True, kinds="c", node="FftC2C",
    shape=first, dtype=like_first,
    reach=in_lines,
    batch=shift_axes,
    x=lambda g, *, axis, norm, forward: fft_c2c(g, axis=axis, norm=norm, forward=not forward),
    doc="Sum ``x[j] exp(∓2πi jk/n)`` along axes; `norm` divides by nothing, by the root of the number of points, or by it.",
    samples=lambda: [*_varied(forward=(True, False)), Sample((2, 3), axis=(), norm="n", forward=True)])  # fmt: skip

fft_r2c = linear("fft_r2c(x, *, axis, norm, half)", _r2c, real_linear=True, kinds="f", node="FftR2C",
    shape=lambda x, *, axis, half: _with_size(x, axis[-1], x[axis[-1]] // 2 + 1) if half else x,
    dtype=_complex_of,
    reach=in_lines,
    batch=shift_axes,
    x=lambda g, x_shape, *, axis, norm, half: _from_spectrum(g, x_shape, axis, norm, half),
    doc="The forward transform of real values; if `half`, without the frequencies of the last axis that symmetry gives.",
    samples=lambda: _varied(half=(True, False)))  # fmt: skip

fft_c2r = linear("fft_c2r(x, *, axis, norm, n)", _c2r, real_linear=True, kinds="c", node="FftC2R",
    shape=lambda x, *, axis, n: _with_size(x, axis[-1], n), dtype=real_of,
    reach=in_lines,
    batch=shift_axes,
    x=lambda g, *, axis, norm, n: _reweighted(fft_r2c(g, axis=axis, norm=norm, half=True), axis[-1], n, 2),
    doc="The inverse transform of half a spectrum, whose last axis is to have `n` points. The imaginary parts of frequencies 0"
        " and n / 2 of the last axis do not matter.",
    samples=lambda: [
        Sample((3,), axis=(0,), norm="none", n=4), Sample((3,), axis=(0,), norm="n", n=5),
        Sample((2, 3), axis=(1,), norm="root", n=4),
        Sample((3, 2, 3), axis=(0, 2), norm="n", n=5), Sample((3, 4), axis=(1, 0), norm="none", n=4),
        Sample((2, 1), axis=(1,), norm="none", n=1), Sample((0, 3), axis=(1,), norm="none", n=4),
    ])  # fmt: skip
