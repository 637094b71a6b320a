"""What depends on which singular values count as 0: pseudoinverse, rank, least squares: `chainrule.linalg`'s part."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.call.dispatch import cast
from chainrule.core.op.samples import Matrices, Sample
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import examined, satisfies
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.shape import broadcast
from chainrule.functions.adapt import public
from chainrule.functions.linalg.arguments import as_columns, expanded
from chainrule.functions.linalg.contract import operand
from chainrule.ops.indexing.mask import nonzero
from chainrule.ops.indexing.select import where
from chainrule.ops.indexing.view import getitem
from chainrule.ops.linalg import singular, symmetric
from chainrule.ops.linalg.contract import matmul
from chainrule.ops.linalg.matrix import real_part
from chainrule.ops.pointwise.complex import abs
from chainrule.ops.pointwise.extremum import maximum
from chainrule.ops.reduction.reduce import amax, sum
from chainrule.ops.shaping.shape import broadcast_to, detach, reshape, squeeze, unsqueeze
from chainrule.return_types import named_result

__all__ = ["lstsq", "matrix_rank", "pinv"]

_linalg_lstsq = named_result("linalg_lstsq", "solution", "residuals", "rank", "singular_values")
_DEFICIENT = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0], [0.0, 2.0, 2.0]])
_UNFIT = "This function doesn't handle types other than float and double"


# -- tolerances --------------------------------------------------------------------------------------------------------


def _tolerance(value: Any, x: Tensor, name: str, argument: str) -> Any:
    """Return a tolerance as a tensor of the batch's shape."""
    if isinstance(value, Tensor):
        if value.dtype.category == dtypes.COMPLEX:
            raise RuntimeError(f"{name}: {argument} tensor of complex type is not supported. Got {value.dtype.old_name}")
        value = cast(detach(value), x.dtype.to_real())
    else:
        value = wrap(np.asarray(value, x.dtype.to_real().numpy))
    lead = broadcast(tuple(value.shape), tuple(x.shape[:-2]))
    return value if tuple(value.shape) == lead else broadcast_to(value, shape=lead)


def tolerances(x: Tensor, atol: Any, rtol: Any, name: str) -> tuple:
    """Return the absolute and the relative tolerance; by default the latter is max(m, n) ε, or 0 with an absolute one."""
    if rtol is None and isinstance(atol, Tensor):
        rtol = where(detach(atol) > 0, 0.0, _default(x))
    elif rtol is None:
        rtol = 0.0 if atol is not None and atol > 0 else _default(x)
    return _tolerance(0.0 if atol is None else atol, x, name, "atol"), _tolerance(rtol, x, name, "rtol")


def _default(x: Tensor) -> float:
    return max(x.shape[-2:]) * float(np.finfo(x.dtype.to_real().numpy).eps)


# -- pseudoinverse and rank --------------------------------------------------------------------------------------------


def _pinv_argument(A: Any) -> Tensor:
    x = operand(A, "linalg.pinv", "input", 1)
    if x.ndim < 2 or x.dtype.category < dtypes.FLOAT or x.dtype.itemsize == 2:
        raise RuntimeError(
            f"linalg.pinv({x.dtype.old_name}{{{list(x.shape)}}}): expected a tensor with 2 or more dimensions of float, "
            "double, cfloat or cdouble types"
        )
    return x


