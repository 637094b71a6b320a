"""The Wishart distribution."""

from __future__ import annotations

import math
import warnings
from typing import Any

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import Size
from chainrule.distributions import constraints
from chainrule.distributions.chi2 import Chi2
from chainrule.distributions.exp_family import ExponentialFamily
from chainrule.distributions.multivariate_normal import OfScale, _log_diagonal, given_matrix
from chainrule.distributions.utils import all_true, is_tensor_like, standard_normal

__all__ = ["Wishart"]

_LOG_2 = math.log(2)


def _as_matrix(x: Tensor) -> Tensor:
    return x.unsqueeze(-1).unsqueeze(-1)


class Wishart(OfScale, ExponentialFamily):
    """The distribution of the scatter matrix of normal vectors: of ``X.T @ X`` with df rows that are normal with mean 0.

    Density, entropy and moments are those of chapter 7 of Anderson, An introduction to multivariate statistical analysis, 3rd
    edition; draws are made by Bartlett's decomposition (theorem 7.2.1 there).

    Parameters
    ----------
    df : float or Tensor
        The degrees of freedom, greater than n - 1.
    covariance_matrix : Tensor, optional
        The covariance of the vectors, of shape (..., n, n), positive definite.
    precision_matrix : Tensor, optional
        Its inverse, instead.
    scale_tril : Tensor, optional
        Its lower Cholesky factor, instead.
    validate_args : bool, optional
        Whether arguments are checked.

    Raises
    ------
    AssertionError
        If not exactly one of the matrices is given.
    ValueError
        If it has too few axes, or `df` is too small.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.distributions.Wishart(3.0, covariance_matrix=cr.eye(2)).mean
    tensor([[3., 0.],
            [0., 3.]])
    """

    support = constraints.positive_definite
    has_rsample = True
    _mean_carrier_measure = 0

    @property
    def arg_constraints(self) -> dict[str, constraints.Constraint]:
        return {
            "covariance_matrix": constraints.positive_definite,
            "precision_matrix": constraints.positive_definite,
            "scale_tril": constraints.lower_cholesky,
            "df": constraints.greater_than(self.event_shape[-1] - 1),
        }

    def __init__(
        self,
        df: Any,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ):
        given = given_matrix(covariance_matrix, precision_matrix, scale_tril)
        if len(given) != 1:
            raise AssertionError("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
        ((name, matrix),) = given
        if matrix.dim() < 2:
            raise ValueError("scale_tril must be at least two-dimensional, with optional leading batch dimensions")
        n = matrix.shape[-1]
        df = df if is_tensor_like(df) else cr.tensor(df, dtype=matrix.dtype)
        batch_shape = cr.broadcast_shapes(matrix.shape[:-2], df.shape)
        self.df = df.expand(batch_shape)
        if not all_true(~(df <= n - 1)):
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {n - 1}.")
        if not all_true(~(df < n)):
            warnings.warn(
                "Low df values detected. Singular samples are highly likely to occur for ndim - 1 < df < ndim.", stacklevel=2
            )
        self._hold(name, matrix, batch_shape)
        super().__init__(batch_shape, matrix.shape[-2:], validate_args=validate_args)
        self._factor(name, matrix)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        new._unbroadcasted_scale_tril = self._unbroadcasted_scale_tril
        return new

    @property
    def mean(self) -> Tensor:
        return _as_matrix(self.df) * self.covariance_matrix

    @property
    def mode(self) -> Tensor:
        factor = self.df - self._event_shape[-1] - 1
        return _as_matrix(factor.masked_fill(factor <= 0, cr.nan)) * self.covariance_matrix

    @property
    def variance(self) -> Tensor:
        covariance = self.covariance_matrix
        diagonal = covariance.diagonal(dim1=-2, dim2=-1)
        return _as_matrix(self.df) * (covariance.square() + diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2))

    def _bartlett(self, sample_shape: Any) -> Tensor:
        """Return draws ``L @ A @ A.T @ L.T``: A lower triangular, squares of its diagonal of chi-squared, normal below it."""
        n, dtype = self._event_shape[-1], self._unbroadcasted_scale_tril.dtype
        chi = Chi2(self.df.unsqueeze(-1) - cr.arange(n, dtype=dtype), validate_args=False).rsample(sample_shape).sqrt()
        below = standard_normal(self._extended_shape(sample_shape), dtype).tril(-1)
        factor = self._unbroadcasted_scale_tril @ (below + cr.diag_embed(chi.clamp(min=cr.finfo(dtype).eps)))
        return factor @ factor.mT

    def rsample(self, sample_shape: Any = Size(), max_try_correction: int | None = None) -> Tensor:  # noqa: B008
        """Return draws that are differentiable functions of the parameters.

        Parameters
        ----------
        sample_shape : tuple of int
            How many draws of each distribution, as a shape.
        max_try_correction : int, optional
            How often to draw anew what rounding made singular; 10 times if not given. What is singular then, stays so.
        """
        draws = self._bartlett(sample_shape)
        definite = self.support.check(draws)
        for k in range(10 if max_try_correction is None else max_try_correction):
            if all_true(definite):
                break
            if k == 0:
                warnings.warn("Singular sample detected.", stacklevel=2)
            draws = cr.where(_as_matrix(definite), draws, self._bartlett(sample_shape))
            definite = self.support.check(draws)
        return draws

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        nu, n, tril = self.df, self._event_shape[-1], self._unbroadcasted_scale_tril
        return (
            -nu * (n * _LOG_2 / 2 + _log_diagonal(tril))
            - cr.mvlgamma(nu / 2, n)
            + (nu - n - 1) / 2 * cr.linalg.slogdet(value).logabsdet
            - cr.cholesky_solve(value, tril).diagonal(dim1=-2, dim2=-1).sum(-1) / 2
        )

    def entropy(self) -> Tensor:
        nu, n = self.df, self._event_shape[-1]
        mean_log = cr.digamma(nu.unsqueeze(-1) / 2 - cr.arange(n, dtype=nu.dtype) / 2).sum(-1)
        return (
            (n + 1) * (n * _LOG_2 / 2 + _log_diagonal(self._unbroadcasted_scale_tril))
            + cr.mvlgamma(nu / 2, n)
            - (nu - n - 1) / 2 * mean_log
            + nu * n / 2
        )

    @property
    def _natural_params(self) -> tuple[Tensor, Tensor]:
        return -self.precision_matrix / 2, (self.df - self._event_shape[-1] - 1) / 2

    def _log_normalizer(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        n = self._event_shape[-1]
        half = y + (n + 1) / 2
        return half * (_LOG_2 * n - cr.linalg.slogdet(-2 * x).logabsdet) + cr.mvlgamma(half, n)
