"""Variances, covariances and norms under PyTorch's names."""

from __future__ import annotations

import warnings
from math import prod
from typing import Any

import numpy as np

from chainrule.core.call.asking import as_factors
from chainrule.core.call.dispatch import as_tensor, cast
from chainrule.core.op.samples import Ints, Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import satisfies
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.shape import axes_tuple
from chainrule.functions.adapt import public
from chainrule.functions.reduction.reduce import dims
from chainrule.ops.indexing.view import diagonal
from chainrule.ops.linalg.contract import mm
from chainrule.ops.pointwise.complex import complex as join
from chainrule.ops.pointwise.extremum import clamp, clamp_min
from chainrule.ops.reduction import reduce
from chainrule.ops.reduction import statistics as ops
from chainrule.ops.shaping.shape import reshape, squeeze, transpose

__all__ = ["corrcoef", "cov", "std", "std_mean", "var", "var_mean"]


# -- variance ----------------------------------------------------------------------------------------------------------


def _spread(name: str, op_call: Any, input: Any, dim: Any, unbiased: bool | None, keepdim: bool, correction: Any) -> Any:
    """Read the overloads ``(dim, unbiased, keepdim)``, ``(unbiased)`` and ``(dim, *, correction, keepdim)``."""
    x = as_tensor(input, name)
    if x.dtype.category < dtypes.FLOAT:
        what = "std and var" if name in ("std", "var") else name
        raise RuntimeError(f"{what} only support floating point and complex dtypes")
    if dim is True or dim is False:
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise TypeError(f"{name}() received an invalid combination of arguments - give either unbiased or correction")
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    axis = axes_tuple(dim, x.ndim)
    shape = x.shape
    count = reduce.count(shape, axis) if prod([n for i, n in enumerate(shape) if i not in axis]) else 0
    if count <= correction:
        warnings.warn(
            f"{name}(): degrees of freedom is <= 0. Correction should be strictly less than the reduction factor (input numel "
            "divided by output numel).",
            UserWarning,
            stacklevel=3,
        )
    return op_call(x, axis=axis, correction=correction, keepdims=keepdim)


def _spread_samples() -> list[Sample]:
    return [
        *[s for s in dims() if s.error is not None or s.args[0]], Sample((3, 4), 1, False), Sample((3, 4), False),
        Sample((3, 4), dim=1, correction=2), Sample((3, 4), 0, True, True), Sample((3, 4), dim=1, unbiased=False, keepdim=True),
        Sample(Ints((3,), 0, 4), error=(RuntimeError, "")),
    ]  # fmt: skip


@public(out=True, samples=lambda: [*_spread_samples(), Sample((0,)), Sample((1,))])
def var(
    input: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: Any = None
) -> Tensor:
    """Return the variance of the elements, over all axes or some.

    Parameters
    ----------
    input : Tensor
        Of any shape, floating point or complex.
    dim : int or tuple of int, optional
        Axes; all by default.
    unbiased : bool, optional
        The older way to say ``correction=1`` (True) or ``correction=0``.
    keepdim : bool
        Keep the axes with size 1.
    correction : number
        The sum of squares is divided by the number of elements less this; 1 by default.

    Returns
    -------
    Tensor
        Real, also for complex input.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.var(cr.tensor([1.0, 2.0, 3.0]))
    tensor(1.)
    """
    return _spread("var", ops.var, input, dim, unbiased, keepdim, correction)


@public(out=True, samples=lambda: [*_spread_samples(), Sample((0,)), Sample((1,)), Sample(np.ones((2, 3)))])
def std(
    input: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: Any = None
) -> Tensor:
    """Return the standard deviation of the elements, over all axes or some.

    Parameters
    ----------
    input, dim, unbiased, keepdim, correction
        As for :func:`var`.

    Returns
    -------
    Tensor
        Real, also for complex input. Where it is 0, so is its gradient.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.std(cr.tensor([1.0, 2.0, 3.0]))
    tensor(1.)
    """
    return _spread("std", ops.std, input, dim, unbiased, keepdim, correction)


@public(samples=_spread_samples, method=False)
def var_mean(
    input: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: Any = None
) -> tuple:
    """Return the variance and the mean of the elements, over all axes or some.

    Parameters
    ----------
    input, dim, unbiased, keepdim, correction
        As for :func:`var`.

    Returns
    -------
    tuple of Tensor
        (variance, mean)

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.var_mean(cr.tensor([1.0, 2.0, 3.0]))
    (tensor(1.), tensor(2.))
    """
    return _spread("var_mean", ops.var_mean, input, dim, unbiased, keepdim, correction)


