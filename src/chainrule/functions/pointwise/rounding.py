"""Rounding, splitting into parts, and tests of each element under PyTorch's names."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from chainrule.core.call.dispatch import as_tensor
from chainrule.core.op.samples import Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.functions.adapt import public
from chainrule.functions.pointwise.complex import complex, imag, real
from chainrule.ops.pointwise import rounding as ops
from chainrule.ops.shaping.shape import clone

__all__ = ["frexp", "nan_to_num", "round"]


@public(out=True,
    inplace=True,
    kinds="if",
    samples=lambda: [
        Sample((3, 4)), Sample(()), Sample((0,)), Sample((3, 4), decimals=1, kinds="f"), Sample((2,), decimals=-1, kinds="f"),
        Sample(np.array([0.5, 1.5, 2.5, -0.5])),
    ],
)  # fmt: skip
def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """Return each element rounded to the nearest integer, halves to the even one. Its derivative is 0 everywhere.

    Parameters
    ----------
    input : Tensor
        Of any shape; integer or real.
    decimals : int
        Decimal places to keep; negative ones count from the point to the left. Floating point only.

    Returns
    -------
    Tensor
        Of the shape and dtype of `input`.

    Raises
    ------
    RuntimeError
        If `decimals` is given for integers.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.round(cr.tensor([0.5, 1.5, -2.7]))
    tensor([ 0.,  2., -3.])
    >>> cr.round(cr.tensor([1.234]), decimals=2)
    tensor([1.2300])
    """
    if not decimals:
        return _round(input)
    x = as_tensor(input, "round")
    if x.dtype.category < dtypes.FLOAT:
        raise RuntimeError(f"\"round\" with decimals not implemented for '{x.dtype.old_name}'")
    return ops.round_decimals(x, decimals=int(decimals))


def _round(input: Any) -> Tensor:
    return ops.round(as_tensor(input, "round"))


@public(out="exact",
    inplace=True,
    kinds="bif",
    samples=lambda: [
        Sample((3, 4)), Sample(()), Sample((0,)), Sample(np.array([np.nan, np.inf, -np.inf, 1.0])),
        Sample(np.array([np.nan, np.inf, -np.inf, 1.0]), 1.0, 2.0, -2.0),
        Sample(np.array([np.nan, np.inf, -np.inf, 1.0]), nan=3.0),
    ],
)  # fmt: skip
def nan_to_num(input: Tensor, nan: float | None = None, posinf: float | None = None, neginf: float | None = None) -> Tensor:
    """Return the elements with NaN and infinities replaced. The derivative is 0 where an element is replaced.

    Parameters
    ----------
    input : Tensor
        Of any shape and dtype; the parts of complex numbers are replaced one by one.
    nan : float, optional
        In place of NaN; 0 by default.
    posinf, neginf : float, optional
        In place of the infinities; by default the greatest and the least finite number of the dtype.

    Returns
    -------
    Tensor
        Of the shape and dtype of `input`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nan_to_num(cr.tensor([float("nan"), float("inf"), 1.0]), posinf=9.0)
    tensor([0., 9., 1.])
    """
    x = as_tensor(input, "nan_to_num")
    if x.is_complex():
        return complex(nan_to_num(real(x), nan, posinf, neginf), nan_to_num(imag(x), nan, posinf, neginf))
    if not x.is_floating_point():
        return clone(x)
    limit = _greatest(x.dtype)
    return ops.nan_to_num(
        x,
        nan=0.0 if nan is None else nan,
        posinf=limit if posinf is None else posinf,
        neginf=-limit if neginf is None else neginf,
    )


def _greatest(d: dtypes.dtype) -> float:
    """Return the greatest finite number of a floating point dtype (NumPy's `finfo` does not know bfloat16)."""
    return float(np.finfo(d.numpy).max) if d.numpy.kind == "f" else (2 - 2.0**-7) * 2.0**127


class Frexp(NamedTuple):
    """What :func:`frexp` returns.

    Attributes
    ----------
    mantissa : Tensor
        In [0.5, 1) by magnitude, or 0.
    exponent : Tensor
        Powers of two; ``int32``.
    """

    mantissa: Tensor
    exponent: Tensor


@public(out=True,
    kinds="f",
    samples=lambda: [
        Sample((3, 4)), Sample(()), Sample((0,)),
        Sample(np.array([1, 2]), error=(RuntimeError, "torch.frexp() only supports floating-point dtypes")),
    ],
)  # fmt: skip
def frexp(input: Tensor) -> Frexp:
    """Return mantissa and exponent of each element: ``input = mantissa * 2**exponent``.

    Parameters
    ----------
    input : Tensor
        Of any shape; real floating point.

    Returns
    -------
    Frexp
        The pair (mantissa, exponent), of the shape of `input`. The derivative of the mantissa is ``2**-exponent``.

    Raises
    ------
    RuntimeError
        If the dtype is not real floating point.

    Examples
    --------
    >>> import chainrule as cr
    >>> mantissa, exponent = cr.frexp(cr.tensor([6.0, 0.25]))
    >>> mantissa, exponent
    (tensor([0.7500, 0.5000]), tensor([ 3, -1], dtype=chainrule.int32))
    """
    x = as_tensor(input, "frexp")
    if not x.is_floating_point():
        raise RuntimeError(f"torch.frexp() only supports floating-point dtypes, not {x.dtype}")
    return Frexp(*ops.frexp(x))


def _rounded(self: Tensor, ndigits: int | None = None) -> Tensor:
    return round(self, decimals=ndigits or 0)


Tensor.__round__ = _rounded  # type: ignore[attr-defined]