@public(name="linalg.pinv", method=False, out=True, samples=lambda: [
    Sample((3, 3)), Sample((4, 2)), Sample((2, 2, 3)), Sample((0, 3)), Sample((3, 0)), Sample((0, 2, 2)), Sample(_DEFICIENT),
    Sample((3, 2), rcond=0.1), Sample((3, 2), atol=0.1, rtol=0.2), Sample(Matrices((3, 3), "hermitian"), hermitian=True),
    Sample((2, 3, 2), 0.1), Sample((3, 2), atol=0.01),
    Sample((3,), error=(RuntimeError, "linalg.pinv(")),
])  # fmt: skip
def pinv(A: Tensor, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None) -> Tensor:
    """Return the pseudoinverses of Moore and Penrose.

    Parameters
    ----------
    A : Tensor
        Shape (…, m, n).
    rcond : number or Tensor, optional
        The older name of `rtol`.
    hermitian : bool
        Whether the matrices are Hermitian; the lower triangle is read.
    atol, rtol : number or Tensor, optional
        Singular values up to max(atol, rtol σ₁) count as 0; by default 0 and max(m, n) ε; `rtol` is 0 if `atol` is positive.

    Returns
    -------
    Tensor
        Shape (…, n, m).

    Notes
    -----
    The derivative is that among matrices of the same rank, which repeated singular values do not disturb (Golub & Pereyra 1973,
    eq. 4.12).

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.pinv(cr.tensor([[2.0, 0.0], [0.0, 0.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.0000]])
    """
    x = _pinv_argument(A)
    absolute, relative = tolerances(x, atol, rcond if rtol is None else rtol, "torch.linalg.pinv")
    if hermitian:
        if x.shape[-1] != x.shape[-2]:
            raise RuntimeError(
                f"linalg.eigh: A must be batches of square matrices, but they are {x.shape[-2]} by {x.shape[-1]} matrices"
            )
        x = symmetric.mirrored(x, upper=False)
    lead = tuple(absolute.shape) if len(absolute.shape) > len(relative.shape) else tuple(relative.shape)
    return singular.pinv(expanded(x, broadcast(lead, tuple(x.shape[:-2]))), absolute, relative, symmetric=bool(hermitian))


@public(name="linalg.matrix_rank", method=False, out=True, samples=lambda: [
    Sample((3, 3)), Sample(_DEFICIENT), Sample((2, 3, 2)), Sample((0, 3)), Sample((2, 0, 3)), Sample((3, 2), tol=0.1),
    Sample((3, 2), atol=1.0), Sample((3, 2), rtol=0.5),
    Sample(Matrices((3, 3), "hermitian"), hermitian=True), Sample((3, 2), 0.5),
    Sample((3,), error=(RuntimeError, "torch.linalg.matrix_rank: The input tensor input must have at least 2 dimensions.")),
])  # fmt: skip
def matrix_rank(A: Tensor, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None) -> Tensor:
    """Return how many singular values are above a tolerance.

    Parameters
    ----------
    A : Tensor
        Shape (…, m, n).
    tol : number or Tensor, optional
        The older name of `atol`; no relative one is used then.
    hermitian : bool
        Whether the matrices are Hermitian; the lower triangle is read.
    atol, rtol : number or Tensor, optional
        As for :func:`pinv`.

    Returns
    -------
    Tensor of int64
        Shape (…); it has no derivative.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.matrix_rank(cr.ones(3, 2))
    tensor(1)
    """
    x = operand(A, "linalg.matrix_rank", "input", 1)
    if x.dtype.category < dtypes.FLOAT or x.dtype.itemsize == 2:
        raise RuntimeError(_UNFIT)
    if x.ndim < 2:
        raise RuntimeError("torch.linalg.matrix_rank: The input tensor input must have at least 2 dimensions.")
    if tol is not None:
        atol, rtol = tol, 0.0
    x = detach(x)
    absolute, relative = tolerances(x, atol, rtol, "torch.linalg.matrix_rank")
    if not x.shape[-1] or not x.shape[-2]:
        return wrap(np.zeros(tuple(x.shape[:-2]), np.int64))
    size = abs(symmetric.eigvalsh(x, upper=False)) if hermitian else singular.svdvals(x)
    top = amax(size, axis=(size.ndim - 1,), keepdims=True)
    above = size > maximum(_last(absolute), _last(relative) * top)
    return sum(cast(above, dtypes.int64), axis=(above.ndim - 1,), keepdims=False)


def _last(x: Tensor) -> Tensor:
    return unsqueeze(x, axis=x.ndim)


# -- least squares -----------------------------------------------------------------------------------------------------

_DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


