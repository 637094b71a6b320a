"""Elementwise arithmetic under PyTorch's names."""

from __future__ import annotations

from functools import partial
from typing import Any

from chainrule.core.call.asking import UNASKED, asked_here, asking
from chainrule.core.call.dispatch import NUMBERS, as_tensor, cast, common_dtype, lift
from chainrule.core.call.functions import make_public
from chainrule.core.call.older import in_todays_places
from chainrule.core.op.samples import Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.core.write.inplace import assign_elementwise
from chainrule.core.write.out import into
from chainrule.functions.adapt import public
from chainrule.functions.elementwise import mul, pow
from chainrule.ops.pointwise import arithmetic as ops

__all__ = ["add", "addcdiv", "addcmul", "div", "divide", "float_power", "ldexp", "lerp", "rsub", "sub", "subtract"]


_add = make_public(ops.add.op)  # type: ignore[attr-defined]
_sub = make_public(ops.sub.op)  # type: ignore[attr-defined]
_div = make_public(ops.div.op)  # type: ignore[attr-defined]


def _scaled(input: Any, other: Any, alpha: Any, name: str) -> Any:
    """Return ``alpha * other`` in the dtype in which it meets `input`."""
    x, y = lift(input, name), lift(other, name, 1)
    d = common_dtype((x, y))
    if isinstance(alpha, bool) and d.category != dtypes.BOOL:
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    if isinstance(alpha, float) and d.category <= dtypes.INT:
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
    if isinstance(alpha, complex) and d.category != dtypes.COMPLEX:
        raise RuntimeError("For non-complex input tensors, argument alpha must not be a complex number.")
    if isinstance(y, Tensor):
        return cast(mul(cast(y, d), alpha), d)
    return y * alpha


_ALPHA = [Sample((3, 4), (4,)), Sample((3, 4), (3, 1), alpha=2), Sample((), (), alpha=-0.5), Sample((0, 2), (2,), alpha=2)]


@public(out=True, samples=lambda: _ALPHA, kinds="fc")
def add(input: Tensor, other: Any, *older: Any, alpha: Any = 1, out: Any = None) -> Tensor:
    """Return ``input + alpha * other``.

    Parameters
    ----------
    input, other : Tensor, number or array
        Of shapes that broadcast together; dtypes are promoted as PyTorch's.
    *older : Tensor
        In the form that PyTorch deprecates, ``(input, alpha, other)``, what `other` is today.
    alpha : number
        Multiplies `other`.

    Returns
    -------
    Tensor
        Of the broadcast shape.

    Raises
    ------
    RuntimeError
        If `alpha` is of a higher kind (bool, integer, float, complex) than the result.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.add(cr.tensor([1.0, 2.0]), cr.tensor([10.0, 20.0]), alpha=2)
    tensor([21., 42.])
    """
    if asking.on and (found := asked_here(add, locals())) is not UNASKED:
        return found
    if older:
        return in_todays_places(partial(add, out=out), "add", (input, other, *older), {})
    if out is not None:
        return into(out, "add", add, (input, other), {"alpha": alpha})
    if alpha.__class__ is int and alpha == 1:
        return _add(input, other)
    return _add(input, _scaled(input, other, alpha, "add"))


@public(out=True, samples=lambda: _ALPHA, kinds="fc")
def sub(input: Tensor, other: Any, *older: Any, alpha: Any = 1, out: Any = None) -> Tensor:
    """Return ``input - alpha * other``.

    Parameters
    ----------
    input, other : Tensor, number or array
        Of shapes that broadcast together; dtypes are promoted as PyTorch's, except that bools are refused.
    *older : Tensor
        In the form that PyTorch deprecates, ``(input, alpha, other)``, what `other` is today.
    alpha : number
        Multiplies `other`.

    Returns
    -------
    Tensor
        Of the broadcast shape.

    Raises
    ------
    RuntimeError
        If an operand is bool, or `alpha` is of a higher kind (integer, float, complex) than the result.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.sub(cr.tensor([1.0, 2.0]), cr.tensor([10.0, 20.0]), alpha=2)
    tensor([-19., -38.])
    """
    if asking.on and (found := asked_here(sub, locals())) is not UNASKED:
        return found
    if older:
        return in_todays_places(partial(sub, out=out), "sub", (input, other, *older), {})
    if out is not None:
        return into(out, "sub", sub, (input, other), {"alpha": alpha})
    if alpha.__class__ is int and alpha == 1:
        return _sub(input, other)
    return _sub(input, _scaled(input, other, alpha, "sub"))


