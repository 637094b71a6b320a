"""The distribution of Cholesky factors of correlation matrices, after Lewandowski, Kurowicka and Joe."""

from __future__ import annotations

import math
from typing import Any

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.shape import Size
from chainrule.distributions import constraints
from chainrule.distributions.beta import Beta
from chainrule.distributions.distribution import Distribution
from chainrule.distributions.utils import broadcast_all, standard_normal

__all__ = ["LKJCholesky"]


class LKJCholesky(Distribution):
    """The lower Cholesky factor of a correlation matrix whose density is proportional to ``det ** (concentration - 1)``.

    Lewandowski, Kurowicka & Joe, Generating random correlation matrices based on vines and extended onion method, Journal of
    Multivariate Analysis 100 (2009): draws are by the onion method of section 3.2, the normaliser is from page 1999. PyTorch's
    draws of three and more dimensions have other marginals than that density: where half of a row's number belongs, it has all.

    Parameters
    ----------
    dim : int
        The size of the matrices, at least 2.
    concentration : float or Tensor
        Positive; 1 is uniform over correlation matrices.
    validate_args : bool, optional
        Whether arguments are checked.

    Raises
    ------
    ValueError
        If `dim` is less than 2.

    Examples
    --------
    >>> import chainrule as cr
    >>> factor = cr.distributions.LKJCholesky(3, 1.0).sample()
    >>> bool(((factor @ factor.mT).diagonal() - 1).abs().max() < 1e-5)
    True
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None):
        if dim < 2:
            raise ValueError(f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}.")
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        super().__init__(self.concentration.size(), Size((dim, dim)), validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        new.dim = self.dim
        return new

    @property
    def _beta(self) -> Beta:
        """The distribution of the squared length of each row below the diagonal; that of the first row is not used."""
        row = cr.arange(self.dim, dtype=self.concentration.dtype).sub(1).clamp(min=0)
        marginal = self.concentration.unsqueeze(-1) + 0.5 * (self.dim - 2)
        return Beta(0.5 * row + 0.5, marginal - 0.5 * row, validate_args=False)

    def sample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        shape, dtype = self._extended_shape(sample_shape), self.concentration.dtype
        with cr.no_grad():
            length = self._beta.sample(sample_shape).unsqueeze(-1)
            direction = standard_normal(shape, dtype).tril(-1)
            norm = direction.norm(dim=-1, keepdim=True)
            rows = length.sqrt() * direction / cr.where(norm == 0, 1, norm)
            rest = (1 - rows.square().sum(-1)).clamp(min=cr.finfo(dtype).tiny)
            return rows + cr.diag_embed(rest.sqrt())

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        # A power of each element of the diagonal: of the determinant's, and of the map from factors to correlations.
        row = cr.arange(2, self.dim + 1, dtype=self.concentration.dtype)
        order = 2 * (self.concentration - 1).unsqueeze(-1) + self.dim - row
        unnormalized = (order * value.diagonal(dim1=-2, dim2=-1)[..., 1:].log()).sum(-1)
        less = self.dim - 1
        alpha = self.concentration + 0.5 * less
        normalizer = 0.5 * less * math.log(math.pi) + cr.mvlgamma(alpha - 0.5, less) - cr.lgamma(alpha) * less
        return unnormalized - normalizer
