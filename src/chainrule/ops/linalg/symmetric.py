"""Hermitian matrices: Cholesky factors and eigenvectors. One triangle is read; derivatives are those among such matrices.

Tangents are made Hermitian first, and cotangents last, so that a gradient is one among Hermitian matrices, as PyTorch's is.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.op.batching import same
from chainrule.core.op.declaration import op
from chainrule.core.op.links import Link
from chainrule.core.op.reach import Call, apart, so_far
from chainrule.core.op.results import first, like_first, real_of
from chainrule.core.op.samples import Matrices, Sample
from chainrule.core.tensor.value import is_complex
from chainrule.ops.linalg.contract import matmul
from chainrule.ops.linalg.gauge import cautioned, checked, held, over_gaps, phase_of, released
from chainrule.ops.linalg.matrix import diagonal_of, hermitian, in_lapack, mh, on_diagonal, product, real_part, row, skew, total
from chainrule.ops.linalg.solve import INT32, lapack, solve_triangular, zeros_info
from chainrule.ops.pointwise.complex import conj, imag
from chainrule.ops.reduction.reduce import sum
from chainrule.ops.shaping.shape import tril

ndarray = np.ndarray


def _mirrored(x: ndarray, *, upper: bool) -> ndarray:
    part = np.triu(x) if upper else np.tril(x)
    out = part + mh(np.triu(x, 1) if upper else np.tril(x, -1))
    if x.dtype.kind == "c":
        diagonal = np.einsum("...ii->...i", out)
        diagonal.imag = 0
    return out


def _mirror_images(shape: tuple) -> np.ndarray:
    """Return labels of a stack of matrices' elements, flat, of which mirror images have one: that of the lower one."""
    low = np.sort(np.indices(shape[-2:]), axis=0)[::-1]
    place = low[0] * shape[-1] + low[1]
    return (place + place.size * np.arange(prod(shape[:-2])).reshape(-1, 1, 1)).ravel()


def _mirrors(c: Call, i: int, o: int) -> Link:
    """Elements reach their own place and its mirror image."""
    labels = _mirror_images(c.shapes[i])
    return Link(labels, labels)


mirrored = op("mirrored(x, *, upper)", _mirrored,
    shape=first, dtype=like_first,
    reach=_mirrors,
    batch=same,
    jvp=lambda x_dot: hermitian(x_dot),
    x=lambda g: hermitian(g),
    doc="The Hermitian matrices that one triangle means.",
    samples=lambda: [Sample(Matrices((2, 3, 3), "hermitian"), upper=False), Sample(Matrices((2, 2), "hermitian"), upper=True),
                     Sample((0, 0), upper=True)])  # fmt: skip


# -- Cholesky ----------------------------------------------------------------------------------------------------------


@in_lapack
def _cholesky(x: ndarray, *, upper: bool) -> tuple:
    try:
        out = np.linalg.cholesky(x, upper=upper)
        d = np.diagonal(out, axis1=-2, axis2=-1).real
        wrong = ~((d > 0) & (d < np.inf))  # of what is not finite NumPy does not tell
        if not wrong.any():
            return out, zeros_info(x.shape[:-2])
        return out, np.where(wrong.any(axis=-1), np.argmax(wrong, axis=-1) + 1, 0).astype(INT32)[()]
    except np.linalg.LinAlgError:
        potrf = lapack("potrf", x)
        out, info = np.empty_like(x), np.zeros(x.shape[:-2], INT32)
        for at in np.ndindex(info.shape):
            out[at], info[at] = potrf(x[at], lower=not upper)
        return out, info[()]


def _half(x: Any) -> Any:
    """Return the lower triangle with half of the diagonal: Φ of Murray (2016), eq. 7."""
    return tril(x, k=0) - on_diagonal(diagonal_of(x)) * 0.5


def _lower(out: Any, upper: bool) -> Any:
    return mh(out) if upper else out


def _cholesky_jvp(x_dot: Any, out: Any, *, upper: bool) -> tuple:
    factor = _lower(out[0], upper)
    inner = mh(solve_triangular(factor, mh(solve_triangular(factor, hermitian(x_dot), upper=False, unit=False)),
                                upper=False, unit=False))  # fmt: skip
    return _lower(matmul(factor, _half(inner)), upper), None


def _cholesky_pull(g: Any, out: Any, *, upper: bool) -> Any:
    factor, g = _lower(out[0], upper), _lower(g[0], upper)
    above = mh(factor)
    middle = hermitian(_half(matmul(above, tril(g, k=0))))
    left = solve_triangular(above, middle, upper=True, unit=False)
    return mh(solve_triangular(above, mh(left), upper=True, unit=False))


POSITIVE = [Matrices(shape, "positive") for shape in ((3, 3), (2, 3, 3), (1, 1))]
EMPTY = [(0, 0), (0, 2, 2)]


def _eliminated(c: Call, i: int, o: int) -> Link:
    """Elements, and mirror images, reach those of the factor that lie neither above nor to the left of them."""
    shape, labels = c.shapes[i], _mirror_images(c.shapes[i])
    lines, n, own = prod(shape[:-2]), shape[-1], so_far(shape[-1])
    triangle = np.triu if c.params["upper"] else np.tril
    outs = np.where(triangle(np.ones(shape, bool)).ravel(), labels, -1)
    return Link(labels, outs, (own.along(lines, n), own.along(lines * n, 1)))


