"""Windows under the names of PyTorch's ``signal.windows``: symmetric unless asked for periodic ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from chainrule.core.op.samples import Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.functions.adapt import public
from chainrule.functions.creation.create import placed
from chainrule.functions.creation.window import Shape, cosines, kaiser_of, triangle, windowed

__all__ = [
    "bartlett", "blackman", "cosine", "exponential", "gaussian", "general_cosine", "general_hamming", "hamming", "hann",
    "kaiser", "nuttall",
]  # fmt: skip


def _window(name: str, shape: Shape, size: int, sym: bool, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    wanted = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    if size < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={size}")
    if wanted not in (dtypes.float32, dtypes.float64):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {wanted}")
    return windowed(shape, size, sym, wanted.numpy, device, requires_grad)


def _samples(name: str, *more: Sample) -> Callable[[], list[Sample]]:
    return lambda: [
        Sample(5, dtype=dtypes.float64), Sample(4, sym=False, dtype=dtypes.float64), Sample(1), Sample(0), *more,
        Sample(-1, error=(ValueError, f"{name} requires non-negative window length, got M=-1")),
        Sample(4, dtype=dtypes.int32, error=(ValueError, f"{name} expects float32 or float64 dtypes, got: ")),
    ]  # fmt: skip


def _weights(a: Any) -> list[float]:
    if not isinstance(a, Iterable):
        raise TypeError("Coefficients must be a list/tuple")
    weights = [float(w) for w in a]
    if not weights:
        raise ValueError("Coefficients cannot be empty")
    return weights


@public(name="signal.windows.bartlett", method=False, samples=_samples("bartlett"))
@placed
def bartlett(M: int, *, sym: bool = True, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Return Bartlett's window, which rises and falls linearly.

    Parameters
    ----------
    M, sym, dtype, device, requires_grad
        As for :func:`hann`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.signal.windows.bartlett(4)
    tensor([0.0000, 0.6667, 0.6667, 0.0000])
    """
    return _window("bartlett", triangle, M, sym, dtype, device, requires_grad)


