"""Where vectors are determined only up to a gauge: quotients by gaps between values, phases, and checks of cotangents.

Eigen- and singular vectors of a repeated value may be rotated among themselves, and complex ones turned by a phase. A
derivative in such a direction is 0 / 0 where the loss does not depend on the gauge, and taken as 0; where it does, `checked`
says so, by an error of a cotangent and by a warning of a tangent, of which nobody knows yet what becomes.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from chainrule.core.op.batching import same
from chainrule.core.op.declaration import op
from chainrule.core.op.reach import apart, in_order
from chainrule.core.op.results import first, like_first, real_of
from chainrule.core.op.samples import Fixed, Sample
from chainrule.core.tensor.value import is_complex
from chainrule.ops.linalg.matrix import column, in_lapack, mh, real_part, row
from chainrule.ops.pointwise.complex import conj, imag
from chainrule.ops.reduction.reduce import sum

ndarray = np.ndarray


def repeated(w: ndarray) -> ndarray:
    """Return which pairs of values are one but for rounding, each with itself."""
    apart = np.abs(w[..., None, :] - w[..., :, None])
    size = np.max(np.abs(w), axis=-1, initial=0)[..., None, None]
    return apart <= 4 * max(w.shape[-1], 1) ** 0.5 * np.finfo(w.dtype).eps * size


def _inverse_gaps(w: ndarray) -> ndarray:
    same_value = repeated(w)
    return np.where(same_value, 0, 1 / np.where(same_value, 1, w[..., None, :] - w[..., :, None])).astype(w.dtype, copy=False)


def _gaps_pull(g: Any, out: Any) -> Any:
    moved = g * conj(out * out) if is_complex(out) else g * out * out
    return sum(moved, axis=(moved.ndim - 1,), keepdims=False) - sum(moved, axis=(moved.ndim - 2,), keepdims=False)


inverse_gaps = op("inverse_gaps(w)", _inverse_gaps,
    shape=lambda w: (*w, w[-1]), dtype=like_first,
    reach=apart(1, 2),
    batch=same,
    jvp=lambda w_dot, out: out * out * (column(w_dot) - row(w_dot)),
    w=_gaps_pull,
    doc="1 / (w[j] - w[i]), and 0 where these are one value.",
    samples=lambda: [*[Sample(shape) for shape in ((3,), (2, 3), (0,), (0, 2))],
                     Sample(Fixed(np.array([1.0, 2.0, 1.0])))])  # fmt: skip


def over_gaps(c: Any, w: Any) -> Any:
    """Return c[i, j] / (w[j] - w[i]), and 0 where these are one value."""
    return c * inverse_gaps(w)


# -- checks ------------------------------------------------------------------------------------------------------------


def _checked(c: ndarray, w: ndarray, *, phases: bool, name: str) -> ndarray:
    """Return `c`, the cotangent in the frame of the vectors, if nothing of it turns those that are free to turn."""
    free = repeated(w)
    n = w.shape[-1]
    turning = np.abs(c - mh(c)) / 2
    limit = 1e-2 if c.dtype.itemsize // (1 + (c.dtype.kind == "c")) < 8 else 1e-6
    limit = limit * np.maximum(np.max(np.abs(c), axis=(-2, -1), initial=0, keepdims=True), 1)
    among = free & ~np.eye(n, dtype=bool)
    if phases and c.dtype.kind == "c" and np.any((turning > limit) & np.eye(n, dtype=bool)):
        raise RuntimeError(_PHASE[name])
    if np.any((turning > limit) & among):
        raise RuntimeError(
            f"{name}_backward: a value occurs more than once, so that its vectors are specified up to a rotation among "
            "themselves. The specified loss function depends on this rotation, making it ill-defined."
        )
    return np.array(c)


_OF_EIGENVECTORS = (
    "_backward: The eigenvectors in the complex case are specified up to multiplication by e^{i phi}. The specified loss "
    "function depends on this quantity, so it is ill-defined."
)
_PHASE = {
    "linalg_eigh": f"linalg_eigh{_OF_EIGENVECTORS}",
    "linalg_eig": f"linalg_eig{_OF_EIGENVECTORS}",
    "svd": "svd_backward: The singular vectors in the complex case are specified up to multiplication by e^{i phi}. The "
    "specified loss function depends on this phase term, making it ill-defined.",
}  # fmt: skip

checked = op("checked(c, w, *, phases, name)", _checked,
    refuses=True,
    shape=first, dtype=like_first,
    reach=in_order,
    batch=same,
    jvp=lambda c_dot: c_dot,
    c=lambda g: g,
    doc="Its first input, the cotangent of vectors in their own frame; an error if the loss depends on their gauge.",
    samples=lambda: [
        Sample(np.triu(np.ones((3, 3))), np.arange(3.0), phases=True, name="svd"),
        Sample(np.triu(np.ones((2, 2))), np.ones(2), phases=False, name="linalg_eigh",
               error=(RuntimeError, "linalg_eigh_backward: a value occurs more than once")),
        Sample(np.diag([1j, 0]), np.ones(2), phases=True, name="svd",
               error=(RuntimeError, "svd_backward: The singular vectors in the complex case are specified up to")),
    ])  # fmt: skip


@in_lapack
def _cautioned(c: ndarray, w: ndarray, *, name: str) -> ndarray:
    """Return `c`, and warn if vectors of one value meet in it."""
    among = repeated(w) & ~np.eye(w.shape[-1], dtype=bool)
    size = np.max(np.abs(c), axis=(-2, -1), initial=0, keepdims=True)
    if np.any((np.abs(c) > np.sqrt(np.finfo(w.dtype).eps) * size) & among):
        warnings.warn(
            f"{name}: a value occurs more than once, and its vectors are specified up to a rotation among themselves. The "
            "derivative is right of what depends on the space that they span, and not of what takes these vectors "
            "together with the values (as V diag(f(values)) Vᴴ does), or one by one.",
            UserWarning,
            stacklevel=2,
        )
    return np.array(c)


cautioned = op("cautioned(c, w, *, name)", _cautioned,
    refuses=True,
    shape=first, dtype=like_first,
    reach=in_order,
    batch=same,
    jvp=lambda c_dot: c_dot,
    c=lambda g: g,
    doc="Its first input; a warning if it mixes vectors of one value.",
    samples=lambda: [Sample((3, 3), np.arange(3.0), name="linalg_eigh"), Sample((0, 0), (0,), name="linalg_eigh")])  # fmt: skip


# -- phases ------------------------------------------------------------------------------------------------------------


def _anchors(v: ndarray) -> ndarray:
    """Return where each column has its largest element, the first of several equal ones."""
    size = np.abs(v)
    largest = size >= np.max(size, axis=-2, initial=0, keepdims=True) * (1 - 1e-5)
    return (largest & (np.cumsum(largest, axis=-2) == 1)).astype(size.dtype)


anchors = op("anchors(v)", _anchors, nondiff=True,
    shape=first, dtype=real_of,
    batch=same,
    doc="1 at the largest element of each column, which is real in vectors of a fixed phase, and 0 elsewhere.",
    samples=lambda: [Sample((3, 2)), Sample((2, 2, 2)), Sample((0, 0))])  # fmt: skip


def phase_of(v: ndarray) -> ndarray:
    """Return the phases of columns' largest elements, to divide by."""
    top = np.sum(v * _anchors(v), axis=-2, keepdims=True)
    return np.where(top == 0, 1, top / np.where(top == 0, 1, np.abs(top)))


def held(v_dot: Any, v: Any) -> tuple:
    """Return the tangent of columns less what turns their phases, and the phases' rate (to turn others with them)."""
    mark = anchors(v)
    size = sum(real_part(v) * mark, axis=(v.ndim - 2,), keepdims=True)
    rate = sum(imag(v_dot) * mark, axis=(v.ndim - 2,), keepdims=True) / size
    return v_dot - v * (rate * 1j), rate


def released(g: Any, v: Any, turning: Any) -> Any:
    """Return the cotangent before `held`: `turning` is how much each column's phase counts."""
    mark = anchors(v)
    size = sum(real_part(v) * mark, axis=(v.ndim - 2,), keepdims=True)
    return g - mark * (row(turning) / size * 1j)
