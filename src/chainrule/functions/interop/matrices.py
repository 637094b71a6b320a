"""`numpy.linalg`'s functions on tensors, with its arguments and the names of its results.

Each calls `chainrule.linalg`'s function; the table at the end is what ``interop.numpy`` looks up.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.tensor.tensor import Tensor, wrap


def _ours() -> Any:
    return sys.modules["chainrule"].linalg  # type: ignore[attr-defined]


def _tensor(x: Any) -> Any:
    return x if isinstance(x, Tensor) else wrap(np.asarray(x))


def _qr(a: Any, mode: str = "reduced") -> Any:
    if mode == "raw":
        packed, tau = sys.modules["chainrule"].geqrf(a)  # type: ignore[attr-defined]
        return packed.mT, tau
    return _ours().qr(a, mode)[1] if mode == "r" else _ours().qr(a, mode)


def _svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    if hermitian:  # one triangle stands for both
        a = a.tril() + a.tril(-1).mH
    return _ours().svd(a, full_matrices) if compute_uv else _ours().svdvals(a)


def _solve(a: Any, b: Any) -> Any:
    a, b = _tensor(a), _tensor(b)
    if b.ndim == 1:
        return _ours().solve(a, b.unsqueeze(1)).squeeze(-1)
    while b.ndim < a.ndim:  # PyTorch would take a batch of vectors for it where shapes allow
        b = b.unsqueeze(0)
    return _ours().solve(a, b)


def _lstsq(a: Any, b: Any, rcond: Any = None) -> tuple:
    """Return NumPy's four results: the rank is a number, and residuals are those of one system, or none."""
    a, b = _tensor(a), _tensor(b)
    for x in (a, b)[: 1 + (b.ndim != 1)]:
        if x.ndim != 2:
            raise np.linalg.LinAlgError(f"{x.ndim}-dimensional array given. Array must be two-dimensional")
    found = _ours().lstsq(a, b, rcond, driver="gelsd")
    return found.solution, found.residuals, int(found.rank), found.singular_values


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    return _ours().norm(x, ord, axis, keepdims)


def _matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    return _ours().matrix_norm(x, ord, keepdim=keepdims)


def _vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    return _ours().vector_norm(x, ord, axis, keepdims)


def _tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    return _ours().tensorsolve(_tensor(a), _tensor(b), axes)


def _cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    return _ours().cross(*sys.modules["chainrule"].broadcast_tensors(_tensor(x1), _tensor(x2)), dim=axis)  # type: ignore[attr-defined]


def _diagonal(x: Any, /, *, offset: int = 0) -> Any:
    return x.diagonal(offset, -2, -1)


def _trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    return _diagonal(x, offset=offset).sum(-1, **({} if dtype is None else {"dtype": dtype}))


def _matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    if tol is not None and rtol is not None:
        raise ValueError("`tol` and `rtol` can't be both set.")
    return _ours().matrix_rank(A, tol, hermitian, rtol=rtol)


FUNCTIONS: dict[str, Callable] = {
    "linalg.norm": _norm, "linalg.qr": _qr, "linalg.svd": _svd, "linalg.solve": _solve, "linalg.lstsq": _lstsq,
    "linalg.vector_norm": _vector_norm, "linalg.tensorsolve": _tensorsolve, "linalg.cross": _cross,
    "linalg.diagonal": _diagonal, "linalg.trace": _trace, "linalg.matrix_rank": _matrix_rank,
    "linalg.matrix_norm": _matrix_norm,
    "linalg.multi_dot": lambda arrays: _ours().multi_dot([_tensor(a) for a in arrays]),
    "linalg.tensorinv": lambda a, ind=2: _ours().tensorinv(a, ind),
    "linalg.cond": lambda x, p=None: _ours().cond(x, p),
    "linalg.matmul": lambda x1, x2, /: np.matmul(x1, x2), "linalg.outer": lambda x1, x2, /: np.outer(x1, x2),
    "linalg.tensordot": lambda x1, x2, /, *, axes=2: np.tensordot(x1, x2, axes=axes),
    "linalg.vecdot": lambda x1, x2, /, *, axis=-1: _ours().vecdot(_tensor(x1), _tensor(x2), dim=axis),
    "linalg.matrix_transpose": lambda x, /: x.mT, "matrix_transpose": lambda x, /: x.mT,
}  # fmt: skip