@public(name="signal.windows.blackman", method=False, samples=_samples("blackman"))
@placed
def blackman(M: int, *, sym: bool = True, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Return the Blackman window, ``0.42 - 0.5 cos(2πj / (M - 1)) + 0.08 cos(4πj / (M - 1))``.

    Parameters
    ----------
    M, sym, dtype, device, requires_grad
        As for :func:`hann`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.signal.windows.blackman(4)
    tensor([-1.3878e-17,  6.3000e-01,  6.3000e-01, -1.3878e-17])
    """
    return _window("blackman", cosines(0.42, 0.5, 0.08), M, sym, dtype, device, requires_grad)


@public(name="signal.windows.cosine", method=False, samples=_samples("cosine"))
@placed
def cosine(M: int, *, sym: bool = True, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Return half a wave, ``sin(π (j + 1/2) / M)``.

    Parameters
    ----------
    M, sym, dtype, device, requires_grad
        As for :func:`hann`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.signal.windows.cosine(4)
    tensor([0.3827, 0.9239, 0.9239, 0.3827])
    """
    return _window("cosine", lambda j, last: np.sin(math.pi * (j + 0.5) / (last + 1)), M, sym, dtype, device, requires_grad)


@public(
    name="signal.windows.exponential",
    method=False,
    samples=_samples(
        "exponential",
        Sample(5, tau=0.5, dtype=dtypes.float64),
        Sample(4, center=1.0, sym=False, dtype=dtypes.float64),
        Sample(1, center=1.0, sym=False, dtype=dtypes.float64),
        Sample(4, tau=-1.0, error=(ValueError, "Tau must be positive, got: -1.0 instead.")),
        Sample(4, center=1.0, error=(ValueError, "Center must be None for symmetric windows")),
    ),
)
@placed
def exponential(
    M: int,
    *,
    center: float | None = None,
    tau: float = 1.0,
    sym: bool = True,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return the window ``exp(-|j - center| / tau)``.

    Parameters
    ----------
    M, sym, dtype, device, requires_grad
        As for :func:`hann`.
    center : float, optional
        Of a periodic window; the middle if not given.
    tau : float
        Positive: the smaller, the narrower.

    Raises
    ------
    ValueError
        If `tau` is not positive, or `center` is given for a symmetric window.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.signal.windows.exponential(4)
    tensor([0.2231, 0.6065, 0.6065, 0.2231])
    """
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    made = _window("exponential", lambda j, last: np.exp(-np.abs(j - (last / 2 if center is None else center)) / tau), M, sym,
        dtype, device, requires_grad)  # fmt: skip
    return made if M != 1 or not center else made.fill_(math.exp(-abs(center) / tau))  # type: ignore[attr-defined]


@public(
    name="signal.windows.gaussian",
    method=False,
    samples=_samples(
        "gaussian",
        Sample(5, std=0.5, dtype=dtypes.float64),
        Sample(4, std=-1.0, error=(ValueError, "Standard deviation must be positive, got: -1.0 instead.")),
    ),
)
@placed
def gaussian(
    M: int, *, std: float = 1.0, sym: bool = True, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return the window ``exp(-(j - (M - 1) / 2)² / (2 std²))``.

    Parameters
    ----------
    M, sym, dtype, device, requires_grad
        As for :func:`hann`.
    std : float
        Positive: the smaller, the narrower.

    Raises
    ------
    ValueError
        If `std` is not positive.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.signal.windows.gaussian(4)
    tensor([0.3247, 0.8825, 0.8825, 0.3247])
    """
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    return _window("gaussian", lambda j, last: np.exp(-0.5 * ((j - last / 2) / std) ** 2), M, sym, dtype, device, requires_grad)


@public(
    name="signal.windows.general_cosine",
    method=False,
    samples=lambda: [
        Sample(5, a=[0.3, 0.5, 0.2], dtype=dtypes.float64),
        Sample(4, a=(0.5, 0.5), sym=False, dtype=dtypes.float64),
        Sample(1, a=[0.5]),
        Sample(0, a=[1.0]),
        Sample(4, a=[], error=(ValueError, "Coefficients cannot be empty")),
        Sample(4, a=3, error=(TypeError, "Coefficients must be a list/tuple")),
        Sample(-1, a=[1.0], error=(ValueError, "general_cosine requires non-negative window length, got M=-1")),
    ],
)
@placed
def general_cosine(
    M: int, *, a: Iterable[float], sym: bool = True, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return the sum of cosines ``Σ (-1)^k a[k] cos(2πkj / (M - 1))``.

    Parameters
    ----------
    M, sym, dtype, device, requires_grad
        As for :func:`hann`.
    a : list of float
        The weights.

    Raises
    ------
    ValueError
        If there are no weights.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.signal.windows.general_cosine(4, a=[0.5, 0.5])
    tensor([0.0000, 0.7500, 0.7500, 0.0000])
    """
    return _window("general_cosine", cosines(*_weights(a)), M, sym, dtype, device, requires_grad)


@public(
    name="signal.windows.general_hamming",
    method=False,
    samples=_samples("general_cosine", Sample(5, alpha=0.7, dtype=dtypes.float64)),
)
@placed
def general_hamming(
    M: int, *, alpha: float = 0.54, sym: bool = True, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return the window ``alpha - (1 - alpha) cos(2πj / (M - 1))``.

    Parameters
    ----------
    M, sym, dtype, device, requires_grad
        As for :func:`hann`.
    alpha : float
        The weight.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.signal.windows.general_hamming(4)
    tensor([0.0800, 0.7700, 0.7700, 0.0800])
    """
    return _window("general_cosine", cosines(alpha, 1 - alpha), M, sym, dtype, device, requires_grad)


@public(name="signal.windows.hamming", method=False, samples=_samples("general_cosine"))
@placed
def hamming(M: int, *, sym: bool = True, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Return the Hamming window, ``0.54 - 0.46 cos(2πj / (M - 1))``.

    Parameters
    ----------
    M, sym, dtype, device, requires_grad
        As for :func:`hann`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.signal.windows.hamming(4)
    tensor([0.0800, 0.7700, 0.7700, 0.0800])
    """
    return _window("general_cosine", cosines(0.54, 0.46), M, sym, dtype, device, requires_grad)


@public(name="signal.windows.hann", method=False, samples=_samples("general_cosine"))
@placed
def hann(M: int, *, sym: bool = True, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Return the Hann window, ``(1 - cos(2πj / (M - 1))) / 2``.

    Parameters
    ----------
    M : int
        Number of points; a window of one is 1.
    sym : bool
        Symmetric, as for filters; False gives a periodic window, as for spectra: of one point more, without the last.
    dtype : dtype, optional
        ``float32`` or ``float64``; the default dtype if not given.
    device : str, optional
        Only ``"cpu"``.
    requires_grad : bool
        Record operations on the result.

    Returns
    -------
    Tensor
        Of shape (M,).

    Raises
    ------
    ValueError
        If M is negative, or the dtype another one.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.signal.windows.hann(4)
    tensor([0.0000, 0.7500, 0.7500, 0.0000])
    """
    return _window("general_cosine", cosines(0.5, 0.5), M, sym, dtype, device, requires_grad)


@public(
    name="signal.windows.kaiser",
    method=False,
    samples=_samples(
        "kaiser",
        Sample(5, beta=3.0, dtype=dtypes.float64),
        Sample(4, beta=-1.0, error=(ValueError, "beta must be non-negative, got: -1.0 instead.")),
    ),
)
@placed
def kaiser(
    M: int, *, beta: float = 12.0, sym: bool = True, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return Kaiser's window, ``I₀(β √(1 - (2j/(M-1) - 1)²)) / I₀(β)``.

    Parameters
    ----------
    M, sym, dtype, device, requires_grad
        As for :func:`hann`.
    beta : float
        Not negative: the larger, the narrower.

    Raises
    ------
    ValueError
        If `beta` is negative.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.signal.windows.kaiser(4)
    tensor([5.2773e-05, 5.1884e-01, 5.1884e-01, 5.2773e-05])
    """
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    return _window("kaiser", kaiser_of(beta), M, sym, dtype, device, requires_grad)


@public(name="signal.windows.nuttall", method=False, samples=_samples("general_cosine"))
@placed
def nuttall(M: int, *, sym: bool = True, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Return Nuttall's window of four cosines.

    Parameters
    ----------
    M, sym, dtype, device, requires_grad
        As for :func:`hann`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.signal.windows.nuttall(4)
    tensor([3.6280e-04, 5.2923e-01, 5.2923e-01, 3.6280e-04])
    """
    return _window("general_cosine", cosines(0.3635819, 0.4891775, 0.1365995, 0.0106411), M, sym, dtype, device, requires_grad)
