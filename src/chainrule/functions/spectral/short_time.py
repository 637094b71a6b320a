"""The short-time Fourier transform, of overlapping frames, and its inverse by overlapping and adding them.

D. W. Griffin and J. S. Lim, *Signal estimation from modified short-time Fourier transform*, IEEE Trans. ASSP 32 (1984), 236.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from chainrule.core.call.dispatch import as_tensor, cast
from chainrule.core.op.samples import Sample
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import satisfies
from chainrule.core.types import dtype as dtypes
from chainrule.functions.adapt import public
from chainrule.ops.indexing.index import index_select
from chainrule.ops.indexing.view import fold, getitem, unfold
from chainrule.ops.pointwise.complex import view_as_real
from chainrule.ops.shaping.shape import constant_pad, transpose
from chainrule.ops.spectral.fourier import fft_c2c, fft_c2r, fft_r2c

__all__ = ["istft", "stft"]

_NO_WINDOW = (
    "A window was not provided. A rectangular window will be applied,which is known to cause spectral leakage. Other windows "
    "such as chainrule.hann_window or chainrule.hamming_window are recommended to reduce spectral leakage.To suppress this "
    "warning and use a rectangular window, explicitly set `window=chainrule.ones(n_fft)`."
)
_NO_WINDOW_BACK = (
    "A window was not provided. A rectangular window will be applied.Please provide the same window used by stft to make the "
    "inversion lossless.To suppress this warning and use a rectangular window, explicitly set `window=chainrule.ones(n_fft)`."
)
_DEPRECATED = (
    "stft with return_complex=False is deprecated. In a future release, stft will return complex tensors for all inputs, and "
    "return_complex=False will raise an error.\nNote: you can still call chainrule.view_as_real on the complex output to "
    "recover the old return format."
)
_SHORT = (
    "The length of signal is shorter than the length parameter. Result is being padded with zeros in the tail. Please check "
    "your center and hop_length settings."
)


def _is_complex(x: Tensor | None) -> bool:
    return x is not None and x.dtype.category == dtypes.COMPLEX


def _sizes(n_fft: int, hop_length: int | None, win_length: int | None) -> tuple[int, int]:
    return n_fft // 4 if hop_length is None else hop_length, n_fft if win_length is None else win_length


def _framed(window: Any, name: str, x: Tensor, n_fft: int, win_length: int) -> Tensor | None:
    """Return the window in the middle of a frame, zeros around it; None if it is 1 everywhere."""
    if window is None and win_length == n_fft:
        return None
    real = x.dtype.to_real()
    w = wrap(np.ones(win_length, real.numpy)) if window is None else as_tensor(window, name, 4)
    if w.dtype.category < dtypes.FLOAT:
        w = cast(w, real)
    left = (n_fft - win_length) // 2
    return constant_pad(w, widths=((left, n_fft - win_length - left),), value=0) if win_length < n_fft else w


def _extended(x: Tensor, pad: int, mode: str) -> Tensor:
    """Return a signal longer by `pad` at both ends, as ``nn.functional.pad`` makes it."""
    n = x.shape[-1]
    if mode == "constant":
        return constant_pad(x, widths=((0, 0),) * (x.ndim - 1) + ((pad, pad),), value=0)
    places = np.arange(-pad, n + pad)
    if mode == "reflect":
        if pad >= n:
            raise RuntimeError(
                "Argument #4: Padding size should be less than the corresponding input dimension, but got: padding "
                f"({pad}, {pad}) at dimension 2 of input {[*[1] * (3 - x.ndim), *x.shape]}"
            )
        places = np.abs(places)
        places = np.minimum(places, 2 * (n - 1) - places)
    elif mode == "replicate":
        places = np.clip(places, 0, n - 1)
    elif mode == "circular":
        if pad > n:
            raise RuntimeError("Padding value causes wrapping around more than once.")
        places = places % n
    else:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    return index_select(x, places, axis=x.ndim - 1)


def _described(name: str, x: Tensor, options: dict[str, Any]) -> str:
    given = ", ".join([f"{k}={v}" for k, v in options.items()])
    return f"{name}({x.dtype} {list(x.shape)}, {given}) : "


_SIGNAL = (2, 20)


def _stft_samples() -> list[Sample]:
    w8, w5 = np.array([0.1, 0.4, 0.8, 1, 0.9, 0.7, 0.3, 0.2]), np.array([0.2, 0.6, 1, 0.5, 0.1])
    more: dict[str, Any] = {"return_complex": True}
    return [
        Sample(_SIGNAL, 8, window=w8, **more), Sample((20,), 8, 3, 5, w5, **more),
        Sample(_SIGNAL, 8, 4, window=w8, center=False, **more),
        *[Sample((12,), 8, 4, window=w8, pad_mode=mode, **more) for mode in ("constant", "replicate", "circular")],
        Sample(_SIGNAL, 8, window=w8, normalized=True, onesided=False, **more),
        Sample(_SIGNAL, 7, win_length=5, window=w5, **more),
        Sample((20,), 8, 4, 5, w5, center=False, align_to_window=True, **more),
        Sample((8,), 8, window=w8, center=False, **more),
        Sample((20,), 8, window=w8, onesided=True, kinds="c", error=(
            RuntimeError, "Cannot have onesided output if window or input is complex")),
        Sample((20,), 8, window=w8, kinds="f", error=(
            RuntimeError, "stft requires the return_complex parameter be given for real inputs")),
        Sample((20,), 8, window=w8, pad_mode="other", error=(NotImplementedError, "Unrecognised padding mode other"), **more),
        Sample((20,), 8, window=w8, align_to_window=True, error=(
            RuntimeError, "stft align_to_window should only be set when center = false"), **more),
        Sample((3,), 8, window=w8, error=(
            RuntimeError, "Argument #4: Padding size should be less than the corresponding input dimension"), **more),
    ]  # fmt: skip


@public(samples=_stft_samples)
def stft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Tensor:
    """Return the Fourier transforms of windows that move along a signal.

    Parameters
    ----------
    input : Tensor
        One signal, of shape (length,), or several, (batch, length); real or complex.
    n_fft : int
        Points of each transform.
    hop_length : int, optional
        From one frame to the next; ``n_fft // 4`` if not given.
    win_length : int, optional
        Length of the window, which stands in the middle of a frame; `n_fft` if not given.
    window : Tensor, optional
        Of shape (win_length,); ones if not given, of which a warning tells.
    center : bool
        Frames are centred at multiples of `hop_length`; the signal is extended by ``n_fft // 2`` at both ends.
    pad_mode : str
        How it is extended: "reflect", "constant" (zeros), "replicate" or "circular".
    normalized : bool
        Divide by the root of `n_fft`.
    onesided : bool, optional
        Only the ``n_fft // 2 + 1`` frequencies that determine the others: so by default of real signals and windows.
    return_complex : bool, optional
        Must be given for real signals; False gives real and imaginary parts along a last axis.
    align_to_window : bool, optional
        Without `center`: the signal is extended so that not frames but windows lie within it.

    Returns
    -------
    Tensor
        Of shape (batch, frequencies, frames).

    Raises
    ------
    RuntimeError
        If sizes do not fit the signal or each other, or `return_complex` is missing.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.stft(cr.ones(8), 4, window=cr.hann_window(4), return_complex=True).shape
    chainrule.Size([3, 9])
    """
    x = as_tensor(input, "stft")
    hop, size = _sizes(n_fft, hop_length, win_length)
    if center and align_to_window is not None:
        raise RuntimeError("stft align_to_window should only be set when center = false")
    if window is None:
        warnings.warn(_NO_WINDOW, UserWarning, stacklevel=2)
    if center:
        x = _extended(x, n_fft // 2, pad_mode)
    options = {
        "n_fft": n_fft, "hop_length": hop, "win_length": size, "window": None if window is None else list(window.shape),
        "normalized": normalized, "onesided": onesided, "return_complex": return_complex, "align_to_window": align_to_window,
    }  # fmt: skip
    complex_ = _is_complex(x) or (window is not None and _is_complex(as_tensor(window)))
    if return_complex is None and not complex_:
        raise RuntimeError(
            "stft requires the return_complex parameter be given for real inputs, and will further require that "
            "return_complex=True in a future release."
        )
    if return_complex is False:
        warnings.warn(_DEPRECATED, UserWarning, stacklevel=2)
    wrong = _stft_misfit(x, n_fft, hop, size, window)
    if wrong:
        raise RuntimeError(_described("stft", x, options) + wrong)
    single = x.ndim == 1
    x = x.reshape(1, x.shape[0]) if single else x  # type: ignore[attr-defined]
    if align_to_window:
        lacks = (n_fft - size) // 2
        x = constant_pad(x, widths=((0, 0), (lacks, n_fft - size - lacks)), value=0)
    w = _framed(window, "stft", x, n_fft, size)
    frames = unfold(x, axis=1, size=n_fft, step=hop)
    frames = frames if w is None else frames * w
    if onesided is None:
        onesided = not complex_
    if onesided and complex_:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    norm = "root" if normalized else "none"
    if complex_:
        out = fft_c2c(frames, axis=(2,), norm=norm, forward=True)
    else:
        out = fft_r2c(frames, axis=(2,), norm=norm, half=onesided)
    out = transpose(out, a=1, b=2)
    out = out[0] if single else out
    return view_as_real(out) if return_complex is False else out


def _stft_misfit(x: Tensor, n_fft: int, hop: int, size: int, window: Any) -> str:
    if x.dtype.category < dtypes.FLOAT:
        return "expected a tensor of floating point or complex values"
    if x.ndim not in (1, 2):
        return "expected a 1D or 2D tensor"
    length = x.shape[-1]
    if not 0 < n_fft <= length:
        return f"expected 0 < n_fft < {length}, but got n_fft={n_fft}"
    if hop <= 0:
        return f"expected hop_length > 0, but got hop_length={hop}"
    if not 0 < size <= n_fft:
        return f"expected 0 < win_length <= n_fft, but got win_length={size}"
    if window is not None and tuple(window.shape) != (size,):
        return f"expected a 1D window tensor of size equal to win_length={size}, but got window with size {list(window.shape)}"
    return ""


def _istft_samples() -> list[Sample]:
    w8, w5 = np.array([0.1, 0.4, 0.8, 1, 0.9, 0.7, 0.3, 0.2]), np.array([0.2, 0.6, 1, 0.5, 0.1])
    return [
        Sample((2, 5, 6), 8, window=w8), Sample((5, 6), 8, 3, 5, w5), Sample((5, 6), 8, 4, window=w8, center=False),
        Sample((5, 6), 8, 4, window=w8, length=14), Sample((8, 6), 8, 4, window=w8, onesided=False),
        Sample((8, 6), 8, 4, window=w8, return_complex=True), Sample((4, 6), 7, 2, 5, w5, normalized=True),
        Sample((9, 6), 8, window=w8, error=(RuntimeError, "istft(")),
        Sample((5, 6), 8, 0, window=w8, error=(RuntimeError, "istft(")),
        Sample((5, 6), 8, window=w8, return_complex=True, error=(
            RuntimeError, "Cannot have onesided output if window or input is complex")),
    ]  # fmt: skip


@public(kinds="c", samples=_istft_samples)
def istft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Tensor:
    """Return the signal of which the input is nearest to being the :func:`stft`, in the sense of least squares.

    Parameters
    ----------
    input : Tensor
        Complex, of shape (frequencies, frames) or (batch, frequencies, frames).
    n_fft, hop_length, win_length, window, center, normalized
        As they were given to :func:`stft`.
    onesided : bool, optional
        Whether the input has but half of the frequencies: by default where it has not `n_fft`.
    length : int, optional
        Of the signal: it is cut, or filled with zeros at the end.
    return_complex : bool
        Give a complex signal; all frequencies must be there.

    Returns
    -------
    Tensor
        Of shape (length,) or (batch, length).

    Raises
    ------
    RuntimeError
        If sizes do not fit, or the windows together leave a place of the signal at zero.

    Examples
    --------
    >>> import chainrule as cr
    >>> w = cr.hann_window(4)
    >>> x = cr.arange(8.0)
    >>> cr.istft(cr.stft(x, 4, window=w, return_complex=True), 4, window=w)
    tensor([0., 1., 2., 3., 4., 5., 6., 7.])
    """
    x = as_tensor(input, "istft")
    hop, size = _sizes(n_fft, hop_length, win_length)
    if window is None:
        warnings.warn(_NO_WINDOW_BACK, UserWarning, stacklevel=2)
    if not _is_complex(x):
        raise RuntimeError(
            "istft requires a complex-valued input tensor matching the output from stft with return_complex=True."
        )
    if x.ndim < 2:
        raise IndexError(f"Dimension out of range (expected to be in range of [-2, 1], but got {-3})")
    half = x.shape[-2] != n_fft if onesided is None else onesided
    options = {
        "n_fft": n_fft, "hop_length": hop, "win_length": size, "window": None if window is None else list(window.shape),
        "center": center, "normalized": normalized, "onesided": onesided, "length": length, "return_complex": return_complex,
    }  # fmt: skip
    wrong = _istft_misfit(x, n_fft, hop, size, window, half)
    if wrong:
        raise RuntimeError(_described("istft", x, options) + wrong)
    if return_complex and half:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    if not return_complex and window is not None and _is_complex(as_tensor(window)):
        raise RuntimeError("Complex windows are incompatible with return_complex=False")
    single = x.ndim == 2
    x = transpose(x[None] if single else x, a=1, b=2)
    norm = "root" if normalized else "n"
    if return_complex:
        frames = fft_c2c(x, axis=(2,), norm=norm, forward=False)
    else:
        frames = fft_c2r(x if half else x[..., : n_fft // 2 + 1], axis=(2,), norm=norm, n=n_fft)
    w = _framed(window, "istft", x, n_fft, size)
    out = _overlapped(frames, w, hop, n_fft // 2 if center else 0, length, _described("istft", x, options))
    return out[0] if single else out


def _istft_misfit(x: Tensor, n_fft: int, hop: int, size: int, window: Any, half: bool) -> str:
    if not x.numel():
        return "input tensor cannot be empty."
    if x.ndim > 3:
        return f"expected a tensor with 2 or 3 dimensions, but got {x.ndim}"
    if half and x.shape[-2] != n_fft // 2 + 1:
        return (
            "expected the frequency dimension (3rd to the last) of the input tensor to match n_fft / 2 + 1 when onesided=True, "
            f"but got {x.shape[-2]}"
        )
    if not half and x.shape[-2] != n_fft:
        return (
            "expected the frequency dimension (3rd to the last) of the input tensor to match n_fft when onesided=False, "
            f"but got {x.shape[-2]}"
        )
    if not 0 < hop <= size:
        return "expected 0 < hop_length <= win_length"
    if not 0 < size <= n_fft:
        return "expected 0 < win_length <= n_fft"
    if window is not None and tuple(window.shape) != (size,):
        return "Invalid window shape. window has to be 1D and length of `win_length`"
    return ""


def _overlapped(frames: Tensor, w: Tensor | None, hop: int, start: int, length: int | None, what: str) -> Tensor:
    """Return the signal of weighted frames, added where they overlap, divided by the sum of the squared windows there."""
    batch, count, n = frames.shape
    whole = n + hop * (count - 1)
    if w is None:
        w = wrap(np.ones(n, frames.dtype.to_real().numpy))
    squares = (w * w).reshape(1, 1, n).expand(1, count, n)  # type: ignore[attr-defined]
    signal = fold(frames * w, shape=(batch, whole), axis=1, size=n, step=hop)
    envelope = fold(squares, shape=(1, whole), axis=1, size=n, step=hop)
    end = whole - start if length is None else start + length
    signal, envelope = (getitem(x, index=(slice(None), slice(start, end))) for x in (signal, envelope))
    if not envelope.numel() or not satisfies(envelope, lambda known: ~(abs(known) < 1e-11).any()):
        raise RuntimeError(f"{what[:-2]}window overlap add min: 1")
    out = signal / envelope
    if end > whole:
        warnings.warn(_SHORT, UserWarning, stacklevel=4)
        out = constant_pad(out, widths=((0, 0), (0, end - whole)), value=0)
    return out
