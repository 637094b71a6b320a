"""Comparisons, logic and bit arithmetic under PyTorch's names."""

from __future__ import annotations

from chainrule.core.call.dispatch import as_tensor
from chainrule.core.call.functions import make_public
from chainrule.core.op.samples import Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import innermost
from chainrule.functions.adapt import public
from chainrule.ops.comparison import compare as ops

__all__ = ["allclose", "equal", "isclose"]


_isclose = make_public(ops.isclose.op)  # type: ignore[attr-defined]
_CLOSE = [Sample((3, 4), (4,)), Sample((3, 4), (3, 4), rtol=0.5, atol=0.2), Sample((), ()), Sample((0,), (0,), equal_nan=True)]


@public(kinds="fc", samples=lambda: _CLOSE)
def isclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """Tell where ``abs(input - other) <= atol + rtol * abs(other)``.

    Parameters
    ----------
    input, other : Tensor
        Of the same dtype, of shapes that broadcast together.
    rtol, atol : float
        Relative and absolute tolerance.
    equal_nan : bool
        Let NaN be close to NaN.

    Returns
    -------
    Tensor
        Bools of the broadcast shape.

    Raises
    ------
    RuntimeError
        If the dtypes differ or a tolerance is negative.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.isclose(cr.tensor([1.0, 2.0]), cr.tensor([1.0, 2.1]))
    tensor([ True, False])
    """
    x, y = as_tensor(input, "isclose"), as_tensor(other, "isclose", 1)
    if x.dtype is not y.dtype:
        raise RuntimeError(f"{x.dtype.old_name} did not match {y.dtype.old_name}")
    for name, value in (("rtol", rtol), ("atol", atol)):
        if not value >= 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {value}")
    return _isclose(x, y, rtol=float(rtol), atol=float(atol), equal_nan=equal_nan)


@public(kinds="fc", samples=lambda: _CLOSE)
def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Tell whether all values are close in the sense of :func:`isclose`.

    Parameters
    ----------
    input, other : Tensor
        Of the same dtype, of shapes that broadcast together.
    rtol, atol : float
        Relative and absolute tolerance.
    equal_nan : bool
        Let NaN be close to NaN.

    Returns
    -------
    bool
        True if no pair differs by more.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.allclose(cr.tensor([1.0, 2.0]), cr.tensor([1.0, 2.0 + 1e-7]))
    True
    """
    return bool(innermost(isclose(input, other, rtol, atol, equal_nan), "allclose").all())


@public(kinds="fc", samples=lambda: [Sample((3, 4), (3, 4)), Sample((3,), (2,)), Sample((), ())])
def equal(input: Tensor, other: Tensor) -> bool:
    """Tell whether two tensors have the same shape and values.

    Parameters
    ----------
    input, other : Tensor
        Of any shapes and dtypes.

    Returns
    -------
    bool
        False as soon as a shape or a value differs; NaN differs from itself.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.equal(cr.tensor([1.0, 2.0]), cr.tensor([1.0, 2.0]))
    True
    """
    x, y = as_tensor(input, "equal"), as_tensor(other, "equal", 1)
    return x.shape == y.shape and bool(innermost(ops.eq(x, y), "equal").all())
