"""Complex numbers, and magnitude, phase and sign of real ones too, under PyTorch's names."""

from __future__ import annotations

from typing import Any

from chainrule.core.call.dispatch import as_tensor
from chainrule.core.op.samples import Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.unresolved import CONJ, NEG, bit_of
from chainrule.core.types import dtype as dtypes
from chainrule.core.types import shape as shapes
from chainrule.core.write.inplace import assign
from chainrule.functions.adapt import public
from chainrule.ops.pointwise import complex as ops
from chainrule.ops.pointwise.trigonometric import cos, sin
from chainrule.ops.shaping.shape import clone

__all__ = [
    "complex", "conj", "conj_physical", "imag", "is_conj", "is_neg", "polar", "positive", "real", "resolve_conj",
    "resolve_neg", "view_as_complex", "view_as_real",
]  # fmt: skip

Tensor.__abs__ = abs  # type: ignore[attr-defined]

_UNARY = [Sample((3, 4)), Sample(()), Sample((0, 2))]


@public(method=False, kinds="bifc", samples=lambda: _UNARY)
def real(input: Tensor) -> Tensor:
    """Return the real part: a view of a complex tensor's memory, a real tensor itself. `Tensor.real` is a property.

    Parameters
    ----------
    input : Tensor
        Of any shape and dtype.

    Returns
    -------
    Tensor
        Of the shape of `input`; real. Writing to it writes to `input`.

    Examples
    --------
    >>> import chainrule as cr
    >>> z = cr.tensor([1 + 2j, 3 - 4j])
    >>> cr.real(z), z.real
    (tensor([1., 3.]), tensor([1., 3.]))
    """
    x = as_tensor(input, "real")
    return ops.real(x) if x.is_complex() else x


@public(
    method=False,
    kinds="c",
    samples=lambda: [
        *_UNARY,
        Sample((2,), kinds="f", error=(RuntimeError, "imag is not implemented for tensors with non-complex dtypes.")),
    ],
)
def imag(input: Tensor) -> Tensor:
    """Return the imaginary part, a view of a complex tensor's memory. `Tensor.imag` is a property.

    Parameters
    ----------
    input : Tensor
        Of any shape; complex.

    Returns
    -------
    Tensor
        Of the shape of `input`; real. Writing to it writes to `input`.

    Raises
    ------
    RuntimeError
        If `input` is real.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.imag(cr.tensor([1 + 2j, 3 - 4j]))
    tensor([ 2., -4.])
    """
    x = as_tensor(input, "imag")
    if not x.is_complex():
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return ops.imag(x)


def _part(get: Any, name: str) -> property:
    """Return the property of a part: read as a view, written in place."""

    def write(self: Tensor, value: Any) -> None:
        assign(get(self), lambda: as_tensor(value, name), name)

    return property(get, write, doc=get.__doc__)


Tensor.real, Tensor.imag = _part(real, "real"), _part(imag, "imag")  # type: ignore[attr-defined]


@public(kinds="bifc", samples=lambda: _UNARY)
def conj(input: Tensor) -> Tensor:
    """Return the complex conjugate of each element, as a view; a real tensor itself.

    The view's memory is that of `input`, and is conjugated whenever it is read: writes to either reach both.

    Parameters
    ----------
    input : Tensor
        Of any shape and dtype.

    Returns
    -------
    Tensor
        Of the shape and dtype of `input`; where complex, a view of it whose :func:`is_conj` is the other.

    Examples
    --------
    >>> import chainrule as cr
    >>> z = cr.tensor([1 + 2j])
    >>> z.conj().mul_(2), z
    (tensor([2.-4.j]), tensor([2.+4.j]))
    """
    x = as_tensor(input, "conj")
    return ops.conj_view(x) if x.is_complex() else x


@public(out=True, kinds="bifc", samples=lambda: _UNARY, inplace=True)
def conj_physical(input: Tensor) -> Tensor:
    """Return the complex conjugate of each element, in memory of its own; a real tensor itself.

    Parameters
    ----------
    input : Tensor
        Of any shape and dtype.

    Returns
    -------
    Tensor
        Of the shape and dtype of `input`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.conj_physical(cr.tensor([1 + 2j]))
    tensor([1.-2.j])
    """
    x = as_tensor(input, "conj_physical")
    return ops.conj_physical(x) if x.is_complex() else x