@public(samples=_spread_samples, method=False)
def std_mean(
    input: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: Any = None
) -> tuple:
    """Return the standard deviation and the mean of the elements, over all axes or some.

    Parameters
    ----------
    input, dim, unbiased, keepdim, correction
        As for :func:`var`.

    Returns
    -------
    tuple of Tensor
        (standard deviation, mean)

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.std_mean(cr.tensor([1.0, 2.0, 3.0]))
    (tensor(1.), tensor(2.))
    """
    return _spread("std_mean", ops.std_mean, input, dim, unbiased, keepdim, correction)


# -- covariance --------------------------------------------------------------------------------------------------------


def _cov_weights(name: str, w: Any, n: int, integral: bool) -> Tensor | None:
    if w is None:
        return None
    w = as_tensor(w, "cov")
    if w.ndim > 1:
        raise RuntimeError(f"cov(): expected {name} to have one or fewer dimensions but got {name} with {w.ndim} dimensions")
    if integral and w.dtype.category != dtypes.INT:
        raise RuntimeError(f"cov(): expected fweights to have integral dtype but got fweights with {w.dtype.old_name} dtype")
    if not integral and w.dtype.category != dtypes.FLOAT:
        raise RuntimeError(
            f"cov(): expected aweights to have floating point dtype but got aweights with {w.dtype.old_name} dtype"
        )
    if w.numel() != n:
        raise RuntimeError(
            f"cov(): expected {name} to have the same numel as there are observations in the input but got {w.numel()} != {n}"
        )
    if not satisfies(w, lambda values: ~(values < 0).any()):
        raise RuntimeError(f"cov(): {name} cannot be negative")
    return w


@public(
    kinds="ifc",
    samples=lambda: [
        Sample((3, 5)), Sample((5,)), Sample((3, 5), correction=0), Sample((2, 3), fweights=np.array([1, 2, 1])),
        Sample((1, 1, 1),
        error=(RuntimeError, "cov(): expected input to have two or fewer dimensions but got an input with 3 dimensions")),
    ],
)  # fmt: skip
def cov(input: Tensor, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Tensor:
    """Return the covariance matrix of variables (rows) over observations (columns).

    Parameters
    ----------
    input : Tensor
        Of at most two axes; one axis is one variable.
    correction : int
        Subtracted from the number of observations.
    fweights : Tensor of int, optional
        How often each observation was made.
    aweights : Tensor of float, optional
        Importance of each observation.

    Returns
    -------
    Tensor
        A square matrix, or 0-d for one variable.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.cov(cr.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    x = as_tensor(input, "cov")
    if x.ndim > 2:
        raise RuntimeError(f"cov(): expected input to have two or fewer dimensions but got an input with {x.ndim} dimensions")
    if x.dtype.category == dtypes.BOOL:
        raise RuntimeError("cov(): bool dtype is not supported for input")
    if x.ndim < 2:
        x = reshape(x, shape=(1, x.numel()))
    n = x.shape[1]
    if x.dtype.category < dtypes.FLOAT:
        x = cast(x, dtypes.get_default_dtype())
    f = _cov_weights("fweights", fweights, n, integral=True)
    a = _cov_weights("aweights", aweights, n, integral=False)
    w = f if a is None else a if f is None else f * a
    if w is None:
        average, freedom = reduce.mean(x, axis=(1,), keepdims=True), max(n - correction, 0)
    else:
        total = w.sum()
        average = reduce.sum(x * w, axis=(1,), keepdims=True) / total
        lost = correction if a is None else correction * (w * a).sum() / total
        freedom = clamp_min(total - lost, 0)
    deviation = x - average
    weighted = deviation if w is None else deviation * w
    left, right = as_factors(deviation, weighted.conj() if x.is_complex() else weighted)
    out = mm(left, transpose(right, a=0, b=1)) / freedom
    return squeeze(out, axis=tuple(i for i in (0, 1) if out.shape[i] == 1), form="0")


@public(kinds="ifc", samples=lambda: [Sample((3, 5)), Sample((5,))])
def corrcoef(input: Tensor) -> Tensor:
    """Return the matrix of correlation coefficients of variables (rows) over observations (columns).

    Parameters
    ----------
    input : Tensor
        Of at most two axes; one axis is one variable.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.corrcoef(cr.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    x = as_tensor(input, "corrcoef")
    if x.ndim > 2:
        raise RuntimeError(
            f"corrcoef(): expected input to have two or fewer dimensions but got an input with {x.ndim} dimensions"
        )
    c = cov(x)
    if not c.ndim:
        return c / c
    d = diagonal(c, offset=0, a=0, b=1)
    d = (d.real if c.is_complex() else d).sqrt()
    n = c.shape[0]
    c = c / reshape(d, shape=(n, 1)) / reshape(d, shape=(1, n))
    if c.is_complex():
        return join(clamp(c.real, -1, 1), clamp(c.imag, -1, 1))
    return clamp(c, -1, 1)
