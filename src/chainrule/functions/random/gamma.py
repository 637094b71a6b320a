"""Draws of standard gamma distributions, through which gradients flow to the shape parameter, to any order."""

from __future__ import annotations

import numpy as np

from chainrule.core.call.dispatch import cast
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.ops.pointwise.exponential import exp
from chainrule.ops.random.draw import drawn_with
from chainrule.ops.random.gamma import log_gamma_at_rank
from chainrule.ops.shaping.shape import detach

__all__: list[str] = []


def _draw(rng: np.random.Generator, concentration: np.ndarray) -> np.ndarray:
    """Return logarithms of draws: where a < 1, of ``x U^(1/a)`` with x of shape a + 1 (Marsaglia & Tsang 2000, section 6)."""
    a = np.asarray(concentration, np.float64)
    known = (a > 0) & np.isfinite(a)
    a = np.where(known, a, 1.0)
    small = a < 1
    y = np.log(rng.standard_gamma(np.where(small, a + 1, a)))
    y = np.where(small, y - rng.standard_exponential(a.shape) / a, y)
    return np.where(known, y, np.where(concentration == np.inf, np.inf, np.nan))


def log_standard_gamma(concentration: Tensor) -> Tensor:
    """Return logarithms of draws of gamma distributions of rate 1; they are finite where the draws underflow.

    Parameters
    ----------
    concentration : Tensor
        The shape parameters, positive and floating point.

    Returns
    -------
    Tensor
        Of the parameters' shape and dtype, a differentiable function of them.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.functions.random.gamma import log_standard_gamma
    >>> bool(log_standard_gamma(cr.full((9,), 1e-4)).isfinite().all())
    True
    """
    numpy = concentration.dtype.numpy
    draw = lambda rng, a: _draw(rng, a).astype(numpy)
    a = detach(concentration)
    return log_gamma_at_rank(concentration, a, drawn_with(a, draw, tuple(a.shape), numpy, None))


def standard_gamma(concentration: Tensor) -> Tensor:
    """Return draws of gamma distributions of rate 1; as for `log_standard_gamma`.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.functions.random.gamma import standard_gamma
    >>> a = cr.full((3,), 2.0, requires_grad=True)
    >>> standard_gamma(a).sum().backward()
    >>> bool((a.grad > 0).all())
    True
    """
    if concentration.dtype.itemsize == 2:
        return cast(standard_gamma(cast(concentration, dtypes.float32)), concentration.dtype)
    return exp(log_standard_gamma(concentration))