@public(kinds="bifc", samples=lambda: _UNARY)
def resolve_conj(input: Tensor) -> Tensor:
    """Return the tensor with its values in memory: a copy if it is a conjugate view, itself else.

    Parameters
    ----------
    input : Tensor
        Of any shape and dtype.

    Returns
    -------
    Tensor
        `input`, or a copy.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.resolve_conj(cr.tensor([1 + 2j]).conj()).numpy()
    array([1.-2.j], dtype=complex64)
    """
    return clone(input) if is_conj(input) else input


@public(kinds="bifc", samples=lambda: _UNARY)
def resolve_neg(input: Tensor) -> Tensor:
    """Return the tensor with its values in memory: a copy if it is a negated view, itself else.

    Parameters
    ----------
    input : Tensor
        Of any shape and dtype.

    Returns
    -------
    Tensor
        `input`, or a copy.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.resolve_neg(cr.tensor([1 + 2j]).conj().imag).numpy()
    array([-2.], dtype=float32)
    """
    return clone(input) if is_neg(input) else input


@public(kinds="bifc", samples=lambda: _UNARY)
def is_conj(input: Tensor) -> bool:
    """Tell whether the values are the conjugates of those in memory, as in a view that :func:`conj` returned.

    Parameters
    ----------
    input : Tensor
        Of any shape and dtype.

    Returns
    -------
    bool
        Whether the conjugate bit is set.

    Examples
    --------
    >>> import chainrule as cr
    >>> z = cr.tensor([1 + 2j])
    >>> z.is_conj(), z.conj().is_conj(), z.conj().conj().is_conj()
    (False, True, False)
    """
    return bit_of(as_tensor(input, "is_conj")) == CONJ


@public(kinds="bifc", samples=lambda: _UNARY)
def is_neg(input: Tensor) -> bool:
    """Tell whether the values are those in memory negated, as in the imaginary part of a conjugate view.

    Parameters
    ----------
    input : Tensor
        Of any shape and dtype.

    Returns
    -------
    bool
        Whether the negative bit is set.

    Examples
    --------
    >>> import chainrule as cr
    >>> z = cr.tensor([1 + 2j])
    >>> z.imag.is_neg(), z.conj().imag.is_neg()
    (False, True)
    """
    return bit_of(as_tensor(input, "is_neg")) == NEG


@public(kinds="ifc", samples=lambda: _UNARY)
def positive(input: Tensor) -> Tensor:
    """Return the tensor itself: what ``+input`` means.

    Parameters
    ----------
    input : Tensor
        Of any shape; not bool.

    Returns
    -------
    Tensor
        `input`.

    Raises
    ------
    RuntimeError
        If `input` is bool.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.positive(cr.tensor([1.0, -2.0]))
    tensor([ 1., -2.])
    """
    x = as_tensor(input, "positive")
    if x.dtype is dtypes.bool_:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return x


Tensor.__pos__ = positive  # type: ignore[attr-defined, operator]


def _float_pair(x: Tensor, y: Tensor) -> None:
    """Raise PyTorch's errors unless both have one dtype that has a complex counterpart."""
    pair = (dtypes.float32, dtypes.float64)
    if x.dtype not in pair or y.dtype not in pair:
        raise RuntimeError(
            f"Expected both inputs to be Half, Float or Double tensors but got {x.dtype.old_name} and {y.dtype.old_name}"
            "; chainrule, as NumPy, has no complex numbers of two Halfs"
        )
    if x.dtype is not y.dtype:
        raise RuntimeError(
            f"Expected object of scalar type {x.dtype.old_name} but got scalar type {y.dtype.old_name} for second argument"
        )


_PAIRS = [
    Sample((3, 4), (3, 4)), Sample((), ()), Sample((3, 1), (4,)), Sample((), (2, 3)), Sample((0, 3), (3,)),
    Sample((3,), (4,), error=(RuntimeError, "The size of tensor a (3) must match the size of tensor b (4)")),
]  # fmt: skip


