"""The multivariate normal distribution, and the products and solves with a factor of its covariance."""

from __future__ import annotations

import math
from typing import Any

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import Size
from chainrule.distributions import constraints
from chainrule.distributions.distribution import Distribution
from chainrule.distributions.utils import lazy_property, standard_normal

__all__ = ["MultivariateNormal"]


def _batch_mv(bmat: Tensor, bvec: Tensor) -> Tensor:
    """Return the products of matrices and vectors whose batches broadcast."""
    if bmat.dim() == 2:  # one matrix: one product, not one for each vector
        return bvec @ bmat.mT
    return (bmat @ bvec.unsqueeze(-1)).squeeze(-1)


def _batch_mahalanobis(bL: Tensor, bx: Tensor) -> Tensor:
    """Return ``x.T @ inv(L @ L.T) @ x`` for factors and vectors whose batches broadcast.

    Axes of the vectors in front of all axes of the factors become columns of one solve.
    """
    more = max(bx.dim() - 1 - (bL.dim() - 2), 0)
    columns = bx.reshape(-1 if bx.numel() else math.prod(bx.shape[:more]), *bx.shape[more:]).movedim(0, -1)
    squares = cr.linalg.solve_triangular(bL, columns, upper=False).square().sum(-2).movedim(-1, 0)
    return squares.reshape(*bx.shape[:more], *squares.shape[1:])


def _log_diagonal(factor: Tensor) -> Tensor:
    """Return the sum of the logarithms of a factor's diagonal, half the log determinant of what it is a factor of."""
    return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def _precision_to_scale_tril(P: Tensor) -> Tensor:
    """Return the lower Cholesky factor of the inverse: the upper factor of P, from the flipped matrix, inverted."""
    upper = cr.linalg.cholesky(P.flip(-2, -1)).flip(-2, -1)
    return cr.linalg.solve_triangular(upper.mT, cr.eye(P.shape[-1], dtype=P.dtype), upper=False)


MATRICES = ("covariance_matrix", "precision_matrix", "scale_tril")


class OfScale(Distribution):
    """A family of a covariance, precision, or Cholesky factor: the instance holds what it was given, and makes the others."""

    _unbroadcasted_scale_tril: Tensor

    def _hold(self, name: str, matrix: Tensor, batch_shape: Any) -> None:
        setattr(self, name, matrix.expand((*batch_shape, -1, -1)))

    def _factor(self, name: str, matrix: Tensor) -> None:
        """Keep the Cholesky factor of the covariance, without the axes along which it would be repeated."""
        if name == "covariance_matrix":
            matrix = cr.linalg.cholesky(matrix)
        elif name == "precision_matrix":
            matrix = _precision_to_scale_tril(matrix)
        self._unbroadcasted_scale_tril = matrix

    def _repeated(self, matrix: Tensor) -> Tensor:
        return matrix.expand((*self._batch_shape, *matrix.shape[-2:]))

    @lazy_property
    def scale_tril(self) -> Tensor:
        """Lower Cholesky factor of the covariance."""
        return self._repeated(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """Covariance."""
        return self._repeated(self._unbroadcasted_scale_tril @ self._unbroadcasted_scale_tril.mT)

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """Inverse of the covariance."""
        return self._repeated(cr.cholesky_inverse(self._unbroadcasted_scale_tril))


def given_matrix(covariance_matrix: Any, precision_matrix: Any, scale_tril: Any) -> list[tuple[str, Tensor]]:
    """Return the matrices that are given, with their names."""
    named = zip(MATRICES, (covariance_matrix, precision_matrix, scale_tril), strict=True)
    return [(name, matrix) for name, matrix in named if matrix is not None]


class MultivariateNormal(OfScale):
    """The normal distribution of vectors.

    Parameters
    ----------
    loc : Tensor
        The mean, of shape (..., n).
    covariance_matrix : Tensor, optional
        The covariance, of shape (..., n, n), positive definite.
    precision_matrix : Tensor, optional
        Its inverse, instead.
    scale_tril : Tensor, optional
        Its lower Cholesky factor, instead: what all is computed with, so that no factorisation is needed.
    validate_args : bool, optional
        Whether arguments are checked.

    Raises
    ------
    ValueError
        If not exactly one of the matrices is given, or one has too few axes.

    Examples
    --------
    >>> import chainrule as cr
    >>> normal = cr.distributions.MultivariateNormal(cr.zeros(2), cr.tensor([[2.0, 1.0], [1.0, 2.0]]))
    >>> normal.precision_matrix
    tensor([[ 0.6667, -0.3333],
            [-0.3333,  0.6667]])
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ):
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        given = given_matrix(covariance_matrix, precision_matrix, scale_tril)
        if len(given) != 1:
            raise ValueError("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
        ((name, matrix),) = given
        if matrix.dim() < 2:
            shown = "scale_tril matrix" if name == "scale_tril" else name
            raise ValueError(f"{shown} must be at least two-dimensional, with optional leading batch dimensions")
        batch_shape = cr.broadcast_shapes(matrix.shape[:-2], loc.shape[:-1])
        self._hold(name, matrix, batch_shape)
        self.loc = loc.expand((*batch_shape, -1))
        super().__init__(batch_shape, self.loc.shape[-1:], validate_args=validate_args)
        self._factor(name, matrix)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        new._unbroadcasted_scale_tril = self._unbroadcasted_scale_tril
        return new

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self._unbroadcasted_scale_tril.square().sum(-1).expand(self._batch_shape + self._event_shape)

    def rsample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        noise = standard_normal(self._extended_shape(sample_shape), self.loc.dtype)
        return self.loc + _batch_mv(self._unbroadcasted_scale_tril, noise)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        squares = _batch_mahalanobis(self._unbroadcasted_scale_tril, value - self.loc)
        half_log_det = _log_diagonal(self._unbroadcasted_scale_tril)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + squares) - half_log_det

    def entropy(self) -> Tensor:
        half_log_det = _log_diagonal(self._unbroadcasted_scale_tril)
        return (0.5 * self._event_shape[0] * (1 + math.log(2 * math.pi)) + half_log_det).expand(self._batch_shape)

    # What `kl_divergence` asks of either normal distribution:

    def _log_det(self) -> Tensor:
        return 2 * _log_diagonal(self._unbroadcasted_scale_tril)

    def _mahalanobis(self, difference: Tensor) -> Tensor:
        return _batch_mahalanobis(self._unbroadcasted_scale_tril, difference)

    def _parts(self) -> tuple[Tensor, Tensor | None]:
        """Return W and D, or None, with the covariance ``W @ W.T + diag(D)``."""
        return self._unbroadcasted_scale_tril, None

    def _whitened(self, matrix: Tensor) -> Tensor:
        """Return the trace of ``inv(covariance) @ matrix @ matrix.T``."""
        return cr.linalg.solve_triangular(self._unbroadcasted_scale_tril, matrix, upper=False).square().sum((-2, -1))

    def _whitened_diagonal(self, diagonal: Tensor) -> Tensor:
        """Return the trace of ``inv(covariance) @ diag(diagonal)``."""
        return self._whitened(cr.diag_embed(diagonal.sqrt()))
