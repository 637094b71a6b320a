"""The multivariate normal distribution whose covariance is a diagonal and a product of low rank.

Determinant and inverse are those of a small matrix, by the determinant lemma and Woodbury's identity (Hager, Updating the
inverse of a matrix, SIAM Review 31, 1989): with ``C = I + W.T @ inv(D) @ W``, ``|W @ W.T + D| = |C| |D|`` and
``inv(W @ W.T + D) = inv(D) - inv(D) @ W @ inv(C) @ W.T @ inv(D)``.
"""

from __future__ import annotations

import math
from typing import Any

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import Size
from chainrule.distributions import constraints
from chainrule.distributions.distribution import Distribution
from chainrule.distributions.multivariate_normal import _batch_mahalanobis, _batch_mv, _log_diagonal
from chainrule.distributions.utils import lazy_property, standard_normal

__all__ = ["LowRankMultivariateNormal"]


def _batch_capacitance_tril(W: Tensor, D: Tensor) -> Tensor:
    """Return the Cholesky factor of C."""
    return cr.linalg.cholesky((W.mT / D.unsqueeze(-2)) @ W + cr.eye(W.shape[-1], dtype=W.dtype))


def _batch_lowrank_logdet(W: Tensor, D: Tensor, capacitance_tril: Tensor) -> Tensor:
    """Return the logarithm of ``|W @ W.T + D|``."""
    return 2 * _log_diagonal(capacitance_tril) + D.log().sum(-1)


def _batch_lowrank_mahalanobis(W: Tensor, D: Tensor, x: Tensor, capacitance_tril: Tensor) -> Tensor:
    """Return ``x.T @ inv(W @ W.T + D) @ x``."""
    projected = _batch_mv(W.mT / D.unsqueeze(-2), x)
    return (x.square() / D).sum(-1) - _batch_mahalanobis(capacitance_tril, projected)


class LowRankMultivariateNormal(Distribution):
    """The normal distribution of vectors whose covariance is ``cov_factor @ cov_factor.T + diag(cov_diag)``.

    Parameters
    ----------
    loc : Tensor
        The mean, of shape (..., n).
    cov_factor : Tensor
        Of shape (..., n, rank).
    cov_diag : Tensor
        Of shape (..., n), positive.
    validate_args : bool, optional
        Whether arguments are checked.

    Raises
    ------
    ValueError
        If shapes do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> factor = cr.tensor([[1.0], [0.0]])
    >>> cr.distributions.LowRankMultivariateNormal(cr.zeros(2), factor, cr.ones(2)).covariance_matrix
    tensor([[2., 0.],
            [0., 1.]])
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc: Tensor, cov_factor: Tensor, cov_diag: Tensor, validate_args: bool | None = None):
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        event_shape = loc.shape[-1:]
        if cov_factor.dim() < 2:
            raise ValueError("cov_factor must be at least two-dimensional, with optional leading batch dimensions")
        if cov_factor.shape[-2:-1] != event_shape:
            raise ValueError(f"cov_factor must be a batch of matrices with shape {event_shape[0]} x m")
        if cov_diag.shape[-1:] != event_shape:
            raise ValueError(f"cov_diag must be a batch of vectors with shape {event_shape}")
        try:
            batch_shape = cr.broadcast_shapes(loc.shape[:-1], cov_factor.shape[:-2], cov_diag.shape[:-1])
        except RuntimeError as error:
            raise ValueError(
                f"Incompatible batch shapes: loc {loc.shape}, cov_factor {cov_factor.shape}, cov_diag {cov_diag.shape}"
            ) from error
        self.loc, self.cov_diag = loc.expand((*batch_shape, -1)), cov_diag.expand((*batch_shape, -1))
        self.cov_factor = cov_factor.expand((*batch_shape, -1, -1))
        # Without the axes along which they would be repeated:
        self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag = cov_factor, cov_diag
        self._capacitance_tril = _batch_capacitance_tril(cov_factor, cov_diag)
        super().__init__(batch_shape, event_shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        for name in ("_unbroadcasted_cov_factor", "_unbroadcasted_cov_diag", "_capacitance_tril"):
            setattr(new, name, getattr(self, name))
        return new

    @property
    def _woodbury(self) -> tuple[Tensor, Tensor, Tensor]:
        """W, D, and the factor of C."""
        return self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag, self._capacitance_tril

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @lazy_property
    def variance(self) -> Tensor:  # type: ignore[override]
        factor, diagonal, _ = self._woodbury
        return (factor.square().sum(-1) + diagonal).expand(self._batch_shape + self._event_shape)

    def _repeated(self, matrix: Tensor) -> Tensor:
        return matrix.expand((*self._batch_shape, *matrix.shape[-2:]))

    @lazy_property
    def scale_tril(self) -> Tensor:
        """Lower Cholesky factor of the covariance, by one of a matrix whose eigenvalues are at least 1."""
        factor, diagonal, _ = self._woodbury
        root = diagonal.sqrt().unsqueeze(-1)
        scaled = factor / root
        inner = scaled @ scaled.mT + cr.eye(self._event_shape[0], dtype=factor.dtype)
        return self._repeated(root * cr.linalg.cholesky(inner))

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """Covariance."""
        factor, diagonal, _ = self._woodbury
        return self._repeated(factor @ factor.mT + cr.diag_embed(diagonal))

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """Inverse of the covariance."""
        inner = self._inner
        return self._repeated(cr.diag_embed(self._unbroadcasted_cov_diag.reciprocal()) - inner.mT @ inner)

    @property
    def _inner(self) -> Tensor:
        """A with the precision ``inv(D) - A.T @ A``."""
        factor, diagonal, tril = self._woodbury
        return cr.linalg.solve_triangular(tril, factor.mT / diagonal.unsqueeze(-2), upper=False)

    def rsample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        shape, (factor, diagonal, _) = self._extended_shape(sample_shape), self._woodbury
        common = standard_normal((*shape[:-1], factor.shape[-1]), self.loc.dtype)
        return self.loc + _batch_mv(factor, common) + diagonal.sqrt() * standard_normal(shape, self.loc.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        squares = self._mahalanobis(value - self.loc)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + self._log_det() + squares)

    def entropy(self) -> Tensor:
        return (0.5 * (self._event_shape[0] * (1 + math.log(2 * math.pi)) + self._log_det())).expand(self._batch_shape)

    # What `kl_divergence` asks of either normal distribution; see `MultivariateNormal`:

    def _log_det(self) -> Tensor:
        return _batch_lowrank_logdet(*self._woodbury)

    def _mahalanobis(self, difference: Tensor) -> Tensor:
        factor, diagonal, tril = self._woodbury
        return _batch_lowrank_mahalanobis(factor, diagonal, difference, tril)

    def _parts(self) -> tuple[Tensor, Tensor | None]:
        return self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag

    def _whitened(self, matrix: Tensor) -> Tensor:
        scaled = matrix.square() / self._unbroadcasted_cov_diag.unsqueeze(-1)
        return scaled.sum((-2, -1)) - (self._inner @ matrix).square().sum((-2, -1))

    def _whitened_diagonal(self, diagonal: Tensor) -> Tensor:
        projected = self._inner.square() * diagonal.unsqueeze(-2)
        return (diagonal / self._unbroadcasted_cov_diag).sum(-1) - projected.sum((-2, -1))