def subtract(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """Return ``input - alpha * other``: another name of :func:`sub`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.subtract(cr.tensor([1.0, 2.0]), 1)
    tensor([0., 1.])
    """
    return sub(input, other, alpha=alpha)


subtract = public(subtract, out=True, samples=lambda: _ALPHA)


@public(samples=lambda: _ALPHA, method=False)
def rsub(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """Return ``other - alpha * input``.

    Parameters
    ----------
    input, other : Tensor, number or array
        Of shapes that broadcast together.
    alpha : number
        Multiplies `input`.

    Returns
    -------
    Tensor
        Of the broadcast shape.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.rsub(cr.tensor([1.0, 2.0]), 3)
    tensor([2., 1.])
    """
    return sub(other, input, alpha=alpha)


def _adding(op_call: Any, name: str) -> Any:
    op = op_call.op
    call = make_public(op)

    def method(self: Tensor, other: Any, *older: Any, alpha: Any = 1) -> Tensor:
        if older:
            return in_todays_places(method, op.name, (self, other, *older), {})
        if not (alpha.__class__ is int and alpha == 1):
            other = _scaled(self, other, alpha, name)
        return assign_elementwise(self, op, call, (other,), name)

    method.__name__ = name
    method.__qualname__ = f"Tensor.{name}"
    method.__doc__ = f"In-place version of :func:`chainrule.{name[:-1]}`."
    return method


Tensor.add_ = _adding(ops.add, "add_")  # type: ignore[attr-defined]
Tensor.sub_ = _adding(ops.sub, "sub_")  # type: ignore[attr-defined]
Tensor.subtract_ = _adding(ops.sub, "subtract_")  # type: ignore[attr-defined]


@public(out=True,
    kinds="f",
    domain=[(-3, 3), (0.2, 3.0)],
    inplace=True,
    samples=lambda: [
        Sample((3, 4), (4,)), Sample((3, 4), (4,), rounding_mode="floor"), Sample((), (), rounding_mode="trunc"),
        Sample((2,), (2,), rounding_mode="x",
               error=(RuntimeError, "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found 'x'")),
    ],
)  # fmt: skip
def div(input: Tensor, other: Any, *, rounding_mode: str | None = None, out: Any = None) -> Tensor:
    """Return the quotient, optionally rounded.

    Parameters
    ----------
    input, other : Tensor, number or array
        Of shapes that broadcast together. Without rounding, integers give the default dtype.
    rounding_mode : {None, "trunc", "floor"}
        Round towards 0, or down; the derivative is then 0.

    Returns
    -------
    Tensor
        Of the broadcast shape.

    Raises
    ------
    RuntimeError
        For another rounding mode, or for a rounded division of integers by 0.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.div(cr.tensor([-7.0, 7.0]), 2, rounding_mode="floor")
    tensor([-4.,  3.])
    """
    if asking.on and (found := asked_here(div, locals())) is not UNASKED:
        return found
    if out is not None:
        return into(out, "div", div, (input, other), {"rounding_mode": rounding_mode})
    if rounding_mode is None:
        return _div(input, other)
    if rounding_mode not in ("trunc", "floor"):
        raise RuntimeError(f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'")
    return _rounded(input, other, mode=rounding_mode)


_rounded = make_public(ops.div_rounded.op)  # type: ignore[attr-defined]


@public(
    out=True,
    kinds="f",
    domain=[(-3, 3), (0.2, 3.0)],
    inplace=True,
    samples=lambda: [Sample((3, 4), (4,)), Sample((), (), rounding_mode="trunc")],
)
def divide(input: Tensor, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """Return the quotient, optionally rounded: another name of :func:`div`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.divide(cr.tensor([1.0, 2.0]), 4)
    tensor([0.2500, 0.5000])
    """
    return div(input, other, rounding_mode=rounding_mode)


@public(
    out=True,
    domain=[(0.2, 3.0), (-2, 2)],
    inplace=True,
    samples=lambda: [Sample((3, 4), (4,)), Sample((3,), 2), Sample((), ())],
)
def float_power(input: Tensor, exponent: Any) -> Tensor:
    """Return the power in double precision.

    Parameters
    ----------
    input, exponent : Tensor, number or array
        Of shapes that broadcast together.

    Returns
    -------
    Tensor
        ``float64``, or ``complex128`` if either is complex.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.float_power(cr.tensor([1, 2]), -1).dtype
    chainrule.float64
    """
    x, y = lift(input, "float_power"), lift(exponent, "float_power", 1)
    if x.__class__ in NUMBERS and y.__class__ in NUMBERS:
        x = as_tensor(x)
    if y.__class__ is bool:
        y = int(y)
    d = dtypes.complex128 if common_dtype((x, y)).category == dtypes.COMPLEX else dtypes.float64
    return pow(cast(x, d), cast(y, d))


@public(out=True, inplace=True, kinds="f", samples=lambda: [Sample((3, 4), (4,)), Sample((), ())])
def ldexp(input: Tensor, other: Any) -> Tensor:
    """Return ``input * 2**other``.

    Parameters
    ----------
    input, other : Tensor, number or array
        Of shapes that broadcast together.

    Returns
    -------
    Tensor
        Of the broadcast shape.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.ldexp(cr.tensor([1.0, 3.0]), cr.tensor([2, 1]))
    tensor([4., 6.])
    """
    return mul(input, pow(2.0, other))


_lerp = make_public(ops.lerp.op)  # type: ignore[attr-defined]


@public(
    out=True,
    inplace=True,
    samples=lambda: [Sample((3, 4), (4,), (3, 1)), Sample((3, 4), (4,), 0.25), Sample((), (), 0.75), Sample((0,), (0,), 0.5)],
)
def lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """Return the linear interpolation ``input + weight * (end - input)``.

    Parameters
    ----------
    input, end : Tensor
        Floating point or complex, of the same dtype.
    weight : Tensor or number
        0 gives `input`, 1 gives `end`.

    Returns
    -------
    Tensor
        Of the broadcast shape.

    Raises
    ------
    RuntimeError
        If the dtypes differ or are not floating point or complex.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.lerp(cr.tensor([0.0, 1.0]), cr.tensor([2.0, 3.0]), 0.5)
    tensor([1., 2.])
    """
    x, y = as_tensor(input, "lerp"), as_tensor(end, "lerp", 1)
    for name, t in (("end", y), ("weight", lift(weight, "lerp", 2))):
        if isinstance(t, Tensor) and t.dtype is not x.dtype:
            raise RuntimeError(f"expected dtype {x.dtype} for `{name}` but got dtype {t.dtype}")
    if x.dtype.category < dtypes.FLOAT:
        raise NotImplementedError(f"\"lerp_kernel\" not implemented for '{x.dtype.old_name}'")
    return _lerp(x, y, weight)


_addcmul = make_public(ops.addcmul.op)  # type: ignore[attr-defined]
_addcdiv = make_public(ops.addcdiv.op)  # type: ignore[attr-defined]
_VALUED = [Sample((3, 4), (4,), (3, 1)), Sample((3,), (3,), (3,), value=-0.5), Sample((), (), ()), Sample((0, 2), (2,), (1, 1))]


@public(out=True, inplace=True, samples=lambda: _VALUED)
def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """Return ``input + value * tensor1 * tensor2``.

    Parameters
    ----------
    input, tensor1, tensor2 : Tensor
        Of shapes that broadcast together.
    value : number
        Multiplies the product.

    Returns
    -------
    Tensor
        Of the broadcast shape.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.addcmul(cr.tensor([1.0]), cr.tensor([2.0]), cr.tensor([3.0]), value=0.5)
    tensor([4.])
    """
    if (
        isinstance(value, float)
        and common_dtype((as_tensor(input), as_tensor(tensor1), as_tensor(tensor2))).category <= dtypes.INT
    ):
        value = int(value)
    return _addcmul(input, tensor1, tensor2, value=value)


@public(out=True, inplace=True, domain=(0.2, 3.0), samples=lambda: _VALUED)
def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """Return ``input + value * tensor1 / tensor2``.

    Parameters
    ----------
    input, tensor1, tensor2 : Tensor
        Of shapes that broadcast together.
    value : number
        Multiplies the quotient.

    Returns
    -------
    Tensor
        Of the broadcast shape.

    Raises
    ------
    RuntimeError
        If `tensor1` and `tensor2` are both integer.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.addcdiv(cr.tensor([1.0]), cr.tensor([3.0]), cr.tensor([2.0]), value=2)
    tensor([4.])
    """
    return _addcdiv(input, tensor1, tensor2, value=value)