@public(out="exact", method=False, kinds="f", samples=lambda: _PAIRS)
def complex(real: Tensor, imag: Tensor) -> Tensor:
    """Return complex numbers of their real and imaginary parts.

    Parameters
    ----------
    real, imag : Tensor
        Of shapes that broadcast together and one dtype, ``float32`` or ``float64``.

    Returns
    -------
    Tensor
        Of the broadcast shape; ``complex64`` or ``complex128``.

    Raises
    ------
    RuntimeError
        If the dtypes differ or are others.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.complex(cr.tensor([1.0, 2.0]), cr.tensor([0.0, -3.0]))
    tensor([1.+0.j, 2.-3.j])
    """
    x, y = as_tensor(real, "complex"), as_tensor(imag, "complex", 1)
    _float_pair(x, y)
    shapes.broadcast(x.shape, y.shape)
    return ops.complex(x, y)


@public(out=True, method=False, kinds="f", domain=[(0.2, 3.0), (-3.0, 3.0)], samples=lambda: _PAIRS)
def polar(abs: Tensor, angle: Tensor) -> Tensor:
    """Return complex numbers of their magnitudes and phases.

    Parameters
    ----------
    abs, angle : Tensor
        Of shapes that broadcast together and one dtype, ``float32`` or ``float64``; phases in radians.

    Returns
    -------
    Tensor
        Of the broadcast shape; ``complex64`` or ``complex128``.

    Raises
    ------
    RuntimeError
        If the dtypes differ or are others.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.polar(cr.tensor([1.0, 2.0]), cr.tensor([0.0, 1.5]))
    tensor([1.0000+0.0000j, 0.1415+1.9950j])
    """
    size, phase = as_tensor(abs, "polar"), as_tensor(angle, "polar", 1)
    _float_pair(size, phase)
    return ops.complex(size * cos(phase), size * sin(phase))


@public(
    method=False,
    kinds="c",
    samples=lambda: [
        *_UNARY[:2], Sample((2,), kinds="f", error=(RuntimeError, "view_as_real is only supported for complex tensors")),
    ],
)  # fmt: skip
def view_as_real(input: Tensor) -> Tensor:
    """Return a view of complex numbers as pairs of real ones.

    Parameters
    ----------
    input : Tensor
        Of any shape; complex.

    Returns
    -------
    Tensor
        Of the shape of `input` with an axis of 2 added last: real and imaginary part.

    Raises
    ------
    RuntimeError
        If `input` is real.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.view_as_real(cr.tensor([1 + 2j, 3 - 4j]))
    tensor([[ 1.,  2.],
            [ 3., -4.]])
    """
    x = as_tensor(input, "view_as_real")
    if not x.is_complex():
        raise RuntimeError("view_as_real is only supported for complex tensors")
    if bit_of(x):
        raise RuntimeError(
            "view_as_real doesn't work on unresolved conjugated tensors.  To resolve the conjugate tensor so you can view it "
            "as real, use self.resolve_conj(); however, be warned that the resulting tensor will NOT alias the original."
        )
    return ops.view_as_real(x)


@public(
    method=False,
    kinds="f",
    samples=lambda: [
        Sample((3, 4, 2)), Sample((2,)),
        Sample((3,), error=(RuntimeError, "Tensor must have a last dimension of size 2")),
        Sample((), error=(RuntimeError, "Input tensor must have one or more dimensions")),
    ],
)  # fmt: skip
def view_as_complex(input: Tensor) -> Tensor:
    """Return a view of pairs of real numbers as complex ones.

    Parameters
    ----------
    input : Tensor
        Of shape (…, 2); ``float32`` or ``float64``; each pair side by side in memory.

    Returns
    -------
    Tensor
        Of shape (…); complex.

    Raises
    ------
    RuntimeError
        If dtype, shape or strides are others.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.view_as_complex(cr.tensor([[1.0, 2.0], [3.0, -4.0]]))
    tensor([1.+2.j, 3.-4.j])
    """
    x = as_tensor(input, "view_as_complex")
    if x.dtype not in (dtypes.float32, dtypes.float64):
        raise RuntimeError(
            "view_as_complex is only supported for half, float and double tensors, but got a tensor of scalar type: "
            f"{x.dtype.old_name}"
        )
    if not x.ndim:
        raise RuntimeError("Input tensor must have one or more dimensions")
    if x.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    *strides, last = x.stride()
    if last != 1 and x.numel():
        raise RuntimeError("Tensor must have a last dimension with stride 1")
    if x.numel() and any(s % 2 for s, n in zip(strides, x.shape, strict=False) if n > 1):
        raise RuntimeError("Tensor must have a stride divisible by 2 for all but last dimension")
    return ops.view_as_complex(x)
