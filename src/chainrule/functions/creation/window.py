"""Windows: the shapes by which frames of a signal are weighted, under the names that PyTorch has for them at top level.

A window is computed in double precision and then rounded; periodic ones are symmetric ones of one point more, without the last.
The formulas are in F. J. Harris, *On the use of windows for harmonic analysis*, Proc. IEEE 66 (1978), 51.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.op.samples import Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.functions.adapt import public
from chainrule.functions.creation.create import check_device, placed
from chainrule.functions.creation.fill import finished

__all__ = ["bartlett_window", "blackman_window", "hamming_window", "hann_window", "kaiser_window"]

Shape = Callable[[np.ndarray, int], np.ndarray]  # of places 0 … n - 1 and of n - 1


def cosines(*weights: float) -> Shape:
    """Return the window that is a sum of cosines of alternating signs, ``Σ (-1)^k weights[k] cos(2πkj / (n - 1))``."""
    return lambda j, last: sum([(-1) ** k * a * np.cos(2 * math.pi * k * j / last) for k, a in enumerate(weights)])  # type: ignore[return-value]


def triangle(j: np.ndarray, last: int) -> np.ndarray:
    """Return the window that rises and falls linearly."""
    return 1 - np.abs(2 * j / last - 1)


def kaiser_of(beta: float) -> Shape:
    """Return Kaiser's window, ``I₀(β √(1 - (2j/(n-1) - 1)²)) / I₀(β)``, of a shape parameter."""

    def shape(j: np.ndarray, last: int) -> np.ndarray:
        return np.i0(beta * np.sqrt(np.maximum(0, 1 - (2 * j / last - 1) ** 2))) / np.i0(beta)

    return shape


def windowed(shape: Shape, size: int, symmetric: bool, numpy: np.dtype, device: Any, requires_grad: bool) -> Tensor:
    """Return a window of so many points as a tensor."""
    check_device(device)
    if size == 1:
        return finished(np.ones(1, numpy), device, requires_grad)
    values = shape(np.arange(size, dtype=np.float64), size - 1 if symmetric else size)
    return finished(np.asarray(values, np.float64).astype(numpy), device, requires_grad)


def _floating(name: str, dtype: Any) -> np.dtype:
    wanted = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    if wanted.category < dtypes.FLOAT:
        raise RuntimeError(f"{name} expects floating point dtypes, got: TensorOptions(dtype={wanted.name}, device=cpu)")
    if wanted.category > dtypes.FLOAT:
        raise NotImplementedError(f"\"{name}\" not implemented for '{wanted.old_name}'")
    return wanted.numpy


def _window(name: str, shape: Shape, size: int, periodic: bool, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    numpy = _floating(name, dtype)
    if size < 0:
        raise RuntimeError(f"{name} requires non-negative window_length, got window_length={size}")
    return windowed(shape, size, not periodic, numpy, device, requires_grad)


def _samples(name: str, *more: Sample) -> list[Sample]:
    words = f"{name} requires non-negative window_length, got window_length=-1"
    return [
        Sample(5, dtype=dtypes.float64), Sample(4, False, dtype=dtypes.float64), Sample(1), Sample(0), *more,
        Sample(-1, error=(RuntimeError, words)),
        Sample(4, dtype=dtypes.int32, error=(
            RuntimeError, f"{name} expects floating point dtypes, got: TensorOptions(dtype=int")),
    ]  # fmt: skip


@public(method=False, samples=lambda: _samples("hann_window"))
@placed
def hann_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return the Hann window, ``(1 - cos(2πj / (n - 1))) / 2``.

    Parameters
    ----------
    window_length : int
        Number of points; a window of one is 1.
    periodic : bool
        For spectra, without the last point of the symmetric window of one point more; False for filters.
    dtype : dtype, optional
        Floating; the default dtype if not given.
    device : str, optional
        Only ``"cpu"``.
    requires_grad : bool
        Record operations on the result.

    Returns
    -------
    Tensor
        Of shape (window_length,).

    Raises
    ------
    RuntimeError
        If the length is negative, or the dtype no floating one.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.hann_window(4)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    return _window("hann_window", cosines(0.5, 0.5), window_length, periodic, dtype, device, requires_grad)


@public(
    method=False,
    samples=lambda: _samples(
        "hamming_window", *[Sample(5, True, 0.6, 0.3, dtype=dtypes.float64), Sample(5, alpha=0.5, dtype=dtypes.float64)]
    ),
)
@placed
def hamming_window(
    window_length: int,
    periodic: bool = True,
    alpha: float = 0.54,
    beta: float = 0.46,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return the Hamming window, ``alpha - beta cos(2πj / (n - 1))``.

    Parameters
    ----------
    window_length, periodic, dtype, device, requires_grad
        As for :func:`hann_window`.
    alpha, beta : float
        The weights.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.hamming_window(4)
    tensor([0.0800, 0.5400, 1.0000, 0.5400])
    """
    return _window("hamming_window", cosines(alpha, beta), window_length, periodic, dtype, device, requires_grad)


@public(method=False, samples=lambda: _samples("blackman_window"))
@placed
def blackman_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return the Blackman window, ``0.42 - 0.5 cos(2πj / (n - 1)) + 0.08 cos(4πj / (n - 1))``.

    Parameters
    ----------
    window_length, periodic, dtype, device, requires_grad
        As for :func:`hann_window`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.blackman_window(4)[1:]
    tensor([0.3400, 1.0000, 0.3400])
    """
    return _window("blackman_window", cosines(0.42, 0.5, 0.08), window_length, periodic, dtype, device, requires_grad)


@public(method=False, samples=lambda: _samples("bartlett_window"))
@placed
def bartlett_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return Bartlett's window, which rises and falls linearly.

    Parameters
    ----------
    window_length, periodic, dtype, device, requires_grad
        As for :func:`hann_window`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.bartlett_window(4)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    return _window("bartlett_window", triangle, window_length, periodic, dtype, device, requires_grad)


@public(
    method=False,
    samples=lambda: _samples(
        "kaiser_window", *[Sample(5, True, 3.0, dtype=dtypes.float64), Sample(5, beta=0.0, dtype=dtypes.float64)]
    ),
)
@placed
def kaiser_window(
    window_length: int,
    periodic: bool = True,
    beta: float = 12.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return Kaiser's window, ``I₀(β √(1 - (2j/(n-1) - 1)²)) / I₀(β)``.

    Parameters
    ----------
    window_length, periodic, dtype, device, requires_grad
        As for :func:`hann_window`.
    beta : float
        The larger, the narrower.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.kaiser_window(4, beta=3.0)
    tensor([0.2049, 0.7269, 1.0000, 0.7269])
    """
    return _window("kaiser_window", kaiser_of(beta), window_length, periodic, dtype, device, requires_grad)