cholesky = op("cholesky(x, *, upper)", _cholesky, node="LinalgCholeskyEx",
    shape=lambda x: [x, x[:-2]], dtype=lambda x: [x, INT32],
    reach=_eliminated,
    batch=same,
    jvp=_cholesky_jvp,
    x=_cholesky_pull,
    doc="Cholesky factors, and the info of each: Murray, arXiv 1602.07527, eqs. 8 and 10.",
    samples=lambda: [Sample(x, upper=upper) for x in [*POSITIVE, *EMPTY] for upper in (False, True)])  # fmt: skip


# -- eigenvectors ------------------------------------------------------------------------------------------------------


@in_lapack
def _eigh(x: ndarray, *, upper: bool, strict: bool) -> tuple:
    w, v = _with_finite(lambda x: np.linalg.eigh(x, "U" if upper else "L"), x)
    return (w, v / phase_of(v)) if v.dtype.kind == "c" else (w, v)


def _with_finite(f: Any, x: ndarray) -> Any:
    """Return what LAPACK makes of matrices, and NaN of those that hold a NaN or infinity, of which it may not return."""
    if np.isfinite(x.sum()) or np.isfinite(x).all():
        return f(x)
    bad = ~np.isfinite(x).all(axis=(-2, -1))
    found = f(np.where(bad[..., None, None], 0, x))
    if isinstance(found, tuple):
        return tuple([np.where(bad.reshape(*bad.shape, *(1,) * (o.ndim - bad.ndim)), np.nan, o) for o in found])
    return np.where(bad[..., None], np.nan, found)


def _eigh_jvp(x_dot: Any, out: Any, *, upper: bool, strict: bool) -> tuple:
    w, v = out
    inner = product(mh(v), hermitian(x_dot), v)
    apart = cautioned(inner, w, name="linalg_eigh") if strict else inner
    v_dot = matmul(v, over_gaps(apart, w))
    return real_part(diagonal_of(inner)), held(v_dot, v)[0] if is_complex(v) else v_dot


def _eigh_pull(g: Any, out: Any, *, upper: bool, strict: bool) -> Any:
    w, v = out
    g_w, g_v = g
    inner = None if g_w is None else on_diagonal(g_w)
    if g_v is not None:
        frame = matmul(mh(v), g_v)
        if strict:
            frame = checked(frame, w, phases=True, name="linalg_eigh")
            frame = frame if g_w is None else cautioned(frame, w, name="linalg_eigh")
        elif is_complex(v):
            frame = matmul(mh(v), released(g_v, v, imag(diagonal_of(frame))))
        inner = total(over_gaps(skew(frame) * 0.5, w), inner)
    return None if inner is None else hermitian(product(v, inner, mh(v)))


def _hermitian_samples(**given: Any) -> list:
    shapes = ((3, 3), (2, 3, 3), (1, 1))
    return [Sample(x, upper=upper, **given) for x in [*[Matrices(s, "hermitian") for s in shapes], *EMPTY]
            for upper in (False, True)]  # fmt: skip


eigh = op("eigh(x, *, upper, strict)", _eigh, node="LinalgEigh",
    shape=lambda x: [x[:-1], x], dtype=lambda x: [real_of(x), x],
    reach=apart(2, (1, 2)),
    batch=same,
    jvp=_eigh_jvp,
    x=_eigh_pull,
    doc="""Eigenvalues and eigenvectors of Hermitian matrices: Giles (2008), section 3.1, with the correction of arXiv
    1701.00392, eq. 4.77. Complex vectors have the phase in which the largest element is real. `strict` refuses losses
    that depend on a gauge; without it derivatives are those in this phase.""",
    samples=lambda: _hermitian_samples(strict=False))  # fmt: skip


@in_lapack
def _eigvalsh(x: ndarray, *, upper: bool) -> ndarray:
    return _with_finite(lambda x: np.linalg.eigvalsh(x, "U" if upper else "L"), x)


def _frame(x: Any, upper: bool) -> Any:
    return eigh(x, upper=upper, strict=True)[1]


def _rates(v: Any, x_dot: Any) -> Any:
    """Return the diagonal of vᴴ ẋ v."""
    return sum(
        real_part(conj(v) * matmul(x_dot, v)) if is_complex(v) else v * matmul(x_dot, v), axis=(v.ndim - 2,), keepdims=False
    )


eigvalsh = op("eigvalsh(x, *, upper)", _eigvalsh, node="LinalgEigh",
    shape=lambda x: x[:-1], dtype=real_of,
    reach=apart(2, 1),
    batch=same,
    jvp=lambda x_dot, x, *, upper: _rates(_frame(x, upper), hermitian(x_dot)),
    x=lambda g, x, *, upper: _weighted(_frame(x, upper), g),
    doc="Eigenvalues of Hermitian matrices; of repeated ones the derivative is one of several.",
    samples=lambda: _hermitian_samples())  # fmt: skip


def _weighted(v: Any, g: Any) -> Any:
    return matmul(v * row(g), mh(v))
