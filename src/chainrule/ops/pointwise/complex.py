"""Complex numbers: parts, conjugates, real views; magnitude, phase and sign, which real numbers have too.

Maps between real and complex values are linear over the reals only; their rules are adjoints over the reals (module
``core.record.plans`` uses them without conjugation), so that a gradient is ``dL/dRe + i dL/dIm``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.core.op.batching import aligned, same
from chainrule.core.op.declaration import elementwise, linear
from chainrule.core.op.lowering import s
from chainrule.core.op.reach import by_broadcasting, in_order, nowhere, placed, taken
from chainrule.core.op.results import broadcasting, first, floating, like_first, real_of
from chainrule.core.op.samples import Sample
from chainrule.core.record.plans import unbroadcast
from chainrule.core.tensor.unresolved import CONJ, NEG
from chainrule.core.tensor.value import is_complex
from chainrule.ops.describe import unary
from chainrule.ops.indexing.select import where
from chainrule.ops.pointwise.rounding import flat

SHAPES = [Sample((3, 4), kinds="c"), Sample((), kinds="c"), Sample((0, 2), kinds="c")]

real = linear("real(x)", lambda x: x.real, view=True, real_linear=True, node="Select", kinds="c",
    bit=lambda bit: 0,
    shape=first, dtype=real_of,
    reach=taken,
    batch=same,
    x=lambda g: complex(g, flat(g)),
    samples=lambda: SHAPES)  # fmt: skip

imag = linear("imag(x)", lambda x: x.imag, view=True, real_linear=True, node="Select", kinds="c",
    bit=lambda bit: NEG if bit else 0,
    shape=first, dtype=real_of,
    reach=taken,
    batch=same,
    x=lambda g: complex(flat(g), g),
    samples=lambda: SHAPES)  # fmt: skip


def _paired(x: Any, *rest: Any) -> np.dtype:
    """Return the dtype of complex numbers whose parts have a dtype."""
    return np.dtype(np.complex128 if x.itemsize == 8 else np.complex64)


def _complex_dtype(x: Any) -> type:
    if x.dtype.itemsize == 2:
        raise TypeError("NumPy has no complex numbers of two half precision ones")
    return np.complex128 if x.dtype.itemsize == 8 else np.complex64


def _complex(x: Any, y: Any) -> Any:
    out = np.empty(np.broadcast_shapes(x.shape, y.shape), _complex_dtype(x))
    out.real, out.imag = x, y
    return out


complex = linear("complex(x, y)", _complex, real_linear=True, kinds="f",
    shape=broadcasting, dtype=_paired,
    reach=by_broadcasting,
    batch=aligned,
    x=lambda g, x_shape: unbroadcast(real(g), x_shape),
    y=lambda g, y_shape: unbroadcast(imag(g), y_shape),
    samples=lambda: [
        Sample((3, 4), (3, 4)), Sample((), ()), Sample((3, 1), (4,)), Sample((), (2, 3)), Sample((0, 3), (3,)),
    ])  # fmt: skip


def _as_real(x: Any) -> Any:
    return x[..., None].view(x.real.dtype)


def _as_complex(x: Any) -> Any:
    """Return a view of pairs as complex numbers; a copy of pairs that do not lie side by side, as cotangents may."""
    dtype = _complex_dtype(x)
    if x.strides[-1] != x.itemsize or not x.flags.aligned:
        x = np.ascontiguousarray(x)
    return x.view(dtype)[..., 0]


def _resolved(bit: int) -> int | None:
    return None if bit else 0


view_as_real = linear("view_as_real(x)", _as_real, view=True, bit=_resolved, real_linear=True, kinds="c",
    shape=lambda x: (*x, 2), dtype=real_of,
    reach=taken,
    batch=same,
    x=lambda g: view_as_complex(g),
    samples=lambda: SHAPES)  # fmt: skip

view_as_complex = linear("view_as_complex(x)", _as_complex, view=True, bit=_resolved, real_linear=True, kinds="f",
    shape=lambda x: x[:-1], dtype=_paired,
    reach=placed,
    batch=same,
    x=lambda g: view_as_real(g),
    samples=lambda: [Sample((3, 4, 2)), Sample((2,)), Sample((0, 2))])  # fmt: skip


conj = elementwise("conj(x)", np.conjugate,
    jvp=lambda x_dot: conj(x_dot),
    x=lambda g: conj(g))  # fmt: skip

# What users call `conj`: no copy but a view, which is still to be conjugated. Rules take the one above.
conj_view = linear("conj_view(x)", np.conjugate, view=True, real_linear=True, node="Conj", kinds="c",
    bit=lambda bit: bit ^ CONJ, stored=lambda x: x[...],
    shape=first, dtype=like_first,
    reach=in_order,
    batch=same,
    x=lambda g: conj(g),
    samples=lambda: SHAPES)  # fmt: skip

conj_physical = elementwise("conj_physical(x)", np.conjugate,
    jvp=lambda x_dot: conj(x_dot),
    x=lambda g: conj(g))  # fmt: skip


def real_part(x: Any) -> Any:
    """Return the real part of complex values, real values as they are."""
    return real(x) if is_complex(x) else x


def _sign(x: Any) -> Any:
    """Return -1, 0 or 1, and 0 for NaN, as PyTorch does (``np.sign`` gives NaN, in half as much time again)."""
    if x.dtype.kind == "c":
        return np.sign(x)
    if not x.ndim and x.dtype.kind == "f":
        return np.sign(x) if x == x else x.dtype.type(0)
    return (np.greater(x, 0).view(np.int8) - np.less(x, 0).view(np.int8)).astype(x.dtype)


def _through_sgn(t: Any, x: Any, out: Any) -> Any:
    """Return the tangent of x/|x|, the part of t across x over |x|: a self-adjoint map of t; 0 at x = 0."""
    if not is_complex(x):
        return flat(t)
    size = abs(x)
    return (t - out * real(t * conj(out))) / where(size == 0, math.inf, size)


def _lower_sign(x: Any) -> Any:
    if x.kind == "c":
        return s.select(x == 0, 0, x / s.abs(x))
    return s.select(x > 0, 1, s.select(x < 0, -1, 0))


sign = elementwise("sign(x)", _sign, kinds="bif",
    reach=nowhere,
    public=True, inplace=True,
    lower=_lower_sign,
    x=lambda g: flat(g),
    doc=unary("Return -1, 0 or 1: the sign of each element; 0 for NaN.", "cr.sign(cr.tensor([-2.0, 0.0, 3.0]))",
        "tensor([-1.,  0.,  1.])", "any real dtype", notes="The derivative is 0, at 0 too."))  # fmt: skip

sgn = elementwise("sgn(x)", _sign, kinds="bifc",
    public=True, inplace=True,
    lower=_lower_sign,
    jvp=lambda x_dot, x, out: _through_sgn(x_dot, x, out),
    x=lambda g, x, out: _through_sgn(g, x, out),
    doc=unary("Return ``x / |x|`` of each element x, and 0 at 0: the sign of real ones.", "cr.sgn(cr.tensor([3 + 4j, 0j]))",
        "tensor([0.6000+0.8000j, 0.0000+0.0000j])", "any",
        notes="The derivative at 0 is taken as 0."))  # fmt: skip

abs = elementwise("abs(x)", np.absolute, dtype=real_of, kinds="ifc",
    public=True, inplace=True, aliases=("absolute",),
    jvp=lambda x_dot, x: real_part(x_dot * conj(sgn(x))),
    x=lambda g, x: g * sgn(x),
    doc=unary("Return the magnitude of each element.", "cr.abs(cr.tensor([-2.0, 0.0, 3.0]))", "tensor([2., 0., 3.])", "ifc",
        "real", "The derivative at 0 is taken as 0, the least of its subgradients."))  # fmt: skip


def _angle(x: Any) -> Any:
    if x.dtype.kind == "c":
        return np.arctan2(x.imag, x.real)
    out = np.where(x < 0, np.pi, np.where(np.isnan(x), x, 0))
    return out.astype(x.dtype) if x.dtype.kind == "V" else out


def _lower_angle(x: Any) -> Any:
    return s.atan2(s.imag(x), s.real(x)) if x.kind == "c" else s.select(x < 0, math.pi, s.select(s.isnan(x), x, 0))


def _angle_tangent(t: Any, x: Any) -> Any:
    """Return the tangent of the phase, Im(t / x): 0 at 0, and for real values."""
    if not is_complex(x):
        return flat(t)
    return real(t * conj(_turn(x)))


def _turn(x: Any) -> Any:
    """Return i x / |x|², the gradient of the phase; 0 at 0."""
    zero = x == 0
    safe = where(zero, 1, x)
    return where(zero, 0, 1j / conj(safe))


angle = elementwise("angle(x)", _angle, dtype=lambda x: real_of(floating(x)), promotion="float", kinds="bifc",
    public=True,
    lower=_lower_angle,
    jvp=lambda x_dot, x: _angle_tangent(x_dot, x),
    x=lambda g, x: g * _turn(x) if is_complex(x) else flat(g),
    doc=unary("Return the phase of each element in radians: 0 or π for real ones.", "cr.angle(cr.tensor([1j, -1 + 0j]))",
        "tensor([1.5708, 3.1416])", result="real", notes="The derivative at 0 is taken as 0."))  # fmt: skip
