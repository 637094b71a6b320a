"""Transforms to probability vectors and to matrices: triangular, positive definite, factors of correlations."""

from __future__ import annotations

import math
from typing import Any

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import Size
from chainrule.distributions import constraints
from chainrule.distributions.number_transforms import clipped
from chainrule.distributions.transform import Transform
from chainrule.distributions.utils import softplus, tril_matrix_to_vec, vec_to_tril_matrix

__all__ = [
    "CorrCholeskyTransform", "LowerCholeskyTransform", "PositiveDefiniteTransform", "SoftmaxTransform",
    "StickBreakingTransform",
]  # fmt: skip


def _at_least(shape: Any, count: int) -> None:
    if len(shape) < count:
        raise ValueError("Too few dimensions on input")


def _after_one(x: Tensor) -> Tensor:
    """Return rows with a 1 in front."""
    return cr.cat([x.new_ones((*x.shape[:-1], 1)), x], -1)


class _Vectors(Transform):
    """A transform of vectors, any two of which are equal."""

    domain = constraints.real_vector
    codomain = constraints.simplex

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self))

    def forward_shape(self, shape: Any) -> Any:
        _at_least(shape, 1)
        return shape

    def inverse_shape(self, shape: Any) -> Any:
        _at_least(shape, 1)
        return shape


class SoftmaxTransform(_Vectors):
    """``y = softmax(x)``, whose inverse is taken to be log y.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.distributions.transforms import SoftmaxTransform
    >>> SoftmaxTransform()(cr.zeros(2))
    tensor([0.5000, 0.5000])
    """

    def _call(self, x: Tensor) -> Tensor:
        return cr.softmax(x, -1)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log()


class StickBreakingTransform(_Vectors):
    """Vectors of n numbers to probability vectors of n + 1: each number breaks its share off what is left of a stick.

    The share is ``sigmoid(x[k] - log(n - k))``, so that zeros give equal probabilities (Stan Reference Manual, 10.7).

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.distributions.transforms import StickBreakingTransform
    >>> StickBreakingTransform()(cr.zeros(3))
    tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """

    bijective = True

    def _call(self, x: Tensor) -> Tensor:
        share = clipped((x - _left(x)).sigmoid())
        return cr.cat([share, x.new_ones((*x.shape[:-1], 1))], -1) * _after_one((1 - share).cumprod(-1))

    def _inverse(self, y: Tensor) -> Tensor:
        broken = y[..., :-1]
        rest = (1 - broken.cumsum(-1)).clamp(min=cr.finfo(y.dtype).tiny)
        return broken.log() - rest.log() + _left(broken)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        x = x - _left(x)
        return (-x - softplus(-x) + y[..., :-1].log()).sum(-1)

    def forward_shape(self, shape: Any) -> Any:
        _at_least(shape, 1)
        return Size((*shape[:-1], shape[-1] + 1))

    def inverse_shape(self, shape: Any) -> Any:
        _at_least(shape, 1)
        return Size((*shape[:-1], shape[-1] - 1))


def _left(x: Tensor) -> Tensor:
    """Return the logarithms of how many pieces are to come after each."""
    return cr.arange(x.shape[-1], 0, -1, dtype=x.dtype).log()


class CorrCholeskyTransform(Transform):
    """Vectors of n (n - 1) / 2 numbers to Cholesky factors of correlation matrices.

    The tangents of the numbers are partial correlations: each row of the factor is broken off a unit of length, as in the Stan
    Reference Manual, 10.9 and 10.12.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.distributions.transforms import CorrCholeskyTransform
    >>> CorrCholeskyTransform()(cr.zeros(1))
    tensor([[1., 0.],
            [0., 1.]])
    """

    domain = constraints.real_vector
    codomain = constraints.corr_cholesky
    bijective = True

    def _call(self, x: Tensor) -> Tensor:
        eps = cr.finfo(x.dtype).eps
        partial = vec_to_tril_matrix(x.tanh().clamp(-1 + eps, 1 - eps), diag=-1)
        left = (1 - partial**2).sqrt().cumprod(-1)
        return (partial + cr.eye(partial.shape[-1], dtype=x.dtype)) * _after_one(left[..., :-1])

    def _inverse(self, y: Tensor) -> Tensor:
        left = _after_one((1 - (y * y).cumsum(-1))[..., :-1])
        return (tril_matrix_to_vec(y, diag=-1) / tril_matrix_to_vec(left, diag=-1).sqrt()).atanh()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor, intermediates: Any = None) -> Tensor:
        left = 1 - (y * y).cumsum(-1)
        broken = 0.5 * tril_matrix_to_vec(left, diag=-2).log().sum(-1)
        return broken - 2 * (x + softplus(-2 * x) - math.log(2)).sum(-1)

    def forward_shape(self, shape: Any) -> Any:
        _at_least(shape, 1)
        count = shape[-1]
        n = round((0.25 + 2 * count) ** 0.5 + 0.5)
        if n * (n - 1) // 2 != count:
            raise ValueError("Input is not a flattened lower-diagonal number")
        return Size((*shape[:-1], n, n))

    def inverse_shape(self, shape: Any) -> Any:
        _at_least(shape, 2)
        if shape[-2] != shape[-1]:
            raise ValueError("Input is not square")
        return Size((*shape[:-2], shape[-1] * (shape[-1] - 1) // 2))


class _Matrices(Transform):
    """A transform of square matrices, any two of which are equal."""

    domain = constraints.independent(constraints.real, 2)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self))


class LowerCholeskyTransform(_Matrices):
    """Square matrices to lower triangular ones of positive diagonal: its exponential, and what is beneath it.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.distributions.transforms import LowerCholeskyTransform
    >>> LowerCholeskyTransform()(cr.zeros(2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """

    codomain = constraints.lower_cholesky

    def _call(self, x: Tensor) -> Tensor:
        return x.tril(-1) + x.diagonal(dim1=-2, dim2=-1).exp().diag_embed()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.tril(-1) + y.diagonal(dim1=-2, dim2=-1).log().diag_embed()


class PositiveDefiniteTransform(_Matrices):
    """Square matrices to positive definite ones: the product of `LowerCholeskyTransform`'s with its transpose.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.distributions.transforms import PositiveDefiniteTransform
    >>> PositiveDefiniteTransform()(cr.zeros(1, 1))
    tensor([[1.]])
    """

    codomain = constraints.positive_definite

    def _call(self, x: Tensor) -> Tensor:
        factor = LowerCholeskyTransform()(x)
        return factor @ factor.mT

    def _inverse(self, y: Tensor) -> Tensor:
        return LowerCholeskyTransform().inv(cr.linalg.cholesky(y))
