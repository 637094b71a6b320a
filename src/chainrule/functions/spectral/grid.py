"""The frequencies of a transform's points, and their order with zero in the middle."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.call.dispatch import as_tensor
from chainrule.core.op.samples import Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import axis_index
from chainrule.functions.adapt import public
from chainrule.functions.creation.create import check_device
from chainrule.functions.creation.fill import finished, numpy_dtype
from chainrule.ops.shaping import shape as ops

__all__ = ["fftfreq", "fftshift", "ifftshift", "rfftfreq"]


def _frequencies(
    name: str, n: int, d: float, steps: np.ndarray, dtype: Any, device: Any, requires_grad: bool, out: Any
) -> Tensor:
    numpy = numpy_dtype(dtype, None, out)
    check_device(device)
    if numpy.kind not in "fcV":
        raise RuntimeError(f"{name} requires a floating point or complex dtype")
    if n < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}]")
    with np.errstate(all="ignore"):
        return finished(steps.astype(numpy) * numpy.type(np.divide(1, n * float(d))), device, requires_grad, out)


_SAMPLES = [Sample(4), Sample(5, d=0.5), Sample(1), Sample(0)]
_NEGATIVE = Sample(-1, error=(RuntimeError, "Trying to create tensor with negative dimension -1: [-1]"))


@public(name="fft.fftfreq", method=False, samples=lambda: [*_SAMPLES, _NEGATIVE])
def fftfreq(
    n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, out: Any = None
) -> Tensor:
    """Return the frequencies of the `n` points of a transform, in its order: zero, the positive ones, the negative ones.

    Parameters
    ----------
    n : int
        Number of points.
    d : float
        Distance of the samples that are transformed.
    dtype : dtype, optional
        Floating; the default dtype if not given.
    device : str, optional
        Only ``"cpu"``.
    requires_grad : bool
        Record operations on the result.
    out : Tensor, optional
        Where the result is written.

    Raises
    ------
    RuntimeError
        If n is negative, or the dtype no floating one.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.fft.fftfreq(5)
    tensor([ 0.0000,  0.2000,  0.4000, -0.4000, -0.2000])
    """
    m = max(n, 0)
    steps = np.arange(m)
    return _frequencies("fftfreq", n, d, np.where(steps < (m + 1) // 2, steps, steps - m), dtype, device, requires_grad, out)


@public(name="fft.rfftfreq", method=False, samples=lambda: _SAMPLES)
def rfftfreq(
    n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, out: Any = None
) -> Tensor:
    """Return the frequencies of half a spectrum of `n` points, as :func:`rfft` gives it.

    Parameters
    ----------
    n, d, dtype, device, requires_grad, out
        As for :func:`fftfreq`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.fft.rfftfreq(5)
    tensor([0.0000, 0.2000, 0.4000])
    """
    return _frequencies("rfftfreq", n, d, np.arange(max(n, -2) // 2 + 1), dtype, device, requires_grad, out)


def _shifted(input: Any, dim: Any, name: str, back: bool) -> Tensor:
    x = as_tensor(input, f"fft_{name}")
    given = range(x.ndim) if dim is None else (dim,) if hasattr(dim, "__index__") else dim
    axes = tuple([axis_index(d, x.ndim) for d in given]) if x.ndim else ()
    if not axes:
        return x.clone()  # type: ignore[attr-defined]
    return ops.roll(x, shifts=tuple([(x.shape[k] + back) // 2 for k in axes]), axis=axes)


_SHIFTED = [
    Sample((5,)), Sample((4, 3)), Sample((2, 3, 4), dim=1), Sample((2, 3), dim=(-1, 0)), Sample((3, 0)),
    Sample((3,), dim=1, error=(IndexError, "Dimension out of range (expected to be in range of [-1, 0], but got 1)")),
]  # fmt: skip


@public(name="fft.fftshift", method=False, kinds="bifc", samples=lambda: _SHIFTED)
def fftshift(input: Tensor, dim: Any = None) -> Tensor:
    """Return the points of a transform with frequency zero in the middle of each axis.

    Parameters
    ----------
    input : Tensor
        Of any shape and dtype.
    dim : int or tuple of int, optional
        The axes; all by default.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.fft.fftshift(cr.fft.fftfreq(4))
    tensor([-0.5000, -0.2500,  0.0000,  0.2500])
    """
    return _shifted(input, dim, "fftshift", False)


@public(name="fft.ifftshift", method=False, kinds="bifc", samples=lambda: _SHIFTED)
def ifftshift(input: Tensor, dim: Any = None) -> Tensor:
    """Undo :func:`fftshift`: return the points with frequency zero first.

    Parameters
    ----------
    input, dim
        As for :func:`fftshift`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.fft.ifftshift(cr.fft.fftshift(cr.tensor([1.0, 2.0, 3.0])))
    tensor([1., 2., 3.])
    """
    return _shifted(input, dim, "ifftshift", True)