@public(name="linalg.lstsq", method=False, out=True, samples=lambda: [
    Sample((4, 2), (4, 3)), Sample((2, 4, 2), (2, 4, 3)), Sample((2, 4, 2), (2, 4)), Sample((4, 2), (4,)),
    Sample((2, 4), (2, 1), driver="gelsd"), Sample(_DEFICIENT, (4, 2), driver="gelsd", kinds="f"),
    Sample((4, 2), (4, 1), driver="gels"),
    Sample((4, 2), (4, 2), driver="gelss"), Sample((4, 2), (4, 2), rcond=0.01), Sample(_DEFICIENT, (4, 2), kinds="f"),
    Sample((4, 2), (5,), error=(RuntimeError, "torch.linalg.lstsq: input.size(-2) should match other.size(-1)")),
    Sample((4, 2), (4, 1), driver="x", error=(RuntimeError, "torch.linalg.lstsq: parameter `driver` should be one of (gels, ")),
])  # fmt: skip
def lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None) -> Any:
    """Return the X of least norm that minimises the norm of A X - B.

    Parameters
    ----------
    A : Tensor
        Shape (…, m, n).
    B : Tensor
        Shape (…, m, k), or (…, m): vectors.
    rcond : number, optional
        Singular values up to this times the largest count as 0; max(m, n) ε by default.
    driver : {"gelsy", "gels", "gelsd", "gelss"}
        LAPACK's routine that PyTorch would use. The solution is the same here; "gels" takes matrices to have full rank, "gelsd"
        and "gelss" give the singular values.

    Returns
    -------
    namedtuple (solution, residuals, rank, singular_values)
        Of shapes (…, n, k); (…, k), the squared norms of A X - B, empty unless m > n and all have full rank; (…), empty for
        "gels"; (…, min(m, n)), empty but for "gelsd" and "gelss". Rank and singular values have no derivative.

    Notes
    -----
    The solution is the pseudoinverse times B, with its derivative: right for matrices of deficient rank, too.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linalg.lstsq(cr.tensor([[1.0], [1.0]]), cr.tensor([[1.0], [3.0]])).solution.round(decimals=4)
    tensor([[2.]])
    """
    name = "torch.linalg.lstsq"
    a, b = operand(A, "linalg.lstsq", "input", 1), operand(B, "linalg.lstsq", "b", 2)
    _check_lstsq(name, a, b, driver)
    vector = b.ndim == 1 or (a.ndim - 1 == b.ndim and tuple(b.shape) == tuple(a.shape[:-1]))
    if b.shape[-1 if vector else -2] != a.shape[-2]:
        place = "-1" if b.ndim == a.ndim - 1 else "-2"
        raise RuntimeError(f"{name}: input.size(-2) should match other.size({place})")
    b = as_columns(b) if vector else b
    lead = broadcast(tuple(a.shape[:-2]), tuple(b.shape[:-2]))
    a, b = expanded(a, lead), expanded(b, lead)
    driver = driver or "gelsy"
    limit = 0.0 if driver == "gels" else _default(a) if rcond is None else float(rcond)
    inverse = pinv(a, rtol=limit)
    out = matmul(inverse, b)
    rank = matrix_rank(a, rtol=limit)
    m, n = a.shape[-2:]
    nothing = wrap(np.empty((0,), a.dtype.to_real().numpy))
    none_of = reshape(getitem(real_part(out), index=(..., slice(0))), shape=(0,))  # recorded, as PyTorch's are
    full = driver == "gels" or _all_equal(rank, n)
    residuals = none_of
    if m > n and full and driver != "gelsy":
        gap = abs(matmul(a, out) - b)
        residuals = sum(gap * gap, axis=(gap.ndim - 2,), keepdims=False)
    values = singular.svdvals(detach(a)) if driver in ("gelsd", "gelss") else nothing
    if vector:
        out = squeeze(out, axis=(out.ndim - 1,), form="1")
    return _linalg_lstsq(out, residuals, wrap(np.empty((0,), np.int64)) if driver == "gels" else rank, values)


def _all_equal(rank: Tensor, n: int) -> bool:
    """Tell whether all ranks are `n`; raise in a trace without values, as what asks for places of values does."""
    if examined(rank) is None:
        return not nonzero(rank != n).numel()
    return satisfies(rank, lambda known: (known == n).all())


def _check_lstsq(name: str, a: Tensor, b: Tensor, driver: Any) -> None:
    if a.ndim < 2:
        raise RuntimeError(f"{name}: input must have at least 2 dimensions.")
    if b.ndim < 1:
        raise RuntimeError(f"{name}: other must have at least 1 dimension.")
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"{name}: Expected input and other to have the same dtype, but got input's dtype {a.dtype.old_name} and other's "
            f"dtype {b.dtype.old_name}"
        )
    if a.dtype.category < dtypes.FLOAT or a.dtype.itemsize == 2:
        raise RuntimeError(_UNFIT)
    if driver is not None and driver not in _DRIVERS:
        raise RuntimeError(f"{name}: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)")
